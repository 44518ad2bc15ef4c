"""The containers and accounts of one device, in this process."""

import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from pileus.object_store.backend import Written
from pileus.object_store.indexes import AccountAnswer, ContainerAnswer, ContainerPut, ContainerRow, Listing, ObjectRow, ShardRange
from pileus.object_store.places import Target
from pileus.object_store.storage import account_index, container_index
from pileus.object_store.storage.account_index import AccountIndex
from pileus.object_store.storage.container_index import ContainerIndex
from pileus.object_store.storage.durable import FULL
from pileus.object_store.storage.index_file import IndexFile, Shape
from pileus.object_store.storage.layout import Device, make_directories
from pileus.object_store.storage.shard_index import take_ranges
from pileus.object_store.timestamps import Timestamp

T = TypeVar("T")
Run = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a blocking function somewhere that may wait."""

Tell = Callable[[Sequence[Target], str, ContainerRow], Awaitable[bool]]
"""Tells account servers about a container: (targets, account, row) -> all of them know."""

OPEN_FILES_MAX = 64


class IndexFiles:
    """The open index files of a device; the least used are closed."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._open: OrderedDict[str, IndexFile] = OrderedDict()
        self._lock = threading.Lock()

    def path(self, kind: str, partition: int, name_hash: str) -> str:
        """Return where an index lies."""
        return f"{self.device.hash_dir(kind, partition, name_hash)}/{name_hash}.db"

    def file(self, shape: Shape, partition: int, name_hash: str) -> IndexFile:
        """Return an index file, which need not exist yet."""
        path = self.path(shape.kind, partition, name_hash)
        with self._lock:
            found = self._open.get(path)
            if found is None:
                found = self._open[path] = IndexFile(path, shape)
            self._open.move_to_end(path)
            extra = self._open.popitem(last=False)[1] if len(self._open) > OPEN_FILES_MAX else None
        if extra:
            extra.close()
        return found

    def container(self, partition: int, account: str, container: str) -> ContainerIndex:
        """Return a container's index."""
        return ContainerIndex(self.file(container_index.SHAPE, partition, self.device.salt.hash(account, container)))

    def account(self, partition: int, account: str) -> AccountIndex:
        """Return an account's index."""
        return AccountIndex(self.file(account_index.SHAPE, partition, self.device.salt.hash(account)))

    def forget(self, path: str) -> None:
        """Close a file that is to be moved or removed."""
        with self._lock:
            found = self._open.pop(path, None)
        if found:
            found.close()

    def close(self) -> None:
        """Close them all."""
        with self._lock:
            files, self._open = list(self._open.values()), OrderedDict()
        for file in files:
            file.close()


def guarded(device: Device, work: Callable[[], T], full: T) -> T:
    """Do work that writes; return the answer for a full device when there is no room."""
    if not device.has_room():
        return full
    try:
        return work()
    except OSError as error:
        if error.errno in FULL:
            return full
        raise
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            return full
        raise


