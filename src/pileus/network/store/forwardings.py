"""Forwarded ports of floating IPs as records."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from pileus.network.store import rows
from pileus.network.store.records import record
from pileus.network.store.rows import Clause, Kind, Wanted
from pileus.network.tables import addresses, floating_ips
from pileus.network.tables.routing import port_forwardings


class Forwarding(msgspec.Struct, frozen=True):
    """Ports of a floating IP that lead to as many ports of an address behind it, or all to one."""

    id: str
    floatingip_id: str
    description: str
    protocol: str
    external_first: int
    external_last: int
    internal_port_id: str
    internal_ip_address: str
    internal_first: int
    internal_last: int
    revision_number: int
    created_at: float
    updated_at: float


F = port_forwardings.c
FORWARDING = Kind(
    "port_forwarding", port_forwardings, {"external_port": "external_first", "internal_port": "internal_first"}
)  # fmt: skip


def list_forwardings(tx: Connection, floating_ip_id: str, wanted: Wanted) -> list[Forwarding]:
    """Return the forwarded ports of one floating IP."""
    found = rows.list_rows(tx, FORWARDING, F.floatingip_id == floating_ip_id, wanted)
    return [record(Forwarding, row) for row in found]


def find_forwarding(tx: Connection, id: str) -> Forwarding | None:
    """Return one."""
    row = rows.find_row(tx, FORWARDING, id)
    return record(Forwarding, row) if row else None


def forwardings_where(tx: Connection, *conditions: Clause) -> list[Forwarding]:
    """Return those for which conditions hold, oldest first."""
    query = select(*F).where(*conditions).order_by(F.created_at, F.id)
    return [record(Forwarding, row) for row in tx.execute(query)]


def by_floating_ip(tx: Connection, ids: Collection[str]) -> dict[str, tuple[Forwarding, ...]]:
    """Return the forwarded ports of floating IPs, by floating IP."""
    found: dict[str, list[Forwarding]] = defaultdict(list)
    for chunk in rows.chunks(ids):
        for each in forwardings_where(tx, F.floatingip_id.in_(chunk)):
            found[each.floatingip_id].append(each)
    return {id: tuple(every) for id, every in found.items()}


def of_routers(tx: Connection, router_ids: Collection[str]) -> list[tuple[str, str, Forwarding]]:
    """Return what routers forward: the router, the floating address and the ports."""
    if not router_ids:
        return []
    query = select(floating_ips.c.router_id, floating_ips.c.floating_ip_address, *F)
    query = query.join(floating_ips, floating_ips.c.id == F.floatingip_id).where(floating_ips.c.router_id.in_(list(router_ids)))
    found = tx.execute(query.order_by(F.created_at, F.id)).all()
    return [(row[0], row[1], record(Forwarding, row[2:])) for row in found]


def into_subnets(subnet_ids: Collection[str]) -> Clause:
    """Return the condition that ports are forwarded to a port with an address in one of some subnets."""
    return F.internal_port_id.in_(select(addresses.c.port_id).where(addresses.c.subnet_id.in_(list(subnet_ids))))


def columns(forwarding: Forwarding) -> dict[str, Any]:
    """Return what of it can be changed."""
    names = ("description", "protocol", "external_first", "external_last", "internal_port_id", "internal_ip_address")
    return {name: getattr(forwarding, name) for name in (*names, "internal_first", "internal_last")}
