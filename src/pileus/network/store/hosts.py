"""Questions about hosts: where they are, and what of a network is on others."""

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from pileus.network.store.routers import GATEWAY, INTERFACE
from pileus.network.tables import addresses, groups, networks, port_groups, ports, routers, subnets
from pileus.network.tables.hosts import awaited_ports, hosts


def tunnels(tx: Connection) -> dict[str, str]:
    """Return the end of tunnels of each host that has one."""
    return {row.name: row.tunnel_ip for row in tx.execute(select(hosts.c.name, hosts.c.tunnel_ip))}


def put_tunnel(tx: Connection, name: str, tunnel_ip: str) -> None:
    """Write down a host's end of tunnels."""
    tx.execute(delete(hosts).where(hosts.c.name == name))
    tx.execute(insert(hosts).values(name=name, tunnel_ip=tunnel_ip))


def placed_legs(tx: Connection, network_ids: Collection[str]) -> list[tuple[str, str, str, str]]:
    """Return network, MAC, address and host of each leg in some networks of routers that are on hosts."""
    query = (
        select(ports.c.network_id, ports.c.mac_address, addresses.c.ip_address, routers.c.host_id)
        .join(routers, routers.c.id == ports.c.device_id)
        .join(addresses, addresses.c.port_id == ports.c.id)
        .where(ports.c.network_id.in_(list(network_ids)), ports.c.device_owner.in_([INTERFACE, GATEWAY]))
        .where(routers.c.host_id != "")
    )
    return [(row[0], row[1], row[2], row[3]) for row in tx.execute(query)]


def routers_by_host(tx: Connection) -> Mapping[str, int]:
    """Return how many routers each host has; those that are on none yet stand under "", those taken from theirs nowhere."""
    query = select(routers.c.host_id, func.count()).where(~routers.c.unscheduled).group_by(routers.c.host_id)
    return {row[0]: row[1] for row in tx.execute(query)}


def routers_on(tx: Connection, host: str) -> list[str]:
    """Return the ids of a host's routers ("": of those that are on none yet)."""
    return list(tx.execute(select(routers.c.id).where(routers.c.host_id == host, ~routers.c.unscheduled)).scalars())


def move_router(tx: Connection, id: str, source: str, target: str) -> bool:
    """Have a router on another host; tells whether it still was where it was."""
    here = (routers.c.id == id) & (routers.c.host_id == source)
    return tx.execute(update(routers).where(here).values(host_id=target)).rowcount == 1


def networks_of(tx: Connection, router_id: str) -> list[str]:
    """Return the networks that a router has legs in."""
    legs = ports.c.device_owner.in_([INTERFACE, GATEWAY])
    query = select(ports.c.network_id).distinct().where(ports.c.device_id == router_id, legs)
    return list(tx.execute(query).scalars())


def hosts_of(tx: Connection, network_ids: Collection[str]) -> set[str]:
    """Return the hosts that have something of networks: ports, those that are about to come, and routers."""
    inside = ports.c.network_id.in_(list(network_ids))
    routing = ports.c.device_owner.in_([INTERFACE, GATEWAY])
    every = (
        select(ports.c.host_id).where(inside),
        select(awaited_ports.c.host_id).join(ports, ports.c.id == awaited_ports.c.port_id).where(inside),
        select(routers.c.host_id).join(ports, ports.c.device_id == routers.c.id).where(inside, routing),
    )
    return {name for query in every for name in tx.execute(query.distinct()).scalars()} - {""}


def on_host(host: str) -> ColumnElement[bool]:
    """Return the condition that a host has a port: it is there, or about to come."""
    coming = select(awaited_ports.c.port_id).where(awaited_ports.c.host_id == host)
    return (ports.c.host_id == host) | ports.c.id.in_(coming)


def with_ports(tx: Connection, condition: ColumnElement[bool]) -> set[str]:
    """Return the hosts that have ports for which a condition holds, or where such are about to come."""
    bound = select(ports.c.host_id).where(condition, ports.c.host_id != "").distinct()
    coming = select(awaited_ports.c.host_id).join(ports, ports.c.id == awaited_ports.c.port_id).where(condition).distinct()
    return {*tx.execute(bound).scalars(), *tx.execute(coming).scalars()}


def stamp(tx: Connection, network_id: str, group_ids: Collection[str]) -> tuple[object, ...]:
    """Return what becomes another whenever something changes that hosts are told of a network and of groups."""
    p, legs = ports.c, ports.c.device_owner.in_([INTERFACE, GATEWAY])
    within = port_groups.c.group_id.in_(list(group_ids))
    members = select(port_groups.c.port_id).where(within)
    coming = select(awaited_ports.c.port_id).join(ports, p.id == awaited_ports.c.port_id).where(p.network_id == network_id)
    of_groups, of_network = groups.c.id.in_(list(group_ids)), subnets.c.network_id == network_id
    counted = select(
        select(func.count()).where(p.network_id == network_id).scalar_subquery(),
        select(func.sum(p.revision_number)).where((p.network_id == network_id) | p.id.in_(members)).scalar_subquery(),
        select(func.count()).where(within).scalar_subquery(),
        select(func.count()).select_from(coming.subquery()).scalar_subquery(),
        select(func.sum(groups.c.revision_number)).where(of_groups).scalar_subquery(),
        select(func.count()).where(of_network).scalar_subquery(),
        select(func.sum(subnets.c.revision_number)).where(of_network).scalar_subquery(),
        select(networks.c.revision_number).where(networks.c.id == network_id).scalar_subquery(),
    )
    routing = select(routers.c.id, routers.c.host_id).join(ports, p.device_id == routers.c.id)
    routing = routing.where(p.network_id == network_id, legs).order_by(routers.c.id)
    return tuple(map(tuple, [*tx.execute(counted), *tx.execute(routing)]))


def networks_reaching(tx: Connection, host: str) -> set[str]:
    """Return the networks whose other hosts need to know where a host is: it has ports of them, or a router into them."""
    here = select(routers.c.id).where(routers.c.host_id == host)
    leg = ports.c.device_owner.in_([INTERFACE, GATEWAY]) & ports.c.device_id.in_(here)
    return set(tx.execute(select(ports.c.network_id).distinct().where(on_host(host) | leg)).scalars())


def awaited_at(tx: Connection, port_id: str) -> str:
    """Return the host where a port is about to come; "": it stays where it is."""
    return tx.execute(select(awaited_ports.c.host_id).where(awaited_ports.c.port_id == port_id)).scalar() or ""


def put_awaited(tx: Connection, port_id: str, host: str) -> None:
    """Write down where a port is about to come; "": it stays where it is."""
    tx.execute(delete(awaited_ports).where(awaited_ports.c.port_id == port_id))
    if host:
        tx.execute(insert(awaited_ports).values(port_id=port_id, host_id=host))
