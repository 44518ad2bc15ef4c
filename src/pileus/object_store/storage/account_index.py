"""One account on a device: its index file, and the rules of its life."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import msgspec

from pileus.kernel.ids import hex_id
from pileus.object_store.backend import Written
from pileus.object_store.indexes import AccountAnswer, AccountInfo, ContainerEntry, ContainerRow, Listing, PolicyUse, Subdir
from pileus.object_store.storage.index_file import IndexFile, Shape
from pileus.object_store.storage.listing import Row, collect
from pileus.object_store.storage.merging import Stamped, live_headers, merge_container_rows, merge_headers, stamp_headers
from pileus.object_store.timestamps import Timestamp

INFO_DDL = "id TEXT, account TEXT, created_at TEXT, put_at TEXT, delete_at TEXT, metadata BLOB, seq INTEGER"
_stamped = msgspec.msgpack.Decoder(Stamped)
_encode = msgspec.msgpack.encode


def _pack(row: ContainerRow) -> Row:
    times = row.put_at.internal, row.delete_at.internal, row.figures_at.internal
    return max(times[:2]), *times, row.object_count, row.bytes_used, row.policy


def _unpack(row: Row) -> ContainerRow:
    name, _, put_at, delete_at, figures_at, objects, size, policy = row[:8]
    return ContainerRow(
        name=name,
        put_at=Timestamp.parse(put_at),
        delete_at=Timestamp.parse(delete_at),
        object_count=objects,
        bytes_used=size,
        policy=policy,
        figures_at=Timestamp.parse(figures_at),
    )


SHAPE = Shape(
    kind="accounts",
    columns="stamp, put_at, delete_at, figures_at, objects, bytes, policy",
    ddl="stamp TEXT, put_at TEXT, delete_at TEXT, figures_at TEXT, objects INTEGER, bytes INTEGER, policy INTEGER",
    row_type=ContainerRow,
    pack=_pack,
    unpack=_unpack,
    merge=merge_container_rows,
    weight=lambda row: (row.policy, row.object_count, row.bytes_used),
)


class WholeAccount(msgspec.Struct, frozen=True, kw_only=True):
    """All of an account but its rows, as replicators exchange it."""

    id: str
    account: str
    created_at: Timestamp
    put_at: Timestamp
    delete_at: Timestamp
    metadata: Stamped
    seq: int = 0

    @property
    def deleted(self) -> bool:
        """Whether it waits for the reaper."""
        return self.delete_at >= self.put_at


@dataclass(frozen=True)
class AccountIndex:
    """An account's index file."""

    file: IndexFile

    def whole(self) -> WholeAccount | None:
        """Return what is known of the account; None when this device has never heard of it."""
        with self.file.lock:
            row = self.file.info()
        if row is None:
            return None
        return WholeAccount(
            id=row["id"],
            account=row["account"],
            created_at=Timestamp.parse(row["created_at"]),
            put_at=Timestamp.parse(row["put_at"]),
            delete_at=Timestamp.parse(row["delete_at"]),
            metadata=_stamped.decode(row["metadata"]),
            seq=row["seq"],
        )

    def answer(self, listing: Listing | None = None) -> AccountAnswer:
        """Return the account, and a listing where one is asked for."""
        if not self.file.exists():
            return AccountAnswer(HTTPStatus.NOT_FOUND)
        self.file.flush()
        with self.file.lock:
            whole = self.whole()
            if whole is None:
                return AccountAnswer(HTTPStatus.NOT_FOUND)
            if whole.deleted:
                return AccountAnswer(HTTPStatus.GONE, timestamp=whole.delete_at)
            entries = [_entry(row) for row in collect(self.file.seek, listing)] if listing else []
            used = self.file.used()
        info = AccountInfo(
            account=whole.account,
            container_count=sum(containers for containers, _, _ in used.values()),
            object_count=sum(objects for _, objects, _ in used.values()),
            bytes_used=sum(size for _, _, size in used.values()),
            put_at=whole.put_at,
            delete_at=whole.delete_at,
            created_at=whole.created_at,
            metadata=live_headers(whole.metadata),
            by_policy={policy: PolicyUse(*figures) for policy, figures in used.items()},
        )
        return AccountAnswer(HTTPStatus.OK, info, entries, whole.put_at)

    def put(self, account: str, timestamp: Timestamp, metadata: Mapping[str, str]) -> Written:
        """Create it, or touch it."""
        stamped = stamp_headers(metadata, timestamp)
        with self.file.change() as connection:
            whole = self.whole()
            if whole is None:
                self.file.make_tables(connection, INFO_DDL)
                self._insert(
                    WholeAccount(
                        id=hex_id(),
                        account=account,
                        created_at=timestamp,
                        put_at=timestamp,
                        delete_at=Timestamp(0),
                        metadata=stamped,
                    )
                )
                return Written(HTTPStatus.CREATED, timestamp)
            if whole.deleted:
                return Written(HTTPStatus.FORBIDDEN, whole.delete_at)
            put_at = max(whole.put_at, timestamp)
            merged = merge_headers(whole.metadata, stamped)
            connection.execute("UPDATE info SET put_at = ?, metadata = ?", (put_at.internal, _encode(merged)))
            return Written(HTTPStatus.ACCEPTED, put_at)

    def _insert(self, whole: WholeAccount) -> None:
        times = whole.created_at.internal, whole.put_at.internal, whole.delete_at.internal
        self.file.connect().execute(
            "INSERT INTO info VALUES (?, ?, ?, ?, ?, ?, 0)", (whole.id, whole.account, *times, _encode(whole.metadata))
        )

    def post(self, timestamp: Timestamp, metadata: Mapping[str, str]) -> Written:
        """Set headers."""
        if not self.file.exists():
            return Written(HTTPStatus.NOT_FOUND)
        with self.file.change() as connection:
            whole = self.whole()
            if whole is None or whole.deleted:
                return Written(HTTPStatus.NOT_FOUND, whole.delete_at if whole else None)
            merged = merge_headers(whole.metadata, stamp_headers(metadata, timestamp))
            connection.execute("UPDATE info SET metadata = ?", (_encode(merged),))
            return Written(HTTPStatus.NO_CONTENT, timestamp)

    def delete(self, timestamp: Timestamp) -> Written:
        """Mark it deleted; its containers are the reaper's."""
        if not self.file.exists():
            return Written(HTTPStatus.NOT_FOUND)
        with self.file.change() as connection:
            whole = self.whole()
            if whole is None or whole.deleted:
                return Written(HTTPStatus.NOT_FOUND, whole.delete_at if whole else None)
            if whole.put_at >= timestamp:
                return Written(HTTPStatus.CONFLICT, whole.put_at)
            connection.execute("UPDATE info SET delete_at = ?", (timestamp.internal,))
            return Written(HTTPStatus.NO_CONTENT, timestamp)

    def update(self, rows: Sequence[ContainerRow]) -> Written:
        """Take news of containers; of a deleted account too, that the reaper may know when it is done."""
        if self.whole() is None:
            return Written(HTTPStatus.NOT_FOUND)
        try:
            self.file.note(rows)
        except FileNotFoundError:
            return Written(HTTPStatus.NOT_FOUND)
        return Written(HTTPStatus.CREATED)

    def absorb(self, other: WholeAccount) -> None:
        """Merge another replica's times and headers into this one, which is made if need be."""
        with self.file.change() as connection:
            mine = self.whole()
            if mine is None:
                self.file.make_tables(connection, INFO_DDL)
                self._insert(msgspec.structs.replace(other, id=hex_id()))
                return
            connection.execute(
                "UPDATE info SET created_at = ?, put_at = ?, delete_at = ?, metadata = ?",
                (
                    min(mine.created_at, other.created_at).internal,
                    max(mine.put_at, other.put_at).internal,
                    max(mine.delete_at, other.delete_at).internal,
                    _encode(merge_headers(mine.metadata, other.metadata)),
                ),
            )


def _entry(row: Row | Subdir) -> ContainerEntry | Subdir:
    if isinstance(row, Subdir):
        return row
    name, _, put_at, _, _, objects, size, policy = row[:8]
    return ContainerEntry(name, objects, size, Timestamp.parse(put_at), policy)
