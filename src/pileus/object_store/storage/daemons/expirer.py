"""Deletes objects whose time has come, each replica its own.

All replicas write the same tombstone, of the second at which the object expired, so it does not matter who is first.  Readers
do not find an expired object anyway, so there is no hurry: delay_seconds leaves replicators the time to bring a POST that has
put the date off.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from pileus.object_store.backend import ObjectDelete, Ring
from pileus.object_store.places import Node, Target
from pileus.object_store.storage import expiring
from pileus.object_store.storage.layout import Device
from pileus.object_store.storage.local import LocalCarrier
from pileus.object_store.timestamps import TICKS_PER_SECOND, Timestamp


@dataclass
class Expirer:
    """Expires the objects of one device."""

    carrier: LocalCarrier
    device_name: str
    container_ring: Ring
    now: Callable[[], float]
    delay_seconds: float = 0.0
    name: str = "object-expirer"

    @property
    def device(self) -> Device:
        """Whose objects."""
        return self.carrier.devices[self.device_name]

    async def run_once(self) -> Counter[str]:
        """Expire what is due."""
        counts: Counter[str] = Counter()
        now = self.now() - self.delay_seconds
        for hour, lines in await asyncio.get_running_loop().run_in_executor(None, lambda: list(expiring.due(self.device, now))):
            for line in lines:
                counts[await self._expire(line)] += 1
            expiring.forget(self.device, hour, now)
        return counts

    async def _expire(self, line: expiring.Due) -> str:
        server = self.carrier.objects(Node(id=0, device=self.device_name), line.policy)
        partition = int(line.directory.split("/")[1])
        newest = await self.carrier.run(lambda: server.written_at(partition, line.name))
        if newest is None:
            return "gone"
        container_partition = self.container_ring.partition(line.name.account, line.name.container)
        targets = tuple(Target(node, container_partition) for node in self.container_ring.nodes(container_partition))
        at = Timestamp(line.delete_at * TICKS_PER_SECOND).after(newest)
        done = await server.delete(partition, line.name, ObjectDelete(timestamp=at, if_delete_at=line.delete_at, updates=targets))
        return "expired" if done.status in {204, 404} else "kept"
