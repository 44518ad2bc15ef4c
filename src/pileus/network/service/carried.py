"""Ports that a trunk carries follow the port that carries them: to its host and away from there."""

from sqlalchemy import Connection

from pileus.kernel.context import Cloud
from pileus.network.errors import conflict
from pileus.network.store import ports as ports_store
from pileus.network.store import trunks as store
from pileus.network.store.records import Port
from pileus.network.tasks import sync

OWNER = "trunk:subport"


def follow(tx: Connection, cloud: Cloud, carrier_id: str, host: str) -> None:
    """Note that a port is on a host now ("": on none), for those that it carries, and have them made there."""
    trunk_id = store.trunk_of(tx, carrier_id)
    if trunk_id is None:
        return
    carried = store.carried_by(tx, [trunk_id]).get(trunk_id, [])
    place(tx, cloud, [each.port_id for each in carried], host)


def place(tx: Connection, cloud: Cloud, port_ids: list[str], host: str) -> None:
    """Bind carried ports to a host, or to none."""
    if not port_ids:
        return
    before = ports_store.ports_by_id(tx, port_ids)
    store.set_place(tx, port_ids, {"host_id": host, "status": "BUILD" if host else "DOWN"})
    for port in before.values():
        touch(tx, cloud, port)


def touch(tx: Connection, cloud: Cloud, port: Port) -> None:
    """Have a port that came or went made so, with its network and its groups.  :param port: as it was before."""
    sync.touch_with(tx, cloud, port, port.host_id)


def is_carrier(tx: Connection, port_id: str) -> bool:
    """Tell whether a port carries a trunk: it cannot go then."""
    return store.trunk_of(tx, port_id) is not None


def check_free(tx: Connection, port_id: str) -> None:
    """Check that a port is of no trunk.  :raises Conflict: when it is."""
    if trunk_id := store.trunk_of(tx, port_id):
        text = f"Port {port_id} is currently a parent port for trunk {trunk_id}."
        raise conflict("PortInUseAsTrunkParent", text)
    if trunk_id := store.carrier_of(tx, port_id):
        raise conflict("PortInUseAsSubPort", f"Port {port_id} is currently a subport for trunk {trunk_id}.")
