"""One Alembic line for the whole cloud, and the quick look that tells whether anything is to be done.

Alembic itself is imported only when a database is new or old, so that a usual start does not pay for it.
"""

import shutil
from pathlib import Path

from sqlalchemy import inspect, text

from pileus.kernel.db import Database

HEAD = "0003"


def revision(db: Database) -> str | None:
    """Return the revision that a database is at, or None when it is empty."""
    with db.read() as tx:
        if not inspect(tx).has_table("alembic_version"):
            return None
        return tx.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(db: Database, folder: Path | None = None) -> str | None:
    """Bring a database to HEAD, while others use it; one that holds data is copied first.

    :param folder: where the copy of a server's database goes; a file is copied beside itself.
    :returns: the path of the copy, or None when none was made.
    """
    found = revision(db)
    if found == HEAD:
        return None
    copy = _copy(db, found, folder) if found else None
    _run(db, HEAD)
    return copy


def restore(db: Database, file: Path) -> None:
    """Make an empty database what it was when a server's was copied, and then bring it to HEAD.

    :raises BackupError: when the database is not empty, or the copy is not whole.
    """
    from pileus.migrations import backup  # noqa: PLC0415

    if revision(db) is not None:
        raise backup.BackupError("The database is not empty: it has a schema.")
    _run(db, backup.revision_of(file))
    backup.restore(db, file)
    _run(db, HEAD)


def _run(db: Database, to: str) -> None:
    from alembic import command  # noqa: PLC0415  (150 ms that a usual start does not need)
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with db.begin() as tx:
        config.attributes["connection"] = tx
        command.upgrade(config, to)


def _copy(db: Database, found: str, folder: Path | None) -> str | None:
    ending = f"before-{HEAD}-from-{found}"
    if not db.is_sqlite:
        if folder is None:
            return None
        from pileus.migrations import backup  # noqa: PLC0415

        file = folder / f"{db.engine.url.database}.{ending}.gz"
        backup.write(db, found, file)
        return str(file)
    if not db.engine.url.database:
        return None
    copy = f"{db.engine.url.database}.{ending}"
    with db.begin() as tx:  # nobody writes while it is copied
        tx.exec_driver_sql("SELECT 1")
        shutil.copy2(db.engine.url.database, copy)
    return copy
