"""Back end `file`: volumes are files in a directory of this host, served as NBD exports by storage daemons.

`nfs` is the same over a directory that several hosts mount: locks hold between them, and no blocks are shared.  Each host has
volumes of its own there, which it alone serves, to all hosts.
"""

from pathlib import Path

from pileus.certificates import Identity
from pileus.volume.driver import Found, VolumeDriverError
from pileus.volume.drivers import adoption
from pileus.volume.drivers.layered import LayeredBackend, true_reasons
from pileus.volume.drivers.layers.sources import Files
from pileus.volume.drivers.layers.tree import Tree


def tree_in(directory: Path, *, shared: bool = False, host: str = "") -> Tree:
    """Open a directory with volumes, or make one.  :raises VolumeDriverError: when it cannot be used."""
    with true_reasons("use the directory"):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Tree(directory.resolve(), shared=shared, host=host)


class Adopting(LayeredBackend):
    """Fulfils `Adopter`, where layers are files.  Where they are not, it takes in nothing."""

    layers_are_files = True

    def list_volumes(self) -> tuple[Found, ...]:
        """Return what may be taken in as a volume."""
        with true_reasons("look at the files"), self.tree.alone():
            return adoption.list_volumes(self._files())

    def adopt_volume(self, reference: str, volume_id: str) -> int:
        """Make a file a volume."""
        with self.tree.locks.hold(volume_id), true_reasons("take in the file"):
            return adoption.adopt_volume(self._files(), reference, volume_id)

    def disown_volume(self, volume_id: str) -> str:
        """Let go of a volume; its file stays."""
        with self.tree.locks.hold(volume_id), true_reasons("let go of the volume"):
            head = self.tree.head(volume_id)
            if head is not None:
                self._require_idle(head)
            return adoption.disown_volume(self._files(), volume_id)

    def list_snapshots(self) -> tuple[Found, ...]:
        """Return what may be taken in as a snapshot."""
        with true_reasons("look at the files"), self.tree.alone():
            return adoption.list_snapshots(self._files())

    def adopt_snapshot(self, volume_id: str, reference: str, snapshot_id: str) -> int:
        """Make a snapshot that was let go of one of the cloud again."""
        with self.tree.locks.hold(volume_id), true_reasons("take in the snapshot"):
            return adoption.adopt_snapshot(self._files(), volume_id, reference, snapshot_id)

    def disown_snapshot(self, volume_id: str, snapshot_id: str) -> str:
        """Let go of a snapshot; its content stays."""
        with self.tree.locks.hold(volume_id), true_reasons("let go of the snapshot"):
            return adoption.disown_snapshot(self._files(), volume_id, snapshot_id)

    def _files(self) -> Tree:
        if not self.layers_are_files:
            raise VolumeDriverError("It cannot take in what lies there already, nor let go of volumes.")
        return self.tree


class FileBackend(Adopting):
    """Fulfils all that there is.  `shared` says that other hosts use the directory, too."""

    def __init__(
        self, directory: Path, run_directory: Path, host: str, identity: Identity | None = None, *, shared: bool = False
    ) -> None:
        tree = tree_in(directory, shared=shared, host=host)
        super().__init__(tree, Files(tree), run_directory, host, identity)
