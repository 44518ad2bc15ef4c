"""Qualities of service: named sets of limits and promises that volume types have."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, NotFound
from pileus.volume.policies.qos import QOS
from pileus.volume.service.types import find_by_id
from pileus.volume.store import qos as store
from pileus.volume.store.qos import Qos

CONSUMERS = ("front-end", "back-end", "both")


def list_all(ctx: Context, filters: Mapping[str, str]) -> list[Qos]:
    """Return all specs that have the given id, name or consumer, the newest first."""
    ctx.require(QOS + "get_all")
    with ctx.cloud.db.read() as tx:
        found = store.list_all(tx)
    return [row for row in found if all(getattr(row, key, None) == value for key, value in filters.items())]


def get(ctx: Context, qos_id: str) -> Qos:
    """Return specs.

    :raises NotFound: when there are none of that id.
    """
    ctx.require(QOS + "get")
    with ctx.cloud.db.read() as tx:
        return _find(tx, qos_id)


def create(ctx: Context, name: str, consumer: str, specs: Mapping[str, str]) -> Qos:
    """Make specs.

    :raises BadRequest: when there is no such consumer.
    :raises Conflict: when the name is taken.
    """
    ctx.require(QOS + "create")
    _require_consumer(consumer)
    id = ids.uuid()
    with ctx.cloud.db.begin() as tx:
        if store.get_by_name(tx, name):
            raise Conflict(f"QoS Specs {name} already exists.", kind="QoSSpecsExists")
        store.add(tx, id=id, name=name, consumer=consumer, specs=dict(specs), created_at=ctx.cloud.clock.now())
        return _find(tx, id)


def update(ctx: Context, qos_id: str, consumer: str | None, specs: Mapping[str, str]) -> None:
    """Add specs, or change them or who keeps them.

    :raises NotFound: when there are none of that id.
    :raises BadRequest: when there is no such consumer.
    """
    ctx.require(QOS + "update")
    if consumer is not None:
        _require_consumer(consumer)
    with ctx.cloud.db.begin() as tx:
        found = _find(tx, qos_id)
        store.change(
            tx, qos_id, specs={**found.specs, **specs}, consumer=consumer or found.consumer, updated_at=ctx.cloud.clock.now()
        )


def delete_keys(ctx: Context, qos_id: str, keys: Sequence[str]) -> None:
    """Take single specs away; those named before one that is not there go as well.

    :raises NotFound: when there are none of that id, or they lack a key.
    """
    ctx.require(QOS + "delete")
    missing = None
    with ctx.cloud.db.begin() as tx:
        left = dict(_find(tx, qos_id).specs)
        for key in keys:
            if key not in left:
                missing = key
                break
            del left[key]
        store.change(tx, qos_id, specs=left, updated_at=ctx.cloud.clock.now())
    if missing is not None:
        raise NotFound(f"QoS spec {qos_id} has no spec with key {missing}.", kind="QoSSpecsKeyNotFound")


def delete(ctx: Context, qos_id: str, force: bool) -> None:
    """Delete specs.

    :param force: also when types have them.
    :raises NotFound: when there are none of that id.
    :raises BadRequest: when types have them.
    """
    ctx.require(QOS + "delete")
    with ctx.cloud.db.begin() as tx:
        _find(tx, qos_id)
        if store.list_types(tx, qos_id) and not force:
            raise BadRequest("Qos specs still in use.", kind="QoSSpecsInUse")
        store.remove(tx, qos_id)


def list_types(ctx: Context, qos_id: str) -> list[tuple[str, str]]:
    """Return id and name of the types that have specs.

    :raises NotFound: when there are none of that id.
    """
    ctx.require(QOS + "get_all")
    with ctx.cloud.db.read() as tx:
        _find(tx, qos_id)
        return store.list_types(tx, qos_id)


def associate(ctx: Context, qos_id: str, type_id: str) -> None:
    """Give specs to a type.

    :raises NotFound: when there are no such specs, or no such type.
    :raises BadRequest: when the type has others.
    """
    ctx.require(QOS + "update")
    with ctx.cloud.db.begin() as tx:
        _find(tx, qos_id)
        has = find_by_id(tx, ctx, type_id).qos_specs_id
        if has not in (None, qos_id):
            text = f"Invalid volume type: Type {type_id} is already associated with another qos specs: {has}"
            raise BadRequest(text, kind="InvalidVolumeType")
        store.associate(tx, qos_id, type_id)


def disassociate(ctx: Context, qos_id: str, type_id: str) -> None:
    """Take specs from a type.

    :raises NotFound: when there are no such specs, or no such type.
    """
    ctx.require(QOS + "update")
    with ctx.cloud.db.begin() as tx:
        _find(tx, qos_id)
        find_by_id(tx, ctx, type_id)
        store.disassociate(tx, qos_id, type_id)


def disassociate_all(ctx: Context, qos_id: str) -> None:
    """Take specs from all types.

    :raises NotFound: when there are none of that id.
    """
    ctx.require(QOS + "update")
    with ctx.cloud.db.begin() as tx:
        _find(tx, qos_id)
        store.disassociate(tx, qos_id)


def _find(tx: Connection, qos_id: str) -> Qos:
    found = store.get(tx, qos_id)
    if found is None:
        raise NotFound(f"No such QoS spec {qos_id}.", kind="QoSSpecsNotFound")
    return found


def _require_consumer(consumer: str) -> None:
    if consumer not in CONSUMERS:
        raise BadRequest(f"Invalid qos specs: Valid consumer of QoS specs are: {list(CONSUMERS)}", kind="InvalidQoSSpecs")
