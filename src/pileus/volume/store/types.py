"""Questions asked of the tables of volume types.  There are never more than a few hundred, so they are read whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, exists, insert, or_, select, update

from pileus.volume.tables.groups import group_volume_types, groups
from pileus.volume.tables.types import (
    default_volume_types,
    qos_specs,
    volume_type_encryptions,
    volume_type_projects,
    volume_types,
)
from pileus.volume.tables.volumes import volumes

T, P, E, D = volume_types.c, volume_type_projects.c, volume_type_encryptions.c, default_volume_types.c

_NAMES = select(T.id, T.name).where(T.id.in_(bindparam("ids", expanding=True)))  # built once, as lists ask it


@dataclass(frozen=True, slots=True)
class Encryption:
    """How the volumes of a type are encrypted.  key_size_bits None leaves it to the cipher."""

    id: str
    provider: str
    cipher: str | None
    key_size_bits: int | None
    control_location: str
    created_at: float
    updated_at: float | None = None


@dataclass(frozen=True, slots=True)
class Type:
    """A kind of volume.  `qos` are the specs of qos_specs_id, `qos_consumer` who keeps them: front-end, back-end, both."""

    id: str
    name: str
    description: str | None
    is_public: bool
    is_default: bool
    created_at: float
    updated_at: float | None = None
    extra_specs: Mapping[str, Any] = field(default_factory=dict)
    qos_specs_id: str | None = None
    qos: Mapping[str, str] = field(default_factory=dict)
    qos_consumer: str = ""
    encryption: Encryption | None = None


def get(tx: Connection, id: str, project_id: str | None = None) -> Type | None:
    """Return a type by id; with a project only one that it may use."""
    return _first(tx, T.id == id, project_id)


def get_by_name(tx: Connection, name: str, project_id: str | None = None) -> Type | None:
    """Return a type by name; with a project only one that it may use."""
    return _first(tx, T.name == name, project_id)


def get_default(tx: Connection) -> Type | None:
    """Return the type of volumes that none is named for."""
    return _first(tx, T.is_default.is_(True), None)


def many(tx: Connection, ids: Sequence[str]) -> dict[str, Type]:
    """Return types by id."""
    return {found.id: found for found in _read(tx, T.id.in_(ids))} if ids else {}


def list_all(tx: Connection, is_public: bool | None = None, project_id: str | None = None) -> list[Type]:
    """Return the types, the newest first; with a project only those that it may use."""
    where = [] if is_public is None else [T.is_public.is_(is_public)]
    return _read(tx, *where, *([] if project_id is None else [_usable(project_id)]))


def names(tx: Connection) -> dict[str, str]:
    """Return the names of all types by id, in the order of names."""
    return {row.id: row.name for row in tx.execute(select(T.id, T.name).order_by(T.name))}


def names_of(tx: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Return the names of types, by id."""
    return {row.id: row.name for row in tx.execute(_NAMES, {"ids": ids})} if ids else {}


def add(tx: Connection, **values: Any) -> None:
    """Write a new type down."""
    tx.execute(insert(volume_types).values(**values))


def change(tx: Connection, id: str, **values: Any) -> None:
    """Change a type."""
    tx.execute(update(volume_types).where(T.id == id).values(**values))


def remove(tx: Connection, id: str) -> None:
    """Forget a type, who may use it and how it encrypts."""
    tx.execute(delete(volume_type_projects).where(P.volume_type_id == id))
    tx.execute(delete(volume_type_encryptions).where(E.volume_type_id == id))
    tx.execute(delete(volume_types).where(T.id == id))


def is_used(tx: Connection, id: str, *, by_groups: bool = True) -> bool:
    """Tell whether there are volumes (or groups) of a type."""
    of_groups = select(group_volume_types.c.group_id).join(groups, groups.c.id == group_volume_types.c.group_id)
    return bool(
        tx.execute(select(volumes.c.id).where(volumes.c.volume_type_id == id).limit(1)).first()
        or (by_groups and tx.execute(of_groups.where(group_volume_types.c.volume_type_id == id).limit(1)).first())
    )


