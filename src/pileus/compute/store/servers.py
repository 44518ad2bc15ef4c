"""Questions asked of the table of servers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, case, delete, false, func, insert, literal, or_, select, true, update

from pileus.compute import states
from pileus.compute.tables.hosts import hosts
from pileus.compute.tables.keypairs import keypairs
from pileus.compute.tables.server_groups import server_groups
from pileus.compute.tables.servers import migrations, server_tags, servers
from pileus.kernel.paging import Page

Server = Row[Any]
"""A server's row, with the names of the table's columns."""

C = servers.c
EPOCH = 0.0

UNSHOWN = {
    "disks", "nics", "security_groups", "key_type", "key_public", "password", "personality", "wanted_host", "aside",
    "root_image_id",
}  # fmt: skip
SHOWN = [column for column in C if column.name not in {*UNSHOWN, "user_data"}]
"""What answers about a server hold: lists read no more, since user data and files can be large."""

SORT_KEYS: dict[str, Any] = {
    "access_ip_v4": C.access_ipv4, "access_ip_v6": C.access_ipv6, "auto_disk_config": C.disk_config,
    "availability_zone": func.coalesce(C.availability_zone, ""), "config_drive": C.config_drive, "created_at": C.created_at,
    "display_description": func.coalesce(C.description, ""), "display_name": C.name, "host": func.coalesce(C.host, ""),
    "hostname": C.hostname, "image_ref": C.image_id, "instance_type_id": C.flavor_id, "kernel_id": literal(""),
    "key_name": func.coalesce(C.key_name, ""), "launch_index": C.launch_index,
    "launched_at": func.coalesce(C.launched_at, EPOCH), "locked_by": func.coalesce(C.locked_by, ""),
    "node": func.coalesce(C.host, ""), "power_state": C.power_state, "progress": C.progress, "project_id": C.project_id,
    "ramdisk_id": literal(""), "root_device_name": literal(""), "task_state": func.coalesce(C.task_state, ""),
    "terminated_at": func.coalesce(C.terminated_at, EPOCH), "updated_at": C.updated_at, "user_id": C.user_id, "uuid": C.id,
    "vm_state": C.vm_state, "locked": func.coalesce(C.locked_by, ""),
}  # fmt: skip


@dataclass(frozen=True)
class Search:
    """What servers are looked for.

    :param exact: column name to values, one of which it has.
    :param patterns: column name to a regular expression that is found in it.
    :param deleted: only deleted ones, only those that are not, or (None) both.
    :param statuses: what users call the states, None: any.
    :param tags: "all", "any", "not-all", "not-any" to tags.
    """

    exact: Mapping[str, Sequence[Any]] | None = None
    patterns: Mapping[str, str] | None = None
    deleted: bool | None = False
    statuses: Sequence[str] | None = None
    changes_since: float | None = None
    changes_before: float | None = None
    tags: Mapping[str, Sequence[str]] | None = None
    locked: bool | None = None
    ids: Sequence[str] | None = None


def get(tx: Connection, id: str, *, deleted: bool = False) -> Server | None:
    """Return a server; a deleted one only when asked for."""
    query = select(servers).where(C.id == id)
    return tx.execute(query if deleted else query.where(C.deleted_at.is_(None))).first()


def add(tx: Connection, rows: list[dict[str, Any]]) -> None:
    """Write new servers down."""
    tx.execute(insert(servers), rows)


def change(tx: Connection, id: str, **values: Any) -> None:
    """Change a server."""
    tx.execute(update(servers).where(C.id == id).values(**values))


def change_if(tx: Connection, server: Server, **values: Any) -> bool:
    """Change a server if its states are still those of the row at hand; tells whether they were."""
    query = update(servers).where(
        C.id == server.id,
        C.vm_state == server.vm_state,
        C.task_state.is_(None) if server.task_state is None else C.task_state == server.task_state,
        C.deleted_at.is_(None),
    )
    return tx.execute(query.values(**values)).rowcount == 1


def search(tx: Connection, what: Search, page: Page, *, user_data: bool = False) -> Sequence[Server] | None:
    """Return what is shown of the servers looked for; None when the page's marker is not among the servers."""
    query = _where(select(*SHOWN, C.user_data) if user_data else select(*SHOWN), what)
    keys = [(SORT_KEYS[name], descends) for name, descends in (page.sort or (("created_at", True),))]
    keys.append((C.id, keys[-1][1]))
    if page.marker:
        found = tx.execute(select(*[key for key, _ in keys]).where(C.id == page.marker)).first()
        if found is None:
            return None
        query = query.where(_after(keys, found))
    query = query.order_by(*[key.desc() if descends else key.asc() for key, descends in keys])
    if page.limit is not None:
        query = query.limit(page.limit)
    return tx.execute(query).all()


