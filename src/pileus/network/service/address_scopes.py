"""Use cases of address scopes: where addresses mean the same, so that nothing in them may overlap."""

import msgspec
from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.network import tables
from pileus.network.errors import conflict, invalid, missing
from pileus.network.service import access
from pileus.network.service.access import Attributes, target_of
from pileus.network.store import pools as store
from pileus.network.store import rows, sharing
from pileus.network.store.records import AddressScope
from pileus.network.store.rows import Wanted


def list_scopes(ctx: Context, wanted: Wanted) -> list[AddressScope]:
    """Return the address scopes that the caller sees."""
    with ctx.cloud.db.read() as tx:
        visible = access.visible(ctx, "address_scope", store.visible_scopes)
        asked = access.by_sharing(ctx, wanted, visible, sharing.opened("address_scope", ctx.project_id))
        return _as_seen(ctx, tx, store.list_scopes(tx, *asked))


def _as_seen(ctx: Context, tx: Connection, found: list[AddressScope]) -> list[AddressScope]:
    """Return scopes with `shared` as it is for the caller."""
    opened = sharing.opened_ids(tx, "address_scope", ctx.project_id, [scope.id for scope in found])
    return [msgspec.structs.replace(scope, shared=True) if scope.id in opened else scope for scope in found]


def show(ctx: Context, id: str) -> AddressScope:
    """Return one address scope.  :raises NotFound: when the caller does not see it."""
    with ctx.cloud.db.read() as tx:
        return _as_seen(ctx, tx, [find(ctx, tx, id, "get")])[0]


def find(ctx: Context, tx: Connection, id: str, action: str) -> AddressScope:
    """Return an address scope, if the caller may do something to it."""
    scope = store.find_scope(tx, id)
    if scope is None:
        raise missing("address_scope", id)
    access.require(ctx, "address_scope", action, id, access.target_shared(ctx, tx, "address_scope", scope.id, scope.project_id))
    return scope


def create(ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[AddressScope]:
    """Make address scopes, all or none."""
    owned = [(access.project_for(ctx, attributes), attributes) for attributes, _ in many]
    for (project_id, _), (_, given) in zip(owned, many, strict=True):
        ctx.require("create_address_scope", target_of(project_id))
        access.guard(ctx, "create_address_scope", given, target_of(project_id))

    def work(tx: Connection) -> list[AddressScope]:
        made = []
        for project_id, attributes in owned:
            row = {"id": ids.uuid(), "project_id": project_id, **{name: attributes[name] for name in FIELDS}}
            scope = AddressScope(**rows.insert_row(tx, tables.address_scopes, ctx.cloud.clock.now(), row))
            if scope.shared:
                sharing.grant(tx, scope.created_at, "address_scope", scope.id, project_id, sharing.ALL, sharing.SHARED)
            made.append(scope)
        return made

    return access.transact(ctx.cloud, work)


FIELDS = ("name", "description", "ip_version", "shared")


def change(ctx: Context, id: str, attributes: Attributes, revision: int | None = None) -> AddressScope:
    """Change an address scope.  :raises BadRequest: when it is shared and was not to be any more."""

    def work(tx: Connection) -> AddressScope:
        scope = find(ctx, tx, id, "update")
        target = access.target_shared(ctx, tx, "address_scope", scope.id, scope.project_id)
        access.guard(ctx, "update_address_scope", attributes, target)
        access.check_revision(revision, scope.revision_number)
        if scope.shared and attributes.get("shared") is False:
            raise invalid(
                f"Unable to update address scope {id} : Shared address scope can't be unshared", "AddressScopeUpdateError"
            )
        if attributes.get("shared"):
            sharing.grant(tx, ctx.cloud.clock.now(), "address_scope", id, scope.project_id, sharing.ALL, sharing.SHARED)
        if attributes:
            rows.update_row(tx, tables.address_scopes, ctx.cloud.clock.now(), id, attributes)
        found = store.find_scope(tx, id)
        assert found is not None
        return found

    return access.transact(ctx.cloud, work)


def remove(ctx: Context, id: str, revision: int | None = None) -> None:
    """Remove an address scope.  :raises Conflict: when pools are in it."""

    def work(tx: Connection) -> None:
        scope = find(ctx, tx, id, "delete")
        access.check_revision(revision, scope.revision_number)
        if store.pools_of_scope(tx, id):
            text = (
                f"Unable to complete operation on address scope {id}. "
                "There are one or more subnet pools in use on the address scope"
            )
            raise conflict("AddressScopeInUse", text)
        sharing.forget(tx, id)
        rows.delete_row(tx, tables.address_scopes, id)

    access.transact(ctx.cloud, work)
