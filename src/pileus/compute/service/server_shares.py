"""Shares of servers.  This cloud has no shared file system service: there is none that a server could have."""

from pileus.compute.policies.servers import API
from pileus.compute.service import server_access as access
from pileus.kernel.context import Context
from pileus.kernel.errors import NotFound

ROOT = API + "os-server-shares:"


def list_shares(ctx: Context, server_id: str) -> list[str]:
    """Return the shares of a server: none."""
    with ctx.cloud.db.read() as tx:
        access.find(ctx, tx, server_id, ROOT + "index")
    return []


def show(ctx: Context, server_id: str, share_id: str) -> None:
    """Say that a server has no such share.  :raises NotFound: always."""
    with ctx.cloud.db.read() as tx:
        access.find(ctx, tx, server_id, ROOT + "show")
    raise _missing(share_id)


def attach(ctx: Context, server_id: str, share_id: str) -> None:
    """Say that there is no such share, after all that would be checked anyway.

    :raises Conflict: when the server is not stopped.
    :raises NotFound: else.
    """
    with ctx.cloud.db.read() as tx:
        access.require_state(access.find(ctx, tx, server_id, ROOT + "create"), "create share")
    raise _missing(share_id)


def detach(ctx: Context, server_id: str, share_id: str) -> None:
    """Say that a server has no such share, after all that would be checked anyway.

    :raises Conflict: when the server is neither stopped nor in error.
    :raises NotFound: else.
    """
    with ctx.cloud.db.read() as tx:
        access.require_state(access.find(ctx, tx, server_id, ROOT + "delete"), "delete share")
    raise _missing(share_id)


def _missing(share_id: str) -> NotFound:
    return NotFound(f"Share {share_id} could not be found.", kind="ShareNotFound")