def _where(query: Select[Any], what: Search) -> Select[Any]:
    if what.deleted is not None:
        query = query.where(C.deleted_at.is_not(None) if what.deleted else C.deleted_at.is_(None))
    for name, values in (what.exact or {}).items():
        query = query.where(C[name].in_(values))
    for name, pattern in (what.patterns or {}).items():
        query = query.where(C[name].regexp_match(pattern))
    if what.ids is not None:
        query = query.where(C.id.in_(what.ids))
    if what.statuses is not None:
        query = query.where(_has_status(what.statuses))
    if what.changes_since is not None:
        query = query.where(C.updated_at >= what.changes_since)
    if what.changes_before is not None:
        query = query.where(C.updated_at < math.floor(what.changes_before) + 1)  # times are shown in whole seconds
    if what.locked is not None:
        query = query.where(C.locked_by.is_not(None) if what.locked else C.locked_by.is_(None))
    return query.where(*_tagged(what.tags or {}))


def _has_status(words: Sequence[str]) -> Any:
    cases = []
    for vm_state, task_states, meant in states.of_statuses(words):
        task = func.coalesce(C.task_state, "")
        if task_states is None:
            cases.append(C.vm_state == vm_state)
        else:
            cases.append(and_(C.vm_state == vm_state, task.in_(task_states) if meant else task.not_in(task_states)))
    return or_(*cases) if cases else false()


def _tagged(tags: Mapping[str, Sequence[str]]) -> list[Any]:
    def having(names: Sequence[str]) -> Any:
        return select(server_tags.c.server_id).where(server_tags.c.tag.in_(names))

    found: list[Any] = []
    for mode, names in tags.items():
        every = having(names).group_by(server_tags.c.server_id).having(func.count() == len(set(names)))
        match mode:
            case "all":
                found.append(C.id.in_(every))
            case "any":
                found.append(C.id.in_(having(names)))
            case "not-all":
                found.append(C.id.not_in(every))
            case _:
                found.append(C.id.not_in(having(names)))
    return found


def _after(keys: Sequence[tuple[Any, bool]], marker: Sequence[Any]) -> Any:
    """The rows that come after the marker's in an order by several keys."""
    cases = []
    for index, (key, descends) in enumerate(keys):
        same = [earlier == marker[i] for i, (earlier, _) in enumerate(keys[:index])]
        cases.append(and_(*same, key < marker[index] if descends else key > marker[index]))
    return or_(*cases)


def tags_of(tx: Connection, ids: Iterable[str]) -> dict[str, list[str]]:
    """Return the tags of servers, sorted."""
    query = select(server_tags).where(server_tags.c.server_id.in_(list(ids))).order_by(server_tags.c.tag)
    found: dict[str, list[str]] = {}
    for row in tx.execute(query):
        found.setdefault(row.server_id, []).append(row.tag)
    return found


def set_tags(tx: Connection, id: str, tags: Iterable[str]) -> None:
    """Replace the tags of a server."""
    tx.execute(delete(server_tags).where(server_tags.c.server_id == id))
    if rows := [{"server_id": id, "tag": tag} for tag in sorted(set(tags))]:
        tx.execute(insert(server_tags), rows)


def usage(tx: Connection, project_id: str) -> dict[str, int]:
    """Return what the servers of a project take of its quota: instances, cores and ram (MiB)."""
    query = select(
        func.count().label("instances"), func.coalesce(func.sum(C.vcpus), 0), func.coalesce(func.sum(C.memory_mib), 0)
    ).where(C.project_id == project_id, C.deleted_at.is_(None))
    row = tx.execute(query).one()
    cores, ram = growth(tx, project_id)
    return {"instances": int(row[0]), "cores": int(row[1]) + cores, "ram": int(row[2]) + ram}


def growth(tx: Connection, project_id: str, user_id: str = "") -> tuple[int, int]:
    """Return the vCPUs and MiB that servers of a project (or of one user in it) may yet take in addition: those that move
    grow into what is held for them, or may go back to it."""
    m = migrations.c
    query = select(func.sum(_excess(m.held_vcpus, C.vcpus)), func.sum(_excess(m.held_memory_mib, C.memory_mib)))
    query = query.join_from(migrations, servers).where(m.held_host.is_not(None), C.deleted_at.is_(None))
    query = query.where(C.project_id == project_id, C.user_id == user_id if user_id else true())
    cores, ram = tx.execute(query).one()
    return int(cores or 0), int(ram or 0)


def _excess(held: Any, own: Any) -> Any:
    return case((held > own, held - own), else_=0)


def on_host(tx: Connection, host: str, id: str | None = None) -> list[Any]:
    """Return the states of the servers of one host (or of one server there), to be compared with what is seen."""
    query = select(C.id, C.vm_state, C.task_state, C.power_state, C.updated_at).where(C.host == host, C.deleted_at.is_(None))
    return list(tx.execute(query if id is None else query.where(C.id == id)).all())


