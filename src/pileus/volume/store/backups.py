"""Questions asked of the table of backups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from pileus.volume.store.pages import Slice, paged
from pileus.volume.tables.backups import backup_metadata, backups

Backup = Row[Any]
"""A backup's row, with the names of the table's columns."""

B, M = backups.c, backup_metadata.c

COLUMNS = {
    "id": B.id, "name": B.name, "display_name": B.name, "description": B.description, "status": B.status, "size": B.size_gib,
    "volume_id": B.volume_id, "snapshot_id": B.snapshot_id, "parent_id": B.parent_id, "project_id": B.project_id,
    "user_id": B.user_id, "container": B.container, "availability_zone": B.availability_zone, "object_count": B.object_count,
    "created_at": B.created_at, "updated_at": B.updated_at, "data_timestamp": B.data_timestamp,
}  # fmt: skip
"""What backups may be filtered and sorted by, under the API's names."""


@dataclass(frozen=True)
class Search:
    """What backups are looked for.  Keys of exact and parts are those of COLUMNS; parts holds text to be contained."""

    project_id: str | None = None
    exact: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    nothing: bool = False


def get(tx: Connection, id: str) -> Backup | None:
    """Return a backup."""
    return tx.execute(select(backups).where(B.id == id)).first()


def add(tx: Connection, **values: Any) -> None:
    """Write a new backup down."""
    tx.execute(insert(backups).values(**values))


def change(tx: Connection, id: str, **values: Any) -> None:
    """Change a backup, whatever became of it."""
    tx.execute(update(backups).where(B.id == id).values(**values))


def change_if(tx: Connection, id: str, statuses: Sequence[str], **values: Any) -> bool:
    """Change a backup if it is in one of some statuses; tells whether it was."""
    return tx.execute(update(backups).where(B.id == id, B.status.in_(statuses)).values(**values)).rowcount == 1


def remove(tx: Connection, id: str) -> None:
    """Forget a backup and its metadata."""
    tx.execute(delete(backup_metadata).where(M.backup_id == id))
    tx.execute(delete(backups).where(B.id == id))


def latest(tx: Connection, volume_id: str, project_id: str, before: float | None = None) -> Backup | None:
    """Return the usable backup of a volume with the newest content; of content older than a moment, if one is given."""
    query = select(backups).where(B.volume_id == volume_id, B.project_id == project_id, B.status == "available")
    if before is not None:
        query = query.where(B.data_timestamp < before)
    return tx.execute(query.order_by(B.data_timestamp.desc(), B.created_at.desc()).limit(1)).first()


def has_children(tx: Connection, id: str) -> bool:
    """Tell whether other backups are differences to a backup."""
    return tx.execute(select(B.id).where(B.parent_id == id).limit(1)).first() is not None


def parents_among(tx: Connection, ids: Sequence[str]) -> set[str]:
    """Return those backups that others are differences to."""
    return set(tx.execute(select(B.parent_id).where(B.parent_id.in_(ids)).distinct()).scalars()) if ids else set()


def is_content_shared(tx: Connection, backup: Backup) -> bool:
    """Tell whether another record has the same content."""
    query = select(B.id).where(B.container == backup.container, B.location == backup.location, B.id != backup.id)
    return tx.execute(query.limit(1)).first() is not None


def restoring_to(tx: Connection, volume_id: str) -> Backup | None:
    """Return the backup that is being restored to a volume."""
    return tx.execute(select(backups).where(B.restore_volume_id == volume_id, B.status == "restoring").limit(1)).first()


def usage(tx: Connection, project_id: str) -> tuple[int, int]:
    """Return how many backups a project has, and their size in GiB."""
    query = select(func.count(), func.coalesce(func.sum(B.size_gib), 0)).where(B.project_id == project_id)
    number, size_gib = tx.execute(query).one()
    return int(number), int(size_gib)


# ---- lists


def search(tx: Connection, what: Search, wanted: Slice) -> Sequence[Backup]:
    """Return the backups looked for.

    :raises UnknownMarker: when the marker is no backup's id.
    :raises UnknownKey: when backups are not sorted by that.
    """
    query = paged(tx, _where(select(backups), what), B.id, COLUMNS, wanted)
    return [] if what.nothing else tx.execute(query).all()


def count(tx: Connection, what: Search) -> int:
    """Return how many backups are looked for."""
    if what.nothing:
        return 0
    return int(tx.execute(_where(select(func.count()).select_from(backups), what)).scalar_one())


def _where(query: Select[Any], what: Search) -> Select[Any]:
    if what.project_id is not None:
        query = query.where(B.project_id == what.project_id)
    for name, value in what.exact.items():
        query = query.where(COLUMNS[name].is_(None) if value is None else COLUMNS[name] == value)
    for name, part in what.parts.items():
        query = query.where(COLUMNS[name].contains(part, autoescape=True))
    return query


# ---- metadata


def metadata_of(tx: Connection, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the metadata of backups, by id; those without are missing."""
    found: dict[str, dict[str, str]] = {}
    if ids:
        for row in tx.execute(select(backup_metadata).where(M.backup_id.in_(ids))):
            found.setdefault(row.backup_id, {})[row.key] = row.value
    return found


def set_metadata(tx: Connection, id: str, pairs: Mapping[str, str]) -> None:
    """Give a backup this metadata and no other."""
    tx.execute(delete(backup_metadata).where(M.backup_id == id))
    if pairs:
        tx.execute(insert(backup_metadata), [{"backup_id": id, "key": k, "value": v} for k, v in pairs.items()])
