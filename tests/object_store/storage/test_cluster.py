"""A cluster of five processes in five zones whose nodes are killed, emptied and filled while it is written to."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .probe import Probe
from .processes import Processes

pytestmark = pytest.mark.host


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path)
    yield made
    made.close()


@pytest.mark.timeout(400)
def test_nothing_acknowledged_is_lost_when_nodes_are_killed(processes: Processes) -> None:
    probe = Probe(processes, int(os.environ.get("PILEUS_PROBE_SEED", "1")))
    asyncio.run(probe.run(float(os.environ.get("PILEUS_PROBE_SECONDS", "5")), calm=0.3))
    assert probe.ledger.counts["kills"]
    assert probe.ledger.counts["acknowledged"] > 20
