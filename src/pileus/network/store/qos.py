"""Policies of quality of service with their rules as records, and who uses them."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, insert, or_, select

from pileus.network.store import rows, sharing
from pileus.network.store.records import record
from pileus.network.store.rows import Clause, Kind, Wanted
from pileus.network.tables import floating_ips, networks, ports, routers
from pileus.network.tables.qos import qos_default_policies, qos_policies, qos_rules


class QosRule(msgspec.Struct, frozen=True):
    """One rule: which of the figures it has depends on its kind."""

    id: str
    qos_policy_id: str
    kind: str
    direction: str
    max_kbps: int | None
    max_burst_kbps: int | None
    min_kbps: int | None
    dscp_mark: int | None
    revision_number: int
    created_at: float
    updated_at: float


class QosPolicy(msgspec.Struct, frozen=True):
    """A policy."""

    id: str
    project_id: str
    name: str
    description: str
    shared: bool
    revision_number: int
    created_at: float
    updated_at: float
    is_default: bool = False
    rules: tuple[QosRule, ...] = ()
    tags: tuple[str, ...] = ()


P, R, D = qos_policies.c, qos_rules.c, qos_default_policies.c


def _default(values: list[str]) -> Clause:
    wanted = {value.lower() in ("true", "1") for value in values}
    defaults = P.id.in_(select(D.policy_id))
    return or_(*(defaults if each else ~defaults for each in wanted))


POLICY = Kind("policy", qos_policies, {}, {"is_default": _default})
RULE = Kind("policy_rule", qos_rules)


def visible(project_id: str) -> Clause:
    """The policies that a project sees."""
    return (P.project_id == project_id) | sharing.opened("qos_policy", project_id)


def assemble(tx: Connection, found: Sequence[Row[Any]]) -> list[QosPolicy]:
    """Put records together out of the policies' rows and the other tables."""
    ids = [row.id for row in found]
    inside: dict[str, list[QosRule]] = defaultdict(list)
    defaults: set[str] = set()
    for chunk in rows.chunks(ids):
        for row in tx.execute(select(*R).where(R.qos_policy_id.in_(chunk)).order_by(R.created_at, R.id)):
            inside[row.qos_policy_id].append(record(QosRule, row))
        defaults |= set(tx.execute(select(D.policy_id).where(D.policy_id.in_(chunk))).scalars())
    named = rows.tags_of(tx, ids)
    return [
        record(
            QosPolicy, row, is_default=row.id in defaults, rules=tuple(inside.get(row.id, ())), tags=named.get(row.id, ())
        )
        for row in found
    ]  # fmt: skip


def default_of(tx: Connection, project_id: str) -> str | None:
    """Return a project's default policy."""
    return tx.execute(select(D.policy_id).where(D.project_id == project_id)).scalar()


def set_default(tx: Connection, project_id: str, policy_id: str) -> None:
    """Note a project's default policy.  :raises IntegrityError: when it has one."""
    tx.execute(insert(qos_default_policies).values(project_id=project_id, policy_id=policy_id))


def clear_default(tx: Connection, policy_id: str) -> None:
    """Let a policy be the default one no more."""
    tx.execute(delete(qos_default_policies).where(D.policy_id == policy_id))


def list_rules(tx: Connection, policy_id: str, kind: str, wanted: Wanted) -> list[QosRule]:
    """Return rules of a kind of a policy."""
    mine = (R.qos_policy_id == policy_id) & (R.kind == kind)
    return [record(QosRule, row) for row in rows.list_rows(tx, RULE, mine, wanted)]


def find_rule(tx: Connection, id: str) -> QosRule | None:
    """Return one rule."""
    row = rows.find_row(tx, RULE, id)
    return record(QosRule, row) if row else None


def users(tx: Connection, policy_id: str) -> list[tuple[str, str, str]]:
    """Return what uses a policy: kind, id and project."""
    found = []
    for kind, table in (("network", networks), ("port", ports), ("router", routers), ("floatingip", floating_ips)):
        query = select(table.c.id, table.c.project_id).where(table.c.qos_policy_id == policy_id)
        found += [(kind, row.id, row.project_id) for row in tx.execute(query)]
    return found


def rules_of(tx: Connection, policy_ids: Collection[str]) -> dict[str, list[QosRule]]:
    """Return the rules of policies, by policy."""
    found: dict[str, list[QosRule]] = defaultdict(list)
    for chunk in rows.chunks(policy_ids):
        for row in tx.execute(select(*R).where(R.qos_policy_id.in_(chunk)).order_by(R.created_at, R.id)):
            found[row.qos_policy_id].append(record(QosRule, row))
    return found


def delete_rules(tx: Connection, policy_id: str) -> None:
    """Remove all rules of a policy."""
    tx.execute(delete(qos_rules).where(R.qos_policy_id == policy_id))
