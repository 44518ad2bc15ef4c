"""Tracked connections of a namespace: look at them and end those that are no longer allowed.

Format: linux/netfilter/nfnetlink_conntrack.h.
"""

import errno
import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from pileus.network.drivers.linux.netlink import NETFILTER, Netlink, attribute, attributes
from pileus.network.drivers.linux.netns import Namespace
from pileus.network.drivers.linux.rtnl import suppress_errno

_GET, _DELETE = (1 << 8) | 1, (1 << 8) | 2
_ORIGINAL, _REPLY, _ID, _ZONE = 1, 2, 12, 18
_NESTED = 0x8000


@dataclass(frozen=True)
class Flow:
    """One direction of a connection; `port` is the destination port (for ICMP 0)."""

    source: str
    destination: str
    protocol: int
    port: int


@dataclass(frozen=True)
class Connection:
    """A connection as it was opened, how its answers look, and its zone."""

    opened: Flow
    answered: Flow
    zone: int


def drop(namespace: Namespace, doomed: Callable[[Connection], bool]) -> int:
    """End every connection that `doomed` picks. Returns how many."""
    count = 0
    with Netlink(namespace, NETFILTER) as netlink:
        for body in list(netlink.dump(_GET, b"\0\0\0\0")):
            parts = attributes(body[4:])
            zone = struct.unpack(">H", parts[_ZONE])[0] if _ZONE in parts else 0
            if not doomed(Connection(_flow(parts[_ORIGINAL]), _flow(parts[_REPLY]), zone)):
                continue
            target = attribute(_ORIGINAL | _NESTED, parts[_ORIGINAL])
            if _ZONE in parts:
                target += attribute(_ZONE, parts[_ZONE])
            with suppress_errno(errno.ENOENT):
                netlink.request(_DELETE, body[:4] + target + attribute(_ID, parts[_ID]))
                count += 1
    return count


def _flow(data: bytes) -> Flow:
    parts = attributes(data)
    addresses, protocol = attributes(parts[1]), attributes(parts[2])
    first = 1 if 1 in addresses else 3
    port = struct.unpack(">H", protocol[3])[0] if 3 in protocol else 0
    return Flow(str(ip_address(addresses[first])), str(ip_address(addresses[first + 1])), protocol[1][0], port)
