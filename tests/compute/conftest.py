"""A cloud in which servers can be made."""

import pytest

from tests.compute.servers_lab import ServersLab, prepare
from tests.compute.volumes_lab import VolumesLab, with_volumes


@pytest.fixture
def cloud(lab) -> ServersLab:
    """A lab with an image and a network."""
    return prepare(lab)


@pytest.fixture
def store(cloud) -> VolumesLab:
    """A lab with an image, a network and block storage."""
    return with_volumes(cloud)
