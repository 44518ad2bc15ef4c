"""Questions asked of the tables of flavors."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from pileus.compute.tables.flavors import flavor_projects, flavors
from pileus.kernel.db import new_id
from pileus.kernel.errors import Conflict

SORT_KEYS = {
    "created_at": flavors.c.created_at, "description": flavors.c.description, "disabled": flavors.c.disabled,
    "ephemeral_gb": flavors.c.ephemeral_gib, "flavorid": flavors.c.flavor_id, "id": flavors.c.id,
    "is_public": flavors.c.is_public, "memory_mb": flavors.c.memory_mib, "name": flavors.c.name,
    "root_gb": flavors.c.disk_gib, "rxtx_factor": flavors.c.rxtx_factor, "swap": flavors.c.swap_mib,
    "updated_at": flavors.c.updated_at, "vcpu_weight": flavors.c.id, "vcpus": flavors.c.vcpus,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Flavor:
    """A size of server.  flavor_id is the id that callers know."""

    id: int
    flavor_id: str
    name: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    ephemeral_gib: int = 0
    swap_mib: int = 0
    rxtx_factor: float = 1.0
    is_public: bool = True
    disabled: bool = False
    description: str | None = None
    extra_specs: Mapping[str, str] = field(default_factory=dict)


COLUMNS = [flavors.c[each.name] for each in fields(Flavor)]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which flavors are wanted.  is_public None is all; True those that are, or that project_id may use."""

    is_public: bool | None = True
    disabled: bool | None = None
    project_id: str = ""
    min_memory_mib: int = 0
    min_disk_gib: int = 0
    name: str | None = None


def insert_flavor(tx: Connection, values: Mapping[str, Any]) -> Flavor:
    """Write a flavor down.

    :raises Conflict: when its name or id is taken.
    """
    taken = select(flavors.c.name).where(or_(flavors.c.name == values["name"], flavors.c.flavor_id == values["flavor_id"]))
    names = tx.execute(taken).scalars().all()
    if names:
        what = f"name {values['name']}" if values["name"] in names else f"ID {values['flavor_id']}"
        raise Conflict(f"Flavor with {what} already exists.", kind="FlavorExists")
    try:
        id = new_id(tx.execute(insert(flavors).values(**values)))
    except IntegrityError:
        raise Conflict(f"Flavor with name {values['name']} already exists.", kind="FlavorExists") from None
    known = {each.name for each in fields(Flavor)}
    return Flavor(id=id, **{k: v for k, v in values.items() if k in known})


def find(tx: Connection, flavor_id: str, project_id: str | None) -> Flavor | None:
    """Return a flavor that a project may use; any one when project_id is None."""
    query = select(*COLUMNS).where(flavors.c.flavor_id == flavor_id)
    if project_id is not None:
        query = query.where(_usable(project_id))
    row = tx.execute(query).first()
    return Flavor(**row._mapping) if row else None


def list_flavors(tx: Connection, wanted: Filters, sort: tuple[str, bool] = ("flavorid", False)) -> list[Flavor]:
    """Return flavors in an order.  There are never more than a few hundred, so pages are cut from the whole."""
    query = select(*COLUMNS)
    if wanted.is_public is True:
        query = query.where(_usable(wanted.project_id))
    elif wanted.is_public is False:
        query = query.where(flavors.c.is_public.is_(False))
    if wanted.disabled is not None:
        query = query.where(flavors.c.disabled.is_(wanted.disabled))
    if wanted.min_memory_mib:
        query = query.where(flavors.c.memory_mib >= wanted.min_memory_mib)
    if wanted.min_disk_gib:
        query = query.where(flavors.c.disk_gib >= wanted.min_disk_gib)
    if wanted.name is not None:
        query = query.where(flavors.c.name == wanted.name)
    column = SORT_KEYS[sort[0]]
    order = column.desc() if sort[1] else column.asc()
    return [Flavor(**row._mapping) for row in tx.execute(query.order_by(order, flavors.c.id))]


def update_flavor(tx: Connection, flavor_id: str, **values: Any) -> bool:
    """Change a flavor; tell whether there is one."""
    return tx.execute(update(flavors).where(flavors.c.flavor_id == flavor_id).values(**values)).rowcount > 0


def delete_flavor(tx: Connection, flavor_id: str) -> bool:
    """Delete a flavor and its access list; tell whether there was one."""
    key = select(flavors.c.id).where(flavors.c.flavor_id == flavor_id).scalar_subquery()
    tx.execute(delete(flavor_projects).where(flavor_projects.c.flavor_id == key))
    return tx.execute(delete(flavors).where(flavors.c.flavor_id == flavor_id)).rowcount > 0


def list_projects(tx: Connection, flavor: Flavor) -> list[str]:
    """Return the projects that may use a flavor that is not public."""
    query = select(flavor_projects.c.project_id).where(flavor_projects.c.flavor_id == flavor.id)
    return list(tx.execute(query.order_by(flavor_projects.c.project_id)).scalars())


def add_project(tx: Connection, flavor: Flavor, project_id: str) -> None:
    """Let a project use a flavor.

    :raises Conflict: when it may already.
    """
    if project_id in list_projects(tx, flavor):
        raise Conflict(
            f"Flavor access already exists for flavor {flavor.flavor_id} and project {project_id} combination.",
            kind="FlavorAccessExists",
        )
    tx.execute(insert(flavor_projects).values(flavor_id=flavor.id, project_id=project_id))


def remove_project(tx: Connection, flavor: Flavor, project_id: str) -> bool:
    """Let a project no longer use a flavor; tell whether it could."""
    where = (flavor_projects.c.flavor_id == flavor.id, flavor_projects.c.project_id == project_id)
    return tx.execute(delete(flavor_projects).where(*where)).rowcount > 0


def remove_from_all(tx: Connection, project_id: str) -> None:
    """Forget what a project may use."""
    tx.execute(delete(flavor_projects).where(flavor_projects.c.project_id == project_id))


def _usable(project_id: str) -> ColumnElement[bool]:
    granted = exists().where(flavor_projects.c.flavor_id == flavors.c.id, flavor_projects.c.project_id == project_id)
    return or_(flavors.c.is_public.is_(True), granted)
