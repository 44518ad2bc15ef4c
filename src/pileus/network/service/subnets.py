"""Use cases of subnets, and the port through which a network's DHCP answers."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest
from pileus.network import addressing, tables
from pileus.network.errors import conflict, invalid, missing
from pileus.network.service import access, allocation, subnet_pools
from pileus.network.service.access import Attributes, target_in
from pileus.network.store import networks as store
from pileus.network.store import pools as pools_store
from pileus.network.store import ports as ports_store
from pileus.network.store import rows
from pileus.network.store.records import Fixed, Network, Subnet
from pileus.network.store.routers import DHCP, INTERFACE
from pileus.network.store.rows import Wanted
from pileus.network.tasks import sync

DNS_SERVERS_MAX, HOST_ROUTES_MAX = 5, 20
SLAAC_PREFIX = 64
MTU_MIN = {4: 68, 6: 1280}


def list_subnets(ctx: Context, wanted: Wanted) -> list[Subnet]:
    """Return the subnets that the caller sees."""
    with ctx.cloud.db.read() as tx:
        visible = access.visible(ctx, "subnet", store.visible_subnets)
        return store.list_subnets(tx, *access.by_sharing(ctx, wanted, visible, store.in_opened(ctx.project_id)))


def show(ctx: Context, id: str) -> Subnet:
    """Return one subnet.  :raises NotFound: when the caller does not see it."""
    with ctx.cloud.db.read() as tx:
        return _find(ctx, tx, id, "get")[0]


def _find(ctx: Context, tx: Connection, id: str, action: str) -> tuple[Subnet, Network]:
    subnet = store.find_subnet(tx, id)
    network = store.find_network(tx, subnet.network_id) if subnet else None
    if subnet is None or network is None:
        raise missing("subnet", id)
    access.require(ctx, "subnet", action, id, target_in(ctx, subnet.project_id, network))
    return subnet, network


def create(ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[Subnet]:
    """Make subnets, all or none."""
    owned = [(access.project_for(ctx, attributes), attributes, given) for attributes, given in many]

    def work(tx: Connection) -> list[Subnet]:
        made = []
        for project_id, attributes, given in owned:
            network = access.find_network(ctx, tx, attributes["network_id"])
            ctx.require("create_subnet", target_in(ctx, project_id, network))
            access.guard(ctx, "create_subnet", given, target_in(ctx, project_id, network))
            access.take(tx, ctx.cloud, project_id, subnet=1)
            pool = subnet_pools.take_out(tx, ctx, project_id, attributes)
            made.append(make(tx, ctx.cloud, project_id, network, attributes, pool.id if pool else None))
        return made

    return access.transact(ctx.cloud, work)


def make(
    tx: Connection, cloud: Cloud, project_id: str, network: Network, attributes: Attributes, pool_id: str | None = None
) -> Subnet:
    """Write a subnet down, and what follows from it: the DHCP port, the addresses that ports make themselves.

    :param pool_id: the pool that its prefix was cut out of.
    """
    net = _read_cidr(attributes)
    if pools_store.pools_of_network(tx, network.id, net.version) - {pool_id}:
        text = "Subnets hosted on the same network must be allocated from the same subnet pool."
        raise invalid(text, "NetworkSubnetPoolAffinityError")
    if network.mtu < MTU_MIN[net.version]:
        text = f"The network's MTU {network.mtu} is below {MTU_MIN[net.version]}, which IPv{net.version} needs."
        raise conflict("NetworkMTUSubnetConflict", text)
    before = store.subnets_of(tx, [network.id])
    if other := next((s for s in before if s.ip_version == net.version and net.overlaps(addressing.network(s.cidr))), None):
        text = f"Requested subnet with cidr: {net} for network: {network.id} overlaps with another subnet ({other.cidr})"
        raise invalid(text)
    _check_modes(net, attributes)
    gateway = _gateway(net, attributes)
    _check_lists(net, attributes)
    row = {
        "id": ids.uuid(), "project_id": project_id, "name": attributes["name"], "description": attributes["description"],
        "network_id": network.id, "ip_version": net.version, "cidr": str(net), "gateway_ip": gateway,
        "enable_dhcp": attributes["enable_dhcp"], "ipv6_ra_mode": attributes["ipv6_ra_mode"],
        "ipv6_address_mode": attributes["ipv6_address_mode"],
        "allocation_pools": _pools(net, gateway, attributes.get("allocation_pools")),
        "dns_nameservers": attributes["dns_nameservers"] or [], "host_routes": attributes["host_routes"] or [],
        "subnetpool_id": pool_id, "service_types": attributes["service_types"],
    }  # fmt: skip
    named = tuple(sorted(set(attributes.get("tags") or ())))
    written = rows.insert_row(tx, tables.subnets, cloud.clock.now(), row)
    subnet = Subnet(**written, tags=named, external=network.external)
    if named:
        rows.set_tags(tx, subnet.id, named)
    if allocation.by_itself(subnet):
        _add_automatic(tx, cloud, network, subnet)
    rows.update_row(tx, tables.networks, cloud.clock.now(), network.id, {})
    serve_dhcp(tx, cloud, network, [*before, subnet])
    sync.touch_network(tx, cloud, network.id)
    return subnet


def _read_cidr(attributes: Attributes) -> addressing.Network:
    if not attributes.get("cidr"):
        raise BadRequest("Bad subnets request: a subnetpool must be specified in the absence of a cidr.", kind="BadRequest")
    net = addressing.network(attributes["cidr"])
    if net.version != attributes["ip_version"]:
        raise invalid(f"cidr '{net}' does not match the ip_version '{attributes['ip_version']}'")
    if net.prefixlen == 0:
        raise invalid("0 is not allowed as CIDR prefix length")
    return net


def _check_modes(net: addressing.Network, attributes: Attributes) -> None:
    ra_mode, address_mode = attributes["ipv6_ra_mode"], attributes["ipv6_address_mode"]
    if not (ra_mode or address_mode):
        return
    if net.version == 4:
        raise invalid("ipv6_ra_mode or ipv6_address_mode cannot be set when ip_version is 4")
    if not attributes["enable_dhcp"]:
        raise invalid("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
    if ra_mode and address_mode and ra_mode != address_mode:
        raise invalid(f"ipv6_ra_mode set to '{ra_mode}' with ipv6_address_mode set to '{address_mode}' is not valid")
    if addressing.by_itself(ra_mode, address_mode) and net.prefixlen != SLAAC_PREFIX:
        raise invalid(
            f"Invalid CIDR {net} for IPv6 address mode. "
            "OpenStack uses the EUI-64 address format, which requires the prefix to be /64"
        )


def _gateway(net: addressing.Network, attributes: Attributes) -> str | None:
    if "gateway_ip" not in attributes:
        first = int(net.network_address) + (1 if net.prefixlen < net.max_prefixlen else 0)
        return addressing.show(first, net.version)
    gateway = attributes["gateway_ip"]
    if gateway is None:
        return None
    found = addressing.address(gateway)
    first_ip, last_ip = addressing.bounds(net)
    if found.version != net.version or (found in net and net.version == 4 and not first_ip <= int(found) <= last_ip):
        raise invalid("Gateway is not valid on subnet")
    return str(found)


def _check_lists(net: addressing.Network, attributes: Attributes) -> None:
    if len(attributes.get("dns_nameservers") or ()) > DNS_SERVERS_MAX:
        raise invalid(
            f"Unable to complete operation. The number of DNS nameservers exceeds the limit {DNS_SERVERS_MAX}.",
            "DNSNameServersExhausted",
        )
    routes = attributes.get("host_routes") or ()
    if len(routes) > HOST_ROUTES_MAX:
        raise invalid(
            f"Unable to complete operation. The number of host routes exceeds the limit {HOST_ROUTES_MAX}.", "HostRoutesExhausted"
        )
    for route in routes:
        destination, nexthop = addressing.network(route["destination"]), addressing.address(route["nexthop"])
        if destination.version != net.version or nexthop.version != net.version:
            raise invalid(f"host route {route['destination']} via {route['nexthop']} is not of IP version {net.version}")


def _pools(net: addressing.Network, gateway: str | None, wanted: Sequence[dict[str, str]] | None) -> list[list[str]]:
    """Return a subnet's pools: those asked for, checked, or all but the gateway."""
    version = net.version
    if wanted is None:
        return [[addressing.show(a, version), addressing.show(b, version)] for a, b in addressing.default_pools(net, gateway)]
    found: list[tuple[int, int]] = []
    low, high = addressing.bounds(net)
    for pool in wanted:
        start, end = addressing.address(pool["start"]), addressing.address(pool["end"])
        text = f"{start}-{end}"
        if start.version != version or end.version != version or int(end) < int(start):
            raise invalid(f"The allocation pool {text} is not valid.", "InvalidAllocationPool")
        if int(start) < low or int(end) > high:
            raise invalid(f"The allocation pool {text} spans beyond the subnet cidr {net}.", "OutOfBoundsAllocationPool")
        if gateway and int(start) <= int(addressing.address(gateway)) <= int(end):
            raise conflict("GatewayConflictWithAllocationPools", f"Gateway ip {gateway} conflicts with allocation pool {text}.")
        found.append((int(start), int(end)))
    found.sort()
    for one, other in pairwise(found):
        if one[1] >= other[0]:
            shown = [f"{addressing.show(a, version)}-{addressing.show(b, version)}" for a, b in (one, other)]
            raise conflict(
                "OverlappingAllocationPools", f"Found overlapping allocation pools: {shown[0]} {shown[1]} for subnet {net}."
            )
    return [[addressing.show(a, version), addressing.show(b, version)] for a, b in found]


