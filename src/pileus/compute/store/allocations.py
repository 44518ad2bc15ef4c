"""Questions asked of allocations: what servers take, out of their own rows, and what others wrote down."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from pileus.compute.tables.hosts import hosts
from pileus.compute.tables.placement import allocations, consumers
from pileus.compute.tables.servers import migrations, servers

SERVER_TYPE, MIGRATION_TYPE = "INSTANCE", "MIGRATION"
UNKNOWN_TYPE = "unknown"
Resources = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Consumer:
    """Whoever takes resources.  resources holds what is taken, by provider and class."""

    uuid: str
    project_id: str
    user_id: str
    type: str | None
    generation: int
    is_server: bool
    resources: Resources = field(default_factory=dict)


def find(tx: Connection, uuid: str) -> Consumer | None:
    """Return a consumer: a server that has a host, a migration that holds room, or one that others wrote down."""
    query = _servers().where(servers.c.id == uuid)
    row = tx.execute(query).first()
    if row is not None:
        taken = _taken(row.vcpus, row.memory_mib, row.disk_gib)
        return Consumer(uuid, row.project_id, row.user_id, SERVER_TYPE, 1, True, {row.provider: taken})
    row = tx.execute(_holders().where(migrations.c.uuid == uuid)).first()
    if row is not None:
        return Consumer(uuid, row.project_id, row.user_id, MIGRATION_TYPE, 1, True, {row.provider: _held(row)})
    own = tx.execute(select(consumers).where(consumers.c.uuid == uuid)).first()
    if own is None:
        return None
    rows = tx.execute(select(allocations).where(allocations.c.consumer_uuid == uuid))
    resources: Resources = defaultdict(dict)
    for each in rows:
        resources[each.provider_uuid][each.resource_class] = each.used
    return Consumer(uuid, own.project_id, own.user_id, own.type, own.generation, False, dict(resources))


def is_server(tx: Connection, uuid: str) -> bool:
    """Tell whether a UUID is that of a server, placed or not, or of a migration."""
    if tx.execute(select(migrations.c.id).where(migrations.c.uuid == uuid)).first() is not None:
        return True
    return tx.execute(select(servers.c.id).where(servers.c.id == uuid, servers.c.deleted_at.is_(None))).first() is not None


def of_provider(tx: Connection, uuid: str) -> dict[str, tuple[dict[str, int], int]]:
    """Return what each consumer takes from a provider, and the consumer's generation."""
    found: dict[str, tuple[dict[str, int], int]] = {}
    for row in tx.execute(_servers().where(hosts.c.hypervisor_uuid == uuid)):
        found[row.id] = (_taken(row.vcpus, row.memory_mib, row.disk_gib), 1)
    for row in tx.execute(_holders().where(hosts.c.hypervisor_uuid == uuid)):
        found[row.uuid] = (_held(row), 1)
    query = select(allocations, consumers.c.generation).join_from(allocations, consumers)
    for row in tx.execute(query.where(allocations.c.provider_uuid == uuid)):
        found.setdefault(row.consumer_uuid, ({}, row.generation))[0][row.resource_class] = row.used
    return found


def usages(tx: Connection, project_id: str, user_id: str | None) -> dict[str, dict[str, int]]:
    """Return what a project, or one user in it, takes, by type of consumer; consumer_count counts them."""
    query = select(func.count(), func.sum(servers.c.vcpus), func.sum(servers.c.memory_mib), func.sum(servers.c.disk_gib)).where(
        servers.c.project_id == project_id, servers.c.deleted_at.is_(None), servers.c.host.is_not(None)
    )
    own = select(consumers.c.type, allocations.c.resource_class, func.sum(allocations.c.used))
    own = own.join_from(allocations, consumers).where(consumers.c.project_id == project_id)
    counts = select(consumers.c.type, func.count()).where(consumers.c.project_id == project_id)
    m = migrations.c
    held = select(func.count(), func.sum(m.held_vcpus), func.sum(m.held_memory_mib), func.sum(m.held_disk_gib))
    held = held.join_from(migrations, servers).where(m.held_host.is_not(None), servers.c.deleted_at.is_(None))
    held = held.where(servers.c.project_id == project_id)
    if user_id is not None:
        query, held = query.where(servers.c.user_id == user_id), held.where(servers.c.user_id == user_id)
        own, counts = own.where(consumers.c.user_id == user_id), counts.where(consumers.c.user_id == user_id)
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for kind, asked in ((SERVER_TYPE, query), (MIGRATION_TYPE, held)):
        number, vcpus, memory_mib, disk_gib = tx.execute(asked).one()
        if number:
            found[kind] |= {"consumer_count": number, **_taken(int(vcpus), int(memory_mib), int(disk_gib))}
    for kind, name, amount in tx.execute(own.group_by(consumers.c.type, allocations.c.resource_class)):
        found[kind or UNKNOWN_TYPE][name] += int(amount)
    for kind, count in tx.execute(counts.group_by(consumers.c.type)):
        found[kind or UNKNOWN_TYPE]["consumer_count"] += count
    return {kind: dict(many) for kind, many in found.items()}


def write(tx: Connection, consumer: Consumer) -> None:
    """Replace what a consumer takes; one that takes nothing is forgotten."""
    tx.execute(delete(allocations).where(allocations.c.consumer_uuid == consumer.uuid))
    if not any(consumer.resources.values()):
        tx.execute(delete(consumers).where(consumers.c.uuid == consumer.uuid))
        return
    values = {
        "project_id": consumer.project_id, "user_id": consumer.user_id, "type": consumer.type,
        "generation": consumer.generation,
    }  # fmt: skip
    if not tx.execute(update(consumers).where(consumers.c.uuid == consumer.uuid).values(**values)).rowcount:
        tx.execute(insert(consumers).values(uuid=consumer.uuid, **values))
    rows = [
        {"consumer_uuid": consumer.uuid, "provider_uuid": provider, "resource_class": name, "used": amount}
        for provider, many in consumer.resources.items()
        for name, amount in many.items()
    ]
    tx.execute(insert(allocations), rows)


def in_use(tx: Connection, provider_uuid: str, classes: Collection[str] | None = None) -> bool:
    """Tell whether anything is taken from a provider by others than servers."""
    query = select(allocations.c.used).where(allocations.c.provider_uuid == provider_uuid)
    return tx.execute(query if classes is None else query.where(allocations.c.resource_class.in_(classes))).first() is not None


def _servers() -> Select[Any]:
    c = servers.c
    query = select(
        c.id, c.project_id, c.user_id, c.vcpus, c.memory_mib, c.disk_gib, hosts.c.hypervisor_uuid.label("provider")
    ).join_from(servers, hosts, hosts.c.name == c.host)
    return query.where(c.deleted_at.is_(None))


def _holders() -> Select[Any]:
    """The migrations that hold room on a second host."""
    c, s = migrations.c, servers.c
    held = (c.held_vcpus, c.held_memory_mib, c.held_disk_gib)
    query = select(c.uuid, s.project_id, s.user_id, *held, hosts.c.hypervisor_uuid.label("provider"))
    return query.join_from(migrations, servers).join(hosts, hosts.c.name == c.held_host).where(s.deleted_at.is_(None))


def _held(row: Any) -> dict[str, int]:
    return _taken(row.held_vcpus, row.held_memory_mib, row.held_disk_gib)


def _taken(vcpus: int, memory_mib: int, disk_gib: int) -> dict[str, int]:
    amounts: Mapping[str, int] = {"VCPU": vcpus, "MEMORY_MB": memory_mib, "DISK_GB": disk_gib}
    return {name: amount for name, amount in amounts.items() if amount}
