"""Groups of addresses as records, and the rules that name them."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select

from pileus.network.store import rows, sharing
from pileus.network.store.records import record
from pileus.network.store.rows import Clause, Kind
from pileus.network.tables import rules
from pileus.network.tables.grouping import address_group_members, address_groups


class AddressGroup(msgspec.Struct, frozen=True):
    """Prefixes that rules of security groups can name at once."""

    id: str
    project_id: str
    name: str
    description: str
    shared: bool
    revision_number: int
    created_at: float
    updated_at: float
    addresses: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


A, M = address_groups.c, address_group_members.c
ADDRESS_GROUP = Kind("address_group", address_groups)


def visible(project_id: str) -> Clause:
    """The address groups that a project sees."""
    return (A.project_id == project_id) | sharing.opened("address_group", project_id)


def assemble(tx: Connection, found: Sequence[Row[Any]]) -> list[AddressGroup]:
    """Put records together out of the groups' rows and their members."""
    inside, named = addresses_of(tx, [row.id for row in found]), rows.tags_of(tx, [row.id for row in found])
    return [record(AddressGroup, row, addresses=tuple(inside.get(row.id, ())), tags=named.get(row.id, ())) for row in found]


def addresses_of(tx: Connection, ids: Collection[str]) -> dict[str, list[str]]:
    """Return the prefixes of groups, by id."""
    found: dict[str, list[str]] = defaultdict(list)
    for chunk in rows.chunks(ids):
        for row in tx.execute(select(M.group_id, M.address).where(M.group_id.in_(chunk)).order_by(M.address)):
            found[row.group_id].append(row.address)
    return found


def set_addresses(tx: Connection, id: str, addresses: Collection[str]) -> None:
    """Let a group hold exactly these prefixes."""
    tx.execute(delete(address_group_members).where(M.group_id == id))
    if addresses:
        tx.execute(insert(address_group_members), [{"group_id": id, "address": each} for each in sorted(set(addresses))])


def groups_naming(tx: Connection, id: str) -> list[str]:
    """Return the security groups whose rules name an address group."""
    query = select(rules.c.security_group_id).where(rules.c.remote_address_group_id == id).distinct()
    return list(tx.execute(query).scalars())
