"""How layers are made in a store: blank, of an image, encrypted, or as a copy of another one."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from pileus.volume.driver import VolumeSpec
from pileus.volume.drivers.blocks.tree import NEW, BlockTree
from pileus.volume.drivers.layers import luks
from pileus.volume.drivers.layers.programs import COPY_SECONDS, QEMU_IMG, run
from pileus.volume.drivers.layers.sources import fill_encrypted, require_fit


class Blocks:
    """Makes layers that are devices."""

    def __init__(self, tree: BlockTree) -> None:
        self._tree, self._store = tree, tree.store

    def build(self, spec: VolumeSpec) -> list[Path]:
        """Build the layer of a new volume."""
        source = spec.source
        if source is not None:
            require_fit(spec, source, luks.HEADER_BYTES if spec.luks_key else 0)
        path = self._tree.begin("raw")
        try:
            self._store.make(NEW + path.name, spec.size_bytes, thin=spec.thin)
            if spec.luks_key:
                self._encrypt(path.name, spec.luks_key)
                if source is not None:
                    fill_encrypted(source, spec.luks_key, self._store.protocol(NEW + path.name))
            elif source is not None:
                self._fill(["-f", source.disk_format, source.path], path.name)
        except BaseException:
            self.discard([path])
            raise
        return [path]

    def over(self, layer: str, size_bytes: int) -> Path:
        """Have the store copy a layer."""
        path = self._tree.begin("raw")
        try:
            self._store.copy(layer, NEW + path.name)
            if self._store.size_bytes(NEW + path.name) < size_bytes:
                self._store.grow(NEW + path.name, size_bytes)
        except BaseException:
            self.discard([path])
            raise
        return path

    def filled(self, layer: str, size_bytes: int, built: list[Path]) -> None:
        """Copy all that a layer holds."""
        path = self._tree.begin("raw")
        built.append(path)
        self._store.make(NEW + path.name, size_bytes, thin=False)
        self._fill(["-f", "raw", self._raw(layer)], path.name)

    def discard(self, built: Sequence[Path]) -> None:
        """Remove what was being built, and was not published."""
        present = self._store.names()
        for path in built:
            if NEW + path.name in present:
                self._store.remove(NEW + path.name, "none", lambda: False)

    def grow(self, layer: str, size_bytes: int) -> None:
        """Make a layer larger."""
        self._store.grow(layer, size_bytes)

    def _encrypt(self, name: str, key: str) -> None:
        header = self._tree.directory / "building" / f"{name}.header"
        try:
            with open(os.open(header, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(luks.header(key.encode()))
            self._fill(["-f", "raw", str(header)], name)
        finally:
            header.unlink(missing_ok=True)

    def _fill(self, source: list[str], name: str) -> None:
        """Write content to the beginning of a new device."""
        run([QEMU_IMG, "convert", "-q", "-n", *source[:2], "-O", "raw", source[2], self._raw(NEW + name)], COPY_SECONDS)

    def _raw(self, name: str) -> str:
        return "json:" + json.dumps({"driver": "raw", "file": self._store.protocol(name)})
