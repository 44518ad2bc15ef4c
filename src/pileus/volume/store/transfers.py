"""Questions asked of the table of transfers."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from pileus.volume.tables.transfers import transfers

Transfer = Row[Any]
"""A transfer's row, with the names of the table's columns."""

T = transfers.c


def get(tx: Connection, id: str) -> Transfer | None:
    """Return a transfer."""
    return tx.execute(select(transfers).where(T.id == id)).first()


def search(tx: Connection, exact: Mapping[str, Any]) -> list[Transfer]:
    """Return the transfers whose columns have the wanted values, the oldest first."""
    query = select(transfers).where(*[T[name] == value for name, value in exact.items()])
    return list(tx.execute(query.order_by(T.created_at, T.id)))


def add(tx: Connection, **values: Any) -> None:
    """Write a new transfer down."""
    tx.execute(insert(transfers).values(**values))


def remove(tx: Connection, id: str) -> bool:
    """Forget a transfer; tells whether it was there."""
    return tx.execute(delete(transfers).where(T.id == id)).rowcount == 1
