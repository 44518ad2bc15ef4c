"""A guest that is sent to another host: what is done where it runs.  A thread a guest; all that counts is in QEMU and in a file,
so another thread, of another process, goes on where one was ended.

    disks       its own disks are copied, and kept in step (mirrors)
    memory      its memory goes over, while it runs or halted
    switching   it is halted; the copies of its disks end; its devices (and what of its memory has not) go over
    gone        the file says so, and then the other host is told: it may run there now
    failed      it goes on here

How its memory goes depends on what runs it.  By KVM, and by TCG from QEMU 10 on, while the guest runs, until the rest fits into
a short halt.  An older QEMU corrupts memory that a guest writes to under TCG meanwhile.  There a guest of up to HALTED_MIB is
halted until its memory is over, which its own clock does not see; a larger one goes over at once and its memory follows
(postcopy), which is lost if a host or the way between them is lost in that moment.
"""

import contextlib
import logging
import socket
import time
from dataclasses import dataclass, field, replace
from threading import Condition, Thread
from typing import Any, Literal, cast

from pileus.compute.driver import Arrival, DriverError, Passage
from pileus.compute.drivers.qemu import mirrors
from pileus.compute.drivers.qemu.place import Leaving, Place, Record
from pileus.compute.drivers.qemu.watch import Live

CONNECT_SECONDS = 10.0
WORD_SECONDS = 3.0
LOOK_SECONDS, LOOK_SOON_SECONDS = 0.05, 0.003
DOWNTIME_MS = 250
BYTES_PER_SECOND_MAX = 10 * 1024**3
CLEAN_UNDER_TCG = 10
HALTED_MIB = 512
ENDED = {"completed", "failed", "cancelled"}
PAST_RETURN = {"postcopy-active", "postcopy-paused", "postcopy-recover", "completed"}
QUIET = {"none", *ENDED}

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Departure:
    """A guest on its way out, and the thread that sends it."""

    live: Live
    tls: str
    passage: Passage = field(default_factory=lambda: Passage("disks"))
    changed: Condition = field(default_factory=Condition)
    given_up: str = ""

    def begin(self) -> None:
        """Start the thread."""
        Thread(target=self._run, name=f"departure {self.live.place.guest_id}", daemon=True).start()

    def note(self, passage: Passage) -> None:
        """Let those who wait know how far it is."""
        with self.changed:
            self.passage = passage
            self.changed.notify_all()

    def await_change(self, seen: str, wait_seconds: float) -> Passage:
        """Return how far it is; for a while not while that is as seen."""
        with self.changed:
            self.changed.wait_for(lambda: self.passage.stage != seen, wait_seconds)
            return self.passage

    def await_end(self, wait_seconds: float) -> None:
        """Wait a while until it has ended."""
        with self.changed:
            self.changed.wait_for(lambda: self.passage.stage in ("failed", "gone"), wait_seconds)

    def _run(self) -> None:
        try:
            _send(self)
        except Exception as error:
            if not isinstance(error, DriverError):
                log.exception("guest %s could not be sent", self.live.place.guest_id)
            _fail(self, str(error))


def passage_of(place: Place) -> Passage | None:
    """Return how far a guest is whom no thread sends."""
    leaving = place.leaving()
    if leaving is None:
        return None
    return Passage("gone") if leaving.gone else Passage("failed", leaving.failed or "its process has ended")


def status(live: Live) -> dict[str, Any]:
    """Return what QEMU says of the memory that goes over."""
    found = cast(dict[str, Any], live.execute("query-migrate"))
    return found | {"status": found.get("status", "none")}


def _kept(place: Place) -> Leaving:
    leaving = place.leaving()
    if leaving is None:
        raise DriverError(f"guest {place.guest_id} is not being sent")
    return leaving


def _send(departure: Departure) -> None:
    live = departure.live
    place, leaving = live.place, _kept(live.place)
    record = place.record()
    if record is None:
        raise DriverError(f"no record of how guest {place.guest_id} was started")
    if leaving.failed:
        raise DriverError(leaving.failed)
    if not leaving.gone and status(live)["status"] in QUIET:
        _copy_disks(departure, record, leaving)
        _start_memory(departure, leaving, record.spec.memory_mib)
    _follow(departure)
    departure.note(replace(departure.passage, stage="gone", memory_remaining_bytes=0, disk_remaining_bytes=0))
    _tell(leaving.arrival)


def _copy_disks(departure: Departure, record: Record, leaving: Leaving) -> None:
    live, arrival = departure.live, leaving.arrival
    if not mirrors.own(record):
        return
    name = mirrors.credentials(live, departure.tls, "client")
    tls: dict[str, object] = {"tls-creds": name, "tls-hostname": arrival.name}
    mirrors.start(live, record, lambda: connected(arrival, arrival.disks_port).detach(), tls)
    while not mirrors.are_ready(live, record):
        _look(departure, leaving)
        total, done = mirrors.copied(live)
        departure.note(_with_disks(Passage("disks"), total, done))
        time.sleep(LOOK_SECONDS)


