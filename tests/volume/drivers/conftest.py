"""Back ends to test, by kind; each is ended with all that it served."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pileus.volume.driver import VolumeBackend
from pileus.volume.drivers.fake import FakeBackend
from pileus.volume.drivers.file import FileBackend
from tests.volume.drivers.blocks import block_backend
from tests.volume.drivers.mounts import mounted

HOST = "here"
Make = Callable[[], VolumeBackend]


def make_file(directory: Path, *, shared: bool = False) -> FileBackend:
    return FileBackend(directory / "volumes", directory / "run", HOST, shared=shared)


def tear_down(backend: VolumeBackend) -> None:
    """Disconnect everybody, so that no daemon is left, and let go."""
    for state in backend.observe_all().values():
        for connector_id in state.connections:
            backend.disconnect(state.id, connector_id)
    backend.close()


@pytest.fixture(scope="session")
def xfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system whose files can share blocks."""
    with mounted(tmp_path_factory.mktemp("mounted"), "xfs", 8 << 30) as place:
        yield place


@pytest.fixture(params=["fake", "file", "nfs", "blocks", pytest.param("reflink", marks=pytest.mark.host)])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VolumeBackend]:
    made: VolumeBackend
    if request.param == "fake":
        made = FakeBackend()
    elif request.param == "reflink":
        made = FileBackend(request.getfixturevalue("xfs") / tmp_path.name, tmp_path / "run", HOST)
        assert made.tree.reflinks
    elif request.param == "blocks":
        made = block_backend(tmp_path)
    else:
        made = make_file(tmp_path, shared=request.param == "nfs")
    yield made
    tear_down(made)


@pytest.fixture
def file_backend(tmp_path: Path) -> Iterator[FileBackend]:
    made = make_file(tmp_path)
    yield made
    tear_down(made)
