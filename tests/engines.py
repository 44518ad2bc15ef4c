"""The database under the tests: SQLite, or the server that PILEUS_TEST_DATABASE names.

    PILEUS_TEST_DATABASE=postgresql+psycopg://pileus@127.0.0.1:5432/postgres  pytest tests/compute
    PILEUS_TEST_DATABASE=mysql+pymysql://root@127.0.0.1:3306/mysql            pytest tests/compute

Each state directory has a database of its own on that server; one that is a copy of another starts as a copy of the other's.
"""

import hashlib
import os
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from pileus.kernel.db import metadata

SERVER = os.environ.get("PILEUS_TEST_DATABASE", "")


def url_for(state_dir: Path) -> str:
    """Return the URL of a state directory's database, made if need be; empty: SQLite in the directory."""
    if not SERVER:
        return ""
    marker = state_dir / "database"
    name = "lab_" + hashlib.blake2b(str(state_dir).encode(), digest_size=8).hexdigest()
    origin = marker.read_text() if marker.exists() else ""
    if origin != name:
        _create(name, origin)
        state_dir.mkdir(parents=True, exist_ok=True)
        marker.write_text(name)
    return make_url(SERVER).set(database=name).render_as_string(hide_password=False)


def _create(name: str, origin: str) -> None:
    engine = create_engine(SERVER, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"CREATE DATABASE {name}" + (f" TEMPLATE {origin}" if origin else "")))
        else:
            connection.execute(text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))
            if origin:
                _copy(connection, name, origin)
    engine.dispose()


def _copy(connection, name: str, origin: str) -> None:
    connection.execute(text("SET foreign_key_checks = 0"))
    for table in metadata.sorted_tables:
        connection.execute(text(f"CREATE TABLE {name}.{table.name} LIKE {origin}.{table.name}"))
        connection.execute(text(f"INSERT INTO {name}.{table.name} SELECT * FROM {origin}.{table.name}"))


def drop(state_dir: Path) -> None:
    """Remove a state directory's database from the server."""
    if SERVER:
        engine = create_engine(SERVER, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {(state_dir / 'database').read_text()}"))
        engine.dispose()
