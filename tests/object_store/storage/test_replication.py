"""Replicas find each other again: after an absence, an emptied disk, a flipped bit, a ring that moved."""

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from pileus.kernel.clock import FakeClock
from pileus.object_store.backend import ObjectDelete, ObjectName, ObjectPost, ObjectPut, Written
from pileus.object_store.indexes import ContainerPut, Listing, ObjectRow
from pileus.object_store.places import Node
from pileus.object_store.storage.daemons.auditor import ObjectAuditor
from pileus.object_store.storage.daemons.replicators import IndexReplicator, ObjectReplicator, Place
from pileus.object_store.storage.http_client import HttpClient
from pileus.object_store.storage.layout import Device
from pileus.object_store.storage.local import LocalCarrier
from pileus.object_store.storage.replication import LocalReplica
from pileus.object_store.storage.replication_http import ReplicationCalls, reach_over_http
from pileus.object_store.storage.ring.builder import Builder
from pileus.object_store.storage.serve import serving
from pileus.object_store.storage.server import backend_app
from pileus.object_store.timestamps import Timestamp

from .conftest import free_port

NAME = ObjectName("A", "c", "o")


class Nodes:
    """Four nodes of one device each, three replicas."""

    def __init__(self, path: Path, over_http: bool) -> None:
        self.path, self.clock, self.loop = path, FakeClock(), asyncio.new_event_loop()
        self.builder = Builder(3, 3, 0, self.clock.now)
        ports = [free_port() for _ in range(4)] if over_http else [1, 2, 3, 4]
        for number, port in enumerate(ports):
            self.builder.add(Node(id=0, ip="127.0.0.1", port=port, device=f"d{number}", zone=number))
            (path / f"d{number}").mkdir()
        self.builder.rebalance(seed=1)
        self.carriers = {
            n: LocalCarrier({f"d{n}": Device(f"{path}/d{n}")}, self.clock.now, timeout_seconds=0.2) for n in range(4)
        }
        self.stack = AsyncExitStack()
        self.client = HttpClient()
        self.reach: Callable[[Node], Any] = lambda node: LocalReplica(self.carriers[node.id], node.device)
        if over_http:
            self.reach = reach_over_http(self.client)
            for number, carrier in self.carriers.items():
                app = backend_app(carrier, extra=ReplicationCalls(carrier))
                self.run(self.stack.enter_async_context(serving(app, "127.0.0.1", ports[number])))

    @property
    def ring(self) -> Any:
        return self.builder.table()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.client.close()
        self.run(self.stack.aclose())
        for carrier in self.carriers.values():
            carrier.close()
        self.loop.close()

    def tick(self) -> Timestamp:
        self.clock.advance(1)
        return Timestamp.of(self.clock.now())

    def at(self, node: Node) -> Any:
        return self.carriers[node.id].objects(node)

    def put(self, node: Node, data: bytes, name: ObjectName = NAME, **more: Any) -> Timestamp:
        at: Timestamp = more.pop("timestamp", None) or self.tick()

        async def work() -> Written:
            partition = self.ring.partition(name.account, name.container, name.object)
            writer = await self.at(node).put(partition, name, ObjectPut(timestamp=at, **more))
            await writer.write(data)
            return await writer.commit()  # type: ignore[no-any-return]

        assert self.run(work()).status == 201
        return at

    def get(self, node: Node, name: ObjectName = NAME) -> bytes | None:
        async def work() -> bytes | None:
            reader = await self.at(node).get(self.ring.partition(name.account, name.container, name.object), name)
            try:
                return b"".join([piece async for piece in reader.chunks()]) if reader.answer.metadata else None
            finally:
                await reader.close()

        return self.run(work())  # type: ignore[no-any-return]

    def replicate(self, *only: int) -> Counter[str]:
        counts: Counter[str] = Counter()
        for number in only or range(4):
            device, here = self.carriers[number].devices[f"d{number}"], self.builder.devices[number]
            assert here
            place = Place(self.ring, here)
            counts += self.run(ObjectReplicator(device, {0: place}, self.reach).run_once())
            files = self.carriers[number].files(f"d{number}")
            counts += self.run(IndexReplicator(files, {"containers": place, "accounts": place}, self.reach).run_once())
        return counts

    def homes(self, *names: str) -> tuple[list[Node], Node]:
        """Return the primaries of a name, and the one that is none."""
        partition = self.ring.partition(*names)
        return list(self.ring.nodes(partition)), next(self.ring.handoffs(partition))


@pytest.fixture(params=[False, True], ids=["direct", "http"])
def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(tmp_path, request.param)
    yield made
    made.close()


def test_an_object_reaches_all_its_homes(nodes: Nodes) -> None:
    (first, *others), handoff = nodes.homes("A", "c", "o")
    data = random.randbytes(2_500_000)
    nodes.put(first, data, headers={"X-Object-Meta-A": "1"}, content_type="t/a")
    partition = nodes.ring.partition("A", "c", "o")
    post = ObjectPost(timestamp=nodes.tick(), content_type="t/b", headers={"X-Object-Meta-B": "2"})
    assert nodes.run(nodes.at(first).post(partition, NAME, post)).status == 202
    assert nodes.replicate()["sent"] >= 6
    for node in others:
        assert nodes.get(node) == data
        metadata = nodes.run(nodes.at(node).head(partition, NAME)).metadata
        assert (metadata.headers, metadata.content_type) == ({"X-Object-Meta-B": "2"}, "t/b")
    assert nodes.get(handoff) is None
    assert nodes.replicate()["sent"] == 0