def list_projects(tx: Connection, id: str) -> list[str]:
    """Return the projects that may use a type that is not public."""
    return list(tx.execute(select(P.project_id).where(P.volume_type_id == id).order_by(P.project_id)).scalars())


def add_project(tx: Connection, id: str, project_id: str) -> None:
    """Let a project use a type."""
    tx.execute(insert(volume_type_projects).values(volume_type_id=id, project_id=project_id))


def remove_project(tx: Connection, id: str, project_id: str) -> bool:
    """Let a project no longer use a type; tells whether it could."""
    where = (P.volume_type_id == id, P.project_id == project_id)
    return tx.execute(delete(volume_type_projects).where(*where)).rowcount > 0


def put_encryption(tx: Connection, type_id: str, **values: Any) -> None:
    """Write down, or change, how a type encrypts."""
    if not tx.execute(update(volume_type_encryptions).where(E.volume_type_id == type_id).values(**values)).rowcount:
        tx.execute(insert(volume_type_encryptions).values(volume_type_id=type_id, **values))


def remove_encryption(tx: Connection, type_id: str) -> None:
    """Have a type encrypt no longer."""
    tx.execute(delete(volume_type_encryptions).where(E.volume_type_id == type_id))


def get_project_default(tx: Connection, project_id: str) -> str | None:
    """Return the id of a project's own default type."""
    return tx.execute(select(D.volume_type_id).where(D.project_id == project_id)).scalar()


def list_project_defaults(tx: Connection, type_id: str | None = None) -> list[Row[Any]]:
    """Return the projects' own defaults (project_id, volume_type_id), of one type or of all."""
    query = select(default_volume_types).order_by(D.project_id)
    return list(tx.execute(query if type_id is None else query.where(D.volume_type_id == type_id)))


def set_project_default(tx: Connection, project_id: str, type_id: str) -> None:
    """Give a project a default type of its own."""
    where = D.project_id == project_id
    if not tx.execute(update(default_volume_types).where(where).values(volume_type_id=type_id)).rowcount:
        tx.execute(insert(default_volume_types).values(project_id=project_id, volume_type_id=type_id))


def unset_project_default(tx: Connection, project_id: str) -> bool:
    """Take a project's own default type away; tells whether it had one."""
    return tx.execute(delete(default_volume_types).where(D.project_id == project_id)).rowcount > 0


def forget_project(tx: Connection, project_id: str) -> None:
    """Forget what a project may use, and its default."""
    tx.execute(delete(volume_type_projects).where(P.project_id == project_id))
    unset_project_default(tx, project_id)


def _first(tx: Connection, where: ColumnElement[bool], project_id: str | None) -> Type | None:
    found = _read(tx, where, *([] if project_id is None else [_usable(project_id)]))
    return found[0] if found else None


def _usable(project_id: str) -> ColumnElement[bool]:
    granted = exists().where(P.volume_type_id == T.id, P.project_id == project_id)
    return or_(T.is_public.is_(True), granted)


def _read(tx: Connection, *where: ColumnElement[bool]) -> list[Type]:
    query = (
        select(
            volume_types, qos_specs.c.consumer, qos_specs.c.specs,
            E.id.label("encryption_id"), E.provider, E.cipher, E.key_size, E.control_location,
            E.created_at.label("encrypted_at"), E.updated_at.label("encryption_updated_at"),
        )
        .outerjoin(qos_specs, qos_specs.c.id == T.qos_specs_id)
        .outerjoin(volume_type_encryptions, E.volume_type_id == T.id)
        .where(*where)
        .order_by(T.created_at.desc(), T.id.desc())
    )  # fmt: skip
    return [_type(row) for row in tx.execute(query)]


def _type(row: Row[Any]) -> Type:
    encryption = None
    if row.encryption_id is not None:
        encryption = Encryption(
            row.encryption_id, row.provider, row.cipher, row.key_size, row.control_location,
            row.encrypted_at, row.encryption_updated_at,
        )  # fmt: skip
    return Type(
        row.id, row.name, row.description, row.is_public, row.is_default, row.created_at, row.updated_at, row.extra_specs,
        row.qos_specs_id, row.specs or {}, row.consumer or "", encryption,
    )  # fmt: skip
