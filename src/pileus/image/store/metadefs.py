"""Questions asked of the tables of the metadata catalog, and the records that answer them."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from pileus.image.tables import definitions, namespaces
from pileus.kernel.errors import Conflict


@dataclass(frozen=True)
class Namespace:
    """A namespace of the metadata catalog."""

    id: str
    namespace: str
    display_name: str | None
    description: str | None
    visibility: str
    protected: bool
    owner: str
    created_at: float
    updated_at: float


@dataclass(frozen=True)
class Definition:
    """What a namespace defines: an object, a property, a tag, or that it is meant for a type of resource."""

    namespace_id: str
    kind: str
    name: str
    body: dict[str, Any]
    created_at: float
    updated_at: float


def list_namespaces(tx: Connection) -> list[Namespace]:
    """Return every namespace, the newest first."""
    query = select(*namespaces.c).order_by(namespaces.c.created_at.desc(), namespaces.c.namespace)
    return [Namespace(*row) for row in tx.execute(query)]


def get_namespace(tx: Connection, name: str) -> Namespace | None:
    """Return a namespace by its name, or None."""
    row = tx.execute(select(*namespaces.c).where(namespaces.c.namespace == name)).first()
    return Namespace(*row) if row else None


def put_namespace(tx: Connection, record: Namespace) -> None:
    """Write a namespace over one of its id, or anew.

    :raises Conflict: when there is another one of its name.
    """
    try:
        if not tx.execute(update(namespaces).where(namespaces.c.id == record.id).values(**record.__dict__)).rowcount:
            tx.execute(insert(namespaces).values(**record.__dict__))
    except IntegrityError as error:
        raise Conflict(f"The metadata definition namespace={record.namespace} already exists.") from error


def remove_namespace(tx: Connection, namespace_id: str) -> None:
    """Forget a namespace and all it defines."""
    tx.execute(delete(definitions).where(definitions.c.namespace_id == namespace_id))
    tx.execute(delete(namespaces).where(namespaces.c.id == namespace_id))


def list_definitions(tx: Connection, namespace_ids: Collection[str] | None = None, kind: str = "") -> list[Definition]:
    """Return what namespaces (None: all of them) define, in the order of their names; of one kind when it is named."""
    query = select(*definitions.c).order_by(definitions.c.name)
    if namespace_ids is not None:
        query = query.where(definitions.c.namespace_id.in_(list(namespace_ids)))
    return [Definition(*row) for row in tx.execute(query.where(definitions.c.kind == kind) if kind else query)]


def add_definition(tx: Connection, record: Definition) -> None:
    """Define something.

    :raises Conflict: when the namespace defines it.
    """
    try:
        tx.execute(insert(definitions).values(**record.__dict__))
    except IntegrityError as error:
        raise Conflict(f"A metadata definition {record.kind} with name={record.name} already exists in the namespace.") from error


def remove_definitions(tx: Connection, namespace_id: str, kind: str, name: str | None = None) -> int:
    """Define something no longer, or (name None) nothing of its kind; return how many there were."""
    where = [definitions.c.namespace_id == namespace_id, definitions.c.kind == kind]
    return tx.execute(delete(definitions).where(*where, *([] if name is None else [definitions.c.name == name]))).rowcount
