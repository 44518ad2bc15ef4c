"""Back ends whose volumes are no files, over twins of what they need or over the true thing."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pileus.volume.driver import Wipe
from pileus.volume.drivers.blocks.lvm import GROUP, Lvm
from pileus.volume.drivers.blocks.making import Blocks
from pileus.volume.drivers.blocks.rbd import Rbd
from pileus.volume.drivers.blocks.tree import BlockTree
from pileus.volume.drivers.layered import LayeredBackend
from pileus.volume.drivers.layers import copying, wiping
from pileus.volume.drivers.lvm import LvmBackend
from pileus.volume.drivers.rbd import RbdBackend

TWINS = Path(__file__).with_name("twins")


@contextlib.contextmanager
def twins(directory: Path, **programs: str) -> Iterator[Path]:
    """Put twins of programs before all others; returns where they keep everything."""
    home, place = directory / "twin", directory / "twin-bin"
    home.mkdir(exist_ok=True)
    place.mkdir(exist_ok=True)
    for program, script in programs.items():
        path = place / program
        path.write_text(f'#!/bin/sh\nTWIN={home} exec {sys.executable} -I -S {TWINS / script} "$@"\n')
        path.chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{place}{os.pathsep}{before}"
    try:
        yield home
    finally:
        os.environ["PATH"] = before


class FileRbd(Rbd):
    """A pool whose images are files: QEMU's client of Ceph has no twin."""

    def __init__(self, home: Path, pool: str = "volumes") -> None:
        self.home = home
        super().__init__(pool)

    def protocol(self, name: str) -> dict[str, Any]:
        return {"driver": "file", "filename": str(self.home / self._pool / name)}


class Directory:
    """A store whose devices are files, and which does everything at once."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(exist_ok=True)

    def room_bytes(self) -> tuple[int, int]:
        return 1 << 40, 1 << 39

    def names(self) -> set[str]:
        return set(os.listdir(self.home))

    def usage(self) -> dict[str, int]:
        return {path.name: path.stat().st_blocks * 512 for path in self.home.iterdir()}

    def size_bytes(self, name: str) -> int:
        return self.path(name).stat().st_size

    def make(self, name: str, size_bytes: int, *, thin: bool) -> None:
        with self.path(name).open("xb") as file:
            file.truncate(size_bytes)

    def copy(self, source: str, target: str) -> None:
        copying.copy(self.path(source), self.path(target))

    def grow(self, name: str, size_bytes: int) -> None:
        os.truncate(self.path(name), max(size_bytes, self.size_bytes(name)))

    def rename(self, name: str, target: str) -> None:
        os.rename(self.path(name), self.path(target))

    def remove(self, name: str, wipe: Wipe, stop: Callable[[], bool]) -> bool:
        return wiping.wipe(self.path(name), wipe, stop)

    def protocol(self, name: str) -> dict[str, Any]:
        return {"driver": "file", "filename": str(self.path(name))}

    def path(self, name: str) -> Path:
        return self.home / name


def block_backend(directory: Path) -> LayeredBackend:
    """A back end over a store of files."""
    tree = BlockTree(directory / "volumes", Directory(directory / "devices"))
    return LayeredBackend(tree, Blocks(tree), directory / "run", "here")


def lvm_backend(home: Path, directory: Path) -> LvmBackend:
    (home / GROUP).mkdir(exist_ok=True)
    return LvmBackend(Lvm(devices=home), directory / "volumes", directory / "run", "here")


def rbd_backend(home: Path, directory: Path) -> RbdBackend:
    (home / "volumes").mkdir(exist_ok=True)
    return RbdBackend(FileRbd(home), directory / "volumes", directory / "run", "here")
