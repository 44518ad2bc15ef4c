"""A short run of the probe: a cloud of three hosts, whose processes and engines are killed while it works, keeps its promises."""

import pytest

from tests.brokers import is_there
from tests.cluster import probe

OPERATIONS = 20
PARTS = ("api", "worker", "host", "database", "broker")

pytestmark = [
    pytest.mark.xdist_group("cluster"),
    pytest.mark.timeout(900),
    pytest.mark.skipif(not (is_there("postgresql") and is_there("rabbitmq")), reason="PostgreSQL or RabbitMQ is not installed"),
]


def test_a_cloud_of_many_keeps_its_promises_while_its_parts_die(tmp_path):
    done = probe.run(tmp_path, seed=11, operations=OPERATIONS, kills=0.5, LEASE_SECONDS="10")
    assert done["operations"] == OPERATIONS
    assert done["acknowledged"] > OPERATIONS / 2
    assert all(done[f"killed {part}"] for part in PARTS), done
