"""The directory of a guest: where its files are, and the record of how it was last started.

record.json      the spec it was started with, and the place of each device: a suspended guest needs the same again.  It also
                 has the passwords of its volumes, as the guest is to start again without being told them: for root only
stopped.json     how and why it stopped
disks/           a qcow2 file a disk, one more (root.1.qcow2) for what is written to it while that can be taken back;  config.iso
console.log(.1)  what it wrote to the serial port
leaving.json     where it is being sent to, while that goes on: it is not to be touched
coming.json      where it is awaited, until it has arrived
memory           the memory of a suspended guest.  While this file exists the guest has not run since it was written,
                 so a process found beside it may be killed and the guest goes on from the file
secrets/         what QEMU reads at its start and what must not be on its command line; gone when it is up
pid, qmp, vnc, serial, qemu.log     of the process
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import msgspec

from pileus.compute.driver import Arrival, DiskSpec, DriverError, GuestSpec, NicSpec, SeenPower

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
BRIDGE_SLOT = 31
SLOTS = (*range(3, BRIDGE_SLOT), *range(33, 64))  # 0 host bridge, 1 ISA, IDE and power management, 2 display, 31 bridge
SCSI_UNITS = range(255)

DISK, VOLUME = "disk-", "vol-"

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class Record:
    """How a guest was started, and what was plugged since.

    `slots` and `units` say where each device is: its PCI slot (33 and up: behind the bridge) or its number on the SCSI bus.
    `devices` names the devices of disks that do not have the name that goes with their id: those that were swapped.
    `model` is the machine's; one that came from another host has that which it had there.
    """

    spec: GuestSpec
    slots: dict[str, int] = field(default_factory=dict)
    accelerator: str = "tcg"
    units: dict[str, int] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    model: str = "pc"

    def device(self, disk: DiskSpec) -> str:
        """The id of a disk's device."""
        return self.devices.get(disk.id, f"{VOLUME if disk.kind == 'volume' else DISK}{disk.id}")

    @property
    def volumes(self) -> tuple[DiskSpec, ...]:
        return tuple(disk for disk in self.spec.disks if disk.kind == "volume")


@dataclass(frozen=True, slots=True)
class Stopped:
    """How and why a guest stopped."""

    power: SeenPower
    why: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """A guest that is being sent to another host.

    `until_seconds` is the end of that on the clock that began with the host's boot, `ran` whether the guest was not halted when
    it began.  Once it is `gone`, it may run there.  `failed` says why it stays.
    """

    arrival: Arrival
    until_seconds: float
    ran: bool = True
    hurried: bool = False
    gone: bool = False
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Coming:
    """A guest that is awaited from another host, for so long.  Once it is `accepted`, it has left there for good and is ours."""

    arrival: Arrival
    until_seconds: float
    accepted: bool = False


def checked_identifier(text: str) -> str:
    """Return the text if it can be part of a file name and of a QEMU id.

    :raises DriverError: when it cannot.
    """
    if not IDENTIFIER.fullmatch(text):
        raise DriverError(f"{text!r} is no identifier")
    return text


def nic_device(nic: NicSpec) -> str:
    return f"nic-{checked_identifier(nic.port_id)}"


def numbered(taken: dict[str, int], devices: list[str], numbers: Sequence[int], what: str) -> dict[str, int]:
    """Return the number of each device: the one it has, else the lowest that is free.

    :raises DriverError: when there are more devices than numbers.
    """
    found = {device: number for device, number in taken.items() if device in devices}
    for device in devices:
        if device not in found:
            number = next((number for number in numbers if number not in found.values()), None)
            if number is None:
                raise DriverError(f"no {what} is left for {device}: a guest can have {len(numbers)} devices")
            found[device] = number
    return found


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
    def secrets(self) -> Path:
        return self.path / "secrets"

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

    def top(self, disk: DiskSpec) -> Path:
        """The file that the guest writes to."""
        return self.layer(disk.id, disk.stage) if disk.held else self.disk(disk.id)

    def layer(self, disk_id: str, stage: int) -> Path:
        """What was written to a disk in one of its stages."""
        return self.disks / f"{checked_identifier(disk_id)}.{stage}.qcow2"

    def layers(self, disk_id: str) -> dict[int, Path]:
        """The stages of a disk of which something is kept apart, the first first."""
        found = {int(path.name.split(".")[1]): path for path in self.disks.glob(f"{checked_identifier(disk_id)}.*.qcow2")}
        return dict(sorted(found.items()))

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

    def leaving(self) -> Leaving | None:
        return _read(self.path / "leaving.json", Leaving)

    def keep_leaving(self, leaving: Leaving | None) -> None:
        self._keep("leaving.json", leaving)

    def coming(self) -> Coming | None:
        return _read(self.path / "coming.json", Coming)

    def keep_coming(self, coming: Coming | None) -> None:
        self._keep("coming.json", coming)

    def _keep(self, name: str, value: object) -> None:
        if value is None:
            (self.path / name).unlink(missing_ok=True)
        else:
            _write(self.path / name, value)

    @contextlib.contextmanager
    def kept_secrets(self, secrets: Mapping[str, str]) -> Iterator[None]:
        """Keep secrets in files for as long as somebody is to read them."""
        try:
            if any(secrets.values()):
                self.secrets.mkdir(mode=0o700, exist_ok=True)
            for name, secret in secrets.items():
                if secret:
                    _write_bytes(self.secrets / name, secret.encode())
            yield
        finally:
            shutil.rmtree(self.secrets, ignore_errors=True)

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
    _write_bytes(path, msgspec.json.encode(value))


def _write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, for its owner alone."""
    new = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.rename(new, path)
