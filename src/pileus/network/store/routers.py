"""Routers and floating IPs as records."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, exists, select, update

from pileus.network.store import ports as ports_store
from pileus.network.store import rows
from pileus.network.store.records import FloatingIp, Port, Router, record
from pileus.network.store.rows import Clause, Kind, Wanted
from pileus.network.tables import addresses, floating_ips, networks, ports, routers

INTERFACE, GATEWAY, FLOATING, DHCP = (
    "network:router_interface", "network:router_gateway", "network:floatingip", "network:dhcp",
)  # fmt: skip


def _gateway_network(values: list[str]) -> Clause:
    leg = (ports.c.device_id == routers.c.id, ports.c.device_owner == GATEWAY)
    return exists().where(*leg, ports.c.network_id.in_(values))


ROUTER = Kind("router", routers, {}, {"external_gateway_info": _gateway_network})
FLOATINGIP = Kind("floatingip", floating_ips)


def list_routers(tx: Connection, visible: Clause | None, wanted: Wanted) -> list[Router]:
    """Return routers with their gateways and tags."""
    return _routers(tx, rows.list_rows(tx, ROUTER, visible, wanted))


def find_router(tx: Connection, id: str) -> Router | None:
    """Return one router."""
    row = rows.find_row(tx, ROUTER, id)
    return _routers(tx, [row])[0] if row else None


def routers_where(tx: Connection, *conditions: Clause) -> list[Router]:
    """Return the routers for which conditions hold."""
    return _routers(tx, tx.execute(select(*routers.c).where(*conditions).order_by(routers.c.id)).all())


def _routers(tx: Connection, found: Sequence[Row[Any]]) -> list[Router]:
    ids = [row.id for row in found]
    gateways: dict[str, Port] = {}
    for chunk in rows.chunks(ids):
        legs = ports_store.ports_where(tx, ports.c.device_id.in_(chunk), ports.c.device_owner == GATEWAY)
        gateways |= {port.device_id: port for port in legs}
    named = rows.tags_of(tx, ids)
    return [record(Router, row, gateway=gateways.get(row.id), tags=named.get(row.id, ())) for row in found]


def legs_of(tx: Connection, router_ids: Collection[str]) -> list[Port]:
    """Return the interfaces and gateways of routers."""
    owners = ports.c.device_owner.in_([INTERFACE, GATEWAY])
    return ports_store.ports_where(tx, ports.c.device_id.in_(list(router_ids)), owners) if router_ids else []


def interfaces_of(tx: Connection, router_id: str) -> list[Port]:
    """Return a router's interfaces."""
    return ports_store.ports_where(tx, ports.c.device_id == router_id, ports.c.device_owner == INTERFACE)


def router_for(tx: Connection, subnet_id: str, external_network_id: str) -> str | None:
    """Return the router that leads from a subnet to an external network."""
    inner, outer = ports.alias(), ports.alias()
    query = (
        select(inner.c.device_id)
        .join(addresses, addresses.c.port_id == inner.c.id)
        .join(outer, outer.c.device_id == inner.c.device_id)
        .where(
            addresses.c.subnet_id == subnet_id, inner.c.device_owner == INTERFACE,
            outer.c.device_owner == GATEWAY, outer.c.network_id == external_network_id,
        )
        .order_by(inner.c.device_id)
    )  # fmt: skip
    found: str | None = tx.execute(query).scalars().first()
    return found


def list_floating_ips(tx: Connection, visible: Clause | None, wanted: Wanted) -> list[FloatingIp]:
    """Return floating IPs with their tags."""
    found = rows.list_rows(tx, FLOATINGIP, visible, wanted)
    named = rows.tags_of(tx, [row.id for row in found])
    return [record(FloatingIp, row, tags=named.get(row.id, ())) for row in found]


def find_floating_ip(tx: Connection, id: str) -> FloatingIp | None:
    """Return one floating IP."""
    row = rows.find_row(tx, FLOATINGIP, id)
    return record(FloatingIp, row, tags=rows.tags_of(tx, [id]).get(id, ())) if row else None


def floating_where(tx: Connection, *conditions: Clause) -> list[FloatingIp]:
    """Return the floating IPs for which conditions hold, without tags."""
    query = select(*floating_ips.c).where(*conditions).order_by(floating_ips.c.created_at, floating_ips.c.id)
    return [record(FloatingIp, row) for row in tx.execute(query)]


def waiting_floating(tx: Connection, router_ids: Collection[str]) -> list[FloatingIp]:
    """Return the floating IPs that are not noted as ACTIVE of those of some routers that are on a host."""
    placed = select(routers.c.id).where(routers.c.id.in_(list(router_ids)), routers.c.host_id != "")
    return floating_where(tx, floating_ips.c.router_id.in_(placed), floating_ips.c.status != "ACTIVE")


def port_details(tx: Connection, port_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return what a floating IP shows of its ports, by id."""
    found: dict[str, dict[str, Any]] = {}
    p = ports.c
    columns = (p.id, p.name, p.network_id, p.mac_address, p.admin_state_up, p.status, p.device_id, p.device_owner)
    for chunk in rows.chunks(port_ids):
        for row in tx.execute(select(*columns).where(p.id.in_(chunk))):
            found[row.id] = {name: value for name, value in row._mapping.items() if name != "id"}
    return found


def set_floating_status(tx: Connection, ids: Collection[str], status: str) -> None:
    """Note the status of floating IPs."""
    if ids:
        query = update(floating_ips).where(floating_ips.c.id.in_(list(ids)), floating_ips.c.status != status)
        tx.execute(query.values(status=status))


def external_default(tx: Connection) -> str | None:
    """Return the external network that is the default one."""
    query = select(networks.c.id).where(networks.c.external.is_(True), networks.c.is_default.is_(True))
    return tx.execute(query.order_by(networks.c.created_at)).scalars().first()


def into_subnets(subnet_ids: Collection[str]) -> Clause:
    """Return the condition that a floating IP leads to a port with an address in one of some subnets."""
    within = select(addresses.c.port_id).where(addresses.c.subnet_id.in_(subnet_ids))
    return floating_ips.c.port_id.in_(within)


def disconnect(tx: Connection, floating_ip_id: str) -> None:
    """Let a floating IP lead nowhere."""
    f = floating_ips.c
    gone = {"port_id": None, "fixed_ip_address": None, "router_id": None, "status": "DOWN"}
    tx.execute(update(floating_ips).where(f.id == floating_ip_id).values(**gone, revision_number=f.revision_number + 1))
