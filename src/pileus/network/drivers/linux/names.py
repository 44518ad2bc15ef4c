"""How things on the host are called after their ids, and checks of what ends up in commands and configuration files."""

import re
from ipaddress import ip_address

from pileus.network.driver import NetworkDriverError

INFRASTRUCTURE = "v-"  # the near ends of veth pairs to routers, DHCP and the outside: never guarded by security groups
OUTSIDE_PEER = "v-x0"

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_DEVICE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_PREFIX = re.compile(r"[a-z0-9]{1,11}")


def short(id: str) -> str:
    """The beginning of an id: with four more characters still a legal interface name."""
    return id.replace("-", "")[:11]


def plain(id: str) -> str:
    """An id as part of a name in nftables."""
    return re.sub(r"[^A-Za-z0-9]", "", id)


def bridge(network_id: str) -> str:
    """The bridge of a network."""
    return f"br-{short(network_id)}"


def checked_prefix(prefix: str) -> str:
    """The name of the cloud. :raises NetworkDriverError: if it does not fit into interface names."""
    if not _PREFIX.fullmatch(prefix):
        raise NetworkDriverError(f"{prefix!r} cannot be the name of a cloud: 1 to 11 small letters and digits")
    return prefix


def checked_mac(mac: str) -> str:
    """A MAC in small letters. :raises NetworkDriverError: if it is none."""
    if not _MAC.fullmatch(mac.lower()):
        raise NetworkDriverError(f"{mac!r} is not a MAC address")
    return mac.lower()


def checked_device(name: str) -> str:
    """A guest's interface name. :raises NetworkDriverError: if it cannot be one."""
    if not _DEVICE.fullmatch(name) or name.startswith((INFRASTRUCTURE, "br-")):
        raise NetworkDriverError(f"{name!r} cannot be the name of a tap")
    return name


def checked_ip(text: str) -> str:
    """An address in its shortest form. :raises NetworkDriverError: if it is none."""
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise NetworkDriverError(str(error)) from error


def link_local(mac: str) -> str:
    """The IPv6 link-local address that follows from a MAC (RFC 4291, appendix A)."""
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 2
    return str(ip_address(b"\xfe\x80" + bytes(6) + bytes(octets[:3]) + b"\xff\xfe" + bytes(octets[3:])))
