"""What is said to ovsdb-server and ovs-vswitchd over their sockets, without running a program for it.

Format: JSON-RPC 1.0 (ovsdb-server(5), RFC 7047; ovs-appctl uses the same form).
"""

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pileus.network.driver import NetworkDriverError

CALL_SECONDS, SETTLE_SECONDS = 20, 20
TABLES = "Open_vSwitch"
_INDEX = "pileus-index"


def call(path: Path, method: str, parameters: Sequence[Any]) -> Any:
    """Ask once. :raises NetworkDriverError: with the answer that is none."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as asking:
            asking.settimeout(CALL_SECONDS)
            _connect(asking, path)
            asking.sendall(json.dumps({"id": 0, "method": method, "params": parameters}).encode())
            found = _answer(asking)
    except OSError as error:
        raise NetworkDriverError(f"{path.name}: {error}") from error
    if found.get("error"):
        raise NetworkDriverError(f"{method}: {found['error']}")
    return found.get("result")


def _connect(asking: socket.socket, path: Path) -> None:
    """Connect, however long the path is (an address holds 107 characters)."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        asking.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _answer(asking: socket.socket) -> Mapping[str, Any]:
    received = b""
    while True:
        part = asking.recv(1 << 20)
        if not part:
            raise ConnectionError("it hung up")
        received += part
        try:
            found = json.loads(received)
        except ValueError:
            continue
        if isinstance(found, dict) and "method" not in found:
            return found
        received = b""  # a notice


@dataclass(frozen=True)
class Interface:
    """A row of an interface to be. `index` is that of its device: one that is made anew under its name is another; `facts` are
    for people and tools to read.
    """

    name: str
    number: int
    index: int
    tag: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """An interface as the switch has it; number -1 or 0: not at all. `index` is that of the device which it was made of."""

    number: int
    index: int
    tag: int


class Database:
    """The rows of a switch."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def interfaces(self) -> dict[str, Row]:
        """All interfaces by name."""
        columns = {"Interface": ["name", "ofport", "external_ids"], "Port": ["name", "tag"]}
        asked = ({"op": "select", "table": table, "where": [], "columns": names} for table, names in columns.items())
        interfaces, ports = (found["rows"] for found in self._transact(*asked))
        tags = {row["name"]: max(_number(row["tag"]), 0) for row in ports}
        return {
            row["name"]: Row(_number(row["ofport"]), _index(row["external_ids"]), tags.get(row["name"], 0)) for row in interfaces
        }

    def add(self, bridge: str, interface: Interface) -> None:
        """Add an interface to a bridge, and wait until the switch has it."""
        row: dict[str, Any] = {"name": interface.name, "ofport_request": interface.number}
        row |= {"external_ids": _map({**interface.facts, _INDEX: f"{interface.index}"})}
        port: dict[str, Any] = {"name": interface.name, "interfaces": ["named-uuid", "i"]}
        port |= {"tag": interface.tag} if interface.tag else {}
        self._settle(
            {"op": "insert", "table": "Interface", "uuid-name": "i", "row": row},
            {"op": "insert", "table": "Port", "uuid-name": "p", "row": port},
            {
                "op": "mutate", "table": "Bridge", "where": [["name", "==", bridge]],
                "mutations": [["ports", "insert", ["set", [["named-uuid", "p"]]]]],
            },
        )  # fmt: skip

    def remove(self, bridge: str, name: str) -> None:
        """Remove an interface from a bridge, if it is there, and wait until it is gone."""
        select = {"op": "select", "table": "Port", "where": [["name", "==", name]], "columns": ["_uuid"]}
        if rows := self._transact(select)[0]["rows"]:
            gone = ["set", [row["_uuid"] for row in rows]]
            where = [["name", "==", bridge]]
            self._settle({"op": "mutate", "table": "Bridge", "where": where, "mutations": [["ports", "delete", gone]]})

    def _settle(self, *operations: Mapping[str, Any]) -> None:
        """Commit, and wait until the switch has done so."""
        count = {"op": "mutate", "table": TABLES, "where": [], "mutations": [["next_cfg", "+=", 1]]}
        look = {"op": "select", "table": TABLES, "where": [], "columns": ["next_cfg", "cur_cfg"]}
        wanted = self._transact(*operations, count, look)[-1]["rows"][0]["next_cfg"]
        deadline, pause = time.monotonic() + SETTLE_SECONDS, 0.0005
        while self._transact(look)[0]["rows"][0]["cur_cfg"] < wanted:
            if time.monotonic() > deadline:
                raise NetworkDriverError("ovs-vswitchd does not follow its database")
            time.sleep(pause)
            pause = min(pause * 2, 0.02)

    def _transact(self, *operations: Mapping[str, Any]) -> list[Any]:
        found: list[Any] = call(self._path, "transact", [TABLES, *operations])
        for each in found:
            if each and each.get("error"):
                raise NetworkDriverError(f"ovsdb-server: {each['error']}: {each.get('details', '')}")
        return found


def _map(plain: Mapping[str, str]) -> list[Any]:
    return ["map", [[key, value] for key, value in plain.items()]]


def _number(value: object) -> int:
    return value if isinstance(value, int) else -1


def _index(facts: list[Any]) -> int:
    return int(dict(facts[1]).get(_INDEX, -1))
