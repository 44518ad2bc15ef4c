"""How many servers there are, by state."""

from sqlalchemy import Connection, func, select

from pileus.compute.tables.servers import servers


def census(tx: Connection) -> dict[str, int]:
    """Count the servers, all and by state."""
    query = select(servers.c.vm_state, func.count()).where(servers.c.deleted_at.is_(None)).group_by(servers.c.vm_state)
    found = {f"servers {state}": count for state, count in tx.execute(query.order_by(servers.c.vm_state)).all()}
    return {"servers": sum(found.values()), **found}
