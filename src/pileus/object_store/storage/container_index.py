"""One container on a device: its index file, and the rules of its life."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from sqlite3 import OperationalError
from urllib.parse import quote, unquote

import msgspec

from pileus.kernel.ids import hex_id
from pileus.object_store.backend import Written
from pileus.object_store.indexes import (
    ContainerAnswer,
    ContainerInfo,
    ContainerPut,
    ContainerRow,
    Listing,
    ObjectEntry,
    ObjectRow,
    ShardRange,
    Subdir,
)
from pileus.object_store.storage.index_file import IndexFile, Shape
from pileus.object_store.storage.listing import Row, collect
from pileus.object_store.storage.merging import Stamped, live_headers, merge_headers, merge_object_rows, stamp_headers
from pileus.object_store.storage.shard_index import mark_sharded, read_sharding, shard_of, take_ranges
from pileus.object_store.timestamps import Timestamp

INFO_DDL = """id TEXT, account TEXT, container TEXT, policy INTEGER, created_at TEXT, put_at TEXT, delete_at TEXT,
changed_at TEXT, metadata BLOB, seq INTEGER, reported BLOB"""
PLAIN_SQL = "SELECT put_at > delete_at AND (SELECT user_version FROM pragma_user_version) = 0 FROM info"
SHARD_ROOT = "X-Container-Sysmeta-Shard-Root"
_stamped = msgspec.msgpack.Decoder(Stamped)
_encode = msgspec.msgpack.encode


def _text(moment: Timestamp | None) -> str:
    return moment.internal if moment else ""


def _moment(text: str) -> Timestamp | None:
    return Timestamp.parse(text) if text else None


def _pack(row: ObjectRow) -> Row:
    typed, posted = _text(row.content_type_at), _text(row.meta_at)
    return row.data_at.internal, row.size_bytes, row.etag, row.content_type, typed, posted, row.deleted, row.policy


def _unpack(row: Row) -> ObjectRow:
    name, data_at, size, etag, content_type, typed, posted, deleted, policy = row[:9]
    return ObjectRow(
        name=name,
        data_at=Timestamp.parse(data_at),
        size_bytes=size,
        etag=etag,
        content_type=content_type,
        content_type_at=_moment(typed),
        meta_at=_moment(posted),
        deleted=bool(deleted),
        policy=policy,
    )


SHAPE = Shape(
    kind="containers",
    columns="stamp, size, etag, content_type, content_type_at, meta_at, deleted, policy",
    ddl="stamp TEXT, size INTEGER, etag TEXT, content_type TEXT, content_type_at TEXT, meta_at TEXT, "
    "deleted INTEGER, policy INTEGER",
    row_type=ObjectRow,
    pack=_pack,
    unpack=_unpack,
    merge=merge_object_rows,
    weight=lambda row: (row.policy, 1, row.size_bytes),
)


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """All of a container but its rows, as replicators exchange it."""

    id: str
    account: str
    container: str
    policy: int
    created_at: Timestamp
    put_at: Timestamp
    delete_at: Timestamp
    changed_at: Timestamp
    metadata: Stamped
    object_count: int = 0
    bytes_used: int = 0
    seq: int = 0
    shards: tuple[ShardRange, ...] = ()
    sharded: bool = False

    @property
    def deleted(self) -> bool:
        """Whether it is gone."""
        return self.delete_at >= self.put_at and self.object_count == 0


@dataclass(frozen=True)
class ContainerIndex:
    """A container's index file."""

    file: IndexFile

    def whole(self, flush: bool = True) -> Whole | None:
        """Return what is known of the container; None when this device has never heard of it."""
        if flush and self.file.exists():
            self.file.flush()
        with self.file.lock:
            row = self.file.info()
            if row is None:
                return None
            delete_at = Timestamp.parse(row["delete_at"])
            sharding = read_sharding(self.file)
            used = list(self.file.used().values())
            if listed := sharding.listed_by(delete_at):
                used = [(1, one.object_count, one.bytes_used) for one in listed]
        return Whole(
            id=row["id"],
            account=row["account"],
            container=row["container"],
            policy=row["policy"],
            created_at=Timestamp.parse(row["created_at"]),
            put_at=Timestamp.parse(row["put_at"]),
            delete_at=delete_at,
            changed_at=Timestamp.parse(row["changed_at"]),
            metadata=_stamped.decode(row["metadata"]),
            object_count=sum(objects for _, objects, _ in used),
            bytes_used=sum(size for _, _, size in used),
            seq=row["seq"],
            shards=sharding.ranges,
            sharded=bool(listed),
        )

    def is_live(self) -> bool:
        """Tell whether the container is there, without merging what is pending."""
        with self.file.lock:
            row = self.file.info()
            if row is None:
                return False
            if row["put_at"] > row["delete_at"]:
                return True
        whole = self.whole()
        return whole is not None and not whole.deleted

    def _is_plain(self) -> bool:
        """Tell whether the container is surely there and never had shards: one query, as every change of an object asks it."""
        with self.file.lock:
            if self.file.connection is None and not self.file.exists():
                return False
            try:
                found = self.file.connect().execute(PLAIN_SQL).fetchone()
            except OperationalError:
                return False  # it is being made
        return bool(found and found[0])

    def shards(self) -> tuple[ShardRange, ...]:
        """Return the shards that list the names; none as long as this replica does it itself."""
        with self.file.lock:
            row = self.file.info()
            return read_sharding(self.file).listed_by(Timestamp.parse(row["delete_at"])) if row else ()

    def answer(self, listing: Listing | None = None) -> ContainerAnswer:
        """Return the container, and a listing where one is asked for."""
        with self.file.lock:
            whole = self.whole()
            if whole is None or whole.deleted:
                return ContainerAnswer(HTTPStatus.NOT_FOUND, timestamp=whole.delete_at if whole else None)
            shards = (
                tuple(one for one in whole.shards if not one.deleted and one.stamp > whole.delete_at) if whole.sharded else ()
            )
            entries = [_entry(row) for row in collect(self.file.seek, listing)] if listing and not shards else []
        info = ContainerInfo(
            account=whole.account,
            container=whole.container,
            object_count=whole.object_count,
            bytes_used=whole.bytes_used,
            policy=whole.policy,
            put_at=whole.put_at,
            delete_at=whole.delete_at,
            created_at=whole.created_at,
            changed_at=whole.changed_at,
            metadata=live_headers(whole.metadata),
        )
        return ContainerAnswer(HTTPStatus.OK, info, entries, whole.put_at, shards if listing else ())

    def put(self, account: str, container: str, put: ContainerPut) -> Written:
        """Create it, or touch it."""
        policy = put.default_policy if put.policy is None else put.policy
        at = put.timestamp
        self.file.flush()
        with self.file.change() as connection:
            whole = self.whole(flush=False)
            if whole is None:
                self.file.make_tables(connection, INFO_DDL)
                fresh = Whole(
                    id=hex_id(),
                    account=account,
                    container=container,
                    policy=policy,
                    created_at=at,
                    put_at=at,
                    delete_at=Timestamp(0),
                    changed_at=at,
                    metadata=stamp_headers(put.metadata, at),
                )
                self._insert(fresh)
                return Written(HTTPStatus.CREATED, at)
            if whole.deleted and whole.delete_at >= at:
                return Written(HTTPStatus.CONFLICT, whole.delete_at)
            if not whole.deleted and put.policy is not None and put.policy != whole.policy:
                return Written(HTTPStatus.CONFLICT, whole.put_at)
            metadata = merge_headers(whole.metadata, stamp_headers(put.metadata, at))
            if whole.deleted:
                connection.execute(
                    "UPDATE info SET policy = ?, created_at = ?, changed_at = ?", (policy, at.internal, at.internal)
                )
            put_at = max(whole.put_at, at)
            connection.execute("UPDATE info SET put_at = ?, metadata = ?", (put_at.internal, _encode(metadata)))
            return Written(HTTPStatus.CREATED if whole.deleted else HTTPStatus.ACCEPTED, put_at)

    def _insert(self, whole: Whole) -> None:
        self.file.connect().execute(
            "INSERT INTO info VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, NULL)",
            (
                whole.id,
                whole.account,
                whole.container,
                whole.policy,
                whole.created_at.internal,
                whole.put_at.internal,
                whole.delete_at.internal,
                whole.changed_at.internal,
                _encode(whole.metadata),
            ),
        )

    def post(self, timestamp: Timestamp, metadata: Mapping[str, str]) -> Written:
        """Set headers."""
        if not self.file.exists():
            return Written(HTTPStatus.NOT_FOUND)
        self.file.flush()
        with self.file.change() as connection:
            whole = self.whole(flush=False)
            if whole is None or whole.deleted:
                return Written(HTTPStatus.NOT_FOUND, whole.delete_at if whole else None)
            merged = merge_headers(whole.metadata, stamp_headers(metadata, timestamp))
            connection.execute("UPDATE info SET metadata = ?", (_encode(merged),))
            return Written(HTTPStatus.NO_CONTENT, timestamp)

    def delete(self, timestamp: Timestamp) -> Written:
        """Mark it deleted, and forget its headers."""
        if not self.file.exists():
            return Written(HTTPStatus.NOT_FOUND)
        self.file.flush()
        with self.file.change() as connection:
            whole = self.whole(flush=False)
            if whole is None or whole.deleted:
                return Written(HTTPStatus.NOT_FOUND, whole.delete_at if whole else None)
            if whole.object_count or whole.put_at >= timestamp:
                return Written(HTTPStatus.CONFLICT, whole.put_at)
            bare = merge_headers(whole.metadata, stamp_headers(dict.fromkeys(whole.metadata, ""), timestamp))
            stamp = timestamp.internal
            connection.execute("UPDATE info SET delete_at = ?, changed_at = ?, metadata = ?", (stamp, stamp, _encode(bare)))
            return Written(HTTPStatus.NO_CONTENT, timestamp)

    def update(self, rows: Sequence[ObjectRow]) -> Written:
        """Take news of objects, unless it is all for one shard; what is for several is passed on to them later."""
        if not self._is_plain():
            if not self.is_live():
                return Written(HTTPStatus.NOT_FOUND)
            shards = self.shards()
            if (shard := shard_of(shards, rows[0].name)) and all(shard.holds(row.name) for row in rows):
                return Written(HTTPStatus.MOVED_PERMANENTLY, moved=(shard.account, shard.container))
        try:
            self.file.note(rows)
        except FileNotFoundError:
            return Written(HTTPStatus.NOT_FOUND)
        return Written(HTTPStatus.CREATED)

    def absorb(self, other: Whole) -> None:
        """Merge another replica's times and headers into this one, which is made if need be."""
        self.file.flush()
        with self.file.change() as connection:
            mine = self.whole(flush=False)
            if mine is None:
                self.file.make_tables(connection, INFO_DDL)
                self._insert(msgspec.structs.replace(other, id=hex_id()))
                take_ranges(self.file, other.shards)
                if other.sharded:
                    mark_sharded(self.file, other.changed_at.after(other.delete_at))
                return
            take_ranges(self.file, other.shards)
            newer = max(mine, other, key=lambda whole: (whole.changed_at, -whole.policy))
            connection.execute(
                "UPDATE info SET policy = ?, created_at = ?, put_at = ?, delete_at = ?, changed_at = ?, metadata = ?",
                (
                    newer.policy,
                    max(mine.created_at, other.created_at).internal,
                    max(mine.put_at, other.put_at).internal,
                    max(mine.delete_at, other.delete_at).internal,
                    newer.changed_at.internal,
                    _encode(merge_headers(mine.metadata, other.metadata)),
                ),
            )

    def strays(self, policy: int, since: int, limit: int) -> tuple[list[ObjectRow], int]:
        """Return rows of other policies that changed after a sequence number, and the number up to which was looked."""
        self.file.flush()
        with self.file.lock:
            connection = self.file.connect()
            (seq,) = connection.execute("SELECT seq FROM info").fetchone()
            rows = connection.execute(
                f"SELECT name, {SHAPE.columns}, seq FROM live WHERE seq > :since AND policy != :policy UNION ALL "
                f"SELECT name, {SHAPE.columns}, seq FROM gone WHERE seq > :since AND policy != :policy ORDER BY seq LIMIT :limit",
                {"since": since, "policy": policy, "limit": limit},
            ).fetchall()
        return [_unpack(row) for row in rows], (rows[-1][-1] if len(rows) == limit else seq)

    def report(self, now: float) -> ContainerRow | None:
        """Return what the account has to know, unless it knows already."""
        whole = self.whole()
        if whole is None:
            return None
        with self.file.lock:
            (reported,) = self.file.connect().execute("SELECT reported FROM info").fetchone()
        row = report_row(whole, now)
        return None if reported == _fingerprint(row) else row

    def reported(self, row: ContainerRow) -> None:
        """Note that the account knows."""
        with self.file.change() as connection:
            connection.execute("UPDATE info SET reported = ?", (_fingerprint(row),))


