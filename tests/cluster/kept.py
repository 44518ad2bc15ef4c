"""Fake drivers whose guests, ports and routers are kept in a file, as those of a real host outlive its agent.

What a call did is written down before the call is answered.
"""

import os
import pickle
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from pileus.compute.driver import Arrival, GuestSpec, Machine
from pileus.compute.drivers.fake import FakeHypervisor
from pileus.compute.drivers.fake_moves import Leaving
from pileus.network.drivers.fake import FakeNetworkHost
from pileus.volume.drivers.fake import FakeBackend

READING = {
    "observe",
    "observe_all",
    "resources",
    "console_log",
    "screenshot",
    "diagnose",
    "listen",
    "close",
    "describe",
    "capacity",
}
PASSAGE_SECONDS = 1.0  # so long a guest's memory takes from host to host


class Kept:
    """A driver, and a file that holds what it made.

    :param names: its attributes that are kept.
    """

    def __init__(self, driver: Any, file: Path, names: tuple[str, ...]) -> None:
        self._driver, self._file, self._names = driver, file, names
        self._writing = threading.Lock()
        for name, value in read(file).items():
            getattr(driver, name).update(value)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._driver, name)
        if name in READING or name.startswith("_") or not callable(found):
            return found

        def call(*given: Any, **named: Any) -> Any:
            try:
                return found(*given, **named)
            finally:
                self._write()

        return call

    def _write(self) -> None:
        with self._writing:
            with self._driver._lock:
                data = pickle.dumps({name: dict(getattr(self._driver, name)) for name in self._names})
            _write(self._file, data)


def _write(file: Path, data: bytes) -> None:
    """Have a file there, whole."""
    new = file.with_suffix(".new")
    new.write_bytes(data)
    os.rename(new, file)


def read(file: Path) -> dict[str, dict[str, Any]]:
    """Return what is kept, by attribute."""
    return dict(pickle.loads(file.read_bytes())) if file.exists() else {}


class Travelling(FakeHypervisor):
    """A hypervisor whose guests go to those of other processes, by files in a folder that all share.

    A guest has left when its file is there: at that moment it is where it goes to, and no longer where it was.
    """

    def __init__(self, name: str, passages: Path) -> None:
        super().__init__()
        self.address, self._passages = name, passages
        self._sent: dict[str, float] = {}
        passages.mkdir(exist_ok=True)

    def receive(self, spec: GuestSpec, machine: Machine) -> Arrival:
        """As in the contract."""
        with self._lock:
            arrival = super().receive(spec, machine)
            known = self.coming[spec.id]
            if len(arrival.ticket) < 32:
                known.arrival = arrival = replace(arrival, ticket=uuid.uuid4().hex)
            return arrival

    def require_here(self, guest_id: str) -> None:
        """As in the fake."""
        self._look(guest_id)
        super().require_here(guest_id)

    def stay(self, guest_id: str, refused: bool = False) -> None:
        """As in the contract."""
        self._look(guest_id)
        super().stay(guest_id, refused)

    def refuse(self, guest_id: str) -> bool:
        """As in the contract; one that has left where it was is not refused any more."""
        with self._lock:
            if guest_id in self.coming and self._file(guest_id, self.coming[guest_id].arrival).exists():
                return False
            return super().refuse(guest_id)

    def _look(self, guest_id: str) -> None:
        """Notice that a guest has left, as when this process died right after that."""
        leaving = self.leaving.get(guest_id)
        if leaving is not None and self._file(guest_id, leaving.arrival).exists():
            leaving.gone = True

    def _go_on(self, guest_id: str, leaving: Leaving) -> None:
        began = self._sent.setdefault(f"{guest_id} {leaving.arrival.ticket}", time.monotonic())
        if not leaving.hurried and time.monotonic() - began < PASSAGE_SECONDS:
            return
        file = self._file(guest_id, leaving.arrival)
        awaited = read(file.parents[1] / leaving.arrival.address / "guests.kept").get("coming", {}).get(guest_id)
        if not file.exists() and (awaited is None or awaited.arrival != leaving.arrival):
            leaving.failed = "its memory could not be sent: connection reset by peer"
            return
        _write(file, pickle.dumps(self.guests[guest_id]))
        leaving.gone = True

    def take_in(self, guest_id: str) -> None:
        """As in the fake."""
        with self._lock:
            coming = self.coming[guest_id]
            file = self._file(guest_id, coming.arrival)
            if file.exists():
                coming.had = pickle.loads(file.read_bytes())
            super().take_in(guest_id)

    def _file(self, guest_id: str, arrival: Arrival) -> Path:
        return self._passages / f"{guest_id}.{arrival.ticket}"


def hypervisor(file: Path, passages: Path) -> Kept:
    """A hypervisor whose guests are kept."""
    return Kept(Travelling(file.parent.name, passages), file, ("guests", "coming", "leaving"))


def volumes(file: Path) -> Kept:
    """A back end whose volumes are kept."""
    return Kept(FakeBackend(), file, ("volumes",))


def network_host(file: Path) -> Kept:
    """A host's networks, kept."""
    return Kept(FakeNetworkHost(), file, ("networks", "ports", "routers", "groups"))
