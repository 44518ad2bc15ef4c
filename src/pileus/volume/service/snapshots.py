"""Snapshots: find, make, list, change, delete.

Other parts enter here: `find`, `make`, `remove_in`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, NotFound
from pileus.volume import states
from pileus.volume.keys import KeyLost
from pileus.volume.service import quotas
from pileus.volume.service.access import find_snapshot as find
from pileus.volume.service.access import find_volume
from pileus.volume.store import attachments, snapshot_search
from pileus.volume.store import snapshots as store
from pileus.volume.store.pages import Slice, UnknownKey, UnknownMarker
from pileus.volume.store.snapshot_search import Search
from pileus.volume.store.snapshots import Snapshot
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import keys
from pileus.volume.tasks import snapshots as work

__all__ = ["Search", "Slice", "find", "make", "remove_in"]

Shown = tuple[Snapshot, Mapping[str, str]]
"""A snapshot and its metadata."""
STATUS_AFTER = {"creating": ("creating", "available", "error"), "deleting": ("deleting", "error_deleting")}
"""What the one who makes a snapshot may say of it."""

DELETABLE = ("available", "error")
FORCED = frozenset({
    states.AVAILABLE, states.IN_USE, states.RESERVED, states.ATTACHING, states.DETACHING, states.UPLOADING, states.BACKING_UP,
})  # fmt: skip
"""States of a volume in which a snapshot may be forced."""


def make(
    tx: Connection, ctx: Context, volume: Volume, name: str | None = None, description: str | None = None,
    metadata: Mapping[str, str] | None = None, *, group_snapshot_id: str | None = None, force: bool = True,
) -> str:  # fmt: skip
    """Begin to take a snapshot of a volume, in an open transaction; returns its id.

    :param group_snapshot_id: the group snapshot that it is a part of, whose task has it taken.
    :param force: also of a volume that is in use.
    :raises Forbidden: when the caller may not.
    :raises BadRequest: when the volume is in no state for that.
    :raises OverQuota: when the project has used its share.
    """
    ctx.require("volume:create_snapshot", {"project_id": volume.project_id, "user_id": volume.user_id})
    volume = attachments.hold(tx, volume.id) or volume  # as it is now: it may be about to go
    if volume.migration_status not in (None, "deleting", "error", "success"):
        raise _invalid("Snapshot cannot be created while volume is migrating.")
    allowed = FORCED if force else {states.AVAILABLE}
    if volume.status not in allowed or volume.host is None:
        text = f"Volume {volume.id} status must be {' or '.join(sorted(allowed))}, but current status is: {volume.status}."
        raise _invalid(text)
    room = {"snapshots": 1, "gigabytes": volume.size_gib}
    quotas.require_room(tx, ctx, volume.project_id, volume_type=volume.volume_type_id or "", **room)
    snapshot_id = ids.uuid()
    _write(tx, ctx, volume, {
        "id": snapshot_id, "name": name, "description": description, "status": "creating", "group_snapshot_id": group_snapshot_id,
    })  # fmt: skip
    if metadata:
        store.put_metadata(tx, snapshot_id, metadata)
    if group_snapshot_id is None:
        work.go(tx, ctx.cloud, snapshot_id, "creating", {"request_id": ctx.request_id})
    return snapshot_id


def _write(tx: Connection, ctx: Context, volume: Volume, values: Mapping[str, Any]) -> None:
    given = {
        "volume_id": volume.id, "project_id": volume.project_id, "user_id": ctx.user_id, "created_at": ctx.cloud.clock.now(),
        "size_gib": volume.size_gib, "volume_type_id": volume.volume_type_id, "encryption_key_id": _key(tx, volume),
    }  # fmt: skip
    store.add(tx, **given, **values)


def _key(tx: Connection, volume: Volume) -> str | None:
    try:
        return keys.copy(tx, volume.encryption_key_id, volume.project_id)
    except KeyLost as error:
        raise _invalid(str(error)) from error


@dataclass(frozen=True)
class Wanted:
    """The snapshot to be taken; force: also of a volume that is in use."""

    volume_id: str
    name: str | None = None
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    force: bool = False


def create(ctx: Context, wanted: Wanted) -> Shown:
    """Begin to take a snapshot of a volume.

    :raises NotFound: when there is no such volume.
    :raises BadRequest: when the volume is in no state for that.
    :raises OverQuota: when the project has used its share.
    """
    with ctx.cloud.db.begin() as tx:
        volume = find_volume(tx, ctx, wanted.volume_id)
        id = make(tx, ctx, volume, wanted.name, wanted.description, wanted.metadata, force=wanted.force)
        return _shown(tx, find(tx, ctx, id))


def show(ctx: Context, snapshot_id: str) -> Shown:
    """Return a snapshot.  :raises NotFound: when there is none, or the caller may not know of it."""
    with ctx.cloud.db.read() as tx:
        return _shown(tx, find(tx, ctx, snapshot_id))


def list_snapshots(
    ctx: Context, what: Search, wanted: Slice, *, everyone: bool = False, counted: bool = False
) -> tuple[list[Shown], int | None]:
    """Return a part of the snapshots looked for, and how many there are if that is to be counted.

    :param everyone: of all projects; only admins see them.
    :raises NotFound: when the marker is no snapshot.
    :raises BadRequest: when snapshots are not sorted by that.
    """
    ctx.require("volume:get_all_snapshots")
    if not (everyone and ctx.is_admin):
        what = replace(what, project_id=ctx.project_id)
    with ctx.cloud.db.read() as tx:
        try:
            rows = snapshot_search.search(tx, what, wanted)
        except UnknownMarker as error:
            raise NotFound(f"Snapshot {error} could not be found.", kind="SnapshotNotFound") from error
        except UnknownKey as error:
            raise BadRequest("Invalid input received: Sort key supplied is not valid.", kind="InvalidInput") from error
        metadata = store.metadata_of(tx, [row.id for row in rows])
        count = snapshot_search.count(tx, what) if counted else None
    return [(row, metadata.get(row.id, {})) for row in rows], count


def update(ctx: Context, snapshot_id: str, values: Mapping[str, Any]) -> Shown:
    """Change the name or the description.  :raises NotFound: when there is no such snapshot."""
    with ctx.cloud.db.begin() as tx:
        find(tx, ctx, snapshot_id, "volume:update_snapshot")
        store.change(tx, snapshot_id, **values, updated_at=ctx.cloud.clock.now())
        return _shown(tx, find(tx, ctx, snapshot_id))


def _shown(tx: Connection, snapshot: Snapshot) -> Shown:
    return snapshot, store.metadata_of(tx, [snapshot.id]).get(snapshot.id, {})


def reset(ctx: Context, snapshot_id: str, status: str) -> None:
    """Say what the status of a snapshot is, whatever it really is; an admin's right.

    :raises NotFound: when there is no such snapshot.
    """
    with ctx.cloud.db.begin() as tx:
        find(tx, ctx, snapshot_id, "volume_extension:snapshot_admin_actions:reset_status")
        store.change(tx, snapshot_id, status=status, updated_at=ctx.cloud.clock.now())


def tell(ctx: Context, snapshot_id: str, status: str, progress: str | None) -> None:
    """Say how far the making of a snapshot is.

    :raises NotFound: when there is no such snapshot.
    :raises BadRequest: when that status does not come after the one it has.
    """
    with ctx.cloud.db.begin() as tx:
        snapshot = find(tx, ctx, snapshot_id, "snapshot_extension:snapshot_actions:update_snapshot_status")
        if snapshot.status not in STATUS_AFTER:
            raise BadRequest(f"Snapshot status {snapshot.status} not allowed for update_snapshot_status")
        if status not in STATUS_AFTER[snapshot.status]:
            raise BadRequest(f"Provided snapshot status {status} not allowed for snapshot with status {snapshot.status}.")
        store.change(tx, snapshot_id, status=status, **({"progress": progress} if progress else {}))


# ---- metadata


def get_metadata(ctx: Context, snapshot_id: str) -> dict[str, str]:
    """Return the metadata of a snapshot.  :raises NotFound: when there is no such snapshot."""
    with ctx.cloud.db.read() as tx:
        find(tx, ctx, snapshot_id, "volume:get_snapshot_metadata")
        return store.metadata_of(tx, [snapshot_id]).get(snapshot_id, {})


def get_metadatum(ctx: Context, snapshot_id: str, key: str) -> str:
    """Return one metadata.  :raises NotFound: when the snapshot has none of that key."""
    found = get_metadata(ctx, snapshot_id)
    if key not in found:
        raise _unknown(snapshot_id, key)
    return found[key]


def put_metadata(ctx: Context, snapshot_id: str, pairs: Mapping[str, str], *, whole: bool = False) -> dict[str, str]:
    """Add metadata or change it (whole: forget what is not named); returns all there is then.

    :raises NotFound: when there is no such snapshot.
    """
    with ctx.cloud.db.begin() as tx:
        find(tx, ctx, snapshot_id, "volume:update_snapshot_metadata")
        store.put_metadata(tx, snapshot_id, pairs, replace=whole)
        store.change(tx, snapshot_id, updated_at=ctx.cloud.clock.now())
        return store.metadata_of(tx, [snapshot_id]).get(snapshot_id, {})


def drop_metadata(ctx: Context, snapshot_id: str, key: str) -> None:
    """Forget one metadata.  :raises NotFound: when the snapshot has none of that key."""
    with ctx.cloud.db.begin() as tx:
        find(tx, ctx, snapshot_id, "volume:delete_snapshot_metadata")
        if not store.drop_metadata(tx, snapshot_id, key):
            raise _unknown(snapshot_id, key)


def _unknown(snapshot_id: str, key: str) -> NotFound:
    return NotFound(f"Snapshot {snapshot_id} has no metadata with key {key}.", kind="SnapshotMetadataNotFound")


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
    allowed = (snapshot.status,) if force else DELETABLE
    if not store.change_if(tx, snapshot.id, allowed, status="deleting", updated_at=cloud.clock.now()):
        return False
    work.go(tx, cloud, snapshot.id, "deleting", {"request_id": request_id})
    return True


def _invalid(text: str) -> BadRequest:
    return BadRequest(f"Invalid volume: {text}", kind="InvalidVolume")