def lost(tx: Connection, host: str, ids: Iterable[str]) -> list[str]:
    """Return those of these servers that a host has no part in any more: deleted, or on another host, and nothing is under way
    with them that may yet bring them back."""
    m = migrations.c
    held = select(m.server_id).where(m.held_host == host)
    away = and_(func.coalesce(C.host, "") != host, C.task_state.is_(None), C.id.not_in(held))
    query = select(C.id).where(C.id.in_(list(ids)), or_(C.deleted_at.is_not(None), away))
    return list(tx.execute(query.order_by(C.id)).scalars())


def evacuated_from(tx: Connection, host: str, ids: Iterable[str]) -> list[str]:
    """Return those of these servers that are being made anew elsewhere, because a host is gone."""
    m = migrations.c
    away = select(m.server_id).where(
        m.host == host, m.migration_type == "evacuation", m.status.in_(["accepted", "pre-migrating"])
    )
    return list(tx.execute(select(C.id).where(C.id.in_(list(ids)), C.id.in_(away), C.task_state.is_not(None))).scalars())


def change_unmoved(tx: Connection, row: Any, **values: Any) -> bool:
    """Change a server if nothing was done to it since its row was read; tells whether that was so."""
    where = (C.id == row.id, C.vm_state == row.vm_state, C.task_state.is_(None), C.updated_at == row.updated_at)
    return tx.execute(update(servers).where(*where, C.deleted_at.is_(None)).values(**values)).rowcount == 1


def forget_deleted(tx: Connection, before: float, most: int) -> int:
    """Forget up to so many servers that were deleted before a moment, and all that is known of them; returns how many."""
    found = tx.execute(select(C.id).where(C.deleted_at < before).limit(most)).scalars().all()
    if found:
        tx.execute(delete(servers).where(C.id.in_(found)))
    return len(found)


def images_used(tx: Connection) -> set[str]:
    """Return the images that servers are made of."""
    used: set[str] = set()
    for column in (C.image_id, C.root_image_id):
        used.update(tx.execute(select(column).where(C.deleted_at.is_(None), column.is_not(None)).distinct()).scalars())
    apart = tx.execute(select(C.aside).where(C.deleted_at.is_(None), C.aside.is_not(None))).scalars()
    return used | {aside["rescue_image_id"] for aside in apart if aside and "rescue_image_id" in aside}


def lock_host(tx: Connection, name: str, wait: bool = True) -> bool:
    """Let only one transaction at a time claim room on a host; tells whether that is this one.  SQLite's one writer does so
    by itself.

    :param wait: for another that does so at this moment.
    """
    if tx.dialect.name == "sqlite":
        return True
    return tx.execute(select(hosts.c.id).where(hosts.c.name == name).with_for_update(skip_locked=not wait)).first() is not None


def lock_group(tx: Connection, group_id: str) -> None:
    """Let only one transaction at a time find a place for a member of a server group."""
    if tx.dialect.name != "sqlite":
        tx.execute(select(server_groups.c.id).where(server_groups.c.id == group_id).with_for_update()).all()


def hosts_of(tx: Connection, ids: Sequence[str]) -> frozenset[str]:
    """Return the hosts of servers."""
    query = select(C.host).where(C.id.in_(ids), C.host.is_not(None), C.deleted_at.is_(None))
    return frozenset(tx.execute(query).scalars())


def group_policy(tx: Connection, group_id: str) -> tuple[str, Mapping[str, Any]] | None:
    """Return the policy of a server group and its rules."""
    row = tx.execute(select(server_groups.c.policy, server_groups.c.rules).where(server_groups.c.id == group_id)).first()
    return (row.policy, row.rules or {}) if row else None


def group_hosts(tx: Connection, group_id: str, but: str = "") -> dict[str, int]:
    """Return how many members of a server group (beside one) are on each host, or may come to be there.

    A member that moves counts on both hosts.
    """
    own = select(C.id, C.host).where(C.server_group_id == group_id, C.host.is_not(None), C.deleted_at.is_(None))
    m = migrations.c
    held = select(C.id, m.held_host).join_from(migrations, servers)
    held = held.where(m.held_host.is_not(None), C.server_group_id == group_id, C.deleted_at.is_(None))
    found = own.union(held).subquery()
    query = select(found.c.host, func.count()).where(found.c.id != but).group_by(found.c.host)
    return {host: int(count) for host, count in tx.execute(query)}


def is_group(tx: Connection, group_id: str, project_id: str) -> bool:
    """Tell whether there is such a server group in a project."""
    g = server_groups.c
    return tx.execute(select(g.id).where(g.id == group_id, g.project_id == project_id)).first() is not None


def group_size(tx: Connection, group_id: str) -> int:
    """Return how many members a server group has."""
    return int(tx.execute(select(func.count()).where(C.server_group_id == group_id, C.deleted_at.is_(None))).scalar_one())


def key_of(tx: Connection, user_id: str, name: str) -> Any:
    """Return a user's key, its type and public part; or None."""
    k = keypairs.c
    return tx.execute(select(k.type, k.public_key).where(k.user_id == user_id, k.name == name)).first()
