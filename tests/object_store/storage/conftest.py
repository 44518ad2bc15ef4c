"""Clusters of every make, for the contract that all of them fulfil."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from pileus.kernel.clock import FakeClock
from pileus.object_store.backend import (
    Cluster,
    ContainerPut,
    Node,
    ObjectName,
    ObjectPut,
    ObjectReader,
    Target,
    Timestamp,
    Written,
)
from pileus.object_store.storage.embedded import DEFAULT_POLICIES, SingleRing, embedded_cluster
from pileus.object_store.storage.http_carrier import HttpCarrier
from pileus.object_store.storage.layout import Device
from pileus.object_store.storage.local import LocalCarrier
from pileus.object_store.storage.memory import memory_cluster
from pileus.object_store.storage.serve import serving
from pileus.object_store.storage.server import backend_app

ACCOUNT, CONTAINER = "AUTH_a", "box"


@dataclass
class Store:
    """A cluster of one node, with short words for what tests do to it."""

    cluster: Cluster
    clock: FakeClock
    loop: asyncio.AbstractEventLoop
    closers: list[Callable[[], Any]] = field(default_factory=list)

    def run(self, work: Awaitable[Any]) -> Any:
        """Wait for something."""
        return self.loop.run_until_complete(work)

    @property
    def node(self) -> Node:
        return self.cluster.account_ring.nodes(0)[0]

    @property
    def objects(self) -> Any:
        return self.cluster.carrier.objects(self.node, 0)

    @property
    def containers(self) -> Any:
        return self.cluster.carrier.containers(self.node)

    @property
    def accounts(self) -> Any:
        return self.cluster.carrier.accounts(self.node)

    def tick(self) -> Timestamp:
        """Return a new time, later than all before."""
        self.clock.advance(1)
        return Timestamp.of(self.clock.now())

    def target(self, *names: str) -> tuple[Target, ...]:
        ring = self.cluster.container_ring if len(names) > 1 else self.cluster.account_ring
        return (Target(self.node, ring.partition(*names)),)

    def name(self, key: str) -> tuple[int, ObjectName]:
        ring = self.cluster.object_rings[0]
        return ring.partition(ACCOUNT, CONTAINER, key), ObjectName(ACCOUNT, CONTAINER, key)

    def box(self) -> tuple[int, str, str]:
        return self.cluster.container_ring.partition(ACCOUNT, CONTAINER), ACCOUNT, CONTAINER

    def setup(self) -> None:
        """Make an account and a container in it."""
        assert self.run(self.accounts.put(self.cluster.account_ring.partition(ACCOUNT), ACCOUNT, self.tick(), {})).status == 201
        made = self.run(self.containers.put(*self.box(), ContainerPut(timestamp=self.tick(), updates=self.target(ACCOUNT))))
        assert made.status == HTTPStatus.CREATED

    def put(self, key: str, data: bytes = b"", **more: Any) -> Written:
        """Store an object in pieces."""
        more.setdefault("timestamp", self.tick())
        more.setdefault("updates", self.target(ACCOUNT, CONTAINER))
        footer = more.pop("footer", {})

        async def work() -> Written:
            writer = await self.objects.put(*self.name(key), ObjectPut(**more))
            if isinstance(writer, Written):
                return writer
            for start in range(0, len(data), 300_000):
                await writer.write(data[start : start + 300_000])
            return await writer.commit(footer)

        done: Written = self.run(work())
        return done

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes | None:
        """Return an object's bytes, read in chunks."""

        async def work() -> bytes | None:
            reader: ObjectReader = await self.objects.get(*self.name(key), start, length)
            try:
                if reader.answer.status != HTTPStatus.OK:
                    return None
                return b"".join([piece async for piece in reader.chunks(start, length)])
            finally:
                await reader.close()

        data: bytes | None = self.run(work())
        return data

    def head(self, key: str) -> Any:
        return self.run(self.objects.head(*self.name(key)))


def _memory(clock: FakeClock, path: Path, loop: asyncio.AbstractEventLoop) -> Store:
    return Store(memory_cluster(clock.now), clock, loop)


def _disk(clock: FakeClock, path: Path, loop: asyncio.AbstractEventLoop) -> Store:
    cluster = embedded_cluster(str(path / "store"), clock.now)
    return Store(cluster, clock, loop, [cluster.carrier.close])  # type: ignore[attr-defined]


def _http(clock: FakeClock, path: Path, loop: asyncio.AbstractEventLoop) -> Store:
    """The devices of another carrier, reached over HTTP."""
    local = LocalCarrier({"d0": Device(str(path / "d0"))}, clock.now)
    (path / "d0").mkdir()
    port = free_port()
    stack = AsyncExitStack()
    loop.run_until_complete(stack.enter_async_context(serving(backend_app(local), "127.0.0.1", port)))
    ring = SingleRing(Node(id=0, ip="127.0.0.1", port=port, device="d0"))
    carrier = HttpCarrier()
    cluster = Cluster(ring, ring, {0: ring}, DEFAULT_POLICIES, carrier)
    closers = [carrier.client.close, lambda: loop.run_until_complete(stack.aclose()), local.close]
    return Store(cluster, clock, loop, closers)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


MAKES = {"memory": _memory, "disk": _disk, "http": _http}


@pytest.fixture(params=list(MAKES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A cluster of each make."""
    loop = asyncio.new_event_loop()
    made = MAKES[request.param](FakeClock(), tmp_path, loop)
    made.setup()
    yield made
    for close in made.closers:
        close()
    loop.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Store]:
    """A cluster on disk, in this process."""
    loop = asyncio.new_event_loop()
    made = _disk(FakeClock(), tmp_path, loop)
    made.setup()
    yield made
    for close in made.closers:
        close()
    loop.close()
