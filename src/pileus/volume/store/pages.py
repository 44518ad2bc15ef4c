"""Cutting pages out of what a question finds: an order by several keys, and what comes after a marker."""

import operator as ops
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select
from sqlalchemy.sql.expression import ColumnElement


@dataclass(frozen=True, slots=True)
class Slice:
    """What part of a list is wanted: at most limit after the marker's, having left out offset of them.

    sort holds pairs of a key and whether it descends.
    """

    limit: int | None = None
    offset: int = 0
    marker: str | None = None
    sort: tuple[tuple[str, bool], ...] = (("created_at", True),)


class UnknownMarker(Exception):
    """The marker is the id of nothing."""


class UnknownKey(Exception):
    """There is no such key to sort by."""


def paged(
    tx: Connection, query: Select[Any], id: ColumnElement[str], keys: Mapping[str, ColumnElement[Any]], wanted: Slice
) -> Select[Any]:
    """Return a question for the wanted part of what another one finds.

    :param id: the column of ids, the last key of every order.
    :param keys: the columns that may be sorted by; text and numbers that may be missing come first, as empty.
    :raises UnknownMarker: when there is nothing of the marker's id.
    :raises UnknownKey: when a key is none of those.
    """
    if unknown := [name for name, _ in wanted.sort if name not in keys]:
        raise UnknownKey(unknown[0])
    order = [(_present(keys[name]), descends) for name, descends in wanted.sort if name != "id"]
    order.append((id, wanted.sort[-1][1] if wanted.sort else True))
    if wanted.marker is not None:
        found = tx.execute(select(*[key for key, _ in order]).where(id == wanted.marker)).first()
        if found is None:
            raise UnknownMarker(wanted.marker)
        query = query.where(_after(order, found))
    query = query.order_by(*[key.desc() if descends else key.asc() for key, descends in order])
    query = query.limit(wanted.limit) if wanted.limit is not None else query
    return query.offset(wanted.offset) if wanted.offset else query


def _present(column: ColumnElement[Any]) -> ColumnElement[Any]:
    if not getattr(column, "nullable", False):
        return column
    return func.coalesce(column, "" if column.type.python_type is str else 0)


def _after(order: Sequence[tuple[ColumnElement[Any], bool]], marker: Sequence[Any]) -> ColumnElement[bool]:
    cases = []
    for index, (key, descends) in enumerate(order):
        same = [earlier == marker[i] for i, (earlier, _) in enumerate(order[:index])]
        cases.append(and_(*same, key < marker[index] if descends else key > marker[index]))
    return or_(*cases)


def compared(column: ColumnElement[Any], operator: str, value: Any) -> ColumnElement[bool]:
    """Return a comparison of a column: gt, gte, lt, lte, eq or neq."""
    compare = {"gt": ops.gt, "gte": ops.ge, "lt": ops.lt, "lte": ops.le, "eq": ops.eq, "neq": ops.ne}[operator]
    found: ColumnElement[bool] = compare(column, value)
    return found
