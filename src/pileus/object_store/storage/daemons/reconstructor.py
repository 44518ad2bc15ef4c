"""Keeps erasure-coded objects whole: every primary has its own fragment, made anew out of others where it is lost.

A device looks at its neighbours in the ring (the one before, the one after and the one furthest off), so that each fragment is
watched by three others.  What lies on the wrong device is brought to the right one and then dropped here.  Tombstones and what
was posted go to all primaries.  A fragment that never became durable here, but did elsewhere, is made durable.
"""

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from time import time

from msgspec.structs import replace

from pileus.object_store import erasure
from pileus.object_store.backend import Carrier, Unreachable
from pileus.object_store.places import Node
from pileus.object_store.request import Refused
from pileus.object_store.storage.daemons.replicators import Place, drop_files, files_below, in_thread, pieces_of
from pileus.object_store.storage.disk import Record, Shelf, clear, load
from pileus.object_store.storage.durable import Damaged, remove
from pileus.object_store.storage.fragments import settle_fragment
from pileus.object_store.storage.hashdir import (
    DURABLE,
    State,
    fragment_name,
    index_of,
    judge,
    order_of,
    read_state,
    stamp_of,
)
from pileus.object_store.storage.layout import Device
from pileus.object_store.storage.replication import FileHead, Reach, Replica, suffix_files, suffix_hashes

COMMIT_SECONDS = 60.0
RECLAIM_SECONDS = 604_800.0


