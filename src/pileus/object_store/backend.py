"""The contract of the device-level servers: what the proxy asks of one account, container or object server.

A cluster is rings (which node keeps which partition) and a carrier (how a node is reached: in this process, or over HTTP).
Every method concerns one device and one replica; quorums, handoffs and reading from another replica are the proxy's.
Everything written carries a Timestamp and the newest wins, whatever the order of arrival, so every write may be repeated.

Statuses mean what they mean in Swift's backend protocol.  An answer with status 404 still tells the newest timestamp known
(a tombstone's), so that a proxy can tell "deleted" from "never heard of".  A server that cannot be reached raises
Unreachable; a device that is full, missing or not mounted answers 507.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

import msgspec

from pileus.object_store.coding import Coding
from pileus.object_store.indexes import AccountAnswer, ContainerAnswer, ContainerPut, ContainerRow, Listing, ObjectRow, ShardRange
from pileus.object_store.places import Node, Target
from pileus.object_store.timestamps import Timestamp

NO_HEADERS: Mapping[str, str] = {}


class Unreachable(Exception):
    """The server did not answer, or the connection broke: ask another replica."""


class ObjectName(msgspec.Struct, frozen=True):
    """The full name of an object."""

    account: str
    container: str
    object: str


class ObjectMetadata(msgspec.Struct, frozen=True):
    """What is known of a stored object beside its bytes.

    data_at is when the body was written; modified_at the newer of body and POST (Last-Modified and X-Timestamp); headers are
    the stored ones in Title-Case: X-Object-Meta-*, X-Object-Sysmeta-*, X-Object-Transient-Sysmeta-*, Content-Encoding, ...
    delete_at is in epoch seconds.
    """

    size_bytes: int
    etag: str
    content_type: str
    data_at: Timestamp
    modified_at: Timestamp
    headers: Mapping[str, str]
    delete_at: int | None = None


class ObjectAnswer(msgspec.Struct, frozen=True):
    """200 with metadata; 404 (timestamp: the tombstone's or the expired object's, if any); 507; 503."""

    status: HTTPStatus
    timestamp: Timestamp | None = None
    metadata: ObjectMetadata | None = None


class Written(msgspec.Struct, frozen=True):
    """The outcome of a write.

    201 created, 202 accepted (POST; a container that was there), 204 deleted, 301 (news of objects is for the container that
    moved names), 404, 409 something as new or newer is there
    (timestamp tells which), 412 precondition, 422 the ETag does not match, 499 the body was cut short, 507 no room.
    """

    status: int
    timestamp: Timestamp | None = None
    etag: str = ""
    moved: tuple[str, str] | None = None

    @property
    def ok(self) -> bool:
        """Whether the write stands."""
        return 200 <= self.status < 300


class FragmentPut(msgspec.Struct, frozen=True, array_like=True):
    """What is put is the archive of one fragment; it is seen once `FragmentServer.settle` says so."""

    index: int
    coding: Coding


class ObjectPut(msgspec.Struct, frozen=True, kw_only=True):
    """What comes ahead of a body.

    size_bytes: declared length, None when chunked (a shorter body is 499, a longer one 400).  etag: the MD5 that the client
    claims, checked at the end.  if_none_match: ("*",) or ETags whose presence is 412.  The container update takes size, ETag
    and content type from X-Object-Sysmeta-Container-Update-Override-{Size,Etag,Content-Type} where given.
    """

    timestamp: Timestamp
    content_type: str = "application/octet-stream"
    size_bytes: int | None = None
    etag: str = ""
    delete_at: int | None = None
    headers: Mapping[str, str] = NO_HEADERS
    if_none_match: tuple[str, ...] = ()
    updates: tuple[Target, ...] = ()
    fragment: FragmentPut | None = None


class ObjectPost(msgspec.Struct, frozen=True, kw_only=True):
    """New metadata for an object: it takes the place of all but X-Object-Sysmeta-* and X-Static-Large-Object.

    content_type None leaves the type as it is.
    """

    timestamp: Timestamp
    content_type: str | None = None
    delete_at: int | None = None
    headers: Mapping[str, str] = NO_HEADERS
    updates: tuple[Target, ...] = ()


class ObjectDelete(msgspec.Struct, frozen=True, kw_only=True):
    """A deletion; with if_delete_at only of an object that expires at just that second (else 412)."""

    timestamp: Timestamp
    if_delete_at: int | None = None
    updates: tuple[Target, ...] = ()


class ObjectWriter(Protocol):
    """A body on its way in.  Nothing is seen of it before commit; whoever opened it calls commit or abort."""

    async def write(self, data: bytes) -> None:
        """Take the next bytes; waits while the device is slower than the sender.  :raises Unreachable: the server is lost."""

    async def commit(self, footer: Mapping[str, str] = NO_HEADERS) -> Written:
        """Make it the object, durable on return; footer: further headers to store, known only now (override those ahead).

        "Etag" in the footer is the MD5 to check the body against.
        """

    async def abort(self) -> None:
        """Forget it."""


class ObjectReader(Protocol):
    """An object held open: its bytes stay the same whatever happens to the name.  Close it."""

    answer: ObjectAnswer
    inline: bytes | None
    """The whole body when it is small (64 KiB) and at hand; then neither path nor chunks is needed."""
    path: str | None
    """A path that opens the body as a file in this process, for FileAnswer; None over HTTP, and where inline is given.

    It works until two seconds after close, so close may be called once the server has been told to send it.
    """

    def chunks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Read the body, or length bytes from start, in pieces of at most 1 MiB.  :raises Unreachable: cut short."""

    async def close(self) -> None:
        """Let go of it."""


