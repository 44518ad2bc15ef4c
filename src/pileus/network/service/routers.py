"""Use cases of routers: the router itself, its gateway and its routes.  Its other legs are in `interfaces`."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.network import addressing, tables
from pileus.network.errors import conflict, invalid, missing
from pileus.network.service import access, allocation, flavors, qos
from pileus.network.service.access import Attributes, target_of
from pileus.network.store import agents as agents_store
from pileus.network.store import hosts as hosts_store
from pileus.network.store import networks as networks_store
from pileus.network.store import ports as ports_store
from pileus.network.store import routers as store
from pileus.network.store import rows, topologies
from pileus.network.store.records import Port, Router
from pileus.network.store.rows import Wanted
from pileus.network.tasks import sync

ROUTES_MAX = 30
HA_HOSTS_MIN = 2
"""A router moves to another host when its own is gone, asked for or not; with fewer hosts that cannot be promised."""


def list_routers(ctx: Context, wanted: Wanted) -> list[Router]:
    """Return the routers that the caller sees."""
    with ctx.cloud.db.read() as tx:
        return store.list_routers(tx, access.visible(ctx, "router", access.own(tables.routers)), wanted)


def show(ctx: Context, id: str) -> Router:
    """Return one router.  :raises NotFound: when the caller does not see it."""
    with ctx.cloud.db.read() as tx:
        return find(ctx, tx, id, "get")


def find(ctx: Context, tx: Connection, id: str, action: str) -> Router:
    """Return a router, if the caller may do something to it."""
    router = store.find_router(tx, id)
    if router is None:
        raise missing("router", id)
    access.require(ctx, "router", action, id, target_of(router.project_id))
    return router


def _flags(ctx: Context, verb: str, attributes: Attributes, given: frozenset[str], project_id: str) -> None:
    """Check the rules of attributes."""
    names = set(given)
    info = attributes.get("external_gateway_info") or {}
    names |= {f"external_gateway_info:{name}" for name in info}
    access.guard(ctx, f"{verb}_router", sorted(names), target_of(project_id))
    if attributes.get("ha") and len(agents_store.routing_hosts(ctx.cloud)) < HA_HOSTS_MIN:
        text = f"Not enough l3 agents available to ensure HA. Minimum required {HA_HOSTS_MIN}."
        raise conflict("HANotEnoughAvailableAgents", text)


def create(ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[Router]:
    """Make routers."""
    owned = [(access.project_for(ctx, attributes), attributes) for attributes, _ in many]
    for (project_id, attributes), (_, given) in zip(owned, many, strict=True):
        ctx.require("create_router", target_of(project_id))
        _flags(ctx, "create", attributes, given, project_id)

    def work(tx: Connection) -> list[Router]:
        return [make(tx, ctx, project_id, attributes) for project_id, attributes in owned]

    return access.transact(ctx.cloud, work)


def _place(tx: Connection, cloud: Cloud) -> str:
    """Return the host with the fewest routers; "" while there is none."""
    hosts = agents_store.routing_hosts(cloud)
    if len(hosts) < 2:
        return next(iter(hosts), "")
    load = hosts_store.routers_by_host(tx)
    return min(sorted(hosts), key=lambda name: load.get(name, 0))


def make(tx: Connection, ctx: Context, project_id: str, attributes: Attributes) -> Router:
    """Write a router down, with its gateway when it has one."""
    access.take(tx, ctx.cloud, project_id, router=1)
    flavors.check_flavor(tx, ctx, attributes["flavor_id"])
    info = attributes.get("external_gateway_info") or {}
    row = {
        "id": ids.uuid(), "project_id": project_id, "name": attributes["name"], "description": attributes["description"],
        "admin_state_up": attributes["admin_state_up"], "status": "ACTIVE", "enable_snat": info.get("enable_snat", True),
        "routes": [], "availability_zone_hints": attributes["availability_zone_hints"],
        "host_id": _place(tx, ctx.cloud), "distributed": bool(attributes["distributed"]), "ha": bool(attributes["ha"]),
        "flavor_id": attributes["flavor_id"], "qos_policy_id": info.get("qos_policy_id"),
    }  # fmt: skip
    router = Router(**rows.insert_row(tx, tables.routers, ctx.cloud.clock.now(), row))
    if named := attributes.get("tags"):
        rows.set_tags(tx, router.id, named)
    if info:
        _set_gateway(tx, ctx, router, info)
        sync.touch(tx, ctx.cloud, "router", router.id)
    found = store.find_router(tx, router.id)
    assert found is not None
    return found


def _set_gateway(tx: Connection, ctx: Context, router: Router, info: dict[str, Any] | None) -> None:
    """Give a router the gateway asked for, or none.

    :raises Conflict: when a floating IP needs the gateway that it has.
    """
    before = router.gateway
    network_id = (info or {}).get("network_id")
    wanted = (info or {}).get("external_fixed_ips")
    if before is not None and before.network_id != network_id:
        if store.floating_where(tx, tables.floating_ips.c.router_id == router.id):
            text = (
                f"Gateway cannot be updated for router {router.id}, since a gateway to external "
                f"network {before.network_id} is required by one or more floating IPs."
            )
            raise conflict("RouterExternalGatewayInUseByFloatingIp", text)
        ports_store.delete_port(tx, before.id)
        sync.touch(tx, ctx.cloud, "router", router.id, router.host_id)  # which has no leg any more, it may be
        sync.touch(tx, ctx.cloud, "network", before.network_id, router.host_id)
        before = None
    if not network_id:
        return
    qos.check_use(tx, ctx, (info or {}).get("qos_policy_id"))
    network = access.find_network(ctx, tx, network_id)
    if not network.external:
        raise invalid(f"Bad router request: Network {network_id} is not an external network.", "BadRequest")
    subnets = networks_store.subnets_of(tx, [network_id])
    _check_gateway_overlap(tx, router.id, [s.cidr for s in subnets])
    if before is None:
        allocation.service_port(tx, ctx.cloud, network, subnets, store.GATEWAY, router.id, wanted)
    elif wanted:
        fixed = allocation.resolve(tx, network, subnets, wanted, before.mac_address, store.GATEWAY, before.fixed_ips)
        ports_store.set_addresses(tx, before.id, fixed)


def _check_gateway_overlap(tx: Connection, router_id: str, cidrs: Sequence[str]) -> None:
    inside = networks_store.subnets_by_id(tx, {f.subnet_id for p in store.interfaces_of(tx, router_id) for f in p.fixed_ips})
    for subnet in inside.values():
        for cidr in cidrs:
            check_overlap(subnet.cidr, subnet.id, cidr)


def check_overlap(cidr: str, subnet_id: str, other: str) -> None:
    """Check that two subnets of a router do not overlap.  :raises BadRequest: when they do."""
    one, two = addressing.network(cidr), addressing.network(other)
    if one.version == two.version and one.overlaps(two):
        text = f"Bad router request: Cidr {other} of subnet overlaps with cidr {cidr} of subnet {subnet_id}."
        raise invalid(text, "BadRequest")


def change(ctx: Context, id: str, attributes: Attributes, revision: int | None = None) -> Router:
    """Change a router's attributes; those not named stay."""

    def work(tx: Connection) -> Router:
        values = dict(attributes)
        router = find(ctx, tx, id, "update")
        _flags(ctx, "update", values, frozenset(values), router.project_id)
        access.check_revision(revision, router.revision_number)
        if "external_gateway_info" in values:
            info = values.pop("external_gateway_info")
            if (values.get("routes") is None and router.routes) and not (info or {}).get("network_id"):
                _check_routes(tx, router, router.routes, without_gateway=True)
            _set_gateway(tx, ctx, router, info)
            if "enable_snat" in (info or {}):
                values["enable_snat"] = info["enable_snat"]
            elif not info:
                values["enable_snat"] = True
            if not info or "qos_policy_id" in info:
                values["qos_policy_id"] = (info or {}).get("qos_policy_id")
        _check_flags(router, values)
        if "routes" in values:
            values["routes"] = values["routes"] or []
            _check_routes(tx, router, values["routes"])
        return write_change(tx, ctx.cloud, id, values)

    return access.transact(ctx.cloud, work)


