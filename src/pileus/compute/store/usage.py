"""How much of the cloud projects use and have used, counted out of the servers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from pileus.compute.store.servers import growth
from pileus.compute.tables.server_groups import server_groups
from pileus.compute.tables.servers import servers
from pileus.kernel.errors import BadRequest
from pileus.kernel.paging import Page


def count(tx: Connection, project_id: str, user_id: str = "") -> dict[str, int]:
    """Return what a project, or one user in it, uses of each resource."""
    groups = select(func.count()).select_from(server_groups).where(server_groups.c.project_id == project_id)
    query = select(
        func.count().label("instances"),
        func.coalesce(func.sum(servers.c.vcpus), 0).label("cores"),
        func.coalesce(func.sum(servers.c.memory_mib), 0).label("ram"),
        groups.where(server_groups.c.user_id == user_id).scalar_subquery().label("server_groups")
        if user_id
        else groups.scalar_subquery().label("server_groups"),
    ).where(servers.c.project_id == project_id, servers.c.deleted_at.is_(None))
    if user_id:
        query = query.where(servers.c.user_id == user_id)
    found = {name: int(value) for name, value in tx.execute(query).one()._mapping.items()}
    cores, ram = growth(tx, project_id, user_id)
    return {**found, "cores": found["cores"] + cores, "ram": found["ram"] + ram}


@dataclass(frozen=True, slots=True)
class Span:
    """One server's life, for the usage report."""

    id: str
    name: str
    project_id: str
    flavor: dict[str, Any]
    vcpus: int
    memory_mib: int
    disk_gib: int
    launched_at: float
    terminated_at: float | None
    vm_state: str


def spans(tx: Connection, start: float, stop: float, project_id: str | None, page: Page) -> Sequence[Span]:
    """Return the servers that were there at some time from start to stop, by project and id, deleted ones too.

    :raises BadRequest: when the marker is no server.
    """
    c = servers.c
    query = select(
        c.id, c.name, c.project_id, c.flavor, c.vcpus, c.memory_mib, c.disk_gib, c.launched_at,
        func.coalesce(c.terminated_at, c.deleted_at).label("terminated_at"), c.vm_state,
    ).where(c.launched_at < stop, func.coalesce(c.terminated_at, c.deleted_at, stop + 1) > start)  # fmt: skip
    if project_id is not None:
        query = query.where(c.project_id == project_id)
    if page.marker is not None:
        at = tx.execute(select(c.project_id).where(c.id == page.marker)).scalar()
        if at is None:
            raise BadRequest(f"Marker {page.marker} could not be found.", kind="MarkerNotFound")
        query = query.where((c.project_id > at) | ((c.project_id == at) & (c.id > page.marker)))
    if page.limit is not None:
        query = query.limit(page.limit)
    return [Span(**row._mapping) for row in tx.execute(query.order_by(c.project_id, c.id))]
