"""Group types: what groups of volumes promise."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict, NotFound
from pileus.volume.policies.groups import SEES_SPECS, SPECS, TYPES
from pileus.volume.store import group_types as store
from pileus.volume.store.group_types import GroupType

RESERVED_NAME = "default_cgsnapshot_type"
CONSISTENT = "consistent_group_snapshot_enabled"
YES = "<is> True"


def bootstrap(cloud: Cloud) -> None:
    """Write down the type of the groups that are consistency groups, in a cloud that has none."""
    with cloud.db.begin() as tx:
        if store.get_reserved(tx) is None:
            store.add(
                tx, id=ids.uuid(), name=RESERVED_NAME, description="Default group type for migrating cgsnapshot",
                is_public=True, is_default=True, group_specs={CONSISTENT: YES}, created_at=cloud.clock.now(),
            )  # fmt: skip


def find(tx: Connection, ctx: Context, id_or_name: str) -> GroupType:
    """Return a group type that the caller may use.

    :raises NotFound: GroupTypeNotFound when there is none.
    """
    found = store.get(tx, id_or_name) or store.get_by_name(tx, id_or_name)
    if found is None or not (found.is_public or ctx.is_admin):
        named = id_or_name if ids.is_uuid(id_or_name) else f"with name {id_or_name}"
        raise NotFound(f"Group type {named} could not be found.", kind="GroupTypeNotFound")
    return found


def sees_specs(ctx: Context) -> bool:
    """Tell whether the caller sees what group types promise."""
    return ctx.can(SEES_SPECS)


def list_all(ctx: Context, is_public: bool | None) -> Sequence[GroupType]:
    """Return group types, the newest first.  is_public None is all; only admins may choose.  Every caller may ask."""
    with ctx.cloud.db.read() as tx:
        return store.list_all(tx, is_public if ctx.is_admin else True)


def get(ctx: Context, group_type_id: str) -> GroupType:
    """Return a group type that the caller may use.  Every caller may ask.

    :raises NotFound: when there is none of that id.
    """
    with ctx.cloud.db.read() as tx:
        return _by_id(tx, ctx, group_type_id)


def create(ctx: Context, values: Mapping[str, Any]) -> GroupType:
    """Make a group type out of name, description, is_public and group_specs.

    :raises Conflict: when the name is taken.
    """
    ctx.require(TYPES + "create")
    id = ids.uuid()
    with ctx.cloud.db.begin() as tx:
        _require_free(tx, values["name"])
        store.add(tx, id=id, is_default=False, created_at=ctx.cloud.clock.now(), **values)
        return _by_id(tx, ctx, id)


def update(ctx: Context, group_type_id: str, changes: Mapping[str, Any]) -> GroupType:
    """Change name, description or is_public; what is None stays.

    :raises NotFound: when there is no such type.
    :raises Conflict: when the name is taken.
    """
    ctx.require(TYPES + "update")
    with ctx.cloud.db.begin() as tx:
        found = _by_id(tx, ctx, group_type_id)
        wanted = {key: value for key, value in changes.items() if value is not None}
        if wanted.get("name") not in (None, found.name):
            _require_free(tx, wanted["name"])
        store.change(tx, group_type_id, updated_at=ctx.cloud.clock.now(), **wanted)
        return _by_id(tx, ctx, group_type_id)


def delete(ctx: Context, group_type_id: str) -> None:
    """Delete a group type.

    :raises NotFound: when there is none.
    :raises BadRequest: when there are groups of it, or it is the one of consistency groups.
    """
    ctx.require(TYPES + "delete")
    with ctx.cloud.db.begin() as tx:
        if _by_id(tx, ctx, group_type_id).is_default or store.is_used(tx, group_type_id):
            raise BadRequest("Target group type is still in use.", kind="GroupTypeInUse")
        store.remove(tx, group_type_id)


def list_specs(ctx: Context, group_type_id: str) -> dict[str, Any]:
    """Return what a type promises.

    :raises NotFound: when there is no such type.
    """
    ctx.require(SPECS + "get_all")
    with ctx.cloud.db.read() as tx:
        return dict(_by_id(tx, ctx, group_type_id).group_specs)


def get_spec(ctx: Context, group_type_id: str, key: str) -> Any:
    """Return one thing that a type promises.

    :raises NotFound: when there is no such type, or it promises no such thing.
    """
    ctx.require(SPECS + "get")
    with ctx.cloud.db.read() as tx:
        specs = _by_id(tx, ctx, group_type_id).group_specs
    if key not in specs:
        raise NotFound(f"Group Type {group_type_id} has no extra spec with key {key}.", kind="GroupTypeSpecsNotFound")
    return specs[key]


def set_specs(ctx: Context, group_type_id: str, specs: Mapping[str, Any], rule: str = "create") -> None:
    """Have a type promise more, or something else.

    :raises NotFound: when there is no such type.
    """
    ctx.require(SPECS + rule)
    with ctx.cloud.db.begin() as tx:
        wanted = {**_by_id(tx, ctx, group_type_id).group_specs, **specs}
        store.change(tx, group_type_id, group_specs=wanted, updated_at=ctx.cloud.clock.now())


def delete_spec(ctx: Context, group_type_id: str, key: str) -> None:
    """Have a type promise less.

    :raises NotFound: when there is no such type, or it promises no such thing.
    """
    ctx.require(SPECS + "delete")
    with ctx.cloud.db.begin() as tx:
        specs = dict(_by_id(tx, ctx, group_type_id).group_specs)
        if key not in specs:
            raise NotFound(f"Group Type {group_type_id} has no specs with key {key}.", kind="GroupTypeSpecsNotFound")
        del specs[key]
        store.change(tx, group_type_id, group_specs=specs, updated_at=ctx.cloud.clock.now())


def is_consistent(kind: GroupType) -> bool:
    """Tell whether snapshots of a group of this type are of one instant for all its volumes."""
    return bool(kind.group_specs.get(CONSISTENT) == YES)


def _by_id(tx: Connection, ctx: Context, group_type_id: str) -> GroupType:
    found = store.get(tx, group_type_id)
    if found is None or not (found.is_public or ctx.is_admin):
        raise NotFound(f"Group type {group_type_id} could not be found.", kind="GroupTypeNotFound")
    return found


def _require_free(tx: Connection, name: str) -> None:
    if store.get_by_name(tx, name):
        raise Conflict(f"Group Type {name} already exists.", kind="GroupTypeExists")