def _check_flags(router: Router, values: dict[str, Any]) -> None:
    """A router's kind changes only while it is down.  :raises BadRequest: otherwise."""
    changed = {name for name in ("distributed", "ha") if values.get(name, getattr(router, name)) != getattr(router, name)}
    if changed and (router.admin_state_up or values.get("admin_state_up")):
        raise invalid(
            f"Bad router request: Cannot change the '{min(changed)}' attribute of active routers. "
            "Please set router admin_state_up to False prior to upgrade.",
            "BadRequest",
        )


def write_change(tx: Connection, cloud: Cloud, id: str, values: dict[str, Any]) -> Router:
    """Write a change of a router and have its host follow."""
    rows.update_row(tx, tables.routers, cloud.clock.now(), id, values)
    sync.touch(tx, cloud, "router", id)
    found = store.find_router(tx, id)
    assert found is not None
    return found


def _check_routes(tx: Connection, router: Router, routes: Sequence[dict[str, str]], *, without_gateway: bool = False) -> None:
    """Check that each next hop is reached through a leg and is not the router itself.  :raises BadRequest: otherwise."""
    if len(routes) > ROUTES_MAX:
        text = f"Unable to complete operation for {router.id}. The number of routes exceeds the maximum quota {ROUTES_MAX}."
        raise invalid(text, "RoutesExhausted")
    legs: list[Port] = [p for p in store.legs_of(tx, [router.id]) if not (without_gateway and p.device_owner == store.GATEWAY)]
    subnets = networks_store.subnets_by_id(tx, {f.subnet_id for p in legs for f in p.fixed_ips})
    nets = [addressing.network(subnet.cidr) for subnet in subnets.values()]
    own = {f.ip_address for p in legs for f in p.fixed_ips}
    for route in routes:
        hop = addressing.address(route["nexthop"])
        if str(hop) in own or not any(hop in net for net in nets):
            why = "the nexthop is used by router" if str(hop) in own else "the nexthop is not connected with router"
            raise invalid(f"Invalid format for routes: {list(routes)}, {why}", "InvalidRoutes")


