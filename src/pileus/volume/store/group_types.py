"""Questions asked of the table of group types."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from pileus.volume.tables.groups import group_types, groups

GroupType = Row[Any]
"""A group type's row, with the names of the table's columns."""

T = group_types.c


def get(tx: Connection, id: str) -> GroupType | None:
    """Return a group type by id."""
    return tx.execute(select(group_types).where(T.id == id)).first()


def get_by_name(tx: Connection, name: str) -> GroupType | None:
    """Return a group type by name."""
    return tx.execute(select(group_types).where(T.name == name)).first()


def get_reserved(tx: Connection) -> GroupType | None:
    """Return the type of the groups that are consistency groups."""
    return tx.execute(select(group_types).where(T.is_default.is_(True))).first()


def list_all(tx: Connection, is_public: bool | None = None) -> Sequence[GroupType]:
    """Return the group types, the newest first."""
    query = select(group_types).order_by(T.created_at.desc(), T.id.desc())
    return tx.execute(query if is_public is None else query.where(T.is_public.is_(is_public))).all()


def add(tx: Connection, **values: Any) -> None:
    """Write a new group type down."""
    tx.execute(insert(group_types).values(**values))


def change(tx: Connection, id: str, **values: Any) -> None:
    """Change a group type."""
    tx.execute(update(group_types).where(T.id == id).values(**values))


def remove(tx: Connection, id: str) -> None:
    """Forget a group type."""
    tx.execute(delete(group_types).where(T.id == id))


def is_used(tx: Connection, id: str) -> bool:
    """Tell whether there are groups of a type."""
    return tx.execute(select(groups.c.id).where(groups.c.group_type_id == id).limit(1)).first() is not None
