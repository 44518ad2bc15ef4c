"""Backups: make, find, list, change, restore, delete.  Records of them are in `backup_records`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.clock import to_iso
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, NotFound
from pileus.volume import states
from pileus.volume.backup_targets import Targets
from pileus.volume.keys import KeyLost
from pileus.volume.service import quotas, types, volume_create
from pileus.volume.service.access import find_snapshot, find_volume
from pileus.volume.service.backup_restores import begin, find, find_restorable, invalid, require_here
from pileus.volume.store import backups as store
from pileus.volume.store import services, snapshots, volumes
from pileus.volume.store.backups import Backup, Search
from pileus.volume.store.pages import Slice, UnknownKey, UnknownMarker
from pileus.volume.store.snapshots import Snapshot
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import backup_endings, keys
from pileus.volume.tasks import backups as work

CONTAINER = "volumebackups"
SETTLED = (None, "deleting", "error", "success")
"""The migration states in which nothing is being migrated."""


@dataclass(frozen=True)
class Wanted:
    """The backup to be made.  force: also of a volume that is in use."""

    volume_id: str
    name: str | None = None
    description: str | None = None
    container: str | None = None
    incremental: bool = False
    force: bool = False
    snapshot_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    availability_zone: str | None = None


@dataclass(frozen=True)
class Shown:
    """A backup, its metadata, and whether others are differences to it."""

    backup: Backup
    metadata: Mapping[str, str]
    has_dependents: bool


def create(ctx: Context, wanted: Wanted) -> Backup:
    """Begin to back up a volume, or a snapshot of it.

    :raises NotFound: when there is no such volume or snapshot.
    :raises BadRequest: when it is in no state for that, or there is nothing to be the difference to.
    :raises OverQuota: when the project has used its share.
    """
    if "/" in (wanted.container or "") or wanted.container in (".", ".."):
        raise _invalid_input("A container's name has no slash in it, and is not made of dots.")
    with ctx.cloud.db.begin() as tx:
        volume = find_volume(tx, ctx, wanted.volume_id)
        ctx.require("backup:create", {"project_id": volume.project_id, "user_id": volume.user_id})
        snapshot = find_snapshot(tx, ctx, wanted.snapshot_id) if wanted.snapshot_id else None
        _require_state(volume, snapshot, wanted)
        zone = wanted.availability_zone or services.DEFAULT_ZONE
        if zone not in volume_create.zones(tx):
            raise _invalid_input(f"Availability zone '{zone}' is invalid.")
        quotas.require_room(tx, ctx, ctx.project_id, backups=1, backup_gigabytes=volume.size_gib)
        parent = _parent(tx, ctx, volume, snapshot) if wanted.incremental else None
        _hold(tx, ctx, volume, snapshot)
        backup_id = ids.uuid()
        _write(tx, ctx, volume, snapshot, parent, {
            "id": backup_id, "name": wanted.name, "description": wanted.description, "availability_zone": zone,
            "container": wanted.container or CONTAINER, "location": _location(ctx, volume.id, backup_id),
        })  # fmt: skip
        if wanted.metadata:
            store.set_metadata(tx, backup_id, wanted.metadata)
        work.go(tx, ctx.cloud, backup_id, volume.size_gib)
        return find(tx, ctx, backup_id)


def _require_state(volume: Volume, snapshot: Snapshot | None, wanted: Wanted) -> None:
    if snapshot is not None:
        if snapshot.volume_id != volume.id:
            raise _invalid_volume(f"Volume {volume.id} does not match with snapshot.volume_id {snapshot.volume_id}.")
        if snapshot.status != "available":
            text = f'Snapshot to be backed up must be available, but the current status is "{snapshot.status}".'
            raise BadRequest(f"Invalid snapshot: {text}", kind="InvalidSnapshot")
    elif volume.status not in (states.AVAILABLE, states.IN_USE) or volume.migration_status not in SETTLED:
        text = f'Volume to be backed up must be available or in-use, but the current status is "{volume.status}".'
        raise _invalid_volume(text)
    elif volume.status == states.IN_USE and not wanted.force:
        raise _invalid_volume("Backing up an in-use volume must use the force flag.")


def _parent(tx: Connection, ctx: Context, volume: Volume, snapshot: Snapshot | None) -> Backup:
    before = snapshot.created_at if snapshot is not None else None
    found = store.latest(tx, volume.id, ctx.project_id, before)
    if found is None:
        raise invalid("No backups available to do an incremental backup.")
    require_here(ctx.cloud, found, "Incremental backup")
    return found


def _hold(tx: Connection, ctx: Context, volume: Volume, snapshot: Snapshot | None) -> None:
    """Say of what is backed up that it is."""
    now = ctx.cloud.clock.now()
    if snapshot is not None:
        snapshots.change_if(tx, snapshot.id, ["available"], status=states.BACKING_UP, updated_at=now)
    elif not volumes.change_if(tx, volume, status=states.BACKING_UP, before=volume.status, updated_at=now):
        raise volume_create.lost_race(volume.id)


def _write(
    tx: Connection, ctx: Context, volume: Volume, snapshot: Snapshot | None, parent: Backup | None, values: Mapping[str, Any]
) -> None:
    now, source = ctx.cloud.clock.now(), snapshot if snapshot is not None else volume
    try:
        key_id = keys.copy(tx, source.encryption_key_id, ctx.project_id)
    except KeyLost as error:
        raise invalid(str(error)) from error
    store.add(
        tx, project_id=ctx.project_id, user_id=ctx.user_id, created_at=now, status="creating", volume_id=volume.id,
        volume_type_id=volume.volume_type_id, size_gib=source.size_gib, snapshot_id=snapshot.id if snapshot is not None else None,
        parent_id=parent.id if parent is not None else None, data_timestamp=source.created_at if snapshot is not None else now,
        service=ctx.cloud.part(Targets).get(ctx.cloud).service, encryption_key_id=key_id, request_id=ctx.request_id,
        holding=True, **values,
    )  # fmt: skip


def _location(ctx: Context, volume_id: str, backup_id: str) -> str:
    stamp = to_iso(ctx.cloud.clock.now())[:19].replace("-", "").replace(":", "").replace("T", "")
    return f"volume_{volume_id}/{stamp}_backup_{backup_id}"


# ---- reading


def show(ctx: Context, backup_id: str) -> Shown:
    """Return a backup.  :raises NotFound: when there is none, or the caller may not know of it."""
    with ctx.cloud.db.read() as tx:
        return _shown(tx, [find(tx, ctx, backup_id)])[0]


def list_backups(
    ctx: Context, what: Search, wanted: Slice, *, everyone: bool = False, counted: bool = False
) -> tuple[list[Shown], int | None]:
    """Return a part of the backups looked for, and how many there are if that is to be counted.

    :param everyone: of all projects; only admins see them.
    :raises NotFound: when the marker is no backup.
    :raises BadRequest: when backups are not sorted by that.
    """
    ctx.require("backup:get_all")
    if not (everyone and ctx.is_admin):
        what = replace(what, project_id=ctx.project_id)
    with ctx.cloud.db.read() as tx:
        try:
            rows = store.search(tx, what, wanted)
        except UnknownMarker as error:
            raise NotFound(f"Backup {error} could not be found.", kind="BackupNotFound") from error
        except UnknownKey as error:
            raise _invalid_input("Sort key supplied is not valid.") from error
        return _shown(tx, list(rows)), store.count(tx, what) if counted else None


def _shown(tx: Connection, rows: list[Backup]) -> list[Shown]:
    found = [row.id for row in rows]
    metadata, parents = store.metadata_of(tx, found), store.parents_among(tx, found)
    return [Shown(row, metadata.get(row.id, {}), row.id in parents) for row in rows]


# ---- changing


def update(ctx: Context, backup_id: str, values: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> Backup:
    """Change the name, the description, or all the metadata.  :raises NotFound: when there is no such backup."""
    with ctx.cloud.db.begin() as tx:
        find(tx, ctx, backup_id, "backup:update")
        store.change(tx, backup_id, **values, updated_at=ctx.cloud.clock.now())
        if metadata is not None:
            store.set_metadata(tx, backup_id, metadata)
        return find(tx, ctx, backup_id)


def delete(ctx: Context, backup_id: str, *, force: bool = False) -> None:
    """Begin to delete a backup.

    :param force: whatever its state; an admin's right.
    :raises NotFound: when there is no such backup.
    :raises BadRequest: when it is in no state for that, or others are differences to it.
    """
    with ctx.cloud.db.begin() as tx:
        backup = find(tx, ctx, backup_id)
        target = {"project_id": backup.project_id, "user_id": backup.user_id}
        if force:
            ctx.require("volume_extension:backup_admin_actions:force_delete", target)
        ctx.require("backup:delete", target)
        if not force and backup.status not in ("available", "error"):
            raise invalid("Backup status must be available or error")
        if store.has_children(tx, backup.id):
            raise invalid("Incremental backups exist for this backup.")
        if backup.location is not None:
            require_here(ctx.cloud, backup, "Delete backup")
        values = {"request_id": ctx.request_id, "updated_at": ctx.cloud.clock.now()}
        store.change(tx, backup.id, status="deleting", **values)
        work.go(tx, ctx.cloud, backup.id, backup.size_gib)


def reset_status(ctx: Context, backup_id: str, status: str) -> None:
    """Say how a backup is, whatever is under way with it, and let go of what it holds.

    :raises BadRequest: when it is called usable and was never finished.
    """
    with ctx.cloud.db.begin() as tx:
        backup = find(tx, ctx, backup_id)
        target = {"project_id": backup.project_id, "user_id": backup.user_id}
        ctx.require("volume_extension:backup_admin_actions:reset_status", target)
        if status == "available" and backup.digest is None:
            raise invalid("It was never finished, so there is nothing that could be restored.")
        store.change(tx, backup.id, status=status, updated_at=ctx.cloud.clock.now())
        work.go(tx, ctx.cloud, backup.id, backup.size_gib)


def restore(ctx: Context, backup_id: str, volume_id: str | None, name: str | None) -> tuple[str, str | None]:
    """Begin to restore a backup to a volume, or to a new one; returns the volume's id and name.

    :raises NotFound: when there is no such backup or volume.
    :raises BadRequest: when one of them is in no state for that, or they do not fit.
    :raises OverQuota: when the project has no room for a new volume.
    """
    with ctx.cloud.db.begin() as tx:
        backup = find_restorable(tx, ctx, backup_id)
        if volume_id is None:
            return _restore_to_new(tx, ctx, backup, name)
        volume = find_volume(tx, ctx, volume_id)
        ctx.require("backup:restore", {"project_id": volume.project_id, "user_id": volume.user_id})
        if volume.status != states.AVAILABLE or volume.migration_status not in SETTLED:
            raise _invalid_volume("Volume to be restored to must be available")
        if backup.size_gib > volume.size_gib:
            text = f"volume size {volume.size_gib} is too small to restore backup of size {backup.size_gib}."
            raise _invalid_volume(text)
        if (backup.encryption_key_id is None) != (volume.encryption_key_id is None):
            raise _invalid_volume(
                "An encrypted backup is restored to an encrypted volume, and one that is not to one that is not."
            )
        now = ctx.cloud.clock.now()
        if not volumes.change_if(tx, volume, status=states.RESTORING, before=volume.status, updated_at=now):
            raise volume_create.lost_race(volume.id)
        begin(tx, ctx, backup, volume.id)
        return volume.id, volume.name


def _restore_to_new(tx: Connection, ctx: Context, backup: Backup, name: str | None) -> tuple[str, str | None]:
    chosen = name if name is not None else backup_endings.AUTO_NAME + backup.id
    kind = types.default_for(tx, ctx)
    fits = (kind.encryption is not None) == (backup.encryption_key_id is not None)
    wanted = volume_create.Wanted(
        size_gib=backup.size_gib, name=chosen, description=backup_endings.AUTO_DESCRIPTION, backup_id=backup.id,
        volume_type=None if fits else backup.volume_type_id,
    )  # fmt: skip
    return volume_create.make(tx, ctx, wanted), chosen


def _invalid_volume(text: str) -> BadRequest:
    return BadRequest(f"Invalid volume: {text}", kind="InvalidVolume")


def _invalid_input(text: str) -> BadRequest:
    return BadRequest(f"Invalid input received: {text}", kind="InvalidInput")
