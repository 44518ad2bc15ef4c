"""Policies that open a thing to other projects, as records; and the conditions that follow for lists."""

from collections.abc import Collection, Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, delete, select, update

from pileus.kernel import ids
from pileus.network.store import rows
from pileus.network.store.records import record
from pileus.network.store.rows import Clause, Kind, Wanted
from pileus.network.tables import address_scopes, groups, networks, ports, subnet_pools
from pileus.network.tables.grouping import address_groups
from pileus.network.tables.qos import qos_policies
from pileus.network.tables.sharing import rbac_policies

SHARED, EXTERNAL, ALL = "access_as_shared", "access_as_external", "*"

OBJECTS = {
    "network": networks, "subnetpool": subnet_pools, "address_scope": address_scopes, "security_group": groups,
    "qos_policy": qos_policies, "address_group": address_groups,
}  # fmt: skip
WITH_FLAG = {"network", "subnetpool", "address_scope", "qos_policy", "address_group"}  # their tables have a column `shared`


class RbacPolicy(msgspec.Struct, frozen=True):
    """One grant: a project (or all, `*`) may do something with a thing."""

    id: str
    project_id: str
    object_type: str
    object_id: str
    target_project: str
    action: str
    revision_number: int
    created_at: float
    updated_at: float


R = rbac_policies.c
RBAC = Kind("rbac_policy", rbac_policies, {"target_tenant": "target_project"})


def _granted(object_type: str, project_id: str, action: str) -> Select[Any]:
    query = select(R.object_id).where(R.target_project.in_([ALL, project_id]), R.object_type == object_type)
    return query.where(R.action == action)


def opened(object_type: str, project_id: str, action: str = SHARED) -> Clause:
    """Return the condition that a thing is open to a project."""
    return OBJECTS[object_type].c.id.in_(_granted(object_type, project_id, action))


def opened_ids(tx: Connection, object_type: str, project_id: str, among: Iterable[str]) -> set[str]:
    """Return which of some things are open to a project."""
    query = _granted(object_type, project_id, SHARED)
    return {id for chunk in rows.chunks(among) for id in tx.execute(query.where(R.object_id.in_(chunk))).scalars()}


def is_open(tx: Connection, object_type: str, id: str, project_id: str) -> bool:
    """Tell whether a thing is open to a project."""
    return tx.execute(_granted(object_type, project_id, SHARED).where(R.object_id == id)).first() is not None


def grants_of(tx: Connection, object_ids: Collection[str]) -> dict[str, tuple[tuple[str, str], ...]]:
    """Return actions and projects of the policies of things, by id."""
    found: dict[str, list[tuple[str, str]]] = {}
    for chunk in rows.chunks(object_ids):
        for id, action, target in tx.execute(select(R.object_id, R.action, R.target_project).where(R.object_id.in_(chunk))):
            found.setdefault(id, []).append((action, target))
    return {id: tuple(pairs) for id, pairs in found.items()}


def list_policies(tx: Connection, visible: Clause | None, wanted: Wanted) -> list[RbacPolicy]:
    """Return policies."""
    return [record(RbacPolicy, row) for row in rows.list_rows(tx, RBAC, visible, wanted)]


def find_policy(tx: Connection, id: str) -> RbacPolicy | None:
    """Return one policy."""
    row = rows.find_row(tx, RBAC, id)
    return record(RbacPolicy, row) if row else None


def policies_of(tx: Connection, object_id: str) -> list[RbacPolicy]:
    """Return the policies of one thing."""
    return [record(RbacPolicy, row) for row in tx.execute(select(*R).where(R.object_id == object_id))]


def owner_of(tx: Connection, object_type: str, id: str) -> str | None:
    """Return the project of a thing; None: there is none."""
    table = OBJECTS[object_type]
    found: str | None = tx.execute(select(table.c.project_id).where(table.c.id == id)).scalar()
    return found


def exists_same(tx: Connection, object_id: str, target: str, action: str) -> bool:
    """Tell whether there is such a policy."""
    query = select(R.id).where(R.object_id == object_id, R.target_project == target, R.action == action)
    return tx.execute(query).first() is not None


def grant(tx: Connection, now: float, object_type: str, id: str, project_id: str, target: str, action: str) -> None:
    """Write a policy, unless there is such a one."""
    if not exists_same(tx, id, target, action):
        row = {"id": ids.uuid(), "project_id": project_id, "object_type": object_type, "object_id": id}
        rows.insert_row(tx, rbac_policies, now, row | {"target_project": target, "action": action})


def revoke(tx: Connection, id: str, target: str, action: str) -> None:
    """Remove the policy that opens a thing to a project."""
    tx.execute(delete(rbac_policies).where(R.object_id == id, R.target_project == target, R.action == action))


def forget(tx: Connection, object_id: str) -> None:
    """Remove all policies of a thing that goes."""
    tx.execute(delete(rbac_policies).where(R.object_id == object_id))


def set_flag(tx: Connection, object_type: str, id: str, name: str, value: bool) -> None:
    """Note in a thing itself that it is open to all, or no more."""
    table = OBJECTS[object_type]
    tx.execute(update(table).where(table.c.id == id).values({name: value}))


def foreign_ports(tx: Connection, network_id: str, owner: str, target: str, others: Collection[str]) -> bool:
    """Tell whether ports of a project (`*`: of any but the owner's and others) are in a network."""
    query = select(ports.c.id).where(ports.c.network_id == network_id)
    if target == ALL:
        query = query.where(ports.c.project_id.not_in([owner, "", *others]))
    else:
        query = query.where(ports.c.project_id == target)
    return tx.execute(query.limit(1)).first() is not None


def is_empty(tx: Connection) -> bool:
    """Tell whether there is no policy at all."""
    return tx.execute(select(R.id).limit(1)).first() is None
