"""Questions asked of the table of key pairs."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from pileus.compute.tables.keypairs import keypairs
from pileus.kernel.db import new_id
from pileus.kernel.errors import BadRequest, Conflict
from pileus.kernel.paging import Page


@dataclass(frozen=True, slots=True)
class Keypair:
    """A public key of a user."""

    id: int
    user_id: str
    name: str
    type: str
    fingerprint: str
    public_key: str
    created_at: float


COLUMNS = [keypairs.c[each.name] for each in fields(Keypair)]


def insert_keypair(tx: Connection, values: Mapping[str, Any]) -> Keypair:
    """Write a key pair down.

    :raises Conflict: when the user has one of that name.
    """
    try:
        id = new_id(tx.execute(insert(keypairs).values(**values)))
    except IntegrityError:
        raise Conflict(f"Key pair '{values['name']}' already exists.", kind="KeyPairExists") from None
    return Keypair(id=id, **values)


def find(tx: Connection, user_id: str, name: str) -> Keypair | None:
    """Return a user's key pair."""
    row = tx.execute(select(*COLUMNS).where(keypairs.c.user_id == user_id, keypairs.c.name == name)).first()
    return Keypair(**row._mapping) if row else None


def list_keypairs(tx: Connection, user_id: str, page: Page) -> tuple[list[Keypair], bool]:
    """Return a page of a user's key pairs by name, and whether there are more.

    :raises BadRequest: when the marker is no name of a key pair.
    """
    query = select(*COLUMNS).where(keypairs.c.user_id == user_id).order_by(keypairs.c.name)
    if page.marker is not None:
        if find(tx, user_id, page.marker) is None:
            raise BadRequest(f"Marker {page.marker} could not be found.", kind="MarkerNotFound")
        query = query.where(keypairs.c.name > page.marker)
    if page.limit is not None:
        query = query.limit(page.limit + 1)
    found = [Keypair(**row._mapping) for row in tx.execute(query)]
    return found[: page.limit], page.limit is not None and len(found) > page.limit


def count(tx: Connection, user_id: str) -> int:
    """Return how many key pairs a user has."""
    return tx.execute(select(func.count()).where(keypairs.c.user_id == user_id)).scalar_one()


def delete_keypair(tx: Connection, user_id: str, name: str) -> bool:
    """Delete a key pair; tell whether there was one."""
    where = (keypairs.c.user_id == user_id, keypairs.c.name == name)
    return tx.execute(delete(keypairs).where(*where)).rowcount > 0


def delete_of_user(tx: Connection, user_id: str) -> None:
    """Delete all key pairs of a user."""
    tx.execute(delete(keypairs).where(keypairs.c.user_id == user_id))
