"""What a hypervisor must do beside pileus.compute.driver so that guests that are off can go from host to host.

    here    pack --> (second names of the disks' files)                            destroy, once nobody wants them any more
    there             unpack --> (the guest, off, with these disks) --> ensure

The files stay where they are until the guest is destroyed here.  How they come there is no matter of the drivers: hosts of one
cloud hand one another files (pileus.kernel.peers), and `unpack` finds them in a directory.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pileus.compute.driver import GuestSpec


@dataclass(frozen=True, slots=True)
class Parcel:
    """One file of a guest."""

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Luggage:
    """What a guest takes along.

    :param ticket: names the move: luggage of the same one is taken in once.
    :param directory: where the files are, each under `path`.
    :param origin: `https://HOST:PORT` of the host that they are to be had of; "": they are on this machine.
    """

    guest_id: str
    ticket: str
    directory: str
    files: tuple[Parcel, ...] = ()
    origin: str = ""

    def path(self, name: str) -> Path:
        """Return where a file is."""
        return Path(self.directory) / f"{self.guest_id}.{name}"


class GuestMover(Protocol):
    """An optional ability: hand a guest that is off to another host, and take one in."""

    def pack(self, guest_id: str, ticket: str, directory: str) -> Luggage:
        """Give the files of a guest that is off second names in a directory, and say which they are.  May be repeated.

        :raises DriverError: when there is no such guest, or it runs, or its memory is kept.
        """

    def unpack(self, spec: GuestSpec, luggage: Luggage) -> None:
        """Take a guest in as it was packed: whole or not at all, and once for each ticket.

        What is here of the guest from another move is thrown away.  Read-only files below its disks are those of the spec.

        :raises DriverError: when the guest runs here, when a file is missing or short, or there is no room.
        """


class Halter(Protocol):
    """An optional ability: halt guests of a host that nobody hears of, because others may be about to make them anew."""

    def halt(self, guest_id: str) -> None:
        """Have a guest that runs do nothing from now on, and kill it where that cannot be; nothing happens to any other."""

    def go_on(self, guest_id: str) -> None:
        """Let a guest run that was halted so."""
