"""Reaches servers of devices over HTTP: the contract on one side, `wire` on the other."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec

from pileus.object_store.backend import (
    NO_HEADERS,
    FragmentsAnswer,
    ObjectAnswer,
    ObjectDelete,
    ObjectName,
    ObjectPost,
    ObjectPut,
    ObjectReader,
    ObjectWriter,
    Unreachable,
    Written,
)
from pileus.object_store.indexes import AccountAnswer, ContainerAnswer, ContainerPut, ContainerRow, Listing, ObjectRow, ShardRange
from pileus.object_store.places import Node, Target
from pileus.object_store.storage.http_client import HttpClient, Reply, Upload
from pileus.object_store.storage.wire import (
    BODY_METHODS,
    CALL_HEADER,
    FRAME,
    FRAME_BYTES_MAX,
    Address,
    decode_answer,
    encode_call,
    to_header,
)
from pileus.object_store.timestamps import Timestamp


@dataclass
class Wire:
    """Calls to one device."""

    client: HttpClient
    node: Node
    kind: str
    policy: int = 0

    async def send(self, method: str, partition: int, arguments: tuple[Any, ...]) -> Reply:
        """Make a call; return the answer with its body to read.

        :raises Unreachable: when the server does not answer, or fails.
        """
        call = encode_call(Address(self.node.device, self.policy, partition), arguments)
        name = f"{self.kind}/{method}"
        headers, body = ({}, call) if name in BODY_METHODS else ({CALL_HEADER: to_header(call)}, b"")
        return _sound(await self.client.request(self.node.ip, self.node.port, f"/{name}", headers, body))

    async def ask(self, method: str, partition: int, *arguments: Any) -> Any:
        """Make a call and return what it answers."""
        reply = await self.send(method, partition, arguments)
        return decode_answer(f"{self.kind}/{method}", await reply.body())

    async def upload(self, method: str, partition: int, *arguments: Any) -> "Upload | Any":
        """Start a call with a body; return the answer instead when there is one already."""
        call = encode_call(Address(self.node.device, self.policy, partition), arguments)
        name = f"{self.kind}/{method}"
        headers = {CALL_HEADER: to_header(call)}
        started = await self.client.start_upload(self.node.ip, self.node.port, f"/{name}", headers)
        if isinstance(started, Upload):
            return started
        return decode_answer(name, await _sound(started).body())


def _sound(reply: Reply) -> Reply:
    if reply.status != HTTPStatus.OK:
        reply.connection.close()
        raise Unreachable(f"{reply.connection.host}:{reply.connection.port} answered {reply.status}")
    return reply


@dataclass
class HttpWriter:
    """A body on its way to a server."""

    upload: Upload

    async def write(self, data: bytes) -> None:
        """Send a frame, or several of a big piece."""
        for start in range(0, len(data), FRAME_BYTES_MAX):
            piece = data[start : start + FRAME_BYTES_MAX]
            await self.upload.write(FRAME.pack(len(piece)) + piece)

    async def commit(self, footer: Mapping[str, str] = NO_HEADERS) -> Written:
        """Send the end and wait for the outcome."""
        last = msgspec.msgpack.encode(footer)
        await self.upload.write(FRAME.pack(0) + FRAME.pack(len(last)) + last)
        reply = _sound(await self.upload.finish())
        written: Written = decode_answer("objects/put", await reply.body())
        return written

    async def abort(self) -> None:
        """Break off."""
        self.upload.abort()


@dataclass
class HttpReader:
    """A body that comes over the wire.  ask: what is asked for, but for where to start and how much."""

    wire: "Wire"
    method: str
    partition: int
    ask: tuple[Any, ...]
    answer: ObjectAnswer
    reply: Reply
    start: int
    length: int | None
    rest: bytes = b""
    inline: bytes | None = None
    path: str | None = None
    fresh: bool = True

    async def chunks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Read what was announced from the answer under way, anything else by a further call."""
        if self.answer.metadata is None:
            return
        if self.fresh and (start, length) == (self.start, self.length):
            self.fresh = False
            if self.rest:
                yield self.rest
            async for piece in self.reply.chunks():
                yield piece
            return
        other = await read(self.wire, self.method, self.partition, self.ask, start, length)
        try:
            if other.answer.metadata is None or other.answer.metadata.data_at != self.answer.metadata.data_at:
                raise Unreachable("the object has changed")
            async for piece in other.chunks(start, length):
                yield piece
        finally:
            await other.close()

    async def close(self) -> None:
        """Let go of the connection."""
        self.reply.release()


async def read(wire: Wire, method: str, partition: int, ask: tuple[Any, ...], start: int, length: int | None) -> HttpReader:
    """Ask for a body, and read as far as its answer.  :raises Unreachable: when it is cut short before."""
    reply = await wire.send(method, partition, (*ask, start, length))
    data = b""
    chunks = reply.chunks()
    while len(data) < FRAME.size or len(data) < FRAME.size + FRAME.unpack_from(data)[0]:
        piece = await anext(chunks, b"")
        if not piece:
            raise Unreachable("cut short")
        data += piece
    end = FRAME.size + FRAME.unpack_from(data)[0]
    answer = decode_answer(f"{wire.kind}/{method}", data[FRAME.size : end])
    return HttpReader(wire, method, partition, ask, answer, reply, start, length, data[end:])


