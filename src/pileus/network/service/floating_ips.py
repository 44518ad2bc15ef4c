"""Use cases of floating IPs."""

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.network import addressing, tables
from pileus.network.errors import conflict, invalid, missing
from pileus.network.service import access, allocation, qos
from pileus.network.service import ports as ports_service
from pileus.network.service.access import Attributes, target_of
from pileus.network.store import forwardings, rows
from pileus.network.store import networks as networks_store
from pileus.network.store import ports as ports_store
from pileus.network.store import routers as store
from pileus.network.store.forwardings import Forwarding
from pileus.network.store.records import FloatingIp, Port
from pileus.network.store.rows import Wanted
from pileus.network.tasks import sync

NOWHERE: dict[str, Any] = {"port_id": None, "fixed_ip_address": None, "router_id": None, "status": "DOWN"}


@dataclass(frozen=True)
class Shown:
    """A floating IP with what it shows of the port it leads to."""

    fip: FloatingIp
    port_details: dict[str, Any] | None
    forwardings: tuple[Forwarding, ...] = ()


def list_floating_ips(ctx: Context, wanted: Wanted) -> list[Shown]:
    """Return the floating IPs that the caller sees."""
    with ctx.cloud.db.read() as tx:
        found = store.list_floating_ips(tx, access.visible(ctx, "floatingip", access.own(tables.floating_ips)), wanted)
        details = store.port_details(tx, {fip.port_id for fip in found if fip.port_id})
        forwarded = forwardings.by_floating_ip(tx, [fip.id for fip in found])
    return [Shown(fip, details.get(fip.port_id or ""), forwarded.get(fip.id, ())) for fip in found]


def show(ctx: Context, id: str) -> Shown:
    """Return one floating IP.  :raises NotFound: when the caller does not see it."""
    with ctx.cloud.db.read() as tx:
        return _shown(tx, find(ctx, tx, id, "get"))


def _shown(tx: Connection, fip: FloatingIp) -> Shown:
    details = store.port_details(tx, [fip.port_id]).get(fip.port_id) if fip.port_id else None
    return Shown(fip, details, forwardings.by_floating_ip(tx, [fip.id]).get(fip.id, ()))


def find(ctx: Context, tx: Connection, id: str, action: str) -> FloatingIp:
    """Return a floating IP, if the caller may do something to it."""
    fip = store.find_floating_ip(tx, id)
    if fip is None:
        raise missing("floatingip", id)
    access.require(ctx, "floatingip", action, id, target_of(fip.project_id))
    return fip


