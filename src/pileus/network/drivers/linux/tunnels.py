"""Networks over hosts: a VXLAN device in the bridge of each network, whose tables are filled with what the cloud knows.

Nothing is flooded and nothing is learned: frames go where the port with their MAC is, questions for addresses (ARP, neighbour
discovery) are answered by the device itself, and what it does not know it drops.  Only router discovery of IPv6 is told to every
host that has the network.  The device is made in the namespace of the physical network, where its packets come and go, and stands
in that of the cloud (as `ip link add ... netns`).

Format: linux/if_link.h (IFLA_VXLAN_*), linux/neighbour.h.
"""

import contextlib
import errno
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from socket import AF_INET, AF_INET6

from pileus.network.driver import NetworkDriverError, NetworkSpec
from pileus.network.drivers.linux.names import INFRASTRUCTURE, bridge, short
from pileus.network.drivers.linux.netlink import CREATE, EXCLUSIVE, REPLACE, attribute, attributes, nested
from pileus.network.drivers.linux.netns import Namespace
from pileus.network.drivers.linux.rtnl import Link, Rtnl, suppress_errno

PORT = 4789
APPEND = 0x800
ROUTERS_AND_NODES = ("33:33:00:00:00:01", "33:33:00:00:00:02")  # who announces and asks for routers
# It answers for neighbours by IPv6, and has no address of its own by which it would take part.
SPEAKS_FOR_OTHERS = {"addr_gen_mode": 1, "accept_ra": 0, "disable_ipv6": 0}

_NEWLINK, _NEWNEIGH, _DELNEIGH, _GETNEIGH = 16, 28, 29, 30
_IFNAME, _MTU, _MASTER, _LINKINFO, _NET_NS_FD = 3, 4, 10, 18, 28
_KIND, _DATA = 1, 2
_ID, _LOCAL, _LEARNING, _PROXY, _UDP_PORT, _LOCAL6 = 1, 4, 7, 11, 15, 17
_TO, _MAC = 1, 2
_AF_BRIDGE, _SELF, _PERMANENT, _NOARP = 7, 0x02, 0x80, 0x40
_LINK, _NEIGHBOUR = struct.Struct("=BxHiII"), struct.Struct("=BxHiHBB")


@dataclass(frozen=True)
class TunnelSettings:
    """This host's address in the physical network, and the namespace that is in it (None: that of the process)."""

    address: str
    netns: str | None = None


@dataclass(frozen=True)
class _Entry:
    """A MAC and where it is: a host (in the forwarding table), or an address (in the neighbour tables)."""

    mac: str
    to: str


class Tunnels:
    """Makes the tunnels of one host."""

    def __init__(self, host: Namespace, settings: TunnelSettings) -> None:
        self._host, self._settings = host, settings
        self._physical = Namespace(settings.netns)

    def ensure(self, network: NetworkSpec) -> None:
        """Have a network's tunnel, with its tables as the spec says; none where the network has no segment."""
        if network.segment is None or network.external:
            return
        with Rtnl(self._host) as host:
            link, master = host.link(device(network.id)), host.link(bridge(network.id))
            assert master
            if link is None:
                self._add(network, host, master)
                link = host.link(device(network.id))
                assert link
                self._host.sysctl({f"ipv6/conf/{link.name}/{name}": value for name, value in SPEAKS_FOR_OTHERS.items()})
            host.set_link(link.index, network.admin_up, network.mtu, master.index)
            _sync(host, link.index, *_wanted(network))

    def is_whole(self, network: NetworkSpec, links: dict[str, Link]) -> bool:
        """Whether the tunnel of a network is as made."""
        if network.segment is None or network.external:
            return True
        link, master = links.get(device(network.id)), links.get(bridge(network.id))
        if link is None or master is None or link.master != master.index or link.up != network.admin_up:
            return False
        hosts, addresses = _wanted(network)
        with Rtnl(self._host) as host:
            return _forwarding(host, link.index) == hosts and _neighbours(host, link.index) == addresses

    def destroy(self, network_id: str) -> None:
        """Remove the tunnel of a network."""
        with Rtnl(self._host) as host:
            host.delete_link(device(network_id))

    def close(self) -> None:
        """Let go of the physical network."""
        self._physical.close()

    def _add(self, network: NetworkSpec, host: Rtnl, master: Link) -> None:
        local = ip_address(self._settings.address)
        assert network.segment is not None
        data = nested(
            _DATA, attribute(_ID, network.segment), attribute(_LOCAL if local.version == 4 else _LOCAL6, local.packed),
            attribute(_LEARNING, b"\0"), attribute(_PROXY, b"\1"), attribute(_UDP_PORT, struct.pack("!H", PORT)),
        )  # fmt: skip
        made = _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFNAME, device(network.id)) + attribute(_MTU, network.mtu)
        made += attribute(_NET_NS_FD, self._host.fileno()) + nested(_LINKINFO, attribute(_KIND, "vxlan"), data)
        with Rtnl(self._physical) as physical:
            try:
                physical.request(_NEWLINK, made, CREATE | EXCLUSIVE)
            except OSError as error:
                if error.errno != errno.EEXIST:
                    raise
                text = f"segment {network.segment} is in use by another VXLAN device of this host"
                raise NetworkDriverError(text) from error


