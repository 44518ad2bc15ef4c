"""The kinds of fields that the bodies of block storage are made of, as lenient as cinder's own."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta

from pileus.kernel import ids
from pileus.kernel.errors import BadRequest

MAX_INT = 2**31 - 1

Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\S")]
LooseName = Annotated[str, Meta(max_length=255)] | None
Description = Annotated[str, Meta(max_length=255, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*\Z")] | None
Text255 = Annotated[str, Meta(max_length=255)]
Bool = bool | Annotated[str, Meta(max_length=5)]
SpecKey = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9-_:. /]{1,255}\Z")]
TightKey = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9-_:.]{1,255}\Z")]

TRUE, FALSE = {"true", "1", "on", "yes", "y", "t"}, {"false", "0", "off", "no", "n", "f"}


def read_bool(value: bool | str) -> bool:
    """Read a truth in any of the ways that OpenStack takes it.

    :raises BadRequest: when it is none of them.
    """
    if isinstance(value, bool):
        return value
    word = value.strip().lower()
    if word not in TRUE | FALSE:
        raise BadRequest(f"Unrecognized value '{value}', acceptable values are: {', '.join(sorted(TRUE | FALSE))}")
    return word in TRUE


def read_uuid(value: str, name: str) -> str:
    """Read an id.

    :raises BadRequest: when it is none.
    """
    if not ids.is_uuid(value):
        raise BadRequest(f"Invalid input for field/attribute {name}. Value: {value}. '{value}' is not a 'uuid'")
    return value


def read_int(value: Any, name: str, least: int = 0, most: int = MAX_INT) -> int:
    """Read a whole number given as such or as text.

    :raises BadRequest: when it is none, or out of bounds.
    """
    if isinstance(value, bool) or not re.fullmatch(r"\s*[+-]?[0-9]{1,20}\s*", str(value), re.ASCII):
        raise BadRequest(f"{name} must be an integer")
    number = int(value)
    if number < least:
        raise BadRequest(f"{name} must be >= {least}")
    if number > most:
        raise BadRequest(f"{name} must be <= {most}")
    return number


def show_time(seconds: float | None) -> str | None:
    """Show a time as cinder does: with microseconds and without a zone."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:26]
