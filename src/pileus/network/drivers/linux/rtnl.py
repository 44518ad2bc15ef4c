"""Links, addresses and routes of a namespace over rtnetlink, as far as the driver needs them.

Format: linux/rtnetlink.h, if_link.h, if_addr.h. Only changes that can be repeated are offered, or the caller looks first.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network
from socket import AF_INET, AF_INET6

from pileus.network.drivers.linux.netlink import CREATE, EXCLUSIVE, REPLACE, Netlink, attribute, attributes, nested
from pileus.network.drivers.linux.netns import Namespace

_NEWLINK, _DELLINK, _GETLINK, _NEWADDR, _DELADDR, _GETADDR, _NEWROUTE, _DELROUTE, _GETROUTE = 16, 17, 18, 20, 21, 22, 24, 25, 26
_ADDRESS, _IFNAME, _MTU, _MASTER, _LINKINFO, _NET_NS_FD = 1, 3, 4, 10, 18, 28
_INFO_KIND, _INFO_DATA, _PEER = 1, 2, 1
_BR_FORWARD_DELAY, _BR_STP, _BR_MCAST_SNOOPING = 1, 5, 23
_UP, _LOWER_UP = 0x1, 0x10000
_NODAD = 0x02
_STATIC, _MAIN, _UNIVERSE, _ON_LINK, _UNICAST = 4, 254, 0, 253, 1
_LINK = struct.Struct("=BxHiII")
_IP = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEWNEIGH, _MAC, _AF_BRIDGE, _REACHABLE, _MASTER_TABLE = 28, 2, 7, 0x02, 0x04
_NEIGHBOUR = struct.Struct("=BxHiHBB")
_TUNSETIFF, _TUNSETPERSIST, _TAP, _NO_PI = 0x400454CA, 0x400454CB, 0x0002, 0x1000


@dataclass(frozen=True)
class Link:
    """An interface as the kernel shows it; `master` is the index of the bridge it is a port of, or 0."""

    index: int
    name: str
    mac: str
    mtu: int
    up: bool
    carrier: bool
    master: int


@dataclass(frozen=True)
class Route:
    """A route by a next hop or straight onto a link (`nexthop` None)."""

    destination: str
    nexthop: str | None
    link: int


@dataclass(frozen=True)
class Veth:
    """A pair to be made: its near end in the namespace of the request, its far end in another."""

    name: str
    peer: str
    mtu: int
    peer_mac: str | None = None
    master: int = 0


class Rtnl(Netlink):
    """Requests about one namespace."""

    def links(self) -> dict[str, Link]:
        """All interfaces by name."""
        found = (_link(body) for body in self.dump(_GETLINK, _LINK.pack(0, 0, 0, 0, 0)))
        return {link.name: link for link in found}

    def link(self, name: str) -> Link | None:
        """One interface by name."""
        try:
            return _link(self.get(_GETLINK, _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFNAME, name)))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            return None

    def add_bridge(self, name: str, mtu: int) -> None:
        """Make a learning bridge without spanning tree; it is up."""
        delay = nested(_INFO_DATA, attribute(_BR_FORWARD_DELAY, 0), attribute(_BR_STP, 0), attribute(_BR_MCAST_SNOOPING, b"\0"))
        info = nested(_LINKINFO, attribute(_INFO_KIND, "bridge"), delay)
        self.request(_NEWLINK, _up(0) + attribute(_IFNAME, name) + attribute(_MTU, mtu) + info, CREATE | EXCLUSIVE)

    def add_veth(self, pair: Veth, peer_namespace: Namespace) -> None:
        """Make a veth pair; both ends are down yet (neither can be up before it has its peer)."""
        peer = [
            _LINK.pack(0, 0, 0, 0, 0),
            attribute(_IFNAME, pair.peer),
            attribute(_MTU, pair.mtu),
            attribute(_NET_NS_FD, peer_namespace.fileno()),
        ]
        if pair.peer_mac:
            peer.append(attribute(_ADDRESS, _mac_bytes(pair.peer_mac)))
        info = nested(_LINKINFO, attribute(_INFO_KIND, "veth"), nested(_INFO_DATA, nested(_PEER, *peer)))
        near = _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFNAME, pair.name) + attribute(_MTU, pair.mtu)
        if pair.master:
            near += attribute(_MASTER, pair.master)
        self.request(_NEWLINK, near + info, CREATE | EXCLUSIVE)

    def set_link(self, index: int, up: bool, mtu: int | None = None, master: int | None = None, mac: str | None = None) -> None:
        """Change what is given of an interface."""
        change = _up(index) if up else _LINK.pack(0, 0, index, 0, _UP)
        if mtu is not None:
            change += attribute(_MTU, mtu)
        if master is not None:
            change += attribute(_MASTER, master)
        if mac is not None:
            change += attribute(_ADDRESS, _mac_bytes(mac))
        self.request(_NEWLINK, change)

    def delete_link(self, name: str) -> None:
        """Remove an interface (both ends of a pair) if it is there."""
        with suppress_errno(errno.ENODEV):
            self.request(_DELLINK, _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFNAME, name))

    def learn(self, index: int, mac: str) -> None:
        """Have a bridge know that a MAC is behind one of its ports, until it sees it behind another or for some minutes not."""
        body = _NEIGHBOUR.pack(_AF_BRIDGE, 0, index, _REACHABLE, _MASTER_TABLE, 0) + attribute(_MAC, _mac_bytes(mac))
        self.request(_NEWNEIGH, body, CREATE | REPLACE)

    def addresses(self, index: int) -> set[str]:
        """The addresses of an interface with prefix, without what the kernel gave itself (fe80::/64 by MAC)."""
        found = set()
        for body in self.dump(_GETADDR, _IP.pack(0, 0, 0, 0, 0)):
            family, prefix, flags, _scope, link = _IP.unpack_from(body)
            if link != index or family not in (AF_INET, AF_INET6):
                continue
            parts = attributes(body[_IP.size :])
            address = ip_address(parts.get(2) or parts[1])
            if not (address.version == 6 and address.is_link_local and flags & 0x80 and not _is_ours(parts)):
                found.add(f"{address}/{prefix}")
        return found

    def sync_addresses(self, index: int, wanted: Iterable[str]) -> set[str]:
        """Give an interface exactly these addresses. Returns those that are new."""
        wanted = {str(ip_interface(address)) for address in wanted}
        there = {address for address in self.addresses(index) if address in wanted or not ip_interface(address).is_link_local}
        for address in there - wanted:
            with suppress_errno(errno.EADDRNOTAVAIL):
                self.request(_DELADDR, _address(index, address))
        for address in sorted(wanted - there, key=lambda text: -ip_interface(text).network.num_addresses):
            self.request(_NEWADDR, _address(index, address), CREATE | REPLACE)
        return wanted - there

    def routes(self) -> set[Route]:
        """The static routes of the main table."""
        found = set()
        for body in self.dump(_GETROUTE, _ROUTE.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)):
            family, length, _src, _tos, table, protocol, _scope, kind, _flags = _ROUTE.unpack_from(body)
            if table != _MAIN or protocol != _STATIC or kind != _UNICAST or family not in (AF_INET, AF_INET6):
                continue
            parts = attributes(body[_ROUTE.size :])
            size = 4 if family == AF_INET else 16
            destination = ip_network((parts.get(1, bytes(size)), length))
            nexthop = str(ip_address(parts[5])) if 5 in parts else None
            found.add(Route(str(destination), nexthop, struct.unpack("=I", parts[4])[0] if 4 in parts else 0))
        return found

    def sync_routes(self, wanted: set[Route]) -> None:
        """Have exactly these static routes; one with `link` 0 goes out by whichever link reaches its next hop."""
        there = self.routes()
        keys = {(route.destination, route.nexthop) for route in wanted}
        for route in there:
            if (route.destination, route.nexthop) not in keys:
                with suppress_errno(errno.ESRCH):
                    self.request(_DELROUTE, _route(route))
        known = {(route.destination, route.nexthop) for route in there}
        for route in wanted:
            if (route.destination, route.nexthop) not in known:
                self.request(_NEWROUTE, _route(route), CREATE | REPLACE)


def add_tap(namespace: Namespace, name: str) -> None:
    """Make a persistent tap in a namespace if it is not there; the hypervisor opens it by name."""
    with namespace.entered():
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        with suppress_errno(errno.EBUSY):  # a guest has it open
            fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP | _NO_PI))
            fcntl.ioctl(device, _TUNSETPERSIST, 1)
    finally:
        os.close(device)


class suppress_errno(suppress):
    """Pass over an OSError with one of these numbers."""

    def __init__(self, *codes: int) -> None:
        super().__init__(OSError)
        self._codes = codes

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        """True for an OSError of ours."""
        return isinstance(error, OSError) and error.errno in self._codes


def _up(index: int) -> bytes:
    return _LINK.pack(0, 0, index, _UP, _UP)


def _is_ours(parts: dict[int, bytes]) -> bool:
    return parts.get(11, b"\0")[0] == 0  # IFA_PROTO: the kernel marks its own link-local addresses


def _mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _link(body: bytes) -> Link:
    _family, _type, index, flags, _change = _LINK.unpack_from(body)
    parts = attributes(body[_LINK.size :])
    return Link(
        index=index,
        name=parts[_IFNAME].rstrip(b"\0").decode(),
        mac=parts.get(_ADDRESS, b"").hex(":"),
        mtu=struct.unpack("=I", parts[_MTU])[0],
        up=bool(flags & _UP),
        carrier=bool(flags & _LOWER_UP),
        master=struct.unpack("=I", parts[_MASTER])[0] if _MASTER in parts else 0,
    )


def _address(index: int, text: str) -> bytes:
    interface = ip_interface(text)
    family = AF_INET if interface.version == 4 else AF_INET6
    scope = _ON_LINK if interface.is_link_local and interface.version == 6 else _UNIVERSE
    body = _IP.pack(family, interface.network.prefixlen, _NODAD if family == AF_INET6 else 0, scope, index)
    body += attribute(2, interface.packed) + attribute(1, interface.packed)
    if interface.version == 4 and interface.network.prefixlen < 31:
        body += attribute(4, interface.network.broadcast_address.packed)
    return body


def _route(route: Route) -> bytes:
    network: IPv4Network | IPv6Network = ip_network(route.destination)
    family = AF_INET if network.version == 4 else AF_INET6
    scope = _ON_LINK if route.nexthop is None and family == AF_INET else _UNIVERSE
    body = _ROUTE.pack(family, network.prefixlen, 0, 0, _MAIN, _STATIC, scope, _UNICAST, 0)
    if network.prefixlen:
        body += attribute(1, network.network_address.packed)
    if route.nexthop is not None:
        body += attribute(5, ip_address(route.nexthop).packed)
    if route.link:
        body += attribute(4, route.link)
    return body
