"""A store of logical volumes: a pool of thin ones in a volume group of LVM.  Needs the kernel's device mapper.

Thin volumes take room as they are written to, show zeroes where they were not (so nobody sees what another one left), and are
copied in a moment, the copy being a volume like any other.  The pool is made when it is not there, of 95 % of the group.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pileus.volume.driver import BackendFull, VolumeDriverError, Wipe
from pileus.volume.drivers.layers.programs import run

GROUP, POOL = "pileus-volumes", "pileus-pool"
POOL_SHARE = "95%FREE"
APPEAR_SECONDS = 10.0
BLOCK_BYTES = 1 << 20
MISSING = "ailed to find logical volume"


class Lvm:
    """A volume group.  `devices` is where the devices of groups are."""

    def __init__(self, group: str = GROUP, *, devices: Path = Path("/dev")) -> None:
        self._group, self._devices = group, devices
        if not any(row["lv_name"] == POOL for row in self._rows()):
            self._lvm("lvcreate", "-y", "--type", "thin-pool", "-l", POOL_SHARE, "-Zy", "-n", POOL, group)

    def room_bytes(self) -> tuple[int, int]:
        """Ask for the pool."""
        pool = next(row for row in self._rows() if row["lv_name"] == POOL)
        total = int(pool["lv_size"])
        return total, int(total * (1 - float(pool["data_percent"] or 0) / 100))

    def names(self) -> set[str]:
        """Ask for the volumes in the pool."""
        return {row["lv_name"] for row in self._rows() if row["pool_lv"] == POOL}

    def usage(self) -> dict[str, int]:
        """Ask for the volumes in the pool."""
        rows = [row for row in self._rows() if row["pool_lv"] == POOL]
        return {row["lv_name"]: int(int(row["lv_size"]) * float(row["data_percent"] or 0) / 100) for row in rows}

    def size_bytes(self, name: str) -> int:
        """Ask for one volume."""
        return int(next(row["lv_size"] for row in self._rows(name)))

    def make(self, name: str, size_bytes: int, *, thin: bool) -> None:
        """Make a thin volume; when it is to take its room at once, write to all of it."""
        if not thin and self.room_bytes()[1] < size_bytes:
            raise BackendFull(f"No space left on device: pool {self._group}/{POOL}")
        pool = ["--thinpool", f"{self._group}/{POOL}"]
        self._lvm("lvcreate", "-y", "-q", "--type", "thin", "-V", f"{size_bytes}b", *pool, "-n", name)
        self._await(name)
        if not thin:
            _overwrite(self.path(name), ("zero",), lambda: False)

    def copy(self, source: str, target: str) -> None:
        """Take a thin snapshot, to be used at once."""
        self._lvm("lvcreate", "-y", "-q", "-s", "-kn", "-n", target, f"{self._group}/{source}")
        self._await(target)

    def grow(self, name: str, size_bytes: int) -> None:
        """Extend a volume."""
        if self.size_bytes(name) < size_bytes:
            self._lvm("lvextend", "-q", "-L", f"{size_bytes}b", f"{self._group}/{name}")

    def rename(self, name: str, target: str) -> None:
        """Rename a volume."""
        self._lvm("lvrename", "-q", self._group, name, target)
        self._await(target)

    def remove(self, name: str, wipe: Wipe, stop: Callable[[], bool]) -> bool:
        """Overwrite a volume if that is wanted, and remove it.  What is removed, the pool shows to nobody."""
        with contextlib.suppress(FileNotFoundError):
            if wipe == "zero" and not _overwrite(self.path(name), ("zero",), stop):
                return False
            if wipe == "shred" and not _overwrite(self.path(name), ("random", "random", "zero"), stop):
                return False
        try:
            self._lvm("lvremove", "-y", "-q", "-f", f"{self._group}/{name}")
        except VolumeDriverError as error:
            if MISSING not in str(error):
                raise
        return True

    def protocol(self, name: str) -> dict[str, Any]:
        """A device of this host."""
        path = self.path(name)
        return {"driver": "host_device" if path.is_block_device() else "file", "filename": str(path)}

    def path(self, name: str) -> Path:
        """Return the device."""
        return self._devices / self._group / name

    def _rows(self, name: str = "") -> list[dict[str, str]]:
        columns = "lv_name,lv_size,data_percent,pool_lv"
        where = f"{self._group}/{name}" if name else self._group
        said = self._lvm("lvs", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", columns, where)
        rows: list[dict[str, str]] = json.loads(said)["report"][0]["lv"]
        return rows

    def _lvm(self, *arguments: str) -> str:
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
        return run([shutil.which("lvm", path=path) or "lvm", *arguments])

    def _await(self, name: str) -> None:
        """Wait until the device is there: udev makes it."""
        deadline = time.monotonic() + APPEAR_SECONDS
        while not self.path(name).exists():
            if time.monotonic() > deadline:
                raise VolumeDriverError(f"{self.path(name)} did not appear in {APPEAR_SECONDS:g} s")
            time.sleep(0.01)


def _overwrite(path: Path, contents: tuple[str, ...], stop: Callable[[], bool]) -> bool:
    """Write to all of a device, once with each content; False when it was stopped."""
    with path.open("r+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        for content in contents:
            for offset in range(0, size, BLOCK_BYTES):
                if stop():
                    return False
                length = min(BLOCK_BYTES, size - offset)
                os.pwrite(file.fileno(), os.urandom(length) if content == "random" else bytes(length), offset)
            os.fdatasync(file.fileno())
    return True
