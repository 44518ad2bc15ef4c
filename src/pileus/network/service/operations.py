"""Use cases around the resources: quotas, agents and availability zones."""

from sqlalchemy import Connection

from pileus.identity.service import unified
from pileus.kernel import quota
from pileus.kernel.context import Context
from pileus.kernel.errors import Forbidden
from pileus.network.errors import bad_attribute, invalid, missing
from pileus.network.service import access
from pileus.network.service.access import COUNTED, DEFAULTS, SERVICE
from pileus.network.store import agents as agents_store
from pileus.network.store import rows
from pileus.network.store.records import Agent
from pileus.network.store.rows import Wanted

LIMIT_MAX = 2_147_483_647


def _own_or(ctx: Context, rule: str, project_id: str) -> None:
    """A project's own quota may be seen by its members; another's by those who hold the rule."""
    if ctx.project_id != project_id or not ctx.roles:
        ctx.require(rule, access.target_of(project_id))


def quota_of(ctx: Context, project_id: str) -> dict[str, int]:
    """Return a project's limits."""
    _own_or(ctx, "get_quota", project_id)
    with ctx.cloud.db.read() as tx:
        return access.limits_of(tx, ctx.cloud, project_id)


def default_quota(ctx: Context, project_id: str) -> dict[str, int]:
    """Return the limits of a project that has none of its own."""
    _own_or(ctx, "get_quota", project_id)
    with ctx.cloud.db.read() as tx:
        return access.limits_of(tx, ctx.cloud, quota.DEFAULT_CLASS)


def quota_details(ctx: Context, project_id: str) -> dict[str, dict[str, int]]:
    """Return a project's limits and how much of each is used."""
    _own_or(ctx, "get_quota", project_id)
    with ctx.cloud.db.read() as tx:
        limits = access.limits_of(tx, ctx.cloud, project_id)
        used = {name: rows.count_rows(tx, table, project_id) for name, table in COUNTED.items()}
    return {name: {"limit": limit, "used": used.get(name, 0), "reserved": 0} for name, limit in limits.items()}


def list_quotas(ctx: Context) -> dict[str, dict[str, int]]:
    """Return the limits of every project that has its own."""
    ctx.require("get_quota", access.target_of(ctx.project_id))
    with ctx.cloud.db.read() as tx:
        owners = [owner for owner in quota.list_owners(tx, SERVICE) if ctx.is_admin]
        return {owner: access.limits_of(tx, ctx.cloud, owner) for owner in owners}


def change_quota(ctx: Context, project_id: str, values: dict[str, int], *, checked: bool = False) -> dict[str, int]:
    """Change a project's limits.

    :param checked: whether a limit below what is used is refused.
    """
    ctx.require("update_quota", access.target_of(project_id))
    unified.require_kept_here(ctx.cloud, SERVICE)
    for name, value in values.items():
        if name not in DEFAULTS:
            raise bad_attribute(name, f"Unrecognized attribute(s) '{name}'")
        if not -1 <= value <= LIMIT_MAX:
            raise bad_attribute(name, f"Quota limit for resource {name} must be -1 or more")

    def work(tx: Connection) -> dict[str, int]:
        for name, value in values.items() if checked else ():
            if name in COUNTED and 0 <= value < (used := rows.count_rows(tx, COUNTED[name], project_id)):
                raise invalid(f"Quota limit for resource {name} is below what is used: {used}.", "InvalidQuotaValue")
        quota.set_limits(tx, SERVICE, project_id, values)
        return access.limits_of(tx, ctx.cloud, project_id)

    return access.transact(ctx.cloud, work)


def reset_quota(ctx: Context, project_id: str) -> None:
    """Let the defaults hold for a project again.  :raises NotFound: when it has no limits of its own."""
    ctx.require("delete_quota", access.target_of(project_id))

    def work(tx: Connection) -> None:
        if project_id not in quota.list_owners(tx, SERVICE):
            fault = missing("extension", project_id)
            fault.kind, fault.message = "TenantQuotaNotFound", f"Quota for tenant {project_id} could not be found."
            raise fault
        quota.reset_limits(tx, SERVICE, project_id)

    access.transact(ctx.cloud, work)


def list_agents(ctx: Context, wanted: Wanted) -> list[Agent]:
    """Return the agents of the hosts; none to those who may not see them."""
    if not ctx.can("get_agent"):
        return []
    asked = {value.lower() in ("true", "1") for name, values in wanted.filters if name == "alive" for value in values}
    rest = Wanted(tuple(each for each in wanted.filters if each[0] != "alive"), wanted.page)
    with ctx.cloud.db.read() as tx:
        found = agents_store.list_agents(tx, rest)
    now = ctx.cloud.clock.now()
    return [agent for agent in found if not asked or (now - agent.heartbeat_at < agents_store.ALIVE_SECONDS) in asked]


def show_agent(ctx: Context, id: str) -> Agent:
    """Return one agent."""
    if not ctx.can("get_agent"):
        raise missing("agent", id)
    with ctx.cloud.db.read() as tx:
        found = agents_store.find_agent(tx, id)
    if found is None:
        raise missing("agent", id)
    return found


def change_agent(ctx: Context, id: str, values: dict[str, object]) -> Agent:
    """Change an agent's description or administrative state."""
    show_agent(ctx, id)
    ctx.require("update_agent")
    access.transact(ctx.cloud, lambda tx: agents_store.change_agent(tx, id, values))
    return show_agent(ctx, id)


def remove_agent(ctx: Context, id: str) -> None:
    """Forget an agent; one that is alive comes back by itself."""
    agent = show_agent(ctx, id)
    ctx.require("delete_agent")
    if ctx.cloud.clock.now() - agent.heartbeat_at < agents_store.ALIVE_SECONDS:
        raise Forbidden(f"Agent {id} is alive: it would be there again at once.", kind="PolicyNotAuthorized")
    access.transact(ctx.cloud, lambda tx: agents_store.delete_agent(tx, id))


def availability_zones(ctx: Context) -> list[dict[str, str]]:
    """Return the zones of networks and routers."""
    ctx.require("get_availability_zone")
    return [{"name": "nova", "resource": resource, "state": "available"} for resource in ("network", "router")]


def service_providers(ctx: Context) -> list[dict[str, object]]:
    """Return the providers of advanced services."""
    ctx.require("get_service_provider")
    return [{"service_type": "L3_ROUTER_NAT", "name": "single_node", "default": True}]