def report_row(whole: Whole, now: float) -> ContainerRow:
    """Return the news of a container for its account."""
    return ContainerRow(
        name=whole.container,
        put_at=whole.put_at,
        delete_at=whole.delete_at,
        object_count=whole.object_count,
        bytes_used=whole.bytes_used,
        policy=whole.policy,
        figures_at=Timestamp.of(now),
    )


def root_of(whole: Whole) -> tuple[str, str] | None:
    """Return the account and the container that a container is a shard of; None: it is none."""
    text = live_headers(whole.metadata).get(SHARD_ROOT)
    if not text:
        return None
    account, _, container = text.partition("/")
    return unquote(account), unquote(container)


def root_header(account: str, container: str) -> dict[str, str]:
    """Return the header by which a shard knows whose it is."""
    return {SHARD_ROOT: f"{quote(account, safe='')}/{quote(container, safe='')}"}


def shard_figures(whole: Whole, now: float) -> ShardRange:
    """Return the figures of a shard, for the container whose it is."""
    return ShardRange(
        whole.account,
        whole.container,
        object_count=whole.object_count,
        bytes_used=whole.bytes_used,
        figures_at=Timestamp.of(now),
    )


def _fingerprint(row: ContainerRow) -> bytes:
    return _encode((row.put_at, row.delete_at, row.object_count, row.bytes_used, row.policy))


def _entry(row: Row | Subdir) -> ObjectEntry | Subdir:
    if isinstance(row, Subdir):
        return row
    name, stamp, size, etag, content_type, typed, posted = row[:7]
    if typed or posted:
        stamp = max(stamp, typed, posted)
    return ObjectEntry(name, size, etag, content_type, stamp)
