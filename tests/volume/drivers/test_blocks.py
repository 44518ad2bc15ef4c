"""Back ends whose volumes are logical volumes or images of Ceph: what their stores do, and how they are served.

LVM and Ceph are twins here, programs that keep everything in files; where Ceph is installed, a small cluster is tried, too.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.volume.driver import BackendFull, Connector, Source, VolumeDriverError, VolumeSpec
from pileus.volume.drivers.blocks.lvm import GROUP, POOL, Lvm
from pileus.volume.drivers.blocks.store import Store
from pileus.volume.drivers.lvm import LvmBackend
from pileus.volume.drivers.rbd import RbdBackend
from tests.volume.drivers.blocks import Directory, FileRbd, lvm_backend, rbd_backend, twins
from tests.volume.drivers.conftest import tear_down
from tests.volume.drivers.test_contract import MIB, WORD, get, put
from tests.volume.drivers.test_iscsi import initiator


def never() -> bool:
    return False


@pytest.fixture(params=["directory", "lvm", "rbd"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with twins(tmp_path, lvm="lvm.py", rbd="rbd.py", ceph="rbd.py") as home:
        (home / GROUP).mkdir()
        (home / "volumes").mkdir()
        if request.param == "directory":
            yield Directory(home / "devices")
        else:
            yield Lvm(devices=home) if request.param == "lvm" else FileRbd(home)


def content(store: Store, name: str) -> Path:
    return Path(store.protocol(name)["filename"])


def test_devices_are_made_copied_and_gone(store: Store) -> None:
    store.make("a.raw", 64 * MIB, thin=True)
    assert (store.names(), store.size_bytes("a.raw")) == ({"a.raw"}, 64 * MIB)
    assert store.usage()["a.raw"] < MIB
    with content(store, "a.raw").open("r+b") as file:
        file.write(WORD * 100000)
    store.copy("a.raw", "new.b.raw")
    with content(store, "a.raw").open("r+b") as file:
        file.write(b"W")
    store.rename("new.b.raw", "b.raw")
    assert store.names() == {"a.raw", "b.raw"}
    assert content(store, "b.raw").read_bytes()[:20] == (WORD * 2)[:20]
    assert store.usage()["b.raw"] >= MIB
    store.grow("b.raw", 128 * MIB)
    store.grow("b.raw", 32 * MIB)
    assert (store.size_bytes("b.raw"), store.size_bytes("a.raw")) == (128 * MIB, 64 * MIB)
    for name in ("a.raw", "b.raw", "b.raw"):
        assert store.remove(name, "none", never)
    assert store.names() == set()
    total, free = store.room_bytes()
    assert 0 < free <= total


def test_what_is_there_is_not_made_again(store: Store) -> None:
    store.make("a.raw", MIB, thin=True)
    for call in (lambda: store.make("a.raw", MIB, thin=True), lambda: store.copy("none.raw", "b.raw")):
        with pytest.raises((VolumeDriverError, OSError)):
            call()
    assert store.names() == {"a.raw"}


@pytest.fixture
def rbd(tmp_path: Path) -> Iterator[RbdBackend]:
    with twins(tmp_path, rbd="rbd.py", ceph="rbd.py") as home:
        made = rbd_backend(home, tmp_path)
        yield made
        tear_down(made)


def test_an_origin_waits_for_those_that_stand_on_it(rbd: RbdBackend, tmp_path: Path) -> None:
    rbd.ensure(VolumeSpec("v", 1))
    put(rbd, "v", 0, WORD)
    rbd.ensure(VolumeSpec("clone", 1, Source("volume", "v")))
    rbd.destroy("v", "zero")
    assert rbd.capacity().provisioned_gib == 1
    assert get(rbd, "clone", 0, len(WORD)) == WORD
    rbd.destroy("clone", "zero")
    assert list((tmp_path / "twin").glob("trash.*")) == list((tmp_path / "twin" / "volumes").iterdir()) == []


def test_a_copy_that_was_cut_short_is_no_hindrance(rbd: RbdBackend, tmp_path: Path) -> None:
    rbd.ensure(VolumeSpec("v", 1))
    layer = rbd.tree.require("v").top
    half = f"new.{rbd.tree.begin('raw').name}"
    rbd.tree.store.make(half, MIB, thin=True)
    assert os.system(f"rbd snap create volumes/{layer}@{half}") == 0
    rbd.close()
    again = rbd_backend(tmp_path / "twin", tmp_path)
    assert again.tree.store.names() == {layer}
    again.destroy("v", "none")
    assert again.tree.store.names() == set()
    again.close()


def test_a_pool_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with twins(tmp_path, rbd="rbd.py", ceph="rbd.py") as home, pytest.raises(VolumeDriverError, match="nowhere"):
        FileRbd(home, "nowhere")


@pytest.fixture
def lvm(tmp_path: Path) -> Iterator[LvmBackend]:
    with twins(tmp_path, lvm="lvm.py") as home:
        made = lvm_backend(home, tmp_path)
        yield made
        tear_down(made)


def test_the_pool_of_thin_volumes_is_made_once(lvm: LvmBackend, tmp_path: Path) -> None:
    lvm.ensure(VolumeSpec("v", 1))
    lvm.close()
    again = lvm_backend(tmp_path / "twin", tmp_path)
    assert set(again.observe_all()) == {"v"}
    again.destroy("v", "punch")
    again.close()
    assert [path.name for path in (tmp_path / "twin" / GROUP).iterdir()] == [POOL]


@pytest.mark.host
def test_an_initiator_writes_to_a_logical_volume_that_grows(lvm: LvmBackend) -> None:
    lvm.ensure(VolumeSpec("v", 1))
    connection = lvm.connect("v", Connector("c", "here"))
    initiator(connection, "write -P 7 0 64k", "flush")
    lvm.take_snapshot("v", "s")
    lvm.ensure(VolumeSpec("v", 2))
    initiator(connection, "write -P 8 0 64k", "write -P 9 1536M 64k", "flush")
    assert [get(lvm, "v", at, 1) for at in (0, 1536 * MIB)] == [b"\x08", b"\x09"]
    assert get(lvm, "v", 0, 1, "s") == b"\x07"


@pytest.mark.parametrize("wipe", ["none", "zero", "shred", "punch"])
def test_a_removed_logical_volume_is_wiped_as_it_should(lvm: LvmBackend, tmp_path: Path, wipe) -> None:
    lvm.ensure(VolumeSpec("v", 1))
    put(lvm, "v", 0, WORD)
    with lvm.tree.path(lvm.tree.require("v").top).open("rb") as still_open:
        lvm.destroy("v", wipe)
        assert (still_open.read(len(WORD)) == WORD) == (wipe in ("none", "punch"))
    assert [path.name for path in (tmp_path / "twin" / GROUP).iterdir()] == [POOL]


def test_a_thick_logical_volume_that_does_not_fit_is_not_there(lvm: LvmBackend) -> None:
    with pytest.raises(BackendFull):
        lvm.ensure(VolumeSpec("v", 2000, thin=False))
    assert lvm.observe_all() == {}
