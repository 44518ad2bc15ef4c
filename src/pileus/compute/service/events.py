"""What other services tell of servers.  A change of the network makes the guest's wires be looked at again."""

from collections.abc import Sequence

from sqlalchemy import Connection

from pileus.compute import neighbours
from pileus.compute.policies.hosts import EVENTS
from pileus.compute.service import server_access as access
from pileus.compute.store import server_volumes
from pileus.compute.store import servers as store
from pileus.compute.tasks import servers as work
from pileus.compute.tasks import volumes
from pileus.kernel.context import Context
from pileus.kernel.microversion import Version

STATUSES = ("completed", "failed", "in-progress")
NAMES = ("network-changed", "network-vif-plugged", "network-vif-unplugged", "network-vif-deleted")
LATER = (
    ("volume-extended", (2, 51)), ("power-update", (2, 76)), ("accelerator-request-bound", (2, 82)), ("volume-reimaged", (2, 93)),
)  # fmt: skip
TAGGED = {"volume-extended", "power-update", "accelerator-request-bound"}


def known(version: Version) -> tuple[str, ...]:
    """Return the events that a microversion knows."""
    return NAMES + tuple(name for name, since in LATER if version >= since)


def report(ctx: Context, told: Sequence[tuple[str, str, str | None]]) -> list[int]:
    """Take events of a name, a server and a tag; returns for each how it went, as an HTTP status."""
    ctx.require(EVENTS)
    codes = []
    with ctx.cloud.db.begin() as tx:
        for name, server_id, tag in told:
            server = store.get(tx, server_id)
            if server is None:
                codes.append(404)
            elif name in TAGGED and tag is None:
                codes.append(400)
            elif server.host is None:
                codes.append(422)
            elif name == "volume-extended" and not _extend(ctx, tx, server, str(tag)):
                codes.append(404)
            else:
                codes.append(200)
                if name.startswith("network-") and server.task_state is None:
                    work.go(tx, ctx.cloud, server_id, step="mend")
    return codes


def _extend(ctx: Context, tx: Connection, server: store.Server, volume_id: str) -> bool:
    """Let a server's disk grow with its volume; tells whether the server has it."""
    row = server_volumes.get(tx, server.id, volume_id)
    if row is None:
        return False
    facts = neighbours.volumes.status_of(tx, ctx.cloud, server.project_id, volume_id)
    volumes.grow(tx, ctx.cloud, row, facts.size_gib, access.asked(ctx, "extend_volume"))
    return True
