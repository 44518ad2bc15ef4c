"""Reading and writing records of any kind, by equality of columns; what needs more is in the modules beside this one."""

from collections.abc import Collection
from dataclasses import asdict, fields
from typing import Any, TypeVar, cast

from sqlalchemy import ColumnElement, Connection, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from pileus.identity.store.records import TABLES
from pileus.kernel.errors import Conflict

R = TypeVar("R")


_COLUMNS = {kind: [table.c[part.name] for part in fields(kind)] for kind, table in TABLES.items()}


def _where(table: Table, equal: dict[str, Any]) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for name, value in equal.items():
        column = table.c[name]
        found.append(column.in_(value) if isinstance(value, (list, tuple, set, frozenset)) else column == value)
    return found


def _make(kind: type[R], row: Any) -> R:
    return cast(Any, kind)(*row)  # type: ignore[no-any-return]


def get(tx: Connection, kind: type[R], id: str) -> R | None:
    """Return the record of an id."""
    row = tx.execute(select(*_COLUMNS[kind]).where(TABLES[kind].c.id == id)).first()
    return None if row is None else _make(kind, row)


def find(tx: Connection, kind: type[R], **equal: Any) -> list[R]:
    """Return the records whose columns equal (or, for a list, are among) the values, in the order of their names or ids."""
    table = TABLES[kind]
    order = [table.c[name] for name in ("name", "id") if name in table.c]
    query = select(*_COLUMNS[kind]).where(*_where(table, equal)).order_by(*order)
    return [_make(kind, row) for row in tx.execute(query)]


def first(tx: Connection, kind: type[R], **equal: Any) -> R | None:
    """Return one record whose columns equal the values."""
    found = find(tx, kind, **equal)
    return found[0] if found else None


def add(tx: Connection, record: Any, what: str, details: str) -> None:
    """Write a new record.

    :raises Conflict: "Conflict occurred attempting to store `what` - `details`" when there is one like it.
    """
    try:
        tx.execute(insert(TABLES[type(record)]).values(**asdict(record)))
    except IntegrityError as error:
        raise duplicate(what, details) from error


def change(tx: Connection, kind: type[Any], id: str, values: dict[str, Any], what: str = "", details: str = "") -> bool:
    """Change columns of a record; tell whether it is there.

    :raises Conflict: as add does.
    """
    table = TABLES[kind]
    if not values:
        return True
    try:
        return bool(tx.execute(update(table).where(table.c.id == id).values(**values)).rowcount)
    except IntegrityError as error:
        raise duplicate(what, details) from error


def drop(tx: Connection, kind: type[Any], **equal: Any) -> int:
    """Delete the records whose columns equal the values; return how many there were."""
    table = TABLES[kind]
    return tx.execute(delete(table).where(*_where(table, equal))).rowcount


def by_id(tx: Connection, kind: type[R], ids: Collection[str]) -> dict[str, R]:
    """Return the records of some ids, by id."""
    return {record.id: record for record in find(tx, kind, id=sorted(ids))} if ids else {}  # type: ignore[attr-defined]


def duplicate(what: str, details: str) -> Conflict:
    """Return the fault for a thing that is there already."""
    return Conflict(f"Conflict occurred attempting to store {what} - {details}")
