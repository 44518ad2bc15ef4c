"""The layers of a back end's volumes and snapshots, in one directory.

    volumes/<volume id>.json     the head of a volume: its size, its top layer, its snapshots, who is connected; in a directory
                                 that several hosts share, <volume id>-<mark of the host whose volume it is>.json
    layers/<layer>.raw|.qcow2    a layer; a qcow2 layer names the one below it.  Only the top of a volume is written to
    building/                    layers that are being made, and never seen
    trash/<wipe>.<volume id>.<layer>     layers that nobody needs any more, on their way out
    unmanaged/                   files that are no volumes (yet)
    locks/

A volume is there when its head is; a head is replaced in one step, after the layers that it names are on the disk.  So what
a killed process leaves behind are layers that no head reaches, and `sweep` takes them away.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from io import FileIO
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from pileus.volume.driver import Connector, DiskFormat, VolumeDriverError, Wipe
from pileus.volume.drivers.layers import copying, qcow2, wiping
from pileus.volume.drivers.layers.locks import Locks

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
FOLDERS = ("volumes", "layers", "building", "trash", "unmanaged", "locks")
OF_IMAGE = "i"
SPARES, SPARE_BYTES = 4, (16384, 4096)
FORGOTTEN_SECONDS = 24 * 3600.0
MARK_CHARACTERS = 8


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot: the layer that nobody writes to any more, and how large the volume was."""

    layer: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a volume.  `released` are snapshots that the cloud let go of and that stay on the back end."""

    id: str
    size_bytes: int
    top: str
    snapshots: dict[str, Kept] = field(default_factory=dict)
    connectors: dict[str, Connector] = field(default_factory=dict)
    released: dict[str, Kept] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def layers(self) -> set[str]:
        """The layers that it names itself."""
        return {self.top, *(kept.layer for kept in (*self.snapshots.values(), *self.released.values()))}


def checked(text: str) -> str:
    """Return an id that can be part of a file's name.

    :raises VolumeDriverError: when it cannot.
    """
    if not IDENTIFIER.fullmatch(text):
        raise VolumeDriverError(f"{text!r} is no identifier")
    return text


def format_of(layer: str) -> DiskFormat:
    """Return the format of a layer, which its name tells."""
    return cast(DiskFormat, layer.rpartition(".")[2])


def is_of_image(layer: str) -> bool:
    """Whether a layer is the file of an image under a second name: it is never written to."""
    return layer.startswith(OF_IMAGE)


class Tree:
    """The directory.  `shared` by several hosts: locks hold between them, and each has volumes of its own that no other touches.

    `reflinks`: layers can share blocks; `grows_below`: a daemon that serves one cannot make it larger by itself.
    """

    grows_below = False

    def __init__(self, directory: Path, *, shared: bool = False, host: str = "") -> None:
        self.directory, self._shared = directory, shared
        self._mark = f"-{hashlib.sha256(host.encode()).hexdigest()[:MARK_CHARACTERS]}" if shared else ""
        for folder in FOLDERS:
            (directory / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        self.locks = Locks(directory / "locks" if shared else None)
        self._alone = threading.RLock()
        self._depth = 0
        self.reflinks = not shared and copying.reflinks(directory / "layers")
        if shared:
            self._take_unmarked()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else changes which layers are needed meanwhile.  For moments only."""
        with self._alone:
            self._depth += 1
            try:
                if self._depth > 1:
                    yield
                    return
                with (self.directory / "locks" / "tree.lock").open("a") as file:
                    fcntl.flock(file, fcntl.LOCK_EX)
                    yield
            finally:
                self._depth -= 1

    def room_bytes(self) -> tuple[int, int]:
        """Return how much room there is, and how much of it is free."""
        found = os.statvfs(self.directory)
        return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize

    def head(self, volume_id: str) -> Head | None:
        """Return the head of a volume of this host, or None when there is none."""
        return _read(self._head_path(volume_id))

    def require(self, volume_id: str) -> Head:
        """Return the head of a volume.  :raises VolumeDriverError: when there is none."""
        found = self.head(volume_id)
        if found is None:
            raise VolumeDriverError(f"There is no volume {volume_id}.")
        return found

    def kept(self, volume_id: str, snapshot_id: str) -> Kept:
        """Return a snapshot.  :raises VolumeDriverError: when there is none."""
        found = self.require(volume_id).snapshots.get(snapshot_id)
        if found is None:
            raise VolumeDriverError(f"There is no snapshot {snapshot_id} of volume {volume_id}.")
        return found

    def heads(self) -> list[Head]:
        """Return the heads of all volumes, of other hosts, too."""
        return self._heads(".json")

    def own_heads(self) -> list[Head]:
        """Return the heads of the volumes of this host."""
        return self._heads(f"{self._mark}.json")

    def _heads(self, ending: str) -> list[Head]:
        folder = self.directory / "volumes"
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(ending) and not entry.name.startswith(".")]
        return [head for name in names if (head := _read(folder / name)) is not None]

    def _head_path(self, volume_id: str) -> Path:
        return self.directory / "volumes" / f"{checked(volume_id)}{self._mark}.json"

    def _take_unmarked(self) -> None:
        """Take what is from a time when the directory had one host only."""
        with self.alone():
            for head in self.heads():
                with contextlib.suppress(FileNotFoundError):
                    os.rename(self.directory / "volumes" / f"{head.id}.json", self._head_path(head.id))

    def keep(self, head: Head, *, vital: bool = False) -> Head:
        """Write a head down, whole or not at all.  What gives room back is `vital`: there is some room kept for it.

        :raises OSError: when there is no room.
        """
        path = self._head_path(head.id)
        folder, new = path.parent, path.with_name(f".{path.stem}.new")
        content = msgspec.json.encode(head)
        try:
            with new.open("wb") as file:
                _put(file, content)
        except OSError:
            if not vital:
                raise
            self._take_spare(new)
            with new.open("r+b") as file:  # over blocks that it has already
                _put(file, content)
        os.rename(new, path)
        copying.sync_directory(folder)
        if vital:
            self._keep_spares()
        return head

    def path(self, layer: str) -> Path:
        """Return where a layer is."""
        return self.directory / "layers" / layer

    def protocol(self, layer: str) -> dict[str, Any]:
        """Return the block node by which a layer's bytes are reached."""
        return {"driver": "file", "filename": str(self.path(layer))}

    def begin(self, disk_format: DiskFormat, *, of_image: bool = False) -> Path:
        """Return where a new layer may be built, under the name that it will have."""
        return self.directory / "building" / f"{OF_IMAGE if of_image else ''}{secrets.token_hex(10)}.{disk_format}"

    def publish(self, *built: Path) -> None:
        """Give layers that are on the disk their place; while `alone`, with the head that names them written right after."""
        for path in built:
            os.rename(path, self.path(path.name))
        copying.sync_directory(self.directory / "layers")

    def overlay(self, layer: str, size_bytes: int) -> Path:
        """Build an empty layer over another one."""
        built = self.begin("qcow2")
        qcow2.create(built, size_bytes, layer, format_of(layer))
        return built

    def chain(self, layer: str) -> list[str]:
        """Return a layer and what is below it, from the top down."""
        found = [layer]
        while format_of(found[-1]) == "qcow2" and (below := qcow2.read(self.path(found[-1])).backing):
            found.append(below)
        return found

    def size_bytes(self, layer: str) -> int:
        """Return how large a layer's content is."""
        path = self.path(layer)
        return path.stat().st_size if format_of(layer) == "raw" else qcow2.read(path).size_bytes

    def used_bytes(self, layers: Iterable[str]) -> int:
        """Return the room that layers take."""
        return sum(self.path(layer).stat().st_blocks * 512 for layer in layers)

    def needed(self, heads: Iterable[Head]) -> set[str]:
        """Return every layer that a head reaches."""
        found: set[str] = set()
        for start in {layer for head in heads for layer in head.layers()} - found:
            for layer in self.chain(start):
                if layer in found:
                    break
                found.add(layer)
        return found

    def users(self, layer: str) -> int:
        """Return how many name a layer: heads, and layers over it."""
        heads = self.heads()
        layers = (name for name in self.needed(heads) if format_of(name) == "qcow2")
        above = sum(qcow2.read(self.path(name)).backing == layer for name in layers)
        kept = (kept.layer for head in heads for kept in (*head.snapshots.values(), *head.released.values()))
        return above + sum(head.top == layer for head in heads) + sum(name == layer for name in kept)

    def replace(self, before: Head, after: Head | None, wipe: Wipe, *built: Path) -> list[Path]:
        """Put one head in the place of another (None: remove it) and throw away what nobody needs then; returns the trash.

        :raises OSError: when there is no room.
        """
        with self.alone():
            if built:
                self.publish(*built)
            reached = {layer for start in before.layers() for layer in self.chain(start)}
            if after is None:
                self._head_path(before.id).unlink(missing_ok=True)
                copying.sync_directory(self.directory / "volumes")
            else:
                try:
                    self.keep(after, vital=not built)
                except OSError:
                    self.throw_away((path.name for path in built), before.id, "none")
                    raise
            self._keep_spares()
            return self.throw_away(reached - self.needed(self.heads()), before.id, wipe)

    def throw_away(self, layers: Iterable[str], volume_id: str, wipe: Wipe) -> list[Path]:
        """Take layers out of the tree.  Files of images are never wiped: guests may stand on them, too."""
        thrown = []
        for layer in layers:
            how = "none" if is_of_image(layer) else wipe
            target = self.directory / "trash" / f"{how}.{volume_id}.{layer}"
            with contextlib.suppress(FileNotFoundError):
                os.rename(self.path(layer), target)
                thrown.append(target)
        return thrown

    def trash(self, volume_id: str = "") -> list[tuple[Path, Wipe]]:
        """Return what is on its way out, of one volume or of all, and how it is to be wiped."""
        with os.scandir(self.directory / "trash") as entries:
            paths = [Path(entry.path) for entry in entries]
        parts = [(path, path.name.split(".")) for path in paths]
        return [(path, cast(Wipe, part[0])) for path, part in parts if not volume_id or part[1] == volume_id]

    def wipe(self, path: Path, how: Wipe, stop: Callable[[], bool]) -> bool:
        """Wipe what was thrown away, and remove it; False when it was stopped before the end."""
        return wiping.wipe(path, how, stop)

    def owners_of_trash(self) -> set[str]:
        """Return the ids of the volumes that left something."""
        return {path.name.split(".")[1] for path, _ in self.trash()}

    def _spares(self) -> list[Path]:
        return [self.directory / "locks" / f"spare{number}" for number in range(SPARES)]

    def _keep_spares(self) -> None:
        """Keep a few files with blocks for the days when the disk is full."""
        for path in (path for path in self._spares() if not path.exists()):
            for size in SPARE_BYTES:
                try:
                    with path.open("wb", buffering=0) as file:
                        _put(file, os.urandom(size))
                    break
                except OSError:
                    path.unlink(missing_ok=True)

    def _take_spare(self, target: Path) -> None:
        for path in self._spares():
            with contextlib.suppress(FileNotFoundError):
                os.rename(path, target)
                return

    def sweep(self) -> None:
        """Take away what killed processes left: layers that no head reaches, and what was being built."""
        self._keep_spares()
        self.sweep_layers()
        for path in (self.directory / "building").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if not self._shared or path.stat().st_mtime < time.time() - FORGOTTEN_SECONDS:
                    path.unlink()

    def sweep_layers(self) -> None:
        """Take away the layers that no head reaches."""
        with self.alone():
            self.throw_away(self.layers() - self.needed(self.heads()), "orphan", "punch")

    def layers(self) -> set[str]:
        """Return the names of all layers that were published."""
        return {path.name for path in (self.directory / "layers").iterdir() if not path.name.startswith(".")}


def _read(path: Path) -> Head | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Head)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise VolumeDriverError(f"{path} is damaged: {error}") from error


def _put(file: IO[bytes] | FileIO, content: bytes) -> None:
    if file.write(content) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    file.truncate()
    file.flush()
    os.fsync(file.fileno())


def with_connector(head: Head, connector: Connector) -> Head:
    """Return a head with one who is connected."""
    return replace(head, connectors={**head.connectors, connector.id: connector})


def without_connector(head: Head, connector_id: str) -> Head:
    """Return a head without one who was connected."""
    return replace(head, connectors={id: each for id, each in head.connectors.items() if id != connector_id})
