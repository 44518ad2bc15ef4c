"""The contract between the network service and whatever makes the networking of one host.

A driver is told how things shall be and makes them so. It is level-triggered and idempotent and holds no truth of its own: what
it remembers is only how far the host already is. The loop of its user is always the same::

    seen = host.observe()                                # what is there and whole, by fingerprint
    for spec in wanted.networks: if seen.networks.get(spec.id) != fingerprint(spec): host.ensure_network(spec)
    (then groups, ports, routers)                        # a port needs its network, a router the networks of its interfaces
    for id in seen.everything(kind) - wanted: host.destroy_...(id)

`ensure_*` trusts what the driver remembers, so telling it again what is already so costs microseconds; `observe` looks at the
world and makes the driver forget whatever it found missing or damaged, so that the next `ensure_*` builds it anew. All methods
may be called from several threads at once.

Ids are UUID strings. Addresses are strings; "with prefix" means `10.0.0.1/24`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from socket import socket
from typing import Literal, Protocol

import msgspec

Direction = Literal["ingress", "egress"]
Ethertype = Literal["IPv4", "IPv6"]
Kind = Literal["network", "port", "router", "group"]

FORMAT = b"2"  # part of every fingerprint: raise it when a driver makes something else out of the same spec


class NetworkDriverError(Exception):
    """The host could not be made as asked; the text says what was tried and what the host answered."""


class NotOnHostError(NetworkDriverError):
    """Something that this one builds upon (a port's network, a router's network) has not been made on this host."""


@dataclass(frozen=True)
class HostRoute:
    """A route handed to guests by DHCP, or an extra route of a router."""

    destination: str
    nexthop: str


@dataclass(frozen=True)
class SubnetSpec:
    """A subnet of a network. `ra_mode` and `address_mode` are slaac, dhcpv6-stateless, dhcpv6-stateful or None."""

    id: str
    cidr: str
    ip_version: Literal[4, 6] = 4
    gateway_ip: str | None = None
    enable_dhcp: bool = True
    dns_nameservers: tuple[str, ...] = ()
    host_routes: tuple[HostRoute, ...] = ()
    ra_mode: str | None = None
    address_mode: str | None = None


@dataclass(frozen=True)
class DhcpSpec:
    """The port through which a network's DHCP, DNS and metadata answer; `ips` as plain addresses out of the subnets."""

    mac: str
    ips: tuple[str, ...]
    dns_domain: str = "novalocal"


@dataclass(frozen=True)
class DhcpOption:
    """An extra DHCP option of one port: name or number as `opt_name`, and the protocol it is for."""

    name: str
    value: str
    ip_version: Literal[4, 6] = 4


@dataclass(frozen=True)
class DhcpHost:
    """A port that DHCP serves, and nobody else is served."""

    port_id: str
    mac: str
    ips: tuple[str, ...]
    hostname: str = ""
    options: tuple[DhcpOption, ...] = ()
    domain: str = ""  # a further one in which its name is known


@dataclass(frozen=True)
class RemotePort:
    """A port of a network on another host: its MAC and addresses, and that host's address in the physical network."""

    mac: str
    ips: tuple[str, ...]
    host: str


@dataclass(frozen=True)
class NetworkSpec:
    """A layer 2 network on this host. `remotes` are its ports on other hosts (none on a single host)."""

    id: str
    segment: int | None = None
    mtu: int = 1500
    external: bool = False
    physical_network: str | None = None
    admin_up: bool = True
    subnets: tuple[SubnetSpec, ...] = ()
    dhcp: DhcpSpec | None = None
    hosts: tuple[DhcpHost, ...] = ()
    remotes: tuple[RemotePort, ...] = ()


def rerouted(network: NetworkSpec, places: Iterable[RemotePort], here: bool) -> NetworkSpec:
    """Return a network of which a port is somewhere else: on this host (`here`), or as `places` say."""
    moved = {place.mac for place in places}
    kept = [remote for remote in network.remotes if remote.mac not in moved] + ([] if here else list(places))
    return replace(network, remotes=tuple(sorted(kept, key=lambda remote: (remote.mac, remote.ips))))


