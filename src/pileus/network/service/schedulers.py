"""Use cases of who serves what: the DHCP agents of networks, and the L3 agent of a router."""

from sqlalchemy import Connection

from pileus.kernel.context import Context
from pileus.network import tables
from pileus.network.errors import conflict, invalid
from pileus.network.service import access, routers
from pileus.network.service.operations import show_agent
from pileus.network.store import agents as store
from pileus.network.store import networks as networks_store
from pileus.network.store import routers as routers_store
from pileus.network.store import rows
from pileus.network.store.records import Agent, Network, Router
from pileus.network.store.rows import Wanted
from pileus.network.tasks import sync

DHCP, L3 = "DHCP agent", "L3 agent"


def _agent(ctx: Context, id: str, kind: str) -> Agent:
    agent = show_agent(ctx, id)
    if agent.agent_type != kind:
        raise conflict("InvalidDHCPAgent" if kind == DHCP else "InvalidL3Agent", f"Agent {id} is not a valid {kind}")
    return agent


def networks_of(ctx: Context, agent_id: str) -> list[Network]:
    """Return the networks whose DHCP an agent serves."""
    ctx.require("get_dhcp-networks")
    agent = show_agent(ctx, agent_id)
    if agent.agent_type != DHCP:
        return []
    with ctx.cloud.db.read() as tx:
        return networks_store.list_networks(tx, store.served_by(agent.host), Wanted())


def agents_of_network(ctx: Context, network_id: str) -> list[Agent]:
    """Return the agents that serve the DHCP of a network."""
    ctx.require("get_dhcp-agents")
    with ctx.cloud.db.read() as tx:
        access.find_network(ctx, tx, network_id)
        return store.serving(tx, network_id)


def add_network(ctx: Context, agent_id: str, network_id: str) -> None:
    """Have an agent serve the DHCP of a network.  :raises Conflict: when it does so already."""
    ctx.require("create_dhcp-network")
    agent = _agent(ctx, agent_id, DHCP)

    def work(tx: Connection) -> None:
        access.find_network(ctx, tx, network_id)
        if any(other.id == agent_id for other in store.serving(tx, network_id)):
            text = f"The network {network_id} has been already hosted by the DHCP Agent {agent_id}."
            raise conflict("NetworkHostedByDHCPAgent", text)
        store.serve(tx, network_id, agent.host)
        sync.touch_network(tx, ctx.cloud, network_id)

    access.transact(ctx.cloud, work)


def remove_network(ctx: Context, agent_id: str, network_id: str) -> None:
    """Have an agent serve the DHCP of a network no more.  :raises Conflict: when it does not."""
    ctx.require("delete_dhcp-network")
    agent = _agent(ctx, agent_id, DHCP)

    def work(tx: Connection) -> None:
        access.find_network(ctx, tx, network_id)
        if all(other.id != agent_id for other in store.serving(tx, network_id)):
            text = f"The network {network_id} is not hosted by the DHCP agent {agent_id}."
            raise conflict("NetworkNotHostedByDhcpAgent", text)
        store.exclude(tx, network_id, agent.host)
        sync.touch_network(tx, ctx.cloud, network_id)

    access.transact(ctx.cloud, work)


def routers_of(ctx: Context, agent_id: str) -> list[Router]:
    """Return the routers that an agent does the routing of."""
    ctx.require("get_l3-routers")
    agent = show_agent(ctx, agent_id)
    if agent.agent_type != L3:
        return []
    with ctx.cloud.db.read() as tx:
        return routers_store.list_routers(tx, tables.routers.c.host_id == agent.host, Wanted())


def agents_of_router(ctx: Context, router_id: str) -> list[Agent]:
    """Return the agent that does the routing of a router."""
    ctx.require("get_l3-agents")
    with ctx.cloud.db.read() as tx:
        router = routers.find(ctx, tx, router_id, "get")
        return [agent for agent in store.list_agents(tx, Wanted((("agent_type", [L3]),))) if agent.host == router.host_id]


def add_router(ctx: Context, agent_id: str, router_id: str) -> None:
    """Have an agent do the routing of a router.  :raises Conflict: when another does."""
    ctx.require("create_l3-router")
    agent = _agent(ctx, agent_id, L3)
    if not agent.admin_state_up or not store.routes(ctx.cloud, agent.host):
        raise invalid(f"Agent {agent_id} is not a L3 Agent or has been disabled", "InvalidL3Agent")

    def work(tx: Connection) -> None:
        router = routers.find(ctx, tx, router_id, "get")
        if router.host_id and router.host_id != agent.host:
            text = f"The router {router_id} has been already hosted by the L3 Agent on {router.host_id}."
            raise conflict("RouterHostedByL3Agent", text)
        _move(tx, ctx, router, agent.host)

    access.transact(ctx.cloud, work)


def remove_router(ctx: Context, agent_id: str, router_id: str) -> None:
    """Have an agent do the routing of a router no more: nobody does then.  :raises Conflict: when it does not."""
    ctx.require("delete_l3-router")
    agent = _agent(ctx, agent_id, L3)

    def work(tx: Connection) -> None:
        router = routers.find(ctx, tx, router_id, "get")
        if router.host_id != agent.host:
            raise conflict("RouterNotHostedByL3Agent", f"The router {router_id} is not hosted by L3 agent {agent_id}.")
        _move(tx, ctx, router, "")
        floating = routers_store.floating_where(tx, tables.floating_ips.c.router_id == router.id)
        routers_store.set_floating_status(tx, [each.id for each in floating], "DOWN")

    access.transact(ctx.cloud, work)


def _move(tx: Connection, ctx: Context, router: Router, host: str) -> None:
    if router.host_id == host:
        return
    rows.update_row(tx, tables.routers, ctx.cloud.clock.now(), router.id, {"host_id": host, "unscheduled": not host})
    sync.touch(tx, ctx.cloud, "router", router.id, router.host_id)
    for leg in routers_store.legs_of(tx, [router.id]):
        sync.touch(tx, ctx.cloud, "network", leg.network_id, router.host_id)