@dataclass
class HttpFragments:
    """A fragment server, far away."""

    wire: Wire

    async def find(self, partition: int, name: ObjectName) -> FragmentsAnswer:
        """Return what fragments there are of an object."""
        answer: FragmentsAnswer = await self.wire.ask("find", partition, name)
        return answer

    async def open(
        self, partition: int, name: ObjectName, at: Timestamp, index: int, start: int = 0, length: int | None = None
    ) -> ObjectReader:
        """Open a fragment archive."""
        return await read(self.wire, "open", partition, (name, at, index), start, length)

    async def settle(
        self, partition: int, name: ObjectName, at: Timestamp, index: int, updates: tuple[Target, ...] = ()
    ) -> Written:
        """Make a fragment archive durable."""
        written: Written = await self.wire.ask("settle", partition, name, at, index, updates)
        return written


@dataclass
class HttpObjects:
    """An object server, far away."""

    wire: Wire

    async def head(self, partition: int, name: ObjectName) -> ObjectAnswer:
        """Return what is known of an object."""
        answer: ObjectAnswer = await self.wire.ask("head", partition, name)
        return answer

    async def get(self, partition: int, name: ObjectName, start: int = 0, length: int | None = None) -> ObjectReader:
        """Open an object."""
        return await read(self.wire, "get", partition, (name,), start, length)

    async def put(self, partition: int, name: ObjectName, put: ObjectPut) -> ObjectWriter | Written:
        """Open a writer."""
        started = await self.wire.upload("put", partition, name, put)
        if isinstance(started, Upload):
            return HttpWriter(started)
        refused: Written = started
        return refused

    async def post(self, partition: int, name: ObjectName, post: ObjectPost) -> Written:
        """Replace the metadata."""
        written: Written = await self.wire.ask("post", partition, name, post)
        return written

    async def delete(self, partition: int, name: ObjectName, delete: ObjectDelete) -> Written:
        """Leave a tombstone."""
        written: Written = await self.wire.ask("delete", partition, name, delete)
        return written


@dataclass
class HttpContainers:
    """A container server, far away."""

    wire: Wire

    async def head(self, partition: int, account: str, container: str) -> ContainerAnswer:
        """Return what is known of a container."""
        answer: ContainerAnswer = await self.wire.ask("head", partition, account, container)
        return answer

    async def listing(self, partition: int, account: str, container: str, listing: Listing) -> ContainerAnswer:
        """Return what is known of a container, and names in it."""
        answer: ContainerAnswer = await self.wire.ask("listing", partition, account, container, listing)
        return answer

    async def put(self, partition: int, account: str, container: str, put: ContainerPut) -> Written:
        """Create it."""
        written: Written = await self.wire.ask("put", partition, account, container, put)
        return written

    async def post(
        self, partition: int, account: str, container: str, timestamp: Timestamp, metadata: Mapping[str, str]
    ) -> Written:
        """Set headers."""
        written: Written = await self.wire.ask("post", partition, account, container, timestamp, metadata)
        return written

    async def delete(
        self, partition: int, account: str, container: str, timestamp: Timestamp, updates: tuple[Target, ...] = ()
    ) -> Written:
        """Delete it."""
        written: Written = await self.wire.ask("delete", partition, account, container, timestamp, updates)
        return written

    async def update(self, partition: int, account: str, container: str, rows: Sequence[ObjectRow]) -> Written:
        """Take news of objects."""
        written: Written = await self.wire.ask("update", partition, account, container, rows)
        return written

    async def take_shards(self, partition: int, account: str, container: str, ranges: Sequence[ShardRange]) -> Written:
        """Take news of the shards of a container."""
        written: Written = await self.wire.ask("take_shards", partition, account, container, ranges)
        return written


@dataclass
class HttpAccounts:
    """An account server, far away."""

    wire: Wire

    async def head(self, partition: int, account: str) -> AccountAnswer:
        """Return what is known of an account."""
        answer: AccountAnswer = await self.wire.ask("head", partition, account)
        return answer

    async def listing(self, partition: int, account: str, listing: Listing) -> AccountAnswer:
        """Return what is known of an account, and names of containers in it."""
        answer: AccountAnswer = await self.wire.ask("listing", partition, account, listing)
        return answer

    async def put(self, partition: int, account: str, timestamp: Timestamp, metadata: Mapping[str, str]) -> Written:
        """Create it."""
        written: Written = await self.wire.ask("put", partition, account, timestamp, metadata)
        return written

    async def post(self, partition: int, account: str, timestamp: Timestamp, metadata: Mapping[str, str]) -> Written:
        """Set headers."""
        written: Written = await self.wire.ask("post", partition, account, timestamp, metadata)
        return written

    async def delete(self, partition: int, account: str, timestamp: Timestamp) -> Written:
        """Mark it deleted."""
        written: Written = await self.wire.ask("delete", partition, account, timestamp)
        return written

    async def update(self, partition: int, account: str, rows: Sequence[ContainerRow]) -> Written:
        """Take news of containers."""
        written: Written = await self.wire.ask("update", partition, account, rows)
        return written


@dataclass
class HttpCarrier:
    """Reaches every node by its address in the ring."""

    client: HttpClient = field(default_factory=HttpClient)

    def objects(self, node: Node, policy: int = 0) -> HttpObjects:
        """The object server of a device."""
        return HttpObjects(Wire(self.client, node, "objects", policy))

    def fragments(self, node: Node, policy: int) -> HttpFragments:
        """The fragment server of a device."""
        return HttpFragments(Wire(self.client, node, "fragments", policy))

    def containers(self, node: Node) -> HttpContainers:
        """The container server of a device."""
        return HttpContainers(Wire(self.client, node, "containers"))

    def accounts(self, node: Node) -> HttpAccounts:
        """The account server of a device."""
        return HttpAccounts(Wire(self.client, node, "accounts"))
