"""An erasure-coded object as the proxy sees it: cut up on the way in, put together on the way out.

A write goes to one node for each fragment.  Nothing is seen of it until a quorum of fragments is on the disks; then each is made
durable, and the write stands when a quorum is.  A read looks for the newest write that is durable somewhere and of which enough
fragments are there, wherever they lie; a fragment that breaks off, or is damaged, is replaced by another in mid-body.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import islice
from typing import TypeVar

from pileus.object_store.backend import (
    NO_HEADERS,
    OBJECT_ETAG,
    OBJECT_SIZE,
    Carrier,
    FragmentsAnswer,
    ObjectAnswer,
    ObjectMetadata,
    ObjectName,
    ObjectPut,
    ObjectReader,
    ObjectWriter,
    Ring,
    Unreachable,
    Written,
)
from pileus.object_store.coding import Coding, CodingError
from pileus.object_store.places import Node, Target
from pileus.object_store.replicas import AWAY, committed, quorum, tried, verdict
from pileus.object_store.request import Refused
from pileus.object_store.timestamps import ZERO, Timestamp

Result = TypeVar("Result")
INLINE_BYTES_MAX = 65_536
CUT_SHORT = 499


@dataclass(frozen=True)
class Shop:
    """Where the fragments of one object may be."""

    carrier: Carrier
    ring: Ring
    partition: int
    policy: int
    name: ObjectName


@dataclass(frozen=True)
class Way:
    """A fragment on its way to a node; updates: who has to hear of the object from there."""

    index: int
    node: Node
    writer: ObjectWriter
    updates: tuple[Target, ...]


# In


class FragmentUpload:
    """A body on its way to the nodes of its fragments."""

    def __init__(self, shop: Shop, coding: Coding, put: ObjectPut, ways: Sequence[Way]) -> None:
        self._shop, self._coding, self._put, self._ways = shop, coding, put, list(ways)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._size, self._rest = 0, bytearray()

    async def write(self, data: bytes) -> None:
        """Take bytes, and hand on what makes whole segments.  :raises Refused: 503 when too few nodes are left."""
        self._md5.update(data)
        self._size += len(data)
        self._rest += data
        segment = self._coding.segment_bytes
        while len(self._rest) >= segment:
            await self._send(bytes(self._rest[:segment]))
            del self._rest[:segment]

    async def _send(self, segment: bytes) -> None:
        pieces = self._coding.encode(segment)
        sent = await asyncio.gather(*(tried(way.writer.write(pieces[way.index])) for way in self._ways))
        lost = [way for way, kept in zip(self._ways, sent, strict=True) if not kept]
        for way in lost:
            await tried(way.writer.abort())
        self._ways = [way for way, kept in zip(self._ways, sent, strict=True) if kept]
        if len(self._ways) < self._coding.quorum:
            await self.abort()
            raise Refused(503)

    async def commit(self, footer: Mapping[str, str] = NO_HEADERS) -> Written:
        """Make it the object, once a quorum of fragments is kept."""
        put, etag = self._put, self._md5.hexdigest()
        refused = None
        if put.size_bytes is not None and self._size != put.size_bytes:
            refused = Written(CUT_SHORT if self._size < put.size_bytes else HTTPStatus.BAD_REQUEST)
        elif (footer.get("Etag") or put.etag or etag) != etag:
            refused = Written(HTTPStatus.UNPROCESSABLE_ENTITY, etag=etag)
        if refused:
            await self.abort()
            return refused
        if self._rest:
            await self._send(bytes(self._rest))
        further = {key: value for key, value in footer.items() if key != "Etag"}
        whole = {**further, OBJECT_SIZE: str(self._size), OBJECT_ETAG: etag}
        results = await asyncio.gather(*(committed(way.writer, whole) for way in self._ways))
        kept = [way for way, result in zip(self._ways, results, strict=True) if result.ok]
        if len(kept) < self._coding.quorum:
            return judge(self._coding, results)
        settled = await asyncio.gather(*(self._settle(way) for way in kept))
        done = judge(self._coding, settled)
        return Written(HTTPStatus.CREATED, put.timestamp, etag) if done.ok else done

    async def _settle(self, way: Way) -> Written:
        shop = self._shop
        server = shop.carrier.fragments(way.node, shop.policy)
        try:
            return await server.settle(shop.partition, shop.name, self._put.timestamp, way.index, way.updates)
        except Unreachable:
            return Written(HTTPStatus.SERVICE_UNAVAILABLE)

    async def abort(self) -> None:
        """Forget it everywhere."""
        for way in self._ways:
            await tried(way.writer.abort())
        self._ways = []


def judge(coding: Coding, results: Sequence[Written]) -> Written:
    """Return what the nodes say together: a write stands by the quorum of the code, a refusal by a majority.

    507 when the full ones alone leave no quorum, 503 when those that are away do.
    """
    done = verdict(results, coding.quorum)
    if done.ok or done.status // 100 == 4:
        return done
    refused = verdict(results, quorum(coding.fragments))
    if refused.status // 100 == 4:
        return refused
    full = sum(result.status == HTTPStatus.INSUFFICIENT_STORAGE for result in results)
    lost = full > coding.fragments - coding.quorum
    return Written(HTTPStatus.INSUFFICIENT_STORAGE if lost else HTTPStatus.SERVICE_UNAVAILABLE)


# Out


@dataclass
class Found:
    """What the nodes told of an object: by the time of writing, by index, who has the fragment."""

    places: dict[Timestamp, dict[int, list[Node]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    durable: set[Timestamp] = field(default_factory=set)
    codings: dict[Timestamp, Coding] = field(default_factory=dict)
    metadata: dict[Timestamp, ObjectMetadata] = field(default_factory=dict)
    tombstone: Timestamp = ZERO
    answers: int = 0
    misses: int = 0

    def add(self, node: Node, answer: FragmentsAnswer) -> None:
        """Take an answer."""
        self.answers += 1
        self.misses += not answer.fragments
        self.tombstone = max(self.tombstone, answer.timestamp or ZERO)
        for fragment in answer.fragments:
            at = fragment.metadata.data_at
            self.places[at][fragment.index].append(node)
            self.codings[at] = fragment.coding
            known = self.metadata.get(at)
            if known is None or fragment.metadata.modified_at > known.modified_at:
                self.metadata[at] = fragment.metadata
            if fragment.durable:
                self.durable.add(at)

    def newest(self) -> Timestamp | None:
        """Return the newest write that can be read and is not deleted."""
        whole = [at for at in self.durable if len(self.places[at]) >= self.codings[at].data]
        at = max(whole, default=ZERO)
        return at if at > self.tombstone else None

    def has_doubt(self) -> bool:
        """Tell whether a durable write, not deleted, was seen of which too little was found."""
        return max(self.durable, default=ZERO) > self.tombstone


async def find(shop: Shop) -> Found:
    """Ask the primaries, then handoffs where these do not have enough of an object."""
    found = Found()
    primaries = list(shop.ring.nodes(shop.partition))
    await _ask(shop, primaries, found)
    if found.newest() is None or found.answers < len(primaries):
        before = found.answers
        await _ask(shop, list(islice(shop.ring.handoffs(shop.partition), 2 * len(primaries))), found)
        found.answers = before  # what a handoff never heard of proves nothing
    return found


async def _ask(shop: Shop, nodes: Sequence[Node], found: Found) -> None:
    async def one(node: Node) -> None:
        try:
            answer = await shop.carrier.fragments(node, shop.policy).find(shop.partition, shop.name)
        except Unreachable:
            return
        if answer.status not in AWAY:
            found.add(node, answer)

    await asyncio.gather(*(one(node) for node in nodes))


async def describe(shop: Shop) -> tuple[ObjectAnswer, Found]:
    """Return what is known of an object.  :raises Refused: 503 when that cannot be known now."""
    found = await find(shop)
    at = found.newest()
    if at is not None:
        metadata = found.metadata[at]
        return ObjectAnswer(HTTPStatus.OK, metadata.modified_at, metadata), found
    if found.has_doubt() or (not found.tombstone and found.answers < quorum(len(shop.ring.nodes(shop.partition)))):
        raise Refused(503)
    return ObjectAnswer(HTTPStatus.NOT_FOUND, found.tombstone or None), found


@dataclass
class Strand:
    """One fragment archive, read from a segment on."""

    index: int
    node: Node
    reader: ObjectReader
    pieces: AsyncIterator[bytes]
    rest: bytes = b""

    async def read(self, size_bytes: int) -> bytes:
        """Return the next bytes.  :raises Unreachable: when they do not come."""
        while len(self.rest) < size_bytes:
            piece = await anext(self.pieces, b"")
            if not piece:
                raise Unreachable("a fragment was cut short")
            self.rest += piece
        data, self.rest = self.rest[:size_bytes], self.rest[size_bytes:]
        return data


class Weave:
    """Reads the segments of an object, one after the other, from as many strands as are needed."""

    def __init__(self, shop: Shop, at: Timestamp, found: Found) -> None:
        self.shop, self.at, self.coding = shop, at, found.codings[at]
        self.size_bytes = found.metadata[at].size_bytes
        self.places = {index: list(nodes) for index, nodes in found.places[at].items()}
        self.strands: dict[int, Strand] = {}

    async def segment(self, number: int, last: int) -> bytes:
        """Return the next segment.  :raises Unreachable: when not enough fragments can be had."""
        size = self.coding.fragment_size(self.size_bytes, number)
        pieces: dict[int, bytes] = {}
        while True:
            while len(pieces) < self.coding.data:
                await self._open(number, last)
                waiting = [strand for index, strand in self.strands.items() if index not in pieces]
                read = await asyncio.gather(*(_tried(strand.read(size)) for strand in waiting))
                for strand, piece in zip(waiting, read, strict=True):
                    if piece is None or self.coding.is_damaged(piece):
                        await self._drop(strand)
                    else:
                        pieces[strand.index] = piece
            try:
                return self.coding.decode(list(pieces.values()))
            except CodingError as error:
                raise Unreachable(str(error)) from error

    async def _open(self, number: int, last: int) -> None:
        """Have as many strands as are needed, from a segment to the last one wanted."""
        start = self.coding.archive_start(number)
        length = self.coding.archive_start(last) + self.coding.fragment_size(self.size_bytes, last) - start
        while (missing := self.coding.data - len(self.strands)) > 0:
            spare = sorted(index for index, nodes in self.places.items() if nodes and index not in self.strands)[:missing]
            if len(spare) < missing:
                raise Unreachable("too few fragments are left")
            opened = await asyncio.gather(*(self._strand(index, start, length) for index in spare))
            self.strands.update({strand.index: strand for strand in opened if strand})

    async def _strand(self, index: int, start: int, length: int) -> Strand | None:
        node = self.places[index][0]
        server = self.shop.carrier.fragments(node, self.shop.policy)
        reader = await _tried(server.open(self.shop.partition, self.shop.name, self.at, index, start, length))
        if reader is None or reader.answer.status != HTTPStatus.OK:
            if reader is not None:
                await reader.close()
            self.places[index].pop(0)
            return None
        return Strand(index, node, reader, reader.chunks(start, length))

    async def _drop(self, strand: Strand) -> None:
        await strand.reader.close()
        self.strands.pop(strand.index)
        self.places[strand.index].remove(strand.node)

    async def close(self) -> None:
        """Let go of all strands."""
        for strand in self.strands.values():
            await strand.reader.close()
        self.strands = {}


async def _tried(work: Awaitable[Result]) -> Result | None:
    try:
        return await work
    except Unreachable:
        return None


@dataclass
class FragmentReading:
    """An erasure-coded object, opened; a content Source."""

    shop: Shop
    found: Found
    at: Timestamp
    answer: ObjectAnswer
    inline: bytes | None = None
    path: str | None = None

    async def chunks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Read the body, or length bytes from start.  :raises Unreachable: when not enough fragments can be had."""
        metadata = self.answer.metadata
        assert metadata is not None
        end = metadata.size_bytes if length is None else min(start + length, metadata.size_bytes)
        if end <= start:
            return
        weave = Weave(self.shop, self.at, self.found)
        step = weave.coding.segment_bytes
        try:
            last = (end - 1) // step
            for number in range(start // step, last + 1):
                data = await weave.segment(number, last)
                yield data[max(start - number * step, 0) : end - number * step]
        finally:
            await weave.close()

    async def close(self) -> None:
        """Nothing is held open between reads."""


async def open_object(shop: Shop) -> FragmentReading | None:
    """Open an object; None when there is none.

    :raises Refused: 503 when that cannot be known now.
    :raises Unreachable: when a small object cannot be read.
    """
    answer, found = await describe(shop)
    if answer.metadata is None:
        return None
    reading = FragmentReading(shop, found, answer.metadata.data_at, answer)
    if answer.metadata.size_bytes <= INLINE_BYTES_MAX:
        reading.inline = b"".join([piece async for piece in reading.chunks()])
    return reading
