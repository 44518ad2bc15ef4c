"""Questions asked of the table of messages to users."""

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from pileus.volume.tables.volumes import messages

Message = Row[Any]
"""A message's row, with the names of the table's columns."""

M = messages.c


def add(tx: Connection, **values: Any) -> None:
    """Write a new message down."""
    tx.execute(insert(messages).values(**values))


def get(tx: Connection, id: str) -> Message | None:
    """Return a message."""
    return tx.execute(select(messages).where(M.id == id)).first()


def remove(tx: Connection, id: str) -> None:
    """Forget a message."""
    tx.execute(delete(messages).where(M.id == id))


def expire(tx: Connection, now: float) -> None:
    """Forget the messages that were kept as long as promised."""
    tx.execute(delete(messages).where(M.guaranteed_until < now))
