"""Random operations on a real cluster whose nodes die at random, and a checker that knows every acknowledged write.

    python -m tests.object_store.storage.probe --seconds 600 --seed 1

Two proxies write to the same names: into a container of whole replicas, one of fragments, and one that grows until it is split.
Meanwhile one node after the other is killed (kill -9), some lose their objects or their indexes, some have a bit flipped.  A read
must return something that was written, whole.  At the end all replicas must agree on one winner: the last acknowledged write, or
a later one whose outcome nobody was told; and no file on any disk may have other bytes than were written there.
"""

import argparse
import asyncio
import hashlib
import random
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import cycle
from pathlib import Path

from pileus.object_store.backend import ObjectDelete, ObjectName, ObjectPost, ObjectPut, Unreachable, Written
from pileus.object_store.indexes import ContainerPut, Listing, ObjectEntry, Subdir
from pileus.object_store.placement import Placement
from pileus.object_store.request import Refused
from pileus.object_store.storage.disk import load
from pileus.object_store.storage.durable import Damaged
from pileus.object_store.storage.node import http_cluster
from pileus.object_store.timestamps import Timestamp

from .processes import Processes

ACCOUNT = "AUTH_probe"
BOXES = {"whole": 0, "coded": 1, "many": 0}
SIZES = (0, 10, 5_000, 70_000, 300_000, 1_500_000)
WRITERS, CHECKED_AT_ONCE = 6, 8
SETTLE_SECONDS = 300.0
DEEDS = ("nothing", "empty", "lose indexes", "flip")


@dataclass(frozen=True)
class Write:
    """One write: when, what (None: a deletion), and whether it was acknowledged."""

    at: Timestamp
    etag: str | None
    size: int = 0
    known: bool = False


@dataclass
class Ledger:
    """All writes, by container and name; what must be, by what was acknowledged."""

    writes: dict[tuple[str, str], list[Write]] = field(default_factory=lambda: defaultdict(list))
    counts: Counter[str] = field(default_factory=Counter)
    last: int = 0

    def tick(self) -> Timestamp:
        """Return a time that no other write has."""
        self.last = max(self.last + 1, Timestamp.of(time.time()).ticks)
        return Timestamp(self.last)

    def possible(self, key: tuple[str, str]) -> list[Write]:
        """Return the writes of which one must have won."""
        known = [write for write in self.writes[key] if write.known]
        winner = max(known, key=lambda write: write.at, default=Write(Timestamp(0), None, known=True))
        return [winner, *(write for write in self.writes[key] if not write.known and write.at > winner.at)]


