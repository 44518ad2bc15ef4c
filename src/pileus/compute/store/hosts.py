"""Questions asked of the table of compute hosts, together with what their servers take."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Connection, Subquery, Text, and_, case, delete, func, insert, literal, select, type_coerce, update
from sqlalchemy.exc import IntegrityError

from pileus.compute import traits
from pileus.compute.scheduler import DEFAULT_ZONE, HostState, Room
from pileus.compute.tables.aggregates import aggregate_hosts, aggregates
from pileus.compute.tables.hosts import hosts
from pileus.compute.tables.placement import allocations, inventories
from pileus.compute.tables.servers import migrations, servers
from pileus.kernel import ids

DOWN_AFTER_SECONDS = 60
ZONE_KEY = "availability_zone"


@dataclass(frozen=True, slots=True)
class Host:
    """A compute host, with what its servers take together."""

    id: int
    name: str
    service_uuid: str
    hypervisor_uuid: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    free_disk_gib: int
    vcpus_reserved: int
    memory_reserved_mib: int
    disk_reserved_gib: int
    vcpus_ratio: float
    memory_ratio: float
    disk_ratio: float
    arch: str
    hypervisor_type: str
    hypervisor_version: int
    virt_type: str
    cpu: Mapping[str, Any]
    traits: Sequence[str]
    disabled: bool
    disabled_reason: str | None
    forced_down: bool
    generation: int
    seen_at: float
    created_at: float
    updated_at: float | None
    vcpus_used: int = 0
    memory_used_mib: int = 0
    disk_used_gib: int = 0
    servers: int = 0
    busy: int = 0
    zone: str = field(default=DEFAULT_ZONE, compare=False)

    def is_up(self, now: float) -> bool:
        """Tell whether the host answered lately and is not said to be down."""
        return not self.forced_down and now - self.seen_at <= DOWN_AFTER_SECONDS


USAGE = ("vcpus_used", "memory_used_mib", "disk_used_gib", "servers", "busy")
OWN = [hosts.c[each.name] for each in fields(Host) if each.name not in (*USAGE, "zone")]


def usage(names: Collection[str] | None = None) -> Subquery:
    """What the servers of each host take, and what is held there for servers that come or may go back: the only book there is."""
    own = select(
        servers.c.host.label("host"),
        servers.c.vcpus.label("vcpus"),
        servers.c.memory_mib.label("memory_mib"),
        servers.c.disk_gib.label("disk_gib"),
        literal(1).label("servers"),
        case((servers.c.task_state.is_not(None), 1), else_=0).label("busy"),
    ).where(servers.c.deleted_at.is_(None), servers.c.host.is_not(None))
    m = migrations.c
    held = select(m.held_host, m.held_vcpus, m.held_memory_mib, m.held_disk_gib, literal(0), literal(0))
    held = held.join_from(migrations, servers).where(m.held_host.is_not(None), servers.c.deleted_at.is_(None))
    if names is not None:
        own, held = own.where(servers.c.host.in_(names)), held.where(m.held_host.in_(names))
    taken = own.union_all(held).subquery("taken")
    return (
        select(
            taken.c.host,
            func.sum(taken.c.vcpus).label("vcpus_used"),
            func.sum(taken.c.memory_mib).label("memory_used_mib"),
            func.sum(taken.c.disk_gib).label("disk_used_gib"),
            func.sum(taken.c.servers).label("servers"),
            func.sum(taken.c.busy).label("busy"),
        )
        .group_by(taken.c.host)
        .subquery("used")
    )


def list_hosts(tx: Connection, names: Collection[str] | None = None) -> list[Host]:
    """Return hosts by their number, with their usage, in one query; and the zones in a second."""
    used = usage(names)
    counts = [func.coalesce(used.c[name], 0).label(name) for name in USAGE]
    query = select(*OWN, *counts).join_from(hosts, used, used.c.host == hosts.c.name, isouter=True)
    if names is not None:
        query = query.where(hosts.c.name.in_(names))
    zones = _zones(metadata_of(tx))
    rows = tx.execute(query.order_by(hosts.c.id)).all()
    return [_host(row._mapping, zones.get(row.name, DEFAULT_ZONE)) for row in rows]


def _host(row: Mapping[Any, Any], zone: str) -> Host:
    return Host(**{**row, **{name: int(row[name]) for name in USAGE}}, zone=zone)


def metadata_of(tx: Connection) -> dict[str, list[Mapping[str, str]]]:
    """Return the metadata of every host's aggregates, by the host's name."""
    query = select(aggregate_hosts.c.host, aggregates.c.metadata).join_from(aggregate_hosts, aggregates)
    found: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for host, data in tx.execute(query.order_by(aggregates.c.id)):
        found[host].append(data)
    return found


def states(tx: Connection, now: float, with_others: bool = False, names: Collection[str] | None = None) -> list[HostState]:
    """Return what the scheduler looks at: every host (or some), its usage, its aggregates.

    :param with_others: also the inventories of further resource classes, for flavors with extra specs resources:CLASS.
    """
    data = metadata_of(tx)
    zones, others = _zones(data), _others(tx) if with_others else {}
    h, used = hosts.c, usage(names)
    columns = (
        h.name, h.hypervisor_uuid, h.vcpus, h.vcpus_reserved, h.vcpus_ratio, h.memory_mib, h.memory_reserved_mib, h.memory_ratio,
        h.disk_gib, h.disk_reserved_gib, h.disk_ratio, h.forced_down, h.seen_at, h.disabled, h.disabled_reason, h.arch,
        h.hypervisor_type, h.hypervisor_version, h.virt_type, type_coerce(h.cpu, Text), type_coerce(h.traits, Text),
    )  # fmt: skip
    query = select(*columns, *(used.c[name] for name in USAGE)).join_from(hosts, used, used.c.host == h.name, isouter=True)
    if names is not None:
        query = query.where(h.name.in_(names))
    return [
        HostState(
            name, Room(vcpus, int(v_used or 0), v_kept, v_ratio), Room(memory, int(m_used or 0), m_kept, m_ratio),
            Room(disk, int(d_used or 0), d_kept, d_ratio), not forced_down and now - seen_at <= DOWN_AFTER_SECONDS, disabled,
            reason or "", zones.get(name, DEFAULT_ZONE), uuid, int(count or 0), int(busy or 0), arch, kind, version, virt_type,
            _traits(arch, virt_type, cpu, own), tuple(data.get(name, ())), others.get(uuid, {}),
        )
        for (
            name, uuid, vcpus, v_kept, v_ratio, memory, m_kept, m_ratio, disk, d_kept, d_ratio, forced_down, seen_at, disabled,
            reason, arch, kind, version, virt_type, cpu, own, v_used, m_used, d_used, count, busy,
        ) in tx.execute(query.order_by(h.id))
    ]  # fmt: skip


@lru_cache(maxsize=256)
def _traits(arch: str, virt_type: str, cpu: str, own: str) -> frozenset[str]:
    """Return what a host can do; hosts that are alike, as most are, share one answer.

    :param cpu: of the table, in JSON; so are its own traits.
    """
    return frozenset(traits.of_host(arch, virt_type, msgspec.json.decode(cpu))) | frozenset(msgspec.json.decode(own))


def _zones(data: Mapping[str, Sequence[Mapping[str, str]]]) -> dict[str, str]:
    """Return the zones of the hosts that are in one, by the metadata of their aggregates."""
    return {name: each[ZONE_KEY] for name, many in data.items() for each in many if ZONE_KEY in each}


def _others(tx: Connection) -> dict[str, dict[str, Room]]:
    taken = (
        select(allocations.c.provider_uuid, allocations.c.resource_class, func.sum(allocations.c.used).label("used"))
        .group_by(allocations.c.provider_uuid, allocations.c.resource_class)
        .subquery()
    )
    same = and_(taken.c.provider_uuid == inventories.c.provider_uuid, taken.c.resource_class == inventories.c.resource_class)
    query = select(inventories, func.coalesce(taken.c.used, 0).label("used")).join_from(inventories, taken, same, isouter=True)
    found: dict[str, dict[str, Room]] = defaultdict(dict)
    for row in tx.execute(query):
        found[row.provider_uuid][row.resource_class] = Room(row.total, int(row.used), row.reserved, row.allocation_ratio)
    return found


def find(tx: Connection, **where: Any) -> Host | None:
    """Return one host by a unique column, such as its name."""
    (column, value), *_ = where.items()
    name = tx.execute(select(hosts.c.name).where(hosts.c[column] == value)).scalar()
    found = list_hosts(tx, [name]) if name is not None else []
    return found[0] if found else None


def note_seen(
    tx: Connection, there: Collection[str], told: Mapping[str, Mapping[str, Any]], now: float, defaults: Mapping[str, Any]
) -> None:
    """Write down which hosts are there, and what some say of themselves; one never seen before gets ids and the defaults.

    :param there: a host among them of which nothing is known yet is left out until it has told.
    """
    names = ("vcpus", "memory_mib", "disk_gib")
    tx.execute(update(hosts).where(hosts.c.name.in_(there)).values(seen_at=now))
    known = {row.name: row._mapping for row in tx.execute(select(*OWN).where(hosts.c.name.in_(told)))}
    for name, facts in told.items():
        if name not in known:
            new = {"name": name, "service_uuid": ids.uuid(), "hypervisor_uuid": ids.uuid(), "seen_at": now, "created_at": now}
            _insert(tx, {**new, **facts, **defaults})
        elif any(known[name][key] != value for key, value in facts.items()):
            grown = any(known[name][key] != facts[key] for key in names)
            generation = known[name]["generation"] + grown
            tx.execute(update(hosts).where(hosts.c.name == name).values(**facts, generation=generation))


def _insert(tx: Connection, values: Mapping[str, Any]) -> None:
    with suppress(IntegrityError), tx.begin_nested():  # another process may have seen it first
        tx.execute(insert(hosts).values(**values))


def hold_row(tx: Connection, name: str) -> None:
    """Have nobody else change a host until this transaction is over."""
    tx.execute(update(hosts).where(hosts.c.name == name).values(forced_down=hosts.c.forced_down))


def note_up(tx: Connection, name: str, now: float) -> bool:
    """Write down that a host is there, unless somebody said that it is down; tells whether it is written."""
    there = (hosts.c.name == name, hosts.c.forced_down.is_(False))
    return tx.execute(update(hosts).where(*there).values(seen_at=now)).rowcount > 0


def update_host(tx: Connection, name: str, **values: Any) -> bool:
    """Change a host; tell whether there is one."""
    return tx.execute(update(hosts).where(hosts.c.name == name).values(**values)).rowcount > 0


def delete_host(tx: Connection, host: Host) -> None:
    """Forget a host, its place in aggregates and its further inventories."""
    tx.execute(delete(aggregate_hosts).where(aggregate_hosts.c.host == host.name))
    tx.execute(delete(inventories).where(inventories.c.provider_uuid == host.hypervisor_uuid))
    tx.execute(delete(hosts).where(hosts.c.id == host.id))


def servers_of(tx: Connection, names: Collection[str]) -> dict[str, list[tuple[str, str]]]:
    """Return the id and name of the servers on hosts, by host."""
    query = select(servers.c.host, servers.c.id, servers.c.name).where(servers.c.host.in_(names), servers.c.deleted_at.is_(None))
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for host, server_id, name in tx.execute(query.order_by(servers.c.created_at, servers.c.id)):
        found[host].append((server_id, name))
    return found


def usage_by_project(tx: Connection, name: str) -> dict[str, tuple[int, int, int]]:
    """Return what the servers of each project take of a host: vCPUs, MiB of memory, GiB of disks."""
    c = servers.c
    query = select(c.project_id, func.sum(c.vcpus), func.sum(c.memory_mib), func.sum(c.disk_gib))
    query = query.where(c.host == name, c.deleted_at.is_(None)).group_by(c.project_id)
    return {project_id: (int(vcpus), int(memory), int(disk)) for project_id, vcpus, memory, disk in tx.execute(query)}
