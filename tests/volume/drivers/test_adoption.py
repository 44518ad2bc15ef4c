"""Files that lie beside the volumes: taken in, and put there again."""

import os
import subprocess
from pathlib import Path

import pytest

from pileus.volume.driver import GIB, Connector, Source, VolumeDriverError, VolumeSpec
from pileus.volume.drivers.file import FileBackend
from tests.volume.drivers.conftest import HOST
from tests.volume.drivers.test_contract import MIB, WORD, get, put, qcow2_image, raw_image


def unmanaged(backend: FileBackend) -> Path:
    return backend.tree.directory / "unmanaged"


def safe(backend: FileBackend) -> dict[str, int]:
    return {found.reference: found.size_gib for found in backend.list_volumes() if found.safe}


@pytest.mark.parametrize("name", ["disk", "disk.img", "disk.qcow2"])
def test_a_file_becomes_a_volume(file_backend: FileBackend, name: str) -> None:
    path = unmanaged(file_backend) / name
    (qcow2_image if name.endswith("qcow2") else raw_image)(path)
    path.with_suffix(".raw").unlink(missing_ok=True)
    assert safe(file_backend) == {name: 1}
    assert file_backend.adopt_volume(name, "v") == 1
    assert file_backend.adopt_volume(name, "v") == 1
    assert safe(file_backend) == {}
    assert os.listdir(unmanaged(file_backend)) == []
    assert get(file_backend, "v", 0, 18) == b"start of the image"
    assert get(file_backend, "v", GIB - 4, 4) == bytes(4)
    assert [found.why_unsafe for found in file_backend.list_volumes()] == ["already managed"]
    put(file_backend, "v", 0, WORD)
    file_backend.destroy("v", "zero")


def test_killed_after_the_head_was_written_it_is_taken_in_once(file_backend: FileBackend) -> None:
    path = unmanaged(file_backend) / "disk"
    raw_image(path)
    file_backend.adopt_volume("disk", "v")
    os.link(file_backend.tree.path(file_backend.tree.require("v").top), path)
    assert safe(file_backend) == {}
    file_backend.adopt_volume("disk", "v")
    assert not path.exists()
    assert get(file_backend, "v", 0, 18) == b"start of the image"


def test_what_is_no_file_of_its_own_is_refused(file_backend: FileBackend, tmp_path: Path) -> None:
    here = unmanaged(file_backend)
    (tmp_path / "secret").write_bytes(b"the host's own" + bytes(MIB))
    (here / "link").symlink_to(tmp_path / "secret")
    (here / "folder").mkdir()
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", tmp_path / "secret", "-F", "raw", here / "b.qcow2"], check=True
    )
    (here / "no.qcow2").write_bytes(b"no qcow2")
    for name in ("link", "folder", "b.qcow2", "no.qcow2", "missing", "../../secret", str(tmp_path / "secret"), "", "."):
        with pytest.raises(VolumeDriverError):
            file_backend.adopt_volume(name, "v")
    assert file_backend.observe_all() == {}
    assert {found.reference for found in file_backend.list_volumes()} == {"link", "folder", "b.qcow2", "no.qcow2"}
    assert safe(file_backend) == {}


def test_a_file_that_somebody_uses_is_refused(file_backend: FileBackend) -> None:
    path = unmanaged(file_backend) / "disk"
    raw_image(path)
    user = subprocess.Popen(["qemu-io", "-f", "raw", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    user.stdin.write("write 0 512\n")
    user.stdin.flush()
    while "wrote" not in user.stdout.readline():
        pass
    with pytest.raises(VolumeDriverError, match="lock"):
        file_backend.adopt_volume("disk", "v")
    user.communicate("quit\n", timeout=10)
    file_backend.adopt_volume("disk", "v")


@pytest.mark.parametrize("kind", ["plain", "clone", "image"])
def test_a_volume_becomes_a_file_that_stands_alone(file_backend: FileBackend, tmp_path: Path, kind: str) -> None:
    source = qcow2_image(tmp_path / "image") if kind == "image" else None
    file_backend.ensure(VolumeSpec("v", 1, source))
    put(file_backend, "v", 0, WORD)
    if kind == "clone":
        file_backend.ensure(VolumeSpec("other", 1, Source("volume", "v")))
    put(file_backend, "v", MIB, WORD)
    file_backend.connect("v", Connector("c", HOST))
    with pytest.raises(VolumeDriverError):
        file_backend.disown_volume("v")
    file_backend.disconnect("v", "c")
    name = file_backend.disown_volume("v")
    assert name == "volume-v"
    assert file_backend.disown_volume("v") == name
    assert file_backend.observe("v") is None
    if kind == "clone":
        file_backend.destroy("other", "zero")
    assert os.listdir(file_backend.tree.directory / "layers") == []
    assert safe(file_backend) == {name: 1}
    file_backend.adopt_volume(name, "again")
    assert get(file_backend, "again", 0, len(WORD)) == get(file_backend, "again", MIB, len(WORD)) == WORD


def test_snapshots_are_let_go_of_and_taken_in(file_backend: FileBackend) -> None:
    file_backend.ensure(VolumeSpec("v", 1))
    put(file_backend, "v", 0, WORD)
    file_backend.take_snapshot("v", "s")
    put(file_backend, "v", 0, b"W")
    with pytest.raises(VolumeDriverError):
        file_backend.disown_volume("v")
    name = file_backend.disown_snapshot("v", "s")
    assert name == "_snapshot-s"
    assert file_backend.disown_snapshot("v", "s") == name
    assert file_backend.observe("v").snapshots == ()
    assert [(found.reference, found.safe, found.volume_reference) for found in file_backend.list_snapshots()] == [
        (name, True, "v")
    ]
    with pytest.raises(VolumeDriverError):
        file_backend.destroy("v", "none")
    with pytest.raises(VolumeDriverError):
        file_backend.adopt_snapshot("v", "none", "again")
    for _ in range(2):
        assert file_backend.adopt_snapshot("v", name, "again") == 1
    assert get(file_backend, "v", 0, len(WORD), "again") == WORD
    assert [(found.reference, found.safe) for found in file_backend.list_snapshots()] == [("again", False)]
