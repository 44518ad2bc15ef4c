"""Use cases of the topology that a project gets all at once: a network with subnets and a router to the outside."""

from typing import Any

from sqlalchemy import Connection

from pileus.kernel.context import Context
from pileus.kernel.errors import Conflict, NotFound
from pileus.network.errors import conflict, invalid
from pileus.network.service import access, defaults, interfaces, networks, routers, subnet_pools, subnets
from pileus.network.store import networks as networks_store
from pileus.network.store import pools as pools_store
from pileus.network.store import routers as routers_store
from pileus.network.store import topologies as store

NETWORK, SUBNET, ROUTER = "auto_allocated_network", "auto_allocated_subnet_v{}", "auto_allocated_router"
CIDR = "10.1.0.0/26"
"""Where there is no default subnet pool of IPv4."""


def get(ctx: Context, project_id: str) -> str:
    """Return the network of a project's topology, which is made at the first call.

    :raises Conflict: when there is no default external network.
    """
    ctx.require("get_auto_allocated_topology", access.target_of(project_id), hidden=_missing(project_id))
    return access.transact(ctx.cloud, lambda tx: ensure(tx, ctx, project_id))


def _missing(project_id: str) -> NotFound:
    return NotFound(f"No auto-allocated topology for project {project_id}.", kind="AutoAllocationNotFound")


def check(ctx: Context, project_id: str) -> None:
    """Check whether a project's topology could be made.  :raises Conflict: when it could not."""
    ctx.require("get_auto_allocated_topology", access.target_of(project_id), hidden=_missing(project_id))
    with ctx.cloud.db.read() as tx:
        if routers_store.external_default(tx) is None:
            raise _no_outside()


def _no_outside() -> Conflict:
    return conflict("AutoAllocationFailure", "Deployment error: No default router:external network.")


def ensure(tx: Connection, ctx: Context, project_id: str) -> str:
    """Do so in an open transaction."""
    if (found := store.find(tx, project_id)) is not None:
        return found[0]
    outside = routers_store.external_default(tx)
    if outside is None:
        raise _no_outside()
    access.take(tx, ctx.cloud, project_id, network=1, subnet=1)
    network = networks.make(tx, ctx.cloud, project_id, defaults.plain_network(NETWORK))
    made = []
    for version in (4, 6):
        if version == 6 and pools_store.default_pool(tx, 6) is None:
            continue
        attributes = defaults.plain_subnet(SUBNET.format(version), network.id, CIDR)
        pool = None
        if pools_store.default_pool(tx, version) is not None:
            modes = dict.fromkeys(("ipv6_ra_mode", "ipv6_address_mode"), "slaac" if version == 6 else None)
            attributes |= {"cidr": None, "ip_version": version, "use_default_subnetpool": True, **modes}
            pool = subnet_pools.take_out(tx, ctx, project_id, attributes)
        made.append(subnets.make(tx, ctx.cloud, project_id, network, attributes, pool.id if pool else None))
    router = routers.make(tx, ctx, project_id, defaults.plain_router(ROUTER, {"network_id": outside}))
    for subnet in made:
        interfaces.attach(tx, ctx, router, subnet.id)
    store.note(tx, project_id, network.id, router.id)
    return network.id


def remove(ctx: Context, project_id: str) -> None:
    """Remove a project's topology.  :raises NotFound: when it has none.  :raises Conflict: when something is in it."""
    ctx.require("delete_auto_allocated_topology", access.target_of(project_id), hidden=_missing(project_id))

    def work(tx: Connection) -> None:
        found = store.find(tx, project_id)
        if found is None:
            raise _missing(project_id)
        network_id, router_id = found
        network = networks_store.find_network(tx, network_id)
        for subnet_id, _ in network.subnets if network else ():
            interfaces.detach(tx, ctx, router_id, subnet_id)
        store.forget(tx, project_id)
        routers.discard(tx, ctx, router_id)
        networks.discard(tx, ctx, network_id)

    access.transact(ctx.cloud, work)


def describe(ctx: Context, project_id: str, fields: list[str]) -> dict[str, Any]:
    """Return the topology as it is asked for; `dry-run` only says whether it could be made."""
    if "dry-run" in fields:
        check(ctx, project_id)
        return {"id": "dry-run=pass", "tenant_id": project_id, "project_id": project_id}
    if not project_id:
        raise invalid("A project is needed")
    return {"id": get(ctx, project_id), "tenant_id": project_id, "project_id": project_id}
