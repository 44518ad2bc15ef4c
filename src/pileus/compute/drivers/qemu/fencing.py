"""Guests of a host that nobody hears of: halted, with a mark beside them, until it is known that they are this host's still."""

import contextlib
import logging

from pileus.compute.driver import DriverError
from pileus.compute.drivers.qemu.watch import Live

STOP_SECONDS = 5.0  # what is being written is finished first
MARK = "halted"

log = logging.getLogger(__name__)


def halt(live: Live) -> None:
    """Halt a guest that runs; one that does not let itself be halted in time is killed."""
    place = live.place
    with contextlib.suppress(OSError):
        (place.path / MARK).touch()
    try:
        live.execute("stop", timeout_seconds=STOP_SECONDS)
    except DriverError as error:
        log.warning("guest %s cannot be halted and is killed: %s", place.guest_id, error)
        live.process.kill()
    else:
        live.status = "paused"


def go_on(live: Live) -> None:
    """Let a guest run that was halted here."""
    mark = live.place.path / MARK
    if not mark.exists():
        return
    with contextlib.suppress(DriverError):  # it has ended
        live.execute("cont")
        live.status = "running"
    mark.unlink(missing_ok=True)