@dataclass
class Probe:
    """A run."""

    processes: Processes
    seed: int
    ledger: Ledger = field(default_factory=Ledger)
    flipped: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.proxies = [Placement(http_cluster(f"{self.processes.path}/rings")) for _ in range(2)]

    async def run(self, seconds: float, calm: float = 1.0) -> None:
        """Make everything, write and kill for so long, then check.

        :raises AssertionError: when anything acknowledged is lost, replicas differ, or a read returned what nobody wrote.
        """
        for number in range(len(self.processes.ports)):
            self.processes.start(number)
        await self.processes.until_up()
        await self.proxies[0].put_account(ACCOUNT, self.ledger.tick(), {})
        for box, policy in BOXES.items():
            put = ContainerPut(timestamp=self.ledger.tick(), policy=policy)
            assert (await self.proxies[0].put_container(ACCOUNT, box, put)).ok
        end = time.monotonic() + seconds
        await asyncio.gather(*(self._writer(number, end) for number in range(WRITERS)), self._killer(end, calm))
        await self.processes.until_up()
        deadline, wrong = time.monotonic() + SETTLE_SECONDS, "not looked yet"
        while wrong and time.monotonic() < deadline:
            await asyncio.sleep(1.0)
            try:
                wrong = await self._unsettled()
            except (Unreachable, Refused) as error:
                wrong = repr(error)
        self.ledger.counts["seconds to settle"] = round(time.monotonic() + SETTLE_SECONDS - deadline)
        assert not wrong, wrong
        assert not self.wrong, self.wrong[:5]

    # Writing

    async def _writer(self, number: int, end: float) -> None:
        chance, proxy = random.Random(self.seed * 1000 + number), self.proxies[number % 2]
        while time.monotonic() < end:
            box = chance.choice(["whole", "coded", "many"])
            key = f"n{chance.randrange(5000):04d}" if box == "many" else f"o{chance.randrange(40):02d}"
            name = ObjectName(ACCOUNT, box, key)
            turn = chance.random()
            try:
                if turn < 0.25:
                    await self._read(proxy, name)
                elif turn < 0.35:
                    await self._post(proxy, name)
                elif turn < 0.5:
                    await self._delete(proxy, name)
                else:
                    size = chance.choice((0, 5, 20)) if box == "many" else chance.choice(SIZES)
                    await self._put(proxy, name, chance.randbytes(size))
            except (Unreachable, Refused):
                self.ledger.counts["unanswered"] += 1
            await asyncio.sleep(0)

    def _note(self, name: ObjectName, write: Write) -> None:
        self.ledger.writes[name.container, name.object].append(write)
        self.ledger.counts["acknowledged" if write.known else "not acknowledged"] += 1

    async def _put(self, proxy: Placement, name: ObjectName, data: bytes) -> None:
        at, etag = self.ledger.tick(), hashlib.md5(data, usedforsecurity=False).hexdigest()
        known = False
        try:
            put = ObjectPut(timestamp=at, size_bytes=len(data))
            upload = await proxy.upload(BOXES[name.container], name, put)
            if isinstance(upload, Written):
                return  # refused before anything was sent
            for start in range(0, len(data), 65_536):
                await upload.write(data[start : start + 65_536])
            known = (await upload.commit()).ok
        finally:
            self._note(name, Write(at, etag, len(data), known))

    async def _delete(self, proxy: Placement, name: ObjectName) -> None:
        at, known = self.ledger.tick(), False
        try:
            done = await proxy.delete_object(BOXES[name.container], name, ObjectDelete(timestamp=at))
            known = done.status in {204, 404}
        finally:
            self._note(name, Write(at, None, known=known))

    async def _post(self, proxy: Placement, name: ObjectName) -> None:
        at = self.ledger.tick()
        post = ObjectPost(timestamp=at, headers={"X-Object-Meta-At": at.normal})
        done = await proxy.post_object(BOXES[name.container], name, post)
        self.ledger.counts["posts"] += done.ok

    async def _read(self, proxy: Placement, name: ObjectName) -> None:
        reading = await proxy.open(BOXES[name.container], name)
        self.ledger.counts["reads"] += 1
        if reading is None:
            return
        try:
            md5 = hashlib.md5(b"".join([piece async for piece in reading.chunks()]), usedforsecurity=False).hexdigest()
        finally:
            await reading.close()
        ring = self.proxies[0].cluster.container_ring
        name_hash = ring.salt.hash(name.account, name.container, name.object)  # type: ignore[attr-defined]
        written = {write.etag for write in self.ledger.writes[name.container, name.object]}
        metadata = reading.answer.metadata
        assert metadata is not None
        if md5 != metadata.etag and name_hash not in self.flipped:
            self.wrong.append(f"{name}: the bytes are not those of the ETag")
        if metadata.etag not in written and not await self._under_way(name, metadata.etag):
            self.wrong.append(f"{name}: nobody wrote this")

    async def _under_way(self, name: ObjectName, etag: str) -> bool:
        """Tell whether a write is noted a little later: it was read before its writer knew."""
        for _ in range(300):
            await asyncio.sleep(0.1)
            if any(write.etag == etag for write in self.ledger.writes[name.container, name.object]):
                return True
        return False

    # Killing

    async def _killer(self, end: float, calm: float) -> None:
        chance, nodes = self.chance, len(self.processes.ports)
        deeds = cycle(chance.sample(DEEDS, len(DEEDS)))
        while time.monotonic() < end:
            victim = chance.randrange(nodes)
            self.processes.kill(victim)
            self.ledger.counts["kills"] += 1
            await asyncio.sleep(chance.uniform(0.2, 2.0) * calm)
            deed = next(deeds)
            if deed == "empty":
                self.processes.empty(victim)
            elif deed == "lose indexes":
                self.processes.lose_indexes(victim)
            self.processes.start(victim)
            await self.processes.until_up()
            if deed == "flip" and (name := self.processes.flip(victim, chance)):
                self.flipped.add(name)
            self.ledger.counts[deed] += 1
            # what one node has lost must be back before another one may lose something
            await self.processes.until_passed()
            await asyncio.sleep(chance.uniform(0.0, 3.0) * calm)

    # Checking

    async def _unsettled(self) -> str:
        """Return what is not as it must be, "" when all is."""
        alive: dict[str, dict[str, Write]] = {box: {} for box in BOXES}
        turn = asyncio.Semaphore(CHECKED_AT_ONCE)

        async def one(box: str, key: str) -> str:
            async with turn:
                return await self._check(ObjectName(ACCOUNT, box, key), alive[box])

        found = await asyncio.gather(*(one(box, key) for box, key in list(self.ledger.writes)))
        if error := next(filter(None, found), ""):
            return error
        for box in BOXES:
            if error := await self._misfigured(box, alive[box]):
                return error
        return await asyncio.to_thread(self._rotten)

    def _rotten(self) -> str:
        """Return which file on any disk is not what was written there: a flipped bit must be quarantined, and made good."""
        for path in self.processes.path.glob("d*/objects*/*/*/*/*.data"):
            try:
                record, data = load(str(path)), path.read_bytes()
            except FileNotFoundError:
                continue  # overtaken
            except Damaged as error:
                return f"{path}: {error}"
            if record.stored != (len(data), hashlib.md5(data, usedforsecurity=False).hexdigest()):
                return f"{path}: the bytes have changed"
        return ""

    async def _check(self, name: ObjectName, alive: dict[str, Write]) -> str:
        """Look at one name on all nodes; note it where it is there."""
        possible = self.ledger.possible((name.container, name.object))
        held = await (self._fragments(name) if BOXES[name.container] else self._replicas(name))
        if len(set(held)) != 1:
            return f"{name}: the nodes differ: {held}"
        winner = next((write for write in possible if (write.at, write.etag) == held[0]), None)
        if held[0] is None:
            winner = next((write for write in possible if write.etag is None), None)
        if winner is None:
            return f"{name}: {held[0]} is none of {possible}"
        if winner.etag is None:
            return ""
        alive[name.object] = winner
        return await self._unreadable(name, winner)

    async def _replicas(self, name: ObjectName) -> list[tuple[Timestamp, str] | None]:
        ring = self.proxies[0].cluster.object_rings[0]
        partition, held = ring.partition(name.account, name.container, name.object), []
        for node in ring.nodes(partition):
            metadata = (await self.proxies[0].cluster.carrier.objects(node).head(partition, name)).metadata
            held.append((metadata.data_at, metadata.etag) if metadata else None)
        return held

    async def _fragments(self, name: ObjectName) -> list[tuple[Timestamp, str] | None]:
        """Return what each primary has of its own fragment, durable."""
        ring = self.proxies[0].cluster.object_rings[1]
        partition = ring.partition(name.account, name.container, name.object)
        held: list[tuple[Timestamp, str] | None] = []
        for index, node in enumerate(ring.nodes(partition)):
            answer = await self.proxies[0].cluster.carrier.fragments(node, 1).find(partition, name)
            own = [one.metadata for one in answer.fragments if one.durable and one.index == index]
            newest = max(own, key=lambda one: one.data_at, default=None)
            held.append((newest.data_at, newest.etag) if newest else None)
        return held

    async def _unreadable(self, name: ObjectName, winner: Write) -> str:
        reading = await self.proxies[0].open(BOXES[name.container], name)
        if reading is None:
            return f"{name} cannot be read"
        try:
            data = b"".join([piece async for piece in reading.chunks()])
        finally:
            await reading.close()
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return "" if etag == winner.etag else f"{name} reads as something else"

    async def _misfigured(self, box: str, alive: dict[str, Write]) -> str:
        """Compare what each replica of a container lists, and its figures."""
        ring = self.proxies[0].cluster.container_ring
        partition = ring.partition(ACCOUNT, box)
        for node in ring.nodes(partition):
            answer = await self.proxies[0].cluster.carrier.containers(node).listing(partition, ACCOUNT, box, Listing())
            if answer.status != HTTPStatus.OK or answer.info is None:
                return f"{box}: {node.device} has no container"
            entries: list[ObjectEntry | Subdir] = list(answer.entries)
            if answer.shards:
                self.ledger.counts["shards"] = max(self.ledger.counts["shards"], len(answer.shards))
                entries = list((await self.proxies[1].container(ACCOUNT, box, Listing())).entries)
            listed = {entry.name: entry.etag for entry in entries if isinstance(entry, ObjectEntry)}
            if listed != {key: write.etag for key, write in alive.items()}:
                more, less = set(listed) - set(alive), set(alive) - set(listed)
                return f"{box}: {node.device} lists {len(listed)} of {len(alive)}; too many {more}, too few {less}"
            total = sum(write.size for write in alive.values())
            if (answer.info.object_count, answer.info.bytes_used) != (len(alive), total):
                return f"{box}: {node.device} counts {answer.info.object_count}, {answer.info.bytes_used}"
        return ""


def main() -> None:
    """Run a probe as a command."""
    parser = argparse.ArgumentParser(description="Random operations, random kills, and a checker.")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pileus-probe-") as path:
        processes = Processes(Path(path))
        probe = Probe(processes, asked.seed)
        try:
            asyncio.run(probe.run(asked.seconds))
        finally:
            processes.close()
            for word, count in sorted(probe.ledger.counts.items()):
                print(f"{word}: {count}", flush=True)
    print(f"all {len(probe.ledger.writes)} names are as they must be")


if __name__ == "__main__":
    main()
