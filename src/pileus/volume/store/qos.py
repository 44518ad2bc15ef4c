"""Questions asked of the table of qualities of service."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from pileus.volume.tables.types import qos_specs, volume_types

Qos = Row[Any]
"""A row of the table: id, name, consumer, specs, created_at, updated_at."""

Q, T = qos_specs.c, volume_types.c


def get(tx: Connection, id: str) -> Qos | None:
    """Return the specs of an id."""
    return tx.execute(select(qos_specs).where(Q.id == id)).first()


def get_by_name(tx: Connection, name: str) -> Qos | None:
    """Return the specs of a name."""
    return tx.execute(select(qos_specs).where(Q.name == name)).first()


def list_all(tx: Connection) -> Sequence[Qos]:
    """Return all specs, the newest first."""
    return tx.execute(select(qos_specs).order_by(Q.created_at.desc(), Q.id.desc())).all()


def add(tx: Connection, **values: Any) -> None:
    """Write new specs down."""
    tx.execute(insert(qos_specs).values(**values))


def change(tx: Connection, id: str, **values: Any) -> None:
    """Change specs."""
    tx.execute(update(qos_specs).where(Q.id == id).values(**values))


def remove(tx: Connection, id: str) -> None:
    """Forget specs; the types that had them have none."""
    disassociate(tx, id)
    tx.execute(delete(qos_specs).where(Q.id == id))


def list_types(tx: Connection, id: str) -> list[tuple[str, str]]:
    """Return id and name of the types that have specs."""
    query = select(T.id, T.name).where(T.qos_specs_id == id).order_by(T.name)
    return [(row.id, row.name) for row in tx.execute(query)]


def associate(tx: Connection, id: str, type_id: str) -> None:
    """Give specs to a type."""
    tx.execute(update(volume_types).where(T.id == type_id).values(qos_specs_id=id))


def disassociate(tx: Connection, id: str, type_id: str | None = None) -> None:
    """Take specs from a type, or from all types that have them."""
    query = update(volume_types).where(T.qos_specs_id == id).values(qos_specs_id=None)
    tx.execute(query if type_id is None else query.where(T.id == type_id))
