"""What a guest that runs has plugged in, and how it is made to let go of it."""

import time
from typing import cast

from pileus.compute.driver import DriverError
from pileus.compute.drivers.qemu.watch import Live

ASK_AGAIN_SECONDS = 1.0
LOOK_SECONDS = 0.02


def peripherals(live: Live) -> set[str]:
    """The ids of all devices of the guest."""
    return names(live, "/machine/peripheral")


def unplug(live: Live, device: str, what: str, timeout_seconds: float) -> None:
    """Ask the guest to let go of a device, again and again, until it has.

    :raises DriverError: when it has not in time.
    """
    deadline = time.monotonic() + timeout_seconds
    ask_at = 0.0
    while device in peripherals(live):
        now = time.monotonic()
        if now > deadline:
            raise DriverError(f"the guest did not let go of {what} in {timeout_seconds:g} s")
        if now >= ask_at:
            ask_at = now + ASK_AGAIN_SECONDS
            try:
                live.execute("device_del", {"id": device})
            except DriverError as error:
                if "in the process of unplug" not in str(error) and device in peripherals(live):
                    raise
        time.sleep(LOOK_SECONDS)


def names(live: Live, path: str) -> set[str]:
    """The names of the objects in a folder of QEMU's object tree."""
    return {entry["name"] for entry in cast(list[dict[str, str]], live.execute("qom-list", {"path": path}))}
