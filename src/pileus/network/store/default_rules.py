"""The rules that new security groups get, as records."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, or_, select

from pileus.network.store.records import record
from pileus.network.store.rows import Kind
from pileus.network.tables.grouping import default_rules


class DefaultRule(msgspec.Struct, frozen=True):
    """A rule that groups are made with: a project's default one, the others, or both."""

    id: str
    description: str
    direction: str
    ethertype: str
    protocol: str | None
    port_range_min: int | None
    port_range_max: int | None
    remote_ip_prefix: str | None
    remote_group_id: str | None
    remote_address_group_id: str | None
    used_in_default_sg: bool
    used_in_non_default_sg: bool
    revision_number: int
    created_at: float
    updated_at: float


D = default_rules.c
DEFAULT_RULE = Kind("default_security_group_rule", default_rules)


def assemble(tx: Connection, found: Sequence[Row[Any]]) -> list[DefaultRule]:
    """Put records together out of rows."""
    return [record(DefaultRule, row) for row in found]


def rules_for(tx: Connection, *, default: bool) -> list[DefaultRule]:
    """Return the rules that a new group gets, a default one or another."""
    used = D.used_in_default_sg if default else D.used_in_non_default_sg
    return assemble(tx, tx.execute(select(*D).where(used.is_(True)).order_by(D.created_at, D.id)).all())


def is_empty(tx: Connection) -> bool:
    """Tell whether there are none at all."""
    return tx.execute(select(D.id).limit(1)).first() is None


def same(tx: Connection, facts: dict[str, Any], used: Sequence[str]) -> str | None:
    """Return the id of a rule of which these facts hold, and which is used where this one is, too."""
    query = select(D.id).where(or_(*(D[name].is_(True) for name in used))) if used else select(D.id)
    for name, value in facts.items():
        query = query.where(D[name].is_(None) if value is None else D[name] == value)
    return tx.execute(query).scalars().first()
