"""Bring news where it could not be brought at once: of objects to their containers, of containers to their accounts."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from pileus.object_store.backend import Carrier, Ring, Unreachable
from pileus.object_store.indexes import ContainerRow
from pileus.object_store.places import Target
from pileus.object_store.storage import container_index, pending
from pileus.object_store.storage.container_index import ContainerIndex, Whole, root_of, shard_figures
from pileus.object_store.storage.layout import Device
from pileus.object_store.storage.local_indexes import IndexFiles
from pileus.object_store.storage.telling import tell
from pileus.object_store.timestamps import Timestamp

RECLAIM_SECONDS = 604_800.0


@dataclass
class ObjectUpdater:
    """Sends the async pendings of a device.  News of over a week is dropped: its container is gone."""

    device: Device
    carrier: Carrier
    container_ring: Ring
    now: Callable[[], float]
    reclaim_seconds: float = RECLAIM_SECONDS
    name: str = "object-updater"

    async def run_once(self) -> Counter[str]:
        """Send all there is."""
        counts: Counter[str] = Counter()
        for path, news in await asyncio.get_running_loop().run_in_executor(None, lambda: list(pending.all_pending(self.device))):
            left = tuple([target for target in self._targets(news) if not await self._send(target, news)])
            if not left:
                os.unlink(path)
                counts["sent"] += 1
            elif max(news.row.data_at, news.row.meta_at or news.row.data_at) < Timestamp.of(self.now() - self.reclaim_seconds):
                os.unlink(path)
                counts["dropped"] += 1
            else:
                pending.rewrite(path, pending.Pending(news.account, news.container, news.row, left))
                counts["kept"] += 1
        return counts

    def _targets(self, news: pending.Pending) -> list[Target]:
        """Return who has to know: those noted, or all in charge today when one of them is in charge no more."""
        partition = self.container_ring.partition(news.account, news.container)
        today = [Target(node, partition) for node in self.container_ring.nodes(partition)]
        return list(news.targets) if all(target in today for target in news.targets) else today

    async def _send(self, target: Target, news: pending.Pending) -> bool:
        try:
            return await tell(self.carrier, self.container_ring, target, news.account, news.container, news.row)
        except Unreachable:
            return False


@dataclass
class ContainerUpdater:
    """Tells accounts the figures of the containers of a device, and big containers those of their shards."""

    files: IndexFiles
    carrier: Carrier
    account_ring: Ring
    now: Callable[[], float]
    container_ring: Ring | None = None
    name: str = "container-updater"

    @property
    def device(self) -> Device:
        """Whose containers."""
        return self.files.device

    async def run_once(self) -> Counter[str]:
        """Tell all that has changed."""
        counts: Counter[str] = Counter()
        loop = asyncio.get_running_loop()
        for partition in self.device.partitions("containers"):
            for directory in self.device.hash_dirs("containers", partition):
                index = ContainerIndex(self.files.file(container_index.SHAPE, partition, os.path.basename(directory)))
                counts[await self._report(loop, index)] += 1
        return counts

    async def _report(self, loop: asyncio.AbstractEventLoop, index: ContainerIndex) -> str:
        row = await loop.run_in_executor(None, index.report, self.now())
        whole = await loop.run_in_executor(None, index.whole)
        if row is None or whole is None:
            return "unchanged"
        if not await (self._tell_root(root, whole) if (root := root_of(whole)) else self._tell_account(whole.account, row)):
            return "failed"
        await loop.run_in_executor(None, index.reported, row)
        return "told"

    async def _tell_account(self, account: str, row: ContainerRow) -> bool:
        partition = self.account_ring.partition(account)
        for node in self.account_ring.nodes(partition):
            try:
                if not (await self.carrier.accounts(node).update(partition, account, [row])).ok:
                    return False
            except Unreachable:
                return False
        return True

    async def _tell_root(self, root: tuple[str, str], whole: Whole) -> bool:
        """Tell the container that this is a shard of."""
        if self.container_ring is None:
            return False
        figures = shard_figures(whole, self.now())
        partition = self.container_ring.partition(*root)
        for node in self.container_ring.nodes(partition):
            try:
                await self.carrier.containers(node).take_shards(partition, *root, [figures])
            except Unreachable:
                return False
        return True
