"""The layers of a back end's volumes where these are devices in a store.  Heads are files, as elsewhere (layers/tree.py).

HEX-MARK.raw                            a layer
new.HEX-MARK.raw                        one that is being made, and seen by nobody
trash.WIPE.VOLUME_ID.HEX-MARK.raw       one that nobody needs any more, on its way out

The mark is that of the directory with the heads: several hosts may have a store together, and none takes away what it does not
know but another one does.  Layers from before there were marks have none; they are used, and never taken for leftovers.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

from pileus.volume.driver import DiskFormat, Wipe
from pileus.volume.drivers.blocks.store import Store
from pileus.volume.drivers.layers.tree import Tree

NEW, TRASH = "new.", "trash."
USAGE_SECONDS = 10.0


class BlockTree(Tree):
    """Heads in a directory, layers in a store.  Every layer stands alone.  What they take is looked up now and then only."""

    grows_below = True

    def __init__(self, directory: Path, store: Store) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        super().__init__(directory.resolve())
        self.store, self._mark_of_layers = store, _mark_of(self.directory / "mark")
        self.reflinks = True
        self._usage: dict[str, int] = {}
        self._usage_until = 0.0

    def room_bytes(self) -> tuple[int, int]:
        """Ask the store."""
        return self.store.room_bytes()

    def protocol(self, layer: str) -> dict[str, Any]:
        """Ask the store."""
        return self.store.protocol(layer)

    def path(self, layer: str) -> Path:
        """Ask the store."""
        return self.store.path(layer)

    def begin(self, disk_format: DiskFormat, *, of_image: bool = False) -> Path:
        """Name a new layer."""
        return self.store.path(f"{secrets.token_hex(10)}{self._mark_of_layers}")

    def publish(self, *built: Path) -> None:
        """Take the sign of what is being made off."""
        for path in built:
            self.store.rename(NEW + path.name, path.name)

    def chain(self, layer: str) -> list[str]:
        """There is nothing below a layer."""
        return [layer]

    def size_bytes(self, layer: str) -> int:
        """Ask the store."""
        return self.store.size_bytes(layer)

    def used_bytes(self, layers: Iterable[str]) -> int:
        """Ask the store, or say what it said a moment ago."""
        if time.monotonic() >= self._usage_until:
            self._usage = self.store.usage()
            self._usage_until = time.monotonic() + USAGE_SECONDS
        return sum(self._usage.get(layer, 0) for layer in layers)

    def layers(self) -> set[str]:
        """Those with the mark that have neither sign."""
        return {name for name in self.store.names() if name.endswith(self._mark_of_layers) and name.count(".") == 1}

    def throw_away(self, layers: Iterable[str], volume_id: str, wipe: Wipe) -> list[Path]:
        """Put the sign of what is on its way out on layers."""
        present, thrown = self.store.names(), []
        for layer in layers:
            name = next((name for name in (layer, NEW + layer) if name in present), "")
            if name:
                target = f"{TRASH}{wipe}.{volume_id}.{layer}"
                self.store.rename(name, target)
                thrown.append(self.store.path(target))
        return thrown

    def trash(self, volume_id: str = "") -> list[tuple[Path, Wipe]]:
        """Those with that sign, but not those with another one's mark."""
        names = [name for name in self.store.names() if name.startswith(TRASH)]
        found = [name.split(".") for name in names if name.endswith(self._mark_of_layers) or "-" not in name.split(".")[-2]]
        return [(self.store.path(".".join(part)), cast(Wipe, part[1])) for part in found if not volume_id or part[2] == volume_id]

    def wipe(self, path: Path, how: Wipe, stop: Callable[[], bool]) -> bool:
        """Have the store do it."""
        return self.store.remove(path.name, how, stop)

    def sweep(self) -> None:
        """Take away what killed processes left."""
        for name in self.store.names():
            if name.startswith(NEW) and name.endswith(self._mark_of_layers):
                self.store.remove(name, "none", lambda: False)
        self.sweep_layers()


def _mark_of(path: Path) -> str:
    """Return how the names of a directory's layers end; what says so is made whole, and once."""
    if not path.exists():
        new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        with new.open("w") as file:
            file.write(f"-{secrets.token_hex(4)}.raw")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
        new.unlink()
    return path.read_text()
