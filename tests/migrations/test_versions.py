"""The migrations lead to the tables of the code, from nothing and from the release before, on every database."""

import re
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text

import pileus.main  # noqa: F401  (all tables)
from pileus import migrations
from pileus.kernel.db import Database, metadata

VERSIONS = sorted((Path(migrations.__file__).parent / "versions").glob("[0-9]*.py"))


def differences(db):
    """Return what the database has otherwise than the tables say."""
    with db.read() as tx:
        context = MigrationContext.configure(tx, opts={"compare_type": False, "target_metadata": metadata})
        return [found for found in compare_metadata(context, metadata) if found[0] != "remove_table"]


def test_an_empty_database_gets_the_tables_of_the_code(tmp_path):
    db = Database(f"sqlite:///{tmp_path}/new.db")
    assert migrations.upgrade(db) is None
    assert migrations.revision(db) == migrations.HEAD == VERSIONS[-1].name[:4]
    assert differences(db) == []
    db.dispose()


def test_the_database_of_the_first_release_is_brought_up_and_kept(tmp_path):
    db = Database(f"sqlite:///{tmp_path}/old.db")
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with db.begin() as tx:
        config.attributes["connection"] = tx
        command.upgrade(config, "0001")
        tx.execute(text("INSERT INTO quota_limits (service, owner, resource, value) VALUES ('compute', 'project', 'cores', 7)"))
    backup = migrations.upgrade(db)
    assert backup
    assert Path(backup).exists()
    assert differences(db) == []
    with db.read() as tx:
        assert tx.execute(text("SELECT value FROM quota_limits")).scalars().all() == [7]
    db.dispose()


def test_a_truth_value_has_no_number_for_a_default():
    """SQLite and MariaDB take one; PostgreSQL does not."""
    for file in VERSIONS:
        assert not re.search(r"Boolean\(\), server_default=(sa\.text\()?[\"'][01]", file.read_text()), file.name
