"""The servers of devices in this process: no HTTP in between.

What waits for a disk runs in threads.  Looking at a directory and opening a file is done in place by default, which is much
cheaper than a thread and right for a disk whose directories are in memory; `patient` sends that to a thread too.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TypeVar

from pileus.object_store.backend import (
    NO_HEADERS,
    Carrier,
    ObjectAnswer,
    ObjectDelete,
    ObjectName,
    ObjectPost,
    ObjectPut,
    ObjectReader,
    ObjectWriter,
    Ring,
    Unreachable,
    Written,
)
from pileus.object_store.indexes import ContainerRow, ObjectRow
from pileus.object_store.places import Node, Target
from pileus.object_store.storage import pending
from pileus.object_store.storage.disk import Incoming, Shelf, delete_object, new_row, open_object, post_object, refusal
from pileus.object_store.storage.durable import FULL
from pileus.object_store.storage.hashdir import read_state
from pileus.object_store.storage.layout import Device
from pileus.object_store.storage.local_fragments import LocalFragments
from pileus.object_store.storage.local_indexes import IndexFiles, LocalAccounts, LocalContainers
from pileus.object_store.storage.local_reader import LENT_BYTES_MIN, LocalReader, reader_of
from pileus.object_store.storage.telling import tell, tell_now
from pileus.object_store.storage.threads import Threads
from pileus.object_store.timestamps import Timestamp

BATCH_BYTES = 1_048_576
THREADS = 8
T = TypeVar("T")


class LocalWriter:
    """A body on its way to the disk: kept in memory up to a batch, which a thread writes while the next one comes in."""

    def __init__(self, server: "LocalObjects", incoming: Incoming) -> None:
        self.server, self.incoming = server, incoming
        self.batch: list[bytes] = []
        self.batch_bytes = 0
        self.writing: asyncio.Task[None] | None = None

    async def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self.batch.append(data)
        self.batch_bytes += len(data)
        if self.batch_bytes >= BATCH_BYTES:
            batch = self._take()
            await self._written()
            work = self.server.carrier.run(lambda: self._try(lambda: self.incoming.write(batch)))
            self.writing = asyncio.create_task(work)

    async def _written(self) -> None:
        """Wait for the batch that a thread is writing.  :raises OSError: when it could not."""
        if self.writing is not None:
            writing, self.writing = self.writing, None
            await writing

    def _take(self) -> bytes:
        batch = self.batch[0] if len(self.batch) == 1 else b"".join(self.batch)
        self.batch, self.batch_bytes = [], 0
        return batch

    def _try(self, work: Callable[[], T], last: bool = False) -> T | None:
        """Write while there is room; once the device is full, the rest of the body is let pass."""
        if self.incoming.full:
            return None
        try:
            return self.incoming.busy(work, last)
        except OSError as error:
            if error.errno not in FULL:
                raise
            self.incoming.full = True
            self.incoming.close()
            return None

    async def commit(self, footer: Mapping[str, str] = NO_HEADERS) -> Written:
        """Make it the object."""
        batch = self._take()
        put = self.incoming.put
        name = self.incoming.name

        def work() -> tuple[Written, ObjectRow | None, Sequence[Target]]:
            if batch:
                self.incoming.write(batch)
            written, record = self.incoming.commit(footer)
            if record is None:
                return written, None, ()
            row = new_row(record, put.timestamp, self.server.shelf.policy)
            return written, row, self.server.carrier.tell_here(put.updates, name, row, self.server.shelf.device)

        try:
            await self._written()
            done = await self.server.carrier.run(lambda: self._try(work, last=True))
        finally:
            self.incoming.close()
        if done is None:
            return Written(HTTPStatus.INSUFFICIENT_STORAGE)
        written, row, targets = done
        if row and targets:
            await self.server.carrier.tell_there(targets, name, row, self.server.shelf.device)
        return written

    async def abort(self) -> None:
        """Forget it."""
        self.batch = []
        if self.writing is not None:
            await asyncio.wait([self.writing])
            self.writing.exception()
        self.incoming.close()


class LocalObjects:
    """The objects of one policy on one device."""

    def __init__(self, carrier: "LocalCarrier", shelf: Shelf) -> None:
        self.carrier, self.shelf = carrier, shelf

    async def head(self, partition: int, name: ObjectName) -> ObjectAnswer:
        """Return what is known of an object."""
        opened = await self.carrier.look(lambda: open_object(self.shelf, partition, name, self.carrier.now()))
        if opened.descriptor >= 0:
            os.close(opened.descriptor)
        return opened.answer

    async def get(self, partition: int, name: ObjectName, start: int = 0, length: int | None = None) -> ObjectReader:
        """Open an object."""

        def work() -> LocalReader:
            opened = open_object(self.shelf, partition, name, self.carrier.now())
            return reader_of(opened, self.shelf, partition, name, self.carrier.run)

        reader = await self.carrier.look(work)
        if reader.path is not None and reader.size_bytes >= LENT_BYTES_MIN and self.carrier.remote is None:
            await self.carrier.run(lambda: reader.lend(self.shelf.device))
        return reader

    async def put(self, partition: int, name: ObjectName, put: ObjectPut) -> ObjectWriter | Written:
        """Open a writer."""
        refused = await self.carrier.look(lambda: refusal(self.shelf, partition, name, put, self.carrier.now()))
        return refused or LocalWriter(self, Incoming(self.shelf, partition, name, put))

    async def post(self, partition: int, name: ObjectName, post: ObjectPost) -> Written:
        """Replace the metadata."""
        return await self._small(name, post.updates, lambda: post_object(self.shelf, partition, name, post, self.carrier.now()))

    async def delete(self, partition: int, name: ObjectName, delete: ObjectDelete) -> Written:
        """Leave a tombstone."""
        work = lambda: delete_object(self.shelf, partition, name, delete, self.carrier.now())  # noqa: E731
        return await self._small(name, delete.updates, work)

    def written_at(self, partition: int, name: ObjectName) -> Timestamp | None:
        """Return when the body was written; None when there is none (or a tombstone)."""
        state = read_state(self.shelf.directory(partition, name))
        return state.newest if state.data else None

    async def _small(
        self, name: ObjectName, targets: Sequence[Target], work: Callable[[], tuple[Written, ObjectRow | None]]
    ) -> Written:
        device = self.shelf.device

        def whole() -> tuple[Written, ObjectRow | None, Sequence[Target]]:
            try:
                written, row = work()
            except OSError as error:
                if error.errno not in FULL:
                    raise
                return Written(HTTPStatus.INSUFFICIENT_STORAGE), None, ()
            return written, row, self.carrier.tell_here(targets, name, row, device) if row else ()

        written, row, left = await self.carrier.run(whole)
        if row and left:
            await self.carrier.tell_there(left, name, row, device)
        return written


class LocalCarrier:
    """Reaches the devices of this process.

    :param devices: by name, as in the ring.
    :param remote: reaches the servers of containers and accounts; None: they are all here.
    :param container_ring: where shards of containers are; None: there are no shards.
    """

    def __init__(
        self,
        devices: Mapping[str, Device],
        now: Callable[[], float],
        *,
        remote: Carrier | None = None,
        container_ring: Ring | None = None,
        patient: bool = False,
        timeout_seconds: float = 1.0,
    ) -> None:
        self.devices, self.now, self.remote, self.patient, self.timeout_seconds = devices, now, remote, patient, timeout_seconds
        self.container_ring = container_ring
        self.threads = Threads(THREADS, "object-store")
        self._files = {name: IndexFiles(device) for name, device in devices.items()}
        self._objects: dict[tuple[str, int], LocalObjects] = {}
        self._containers = {
            name: LocalContainers(files, self.run, self._tell_accounts, now) for name, files in self._files.items()
        }
        self._accounts = {
            name: LocalAccounts(files, self.run, None if remote else self._before_read(name))
            for name, files in self._files.items()
        }

    async def run(self, work: Callable[[], T]) -> T:
        """Do something that waits, in a thread."""
        return await self.threads.run(work)

    async def look(self, work: Callable[[], T]) -> T:
        """Look something up on the disk."""
        return await self.run(work) if self.patient else work()

    def files(self, device: str) -> IndexFiles:
        """Return the open index files of a device."""
        return self._files[device]

    def objects(self, node: Node, policy: int = 0) -> LocalObjects:
        """The object server of a device."""
        key = node.device, policy
        if key not in self._objects:
            self._objects[key] = LocalObjects(self, Shelf(self.devices[node.device], policy))
        return self._objects[key]

    def fragments(self, node: Node, policy: int) -> LocalFragments:
        """The fragment server of a device."""
        return LocalFragments(self, Shelf(self.devices[node.device], policy))

    def containers(self, node: Node) -> LocalContainers:
        """The container server of a device."""
        return self._containers[node.device]

    def accounts(self, node: Node) -> LocalAccounts:
        """The account server of a device."""
        return self._accounts[node.device]

    def close(self) -> None:
        """Close what is open."""
        self.threads.close()
        for files in self._files.values():
            files.close()

    # News of objects for containers, of containers for accounts

    def tell_here(self, targets: Sequence[Target], name: ObjectName, row: ObjectRow, device: Device) -> Sequence[Target]:
        """Tell the containers that are in this process, in this thread; return the targets left."""
        if self.remote is not None:
            return targets
        for target in targets:
            if not tell_now(self._containers, self.container_ring, target, name.account, name.container, row):
                pending.keep(device, pending.Pending(name.account, name.container, row, (target,)))
        return ()

    async def tell_there(self, targets: Sequence[Target], name: ObjectName, row: ObjectRow, device: Device) -> None:
        """Tell containers elsewhere; what cannot be told in time is kept for the updater."""

        async def one(target: Target) -> bool:
            try:
                async with asyncio.timeout(self.timeout_seconds):
                    return await tell(self.remote or self, self.container_ring, target, name.account, name.container, row)
            except (Unreachable, TimeoutError):
                return False

        known = await asyncio.gather(*(one(target) for target in targets))
        left = tuple(target for target, ok in zip(targets, known, strict=True) if not ok)
        if left:
            await self.run(lambda: pending.keep(device, pending.Pending(name.account, name.container, row, left)))

    async def _tell_accounts(self, targets: Sequence[Target], account: str, row: ContainerRow) -> bool:
        async def one(target: Target) -> bool:
            try:
                async with asyncio.timeout(self.timeout_seconds):
                    server = (self.remote or self).accounts(target.node)
                    return (await server.update(target.partition, account, [row])).ok
            except (Unreachable, TimeoutError):
                return False

        return all(await asyncio.gather(*(one(target) for target in targets)))

    def _before_read(self, device: str) -> Callable[[int, str], Awaitable[None]]:
        async def report(partition: int, account: str) -> None:
            target = Target(Node(id=0, device=device), partition)
            for containers in self._containers.values():
                await containers.report_changed(account, [target])

        return report
