"""What is given in a body, and what is not."""

from typing import Any

from msgspec import UNSET


def given(value: Any, default: Any = None) -> Any:
    """Return a field's value, or a default when it was not given."""
    return default if value is UNSET else value


def id_of(reference: str) -> str:
    """Return the id at the end of a reference, which older clients give as a URL."""
    return reference.rstrip("/").rpartition("/")[2]
