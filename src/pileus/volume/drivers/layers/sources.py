"""The first layers of a volume: blank, of an image, encrypted, or with all its room taken at once.

The content of an image is taken by a second name for its file and an empty layer over it where that is possible, else by a
copy; either way the volume outlives the image.  What the header of a file says is never trusted beyond its size.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from pileus.volume.driver import GIB, Source, VolumeDriverError, VolumeSpec
from pileus.volume.drivers.layers import copying, luks, qcow2, wiping
from pileus.volume.drivers.layers.programs import COPY_SECONDS, QEMU_IMG, run
from pileus.volume.drivers.layers.tree import Tree, format_of


class Making(Protocol):
    """How layers are made.  What is made is seen by nobody until the tree publishes it."""

    def build(self, spec: VolumeSpec) -> list[Path]:
        """Build the layers of a new volume, its top last.  Nothing is left when it fails.

        :raises VolumeDriverError: when the source does not fit or cannot be read.
        :raises OSError: when there is no room.
        """

    def over(self, layer: str, size_bytes: int) -> Path:
        """Build a layer with the content of another one, which nobody writes to any more.  It is at least so large."""

    def filled(self, layer: str, size_bytes: int, built: list[Path]) -> None:
        """Build a copy of a layer with all its room taken."""

    def discard(self, built: Sequence[Path]) -> None:
        """Remove layers that were being built."""

    def grow(self, layer: str, size_bytes: int) -> None:
        """Make a layer larger, never smaller."""


class Files:
    """Makes layers that are files."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def build(self, spec: VolumeSpec) -> list[Path]:
        """Build the layers of a new volume."""
        return build(self._tree, spec)

    def over(self, layer: str, size_bytes: int) -> Path:
        """Build a layer that shares the blocks of another one, or an empty one over it."""
        return over(self._tree, layer, size_bytes)

    def filled(self, layer: str, size_bytes: int, built: list[Path]) -> None:
        """Build a full copy."""
        filled(self._tree, layer, size_bytes, built)

    def discard(self, built: Sequence[Path]) -> None:
        """Remove what was being built."""
        discard(built)

    def grow(self, layer: str, size_bytes: int) -> None:
        """Make a layer larger."""
        if format_of(layer) == "qcow2":
            run([QEMU_IMG, "resize", "-q", "-f", "qcow2", str(self._tree.path(layer)), str(size_bytes)])
        else:
            _grow(self._tree.path(layer), size_bytes)


def build(tree: Tree, spec: VolumeSpec) -> list[Path]:
    """Build the layers of a new volume, its top last.  Nothing is left when it fails.

    :raises VolumeDriverError: when the source does not fit or cannot be read.
    :raises OSError: when there is no room.
    """
    built: list[Path] = []
    try:
        if spec.luks_key and (spec.source is None or spec.source.kind == "image"):
            _encrypted(tree, spec, built)
        elif spec.source is None:
            _blank(tree, spec, built)
        elif spec.source.kind == "image":
            _image(tree, spec, spec.source, built)
        else:
            raise VolumeDriverError("a volume or a snapshot is no file")
        return built
    except BaseException:
        discard(built)
        raise


def discard(built: Sequence[Path]) -> None:
    """Remove layers that were being built."""
    for path in built:
        path.unlink(missing_ok=True)


def over(tree: Tree, layer: str, size_bytes: int) -> Path:
    """Build a layer with the content of another one, which nobody writes to any more.

    :raises OSError: when there is no room.
    """
    if format_of(layer) == "raw" and tree.reflinks:
        built = tree.begin("raw")
        if copying.clone(tree.path(layer), built):
            _grow(built, size_bytes)
            return built
    return tree.overlay(layer, size_bytes)


def filled(tree: Tree, layer: str, size_bytes: int, built: list[Path]) -> None:
    """Build a copy of a layer with all its room taken."""
    path = _taken(tree, size_bytes, built)
    _convert(["-f", format_of(layer), str(tree.path(layer))], path)


