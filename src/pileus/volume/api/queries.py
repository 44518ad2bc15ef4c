"""What the queries of lists have in common: pages, orders, links."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pileus.kernel.errors import BadRequest, NotFound
from pileus.kernel.http import Call
from pileus.kernel.paging import next_link
from pileus.volume.schemas.fields import read_bool, read_int

MOST = 1000

Item = TypeVar("Item")


@dataclass(frozen=True)
class Cut:
    """What part of a list is wanted: at most limit items after the marker's, having left out offset of them."""

    limit: int
    offset: int
    marker: str | None
    sort: tuple[tuple[str, bool], ...]


def read_cut(call: Call, key: str = "created_at", direction: str = "desc") -> Cut:
    """Read limit, offset, marker, and sort (or sort_key and sort_dir); key and direction hold where none is given.

    :raises BadRequest: when one cannot be read.
    """
    query = call.query
    text = query.get("limit")
    try:
        limit = MOST if text is None else int(text)
    except ValueError:
        raise BadRequest("limit param must be an integer") from None
    if limit < 0:
        raise BadRequest("limit param must be positive")
    offset = read_int(query.get("offset") or 0, "offset")
    return Cut(min(limit, MOST), offset, query.get("marker"), _read_sort(call, key, direction))


def cut(items: Sequence[Item], wanted: Cut, keys: Mapping[str, Callable[[Item], Any]]) -> list[Item]:
    """Cut the wanted part out of a list that is at hand as a whole.

    :param keys: what each key that may be sorted by is of an item; "id" must be among them.
    :raises BadRequest: when a sort key is unknown.
    :raises NotFound: when there is no item of the marker's id.
    """
    found = list(items)
    for name, descends in reversed(wanted.sort):
        if name not in keys:
            raise BadRequest("Invalid input received: Sort key supplied is not valid.")
        found.sort(key=lambda item, read=keys[name]: _orderly(read(item)), reverse=descends)  # type: ignore[misc]
    start = 0
    if wanted.marker is not None:
        start = next((index + 1 for index, item in enumerate(found) if keys["id"](item) == wanted.marker), 0)
        if not start:
            raise NotFound(f"marker {wanted.marker} could not be found.")
    start += wanted.offset
    return found[start : start + wanted.limit]


def next_links(call: Call, wanted: Cut, shown_ids: Sequence[str]) -> list[dict[str, str]]:
    """Return the link to the next page, when this one is full."""
    if not shown_ids or len(shown_ids) < wanted.limit:
        return []
    return [{"rel": "next", "href": next_link(call.path_url, call.query.pairs, shown_ids[-1])}]


def links(call: Call, root: str, thing: str) -> list[dict[str, str]]:
    """Return the links self and bookmark of a thing, such as ("volumes", ID), with the project where the caller named it."""
    project = f"/{call.ctx.project_id}" if f"/v3/{call.ctx.project_id}/" in call.path_url else ""
    return [
        {"rel": "self", "href": f"{call.base_url}/v3{project}/{root}/{thing}"},
        {"rel": "bookmark", "href": f"{call.base_url}{project}/{root}/{thing}"},
    ]


def fits(row: Any, filters: Mapping[str, str]) -> bool:
    """Tell whether a row is as filters say: has a value, or (a name that ends in ~) has it in it."""
    for name, wanted in filters.items():
        value = getattr(row, name.removesuffix("~"), None)
        if value is None or (wanted not in str(value) if name.endswith("~") else str(value) != wanted):
            return False
    return True


def read_public(text: str | None) -> bool | None:
    """Read whether public types are wanted (also when it is not said), the others, or (None) both.

    :raises BadRequest: when it is none of these.
    """
    if text is None:
        return True
    if text.lower() == "none":
        return None
    try:
        return read_bool(text)
    except BadRequest:
        raise BadRequest(f"Invalid is_public filter [{text}]") from None


def _read_sort(call: Call, key: str, direction: str) -> tuple[tuple[str, bool], ...]:
    query = call.query
    text = query.get("sort")
    if text is None:
        pairs = [((query.get("sort_key") or key).strip(), (query.get("sort_dir") or direction).strip())]
    elif "sort_key" in query or "sort_dir" in query:
        told = "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' parameter."
        raise BadRequest(told)
    else:
        parts = [part.partition(":") for part in text.strip().split(",")]
        pairs = [(name.strip(), way.strip() or direction) for name, _, way in parts]
    for _, way in pairs:
        if way not in ("asc", "desc"):
            raise BadRequest("Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.")
    return tuple((name, way == "desc") for name, way in pairs)


def _orderly(value: Any) -> tuple[bool, Any]:
    """Make a value that may be None comparable: None comes first."""
    return (value is not None, value if value is not None else 0)
