"""The fragment archives of one policy on one device, in this process."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from pileus.object_store.backend import FragmentsAnswer, ObjectName, Written
from pileus.object_store.indexes import ObjectRow
from pileus.object_store.places import Target
from pileus.object_store.storage.disk import Shelf, row_of
from pileus.object_store.storage.fragments import find_fragments, open_fragment, settle_fragment
from pileus.object_store.storage.hashdir import read_state
from pileus.object_store.storage.local_reader import LocalReader, reader_of
from pileus.object_store.timestamps import Timestamp

if TYPE_CHECKING:
    from pileus.object_store.storage.local import LocalCarrier


@dataclass(frozen=True)
class LocalFragments:
    """The fragment server of a device."""

    carrier: "LocalCarrier"
    shelf: Shelf

    async def find(self, partition: int, name: ObjectName) -> FragmentsAnswer:
        """Return what fragments there are of an object."""
        return await self.carrier.look(lambda: find_fragments(self.shelf, partition, name, self.carrier.now()))

    async def open(
        self, partition: int, name: ObjectName, at: Timestamp, index: int, start: int = 0, length: int | None = None
    ) -> LocalReader:
        """Open a fragment archive."""

        def work() -> LocalReader:
            opened = open_fragment(self.shelf, partition, name, at, index)
            return reader_of(opened, self.shelf, partition, name, self.carrier.run)

        return await self.carrier.look(work)

    async def settle(
        self, partition: int, name: ObjectName, at: Timestamp, index: int, updates: tuple[Target, ...] = ()
    ) -> Written:
        """Make a fragment archive durable, and let containers know."""
        carrier, device = self.carrier, self.shelf.device

        def work() -> tuple[Written, ObjectRow | None, Sequence[Target]]:
            done = settle_fragment(self.shelf, partition, name, at, index)
            if done.directory is None:
                return Written(HTTPStatus.NOT_FOUND), None, ()
            row = row_of(self.shelf, done.directory, read_state(done.directory)) if done.newest else None
            return Written(HTTPStatus.CREATED, at), row, carrier.tell_here(updates, name, row, device) if row else ()

        written, row, left = await carrier.run(work)
        if row and left:
            await carrier.tell_there(left, name, row, device)
        return written