def test_a_tombstone_reaches_a_node_that_was_away(nodes: Nodes) -> None:
    (first, second, third), _ = nodes.homes("A", "c", "o")
    nodes.put(first, b"old")
    nodes.replicate()
    partition = nodes.ring.partition("A", "c", "o")
    for node in (first, second):
        assert nodes.run(nodes.at(node).delete(partition, NAME, ObjectDelete(timestamp=nodes.tick()))).status == 204
    assert nodes.get(third) == b"old"
    nodes.replicate()
    assert nodes.get(third) is None
    nodes.replicate()
    assert [nodes.get(node) for node in (first, second, third)] == [None] * 3


def test_the_newest_of_rival_writes_is_everywhere(nodes: Nodes) -> None:
    (first, second, third), _ = nodes.homes("A", "c", "o")
    nodes.put(first, b"1")
    nodes.put(second, b"2")
    nodes.put(third, b"3")
    nodes.replicate()
    assert [nodes.get(node) for node in (first, second, third)] == [b"3"] * 3


def test_a_handoff_is_brought_home_and_dropped(nodes: Nodes) -> None:
    homes, handoff = nodes.homes("A", "c", "o")
    nodes.put(handoff, b"x")
    assert nodes.replicate(handoff.id)["handed_off"] == 0
    assert [nodes.get(node) for node in (*homes, handoff)] == [b"x"] * 4  # who has asked its homes in vain still finds it
    assert nodes.replicate(handoff.id)["handed_off"] == 1
    assert [nodes.get(node) for node in homes] == [b"x"] * 3
    assert nodes.get(handoff) is None


def test_an_emptied_disk_is_refilled_and_a_flipped_bit_repaired(nodes: Nodes) -> None:
    names = [ObjectName("A", "c", f"o{number}") for number in range(20)]
    for name in names:
        home = nodes.homes(name.account, name.container, name.object)[0][0]
        nodes.put(home, name.object.encode() * 100, name)
    nodes.replicate()
    before = sorted(path.name for path in (nodes.path / "d1").rglob("*.data"))
    shutil.rmtree(nodes.path / "d1/objects")
    victim = next((nodes.path / "d2").rglob("*.data"))
    victim.write_bytes(b"!" + victim.read_bytes()[1:])
    device = nodes.carriers[2].devices["d2"]
    assert nodes.run(ObjectAuditor(device, nodes.clock.now).run_once())["quarantined"] == 1
    nodes.replicate()
    assert sorted(path.name for path in (nodes.path / "d1").rglob("*.data")) == before
    for name in names:
        for node in nodes.homes(name.account, name.container, name.object)[0]:
            assert nodes.get(node, name) == name.object.encode() * 100


def test_damage_is_not_spread(nodes: Nodes) -> None:
    (first, second, _), _ = nodes.homes("A", "c", "o")
    nodes.put(first, b"abc")
    victim = next((nodes.path / first.device).rglob("*.data"))
    victim.write_bytes(b"axc")
    assert nodes.replicate(first.id)["refused"] == 2
    assert nodes.get(second) is None


def test_partitions_follow_the_ring(nodes: Nodes) -> None:
    names = [ObjectName("A", "c", f"o{number}") for number in range(20)]
    for name in names:
        nodes.put(nodes.homes(name.account, name.container, name.object)[0][0], b"x", name)
    nodes.replicate()
    nodes.builder.change(0, weight=0.0)
    nodes.builder.rebalance(seed=2)
    nodes.replicate()
    nodes.replicate()
    assert list((nodes.path / "d0").rglob("*.data")) == []
    for name in names:
        homes = nodes.ring.nodes(nodes.ring.partition(name.account, name.container, name.object))
        assert [nodes.get(node, name) for node in homes] == [b"x"] * 3


def test_containers_and_accounts_agree(nodes: Nodes) -> None:
    (first, second, third), handoff = nodes.homes("A", "c")
    partition = nodes.ring.partition("A", "c")

    def containers(node: Node) -> Any:
        return nodes.carriers[node.id].containers(node)

    def listing(node: Node) -> list[str]:
        answer = nodes.run(containers(node).listing(partition, "A", "c", Listing()))
        assert answer.info.object_count == len(answer.entries)
        return [entry.name for entry in answer.entries]

    for node in (first, handoff):
        assert nodes.run(containers(node).put(partition, "A", "c", ContainerPut(timestamp=nodes.tick()))).status == 201
    rows = [ObjectRow(name=f"o{number:05d}", data_at=nodes.tick(), size_bytes=1) for number in range(6000)]
    nodes.run(containers(first).update(partition, "A", "c", rows))
    nodes.run(containers(handoff).update(partition, "A", "c", [ObjectRow(name="late", data_at=nodes.tick())]))
    nodes.run(containers(first).post(partition, "A", "c", nodes.tick(), {"X-Container-Meta-A": "1"}))
    nodes.replicate()
    nodes.replicate()
    expected = ["late", *(f"o{number:05d}" for number in range(6000))]
    assert [listing(node) for node in (first, second, third)] == [expected] * 3
    assert nodes.run(containers(third).head(partition, "A", "c")).info.metadata == {"X-Container-Meta-A": "1"}
    assert nodes.run(containers(handoff).head(partition, "A", "c")).status == 404
    gone = [ObjectRow(name=f"o{number:05d}", data_at=nodes.tick(), deleted=True) for number in range(6000)]
    nodes.run(containers(second).update(partition, "A", "c", gone))
    nodes.replicate()
    nodes.replicate()
    assert [listing(node) for node in (first, second, third)] == [["late"]] * 3
    assert nodes.replicate()["rows"] == 0
