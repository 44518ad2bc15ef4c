"""What becomes of forwarded ports when the port that they lead to goes."""

from sqlalchemy import Connection

from pileus.kernel.context import Cloud
from pileus.network import tables
from pileus.network.store import forwardings as store
from pileus.network.store import routers as routers_store
from pileus.network.store import rows
from pileus.network.tables.routing import port_forwardings
from pileus.network.tasks import sync


def release(tx: Connection, cloud: Cloud, port_id: str) -> None:
    """Forward nothing to a port any more; a floating IP without forwarded ports is of no router."""
    found = store.forwardings_where(tx, port_forwardings.c.internal_port_id == port_id)
    for each in found:
        rows.delete_row(tx, port_forwardings, each.id)
    floating = tables.floating_ips.c
    for fip in routers_store.floating_where(tx, floating.id.in_({each.floatingip_id for each in found})) if found else ():
        if fip.router_id:
            sync.touch(tx, cloud, "router", fip.router_id)
        if not store.forwardings_where(tx, port_forwardings.c.floatingip_id == fip.id):
            routers_store.disconnect(tx, fip.id)


def addresses(tx: Connection, port_id: str) -> set[str]:
    """Return the addresses of a port to which ports are forwarded."""
    found = store.forwardings_where(tx, port_forwardings.c.internal_port_id == port_id)
    return {each.internal_ip_address for each in found}