def _add_automatic(tx: Connection, cloud: Cloud, network: Network, subnet: Subnet) -> None:
    """Note the addresses that the ports of a network make themselves in a new subnet."""
    net = addressing.network(subnet.cidr)
    for port in ports_store.ports_where(tx, tables.ports.c.network_id == network.id):
        if port.device_owner.startswith("network:"):
            continue
        own = Fixed(subnet.id, addressing.eui64(net, port.mac_address))
        ports_store.set_addresses(tx, port.id, [*port.fixed_ips, own])
        if port.host_id:
            sync.touch_with(tx, cloud, port)


def serve_dhcp(tx: Connection, cloud: Cloud, network: Network, subnets: Sequence[Subnet]) -> None:
    """Let the network's DHCP port have an address in each subnet that DHCP serves; make or remove the port as needed."""
    served = [subnet for subnet in subnets if subnet.enable_dhcp]
    own = (tables.ports.c.network_id == network.id, tables.ports.c.device_owner == DHCP)
    port = next(iter(ports_store.ports_where(tx, *own)), None)
    if not served:
        if port is not None:
            ports_store.delete_port(tx, port.id)
        return
    mac = port.mac_address if port else ids.mac()
    fixed = [f for f in (port.fixed_ips if port else ()) if any(s.id == f.subnet_id for s in served)]
    for subnet in served:
        if any(f.subnet_id == subnet.id for f in fixed):
            continue
        auto = allocation.by_itself(subnet)
        ip = addressing.eui64(addressing.network(subnet.cidr), mac) if auto else allocation.free_address(tx, subnet, first=True)
        if ip:  # a subnet that is full is served as long as another address is there
            fixed.append(Fixed(subnet.id, ip))
    if port is None:
        # it is served wherever a port of the network is, and while there is none, there is nobody to serve
        more: dict[str, Any] = {
            "status": "ACTIVE",
            "device_owner": DHCP,
            "device_id": f"dhcp-{network.id}",
            "port_security_enabled": False,
        }
        allocation.write_port(tx, cloud, network, network.project_id, fixed, mac, **more)
    elif tuple(fixed) != port.fixed_ips:
        ports_store.set_addresses(tx, port.id, fixed)


