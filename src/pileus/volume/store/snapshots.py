"""Questions asked of the table of snapshots, and of what users say of each."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from pileus.volume.tables.volumes import snapshot_metadata, snapshots

Snapshot = Row[Any]
"""A snapshot's row, with the names of the table's columns."""

S, M = snapshots.c, snapshot_metadata.c


def get(tx: Connection, id: str) -> Snapshot | None:
    """Return a snapshot."""
    return tx.execute(select(snapshots).where(S.id == id)).first()


def of_volume(tx: Connection, volume_id: str) -> Sequence[Snapshot]:
    """Return the snapshots of a volume, the newest first."""
    query = select(snapshots).where(S.volume_id == volume_id).order_by(S.created_at.desc(), S.id.desc())
    return tx.execute(query).all()


def of_group_snapshot(tx: Connection, group_snapshot_id: str) -> Sequence[Snapshot]:
    """Return the snapshots that were taken together."""
    return tx.execute(select(snapshots).where(S.group_snapshot_id == group_snapshot_id).order_by(S.id)).all()


def add(tx: Connection, **values: Any) -> None:
    """Write a new snapshot down."""
    tx.execute(insert(snapshots).values(**values))


def change(tx: Connection, id: str, **values: Any) -> None:
    """Change a snapshot, whatever became of it."""
    tx.execute(update(snapshots).where(S.id == id).values(**values))


def change_if(tx: Connection, id: str, statuses: Sequence[str], **values: Any) -> bool:
    """Change a snapshot if it is in one of some statuses; tells whether it was."""
    return tx.execute(update(snapshots).where(S.id == id, S.status.in_(statuses)).values(**values)).rowcount == 1


def remove(tx: Connection, id: str) -> None:
    """Forget a snapshot and its metadata."""
    tx.execute(delete(snapshot_metadata).where(M.snapshot_id == id))
    tx.execute(delete(snapshots).where(S.id == id))


def metadata_of(tx: Connection, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the metadata of snapshots, by id; those without are missing."""
    found: dict[str, dict[str, str]] = {}
    if ids:
        for row in tx.execute(select(snapshot_metadata).where(M.snapshot_id.in_(ids))):
            found.setdefault(row.snapshot_id, {})[row.key] = row.value
    return found


def put_metadata(tx: Connection, id: str, pairs: Mapping[str, str], *, replace: bool = False) -> None:
    """Add metadata or change it; replace forgets what is not named."""
    where = [M.snapshot_id == id] if replace else [M.snapshot_id == id, M.key.in_(list(pairs))]
    tx.execute(delete(snapshot_metadata).where(*where))
    if pairs:
        tx.execute(insert(snapshot_metadata), [{"snapshot_id": id, "key": k, "value": v} for k, v in pairs.items()])


def drop_metadata(tx: Connection, id: str, key: str) -> bool:
    """Forget one metadata; tells whether it was there."""
    return tx.execute(delete(snapshot_metadata).where(M.snapshot_id == id, M.key == key)).rowcount > 0
