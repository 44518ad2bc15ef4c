"""Host aggregates, and the availability zones that they make."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from pileus.compute.policies.aggregates import ROOT, ZONES
from pileus.compute.store import aggregates as store
from pileus.compute.store import hosts as host_store
from pileus.compute.store.aggregates import Aggregate
from pileus.compute.store.hosts import ZONE_KEY, Host
from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, NotFound, NotImplementedHere


def list_all(ctx: Context) -> list[Aggregate]:
    """Return all aggregates."""
    ctx.require(ROOT + "index")
    with ctx.cloud.db.read() as tx:
        return store.list_aggregates(tx)


def get(ctx: Context, id: int) -> Aggregate:
    """Return an aggregate.

    :raises NotFound: when there is none of that id.
    """
    ctx.require(ROOT + "show")
    with ctx.cloud.db.read() as tx:
        return _one(tx, id)


def create(ctx: Context, name: str, zone: str | None) -> Aggregate:
    """Make an aggregate, of a zone or of none.

    :raises Conflict: when the name is taken.
    """
    ctx.require(ROOT + "create")
    values = {"uuid": ids.uuid(), "name": name.strip(), "metadata": {ZONE_KEY: zone} if zone else {}}
    with ctx.cloud.db.begin() as tx:
        return _one(tx, store.insert_aggregate(tx, {**values, "created_at": ctx.cloud.clock.now()}))


def update(ctx: Context, id: int, name: str | None, zone: str | None, set_zone: bool) -> Aggregate:
    """Change the name, or the zone where set_zone says so.

    :raises BadRequest: when hosts would be in two zones, or have servers that would change theirs.
    :raises Conflict: when the name is taken.
    """
    ctx.require(ROOT + "update")
    with ctx.cloud.db.begin() as tx:
        found = _one(tx, id)
        values = {"name": name.strip()} if name else {}
        if values:
            store.update_aggregate(tx, id, **values)
        if set_zone:
            _write_metadata(tx, found, {ZONE_KEY: zone})
        store.update_aggregate(tx, id, updated_at=ctx.cloud.clock.now())
        return _one(tx, id)


def delete(ctx: Context, id: int) -> None:
    """Delete an aggregate.

    :raises BadRequest: when there are hosts in it.
    """
    ctx.require(ROOT + "delete")
    with ctx.cloud.db.begin() as tx:
        if _one(tx, id).hosts:
            raise BadRequest(f"Cannot delete aggregate {id}. Reason: Host aggregate is not empty.")
        store.delete_aggregate(tx, id)


def set_metadata(ctx: Context, id: int, metadata: Mapping[str, str | None]) -> Aggregate:
    """Change metadata: null takes a key away, those not named stay.

    :raises BadRequest: when hosts would be in two zones, or have servers that would change theirs.
    """
    ctx.require(ROOT + "set_metadata")
    with ctx.cloud.db.begin() as tx:
        _write_metadata(tx, _one(tx, id), metadata)
        store.update_aggregate(tx, id, updated_at=ctx.cloud.clock.now())
        return _one(tx, id)


def add_host(ctx: Context, id: int, host: str) -> Aggregate:
    """Put a host into an aggregate.

    :raises NotFound: when there is no such host.
    :raises Conflict: when it is in already, is in another zone, or has servers that would change zone.
    """
    ctx.require(ROOT + "add_host")
    with ctx.cloud.db.begin() as tx:
        found = _one(tx, id)
        if not host_store.list_hosts(tx, [host]):
            raise NotFound(f"Compute host {host} could not be found.", kind="ComputeHostNotFound")
        if host in found.hosts:
            raise Conflict(f"Aggregate {id} already has host {host}.", kind="AggregateHostExists")
        if found.zone and (reason := _why_not(tx, found, [host], found.zone)):
            raise Conflict(f"Cannot add host to aggregate {id}. Reason: {reason}.")
        store.add_host(tx, id, host)
        return _one(tx, id)


def remove_host(ctx: Context, id: int, host: str) -> Aggregate:
    """Take a host out of an aggregate.

    :raises NotFound: when it is not in.
    """
    ctx.require(ROOT + "remove_host")
    with ctx.cloud.db.begin() as tx:
        _one(tx, id)
        if not store.remove_host(tx, id, host):
            raise NotFound(f"Cannot remove host {host} in aggregate {id}")
        return _one(tx, id)


def cache_images(ctx: Context, id: int) -> None:
    """Not served: images come to a host when the first server there needs them.

    :raises NotImplementedHere: always, for an aggregate that there is.
    """
    ctx.require("compute:aggregates:images")
    with ctx.cloud.db.read() as tx:
        _one(tx, id)
    raise NotImplementedHere("Images are not fetched to hosts ahead of their first use.")


def list_zones(ctx: Context, rule: str = "list") -> dict[str, list[Host]]:
    """Return the hosts of each zone.

    :param rule: "list", or "detail" for those who may see hosts.
    """
    ctx.require(ZONES + rule)
    with ctx.cloud.db.read() as tx:
        hosts = host_store.list_hosts(tx)
    zones: dict[str, list[Host]] = {}
    for host in hosts:
        zones.setdefault(host.zone, []).append(host)
    return dict(sorted(zones.items()))


def _one(tx: Connection, id: int) -> Aggregate:
    found = store.list_aggregates(tx, id)
    if not found:
        raise NotFound(f"Aggregate {id} could not be found.", kind="AggregateNotFound")
    return found[0]


def _write_metadata(tx: Connection, found: Aggregate, changes: Mapping[str, str | None]) -> None:
    merged = {k: v for k, v in {**found.metadata, **changes}.items() if v is not None}
    zone = merged.get(ZONE_KEY)
    if zone != found.zone and found.hosts and (reason := _why_not(tx, found, found.hosts, zone)):
        raise BadRequest(f"Cannot update aggregate {found.id}. Reason: {reason}.")
    store.update_aggregate(tx, found.id, metadata=merged)


def _why_not(tx: Connection, found: Aggregate, hosts: Iterable[str], zone: str | None) -> str:
    """Say why hosts cannot be in a zone by way of an aggregate; a host is in one zone, and its servers stay there."""
    others = [each for each in store.list_aggregates(tx) if each.id != found.id and each.zone]
    now = {host: each.zone for each in others for host in each.hosts}
    clashing = sorted({f"{host} is in {now[host]}" for host in hosts if zone and now.get(host, zone) != zone})
    if clashing:
        return f"One or more hosts already in availability zone(s): {', '.join(clashing)}"
    moving = [host for host in hosts if now.get(host) is None]
    if store.count_servers(tx, moving):
        return "One or more hosts contain instances in this zone"
    return ""
