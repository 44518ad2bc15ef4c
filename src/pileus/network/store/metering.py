"""Meters of routers as records: labels, and the rules that say what each counts."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select

from pileus.network.store.records import record
from pileus.network.store.rows import Clause, Kind
from pileus.network.tables import routers
from pileus.network.tables.routing import metering_labels, metering_rules


class MeterRule(msgspec.Struct, frozen=True):
    """Traffic of one direction that a label counts, or leaves out."""

    id: str
    metering_label_id: str
    direction: str
    remote_ip_prefix: str | None
    source_ip_prefix: str | None
    destination_ip_prefix: str | None
    excluded: bool
    revision_number: int
    created_at: float
    updated_at: float
    project_id: str = ""


class MeterLabel(msgspec.Struct, frozen=True):
    """A count of traffic through a project's routers, or through all."""

    id: str
    project_id: str
    name: str
    description: str
    shared: bool
    revision_number: int
    created_at: float
    updated_at: float


L, R = metering_labels.c, metering_rules.c
LABEL, RULE = Kind("metering_label", metering_labels), Kind("metering_label_rule", metering_rules)


def visible(project_id: str) -> Clause:
    """The labels that a project sees."""
    return (L.project_id == project_id) | L.shared.is_(True)


def visible_rules(project_id: str) -> Clause:
    """The rules that a project sees."""
    return R.metering_label_id.in_(select(L.id).where(visible(project_id)))


def assemble(tx: Connection, found: Sequence[Row[Any]]) -> list[MeterLabel]:
    """Put labels together out of rows."""
    return [record(MeterLabel, row) for row in found]


def assemble_rules(tx: Connection, found: Sequence[Row[Any]]) -> list[MeterRule]:
    """Put rules together out of rows; they belong to the project of their label."""
    ids = {row.metering_label_id for row in found}
    owners = {row.id: row.project_id for row in tx.execute(select(L.id, L.project_id).where(L.id.in_(ids)))} if ids else {}
    return [record(MeterRule, row, project_id=owners.get(row.metering_label_id, "")) for row in found]


def rules_of(tx: Connection, label_ids: Collection[str]) -> list[MeterRule]:
    """Return the rules of labels, oldest first."""
    query = select(*R).where(R.metering_label_id.in_(list(label_ids))).order_by(R.created_at, R.id)
    return assemble_rules(tx, tx.execute(query).all()) if label_ids else []


def all_labels(tx: Connection) -> list[MeterLabel]:
    """Return every label."""
    return assemble(tx, tx.execute(select(*L).order_by(L.id)).all())


def routers_counted(tx: Connection, label: MeterLabel) -> list[str]:
    """Return the routers whose traffic a label counts."""
    query = select(routers.c.id)
    return list(tx.execute(query if label.shared else query.where(routers.c.project_id == label.project_id)).scalars())
