"""Back end `rbd`: volumes are images in a pool of Ceph.

Guests do not talk to Ceph themselves: a storage daemon does for each volume, and serves it as those of back end `file` are.  So
a guest's process holds no key of the cluster, and what was taken away from it is out of its reach.
"""

from pathlib import Path

from pileus.certificates import Identity
from pileus.volume.drivers.blocks.making import Blocks
from pileus.volume.drivers.blocks.rbd import POOL, Rbd
from pileus.volume.drivers.blocks.tree import BlockTree
from pileus.volume.drivers.layered import LayeredBackend


class RbdBackend(LayeredBackend):
    """Fulfils `VolumeBackend`, `Reader` and `Together`.  What is known of volumes is in files in `directory`."""

    def __init__(self, store: Rbd, directory: Path, run_directory: Path, host: str, identity: Identity | None = None) -> None:
        tree = BlockTree(directory, store)
        super().__init__(tree, Blocks(tree), run_directory, host, identity)


def store_at(where: str) -> Rbd:
    """Open what the setting says: [USER@]POOL[:CONFIGURATION]."""
    place, _, configuration = where.partition(":")
    user, _, pool = place.rpartition("@")
    return Rbd(pool or POOL, user, configuration)
