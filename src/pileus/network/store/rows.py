"""Lists, single rows and changes of any of the resources: filters, order, pages, tags, revisions."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Integer,
    Row,
    String,
    Table,
    and_,
    delete,
    exists,
    false,
    func,
    insert,
    or_,
    select,
    update,
)  # fmt: skip

from pileus.kernel.errors import BadRequest
from pileus.kernel.paging import Page
from pileus.network.tables import tags

CHUNK = 5000
TAG_FILTERS = ("tags", "tags-any", "not-tags", "not-tags-any")

Clause = ColumnElement[bool]
NONE: Clause = false()


@dataclass(frozen=True)
class Kind:
    """A resource: its noun, its table, and what lists of it can be filtered and sorted by beyond the table's own columns."""

    noun: str
    table: Table
    renamed: Mapping[str, str] = field(default_factory=dict)
    filters: Mapping[str, Callable[[list[str]], Clause]] = field(default_factory=dict)

    def column(self, name: str) -> ColumnElement[Any] | None:
        """Return the column of an attribute that has one which can be compared."""
        found = self.table.c.get(self.renamed.get(name, "project_id" if name == "tenant_id" else name))
        return found if found is not None and isinstance(found.type, (String, Boolean, Integer)) else None


@dataclass(frozen=True)
class Wanted:
    """What part of a list is asked for: values by attribute (one of them must match), and the page."""

    filters: tuple[tuple[str, list[str]], ...] = ()
    page: Page = field(default_factory=Page)


def read_value(column: ColumnElement[Any], name: str, text: str) -> Any:
    """Read a filter's value as the column's type."""
    if isinstance(column.type, Boolean):
        known = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() not in known:
            raise BadRequest(f"Invalid input for {name}. Reason: '{text}' cannot be converted to boolean.", kind="HTTPBadRequest")
        return known[text.lower()]
    if isinstance(column.type, Integer):
        if not text.lstrip("-").isdecimal():
            raise BadRequest(f"Invalid input for {name}. Reason: '{text}' is not an integer.", kind="HTTPBadRequest")
        return max(min(int(text), 2**31), -(2**31))
    return text


def clause_of(kind: Kind, name: str, values: list[str]) -> Clause:
    """Return the condition of one filter.  :raises BadRequest: when lists cannot be filtered by it."""
    if name in kind.filters:
        return kind.filters[name](values)
    if name in TAG_FILTERS:
        return _tag_clause(kind, name, values)
    column = kind.column(name)
    if column is None:
        raise BadRequest(f"['{name}'] is invalid attribute for filtering", kind="HTTPBadRequest")
    known = [read_value(column, name, value) for value in values]
    alternatives = [column.in_(known)]
    if "" in values or "None" in values:
        alternatives.append(column.is_(None))
    return or_(*alternatives)


def _tag_clause(kind: Kind, name: str, values: list[str]) -> Clause:
    given = [part for value in values for part in value.split(",")]
    one = [exists().where(tags.c.resource_id == kind.table.c.id, tags.c.tag == tag) for tag in given]
    match = or_(*one) if name.endswith("-any") else and_(*one)
    return ~match if name.startswith("not-") else match


def list_rows(tx: Connection, kind: Kind, visible: Clause | None, wanted: Wanted) -> Sequence[Row[Any]]:
    """Return the rows of a list, in order."""
    query = select(*kind.table.c)
    if visible is not None:
        query = query.where(visible)
    for name, values in wanted.filters:
        query = query.where(clause_of(kind, name, values))
    page = wanted.page
    order = _order(kind, page)
    if page.marker is not None:
        query = query.where(_after(tx, kind, page.marker, order))
    query = query.order_by(*(column.desc() if down else column.asc() for column, down in order))
    if page.limit:
        query = query.limit(page.limit)
    rows = tx.execute(query).all()
    return rows[::-1] if page.reverse else rows


def _order(kind: Kind, page: Page) -> list[tuple[ColumnElement[Any], bool]]:
    order: list[tuple[ColumnElement[Any], bool]] = []
    for name, down in page.sort:
        column = kind.column(name)
        if column is None:
            raise BadRequest(f"['{name}'] is invalid attribute for sort keys", kind="HTTPBadRequest")
        order.append((column, down != page.reverse))
    if not any(name == "id" for name, _ in page.sort):
        order.append((kind.table.c.id, page.reverse))
    return order


def _after(tx: Connection, kind: Kind, marker: str, order: list[tuple[ColumnElement[Any], bool]]) -> Clause:
    """The condition for rows that come after the marker's in an order."""
    row = tx.execute(select(*(column for column, _ in order)).where(kind.table.c.id == marker)).first()
    if row is None:
        raise BadRequest(f"The marker {marker} is not there.", kind="HTTPBadRequest")
    alternatives: list[Clause] = []
    same: list[Clause] = []
    for (column, down), value in zip(order, row, strict=True):
        beyond = column < value if down else column > value
        if value is None:
            beyond = false() if down else column.is_not(None)
        elif down:
            beyond = or_(beyond, column.is_(None))
        alternatives.append(and_(*same, beyond))
        same.append(column.is_(None) if value is None else column == value)
    return or_(*alternatives)


def find_row(tx: Connection, kind: Kind, id: str) -> Row[Any] | None:
    """Return one row by its id."""
    return tx.execute(select(*kind.table.c).where(kind.table.c.id == id)).first()


def chunks(ids: Iterable[str]) -> Iterable[list[str]]:
    """Cut many ids into lists that a database takes at once."""
    every = list(ids)
    return (every[start : start + CHUNK] for start in range(0, len(every), CHUNK))


def tags_of(tx: Connection, ids: Collection[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the tags of things, by id."""
    found: dict[str, list[str]] = defaultdict(list)
    for chunk in chunks(ids):
        query = select(tags.c.resource_id, tags.c.tag).where(tags.c.resource_id.in_(chunk)).order_by(tags.c.tag)
        for id, tag in tx.execute(query):
            found[id].append(tag)
    return {id: tuple(names) for id, names in found.items()}


def set_tags(tx: Connection, id: str, names: Collection[str]) -> None:
    """Give a thing exactly these tags."""
    tx.execute(delete(tags).where(tags.c.resource_id == id))
    if names:
        tx.execute(insert(tags), [{"resource_id": id, "tag": name} for name in sorted(set(names))])


def insert_row(tx: Connection, table: Table, now: float, values: Mapping[str, Any]) -> dict[str, Any]:
    """Write a new row; returns it whole."""
    row = {**values, "revision_number": 0, "created_at": now, "updated_at": now}
    tx.execute(insert(table).values(**row))
    return row


def update_row(tx: Connection, table: Table, now: float, id: str, values: Mapping[str, Any]) -> None:
    """Change a row and count its revision up."""
    query = update(table).where(table.c.id == id)
    tx.execute(query.values(**values, revision_number=table.c.revision_number + 1, updated_at=now))


def delete_row(tx: Connection, table: Table, id: str) -> None:
    """Remove a row and its tags."""
    tx.execute(delete(tags).where(tags.c.resource_id == id))
    tx.execute(delete(table).where(table.c.id == id))


def count_rows(tx: Connection, table: Table, project_id: str) -> int:
    """Return how many of a resource a project has."""
    return tx.execute(select(func.count()).select_from(table).where(table.c.project_id == project_id)).scalar_one()


def owner_of(tx: Connection, table: Table, id: str) -> str:
    """Return the project that a row belongs to."""
    return str(tx.execute(select(table.c.project_id).where(table.c.id == id)).scalar_one())
