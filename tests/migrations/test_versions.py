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


NETWORK = (
    "INSERT INTO networks (id, project_id, name, description, admin_state_up, shared, external, is_default, mtu, "
    "port_security_enabled, dns_domain, network_type, physical_network, segmentation_id, availability_zone_hints, "
    "revision_number, created_at, updated_at) VALUES (:id, 'p', 'n', '', true, :shared, :external, false, 1500, true, '', "
    "'vxlan', NULL, :number, '[]', 0, 5.0, 5.0)"
)
GRANT = (
    "INSERT INTO network_rbac_policies (id, project_id, object_type, object_id, target_project, action, revision_number, "
    "created_at, updated_at) VALUES ('g', 'p', 'network', 'open', '*', 'access_as_shared', 0, 5.0, 5.0)"
)


def test_networks_that_were_open_before_there_were_grants_have_theirs(tmp_path):
    db = Database(f"sqlite:///{tmp_path}/old.db")
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with db.begin() as tx:
        config.attributes["connection"] = tx
        command.upgrade(config, "0002")
        for number, (id, shared, external) in enumerate([("own", False, False), ("open", True, False), ("both", True, True)]):
            tx.execute(text(NETWORK), {"id": id, "shared": shared, "external": external, "number": number})
        tx.execute(text(GRANT))
    migrations.upgrade(db)
    with db.read() as tx:
        found = tx.execute(text("SELECT object_id, action, target_project, project_id FROM network_rbac_policies")).all()
    assert sorted(tuple(row) for row in found) == [
        ("both", "access_as_external", "*", "p"),
        ("both", "access_as_shared", "*", "p"),
        ("open", "access_as_shared", "*", "p"),
    ]
    db.dispose()


def test_a_truth_value_has_no_number_for_a_default():
    """SQLite and MariaDB take one; PostgreSQL does not."""
    for file in VERSIONS:
        assert not re.search(r"Boolean\(\), server_default=(sa\.text\()?[\"'][01]", file.read_text()), file.name
