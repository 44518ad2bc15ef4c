"""Where things are kept, and what the replicas of a thing say together.

A write goes to all primary nodes at once, and to handoff nodes in place of those that are away or full; it stands when a
majority says so.  A read is content with the first replica that has the thing, unless the newest is asked for; then all are
compared.  A newer tombstone hides older bytes.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import TypeVar

from msgspec.structs import replace

from pileus.object_store import erasure, shards
from pileus.object_store.backend import (
    Cluster,
    FragmentPut,
    ObjectAnswer,
    ObjectDelete,
    ObjectMetadata,
    ObjectName,
    ObjectPost,
    ObjectPut,
    ObjectReader,
    ObjectWriter,
    Ring,
    Unreachable,
    Written,
)
from pileus.object_store.coding import Coding
from pileus.object_store.indexes import AccountAnswer, ContainerAnswer, ContainerPut, Listing
from pileus.object_store.places import Node, Target
from pileus.object_store.replicas import AWAY, Held, Reading, Sent, Upload, quorum, tried, verdict
from pileus.object_store.request import Refused
from pileus.object_store.timestamps import ZERO, Timestamp

Found = TypeVar("Found", AccountAnswer, ContainerAnswer, ObjectAnswer)
Result = TypeVar("Result")


class Placement:
    """The cluster, seen as one account server, one container server and one object server."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._carrier = cluster.carrier
        self._codings = {policy.index: policy.coding for policy in cluster.policies if policy.coding}

    # accounts

    async def account(self, account: str, listing: Listing | None = None) -> AccountAnswer:
        """Return what is known of an account, with names of its containers where a listing is given."""
        ring = self.cluster.account_ring
        partition = ring.partition(account)

        async def ask(node: Node) -> AccountAnswer:
            server = self._carrier.accounts(node)
            return await (server.listing(partition, account, listing) if listing else server.head(partition, account))

        return await self._read(ring, partition, ask)

    async def put_account(self, account: str, at: Timestamp, metadata: Mapping[str, str]) -> Written:
        """Create an account, or set headers of it."""
        ring = self.cluster.account_ring
        partition = ring.partition(account)
        return await self._write(
            ring, partition, lambda _, node: self._carrier.accounts(node).put(partition, account, at, metadata)
        )

    async def post_account(self, account: str, at: Timestamp, metadata: Mapping[str, str]) -> Written:
        """Set headers of an account."""
        ring = self.cluster.account_ring
        partition = ring.partition(account)
        return await self._write(
            ring, partition, lambda _, node: self._carrier.accounts(node).post(partition, account, at, metadata)
        )

    async def delete_account(self, account: str, at: Timestamp) -> Written:
        """Mark an account deleted."""
        ring = self.cluster.account_ring
        partition = ring.partition(account)
        return await self._write(ring, partition, lambda _, node: self._carrier.accounts(node).delete(partition, account, at))

    # containers

    async def container(self, account: str, container: str, listing: Listing | None = None) -> ContainerAnswer:
        """Return what is known of a container, with names of its objects where a listing is given."""
        ring = self.cluster.container_ring
        partition = ring.partition(account, container)

        async def ask(node: Node) -> ContainerAnswer:
            server = self._carrier.containers(node)
            if listing:
                return await server.listing(partition, account, container, listing)
            return await server.head(partition, account, container)

        answer = await self._read(ring, partition, ask)
        if listing is None or not answer.shards:
            return answer
        # shards as they are: what they list is made readable (see `encryption`) as part of this container
        entries = await shards.collect(partial(Placement.container, self), answer.shards, listing)
        return ContainerAnswer(answer.status, answer.info, entries, answer.timestamp)

    async def put_container(self, account: str, container: str, put: ContainerPut) -> Written:
        """Create a container, or set headers of it."""
        ring = self.cluster.container_ring
        partition = ring.partition(account, container)
        shares = self._shares(self.cluster.account_ring, account, None, len(ring.nodes(partition)))

        def ask(place: int, node: Node) -> Awaitable[Written]:
            return self._carrier.containers(node).put(partition, account, container, _with_updates(put, shares[place]))

        return await self._write(ring, partition, ask)

    async def post_container(self, account: str, container: str, at: Timestamp, metadata: Mapping[str, str]) -> Written:
        """Set headers of a container."""
        ring = self.cluster.container_ring
        partition = ring.partition(account, container)
        return await self._write(
            ring, partition, lambda _, node: self._carrier.containers(node).post(partition, account, container, at, metadata)
        )

    async def delete_container(self, account: str, container: str, at: Timestamp) -> Written:
        """Delete a container.  One whose names shards list is asked for a name first: its figures may be late."""
        last = await self.container(account, container, Listing(limit=1, allow_reserved=True))
        if last.entries:
            return Written(HTTPStatus.CONFLICT, last.timestamp)
        ring = self.cluster.container_ring
        partition = ring.partition(account, container)
        shares = self._shares(self.cluster.account_ring, account, None, len(ring.nodes(partition)))
        return await self._write(
            ring,
            partition,
            lambda place, node: self._carrier.containers(node).delete(partition, account, container, at, shares[place]),
        )

    # objects

    async def object(self, policy: int, name: ObjectName, newest: bool = False) -> ObjectAnswer:
        """Return what is known of an object."""
        ring, partition = self._object_place(policy, name)
        if policy in self._codings:
            answer, _ = await erasure.describe(self._shop(policy, name))
            return answer
        return await self._read(
            ring, partition, lambda node: self._carrier.objects(node, policy).head(partition, name), newest=newest
        )

    async def open(self, policy: int, name: ObjectName, newest: bool = False) -> Held | None:
        """Open an object; None when there is none."""
        if policy in self._codings:
            return await erasure.open_object(self._shop(policy, name))
        ring, partition = self._object_place(policy, name)
        readers: list[ObjectReader] = []

        async def ask(node: Node) -> ObjectAnswer:
            reader = await self._carrier.objects(node, policy).get(partition, name)
            readers.append(reader)
            return reader.answer

        answer = await self._read(ring, partition, ask, newest=newest)
        chosen = next((reader for reader in readers if reader.answer is answer), None)
        for reader in readers:
            if reader is not chosen or answer.status != HTTPStatus.OK:
                await reader.close()
        return Reading(self, policy, name, chosen, answer) if chosen and answer.status == HTTPStatus.OK else None

    async def other_replica(self, policy: int, name: ObjectName, wanted: ObjectMetadata, start: int, length: int) -> ObjectReader:
        """Open a replica whose metadata are the wanted.  :raises Unreachable: when there is none."""
        ring, partition = self._object_place(policy, name)
        for node in self._readable(ring, partition):
            try:
                reader = await self._carrier.objects(node, policy).get(partition, name, start, length)
            except Unreachable:
                continue
            if reader.answer.metadata == wanted:
                return reader
            await reader.close()
        raise Unreachable("no other replica has the same bytes")

    async def upload(self, policy: int, name: ObjectName, put: ObjectPut) -> Sent | Written:
        """Begin to write an object, or return the refusal that is certain already."""
        if policy in self._codings:
            return await self._upload_fragments(self._codings[policy], policy, name, put)
        ring, partition = self._object_place(policy, name)
        shares = self._shares(self.cluster.container_ring, name.account, name.container, len(ring.nodes(partition)))

        def ask(place: int, node: Node) -> Awaitable[ObjectWriter | Written]:
            return self._carrier.objects(node, policy).put(partition, name, _with_updates(put, shares[place]))

        opened = await self._ask_all(ring, partition, ask)
        writers = [one for one in opened if not isinstance(one, Written)]
        if len(writers) >= quorum(len(opened)):
            return Upload(writers, len(opened))
        for writer in writers:
            await tried(writer.abort())
        return verdict([one for one in opened if isinstance(one, Written)], 1 if not writers else quorum(len(opened)))

    async def _upload_fragments(
        self, coding: Coding, policy: int, name: ObjectName, put: ObjectPut
    ) -> erasure.FragmentUpload | Written:
        shop = self._shop(policy, name)
        shares = self._shares(self.cluster.container_ring, name.account, name.container, coding.fragments)
        size = None if put.size_bytes is None else coding.archive_bytes(put.size_bytes)

        async def ask(place: int, node: Node) -> erasure.Way | Written:
            part = replace(put, size_bytes=size, etag="", updates=(), fragment=FragmentPut(place, coding))
            opened = await self._carrier.objects(node, policy).put(shop.partition, name, part)
            return opened if isinstance(opened, Written) else erasure.Way(place, node, opened, shares[place])

        opened = await self._ask_all(shop.ring, shop.partition, ask)
        ways = [one for one in opened if not isinstance(one, Written)]
        if len(ways) >= coding.quorum:
            return erasure.FragmentUpload(shop, coding, put, ways)
        for way in ways:
            await tried(way.writer.abort())
        return erasure.judge(coding, [one for one in opened if isinstance(one, Written)])

    async def post_object(self, policy: int, name: ObjectName, post: ObjectPost, quiet: bool = False) -> Written:
        """Replace the metadata of an object.

        :param quiet: its container is not told, so that listings show the time of its content still.
        """
        ring, partition = self._object_place(policy, name)
        shares = self._shares(self.cluster.container_ring, name.account, name.container, len(ring.nodes(partition)))

        def ask(place: int, node: Node) -> Awaitable[Written]:
            return self._carrier.objects(node, policy).post(partition, name, _with_updates(post, () if quiet else shares[place]))

        return await self._write(ring, partition, ask)

    async def delete_object(self, policy: int, name: ObjectName, delete: ObjectDelete, quiet: bool = False) -> Written:
        """Delete an object.

        :param quiet: its container is not told.
        """
        ring, partition = self._object_place(policy, name)
        shares = self._shares(self.cluster.container_ring, name.account, name.container, len(ring.nodes(partition)))

        def ask(place: int, node: Node) -> Awaitable[Written]:
            return self._carrier.objects(node, policy).delete(
                partition, name, _with_updates(delete, () if quiet else shares[place])
            )

        results = await self._ask_all(ring, partition, ask)
        done = verdict(results, quorum(len(results)))
        if done.status >= HTTPStatus.INTERNAL_SERVER_ERROR:  # where it never was, it is as much gone as where it was deleted
            gone = [Written(HTTPStatus.NO_CONTENT) if one.status == HTTPStatus.NOT_FOUND else one for one in results]
            done = verdict(gone, quorum(len(gone)))
        return done

    # what they have in common

    def _shop(self, policy: int, name: ObjectName) -> erasure.Shop:
        return erasure.Shop(self._carrier, *self._object_place(policy, name), policy, name)

    def _object_place(self, policy: int, name: ObjectName) -> tuple[Ring, int]:
        ring = self.cluster.object_rings[policy]
        return ring, ring.partition(name.account, name.container, name.object)

    def _shares(self, ring: Ring, account: str, container: str | None, replicas: int) -> list[tuple[Target, ...]]:
        """Deal the nodes of an index out to the replicas of a thing, so that each node hears of it once."""
        partition = ring.partition(account, container) if container is not None else ring.partition(account)
        shares: list[list[Target]] = [[] for _ in range(replicas)]
        for place, node in enumerate(ring.nodes(partition)):
            shares[place % replicas].append(Target(node, partition))
        return [tuple(share) for share in shares]

    def _readable(self, ring: Ring, partition: int) -> Iterator[Node]:
        primaries = list(ring.nodes(partition))
        random.shuffle(primaries)
        yield from primaries
        yield from islice(ring.handoffs(partition), len(primaries))

    async def _read(self, ring: Ring, partition: int, ask: Callable[[Node], Awaitable[Found]], newest: bool = False) -> Found:
        if newest:
            return _newest([found for node in self._readable(ring, partition) if (found := await _asked(ask, node))])
        misses: list[Found] = []
        primaries, witnesses = set(ring.nodes(partition)), 0
        for node in self._readable(ring, partition):
            found = await _asked(ask, node)
            if found is None or found.status in AWAY:
                continue
            if found.status == HTTPStatus.OK and all(_moment(miss) <= _moment(found) for miss in misses):
                return found
            misses.append(found)
            witnesses += node in primaries or found.timestamp is not None
        if witnesses < quorum(len(primaries)):
            raise Refused(503)  # a handoff that never heard of it proves nothing
        return _newest(misses)

    async def _write(self, ring: Ring, partition: int, ask: Callable[[int, Node], Awaitable[Written]]) -> Written:
        results = await self._ask_all(ring, partition, ask)
        return verdict(results, quorum(len(results)))

    async def _ask_all(
        self, ring: Ring, partition: int, ask: Callable[[int, Node], Awaitable[Result | Written]]
    ) -> list[Result | Written]:
        """Ask all primaries at once, and a handoff in place of each that is away."""
        primaries = ring.nodes(partition)
        spare = iter(islice(ring.handoffs(partition), 2 * len(primaries)))

        async def one(place: int, node: Node | None) -> Result | Written:
            last = Written(HTTPStatus.SERVICE_UNAVAILABLE)
            while node is not None:
                try:
                    found = await ask(place, node)
                    if not isinstance(found, Written) or found.status not in AWAY:
                        return found
                    last = found
                except Unreachable:
                    pass
                node = next(spare, None)
            return last

        if len(primaries) == 1:
            return [await one(0, primaries[0])]
        return list(await asyncio.gather(*(one(place, node) for place, node in enumerate(primaries))))


async def _asked(ask: Callable[[Node], Awaitable[Found]], node: Node) -> Found | None:
    try:
        return await ask(node)
    except Unreachable:
        return None


def _moment(answer: AccountAnswer | ContainerAnswer | ObjectAnswer) -> Timestamp:
    if isinstance(answer, ObjectAnswer) and answer.metadata:
        return answer.metadata.data_at
    if isinstance(answer, ContainerAnswer | AccountAnswer) and answer.info:
        return answer.info.put_at
    return answer.timestamp or ZERO


def _newest(found: Sequence[Found]) -> Found:
    there = [answer for answer in found if answer.status not in AWAY]
    if not there:
        raise Refused(503)
    return max(there, key=lambda answer: (_moment(answer), answer.status == HTTPStatus.OK))


Updated = TypeVar("Updated", ObjectPut, ObjectPost, ObjectDelete, ContainerPut)


def _with_updates(asked: Updated, updates: tuple[Target, ...]) -> Updated:
    return replace(asked, updates=updates)
