"""The legs of routers in the networks of projects: added by subnet or by port."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from pileus.kernel.context import Context
from pileus.network import addressing, tables
from pileus.network.errors import conflict, invalid, missing
from pileus.network.service import access, allocation, routers
from pileus.network.service import ports as ports_service
from pileus.network.service.access import target_in, target_of
from pileus.network.store import forwardings, rows
from pileus.network.store import networks as networks_store
from pileus.network.store import ports as ports_store
from pileus.network.store import routers as store
from pileus.network.store.records import Fixed, Port, Router, Subnet
from pileus.network.tasks import sync


@dataclass(frozen=True)
class Interface:
    """A leg of a router, as the calls that add and remove one answer."""

    router: Router
    port: Port
    subnet_ids: tuple[str, ...]


def add(ctx: Context, router_id: str, subnet_id: str | None, port_id: str | None) -> Interface:
    """Let a router reach into a subnet: with its gateway's address, or with a port that has been made for it."""
    if bool(subnet_id) == bool(port_id):
        which = "Cannot specify both subnet-id and port-id" if subnet_id else "Either subnet_id or port_id must be specified"
        raise invalid(f"Bad router request: {which}.", "BadRequest")

    def work(tx: Connection) -> Interface:
        router = routers.find(ctx, tx, router_id, "get")
        ctx.require("add_router_interface", target_of(router.project_id))
        return attach(tx, ctx, router, subnet_id, port_id)

    return access.transact(ctx.cloud, work)


def attach(tx: Connection, ctx: Context, router: Router, subnet_id: str | None, port_id: str | None = None) -> Interface:
    """Do so in an open transaction."""
    made = _by_subnet(ctx, tx, router, subnet_id) if subnet_id else _by_port(ctx, tx, router, port_id or "")
    rows.update_row(tx, tables.routers, ctx.cloud.clock.now(), router.id, {})
    sync.touch(tx, ctx.cloud, "router", router.id)
    sync.touch(tx, ctx.cloud, "network", made.port.network_id)
    return made


def _by_subnet(ctx: Context, tx: Connection, router: Router, subnet_id: str) -> Interface:
    subnet = networks_store.find_subnet(tx, subnet_id)
    network = networks_store.find_network(tx, subnet.network_id) if subnet else None
    if subnet is None or network is None:
        raise missing("subnet", subnet_id)
    access.require(ctx, "subnet", "get", subnet_id, target_in(ctx, subnet.project_id, network))
    if not subnet.gateway_ip:
        raise invalid("Bad router request: Subnet for router interface must have a gateway IP.", "BadRequest")
    if subnet.ip_version == 6 and not subnet.ipv6_ra_mode and subnet.ipv6_address_mode:
        raise invalid(
            f"Bad router request: IPv6 subnet {subnet_id} configured to receive RAs "
            "from an external router cannot be added to Neutron Router.",
            "BadRequest",
        )
    _check_subnets(tx, router, [subnet])
    gateway = {"subnet_id": subnet_id, "ip_address": subnet.gateway_ip}
    if subnet.ip_version == 6 and (leg := _leg_in(tx, router.id, network.id)):
        ports_store.set_addresses(tx, leg.id, [*leg.fixed_ips, Fixed(subnet_id, subnet.gateway_ip)])
        return Interface(router, leg, (subnet_id,))
    subnets = networks_store.subnets_of(tx, [network.id])
    project_id = router.project_id
    port = allocation.service_port(tx, ctx.cloud, network, subnets, store.INTERFACE, router.id, [gateway], project_id)
    return Interface(router, port, (subnet_id,))


def _leg_in(tx: Connection, router_id: str, network_id: str) -> Port | None:
    """Return the leg of IPv6 that a router has in a network: further prefixes join it."""
    for port in store.interfaces_of(tx, router_id):
        if port.network_id == network_id and all(addressing.address(f.ip_address).version == 6 for f in port.fixed_ips):
            return port
    return None


def _by_port(ctx: Context, tx: Connection, router: Router, port_id: str) -> Interface:
    port, _ = ports_service.find(ctx, tx, port_id, "update")
    if port.device_id or port.device_owner.startswith("network:"):
        text = (
            f"Unable to complete operation on port {port_id} for network {port.network_id}. "
            f"Port already has an attached device {port.device_id}."
        )
        raise conflict("PortInUse", text)
    if not port.fixed_ips:
        raise invalid("Bad router request: Router port must have at least one fixed IP.", "BadRequest")
    subnets = list(networks_store.subnets_by_id(tx, {f.subnet_id for f in port.fixed_ips}).values())
    if sum(1 for f in port.fixed_ips if addressing.address(f.ip_address).version == 4) > 1:
        raise invalid("Bad router request: Cannot have multiple IPv4 subnets on router port.", "BadRequest")
    _check_subnets(tx, router, subnets)
    values = {
        "device_id": router.id, "device_owner": store.INTERFACE, "port_security_enabled": False, "allowed_address_pairs": [],
    }  # fmt: skip
    rows.update_row(tx, tables.ports, ctx.cloud.clock.now(), port_id, values)
    ports_store.set_groups(tx, port_id, ())
    found = ports_store.find_port(tx, port_id)
    assert found is not None
    return Interface(router, found, tuple(f.subnet_id for f in port.fixed_ips))


