"""The parts of the volume service for operators: services, hosts, pools, capabilities."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, NotFound
from pileus.volume import scheduler
from pileus.volume.scheduler import Pool
from pileus.volume.service import types
from pileus.volume.store import services as store
from pileus.volume.store.services import Service
from pileus.volume.tasks import placing
from pileus.volume.tasks.backends import Gauges

VOLUME = "cinder-volume"


@dataclass(frozen=True)
class Part:
    """A part of the service, and whether it is there."""

    row: Service
    is_up: bool


def list_services(ctx: Context, rule: str = "volume_extension:services:index") -> list[Part]:
    """Return the parts of the service."""
    ctx.require(rule)
    there = ctx.cloud.part(Gauges).read(ctx.cloud)
    with ctx.cloud.db.read() as tx:
        return [Part(row, row.binary != VOLUME or row.host in there) for row in store.list_all(tx)]


def enable(ctx: Context, host: str, binary: str, *, enabled: bool, reason: str | None = None) -> None:
    """Let a part get new work, or no more.

    :raises NotFound: when there is no such part.
    """
    ctx.require("volume_extension:services:update")
    with ctx.cloud.db.begin() as tx:
        for row in store.list_all(tx):
            if row.host == host and row.binary == binary:
                values = {"disabled": not enabled, "disabled_reason": reason, "updated_at": ctx.cloud.clock.now()}
                store.change(tx, row.id, **values)
                return
    raise NotFound(f"Service {binary} could not be found on host {host}.", kind="ServiceNotFound")


def freeze(ctx: Context, host: str, *, frozen: bool) -> None:
    """Keep a back end from getting new volumes until it is thawed.

    :raises BadRequest: when there is no such back end.
    """
    ctx.require("volume:freeze_host" if frozen else "volume:thaw_host")
    with ctx.cloud.db.begin() as tx:
        row = store.backends(tx).get(host)
        if row is None:
            raise BadRequest(f"Invalid input received: Service {host} could not be found.", kind="InvalidInput")
        store.change(tx, row.id, frozen=frozen, updated_at=ctx.cloud.clock.now())


def fail_over(ctx: Context, host: str) -> None:
    """Switch a back end to its replica: none has one.

    :raises BadRequest: always.
    """
    ctx.require("volume:failover_host")
    raise BadRequest(f"Invalid input received: {host} is not replicated.", kind="InvalidInput")


def require_steering(ctx: Context) -> None:
    """Check that the caller may steer the parts of the service."""
    ctx.require("volume_extension:services:update")


# ---- hosts


def enable_host(ctx: Context, host: str, *, enabled: bool) -> None:
    """Let all parts of a host get new work, or no more.

    :raises NotFound: when there is no such host.
    """
    ctx.require("volume_extension:hosts")
    with ctx.cloud.db.begin() as tx:
        found = [row for row in store.list_all(tx) if row.host == host]
        if not found:
            raise NotFound(f"Host {host} could not be found.", kind="HostNotFound")
        for row in found:
            store.change(tx, row.id, disabled=not enabled, updated_at=ctx.cloud.clock.now())


def host_usage(ctx: Context, host: str) -> Mapping[str, tuple[int, int, int, int]]:
    """Return, by project, the number and GiB of the volumes on a back end and of their snapshots.

    :raises NotFound: when there is no such back end.
    """
    ctx.require("volume_extension:hosts")
    with ctx.cloud.db.read() as tx:
        if host not in store.backends(tx):
            raise NotFound(f"Host {host} could not be found.", kind="HostNotFound")
        return store.usage_by_project(tx, placing.pool_host(host))


# ---- pools


def list_pools(ctx: Context, *, name: str | None = None, volume_type: str | None = None) -> list[tuple[Pool, Mapping[str, Any]]]:
    """Return the places for volumes and what each says of itself.

    :param volume_type: only those that its volumes may go to.
    :raises NotFound: when there is no such type.
    """
    ctx.require("scheduler_extension:scheduler_stats:get_pools")
    capacities = ctx.cloud.part(Gauges).read(ctx.cloud, fresh=True)
    with ctx.cloud.db.read() as tx:
        found = placing.pools(tx, ctx.cloud, capacities)
        specs = types.find(tx, ctx, volume_type).extra_specs if volume_type else {}
    told = [(pool, scheduler.capabilities(pool)) for pool in sorted(found, key=lambda pool: pool.host)]
    return [(pool, has) for pool, has in told if (name is None or name == pool.host) and not scheduler.explain_specs(has, specs)]


def capabilities(ctx: Context, host: str) -> Mapping[str, Any]:
    """Return what a back end says of itself.  :raises NotFound: when there is no such back end."""
    ctx.require("volume_extension:capabilities")
    capacities = ctx.cloud.part(Gauges).read(ctx.cloud)
    with ctx.cloud.db.read() as tx:
        for pool in placing.pools(tx, ctx.cloud, capacities):
            if host in (pool.host, pool.host.partition("#")[0]):
                return scheduler.capabilities(pool)
    raise NotFound(f"Can't find service: {host}")


# ---- clusters of services, of which there are none


def list_clusters(ctx: Context) -> list[Any]:
    """Return the clusters that services form: none."""
    ctx.require("clusters:get_all")
    return []


def get_cluster(ctx: Context, name: str, rule: str = "clusters:get") -> None:
    """Return a cluster: there is none.  :raises NotFound: always."""
    ctx.require(rule)
    raise NotFound(f"Cluster {name} could not be found.", kind="ClusterNotFound")


def clean_up(ctx: Context) -> tuple[list[Any], list[Any]]:
    """Have the work of services that died taken over: it is by itself.  Returns who cleans, and who is not there."""
    ctx.require("workers:cleanup")
    return [], []