def add_routes(ctx: Context, id: str, routes: Sequence[dict[str, str]]) -> Router:
    """Add routes to a router; those it has already stay as they are."""
    return _change_routes(ctx, id, "add_extraroutes", lambda old: [*old, *(r for r in routes if r not in old)])


def remove_routes(ctx: Context, id: str, routes: Sequence[dict[str, str]]) -> Router:
    """Remove routes from a router; those it has not are passed over."""
    return _change_routes(ctx, id, "remove_extraroutes", lambda old: [r for r in old if r not in routes])


def _change_routes(ctx: Context, id: str, rule: str, edit: Any) -> Router:
    def work(tx: Connection) -> Router:
        router = find(ctx, tx, id, "get")
        ctx.require(rule, target_of(router.project_id))
        routes = edit(router.routes)
        if rule.startswith("add"):
            _check_routes(tx, router, routes)
        return write_change(tx, ctx.cloud, id, {"routes": routes})

    return access.transact(ctx.cloud, work)


def remove(ctx: Context, id: str, revision: int | None = None) -> None:
    """Remove a router with its gateway.  :raises Conflict: when it still has interfaces or floating IPs."""

    def work(tx: Connection) -> None:
        router = find(ctx, tx, id, "delete")
        access.check_revision(revision, router.revision_number)
        discard(tx, ctx, id)

    access.transact(ctx.cloud, work)


def discard(tx: Connection, ctx: Context, id: str) -> None:
    """Do so in an open transaction."""
    router = store.find_router(tx, id)
    if router is None:
        return
    if store.interfaces_of(tx, id) or store.floating_where(tx, tables.floating_ips.c.router_id == id):
        raise conflict("RouterInUse", f"Router {id} still has ports")
    if router.gateway is not None:
        ports_store.delete_port(tx, router.gateway.id)
        sync.touch(tx, ctx.cloud, "router", id, router.host_id)
        sync.touch(tx, ctx.cloud, "network", router.gateway.network_id, router.host_id)
    topologies.forget_part(tx, router_id=id)
    rows.delete_row(tx, tables.routers, id)
