"""Trunks as records: the port that carries, and those that are carried."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, exists, insert, select, update

from pileus.network.store import rows
from pileus.network.store.records import record
from pileus.network.store.rows import Clause, Kind
from pileus.network.tables import ports
from pileus.network.tables.trunks import subports, trunks

T, S = trunks.c, subports.c


class Subport(msgspec.Struct, frozen=True):
    """A port whose frames go through a trunk under a VLAN."""

    port_id: str
    segmentation_type: str
    segmentation_id: int
    mac_address: str = ""


class Trunk(msgspec.Struct, frozen=True):
    """A trunk; it is as active as the port that carries."""

    id: str
    project_id: str
    name: str
    description: str
    admin_state_up: bool
    port_id: str
    revision_number: int
    created_at: float
    updated_at: float
    status: str = "DOWN"
    sub_ports: tuple[Subport, ...] = ()
    tags: tuple[str, ...] = ()


def _status(values: list[str]) -> Clause:
    return exists().where(ports.c.id == T.port_id, ports.c.status.in_(values))


TRUNK = Kind("trunk", trunks, {}, {"status": _status})


def assemble(tx: Connection, found: Sequence[Row[Any]]) -> list[Trunk]:
    """Put records together out of the trunks' rows and the other tables."""
    ids = [row.id for row in found]
    carried = carried_by(tx, ids)
    status: dict[str, str] = {}
    for chunk in rows.chunks(row.port_id for row in found):
        status |= {row.id: row.status for row in tx.execute(select(ports.c.id, ports.c.status).where(ports.c.id.in_(chunk)))}
    named = rows.tags_of(tx, ids)
    return [
        record(
            Trunk, row, status="ACTIVE" if status.get(row.port_id) == "ACTIVE" and row.admin_state_up else "DOWN",
            sub_ports=tuple(carried.get(row.id, ())), tags=named.get(row.id, ()),
        )
        for row in found
    ]  # fmt: skip


def carried_by(tx: Connection, trunk_ids: Collection[str]) -> dict[str, list[Subport]]:
    """Return the ports that trunks carry, by trunk, in the order of their VLANs."""
    found: dict[str, list[Subport]] = defaultdict(list)
    query = select(S.trunk_id, S.port_id, S.segmentation_type, S.segmentation_id, ports.c.mac_address)
    query = query.join(ports, ports.c.id == S.port_id).order_by(S.segmentation_id)
    for chunk in rows.chunks(trunk_ids):
        for row in tx.execute(query.where(S.trunk_id.in_(chunk))):
            found[row.trunk_id].append(Subport(row.port_id, row.segmentation_type, row.segmentation_id, row.mac_address))
    return found


def details_of(tx: Connection, port_ids: Collection[str]) -> dict[str, tuple[str, tuple[Subport, ...]]]:
    """Return the trunks of ports that carry some: the trunk's id and what it carries, by port."""
    mine: dict[str, str] = {}
    if tx.execute(select(T.id).limit(1)).first() is None:  # in most clouds, always
        return {}
    for chunk in rows.chunks(port_ids):
        mine |= {row.port_id: row.id for row in tx.execute(select(T.port_id, T.id).where(T.port_id.in_(chunk)))}
    carried = carried_by(tx, mine.values()) if mine else {}
    return {port_id: (id, tuple(carried.get(id, ()))) for port_id, id in mine.items()}


def trunk_of(tx: Connection, port_id: str) -> str | None:
    """Return the trunk of which a port is the one that carries."""
    return tx.execute(select(T.id).where(T.port_id == port_id)).scalar()


def carrier_of(tx: Connection, port_id: str) -> str | None:
    """Return the trunk that carries a port."""
    return tx.execute(select(S.trunk_id).where(S.port_id == port_id)).scalar()


def ways_of(tx: Connection, port_ids: Collection[str]) -> dict[str, tuple[str, int, bool]]:
    """Return through which port, under which VLAN and whether up carried ports go, by port."""
    found: dict[str, tuple[str, int, bool]] = {}
    query = select(S.port_id, T.port_id.label("carrier"), S.segmentation_id, T.admin_state_up).join(trunks, T.id == S.trunk_id)
    for chunk in rows.chunks(port_ids):
        for row in tx.execute(query.where(S.port_id.in_(chunk))):
            found[row.port_id] = (row.carrier, row.segmentation_id, row.admin_state_up)
    return found


def add(tx: Connection, trunk_id: str, carried: Sequence[Subport]) -> None:
    """Let a trunk carry ports.  :raises IntegrityError: when another does, or a VLAN is taken."""
    values = [
        {"port_id": s.port_id, "trunk_id": trunk_id, "segmentation_type": s.segmentation_type,
         "segmentation_id": s.segmentation_id} for s in carried
    ]  # fmt: skip
    if values:
        tx.execute(insert(subports), values)


def take_away(tx: Connection, trunk_id: str, port_ids: Collection[str]) -> None:
    """Let a trunk carry ports no more."""
    tx.execute(delete(subports).where(S.trunk_id == trunk_id, S.port_id.in_(list(port_ids))))


def set_place(tx: Connection, port_ids: Collection[str], values: dict[str, Any]) -> None:
    """Note where carried ports are."""
    tx.execute(update(ports).where(ports.c.id.in_(list(port_ids))).values(**values, revision_number=ports.c.revision_number + 1))
