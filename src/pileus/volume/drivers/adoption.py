"""Taking in files that lie in the directory `unmanaged` of a file back end, and putting volumes there.

reference of a volume: the name of its file; a name that ends in .qcow2 is that format, every other is raw
reference of a snapshot: a name that is kept with its volume, whose layers it stands on

What is let go of is called volume-ID and _snapshot-ID, as by cinder's own drivers; a volume is a raw file then.
"""

import contextlib
import fcntl
import os
import stat
import struct
from dataclasses import replace
from pathlib import Path

from pileus.volume.driver import GIB, DiskFormat, Found, VolumeDriverError
from pileus.volume.drivers.layers import qcow2
from pileus.volume.drivers.layers.programs import COPY_SECONDS, QEMU_IMG, run
from pileus.volume.drivers.layers.tree import Head, Kept, Tree, format_of
from pileus.volume.drivers.layers.wiping import sync

NAME_MAX = 255
FLOCK = "hhqqi4x"
LOCK_BYTES = (100, 200)
"""Offset and number of the bytes that QEMU locks."""


def list_volumes(tree: Tree) -> tuple[Found, ...]:
    """Return what may be taken in, and what is a volume already."""
    heads = tree.heads()
    taken = {_inode(tree.path(head.top)) for head in heads}
    found = [Found(head.id, _gib(head.size_bytes), safe=False, why_unsafe="already managed") for head in heads]
    for path in sorted((tree.directory / "unmanaged").iterdir()):
        try:
            if _inode(path) not in taken:
                found.append(Found(path.name, _gib(_size_bytes(_checked(tree, path.name)))))
        except (VolumeDriverError, FileNotFoundError) as error:
            found.append(Found(path.name, 0, safe=False, why_unsafe=str(error)))
    return tuple(found)


def adopt_volume(tree: Tree, reference: str, volume_id: str) -> int:
    """Make a file a volume; returns its size in GiB.  The caller holds the volume's lock."""
    head = tree.head(volume_id)
    if head is None:
        path = _checked(tree, reference)
        _require_unused(path)
        size_gib = _gib(_size_bytes(path))
        built = tree.begin(_format(path))
        os.link(path, built, follow_symlinks=False)
        with tree.alone():
            tree.publish(built)
            head = tree.keep(Head(volume_id, size_gib * GIB, built.name))
    path = tree.directory / "unmanaged" / reference
    with contextlib.suppress(FileNotFoundError):
        if _inode(path) == _inode(tree.path(head.top)):
            path.unlink()
    _fill_up(tree.path(head.top), head.size_bytes)
    return _gib(head.size_bytes)


def disown_volume(tree: Tree, volume_id: str) -> str:
    """Let go of a volume, which stands alone afterwards.  The caller holds its lock, and knows that nobody uses it."""
    head, path = tree.head(volume_id), tree.directory / "unmanaged" / f"volume-{volume_id}"
    if head is None:
        if not path.exists():
            raise VolumeDriverError(f"There is no volume {volume_id}.")
        return path.name
    if head.snapshots or head.released:
        raise VolumeDriverError(f"Volume {volume_id} has snapshots.")
    if len(tree.chain(head.top)) > 1 or format_of(head.top) != "raw":
        alone = tree.begin("raw")
        run([QEMU_IMG, "convert", "-q", "-f", "qcow2", "-O", "raw", str(tree.path(head.top)), str(alone)], COPY_SECONDS)
        sync(alone)
    else:
        alone = tree.begin("raw")
        os.link(tree.path(head.top), alone)
    os.replace(alone, path)
    for trash in tree.replace(head, None, "none"):
        trash.unlink(missing_ok=True)
    return path.name


def list_snapshots(tree: Tree) -> tuple[Found, ...]:
    """Return the snapshots that the cloud let go of, and those that it has."""
    found = []
    for head in tree.own_heads():
        for name, kept in head.released.items():
            found.append(Found(name, _gib(kept.size_bytes), volume_reference=head.id))
        for id, kept in head.snapshots.items():
            found.append(Found(id, _gib(kept.size_bytes), False, "already managed", head.id))
    return tuple(found)


def adopt_snapshot(tree: Tree, volume_id: str, reference: str, snapshot_id: str) -> int:
    """Make a snapshot that was let go of one of the cloud again.  The caller holds the volume's lock."""
    head = tree.require(volume_id)
    if snapshot_id not in head.snapshots:
        kept = head.released.get(reference)
        if kept is None:
            raise VolumeDriverError(f"There is no snapshot {reference} of volume {volume_id}.")
        head = tree.keep(
            replace(head, snapshots={**head.snapshots, snapshot_id: kept}, released=_without(head.released, reference))
        )
    return _gib(head.snapshots[snapshot_id].size_bytes)


def disown_snapshot(tree: Tree, volume_id: str, snapshot_id: str) -> str:
    """Let go of a snapshot.  The caller holds the volume's lock."""
    head, name = tree.require(volume_id), f"_snapshot-{snapshot_id}"
    if name not in head.released:
        kept = tree.kept(volume_id, snapshot_id)
        tree.keep(replace(head, snapshots=_without(head.snapshots, snapshot_id), released={**head.released, name: kept}))
    return name


def _without(found: dict[str, Kept], name: str) -> dict[str, Kept]:
    return {each: kept for each, kept in found.items() if each != name}


def _checked(tree: Tree, reference: str) -> Path:
    """Return the file of a reference.  :raises VolumeDriverError: when it is none that may be taken in."""
    if not reference or "/" in reference or "\0" in reference or reference.startswith(".") or len(reference) > NAME_MAX:
        raise VolumeDriverError(f"{reference!r} is no name of a file")
    path = tree.directory / "unmanaged" / reference
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise VolumeDriverError(f"{reference} is no file")
    except FileNotFoundError:
        raise VolumeDriverError(f"There is no file {reference} in {path.parent}.") from None
    if _format(path) == "qcow2":
        qcow2.require_alone(path)
    return path


def _require_unused(path: Path) -> None:
    """QEMU holds locks on bytes of what it has open: one for each right that it uses, or lets nobody else use."""
    with path.open("rb") as file:
        query = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, LOCK_BYTES[0], LOCK_BYTES[1], 0)
        if struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, query))[0] != fcntl.F_UNLCK:
            raise VolumeDriverError(f"{path.name} is in use: somebody holds a lock on it")


def _format(path: Path) -> DiskFormat:
    return "qcow2" if path.suffix == ".qcow2" else "raw"


def _size_bytes(path: Path) -> int:
    return qcow2.read(path).size_bytes if _format(path) == "qcow2" else path.stat().st_size


def _fill_up(path: Path, size_bytes: int) -> None:
    """Let a file be as large as the volume: a whole number of GiB."""
    if _size_bytes(path) >= size_bytes:
        return
    if _format(path) == "qcow2":
        run([QEMU_IMG, "resize", "-q", "-f", "qcow2", str(path), str(size_bytes)])
    else:
        os.truncate(path, size_bytes)


def _gib(size_bytes: int) -> int:
    return max(1, -(-size_bytes // GIB))


def _inode(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino
