"""What the index of a big container knows of its shards.

Three tables' worth of state, made when first needed: `shards` holds the ranges, `sharding` how far this replica's rows are known
to the shards, and since when they alone list the names.  SQLite's user_version counts changes of the ranges; 0: there never were
any, so that ordinary containers pay nothing.

Each replica comes over by itself: it brings all its rows, in the order in which they came in, to the shards; once there is
none left it stops listing and taking rows, and forgets those it had.  A row that comes in late is brought after them.  So at no
time is a row in no index, whenever a process dies.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from sqlite3 import Connection, OperationalError

import msgspec
from msgspec.structs import replace

from pileus.object_store.indexes import ShardRange
from pileus.object_store.storage.index_file import IndexFile
from pileus.object_store.timestamps import Timestamp

PURGED_AT_ONCE = 10_000
_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(ShardRange).decode


def merge_ranges(old: ShardRange, new: ShardRange) -> ShardRange:
    """Return what is known of a shard by two accounts: the newest of its range and of its figures."""
    range_, figures = max(old, new, key=_range_order), max(old, new, key=_figures_order)
    return replace(range_, object_count=figures.object_count, bytes_used=figures.bytes_used, figures_at=figures.figures_at)


def _range_order(one: ShardRange) -> tuple[Timestamp, bool, str, str, str]:
    return one.stamp, one.deleted, one.state, one.lower, one.upper


def _figures_order(one: ShardRange) -> tuple[Timestamp, int, int]:
    return one.figures_at, one.object_count, one.bytes_used


@dataclass(frozen=True)
class Sharding:
    """The state of one replica."""

    ranges: tuple[ShardRange, ...] = ()
    sharded_at: str = ""
    delivered: int = 0

    def alive(self, delete_at: Timestamp) -> tuple[ShardRange, ...]:
        """Return the ranges in force: those not removed, and found since the container was last deleted."""
        return tuple(one for one in self.ranges if not one.deleted and one.stamp > delete_at)

    def listed_by(self, delete_at: Timestamp) -> tuple[ShardRange, ...]:
        """Return the shards that list the names; none as long as this replica does it itself."""
        return self.alive(delete_at) if self.sharded_at > delete_at.internal else ()


def shard_of(ranges: Iterable[ShardRange], name: str) -> ShardRange | None:
    """Return the range that a name lies in."""
    return next((one for one in ranges if one.holds(name)), None)


def read_sharding(file: IndexFile) -> Sharding:
    """Return the state; an empty one where there never was a shard."""
    with file.lock:
        connection = file.connect()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if not version:
            return Sharding()
        known = file.kept.get("sharding")
        if known and known[0] == version:
            found: Sharding = known[1]
            return found
        ranges = sorted((_decode(row[0]) for row in connection.execute("SELECT body FROM shards")), key=lambda one: one.lower)
        sharded_at, delivered = connection.execute("SELECT sharded_at, delivered FROM sharding").fetchone()
        found = Sharding(tuple(ranges), sharded_at, delivered)
        file.kept["sharding"] = version, found
        return found


def _changed(connection: Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {int(version) + 1}")


def take_ranges(file: IndexFile, ranges: Sequence[ShardRange]) -> bool:
    """Merge news of shards; tell whether anything changed.  Figures of shards that are not known here are let pass."""
    with file.change() as connection:
        known = {(one.account, one.container): one for one in read_sharding(file).ranges}
        fresh: dict[tuple[str, str], ShardRange] = {}
        for one in ranges:
            key = one.account, one.container
            old = fresh.get(key) or known.get(key)
            if old is None and not one.stamp:
                continue
            merged = merge_ranges(old, one) if old else one
            if merged != old:
                fresh[key] = merged
        if not fresh:
            return False
        _make_tables(connection)
        rows = [(account, container, _encode(one)) for (account, container), one in fresh.items()]
        connection.executemany("INSERT OR REPLACE INTO shards VALUES (?, ?, ?)", rows)
        _changed(connection)
    return True


def _make_tables(connection: Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not version:
        connection.execute("CREATE TABLE shards (account TEXT, container TEXT, body BLOB, PRIMARY KEY (account, container))")
        connection.execute("CREATE TABLE sharding (sharded_at TEXT NOT NULL, delivered INTEGER NOT NULL)")
        connection.execute("INSERT INTO sharding VALUES ('', 0)")


def note_delivered(file: IndexFile, upto: int) -> None:
    """Note that the shards know all rows up to a number."""
    with file.change() as connection:
        connection.execute("UPDATE sharding SET delivered = max(delivered, ?)", (upto,))
        _changed(connection)


def hand_over(file: IndexFile, at: Timestamp) -> bool:
    """Let the shards list the names from now on; False (and nothing done) when there are rows that they do not know."""
    file.flush()
    with file.change() as connection:
        (seq,) = connection.execute("SELECT seq FROM info").fetchone()
        if seq > read_sharding(file).delivered:
            return False
        mark_sharded(file, at)
    return True


def mark_sharded(file: IndexFile, at: Timestamp) -> None:
    """Note that the shards list the names, where there are shards."""
    with file.change() as connection:
        if read_sharding(file).ranges:
            connection.execute("UPDATE sharding SET sharded_at = ?", (at.internal,))
            _changed(connection)


def purge(file: IndexFile) -> int:
    """Forget rows that the shards know; return how many."""
    count, upto = 0, read_sharding(file).delivered
    for table in ("live", "gone"):
        while True:
            with file.change() as connection:
                done = connection.execute(
                    f"DELETE FROM {table} WHERE name IN (SELECT name FROM {table} WHERE seq <= ? LIMIT {PURGED_AT_ONCE})", (upto,)
                ).rowcount
                count += done
                if done < PURGED_AT_ONCE:
                    _count_again(connection)
                    break
    if count >= PURGED_AT_ONCE:
        with file.lock, suppress(OperationalError):  # somebody reads it: then it stays as big as it is
            file.connect().execute("VACUUM")
    return count


def _count_again(connection: Connection) -> None:
    connection.execute("DELETE FROM used")
    connection.execute("INSERT INTO used SELECT policy, count(*), count(*), sum(size) FROM live GROUP BY policy")


def split_points(file: IndexFile, rows_per_shard: int) -> list[str]:
    """Return names that cut what is there into even parts; the last part may be half as big again."""
    found: list[str] = []
    with file.lock:
        connection = file.connect()
        (left,) = connection.execute("SELECT count(*) FROM live").fetchone()
        low = ""
        while left >= rows_per_shard * 3 // 2:
            query = "SELECT name FROM live WHERE name > ? ORDER BY name LIMIT 1 OFFSET ?"
            (low,) = connection.execute(query, (low, rows_per_shard - 1)).fetchone()
            found.append(low)
            left -= rows_per_shard
    return found


def ranges_between(points: Sequence[str], account: str, names: Sequence[str], at: Timestamp) -> list[ShardRange]:
    """Return the ranges that points make, one more than there are points; names: of the shards."""
    lows, highs = ["", *points], [*points, ""]
    return [ShardRange(account, name, low, high, at) for name, low, high in zip(names, lows, highs, strict=True)]
