"""Lists in pages: which part is asked for, and the link to the next one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from pileus.kernel.errors import BadRequest

Item = TypeVar("Item")


@dataclass(frozen=True)
class Page:
    """What part of a list is wanted: at most limit items after the one whose id is marker, in an order.

    sort holds pairs of a key and whether it descends.  limit None is all.
    """

    limit: int | None = None
    marker: str | None = None
    sort: tuple[tuple[str, bool], ...] = ()
    reverse: bool = False


def read_limit(text: str | None, most: int | None = None) -> int | None:
    """Read a limit; most caps it and stands for one that is not given.

    :raises BadRequest: when it is not a whole number of 0 or more.
    """
    if text is None:
        return most
    if not (text.isascii() and text.isdecimal()):
        raise BadRequest(f"Invalid input for query parameters limit. Value: {text}. limit must be an integer of 0 or more.")
    limit = int(text)
    return limit if most is None else min(limit, most)


def read_sort(
    keys: Sequence[str], directions: Sequence[str], allowed: Mapping[str, Any] | set[str]
) -> tuple[tuple[str, bool], ...]:
    """Pair sort keys with their directions; a key without one ascends as the last named direction says.

    :raises BadRequest: when a key or direction is unknown, or there are more directions than keys.
    """
    if len(directions) > len(keys):
        raise BadRequest("Sort direction array size exceeds sort key array size.")
    pairs = []
    for index, key in enumerate(keys):
        direction = directions[index] if index < len(directions) else "asc"
        if key not in allowed:
            raise BadRequest(f"Invalid sort key: {key}. It must be one of {', '.join(sorted(allowed))}.")
        if direction not in ("asc", "desc"):
            raise BadRequest(f"Invalid sort direction: {direction}. It must be asc or desc.")
        pairs.append((key, direction == "desc"))
    return tuple(pairs)


def next_link(url: str, query: Sequence[tuple[str, str]], marker: str, **replace: str) -> str:
    """Return the URL of the next page: the one of this page with another marker."""
    kept = [(k, v) for k, v in query if k != "marker" and k not in replace]
    return f"{url}?{urlencode([*kept, *replace.items(), ('marker', marker)])}"
