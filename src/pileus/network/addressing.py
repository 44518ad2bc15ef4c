"""Arithmetic of addresses: pools, the choice of free ones, and those that follow from a MAC.  Knows no database.

A pool is a pair of the first and the last address as numbers, both within.
"""

import ipaddress
import random
from collections.abc import Container, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Pool = tuple[int, int]
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SLAAC_MODES = ("slaac", "dhcpv6-stateless")
SMALL = 512  # of pools up to this size all that is used may be looked at at once


def address(text: str) -> Address:
    """Read an address.  :raises ValueError: when it is none, or names a zone (`%eth0`)."""
    if "%" in text:
        raise ValueError("an address of the API has no zone")
    return ipaddress.ip_address(text)


def network(text: str) -> Network:
    """Read a prefix; bits beyond it are dropped.  :raises ValueError: when it is none."""
    return ipaddress.ip_network(text, strict=False)


def canonical_mac(text: str) -> str:
    """Return a MAC address in lower case with colons.  :raises ValueError: when it is none."""
    digits = text.replace("-", "").replace(":", "").replace(".", "").lower()
    if len(digits) != 12 or any(d not in "0123456789abcdef" for d in digits):
        raise ValueError(f"'{text}' is not a valid MAC address")
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def show(number: int, version: int) -> str:
    """Return a number as an address."""
    return str(IPv4Address(number) if version == 4 else IPv6Address(number))


def bounds(net: Network) -> Pool:
    """Return the first and last address that a port may have."""
    first, last = int(net.network_address), int(net.broadcast_address)
    if net.version == 6:
        return (first + 1, last) if last > first else (first, last)
    return (first + 1, last - 1) if last - first > 1 else (first, last)


def default_pools(net: Network, gateway: str | None) -> list[Pool]:
    """Return all of a subnet but its gateway."""
    first, last = bounds(net)
    if gateway is None or not first <= (hole := int(address(gateway))) <= last:
        return [(first, last)]
    return [pool for pool in ((first, hole - 1), (hole + 1, last)) if pool[0] <= pool[1]]


def size(pools: Iterable[Pool]) -> int:
    """Return how many addresses pools hold."""
    return sum(last - first + 1 for first, last in pools)


def nth(pools: Sequence[Pool], index: int) -> int:
    """Return an address of pools by its place."""
    for first, last in pools:
        if index <= last - first:
            return first + index
        index -= last - first + 1
    raise IndexError("beyond the pools")


def sample(pools: Sequence[Pool], count: int) -> list[int]:
    """Return some addresses of pools, chosen at random."""
    total = size(pools)
    return [nth(pools, random.randrange(total)) for _ in range(min(count, total))]


def free(pools: Sequence[Pool], used: Container[int], window: int = 10) -> int | None:
    """Return one of the first free addresses, at random, so that one just given back is rarely given out at once."""
    found: list[int] = []
    for first, last in pools:
        number = first
        while number <= last and len(found) < window:
            if number not in used:
                found.append(number)
            number += 1
    return random.choice(found) if found else None


def eui64(prefix: Network, mac: str) -> str:
    """Return the address that a host with this MAC makes for itself under a prefix (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    tail = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(IPv6Address(int(prefix.network_address) | int.from_bytes(tail, "big")))


def by_itself(ra_mode: str | None, address_mode: str | None) -> bool:
    """Tell whether hosts in a subnet of these modes make their address themselves."""
    return (address_mode or ra_mode) in SLAAC_MODES and (ra_mode in SLAAC_MODES or address_mode in SLAAC_MODES)
