"""Splits big containers: their names are listed by other containers, the shards, each in charge of a range of names.

    too many rows -> ranges found -> shards created -> rows brought to them -> names listed by the shards -> rows forgotten
                      (one replica does this)          (each replica by itself, see `shard_index`)

The first primary of a container leads.  The others learn of the ranges by replication.  A shard that grows is split likewise.
Of two neighbours that have become small, the first is emptied into the second: to the first that is a range as any other, and
once all its replicas have brought their rows over, the leader gives its range to the second.
"""

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import pairwise

from msgspec.structs import replace

from pileus.object_store.backend import Carrier, Ring, Unreachable, Written
from pileus.object_store.indexes import CREATED, FOUND, SHRINKING, ContainerPut, Listing, ObjectRow, ShardRange
from pileus.object_store.places import Node
from pileus.object_store.replicas import quorum
from pileus.object_store.storage import container_index
from pileus.object_store.storage.container_index import ContainerIndex, Whole, root_header
from pileus.object_store.storage.daemons.replicators import in_thread
from pileus.object_store.storage.layout import Device
from pileus.object_store.storage.local_indexes import IndexFiles
from pileus.object_store.storage.shard_index import (
    Sharding,
    hand_over,
    note_delivered,
    purge,
    ranges_between,
    read_sharding,
    shard_of,
    split_points,
    take_ranges,
)
from pileus.object_store.timestamps import Timestamp

SHARD_THRESHOLD = 1_000_000
SHRINK_FRACTION, MERGED_FRACTION = 0.1, 0.75
ROWS_PER_CALL = 5000
SHARDS_ACCOUNT = ".shards_"


@dataclass(frozen=True)
class Box:
    """A container on this device."""

    index: ContainerIndex
    whole: Whole
    sharding: Sharding
    leads: bool

    @property
    def ranges(self) -> tuple[ShardRange, ...]:
        """The ranges in force."""
        return self.sharding.alive(self.whole.delete_at)


