"""Make replicas the same: each pushes what the others lack.  A partition that belongs elsewhere goes there, then from here.

It goes from here a pass later only: a reader that has just asked the primaries in vain still finds it.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from pileus.object_store.backend import Ring, Unreachable
from pileus.object_store.places import Node
from pileus.object_store.storage import account_index, container_index
from pileus.object_store.storage.account_index import AccountIndex
from pileus.object_store.storage.container_index import ContainerIndex
from pileus.object_store.storage.disk import Shelf, load
from pileus.object_store.storage.durable import Damaged, remove
from pileus.object_store.storage.layout import Device, names_in
from pileus.object_store.storage.local_indexes import IndexFiles
from pileus.object_store.storage.replication import FileHead, IndexAddress, IndexNews, Reach, Replica, suffix_files, suffix_hashes

CHUNK_BYTES = 1_048_576
ROWS_PER_CALL = 5000
T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Do something that waits for the disk."""
    return await asyncio.get_running_loop().run_in_executor(None, work)


@dataclass(frozen=True)
class Place:
    """A ring, and which of its nodes the device here is."""

    ring: Ring
    here: Node


def _peers(place: Place, partition: int) -> tuple[list[Node], bool]:
    """Return the primaries to bring a partition to, and whether the device here is a primary too."""
    primaries = place.ring.nodes(partition)
    others = [node for node in primaries if node.id != place.here.id]
    return others, len(others) < len(primaries)


@dataclass
class ObjectReplicator:
    """Brings the objects of a device to where they have to be; places: by storage policy."""

    device: Device
    places: Mapping[int, Place]
    reach: Reach
    name: str = "object-replicator"

    async def run_once(self) -> Counter[str]:
        """Make a pass over all partitions."""
        counts: Counter[str] = Counter()
        for policy in self.device.policies():
            if policy not in self.places:
                continue
            for partition in self.device.partitions("objects", policy):
                counts["partitions"] += 1
                counts += await self._partition(Shelf(self.device, policy), partition)
        return counts

    async def _partition(self, shelf: Shelf, partition: int) -> Counter[str]:
        counts: Counter[str] = Counter()
        peers, primary = _peers(self.places[shelf.policy], partition)
        before = await in_thread(lambda: files_below(shelf, partition))
        whole = True
        for node in peers:
            try:
                counts += await self._bring(shelf, partition, self.reach(node))
            except Unreachable:
                counts["failed"] += 1
                whole = False
        if whole and not primary and not counts["refused"] and not counts["sent"]:
            counts["handed_off"] += await in_thread(lambda: drop_files(shelf, partition, before))
        return counts

    async def _bring(self, shelf: Shelf, partition: int, replica: Replica) -> Counter[str]:
        """Bring a replica what it lacks."""
        counts: Counter[str] = Counter()
        mine = await in_thread(lambda: suffix_hashes(shelf, partition))
        theirs = await replica.suffixes(shelf.policy, partition)
        for suffix, digest in mine.items():
            if theirs.get(suffix) == digest:
                continue
            counts["suffixes"] += 1
            there = await replica.files(shelf.policy, partition, suffix)
            ours = await in_thread(lambda suffix=suffix: suffix_files(shelf, partition, suffix))  # type: ignore[misc]
            for name_hash, files in ours.items():
                counts += await self._bring_files(shelf, partition, replica, name_hash, _lacking(files, there.get(name_hash, [])))
        return counts

    async def _bring_files(
        self, shelf: Shelf, partition: int, replica: Replica, name_hash: str, files: Sequence[str]
    ) -> Counter[str]:
        counts: Counter[str] = Counter()
        directory = shelf.device.hash_dir("objects", partition, name_hash, shelf.policy)
        for file_name in files:
            path = f"{directory}/{file_name}"
            try:
                record = await in_thread(lambda path=path: load(path))  # type: ignore[misc]
                head = FileHead(_device_of(replica), shelf.policy, partition, name_hash, file_name, record)
                written = await replica.receive(head, pieces_of(path))
            except FileNotFoundError:
                continue  # superseded meanwhile
            except Damaged:
                await in_thread(lambda: shelf.device.quarantine(directory, "objects", shelf.policy))
                return counts + Counter(quarantined=1, refused=1)
            counts["sent" if written.ok else "there" if written.status == 409 else "refused"] += 1
        return counts


def _device_of(replica: Any) -> str:
    node = getattr(replica, "node", None)
    return str(node.device if node else replica.device_name)


