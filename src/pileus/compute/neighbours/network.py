"""What compute takes from the network: ports, their wires, and what a guest must know of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict, Forbidden, NotFound
from pileus.network.driver import NetworkDriverError
from pileus.network.service import access, guests, wiring

REFUSALS: tuple[type[Exception], ...] = (NetworkDriverError,)

transact = access.transact


@dataclass(frozen=True, slots=True)
class Address:
    """An address of a NIC, with what a guest must know of its subnet.

    mode says how a guest comes by it: dhcp4, static, slaac, dhcpv6-stateful or dhcpv6-stateless.
    """

    ip: str
    version: int
    subnet_id: str = ""
    cidr: str = ""
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()
    mode: str = "dhcp4"
    floating: str | None = None


@dataclass(frozen=True, slots=True)
class Nic:
    """A port, as a server sees it.  groups are names; vif_type is what it is on its host: bridge or ovs."""

    port_id: str
    network_id: str
    network_name: str
    mac: str
    mtu: int
    tap: str
    status: str
    addresses: tuple[Address, ...]
    groups: tuple[str, ...] = ()
    vif_type: str = "unbound"


@dataclass(frozen=True, slots=True)
class NicRequest:
    """A NIC that a user asks for: in a network, or a port that is there already."""

    network_id: str | None = None
    port_id: str | None = None
    fixed_ip: str | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """The server that ports are made for.  groups are names or ids of security groups."""

    id: str
    hostname: str
    groups: Sequence[str] = ()


def requested_nics(tx: Connection, ctx: Context, wanted: Sequence[NicRequest] | str | None) -> list[NicRequest]:
    """Return the NICs to be made; where none is named, one in the only network that the project has.

    :raises Conflict: when there are several networks to choose from.
    :raises BadRequest: when a network was to be made and cannot.
    """
    if wanted == "none":
        return []
    if wanted and not isinstance(wanted, str):
        return list(wanted)
    try:
        wishes = guests.default_wishes(tx, ctx, auto=wanted == "auto")
    except Conflict as error:
        if error.kind == "NetworkAmbiguous":
            raise
        text = f"Unable to automatically allocate a network for project {ctx.project_id}: {error.message}"
        raise BadRequest(text, kind="UnableToAutoAllocateNetwork") from None
    return [NicRequest(network_id=wish.network_id) for wish in wishes]


def make_ports(tx: Connection, ctx: Context, device: Device, wanted: Sequence[NicRequest]) -> list[dict[str, Any]]:
    """Make or take the ports of a server; returns what its row keeps of each.

    :raises NotFound: when a network, a port or a security group is not there.
    :raises BadRequest: when one cannot be used.
    :raises Conflict: when a port or an address is in use.
    :raises Forbidden: when a network is external and not the caller's.
    """
    if not wanted:
        return []
    wishes = [guests.Wish(nic.network_id, nic.port_id, nic.fixed_ip) for nic in wanted]
    try:
        made = guests.create_ports(tx, ctx, device.id, wishes, _group_ids(tx, ctx, device.groups), device.hostname)
    except Conflict as error:
        if error.kind == "ExternalNetworkAttachForbidden":
            raise Forbidden(error.message, kind=error.kind) from None
        if error.kind == "IpAddressGenerationFailure":
            raise BadRequest("Fixed IP addresses exhausted: " + error.message, kind="NoMoreFixedIps") from None
        raise
    return [{"port_id": port.id, "tag": nic.tag, "ours": nic.port_id is None} for port, nic in zip(made, wanted, strict=True)]


def _group_ids(tx: Connection, ctx: Context, names: Sequence[str]) -> list[str] | None:
    if list(names) == ["default"]:
        return None
    try:
        return [group.id for group in guests.find_groups(tx, ctx, names)]
    except NotFound as error:
        text = f"Security group {error.message} for project {ctx.project_id}."
        raise BadRequest(text, kind="SecurityGroupNotFound") from None


def bind(tx: Connection, cloud: Cloud, port_ids: Sequence[str], host: str) -> None:
    """Say on which host ports will be."""
    for port_id in port_ids:
        wiring.bind_in(tx, cloud, port_id, host)


def unbind(tx: Connection, cloud: Cloud, port_ids: Sequence[str]) -> None:
    """Say that ports are on no host any more; the network takes them away from where they were."""
    for port_id in port_ids:
        wiring.unbind_in(tx, cloud, port_id)


def expect(tx: Connection, cloud: Cloud, port_ids: Sequence[str], host: str) -> None:
    """Say on which second host ports will be soon; "": on none."""
    for port_id in port_ids:
        wiring.await_in(tx, cloud, port_id, host)


def plug_there(cloud: Cloud, port_ids: Sequence[str]) -> list[Nic]:
    """Make ports with their taps on the second host where they are expected, too; returns them in the given order.

    :raises NetworkDriverError: when a host cannot.
    :raises NotFound: when a port is gone.
    """
    for port_id in port_ids:
        wiring.plug_everywhere(cloud, port_id)
    with cloud.db.read() as tx:
        return wired(tx, cloud, port_ids)


def tell_where(cloud: Cloud, port_ids: Sequence[str]) -> None:
    """Have every host know where ports are now."""
    with cloud.db.read() as tx:
        networks = {nic.network_id for nic in wired(tx, cloud, port_ids)}
    wiring.tell_where(cloud, sorted(networks))


def reroute(cloud: Cloud, port_ids: Sequence[str], host: str) -> None:
    """Have frames for ports go to another host from now on, whether they are bound there yet or not."""
    wiring.reroute(cloud, port_ids, host)


def plug(cloud: Cloud, port_ids: Sequence[str]) -> list[Nic]:
    """Make bound ports on their host, with their taps; returns them in the given order.  May be repeated.

    :raises NetworkDriverError: when the host cannot.
    :raises NotFound: when a port is gone.
    """
    for port_id in port_ids:
        wiring.plug(cloud, port_id)
    with cloud.db.read() as tx:
        return wired(tx, cloud, port_ids)


def wired(tx: Connection, cloud: Cloud, port_ids: Sequence[str]) -> list[Nic]:
    """Return all that a guest must know of its ports.  :raises NotFound: when one is gone."""
    if not port_ids:
        return []
    found = wiring.wiring(tx, cloud, list(port_ids))
    return [
        Nic(
            each.port.id, each.network.id, each.network.name, each.mac, each.mtu, each.tap, each.port.status,
            tuple(_address(each, fixed) for fixed in each.port.fixed_ips), vif_type=each.vif_type,
        )
        for each in found
    ]  # fmt: skip


def told_of(tx: Connection, cloud: Cloud, server_id: str, port_ids: Sequence[str]) -> list[Nic]:
    """Return all that there is to tell of a server's ports: also floating addresses and the names of groups."""
    seen = {nic.port_id: nic for nic in nics_of(tx, [server_id]).get(server_id, ())}
    found = []
    for nic in wired(tx, cloud, [id for id in port_ids if id in seen]):
        floating = {address.ip: address.floating for address in seen[nic.port_id].addresses}
        addresses = tuple(replace(address, floating=floating.get(address.ip)) for address in nic.addresses)
        found.append(replace(nic, addresses=addresses, groups=seen[nic.port_id].groups))
    return found


