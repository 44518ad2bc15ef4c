"""Back end `lvm`: volumes are thin logical volumes of a volume group, served as those of back end `iscsi` are."""

from pathlib import Path

from pileus.certificates import Identity
from pileus.volume.drivers.blocks.lvm import GROUP, Lvm
from pileus.volume.drivers.blocks.making import Blocks
from pileus.volume.drivers.blocks.tree import BlockTree
from pileus.volume.drivers.iscsi import IscsiServing


class LvmBackend(IscsiServing):
    """Fulfils `VolumeBackend`, `Reader` and `Together`.  What is known of volumes is in files in `directory`."""

    layers_are_files = False

    def __init__(
        self, store: Lvm, directory: Path, run_directory: Path, host: str, identity: Identity | None = None, *, netns: str = ""
    ) -> None:
        tree = BlockTree(directory, store)
        super().__init__(tree, Blocks(tree), run_directory, host, netns, identity)


def store_in(where: str) -> Lvm:
    """Open the volume group that the setting names."""
    return Lvm(where or GROUP)
