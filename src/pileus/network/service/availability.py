"""Use cases of how many addresses of networks are taken."""

from typing import Any

from pileus.kernel.context import Context
from pileus.network.errors import missing
from pileus.network.store import availability as store


def list_all(ctx: Context, filters: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Return for every network how many addresses its pools hold and how many of them are taken; for operators."""
    if not ctx.can("get_network_ip_availability"):
        return []
    with ctx.cloud.db.read() as tx:
        return store.availability(tx, filters)


def show(ctx: Context, network_id: str) -> dict[str, Any]:
    """Return the same for one network.  :raises NotFound: when there is none, or the caller may not know."""
    found = list_all(ctx, {"network_id": [network_id]})
    if not found:
        raise missing("network", network_id)
    return found[0]
