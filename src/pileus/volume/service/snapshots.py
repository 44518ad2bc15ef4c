"""Snapshots: find, make, list, change, delete.

Other parts enter here: `find`, `make`, `remove_in`.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest
from pileus.volume import states
from pileus.volume.service import quotas
from pileus.volume.service.access import find_snapshot as find
from pileus.volume.service.access import find_volume
from pileus.volume.store import snapshots as store
from pileus.volume.store.snapshots import Snapshot
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import snapshots as work

__all__ = ["find", "make", "remove_in"]

DELETABLE = ("available", "error")
NEVER = frozenset({states.CREATING, states.DELETING, states.ERROR, states.ERROR_DELETING, states.MANAGING, "error_managing"})


def make(
    tx: Connection, ctx: Context, volume: Volume, name: str | None = None, description: str | None = None,
    metadata: Mapping[str, str] | None = None, *, group_snapshot_id: str | None = None, force: bool = True,
) -> str:  # fmt: skip
    """Begin to take a snapshot of a volume, in an open transaction; returns its id.

    :param force: also of a volume that is in use.
    :raises Forbidden: when the caller may not.
    :raises BadRequest: when the volume is in no state for that.
    :raises OverQuota: when the project has used its share.
    """
    ctx.require("volume:create_snapshot", {"project_id": volume.project_id, "user_id": volume.user_id})
    if volume.migration_status not in (None, "deleting", "error", "success"):
        raise _invalid("Snapshot cannot be created while volume is migrating.")
    if volume.status in NEVER or volume.host is None or (volume.status != states.AVAILABLE and not force):
        text = f"Volume {volume.id} status must be available, but current status is: {volume.status}."
        raise _invalid(text if not force else f"Cannot create snapshot of volume {volume.id}: its status is {volume.status}.")
    room = {"snapshots": 1, "gigabytes": volume.size_gib}
    quotas.require_room(tx, ctx, volume.project_id, volume_type=volume.volume_type_id or "", **room)
    snapshot_id = ids.uuid()
    _write(tx, ctx, volume, {
        "id": snapshot_id, "name": name, "description": description, "status": "creating", "group_snapshot_id": group_snapshot_id,
    })  # fmt: skip
    if metadata:
        store.put_metadata(tx, snapshot_id, metadata)
    work.go(tx, ctx.cloud, snapshot_id, "creating", {"request_id": ctx.request_id})
    return snapshot_id


def _write(tx: Connection, ctx: Context, volume: Volume, values: Mapping[str, Any]) -> None:
    given = {
        "volume_id": volume.id, "project_id": volume.project_id, "user_id": ctx.user_id, "created_at": ctx.cloud.clock.now(),
        "size_gib": volume.size_gib, "volume_type_id": volume.volume_type_id, "encryption_key_id": volume.encryption_key_id,
    }  # fmt: skip
    store.add(tx, **given, **values)


def create(
    ctx: Context, volume_id: str, name: str | None, description: str | None, metadata: Mapping[str, str], *, force: bool
) -> str:
    """Begin to take a snapshot of a volume; returns its id.

    :raises NotFound: when there is no such volume.
    :raises BadRequest: when the volume is in no state for that.
    :raises OverQuota: when the project has used its share.
    """
    with ctx.cloud.db.begin() as tx:
        volume = find_volume(tx, ctx, volume_id)
        return make(tx, ctx, volume, name, description, metadata, force=force)


def delete(ctx: Context, snapshot_id: str, *, force: bool = False) -> None:
    """Begin to delete a snapshot.

    :param force: whatever its state; an admin's right.
    :raises BadRequest: when it is in no state for that, or one of a group's.
    """
    with ctx.cloud.db.begin() as tx:
        snapshot = find(tx, ctx, snapshot_id, "volume:delete_snapshot")
        if force:
            target = {"project_id": snapshot.project_id, "user_id": snapshot.user_id}
            ctx.require("volume_extension:snapshot_admin_actions:force_delete", target)
        begun = snapshot.group_snapshot_id is None and remove_in(tx, ctx.cloud, snapshot, force=force, request_id=ctx.request_id)
        if not begun:
            wanted = "" if force else "Snapshot status must be available or error and "
            text = f"{wanted}snapshot must not be part of a consistency group snapshot or a group snapshot."
            raise BadRequest(f"Invalid snapshot: {text}", kind="InvalidSnapshot")


def remove_in(tx: Connection, cloud: Cloud, snapshot: Snapshot, *, force: bool = False, request_id: str = "") -> bool:
    """Begin to delete a snapshot, in an open transaction; tells whether it is in a state for that."""
    allowed = (snapshot.status,) if force and snapshot.status != "deleting" else DELETABLE
    if not store.change_if(tx, snapshot.id, allowed, status="deleting", updated_at=cloud.clock.now()):
        return False
    work.go(tx, cloud, snapshot.id, "deleting", {"request_id": request_id})
    return True


def _invalid(text: str) -> BadRequest:
    return BadRequest(f"Invalid volume: {text}", kind="InvalidVolume")
