"""Use cases of subnet pools, and how a subnet is cut out of one."""

from typing import Any

import msgspec
from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.network import addressing, prefixes, tables
from pileus.network.errors import conflict, invalid, missing
from pileus.network.service import access, address_scopes
from pileus.network.service.access import Attributes, target_of
from pileus.network.store import networks as networks_store
from pileus.network.store import pools as store
from pileus.network.store import rows, sharing
from pileus.network.store.records import SubnetPool
from pileus.network.store.rows import Wanted

LONGEST = {4: 32, 6: 128}
SHORTEST = {4: 8, 6: 64}
"""The shortest prefix of a subnet where a pool does not say."""


def list_pools(ctx: Context, wanted: Wanted) -> list[SubnetPool]:
    """Return the subnet pools that the caller sees."""
    with ctx.cloud.db.read() as tx:
        visible = access.visible(ctx, "subnetpool", store.visible_pools)
        asked = access.by_sharing(ctx, wanted, visible, sharing.opened("subnetpool", ctx.project_id))
        return _as_seen(ctx, tx, store.list_pools(tx, *asked))


def _as_seen(ctx: Context, tx: Connection, found: list[SubnetPool]) -> list[SubnetPool]:
    """Return pools with `shared` as it is for the caller."""
    opened = sharing.opened_ids(tx, "subnetpool", ctx.project_id, [pool.id for pool in found])
    return [msgspec.structs.replace(pool, shared=True) if pool.id in opened else pool for pool in found]


def show(ctx: Context, id: str) -> SubnetPool:
    """Return one subnet pool.  :raises NotFound: when the caller does not see it."""
    with ctx.cloud.db.read() as tx:
        return _as_seen(ctx, tx, [find(ctx, tx, id, "get")])[0]


def find(ctx: Context, tx: Connection, id: str, action: str) -> SubnetPool:
    """Return a subnet pool, if the caller may do something to it."""
    pool = store.find_pool(tx, id)
    if pool is None:
        raise missing("subnetpool", id)
    access.require(ctx, "subnetpool", action, id, access.target_shared(ctx, tx, "subnetpool", pool.id, pool.project_id))
    return pool


