"""A host that does not reach the control plane halts its guests after a while: by then others may make them anew.

    renew    every few seconds: the control plane says for how long this host may run its guests from then on (a lease), and
             which not at all; those that are its own go on if they were halted
    look     every second: where the lease is over, everything that runs is halted

The clock is the one that began with the machine's boot, and the end of the lease is kept in a file: an agent that is started
again while nobody hears it has the lease of the one before.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pileus.agent.contracts import ConductorError, Lease
from pileus.kernel.bus_rabbit import HostUnreachable

ASK_SECONDS, LOOK_SECONDS = 5.0, 1.0
RUNNING = ("on", "paused")

log = logging.getLogger(__name__)

Ask = Callable[[str, tuple[str, ...]], Lease]
"""Asks the control plane to go on with a host and its guests."""


@dataclass
class Fence:
    """The guests of a host, and until when they may run on `clock` (None: for ever).

    :param kept: the file that holds that time.
    """

    host: str
    driver: Any
    ask: Ask
    kept: Path
    clock: Callable[[], float] = time.monotonic
    until: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.until = float(self.kept.read_text())

    def start(self) -> None:
        """Begin to ask and to look."""
        for work, seconds in ((self.renew, ASK_SECONDS), (self.look, LOOK_SECONDS)):
            threading.Thread(target=self._repeat, args=(work, seconds), name=f"fence {work.__name__}", daemon=True).start()

    def close(self) -> None:
        """Ask and look no more."""
        self._stop.set()

    def renew(self) -> bool:
        """Ask the control plane; tells whether it answered."""
        asked = self.clock()
        guest_ids = self._guest_ids()
        try:
            lease = self.ask(self.host, guest_ids)
        except (HostUnreachable, ConductorError) as error:
            log.warning("the control plane does not answer host %s: %s", self.host, error)
            return False
        with self._lock:
            self.until = asked + lease.seconds if lease.seconds else None
            self._keep()
            if self._is_over():
                return True  # the answer came too late
            for guest_id in guest_ids:
                (self.driver.halt if guest_id in lease.halted else self.driver.go_on)(guest_id)
        return True

    def look(self) -> bool:
        """Halt what runs if the time is over; tells whether it is."""
        with self._lock:
            if not self._is_over():
                return False
            log.error("host %s does not reach the control plane: its guests are halted", self.host)
            for guest_id in self._guest_ids():
                self.driver.halt(guest_id)
            return True

    def _is_over(self) -> bool:
        return self.until is not None and self.clock() >= self.until

    def _guest_ids(self) -> tuple[str, ...]:
        return tuple(id for id, state in self.driver.observe_all().items() if state.power in RUNNING)

    def _keep(self) -> None:
        if self.until is None:
            self.kept.unlink(missing_ok=True)
            return
        new = self.kept.with_suffix(".new")
        new.write_text(repr(self.until))
        os.replace(new, self.kept)

    def _repeat(self, work: Callable[[], bool], seconds: float) -> None:
        while not self._stop.is_set():
            try:
                work()
            except Exception:
                log.exception("the guests of host %s could not be looked at", self.host)
            self._stop.wait(seconds)


def fences(state_dir: Path, roles: Mapping[str, Mapping[str, Any]], ask: Ask) -> list[Fence]:
    """Return the fence of each host with guests that can be halted."""
    drivers = {name: found["hypervisor"] for name, found in roles.items() if "hypervisor" in found}
    return [Fence(name, driver, ask, state_dir / f"lease-{name}") for name, driver in drivers.items() if hasattr(driver, "halt")]
