"""The directory of a guest: where its files are, and the record of how it was last started.

record.json      the spec it was started with, and the PCI slot of each device: a suspended guest needs the same again
stopped.json     how and why it stopped
disks/           a qcow2 file a disk;  config.iso
console.log(.1)  what it wrote to the serial port
memory           the memory of a suspended guest.  While this file exists the guest has not run since it was written,
                 so a process found beside it may be killed and the guest goes on from the file
pid, qmp, vnc, serial, qemu.log     of the process
"""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import msgspec

from pileus.compute.driver import DriverError, GuestSpec, NicSpec, SeenPower

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
SLOTS = range(3, 32)  # 0 host bridge, 1 ISA, IDE and power management, 2 display

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class Record:
    """How a guest was started, and what was plugged since."""

    spec: GuestSpec
    slots: dict[str, int] = field(default_factory=dict)
    accelerator: str = "tcg"


@dataclass(frozen=True, slots=True)
class Stopped:
    """How and why a guest stopped."""

    power: SeenPower
    why: str


def checked_identifier(text: str) -> str:
    """Return the text if it can be part of a file name and of a QEMU id.

    :raises DriverError: when it cannot.
    """
    if not IDENTIFIER.fullmatch(text):
        raise DriverError(f"{text!r} is no identifier")
    return text


def nic_device(nic: NicSpec) -> str:
    return f"nic-{checked_identifier(nic.port_id)}"


def with_slots(taken: dict[str, int], devices: list[str]) -> dict[str, int]:
    """Return the PCI slot of each device: the one it has, else the lowest that is free.

    :raises DriverError: when there are more devices than slots.
    """
    slots = {device: slot for device, slot in taken.items() if device in devices}
    for device in devices:
        if device not in slots:
            free = set(SLOTS) - set(slots.values())
            if not free:
                raise DriverError(f"no PCI slot is left for {device}: a guest can have {len(SLOTS)} devices")
            slots[device] = min(free)
    return slots


@dataclass(frozen=True, slots=True)
class Place:
    """The directory of one guest."""

    path: Path

    @property
    def guest_id(self) -> str:
        return self.path.name

    @property
    def disks(self) -> Path:
        return self.path / "disks"

    @property
    def config_drive(self) -> Path:
        return self.path / "config.iso"

    @property
    def console_log(self) -> Path:
        return self.path / "console.log"

    @property
    def console_log_before(self) -> Path:
        return self.path / "console.log.1"

    @property
    def memory(self) -> Path:
        return self.path / "memory"

    @property
    def pid(self) -> Path:
        return self.path / "pid"

    @property
    def qmp(self) -> Path:
        return self.path / "qmp"

    @property
    def vnc(self) -> Path:
        return self.path / "vnc"

    @property
    def serial(self) -> Path:
        return self.path / "serial"

    @property
    def process_log(self) -> Path:
        return self.path / "qemu.log"

    def disk(self, disk_id: str) -> Path:
        return self.disks / f"{checked_identifier(disk_id)}.qcow2"

    def record(self) -> Record | None:
        return _read(self.path / "record.json", Record)

    def keep_record(self, record: Record) -> None:
        """Keep how the guest was started.  The content of its config drive is not kept: that is in the ISO."""
        bare = record if record.spec.config_drive is None else replace(record, spec=replace(record.spec, config_drive={}))
        _write(self.path / "record.json", bare)

    def stopped(self) -> Stopped | None:
        return _read(self.path / "stopped.json", Stopped)

    def keep_stopped(self, stopped: Stopped | None) -> None:
        if stopped is None:
            (self.path / "stopped.json").unlink(missing_ok=True)
        elif self.path.is_dir():
            _write(self.path / "stopped.json", stopped)

    def make(self) -> None:
        self.disks.mkdir(parents=True, exist_ok=True)

    def remove(self) -> None:
        """Remove the directory: first out of sight in one step, so that half a guest is never seen."""
        gone = self.path.with_name(f".{self.path.name}.gone")
        if self.path.exists():
            shutil.rmtree(gone, ignore_errors=True)
            os.rename(self.path, gone)
        shutil.rmtree(gone, ignore_errors=True)


def places(directory: Path) -> Iterator[Place]:
    """All guests that have a directory."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if IDENTIFIER.fullmatch(entry.name) and entry.is_dir():
                yield Place(Path(entry.path))


def _read(path: Path, kind: type[Kept]) -> Kept | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise DriverError(f"{path} is damaged: {error}") from error


def _write(path: Path, value: object) -> None:
    """Write a file whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(msgspec.json.encode(value))
        file.flush()
        os.fsync(file.fileno())
    os.rename(new, path)
