"""Arithmetic of prefixes: what a subnet pool holds, and where in it there is room for a subnet.  Knows no database."""

import ipaddress
from collections.abc import Iterable, Sequence

from pileus.network.addressing import Network


def compact(prefixes: Iterable[Network]) -> list[Network]:
    """Return the same addresses in as few prefixes as can be, sorted.  All are of one IP version."""
    return list(ipaddress.collapse_addresses(prefixes))  # type: ignore[type-var]


def holds(prefixes: Sequence[Network], net: Network) -> bool:
    """Tell whether prefixes that are compact hold all of a network."""
    return any(prefix.version == net.version and _within(net, prefix) for prefix in prefixes)


def _within(net: Network, prefix: Network) -> bool:
    return int(prefix.network_address) <= int(net.network_address) and int(net.broadcast_address) <= int(prefix.broadcast_address)


def overlapping(one: Iterable[Network], other: Sequence[Network]) -> Network | None:
    """Return the first prefix of one list that overlaps any of the other."""
    return next((net for net in one if any(net.version == o.version and net.overlaps(o) for o in other)), None)


def without(prefixes: Iterable[Network], taken: Sequence[Network]) -> list[Network]:
    """Return prefixes with other prefixes, each of which lies within one of them, taken out."""
    left = list(prefixes)
    for net in taken:
        rest: list[Network] = []
        for prefix in left:
            inside = prefix.version == net.version and _within(net, prefix)
            rest.extend(prefix.address_exclude(net) if inside else [prefix])  # type: ignore[arg-type]
        left = rest
    return compact(left)


def cut(prefixes: Sequence[Network], used: Iterable[Network], length: int) -> Network | None:
    """Return the lowest free network of a length, of the smallest prefix in which there is one; None when there is none."""
    busy = sorted((int(net.network_address), int(net.broadcast_address)) for net in used)
    for prefix in sorted(prefixes, key=lambda prefix: (-prefix.prefixlen, int(prefix.network_address))):
        if prefix.prefixlen > length:
            continue
        size = 1 << (prefix.max_prefixlen - length)
        start, end = int(prefix.network_address), int(prefix.broadcast_address)
        for first, last in busy:
            if start + size - 1 < first:
                break
            if last >= start:
                start = -(-(last + 1) // size) * size
        if start + size - 1 <= end:
            return ipaddress.ip_network((start, length)) if prefix.version == 4 else ipaddress.IPv6Network((start, length))
    return None


def weight(net: Network) -> int:
    """Return how much of a quota a network takes: its IPv4 addresses, or its IPv6 networks of /64 (at least one)."""
    if net.version == 4:
        return int(net.num_addresses)
    return 1 << max(0, 64 - net.prefixlen)
