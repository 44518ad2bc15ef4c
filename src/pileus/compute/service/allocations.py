"""Allocations of placement.

What servers take is read out of the servers' own rows and cannot be written here: it changes as servers are made, resized
and deleted.  Others may write down what they take themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from pileus.compute.placement import Provider
from pileus.compute.policies.placement import ALLOCATIONS
from pileus.compute.service import providers
from pileus.compute.store import allocations as store
from pileus.compute.store import providers as provider_store
from pileus.compute.store.allocations import Consumer, Resources
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, NotFound

STALE = {"code": "placement.concurrent_update"}
NEW = -1
ANY = -2


@dataclass(frozen=True, slots=True)
class Claim:
    """What a consumer is to take from now on.  generation is what the caller thinks it is: NEW, or ANY before 1.28."""

    consumer: str
    resources: Resources
    project_id: str
    user_id: str
    generation: int = ANY
    type: str | None = None


def get(ctx: Context, uuid: str) -> tuple[Consumer | None, Mapping[str, int]]:
    """Return what a consumer takes, and the generations of the providers."""
    ctx.require(ALLOCATIONS + "list")
    with ctx.cloud.db.read() as tx:
        found = store.find(tx, uuid)
        known = provider_store.load(tx, list(found.resources)) if found else []
    return found, {provider.uuid: provider.generation for provider in known}


def of_provider(ctx: Context, uuid: str) -> tuple[Provider, dict[str, tuple[dict[str, int], int]]]:
    """Return what is taken from a provider, by consumer.

    :raises NotFound: when there is no such provider.
    """
    ctx.require("placement:resource_providers:allocations:list")
    with ctx.cloud.db.read() as tx:
        return providers.one(tx, uuid), store.of_provider(tx, uuid)


def usages(ctx: Context, project_id: str, user_id: str | None) -> dict[str, dict[str, int]]:
    """Return what a project takes, by type of consumer."""
    ctx.require("placement:usages", {"project_id": project_id})
    with ctx.cloud.db.read() as tx:
        return store.usages(tx, project_id, user_id)


def claim(ctx: Context, claims: Sequence[Claim], rule: str = "update") -> None:
    """Write down what consumers take, all or nothing.

    :raises BadRequest: when a provider or a class is unknown.
    :raises Conflict: when there is not enough, a consumer changed meanwhile, or one is a server.
    """
    ctx.require(ALLOCATIONS + rule)
    with ctx.cloud.db.begin() as tx:
        generations: dict[str, int] = {}
        for one in claims:
            known = _check_consumer(tx, one)
            generations[one.consumer] = known.generation + 1 if known else 1
            if known:
                store.write(tx, replace(known, resources={}))
        for one in claims:
            taken_from = _check_room(tx, one)
            generation = generations[one.consumer]
            store.write(tx, Consumer(one.consumer, one.project_id, one.user_id, one.type, generation, False, one.resources))
            for provider in taken_from:
                provider_store.bump(tx, providers.one(tx, provider.uuid), ctx.cloud.clock.now())


def delete(ctx: Context, uuid: str) -> None:
    """Give back all that a consumer takes.

    :raises NotFound: when it takes nothing.
    :raises Conflict: when it is a server.
    """
    ctx.require(ALLOCATIONS + "delete")
    with ctx.cloud.db.begin() as tx:
        _refuse_server(tx, uuid)
        found = store.find(tx, uuid)
        if found is None:
            raise NotFound(f"No allocations for consumer '{uuid}'")
        store.write(tx, replace(found, resources={}))


def _check_consumer(tx: Connection, one: Claim) -> Consumer | None:
    _refuse_server(tx, one.consumer)
    known = store.find(tx, one.consumer)
    expected = known.generation if known else NEW
    if one.generation not in (ANY, expected):
        seen = known.generation if known else None
        raise Conflict(f"consumer generation conflict - expected {seen} but got {one.generation}", extra=STALE)
    return known


def _refuse_server(tx: Connection, uuid: str) -> None:
    if store.is_server(tx, uuid):
        raise Conflict(f"The consumer {uuid} is a server; what it takes is changed by resizing, moving or deleting it.")


def _check_room(tx: Connection, one: Claim) -> list[Provider]:
    found = provider_store.load(tx, list(one.resources))
    by_uuid = {provider.uuid: provider for provider in found}
    for uuid, many in one.resources.items():
        if uuid not in by_uuid:
            raise BadRequest(f"Allocation for resource provider '{uuid}' that does not exist.")
        for name, amount in many.items():
            provider = by_uuid[uuid]
            if name not in provider.inventories:
                raise Conflict(f"Unable to allocate inventory: Inventory for '{name}' on resource provider '{uuid}' invalid.")
            if not provider.fits(name, amount):
                used, capacity = provider.used.get(name, 0), provider.inventories[name].capacity
                raise Conflict(
                    f"Unable to allocate inventory: Unable to create allocation for '{name}' on resource provider '{uuid}'. "
                    f"The requested amount would exceed the capacity: {amount} wanted, {used} used of {capacity}."
                )
    return found
