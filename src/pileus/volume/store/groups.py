"""Questions asked of the tables of groups and of their snapshots."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from pileus.volume.tables.groups import group_snapshots, group_types, group_volume_types, groups
from pileus.volume.tables.volumes import volumes

Group = Row[Any]
"""A group's row, with the names of the table's columns."""
GroupSnapshot = Row[Any]
"""A group snapshot's row, with the names of the table's columns."""

G, S, K = groups.c, group_snapshots.c, group_volume_types.c


def get(tx: Connection, id: str) -> Group | None:
    """Return a group."""
    return tx.execute(select(groups).where(G.id == id)).first()


def list_all(tx: Connection, project_id: str | None, *, reserved: bool = False) -> Sequence[Group]:
    """Return the groups of a project, or of all, the newest first.

    :param reserved: those that are consistency groups, instead of the others.
    """
    query = select(groups).join(group_types, group_types.c.id == G.group_type_id).where(group_types.c.is_default.is_(reserved))
    query = query.order_by(G.created_at.desc(), G.id.desc())
    return tx.execute(query if project_id is None else query.where(G.project_id == project_id)).all()


def add(tx: Connection, type_ids: Sequence[str], **values: Any) -> None:
    """Write a new group down, and the types that its volumes may be of."""
    tx.execute(insert(groups).values(**values))
    tx.execute(insert(group_volume_types), [{"group_id": values["id"], "volume_type_id": type_id} for type_id in type_ids])


def change(tx: Connection, id: str, **values: Any) -> None:
    """Change a group, whatever became of it."""
    tx.execute(update(groups).where(G.id == id).values(**values))


def change_if(tx: Connection, id: str, statuses: Sequence[str], **values: Any) -> bool:
    """Change a group if it is in one of some statuses; tells whether it was."""
    return tx.execute(update(groups).where(G.id == id, G.status.in_(statuses)).values(**values)).rowcount == 1


def remove(tx: Connection, id: str) -> None:
    """Forget a group."""
    tx.execute(delete(group_volume_types).where(K.group_id == id))
    tx.execute(delete(groups).where(G.id == id))


def types_of(tx: Connection, ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the ids of the types that the volumes of groups may be of, by group."""
    found: dict[str, list[str]] = {id: [] for id in ids}
    if ids:
        query = select(group_volume_types).where(K.group_id.in_(ids)).order_by(K.volume_type_id)
        for row in tx.execute(query):
            found[row.group_id].append(row.volume_type_id)
    return found


def members(tx: Connection, id: str) -> Sequence[Row[Any]]:
    """Return the rows of the volumes of a group, the oldest first."""
    return tx.execute(select(volumes).where(volumes.c.group_id == id).order_by(volumes.c.created_at, volumes.c.id)).all()


def member_ids(tx: Connection, ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the ids of the volumes of groups, by group."""
    found: dict[str, list[str]] = {id: [] for id in ids}
    if ids:
        query = select(volumes.c.id, volumes.c.group_id).where(volumes.c.group_id.in_(ids))
        for row in tx.execute(query.order_by(volumes.c.created_at, volumes.c.id)):
            found[row.group_id].append(row.id)
    return found


def is_source(tx: Connection, *, group_id: str = "", group_snapshot_id: str = "") -> bool:
    """Tell whether a group is being made of a group or of a group snapshot."""
    source = G.source_group_id == group_id if group_id else G.group_snapshot_id == group_snapshot_id
    return tx.execute(select(G.id).where(source, G.status == "creating").limit(1)).first() is not None


def get_snapshot(tx: Connection, id: str) -> GroupSnapshot | None:
    """Return a group snapshot."""
    return tx.execute(select(group_snapshots).where(S.id == id)).first()


def consistency_groups_among(tx: Connection, ids: Sequence[str]) -> set[str]:
    """Return those of some groups that are consistency groups."""
    query = select(G.id).join(group_types, group_types.c.id == G.group_type_id).where(G.id.in_(ids))
    return set(tx.execute(query.where(group_types.c.is_default.is_(True))).scalars()) if ids else set()


def list_snapshots(tx: Connection, project_id: str | None, *, reserved: bool = False) -> Sequence[GroupSnapshot]:
    """Return the group snapshots of a project, or of all, the newest first.

    :param reserved: those of consistency groups, instead of the others.
    """
    query = select(group_snapshots).join(groups, G.id == S.group_id).join(group_types, group_types.c.id == G.group_type_id)
    query = query.where(group_types.c.is_default.is_(reserved)).order_by(S.created_at.desc(), S.id.desc())
    return tx.execute(query if project_id is None else query.where(S.project_id == project_id)).all()


def has_snapshots(tx: Connection, group_id: str) -> bool:
    """Tell whether there are snapshots of a group."""
    return tx.execute(select(S.id).where(S.group_id == group_id).limit(1)).first() is not None


def add_snapshot(tx: Connection, **values: Any) -> None:
    """Write a new group snapshot down."""
    tx.execute(insert(group_snapshots).values(**values))


def change_snapshot_if(tx: Connection, id: str, statuses: Sequence[str] | None, **values: Any) -> bool:
    """Change a group snapshot if it is in one of some statuses (None: any); tells whether it was."""
    query = update(group_snapshots).where(S.id == id)
    return tx.execute((query if statuses is None else query.where(S.status.in_(statuses))).values(**values)).rowcount == 1


def remove_snapshot(tx: Connection, id: str) -> None:
    """Forget a group snapshot."""
    tx.execute(delete(group_snapshots).where(S.id == id))
