"""Big containers: split, listed as one, told of by many, joined again; and no row is lost whenever a process dies."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pileus.object_store.backend import ObjectDelete, ObjectName, StoragePolicy
from pileus.object_store.indexes import Listing, ObjectRow, Subdir
from pileus.object_store.storage.daemons.replicators import IndexReplicator, Place
from pileus.object_store.storage.daemons.sharder import ContainerSharder
from pileus.object_store.storage.daemons.updaters import ContainerUpdater, ObjectUpdater
from pileus.object_store.storage.replication import LocalReplica

from .cluster import Away, Disks


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Disks]:
    made = Disks(tmp_path, 5, (StoragePolicy(0, "gold", is_default=True),))
    made.run(made.placement.put_account("A", made.tick(), {}))
    assert made.make_box().ok
    yield made
    made.close()


def fill(disks: Disks, names: list[str], container: str = "c", **more: Any) -> None:
    """Tell all replicas of a container of names."""
    ring = disks.cluster.container_ring
    partition = ring.partition("A", container)
    rows = [ObjectRow(name=name, data_at=disks.tick(), size_bytes=3, **more) for name in names]
    for node in ring.nodes(partition):
        assert disks.run(disks.carrier.containers(node).update(partition, "A", container, rows)).ok


def make_pass(disks: Disks, threshold: int = 20, times: int = 1) -> Counter[str]:
    """Let every device's sharder, replicator and updaters make a pass."""
    ring, counts = disks.cluster.container_ring, Counter[str]()

    def reach(node: Any) -> Any:
        return Away() if node.device in disks.carrier.down else LocalReplica(disks.carrier.local, node.device)

    for _ in range(times):
        disks.clock.advance(1)
        for here in ring.devices:  # type: ignore[attr-defined]
            if here.device in disks.carrier.down:
                continue
            files, place = disks.carrier.local.files(here.device), Place(ring, here)
            sharder = ContainerSharder(files, here, ring, disks.carrier, disks.clock.now, threshold)
            updater = ContainerUpdater(files, disks.carrier, disks.cluster.account_ring, disks.clock.now, ring)
            pending = ObjectUpdater(disks.devices[here.device], disks.carrier, ring, disks.clock.now)
            places = {"containers": place, "accounts": place}
            for daemon in (sharder, IndexReplicator(files, places, reach), pending, updater):
                counts += disks.run(daemon.run_once())
    return counts


def figures(disks: Disks, container: str = "c") -> tuple[int, int]:
    info = disks.run(disks.placement.container("A", container)).info
    return info.object_count, info.bytes_used


def shards(disks: Disks) -> list[Any]:
    """What each replica says of who lists the names."""
    ring = disks.cluster.container_ring
    partition = ring.partition("A", "c")
    asked = [disks.carrier.containers(node).listing(partition, "A", "c", Listing()) for node in ring.nodes(partition)]
    return [disks.run(one).shards for one in asked]


def test_a_big_container_is_split_and_listed_as_one(disks: Disks) -> None:
    names = sorted(f"o{number:03d}" for number in range(100))
    fill(disks, names)
    make_pass(disks, times=3)
    assert [len(found) for found in shards(disks)] == [len(shards(disks)[0])] * 3
    assert len(shards(disks)[0]) >= 8
    assert disks.listed() == names
    assert disks.listed(reverse=True) == names[::-1]
    assert figures(disks) == (100, 300)
    for name in disks.names:
        files = disks.carrier.local.files(name)
        index = files.container(disks.cluster.container_ring.partition("A", "c"), "A", "c")
        if index.file.exists():
            assert index.file.connect().execute("SELECT count(*) FROM live").fetchone() == (0,)
    account = disks.run(disks.placement.account("A")).info
    assert (account.container_count, account.object_count, account.bytes_used) == (1, 100, 300)


def test_objects_are_told_to_the_shards(disks: Disks) -> None:
    fill(disks, [f"o{number:03d}" for number in range(60)])
    make_pass(disks, times=3)
    for name in ("a", "o0305", "z"):
        assert disks.put(name, b"abc").status == 201
    disks.run(disks.placement.delete_object(0, ObjectName("A", "c", "a"), ObjectDelete(timestamp=disks.tick())))
    assert disks.listed(marker="o029", end_marker="o033") == ["o030", "o0305", "o031", "o032"]
    assert "a" not in disks.listed()
    assert disks.listed()[-1] == "z"
    make_pass(disks, times=2)
    assert figures(disks) == (62, 186)


def test_a_shard_that_grows_is_split_again(disks: Disks) -> None:
    fill(disks, [f"o{number:03d}" for number in range(40)])
    make_pass(disks, times=3)
    top = len(shards(disks)[0])
    for number in range(60):
        assert disks.put(f"o000-{number:02d}", b"abc").status == 201
    make_pass(disks, times=4)
    assert disks.put("o000-30x", b"abc").status == 201
    expected = sorted([f"o{number:03d}" for number in range(40)] + [f"o000-{number:02d}" for number in range(60)] + ["o000-30x"])
    assert disks.listed() == expected
    make_pass(disks, times=3)
    assert (figures(disks), len(shards(disks)[0])) == ((101, 303), top)


