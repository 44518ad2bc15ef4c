"""A copy of a whole database in one file, and back: of any engine, as it was at one moment, while it is in use.

The file is gzip; in it are records of msgpack, each behind its length: first {"revision": ...}, then for each table
[name, columns] and its rows, and at the end the word "end", without which the copy is not whole.
"""

import gzip
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec
from sqlalchemy import Connection, MetaData, Table, func, select, text

from pileus.kernel.db import Database

ROWS = 500  # in a record
END = "end"
VERSIONS = "alembic_version"


class BackupError(Exception):
    """The copy cannot be used: it is not whole, or the database is not empty."""


def write(db: Database, revision: str, file: Path) -> None:
    """Copy a database that is at a revision."""
    part = file.with_name(f".{file.name}.part")
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as raw:
        with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=3) as out, db.read() as tx:
            for record in _records(tx, revision):
                data = msgspec.msgpack.encode(record)
                out.write(struct.pack(">I", len(data)) + data)
        raw.flush()
        os.fsync(raw.fileno())
    part.rename(file)


def _records(tx: Connection, revision: str) -> Iterator[Any]:
    yield {"revision": revision}
    for table in _tables(tx):
        columns = [str(column.name) for column in table.columns]
        yield [str(table.name), columns]
        for rows in tx.execution_options(stream_results=True).execute(select(*table.columns)).partitions(ROWS):
            yield [list(row) for row in rows]
    yield END


def revision_of(file: Path) -> str:
    """Return the revision that a copy is at.  :raises BackupError: when it is none."""
    return str(next(_read(file))["revision"])


def restore(db: Database, file: Path) -> None:
    """Fill a database, whose schema is there and at the copy's revision, and which holds nothing.

    :raises BackupError: when it holds something, or the copy is not whole; then nothing was changed.
    """
    with db.begin() as tx:
        tables = {table.name: table for table in _tables(tx)}
        if filled := [name for name, table in tables.items() if tx.execute(select(table).limit(1)).first()]:
            raise BackupError(f"The database is not empty: there are rows in {filled[0]}.")
        _fill(tx, tables, _read(file))
        for table in tables.values():
            _count_on(tx, table)


def _fill(tx: Connection, tables: dict[str, Table], records: Iterable[Any]) -> None:
    table, columns, record = None, [], None
    for record in records:
        if isinstance(record, list) and record and isinstance(record[0], str):
            table, columns = tables.get(record[0]), record[1]
            if table is None:
                raise BackupError(f"The copy has a table {record[0]} that the database has not.")
        elif isinstance(record, list) and table is not None:
            tx.execute(table.insert(), [dict(zip(columns, row, strict=True)) for row in record])
    if record != END:
        raise BackupError("The copy is not whole: its end is missing.")


def _count_on(tx: Connection, table: Table) -> None:
    """Have numbers be given out behind those that are there (SQLite and MariaDB do by themselves)."""
    column = table.autoincrement_column
    if column is None or tx.dialect.name != "postgresql":
        return
    sequence = tx.execute(select(func.pg_get_serial_sequence(table.name, column.name))).scalar()
    highest = tx.execute(select(func.max(column))).scalar()
    if sequence and highest:
        tx.execute(text("SELECT setval(CAST(:sequence AS regclass), :highest)"), {"sequence": sequence, "highest": highest})


def _tables(tx: Connection) -> list[Table]:
    """Return the tables that there are, each behind those that it refers to."""
    found = MetaData()
    found.reflect(tx)
    return [table for table in found.sorted_tables if table.name != VERSIONS]


def _read(file: Path) -> Iterator[Any]:
    try:
        with gzip.open(file) as source:
            while len(head := source.read(4)) == 4:
                yield msgspec.msgpack.decode(_exactly(cast(BinaryIO, source), struct.unpack(">I", head)[0]))
    except (EOFError, gzip.BadGzipFile, msgspec.DecodeError) as error:
        raise BackupError(f"{file} is not a whole copy of a database: {error}") from error


def _exactly(source: BinaryIO, length: int) -> bytes:
    data = source.read(length)
    if len(data) != length:
        raise EOFError("it ends in the midst of a record")
    return data
