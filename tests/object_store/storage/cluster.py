"""A cluster of devices in one process, some of which can be away or full, behind a proxy's Placement."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pileus.kernel.clock import FakeClock
from pileus.object_store.backend import (
    Cluster,
    ObjectDelete,
    ObjectName,
    ObjectPost,
    ObjectPut,
    StoragePolicy,
    Unreachable,
    Written,
)
from pileus.object_store.indexes import ContainerPut, Listing
from pileus.object_store.placement import Placement
from pileus.object_store.places import Node
from pileus.object_store.storage.layout import Device
from pileus.object_store.storage.local import LocalCarrier
from pileus.object_store.storage.ring.builder import Builder
from pileus.object_store.timestamps import Timestamp


class Away:
    """A server that does not answer."""

    def __getattr__(self, name: str) -> Any:
        async def fail(*args: object, **more: object) -> None:
            raise Unreachable("away")

        return fail


@dataclass
class Faulty:
    """A carrier to devices of this process; those in `down` are out of reach; `unsettled`: so are all fragment servers."""

    local: LocalCarrier
    down: set[str] = field(default_factory=set)
    unsettled: bool = False

    def _server(self, node: Node, found: Any) -> Any:
        return Away() if node.device in self.down else found

    def objects(self, node: Node, policy: int = 0) -> Any:
        return self._server(node, self.local.objects(node, policy))

    def fragments(self, node: Node, policy: int) -> Any:
        return Away() if self.unsettled else self._server(node, self.local.fragments(node, policy))

    def containers(self, node: Node) -> Any:
        return self._server(node, self.local.containers(node))

    def accounts(self, node: Node) -> Any:
        return self._server(node, self.local.accounts(node))


class Disks:
    """Devices d0, d1, ... each in a zone of its own; rings of three replicas for accounts and containers."""

    def __init__(self, path: Path, count: int, policies: Sequence[StoragePolicy], replicas: int = 3) -> None:
        self.path, self.clock, self.loop = path, FakeClock(), asyncio.new_event_loop()
        self.names = [f"d{number}" for number in range(count)]
        for name in self.names:
            (path / name).mkdir()
        self.devices = {name: Device(str(path / name)) for name in self.names}
        self.carrier = Faulty(LocalCarrier(self.devices, self.clock.now, timeout_seconds=5.0))
        self.carrier.local.remote = self.carrier
        indexes = self.carrier.local.container_ring = self.ring(replicas)
        rings = {policy.index: self.ring(policy.coding.fragments if policy.coding else replicas) for policy in policies}
        self.cluster = Cluster(indexes, indexes, rings, tuple(policies), self.carrier)
        self.placement = Placement(self.cluster)

    def ring(self, replicas: int) -> Any:
        builder = Builder(3, replicas, 0, self.clock.now)
        for number, name in enumerate(self.names):
            builder.add(Node(id=0, ip="127.0.0.1", port=number, device=name, zone=number))
        builder.rebalance(seed=1)
        return builder.table()

    def run(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.run(asyncio.sleep(0))
        self.carrier.local.close()
        self.loop.close()

    def tick(self) -> Timestamp:
        self.clock.advance(1)
        return Timestamp.of(self.clock.now())

    def make_box(self, container: str = "c", **more: Any) -> Written:
        done: Written = self.run(self.placement.put_container("A", container, ContainerPut(timestamp=self.tick(), **more)))
        return done

    def put(self, key: str, data: bytes, policy: int = 0, container: str = "c", **more: Any) -> Written:
        put = ObjectPut(timestamp=more.pop("timestamp", None) or self.tick(), **more)

        async def work() -> Written:
            upload = await self.placement.upload(policy, ObjectName("A", container, key), put)
            if isinstance(upload, Written):
                return upload
            for start in range(0, len(data), 70_000):
                await upload.write(data[start : start + 70_000])
            return await upload.commit()

        done: Written = self.run(work())
        return done

    def get(self, key: str, policy: int = 0, start: int = 0, length: int | None = None, container: str = "c") -> bytes | None:
        async def work() -> bytes | None:
            reading = await self.placement.open(policy, ObjectName("A", container, key))
            if reading is None:
                return None
            try:
                return b"".join([piece async for piece in reading.chunks(start, length)])
            finally:
                await reading.close()

        data: bytes | None = self.run(work())
        return data

    def head(self, key: str, policy: int = 0) -> Any:
        return self.run(self.placement.object(policy, ObjectName("A", "c", key)))

    def post(self, key: str, policy: int = 0, **more: Any) -> Written:
        done: Written = self.run(
            self.placement.post_object(policy, ObjectName("A", "c", key), ObjectPost(timestamp=self.tick(), **more))
        )
        return done

    def delete(self, key: str, policy: int = 0, container: str = "c") -> Written:
        name = ObjectName("A", container, key)
        done: Written = self.run(self.placement.delete_object(policy, name, ObjectDelete(timestamp=self.tick())))
        return done

    def listed(self, container: str = "c", **query: Any) -> list[str]:
        answer = self.run(self.placement.container("A", container, Listing(**query)))
        return [entry.name for entry in answer.entries]

    def homes(self, key: str, policy: int = 0) -> tuple[list[Node], list[Node]]:
        """Return the primaries of a name, in order, and its handoffs."""
        ring = self.cluster.object_rings[policy]
        partition = ring.partition("A", "c", key)
        return list(ring.nodes(partition)), list(ring.handoffs(partition))

    def files(self, device: str, pattern: str = "objects*/**/*") -> list[Path]:
        return sorted(path for path in (self.path / device).glob(pattern) if path.is_file())