@dataclass
class ContainerSharder:
    """Splits and joins the containers of a device.

    :param threshold: more names than that are split into parts of half as many.
    """

    files: IndexFiles
    here: Node
    ring: Ring
    carrier: Carrier
    now: Callable[[], float]
    threshold: int = SHARD_THRESHOLD
    name: str = "container-sharder"

    @property
    def device(self) -> Device:
        """Whose containers."""
        return self.files.device

    async def run_once(self) -> Counter[str]:
        """Take every container as far as it goes."""
        counts: Counter[str] = Counter()
        for partition in self.device.partitions("containers"):
            nodes = [node.id for node in self.ring.nodes(partition)]
            if self.here.id not in nodes:
                continue  # the replicator brings it home
            for directory in self.device.hash_dirs("containers", partition):
                index = ContainerIndex(self.files.file(container_index.SHAPE, partition, os.path.basename(directory)))
                whole = await in_thread(index.whole)
                if whole is not None:
                    leads = nodes[0] == self.here.id
                    counts["seen"] += 1
                    counts += await self._container(Box(index, whole, read_sharding(index.file), leads))
        return counts

    async def _container(self, box: Box) -> Counter[str]:
        if box.whole.deleted:
            return await self._clear(box) if box.leads else Counter()
        counts: Counter[str] = Counter()
        if not box.ranges and box.leads and box.whole.object_count > self.threshold:
            box = await self._find(box)
            counts["found"] += len(box.ranges)
        if box.leads and any(one.state == FOUND for one in box.ranges):
            box = await self._create(box)
        if not box.ranges or any(one.state == FOUND for one in box.ranges):
            return counts
        sent, done = await self._deliver(box)
        counts["rows"] += sent
        if not done:
            return counts + Counter(unfinished=1)
        if not box.whole.sharded:
            await self._refresh(box)
            at = Timestamp.of(self.now()).after(box.whole.delete_at)
            if not await in_thread(lambda: hand_over(box.index.file, at)):
                return counts + Counter(unfinished=1)
            counts["sharded"] += 1
        counts["purged"] += await in_thread(lambda: purge(box.index.file))
        if box.leads:
            counts += await self._shrink(box)
        return counts

    async def _again(self, box: Box) -> Box:
        whole = await in_thread(box.index.whole)
        return replace_box(box, whole or box.whole)

    # Splitting

    async def _find(self, box: Box) -> Box:
        whole, at = box.whole, Timestamp.of(self.now()).after(box.whole.delete_at)
        points = await in_thread(lambda: split_points(box.index.file, max(self.threshold // 2, 1)))
        prefix = "" if whole.account.startswith(SHARDS_ACCOUNT) else SHARDS_ACCOUNT
        digest = hashlib.md5(f"{whole.account}/{whole.container}".encode(), usedforsecurity=False).hexdigest()
        names = [f"{digest}-{at.normal}-{number}" for number in range(len(points) + 1)]
        ranges = ranges_between(points, f"{prefix}{whole.account}", names, at)
        await in_thread(lambda: take_ranges(box.index.file, ranges))
        return await self._again(box)

    async def _create(self, box: Box) -> Box:
        """Make the shards that are not there yet."""
        whole = box.whole
        for one in box.ranges:
            if one.state == FOUND:
                header = root_header(whole.account, whole.container)
                put = ContainerPut(timestamp=one.stamp, policy=whole.policy, metadata=header)
                if await self._majority(one, lambda partition, node, one=one, put=put: self._put(partition, node, one, put)):  # type: ignore[misc]
                    made = replace(one, state=CREATED, stamp=self._later(one.stamp))
                    await in_thread(lambda made=made: take_ranges(box.index.file, [made]))  # type: ignore[misc]
        return await self._again(box)

    async def _put(self, partition: int, node: Node, one: ShardRange, put: ContainerPut) -> Written:
        return await self.carrier.containers(node).put(partition, one.account, one.container, put)

    def _later(self, than: Timestamp) -> Timestamp:
        return Timestamp.of(self.now()).after(than)

    async def _majority(self, one: ShardRange, ask: Callable[[int, Node], object]) -> bool:
        done = [result for result in await self._all(one.account, one.container, ask) if result is not None and result.ok]
        return len(done) >= quorum(len(self.ring.nodes(self.ring.partition(one.account, one.container))))

    async def _all(self, account: str, container: str, ask: Callable[[int, Node], object]) -> list[Written | None]:
        """Ask all replicas of a container; None for those away."""
        partition = self.ring.partition(account, container)

        async def one(node: Node) -> Written | None:
            try:
                found: Written = await ask(partition, node)  # type: ignore[misc]
            except Unreachable:
                return None
            return found

        return list(await asyncio.gather(*(one(node) for node in self.ring.nodes(partition))))

    # Bringing rows to the shards

    async def _deliver(self, box: Box) -> tuple[int, bool]:
        """Bring the shards all rows that they do not know; return how many, and whether none is left."""
        file, sent, since = box.index.file, 0, box.sharding.delivered
        while True:
            rows, upto = await in_thread(lambda at=since: file.news(at, ROWS_PER_CALL))  # type: ignore[misc]
            if not rows:
                return sent, True
            shares: dict[tuple[str, str], list[ObjectRow]] = {}
            for row in rows:
                one = shard_of(box.ranges, row.name)
                if one is None:
                    return sent, False
                shares.setdefault((one.account, one.container), []).append(row)
            for (account, container), share in shares.items():
                if not await self._send(account, container, share):
                    return sent, False
            sent += len(rows)
            since = upto
            await in_thread(lambda at=upto: note_delivered(file, at))  # type: ignore[misc]

    async def _send(self, account: str, container: str, rows: Sequence[ObjectRow]) -> bool:
        """Tell a majority of a shard's replicas, or of the shard that has taken over from it."""

        async def ask(partition: int, node: Node) -> Written:
            return await self.carrier.containers(node).update(partition, account, container, rows)

        results = [result for result in await self._all(account, container, ask) if result is not None]
        moved = next((result.moved for result in results if result.moved), None)
        passed_on = moved is not None and await self._send(*moved, rows)
        known = [one for one in results if one.ok or (passed_on and one.status == HTTPStatus.MOVED_PERMANENTLY)]
        return len(known) >= quorum(len(self.ring.nodes(self.ring.partition(account, container))))

    async def _refresh(self, box: Box) -> None:
        """Note the figures of the shards before they stand for the container's."""
        for one in box.ranges:
            partition = self.ring.partition(one.account, one.container)
            best = None
            for node in self.ring.nodes(partition):
                try:
                    info = (await self.carrier.containers(node).head(partition, one.account, one.container)).info
                except Unreachable:
                    continue
                if info is not None and (best is None or info.object_count > best.object_count):
                    best = info
            if best is not None:
                at = Timestamp.of(self.now())
                seen = replace(one, object_count=best.object_count, bytes_used=best.bytes_used, figures_at=at)
                await in_thread(lambda seen=seen: take_ranges(box.index.file, [seen]))  # type: ignore[misc]

    # Joining

    async def _shrink(self, box: Box) -> Counter[str]:
        """Begin to empty one shard into its neighbour, or finish what was begun."""
        ranges = sorted((await self._again(box)).ranges, key=lambda one: one.lower)
        for donor, taker in pairwise(ranges):
            both = donor.object_count + taker.object_count
            if donor.state == SHRINKING:
                return await self._finish(box, donor, taker)
            small = min(donor.object_count, taker.object_count) < self.threshold * SHRINK_FRACTION
            fits = taker.state == CREATED and both < self.threshold * MERGED_FRACTION
            if small and fits and donor.figures_at and await self._is_plain(donor):
                begun = replace(donor, state=SHRINKING, stamp=self._later(donor.stamp))
                await in_thread(lambda begun=begun: take_ranges(box.index.file, [begun]))  # type: ignore[misc]
                return Counter(shrinking=1)
        return Counter()

    async def _is_plain(self, one: ShardRange) -> bool:
        """Tell whether all replicas of a shard list its names themselves."""
        partition = self.ring.partition(one.account, one.container)
        listing = Listing(limit=1, allow_reserved=True)
        try:
            found = [
                await self.carrier.containers(node).listing(partition, one.account, one.container, listing)
                for node in self.ring.nodes(partition)
            ]
        except Unreachable:
            return False
        return all(answer.status == HTTPStatus.OK and not answer.shards for answer in found)

    async def _finish(self, box: Box, donor: ShardRange, taker: ShardRange) -> Counter[str]:
        """Give the donor's range to its neighbour, once all replicas of the donor have brought their rows there."""
        moved = ShardRange(taker.account, taker.container, donor.lower, donor.upper, donor.stamp, CREATED)
        ready = []

        async def ask(partition: int, node: Node) -> Written:
            server = self.carrier.containers(node)
            answer = await server.listing(partition, donor.account, donor.container, Listing(limit=1, allow_reserved=True))
            ready.append(bool(answer.shards))
            return await server.take_shards(partition, donor.account, donor.container, [moved])

        results = await self._all(donor.account, donor.container, ask)
        if not all(ready) or any(result is None or not result.ok for result in results):
            return Counter(shrinking=1)
        at = self._later(max(donor.stamp, taker.stamp))
        swapped = [replace(donor, deleted=True, stamp=at), replace(taker, lower=donor.lower, stamp=at)]
        await in_thread(lambda: take_ranges(box.index.file, swapped))
        await self._drop(donor, [replace(moved, deleted=True, stamp=at)], at)
        return Counter(shrunk=1)

    async def _drop(self, one: ShardRange, without: Sequence[ShardRange], at: Timestamp) -> bool:
        """Delete a shard, which has no rows any more."""

        async def ask(partition: int, node: Node) -> Written:
            server = self.carrier.containers(node)
            if without:
                await server.take_shards(partition, one.account, one.container, without)
            return await server.delete(partition, one.account, one.container, at)

        results = await self._all(one.account, one.container, ask)
        return all(result is not None and result.status in {204, 404} for result in results)

    async def _clear(self, box: Box) -> Counter[str]:
        """Delete the shards of a container that was deleted."""
        counts: Counter[str] = Counter()
        for one in box.sharding.ranges:
            at = self._later(max(one.stamp, box.whole.delete_at))
            if not one.deleted and await self._drop(one, (), at):
                gone = replace(one, deleted=True, stamp=at)
                await in_thread(lambda gone=gone: take_ranges(box.index.file, [gone]))  # type: ignore[misc]
                counts["dropped"] += 1
        return counts


def replace_box(box: Box, whole: Whole) -> Box:
    """Return a container as it is now."""
    return Box(box.index, whole, read_sharding(box.index.file), box.leads)
