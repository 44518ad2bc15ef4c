"""Lists of volumes: filters, order, pages, counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Select, exists, func, select

from pileus.volume.store.pages import Slice, compared, paged
from pileus.volume.store.volumes import Volume
from pileus.volume.tables.volumes import volume_image_metadata, volume_metadata, volumes

V = volumes.c

COLUMNS = {
    "id": V.id, "name": V.name, "display_name": V.name, "description": V.description, "display_description": V.description,
    "status": V.status, "size": V.size_gib, "host": V.host, "availability_zone": V.availability_zone,
    "volume_type_id": V.volume_type_id, "snapshot_id": V.snapshot_id, "source_volid": V.source_volume_id,
    "bootable": V.bootable, "multiattach": V.multiattach, "migration_status": V.migration_status,
    "replication_status": V.replication_status, "group_id": V.group_id, "user_id": V.user_id, "project_id": V.project_id,
    "encryption_key_id": V.encryption_key_id, "consumes_quota": V.counts, "created_at": V.created_at,
    "updated_at": V.updated_at, "launched_at": V.launched_at,
}  # fmt: skip
"""What volumes may be filtered and sorted by, under the API's names."""
FLAGS = frozenset({"bootable", "multiattach", "consumes_quota"})
NUMBERS = frozenset({"size"})


@dataclass(frozen=True)
class Search:
    """What volumes are looked for.  Keys of exact and parts are those of COLUMNS.

    parts holds text that a value must contain; times pairs of operator and time by column.
    """

    project_id: str | None = None
    exact: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    image_metadata: Mapping[str, str] = field(default_factory=dict)
    times: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)
    nothing: bool = False


def search(tx: Connection, what: Search, wanted: Slice) -> Sequence[Volume]:
    """Return the volumes looked for.

    :raises UnknownMarker: when the marker is no volume's id.
    :raises UnknownKey: when volumes are not sorted by that.
    """
    query = paged(tx, _where(select(volumes), what), V.id, COLUMNS, wanted)
    return [] if what.nothing else tx.execute(query).all()


def count(tx: Connection, what: Search) -> int:
    """Return how many volumes are looked for."""
    if what.nothing:
        return 0
    return int(tx.execute(_where(select(func.count()).select_from(volumes), what)).scalar_one())


def summary(tx: Connection, project_id: str | None) -> tuple[int, int, dict[str, list[str]]]:
    """Return the number of volumes, their size in GiB, and every value of their metadata by key; of a project, or of all."""
    query = select(func.count(), func.coalesce(func.sum(V.size_gib), 0)).select_from(volumes)
    m = volume_metadata.c
    pairs = select(m.key, m.value).join(volumes, m.volume_id == V.id).distinct().order_by(m.key, m.value)
    if project_id is not None:
        query, pairs = query.where(V.project_id == project_id), pairs.where(V.project_id == project_id)
    number, size_gib = tx.execute(query).one()
    found: dict[str, list[str]] = {}
    for key, value in tx.execute(pairs):
        found.setdefault(key, []).append(value)
    return int(number), int(size_gib), found


def _where(query: Select[Any], what: Search) -> Select[Any]:
    if what.project_id is not None:
        query = query.where(V.project_id == what.project_id)
    for name, value in what.exact.items():
        query = query.where(COLUMNS[name].is_(None) if value is None else COLUMNS[name] == value)
    for name, part in what.parts.items():
        query = query.where(COLUMNS[name].contains(part, autoescape=True))
    for table, pairs in ((volume_metadata, what.metadata), (volume_image_metadata, what.image_metadata)):
        for key, value in pairs.items():
            query = query.where(exists().where(table.c.volume_id == V.id, table.c.key == key, table.c.value == value))
    for name, bounds in what.times.items():
        query = query.where(*[compared(COLUMNS[name], operator, moment) for operator, moment in bounds])
    return query