def change(ctx: Context, id: str, attributes: Attributes, revision: int | None = None) -> Subnet:
    """Change a subnet's attributes; those not named stay."""

    def work(tx: Connection) -> Subnet:
        subnet, network = _find(ctx, tx, id, "update")
        access.check_revision(revision, subnet.revision_number)
        net = addressing.network(subnet.cidr)
        _check_lists(net, attributes)
        values = {
            name: ([] if value is None and name in ("dns_nameservers", "host_routes") else value)
            for name, value in attributes.items()
        }
        if "gateway_ip" in values:
            values["gateway_ip"] = _gateway(net, values)
            _check_gateway_free(tx, subnet, values["gateway_ip"])
        gateway = values.get("gateway_ip", subnet.gateway_ip)
        if "allocation_pools" in values:
            values["allocation_pools"] = _pools(net, gateway, values["allocation_pools"])
        elif "gateway_ip" in values:
            _pools(net, gateway, [{"start": start, "end": end} for start, end in subnet.allocation_pools])
        if values.get("enable_dhcp") is False and (subnet.ipv6_ra_mode or subnet.ipv6_address_mode):
            raise invalid("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
        if values:
            rows.update_row(tx, tables.subnets, ctx.cloud.clock.now(), id, values)
            rows.update_row(tx, tables.networks, ctx.cloud.clock.now(), network.id, {})
            serve_dhcp(tx, ctx.cloud, network, store.subnets_of(tx, [network.id]))
            sync.touch_network(tx, ctx.cloud, network.id)
        return _find(ctx, tx, id, "get")[0]

    return access.transact(ctx.cloud, work)


def _check_gateway_free(tx: Connection, subnet: Subnet, gateway: str | None) -> None:
    """A gateway that a router's port is cannot be replaced by another."""
    if gateway == subnet.gateway_ip or subnet.gateway_ip is None:
        return
    port = ports_store.port_of_address(tx, [subnet.network_id], subnet.gateway_ip)
    if port is not None and port.device_owner == INTERFACE:
        text = f"Current gateway ip {subnet.gateway_ip} already in use by port {port.id}. Unable to update."
        raise conflict("GatewayIpInUse", text)


def remove(ctx: Context, id: str, revision: int | None = None) -> None:
    """Remove a subnet; the addresses of DHCP and those that ports made themselves go with it.

    :raises Conflict: when a port has another address in it.
    """

    def work(tx: Connection) -> None:
        subnet, network = _find(ctx, tx, id, "delete")
        access.check_revision(revision, subnet.revision_number)
        holders = ports_store.ports_where(tx, ports_store.in_subnet(id))
        for port in holders:
            automatic = allocation.by_itself(subnet) and not port.device_owner.startswith("network:router")
            if port.device_owner not in ports_store.AUTO_DELETED and not automatic:
                text = f"Unable to complete operation on subnet {id}: One or more ports have an IP allocation from this subnet."
                raise conflict("SubnetInUse", text)
        for port in holders:
            ports_store.set_addresses(tx, port.id, [f for f in port.fixed_ips if f.subnet_id != id])
            if port.host_id:
                sync.touch_with(tx, ctx.cloud, port)
        rows.delete_row(tx, tables.subnets, id)
        rows.update_row(tx, tables.networks, ctx.cloud.clock.now(), network.id, {})
        serve_dhcp(tx, ctx.cloud, network, store.subnets_of(tx, [network.id]))
        sync.touch_network(tx, ctx.cloud, network.id)

    access.transact(ctx.cloud, work)
