"""A process of the cloud that starts while its database is away waits for it."""

import threading

import pytest
from sqlalchemy import create_engine, make_url

from pileus import daemon
from pileus.kernel.away import DatabaseAway
from pileus.kernel.settings import Settings
from tests.brokers import engine, is_there
from tests.cluster.many import SECRET

pytestmark = pytest.mark.xdist_group("cluster")
NOTHING = daemon.Parts(api=False, work=False, host=False)


def _own_database(url):
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE cloud")
    server.dispose()
    return make_url(url).set(database="cloud").render_as_string(hide_password=False)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_start_waits_for_the_database(kind, tmp_path, monkeypatch):
    if not is_there(kind):
        pytest.skip(f"{kind} is not installed")
    with engine(kind) as database:
        url = _own_database(database.url)
        settings = Settings(state_dir=str(tmp_path), secret=SECRET, database_url=url, bcrypt_rounds=4, demo=False)
        database.kill()
        with pytest.raises(DatabaseAway):
            daemon.start(settings, NOTHING)
        back = threading.Timer(2.0, database.start)
        back.start()
        running = daemon.start_patiently(settings, NOTHING)
        back.join()
        running.closers.close()
        database.kill()
        monkeypatch.setattr(daemon, "START_SECONDS", 1.0)
        with pytest.raises(DatabaseAway):
            daemon.start_patiently(settings, NOTHING)
