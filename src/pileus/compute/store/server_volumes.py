"""Questions asked of the table of servers' volumes."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from pileus.compute.tables.server_volumes import server_volumes

Mapped = Row[Any]
"""A volume of a server: a row, with the names of the table's columns."""

C = server_volumes.c
PENDING = ("attaching", "detaching", "moving")


def of(tx: Connection, server_id: str) -> list[Mapped]:
    """Return the volumes of a server in the order of their devices."""
    return many(tx, [server_id]).get(server_id, [])


def many(tx: Connection, server_ids: Sequence[str]) -> dict[str, list[Mapped]]:
    """Return the volumes of servers in the order of their devices."""
    found: dict[str, list[Mapped]] = {}
    if server_ids:
        for row in tx.execute(select(server_volumes).where(C.server_id.in_(server_ids))):
            found.setdefault(row.server_id, []).append(row)
    return {id: sorted(rows, key=lambda row: (len(row.device_name), row.device_name)) for id, rows in found.items()}


def get(tx: Connection, server_id: str, volume_id: str) -> Mapped | None:
    """Return a volume of a server."""
    return tx.execute(select(server_volumes).where(C.server_id == server_id, C.volume_id == volume_id)).first()


def of_attachment(tx: Connection, attachment_id: str) -> Mapped | None:
    """Return the volume of an attachment."""
    return tx.execute(select(server_volumes).where(C.attachment_id == attachment_id)).first()


def of_volume(tx: Connection, volume_id: str) -> list[Mapped]:
    """Return where a volume is attached."""
    return list(tx.execute(select(server_volumes).where(C.volume_id == volume_id)))


def has_pending(tx: Connection, server_id: str) -> bool:
    """Tell whether a volume of a server is being attached, detached or moved."""
    return tx.execute(select(C.id).where(C.server_id == server_id, C.state.in_(PENDING)).limit(1)).first() is not None


def add(tx: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Write volumes of servers down."""
    if rows:
        tx.execute(insert(server_volumes), list(rows))


def change(tx: Connection, id: str, **values: Any) -> None:
    """Change a volume of a server."""
    tx.execute(update(server_volumes).where(C.id == id).values(**values))


def change_if(tx: Connection, row: Mapped, **values: Any) -> bool:
    """Change a volume of a server if it is still in the state of the row at hand; tells whether it was."""
    query = update(server_volumes).where(C.id == row.id, C.state == row.state, C.forced == row.forced)
    return tx.execute(query.values(**values)).rowcount == 1


def remove(tx: Connection, id: str) -> None:
    """Forget a volume of a server."""
    tx.execute(delete(server_volumes).where(C.id == id))
