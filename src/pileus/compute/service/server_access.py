"""How every use case of servers begins and how those that change one go on: find it, check the right, the lock, the state."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.compute import states
from pileus.compute.store import server_actions
from pileus.compute.store import servers as store
from pileus.compute.store.server_actions import Asked
from pileus.compute.store.servers import Server
from pileus.compute.tasks import servers as work
from pileus.kernel.context import Context
from pileus.kernel.errors import Conflict, NotFound


def missing(id: str) -> NotFound:
    """Return the fault of a server that is not there, or that the caller may not know of."""
    return NotFound(f"Instance {id} could not be found.", kind="InstanceNotFound")


def find(ctx: Context, tx: Connection, id: str, rule: str, *, deleted: bool = False) -> Server:
    """Return a server on which the caller may do something.

    :raises NotFound: when there is none, or it is another project's.
    :raises Forbidden: when the caller may not.
    """
    server = store.get(tx, id, deleted=deleted)
    if server is None or (deleted and server.deleted_at is not None and not ctx.is_admin and server.project_id != ctx.project_id):
        raise missing(id)
    ctx.require(rule, {"project_id": server.project_id, "user_id": server.user_id}, hidden=missing(id))
    return server


def require_unlocked(ctx: Context, server: Server) -> None:
    """Check that no one has locked the server; a lock does not hold admins up.

    :raises Conflict: when it is locked.
    """
    if server.locked_by and not ctx.is_admin:
        raise Conflict(f"Instance {server.id} is locked", kind="InstanceIsLocked")


def require_state(server: Server, action: str) -> None:
    """Check that an action is possible in the server's states.

    :raises Conflict: when it is not.
    """
    allowed = states.ALLOWED[action]
    word = action.removesuffix("_hard")
    if server.vm_state not in allowed:
        raise Conflict(f"Cannot '{word}' instance {server.id} while it is in vm_state {server.vm_state}")
    if server.task_state is not None and server.task_state not in states.BUSY_ALLOWED.get(action, ()):
        raise Conflict(f"Cannot '{word}' instance {server.id} while it is in task_state {server.task_state}")


def ready(ctx: Context, tx: Connection, id: str, rule: str, action: str) -> Server:
    """Return a server on which an action may begin now.

    :raises Conflict: when its state or lock is against it, or it is on no host.
    """
    server = find(ctx, tx, id, rule)
    require_unlocked(ctx, server)
    require_state(server, action)
    if server.host is None:
        raise Conflict(f"Instance {id} is not ready", kind="InstanceNotReady")
    return server


def asked(ctx: Context, action: str) -> Asked:
    """Return the entry in the log of actions for a request."""
    return Asked(action, ctx.request_id, ctx.user_id, ctx.project_id, ctx.cloud.clock.now())


def begin(
    ctx: Context, tx: Connection, server: Server, action: str, step: str, memo: Mapping[str, Any] | None = None, **values: Any
) -> None:  # fmt: skip
    """Write down what is asked of a server and have it done.

    :raises Conflict: when something else was asked at the same moment.
    """
    if not store.change_if(tx, server, updated_at=ctx.cloud.clock.now(), **values):
        raise Conflict(f"Instance {server.id} was changed meanwhile; try again.")
    server_actions.add(tx, [server.id], asked(ctx, action))
    work.go(tx, ctx.cloud, server.id, dict(memo or {}), step)
