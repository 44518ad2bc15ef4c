"""Container sync: sends what changes in a container to the container that it names, in this cluster or another one.

Every replica of a container's index first sends its own share of the news, and on its next pass what was the others' before,
should they have failed.  How far it came is noted in the index, by partner.  Requests carry the time of the change, so that
sending twice does no harm and the newest wins on both sides, which may sync to each other.

The names of a big container are in its shards: each shard sends its own, to the partner of the container that it is part of,
and notes itself how far it came.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

import structlog

from pileus.kernel import ids
from pileus.object_store.backend import ObjectMetadata, ObjectName, Ring, Unreachable
from pileus.object_store.indexes import ObjectRow
from pileus.object_store.placement import Placement
from pileus.object_store.realms import Partner, Realms, signature
from pileus.object_store.request import Refused
from pileus.object_store.storage import container_index, remote
from pileus.object_store.storage.container_index import SHARD_ROOT, ContainerIndex, Whole, root_of
from pileus.object_store.storage.layout import Device
from pileus.object_store.storage.local_indexes import IndexFiles
from pileus.object_store.storage.merging import live_headers
from pileus.object_store.timestamps import ZERO, Timestamp

log = structlog.get_logger(__name__)

SYNC_TO, SYNC_KEY = "X-Container-Sync-To", "X-Container-Sync-Key"
VERSIONS, LINK_VERSION = "X-Container-Sysmeta-Versions-Container", "X-Object-Sysmeta-Versions-Symlink"
LINKS = {
    f"X-Object-Sysmeta-Symlink-{word}": f"X-Symlink-{word}"
    for word in ("Target", "Target-Account", "Target-Etag", "Target-Bytes")
}
ROWS_AT_ONCE, SENT_AT_ONCE = 100, 8
SECONDS_PER_CONTAINER = 60.0
DONE = (404, 409)
DEPTH_MAX = 8


@dataclass(frozen=True)
class Errand:
    """One container's sync: whose it is, where it goes, with which key."""

    account: str
    container: str
    policy: int
    partner: Partner
    user_key: str

    def mark(self, word: str) -> str:
        """Return the name under which it is noted how far this sync came."""
        return f"container-sync {word} {self.partner.url}"

    def is_share(self, name: str, share: int, shares: int) -> bool:
        """Tell whether a name belongs to a replica's share."""
        return sum(name.encode()) % shares == share


