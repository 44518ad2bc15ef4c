"""Guests that more than one module tests with."""

import uuid
from pathlib import Path

import pytest

from pileus.compute.driver import DiskSpec, GuestSpec
from pileus.guest import build
from tests.compute.drivers import sectors


@pytest.fixture
def spec(tmp_path: Path) -> GuestSpec:
    """A guest that is up in a moment, and does as it is told."""
    image = tmp_path / "image.raw"
    image.write_bytes(sectors.obedient())
    disk = DiskSpec("root", "image", source=str(image), source_format="raw", boot_index=1)
    return GuestSpec(str(uuid.uuid4()), "one", vcpus=1, memory_mib=16, disks=(disk,))


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image of a guest with Linux."""
    folder = tmp_path_factory.mktemp("image")
    (folder / "work").mkdir()
    build(folder / "guest.qcow2", folder / "work")
    return folder / "guest.qcow2"
