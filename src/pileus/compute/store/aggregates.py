"""Questions asked of the tables of host aggregates."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from pileus.compute.store.hosts import ZONE_KEY
from pileus.compute.tables.aggregates import aggregate_hosts, aggregates
from pileus.compute.tables.servers import servers
from pileus.kernel.db import new_id
from pileus.kernel.errors import Conflict


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A set of hosts with metadata."""

    id: int
    uuid: str
    name: str
    metadata: Mapping[str, str]
    created_at: float
    updated_at: float | None = None
    hosts: tuple[str, ...] = ()

    @property
    def zone(self) -> str | None:
        """The availability zone that it makes of its hosts."""
        return self.metadata.get(ZONE_KEY)


COLUMNS = [aggregates.c[each.name] for each in fields(Aggregate) if each.name != "hosts"]


def list_aggregates(tx: Connection, id: int | None = None) -> list[Aggregate]:
    """Return the aggregates with their hosts, all or the one of an id."""
    query = select(*COLUMNS).order_by(aggregates.c.id)
    rows = tx.execute(query if id is None else query.where(aggregates.c.id == id)).all()
    found: dict[int, list[str]] = defaultdict(list)
    for aggregate_id, host in tx.execute(select(aggregate_hosts).order_by(aggregate_hosts.c.host)):
        found[aggregate_id].append(host)
    return [Aggregate(**row._mapping, hosts=tuple(found[row.id])) for row in rows]


def insert_aggregate(tx: Connection, values: Mapping[str, Any]) -> int:
    """Write an aggregate down and return its id.

    :raises Conflict: when the name is taken.
    """
    try:
        id = new_id(tx.execute(insert(aggregates).values(**values)))
    except IntegrityError:
        raise _taken(values["name"]) from None
    return id


def update_aggregate(tx: Connection, id: int, **values: Any) -> None:
    """Change an aggregate.

    :raises Conflict: when the name is taken.
    """
    try:
        tx.execute(update(aggregates).where(aggregates.c.id == id).values(**values))
    except IntegrityError:
        raise _taken(values.get("name", "")) from None


def delete_aggregate(tx: Connection, id: int) -> None:
    """Delete an aggregate."""
    tx.execute(delete(aggregates).where(aggregates.c.id == id))


def add_host(tx: Connection, id: int, host: str) -> None:
    """Put a host into an aggregate."""
    tx.execute(insert(aggregate_hosts).values(aggregate_id=id, host=host))


def remove_host(tx: Connection, id: int, host: str) -> bool:
    """Take a host out of an aggregate; tell whether it was in."""
    where = (aggregate_hosts.c.aggregate_id == id, aggregate_hosts.c.host == host)
    return tx.execute(delete(aggregate_hosts).where(*where)).rowcount > 0


def count_servers(tx: Connection, hosts: Iterable[str]) -> int:
    """Return how many servers hosts have."""
    query = select(func.count()).where(servers.c.host.in_(tuple(hosts)), servers.c.deleted_at.is_(None))
    return tx.execute(query).scalar_one()


def _taken(name: str) -> Conflict:
    return Conflict(f"Aggregate {name} already exists.", kind="AggregateNameExists")