def create(ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[Shown]:
    """Take addresses of an external network for a project, and let them lead to a port where one is named."""
    owned = [(access.project_for(ctx, attributes), attributes, given) for attributes, given in many]
    for project_id, _, given in owned:
        ctx.require("create_floatingip", target_of(project_id))
        access.guard(ctx, "create_floatingip", given, target_of(project_id))

    def work(tx: Connection) -> list[Shown]:
        return [_make(tx, ctx, project_id, attributes) for project_id, attributes, _ in owned]

    return access.transact(ctx.cloud, work)


def _make(tx: Connection, ctx: Context, project_id: str, attributes: Attributes) -> Shown:
    network = access.find_network(ctx, tx, attributes["floating_network_id"])
    if not network.external:
        text = f"Bad floatingip request: Network {network.id} is not a valid external network."
        raise invalid(text, "BadRequest")
    access.take(tx, ctx.cloud, project_id, floatingip=1)
    qos.check_use(tx, ctx, attributes["qos_policy_id"])
    subnets = [s for s in networks_store.subnets_of(tx, [network.id]) if s.ip_version == 4]
    wanted: dict[str, str] = {}
    if ip := attributes["floating_ip_address"]:
        wanted["ip_address"] = ip
    if subnet_id := attributes["subnet_id"]:
        wanted["subnet_id"] = subnet_id
    id = ids.uuid()
    port = allocation.service_port(tx, ctx.cloud, network, subnets, store.FLOATING, id, [wanted] if wanted else None)
    address = next(f.ip_address for f in port.fixed_ips)
    row = {
        "id": id, "project_id": project_id, "description": attributes["description"], "floating_network_id": network.id,
        "floating_ip_address": address, "floating_port_id": port.id, **NOWHERE, "dns_name": attributes["dns_name"],
        "dns_domain": attributes["dns_domain"], "qos_policy_id": attributes["qos_policy_id"],
    }  # fmt: skip
    fip = FloatingIp(**rows.insert_row(tx, tables.floating_ips, ctx.cloud.clock.now(), row))
    if named := attributes.get("tags"):
        rows.set_tags(tx, id, named)
        fip = msgspec.structs.replace(fip, tags=tuple(sorted(set(named))))
    if attributes["port_id"]:
        _lead_to(tx, ctx, fip, attributes["port_id"], attributes["fixed_ip_address"])
        fip = find(ctx, tx, id, "get")
    elif attributes["fixed_ip_address"]:
        raise invalid("Bad floatingip request: fixed_ip_address cannot be specified without a port_id.", "BadRequest")
    return _shown(tx, fip)


def _lead_to(tx: Connection, ctx: Context, fip: FloatingIp, port_id: str, wanted: str | None) -> None:
    """Let a floating IP lead to an address of a port.

    :raises Conflict: when that address has a floating IP of the same network.
    :raises NotFound: when no router leads from there to the floating IP's network.
    """
    if forwardings.by_floating_ip(tx, [fip.id]):
        text = f"Floating IP {fip.id} has forwarded ports: it cannot lead to a port as a whole."
        raise conflict("FloatingIPInUseByPortForwarding", text)
    port, _ = ports_service.find(ctx, tx, port_id, "get")
    if port.project_id != fip.project_id and not ctx.is_admin:
        text = (
            f"Bad floatingip request: Port {port_id} is associated with a different tenant "
            f"than Floating IP {fip.id} and therefore cannot be bound."
        )
        raise invalid(text, "BadRequest")
    fixed = _fixed_of(port, wanted)
    same = store.floating_where(
        tx, tables.floating_ips.c.port_id == port_id, tables.floating_ips.c.fixed_ip_address == fixed[1],
        tables.floating_ips.c.floating_network_id == fip.floating_network_id,
    )  # fmt: skip
    if any(other.id != fip.id for other in same):
        text = (
            f"Cannot associate floating IP {fip.floating_ip_address} ({fip.id}) with port {port_id} using fixed IP {fixed[1]}, "
            f"as that fixed IP already has a floating IP on external network {fip.floating_network_id}."
        )
        raise conflict("FloatingIPPortAlreadyAssociated", text)
    router_id = store.router_for(tx, fixed[0], fip.floating_network_id)
    if router_id is None:
        text = (
            f"External network {fip.floating_network_id} is not reachable from subnet {fixed[0]}. "
            f"Therefore, cannot associate Port {port_id} with a Floating IP."
        )
        fault = missing("port", port_id)
        fault.kind, fault.message = "ExternalGatewayForFloatingIPNotFound", text
        raise fault
    values = {"port_id": port_id, "fixed_ip_address": fixed[1], "router_id": router_id, "status": "DOWN"}
    _write(tx, ctx.cloud, fip, values, port)


def _fixed_of(port: Port, wanted: str | None) -> tuple[str, str]:
    """Return the subnet and the IPv4 address of a port that a floating IP leads to."""
    fixed = [(f.subnet_id, f.ip_address) for f in port.fixed_ips if addressing.address(f.ip_address).version == 4]
    if wanted is not None:
        found = next((f for f in fixed if f[1] == str(addressing.address(wanted))), None)
        if found is None:
            raise invalid(f"Bad floatingip request: Port {port.id} does not have fixed ip {wanted}.", "BadRequest")
        return found
    if not fixed:
        raise invalid(
            f"Bad floatingip request: Cannot add floating IP to port {port.id} that has no fixed IPv4 addresses.", "BadRequest"
        )
    if len(fixed) > 1:
        text = (
            f"Bad floatingip request: Port {port.id} has multiple fixed IPv4 addresses. "
            f"Must provide a specific IPv4 address when assigning a floating IP."
        )
        raise invalid(text, "BadRequest")
    return fixed[0]


def _write(tx: Connection, cloud: Cloud, fip: FloatingIp, values: dict[str, Any], port: Port | None) -> None:
    """Write where a floating IP leads, have the routers concerned follow, and tell compute."""
    rows.update_row(tx, tables.floating_ips, cloud.clock.now(), fip.id, values)
    for router_id in {fip.router_id, values.get("router_id")} - {None}:
        sync.touch(tx, cloud, "router", str(router_id))
    for port_id in {fip.port_id, values.get("port_id")} - {None}:
        facts = {"id": fip.id, "port_id": port_id, "device_id": port.device_id if port and port.id == port_id else ""}
        cloud.events.publish(tx, cloud, "network.floatingip.changed", facts)


def change(ctx: Context, id: str, attributes: Attributes, revision: int | None = None) -> Shown:
    """Let a floating IP lead to another port, or nowhere; or describe it anew."""

    def work(tx: Connection) -> Shown:
        fip = find(ctx, tx, id, "update")
        access.check_revision(revision, fip.revision_number)
        plain = {name: value for name, value in attributes.items() if name in ("description", "qos_policy_id")}
        qos.check_use(tx, ctx, plain.get("qos_policy_id"))
        if plain:
            rows.update_row(tx, tables.floating_ips, ctx.cloud.clock.now(), id, plain)
            sync.touch_floating(tx, ctx.cloud, id)
        if attributes.get("port_id"):
            _lead_to(tx, ctx, fip, attributes["port_id"], attributes.get("fixed_ip_address"))
        elif attributes.get("fixed_ip_address") and fip.port_id:
            _lead_to(tx, ctx, fip, fip.port_id, attributes["fixed_ip_address"])
        elif (not plain or "port_id" in attributes) and not forwardings.by_floating_ip(tx, [id]):
            _write(tx, ctx.cloud, fip, NOWHERE, None)  # an update that names no port takes it away, as neutron does
        return _shown(tx, find(ctx, tx, id, "get"))

    return access.transact(ctx.cloud, work)


def remove(ctx: Context, id: str, revision: int | None = None) -> None:
    """Give a floating IP back."""

    def work(tx: Connection) -> None:
        fip = find(ctx, tx, id, "delete")
        access.check_revision(revision, fip.revision_number)
        if forwardings.by_floating_ip(tx, [id]):
            text = f"Floating IP {id} has forwarded ports: remove these first."
            raise conflict("FloatingIPInUseByPortForwarding", text)
        if fip.router_id:
            _write(tx, ctx.cloud, fip, NOWHERE, None)
        rows.delete_row(tx, tables.floating_ips, id)
        ports_store.delete_port(tx, fip.floating_port_id)

    access.transact(ctx.cloud, work)
