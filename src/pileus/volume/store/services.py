"""Questions asked of the table of the volume service's parts."""

from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from pileus.kernel import ids
from pileus.volume.tables.services import services

Service = Row[Any]
"""A part's row, with the names of the table's columns."""

S = services.c
DEFAULT_ZONE = "nova"


def list_all(tx: Connection) -> list[Service]:
    """Return all parts, by binary and host."""
    return list(tx.execute(select(services).order_by(S.binary, S.host)))


def backends(tx: Connection) -> dict[str, Service]:
    """Return the parts that are back ends, by HOST@BACKEND."""
    return {row.host: row for row in tx.execute(select(services).where(S.binary == "cinder-volume"))}


def ensure(tx: Connection, binary: str, host: str, now: float) -> None:
    """Write a part down that is not there yet."""
    if not tx.execute(select(S.id).where(S.binary == binary, S.host == host)).first():
        tx.execute(insert(services).values(
            id=ids.uuid(), binary=binary, host=host, availability_zone=DEFAULT_ZONE, disabled=False, frozen=False, created_at=now,
        ))  # fmt: skip


def change(tx: Connection, id: str, **values: Any) -> None:
    """Change what is said of a part."""
    tx.execute(update(services).where(S.id == id).values(**values))
