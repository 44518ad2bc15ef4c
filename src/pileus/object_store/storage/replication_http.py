"""Replication over HTTP: the calls of `replication` carried as `wire` carries the others."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec

from pileus.object_store.backend import Unreachable, Written
from pileus.object_store.places import Node
from pileus.object_store.storage.http_client import HttpClient, Upload
from pileus.object_store.storage.local import LocalCarrier
from pileus.object_store.storage.replication import (
    PREFIX,
    FileHead,
    Files,
    IndexAddress,
    IndexNews,
    LocalReplica,
    Replica,
    Suffixes,
)
from pileus.object_store.storage.server import Gone, frames_of
from pileus.object_store.storage.wire import CALL_HEADER, FRAME, from_header, to_header

_encode = msgspec.msgpack.encode


class Part(msgspec.Struct, frozen=True):
    """A partition of a device, or one suffix of it."""

    device: str
    policy: int
    partition: int
    suffix: str = ""
    index: int | None = None


@dataclass(frozen=True)
class ReplicationCalls:
    """Answers replicators; a BackendApp takes it as its extra."""

    carrier: LocalCarrier

    def answers(self, method: str) -> bool:
        """Tell whether a call is one of these."""
        return method.startswith(PREFIX)

    async def call(self, method: str, header: str, body: AsyncIterator[bytes]) -> Any:
        """Answer a call."""
        if method == f"{PREFIX}receive":
            head = msgspec.msgpack.decode(from_header(header), type=FileHead)
            return await self._replica(head.device).receive(head, _until_end(frames_of(body)))
        raw = b"".join([piece async for piece in body])
        if method in {f"{PREFIX}suffixes", f"{PREFIX}files"}:
            part = msgspec.msgpack.decode(raw, type=Part)
            replica = self._replica(part.device)
            if part.suffix:
                return await replica.files(part.policy, part.partition, part.suffix)
            return await replica.suffixes(part.policy, part.partition, part.index)
        if method == f"{PREFIX}point":
            address = msgspec.msgpack.decode(raw, type=IndexAddress)
            return await self._replica(address.device).point(address)
        if method == f"{PREFIX}merge":
            address, news = msgspec.msgpack.decode(raw, type=tuple[IndexAddress, IndexNews])
            return await self._replica(address.device).merge(address, news)
        raise ValueError(f"no such call: {method}")

    def _replica(self, device: str) -> LocalReplica:
        if device not in self.carrier.devices:
            raise ValueError(f"no device {device} here")
        return LocalReplica(self.carrier, device)


async def _until_end(frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return frames up to the empty one; what follows is read, too: the connection lasts.  :raises Gone: when there is none."""
    ended = False
    async for frame in frames:
        ended = ended or not frame
        if not ended:
            yield frame
    if not ended:
        raise Gone


@dataclass(frozen=True)
class HttpReplica:
    """A device elsewhere."""

    client: HttpClient
    node: Node

    @property
    def _place(self) -> tuple[str, int]:
        return self.node.replication_ip or self.node.ip, self.node.replication_port or self.node.port

    async def _ask(self, method: str, question: Any, kind: Any) -> Any:
        reply = await self.client.request(*self._place, f"/{PREFIX}{method}", {}, _encode(question))
        body = await reply.body()
        if reply.status != 200:
            raise Unreachable(f"{self.node.device} answered {reply.status}")
        return msgspec.msgpack.decode(body, type=kind)

    async def suffixes(self, policy: int, partition: int, index: int | None = None) -> Suffixes:
        """Return a hash for each suffix of a partition."""
        part = Part(self.node.device, policy, partition, index=index)
        found: Suffixes = await self._ask("suffixes", part, Suffixes)
        return found

    async def files(self, policy: int, partition: int, suffix: str) -> Files:
        """Return the file names in a suffix."""
        found: Files = await self._ask("files", Part(self.node.device, policy, partition, suffix), Files)
        return found

    async def receive(self, head: FileHead, body: AsyncIterator[bytes]) -> Written:
        """Bring a file."""
        started = await self.client.start_upload(*self._place, f"/{PREFIX}receive", {CALL_HEADER: to_header(_encode(head))})
        if isinstance(started, Upload):
            try:
                async for piece in body:
                    await started.write(FRAME.pack(len(piece)) + piece)
                await started.write(FRAME.pack(0))
                started = await started.finish()
            except BaseException:
                if isinstance(started, Upload):
                    started.abort()
                raise
        data = await started.body()
        if started.status != 200:
            raise Unreachable(f"{self.node.device} answered {started.status}")
        return msgspec.msgpack.decode(data, type=Written)

    async def point(self, address: IndexAddress) -> int:
        """Return how far the news of an index is there."""
        found: int = await self._ask("point", address, int)
        return found

    async def merge(self, address: IndexAddress, news: IndexNews) -> Written:
        """Bring news of an index."""
        written: Written = await self._ask("merge", (address, news), Written)
        return written


def reach_over_http(client: HttpClient) -> Any:
    """Return a function that gives the replica on a node."""

    def reach(node: Node) -> Replica:
        return HttpReplica(client, node)

    return reach
