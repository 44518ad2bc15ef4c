"""What a list of images is to hold and in which order, read from a query.  Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pileus.kernel.clock import from_iso
from pileus.kernel.errors import BadRequest
from pileus.kernel.paging import read_limit

LIMIT_DEFAULT, LIMIT_MAX = 25, 1000
SORT_KEYS = ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at")
VISIBILITIES = ("community", "public", "private", "shared")
MEMBER_STATUSES = ("pending", "accepted", "rejected", "all")
NUMBERS = ("size", "min_disk", "min_ram", "virtual_size")
TEXTS = ("name", "id", "status", "container_format", "disk_format")
SAME = ("checksum", "os_hash_value", "os_hash_algo", "owner")
OPERATORS = ("neq", "eq", "gt", "gte", "lt", "lte", "in")
PAGING = ("limit", "marker", "member_status", "sort", "sort_key", "sort_dir", "tag", "visibility", "deleted")
NUMBER_MAX = 2**63 - 1


@dataclass(frozen=True)
class Listing:
    """A list asked for.  conditions are (column, operator, value); sort pairs of a key and whether it descends."""

    limit: int
    marker: str | None
    sort: tuple[tuple[str, bool], ...]
    member_status: str
    visibility: str | None
    conditions: tuple[tuple[str, str, Any], ...]
    tags: tuple[str, ...]
    properties: dict[str, str] = field(default_factory=dict)


def read(pairs: Sequence[tuple[str, str]]) -> Listing:
    """Read a query.

    :raises BadRequest: when a value is not of its kind.
    """
    last = dict(pairs)
    visibility = last.get("visibility") or None
    if visibility not in (None, "all", *VISIBILITIES):
        raise BadRequest(f"Invalid visibility value: {visibility}")
    member_status = last.get("member_status", "accepted")
    if member_status not in MEMBER_STATUSES:
        raise BadRequest(f"Invalid status: {member_status}")
    if last.get("changes-since"):
        raise BadRequest('The "changes-since" filter is no longer available on v2.')
    conditions: list[tuple[str, str, Any]] = [("os_hidden", "eq", _boolean("os_hidden", last.get("os_hidden", "false").lower()))]
    properties: dict[str, str] = {}
    for key, value in last.items():
        if key not in PAGING and key != "os_hidden":
            found = _condition(key, value)
            conditions.extend(found)
            if not found:
                properties[key] = value
    limit = read_limit(last.get("limit"))
    tags = tuple(value.strip() for key, value in pairs if key == "tag")
    return Listing(
        LIMIT_DEFAULT if limit is None else min(limit, LIMIT_MAX), last.get("marker"), _sort(pairs), member_status, visibility,
        tuple(conditions), tags, properties,
    )  # fmt: skip


def _condition(key: str, value: str) -> list[tuple[str, str, Any]]:
    """Return what a filter demands of a column; nothing when it is a property's."""
    bound = key[-4:]
    if bound in ("_min", "_max") and key[:-4] in NUMBERS:
        return [
            (
                key[:-4],
                "gte" if bound == "_min" else "lte",
                _number(value, "Unable to filter on a range with a non-numeric value."),
            )
        ]
    if key in NUMBERS:
        return [(key, "eq", _number(value, f"The filter {key} must be a whole number."))]
    if key == "protected":
        return [(key, "eq", _boolean(key, value))]
    if key in SAME:
        return [(key, "eq", value)]
    if key in ("created_at", "updated_at"):
        return _moment(key, value)
    if key in TEXTS:
        operator, rest = _split_operator(value)
        if operator == "in":
            return [(key, "in", _split_values(rest))]
        if operator != "eq":
            raise BadRequest(f"Unable to filter by unknown operator '{operator}'.")
        return [(key, "eq", rest)]
    return []


def _moment(key: str, value: str) -> list[tuple[str, str, Any]]:
    """Compare times by the second, as they are shown: a moment stands for the whole second."""
    operator, text = _split_operator(value)
    try:
        second = float(int(from_iso(text.replace(" ", "+"))))
    except (ValueError, OverflowError):
        raise BadRequest(f'Bad "{key}" query filter format. Use ISO 8601 DateTime notation.') from None
    match operator:
        case "gte" | "lt":
            return [(key, operator, second)]
        case "gt":
            return [(key, "gte", second + 1)]
        case "lte":
            return [(key, "lt", second + 1)]
        case "eq":
            return [(key, "gte", second), (key, "lt", second + 1)]
    raise BadRequest(f"Unable to filter by unknown operator '{operator}'.")


def _split_operator(text: str) -> tuple[str, str]:
    left, colon, right = text.partition(":")
    return (left, right) if colon and left in OPERATORS else ("eq", text)


def _split_values(text: str) -> list[str]:
    """Read values with commas between them; one in double quotes may hold commas."""
    values: list[str] = []
    rest = text
    while rest:
        if rest.startswith('"'):
            value, quote, rest = rest[1:].partition('"')
            if not quote or (rest and not rest.startswith(",")):
                raise BadRequest(f"Invalid filter value {text}. The quote is not closed.")
            rest = rest[1:]
        else:
            value, _, rest = rest.partition(",")
            if '"' in value:
                raise BadRequest(f"Invalid filter value {text}. There is no comma before opening quotation mark.")
        values.append(value)
    return values or [""]


def _number(value: str, message: str) -> int:
    try:
        number = int(value)
    except ValueError:
        raise BadRequest(message) from None
    if abs(number) > NUMBER_MAX:
        raise BadRequest(message)
    return number


def _boolean(key: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise BadRequest(f"Invalid value '{value}' for '{key}' filter. Valid values are 'true' or 'false'.")
    return value == "true"


def _sort(pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, bool], ...]:
    names = {key for key, _ in pairs}
    if "sort" in names:
        if names & {"sort_key", "sort_dir"}:
            raise BadRequest("Old and new sorting syntax cannot be combined")
        parts = [part.partition(":") for key, text in pairs if key == "sort" for part in text.strip().split(",")]
        keys, directions = [key.strip() for key, _, _ in parts], [way.strip() or "desc" for _, _, way in parts]
    else:
        keys = [value.strip() for key, value in pairs if key == "sort_key"]
        directions = [value.strip() for key, value in pairs if key == "sort_dir"] or ["desc"]
        if len(directions) > 1 and len(directions) != len(keys):
            raise BadRequest("Number of sort dirs does not match the number of sort keys")
        keys = keys or ["created_at"]
        directions = directions * len(keys) if len(directions) == 1 else directions
    for key in keys:
        if key not in SORT_KEYS:
            raise BadRequest(f"Invalid sort key: {key}. It must be one of the following: {', '.join(SORT_KEYS)}.")
    for direction in directions:
        if direction not in ("asc", "desc"):
            raise BadRequest(f"Invalid sort direction: {direction}")
    order = dict(zip(keys, (direction == "desc" for direction in directions), strict=True))
    last = directions[-1] == "desc"
    return tuple((order | {key: last for key in ("created_at", "id") if key not in order}).items())