def test_every_kind_of_listing(disks: Disks) -> None:
    chance = random.Random(5)
    letters = "abc/é\U0001f600"
    names = sorted({"".join(chance.choices(letters, k=chance.randint(1, 6))).strip() for _ in range(250)})
    fill(disks, names)
    make_pass(disks, times=4)
    assert disks.make_box("plain").ok
    fill(disks, names, "plain")
    ring = disks.cluster.container_ring
    assert len(shards(disks)[0]) > 10

    def ask(container: str, **query: Any) -> list[Any]:
        found = disks.run(disks.placement.container("A", container, Listing(**query))).entries
        return [(entry.name, isinstance(entry, Subdir)) for entry in found]

    plain = disks.carrier.containers(ring.nodes(ring.partition("A", "plain"))[0])
    for turn in range(400):
        query: dict[str, Any] = {"limit": chance.choice([1, 2, 5, 17, 1000]), "reverse": chance.random() < 0.4}
        if chance.random() < 0.5:
            query["prefix"] = chance.choice(names)[: chance.randint(1, 3)]
        if chance.random() < 0.5:
            query["delimiter"] = chance.choice(["/", "a", "b/", "é"])
        elif chance.random() < 0.2:
            query["path"] = chance.choice(["", "a", "a/b", "/"])
        for marker in ("marker", "end_marker"):
            if chance.random() < 0.4:
                query[marker] = chance.choice([*names, "a/", "b/", "c", "ca/b"])
        reference = disks.run(plain.listing(ring.partition("A", "plain"), "A", "plain", Listing(**query))).entries
        assert ask("c", **query) == [(entry.name, isinstance(entry, Subdir)) for entry in reference], (turn, query)
    for delimiter in ("", "/"):
        for reverse in (False, True):
            pages, marker = [], ""
            while page := ask("c", limit=3, delimiter=delimiter, reverse=reverse, marker=marker):
                pages += page
                marker = page[-1][0]
            assert pages == ask("plain", delimiter=delimiter, reverse=reverse)


def test_small_neighbours_are_joined(disks: Disks) -> None:
    names = [f"o{number:03d}" for number in range(45)]
    fill(disks, names)
    make_pass(disks, times=3)
    before = len(shards(disks)[0])
    for name in names[5:]:
        disks.delete(name)
    for _ in range(before * 4):
        make_pass(disks)
        assert disks.listed() == names[:5]
    assert len(shards(disks)[0]) == 1
    assert figures(disks) == (5, 15)
    disks.put("new", b"abc")
    assert disks.listed() == ["new", *names[:5]]


def test_a_deleted_container_takes_its_shards_along(disks: Disks) -> None:
    names = [f"o{number:03d}" for number in range(60)]
    fill(disks, names)
    make_pass(disks, times=3)
    assert disks.run(disks.placement.delete_container("A", "c", disks.tick())).status == 409
    for name in names:
        disks.delete(name)
    assert disks.listed() == []
    disks.put("late", b"abc")
    assert disks.run(disks.placement.delete_container("A", "c", disks.tick())).status == 409
    disks.delete("late")
    make_pass(disks, times=3)
    gone = shards(disks)[0]
    assert disks.run(disks.placement.delete_container("A", "c", disks.tick())).status == 204
    make_pass(disks, times=3)
    for one in gone:
        assert disks.run(disks.placement.container(one.account, one.container)).status == 404
    assert disks.make_box().status == 201
    assert (disks.listed(), figures(disks)) == ([], (0, 0))
    disks.put("again", b"abc")
    assert disks.listed() == ["again"]


def test_replicas_that_were_away_catch_up(disks: Disks) -> None:
    ring = disks.cluster.container_ring
    names = [f"o{number:03d}" for number in range(60)]
    fill(disks, names)
    _, second, third = ring.nodes(ring.partition("A", "c"))
    disks.carrier.down = {third.device}
    make_pass(disks, times=3)
    for number in range(5):
        disks.put(f"p{number}", b"abc")
    disks.carrier.down = {second.device}
    for number in range(5, 9):
        disks.put(f"p{number}", b"abc")
    disks.carrier.down = set()
    make_pass(disks, times=4)
    expected = [*names, *(f"p{number}" for number in range(9))]
    for away in disks.names:
        disks.carrier.down = {away}
        assert disks.listed() == expected
    disks.carrier.down = set()
    assert figures(disks) == (69, 207)


def test_no_row_is_lost_whenever_a_sharder_dies(disks: Disks) -> None:
    chance = random.Random(3)
    names = [f"o{number:03d}" for number in range(80)]
    fill(disks, names)
    expected = set(names)
    ring = disks.cluster.container_ring

    async def cut_short(daemon: Any, steps: int) -> None:
        task = asyncio.ensure_future(daemon.run_once())
        for _ in range(steps):
            await asyncio.sleep(0.001)
            if task.done():
                break
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    for turn in range(24):
        disks.clock.advance(1)
        here = chance.choice(ring.devices)  # type: ignore[attr-defined]
        files = disks.carrier.local.files(here.device)
        daemon = ContainerSharder(files, here, ring, disks.carrier, disks.clock.now, 20)
        disks.run(cut_short(daemon, chance.randrange(40)))
        if chance.random() < 0.3:
            make_pass(disks, threshold=10**6 if turn < 12 else 20)
        if chance.random() < 0.5:
            name = f"n{turn}"
            assert disks.put(name, b"abc").status == 201
            expected.add(name)
        elif chance.random() < 0.5:
            name = chance.choice(sorted(expected))
            disks.delete(name)
            expected.discard(name)
        files.close()
    make_pass(disks, times=6)
    for away in disks.names:
        disks.carrier.down = {away}
        assert set(disks.listed()) == expected
    disks.carrier.down = set()
    assert figures(disks)[0] == len(expected)