class LocalContainers:
    """The containers of one device."""

    def __init__(self, files: IndexFiles, run: Run, tell: Tell, now: Callable[[], float]) -> None:
        self.files, self.run, self.tell, self.now = files, run, tell, now
        self.changed: dict[tuple[str, str], int] = {}

    async def head(self, partition: int, account: str, container: str) -> ContainerAnswer:
        """Return what is known of a container."""
        index = self.files.container(partition, account, container)
        found: ContainerAnswer = await self.run(index.answer)
        return found

    async def listing(self, partition: int, account: str, container: str, listing: Listing) -> ContainerAnswer:
        """Return what is known of a container, and names in it."""
        index = self.files.container(partition, account, container)
        found: ContainerAnswer = await self.run(lambda: index.answer(listing))
        return found

    async def _write(self, work: Callable[[], Written]) -> Written:
        full = Written(HTTPStatus.INSUFFICIENT_STORAGE)
        done: Written = await self.run(lambda: guarded(self.files.device, work, full))
        return done

    async def put(self, partition: int, account: str, container: str, put: ContainerPut) -> Written:
        """Create it, and let the account know."""
        index = self.files.container(partition, account, container)

        def work() -> Written:
            make_directories(os.path.dirname(index.file.path))
            return index.put(account, container, put)

        done = await self._write(work)
        if done.ok:
            await self._report(index, account, put.updates)
        return done

    async def post(
        self, partition: int, account: str, container: str, timestamp: Timestamp, metadata: Mapping[str, str]
    ) -> Written:
        """Set headers."""
        index = self.files.container(partition, account, container)
        return await self._write(lambda: index.post(timestamp, metadata))

    async def delete(
        self, partition: int, account: str, container: str, timestamp: Timestamp, updates: tuple[Target, ...] = ()
    ) -> Written:
        """Delete it, and let the account know."""
        index = self.files.container(partition, account, container)
        done = await self._write(lambda: index.delete(timestamp))
        if done.ok:
            await self._report(index, account, updates)
        return done

    async def update(self, partition: int, account: str, container: str, rows: Sequence[ObjectRow]) -> Written:
        """Take news of objects."""
        return await self._write(lambda: self.update_now(partition, account, container, rows))

    async def take_shards(self, partition: int, account: str, container: str, ranges: Sequence[ShardRange]) -> Written:
        """Take news of the shards of a container."""
        index = self.files.container(partition, account, container)

        def work() -> Written:
            if not index.is_live():
                return Written(HTTPStatus.NOT_FOUND)
            take_ranges(index.file, ranges)
            return Written(HTTPStatus.ACCEPTED)

        return await self._write(work)

    def update_now(self, partition: int, account: str, container: str, rows: Sequence[ObjectRow]) -> Written:
        """Take news of objects, in this thread."""
        done = self.files.container(partition, account, container).update(rows)
        if done.ok:
            self.changed[account, container] = partition
        return done

    async def _report(self, index: ContainerIndex, account: str, targets: Sequence[Target]) -> None:
        row: ContainerRow | None = await self.run(lambda: index.report(self.now()))
        if row and targets and await self.tell(targets, account, row):
            told = row
            await self.run(lambda: index.reported(told))

    async def report_changed(self, account: str | None, targets: Sequence[Target]) -> None:
        """Tell accounts the figures of containers that changed since the last time."""
        for key in [key for key in list(self.changed) if account is None or key[0] == account]:
            partition = self.changed.pop(key, None)
            if partition is not None:
                await self._report(self.files.container(partition, *key), key[0], targets)


class LocalAccounts:
    """The accounts of one device.  before_read is called with the account ahead of every answer."""

    def __init__(self, files: IndexFiles, run: Run, before_read: Callable[[int, str], Awaitable[None]] | None = None) -> None:
        self.files, self.run, self.before_read = files, run, before_read

    async def head(self, partition: int, account: str) -> AccountAnswer:
        """Return what is known of an account."""
        if self.before_read:
            await self.before_read(partition, account)
        index = self.files.account(partition, account)
        found: AccountAnswer = await self.run(index.answer)
        return found

    async def listing(self, partition: int, account: str, listing: Listing) -> AccountAnswer:
        """Return what is known of an account, and names of containers in it."""
        if self.before_read:
            await self.before_read(partition, account)
        index = self.files.account(partition, account)
        found: AccountAnswer = await self.run(lambda: index.answer(listing))
        return found

    async def _write(self, work: Callable[[], Written]) -> Written:
        full = Written(HTTPStatus.INSUFFICIENT_STORAGE)
        done: Written = await self.run(lambda: guarded(self.files.device, work, full))
        return done

    async def put(self, partition: int, account: str, timestamp: Timestamp, metadata: Mapping[str, str]) -> Written:
        """Create it."""
        index = self.files.account(partition, account)

        def work() -> Written:
            make_directories(os.path.dirname(index.file.path))
            return index.put(account, timestamp, metadata)

        return await self._write(work)

    async def post(self, partition: int, account: str, timestamp: Timestamp, metadata: Mapping[str, str]) -> Written:
        """Set headers."""
        index = self.files.account(partition, account)
        return await self._write(lambda: index.post(timestamp, metadata))

    async def delete(self, partition: int, account: str, timestamp: Timestamp) -> Written:
        """Mark it deleted."""
        index = self.files.account(partition, account)
        return await self._write(lambda: index.delete(timestamp))

    async def update(self, partition: int, account: str, rows: Sequence[ContainerRow]) -> Written:
        """Take news of containers."""
        index = self.files.account(partition, account)
        return await self._write(lambda: index.update(rows))
