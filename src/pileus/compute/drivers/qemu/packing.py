"""Guests that are off go from host to host: their disks are files, and what is below those is the same on every host.

A guest that comes in is put together beside the others (guests/.ID.arriving) and appears whole, with the ticket it came by.
"""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

from pileus.compute.driver import DriverError, GuestSpec
from pileus.compute.drivers.qemu import disks
from pileus.compute.drivers.qemu.place import Place
from pileus.compute.moving import Luggage, Parcel

TICKET = "ticket"
COPY_SECONDS = 3600.0


class Packing:
    """The part of a hypervisor that fulfils GuestMover."""

    _options: Any
    _turn: Any
    _live: Any

    def pack(self, guest_id: str, ticket: str, directory: str) -> Luggage:
        """See GuestMover.pack."""
        with self._turn(guest_id) as place:
            _require_off(place, self._live(place))
            if not place.disks.is_dir():
                raise DriverError(f"no guest {guest_id}")
            files = sorted(path for path in place.disks.iterdir() if not path.name.endswith(".new"))
            luggage = Luggage(guest_id, ticket, directory, tuple(Parcel(file.name, file.stat().st_size) for file in files))
            for file in files:
                second = luggage.path(file.name)
                second.unlink(missing_ok=True)
                second.symlink_to(file.absolute())
        return luggage

    def unpack(self, spec: GuestSpec, luggage: Luggage) -> None:
        """See GuestMover.unpack."""
        with self._turn(spec.id) as place:
            _require_off(place, self._live(place))
            ticket = place.path / TICKET
            if ticket.exists() and ticket.read_text() == luggage.ticket:
                return
            place.remove()
            new = Place(place.path.with_name(f".{spec.id}.arriving"))
            shutil.rmtree(new.path, ignore_errors=True)
            try:
                new.make()
                for parcel in luggage.files:
                    _take(luggage.path(parcel.name), new.disks / _plain(parcel.name), parcel.size_bytes)
                for disk in spec.disks:
                    if disk.kind == "image" and new.disk(disk.id).exists():
                        disks.rebase(new.disk(disk.id), disk.source, disk.source_format, self._options.qemu_img)
                (new.path / TICKET).write_text(luggage.ticket)
                os.rename(new.path, place.path)
            except OSError as error:
                raise DriverError(f"guest {spec.id} cannot be taken in: {error}") from error
            finally:
                shutil.rmtree(new.path, ignore_errors=True)


def _require_off(place: Place, now: Any) -> None:
    if now is not None:
        raise DriverError(f"guest {place.guest_id} runs: only one that is off can be packed")
    if place.memory.exists():
        raise DriverError(f"guest {place.guest_id} is suspended: only one that is off can be packed")


def _plain(name: str) -> str:
    if name != os.path.basename(name) or not name.endswith(".qcow2") or name.startswith("."):
        raise DriverError(f"{name!r} is no disk of a guest")
    return name


def _take(source: Path, target: Path, size_bytes: int) -> None:
    """Move a file in; one that is another guest's still is copied, with its holes."""
    if source.stat().st_size != size_bytes:
        raise DriverError(f"{source.name} has {source.stat().st_size} bytes of {size_bytes}")
    if not source.is_symlink():
        with contextlib.suppress(OSError):
            os.rename(source, target)
            return
    disks.copy(source, target, COPY_SECONDS)
