"""A PostgreSQL that dies in the midst of work and whose standby takes its place: the cloud goes on, and nothing is lost."""

import threading
from pathlib import Path

import pytest

from pileus.main import bootstrap
from tests.brokers import engine, is_there
from tests.conftest import make_lab
from tests.kernel.test_engines import at_once, wait_for

pytestmark = [pytest.mark.servers, pytest.mark.skipif(not is_there("postgresql"), reason="PostgreSQL is not installed")]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHlWuLQ1z1sbY5KbZ6kPTtLRfXvgN5ZbQ2UoGJzJvN1p ann@home"
KEYPAIRS = "/compute/v2.1/os-keypairs"


@pytest.fixture
def server():
    with engine("postgresql") as found:
        yield found


def test_a_standby_takes_the_place_of_a_primary_that_dies(server, tmp_path: Path):
    url = server.standby()
    lab = make_lab(tmp_path, database_url=url)
    lab.cloud.db.create_tables()
    bootstrap(lab.cloud)
    stop, acknowledged, refused = threading.Event(), set(), []

    def use(who: str) -> None:
        client, number = lab.client(), 0
        while not stop.is_set() or number < 5:
            number += 1
            answer = client.post(KEYPAIRS, json={"keypair": {"name": f"{who}{number}", "public_key": KEY}})
            if answer.status_code == 200:
                acknowledged.add(f"{who}{number}")
            else:
                refused.append((answer.status_code, answer.headers.get("Retry-After")))

    def break_it() -> None:
        wait_for(lambda: len(acknowledged) >= 10)
        server.kill()
        wait_for(lambda: len(refused) >= 3)
        server.promote()
        before = len(acknowledged)
        wait_for(lambda: len(acknowledged) >= before + 10)
        stop.set()

    lab.client("admin").put(f"/compute/v2.1/os-quota-sets/{'b' * 32}", json={"quota_set": {"key_pairs": -1}})
    try:
        assert at_once(*(lambda who=who: use(who) for who in "abcd"), break_it) == [None] * 5
        assert set(refused) == {(503, "2")}
        found = {each["keypair"]["name"] for each in lab.client().get(KEYPAIRS, params={"limit": 1000}).json()["keypairs"]}
        assert found >= acknowledged
        lab.settle(10)
        assert lab.client().get("/compute/v2.1/servers/detail").status_code == 200
    finally:
        stop.set()
        lab.app.close()
        lab.cloud.db.dispose()
