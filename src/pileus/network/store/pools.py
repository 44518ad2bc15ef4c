"""Subnet pools and address scopes as records."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, exists, or_, select, update

from pileus.network.store import rows, sharing
from pileus.network.store.records import AddressScope, SubnetPool, record
from pileus.network.store.rows import Clause, Kind, Wanted
from pileus.network.tables import address_scopes, networks, subnet_pools, subnets

POOL = Kind("subnetpool", subnet_pools)
SCOPE = Kind("address_scope", address_scopes)
P, S = subnet_pools.c, address_scopes.c


def visible_pools(project_id: str) -> Clause:
    """The subnet pools that a project sees."""
    return or_(P.project_id == project_id, sharing.opened("subnetpool", project_id))


def visible_scopes(project_id: str) -> Clause:
    """The address scopes that a project sees."""
    return or_(S.project_id == project_id, sharing.opened("address_scope", project_id))


def list_pools(tx: Connection, visible: Clause | None, wanted: Wanted) -> list[SubnetPool]:
    """Return subnet pools with their tags."""
    return _pools(tx, rows.list_rows(tx, POOL, visible, wanted))


def find_pool(tx: Connection, id: str) -> SubnetPool | None:
    """Return one subnet pool."""
    row = rows.find_row(tx, POOL, id)
    return _pools(tx, [row])[0] if row else None


def _pools(tx: Connection, found: Sequence[Row[Any]]) -> list[SubnetPool]:
    named = rows.tags_of(tx, [row.id for row in found])
    return [record(SubnetPool, row, tags=named.get(row.id, ())) for row in found]


def list_scopes(tx: Connection, visible: Clause | None, wanted: Wanted) -> list[AddressScope]:
    """Return address scopes."""
    return [record(AddressScope, row) for row in rows.list_rows(tx, SCOPE, visible, wanted)]


def find_scope(tx: Connection, id: str) -> AddressScope | None:
    """Return one address scope."""
    row = rows.find_row(tx, SCOPE, id)
    return record(AddressScope, row) if row else None


def pools_of_scope(tx: Connection, scope_id: str) -> list[SubnetPool]:
    """Return the pools of an address scope."""
    return [record(SubnetPool, row) for row in tx.execute(select(subnet_pools).where(P.address_scope_id == scope_id))]


def default_pool(tx: Connection, ip_version: int) -> SubnetPool | None:
    """Return the pool that is the default of an IP version."""
    row = tx.execute(select(subnet_pools).where(P.ip_version == ip_version, P.is_default.is_(True))).first()
    return record(SubnetPool, row) if row else None


def cidrs_of(tx: Connection, pool_id: str) -> list[tuple[str, str]]:
    """Return the project and the prefix of each subnet that was cut out of a pool."""
    query = select(subnets.c.project_id, subnets.c.cidr).where(subnets.c.subnetpool_id == pool_id)
    return [(row.project_id, row.cidr) for row in tx.execute(query)]


def lock(tx: Connection, pool_id: str) -> None:
    """Let only one transaction at a time cut something out of a pool."""
    tx.execute(update(subnet_pools).where(P.id == pool_id).values(updated_at=P.updated_at))


def is_foreign(tx: Connection, scope: AddressScope) -> bool:
    """Tell whether pools of other projects are in an address scope."""
    query = select(exists().where(P.address_scope_id == scope.id, P.project_id != scope.project_id))
    return bool(tx.execute(query).scalar())


def pools_of_network(tx: Connection, network_id: str, ip_version: int) -> set[str | None]:
    """Return the pools of which the subnets of a network are, of one IP version; None: of none."""
    query = select(subnets.c.subnetpool_id).join(networks, networks.c.id == subnets.c.network_id)
    found = tx.execute(query.where(subnets.c.network_id == network_id, subnets.c.ip_version == ip_version))
    return set(found.scalars())
