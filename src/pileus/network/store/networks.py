"""Networks and subnets as records."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, func, insert, or_, select, update

from pileus.network.store import hosts, rows, sharing
from pileus.network.store.records import Network, Subnet, record
from pileus.network.store.rows import Clause, Kind, Wanted
from pileus.network.tables import networks, ports, routers, segments, subnet_pools, subnets
from pileus.network.tables.agents import dhcp_exclusions

NETWORK = Kind(
    "network", networks,
    {
        "router:external": "external", "provider:network_type": "network_type",
        "provider:physical_network": "physical_network", "provider:segmentation_id": "segmentation_id",
    },
    {
        "status": lambda values: networks.c.id.is_not(None) if "ACTIVE" in values else networks.c.id.is_(None),
        "subnets": lambda values: exists().where(subnets.c.network_id == networks.c.id, subnets.c.id.in_(values)),
    },
)  # fmt: skip


def _in_external(values: list[str]) -> Clause:
    outer = exists().where(networks.c.id == subnets.c.network_id, networks.c.external.is_(True))
    wanted = {rows.read_value(networks.c.external, "router:external", value) for value in values}
    return or_(*(outer if external else ~outer for external in wanted))


SUBNET = Kind("subnet", subnets, filters={"router:external": _in_external})

FIRST_SEGMENT, LAST_SEGMENT = 1, 2**24 - 1


def visible_networks(project_id: str) -> Clause:
    """The networks that a project sees."""
    shared, outside = (sharing.opened("network", project_id, action) for action in (sharing.SHARED, sharing.EXTERNAL))
    return (networks.c.project_id == project_id) | shared | outside


def visible_subnets(project_id: str) -> Clause:
    """The subnets that a project sees: its own, those of its networks and of shared and external ones."""
    reachable = select(networks.c.id).where(visible_networks(project_id))
    return (subnets.c.project_id == project_id) | subnets.c.network_id.in_(reachable)


def in_opened(project_id: str) -> Clause:
    """Return the condition that a subnet is of a network that is open to a project."""
    return subnets.c.network_id.in_(select(networks.c.id).where(sharing.opened("network", project_id)))


def list_networks(tx: Connection, visible: Clause | None, wanted: Wanted) -> list[Network]:
    """Return networks with their subnets and tags."""
    return _networks(tx, rows.list_rows(tx, NETWORK, visible, wanted))


def find_network(tx: Connection, id: str) -> Network | None:
    """Return one network."""
    row = rows.find_row(tx, NETWORK, id)
    return _networks(tx, [row])[0] if row else None


def _networks(tx: Connection, found: Sequence[Row[Any]]) -> list[Network]:
    inside: dict[str, list[tuple[str, int]]] = defaultdict(list)
    scopes: dict[str, dict[int, str]] = defaultdict(dict)
    ids = [row.id for row in found]
    for chunk in rows.chunks(ids):
        query = select(subnets.c.network_id, subnets.c.id, subnets.c.ip_version, subnet_pools.c.address_scope_id)
        query = query.outerjoin(subnet_pools, subnet_pools.c.id == subnets.c.subnetpool_id).where(subnets.c.network_id.in_(chunk))
        for network_id, id, version, scope_id in tx.execute(query.order_by(subnets.c.created_at, subnets.c.id)):
            inside[network_id].append((id, version))
            if scope_id:
                scopes[network_id][version] = scope_id
    named, open_to = rows.tags_of(tx, ids), sharing.grants_of(tx, ids)
    return [
        record(
            Network, row, subnets=tuple(inside.get(row.id, ())), tags=named.get(row.id, ()),
            scopes=tuple(scopes[row.id].items()) if row.id in scopes else (), grants=open_to.get(row.id, ()),
        )
        for row in found
    ]  # fmt: skip


def list_subnets(tx: Connection, visible: Clause | None, wanted: Wanted) -> list[Subnet]:
    """Return subnets with their tags."""
    return _subnets(tx, rows.list_rows(tx, SUBNET, visible, wanted))


def find_subnet(tx: Connection, id: str) -> Subnet | None:
    """Return one subnet."""
    row = rows.find_row(tx, SUBNET, id)
    return _subnets(tx, [row])[0] if row else None


def subnets_of(tx: Connection, network_ids: Iterable[str]) -> list[Subnet]:
    """Return the subnets of networks, oldest first, without tags."""
    query = select(*subnets.c).where(subnets.c.network_id.in_(list(network_ids))).order_by(subnets.c.created_at, subnets.c.id)
    return [record(Subnet, row) for row in tx.execute(query)]


def subnets_by_id(tx: Connection, ids: Iterable[str]) -> dict[str, Subnet]:
    """Return subnets by id, without tags."""
    query = select(*subnets.c).where(subnets.c.id.in_(list(ids)))
    return {row.id: record(Subnet, row) for row in tx.execute(query)}


def _subnets(tx: Connection, found: Sequence[Row[Any]]) -> list[Subnet]:
    named = rows.tags_of(tx, [row.id for row in found])
    outer = _external_among(tx, {row.network_id for row in found})
    return [record(Subnet, row, tags=named.get(row.id, ()), external=row.network_id in outer) for row in found]


def _external_among(tx: Connection, network_ids: Iterable[str]) -> set[str]:
    query = select(networks.c.id).where(networks.c.external.is_(True))
    return {id for chunk in rows.chunks(network_ids) for id in tx.execute(query.where(networks.c.id.in_(chunk))).scalars()}


def next_segment(tx: Connection) -> int:
    """Return a tunnel number that no network has."""
    last = tx.execute(select(func.max(segments.c.segmentation_id))).scalar()
    if last is None or last < LAST_SEGMENT:
        return (last or FIRST_SEGMENT - 1) + 1
    taken = set(tx.execute(select(segments.c.segmentation_id)).scalars())
    return next(number for number in range(FIRST_SEGMENT, LAST_SEGMENT + 1) if number not in taken)


def take_segment(tx: Connection, number: int, network_id: str) -> None:
    """Note that a network has a tunnel number."""
    tx.execute(insert(segments).values(segmentation_id=number, network_id=network_id))


def delete_network(tx: Connection, id: str) -> None:
    """Remove a network with its subnets and its number; its ports must be gone."""
    for subnet_id in tx.execute(select(subnets.c.id).where(subnets.c.network_id == id)).scalars().all():
        rows.delete_row(tx, subnets, subnet_id)
    tx.execute(delete(segments).where(segments.c.network_id == id))
    tx.execute(delete(dhcp_exclusions).where(dhcp_exclusions.c.network_id == id))
    sharing.forget(tx, id)
    rows.delete_row(tx, networks, id)


def is_real(tx: Connection, network_id: str) -> bool:
    """Tell whether a network is made on some host: a bound port or a router's leg is in it."""
    query = select(ports.c.id).where(
        ports.c.network_id == network_id, (ports.c.host_id != "") | ports.c.device_owner.like("network:router%")
    )
    return tx.execute(query.limit(1)).first() is not None


def names(tx: Connection, ids: Collection[str]) -> dict[str, str]:
    """Return the names of networks by id."""
    n = networks.c
    return {row.id: row.name for row in tx.execute(select(n.id, n.name).where(n.id.in_(ids)))} if ids else {}


def clear_default(tx: Connection, but: str = "") -> None:
    """Let no external network be the default one, but one."""
    tx.execute(update(networks).where(networks.c.is_default.is_(True), networks.c.id != but).values(is_default=False))


def needed_on(tx: Connection, host: str, legs: Collection[str], ids: Collection[str] | None) -> list[Network]:
    """Return the networks that a host needs: a port of them is bound to it, or a router of it has a leg in them.

    :param legs: the device owners of legs.
    :param ids: those that matter, or None for all.
    """
    here = select(routers.c.id).where(routers.c.host_id == host)
    leg = ports.c.device_owner.in_(legs) & ports.c.device_id.in_(here)
    wanted = select(ports.c.network_id).distinct().where(hosts.on_host(host) | leg)
    if ids is not None:
        wanted = wanted.where(ports.c.network_id.in_(list(ids)))
    return [record(Network, row) for row in tx.execute(select(*networks.c).where(networks.c.id.in_(wanted)))]
