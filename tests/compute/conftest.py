"""A cloud in which servers can be made."""

import pytest

from tests.compute.servers_lab import ServersLab, prepare


@pytest.fixture
def cloud(lab) -> ServersLab:
    """A lab with an image and a network."""
    return prepare(lab)
