"""Resource providers of placement: what they have, what they can do, and who may say so.

The compute hosts are providers by themselves: they cannot be renamed, moved or deleted here, and how much they have is what
they report; their allocation ratios and reserved amounts may be set.
"""

from collections.abc import Callable, Collection, Mapping

from sqlalchemy import Connection

from pileus.compute import traits as trait_names
from pileus.compute.placement import Candidate, Group, Inventory, Provider, Wishes, candidates, matching
from pileus.compute.policies.placement import PROVIDERS
from pileus.compute.store import allocations as allocation_store
from pileus.compute.store import providers as store
from pileus.compute.store.providers import HOST_CLASSES, STANDARD_CLASSES
from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, NotFound

Change = Callable[[Mapping[str, Inventory]], dict[str, Inventory]]
STALE = {"code": "placement.concurrent_update"}


def list_all(ctx: Context, wish: Group, uuid: str | None = None, name: str | None = None) -> list[Provider]:
    """Return the providers that meet a wish."""
    ctx.require(PROVIDERS + "list")
    with ctx.cloud.db.read() as tx:
        _check_names(tx, wish)
        found = store.load(tx)
    return [each for each in matching(found, wish) if (uuid is None or each.uuid == uuid) and (name is None or each.name == name)]


def find_candidates(ctx: Context, wishes: Wishes) -> tuple[list[Candidate], dict[str, Provider]]:
    """Return the ways to meet a request, and the providers of the trees that are named in them."""
    ctx.require("placement:allocation_candidates:list")
    with ctx.cloud.db.read() as tx:
        for group in (*wishes.groups, wishes.root):
            _check_names(tx, group)
        found = store.load(tx)
    chosen = candidates(found, wishes)
    by_uuid = {provider.uuid: provider for provider in found}
    named = {uuid for each in chosen for uuid in each.allocations}
    if wishes.nested:
        roots = {by_uuid[uuid].root_uuid for uuid in named}
        return chosen, {each.uuid: each for each in found if each.root_uuid in roots}
    return chosen, {uuid: by_uuid[uuid] for uuid in named}


def get(ctx: Context, uuid: str, rule: str = "show") -> Provider:
    """Return a provider.

    :raises NotFound: when there is none of that UUID.
    """
    ctx.require(PROVIDERS + rule)
    with ctx.cloud.db.read() as tx:
        return one(tx, uuid)


def one(tx: Connection, uuid: str) -> Provider:
    """Return a provider, within a transaction.

    :raises NotFound: when there is none of that UUID.
    """
    found = store.load(tx, [uuid])
    if not found:
        message = f"No resource provider with uuid {uuid} found"
        raise NotFound(message, extra={"code": "placement.resource_provider.not_found"})
    return found[0]


def create(ctx: Context, name: str, uuid: str, parent_uuid: str | None) -> Provider:
    """Make a provider, at the root or below another.

    :raises BadRequest: when the parent is unknown.
    :raises Conflict: when the name or the UUID is taken.
    """
    ctx.require(PROVIDERS + "create")
    chosen, now = uuid or ids.uuid(), ctx.cloud.clock.now()
    with ctx.cloud.db.begin() as tx:
        parent = _parent(tx, parent_uuid) if parent_uuid else None
        values = {"uuid": chosen, "name": name, "parent_uuid": parent_uuid, "root_uuid": parent.root_uuid if parent else chosen}
        store.insert_provider(tx, {**values, "created_at": now, "updated_at": now})
        return one(tx, chosen)


def update(ctx: Context, uuid: str, name: str, parent_uuid: str | None, may_move: bool) -> Provider:
    """Rename a provider, or put it below another (again, where may_move says so: 1.37).

    :raises BadRequest: when the parent is unknown, below it, or there is one already that may not be changed.
    :raises Conflict: when it is a compute host or the name is taken.
    """
    ctx.require(PROVIDERS + "update")
    with ctx.cloud.db.begin() as tx:
        found = _free(tx, uuid, "changed")
        values: dict[str, str | float | None] = {"name": name, "updated_at": ctx.cloud.clock.now()}
        if parent_uuid != found.parent_uuid and (parent_uuid is not None or may_move):
            if found.parent_uuid is not None and not may_move:
                raise BadRequest("Unable to save resource provider: re-parenting a provider is not currently allowed.")
            below = store.tree_of(tx, uuid)
            if parent_uuid in below:
                raise BadRequest("Unable to save resource provider: creating loop in the provider tree is not allowed.")
            root = _parent(tx, parent_uuid).root_uuid if parent_uuid else uuid
            store.move_tree(tx, below, root)
            values["parent_uuid"] = parent_uuid
        store.update_provider(tx, uuid, **values)
        return one(tx, uuid)


def delete(ctx: Context, uuid: str) -> None:
    """Delete a provider.

    :raises Conflict: when something is taken from it, others are below it, or it is a compute host.
    """
    ctx.require(PROVIDERS + "delete")
    with ctx.cloud.db.begin() as tx:
        _free(tx, uuid, "deleted")
        if len(store.tree_of(tx, uuid)) > 1:
            code = {"code": "placement.resource_provider.cannot_delete_parent"}
            raise Conflict(f"Unable to delete parent resource provider {uuid}: It has child resource providers.", extra=code)
        if allocation_store.in_use(tx, uuid):
            code = {"code": "placement.resource_provider.inuse"}
            raise Conflict(f"Unable to delete resource provider {uuid}: Resource provider has allocations.", extra=code)
        store.delete_provider(tx, uuid)


