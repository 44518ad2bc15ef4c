"""The query of a list: filters, fields, order and pages, and the links between pages."""

import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from pileus.kernel.errors import BadRequest, PreconditionFailed
from pileus.kernel.http import Call
from pileus.kernel.paging import Page
from pileus.network.store.rows import Wanted

RESERVED = {"fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir", "verbose", "tags", "changed_since"}
REVISION = re.compile(r"\s*revision_number=(\d{1,9})\s*$")


def _bad(text: str) -> BadRequest:
    return BadRequest(text, kind="HTTPBadRequest")


def read(call: Call) -> Wanted:
    """Return what part of a list is asked for.  :raises BadRequest: when it cannot be told."""
    query = call.query
    filters: dict[str, list[str]] = {}
    for name, value in query.pairs:
        if name not in RESERVED or name == "tags":
            filters.setdefault(name, []).append(value)
    keys, directions = query.all("sort_key"), query.all("sort_dir")
    if len(keys) != len(directions) and directions:
        raise _bad("The number of sort_keys and sort_dirs must be same")
    if any(direction not in ("asc", "desc") for direction in directions):
        raise _bad(f"{directions} is invalid attribute for sort_dir, use 'asc' or 'desc'")
    sort = tuple(zip(keys, (d == "desc" for d in (directions or ["asc"] * len(keys))), strict=True))
    reverse = (query.get("page_reverse") or "").lower() in ("true", "1")
    return Wanted(tuple(filters.items()), Page(_limit(query.get("limit")), query.get("marker") or None, sort, reverse))


def _limit(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise _bad("Limit must be an integer 0 or greater and not '" + text[:64] + "'")
    return int(text) or None


def pick(call: Call) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that leaves of an answer what `fields` names."""
    names = {name for name in call.query.all("fields") if name}
    if not names:
        return lambda shown: shown
    return lambda shown: {name: value for name, value in shown.items() if name in names}


def links(call: Call, page: Page, ids: Sequence[str]) -> list[dict[str, str]]:
    """Return the links to the pages before and after this one; from an empty page the one before is the last."""
    if not page.limit:
        return []
    full = len(ids) >= page.limit
    kept = [(name, value) for name, value in call.query.pairs if name not in ("marker", "page_reverse")]
    found = []
    if full or page.reverse:
        onward = [*kept, *([("marker", ids[-1])] if ids else [])]
        found.append({"rel": "next", "href": f"{call.path_url}?{urlencode(onward)}"})
    if full or not page.reverse:
        back = [*kept, *([("marker", ids[0])] if ids else []), ("page_reverse", "True")]
        found.append({"rel": "previous", "href": f"{call.path_url}?{urlencode(back)}"})
    return found


def revision(call: Call) -> int | None:
    """Return the revision that a change is made for: `If-Match: revision_number=5`."""
    text = call.headers.get("if-match")
    if not text:
        return None
    found = REVISION.match(text)
    if found is None:
        raise PreconditionFailed(
            f"The If-Match header {text[:64]!r} is not of the form revision_number=N.", kind="HTTPPreconditionFailed"
        )
    return int(found.group(1))
