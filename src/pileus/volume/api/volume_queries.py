"""The queries of lists of volumes: filters, order, pages."""

import ast
from typing import Any

from pileus.kernel.clock import from_iso
from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call
from pileus.volume.api.queries import Cut
from pileus.volume.schemas.fields import FALSE, TRUE, read_bool
from pileus.volume.store.pages import Slice
from pileus.volume.store.volume_search import COLUMNS, FLAGS, NUMBERS, Search

PAGING = {"limit", "marker", "offset", "sort", "sort_key", "sort_dir", "with_count", "all_tenants"}
MINE = {
    "name", "status", "metadata", "bootable", "migration_status", "availability_zone", "group_id", "size", "created_at",
    "updated_at", "consumes_quota",
}  # fmt: skip
"""What all may filter volumes by; admins may use any column."""
TIMES = {"created_at", "updated_at"}
OPERATORS = ("gt", "gte", "eq", "neq", "lt", "lte")
ADDED = {"glance_metadata": "3.4", "group_id": "3.10", "created_at": "3.60", "updated_at": "3.60", "consumes_quota": "3.65"}
ALIASES = {"tenant_id": "project_id"}


def slice_of(cut: Cut) -> Slice:
    """Return what part of a list is wanted, for the store."""
    return Slice(cut.limit, cut.offset, cut.marker, cut.sort)


def everyone(call: Call) -> bool:
    """Tell whether things of all projects are asked for."""
    return read_bool(call.query.get("all_tenants") or "0") if "all_tenants" in call.query else False


def given_filters(call: Call, mine: set[str]) -> dict[str, str]:
    """Return the filters of a query that count for this caller in this microversion.

    :raises BadRequest: when one is not for the caller (3.31; before, those are passed over).
    """
    given = {name: value for name, value in call.query.pairs if name not in PAGING}
    if call.ctx.is_admin:
        return given
    like = call.since("3.34")
    unknown = [name for name in given if (name.removesuffix("~") if like else name) not in mine]
    if unknown and call.since("3.31"):
        raise BadRequest(f"Invalid filters {','.join(sorted(unknown))} are found in query options.")
    return {name: value for name, value in given.items() if name not in unknown}


def read_search(call: Call) -> Search:
    """Return what volumes are looked for.  :raises BadRequest: when a filter makes no sense."""
    given = given_filters(call, MINE)
    for name, since in ADDED.items():
        if not call.since(since):
            given.pop(name, None)
    exact: dict[str, Any] = {}
    parts: dict[str, str] = {}
    times: dict[str, list[tuple[str, float]]] = {}
    pairs: dict[str, dict[str, str]] = {}
    nothing = False
    for name, value in given.items():
        column = ALIASES.get(name, name)
        if name in ("metadata", "glance_metadata"):
            pairs[name] = read_pairs(value)
        elif name in TIMES:
            times[name] = _bounds(name, value)
        elif column in COLUMNS:
            exact[column] = read_value(column, value, strict=call.since("3.2"))
        elif call.since("3.34") and column.removesuffix("~") in COLUMNS and column not in TIMES:
            parts[column.removesuffix("~")] = value
        else:
            nothing = True
    return Search(
        None, exact, parts, pairs.get("metadata", {}), pairs.get("glance_metadata", {}), times, nothing or not _possible(exact)
    )


def _possible(exact: dict[str, Any]) -> bool:
    return not any(name in NUMBERS and value is None for name, value in exact.items())


def read_value(name: str, value: str, *, strict: bool) -> Any:
    """Read the value that a column is to have; None for a number that none has.

    :raises BadRequest: when it is to be a truth and is none.
    """
    if name in FLAGS:
        word = value.strip().lower()
        if strict and word not in TRUE | FALSE:
            raise BadRequest(f"Invalid input received: '{name} = {value}'", kind="InvalidInput")
        return word not in FALSE if not strict else word in TRUE
    if name in NUMBERS:
        return int(value) if value.isascii() and value.isdecimal() and len(value) < 10 else None
    return value


def read_pairs(text: str) -> dict[str, str]:
    """Read metadata to look for, written {"key": "value"} or {'key': 'value'}.  :raises BadRequest: when it is not."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        found = None
    if not isinstance(found, dict):
        raise BadRequest(f"Invalid input received: metadata = {text}", kind="InvalidInput")
    return {str(key): str(value) for key, value in found.items()}


def _bounds(name: str, text: str) -> list[tuple[str, float]]:
    found = []
    for part in text.split(","):
        operator, colon, moment = part.partition(":")
        if operator not in OPERATORS or not colon:
            raise BadRequest(f"Invalid {operator} operator")
        try:
            found.append((operator, from_iso(moment.strip().replace(" ", "+"))))
        except (ValueError, OverflowError):
            raise BadRequest(f"Invalid {moment} value") from None
    if not found:
        raise BadRequest(f"Invalid {name} value")
    return found
