"""What replicas of a partition ask of each other, and how one takes what another brings.

Objects: `suffixes` gives a hash for each suffix of a partition, `files` the file names in one suffix, `receive` takes one file
with its record and bytes.  Indexes: `point` tells how far this device has the news of another, `merge` takes more of it.
All of it may be repeated, and come in any order.
"""

import hashlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from pileus.object_store.backend import Written
from pileus.object_store.indexes import ContainerRow, ObjectRow
from pileus.object_store.storage import account_index, container_index, expiring
from pileus.object_store.storage.account_index import AccountIndex, WholeAccount
from pileus.object_store.storage.container_index import ContainerIndex, Whole
from pileus.object_store.storage.disk import Record, Shelf, open_new, settle
from pileus.object_store.storage.durable import FULL
from pileus.object_store.storage.hashdir import MARK, index_of, is_sound, read_state
from pileus.object_store.storage.layout import make_directories, names_in
from pileus.object_store.storage.local import LocalCarrier

PREFIX = "replication/"
Suffixes = dict[str, str]
Files = dict[str, list[str]]


class FileHead(msgspec.Struct, frozen=True):
    """What comes ahead of a file's bytes."""

    device: str
    policy: int
    partition: int
    name_hash: str
    file_name: str
    record: Record


class IndexAddress(msgspec.Struct, frozen=True):
    """One index on one device; sender is the id of the sending replica's file."""

    device: str
    kind: str
    partition: int
    name_hash: str
    sender: str


class IndexNews(msgspec.Struct, frozen=True):
    """Rows of an index (msgpack), and the sender's number up to which they go."""

    whole: bytes
    rows: bytes
    upto: int


class Replica(Protocol):
    """Another device, as a replicator sees it."""

    async def suffixes(self, policy: int, partition: int, index: int | None = None) -> Suffixes: ...

    async def files(self, policy: int, partition: int, suffix: str) -> Files: ...

    async def receive(self, head: FileHead, body: AsyncIterator[bytes]) -> Written: ...

    async def point(self, address: IndexAddress) -> int: ...

    async def merge(self, address: IndexAddress, news: IndexNews) -> Written: ...


def suffix_hashes(shelf: Shelf, partition: int, index: int | None = None) -> Suffixes:
    """Return a hash for each suffix, of the names of all files that count in it.

    index: of the fragments that belong here.  It is left out of names, so that devices that hold what they should are alike.
    """
    found = {}
    own = f"{MARK}{index}"
    for suffix in names_in(f"{shelf.device.kind('objects', shelf.policy)}/{partition}"):
        md5 = hashlib.md5(usedforsecurity=False)
        some = False
        for name_hash, files in sorted(suffix_files(shelf, partition, suffix).items()):
            names = [name.replace(own, MARK) if index is not None and index_of(name) == index else name for name in files]
            md5.update(f"{name_hash}:{','.join(sorted(names))};".encode())
            some = True
        if some:
            found[suffix] = md5.hexdigest()
    return found


def suffix_files(shelf: Shelf, partition: int, suffix: str) -> Files:
    """Return the names of the files that count, by hash."""
    found = {}
    for directory in shelf.device.hash_dirs("objects", partition, shelf.policy, suffix):
        files = sorted(read_state(directory).files)
        if files:
            found[os.path.basename(directory)] = files
    return found


@dataclass(frozen=True)
class LocalReplica:
    """A device of this process, as replicators elsewhere see it."""

    carrier: LocalCarrier
    device_name: str

    def shelf(self, policy: int) -> Shelf:
        """Return the objects of a policy."""
        return Shelf(self.carrier.devices[self.device_name], policy)

    async def suffixes(self, policy: int, partition: int, index: int | None = None) -> Suffixes:
        """Return a hash for each suffix of a partition."""
        return await self.carrier.run(lambda: suffix_hashes(self.shelf(policy), partition, index))

    async def files(self, policy: int, partition: int, suffix: str) -> Files:
        """Return the file names in a suffix."""
        return await self.carrier.run(lambda: suffix_files(self.shelf(policy), partition, suffix))

    async def receive(self, head: FileHead, body: AsyncIterator[bytes]) -> Written:
        """Take a file: 201, 409 when it is there or superseded, 422 when it is not what its record says, 507."""
        shelf = self.shelf(head.policy)
        record = head.record
        whose = shelf.device.salt.hash(record.account, record.container, record.object)
        index = record.archive.index if record.archive else None
        if whose != head.name_hash or not is_sound(head.file_name) or index_of(head.file_name) != index:
            return Written(HTTPStatus.UNPROCESSABLE_ENTITY)
        if not shelf.device.has_room(record.stored[0]):
            return Written(HTTPStatus.INSUFFICIENT_STORAGE)
        directory = shelf.device.hash_dir("objects", head.partition, head.name_hash, head.policy)
        new = await self.carrier.run(lambda: open_new(shelf.device, directory))
        md5, size = hashlib.md5(usedforsecurity=False), 0
        try:
            async for piece in body:
                md5.update(piece)
                size += len(piece)
                await self.carrier.run(lambda piece=piece: new.write(piece))  # type: ignore[misc]
            if record.archive and not record.archive.etag:  # it was made on the way
                record = replace(record, archive=replace(record.archive, etag=md5.hexdigest()))
            if head.file_name.endswith(".data") and (size, md5.hexdigest()) != record.stored:
                return Written(HTTPStatus.UNPROCESSABLE_ENTITY)
            linked = await self.carrier.run(lambda: settle(shelf, directory, new, head.file_name, record))
        except OSError as error:
            if error.errno not in FULL:
                raise
            return Written(HTTPStatus.INSUFFICIENT_STORAGE)
        finally:
            new.close()
        if record.delete_at is not None:
            expiring.note(shelf.device, record.delete_at, head.policy, directory, record.name)
        return Written(HTTPStatus.CREATED if linked else HTTPStatus.CONFLICT)

    def _index(self, address: IndexAddress) -> ContainerIndex | AccountIndex:
        shape = container_index.SHAPE if address.kind == "containers" else account_index.SHAPE
        file = self.carrier.files(self.device_name).file(shape, address.partition, address.name_hash)
        return ContainerIndex(file) if address.kind == "containers" else AccountIndex(file)

    async def point(self, address: IndexAddress) -> int:
        """Return the sender's number up to which its news is here; -1 when there is no such index."""
        index = self._index(address)
        return await self.carrier.run(lambda: index.file.synced(address.sender))

    async def merge(self, address: IndexAddress, news: IndexNews) -> Written:
        """Take another replica's news of a container or an account."""
        index = self._index(address)

        def work() -> Written:
            make_directories(os.path.dirname(index.file.path))
            rows: list[Any]
            if isinstance(index, ContainerIndex):
                index.absorb(msgspec.msgpack.decode(news.whole, type=Whole))
                rows = msgspec.msgpack.decode(news.rows, type=list[ObjectRow])
            else:
                index.absorb(msgspec.msgpack.decode(news.whole, type=WholeAccount))
                rows = msgspec.msgpack.decode(news.rows, type=list[ContainerRow])
            if rows:
                index.file.merge(rows)
            index.file.note_synced(address.sender, news.upto)
            return Written(HTTPStatus.ACCEPTED)

        if not self.carrier.devices[self.device_name].has_room(len(news.rows)):
            return Written(HTTPStatus.INSUFFICIENT_STORAGE)
        return await self.carrier.run(work)


Reach = Callable[[Any], Replica]
"""Returns the replica on a node."""
