"""Questions asked of the resource providers: the compute hosts, and those that others keep here."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from pileus.compute import traits as trait_names
from pileus.compute.placement import Inventory, Provider
from pileus.compute.store import hosts as host_store
from pileus.compute.store.hosts import Host
from pileus.compute.tables.aggregates import aggregate_hosts, aggregates
from pileus.compute.tables.hosts import hosts
from pileus.compute.tables.placement import (
    allocations,
    custom_classes,
    custom_traits,
    inventories,
    provider_aggregates,
    provider_traits,
    providers,
)
from pileus.kernel.errors import Conflict

HOST_CLASSES = {"VCPU": "vcpus", "MEMORY_MB": "memory", "DISK_GB": "disk"}
STANDARD_CLASSES = (
    "VCPU", "MEMORY_MB", "DISK_GB", "PCI_DEVICE", "SRIOV_NET_VF", "NUMA_SOCKET", "NUMA_CORE", "NUMA_THREAD",
    "NUMA_MEMORY_MB", "IPV4_ADDRESS", "VGPU", "VGPU_DISPLAY_HEAD", "NET_BW_EGR_KILOBIT_PER_SEC",
    "NET_BW_IGR_KILOBIT_PER_SEC", "PCPU", "MEM_ENCRYPTION_CONTEXT", "FPGA", "PGPU", "NET_PACKET_RATE_KILOPACKET_PER_SEC",
    "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC", "NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC",
)  # fmt: skip
INVENTORY_COLUMNS = [each.name for each in fields(Inventory)]


def load(tx: Connection, uuids: Collection[str] | None = None) -> list[Provider]:
    """Return providers with all that is known of them, in a fixed number of queries; all, or those of some UUIDs."""
    names = None
    if uuids is not None:
        names = tx.execute(select(hosts.c.name).where(hosts.c.hypervisor_uuid.in_(uuids))).scalars().all()
    found_hosts = host_store.list_hosts(tx, names) if names is None or names else []
    query = select(providers).order_by(providers.c.created_at, providers.c.uuid)
    rows = tx.execute(query if uuids is None else query.where(providers.c.uuid.in_(uuids))).all()
    held, used = _inventories(tx, uuids), _used(tx, uuids)
    tags, groups = _pairs(tx, provider_traits.c.trait, uuids), _pairs(tx, provider_aggregates.c.aggregate_uuid, uuids)
    zones = _host_aggregates(tx)
    found = [_of_host(host, held, used, groups[host.hypervisor_uuid] | zones[host.name]) for host in found_hosts]
    for row in rows:
        found.append(
            Provider(
                row.uuid,
                row.name,
                row.generation,
                row.root_uuid,
                row.parent_uuid,
                "",
                row.updated_at,
                held[row.uuid],
                {name: used[row.uuid].get(name, 0) for name in held[row.uuid]},
                frozenset(tags[row.uuid]),
                frozenset(groups[row.uuid]),
            )
        )
    return found


def _of_host(host: Host, held: Mapping[str, Any], used: Mapping[str, Any], groups: set[str]) -> Provider:
    uuid = host.hypervisor_uuid
    own = {
        "VCPU": Inventory(host.vcpus, host.vcpus_reserved, 1, max(host.vcpus, 1), 1, host.vcpus_ratio),
        "MEMORY_MB": Inventory(host.memory_mib, host.memory_reserved_mib, 1, max(host.memory_mib, 1), 1, host.memory_ratio),
        "DISK_GB": Inventory(host.disk_gib, host.disk_reserved_gib, 1, max(host.disk_gib, 1), 1, host.disk_ratio),
    }
    own = {name: inventory for name, inventory in own.items() if inventory.total > 0}
    taken = {"VCPU": host.vcpus_used, "MEMORY_MB": host.memory_used_mib, "DISK_GB": host.disk_used_gib}
    everything = {**held[uuid], **own}
    return Provider(
        uuid, host.name, host.generation, uuid, None, host.name, host.updated_at or host.created_at, everything,
        {name: taken.get(name, 0) + used[uuid].get(name, 0) for name in everything},
        frozenset(trait_names.of_host(host.arch, host.virt_type, host.cpu)) | frozenset(host.traits), frozenset(groups),
    )  # fmt: skip


def _inventories(tx: Connection, uuids: Collection[str] | None) -> dict[str, dict[str, Inventory]]:
    query = select(inventories)
    found: dict[str, dict[str, Inventory]] = defaultdict(dict)
    for row in tx.execute(query if uuids is None else query.where(inventories.c.provider_uuid.in_(uuids))):
        found[row.provider_uuid][row.resource_class] = Inventory(*(getattr(row, name) for name in INVENTORY_COLUMNS))
    return found


def _used(tx: Connection, uuids: Collection[str] | None) -> dict[str, dict[str, int]]:
    c = allocations.c
    query = select(c.provider_uuid, c.resource_class, func.sum(c.used)).group_by(c.provider_uuid, c.resource_class)
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for uuid, name, amount in tx.execute(query if uuids is None else query.where(c.provider_uuid.in_(uuids))):
        found[uuid][name] = int(amount)
    return found


def _pairs(tx: Connection, column: Any, uuids: Collection[str] | None) -> dict[str, set[str]]:
    owner = column.table.c.provider_uuid
    query = select(owner, column)
    found: dict[str, set[str]] = defaultdict(set)
    for uuid, value in tx.execute(query if uuids is None else query.where(owner.in_(uuids))):
        found[uuid].add(value)
    return found


def _host_aggregates(tx: Connection) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for host, uuid in tx.execute(select(aggregate_hosts.c.host, aggregates.c.uuid).join_from(aggregate_hosts, aggregates)):
        found[host].add(uuid)
    return found


def tree_of(tx: Connection, uuid: str) -> list[str]:
    """Return the UUIDs of a provider and of all below it."""
    rows = tx.execute(select(providers.c.uuid, providers.c.parent_uuid)).all()
    found, grew = {uuid}, True
    while grew:
        below = {row.uuid for row in rows if row.parent_uuid in found} - found
        grew = bool(below)
        found |= below
    return sorted(found)


def insert_provider(tx: Connection, values: Mapping[str, Any]) -> None:
    """Write a provider down.

    :raises Conflict: when its name or UUID is taken.
    """
    taken = select(hosts.c.name).where(or_(hosts.c.name == values["name"], hosts.c.hypervisor_uuid == values["uuid"]))
    if tx.execute(taken).first():
        raise _taken(values)
    try:
        tx.execute(insert(providers).values(**values))
    except IntegrityError:
        raise _taken(values) from None


def update_provider(tx: Connection, uuid: str, **values: Any) -> None:
    """Change a provider of others.

    :raises Conflict: when the name is taken.
    """
    if "name" in values and tx.execute(select(hosts.c.id).where(hosts.c.name == values["name"])).first():
        raise _taken(values)
    try:
        tx.execute(update(providers).where(providers.c.uuid == uuid).values(**values))
    except IntegrityError:
        raise _taken(values) from None


def move_tree(tx: Connection, uuids: Iterable[str], root_uuid: str) -> None:
    """Give providers another root."""
    tx.execute(update(providers).where(providers.c.uuid.in_(tuple(uuids))).values(root_uuid=root_uuid))


def delete_provider(tx: Connection, uuid: str) -> None:
    """Delete a provider of others, and what is said of it."""
    for table in (inventories, provider_traits, provider_aggregates):
        tx.execute(delete(table).where(table.c.provider_uuid == uuid))
    tx.execute(delete(providers).where(providers.c.uuid == uuid))


def _taken(values: Mapping[str, Any]) -> Conflict:
    message = f"Conflicting resource provider name: {values.get('name')} already exists."
    return Conflict(message, extra={"code": "placement.duplicate_name"})


def bump(tx: Connection, provider: Provider, now: float) -> None:
    """Count a change of a provider.

    :raises Conflict: when somebody else changed it meanwhile.
    """
    table, key = (hosts, hosts.c.hypervisor_uuid) if provider.host else (providers, providers.c.uuid)
    where = (key == provider.uuid, table.c.generation == provider.generation)
    changed = tx.execute(update(table).where(*where).values(generation=provider.generation + 1, updated_at=now)).rowcount
    if not changed:
        raise Conflict("resource provider generation conflict", extra={"code": "placement.concurrent_update"})


def set_inventories(tx: Connection, provider: Provider, wanted: Mapping[str, Inventory]) -> None:
    """Replace what a provider has.  Of a compute host's own classes only what is reserved and the ratio are written."""
    tx.execute(delete(inventories).where(inventories.c.provider_uuid == provider.uuid))
    others = {name: one for name, one in wanted.items() if not (provider.host and name in HOST_CLASSES)}
    if others:
        rows = [{"provider_uuid": provider.uuid, "resource_class": name, **asdict(one)} for name, one in others.items()]
        tx.execute(insert(inventories), rows)
    units = {"VCPU": "vcpus_reserved", "MEMORY_MB": "memory_reserved_mib", "DISK_GB": "disk_reserved_gib"}
    values: dict[str, Any] = {}
    for name, stem in HOST_CLASSES.items():
        if provider.host and name in wanted:
            values |= {f"{stem}_ratio": wanted[name].allocation_ratio, units[name]: wanted[name].reserved}
    if values:
        tx.execute(update(hosts).where(hosts.c.hypervisor_uuid == provider.uuid).values(**values))


