"""The kinds of fields that compute's bodies are made of, as lenient as nova's own."""

from typing import Annotated

from msgspec import Meta

from pileus.kernel.clock import to_iso_micro
from pileus.kernel.errors import BadRequest

MAX_INT = 2**31 - 1

Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^(?!\s)[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f]$(?!\n)")]
LooseName = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$(?!\n)")
]
ZoneName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^(?!\s)[^\x00-\x1f\x7f:]*[^\s\x00-\x1f\x7f:]$(?!\n)")]
HostName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9-._]*$(?!\n)")]
Positive = Annotated[int, Meta(ge=1, le=MAX_INT)] | Annotated[str, Meta(pattern=r"^0*[1-9][0-9]*$(?!\n)", max_length=10)]
NotNegative = Annotated[int, Meta(ge=0, le=MAX_INT)] | Annotated[str, Meta(pattern=r"^[0-9]+$(?!\n)", max_length=10)]
Limit = Annotated[int, Meta(ge=-1, le=MAX_INT)] | Annotated[str, Meta(pattern=r"^(-1|[0-9]+)$(?!\n)", max_length=10)]
Bool = bool | Annotated[str, Meta(max_length=5)]
MetaKey = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9-_:. ]{1,255}$(?!\n)")]
MetaValue = Annotated[str, Meta(max_length=255)]

TRUE, FALSE = {"true", "1", "on", "yes", "y", "t"}, {"false", "0", "off", "no", "n", "f"}


def read_bool(value: bool | str) -> bool:
    """Read a truth in any of the ways that OpenStack takes it.

    :raises BadRequest: when it is none of them.
    """
    if isinstance(value, bool):
        return value
    word = value.strip().lower()
    if word not in TRUE | FALSE:
        raise BadRequest(f"Unrecognized value '{value}', acceptable values are: true, false, on, off, yes, no, 1, 0.")
    return word in TRUE


def read_int(value: int | str, most: int = MAX_INT) -> int:
    """Read a number given as such or as text.

    :raises BadRequest: when it is larger than most.
    """
    number = int(value)
    if number > most:
        raise BadRequest(f"Invalid input. {number} is greater than the maximum of {most}.")
    return number


def show_time(seconds: float | None) -> str | None:
    """Show a time as the older parts of nova do: with microseconds and without a zone."""
    return None if seconds is None else to_iso_micro(seconds).removesuffix("Z")