def _address(each: wiring.Wiring, fixed: Any) -> Address:
    subnet = next(subnet for subnet in each.subnets if subnet.id == fixed.subnet_id)
    mode = ("dhcp4" if subnet.enable_dhcp else "static") if subnet.ip_version == 4 else subnet.ipv6_address_mode or "static"
    routes = tuple((route["destination"], route["nexthop"]) for route in subnet.host_routes)
    dns = tuple(server for server in each.dns_servers if (":" in server) == (subnet.ip_version == 6))
    return Address(fixed.ip_address, subnet.ip_version, subnet.id, subnet.cidr, subnet.gateway_ip, dns, routes, mode)


def release(tx: Connection, cloud: Cloud, server_id: str, nics: Sequence[Mapping[str, Any]]) -> None:
    """Delete the ports that were made for a server, and give the others back; the host is cleared of both."""
    for nic in nics:
        port = guests.find_port(tx, nic["port_id"])
        if port is not None and port.device_id == server_id:
            wiring.await_in(tx, cloud, port.id, "")
            guests.release_port(tx, cloud, port, keep=not nic["ours"])


def nics_of(tx: Connection, server_ids: Sequence[str]) -> dict[str, list[Nic]]:
    """Return the NICs of servers, as answers show them: without what only the guest must know."""
    found = guests.ports_of(tx, server_ids)
    names = guests.group_names(tx, {id for many in found.values() for each in many for id in each.port.security_groups})
    return {server_id: [_shown(each, names) for each in many] for server_id, many in found.items()}


def _shown(each: guests.GuestPort, names: Mapping[str, str]) -> Nic:
    port = each.port
    floating = {fip.fixed_ip_address: fip.floating_ip_address for fip in each.floating_ips}
    addresses = [
        Address(fixed.ip_address, 6 if ":" in fixed.ip_address else 4, fixed.subnet_id, floating=floating.get(fixed.ip_address))
        for fixed in port.fixed_ips
    ]
    groups = tuple(names[id] for id in port.security_groups if id in names)
    return Nic(port.id, port.network_id, each.network_name, port.mac_address, 0, "", port.status, tuple(addresses), groups)


def device_at(tx: Connection, network_id: str | None, router_id: str | None, ip: str) -> str | None:
    """Return the id of the server that has an address in a network, or behind a router."""
    port = guests.port_at(tx, ip, network_id, router_id)
    return port.device_id if port is not None else None


def change_group(tx: Connection, ctx: Context, server_id: str, name: str, add: bool) -> None:
    """Put the ports of a server into a security group, or take them out.

    :raises NotFound: when there is no such group, or no port is in it.
    """
    try:
        group_id = guests.find_groups(tx, ctx, [name])[0].id
    except NotFound:
        text = f"Security group {name} not found for project {ctx.project_id}."
        raise NotFound(text, kind="SecurityGroupNotFound") from None
    mine = [each.port for each in guests.ports_of(tx, [server_id]).get(server_id, ())]
    if not add and not any(group_id in port.security_groups for port in mine):
        text = f"Security group {name} not associated with the instance {server_id}"
        raise NotFound(text, kind="SecurityGroupNotExistsForInstance")
    for port in mine:
        others = {id for id in port.security_groups if id != group_id}
        guests.change_groups(tx, ctx.cloud, port, others | {group_id} if add else others)


def groups_of(tx: Connection, server_id: str) -> list[Any]:
    """Return the security groups of a server."""
    return list(guests.groups_of(tx, [server_id]).get(server_id, []))
