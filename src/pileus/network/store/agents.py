"""The agents of the hosts, as rows that their heartbeats keep alive."""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, delete, exists, func, insert, select, update

from pileus.kernel import ids
from pileus.kernel.context import Cloud
from pileus.network.store.records import Agent, record
from pileus.network.store.rows import Clause, Kind, Wanted, list_rows
from pileus.network.tables import networks
from pileus.network.tables.agents import agents, dhcp_exclusions

ROUTERS = "L3 agent"
SHARED = {"DHCP agent": "neutron-dhcp-agent", ROUTERS: "neutron-l3-agent", "Metadata agent": "neutron-metadata-agent"}
BRIDGES, SWITCH = "Linux bridge agent", "Open vSwitch agent"
BINARIES = {BRIDGES: "neutron-linuxbridge-agent", SWITCH: "neutron-openvswitch-agent", **SHARED}
BEAT_SECONDS = 20.0
ALIVE_SECONDS = 75.0

KINDS_OF = {binary: kind for kind, binary in BINARIES.items()}


def _binary(values: list[str]) -> Clause:
    return agents.c.agent_type.in_([KINDS_OF.get(value, "") for value in values])


def _type(values: list[str]) -> Clause:
    return func.lower(agents.c.agent_type).in_([value.lower() for value in values])


AGENT = Kind("agent", agents, {}, {"binary": _binary, "agent_type": _type})
X = dhcp_exclusions.c


def list_agents(tx: Connection, wanted: Wanted) -> list[Agent]:
    """Return agents."""
    return [record(Agent, row) for row in list_rows(tx, AGENT, None, wanted)]


def find_agent(tx: Connection, id: str) -> Agent | None:
    """Return one agent."""
    row = tx.execute(select(*agents.c).where(agents.c.id == id)).first()
    return record(Agent, row) if row else None


def change_agent(tx: Connection, id: str, values: dict[str, object]) -> None:
    """Change an agent."""
    if values:
        tx.execute(update(agents).where(agents.c.id == id).values(**values))


def delete_agent(tx: Connection, id: str) -> None:
    """Forget an agent; one that is alive comes back."""
    tx.execute(delete(agents).where(agents.c.id == id))


def is_switched(cloud: Cloud, host: str) -> bool:
    """Tell whether a host makes its networks by Open vSwitch."""
    return cloud.bus.facts(host).get("network", cloud.settings.network_driver) == "ovs"


def vif_type(cloud: Cloud, host: str) -> str:
    """Return what the ports of a host are, as Neutron and Nova name it; "unbound" where there is no host."""
    return ("ovs" if is_switched(cloud, host) else "bridge") if host else "unbound"


def routes(cloud: Cloud, host: str) -> bool:
    """Tell whether a host may have routers."""
    return cloud.bus.facts(host).get("routes") != "no"


def routing_hosts(cloud: Cloud) -> tuple[str, ...]:
    """Return the hosts that may have routers and are there."""
    return tuple(host for host in cloud.bus.hosts("network") if routes(cloud, host))


def beat(cloud: Cloud, hosts: Iterable[str]) -> None:
    """Note that the agents of hosts are alive; writes when the last note is BEAT_SECONDS old."""
    now = cloud.clock.now()
    with cloud.db.read() as tx:
        known = {(row.host, row.agent_type): row.heartbeat_at for row in tx.execute(select(*agents.c))}
    due = {
        (host, kind)
        for host in hosts
        for kind in ({SWITCH if is_switched(cloud, host) else BRIDGES, *SHARED} - (set() if routes(cloud, host) else {ROUTERS}))
        if now - known.get((host, kind), 0.0) >= BEAT_SECONDS
    }
    if not due:
        return
    with cloud.db.begin() as tx:
        for kind in sorted({kind for _, kind in due}):
            beating = sorted(host for host, other in due if other == kind and (host, kind) in known)
            if beating:
                tx.execute(update(agents).where(agents.c.agent_type == kind, agents.c.host.in_(beating)).values(heartbeat_at=now))
        new = [
            {
                "id": ids.uuid(), "host": host, "agent_type": kind, "admin_state_up": True, "description": "", "created_at": now,
                "started_at": now, "heartbeat_at": now,
            }
            for host, kind in sorted(due - known.keys())
        ]  # fmt: skip
        if new:
            tx.execute(insert(agents), new)


def served_by(host: str) -> Clause:
    """Return the condition that the DHCP of a network is served on a host, as soon as it has any."""
    return ~exists().where(X.network_id == networks.c.id, X.host == host)


def serving(tx: Connection, network_id: str) -> list[Agent]:
    """Return the agents that serve the DHCP of a network, as soon as it has any."""
    excluded = select(X.host).where(X.network_id == network_id)
    query = select(*agents.c).where(agents.c.agent_type == "DHCP agent", agents.c.host.not_in(excluded))
    return [record(Agent, row) for row in tx.execute(query.order_by(agents.c.host))]


def exclude(tx: Connection, network_id: str, host: str) -> None:
    """Note that the DHCP of a network is not to be served on a host."""
    tx.execute(insert(dhcp_exclusions).values(network_id=network_id, host=host))


def serve(tx: Connection, network_id: str, host: str) -> None:
    """Note that the DHCP of a network is to be served on a host."""
    tx.execute(delete(dhcp_exclusions).where(X.network_id == network_id, X.host == host))


def unserved(tx: Connection, network_ids: Collection[str]) -> set[tuple[str, str]]:
    """Return which of some networks are not to have their DHCP served on which hosts."""
    query = select(X.network_id, X.host).where(X.network_id.in_(network_ids))
    return {(row.network_id, row.host) for row in tx.execute(query)}


def hosts_off(tx: Connection, kind: str) -> set[str]:
    """Return the hosts whose agent of a kind has been switched off."""
    query = select(agents.c.host).where(agents.c.agent_type == kind, agents.c.admin_state_up.is_(False))
    return set(tx.execute(query).scalars())


def is_off(tx: Connection, host: str, kind: str) -> bool:
    """Tell whether an agent of a host has been switched off."""
    query = select(agents.c.id).where(agents.c.host == host, agents.c.agent_type == kind, agents.c.admin_state_up.is_(False))
    return tx.execute(query).first() is not None
