"""Questions asked of the table of servers' changes of flavor."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from pileus.compute.store.servers import Server
from pileus.compute.tables.flavors import flavors
from pileus.compute.tables.servers import migrations
from pileus.kernel import ids

Migration = Row[Any]
"""A row, with the names of the table's columns."""

C = migrations.c
AFTER = {"resize_migrating": "finished", "resize_reverting": "reverted"}
"""What a change of flavor is when what is under way has gone well."""


@dataclass(frozen=True)
class Search:
    """What is looked for: values by column, and when they last changed."""

    exact: Mapping[str, Any]
    since: float | None = None
    before: float | None = None
    limit: int | None = None
    marker: str | None = None


def add(tx: Connection, server: Server, user_id: str, new_flavor: int, now: float) -> None:
    """Write down that a server is to have another flavor."""
    old = tx.execute(select(flavors.c.id).where(flavors.c.flavor_id == server.flavor_id)).scalar()
    row = {
        "uuid": ids.uuid(), "server_id": server.id, "project_id": server.project_id, "user_id": user_id, "host": server.host,
        "old_flavor": old or 0, "new_flavor": new_flavor, "status": "migrating", "created_at": now, "updated_at": now,
    }  # fmt: skip
    tx.execute(insert(migrations).values(**row))


def note(tx: Connection, server: Server, status: str, now: float) -> None:
    """Write down how the last change of a server's flavor went."""
    last = select(func.max(C.id)).where(C.server_id == server.id).scalar_subquery()
    tx.execute(update(migrations).where(C.id == last).values(status=status, updated_at=now))


def search(tx: Connection, what: Search) -> list[Migration] | None:
    """Return changes of flavors, the newest first; None: the marker is none."""
    query = select(migrations).order_by(C.id.desc())
    if what.marker is not None:
        at = tx.execute(select(C.id).where(C.uuid == what.marker)).scalar()
        if at is None:
            return None
        query = query.where(C.id < at)
    for name, value in what.exact.items():
        query = query.where(C[name] == value)
    if what.since is not None:
        query = query.where(C.updated_at >= what.since)
    if what.before is not None:
        query = query.where(C.updated_at <= what.before)
    return list(tx.execute(query if what.limit is None else query.limit(what.limit)).all())