def set_traits(tx: Connection, provider: Provider, wanted: Collection[str]) -> None:
    """Replace a provider's traits.  What a compute host can do of itself comes back on its own."""
    if provider.host:
        values = {"traits": sorted(wanted)}
        tx.execute(update(hosts).where(hosts.c.hypervisor_uuid == provider.uuid).values(**values))
        return
    tx.execute(delete(provider_traits).where(provider_traits.c.provider_uuid == provider.uuid))
    if wanted:
        tx.execute(insert(provider_traits), [{"provider_uuid": provider.uuid, "trait": trait} for trait in wanted])


def set_aggregates(tx: Connection, provider: Provider, wanted: Collection[str]) -> None:
    """Replace a provider's aggregates; those that a compute host is in by compute's own API stay."""
    tx.execute(delete(provider_aggregates).where(provider_aggregates.c.provider_uuid == provider.uuid))
    if wanted:
        rows = [{"provider_uuid": provider.uuid, "aggregate_uuid": uuid} for uuid in wanted]
        tx.execute(insert(provider_aggregates), rows)


def list_names(tx: Connection, kind: str) -> set[str]:
    """Return the names of the operators' own traits ("trait") or resource classes ("class")."""
    return set(tx.execute(select(_names(kind).c.name)).scalars())


def add_name(tx: Connection, kind: str, name: str) -> bool:
    """Write a name down; tell whether it is new."""
    if name in list_names(tx, kind):
        return False
    tx.execute(insert(_names(kind)).values(name=name))
    return True


def remove_name(tx: Connection, kind: str, name: str) -> bool:
    """Forget a name; tell whether it was there."""
    return tx.execute(delete(_names(kind)).where(_names(kind).c.name == name)).rowcount > 0


def traits_in_use(tx: Connection) -> set[str]:
    """Return the traits that any provider has."""
    return {trait for provider in load(tx) for trait in provider.traits}


def class_in_use(tx: Connection, name: str) -> bool:
    """Tell whether any provider has an inventory of a class."""
    return tx.execute(select(inventories.c.total).where(inventories.c.resource_class == name)).first() is not None


def _names(kind: str) -> Any:
    return custom_traits if kind == "trait" else custom_classes
