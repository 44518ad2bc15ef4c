"""The schema on database servers: brought up while it is used, copied before, and put back."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from pileus import migrations
from pileus.kernel.db import Database
from pileus.migrations import backup
from tests.migrations.test_versions import differences

QUOTA = "INSERT INTO quota_limits (service, owner, resource, value) VALUES ('compute', :owner, 'cores', :value)"


@pytest.fixture(params=["postgresql", "mariadb"])
def fresh(started, request):
    """Makes empty databases."""
    server, made = started(request.param), []

    def new(name):
        with create_engine(server.url, isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
            collation = "" if request.param == "postgresql" else " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
            connection.execute(text(f"CREATE DATABASE {name}{collation}"))
        made.append(Database(make_url(server.url).set(database=name).render_as_string(hide_password=False)))
        return made[-1]

    yield new
    for db in made:
        db.dispose()


def test_an_old_database_is_brought_up_while_it_is_used(fresh, tmp_path):
    db = fresh("old")
    migrations._run(db, "0001")
    stop, written, refused = threading.Event(), [], []

    def use():
        while not stop.is_set():
            try:
                db.repeat(lambda tx: tx.execute(text(QUOTA), {"owner": f"p{len(written)}", "value": 1}))
                written.append(1)
            except Exception as error:
                refused.append(error)
                return

    user = threading.Thread(target=use)
    user.start()
    try:
        copy = migrations.upgrade(db, tmp_path)
    finally:
        stop.set()
        user.join(60)
    assert refused == []
    assert copy == str(tmp_path / f"old.before-{migrations.HEAD}-from-0001.gz")
    assert Path(copy).stat().st_mode & 0o777 == 0o600
    assert migrations.revision(db) == migrations.HEAD
    assert differences(db) == []
    with db.read() as tx:
        assert tx.execute(text("SELECT count(*) FROM quota_limits")).scalar() == len(written)
    assert migrations.upgrade(db, tmp_path) is None


def test_a_copy_is_put_back(fresh, tmp_path):
    db = fresh("source")
    migrations._run(db, "0001")
    with db.begin() as tx:
        for number in range(1200):
            tx.execute(text(QUOTA), {"owner": f"p{number}", "value": number})
    backup.write(db, "0001", tmp_path / "copy.gz")
    again = fresh("target")
    migrations.restore(again, tmp_path / "copy.gz")
    assert migrations.revision(again) == migrations.HEAD
    assert differences(again) == []
    with again.read() as tx:
        found = tx.execute(text("SELECT owner, value FROM quota_limits")).all()
    assert sorted(found) == sorted((f"p{number}", number) for number in range(1200))
    with pytest.raises(backup.BackupError, match="not empty"):
        migrations.restore(again, tmp_path / "copy.gz")


def test_half_a_copy_is_none(fresh, tmp_path):
    db = fresh("half")
    migrations._run(db, "0001")
    with db.begin() as tx:
        tx.execute(text(QUOTA), {"owner": "p", "value": 1})
    backup.write(db, "0001", tmp_path / "copy.gz")
    data = (tmp_path / "copy.gz").read_bytes()
    (tmp_path / "copy.gz").write_bytes(data[: len(data) - 40])
    other = fresh("other")
    with pytest.raises(backup.BackupError, match="whole"):
        migrations.restore(other, tmp_path / "copy.gz")
    with other.read() as tx:
        assert tx.execute(text("SELECT count(*) FROM quota_limits")).scalar() == 0
