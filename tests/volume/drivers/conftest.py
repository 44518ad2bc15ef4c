"""Back ends to test, by kind; each is ended with all that it served."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pileus.volume.driver import VolumeBackend
from pileus.volume.drivers.fake import FakeBackend
from pileus.volume.drivers.file import FileBackend

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


@pytest.fixture(params=["fake", "file", "nfs"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VolumeBackend]:
    made: VolumeBackend
    made = FakeBackend() if request.param == "fake" else make_file(tmp_path, shared=request.param == "nfs")
    yield made
    tear_down(made)


@pytest.fixture
def file_backend(tmp_path: Path) -> Iterator[FileBackend]:
    made = make_file(tmp_path)
    yield made
    tear_down(made)