def _check_subnets(tx: Connection, router: Router, wanted: Sequence[Subnet]) -> None:
    """Check that a router does not reach into these subnets yet, nor into one that overlaps."""
    legs = store.legs_of(tx, [router.id])
    inside = networks_store.subnets_by_id(tx, {f.subnet_id for p in legs for f in p.fixed_ips})
    for subnet in wanted:
        if subnet.id in inside:
            raise invalid(f"Bad router request: Router already has a port on subnet {subnet.id}.", "BadRequest")
        for other in inside.values():
            routers.check_overlap(other.cidr, other.id, subnet.cidr)


def remove(ctx: Context, router_id: str, subnet_id: str | None, port_id: str | None) -> Interface:
    """Take a leg away from a router.  :raises Conflict: when a floating IP needs it."""
    if not subnet_id and not port_id:
        raise invalid("Bad router request: Either subnet_id or port_id must be specified.", "BadRequest")

    def work(tx: Connection) -> Interface:
        router = routers.find(ctx, tx, router_id, "get")
        ctx.require("remove_router_interface", target_of(router.project_id))
        return _detach(tx, ctx, router, subnet_id, port_id)

    return access.transact(ctx.cloud, work)


def detach(tx: Connection, ctx: Context, router_id: str, subnet_id: str) -> None:
    """Take the leg in a subnet away, in an open transaction, if the router has one there."""
    router = store.find_router(tx, router_id)
    if router and any(f.subnet_id == subnet_id for port in store.interfaces_of(tx, router_id) for f in port.fixed_ips):
        _detach(tx, ctx, router, subnet_id, None)


def _detach(tx: Connection, ctx: Context, router: Router, subnet_id: str | None, port_id: str | None) -> Interface:
    port = _leg(tx, router, subnet_id, port_id)
    gone = (subnet_id,) if subnet_id and not port_id else tuple(f.subnet_id for f in port.fixed_ips)
    _check_unused(tx, router, port, gone)
    left = [f for f in port.fixed_ips if f.subnet_id not in gone]
    if left:
        ports_store.set_addresses(tx, port.id, left)
    else:
        ports_store.delete_port(tx, port.id)
    rows.update_row(tx, tables.routers, ctx.cloud.clock.now(), router.id, {})
    sync.touch(tx, ctx.cloud, "router", router.id, router.host_id)
    sync.touch(tx, ctx.cloud, "network", port.network_id, router.host_id)
    return Interface(router, port, gone)


def _leg(tx: Connection, router: Router, subnet_id: str | None, port_id: str | None) -> Port:
    legs = store.interfaces_of(tx, router.id)
    if port_id:
        found = next((p for p in legs if p.id == port_id), None)
        if found is None:
            raise _not_there(
                "RouterInterfaceNotFound", f"Router {router.id} does not have an interface with id {port_id}", router
            )
        if subnet_id and all(f.subnet_id != subnet_id for f in found.fixed_ips):
            text = f"Subnet {subnet_id} on port {port_id} does not match requested subnet"
            raise conflict("SubnetMismatchForPort", text)
        return found
    found = next((p for p in legs if any(f.subnet_id == subnet_id for f in p.fixed_ips)), None)
    if found is None:
        text = f"Router {router.id} has no interface on subnet {subnet_id}"
        raise _not_there("RouterInterfaceNotFoundForSubnet", text, router)
    return found


def _not_there(kind: str, text: str, router: Router) -> Exception:
    fault = missing("router", router.id)
    fault.kind, fault.message = kind, text
    return fault


def _check_unused(tx: Connection, router: Router, port: Port, subnet_ids: Sequence[str | None]) -> None:
    known = [id for id in subnet_ids if id]
    nets = networks_store.subnets_by_id(tx, known).values()
    for fip in store.floating_where(tx, tables.floating_ips.c.router_id == router.id, store.into_subnets(known)):
        fixed = addressing.address(fip.fixed_ip_address or "0.0.0.0")
        if any(fixed in addressing.network(s.cidr) for s in nets):
            text = (
                f"Router interface for subnet {subnet_ids[0]} on router {router.id} cannot "
                f"be deleted, as it is required by one or more floating IPs."
            )
            raise conflict("RouterInterfaceInUseByFloatingIP", text)
    floating = tables.floating_ips.c
    for each in forwardings.forwardings_where(tx, forwardings.into_subnets(known)):
        used = store.floating_where(tx, floating.id == each.floatingip_id, floating.router_id == router.id)
        if used and any(addressing.address(each.internal_ip_address) in addressing.network(s.cidr) for s in nets):
            text = f"Router interface for subnet {subnet_ids[0]} on router {router.id} is required by forwarded ports."
            raise conflict("RouterInterfaceInUseByFloatingIP", text)
    hops = [addressing.address(route["nexthop"]) for route in router.routes]
    if any(hop in addressing.network(s.cidr) for hop in hops for s in nets):
        text = (
            f"Router interface for subnet {subnet_ids[0]} on router {router.id} cannot "
            f"be deleted, as it is required by one or more routes."
        )
        raise conflict("RouterInterfaceInUseByRoute", text)