def _blank(tree: Tree, spec: VolumeSpec, built: list[Path]) -> None:
    if not spec.thin:
        _taken(tree, spec.size_bytes, built)
        return
    path = tree.begin("raw")
    built.append(path)
    path.touch(0o600)
    _grow(path, spec.size_bytes)


def _taken(tree: Tree, size_bytes: int, built: list[Path]) -> Path:
    path = tree.begin("raw")
    built.append(path)
    with path.open("xb") as file:
        os.posix_fallocate(file.fileno(), 0, size_bytes)
        os.fsync(file.fileno())
    return path


def _image(tree: Tree, spec: VolumeSpec, source: Source, built: list[Path]) -> None:
    image = Path(source.path)
    require_fit(spec, source)
    if not spec.thin:
        _convert(["-f", source.disk_format, str(image)], _taken(tree, spec.size_bytes, built))
        return
    path = tree.begin(source.disk_format)
    if source.disk_format == "raw" and tree.reflinks and copying.clone(image, path):
        built.append(path)
        _grow(path, spec.size_bytes)
        return
    linked = tree.begin(source.disk_format, of_image=True)
    if copying.link(image, linked):
        built.append(linked)
    else:
        built.append(path)
        copying.copy(image, path)
        if source.disk_format == "raw":
            _grow(path, spec.size_bytes)
            return
    if source.disk_format == "qcow2":
        qcow2.require_alone(built[-1])
    built.append(tree.overlay(built[-1].name, spec.size_bytes))


def _encrypted(tree: Tree, spec: VolumeSpec, built: list[Path]) -> None:
    """Write a LUKS container as large as the volume: what it holds is smaller by its header."""
    if spec.source is not None:
        require_fit(spec, spec.source, luks.HEADER_BYTES)
    path = tree.begin("raw")
    built.append(path)
    with path.open("xb") as file:
        if not spec.thin:
            os.posix_fallocate(file.fileno(), 0, spec.size_bytes)
        file.write(luks.header(spec.luks_key.encode()))
        file.truncate(spec.size_bytes)
        file.flush()
        os.fsync(file.fileno())
    if spec.source is not None:
        fill_encrypted(spec.source, spec.luks_key, {"driver": "file", "filename": str(path)})
        wiping.sync(path)


def fill_encrypted(source: Source, passphrase: str, file: dict[str, Any]) -> None:
    """Write an image into a LUKS container, which a block node reaches."""
    reader, writer = os.pipe()
    os.write(writer, passphrase.encode())
    os.close(writer)
    try:
        secret = ["--object", f"secret,id=key,file=/dev/fd/{reader}"]
        target = "json:" + json.dumps({"driver": "luks", "key-secret": "key", "file": file})
        command = [QEMU_IMG, "convert", "-q", *secret, "-n", "-f", source.disk_format, "-O", "luks", source.path, target]
        run(command, COPY_SECONDS, keep_fd=reader)
    finally:
        os.close(reader)


def require_fit(spec: VolumeSpec, source: Source, header_bytes: int = 0) -> int:
    """Return how large an image's content is.  :raises VolumeDriverError: when the volume cannot hold it."""
    path = Path(source.path)
    try:
        size_bytes = qcow2.require_alone(path).size_bytes if source.disk_format == "qcow2" else path.stat().st_size
    except OSError as error:
        raise VolumeDriverError(f"cannot read the image {path.name}: {error.strerror}") from error
    if size_bytes + header_bytes > spec.size_bytes:
        raise VolumeDriverError(
            f"a volume of {spec.size_gib} GiB cannot hold an image of {(size_bytes + header_bytes) / GIB:.2f} GiB"
        )
    return size_bytes


def _convert(source: list[str], target: Path) -> None:
    run([QEMU_IMG, "convert", "-q", "-n", "--target-is-zero", *source[:2], "-O", "raw", source[2], str(target)], COPY_SECONDS)
    wiping.sync(target)


def _grow(path: Path, size_bytes: int) -> None:
    """Make a raw file larger, never smaller, and sync it."""
    with path.open("r+b") as file:
        if os.fstat(file.fileno()).st_size < size_bytes:
            os.ftruncate(file.fileno(), size_bytes)
        os.fsync(file.fileno())
