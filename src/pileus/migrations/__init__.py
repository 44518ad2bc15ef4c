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


def upgrade(db: Database) -> str | None:
    """Bring a database to HEAD; one that holds data is copied first where it is a file.

    :returns: the path of the copy, or None when none was made.
    """
    found = revision(db)
    if found == HEAD:
        return None
    from alembic import command  # noqa: PLC0415  (150 ms that a usual start does not need)
    from alembic.config import Config  # noqa: PLC0415

    backup = _backup(db, found) if found else None
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with db.begin() as tx:
        config.attributes["connection"] = tx
        command.upgrade(config, HEAD)
    return backup


def _backup(db: Database, found: str) -> str | None:
    if not db.is_sqlite or not db.engine.url.database:
        return None
    copy = f"{db.engine.url.database}.before-{HEAD}-from-{found}"
    with db.begin() as tx:  # nobody writes while it is copied
        tx.exec_driver_sql("SELECT 1")
        shutil.copy2(db.engine.url.database, copy)
    return copy
