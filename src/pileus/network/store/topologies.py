"""The network and router that have been made for a project all at once."""

from sqlalchemy import Connection, delete, insert, select

from pileus.network.tables.routing import auto_topologies

A = auto_topologies.c


def find(tx: Connection, project_id: str) -> tuple[str, str] | None:
    """Return the network and the router made for a project."""
    row = tx.execute(select(A.network_id, A.router_id).where(A.project_id == project_id)).first()
    return (row.network_id, row.router_id) if row else None


def note(tx: Connection, project_id: str, network_id: str, router_id: str) -> None:
    """Note what has been made for a project.  :raises IntegrityError: when something has been already."""
    tx.execute(insert(auto_topologies).values(project_id=project_id, network_id=network_id, router_id=router_id))


def forget(tx: Connection, project_id: str) -> None:
    """What had been made for a project goes."""
    tx.execute(delete(auto_topologies).where(A.project_id == project_id))


def forget_part(tx: Connection, network_id: str = "", router_id: str = "") -> None:
    """One of the two goes by itself: the project has none any more."""
    tx.execute(delete(auto_topologies).where((A.network_id == network_id) | (A.router_id == router_id)))
