"""A cluster of five processes in five zones, three replicas, whose nodes are killed while it is written to."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.object_store.backend import Cluster, Node, ObjectDelete, ObjectName, ObjectPut, Target, Unreachable, Written
from pileus.object_store.indexes import ContainerPut, Listing
from pileus.object_store.storage.node import http_cluster
from pileus.object_store.storage.ring.builder import Builder
from pileus.object_store.timestamps import Timestamp

from .conftest import free_port

pytestmark = pytest.mark.host
NODES, QUORUM = 5, 2


class Processes:
    """The storage servers, one process a node."""

    def __init__(self, path: Path) -> None:
        self.path, self.ports = path, [free_port() for _ in range(NODES)]
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        builder = Builder(4, 3, 0, time.time)
        for number, port in enumerate(self.ports):
            builder.add(Node(id=0, ip="127.0.0.1", port=port, device=f"d{number}", zone=number))
            (path / f"d{number}").mkdir()
        builder.rebalance(seed=1)
        (path / "rings").mkdir()
        for name in ("account", "container", "object"):
            builder.table().save(f"{path}/rings/{name}.ring.gz")
        for number in range(NODES):
            self.start(number)

    def start(self, number: int) -> None:
        words = ["--rings", f"{self.path}/rings", "--devices", str(self.path), "--listen", f"127.0.0.1:{self.ports[number]}"]
        command = [sys.executable, "-m", "pileus.object_store.storage.cli", *words, "--interval-seconds", "1"]
        with open(self.path / f"log{number}", "ab") as log:
            self.running[number] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self, number: int) -> None:
        self.running[number].send_signal(signal.SIGKILL)
        self.running.pop(number).wait()

    def close(self) -> None:
        for number in list(self.running):
            self.kill(number)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path)
    yield made
    made.close()


class Client:
    """A minute proxy: three places, handoffs for those that are away, and a quorum."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.box = cluster.container_ring.partition("A", "c")
        self.updates = [Target(node, self.box) for node in cluster.container_ring.nodes(self.box)]

    async def _one(self, node: Node, name: ObjectName, data: bytes | None, at: Timestamp, update: Target) -> bool:
        server = self.cluster.carrier.objects(node)
        partition = self.cluster.object_rings[0].partition(name.account, name.container, name.object)
        try:
            if data is None:
                done = await server.delete(partition, name, ObjectDelete(timestamp=at, updates=(update,)))
                return done.status in {204, 404}
            writer = await server.put(partition, name, ObjectPut(timestamp=at, updates=(update,), size_bytes=len(data)))
            if isinstance(writer, Written):
                return False
            await writer.write(data)
            return (await writer.commit()).ok
        except Unreachable:
            return False

    async def write(self, name: ObjectName, data: bytes | None, at: Timestamp) -> bool:
        ring = self.cluster.object_rings[0]
        partition = ring.partition(name.account, name.container, name.object)
        nodes = ring.nodes(partition)
        done = await asyncio.gather(*(self._one(node, name, data, at, self.updates[i]) for i, node in enumerate(nodes)))
        handoffs = ring.handoffs(partition)
        for index, ok in enumerate(done):
            if not ok and sum(done) < 3 and (spare := next(handoffs, None)):
                done[index] = await self._one(spare, name, data, at, self.updates[index])
        return sum(done) >= QUORUM

    async def wait_until_up(self) -> None:
        async with asyncio.timeout(30):
            for node in self.cluster.container_ring.nodes(self.box):
                while True:
                    try:
                        await self.cluster.carrier.accounts(node).head(0, "A")
                        break
                    except Unreachable:
                        await asyncio.sleep(0.1)

    async def make_box(self) -> None:
        for target in self.updates:
            done = await self.cluster.carrier.containers(target.node).put(
                self.box, "A", "c", ContainerPut(timestamp=Timestamp.of(time.time()))
            )
            assert done.ok

    async def read(self, node: Node, name: ObjectName) -> bytes | None:
        partition = self.cluster.object_rings[0].partition(name.account, name.container, name.object)
        reader = await self.cluster.carrier.objects(node).get(partition, name)
        try:
            return b"".join([piece async for piece in reader.chunks()]) if reader.answer.metadata else None
        finally:
            await reader.close()


async def storm(client: Client, processes: Processes, seconds: float, chance: random.Random) -> dict[str, list[bytes | None]]:
    """Write at random while nodes die at random; return what each name may hold: the last acknowledged and what came after."""
    possible: dict[str, list[bytes | None]] = {}
    end = time.monotonic() + seconds

    async def writer(number: int) -> None:
        count = 0
        while time.monotonic() < end:
            count += 1
            key = f"w{number}-{chance.randrange(12)}"
            data = None if chance.random() < 0.15 else os.urandom(chance.choice([10, 5_000, 300_000]))
            acknowledged = await client.write(ObjectName("A", "c", key), data, Timestamp.of(time.time()))
            possible[key] = [data] if acknowledged else [*possible.get(key, [None]), data]

    async def killer() -> None:
        while time.monotonic() < end:
            victim = chance.randrange(NODES)
            processes.kill(victim)
            await asyncio.sleep(1.0)
            if chance.random() < 0.3:
                for path in (processes.path / f"d{victim}").glob("objects"):
                    path.rename(processes.path / f"lost-{victim}-{time.monotonic_ns()}")
            processes.start(victim)
            await asyncio.sleep(4.0)

    await asyncio.gather(*(writer(number) for number in range(4)), killer())
    return possible


async def settled(client: Client, possible: dict[str, list[bytes | None]]) -> str:
    """Return what is not yet as it must be, "" when all is."""
    ring = client.cluster.object_rings[0]
    alive = set()
    for key, values in possible.items():
        name = ObjectName("A", "c", key)
        found = [await client.read(node, name) for node in ring.nodes(ring.partition("A", "c", key))]
        if len(set(found)) > 1:
            return f"{key}: replicas differ"
        if found[0] not in values:
            return f"{key}: lost"
        if found[0] is not None:
            alive.add(key)
    for target in client.updates:
        answer = await client.cluster.carrier.containers(target.node).listing(client.box, "A", "c", Listing())
        if {entry.name for entry in answer.entries} != alive:
            return f"{target.node.device}: the listing differs"
    return ""


@pytest.mark.timeout(150)
def test_nothing_acknowledged_is_lost_when_nodes_are_killed(processes: Processes) -> None:
    seconds = float(os.environ.get("PILEUS_PROBE_SECONDS", "12"))

    async def work() -> None:
        client = Client(http_cluster(f"{processes.path}/rings"))
        await client.wait_until_up()
        await client.make_box()
        possible = await storm(client, processes, seconds, random.Random(int(os.environ.get("PILEUS_PROBE_SEED", "1"))))
        assert len(possible) > 20
        deadline, wrong = time.monotonic() + 60, "not looked yet"
        while wrong and time.monotonic() < deadline:
            await asyncio.sleep(1)
            try:
                wrong = await settled(client, possible)
            except Unreachable as error:
                wrong = str(error)
        assert wrong == ""

    asyncio.run(work())
