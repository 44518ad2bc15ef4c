"""Lists of snapshots: filters, order, pages, counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Select, exists, func, select

from pileus.volume.store.pages import Slice, paged
from pileus.volume.store.snapshots import Snapshot
from pileus.volume.tables.volumes import snapshot_metadata, snapshots, volumes

S = snapshots.c

COLUMNS = {
    "id": S.id, "name": S.name, "display_name": S.name, "description": S.description, "display_description": S.description,
    "status": S.status, "volume_id": S.volume_id, "volume_size": S.size_gib, "size": S.size_gib, "user_id": S.user_id,
    "project_id": S.project_id, "volume_type_id": S.volume_type_id, "group_snapshot_id": S.group_snapshot_id,
    "consumes_quota": S.counts, "created_at": S.created_at, "updated_at": S.updated_at,
}  # fmt: skip
"""What snapshots may be filtered and sorted by, under the API's names."""


@dataclass(frozen=True)
class Search:
    """What snapshots are looked for.  Keys of exact and parts are those of COLUMNS; parts holds text to be contained."""

    project_id: str | None = None
    exact: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    availability_zone: str | None = None
    nothing: bool = False


def search(tx: Connection, what: Search, wanted: Slice) -> Sequence[Snapshot]:
    """Return the snapshots looked for.

    :raises UnknownMarker: when the marker is no snapshot's id.
    :raises UnknownKey: when snapshots are not sorted by that.
    """
    query = paged(tx, _where(select(snapshots), what), S.id, COLUMNS, wanted)
    return [] if what.nothing else tx.execute(query).all()


def count(tx: Connection, what: Search) -> int:
    """Return how many snapshots are looked for."""
    if what.nothing:
        return 0
    return int(tx.execute(_where(select(func.count()).select_from(snapshots), what)).scalar_one())


def _where(query: Select[Any], what: Search) -> Select[Any]:
    if what.project_id is not None:
        query = query.where(S.project_id == what.project_id)
    for name, value in what.exact.items():
        query = query.where(COLUMNS[name].is_(None) if value is None else COLUMNS[name] == value)
    for name, part in what.parts.items():
        query = query.where(COLUMNS[name].contains(part, autoescape=True))
    m = snapshot_metadata.c
    for key, value in what.metadata.items():
        query = query.where(exists().where(m.snapshot_id == S.id, m.key == key, m.value == value))
    if what.availability_zone is not None:
        zone = volumes.c.availability_zone == what.availability_zone
        query = query.where(exists().where(volumes.c.id == S.volume_id, zone))
    return query
