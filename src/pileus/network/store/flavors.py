"""Flavors of routers, and the profiles that they may be of, as records."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select

from pileus.network.store import rows
from pileus.network.store.records import record
from pileus.network.store.rows import Kind
from pileus.network.tables import routers
from pileus.network.tables.routing import flavor_profiles, flavors, service_profiles


class Flavor(msgspec.Struct, frozen=True):
    """A name under which users choose how something is provided."""

    id: str
    name: str
    description: str
    service_type: str
    enabled: bool
    revision_number: int
    created_at: float
    updated_at: float
    service_profiles: tuple[str, ...] = ()


class Profile(msgspec.Struct, frozen=True):
    """How something is provided: by which driver."""

    id: str
    description: str
    driver: str
    metainfo: str
    enabled: bool
    revision_number: int
    created_at: float
    updated_at: float


FLAVOR, PROFILE, B = Kind("flavor", flavors), Kind("service_profile", service_profiles), flavor_profiles.c


def assemble(tx: Connection, found: Sequence[Row[Any]]) -> list[Flavor]:
    """Put flavors together out of their rows and their profiles."""
    inside: dict[str, list[str]] = defaultdict(list)
    for chunk in rows.chunks(row.id for row in found):
        for row in tx.execute(select(B.flavor_id, B.profile_id).where(B.flavor_id.in_(chunk)).order_by(B.profile_id)):
            inside[row.flavor_id].append(row.profile_id)
    return [record(Flavor, row, service_profiles=tuple(inside.get(row.id, ()))) for row in found]


def assemble_profiles(tx: Connection, found: Sequence[Row[Any]]) -> list[Profile]:
    """Put profiles together out of rows."""
    return [record(Profile, row) for row in found]


def bind(tx: Connection, flavor_id: str, profile_id: str) -> None:
    """Let a flavor be of a profile, too."""
    tx.execute(insert(flavor_profiles).values(flavor_id=flavor_id, profile_id=profile_id))


def unbind(tx: Connection, flavor_id: str, profile_id: str) -> None:
    """Let a flavor be of a profile no more."""
    tx.execute(delete(flavor_profiles).where(B.flavor_id == flavor_id, B.profile_id == profile_id))


def forget(tx: Connection, flavor_id: str) -> None:
    """Let a flavor be of no profile."""
    tx.execute(delete(flavor_profiles).where(B.flavor_id == flavor_id))


def is_used(tx: Connection, flavor_id: str) -> bool:
    """Tell whether a router is of a flavor."""
    return tx.execute(select(routers.c.id).where(routers.c.flavor_id == flavor_id).limit(1)).first() is not None


def is_bound(tx: Connection, profile_id: str) -> bool:
    """Tell whether a flavor is of a profile."""
    return tx.execute(select(B.flavor_id).where(B.profile_id == profile_id).limit(1)).first() is not None
