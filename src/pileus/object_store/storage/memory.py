"""The contract in memory: account, container and object servers without a disk, for the tests of a proxy.

A node whose id is in `down` raises Unreachable; one in `full` answers 507 to what would write.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from pileus.object_store.backend import (
    NO_HEADERS,
    Cluster,
    FragmentServer,
    ObjectAnswer,
    ObjectDelete,
    ObjectMetadata,
    ObjectName,
    ObjectPost,
    ObjectPut,
    ObjectReader,
    ObjectWriter,
    StoragePolicy,
    Unreachable,
    Written,
)
from pileus.object_store.indexes import ObjectRow
from pileus.object_store.places import Node, Target
from pileus.object_store.storage.memory_indexes import MemoryAccounts, MemoryContainers
from pileus.object_store.storage.merging import listed_row, posted_headers

CLIENT_CLOSED = 499


@dataclass
class Body:
    """One object: its body, or its tombstone (data None), and the POST upon it."""

    put: ObjectPut
    data: bytes | None
    etag: str = ""
    post: ObjectPost | None = None
    typed: ObjectPost | None = None

    def metadata(self) -> ObjectMetadata:
        """Return what a HEAD shows."""
        put, post, typed = self.put, self.post, self.typed
        content_type = typed.content_type if typed and typed.content_type else put.content_type
        return ObjectMetadata(
            size_bytes=len(self.data or b""),
            etag=self.etag,
            content_type=content_type,
            data_at=put.timestamp,
            modified_at=post.timestamp if post else put.timestamp,
            headers=posted_headers(put.headers, post.headers) if post else dict(put.headers),
            delete_at=post.delete_at if post else put.delete_at,
        )


@dataclass
class MemoryReader:
    """An object that was there when it was opened."""

    answer: ObjectAnswer
    inline: bytes | None = None
    path: str | None = None

    async def chunks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        data = self.inline or b""
        piece = data[start:] if length is None else data[start : start + length]
        if piece:
            yield piece

    async def close(self) -> None:
        """Nothing is held."""


@dataclass
class MemoryWriter:
    """A body on its way in."""

    server: "MemoryObjects"
    name: ObjectName
    put: ObjectPut
    pieces: list[bytes] = field(default_factory=list)

    async def write(self, data: bytes) -> None:
        self.server.check()
        self.pieces.append(data)

    async def commit(self, footer: Mapping[str, str] = NO_HEADERS) -> Written:
        self.server.check()
        data, put = b"".join(self.pieces), self.put
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        if put.size_bytes is not None and len(data) != put.size_bytes:
            return Written(CLIENT_CLOSED if len(data) < put.size_bytes else HTTPStatus.BAD_REQUEST)
        if (footer.get("Etag") or put.etag or etag) != etag:
            return Written(HTTPStatus.UNPROCESSABLE_ENTITY, etag=etag)
        further = {key: value for key, value in footer.items() if key != "Etag"}
        return await self.server.keep(self.name, put, {**put.headers, **further}, data, etag)

    async def abort(self) -> None:
        self.pieces.clear()


@dataclass
class MemoryObjects:
    """The objects of one policy on one device."""

    carrier: "MemoryCarrier"
    node: Node
    policy: int
    bodies: dict[ObjectName, Body] = field(default_factory=dict)

    def check(self) -> None:
        """:raises Unreachable: when the node is down."""
        self.carrier.check(self.node)

    def _found(self, name: ObjectName) -> ObjectAnswer:
        body = self.bodies.get(name)
        if body is None or body.data is None:
            return ObjectAnswer(HTTPStatus.NOT_FOUND, body.put.timestamp if body else None)
        metadata = body.metadata()
        if metadata.delete_at is not None and metadata.delete_at <= self.carrier.now():
            return ObjectAnswer(HTTPStatus.NOT_FOUND, metadata.modified_at)
        return ObjectAnswer(HTTPStatus.OK, metadata.modified_at, metadata)

    async def head(self, partition: int, name: ObjectName) -> ObjectAnswer:
        self.check()
        return self._found(name)

    async def get(self, partition: int, name: ObjectName, start: int = 0, length: int | None = None) -> ObjectReader:
        self.check()
        answer = self._found(name)
        return MemoryReader(answer, self.bodies[name].data if answer.status == HTTPStatus.OK else None)

    async def put(self, partition: int, name: ObjectName, put: ObjectPut) -> ObjectWriter | Written:
        self.check()
        if self.node.id in self.carrier.full:
            return Written(HTTPStatus.INSUFFICIENT_STORAGE)
        found = self._found(name).metadata
        if found and put.if_none_match and ("*" in put.if_none_match or found.etag in put.if_none_match):
            return Written(HTTPStatus.PRECONDITION_FAILED, found.modified_at)
        body = self.bodies.get(name)
        if body and body.put.timestamp >= put.timestamp:
            return Written(HTTPStatus.CONFLICT, body.put.timestamp)
        return MemoryWriter(self, name, put)

    async def keep(self, name: ObjectName, put: ObjectPut, headers: Mapping[str, str], data: bytes, etag: str) -> Written:
        """Make a body the object."""
        old = self.bodies.get(name)
        if old and old.put.timestamp >= put.timestamp:
            return Written(HTTPStatus.CONFLICT, old.put.timestamp)
        kept = ObjectPut(
            timestamp=put.timestamp,
            content_type=put.content_type,
            delete_at=put.delete_at,
            headers=dict(headers),
            size_bytes=len(data),
        )
        newer = old.post if old and old.post and old.post.timestamp > put.timestamp else None
        typed = old.typed if old and old.typed and old.typed.timestamp > put.timestamp else None
        self.bodies[name] = body = Body(kept, data, etag, newer, typed)
        await self._tell(name, body, put.updates)
        return Written(HTTPStatus.CREATED, put.timestamp, etag)

    async def _tell(self, name: ObjectName, body: Body, targets: Sequence[Target]) -> None:
        row = ObjectRow(
            name=name.object,
            data_at=body.put.timestamp,
            size_bytes=len(body.data or b""),
            etag=body.etag,
            content_type=body.metadata().content_type,
            content_type_at=body.typed.timestamp if body.typed else None,
            meta_at=body.post.timestamp if body.post else None,
            deleted=body.data is None,
            policy=self.policy,
        )
        if not row.deleted:
            row = listed_row(name.object, row, body.put.headers)
        for target in targets:
            try:
                containers = self.carrier.containers(target.node)
                await containers.update(target.partition, name.account, name.container, [row])
            except Unreachable:
                continue

    async def post(self, partition: int, name: ObjectName, post: ObjectPost) -> Written:
        self.check()
        answer = self._found(name)
        if answer.metadata is None:
            return Written(HTTPStatus.NOT_FOUND, answer.timestamp)
        if answer.metadata.modified_at >= post.timestamp:
            return Written(HTTPStatus.CONFLICT, answer.metadata.modified_at)
        body = self.bodies[name]
        body.post = post
        body.typed = post if post.content_type is not None else body.typed
        await self._tell(name, body, post.updates)
        return Written(HTTPStatus.ACCEPTED, post.timestamp)

    async def delete(self, partition: int, name: ObjectName, delete: ObjectDelete) -> Written:
        self.check()
        body = self.bodies.get(name)
        answer = self._found(name)
        if delete.if_delete_at is not None:
            due = body.metadata().delete_at if body and body.data is not None else None
            if due != delete.if_delete_at:
                return Written(HTTPStatus.PRECONDITION_FAILED, answer.timestamp)
        if body and body.put.timestamp >= delete.timestamp:
            return Written(HTTPStatus.CONFLICT if body.data is not None else HTTPStatus.NOT_FOUND, body.put.timestamp)
        self.bodies[name] = gone = Body(ObjectPut(timestamp=delete.timestamp), None)
        await self._tell(name, gone, delete.updates)
        return Written(HTTPStatus.NO_CONTENT if answer.metadata else HTTPStatus.NOT_FOUND, delete.timestamp)


@dataclass
class MemoryCarrier:
    """Reaches every node of a cluster in memory."""

    now: Callable[[], float]
    down: set[int] = field(default_factory=set)
    full: set[int] = field(default_factory=set)
    _objects: dict[tuple[int, int], MemoryObjects] = field(default_factory=dict)
    _containers: dict[int, MemoryContainers] = field(default_factory=dict)
    _accounts: dict[int, MemoryAccounts] = field(default_factory=dict)

    def check(self, node: Node) -> None:
        """:raises Unreachable: when the node is down."""
        if node.id in self.down:
            raise Unreachable(f"node {node.id} is down")

    def objects(self, node: Node, policy: int = 0) -> MemoryObjects:
        return self._objects.setdefault((node.id, policy), MemoryObjects(self, node, policy))

    def fragments(self, node: Node, policy: int) -> FragmentServer:
        raise Unreachable("whole objects only are kept in memory")

    def containers(self, node: Node) -> MemoryContainers:
        made = MemoryContainers(lambda: self.check(node), self.accounts, self.now)
        return self._containers.setdefault(node.id, made)

    def accounts(self, node: Node) -> MemoryAccounts:
        return self._accounts.setdefault(node.id, MemoryAccounts(lambda: self.check(node), self.now))


@dataclass(frozen=True)
class MemoryRing:
    """A ring of few nodes: partition p is kept by the nodes p, p+1, ..."""

    all_nodes: tuple[Node, ...]
    replicas: float = 1
    partition_count: int = 8

    def partition(self, account: str, container: str | None = None, object_name: str | None = None) -> int:
        path = "/".join(part for part in ("", account, container, object_name) if part is not None)
        return hashlib.md5(path.encode(), usedforsecurity=False).digest()[0] % self.partition_count

    def _ordered(self, partition: int) -> list[Node]:
        turn = partition % len(self.all_nodes)
        return [*self.all_nodes[turn:], *self.all_nodes[:turn]]

    def nodes(self, partition: int) -> Sequence[Node]:
        return self._ordered(partition)[: int(self.replicas)]

    def handoffs(self, partition: int) -> Iterator[Node]:
        return iter(self._ordered(partition)[int(self.replicas) :])


def memory_cluster(now: Callable[[], float], nodes: int = 1, replicas: int = 1, policies: int = 1) -> Cluster:
    """Return a cluster in memory; its carrier is a MemoryCarrier."""
    ring = MemoryRing(tuple(Node(id=index, device=f"d{index}", zone=index + 1) for index in range(nodes)), replicas)
    kinds = tuple(StoragePolicy(index, f"Policy-{index}", is_default=index == 0) for index in range(policies))
    return Cluster(ring, ring, {kind.index: ring for kind in kinds}, kinds, MemoryCarrier(now))
