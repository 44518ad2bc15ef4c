"""How many networks, routers and addresses there are."""

from sqlalchemy import Connection, func, select

from pileus.network.tables import floating_ips, networks, ports, routers


def census(tx: Connection) -> dict[str, int]:
    """Count the nouns that people care about."""
    named = {"networks": networks, "ports": ports, "routers": routers, "floating ips": floating_ips}
    return {name: int(tx.execute(select(func.count()).select_from(table)).scalar() or 0) for name, table in named.items()}
