"""Use cases of address groups: prefixes that rules of security groups name at once."""

from functools import partial
from typing import Any

from sqlalchemy import Connection

from pileus.kernel.context import Context
from pileus.kernel.errors import Forbidden, NotFound
from pileus.network import addressing
from pileus.network.errors import conflict, invalid, missing
from pileus.network.service import access, plain
from pileus.network.service.access import Attributes
from pileus.network.service.plain import Plain
from pileus.network.store import address_groups as store
from pileus.network.store import rows
from pileus.network.store.address_groups import AddressGroup
from pileus.network.tables.grouping import address_groups
from pileus.network.tasks import sync

ADDRESS_GROUP = Plain(store.ADDRESS_GROUP, store.assemble, store.visible, "address_group")

list_groups = partial(plain.list_all, ADDRESS_GROUP)
show = partial(plain.show, ADDRESS_GROUP)


def create(ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[AddressGroup]:
    """Make address groups, all or none."""

    def prepare(tx: Connection, ctx: Context, project_id: str, attributes: Attributes) -> dict[str, Any]:
        return {name: attributes[name] for name in ("name", "description", "shared")}

    for attributes, _ in many:
        for text in attributes["addresses"]:
            if "/" not in text:
                raise invalid(f"'{text}' isn't a recognized IP subnet cidr")
    prefixes = [_read(attributes.pop("addresses")) for attributes, _ in many]
    made = plain.create(ADDRESS_GROUP, prepare, ctx, many)

    def fill(tx: Connection) -> list[AddressGroup]:
        for group, found in zip(made, prefixes, strict=True):
            store.set_addresses(tx, group.id, found)
        return [plain.read(ADDRESS_GROUP, tx, group.id) or group for group in made]

    return access.transact(ctx.cloud, fill)


def change(ctx: Context, id: str, attributes: Attributes, revision: int | None = None) -> AddressGroup:
    """Change a group's name, description or sharing.  :raises NotFound: when it is another project's."""
    try:
        found: AddressGroup = plain.change(ADDRESS_GROUP, plain.allow, ctx, id, attributes, revision)
    except Forbidden:
        if show(ctx, id).project_id != ctx.project_id:
            raise missing("address_group", id) from None
        raise
    return found


def _read(texts: list[str]) -> list[str]:
    """Read addresses and prefixes into prefixes.  :raises BadRequest: when one is none."""
    found = []
    for text in texts:
        try:
            found.append(str(addressing.network(text)))
        except ValueError:
            raise invalid(f"'{text}' is not a valid IP address or prefix") from None
    return found


def add_addresses(ctx: Context, id: str, texts: list[str]) -> AddressGroup:
    """Add prefixes to a group.  :raises Conflict: when it holds one of them already."""

    def work(tx: Connection, group: AddressGroup, wanted: list[str]) -> list[str]:
        if there := sorted(set(wanted) & set(group.addresses)):
            raise conflict("AddressesAlreadyExist", f"Addresses {', '.join(there)} already exist in the address group {id}.")
        return [*group.addresses, *wanted]

    return _edit(ctx, id, texts, work)


def remove_addresses(ctx: Context, id: str, texts: list[str]) -> AddressGroup:
    """Take prefixes out of a group.  :raises NotFound: when it does not hold one of them."""

    def work(tx: Connection, group: AddressGroup, wanted: list[str]) -> list[str]:
        if absent := sorted(set(wanted) - set(group.addresses)):
            text = f"Addresses {', '.join(absent)} not found in the address group {id}."
            raise NotFound(text, kind="AddressesNotFound")
        return [each for each in group.addresses if each not in wanted]

    return _edit(ctx, id, texts, work)


def _edit(ctx: Context, id: str, texts: list[str], edit: Any) -> AddressGroup:
    wanted = _read(texts)

    def work(tx: Connection) -> AddressGroup:
        group: AddressGroup = plain.find(ADDRESS_GROUP, ctx, tx, id, "update")
        store.set_addresses(tx, id, edit(tx, group, wanted))
        rows.update_row(tx, address_groups, ctx.cloud.clock.now(), id, {})
        for group_id in store.groups_naming(tx, id):
            sync.touch_group(tx, ctx.cloud, group_id)
        found: AddressGroup = plain.find(ADDRESS_GROUP, ctx, tx, id, "get")
        return found

    return access.transact(ctx.cloud, work)


def remove(ctx: Context, id: str, revision: int | None = None) -> None:
    """Remove an address group.  :raises Conflict: when a rule names it."""

    def release(tx: Connection, ctx: Context, group: AddressGroup) -> None:
        if store.groups_naming(tx, id):
            raise conflict("AddressGroupInUse", f"Address group {id} is in use on one or more security group rules.")
        store.set_addresses(tx, id, ())

    plain.remove(ADDRESS_GROUP, release, ctx, id, revision)
