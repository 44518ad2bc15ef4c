"""The lab as those see it who use volumes."""

import shutil

import pytest

from tests.conftest import make_lab
from tests.volume.volumes_lab import VolumesLab


@pytest.fixture
def cloud(lab) -> VolumesLab:
    """A cloud with two back ends, host1@fake and host1@more."""
    return VolumesLab(lab)


@pytest.fixture
def twice(template_state, tmp_path) -> VolumesLab:
    """The same, where every step of long work is run twice."""
    shutil.copytree(template_state, tmp_path / "twice")
    lab = make_lab(tmp_path / "twice", repeats=2)
    yield VolumesLab(lab)
    lab.app.close()
    lab.cloud.db.dispose()
