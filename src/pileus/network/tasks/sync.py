"""A change that matters to a host starts a task of the thing's own, in the same transaction; the task makes the hosts agree."""

from collections.abc import Callable, Collection, Mapping

from sqlalchemy import Connection

from pileus.kernel import tasks
from pileus.kernel.context import Cloud
from pileus.kernel.loops import Loop
from pileus.kernel.tasks import Done, Outcome, Program, Run
from pileus.network.store import agents as agents_store
from pileus.network.store import groups as groups_store
from pileus.network.store import networks as networks_store
from pileus.network.store import ports as ports_store
from pileus.network.store import routers as routers_store
from pileus.network.tasks import converge, spanning

SYNC = Program("network.sync")

RECONCILE_SECONDS = 5.0

MAKERS: Mapping[str, Callable[[Cloud, str], None]] = {
    "network": converge.network, "group": converge.group, "port": converge.port, "router": converge.router,
}  # fmt: skip


@SYNC.step
def agree(run: Run) -> Outcome:
    """Make one thing on the hosts be as its rows say; a failure is tried again until it is so."""
    kind, _, id = run.id.partition(":")
    MAKERS[kind](run.cloud, id)
    return Done()


def touch(tx: Connection, cloud: Cloud, kind: str, id: str) -> None:
    """Have a thing (network, group, port or router) made as its rows say, soon."""
    tasks.ensure(tx, cloud, SYNC, f"{kind}:{id}")


def touch_network(tx: Connection, cloud: Cloud, id: str) -> None:
    """The same for a network, where a host has it at all."""
    if networks_store.is_real(tx, id):
        touch(tx, cloud, "network", id)


def touch_group(tx: Connection, cloud: Cloud, id: str) -> None:
    """The same for a security group, where a host has it at all."""
    if groups_store.is_real(tx, id):
        touch(tx, cloud, "group", id)


def touch_ports(tx: Connection, cloud: Cloud, network_id: str) -> None:
    """The same for the ports of a network that are on a host."""
    for port_id in ports_store.bound_in(tx, network_id):
        touch(tx, cloud, "port", port_id)


def touch_floating(tx: Connection, cloud: Cloud, floating_ip_id: str) -> None:
    """The same for the router that a floating IP is of, if it is of one."""
    fip = routers_store.find_floating_ip(tx, floating_ip_id)
    if fip and fip.router_id:
        touch(tx, cloud, "router", fip.router_id)


def reconcile(cloud: Cloud) -> None:
    """Look at every host and repair it; note that its agents are alive; have the routers of hosts that are gone on others."""
    alive = cloud.bus.hosts(converge.ROLE)
    spanning.note_hosts(cloud, alive)
    routing = agents_store.routing_hosts(cloud)
    _leave_hosts(cloud, routing)
    converge.everything(cloud)
    if agents_store.routing_hosts(cloud) != routing:
        _leave_hosts(cloud, agents_store.routing_hosts(cloud))  # one has gone while it was looked at
    agents_store.beat(cloud, alive)


def _leave_hosts(cloud: Cloud, alive: Collection[str]) -> None:
    with cloud.db.read() as tx:
        gone = spanning.gone(tx, alive)
    if not gone:
        return
    with cloud.db.begin() as tx:
        for router_id, network_ids in spanning.leave_hosts(tx, gone, alive).items():
            touch(tx, cloud, "router", router_id)
            for network_id in network_ids:
                touch(tx, cloud, "network", network_id)


RECONCILE = Loop("network.reconcile", RECONCILE_SECONDS, reconcile)