class ObjectServer(Protocol):
    """The objects of one policy on one device."""

    async def head(self, partition: int, name: ObjectName) -> ObjectAnswer:
        """Return what is known of an object."""

    async def get(self, partition: int, name: ObjectName, start: int = 0, length: int | None = None) -> ObjectReader:
        """Open an object (answer.status tells whether there is one).

        start and length announce what will be read first, so that a far server sends no more; chunks reads any part.
        """

    async def put(self, partition: int, name: ObjectName, put: ObjectPut) -> ObjectWriter | Written:
        """Open a writer, or return the refusal that is certain already (409, 412, 507)."""

    async def post(self, partition: int, name: ObjectName, post: ObjectPost) -> Written:
        """Replace the metadata: 202, 404, 409."""

    async def delete(self, partition: int, name: ObjectName, delete: ObjectDelete) -> Written:
        """Leave a tombstone: 204, or 404 when nothing was there (the tombstone is left all the same), 409, 412."""


class Fragment(msgspec.Struct, frozen=True, array_like=True):
    """One fragment archive on a device.  durable: enough others were kept to read the object; metadata are the object's."""

    index: int
    durable: bool
    coding: Coding
    metadata: ObjectMetadata


class FragmentsAnswer(msgspec.Struct, frozen=True):
    """200 with what there is (newer than any tombstone), 404, 507.  timestamp: of the tombstone, if any."""

    status: HTTPStatus
    timestamp: Timestamp | None = None
    fragments: tuple[Fragment, ...] = ()


OBJECT_SIZE, OBJECT_ETAG = "X-Backend-Object-Size", "X-Backend-Object-Etag"
"""What the footer of a fragment's upload tells of the whole object."""


class FragmentServer(Protocol):
    """The fragment archives of one storage policy on one device; they are put, posted to and deleted as objects are."""

    async def find(self, partition: int, name: ObjectName) -> FragmentsAnswer:
        """Return what fragments there are of an object, those not yet durable too."""

    async def open(
        self, partition: int, name: ObjectName, at: Timestamp, index: int, start: int = 0, length: int | None = None
    ) -> ObjectReader:
        """Open a fragment archive; the size and the ETag in the answer are the archive's."""

    async def settle(
        self, partition: int, name: ObjectName, at: Timestamp, index: int, updates: tuple[Target, ...] = ()
    ) -> Written:
        """Make a fragment archive durable, which older ones then make way for: 201, 404."""


