"""One database: SQLite by default, PostgreSQL or MariaDB by URL.

A transaction is short and never spans a call to a host or to another machine.  On SQLite a writer takes the write lock at
its start (BEGIN IMMEDIATE), so that what it read stays true until it commits; on the others unique constraints and
generations guard what may not be done twice.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import Connection, CursorResult, Dialect, Engine, MetaData, Text, create_engine, event
from sqlalchemy.types import TypeDecorator

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMING)

POOL_CONNECTIONS = 24
BUSY_TIMEOUT_MS = 15_000
ALONE_SECONDS = 60
LOCKS = {  # how to take a named lock of the session, and how to leave it
    "postgresql": ("SELECT 1 FROM pg_advisory_lock(hashtext(%s))", "SELECT pg_advisory_unlock(hashtext(%s))"),
    "mysql": (f"SELECT GET_LOCK(%s, {ALONE_SECONDS})", "SELECT RELEASE_LOCK(%s)"),
}


class Json(TypeDecorator[Any]):
    """A column that holds a JSON value as text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else msgspec.json.decode(value)


class Database:
    """Hands out transactions."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        self._one_writer = threading.Lock() if self.is_sqlite else None
        self._held = threading.local()
        options: dict[str, Any] = {} if self.is_sqlite else {"pool_pre_ping": True}
        self.engine: Engine = create_engine(url, pool_size=POOL_CONNECTIONS, max_overflow=40, **options)
        if self.is_sqlite:
            _prepare_sqlite(self.engine)
        self._readers = self.engine.execution_options(pileus_begin="BEGIN")
        self._writers = self.engine.execution_options(pileus_begin="BEGIN IMMEDIATE")
        self._lookers = self.engine.execution_options(pileus_begin="")

    def create_tables(self) -> None:
        """Create every known table that is missing.  For tests; a real database is brought up by migrations."""
        with self._writers.begin() as tx:
            metadata.create_all(tx)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Run a block in one transaction: commit at the end, roll back on any exception.

        :raises RuntimeError: when this thread is in a transaction already (a bug: it would wait for itself).
        """
        if getattr(self._held, "tx", False):
            raise RuntimeError("a transaction inside a transaction")
        hooks: list[Callable[[], None]] = []
        self._held.tx = True
        try:
            if self._one_writer:
                self._one_writer.acquire()
            try:
                with self._writers.begin() as tx:
                    tx.info["after_commit"] = hooks
                    yield tx
            finally:
                if self._one_writer:
                    self._one_writer.release()
        finally:
            self._held.tx = False
        for hook in hooks:
            hook()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Run a block of questions on one consistent state; it may not write."""
        with self._readers.begin() as tx:
            yield tx

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Run a block while no other process runs one of the same name (SQLite: there is no other process).

        :raises TimeoutError: when another one takes too long.
        """
        if self.is_sqlite:
            yield
            return
        take, leave = LOCKS[self.engine.dialect.name]
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if connection.exec_driver_sql(take, (name,)).scalar() == 0:
                raise TimeoutError(f"Another process holds {name} for {ALONE_SECONDS} s.")
            try:
                yield
            finally:
                connection.exec_driver_sql(leave, (name,))

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """Run a question on the state of its moment: a third cheaper than `read` where there is but one; it may not write."""
        with self._lookers.connect() as tx:
            yield tx

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def after_commit(tx: Connection, hook: Callable[[], None]) -> None:
    """Call hook once this transaction has been committed, and never if it is rolled back."""
    tx.info["after_commit"].append(hook)


def new_id(result: CursorResult[Any]) -> int:
    """Return the number that the database gave to an inserted row."""
    key = result.inserted_primary_key
    if key is None:
        raise RuntimeError("nothing was inserted")
    return int(key[0])


def _prepare_sqlite(engine: Engine) -> None:
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing on its own
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "cache_size=-2000",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def began(connection: Connection) -> None:
        if begin := connection.get_execution_options().get("pileus_begin", "BEGIN IMMEDIATE"):
            connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", began)
