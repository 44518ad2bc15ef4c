"""Tells containers of objects, and follows where a container has handed its names over to shards."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Protocol

from pileus.object_store.backend import ContainerServer, Ring, Written
from pileus.object_store.indexes import ObjectRow
from pileus.object_store.places import Node, Target

HOPS_MAX = 8


class TellsNow(Protocol):
    """A container server of this process, told in the caller's thread."""

    def update_now(self, partition: int, account: str, container: str, rows: Sequence[ObjectRow]) -> Written: ...


class Reaches(Protocol):
    """What reaches container servers."""

    def containers(self, node: Node) -> ContainerServer: ...


def tell_now(
    servers: Mapping[str, TellsNow], ring: Ring | None, target: Target, account: str, container: str, row: ObjectRow
) -> bool:
    """Tell one replica of a container, or of the shard in charge, of an object, all being here; tell whether it knows now.

    :param servers: by the names of their devices.
    """
    named = account, container
    done = servers[target.node.device].update_now(target.partition, account, container, [row])
    for _ in range(HOPS_MAX):
        if done.moved is None or ring is None:
            break
        account, container = done.moved
        partition = ring.partition(account, container)
        nodes = ring.nodes(partition)
        place = _place(ring, target, *named)
        done = servers[nodes[place % len(nodes)].device].update_now(partition, account, container, [row])
    return done.ok


async def tell(carrier: Reaches, ring: Ring | None, target: Target, account: str, container: str, row: ObjectRow) -> bool:
    """Tell one replica of a container, or of the shard in charge, of an object; tell whether it knows now.

    Of a shard's replicas the one is told that has the place of the target among the container's: so each hears of it from one.

    :raises Unreachable: when it does not answer.
    """
    place = _place(ring, target, account, container)
    done = await carrier.containers(target.node).update(target.partition, account, container, [row])
    for _ in range(HOPS_MAX):
        if done.status != HTTPStatus.MOVED_PERMANENTLY or done.moved is None or ring is None:
            break
        account, container = done.moved
        partition = ring.partition(account, container)
        nodes = ring.nodes(partition)
        done = await carrier.containers(nodes[place % len(nodes)]).update(partition, account, container, [row])
    return done.ok


def _place(ring: Ring | None, target: Target, account: str, container: str) -> int:
    if ring is None:
        return 0
    nodes = list(ring.nodes(ring.partition(account, container)))
    return next((place for place, node in enumerate(nodes) if node.id == target.node.id), 0)
