"""Questions asked of the table of volumes, and of what is said of each: metadata, image metadata, attachments."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, Table, bindparam, delete, func, insert, literal, select, union_all, update

from pileus.volume.tables.volumes import attachments, snapshots, volume_image_metadata, volume_metadata, volumes

Volume = Row[Any]
"""A volume's row, with the names of the table's columns."""

V, A, M, G = volumes.c, attachments.c, volume_metadata.c, volume_image_metadata.c
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_SAID = union_all(
    select(literal(False).label("of_image"), M.volume_id, M.key, M.value).where(M.volume_id.in_(_IDS)),
    select(literal(True), G.volume_id, G.key, G.value).where(G.volume_id.in_(_IDS)),
)  # built once, as lists ask it: building costs as much as asking
_ATTACHED = select(attachments).where(A.volume_id.in_(_IDS), A.status.in_(("attached", "detaching")), A.claim.is_(False))
_ATTACHED = _ATTACHED.order_by(A.created_at, A.id)


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


def describe(tx: Connection, id: str, **values: Any) -> None:
    """Change what is said of a volume and has nothing to do with what is under way: name, description, flags."""
    tx.execute(update(volumes).where(V.id == id).values(**values))


def remove(tx: Connection, id: str) -> None:
    """Forget a volume, and all that is said of it.  Its snapshots must be gone."""
    for table in (volume_metadata, volume_image_metadata, attachments):
        tx.execute(delete(table).where(table.c.volume_id == id))
    tx.execute(delete(volumes).where(V.id == id))


# ---- metadata


def metadata_of(tx: Connection, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the users' metadata of volumes, by id; those without are missing."""
    return _pairs(tx, volume_metadata, ids)


def image_metadata_of(tx: Connection, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the image metadata of volumes, by id; those without are missing."""
    return _pairs(tx, volume_image_metadata, ids)


def all_metadata_of(tx: Connection, ids: Sequence[str]) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
    """Return the users' metadata of volumes and their image metadata, by id; those without are missing."""
    found: tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]] = ({}, {})
    for of_image, id, key, value in tx.execute(_SAID, {"ids": list(ids)}) if ids else ():
        found[bool(of_image)].setdefault(id, {})[key] = value
    return found


def _pairs(tx: Connection, table: Table, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    if ids:
        for row in tx.execute(select(table).where(table.c.volume_id.in_(ids))):
            found.setdefault(row.volume_id, {})[row.key] = row.value
    return found


def put_metadata(tx: Connection, id: str, pairs: Mapping[str, str], *, replace: bool = False) -> None:
    """Add users' metadata or change it; replace forgets what is not named."""
    _put(tx, volume_metadata, id, pairs, replace=replace)


def put_image_metadata(tx: Connection, id: str, pairs: Mapping[str, str], *, replace: bool = False) -> None:
    """Add image metadata or change it; replace forgets what is not named."""
    _put(tx, volume_image_metadata, id, pairs, replace=replace)


def _put(tx: Connection, table: Table, id: str, pairs: Mapping[str, str], *, replace: bool) -> None:
    where = [table.c.volume_id == id] if replace else [table.c.volume_id == id, table.c.key.in_(list(pairs))]
    tx.execute(delete(table).where(*where))
    if pairs:
        tx.execute(insert(table), [{"volume_id": id, "key": key, "value": value} for key, value in pairs.items()])


def drop_metadata(tx: Connection, id: str, key: str) -> bool:
    """Forget one of the users' metadata; tells whether it was there."""
    m = volume_metadata.c
    return tx.execute(delete(volume_metadata).where(m.volume_id == id, m.key == key)).rowcount > 0


def drop_image_metadata(tx: Connection, id: str, key: str) -> bool:
    """Forget one of the image metadata; tells whether it was there."""
    m = volume_image_metadata.c
    return tx.execute(delete(volume_image_metadata).where(m.volume_id == id, m.key == key)).rowcount > 0


# ---- who is there


def attachments_of(tx: Connection, ids: Sequence[str], *statuses: str) -> dict[str, list[Row[Any]]]:
    """Return the attachments of volumes, the oldest first: those of some statuses that users see, or all."""
    found: dict[str, list[Row[Any]]] = {}
    if ids:
        query = select(attachments).where(A.volume_id.in_(ids)).order_by(A.created_at, A.id)
        for row in tx.execute(query.where(A.status.in_(statuses), A.claim.is_(False)) if statuses else query):
            found.setdefault(row.volume_id, []).append(row)
    return found


def attached_of(tx: Connection, ids: Sequence[str]) -> dict[str, list[Row[Any]]]:
    """Return the attachments of volumes that users see in them, the oldest first; volumes without are missing."""
    found: dict[str, list[Row[Any]]] = {}
    for row in tx.execute(_ATTACHED, {"ids": list(ids)}) if ids else ():
        found.setdefault(row.volume_id, []).append(row)
    return found


def settled_status(tx: Connection, id: str) -> str:
    """Return the status that a volume's attachments give it when nothing else is under way.

    One of several that is being detached shows, so that who asked for it sees when it is done.
    """
    found = set(tx.execute(select(A.status).where(A.volume_id == id)).scalars())
    status = next((status for status in ("detaching", "attached", "attaching", "reserved") if status in found), "available")
    return "in-use" if status == "attached" else status


def count_snapshots(tx: Connection, id: str) -> int:
    """Return how many snapshots a volume has, whatever their state."""
    return int(tx.execute(select(func.count()).where(snapshots.c.volume_id == id)).scalar_one())


def hosts_of(tx: Connection, ids: Iterable[str], project_id: str | None = None) -> dict[str, str]:
    """Return where volumes (of a project, or of any) are, by id; those that are nowhere yet are missing."""
    query = select(V.id, V.host).where(V.id.in_(list(ids)), V.host.is_not(None))
    query = query if project_id is None else query.where(V.project_id == project_id)
    return {row.id: row.host for row in tx.execute(query)}


def provisioned_gib(tx: Connection) -> dict[str, int]:
    """Return what the volumes of each host (HOST@BACKEND#POOL) may grow to, all together."""
    query = select(V.host, func.sum(V.size_gib)).where(V.host.is_not(None)).group_by(V.host)
    return {host: int(size_gib) for host, size_gib in tx.execute(query)}


def is_being_copied(tx: Connection, id: str) -> bool:
    """Tell whether other volumes are being made of a volume right now."""
    return tx.execute(select(V.id).where(V.status == "creating", V.source_volume_id == id).limit(1)).first() is not None


def is_snapshot_being_copied(tx: Connection, snapshot_id: str) -> bool:
    """Tell whether volumes are being made of a snapshot right now."""
    return tx.execute(select(V.id).where(V.status == "creating", V.snapshot_id == snapshot_id).limit(1)).first() is not None