def create(ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[SubnetPool]:
    """Make subnet pools, all or none.

    :raises BadRequest: when their prefixes and lengths do not fit one another.
    :raises Conflict: when they overlap within their address scope.
    """
    owned = [(access.project_for(ctx, attributes), attributes) for attributes, _ in many]
    for (project_id, _), (_, given) in zip(owned, many, strict=True):
        ctx.require("create_subnetpool", target_of(project_id))
        access.guard(ctx, "create_subnetpool", given, target_of(project_id))

    def work(tx: Connection) -> list[SubnetPool]:
        return [_make(tx, ctx, project_id, attributes) for project_id, attributes in owned]

    return access.transact(ctx.cloud, work)


def _make(tx: Connection, ctx: Context, project_id: str, attributes: Attributes) -> SubnetPool:
    access.take(tx, ctx.cloud, project_id, subnetpool=1)
    nets = _read(attributes["prefixes"])
    version = nets[0].version
    shortest = attributes.get("min_prefixlen") or SHORTEST[version]
    longest = attributes.get("max_prefixlen") or LONGEST[version]
    row = {
        "id": ids.uuid(), "project_id": project_id, "name": attributes["name"], "description": attributes["description"],
        "ip_version": version, "prefixes": [str(net) for net in nets], "min_prefixlen": shortest, "max_prefixlen": longest,
        "default_prefixlen": attributes.get("default_prefixlen") or shortest, "default_quota": attributes.get("default_quota"),
        "shared": attributes["shared"], "is_default": attributes["is_default"],
        "address_scope_id": attributes.get("address_scope_id"),
    }  # fmt: skip
    _check_lengths(row)
    _check_default(tx, row)
    _check_scope(tx, ctx, row)
    pool = SubnetPool(**rows.insert_row(tx, tables.subnet_pools, ctx.cloud.clock.now(), row))
    if pool.shared:
        sharing.grant(tx, pool.created_at, "subnetpool", pool.id, project_id, sharing.ALL, sharing.SHARED)
    if named := attributes.get("tags"):
        rows.set_tags(tx, pool.id, named)
    found = store.find_pool(tx, pool.id)
    assert found is not None
    return found


def _read(texts: list[str]) -> list[addressing.Network]:
    """Read the prefixes of a pool, in as few as can be."""
    nets = [addressing.network(text) for text in texts]
    if not nets:
        raise invalid("Empty subnet pool prefix list.", "EmptySubnetPoolPrefixList")
    if len({net.version for net in nets}) > 1:
        raise invalid("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", "PrefixVersionMismatch")
    return prefixes.compact(nets)


def _check_lengths(row: dict[str, Any]) -> None:
    """Check that the lengths of a pool fit one another and its IP version."""
    lengths = {name: row[f"{name}_prefixlen"] for name in ("min", "default", "max")}
    bound = LONGEST[row["ip_version"]]
    for name, length in lengths.items():
        if length > bound:
            text = f"Prefix '{length}' not supported in IPv{row['ip_version']} pool."
            raise invalid(text, {"min": "UnsupportedMinSubnetPoolPrefix"}.get(name, "UnsupportedMaxSubnetPoolPrefix"))
    for one, other in (("min", "max"), ("min", "default"), ("default", "max")):
        if lengths[one] > lengths[other]:
            text = f"Illegal prefix bounds: {one}_prefixlen={lengths[one]}, {other}_prefixlen={lengths[other]}."
            raise invalid(text, "IllegalSubnetPoolPrefixBounds")


def _check_default(tx: Connection, row: dict[str, Any]) -> None:
    other = store.default_pool(tx, row["ip_version"]) if row["is_default"] else None
    if other is not None and other.id != row["id"]:
        raise invalid("A default subnetpool for this IP family has already been set. Only one default may exist per IP family")


def _check_scope(tx: Connection, ctx: Context, row: dict[str, Any]) -> None:
    """Check that a pool may be in its address scope, and that nothing in the scope overlaps."""
    if not row["address_scope_id"]:
        return
    scope = address_scopes.find(ctx, tx, row["address_scope_id"], "get")
    if row["shared"] and not scope.shared:
        text = f"Illegal subnetpool association: subnetpool {row['id']} cannot be associated with address scope {scope.id}."
        raise invalid(text, "IllegalSubnetPoolAssociationToAddressScope")
    if scope.ip_version != row["ip_version"]:
        text = (
            f"Illegal subnetpool association: subnetpool {row['id']} cannot associate with address scope {scope.id} "
            f"because subnetpool ip_version is not {scope.ip_version}."
        )
        raise invalid(text, "IllegalSubnetPoolIpVersionAssociationToAddressScope")
    mine = [addressing.network(text) for text in row["prefixes"]]
    for other in store.pools_of_scope(tx, scope.id):
        if other.id != row["id"] and prefixes.overlapping(mine, [addressing.network(text) for text in other.prefixes]):
            text = "Failed to associate address scope: subnetpools within an address scope must have unique prefixes."
            raise conflict("AddressScopePrefixConflict", text)


def change(ctx: Context, id: str, attributes: Attributes, revision: int | None = None) -> SubnetPool:
    """Change a subnet pool; its prefixes may only become more.

    :raises BadRequest: when something would be taken away from it, or does not fit.
    """

    def work(tx: Connection) -> SubnetPool:
        pool = find(ctx, tx, id, "update")
        access.guard(ctx, "update_subnetpool", attributes, access.target_shared(ctx, tx, "subnetpool", pool.id, pool.project_id))
        access.check_revision(revision, pool.revision_number)
        values = dict(attributes)
        if "prefixes" in values:
            nets, before = _read(values["prefixes"]), [addressing.network(text) for text in pool.prefixes]
            if not all(prefixes.holds(nets, net) for net in before):
                raise invalid(
                    "Illegal update to prefixes: the prefixes that are there must stay.", "IllegalSubnetPoolPrefixUpdate"
                )
            values["prefixes"] = [str(net) for net in nets]
            if pool.address_scope_id and not ctx.is_admin:
                scope = address_scopes.find(ctx, tx, pool.address_scope_id, "get")
                if scope.project_id != ctx.project_id:
                    raise invalid("Illegal update to prefixes: the address scope is another project's", "IllegalSubnetPoolUpdate")
        return _update(tx, ctx, pool, values)

    return access.transact(ctx.cloud, work)


def _update(tx: Connection, ctx: Context, pool: SubnetPool, values: dict[str, Any]) -> SubnetPool:
    fields = {column.name: getattr(pool, column.name) for column in tables.subnet_pools.c}
    row = fields | values
    if _read(row["prefixes"])[0].version != pool.ip_version:
        raise invalid("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", "PrefixVersionMismatch")
    _check_lengths(row)
    _check_default(tx, row)
    if {"address_scope_id", "prefixes"} & values.keys():
        _check_scope(tx, ctx, row)
    rows.update_row(tx, tables.subnet_pools, ctx.cloud.clock.now(), pool.id, values)
    found = store.find_pool(tx, pool.id)
    assert found is not None
    return found


def add_prefixes(ctx: Context, id: str, texts: list[str]) -> list[str]:
    """Add prefixes to a pool; returns all it has then."""

    def work(tx: Connection) -> list[str]:
        pool = _find_for(ctx, tx, id, "add_prefixes")
        nets = _read([*pool.prefixes, *texts])
        return _update(tx, ctx, pool, {"prefixes": [str(net) for net in nets]}).prefixes

    return access.transact(ctx.cloud, work)


def remove_prefixes(ctx: Context, id: str, texts: list[str]) -> list[str]:
    """Take prefixes out of a pool; returns all it has then.

    :raises Conflict: when subnets were cut out of them.
    :raises BadRequest: when the pool has them not.
    """

    def work(tx: Connection) -> list[str]:
        pool = _find_for(ctx, tx, id, "remove_prefixes")
        store.lock(tx, id)
        going, before = _read(texts), [addressing.network(text) for text in pool.prefixes]
        if not all(prefixes.holds(before, net) for net in going):
            raise invalid("Illegal update to prefixes: the pool does not hold them.", "IllegalSubnetPoolPrefixUpdate")
        if prefixes.overlapping([addressing.network(cidr) for _, cidr in store.cidrs_of(tx, id)], going):
            raise conflict("IllegalSubnetPoolPrefixUpdate", "Illegal update to prefixes: subnets were allocated out of them.")
        left = prefixes.without(before, going)
        if not left:
            raise invalid("Empty subnet pool prefix list.", "EmptySubnetPoolPrefixList")
        return _update(tx, ctx, pool, {"prefixes": [str(net) for net in left]}).prefixes

    return access.transact(ctx.cloud, work)


def _find_for(ctx: Context, tx: Connection, id: str, rule: str) -> SubnetPool:
    pool = find(ctx, tx, id, "get")
    ctx.require(rule, access.target_shared(ctx, tx, "subnetpool", pool.id, pool.project_id))
    return pool


def remove(ctx: Context, id: str, revision: int | None = None) -> None:
    """Remove a subnet pool.  :raises Conflict: when subnets are cut out of it."""

    def work(tx: Connection) -> None:
        pool = find(ctx, tx, id, "delete")
        access.check_revision(revision, pool.revision_number)
        store.lock(tx, id)
        if store.cidrs_of(tx, id):
            raise conflict("SubnetPoolDeleteError", "Unable to delete subnet pool: Subnet pool has existing allocations.")
        sharing.forget(tx, id)
        rows.delete_row(tx, tables.subnet_pools, id)

    access.transact(ctx.cloud, work)


def take_out(tx: Connection, ctx: Context, project_id: str, attributes: Attributes) -> SubnetPool | None:
    """Choose or check the prefix of a subnet that is to be of a pool, and put it into its attributes as `cidr`.

    :returns: the pool, or None when the subnet is to be of none.
    :raises BadRequest: when the pool does not allow it.
    :raises Conflict: when there is no room, or the project has its share of the pool already.
    """
    pool = _named(tx, ctx, attributes)
    length = attributes.pop("prefixlen", None)
    if pool is None:
        if length is not None and not attributes.get("cidr"):
            raise invalid("Bad subnets request: a subnetpool must be specified in the absence of a cidr.", "BadRequest")
        return None
    if length is not None and attributes.get("cidr"):
        raise invalid("Bad subnets request: cidr and prefixlen must not be supplied together.", "BadRequest")
    store.lock(tx, pool.id)
    cut = store.cidrs_of(tx, pool.id)
    net = _choose(pool, attributes.get("cidr"), length, [addressing.network(cidr) for _, cidr in cut])
    mine = sum(prefixes.weight(addressing.network(cidr)) for owner, cidr in cut if owner == project_id)
    if pool.default_quota is not None and mine + prefixes.weight(net) > pool.default_quota:
        raise conflict("SubnetPoolQuotaExceeded", "Per-tenant subnet pool prefix quota exceeded.")
    attributes["cidr"], attributes["ip_version"] = str(net), net.version
    return pool


def _named(tx: Connection, ctx: Context, attributes: Attributes) -> SubnetPool | None:
    id, by_default = attributes.pop("subnetpool_id", None), attributes.pop("use_default_subnetpool", False)
    if id and by_default:
        raise invalid("Bad subnets request: subnetpool_id and use_default_subnetpool cannot both be specified.", "BadRequest")
    if by_default:
        found = store.default_pool(tx, attributes["ip_version"])
        if found is None:
            raise invalid(f"Bad subnets request: No default subnetpool found for IPv{attributes['ip_version']}.", "BadRequest")
        return find(ctx, tx, found.id, "get")
    if not id:
        return None
    pool = find(ctx, tx, id, "get")
    if pool.ip_version != attributes["ip_version"]:
        raise invalid(f"Cannot allocate IPv{attributes['ip_version']} subnet from IPv{pool.ip_version} subnet pool", "BadRequest")
    return pool


def _choose(pool: SubnetPool, cidr: str | None, length: int | None, used: list[addressing.Network]) -> addressing.Network:
    wanted = addressing.network(cidr) if cidr else None
    length = wanted.prefixlen if wanted else length or pool.default_prefixlen
    if length < pool.min_prefixlen:
        text = f"Unable to allocate subnet with prefix length {length}, minimum allowed prefix is {pool.min_prefixlen}."
        raise invalid(text, "MinPrefixSubnetAllocationError")
    if length > pool.max_prefixlen:
        text = f"Unable to allocate subnet with prefix length {length}, maximum allowed prefix is {pool.max_prefixlen}."
        raise invalid(text, "MaxPrefixSubnetAllocationError")
    own = [addressing.network(text) for text in pool.prefixes]
    if wanted is None:
        found = prefixes.cut(own, used, length)
        if found is None:
            text = f"Failed to allocate subnet: Insufficient prefix space to allocate subnet size /{length}."
            raise conflict("SubnetAllocationError", text)
        return found
    if not prefixes.holds(own, wanted) or prefixes.overlapping([wanted], used):
        text = "Failed to allocate subnet: Cannot allocate requested subnet from the available set of prefixes."
        raise conflict("SubnetAllocationError", text)
    return wanted


def onboard(ctx: Context, id: str, network_id: str) -> None:
    """Take the subnets of a network that are of no pool, and of the pool's IP version, into it with their prefixes.

    :raises BadRequest: when there are none, or they overlap with a prefix or subnet of the pool.
    """

    def work(tx: Connection) -> None:
        pool = _find_for(ctx, tx, id, "onboard_network_subnets")
        network = access.find_network(ctx, tx, network_id)
        if network.project_id != pool.project_id and not ctx.is_admin:
            raise missing("network", network_id)
        store.lock(tx, id)
        found = [s for s in networks_store.subnets_of(tx, [network_id]) if s.ip_version == pool.ip_version]
        found = [subnet for subnet in found if subnet.subnetpool_id is None]
        if not found:
            return
        nets = [addressing.network(subnet.cidr) for subnet in found]
        before = [addressing.network(text) for text in pool.prefixes]
        if prefixes.overlapping(before, nets):
            text = f"Cannot onboard subnets of network {network_id}: they overlap with what the pool {id} holds."
            raise invalid(text, "IllegalSubnetPoolUpdate")
        _update(tx, ctx, pool, {"prefixes": [str(net) for net in _read([*pool.prefixes, *(str(net) for net in nets)])]})
        for subnet in found:
            rows.update_row(tx, tables.subnets, ctx.cloud.clock.now(), subnet.id, {"subnetpool_id": id})

    access.transact(ctx.cloud, work)
