"""One SQLite file that lists what is in a container, or in an account.

`live` holds what is there, `gone` the tombstones, so that a listing never wades through deleted names.  Every row has a
sequence number, newer with every change, by which replicators ask for news.  `used` keeps count by storage policy.

News does not go into the tables at once: it is appended to HASH.db.pending (one write, no transaction) and merged when
somebody reads, or when the file has grown.  A crash between the merging and the emptying merges twice, which does no harm.
"""

import errno
import fcntl
import os
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from pileus.object_store.storage.listing import Row, Span

PENDING_BYTES_MAX = 131_072
ROWS_PER_QUERY = 400
PREAMBLE_BYTES = 8


@dataclass(frozen=True)
class Shape:
    """How the rows of one kind of index are kept.

    columns come after name and seq; the first is stamp, by which tombstones grow old.  pack gives their values, unpack takes
    name and those; weight gives a live row's policy, objects and bytes.
    """

    kind: str
    columns: str
    ddl: str
    row_type: type[Any]
    pack: Callable[[Any], Row]
    unpack: Callable[[Row], Any]
    merge: Callable[[Any, Any], Any]
    weight: Callable[[Any], tuple[int, int, int]]


class IndexFile:
    """An open index: a connection, and a lock, as SQLite connections take one thread at a time."""

    def __init__(self, path: str, shape: Shape) -> None:
        """Open it, or prepare to make it."""
        self.path, self.shape = path, shape
        self.lock = threading.RLock()
        self.connection: sqlite3.Connection | None = None
        self.kept: dict[str, tuple[int, Any]] = {}
        self._rows: msgspec.msgpack.Decoder[list[Any]] = msgspec.msgpack.Decoder(list.__class_getitem__(shape.row_type))

    def exists(self) -> bool:
        """Tell whether the file is there."""
        return os.path.exists(self.path)

    def connect(self) -> sqlite3.Connection:
        """Return the connection, made at first use."""
        if self.connection is None:
            self.connection = sqlite3.connect(self.path, timeout=25, isolation_level=None, check_same_thread=False)
            self.connection.execute("PRAGMA journal_mode=WAL")
            self.connection.execute("PRAGMA synchronous=NORMAL")
        return self.connection

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        with self.lock:
            if self.connection is not None:
                self.connection.close()
                self.connection = None
            self.kept.clear()

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Hold the file in a write transaction."""
        with self.lock:
            connection = self.connect()
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                self.kept.clear()
                raise
            connection.execute("COMMIT")

    def make_tables(self, connection: sqlite3.Connection, info_ddl: str) -> None:
        """Create the tables of a new file."""
        connection.execute(f"CREATE TABLE info ({info_ddl})")
        for table in ("live", "gone"):
            connection.execute(
                f"CREATE TABLE {table} (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, {self.shape.ddl}) WITHOUT ROWID"
            )
            connection.execute(f"CREATE INDEX {table}_seq ON {table} (seq)")
        connection.execute("CREATE TABLE used (policy INTEGER PRIMARY KEY, containers INTEGER, objects INTEGER, bytes INTEGER)")
        connection.execute("CREATE TABLE synced (remote TEXT PRIMARY KEY, seq INTEGER NOT NULL)")

    def info(self) -> sqlite3.Row | None:
        """Return the one row of `info`; None when the file, or what should be in it, is not there."""
        if self.connection is None and not self.exists():
            return None
        cursor = self.connect().cursor()
        cursor.row_factory = sqlite3.Row
        try:
            found: sqlite3.Row | None = cursor.execute("SELECT * FROM info").fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise
        return found

    # News

    def note(self, rows: Sequence[Any]) -> None:
        """Take news, to be merged later.

        :raises FileNotFoundError: when the index is removed just now.
        :raises OSError: when there is no room.
        """
        body = msgspec.msgpack.encode(rows)
        line = len(body).to_bytes(4) + zlib.crc32(body).to_bytes(4) + body
        with self._pending() as descriptor:
            if not os.fstat(descriptor).st_nlink:
                raise FileNotFoundError(self.path)
            size = os.lseek(descriptor, 0, os.SEEK_END)
            written = 0
            try:
                written = os.write(descriptor, line)
            finally:
                if written < len(line):
                    os.ftruncate(descriptor, size)
            if written < len(line):
                raise OSError(errno.ENOSPC, "no room for news", self.path)
        if size > PENDING_BYTES_MAX:
            self.flush()

    @contextmanager
    def _pending(self) -> Iterator[int]:
        descriptor = os.open(self.path + ".pending", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def flush(self) -> None:
        """Merge what is pending.  Never inside a transaction: what is merged must be kept before it is forgotten here."""
        try:
            if not os.stat(self.path + ".pending").st_size:
                return
        except FileNotFoundError:
            return
        with self.lock, self._pending() as descriptor:
            data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            rows = list(self._split(data))
            if rows:
                self.merge(rows)
            os.ftruncate(descriptor, 0)

    def _split(self, data: bytes) -> Iterator[Any]:
        at = 0
        while at + PREAMBLE_BYTES <= len(data):
            size, checksum = int.from_bytes(data[at : at + 4]), int.from_bytes(data[at + 4 : at + 8])
            at += PREAMBLE_BYTES
            body = data[at : at + size]
            at += size
            if len(body) < size or zlib.crc32(body) != checksum:
                return  # cut short when the machine went down
            yield from self._rows.decode(body)

    def merge(self, rows: Iterable[Any]) -> None:
        """Merge rows into the tables; the newest wins, so any order will do."""
        shape = self.shape
        fresh: dict[str, Any] = {}
        for row in rows:
            old = fresh.get(row.name)
            fresh[row.name] = shape.merge(old, row) if old is not None else row
        names = list(fresh)
        with self.change() as connection:
            (seq,) = connection.execute("SELECT seq FROM info").fetchone()
            deltas: dict[int, list[int]] = {}
            for start in range(0, len(names), ROWS_PER_QUERY):
                seq = self._merge_some(
                    connection, {name: fresh[name] for name in names[start : start + ROWS_PER_QUERY]}, seq, deltas
                )
            connection.execute("UPDATE info SET seq = ?", (seq,))
            for policy, (containers, objects, size) in deltas.items():
                connection.execute(
                    "INSERT INTO used VALUES (?, ?, ?, ?) ON CONFLICT (policy) DO UPDATE SET containers = containers + "
                    "excluded.containers, objects = objects + excluded.objects, bytes = bytes + excluded.bytes",
                    (policy, containers, objects, size),
                )

    def _merge_some(
        self, connection: sqlite3.Connection, fresh: Mapping[str, Any], seq: int, deltas: dict[int, list[int]]
    ) -> int:
        shape = self.shape
        marks = ",".join("?" * len(fresh))
        found: dict[str, tuple[str, Any]] = {}
        for table in ("gone", "live"):
            query = f"SELECT name, {shape.columns} FROM {table} WHERE name IN ({marks})"
            for row in connection.execute(query, tuple(fresh)):
                found[row[0]] = table, shape.unpack(row)
        puts: dict[str, list[Row]] = {"live": [], "gone": []}
        leaves: dict[str, list[tuple[str]]] = {"live": [], "gone": []}
        for name, row in fresh.items():
            was, old = found.get(name, ("", None))
            merged = row if old is None else shape.merge(old, row)
            if merged == old:
                continue
            seq += 1
            now = "gone" if merged.deleted else "live"
            puts[now].append((name, seq, *shape.pack(merged)))
            if was and was != now:
                leaves[was].append((name,))
            if was == "live":
                _weigh(deltas, shape.weight(old), -1)
            if now == "live":
                _weigh(deltas, shape.weight(merged), 1)
        for table in ("live", "gone"):
            if leaves[table]:
                connection.executemany(f"DELETE FROM {table} WHERE name = ?", leaves[table])
            if puts[table]:
                blanks = ",".join("?" * len(puts[table][0]))
                connection.executemany(
                    f"INSERT OR REPLACE INTO {table} (name, seq, {shape.columns}) VALUES ({blanks})", puts[table]
                )
        return seq

    # Questions

    def seek(self, span: Span) -> Iterable[Row]:
        """Return the live rows of a span: name and columns."""
        where, values = ["name >= ?" if span.low_inclusive else "name > ?"], [span.low]
        if span.high is not None:
            where.append("name <= ?" if span.high_inclusive else "name < ?")
            values.append(span.high)
        way = "DESC" if span.reverse else "ASC"
        return self.connect().execute(
            f"SELECT name, {self.shape.columns} FROM live WHERE {' AND '.join(where)} ORDER BY name {way} LIMIT ?",
            (*values, span.limit),
        )

    def used(self) -> dict[int, tuple[int, int, int]]:
        """Return containers, objects and bytes by storage policy."""
        found = self.connect().execute("SELECT policy, containers, objects, bytes FROM used")
        return {policy: (containers, objects, size) for policy, containers, objects, size in found}

    def news(self, since: int, limit: int = 1000) -> tuple[list[Any], int]:
        """Return rows changed after a sequence number, and the number up to which they go."""
        self.flush()
        with self.lock:
            found = self.connect().execute(
                f"SELECT name, {self.shape.columns}, seq, 0 FROM live WHERE seq > :since UNION ALL "
                f"SELECT name, {self.shape.columns}, seq, 1 FROM gone WHERE seq > :since ORDER BY seq LIMIT :limit",
                {"since": since, "limit": limit},
            )
            rows = found.fetchall()
        return [self.shape.unpack(row) for row in rows], (rows[-1][-2] if rows else since)

    def synced(self, remote: str) -> int:
        """Return how far the news of another replica is here; -1 when there is no file."""
        with self.lock:
            if self.info() is None:
                return -1
            found = self.connect().execute("SELECT seq FROM synced WHERE remote = ?", (remote,)).fetchone()
        return int(found[0]) if found else 0

    def note_synced(self, remote: str, seq: int) -> None:
        """Note that the news of another replica is here up to a number."""
        with self.change() as connection:
            connection.execute(
                "INSERT INTO synced VALUES (?, ?) ON CONFLICT (remote) DO UPDATE SET seq = max(seq, excluded.seq)", (remote, seq)
            )

    def check(self) -> None:
        """:raises sqlite3.DatabaseError: when the file is damaged."""
        with self.lock:
            if self.exists():
                (found,) = self.connect().execute("PRAGMA quick_check(1)").fetchone()
                if found != "ok":
                    raise sqlite3.DatabaseError(found)

    def delete(self) -> bool:
        """Remove the file with all that belongs to it; False (and nothing done) when news has come meanwhile."""
        with self.lock, self._pending() as descriptor:
            if os.fstat(descriptor).st_size:
                return False
            self.close()
            for end in ("-wal", "-shm", "", ".pending"):
                with suppress(FileNotFoundError):
                    os.unlink(self.path + end)
            with suppress(OSError):
                os.rmdir(os.path.dirname(self.path))
        return True

    def reclaim(self, before: str) -> None:
        """Forget tombstones of before a time (in internal form)."""
        with self.change() as connection:
            connection.execute("DELETE FROM gone WHERE stamp < ?", (before,))


def _weigh(deltas: dict[int, list[int]], weight: tuple[int, int, int], sign: int) -> None:
    policy, objects, size = weight
    kept = deltas.setdefault(policy, [0, 0, 0])
    kept[0] += sign
    kept[1] += sign * objects
    kept[2] += sign * size
