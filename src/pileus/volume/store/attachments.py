"""Questions asked of the table of attachments."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from pileus.volume.store.volumes import Volume
from pileus.volume.tables.volumes import attachments, volumes

Attachment = Row[Any]
"""An attachment's row, with the names of the table's columns."""

A = attachments.c


def hold(tx: Connection, volume_id: str) -> Volume | None:
    """Return a volume, and let no other transaction change who is attached to it until this one ends."""
    return tx.execute(select(volumes).where(volumes.c.id == volume_id).with_for_update()).first()


def get(tx: Connection, id: str) -> Attachment | None:
    """Return an attachment."""
    return tx.execute(select(attachments).where(A.id == id)).first()


def of_volume(tx: Connection, volume_id: str) -> Sequence[Attachment]:
    """Return the attachments of a volume, the oldest first, with those that users do not see."""
    return tx.execute(select(attachments).where(A.volume_id == volume_id).order_by(A.created_at, A.id)).all()


def of_volumes(tx: Connection, volume_ids: Sequence[str]) -> dict[str, list[Attachment]]:
    """Return the attachments of volumes that users see, by volume, the oldest first."""
    return _by(tx, "volume_id", volume_ids)


def of_servers(tx: Connection, server_ids: Sequence[str]) -> dict[str, list[Attachment]]:
    """Return the attachments of servers, by server, the oldest first."""
    return _by(tx, "server_id", server_ids)


def search(tx: Connection, exact: Mapping[str, Any]) -> list[Attachment]:
    """Return the attachments that users see whose columns have the wanted values, the newest first.

    A value that is a list stands for any of its members.
    """
    query = select(attachments).where(A.claim.is_(False)).order_by(A.created_at.desc(), A.id.desc())
    for name, value in exact.items():
        query = query.where(A[name].in_(value) if isinstance(value, list) else A[name] == value)
    return list(tx.execute(query))


def add(tx: Connection, **values: Any) -> None:
    """Write a new attachment down."""
    tx.execute(insert(attachments).values(**values))


def change(tx: Connection, id: str, **values: Any) -> None:
    """Change an attachment."""
    tx.execute(update(attachments).where(A.id == id).values(**values))


def remove(tx: Connection, id: str) -> bool:
    """Forget an attachment; tells whether it was there."""
    return tx.execute(delete(attachments).where(A.id == id)).rowcount == 1


def expired(tx: Connection, now: float, most: int = 500) -> list[Attachment]:
    """Return the attachments whose time is over, the longest over first."""
    query = select(attachments).where(A.expires_at <= now).order_by(A.expires_at).limit(most)
    return list(tx.execute(query))


def _by(tx: Connection, column: str, wanted: Sequence[str]) -> dict[str, list[Attachment]]:
    found: dict[str, list[Attachment]] = {}
    if wanted:
        query = select(attachments).where(A[column].in_(wanted), A.claim.is_(False)).order_by(A.created_at, A.id)
        for row in tx.execute(query):
            found.setdefault(getattr(row, column), []).append(row)
    return found
