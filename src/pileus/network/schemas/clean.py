"""From a checked body to the plain attributes that use cases take: addresses in canonical form, flags as booleans."""

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from pileus.network import addressing
from pileus.network.errors import bad_attribute
from pileus.network.service.access import Attributes

FLAGS = {
    "admin_state_up", "shared", "router:external", "is_default", "port_security_enabled",
    "enable_dhcp", "use_default_subnetpool", "stateful", "enable_snat",
    "distributed", "ha", "excluded", "enabled", "used_in_default_sg", "used_in_non_default_sg", "propagate_uplink_status",
}  # fmt: skip
NUMBERS = {
    "default_prefixlen",
    "min_prefixlen",
    "max_prefixlen",
    "default_quota",
    "prefixlen",
    "mtu",
    "provider:segmentation_id",
    "ip_version",
    "port_range_min",
    "port_range_max",
    "max_kbps",
    "max_burst_kbps",
    "min_kbps",
    "dscp_mark",
    "external_port",
    "internal_port",
    "segmentation_id",
}
INT_MAX = 2**31 - 1


def _ip(name: str, value: str) -> str:
    try:
        return str(addressing.address(value))
    except ValueError:
        raise bad_attribute(name, f"'{value}' is not a valid IP address") from None


def _cidr(name: str, value: str) -> str:
    try:
        return str(addressing.network(value))
    except ValueError:
        raise bad_attribute(name, f"'{value}' is not a valid IP subnet") from None


def _prefix(name: str, value: str) -> str:
    """A prefix whose further bits stay as they are."""
    _cidr(name, value)
    return value


def _unique(name: str, values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise bad_attribute(name, f"Duplicate items in the list: '{values}'")
    return values


def _mac(name: str, value: str) -> str:
    try:
        return addressing.canonical_mac(value)
    except ValueError as error:
        raise bad_attribute(name, str(error)) from None


def _flag(name: str, value: Any) -> bool:
    return value.lower() == "true" if isinstance(value, str) else bool(value)


def _number(name: str, value: Any) -> int:
    number = int(value)
    if not -INT_MAX <= number <= INT_MAX:
        raise bad_attribute(name, f"'{value}' is not within a range that makes sense")
    return number


def _unique_ips(name: str, values: list[str]) -> list[str]:
    found = [_ip(name, value) for value in values]
    if len(set(found)) < len(found):
        raise bad_attribute(name, f"Duplicate nameserver in {values}")
    return found


def _each(parts: dict[str, Callable[[str, Any], Any]]) -> Callable[[str, Any], Any]:
    def clean(name: str, values: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = [{key: parts[key](name, value) if key in parts else value for key, value in item.items()} for item in values]
        if any(item in found[:place] for place, item in enumerate(found)) and name != "allowed_address_pairs":
            raise bad_attribute(name, f"Duplicate items in the list: '{values}'")
        return found

    return clean


def _gateway(name: str, value: dict[str, Any]) -> dict[str, Any]:
    if value and "network_id" not in value:
        raise bad_attribute(name, "the network_id is missing")
    return {key: CLEANERS[key](key, item) if key in CLEANERS and item is not None else item for key, item in value.items()}


def _ethertype(name: str, value: str) -> str:
    return {"ipv4": "IPv4", "ipv6": "IPv6"}[value.lower()]


CLEANERS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(FLAGS, _flag),
    **dict.fromkeys(NUMBERS, _number),
    **dict.fromkeys(("gateway_ip", "floating_ip_address", "fixed_ip_address", "ip_address"), _ip),
    "mac_address": _mac,
    "cidr": _cidr,
    **dict.fromkeys(("remote_ip_prefix", "source_ip_prefix", "destination_ip_prefix"), _prefix),
    "security_groups": _unique,
    "internal_ip_address": _ip,
    "protocol": lambda name, value: str(value),
    "ethertype": _ethertype,
    "prefixes": lambda name, values: [_cidr(name, value) for value in values],
    "dns_nameservers": _unique_ips,
    "fixed_ips": _each({"ip_address": _ip}),
    "external_fixed_ips": _each({"ip_address": _ip}),
    "allocation_pools": _each({"start": _ip, "end": _ip}),
    "host_routes": _each({"destination": _cidr, "nexthop": _ip}),
    "routes": _each({"destination": _cidr, "nexthop": _ip}),
    "allowed_address_pairs": _each(
        {"ip_address": lambda name, value: _cidr(name, value) if "/" in value else _ip(name, value), "mac_address": _mac}
    ),
    "external_gateway_info": _gateway,
}


@cache
def _fields(kind: type[Struct]) -> tuple[tuple[str, str, Any], ...]:
    """The fields of a Struct: the name in Python, the name in JSON, the default."""
    found = []
    for part in msgspec.structs.fields(kind):
        default = part.default_factory() if part.default_factory is not msgspec.NODEFAULT else part.default
        found.append((part.name, part.encode_name, default))
    return tuple(found)


def attributes_of(body: Struct) -> tuple[Attributes, frozenset[str]]:
    """Return the attributes of a body by their names in the API, and the names of those that are not as by default."""
    found: Attributes = {}
    given = []
    for name, shown, default in _fields(type(body)):
        value = getattr(body, name)
        if value is UNSET:
            continue
        if value != default or isinstance(value, bool) != isinstance(default, bool):
            given.append(shown)
        value = msgspec.to_builtins(value) if isinstance(value, Struct | list) else value
        found[shown] = CLEANERS[shown](shown, value) if value is not None and shown in CLEANERS else value
    return found, frozenset(given)
