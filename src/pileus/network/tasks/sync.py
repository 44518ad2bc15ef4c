"""A change that matters to a host starts a task of the thing's own, in the same transaction; the task makes the hosts agree.

The hosts that are to have the thing stand in the rows.  A host that was to have it until now is named with the change, by a
signal of the task, for no row says so any more.  Whoever was away meanwhile is compared as a whole when it is back, and so is
each host now and then.
"""

from collections.abc import Callable, Collection, Mapping

from sqlalchemy import Connection

from pileus.kernel.context import Cloud
from pileus.kernel.loops import Loop
from pileus.kernel.tasks import Done, Outcome, Run
from pileus.network.store import agents as agents_store
from pileus.network.store import groups as groups_store
from pileus.network.store import networks as networks_store
from pileus.network.store import ports as ports_store
from pileus.network.store import routers as routers_store
from pileus.network.store.records import Port
from pileus.network.tasks import converge, spanning, touching

RECONCILE_SECONDS = 5.0
FAIL_OVER_SECONDS = 1.0

SYNC, touch = touching.SYNC, touching.touch

MAKERS: Mapping[str, Callable[[Cloud, str, Collection[str]], None]] = {
    "network": converge.network, "group": converge.group, "port": converge.port, "router": converge.router,
}  # fmt: skip


@SYNC.step
def agree(run: Run) -> Outcome:
    """Make one thing on the hosts be as its rows say; a failure is tried again until it is so."""
    kind, _, id = run.id.partition(":")
    left = [name for name in run.cloud.bus.hosts(converge.ROLE) if touching.mark(name) in run.signals] if run.signals else ()
    MAKERS[kind](run.cloud, id, left)
    return Done()


def touch_network(tx: Connection, cloud: Cloud, id: str, left: str = "") -> None:
    """The same for a network, where a host has it at all."""
    if left or networks_store.is_real(tx, id):
        touch(tx, cloud, "network", id, left)


def touch_group(tx: Connection, cloud: Cloud, id: str, left: str = "") -> None:
    """The same for a security group, where a host has it at all."""
    if left or groups_store.is_real(tx, id):
        touch(tx, cloud, "group", id, left)


def touch_with(tx: Connection, cloud: Cloud, port: Port, *left: str) -> None:
    """The same for a port, its network and its groups, which many hosts may have."""
    touch(tx, cloud, "port", port.id, *left)
    touch(tx, cloud, "network", port.network_id, *left)
    for group_id in port.security_groups:
        touch(tx, cloud, "group", group_id, *left)


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
    """Note which agents are alive, have the routers of hosts that are gone on others, and repair the hosts whose turn it is."""
    alive = cloud.bus.hosts(converge.ROLE)
    for network_id in spanning.note_hosts(cloud, alive):
        with cloud.db.begin() as tx:
            touch(tx, cloud, "network", network_id)
    routing = agents_store.routing_hosts(cloud)
    _leave_hosts(cloud, routing)
    converge.some(cloud)
    if agents_store.routing_hosts(cloud) != routing:
        _leave_hosts(cloud, agents_store.routing_hosts(cloud))  # one has gone while it was looked at
    agents_store.beat(cloud, alive)


def fail_over(cloud: Cloud) -> None:
    """Have the routers of hosts that are gone on others, as soon as one is gone."""
    last, alive = cloud.part(converge.NetworkRounds), agents_store.routing_hosts(cloud)
    if last.routing != alive:
        _leave_hosts(cloud, alive)
        last.routing = alive


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


LOOPS = (
    Loop("network.reconcile", RECONCILE_SECONDS, reconcile),
    Loop("network.fail_over", FAIL_OVER_SECONDS, fail_over),
)
