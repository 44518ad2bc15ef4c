"""How devices are written and searched for on the command line.

A device to add: `r1z2-10.0.0.1:6200R10.1.0.1:6200/sda_"text"`.  A search: any parts of the same form, after `d7` for an id
(`z2`, `d7`, `-10.0.0.1`, `:6200`, `/sda`, `_text`), or fields given as options.
"""

import re
from collections.abc import Iterable

import msgspec

from pileus.object_store.places import Node

_HOST = r"(?:\[[0-9a-fA-F:]+\]|[^:/_R]+)"
_DEVICE = re.compile(
    rf"(?:r(?P<region>\d+))?z(?P<zone>\d+)-(?P<ip>{_HOST}):(?P<port>\d+)"
    rf"(?:R(?P<replication_ip>{_HOST}):(?P<replication_port>\d+))?/(?P<device>[^_/]+)(?:_(?P<meta>.+))?"
)
_SEARCH = re.compile(
    rf"(?:d(?P<id>\d+))?(?:r(?P<region>\d+))?(?:z(?P<zone>\d+))?(?:-?(?P<ip>(?<=-){_HOST}))?(?::(?P<port>\d+))?"
    rf"(?:R(?P<replication_ip>{_HOST})?(?::(?P<replication_port>\d+))?)?(?:/(?P<device>[^_/]+))?(?:_(?P<meta>.+))?"
)
_NUMBERS = {"id", "region", "zone", "port", "replication_port"}


def parse_device(text: str, weight: float) -> Node:
    """Read a device to add.

    :raises ValueError: when it is none.
    """
    found = _DEVICE.fullmatch(text)
    if not found:
        raise ValueError(f"Invalid add value: {text}")
    given = _values(found)
    given.setdefault("replication_ip", given["ip"])
    given.setdefault("replication_port", given["port"])
    return msgspec.convert({"id": 0, "region": 1, "weight": weight, **given}, Node)


def parse_search(text: str) -> dict[str, object]:
    """Read a search: the fields that must be equal; {} for "*", which finds all.

    :raises ValueError: when it is none.
    """
    if text == "*":
        return {}
    found = _SEARCH.fullmatch(text)
    values = _values(found) if found else {}
    if not values:
        raise ValueError(f"Invalid search value: {text}")
    return values


def _values(found: re.Match[str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for field, text in found.groupdict().items():
        if text is not None:
            values[field] = int(text) if field in _NUMBERS else text.strip('"[]')
    return values


def matching(nodes: Iterable[Node], wanted: dict[str, object]) -> list[Node]:
    """Return the devices whose fields are as wanted; meta need only be contained."""
    return [
        node
        for node in nodes
        if all(str(value) in node.meta if field == "meta" else getattr(node, field) == value for field, value in wanted.items())
    ]


def show(node: Node) -> str:
    """Return a device in the form that can be searched for."""
    ip = f"[{node.ip}]" if ":" in node.ip else node.ip
    replication = node.replication_ip or node.ip
    replication = f"[{replication}]" if ":" in replication else replication
    return (
        f"d{node.id}r{node.region}z{node.zone}-{ip}:{node.port}R{replication}:{node.replication_port or node.port}"
        f'/{node.device}_"{node.meta}"'
    )
