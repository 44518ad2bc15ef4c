"""How much a project may use.  Limits are rows; usage is counted out of the things themselves, never kept beside them.

A limit of -1 is none.  A service names its resources and their defaults; an operator changes a project's limits, or the
defaults of all projects (the class "default").
"""

from collections.abc import Iterable, Mapping

from sqlalchemy import Column, Connection, Integer, String, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from pileus.kernel.db import metadata
from pileus.kernel.errors import OverQuota

DEFAULT_CLASS = "default"

limits = Table(
    "quota_limits", metadata,
    Column("service", String(32), primary_key=True),
    Column("owner", String(160), primary_key=True, doc="a project's id, user:PROJECT:USER, or the class default"),
    Column("resource", String(64), primary_key=True),
    Column("value", Integer, nullable=False),
)  # fmt: skip

locks = Table(
    "quota_locks", metadata,
    Column("service", String(32), primary_key=True),
    Column("project_id", String(64), primary_key=True),
    Column("taken", Integer, nullable=False, default=0),
)  # fmt: skip


def get_limits(tx: Connection, service: str, owner: str, defaults: Mapping[str, int]) -> dict[str, int]:
    """Return the limits that hold for an owner: its own, else those of the class default, else the service's defaults."""
    query = select(limits.c.owner, limits.c.resource, limits.c.value).where(
        limits.c.service == service, limits.c.owner.in_([owner, DEFAULT_CLASS])
    )
    rows = tx.execute(query).all()
    found = dict(defaults)
    found.update({r.resource: r.value for r in rows if r.owner == DEFAULT_CLASS and r.resource in found})
    found.update({r.resource: r.value for r in rows if r.owner == owner and r.resource in found})
    return found


def get_own(tx: Connection, service: str, owner: str) -> dict[str, int]:
    """Return only the limits that were set for this very owner."""
    query = select(limits.c.resource, limits.c.value).where(limits.c.service == service, limits.c.owner == owner)
    return {row.resource: row.value for row in tx.execute(query)}


def set_limits(tx: Connection, service: str, owner: str, values: Mapping[str, int]) -> None:
    """Change an owner's limits; those not named stay."""
    for resource, value in values.items():
        where = (limits.c.service == service, limits.c.owner == owner, limits.c.resource == resource)
        if not tx.execute(update(limits).where(*where).values(value=value)).rowcount:
            tx.execute(insert(limits).values(service=service, owner=owner, resource=resource, value=value))


def reset_limits(tx: Connection, service: str, owner: str) -> None:
    """Forget an owner's limits, so that the defaults hold again."""
    tx.execute(delete(limits).where(limits.c.service == service, limits.c.owner == owner))


def forget_resources(tx: Connection, service: str, resources: Iterable[str]) -> None:
    """Forget what limits anyone has of resources that are no more."""
    tx.execute(delete(limits).where(limits.c.service == service, limits.c.resource.in_(list(resources))))


def list_owners(tx: Connection, service: str) -> list[str]:
    """Return the projects that have limits of their own."""
    query = select(limits.c.owner).where(limits.c.service == service, limits.c.owner != DEFAULT_CLASS).distinct()
    return list(tx.execute(query.order_by(limits.c.owner)).scalars())


def lock(tx: Connection, service: str, project_id: str) -> None:
    """Let only one transaction at a time count and add for a project.  SQLite's one writer does that by itself."""
    if tx.dialect.name == "sqlite":
        return
    where = (locks.c.service == service, locks.c.project_id == project_id)
    take = update(locks).where(*where).values(taken=locks.c.taken + 1)
    if tx.execute(take).rowcount:
        return
    try:
        with tx.begin_nested():
            tx.execute(insert(locks).values(service=service, project_id=project_id, taken=1))
    except IntegrityError:  # another transaction was the first, and has ended
        tx.execute(take)


def exceeded(limit: Mapping[str, int], used: Mapping[str, int], wanted: Mapping[str, int]) -> list[str]:
    """Return the resources, sorted, of which more is wanted than is left."""
    return sorted(r for r, n in wanted.items() if n > 0 and limit.get(r, -1) >= 0 and used.get(r, 0) + n > limit[r])


def require_room(limit: Mapping[str, int], used: Mapping[str, int], wanted: Mapping[str, int]) -> None:
    """Check that what is wanted still fits.

    :raises OverQuota: when it does not; says of each resource what was requested, used and allowed.
    """
    over = exceeded(limit, used, wanted)
    if over:
        raise OverQuota(_explain(over, limit, used, wanted), kind="OverQuota")


def _explain(over: Iterable[str], limit: Mapping[str, int], used: Mapping[str, int], wanted: Mapping[str, int]) -> str:
    names = ", ".join(over)
    asked = ", ".join(str(wanted[r]) for r in over)
    have = ", ".join(str(used.get(r, 0)) for r in over)
    most = ", ".join(str(limit[r]) for r in over)
    return f"Quota exceeded for {names}: Requested {asked}, but already used {have} of {most} {names}"