def _start_memory(departure: Departure, leaving: Leaving, memory_mib: int) -> None:
    live, arrival = departure.live, leaving.arrival
    by_tcg = not _by_kvm(live)
    safe = not by_tcg or _version(live) >= CLEAN_UNDER_TCG
    follows = arrival.postcopy and not safe and leaving.ran and memory_mib > HALTED_MIB
    asked = {"pause-before-switchover": True, "postcopy-ram": follows, "auto-converge": not by_tcg}
    capabilities = [{"capability": name, "state": on} for name, on in asked.items()]
    live.execute("migrate-set-capabilities", {"capabilities": capabilities})
    name = mirrors.credentials(live, departure.tls, "client")
    parameters: dict[str, object] = {"tls-creds": name, "tls-hostname": arrival.name, "downtime-limit": DOWNTIME_MS}
    live.execute("migrate-set-parameters", parameters | {"max-bandwidth": BYTES_PER_SECOND_MAX})
    with contextlib.closing(connected(arrival, arrival.port)) as connection:
        connection.sendall(f"memory {arrival.ticket}\n".encode())
        live.execute("getfd", {"fdname": "memory"}, fd=connection.fileno())
    if not safe and not follows and leaving.ran:
        live.execute("stop")
        departure.note(replace(departure.passage, stage="switching"))
    live.execute("migrate", {"uri": "fd:memory"})
    if follows:
        departure.note(replace(departure.passage, stage="switching"))
        _follow_at_once(live)


def _follow_at_once(live: Live) -> None:
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            live.execute("migrate-start-postcopy")
        except DriverError:
            if status(live)["status"] in ENDED or time.monotonic() > deadline:
                raise
            time.sleep(LOOK_SOON_SECONDS)
        else:
            return


def _follow(departure: Departure) -> None:
    """See to the memory until the guest is gone.  :raises DriverError: when it stays."""
    live = departure.live
    departure.note(_counted(departure.passage, {}))
    while True:
        seen, leaving = status(live), _kept(live.place)
        match seen["status"]:
            case "pre-switchover":
                departure.note(replace(_counted(departure.passage, seen), stage="switching"))
                mirrors.end(live)
                live.execute("migrate-continue", {"state": "pre-switchover"})
            case state if state in PAST_RETURN:
                if not leaving.gone:
                    live.place.keep_leaving(replace(leaving, gone=True))
                return
            case "failed" | "cancelled":
                why = seen.get("error-desc") or departure.given_up or "QEMU does not say why"
                raise DriverError(f"its memory could not be sent: {why}")
            case _:
                departure.note(_counted(departure.passage, seen))
                _look(departure, leaving)
        soon = departure.passage.stage == "switching" or seen["status"] == "setup" or _nears_end(seen)
        time.sleep(LOOK_SOON_SECONDS if soon else LOOK_SECONDS)


def _nears_end(seen: dict[str, Any]) -> bool:
    ram = seen.get("ram", {})
    return int(ram.get("remaining", 0)) < 64 * 1024**2 or bool(ram.get("postcopy-requests"))


def _look(departure: Departure, leaving: Leaving) -> None:
    """:raises DriverError: when it was given up, or takes too long."""
    if departure.given_up:
        raise DriverError(departure.given_up)
    if time.monotonic() > leaving.until_seconds:
        raise DriverError("it took too long")


def _fail(departure: Departure, why: str) -> None:
    """Have the guest go on here, unless it is gone."""
    live = departure.live
    try:
        leaving = live.place.leaving()
        if leaving is not None and not leaving.gone:
            if not live.process.ended(0):
                give_up(live, leaving)
            live.place.keep_leaving(replace(leaving, failed=why))
    except (DriverError, OSError) as error:
        why = f"{why}; {error}"
    departure.note(replace(departure.passage, stage="failed", why=why))


def give_up(live: Live, leaving: Leaving) -> None:
    """Have the guest go on here, whatever was done to send it.

    :raises DriverError: when it cannot.
    """
    deadline = time.monotonic() + CONNECT_SECONDS
    while (now := status(live)["status"]) not in QUIET:
        if now.startswith("postcopy") or time.monotonic() > deadline:
            raise DriverError(f"guest {live.place.guest_id} cannot go on here: its memory is half over ({now})")
        with contextlib.suppress(DriverError):
            live.execute("migrate_cancel")
        time.sleep(LOOK_SOON_SECONDS)
    run_state = str(cast(dict[str, Any], live.execute("query-status"))["status"])
    if leaving.ran and run_state != "running":
        live.execute("cont")
    mirrors.drop(live)


def connected(arrival: Arrival, port: int) -> socket.socket:
    """Return a connection to the host that awaits a guest.  :raises DriverError: when it does not answer."""
    try:
        connection = socket.create_connection((arrival.address, port), CONNECT_SECONDS)
    except OSError as error:
        raise DriverError(f"host {arrival.name} does not answer at {arrival.address}:{port}: {error}") from error
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(None)
    return connection


def _tell(arrival: Arrival) -> None:
    """Tell the other host that the guest has left for good; where that fails, the one who calls `arrive` does."""
    with contextlib.suppress(DriverError, OSError), contextlib.closing(connected(arrival, arrival.port)) as connection:
        connection.settimeout(WORD_SECONDS)
        connection.sendall(f"gone {arrival.word}\n".encode())


def _counted(passage: Passage, seen: dict[str, Any]) -> Passage:
    ram = seen.get("ram", {})
    total, remaining = int(ram.get("total", 0)), int(ram.get("remaining", 0))
    stage: Literal["memory", "switching"] = "switching" if passage.stage == "switching" else "memory"
    passage = replace(passage, stage=stage, memory_total_bytes=total, memory_remaining_bytes=remaining)
    return replace(passage, memory_processed_bytes=int(ram.get("transferred", 0)))


def _with_disks(passage: Passage, total: int, done: int) -> Passage:
    return replace(passage, disk_total_bytes=total, disk_processed_bytes=done, disk_remaining_bytes=max(0, total - done))


def _by_kvm(live: Live) -> bool:
    return bool(cast(dict[str, Any], live.execute("query-kvm"))["enabled"])


def _version(live: Live) -> int:
    return int(cast(dict[str, Any], live.execute("query-version"))["qemu"]["major"])