@dataclass(frozen=True)
class AddressPair:
    """An address or prefix that a port may use besides its own, with the port's MAC unless it names another."""

    ip: str
    mac: str | None = None


@dataclass(frozen=True)
class Qos:
    """Limits of traffic as a guest sees it (egress leaves it; 0: none; no burst: a default), and the mark of what leaves it."""

    egress_kbps: int = 0
    egress_burst_kbit: int = 0
    ingress_kbps: int = 0
    ingress_burst_kbit: int = 0
    dscp: int | None = None


@dataclass(frozen=True)
class Carrier:
    """The trunk through which a port's frames reach the guest: the tap of the port that carries, and the VLAN on it."""

    tap: str
    vlan: int


@dataclass(frozen=True)
class PortSpec:
    """A guest's port: the tap that the hypervisor opens in the host namespace, its network and its protection."""

    id: str
    network_id: str
    mac: str
    tap: str
    fixed_ips: tuple[str, ...] = ()
    group_ids: tuple[str, ...] = ()
    port_security: bool = True
    allowed_address_pairs: tuple[AddressPair, ...] = ()
    admin_up: bool = True
    device_owner: str = ""
    qos: Qos | None = None
    carrier: Carrier | None = None


@dataclass(frozen=True)
class GroupRule:
    """One allowance. `protocol` is a name, a number as text or None; the ports are type and code where it is ICMP."""

    id: str
    direction: Direction
    ethertype: Ethertype = "IPv4"
    protocol: str | None = None
    port_min: int | None = None
    port_max: int | None = None
    remote_cidr: str | None = None
    remote_group_id: str | None = None
    remote_cidrs: tuple[str, ...] | None = None  # of an address group: those of the rule's IP version


@dataclass(frozen=True)
class GroupSpec:
    """A security group: what it allows, and the addresses or prefixes of its members everywhere, for rules that name it."""

    id: str
    rules: tuple[GroupRule, ...] = ()
    members: frozenset[str] = frozenset()
    stateful: bool = True  # else what answers needs a rule of its own


@dataclass(frozen=True)
class RaPrefix:
    """A prefix that a router announces, and how guests get their address: slaac, dhcpv6-stateless or dhcpv6-stateful."""

    cidr: str
    mode: str = "slaac"
    dns_nameservers: tuple[str, ...] = ()


@dataclass(frozen=True)
class RouterInterface:
    """A router's leg in a tenant network; `ips` with prefix."""

    port_id: str
    network_id: str
    mac: str
    ips: tuple[str, ...]
    ra: tuple[RaPrefix, ...] = ()


@dataclass(frozen=True)
class RouterGateway:
    """A router's leg in an external network; `ips` with prefix, `nexthops` one an IP version at most."""

    port_id: str
    network_id: str
    mac: str
    ips: tuple[str, ...]
    nexthops: tuple[str, ...] = ()


@dataclass(frozen=True)
class FloatingIp:
    """A floating address and the fixed address behind it."""

    floating_ip: str
    fixed_ip: str
    qos: Qos | None = None


@dataclass(frozen=True)
class PortForward:
    """Ports of a floating address that lead to ports of a fixed one: as many, or all to one."""

    floating_ip: str
    protocol: Literal["tcp", "udp"]
    first: int
    last: int
    fixed_ip: str
    fixed_first: int
    fixed_last: int


@dataclass(frozen=True)
class MeterRule:
    """Traffic through a router's gateway that a meter counts, or leaves out. `inside`: a prefix behind the router."""

    direction: Direction
    inside: str | None = None
    source: str | None = None
    destination: str | None = None
    excluded: bool = False


@dataclass(frozen=True)
class Meter:
    """A count of traffic."""

    id: str
    rules: tuple[MeterRule, ...] = ()


