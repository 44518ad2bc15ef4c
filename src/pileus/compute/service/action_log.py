"""The log of what was asked of a server."""

from dataclasses import dataclass

from pileus.compute.policies.servers import API
from pileus.compute.service import server_access as access
from pileus.compute.store import server_actions as store
from pileus.compute.store.server_actions import Action
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, NotFound
from pileus.kernel.paging import Page

ROOT = API + "os-instance-actions:"


@dataclass(frozen=True)
class Sight:
    """What the caller may see of the events of an action."""

    events: bool
    details: bool


def list_actions(
    ctx: Context, server_id: str, page: Page, since: float | None, before: float | None, deleted: bool
) -> list[Action]:
    """Return the actions of a server, the newest first.

    :param deleted: a deleted server's too.
    :raises BadRequest: when the marker is no request of this server.
    """
    with ctx.cloud.db.read() as tx:
        access.find(ctx, tx, server_id, ROOT + "list", deleted=deleted)
        after = store.get(tx, server_id, page.marker) if page.marker else None
        if page.marker and after is None:
            raise BadRequest(f"Marker {page.marker} could not be found.", kind="MarkerNotFound")
        return list(store.search(tx, server_id, since, before, page.limit, after))


def show(ctx: Context, server_id: str, request_id: str, deleted: bool) -> tuple[Action, Sight]:
    """Return an action, and what the caller may see of it.

    :raises NotFound: when there is none of that request.
    """
    with ctx.cloud.db.read() as tx:
        server = access.find(ctx, tx, server_id, ROOT + "show", deleted=deleted)
        found = store.get(tx, server_id, request_id)
    if found is None:
        raise NotFound(f"Action {request_id} not found")
    target = {"project_id": server.project_id}
    return found, Sight(ctx.can(ROOT + "events", target), ctx.can(ROOT + "events:details", target))
