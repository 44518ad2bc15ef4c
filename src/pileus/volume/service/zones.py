"""Availability zones of block storage."""

from pileus.kernel.context import Context
from pileus.volume.store import services


def list_all(ctx: Context) -> dict[str, bool]:
    """Return the zones in which there are back ends, and whether one of them takes volumes.  Every caller may know."""
    there = set(ctx.cloud.bus.hosts("volume"))
    found: dict[str, bool] = {}
    with ctx.cloud.db.read() as tx:
        for host, part in sorted(services.backends(tx).items()):
            takes = host in there and not part.disabled
            found[part.availability_zone] = found.get(part.availability_zone, False) or takes
    return found
