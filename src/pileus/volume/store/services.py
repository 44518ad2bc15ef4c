"""Questions asked of the table of the volume service's parts."""

from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from pileus.kernel import ids
from pileus.volume.tables.services import services
from pileus.volume.tables.volumes import snapshots, volumes

Service = Row[Any]
"""A part's row, with the names of the table's columns."""

S = services.c
DEFAULT_ZONE = "nova"
_BACKENDS = select(services).where(S.binary == "cinder-volume")


def list_all(tx: Connection) -> list[Service]:
    """Return all parts, by binary and host."""
    return list(tx.execute(select(services).order_by(S.binary, S.host)))


def backends(tx: Connection) -> dict[str, Service]:
    """Return the parts that are back ends, by HOST@BACKEND."""
    return {row.host: row for row in tx.execute(_BACKENDS)}


def ensure(tx: Connection, binary: str, host: str, now: float) -> None:
    """Write a part down that is not there yet."""
    if not tx.execute(select(S.id).where(S.binary == binary, S.host == host)).first():
        tx.execute(insert(services).values(
            id=ids.uuid(), binary=binary, host=host, availability_zone=DEFAULT_ZONE, disabled=False, frozen=False, created_at=now,
        ))  # fmt: skip


def change(tx: Connection, id: str, **values: Any) -> None:
    """Change what is said of a part."""
    tx.execute(update(services).where(S.id == id).values(**values))


def usage_by_project(tx: Connection, host: str) -> dict[str, tuple[int, int, int, int]]:
    """Return, by project, the number and GiB of the volumes on a host (HOST@BACKEND#POOL) and of their snapshots."""
    v, s = volumes.c, snapshots.c
    found: dict[str, tuple[int, int, int, int]] = {}
    query = select(v.project_id, func.count(), func.sum(v.size_gib)).where(v.host == host).group_by(v.project_id)
    for project_id, number, size_gib in tx.execute(query):
        found[project_id] = (int(number), int(size_gib), 0, 0)
    taken = select(s.project_id, func.count(), func.sum(s.size_gib)).join(volumes, v.id == s.volume_id).where(v.host == host)
    for project_id, number, size_gib in tx.execute(taken.group_by(s.project_id)):
        found[project_id] = (*found.get(project_id, (0, 0))[:2], int(number), int(size_gib))
    return found
