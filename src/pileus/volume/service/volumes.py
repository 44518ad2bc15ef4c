"""Volumes: find, list, change, delete.  Making them is in `volume_create`, the actions in `volume_actions`.

Other parts enter here: `find`, `make` and `Wanted`, `remove_in`.
"""

from sqlalchemy import Connection

from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest
from pileus.volume import states
from pileus.volume.service.access import find_volume as find
from pileus.volume.service.volume_create import Wanted, make
from pileus.volume.store import snapshots
from pileus.volume.store import volumes as store
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import volumes as work

__all__ = ["Wanted", "find", "make", "remove_in"]

SETTLED = (None, "deleting", "error", "success")
"""The migration states in which nothing is being migrated."""
UNDELETABLE = (
    "Volume{status} must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, "
    "or be disassociated from snapshots after volume transfer."
)


def delete(ctx: Context, volume_id: str, *, force: bool = False, cascade: bool = False) -> None:
    """Begin to delete a volume.

    :param force: whatever its state; an admin's right.
    :param cascade: its snapshots, too.
    :raises BadRequest: when it is in no state for that.
    """
    with ctx.cloud.db.begin() as tx:
        volume = find(tx, ctx, volume_id)
        if force:
            ctx.require("volume:force_delete", {"project_id": volume.project_id, "user_id": volume.user_id})
        remove_in(tx, ctx, volume, force=force, cascade=cascade)


def remove_in(tx: Connection, ctx: Context, volume: Volume, *, force: bool = False, cascade: bool = False) -> None:
    """Begin to delete a volume, in an open transaction.

    :raises Forbidden: when the caller may not.
    :raises BadRequest: when it is in no state for that, or someone else changed it at the same moment.
    """
    ctx.require("volume:delete", {"project_id": volume.project_id, "user_id": volume.user_id})
    if not force and volume.status not in states.DELETABLE:
        raise _undeletable(force)
    if volume.migration_status not in SETTLED or volume.group_id is not None:
        raise _undeletable(force)
    if store.attachments_of(tx, [volume.id], *(("attached",) if force else ())).get(volume.id):
        raise _undeletable(force)
    its_snapshots = snapshots.of_volume(tx, volume.id)
    if its_snapshots and not cascade:
        raise _undeletable(force)
    for snapshot in its_snapshots:
        busy = not force and snapshot.status not in ("available", "error", "deleting")
        if busy or snapshot.group_snapshot_id or (snapshot.project_id != volume.project_id and not ctx.is_admin):
            raise _undeletable(force)
        snapshots.change(tx, snapshot.id, status="deleting")
    if not begin_removal(tx, ctx, volume):
        raise _undeletable(force)


def begin_removal(tx: Connection, ctx: Context, volume: Volume) -> bool:
    """Have a volume deleted, if it is still as the row at hand says; tells whether it was."""
    aside = {**(volume.aside or {}), "request_id": ctx.request_id}
    now = ctx.cloud.clock.now()
    if not store.change_if(tx, volume, status=states.DELETING, before=volume.status, aside=aside, updated_at=now):
        return False
    work.go(tx, ctx.cloud, volume.id, states.DELETING)
    return True


def _undeletable(force: bool) -> BadRequest:
    wanted = "available or error or error_restoring or error_extending or error_managing"
    status = "" if force else f" status must be {wanted} and"
    return BadRequest("Invalid volume: " + UNDELETABLE.format(status=status), kind="InvalidVolume")
