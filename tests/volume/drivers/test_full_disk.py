"""A back end whose file system is full says so, and leaves nothing half made; what gives room back still works."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.volume.driver import BackendFull, Connector, Source, VolumeSpec
from pileus.volume.drivers.file import FileBackend
from tests.volume.drivers.conftest import HOST, tear_down
from tests.volume.drivers.mounts import mounted
from tests.volume.drivers.test_contract import MIB, WORD, get, put
from tests.volume.drivers.test_file import until

pytestmark = pytest.mark.host
ROOM_BYTES = 20 * MIB


@pytest.fixture(params=["ext4", "xfs"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileBackend]:
    with mounted(tmp_path / "mounted", request.param, (64 if request.param == "ext4" else 320) * MIB) as place:
        backend = FileBackend(place / "volumes", tmp_path / "run", HOST)
        assert backend.tree.reflinks == (request.param == "xfs")
        found = os.statvfs(place)
        with (place / "others").open("wb") as file:  # room that takes no time to fill
            os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - ROOM_BYTES)
        yield backend
        tear_down(backend)


def fill(backend: FileBackend) -> Path:
    """Take all the room that there is."""
    path = backend.tree.directory / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 512):
            with contextlib.suppress(OSError):
                while file.write(os.urandom(size)):
                    os.fsync(file.fileno())
    return path


def names(backend: FileBackend) -> dict[str, set[str]]:
    folders = ("volumes", "layers", "building", "trash")
    return {folder: set(os.listdir(backend.tree.directory / folder)) for folder in folders}


def test_a_volume_that_does_not_fit_is_not_there(small: FileBackend, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(os.urandom(2 * ROOM_BYTES))
    before = names(small)
    for spec in (
        VolumeSpec("v", 1, thin=False),
        VolumeSpec("v", 1, Source("image", path=str(image))),
        VolumeSpec("v", 1, Source("image", path=str(image)), thin=False),
        VolumeSpec("v", 1, Source("image", path=str(image)), luks_key="5e" * 32),
    ):
        with pytest.raises(BackendFull, match=r"No space left|File too large"):
            small.ensure(spec)
        assert names(small) == before
    assert small.observe_all() == {}


def test_a_guest_that_writes_too_much_is_told(small: FileBackend) -> None:
    small.ensure(VolumeSpec("v", 1))
    content = small.open("v", writable=True)
    with pytest.raises(BackendFull):
        for offset in range(0, 1 << 30, 8 * MIB):
            content.write(offset, os.urandom(8 * MIB))
            content.flush()
    content.close()


def test_a_full_disk_takes_no_snapshot_but_lets_go(small: FileBackend) -> None:
    small.ensure(VolumeSpec("v", 1))
    put(small, "v", 0, WORD * 1000)
    small.take_snapshot("v", "s")
    put(small, "v", 0, b"W")
    small.connect("v", Connector("c", HOST))
    filler = fill(small)
    before = names(small)["layers"]
    refused = 0
    for number in range(40):
        try:
            small.take_snapshot("v", f"more{number}")
        except BackendFull:
            refused += 1
            break
    assert refused or small.tree.reflinks, "an overlay needs room"
    assert before <= names(small)["layers"]
    assert get(small, "v", 0, len(WORD)) == b"W" + WORD[1:]
    small.disconnect("v", "c")
    for id in small.observe("v").snapshots:
        small.drop_snapshot("v", id, "punch")
    small.destroy("v", "zero")
    assert small.observe("v") is None
    until(lambda: names(small)["layers"] == set())
    filler.unlink()
    small.ensure(VolumeSpec("v", 1))


def test_after_a_refusal_all_goes_on(small: FileBackend) -> None:
    small.ensure(VolumeSpec("v", 1))
    small.connect("v", Connector("c", HOST))
    put(small, "v", 0, WORD)
    filler = fill(small)
    with contextlib.suppress(BackendFull):
        for number in range(40):
            small.ensure(VolumeSpec(f"clone{number}", 1, Source("volume", "v")))
    filler.unlink()
    assert get(small, "v", 0, len(WORD)) == WORD
    put(small, "v", 0, b"W")
    small.take_snapshot("v", "s")
    put(small, "v", 0, b"X")
    assert get(small, "v", 0, 1, "s") == b"W"
