"""Moves objects that lie under another storage policy than their container's to where they belong.

That happens when a container is deleted and made anew with another policy while some of its replicas are away: these go on taking
objects under the old one.  The rows of a container tell the policy of each object, so what does not fit is seen there.

A copy is written a little later than the original (offset + 2), the original deleted a little earlier than that (offset + 1): so
whatever was written meanwhile wins, and all of it may be repeated.  Each replica of a container notes how far it has looked.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from pileus.object_store.backend import ObjectDelete, ObjectName, ObjectPut, Ring, Unreachable, Written
from pileus.object_store.indexes import ObjectRow
from pileus.object_store.placement import Placement
from pileus.object_store.places import Node
from pileus.object_store.request import Refused
from pileus.object_store.storage import container_index
from pileus.object_store.storage.container_index import ContainerIndex, Whole, root_of
from pileus.object_store.storage.daemons.replicators import in_thread
from pileus.object_store.storage.layout import Device
from pileus.object_store.storage.local_indexes import IndexFiles
from pileus.object_store.timestamps import ZERO, Timestamp

ROWS_AT_ONCE = 1000
ORIGINAL_GONE, COPIED = 1, 2


@dataclass
class ContainerReconciler:
    """Looks at the containers of a device that it is a primary of."""

    files: IndexFiles
    here: Node
    ring: Ring
    placement: Placement
    now: Callable[[], float]
    name: str = "container-reconciler"

    @property
    def device(self) -> Device:
        """Whose containers."""
        return self.files.device

    async def run_once(self) -> Counter[str]:
        """Move what lies wrong."""
        counts: Counter[str] = Counter()
        if len(self.placement.cluster.object_rings) < 2:
            return counts
        for partition in self.device.partitions("containers"):
            if self.here.id not in {node.id for node in self.ring.nodes(partition)}:
                continue
            for directory in self.device.hash_dirs("containers", partition):
                index = ContainerIndex(self.files.file(container_index.SHAPE, partition, os.path.basename(directory)))
                whole = await in_thread(index.whole)
                if whole is not None and not whole.deleted:
                    counts["seen"] += 1
                    counts += await self._container(index, whole)
        return counts

    async def _container(self, index: ContainerIndex, whole: Whole) -> Counter[str]:
        counts: Counter[str] = Counter()
        mark = f"reconciled {whole.policy} {whole.changed_at.internal}"
        since = max(await in_thread(lambda: index.file.synced(mark)), 0)
        account, container = root_of(whole) or (whole.account, whole.container)
        while True:
            rows, upto = await in_thread(lambda at=since: index.strays(whole.policy, at, ROWS_AT_ONCE))  # type: ignore[misc]
            for row in rows:
                outcome = await self._row(ObjectName(account, container, row.name), row, whole.policy)
                counts[outcome] += 1
                if outcome == "failed":
                    return counts
            if upto > since:
                await in_thread(lambda at=upto: index.file.note_synced(mark, at))  # type: ignore[misc]
            if len(rows) < ROWS_AT_ONCE:
                return counts
            since = upto

    async def _row(self, name: ObjectName, row: ObjectRow, policy: int) -> str:
        if row.policy not in self.placement.cluster.object_rings:
            return "unknown"
        try:
            if row.deleted:
                return await self._delete(policy, name, _after(row.data_at, ORIGINAL_GONE), quiet=False)
            return await self._move(name, row, policy)
        except (Unreachable, Refused):
            return "failed"

    async def _move(self, name: ObjectName, row: ObjectRow, policy: int) -> str:
        there = await self.placement.object(policy, name, newest=True)
        known = max(there.timestamp or ZERO, there.metadata.data_at if there.metadata else ZERO)
        reading = await self.placement.open(row.policy, name, newest=True)
        if reading is None:
            return "there" if known >= row.data_at else "missing"
        metadata = reading.answer.metadata
        assert metadata is not None
        written_at = max(metadata.data_at, metadata.modified_at)
        try:
            if known <= written_at:
                put = ObjectPut(
                    timestamp=_after(written_at, COPIED),
                    content_type=metadata.content_type,
                    size_bytes=metadata.size_bytes,
                    etag=metadata.etag,
                    delete_at=metadata.delete_at,
                    headers=dict(metadata.headers),
                )
                upload = await self.placement.upload(policy, name, put)
                if not isinstance(upload, Written):
                    async for piece in reading.chunks():
                        await upload.write(piece)
                    upload_done = await upload.commit()
                else:
                    upload_done = upload
                if not upload_done.ok and upload_done.status != 409:
                    return "failed"
        finally:
            await reading.close()
        return await self._delete(row.policy, name, _after(written_at, ORIGINAL_GONE), quiet=True)

    async def _delete(self, policy: int, name: ObjectName, at: Timestamp, *, quiet: bool) -> str:
        done = await self.placement.delete_object(policy, name, ObjectDelete(timestamp=at), quiet=quiet)
        return "moved" if done.status in {204, 404, 409} else "failed"


def _after(moment: Timestamp, offset: int) -> Timestamp:
    return Timestamp(moment.ticks, moment.offset + offset)
