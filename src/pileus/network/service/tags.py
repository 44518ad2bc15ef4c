"""Use cases of tags, the same on every resource that has them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sqlalchemy import Connection, Table

from pileus.kernel.context import Context
from pileus.kernel.errors import NotFound
from pileus.network import tables
from pileus.network.errors import bad_attribute
from pileus.network.service import (
    access,
    address_groups,
    floating_ips,
    groups,
    networks,
    plain,
    ports,
    qos,
    routers,
    subnet_pools,
    subnets,
    trunks,
)  # fmt: skip
from pileus.network.store import rows
from pileus.network.tables.grouping import address_groups as address_groups_table
from pileus.network.tables.qos import qos_policies
from pileus.network.tables.trunks import trunks as trunks_table

TAG_MAX, TAGS_MAX = 255, 50

Show = Callable[[Context, str], object]

KINDS: Mapping[str, tuple[str, Table, Show]] = {
    "networks": ("network", tables.networks, networks.show),
    "subnets": ("subnet", tables.subnets, subnets.show),
    "subnetpools": ("subnetpool", tables.subnet_pools, subnet_pools.show),
    "ports": ("port", tables.ports, ports.show),
    "routers": ("router", tables.routers, routers.show),
    "floatingips": ("floatingip", tables.floating_ips, floating_ips.show),
    "policies": ("policy", qos_policies, partial(plain.show, qos.POLICY)),
    "trunks": ("trunk", trunks_table, trunks.show),
    "address-groups": ("address_group", address_groups_table, address_groups.show),
    "security-groups": ("security_group", tables.groups, groups.show),
}


def _names(ctx: Context, plural: str, id: str) -> tuple[str, ...]:
    if plural not in KINDS:
        raise NotFound("The resource could not be found.")
    KINDS[plural][2](ctx, id)
    with ctx.cloud.db.read() as tx:
        return rows.tags_of(tx, [id]).get(id, ())


def list_tags(ctx: Context, plural: str, id: str) -> tuple[str, ...]:
    """Return the tags of a thing.  :raises NotFound: when the caller does not see it."""
    return _names(ctx, plural, id)


def require_tag(ctx: Context, plural: str, id: str, tag: str) -> None:
    """Check that a thing has a tag.  :raises NotFound: when it has not."""
    if tag not in _names(ctx, plural, id):
        raise NotFound(f"Tag {tag} could not be found.", kind="TagNotFound")


def replace(ctx: Context, plural: str, id: str, names: Sequence[str]) -> tuple[str, ...]:
    """Give a thing exactly these tags."""
    return _change(ctx, plural, id, names, lambda _: names)


def add(ctx: Context, plural: str, id: str, names: Sequence[str]) -> tuple[str, ...]:
    """Add tags to a thing."""
    return _change(ctx, plural, id, names, lambda had: [*had, *names])


def remove(ctx: Context, plural: str, id: str, tag: str) -> None:
    """Take a tag away.  :raises NotFound: when the thing has it not."""
    require_tag(ctx, plural, id, tag)
    _change(ctx, plural, id, (), lambda had: [name for name in had if name != tag])


def _change(
    ctx: Context, plural: str, id: str, new: Sequence[str], change: Callable[[Sequence[str]], Sequence[str]]
) -> tuple[str, ...]:
    """Change a thing's tags, from those it has in the very transaction; returns those it has then."""
    _names(ctx, plural, id)
    for name in new:
        if not 1 <= len(name) <= TAG_MAX or "," in name or "/" in name:
            raise bad_attribute("tags", f"'{name}' is not a valid tag")
    noun, table, _ = KINDS[plural]

    def work(tx: Connection) -> tuple[str, ...]:
        access.require(ctx, noun, "update", id, access.target_of(rows.owner_of(tx, table, id)))
        names = sorted(set(change(rows.tags_of(tx, [id]).get(id, ()))))
        if len(names) > TAGS_MAX:
            raise bad_attribute("tags", f"no more than {TAGS_MAX} tags are taken")
        rows.set_tags(tx, id, names)
        rows.update_row(tx, table, ctx.cloud.clock.now(), id, {})
        return tuple(names)

    return access.transact(ctx.cloud, work)
