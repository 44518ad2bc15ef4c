"""Questions asked of the table of messages to users."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from pileus.volume.store.pages import Slice, paged
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


COLUMNS = {
    "id": M.id, "event_id": M.event_id, "resource_type": M.resource_type, "resource_uuid": M.resource_uuid,
    "request_id": M.request_id, "message_level": M.message_level, "created_at": M.created_at,
    "guaranteed_until": M.guaranteed_until, "project_id": M.project_id,
}  # fmt: skip
"""What messages may be filtered and sorted by, under the API's names."""


def search(tx: Connection, exact: Mapping[str, str], parts: Mapping[str, str], wanted: Slice) -> Sequence[Message]:
    """Return a part of the messages whose columns have (or, parts: contain) the wanted values.

    :raises UnknownMarker: when the marker is no message's id.
    :raises UnknownKey: when messages are not sorted by that.
    """
    query = select(messages)
    for name, value in exact.items():
        query = query.where(COLUMNS[name] == value)
    for name, part in parts.items():
        query = query.where(COLUMNS[name].contains(part, autoescape=True))
    return tx.execute(paged(tx, query, M.id, COLUMNS, wanted)).all()
