"""Questions asked of the table of volumes."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from pileus.volume.tables.volumes import volumes

Volume = Row[Any]
"""A volume's row, with the names of the table's columns."""

V = volumes.c


def get(tx: Connection, id: str) -> Volume | None:
    """Return a volume."""
    return tx.execute(select(volumes).where(V.id == id)).first()


def many(tx: Connection, ids: Sequence[str]) -> dict[str, Volume]:
    """Return volumes by id."""
    return {row.id: row for row in tx.execute(select(volumes).where(V.id.in_(ids)))} if ids else {}


def add(tx: Connection, **values: Any) -> None:
    """Write a new volume down."""
    tx.execute(insert(volumes).values(**values))


def change(tx: Connection, id: str, **values: Any) -> None:
    """Change a volume, whatever became of it."""
    tx.execute(update(volumes).where(V.id == id).values(generation=V.generation + 1, **values))


def change_if(tx: Connection, volume: Volume, **values: Any) -> bool:
    """Change a volume if nobody changed its status or size since the row at hand was read; tells whether so."""
    query = update(volumes).where(V.id == volume.id, V.generation == volume.generation)
    return tx.execute(query.values(generation=V.generation + 1, **values)).rowcount == 1
