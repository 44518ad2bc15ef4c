"""A cluster of five processes in five zones whose nodes are killed, emptied and filled while it is written to."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.object_store.backend import ObjectDelete, ObjectName, ObjectPut, Written
from pileus.object_store.indexes import ContainerPut, Listing
from pileus.object_store.placement import Placement
from pileus.object_store.storage.node import http_cluster

from .probe import Ledger, Probe
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
    assert probe.ledger.counts["acknowledged"]


@pytest.fixture
def small_disks(processes: Processes) -> Iterator[Processes]:
    """Devices that are soon full."""
    mounted = []
    for number in range(len(processes.ports)):
        place = str(processes.device(number))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", place], check=True)
        mounted.append(place)
    yield processes
    processes.close()
    for place in mounted:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.timeout(400)
def test_full_disks_refuse_and_recover(small_disks: Processes) -> None:
    async def put(proxy: Placement, ledger: Ledger, policy: int, key: str) -> int:
        opened = await proxy.upload(
            policy, ObjectName("A", f"c{policy}", key), ObjectPut(timestamp=ledger.tick(), size_bytes=1_000_000)
        )
        if isinstance(opened, Written):
            return opened.status
        for _ in range(10):
            await opened.write(b"x" * 100_000)
        return (await opened.commit()).status

    async def work() -> None:
        proxy, ledger = Placement(http_cluster(f"{small_disks.path}/rings")), Ledger()
        for number in range(len(small_disks.ports)):
            small_disks.start(number)
        await small_disks.until_up()
        for policy in (0, 1):
            put_box = ContainerPut(timestamp=ledger.tick(), policy=policy)
            assert (await proxy.put_container("A", f"c{policy}", put_box)).ok
            stored, status, number = [], 201, 0
            while status == 201:
                number += 1
                assert number < 60
                if (status := await put(proxy, ledger, policy, f"o{policy}-{number}")) == 201:
                    stored.append(f"o{policy}-{number}")
            assert (status, len(stored) >= 5) == (507, True)
            for key in stored:
                reading = await proxy.open(policy, ObjectName("A", f"c{policy}", key))
                assert reading is not None
                assert sum([len(piece) async for piece in reading.chunks()]) == 1_000_000
                await reading.close()
            for key in stored:
                done = await proxy.delete_object(
                    policy, ObjectName("A", f"c{policy}", key), ObjectDelete(timestamp=ledger.tick())
                )
                assert done.status in {204, 404}  # 404: most primaries were full, and handoffs have it
                assert await proxy.open(policy, ObjectName("A", f"c{policy}", key)) is None
            assert await put(proxy, ledger, policy, f"again{policy}") == 201
            await _until_listed(proxy, f"c{policy}", {f"again{policy}"})

    asyncio.run(work())


async def _until_listed(proxy: Placement, container: str, names: set[str]) -> None:
    """Wait until all replicas of the container list just these names."""
    ring = proxy.cluster.container_ring
    partition = ring.partition("A", container)
    async with asyncio.timeout(120):
        for node in ring.nodes(partition):
            while True:
                answer = await proxy.cluster.carrier.containers(node).listing(partition, "A", container, Listing())
                if {entry.name for entry in answer.entries} == names:
                    break
                await asyncio.sleep(0.3)
