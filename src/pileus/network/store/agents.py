"""The agents of the hosts, as rows that their heartbeats keep alive."""

from collections.abc import Iterable

from sqlalchemy import Connection, delete, insert, select, update

from pileus.kernel import ids
from pileus.kernel.context import Cloud
from pileus.network.store.records import Agent, record
from pileus.network.store.rows import Clause, Kind, Wanted, list_rows
from pileus.network.tables import agents

BINARIES = {
    "Linux bridge agent": "neutron-linuxbridge-agent", "DHCP agent": "neutron-dhcp-agent", "L3 agent": "neutron-l3-agent",
    "Metadata agent": "neutron-metadata-agent",
}  # fmt: skip
BEAT_SECONDS = 20.0
ALIVE_SECONDS = 75.0

KINDS_OF = {binary: kind for kind, binary in BINARIES.items()}


def _binary(values: list[str]) -> Clause:
    return agents.c.agent_type.in_([KINDS_OF.get(value, "") for value in values])


AGENT = Kind("agent", agents, {}, {"binary": _binary, "alive": lambda values: agents.c.id.is_not(None)})


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


def beat(cloud: Cloud, hosts: Iterable[str]) -> None:
    """Note that the agents of hosts are alive; writes when the last note is BEAT_SECONDS old."""
    now = cloud.clock.now()
    with cloud.db.read() as tx:
        known = {(row.host, row.agent_type): row.heartbeat_at for row in tx.execute(select(*agents.c))}
    for host in hosts:
        if all(now - known.get((host, kind), 0.0) < BEAT_SECONDS for kind in BINARIES):
            continue
        with cloud.db.begin() as tx:
            for kind in BINARIES:
                here = (agents.c.host == host, agents.c.agent_type == kind)
                if not tx.execute(update(agents).where(*here).values(heartbeat_at=now)).rowcount:
                    tx.execute(insert(agents).values(
                        id=ids.uuid(), host=host, agent_type=kind, admin_state_up=True, description="", created_at=now,
                        started_at=now, heartbeat_at=now,
                    ))  # fmt: skip