class ContainerServer(Protocol):
    """The containers of one device."""

    async def head(self, partition: int, account: str, container: str) -> ContainerAnswer:
        """Return what is known of a container."""

    async def listing(self, partition: int, account: str, container: str, listing: Listing) -> ContainerAnswer:
        """Return what is known of a container, and names in it."""

    async def put(self, partition: int, account: str, container: str, put: ContainerPut) -> Written:
        """Create it: 201, 202 when it was there, 409 when it has another policy or was deleted later."""

    async def post(
        self, partition: int, account: str, container: str, timestamp: Timestamp, metadata: Mapping[str, str]
    ) -> Written:
        """Set (or with an empty value remove) headers: 204, 404."""

    async def delete(
        self, partition: int, account: str, container: str, timestamp: Timestamp, updates: tuple[Target, ...] = ()
    ) -> Written:
        """Delete it: 204, 404, 409 when it holds objects or is newer."""

    async def update(self, partition: int, account: str, container: str, rows: Sequence[ObjectRow]) -> Written:
        """Take news of objects: 201, 301 when a shard is to hear of them, 404 when there is no such container."""

    async def take_shards(self, partition: int, account: str, container: str, ranges: Sequence[ShardRange]) -> Written:
        """Take news of the shards of a container: 202, 404."""


class AccountServer(Protocol):
    """The accounts of one device."""

    async def head(self, partition: int, account: str) -> AccountAnswer:
        """Return what is known of an account."""

    async def listing(self, partition: int, account: str, listing: Listing) -> AccountAnswer:
        """Return what is known of an account, and names of containers in it."""

    async def put(self, partition: int, account: str, timestamp: Timestamp, metadata: Mapping[str, str]) -> Written:
        """Create it: 201, 202 when it was there, 403 when it is deleted and not yet reaped."""

    async def post(self, partition: int, account: str, timestamp: Timestamp, metadata: Mapping[str, str]) -> Written:
        """Set (or with an empty value remove) headers: 204, 404."""

    async def delete(self, partition: int, account: str, timestamp: Timestamp) -> Written:
        """Mark it deleted: 204, 404."""

    async def update(self, partition: int, account: str, rows: Sequence[ContainerRow]) -> Written:
        """Take news of containers: 201, 404 when there is no such account."""


class Ring(Protocol):
    """Where things are kept."""

    @property
    def replicas(self) -> float:
        """How many copies; a fraction gives some partitions one more."""

    @property
    def partition_count(self) -> int:
        """How many partitions."""

    def partition(self, account: str, container: str | None = None, object_name: str | None = None) -> int:
        """Return the partition of a name."""

    def nodes(self, partition: int) -> Sequence[Node]:
        """Return the primary nodes of a partition, each once."""

    def handoffs(self, partition: int) -> Iterator[Node]:
        """Return all other nodes, the ones furthest from the primaries first."""


class Carrier(Protocol):
    """Reaches the servers of a node."""

    def objects(self, node: Node, policy: int = 0) -> ObjectServer:
        """The object server of a device."""

    def fragments(self, node: Node, policy: int) -> FragmentServer:
        """The fragment server of a device."""

    def containers(self, node: Node) -> ContainerServer:
        """The container server of a device."""

    def accounts(self, node: Node) -> AccountServer:
        """The account server of a device."""


class StoragePolicy(msgspec.Struct, frozen=True):
    """A way to keep objects: its index (part of the format on disk) and its names; coding None: whole replicas."""

    index: int
    name: str
    aliases: tuple[str, ...] = ()
    is_default: bool = False
    is_deprecated: bool = False
    coding: Coding | None = None


@dataclass(frozen=True)
class Cluster:
    """All that a proxy needs; object_rings by the index of the policy."""

    account_ring: Ring
    container_ring: Ring
    object_rings: Mapping[int, Ring]
    policies: tuple[StoragePolicy, ...]
    carrier: Carrier