def set_inventories(ctx: Context, uuid: str, generation: int | None, wanted: Mapping[str, Inventory]) -> Provider:
    """Replace all that a provider has.  Without a generation no change in between is noticed.

    :raises BadRequest: when a resource class is unknown.
    :raises Conflict: when the provider changed meanwhile, or a class that goes away is in use.
    """
    return _change_inventories(ctx, uuid, generation, lambda now: dict(wanted), "update")


def add_inventory(ctx: Context, uuid: str, generation: int | None, name: str, wanted: Inventory) -> Provider:
    """Give a provider a class that it does not have yet.

    :raises Conflict: when it has.
    """

    def added(now: Mapping[str, Inventory]) -> dict[str, Inventory]:
        if name in now:
            raise Conflict(f"Update conflict: Inventory of {name} for resource provider {uuid} already exists.")
        return {**now, name: wanted}

    return _change_inventories(ctx, uuid, generation, added, "create")


def set_inventory(ctx: Context, uuid: str, generation: int | None, name: str, wanted: Inventory) -> Provider:
    """Change how much a provider has of one class.

    :raises BadRequest: when it has none of it.
    """

    def changed(now: Mapping[str, Inventory]) -> dict[str, Inventory]:
        if name not in now:
            raise BadRequest(f"No inventory record with resource class for resource provider {uuid} found: {name}.")
        return {**now, name: wanted}

    return _change_inventories(ctx, uuid, generation, changed, "update")


def delete_inventory(ctx: Context, uuid: str, name: str) -> None:
    """Take a class from a provider.

    :raises NotFound: when it has none of it.
    """

    def without(now: Mapping[str, Inventory]) -> dict[str, Inventory]:
        if name not in now:
            raise NotFound(f"No inventory of class {name} found for delete")
        return {key: value for key, value in now.items() if key != name}

    _change_inventories(ctx, uuid, None, without, "delete")


def delete_inventories(ctx: Context, uuid: str) -> None:
    """Take all classes from a provider."""
    _change_inventories(ctx, uuid, None, lambda now: {}, "delete")


def _change_inventories(ctx: Context, uuid: str, generation: int | None, change: Change, rule: str) -> Provider:
    ctx.require(PROVIDERS + "inventories:" + rule)
    with ctx.cloud.db.begin() as tx:
        found = one(tx, uuid)
        _fresh(found, generation)
        wanted = change(found.inventories)
        unknown = sorted(set(wanted) - set(STANDARD_CLASSES) - store.list_names(tx, "class"))
        if unknown:
            raise BadRequest(
                f"Unknown resource class in inventory for resource provider {uuid}: No such resource class {unknown[0]}."
            )
        gone = set(found.inventories) - set(wanted)
        used = {name for name in gone if found.used.get(name)} | (gone & set(HOST_CLASSES) if found.host else set())
        if used:
            message = f"update conflict: Inventory for '{', '.join(sorted(used))}' on resource provider '{uuid}' in use."
            raise Conflict(message, extra={"code": "placement.inventory.inuse"})
        store.set_inventories(tx, found, wanted)
        store.bump(tx, found, ctx.cloud.clock.now())
        return one(tx, uuid)


def set_traits(ctx: Context, uuid: str, generation: int | None, wanted: Collection[str], rule: str = "update") -> Provider:
    """Replace what a provider can do.

    :raises BadRequest: when a trait is unknown.
    :raises Conflict: when the provider changed meanwhile.
    """
    ctx.require(PROVIDERS + "traits:" + rule)
    with ctx.cloud.db.begin() as tx:
        found = one(tx, uuid)
        _fresh(found, generation)
        customs = store.list_names(tx, "trait")
        if unknown := sorted(each for each in wanted if not trait_names.is_known(each, customs)):
            raise BadRequest(f"No such trait {', '.join(unknown)}")
        store.set_traits(tx, found, wanted)
        store.bump(tx, found, ctx.cloud.clock.now())
        return one(tx, uuid)


def set_aggregates(ctx: Context, uuid: str, generation: int | None, wanted: Collection[str]) -> Provider:
    """Replace the aggregates that a provider is in.

    :raises Conflict: when the provider changed meanwhile.
    """
    ctx.require(PROVIDERS + "aggregates:update")
    with ctx.cloud.db.begin() as tx:
        found = one(tx, uuid)
        _fresh(found, generation)
        store.set_aggregates(tx, found, set(wanted))
        if generation is not None:
            store.bump(tx, found, ctx.cloud.clock.now())
        return one(tx, uuid)


def _fresh(found: Provider, generation: int | None) -> None:
    if generation is not None and generation != found.generation:
        raise Conflict("resource provider generation conflict", extra=STALE)


def _free(tx: Connection, uuid: str, verb: str) -> Provider:
    found = one(tx, uuid)
    if found.host:
        raise Conflict(f"Resource provider {uuid} is the compute host {found.host}; it cannot be {verb} here.")
    return found


def _parent(tx: Connection, uuid: str) -> Provider:
    found = store.load(tx, [uuid])
    if not found:
        raise BadRequest(f"Unable to save resource provider: parent provider UUID {uuid} does not exist.")
    return found[0]


def _check_names(tx: Connection, group: Group) -> None:
    """Refuse unknown traits and classes in a wish."""
    named = frozenset().union(*group.required, group.forbidden) - trait_names.STANDARD
    if named and (unknown := sorted(named - store.list_names(tx, "trait"))):
        raise BadRequest(f"No such trait(s): {', '.join(unknown)}.")
    classes = set(group.resources) - set(STANDARD_CLASSES)
    if classes and (lacking := sorted(classes - store.list_names(tx, "class"))):
        raise BadRequest(f"Invalid resource class in resources parameter: No such resource class {lacking[0]}.")
