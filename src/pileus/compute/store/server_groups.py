"""Questions asked of the table of server groups, together with their members."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from pileus.compute.tables.server_groups import server_groups
from pileus.compute.tables.servers import servers


@dataclass(frozen=True, slots=True)
class ServerGroup:
    """Servers that are to be together or apart."""

    id: str
    project_id: str
    user_id: str
    name: str
    policy: str
    rules: Mapping[str, int]
    created_at: float
    members: tuple[str, ...] = field(default=())


COLUMNS = [server_groups.c[each.name] for each in fields(ServerGroup) if each.name != "members"]


def insert_group(tx: Connection, values: Mapping[str, Any]) -> ServerGroup:
    """Write a group down."""
    tx.execute(insert(server_groups).values(**values))
    return ServerGroup(**values)


def find(tx: Connection, group_id: str) -> ServerGroup | None:
    """Return a group with its members."""
    row = tx.execute(select(*COLUMNS).where(server_groups.c.id == group_id)).first()
    return ServerGroup(**row._mapping, members=_members(tx, [group_id])[group_id]) if row else None


def list_groups(tx: Connection, project_id: str | None, offset: int, limit: int) -> list[ServerGroup]:
    """Return groups in the order in which they were made; of all projects when project_id is None."""
    query = select(*COLUMNS).order_by(server_groups.c.number).offset(offset).limit(limit)
    if project_id is not None:
        query = query.where(server_groups.c.project_id == project_id)
    rows = tx.execute(query).all()
    members = _members(tx, [row.id for row in rows])
    return [ServerGroup(**row._mapping, members=members[row.id]) for row in rows]


def delete_group(tx: Connection, group_id: str) -> None:
    """Delete a group; its servers stay."""
    tx.execute(delete(server_groups).where(server_groups.c.id == group_id))


def delete_of_project(tx: Connection, project_id: str) -> None:
    """Delete all groups of a project."""
    tx.execute(delete(server_groups).where(server_groups.c.project_id == project_id))


def hosts_of(tx: Connection, group_id: str) -> dict[str, int]:
    """Return how many members each host has: what the scheduler's affinity filters look at."""
    query = select(servers.c.host, func.count()).where(
        servers.c.server_group_id == group_id, servers.c.host.is_not(None), servers.c.deleted_at.is_(None)
    )
    return {row[0]: row[1] for row in tx.execute(query.group_by(servers.c.host))}


def _members(tx: Connection, group_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    query = select(servers.c.server_group_id, servers.c.id).where(
        servers.c.server_group_id.in_(group_ids), servers.c.deleted_at.is_(None)
    )
    for group_id, server_id in tx.execute(query.order_by(servers.c.created_at, servers.c.id)):
        found[group_id].append(server_id)
    return defaultdict(tuple, {group_id: tuple(ids) for group_id, ids in found.items()})
