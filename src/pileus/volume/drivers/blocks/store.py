"""What something has to be able to do so that volumes can lie in it: named devices, copied in a moment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from pileus.volume.driver import Wipe


class Store(Protocol):
    """Devices by name.  A call that fails raises `VolumeDriverError` (`BackendFull` without room), and has changed nothing."""

    def room_bytes(self) -> tuple[int, int]:
        """Return how much room there is, and how much of it is free."""

    def names(self) -> set[str]:
        """Return the names of all devices."""

    def usage(self) -> dict[str, int]:
        """Return the bytes that each device takes for itself alone."""

    def size_bytes(self, name: str) -> int:
        """Return how large a device is."""

    def make(self, name: str, size_bytes: int, *, thin: bool) -> None:
        """Make a device of zeroes."""

    def copy(self, source: str, target: str) -> None:
        """Make a device with the content that another one has at this instant, without copying it."""

    def grow(self, name: str, size_bytes: int) -> None:
        """Make a device larger, never smaller."""

    def rename(self, name: str, target: str) -> None:
        """Give a device another name."""

    def remove(self, name: str, wipe: Wipe, stop: Callable[[], bool]) -> bool:
        """Wipe and remove a device that nobody uses, if it is there; False when it was stopped before the end."""

    def protocol(self, name: str) -> dict[str, Any]:
        """Return the block node by which the bytes of a device are reached."""

    def path(self, name: str) -> Path:
        """Return where a device is, as far as it is in the file system."""
