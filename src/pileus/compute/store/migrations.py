"""Questions asked of the table of migrations: servers' changes of flavor or host."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from pileus.compute.store.servers import Server
from pileus.compute.tables.flavors import flavors
from pileus.compute.tables.servers import migrations, servers
from pileus.kernel import ids

Migration = Row[Any]
"""A row, with the names of the table's columns."""

C = migrations.c
AFTER = {"resize_migrating": "finished", "resize_finish": "finished", "resize_reverting": "reverted"}
"""What a change of flavor is when what is under way has gone well."""

RESIZE, MIGRATION, LIVE, EVACUATION = "resize", "migration", "live-migration", "evacuation"
ENDED = frozenset({"finished", "confirmed", "reverted", "completed", "done", "cancelled", "failed", "error"})
"""What a migration is that has nothing under way."""


@dataclass(frozen=True)
class Plan:
    """What is to become of a server.

    :param migration_type: RESIZE, MIGRATION, LIVE or EVACUATION.
    :param dest: the host that it goes to; None: not known yet.
    :param new_flavor: the flavor's number; None: its own.
    """

    migration_type: str
    dest: str | None = None
    dest_address: str | None = None
    new_flavor: int | None = None
    status: str = "migrating"


@dataclass(frozen=True)
class Held:
    """Room kept for a server on another host than its own."""

    host: str
    vcpus: int
    memory_mib: int
    disk_gib: int


@dataclass(frozen=True)
class Search:
    """What is looked for: values by column, a host that is either's, and when they last changed."""

    exact: Mapping[str, Any]
    since: float | None = None
    before: float | None = None
    limit: int | None = None
    marker: str | None = None
    host: str | None = None


def add(tx: Connection, server: Server, user_id: str, plan: Plan, now: float, held: Held | None = None) -> int:
    """Write down that a server is to move or to have another flavor; returns the migration's number."""
    old = tx.execute(select(flavors.c.id).where(flavors.c.flavor_id == server.flavor_id)).scalar() or 0
    row = {
        "uuid": ids.uuid(), "server_id": server.id, "project_id": server.project_id, "user_id": user_id, "host": server.host,
        "migration_type": plan.migration_type, "dest_compute": plan.dest, "dest_host": plan.dest_address, "old_flavor": old,
        "new_flavor": old if plan.new_flavor is None else plan.new_flavor, "status": plan.status, "created_at": now,
        "updated_at": now, **_holding(held),
    }  # fmt: skip
    found = tx.execute(insert(migrations).values(**row)).inserted_primary_key
    return int(found[0]) if found else 0


def change(tx: Connection, id: int, now: float, **values: Any) -> None:
    """Change a migration: its status, where it goes, how far it is (columns memory_* and disk_*, in bytes)."""
    tx.execute(update(migrations).where(C.id == id).values(updated_at=now, **values))


def hold(tx: Connection, id: int, held: Held | None) -> None:
    """Have a migration hold this room, or (None) none any more."""
    tx.execute(update(migrations).where(C.id == id).values(**_holding(held)))


def _holding(held: Held | None) -> dict[str, Any]:
    if held is None:
        return {"held_host": None, "held_vcpus": 0, "held_memory_mib": 0, "held_disk_gib": 0}
    values = {"held_vcpus": held.vcpus, "held_memory_mib": held.memory_mib, "held_disk_gib": held.disk_gib}
    return {"held_host": held.host, **values}


def note(tx: Connection, server: Server, status: str, now: float) -> None:
    """Write down how the last migration of a server went."""
    newest = tx.execute(select(func.max(C.id)).where(C.server_id == server.id)).scalar()
    if newest is not None:
        change(tx, newest, now, status=status)


def one(tx: Connection, id: int) -> Migration | None:
    """Return a migration by its number."""
    return tx.execute(select(migrations).where(C.id == id)).first()


def last_of(tx: Connection, server_id: str) -> Migration | None:
    """Return the newest migration of a server."""
    return tx.execute(select(migrations).where(C.server_id == server_id).order_by(C.id.desc()).limit(1)).first()


def of_server(tx: Connection, server_id: str, types: Collection[str] = ()) -> list[Migration]:
    """Return the migrations of a server (of these types, if any are named), the newest first."""
    query = select(migrations).where(C.server_id == server_id).order_by(C.id.desc())
    return list(tx.execute(query.where(C.migration_type.in_(types)) if types else query).all())


def in_progress(tx: Connection, server_id: str, types: Collection[str] = ()) -> list[Migration]:
    """Return the migrations of a server that are under way (of these types, if any are named), the newest first."""
    return [row for row in of_server(tx, server_id, types) if row.status not in ENDED]


def holding_on(tx: Connection, host: str) -> list[Migration]:
    """Return the migrations that hold room on a host for a server that is not deleted."""
    query = select(migrations).join_from(migrations, servers).where(C.held_host == host, servers.c.deleted_at.is_(None))
    return list(tx.execute(query).all())


def release(tx: Connection, server_id: str) -> None:
    """Have no migration of a server hold room any more."""
    tx.execute(update(migrations).where(C.server_id == server_id, C.held_host.is_not(None)).values(**_holding(None)))


def close(tx: Connection, server_id: str, now: float) -> None:
    """Write down of a server that is being deleted that none of its migrations goes on."""
    for row in of_server(tx, server_id):
        if row.status == "finished":
            change(tx, row.id, now, status="confirmed")
        elif row.status not in ENDED:
            change(tx, row.id, now, status="error")
    release(tx, server_id)


def held_hosts(tx: Connection, server_id: str) -> list[str]:
    """Return the hosts where room is held for a server beside its own."""
    return list(tx.execute(select(C.held_host).where(C.server_id == server_id, C.held_host.is_not(None))).scalars())


def search(tx: Connection, what: Search) -> list[Migration] | None:
    """Return migrations, the newest first; None: the marker is none."""
    query = select(migrations).order_by(C.id.desc())
    if what.marker is not None:
        at = tx.execute(select(C.id).where(C.uuid == what.marker)).scalar()
        if at is None:
            return None
        query = query.where(C.id < at)
    for name, value in what.exact.items():
        query = query.where(C[name] == value)
    if what.host is not None:
        query = query.where(or_(C.host == what.host, C.dest_compute == what.host))
    if what.since is not None:
        query = query.where(C.updated_at >= what.since)
    if what.before is not None:
        query = query.where(C.updated_at <= what.before)
    return list(tx.execute(query if what.limit is None else query.limit(what.limit)).all())
