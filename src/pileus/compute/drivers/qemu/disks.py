"""The disks of a guest: copy-on-write layers over base images, and blank ones.

A file appears under its name when it is whole.  Formats are always told, never guessed: a guest writes what it likes into a
raw disk, also the header of a qcow2 that names a file of the host.
"""

import os
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pileus.compute.driver import GIB, DiskFormat, DiskSpec, DriverError
from pileus.compute.drivers.qemu.place import Place

CREATE_SECONDS = 60.0
CONVERT_SECONDS = 3600.0
QCOW2_MAGIC = b"QFI\xfb"


def prepare(place: Place, disks: Sequence[DiskSpec], qemu_img: str) -> None:
    """Make the disks that are missing, let those grow that are too small, delete those that are no longer named.

    :raises DriverError: when a base image is missing or larger than its disk, or the host is full.
    """
    own = [disk for disk in disks if disk.kind != "volume"]
    wanted = {path for disk in own for path in (place.disk(disk.id), *place.layers(disk.id).values())}
    for path in place.disks.iterdir():
        if path not in wanted:
            path.unlink()
    for disk in own:
        _settle(place, disk, qemu_img)
        if not place.disk(disk.id).exists():
            _create(place.disk(disk.id), disk, qemu_img)
        top = place.top(disk)
        if not top.exists():
            _create_layer(top, place.disk(disk.id), qemu_img)
        if disk.size_bytes > virtual_bytes(top, "qcow2"):
            _run([qemu_img, "resize", "-q", "-f", "qcow2", str(top), str(disk.size_bytes)], CREATE_SECONDS)


def _settle(place: Place, disk: DiskSpec, qemu_img: str) -> None:
    """Drop what was written in stages that were taken back, and make that of those that were kept part of the disk."""
    for stage, path in place.layers(disk.id).items():
        if stage < disk.stage or (stage == disk.stage and not disk.held):
            _run([qemu_img, "commit", "-q", "-d", "-f", "qcow2", str(path)], CONVERT_SECONDS)
        if stage != disk.stage or not disk.held:
            path.unlink()


def convert(source: Sequence[str], target: str, disk_format: DiskFormat, qemu_img: str, folder: Path | None = None) -> None:
    """Copy a disk that nobody writes to, with all that is below it, into one file.  `source` says in qemu-img's words which.

    :param folder: where its paths begin that are not absolute.
    """
    _run([qemu_img, "convert", "-q", "-O", disk_format, *source, os.path.abspath(target)], CONVERT_SECONDS, folder)


def create_blank(path: str, disk_format: DiskFormat, size_bytes: int, qemu_img: str) -> None:
    """Make an empty disk."""
    _run([qemu_img, "create", "-q", "-f", disk_format, path, str(size_bytes)], CREATE_SECONDS)


def rebase(path: Path, base: str, base_format: DiskFormat, qemu_img: str) -> None:
    """Say where the read-only file below a disk is on this host; its content is the same everywhere."""
    _run(
        [qemu_img, "rebase", "-q", "-u", "-f", "qcow2", "-F", base_format, "-b", os.path.abspath(base), str(path)], CREATE_SECONDS
    )


def copy(source: Path, target: Path, seconds: float) -> None:
    """Copy a file as it is, with its holes."""
    _run(["cp", "--sparse=always", "--dereference", str(source), str(target)], seconds)


def virtual_bytes(path: Path, disk_format: DiskFormat) -> int:
    """Return how large the guest sees the disk.

    :raises DriverError: when there is no such file or it has another format.
    """
    try:
        with path.open("rb") as file:
            header = file.read(32)
            if disk_format == "raw":
                return os.fstat(file.fileno()).st_size
    except OSError as error:
        raise DriverError(f"cannot read the disk image {path}: {error.strerror}") from error
    if header[:4] != QCOW2_MAGIC:
        raise DriverError(f"{path} is not a qcow2 image")
    size: int = struct.unpack_from(">Q", header, 24)[0]
    return size


def _create(path: Path, disk: DiskSpec, qemu_img: str) -> None:
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    if disk.kind == "blank":
        create_blank(str(new), "qcow2", disk.size_bytes, qemu_img)
    else:
        base_bytes = virtual_bytes(Path(disk.source), disk.source_format)
        size_bytes = disk.size_bytes or base_bytes
        if size_bytes < base_bytes:
            raise DriverError(f"disk {disk.id} of {size_bytes / GIB:.1f} GiB cannot hold its image of {base_bytes / GIB:.1f} GiB")
        overlay = ["-f", "qcow2", "-F", disk.source_format, "-b", os.path.abspath(disk.source)]
        _run([qemu_img, "create", "-q", *overlay, str(new), str(size_bytes)], CREATE_SECONDS)
    os.rename(new, path)


def _create_layer(path: Path, below: Path, qemu_img: str) -> None:
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    _run([qemu_img, "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", below.name, str(new)], CREATE_SECONDS)
    os.rename(new, path)


def _run(command: list[str], timeout_seconds: float, folder: Path | None = None) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_seconds, check=False, cwd=folder
        )
    except subprocess.TimeoutExpired as error:
        raise DriverError(f"{' '.join(command[:2])} did not end in {timeout_seconds:g} s") from error
    except OSError as error:
        raise DriverError(f"cannot start {command[0]}: {error}") from error
    if done.returncode != 0:
        raise DriverError(f"{' '.join(command[:2])} failed: {done.stderr.strip() or f'status {done.returncode}'}")
