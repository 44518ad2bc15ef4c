"""What several replicas of an object do together: a majority's verdict, a body written to all, a body read from any."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from pileus.object_store.backend import (
    NO_HEADERS,
    ObjectAnswer,
    ObjectMetadata,
    ObjectName,
    ObjectReader,
    ObjectWriter,
    Unreachable,
    Written,
)
from pileus.object_store.request import Refused
from pileus.object_store.timestamps import ZERO

AWAY = (HTTPStatus.INSUFFICIENT_STORAGE, HTTPStatus.SERVICE_UNAVAILABLE)


class Replicas(Protocol):
    """Finds further replicas of what is being read."""

    async def other_replica(self, policy: int, name: ObjectName, wanted: ObjectMetadata, start: int, length: int) -> ObjectReader:
        """Open a replica whose metadata are the wanted.  :raises Unreachable: when there is none."""
        ...


class Held(Protocol):
    """An object held open: what is known of it, and its bytes."""

    answer: ObjectAnswer

    @property
    def inline(self) -> bytes | None:
        """The whole body, when it is at hand."""
        ...

    @property
    def path(self) -> str | None:
        """A file that holds the whole body."""
        ...

    def chunks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Read the body, or length bytes from start.  :raises Unreachable: when it breaks off."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


class Sent(Protocol):
    """A body on its way to where it is kept."""

    async def write(self, data: bytes) -> None:
        """Hand on bytes.  :raises Refused: 503 when too few nodes are left."""
        ...

    async def commit(self, footer: Mapping[str, str] = NO_HEADERS) -> Written:
        """Make it the object, and return what a majority says."""
        ...

    async def abort(self) -> None:
        """Forget it everywhere."""
        ...


def quorum(replicas: int) -> int:
    """Return how many of the replicas are a majority."""
    return replicas // 2 + 1


def verdict(results: Sequence[Written], needed: int) -> Written:
    """Return what a majority says; 507 or 503 when there is none.  Of several statuses of one kind the commonest counts."""
    for hundred in (2, 4):
        agreeing = [result for result in results if result.status // 100 == hundred]
        if len(agreeing) >= needed:
            statuses = [result.status for result in agreeing]
            return max(agreeing, key=lambda result: (statuses.count(result.status), result.timestamp or ZERO))
    full = sum(1 for result in results if result.status == HTTPStatus.INSUFFICIENT_STORAGE)
    return Written(HTTPStatus.INSUFFICIENT_STORAGE if full >= needed else HTTPStatus.SERVICE_UNAVAILABLE)


class Upload:
    """A body on its way to the replicas."""

    def __init__(self, writers: Sequence[ObjectWriter], replicas: int) -> None:
        self._writers, self._replicas = list(writers), replicas

    async def write(self, data: bytes) -> None:
        """Hand on bytes.  :raises Refused: 503 when too few replicas are left."""
        if len(self._writers) == 1:
            sent = [await tried(self._writers[0].write(data))]
        else:
            sent = await asyncio.gather(*(tried(writer.write(data)) for writer in self._writers))
        if not all(sent):
            for writer, kept in zip(self._writers, sent, strict=True):
                if not kept:
                    await tried(writer.abort())
            self._writers = [writer for writer, kept in zip(self._writers, sent, strict=True) if kept]
            if len(self._writers) < quorum(self._replicas):
                await self.abort()
                raise Refused(503)

    async def commit(self, footer: Mapping[str, str] = NO_HEADERS) -> Written:
        """Make it the object, and return what a majority says."""
        if len(self._writers) == 1 and self._replicas == 1:
            return await committed(self._writers[0], footer)
        results = await asyncio.gather(*(committed(writer, footer) for writer in self._writers))
        return verdict(results, quorum(self._replicas))

    async def abort(self) -> None:
        """Forget it everywhere."""
        for writer in self._writers:
            await tried(writer.abort())
        self._writers = []


async def tried(work: Awaitable[None]) -> bool:
    """Wait for work; False: its server is lost."""
    try:
        await work
    except Unreachable:
        return False
    return True


async def committed(writer: ObjectWriter, footer: Mapping[str, str]) -> Written:
    """Commit a body; 503: its server is lost."""
    try:
        return await writer.commit(footer)
    except Unreachable:
        return Written(HTTPStatus.SERVICE_UNAVAILABLE)


@dataclass
class Reading:
    """An object held open on one replica, going on with another where that one breaks off."""

    placement: Replicas
    policy: int
    name: ObjectName
    reader: ObjectReader
    answer: ObjectAnswer

    @property
    def inline(self) -> bytes | None:
        """The whole body, when it is at hand."""
        return self.reader.inline

    @property
    def path(self) -> str | None:
        """A path that opens the body while this is open."""
        return self.reader.path

    async def chunks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Read the body, or length bytes from start.  :raises Unreachable: when no replica can go on."""
        metadata = self.answer.metadata
        assert metadata is not None
        left = metadata.size_bytes - start if length is None else length
        tries = 3
        while left > 0:
            try:
                async for chunk in self.reader.chunks(start, left):
                    start, left = start + len(chunk), left - len(chunk)
                    yield chunk
                if left > 0:
                    raise Unreachable(f"{left} bytes are missing")
            except Unreachable:
                tries -= 1
                if not tries:
                    raise
                await self._move(start, left)

    async def _move(self, start: int, length: int) -> None:
        """Open another replica with the same bytes.  :raises Unreachable: when there is none."""
        wanted = self.answer.metadata
        assert wanted is not None
        await self.reader.close()
        self.reader = await self.placement.other_replica(self.policy, self.name, wanted, start, length)

    async def close(self) -> None:
        """Let go of it, at once: nobody opens its path late."""
        self.reader.path = None
        await self.reader.close()
