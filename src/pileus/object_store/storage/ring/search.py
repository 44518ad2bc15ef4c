"""How devices are written and searched for on the command line.

A device to add: `r1z2-10.0.0.1:6200R10.1.0.1:6200/sda_text`.  A search: any parts of the same form, after `d7` for an id (`z2`,
`d7r1`, `10.0.0.1`, `:6200`, `R:6200`, `/sda`, `_text`); an IPv6 address stands in brackets.  A change: what may follow the zone.
"""

import ipaddress
import re
from collections.abc import Iterable

import msgspec

from pileus.object_store.places import Node

_IP = r"(?:\[[^\]]*\]|\d[\d.]*)"
_REST = (
    rf"(?::(?P<port>\d+))?(?:R(?P<replication_ip>{_IP})?(?::(?P<replication_port>\d+))?)?"
    r"(?:/(?P<device>[^_]+))?(?:_(?P<meta>.*))?"
)
_SEARCH = re.compile(rf"(?:d(?P<id>\d+))?(?:r(?P<region>\d+))?(?:z(?P<zone>\d+))?-?(?P<ip>{_IP})?{_REST}", re.DOTALL)
_CHANGE = re.compile(rf"(?P<ip>{_IP})?{_REST}", re.DOTALL)
_DEVICE = re.compile(
    r"(?:r(?P<region>\d+))?z(?P<zone>\d+)-(?P<ip>[^/R]+):(?P<port>\d+)(?:R(?P<replication_ip>[^/R]+):(?P<replication_port>\d+))?"
    r"/(?P<device>[^_]+)(?:_(?P<meta>.*))?",
    re.DOTALL,
)
_HOST_LABEL = re.compile(r"(?!-)[a-z\d-]{1,63}(?<!-)")
_NUMBERS = {"id", "region", "zone", "port", "replication_port"}


def normal_ip(text: str) -> str:
    """Return an IP address in the form that it is kept in, IPv6 in its short one.

    :raises ValueError: when it is none.
    """
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise ValueError(f"Invalid ip {text}") from None


def normal_address(text: str) -> str:
    """Return an IP address or a host name in the form that it is kept in.

    :raises ValueError: when it is neither.
    """
    try:
        return normal_ip(text)
    except ValueError:
        name = text.lower()
        if len(name) > 255 or not all(_HOST_LABEL.fullmatch(label) for label in name.removesuffix(".").split(".")):
            raise ValueError(f"Invalid address {text}") from None
        return name


def check_device_name(name: str) -> None:
    """:raises ValueError: when a device must not be called that."""
    if not name or name != name.strip(" "):
        raise ValueError("Invalid device name")


def parse_device(text: str, weight: float) -> Node:
    """Read a device to add.

    :raises ValueError: when it is none, or the weight is below zero.
    """
    found = _DEVICE.fullmatch(text)
    if not found:
        raise ValueError(f"Invalid add value: {text}")
    if weight < 0:
        raise ValueError(f"Invalid weight value: {text}")
    given = _values(found)
    check_device_name(str(given["device"]))
    given.setdefault("replication_ip", given["ip"])
    given.setdefault("replication_port", given["port"])
    return msgspec.convert({"id": -1, "region": 1, "weight": weight, **given}, Node)


def parse_search(text: str) -> dict[str, object]:
    """Read a search: the fields that must be equal; {} for "*", which finds all.

    :raises ValueError: when it is none.
    """
    if text == "*":
        return {}
    found = _SEARCH.fullmatch(text)
    values = _values(found) if found else {}
    if not values:
        raise ValueError(f"Invalid <search-value>: {text!r}")
    return values


def parse_change(text: str) -> dict[str, object]:
    """Read what is to become of a device: IP:PORT[R...]/NAME_META, any part of it.

    :raises ValueError: when it is none.
    """
    found = _CHANGE.fullmatch(text)
    values = _values(found) if found else {}
    if not values:
        raise ValueError(f"Invalid set info change value: {text!r}")
    return values


def _values(found: re.Match[str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for field, text in found.groupdict().items():
        if text is not None:
            values[field] = int(text) if field in _NUMBERS else normal_ip(text) if field.endswith("ip") else text
    return values


def matching(nodes: Iterable[Node], wanted: dict[str, object]) -> list[Node]:
    """Return the devices whose fields are as wanted; meta need only be contained."""
    return [node for node in nodes if all(_matches(node, field, value) for field, value in wanted.items())]


def _matches(node: Node, field: str, value: object) -> bool:
    if field == "meta":
        return str(value) in node.meta
    own = getattr(node, field)
    if field in {"replication_ip", "replication_port"} and not own:
        own = getattr(node, field.removeprefix("replication_"))
    return bool(own == value)


def show(node: Node) -> str:
    """Return a device in the form that can be searched for."""
    ip = f"[{node.ip}]" if ":" in node.ip else node.ip
    replication = node.replication_ip or node.ip
    replication = f"[{replication}]" if ":" in replication else replication
    return (
        f"d{node.id}r{node.region}z{node.zone}-{ip}:{node.port}R{replication}:{node.replication_port or node.port}"
        f'/{node.device}_"{node.meta}"'
    )
