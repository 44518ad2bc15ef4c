"""A guest that is awaited from another host: what is done where it will run.

QEMU is started halted, with empty disks that it serves to the host where the guest runs, and waits for its memory.  At a port of
this host (QEMU may be in a namespace that reaches no other) a thread takes two calls: one that brings the memory, which is handed
to QEMU, and one that says that the guest is gone there.  Only with that word it is made to run, and is then ours: the file says
so first.
"""

import contextlib
import hmac
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Thread
from typing import Any, cast

from pileus.compute.driver import Arrival, DriverError
from pileus.compute.drivers.qemu import departures, mirrors
from pileus.compute.drivers.qemu.place import Place
from pileus.compute.drivers.qemu.watch import Live

CALL_SECONDS = 5.0
LINE_BYTES = 128
LOAD_SECONDS = 60.0
LOOK_SECONDS = 0.003
HALTED = ("paused", "prelaunch")  # in QEMU's words; the latter of a guest that never ran

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Door:
    """Where a guest is awaited, until some time on the clock that began with the host's boot.

    :param memory: takes the connection that brings the guest's memory.
    :param gone: is called when the guest has left where it was.
    :param late: is called when it has not come in time.
    """

    arrival: Arrival
    listener: socket.socket
    until_seconds: float
    memory: Callable[[socket.socket], None]
    gone: Callable[[], None]
    late: Callable[[], object]
    closed: bool = field(default=False)

    def open(self) -> None:
        """Begin to take calls."""
        Thread(target=self._run, name="arrival", daemon=True).start()

    def close(self) -> None:
        """Take no more calls."""
        self.closed = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _run(self) -> None:
        while not self.closed:
            try:
                self.listener.settimeout(max(0.0, self.until_seconds - time.monotonic()) + LOOK_SECONDS)
                caller, _ = self.listener.accept()
            except TimeoutError:
                self.late()
                return
            except OSError:
                return
            with contextlib.closing(caller), contextlib.suppress(DriverError, OSError):
                self._take(caller)

    def _take(self, caller: socket.socket) -> None:
        caller.settimeout(CALL_SECONDS)
        kind, _, shown = _line(caller).partition(" ")
        expected = {"memory": self.arrival.ticket, "gone": self.arrival.word}.get(kind, "")
        if not expected or not hmac.compare_digest(shown.encode(), expected.encode()):
            log.warning("a caller at the door of a guest has no ticket")
        elif kind == "memory":
            caller.settimeout(None)
            self.memory(caller)
        else:
            self.gone()


def listening(address: str) -> socket.socket:
    """Return a socket that listens at a free port of an address.

    What is said on its connections is sent at once (they have that of it): where QEMU serves, it does not see to that itself, and
    answers would wait for 40 ms.

    :raises DriverError: when the address is not this host's.
    """
    try:
        listener = socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise DriverError(f"no guest can be awaited at {address}: {error}") from error
    return listener


def can_follow(live: Live) -> bool:
    """Have QEMU take memory that comes after the guest, if this host can do that; tells whether it can."""
    try:
        live.execute("migrate-set-capabilities", {"capabilities": [{"capability": "postcopy-ram", "state": True}]})
    except DriverError as error:
        log.info("memory cannot come after a guest here: %s", error)
        return False
    return True


def take_memory(live: Live, connection: socket.socket) -> None:
    """Hand the connection that brings a guest's memory to QEMU."""
    live.execute("getfd", {"fdname": "memory"}, fd=connection.fileno())
    live.execute("migrate-incoming", {"uri": "fd:memory"})


def accept(live: Live, wanted_on: bool) -> None:
    """Make a guest ours that has left where it was, and have it run.

    :raises DriverError: when it is lost.
    """
    place = live.place
    coming = place.coming()
    if coming is None:
        return
    if not coming.accepted:
        place.keep_coming(replace(coming, accepted=True))
    deadline = time.monotonic() + LOAD_SECONDS
    mirrors.serve_no_more(live)
    asked = False
    while (state := run_state(live)) in ("inmigrate", *HALTED, "postmigrate", "finish-migrate"):
        if state in HALTED and not wanted_on:
            return
        if wanted_on and (not asked or state in HALTED):
            with contextlib.suppress(DriverError):
                live.execute("cont")  # while it waits for its memory: as soon as that is here
                asked = True
        if live.process.ended(0) or time.monotonic() > deadline:
            raise DriverError(f"guest {place.guest_id} has not come to run here")
        time.sleep(LOOK_SECONDS)


def is_whole(live: Live) -> bool:
    """Tell whether a guest that runs here has all of its memory here.  :raises DriverError: when that is lost."""
    now = departures.status(live)["status"]
    if now == "postcopy-paused":
        raise DriverError("the rest of its memory is lost: the host that it came from, or the way from there, is gone")
    return now in ("none", "completed") and run_state(live) != "inmigrate"


def run_state(live: Live) -> str:
    """Return in QEMU's words whether a guest runs.  :raises DriverError: when its process has ended."""
    return str(cast(dict[str, Any], live.execute("query-status"))["status"])


def is_ours(place: Place) -> bool:
    """Tell whether a guest that was awaited has left where it was."""
    coming = place.coming()
    return coming is None or coming.accepted


def _line(caller: socket.socket) -> str:
    """Return the first line that a caller says, and nothing of what follows: that is for QEMU."""
    data = b""
    while not data.endswith(b"\n"):
        byte = caller.recv(1)
        if not byte or len(data) > LINE_BYTES:
            raise DriverError("a caller said nothing")
        data += byte
    return data.decode("ascii", "replace").strip()
