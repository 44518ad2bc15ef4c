"""A store of images in a pool of Ceph, by the programs `rbd` and `ceph`.

An image is copied by a snapshot that lives for a moment and a clone of it; the clone stands on its origin, which may be removed
before it: it waits in Ceph's trash until nobody stands on it any more.  That is `clone v2`, for which the cluster must have been
told that its clients are new enough: `ceph osd set-require-min-compat-client mimic`.
"""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pileus.volume.driver import VolumeDriverError, Wipe
from pileus.volume.drivers.layers.programs import run

POOL, CONFIGURATION = "volumes", "/etc/ceph/ceph.conf"
MISSING = "No such file or directory"
MOVE_SECONDS = 600.0


class Rbd:
    """A pool.  `user` and `configuration` are those of Ceph's clients; empty: what these have by default."""

    def __init__(self, pool: str = POOL, user: str = "", configuration: str = "") -> None:
        self._pool, self._user, self._configuration = pool, user, configuration
        self._options = [*(["--conf", configuration] if configuration else []), *(["--id", user] if user else [])]
        self.names()

    def room_bytes(self) -> tuple[int, int]:
        """Ask for the pool."""
        found = json.loads(run(["ceph", *self._options, "df", "--format", "json"]))
        stats = next((pool["stats"] for pool in found["pools"] if pool["name"] == self._pool), None)
        if stats is None:
            raise VolumeDriverError(f"There is no pool {self._pool}.")
        return int(stats["stored"]) + int(stats["max_avail"]), int(stats["max_avail"])

    def names(self) -> set[str]:
        """List the pool."""
        return set(json.loads(self._rbd("ls", "--format", "json", self._pool)))

    def usage(self) -> dict[str, int]:
        """Add up the objects of each image."""
        images = json.loads(self._rbd("du", "--format", "json", "-p", self._pool))["images"]
        return {image["name"]: int(image["used_size"]) for image in images if "snapshot" not in image}

    def size_bytes(self, name: str) -> int:
        """Ask for one image."""
        return int(json.loads(self._rbd("info", "--format", "json", self._spec(name)))["size"])

    def make(self, name: str, size_bytes: int, *, thin: bool) -> None:
        """Make an image."""
        thick = [] if thin else ["--thick-provision", "--no-progress"]
        run(["rbd", *self._options, "create", *thick, "--size", f"{size_bytes}B", self._spec(name)], MOVE_SECONDS)

    def copy(self, source: str, target: str) -> None:
        """Clone a snapshot, and forget it."""
        snapshot = f"{self._spec(source)}@{target}"
        self._rbd("snap", "create", "--no-progress", snapshot)
        try:
            self._rbd("clone", "--rbd-default-clone-format", "2", snapshot, self._spec(target))
        finally:
            self._rbd("snap", "rm", "--no-progress", snapshot)

    def grow(self, name: str, size_bytes: int) -> None:
        """Resize an image."""
        if self.size_bytes(name) < size_bytes:
            self._rbd("resize", "--no-progress", "--size", f"{size_bytes}B", self._spec(name))

    def rename(self, name: str, target: str) -> None:
        """Rename an image."""
        self._rbd("rename", self._spec(name), self._spec(target))

    def remove(self, name: str, wipe: Wipe, stop: Callable[[], bool]) -> bool:
        """Remove an image, or let it wait for those that stand on it.  Its objects are deleted, so there is nothing to wipe."""
        try:
            self._rbd("snap", "purge", "--no-progress", self._spec(name))  # what a copy that was cut short left
            run(["rbd", *self._options, "rm", "--no-progress", self._spec(name)], MOVE_SECONDS)
        except VolumeDriverError as error:
            if MISSING in str(error):
                return True
            self._rbd("trash", "mv", self._spec(name))
            return True
        for image in json.loads(self._rbd("trash", "ls", "--format", "json", self._pool)):
            if image["name"].startswith("trash."):
                with contextlib.suppress(VolumeDriverError):  # somebody still stands on it
                    self._rbd("trash", "rm", "--no-progress", f"{self._pool}/{image['id']}")
        return True

    def protocol(self, name: str) -> dict[str, Any]:
        """QEMU's own client of Ceph."""
        found: dict[str, Any] = {"driver": "rbd", "pool": self._pool, "image": name}
        found |= {"conf": self._configuration or CONFIGURATION}
        return found | ({"user": self._user} if self._user else {})

    def path(self, name: str) -> Path:
        """It is in no file system."""
        return Path(self._pool) / name

    def _spec(self, name: str) -> str:
        return f"{self._pool}/{name}"

    def _rbd(self, *arguments: str) -> str:
        return run(["rbd", *self._options, *arguments])
