"""Empties deleted accounts: every object, then every container.  What cannot be reached is left for the next pass."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from pileus.object_store.backend import Cluster, ObjectDelete, ObjectName, Unreachable
from pileus.object_store.indexes import ContainerRow, Listing, Subdir
from pileus.object_store.placement import Placement
from pileus.object_store.places import Target
from pileus.object_store.request import Refused
from pileus.object_store.storage import account_index
from pileus.object_store.storage.account_index import AccountIndex
from pileus.object_store.storage.layout import Device
from pileus.object_store.storage.listing import Span
from pileus.object_store.storage.local_indexes import IndexFiles
from pileus.object_store.timestamps import Timestamp

OBJECTS_PER_LISTING = 1000


@dataclass
class AccountReaper:
    """Reaps the accounts of a device; all replicas may, as deleting twice does no harm.

    :param delay_seconds: how long a deleted account is left alone, should somebody think better of it.
    """

    files: IndexFiles
    cluster: Cluster
    now: Callable[[], float]
    delay_seconds: float = 0.0
    name: str = "account-reaper"

    @property
    def placement(self) -> Placement:
        """The cluster, with all replicas and shards of a container as one."""
        return Placement(self.cluster)

    @property
    def device(self) -> Device:
        """Whose accounts."""
        return self.files.device

    async def run_once(self) -> Counter[str]:
        """Reap what is due."""
        counts: Counter[str] = Counter()
        loop = asyncio.get_running_loop()
        due = Timestamp.of(self.now() - self.delay_seconds)
        for partition in self.device.partitions("accounts"):
            for directory in self.device.hash_dirs("accounts", partition):
                index = AccountIndex(self.files.file(account_index.SHAPE, partition, os.path.basename(directory)))
                whole = await loop.run_in_executor(None, index.whole)
                if whole and whole.deleted and whole.delete_at <= due:
                    for row in await loop.run_in_executor(None, _containers, index):
                        counts += await self._container(whole.account, row)
        return counts

    async def _container(self, account: str, row: ContainerRow) -> Counter[str]:
        """Empty and delete one container."""
        ring, carrier = self.cluster.container_ring, self.cluster.carrier
        partition = ring.partition(account, row.name)
        nodes = ring.nodes(partition)
        counts: Counter[str] = Counter()
        try:
            listing = Listing(limit=OBJECTS_PER_LISTING, allow_reserved=True)
            found = await self.placement.container(account, row.name, listing)
            while found.entries:
                names = [entry.name for entry in found.entries if not isinstance(entry, Subdir)]
                for name in names:
                    await self._object(ObjectName(account, row.name, name), row.policy)
                    counts["objects"] += 1
                again = Listing(limit=OBJECTS_PER_LISTING, allow_reserved=True, marker=names[-1])
                found = await self.placement.container(account, row.name, again)
            at = Timestamp.of(self.now())
            account_partition = self.cluster.account_ring.partition(account)
            targets = tuple(Target(node, account_partition) for node in self.cluster.account_ring.nodes(account_partition))
            for node in nodes:
                await carrier.containers(node).delete(partition, account, row.name, at, targets)
            counts["containers"] += 1
        except (Unreachable, Refused):
            counts["failed"] += 1
        return counts

    async def _object(self, name: ObjectName, policy: int) -> None:
        boxes = self.cluster.container_ring
        box = boxes.partition(name.account, name.container)
        ring = self.cluster.object_rings[policy]
        partition = ring.partition(name.account, name.container, name.object)
        targets = tuple(Target(node, box) for node in boxes.nodes(box))
        delete = ObjectDelete(timestamp=Timestamp.of(self.now()), updates=targets)
        for node in ring.nodes(partition):
            await self.cluster.carrier.objects(node, policy).delete(partition, name, delete)


def _containers(index: AccountIndex) -> list[ContainerRow]:
    index.file.flush()
    with index.file.lock:
        return [account_index.SHAPE.unpack(row) for row in index.file.seek(Span(limit=10_000))]
