"""Guests of the hypervisor that runs nothing, on their way from one to another of the same process."""

import itertools
from dataclasses import dataclass, replace
from threading import RLock
from typing import Any
from weakref import WeakValueDictionary

from pileus.compute.driver import (
    MIB,
    MOVE_SECONDS,
    Arrival,
    DriverError,
    GuestSpec,
    HostResources,
    Machine,
    Passage,
)

HOSTS: WeakValueDictionary[str, "MovingFake"] = WeakValueDictionary()
MOVE_METHODS = frozenset({"describe", "receive", "send", "passage", "hurry", "stay", "arrive", "refuse"})
_numbers = itertools.count(1)


@dataclass
class Coming:
    """A guest that is awaited."""

    spec: GuestSpec
    arrival: Arrival
    had: Any = None
    """What it was where it came from; None as long as it runs there."""


@dataclass
class Leaving:
    """A guest that is being sent."""

    arrival: Arrival
    hurried: bool = False
    gone: bool = False
    failed: str = ""


class MovingFake:
    """What a fake host does to let guests move.

    The memory of guests in `restless` does not come to an end unless they are hurried.  Guests in `doomed` cannot be sent.  A
    host that is `mute` does not tell the other one that a guest is gone.
    """

    guests: dict[str, Any]
    host: HostResources

    def __init__(self) -> None:
        self.coming: dict[str, Coming] = {}
        self.leaving: dict[str, Leaving] = {}
        self.restless: set[str] = set()
        self.doomed: set[str] = set()
        self.halted: set[str] = set()
        self.mute = False
        self.address = f"fake{next(_numbers)}"
        self._lock = RLock()
        HOSTS[self.address] = self

    def _arrive(self, method: str, guest_id: str) -> None:
        raise NotImplementedError

    def runs(self, guest_id: str) -> bool:
        """Tell whether a guest runs here."""
        leaving = self.leaving.get(guest_id)
        return guest_id in self.guests and self.guests[guest_id].power == "on" and not (leaving and leaving.gone)

    def describe(self, guest_id: str) -> Machine:
        """As in the contract."""
        self._arrive("describe", guest_id)
        with self._lock:
            guest = self._running(guest_id)
            return Machine(guest.spec, {}, "fake", self.host.virt_type, self.host.hypervisor_version)

    def receive(self, spec: GuestSpec, machine: Machine) -> Arrival:
        """As in the contract."""
        self._arrive("receive", spec.id)
        with self._lock:
            if spec.id in self.coming:
                return self.coming[spec.id].arrival
            if spec.id in self.guests and self.guests[spec.id].power == "on":
                raise DriverError(f"guest {spec.id} runs here already")
            self.guests.pop(spec.id, None)
            arrival = Arrival(self.address, self.address, 1, ticket=str(next(_numbers)))
            self.coming[spec.id] = Coming(spec, arrival)
            return arrival

    def send(self, guest_id: str, arrival: Arrival, seconds: float = MOVE_SECONDS) -> None:
        """As in the contract."""
        self._arrive("send", guest_id)
        with self._lock:
            self._running(guest_id)
            leaving = self.leaving.get(guest_id)
            if leaving is None or (leaving.arrival != arrival and not leaving.gone):
                self.leaving[guest_id] = Leaving(arrival)

    def passage(self, guest_id: str, seen: str = "", wait_seconds: float = 0.0) -> Passage | None:
        """As in the contract: a guest that is neither restless nor doomed is gone by the time one asks."""
        self._arrive("passage", guest_id)
        with self._lock:
            leaving = self.leaving.get(guest_id)
            if leaving is None:
                return None
            if guest_id not in self.guests:
                raise DriverError(f"no guest {guest_id}")
            if not leaving.gone and not leaving.failed:
                self._go_on(guest_id, leaving)
            total = int(self.guests[guest_id].spec.memory_mib) * MIB
            stage = "gone" if leaving.gone else "failed" if leaving.failed else "memory"
            done = total if leaving.gone else total // 4
            return Passage(stage, leaving.failed, total, done, total - done)  # type: ignore[arg-type]

    def _go_on(self, guest_id: str, leaving: Leaving) -> None:
        target = HOSTS.get(leaving.arrival.address)
        expected = target.coming.get(guest_id) if target else None
        if expected is None or expected.arrival != leaving.arrival or guest_id in self.doomed:
            leaving.failed = "its memory could not be sent: connection reset by peer"
        elif guest_id not in self.restless or leaving.hurried:
            leaving.gone = True
            expected.had = self.guests[guest_id]
            if target is not None and not self.mute:
                target.take_in(guest_id)

    def hurry(self, guest_id: str) -> None:
        """As in the contract."""
        self._arrive("hurry", guest_id)
        with self._lock:
            leaving = self.leaving.get(guest_id)
            if leaving is None or leaving.gone or leaving.failed:
                raise DriverError(f"guest {guest_id} is not being sent")
            leaving.hurried = True

    def stay(self, guest_id: str, refused: bool = False) -> None:
        """As in the contract."""
        self._arrive("stay", guest_id)
        with self._lock:
            leaving = self.leaving.get(guest_id)
            if leaving is not None and leaving.gone and not refused:
                raise DriverError(f"guest {guest_id} has left for another host")
            self.leaving.pop(guest_id, None)

    def arrive(self, guest_id: str, wait_seconds: float = 0.0) -> bool:
        """As in the contract."""
        self._arrive("arrive", guest_id)
        with self._lock:
            if guest_id in self.coming:
                self.take_in(guest_id)
            if guest_id not in self.guests:
                raise DriverError(f"guest {guest_id} is lost: its process has ended")
            return True

    def take_in(self, guest_id: str) -> None:
        """Have a guest run here that has left where it was.  :raises DriverError: when it has not come."""
        with self._lock:
            coming = self.coming[guest_id]
            if coming.had is None:
                raise DriverError(f"guest {guest_id} is lost: its memory has not come")
            volumes = {disk.id: disk for disk in coming.spec.disks if disk.kind == "volume"}
            self.guests[guest_id] = replace(coming.had, spec=coming.spec, volumes=volumes)
            del self.coming[guest_id]

    def refuse(self, guest_id: str) -> bool:
        """As in the contract."""
        self._arrive("refuse", guest_id)
        with self._lock:
            self.coming.pop(guest_id, None)
            return guest_id not in self.guests

    def require_here(self, guest_id: str) -> None:
        """Check that a guest is not under way.  :raises DriverError: when it is."""
        leaving = self.leaving.get(guest_id)
        if leaving is not None and leaving.failed:
            del self.leaving[guest_id]
        elif leaving is not None:
            raise DriverError(f"guest {guest_id} {'has left' if leaving.gone else 'is leaving'} for another host")
        if guest_id in self.coming:
            raise DriverError(f"guest {guest_id} is awaited here, and runs elsewhere still")

    def halt(self, guest_id: str) -> None:
        """As in the contract."""
        with self._lock:
            if self.runs(guest_id):
                self.guests[guest_id].power = "paused"
                self.halted.add(guest_id)

    def go_on(self, guest_id: str) -> None:
        """As in the contract."""
        with self._lock:
            if guest_id in self.halted and guest_id in self.guests:
                self.guests[guest_id].power = "on"
            self.halted.discard(guest_id)

    def _running(self, guest_id: str) -> Any:
        guest = self.guests.get(guest_id)
        if guest is None or guest.power not in ("on", "paused"):
            raise DriverError(f"guest {guest_id} does not run")
        return guest