def device(network_id: str) -> str:
    """The VXLAN device of a network."""
    return f"{INFRASTRUCTURE}x{short(network_id)}"


def _wanted(network: NetworkSpec) -> tuple[set[_Entry], set[_Entry]]:
    """Return what the tables hold: where each MAC is, and which MAC each address has."""
    hosts = {_Entry(remote.mac.lower(), str(ip_address(remote.host))) for remote in network.remotes}
    if any(":" in subnet.cidr for subnet in network.subnets):
        hosts |= {_Entry(mac, to) for mac in ROUTERS_AND_NODES for to in {entry.to for entry in hosts}}
    addresses = {_Entry(remote.mac.lower(), str(ip_address(ip))) for remote in network.remotes for ip in remote.ips}
    return hosts, addresses


def _sync(host: Rtnl, index: int, hosts: set[_Entry], addresses: set[_Entry]) -> None:
    there, known = _forwarding(host, index), _neighbours(host, index)
    for entry in there - hosts:
        with suppress_errno(errno.ENOENT):
            host.request(_DELNEIGH, _forward(index, entry))
    for entry in known - addresses:
        with suppress_errno(errno.ENOENT):
            host.request(_DELNEIGH, _neighbour(index, entry))
    for entry in hosts - there:
        many = APPEND if entry.mac in ROUTERS_AND_NODES else REPLACE
        with suppress_errno(errno.EEXIST):
            host.request(_NEWNEIGH, _forward(index, entry), CREATE | many)
    for entry in addresses - known:
        host.request(_NEWNEIGH, _neighbour(index, entry), CREATE | REPLACE)


def _forwarding(host: Rtnl, index: int) -> set[_Entry]:
    return {
        _Entry(mac, to)
        for mac, to, flags in _dump(host, _AF_BRIDGE, index)
        if flags & _SELF and to and mac != "00:00:00:00:00:00"
    }


def _neighbours(host: Rtnl, index: int) -> set[_Entry]:
    found = [*_dump(host, AF_INET, index), *_dump(host, AF_INET6, index)]
    return {_Entry(mac, to) for mac, to, _ in found if to and not ip_address(to).is_multicast and mac}


def _dump(host: Rtnl, family: int, index: int) -> Iterator[tuple[str, str, int]]:
    asked = _LINK.pack(_AF_BRIDGE, 0, index, 0, 0) if family == _AF_BRIDGE else _NEIGHBOUR.pack(family, 0, 0, 0, 0, 0)
    with contextlib.suppress(StopIteration):
        for body in host.dump(_GETNEIGH, asked):
            _family, _pad, link, _state, flags, _kind = _NEIGHBOUR.unpack_from(body)
            parts = attributes(body[_NEIGHBOUR.size :])
            if link == index:
                to = str(ip_address(parts[_TO])) if len(parts.get(_TO, b"")) in (4, 16) else ""
                yield parts.get(_MAC, b"").hex(":"), to, flags


def _forward(index: int, entry: _Entry) -> bytes:
    body = _NEIGHBOUR.pack(_AF_BRIDGE, 0, index, _PERMANENT | _NOARP, _SELF, 0)
    return body + attribute(_TO, ip_address(entry.to).packed) + attribute(_MAC, bytes.fromhex(entry.mac.replace(":", "")))


def _neighbour(index: int, entry: _Entry) -> bytes:
    to = ip_address(entry.to)
    body = _NEIGHBOUR.pack(AF_INET if to.version == 4 else AF_INET6, 0, index, _PERMANENT, 0, 0)
    return body + attribute(_TO, to.packed) + attribute(_MAC, bytes.fromhex(entry.mac.replace(":", "")))
