"""The database under the tests: SQLite, or the server that PILEUS_TEST_DATABASE names.

    PILEUS_TEST_DATABASE=postgresql+psycopg://pileus@127.0.0.1:5432/postgres  pytest tests/compute
    PILEUS_TEST_DATABASE=mysql+pymysql://root@127.0.0.1:3306/mysql            pytest tests/compute

Each state directory has a database of its own on that server; one that is a copy of another starts as a copy of the other's.
To copy nearly two hundred tables takes seconds.  So a database that began as a copy of a frozen one is not dropped after its
test: it is put back to what it was, which is a matter of the few tables that hold rows, and given to the next.
"""

import hashlib
import json
import os
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from pileus.kernel.db import metadata

SERVER = os.environ.get("PILEUS_TEST_DATABASE", "")
LOCK_SECONDS = 10

expected = True
"""Whether the test that runs now may open a database; False: it is left out on servers."""

frozen: dict[str, dict[str, list[dict[str, Any]]]] = {}
"""The rows, by table, of the databases that change no more."""

given: dict[Path, dict[str, str]] = {}
"""The databases of the state directories that were not given back yet."""

spare: dict[str, list[str]] = defaultdict(list)
"""By the name of a frozen database, those that hold the same and that nobody uses."""


def url_for(state_dir: Path) -> str:
    """Return the URL of a state directory's database, made if need be; empty: SQLite in the directory."""
    assert expected, "opens a database, but would be left out on database servers: see FIXTURES and MAKERS of tests/conftest.py"
    if not SERVER:
        return ""
    found = _read(state_dir)
    if found.get("folder") != str(state_dir):  # none yet, or that of the directory that this one is a copy of
        origin = found.get("name", "")
        name = spare[origin].pop() if spare[origin] else _create(state_dir, origin)
        state_dir.mkdir(parents=True, exist_ok=True)
        found = {"folder": str(state_dir), "name": name, "origin": origin}
        (state_dir / "database").write_text(json.dumps(found))
        given[state_dir] = found
    return _url(found["name"])


def _read(state_dir: Path) -> dict[str, str]:
    marker = state_dir / "database"
    return json.loads(marker.read_text()) if marker.exists() else {}


def _url(name: str) -> str:
    return make_url(SERVER).set(database=name).render_as_string(hide_password=False)


def _create(state_dir: Path, origin: str) -> str:
    name = "lab_" + hashlib.blake2b(str(state_dir).encode(), digest_size=8).hexdigest()
    engine = create_engine(SERVER, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"CREATE DATABASE {name}" + (f" TEMPLATE {origin}" if origin else "")))
        else:
            connection.execute(text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))
    if origin and engine.dialect.name != "postgresql":
        _copy(name, origin)
    engine.dispose()
    return name


def _copy(name: str, origin: str) -> None:
    """Fill a database with another one's tables, foreign keys and all, and rows (MariaDB)."""
    engine = create_engine(_url(name))
    with engine.begin() as connection:
        metadata.create_all(connection, checkfirst=False)
        for table in metadata.sorted_tables:
            connection.execute(text(f"INSERT INTO {table.name} SELECT * FROM {origin}.{table.name}"))
    engine.dispose()


def freeze(state_dir: Path) -> None:
    """Say that a state directory's database changes no more, so that copies of it can be used again."""
    if SERVER:
        name = _read(state_dir)["name"]
        engine = create_engine(_url(name))
        with engine.connect() as connection:
            filled = _filled(connection)
            frozen[name] = {
                table.name: [dict(row) for row in connection.execute(table.select()).mappings()]
                for table in metadata.sorted_tables
                if table.name in filled
            }
        engine.dispose()


def _filled(connection) -> set[str]:
    """Return the tables that hold rows."""
    questions = (f"SELECT '{table.name}' WHERE EXISTS (SELECT 1 FROM {table.name})" for table in metadata.sorted_tables)
    return set(connection.execute(text(" UNION ALL ".join(questions))).scalars())


def drop(state_dir: Path) -> None:
    """Give back a state directory's database, of which no connection is open."""
    if not SERVER or not (found := given.pop(state_dir, None)):
        return
    if found["origin"] in frozen and _put_back(found["name"], frozen[found["origin"]]):
        spare[found["origin"]].append(found["name"])
        return
    engine = create_engine(SERVER, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {found['name']}"))
    engine.dispose()


@cache
def _connector(name: str) -> Engine:
    """Return what connects to a database, and knows from the second time on what the server is like."""
    return create_engine(_url(name), poolclass=NullPool)


def drop_copies(folder: Path) -> None:
    """Give back what a test has left of copies in its folder."""
    for state_dir, found in tuple(given.items()):
        if found["origin"] in frozen and state_dir.is_relative_to(folder):
            drop(state_dir)


def _put_back(name: str, rows: dict[str, list[dict[str, Any]]]) -> bool:
    """Have a database hold these rows and no others, and count as from the beginning; tell whether it could be done."""
    engine = _connector(name)
    postgresql = engine.dialect.name == "postgresql"
    try:
        with engine.begin() as connection:
            limit = f"SET lock_timeout = '{LOCK_SECONDS}s'" if postgresql else f"SET lock_wait_timeout = {LOCK_SECONDS}"
            connection.execute(text(limit))
            filled = _filled(connection)
            for table in reversed(metadata.sorted_tables):
                if table.name in filled:
                    connection.execute(table.delete())
            for table in metadata.sorted_tables:
                if found := rows.get(table.name):
                    connection.execute(table.insert(), found)
            for statement in _restarts(connection, postgresql):
                connection.execute(text(statement))
    except DBAPIError:
        return False
    return True


def _restarts(connection, postgresql: bool) -> list[str]:
    """Return the statements after which numbers are given out from the beginning: behind what there is."""
    counted = {
        table.name: table.autoincrement_column.name for table in metadata.sorted_tables if table.autoincrement_column is not None
    }
    if postgresql:
        used = {name for (name,) in connection.execute(text("SELECT sequencename FROM pg_sequences WHERE last_value > 0"))}
        return [
            f"SELECT setval('{table}_{column}_seq', (SELECT coalesce(max({column}), 0) + 1 FROM {table}), false)"
            for table, column in counted.items()
            if f"{table}_{column}_seq" in used
        ]
    question = "SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND auto_increment > 1"
    return [f"ALTER TABLE {table} AUTO_INCREMENT = 1" for (table,) in connection.execute(text(question)) if table in counted]
