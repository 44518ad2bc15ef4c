"""Two hosts whose back ends lie in the same place, a directory or a pool: each has its volumes, and leaves the other's alone."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from pileus.volume.driver import Connector, Source, VolumeDriverError, VolumeSpec
from pileus.volume.drivers.blocks.making import Blocks
from pileus.volume.drivers.blocks.tree import BlockTree
from pileus.volume.drivers.file import FileBackend
from pileus.volume.drivers.layered import LayeredBackend
from pileus.volume.drivers.layers.tree import Tree
from pileus.volume.drivers.rbd import RbdBackend
from tests.volume.drivers.blocks import Directory, FileRbd, twins
from tests.volume.drivers.conftest import tear_down
from tests.volume.drivers.test_contract import MIB, WORD, get, put
from tests.volume.drivers.test_file import until

Open = Callable[[str], LayeredBackend]


@pytest.fixture(params=["nfs", "rbd", "devices"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the back end of a host."""
    made: list[LayeredBackend] = []

    def of(host: str) -> LayeredBackend:
        run = tmp_path / host / "run"
        if request.param == "nfs":
            made.append(FileBackend(tmp_path / "share", run, host, shared=True))
        elif request.param == "rbd":
            (tmp_path / "twin" / "volumes").mkdir(exist_ok=True)
            made.append(RbdBackend(FileRbd(tmp_path / "twin"), tmp_path / host / "heads", run, host))
        else:
            tree = BlockTree(tmp_path / host / "heads", Directory(tmp_path / "devices"))
            made.append(LayeredBackend(tree, Blocks(tree), run, host))
        return made[-1]

    with twins(tmp_path, rbd="rbd.py", ceph="rbd.py"):
        yield of
        for backend in made:
            if not backend._closing.is_set():
                tear_down(backend)


def settle(*backends: LayeredBackend) -> None:
    """Return when back ends have done what they do at their start: they take the next thing then."""
    for backend in backends:
        backend._upkeep.want("nothing-such")
    until(lambda: all(backend._upkeep._wanted.empty() for backend in backends))


def test_what_another_host_has_is_neither_seen_nor_swept_away(opened: Open) -> None:
    one = opened("one")
    one.ensure(VolumeSpec("v", 1))
    put(one, "v", 0, WORD)
    one.take_snapshot("v", "s")
    two = opened("two")
    two.ensure(VolumeSpec("w", 1))
    put(two, "w", 0, WORD[::-1])
    for backend in (one, two):
        backend.close()
    one, two = opened("one"), opened("two")
    settle(one, two)
    assert (set(one.observe_all()), set(two.observe_all())) == ({"v"}, {"w"})
    assert two.observe("v") is None
    for call in (
        lambda: two.connect("v", Connector("c", "two")),
        lambda: two.open("v"),
        lambda: two.take_snapshot("v", "t"),
        lambda: two.ensure(VolumeSpec("x", 1, Source("volume", "v"))),
    ):
        with pytest.raises(VolumeDriverError, match="no volume v"):
            call()
    two.destroy("v", "zero")
    assert (get(one, "v", 0, len(WORD)), get(one, "v", 0, len(WORD), "s")) == (WORD, WORD)
    assert get(two, "w", 0, len(WORD)) == WORD[::-1]


def test_a_volume_is_served_by_its_host_alone(opened: Open) -> None:
    one, two = opened("one"), opened("two")
    one.ensure(VolumeSpec("v", 1))
    one.connect("v", Connector("c", "one"))
    two.close()
    two = opened("two")
    settle(two)
    assert two.serving.known() == []
    assert one.serving.live("v") is not None
    two.disconnect("v", "c")
    assert one.observe("v").connections == ("c",)


def test_a_volume_goes_from_one_to_the_other(opened: Open) -> None:
    """As it is carried from back end to back end, it is on both for a while, under one name."""
    one, two = opened("one"), opened("two")
    one.ensure(VolumeSpec("v", 1))
    put(one, "v", MIB, WORD)
    two.ensure(VolumeSpec("v", 1))
    assert get(two, "v", MIB, 4) == bytes(4)
    put(two, "v", MIB, WORD)
    one.destroy("v", "shred")
    assert one.observe("v") is None
    assert get(two, "v", MIB, len(WORD)) == WORD


def test_what_one_left_half_made_stays_while_it_may_be_at_it(opened: Open) -> None:
    one = opened("one")
    building = one.tree.begin("raw")
    if isinstance(one.tree, BlockTree):
        one.tree.store.make(f"new.{building.name}", MIB, thin=True)
    else:
        building.write_bytes(b"half")
    opened("two")
    if isinstance(one.tree, BlockTree):
        assert one.tree.store.names() == {f"new.{building.name}"}
    else:
        assert building.exists()


def test_a_directory_that_had_one_host_is_taken_by_the_first(tmp_path: Path) -> None:
    alone = FileBackend(tmp_path / "share", tmp_path / "run", "one")
    alone.ensure(VolumeSpec("v", 1))
    put(alone, "v", 0, WORD)
    tear_down(alone)
    one = FileBackend(tmp_path / "share", tmp_path / "run", "one", shared=True)
    two = FileBackend(tmp_path / "share", tmp_path / "run2", "two", shared=True)
    try:
        assert set(one.observe_all()) == {"v"}
        assert two.observe_all() == {}
        assert get(one, "v", 0, len(WORD)) == WORD
    finally:
        tear_down(one)
        tear_down(two)


def test_layers_from_before_there_were_marks_are_used_and_never_swept(tmp_path: Path) -> None:
    devices = Directory(tmp_path / "devices")
    tree = BlockTree(tmp_path / "heads", devices)
    tree.store.make("0123.raw", 1 << 30, thin=True)
    (tmp_path / "heads" / "volumes" / "v.json").write_bytes(
        msgspec.json.encode({"id": "v", "size_bytes": 1 << 30, "top": "0123.raw"})
    )
    os.unlink(tmp_path / "heads" / "mark")
    backend = LayeredBackend(BlockTree(tmp_path / "heads", devices), Blocks(tree), tmp_path / "run", "one")
    other = BlockTree(tmp_path / "others", devices)
    other.sweep()
    try:
        put(backend, "v", 0, WORD)
        assert get(backend, "v", 0, len(WORD)) == WORD
        backend.destroy("v", "none")
        assert devices.names() == set()
    finally:
        tear_down(backend)


def test_each_host_has_a_mark_that_stays(tmp_path: Path) -> None:
    one, two = (Tree(tmp_path, shared=True, host=name) for name in ("one", "two"))
    assert one._mark == Tree(tmp_path, shared=True, host="one")._mark != two._mark
