"""One database: SQLite by default, PostgreSQL or MariaDB by URL.

A transaction is short and never spans a call to a host or to another machine.  On SQLite a writer takes the write lock at
its start (BEGIN IMMEDIATE), so that what it read stays true until it commits; on the others unique constraints, locked rows and
generations guard what may not be done twice: writers see what others have committed (READ COMMITTED), readers see one state
(REPEATABLE READ).  When a server is away or transactions collide, `kernel.away` says what is raised and who tries again.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any, NoReturn, TypeVar

import msgspec
from sqlalchemy import Connection, CursorResult, Dialect, Engine, MetaData, Text, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.types import TypeDecorator

from pileus.kernel.away import insist, recognize

Result = TypeVar("Result")

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMING)

CONNECTIONS = 40
KEPT_CONNECTIONS = 10  # of a server's; the others are closed after use
CONNECTION_SECONDS = 10.0  # until who waits for a connection gives up
CONNECT_SECONDS = 5  # for each host that the URL names
SILENCE_SECONDS = 15  # after which a server whose machine acknowledges nothing is away, also while it works on something
BUSY_TIMEOUT_MS = 15_000
LOCK_SECONDS = 20  # that a transaction waits for what another one holds, before it counts as a collision
IDLE_SECONDS = 60  # after which a server ends a transaction that is asked nothing: what it holds becomes free
ALONE_SECONDS = 60
TERMS = {  # of a session: also a process that is gone without a word holds nothing for long
    "postgresql": "SET lock_timeout = '{lock}s'; SET idle_in_transaction_session_timeout = '{idle}s'",
    "mysql": "SET SESSION innodb_lock_wait_timeout = {lock}, idle_transaction_timeout = {idle}",
}
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
    """Hands out transactions.

    :param connections: how many it may have open at once.
    """

    def __init__(self, url: str, connections: int = CONNECTIONS) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        self._one_writer = threading.Lock() if self.is_sqlite else None
        self._held = threading.local()
        self.engine: Engine = _open_sqlite(url) if self.is_sqlite else _open_server(url, connections)
        self._readers = self.engine.execution_options(pileus_begin="BEGIN")
        self._writers = self.engine.execution_options(pileus_begin="BEGIN IMMEDIATE")
        self._lookers = self.engine.execution_options(pileus_begin="")
        if self.engine.dialect.name == "postgresql":  # costs no question there
            self._readers = self.engine.execution_options(isolation_level="REPEATABLE READ")
            self._lookers = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    def create_tables(self) -> None:
        """Create every known table that is missing.  For tests; a real database is brought up by migrations."""
        with self._writers.begin() as tx:
            metadata.create_all(tx)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Run a block in one transaction: commit at the end, roll back on any exception.

        :raises RuntimeError: when this thread is in a transaction already (a bug: it would wait for itself).
        :raises DatabaseAway: when the database is away, or another transaction was in the way (Collided).
        """
        if getattr(self._held, "tx", False):
            raise RuntimeError("a transaction inside a transaction")
        hooks: list[Callable[[], None]] = []
        self._held.tx, ended = True, False
        try:
            if self._one_writer:
                self._one_writer.acquire()
            try:
                with self._writers.begin() as tx:
                    tx.info["after_commit"] = hooks
                    yield tx
                    ended = True
            finally:
                if self._one_writer:
                    self._one_writer.release()
        except (DBAPIError, PoolTimeout) as error:
            _raise_trouble(error, ended)
        finally:
            self._held.tx = False
        self._held.commits = self.commits + 1
        for hook in hooks:
            hook()

    @property
    def commits(self) -> int:
        """How many transactions this thread has committed until now."""
        return getattr(self._held, "commits", 0)

    def repeat(self, work: Callable[[Connection], Result]) -> Result:
        """Run a function in a transaction, and again in a new one after a collision.

        :raises DatabaseAway: when the database is away, or it collided too often.
        """

        def once() -> Result:
            with self.begin() as tx:
                return work(tx)

        return insist(once)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Run a block of questions on one consistent state; it may not write.  :raises DatabaseAway: when it is away."""
        try:
            with self._readers.begin() as tx:
                yield tx
        except (DBAPIError, PoolTimeout) as error:
            _raise_trouble(error, False)

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Run a block while no other process runs one of the same name (SQLite: there is no other process).

        :raises TimeoutError: when another one takes too long.
        :raises DatabaseAway: when the database is away.
        """
        if self.is_sqlite:
            yield
            return
        take, leave = LOCKS[self.engine.dialect.name]
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(self.engine.connect().execution_options(isolation_level="AUTOCOMMIT"))
                taken = _take(connection, take, name)
            except (DBAPIError, PoolTimeout) as error:
                _raise_trouble(error, False)
            if taken == 0:
                raise TimeoutError(f"Another process holds {name} for {ALONE_SECONDS} s.")
            try:
                yield
            finally:
                with suppress(DBAPIError):  # who loses the connection has left, too
                    connection.exec_driver_sql(leave, (name,))

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """Run a question on the state of its moment: a third cheaper than `read` where there is but one; it may not write.

        :raises DatabaseAway: when the database is away.
        """
        try:
            with self._lookers.connect() as tx:
                yield tx
        except (DBAPIError, PoolTimeout) as error:
            _raise_trouble(error, False)

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