@dataclass
class ContainerSync:
    """Syncs the containers of one device.

    :param mine: the id of this device in the ring of containers; None: there is no other.
    """

    files: IndexFiles
    placement: Placement
    realms: Realms
    ring: Ring
    now: Callable[[], float]
    mine: int | None = None
    name: str = "container-sync"
    idle: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def device(self) -> Device:
        """Whose containers."""
        return self.files.device

    async def run_once(self) -> Counter[str]:
        """Send what is new."""
        counts: Counter[str] = Counter()
        for partition in self.device.partitions("containers"):
            for directory in self.device.hash_dirs("containers", partition):
                index = ContainerIndex(self.files.file(container_index.SHAPE, partition, os.path.basename(directory)))
                stamps = _stamps(index.file.path)
                if self.idle.get(index.file.path) == stamps:
                    continue
                try:
                    whole = await asyncio.to_thread(index.whole, False)
                    errand = await self._errand(whole)
                except (ValueError, Unreachable, Refused) as error:
                    log.warning("a container cannot be synced", path=index.file.path, reason=str(error))
                    counts["refused"] += 1
                    continue
                if errand is not None:
                    counts += await self._sync(index, partition, errand)
                elif whole is None or root_of(whole) is None:
                    self.idle[index.file.path] = stamps  # a shard does not change when the whole gets a partner
        return counts

    async def _errand(self, whole: Whole | None) -> Errand | None:
        """Return what there is to do for a container, or for what a shard is part of.

        :raises ValueError: when its partner is not allowed.
        :raises Unreachable: when the container that a shard is part of cannot be asked.
        """
        if whole is None or whole.deleted:
            return None
        headers: Mapping[str, str] = live_headers(whole.metadata)
        account, container, policy = whole.account, whole.container, whole.policy
        for _ in range(DEPTH_MAX):  # a shard may have been split itself
            root = headers.get(SHARD_ROOT)
            if not root:
                break
            account, container = (unquote(part) for part in root.split("/", 1))
            found = (await self.placement.container(account, container)).info
            if found is None:
                return None
            headers, policy = found.metadata, found.policy
        if not headers.get(SYNC_TO) or not headers.get(SYNC_KEY) or headers.get(VERSIONS):
            return None
        return Errand(account, container, policy, self.realms.partner(headers[SYNC_TO]), headers[SYNC_KEY])

    def _share(self, partition: int) -> tuple[int, int]:
        """Return which replica this is, and of how many."""
        nodes = [node.id for node in self.ring.nodes(partition)]
        return (nodes.index(self.mine), len(nodes)) if self.mine in nodes else (0, 1)

    async def _sync(self, index: ContainerIndex, partition: int, errand: Errand) -> Counter[str]:
        counts: Counter[str] = Counter()
        share, shares = self._share(partition)
        file, until = index.file, self.now() + SECONDS_PER_CONTAINER
        first, second = errand.mark("own"), errand.mark("all")
        own, every = await asyncio.to_thread(lambda: (file.synced(first), file.synced(second)))
        failed = False
        while every < own and not failed and self.now() < until:  # what the others should have sent, and what failed
            rows, upto = await asyncio.to_thread(file.news, every, ROWS_AT_ONCE)
            if not rows:
                break
            failed = not await self._send_all(errand, rows, counts)
            if not failed:
                every = upto
                await asyncio.to_thread(file.note_synced, second, every)
        while self.now() < until:
            rows, upto = await asyncio.to_thread(file.news, own, ROWS_AT_ONCE)
            if not rows:
                break
            sent = await self._send_all(errand, [row for row in rows if errand.is_share(row.name, share, shares)], counts)
            own = upto
            await asyncio.to_thread(file.note_synced, first, own)
            if sent and not failed and shares == 1:
                await asyncio.to_thread(file.note_synced, second, own)
            failed = failed or not sent
        counts["containers"] += 1
        return counts

    async def _send_all(self, errand: Errand, rows: list[ObjectRow], counts: Counter[str]) -> bool:
        turn = asyncio.Semaphore(SENT_AT_ONCE)

        async def one(row: ObjectRow) -> bool:
            async with turn:
                try:
                    word = await (self._delete(errand, row) if row.deleted else self._put(errand, row))
                except (Unreachable, Refused, OSError, TimeoutError, ValueError) as error:
                    log.warning("an object was not synced", name=row.name, partner=errand.partner.url, reason=str(error))
                    word = "failed"
                counts[word] += 1
                return word != "failed"

        return all(await asyncio.gather(*(one(row) for row in rows)))

    async def _ask(
        self, errand: Errand, method: str, name: str, headers: Mapping[str, str], body: AsyncIterator[bytes] | None = None
    ) -> tuple[int, Mapping[str, str]]:
        url = f"{errand.partner.url}/{quote(name)}"
        if errand.partner.realm:
            nonce, path = ids.uuid(), urlsplit(url).path
            sign = signature(method, path, headers["X-Timestamp"], nonce, errand.partner.key, errand.user_key)
            proof = {"X-Container-Sync-Auth": f"{errand.partner.realm} {nonce} {sign}"}
        else:
            proof = {SYNC_KEY: errand.user_key}
        return await remote.request(method, url, {**headers, **proof}, body)

    async def _delete(self, errand: Errand, row: ObjectRow) -> str:
        status, _ = await self._ask(errand, "DELETE", row.name, {"X-Timestamp": row.data_at.internal})
        return "deletes" if status // 100 == 2 or status in DONE else "failed"

    async def _put(self, errand: Errand, row: ObjectRow) -> str:
        changed = max(row.data_at, row.meta_at or ZERO, row.content_type_at or ZERO)
        status, there = await self._ask(errand, "HEAD", row.name, {"X-Timestamp": changed.internal})
        if status == 200 and Timestamp.parse(there.get("x-timestamp", "0")) >= Timestamp(changed.ticks):
            return "known"
        if status not in (200, 404):
            return "failed"
        name = ObjectName(errand.account, errand.container, row.name)
        found = await self.placement.open(errand.policy, name, newest=True)
        if found is None or found.answer.metadata is None:
            return "failed"
        try:
            meta = found.answer.metadata
            if LINK_VERSION in meta.headers:
                return "skipped"
            status, _ = await self._ask(errand, "PUT", row.name, _headers(meta), found.chunks())
        finally:
            await found.close()
        return "puts" if status // 100 == 2 or status == 409 else "failed"


def _headers(meta: ObjectMetadata) -> dict[str, str]:
    """Return the headers that make an object the same elsewhere."""
    found = {LINKS.get(key, key): value for key, value in meta.headers.items() if key in LINKS or "-Sysmeta-" not in key}
    found |= {"X-Timestamp": meta.modified_at.internal, "Etag": meta.etag, "Content-Type": meta.content_type}
    if meta.delete_at is not None:
        found["X-Delete-At"] = str(meta.delete_at)
    return found | {"Content-Length": str(meta.size_bytes)}


def _stamps(path: str) -> tuple[int, ...]:
    """Return what changes whenever an index file does."""
    found = []
    for end in ("", "-wal"):
        try:
            stat = os.stat(path + end)
        except FileNotFoundError:
            continue
        found += [stat.st_mtime_ns, stat.st_size]
    return tuple(found)