@dataclass(frozen=True)
class Spot:
    """A partition of a policy on this device: its primaries, and which of them this is (None: none of them)."""

    shelf: Shelf
    place: Place
    partition: int
    nodes: tuple[Node, ...]
    here: int | None

    def partners(self) -> set[int]:
        """Return whose fragments this device watches."""
        count = len(self.nodes)
        return {(self.here + step) % count for step in (1, -1, count // 2)} - {self.here} if self.here is not None else set()

    def directory(self, name_hash: str) -> str:
        """Return a hash directory."""
        return self.shelf.device.hash_dir("objects", self.partition, name_hash, self.shelf.policy)


@dataclass
class Reconstructor:
    """Keeps the fragments of a device in place; places: by storage policy.

    :param carrier: reaches all nodes, to read fragments of others.
    :param commit_seconds: how long a fragment that is not durable is left alone: its upload may not be over.
    """

    device: Device
    places: Mapping[int, Place]
    reach: Reach
    carrier: Carrier
    now: Callable[[], float]
    commit_seconds: float = COMMIT_SECONDS
    reclaim_seconds: float = RECLAIM_SECONDS
    name: str = "object-reconstructor"

    async def run_once(self) -> Counter[str]:
        """Make a pass over all partitions."""
        counts: Counter[str] = Counter()
        for policy in self.device.policies():
            place = self.places.get(policy)
            if place is None:
                continue
            for partition in self.device.partitions("objects", policy):
                nodes = tuple(place.ring.nodes(partition))
                here = next((index for index, node in enumerate(nodes) if node.id == place.here.id), None)
                counts["partitions"] += 1
                counts += await self._partition(Spot(Shelf(self.device, policy), place, partition, nodes, here))
        return counts

    async def _partition(self, spot: Spot) -> Counter[str]:
        before = await in_thread(lambda: files_below(spot.shelf, spot.partition))
        counts = await self._settle(spot)
        counts += await self._revert(spot)
        for index, node in enumerate(spot.nodes):
            if index == spot.here:
                continue
            try:
                counts += await self._bring(spot, index, self.reach(node))
            except Unreachable:
                counts["failed"] += 1
        if spot.here is None and not (counts["failed"] or counts["refused"] or counts["waiting"]):
            small = {path for path in before if not path.endswith(".data")}
            counts["handed_off"] += await in_thread(lambda: drop_files(spot.shelf, spot.partition, small))
        return counts

    # What is here and not durable

    async def _settle(self, spot: Spot) -> Counter[str]:
        """Make durable what is so elsewhere; forget what is old and is so nowhere."""
        counts: Counter[str] = Counter()
        for directory in await in_thread(lambda: list(self._directories(spot))):
            state = await in_thread(lambda directory=directory: read_state(directory))  # type: ignore[misc]
            waiting = [name for name in (*state.fragments, *state.pending) if not name.endswith(DURABLE)]
            for file_name in [name for name in waiting if not _is_young(f"{directory}/{name}", self.commit_seconds)]:
                counts[await self._settle_one(spot, directory, state, file_name)] += 1
        return counts

    async def _settle_one(self, spot: Spot, directory: str, state: State, file_name: str) -> str:
        at, index = stamp_of(file_name), index_of(file_name)
        try:
            record = await in_thread(lambda: load(f"{directory}/{file_name}"))
        except FileNotFoundError:
            return "gone"
        except Damaged:
            self.device.quarantine(directory, "objects", spot.shelf.policy)
            return "quarantined"
        known = file_name in state.fragments
        if not known:
            shop = erasure.Shop(self.carrier, spot.place.ring, spot.partition, spot.shelf.policy, record.name)
            known = at in (await erasure.find(shop)).durable
        if known and index is not None:
            await in_thread(lambda: settle_fragment(spot.shelf, spot.partition, record.name, at, index))
            return "settled"
        if at.seconds < self.now() - self.reclaim_seconds:
            await in_thread(lambda: remove(f"{directory}/{file_name}"))
            return "reclaimed"
        return "waiting"

    def _directories(self, spot: Spot) -> list[str]:
        return list(self.device.hash_dirs("objects", spot.partition, spot.shelf.policy))

    # What is here and belongs elsewhere

    async def _revert(self, spot: Spot) -> Counter[str]:
        """Bring fragments of other indexes to their primaries, and drop them here."""
        counts: Counter[str] = Counter()
        for directory in await in_thread(lambda: self._directories(spot)):
            state = await in_thread(lambda directory=directory: read_state(directory))  # type: ignore[misc]
            for file_name in (*state.fragments, *state.pending):
                index = index_of(file_name)
                if index is None or index == spot.here or index >= len(spot.nodes):
                    continue
                path = f"{directory}/{file_name}"
                if not file_name.endswith(DURABLE) and _is_young(path, self.commit_seconds):
                    counts["waiting"] += 1
                    continue
                if await self._is_there(spot, index, os.path.basename(directory), file_name):
                    await in_thread(lambda path=path: remove(path))  # type: ignore[misc]
                    counts["reverted"] += 1
                else:  # it goes from here a pass later: a reader that has asked its primary in vain still finds it
                    counts[await self._send(spot, index, os.path.basename(directory), file_name)] += 1
                    counts["waiting"] += 1
            await in_thread(lambda directory=directory: _forget_empty(directory))  # type: ignore[misc]
        return counts

    async def _is_there(self, spot: Spot, index: int, name_hash: str, file_name: str) -> bool:
        """Tell whether a primary has its fragment, or what is newer."""
        try:
            there = await self.reach(spot.nodes[index]).files(spot.shelf.policy, spot.partition, name_hash[-3:])
        except Unreachable:
            return False
        names = there.get(name_hash, [])
        state, at = judge(names), stamp_of(file_name)
        durable = fragment_name(at, index, durable=True)
        newer = state.newest is not None and state.newest > at
        return newer or durable in names or (file_name in names and not file_name.endswith(DURABLE))

    async def _send(self, spot: Spot, index: int, name_hash: str, file_name: str) -> str:
        path = f"{spot.directory(name_hash)}/{file_name}"
        try:
            record = await in_thread(lambda: load(path))
            head = FileHead(spot.nodes[index].device, spot.shelf.policy, spot.partition, name_hash, file_name, record)
            written = await self.reach(spot.nodes[index]).receive(head, pieces_of(path))
        except FileNotFoundError:
            return "gone"
        except Damaged:
            await in_thread(lambda: self.device.quarantine(os.path.dirname(path), "objects", spot.shelf.policy))
            return "quarantined"
        except Unreachable:
            return "failed"
        return "sent" if written.ok else "there" if written.status == 409 else "refused"

    # What others lack

    async def _bring(self, spot: Spot, index: int, replica: Replica) -> Counter[str]:
        """Bring a primary what it lacks: tombstones and posts; a neighbour its fragments, too."""
        counts: Counter[str] = Counter()
        policy, partition = spot.shelf.policy, spot.partition
        mine = await in_thread(lambda: suffix_hashes(spot.shelf, partition, spot.here))
        theirs = await replica.suffixes(policy, partition, index)
        for suffix, digest in mine.items():
            if theirs.get(suffix) == digest:
                continue
            counts["suffixes"] += 1
            there = await replica.files(policy, partition, suffix)
            ours = await in_thread(lambda suffix=suffix: suffix_files(spot.shelf, partition, suffix))  # type: ignore[misc]
            for name_hash, names in ours.items():
                counts += await self._bring_one(spot, index, name_hash, judge(names), judge(there.get(name_hash, [])))
        return counts

    async def _bring_one(self, spot: Spot, index: int, name_hash: str, ours: State, theirs: State) -> Counter[str]:
        counts: Counter[str] = Counter()
        base = order_of(theirs.data or theirs.tombstone or "")
        for file_name in (ours.tombstone, ours.meta, ours.content_type):
            if file_name and file_name not in theirs.files and order_of(file_name) > base:
                counts[await self._send(spot, index, name_hash, file_name)] += 1
        if ours.data is None or not ours.data.endswith(DURABLE) or order_of(ours.data) < base or spot.here is None:
            return counts
        at = stamp_of(ours.data)
        has = [name for name in (*theirs.fragments, *theirs.pending) if index_of(name) == index and stamp_of(name) == at]
        if not has and index in spot.partners():
            counts[await self._rebuild(spot, index, name_hash, ours.data)] += 1
        elif has and not any(name.endswith(DURABLE) for name in has):
            record = await in_thread(lambda: load(f"{spot.directory(name_hash)}/{ours.data}"))
            await self.carrier.fragments(spot.nodes[index], spot.shelf.policy).settle(spot.partition, record.name, at, index)
            counts["settled"] += 1
        return counts

    async def _rebuild(self, spot: Spot, index: int, name_hash: str, file_name: str) -> str:
        """Make a fragment out of others, and bring it to where it belongs."""
        at = stamp_of(file_name)
        try:
            record = await in_thread(lambda: load(f"{spot.directory(name_hash)}/{file_name}"))
        except FileNotFoundError:
            return "gone"
        except Damaged:
            await in_thread(lambda: self.device.quarantine(spot.directory(name_hash), "objects", spot.shelf.policy))
            return "quarantined"
        assert record.archive is not None
        coding = record.archive.coding
        if index >= coding.fragments:
            return "foreign"
        archive = replace(record.archive, index=index, size_bytes=coding.archive_bytes(record.size_bytes), etag="")
        name = fragment_name(at, index, durable=True)
        made = replace(record, archive=archive)
        head = FileHead(spot.nodes[index].device, spot.shelf.policy, spot.partition, name_hash, name, made)
        shop = erasure.Shop(self.carrier, spot.place.ring, spot.partition, spot.shelf.policy, record.name)
        found = await erasure.find(shop)
        if at not in found.codings:
            return "gone"
        try:
            written = await self.reach(spot.nodes[index]).receive(head, _fragments(erasure.Weave(shop, at, found), record, index))
        except (Unreachable, Refused):
            return "failed"
        return "rebuilt" if written.ok else "there" if written.status == 409 else "refused"


async def _fragments(weave: erasure.Weave, record: Record, index: int) -> AsyncIterator[bytes]:
    count = weave.coding.segment_count(record.size_bytes)
    try:
        for number in range(count):
            yield weave.coding.encode(await weave.segment(number, count - 1))[index]
    finally:
        await weave.close()


def _is_young(path: str, seconds: float) -> bool:
    try:
        return os.stat(path).st_mtime > time() - seconds
    except FileNotFoundError:
        return True


def _forget_empty(directory: str) -> None:
    clear(directory, read_state(directory))
    for path in (directory, os.path.dirname(directory), os.path.dirname(os.path.dirname(directory))):
        try:
            os.rmdir(path)
        except OSError:
            return
