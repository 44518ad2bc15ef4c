"""What is said of containers and accounts: listings, rows of news, and the whole.  Part of the contract in `backend`."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec

from pileus.object_store.places import Target
from pileus.object_store.timestamps import ZERO, Timestamp

FOUND, CREATED, SHRINKING = "found", "created", "shrinking"


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """Which names, in byte order of UTF-8.  path "" lists the names without a slash, "a/b" those one level below.

    marker and end_marker are exclusive (with reverse, marker is the upper one).  Names with a NUL byte are reserved: hidden
    unless asked for.
    """

    limit: int = 10_000
    prefix: str = ""
    delimiter: str = ""
    marker: str = ""
    end_marker: str = ""
    path: str | None = None
    reverse: bool = False
    allow_reserved: bool = False


class ObjectEntry(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="o"):
    """A line of a container listing.  stamp is when it was last modified, in the internal form: lists are long."""

    name: str
    size_bytes: int
    etag: str
    content_type: str
    stamp: str

    @property
    def modified_at(self) -> Timestamp:
        """When it was last modified."""
        return Timestamp.parse(self.stamp)


class ContainerEntry(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="c"):
    """A line of an account listing."""

    name: str
    object_count: int
    bytes_used: int
    put_at: Timestamp
    policy: int = 0


class Subdir(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="s"):
    """Names rolled up to their common start, which ends in the delimiter."""

    name: str


class ObjectRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """News of an object for its container: body, content type and other metadata, each with its own time.

    Merging keeps the newest of each, so that rows may come in any order and any number of times.
    """

    name: str
    data_at: Timestamp
    size_bytes: int = 0
    etag: str = ""
    content_type: str = ""
    content_type_at: Timestamp | None = None
    meta_at: Timestamp | None = None
    deleted: bool = False
    policy: int = 0


class ContainerRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """News of a container for its account; figures_at is when it was counted."""

    name: str
    put_at: Timestamp
    delete_at: Timestamp = ZERO
    object_count: int = 0
    bytes_used: int = 0
    policy: int = 0
    figures_at: Timestamp = ZERO

    @property
    def deleted(self) -> bool:
        """Whether it is gone."""
        return self.delete_at >= self.put_at


class PolicyUse(msgspec.Struct, frozen=True):
    """How much of an account lies in one storage policy."""

    container_count: int = 0
    object_count: int = 0
    bytes_used: int = 0


class ShardRange(msgspec.Struct, frozen=True, array_like=True):
    """The part of a big container that another container (a shard) lists: names above lower, up to upper ("": no end).

    The newest stamp decides about the range, the newest figures_at about the figures.  state: FOUND, CREATED (the shard is
    there), SHRINKING (it is being emptied into its neighbour).
    """

    account: str
    container: str
    lower: str = ""
    upper: str = ""
    stamp: Timestamp = ZERO
    state: str = FOUND
    deleted: bool = False
    object_count: int = 0
    bytes_used: int = 0
    figures_at: Timestamp = ZERO

    def holds(self, name: str) -> bool:
        """Tell whether a name lies in it."""
        return name > self.lower and (not self.upper or name <= self.upper)


class ContainerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A container as a whole; metadata holds the stored headers in Title-Case (X-Container-Meta-*, X-Container-Read, ...)."""

    account: str
    container: str
    object_count: int
    bytes_used: int
    policy: int
    put_at: Timestamp
    delete_at: Timestamp
    created_at: Timestamp
    changed_at: Timestamp
    metadata: Mapping[str, str]


class AccountInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An account as a whole; by_policy is keyed by policy index."""

    account: str
    container_count: int
    object_count: int
    bytes_used: int
    put_at: Timestamp
    delete_at: Timestamp
    created_at: Timestamp
    metadata: Mapping[str, str]
    by_policy: Mapping[int, PolicyUse] = {}
    deleted: bool = False


class ContainerAnswer(msgspec.Struct, frozen=True):
    """200 with info (and entries where a listing was asked for), 404 (timestamp: of the deletion, if any), 507.

    Where there are shards, the names are listed by them and there are no entries.
    """

    status: HTTPStatus
    info: ContainerInfo | None = None
    entries: Sequence[ObjectEntry | Subdir] = ()
    timestamp: Timestamp | None = None
    shards: tuple[ShardRange, ...] = ()


class AccountAnswer(msgspec.Struct, frozen=True):
    """200 with info (and entries where a listing was asked for), 404, 410 (deleted, not yet reaped), 507."""

    status: HTTPStatus
    info: AccountInfo | None = None
    entries: Sequence[ContainerEntry | Subdir] = ()
    timestamp: Timestamp | None = None


class ContainerPut(msgspec.Struct, frozen=True, kw_only=True):
    """A container to create (or to touch).  policy None: the one it has, else default_policy.  An empty value removes."""

    timestamp: Timestamp
    policy: int | None = None
    default_policy: int = 0
    metadata: Mapping[str, str] = {}
    updates: tuple[Target, ...] = ()