def _raise_trouble(error: DBAPIError | PoolTimeout, committing: bool) -> NoReturn:
    if trouble := recognize(error, committing):
        raise trouble from error
    raise error


def _take(connection: Connection, question: str, name: str) -> Any:
    """Take a named lock.  Returns 0 when that takes too long."""
    if connection.dialect.name != "postgresql":
        return connection.exec_driver_sql(question, (name,)).scalar()
    connection.exec_driver_sql(f"SET lock_timeout = '{ALONE_SECONDS}s'")
    try:
        return connection.exec_driver_sql(question, (name,)).scalar()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") != "55P03":
            raise
        return 0
    finally:
        with suppress(DBAPIError):
            connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_SECONDS}s'")


def _open_server(url: str, connections: int) -> Engine:
    kept, asked = min(connections, KEPT_CONNECTIONS), make_url(url)
    terms: dict[str, int] = {"connect_timeout": CONNECT_SECONDS}
    if asked.get_backend_name() == "postgresql":
        terms |= {"keepalives_idle": _probe_seconds(), "keepalives_interval": _probe_seconds()}
        terms |= {"tcp_user_timeout": SILENCE_SECONDS * 1000}
    engine = create_engine(
        asked, isolation_level="READ COMMITTED", pool_pre_ping=True, pool_size=kept, max_overflow=connections - kept,
        pool_timeout=CONNECTION_SECONDS, pool_use_lifo=True,
        connect_args={name: value for name, value in terms.items() if name not in asked.query},
    )  # fmt: skip
    words = TERMS[engine.dialect.name].format(lock=LOCK_SECONDS, idle=IDLE_SECONDS)
    event.listen(engine, "connect", lambda connection, _record: _agree(connection, words))
    if engine.dialect.name == "mysql":
        event.listen(engine, "connect", _watch_silence)

        def began(connection: Connection) -> None:
            if connection.get_execution_options().get("pileus_begin") == "BEGIN":  # a reader: of this transaction alone
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")

        event.listen(engine, "begin", began)
    return engine


def _agree(connection: Any, words: str) -> None:
    """Tell the server the terms of a new session."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(words)
    connection.commit()


def _probe_seconds() -> int:
    return max(1, SILENCE_SECONDS // 3)


def _watch_silence(connection: Any, _record: Any) -> None:
    """Set on a connection of PyMySQL what libpq is told by words."""
    sock = connection._sock
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _probe_seconds())
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _probe_seconds())
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_SECONDS * 1000)


def _open_sqlite(url: str) -> Engine:
    engine = create_engine(url, pool_size=24, max_overflow=40)
    _prepare_sqlite(engine)
    return engine


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
