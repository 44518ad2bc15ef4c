"""The numbers of this host: the tag of each network, the number of each interface and group, kept in one file.

A number that has become free is used again as late as possible: what was learned of it may live on for some minutes.
"""

import json
import threading
from pathlib import Path
from typing import Literal

from pileus.network.driver import NetworkDriverError

Kind = Literal["tag", "port", "group"]
RANGES: dict[Kind, tuple[int, int]] = {"tag": (1, 4094), "port": (10, 60000), "group": (1, 2**31)}


class Numbers:
    """Gives numbers to names. May be called from several threads."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._given: dict[str, dict[str, int]] = {kind: {} for kind in RANGES}
        self._last: dict[str, int] = {}
        self.legs: dict[str, tuple[str, str | None]] = {}
        if file.exists():
            kept = json.loads(file.read_text())
            self._given |= kept["given"]
            self._last = kept["last"]
            self.legs = {device: (network_id, mac) for device, (network_id, mac) in kept["legs"].items()}

    def of(self, kind: Kind, name: str) -> int:
        """The number of a name; a new one if it has none. :raises NetworkDriverError: when all are in use."""
        with self._lock:
            given = self._given[kind]
            if name in given:
                return given[name]
            first, last = RANGES[kind]
            taken, number = set(given.values()), self._last.get(kind, first - 1)
            if len(taken) > last - first:
                raise NetworkDriverError(f"all {last - first + 1} numbers for {kind}s are in use on this host")
            while True:
                number = number + 1 if number < last else first
                if number not in taken:
                    break
            given[name] = self._last[kind] = number
            self._write()
            return number

    def known(self, kind: Kind, name: str) -> int | None:
        """The number of a name, if it has one."""
        return self._given[kind].get(name)

    def free(self, kind: Kind, name: str) -> int | None:
        """Take a number back; returns it."""
        with self._lock:
            number = self._given[kind].pop(name, None)
            if number is not None:
                self._write()
            return number

    def set_leg(self, device: str, network_id: str, mac: str | None) -> None:
        """Note what an interface of the cloud's own is for."""
        with self._lock:
            if self.legs.get(device) != (network_id, mac):
                self.legs[device] = (network_id, mac)
                self._write()

    def remove_leg(self, device: str) -> None:
        """Forget it."""
        with self._lock:
            if self.legs.pop(device, None):
                self._write()

    def clear(self) -> None:
        """Nothing has a number."""
        with self._lock:
            self._given = {kind: {} for kind in RANGES}
            self._last = {}
            self.legs = {}
            self._file.unlink(missing_ok=True)

    def _write(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self._file.with_suffix(".new")
        temporary.write_text(json.dumps({"given": self._given, "last": self._last, "legs": self.legs}))
        temporary.replace(self._file)