def _lacking(ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    """Return the files of ours that theirs do not make superfluous; data and tombstones first."""
    base = max((name.rsplit(".", 1)[0] for name in theirs if name.endswith((".data", ".ts"))), default="")
    found = [name for name in ours if name not in theirs and name.rsplit(".", 1)[0] > base]
    return sorted(found, key=lambda name: not name.endswith((".data", ".ts")))


async def pieces_of(path: str) -> AsyncIterator[bytes]:
    """Read a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while piece := await in_thread(lambda: os.read(descriptor, CHUNK_BYTES)):
            yield piece
    finally:
        os.close(descriptor)


def files_below(shelf: Shelf, partition: int) -> set[str]:
    """Return the paths of all files of a partition."""
    top = f"{shelf.device.kind('objects', shelf.policy)}/{partition}"
    return {
        f"{top}/{suffix}/{h}/{name}"
        for suffix in names_in(top)
        for h in names_in(f"{top}/{suffix}")
        for name in names_in(f"{top}/{suffix}/{h}")
    }


def drop_files(shelf: Shelf, partition: int, files: set[str]) -> int:
    """Remove what was here before it was brought to all primaries; what has come since stays for the next pass."""
    top = f"{shelf.device.kind('objects', shelf.policy)}/{partition}"
    for path in files:
        remove(path)
    for directory in [*{os.path.dirname(path) for path in files}, *(f"{top}/{suffix}" for suffix in names_in(top)), top]:
        try:
            os.rmdir(directory)
        except OSError:
            continue
    return 0 if os.path.exists(top) else 1


@dataclass
class IndexReplicator:
    """Brings the containers and accounts of a device to where they have to be; places: by kind."""

    files: IndexFiles
    places: Mapping[str, Place]
    reach: Reach
    name: str = "index-replicator"

    @property
    def device(self) -> Device:
        """Whose they are."""
        return self.files.device

    async def run_once(self) -> Counter[str]:
        """Make a pass over all indexes."""
        counts: Counter[str] = Counter()
        for shape in (container_index.SHAPE, account_index.SHAPE):
            place = self.places.get(shape.kind)
            if place is None:
                continue
            for partition in self.device.partitions(shape.kind):
                for directory in self.device.hash_dirs(shape.kind, partition):
                    counts["seen"] += 1
                    file = self.files.file(shape, partition, os.path.basename(directory))
                    index = ContainerIndex(file) if shape is container_index.SHAPE else AccountIndex(file)
                    counts += await self._index(place, partition, index)
        return counts

    async def _index(self, place: Place, partition: int, index: ContainerIndex | AccountIndex) -> Counter[str]:
        counts: Counter[str] = Counter()
        whole = await in_thread(index.whole)
        if whole is None:
            return counts
        peers, primary = _peers(place, partition)
        brought = True
        upto = 0
        for node in peers:
            try:
                known, sent, upto = await self._bring(partition, index, whole.id, node)
                counts["rows"] += sent
                brought = brought and known
            except Unreachable:
                counts["failed"] += 1
                brought = False
        if brought and not primary:
            counts["handed_off"] += await in_thread(lambda: self._drop(index, upto))
        return counts

    async def _bring(
        self, partition: int, index: ContainerIndex | AccountIndex, sender: str, node: Node
    ) -> tuple[bool, int, int]:
        """Bring a replica the news it lacks; return whether it knew of it all, how many rows went, and up to which number."""
        replica = self.reach(node)
        name_hash = os.path.basename(os.path.dirname(index.file.path))
        address = IndexAddress(node.device, index.file.shape.kind, partition, name_hash, sender)
        point = await replica.point(address)
        since, sent = max(point, 0), 0
        while True:
            at = since
            rows, upto = await in_thread(lambda at=at: index.file.news(at, ROWS_PER_CALL))  # type: ignore[misc]
            whole = await in_thread(index.whole)
            news = IndexNews(msgspec.msgpack.encode(whole), msgspec.msgpack.encode(rows), upto)
            if not (await replica.merge(address, news)).ok:
                raise Unreachable(f"{node.device} has no room")
            sent += len(rows)
            if len(rows) < ROWS_PER_CALL:
                return point >= 0 and not sent, sent, upto
            since = upto

    def _drop(self, index: ContainerIndex | AccountIndex, upto: int) -> int:
        """Remove an index that all primaries have, unless there is more news already."""
        with index.file.lock:
            whole = index.whole()
            if whole is None or whole.seq > upto:
                return 0
            self.files.forget(index.file.path)
            return int(index.file.delete())
