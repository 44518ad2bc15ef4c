"""The generated reference is what the code says."""

from pathlib import Path

import pytest

from pileus.docs import pages

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", sorted(pages()))
def test_the_reference_is_up_to_date(name):
    assert (REFERENCE / name).read_text() == pages()[name], "run: python -m pileus.docs docs/reference"