@dataclass(frozen=True)
class RouterSpec:
    """A router with its legs, routes and floating addresses."""

    id: str
    interfaces: tuple[RouterInterface, ...] = ()
    gateway: RouterGateway | None = None
    enable_snat: bool = True
    routes: tuple[HostRoute, ...] = ()
    floating_ips: tuple[FloatingIp, ...] = ()
    admin_up: bool = True
    forwards: tuple[PortForward, ...] = ()
    meters: tuple[Meter, ...] = ()
    gateway_qos: Qos | None = None

    @property
    def legs(self) -> tuple[RouterInterface | RouterGateway, ...]:
        """The interfaces and the gateway, if there is one."""
        return (*self.interfaces, self.gateway) if self.gateway else self.interfaces


Spec = NetworkSpec | PortSpec | GroupSpec | RouterSpec


def fingerprint(spec: Spec) -> str:
    """A short text that is the same exactly when the spec is; what `observe` reports for things that are whole."""
    return blake2b(msgspec.json.encode(spec, order="sorted"), digest_size=16, key=FORMAT).hexdigest()


@dataclass(frozen=True)
class Observed:
    """What is on the host. The first four maps hold what is whole, by id with its fingerprint; `damaged` what is so in part."""

    networks: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, str] = field(default_factory=dict)
    routers: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    meters: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)  # packets and bytes, by router and meter
    damaged: frozenset[tuple[Kind, str]] = frozenset()

    def everything(self, kind: Kind) -> set[str]:
        """The ids of one kind of which there is any trace, whole or not: what is not wanted among them is to be destroyed."""
        whole = {"network": self.networks, "port": self.ports, "router": self.routers, "group": self.groups}[kind]
        return set(whole) | {id for damaged, id in self.damaged if damaged == kind}


@dataclass(frozen=True)
class MetadataEndpoint:
    """Where metadata is asked for: in a network (through its DHCP port) or at a router. One of the two is set."""

    network_id: str | None = None
    router_id: str | None = None
    ip_version: Literal[4, 6] = 4


MetadataSink = Callable[[MetadataEndpoint, socket | None], None]
"""Takes a listening socket of an endpoint, and its ownership; None instead of a socket: the endpoint is gone, close it."""


class NetworkHost(Protocol):
    """The networking of one host."""

    def ensure_network(self, spec: NetworkSpec) -> None:
        """Make the network and its DHCP so. :raises NetworkDriverError: with what the host answered."""
        ...

    def destroy_network(self, network_id: str) -> None:
        """Remove the network; nothing happens if there is none."""
        ...

    def ensure_port(self, spec: PortSpec) -> None:
        """Make the tap, protected from its first packet on. :raises NotOnHostError: if its network is not here."""
        ...

    def destroy_port(self, port_id: str) -> None:
        """Remove the tap, its rules and its connections."""
        ...

    def ensure_router(self, spec: RouterSpec) -> None:
        """Make the router so. :raises NotOnHostError: if a network it reaches into is not here."""
        ...

    def destroy_router(self, router_id: str) -> None:
        """Remove the router."""
        ...

    def ensure_groups(self, groups: Iterable[GroupSpec]) -> None:
        """Make the groups' rules and members so, all at once; connections that are no longer allowed end."""
        ...

    def destroy_groups(self, group_ids: Iterable[str]) -> None:
        """Remove groups. Ports that still name one are left with what their other groups allow."""
        ...

    def observe(self) -> Observed:
        """Look at what is there, and forget what is not (see the module's text)."""
        ...

    def serve_metadata(self, sink: MetadataSink | None) -> None:
        """From now on give `sink` the listening socket of every endpoint, those already there first; None: to nobody."""
        ...

    def purge(self) -> None:
        """Remove everything that this driver ever made here, known or not, and leave no trace."""
        ...

    def close(self) -> None:
        """Let go of what this process holds; everything made goes on working."""
        ...


class Rerouter(Protocol):
    """An optional ability: a guest that moves while it runs is found where it is in the very moment in which it is halted."""

    def reroute(self, network_id: str, tap: str, places: tuple[RemotePort, ...], here: bool) -> None:
        """Have frames for a port go where it is from now on, ahead of the spec of its network that says so.

        Nothing happens where the network is not on this host.

        :param tap: that of the port, where this host has it, too.
        :param places: the port as it is seen from other hosts, each with its MAC.
        :param here: whether it is on this host from now on.
        :raises NetworkDriverError: with what the host answered.
        """
        ...
