"""A short run of the probe: a cloud of three hosts, whose processes and engines are killed while it works, keeps its promises."""

import os

import pytest

from tests.brokers import is_there
from tests.cluster import probe

OPERATIONS = 30


@pytest.mark.timeout(900)
@pytest.mark.skipif(not os.environ.get("PILEUS_TEST_CLUSTER"), reason="takes minutes on a busy machine: PILEUS_TEST_CLUSTER=1")
@pytest.mark.skipif(not (is_there("postgresql") and is_there("rabbitmq")), reason="PostgreSQL or RabbitMQ is not installed")
def test_a_cloud_of_many_keeps_its_promises_while_its_parts_die(tmp_path):
    done = probe.run(tmp_path, seed=11, operations=OPERATIONS)
    assert done["operations"] == OPERATIONS
    assert done["acknowledged"] > 3
    assert sum(count for what, count in done.items() if what.startswith("killed")) > 3
