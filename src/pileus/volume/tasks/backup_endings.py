"""How the work on backups ends: what becomes of the rows, of the volume, and of what was made on the way."""

import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Cloud
from pileus.volume import messages, states
from pileus.volume.backup_format import manifest_name
from pileus.volume.backup_target import TargetError
from pileus.volume.backup_targets import Targets
from pileus.volume.driver import VolumeDriverError
from pileus.volume.store import backups as store
from pileus.volume.store import snapshots, types, volumes
from pileus.volume.store.backups import Backup
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import backends, keys

log = logging.getLogger(__name__)

AUTO_NAME = "restore_backup_"
AUTO_DESCRIPTION = "auto-created_from_restore_from_backup"
SOURCE = "src_backup_id"


# ---- creation


def describe(tx: Connection, backup: Backup) -> dict[str, Any]:
    """Return what a backup keeps of what its volume is."""
    volume = volumes.get(tx, backup.volume_id)
    if volume is None:
        return {}
    kind = types.get(tx, volume.volume_type_id) if volume.volume_type_id else None
    return {
        "id": volume.id,
        "name": volume.name,
        "description": volume.description,
        "bootable": volume.bootable,
        "encrypted": volume.encryption_key_id is not None,
        "volume_type": kind.name if kind else None,
        "metadata": volumes.metadata_of(tx, [volume.id]).get(volume.id, {}),
        "image_metadata": volumes.image_metadata_of(tx, [volume.id]).get(volume.id, {}),
    }


def drop_own_snapshot(cloud: Cloud, backup: Backup) -> None:
    """Forget the snapshot that was taken for a backup alone.

    :raises VolumeDriverError: when the back end cannot.
    :raises HostUnknown: when the back end is not there.
    """
    with cloud.db.read() as tx:
        volume = volumes.get(tx, backup.volume_id)
    if backup.holding and backup.snapshot_id is None and volume is not None and volume.host is not None:
        backends.of(cloud, volume).drop_snapshot(volume.id, backup.id, cloud.settings.volume_wipe)  # type: ignore[arg-type]


def release_source(tx: Connection, cloud: Cloud, backup: Backup) -> None:
    """Give the volume or snapshot that was backed up the status it had, if it was kept for this backup until now."""
    current = store.get(tx, backup.id)
    if current is None or not current.holding:
        return
    now = cloud.clock.now()
    store.change(tx, backup.id, holding=False)
    if backup.snapshot_id is not None:
        snapshots.change_if(tx, backup.snapshot_id, ["backing-up"], status="available", updated_at=now)
        return
    volume = volumes.get(tx, backup.volume_id)
    if volume is not None and volume.status == states.BACKING_UP:
        settled = volumes.settled_status(tx, volume.id)
        volumes.change(tx, volume.id, status=settled, before="", updated_at=now)


def creation_failed(cloud: Cloud, backup: Backup, why: str) -> None:
    """Remove what was stored, let go of the volume, and leave the reason in the row."""
    _drop_where_possible(cloud, backup)
    values: dict[str, Any] = {"fail_reason": why, "object_count": 0, "updated_at": cloud.clock.now()}
    if backup.digest is not None:  # a record: the content, if there is any, is not its own
        values |= {"container": None, "location": None, "digest": None}
    else:
        try:
            erase_objects(cloud, backup)
        except TargetError as error:
            log.warning("backup %s: what was stored of it stays until it is deleted: %s", backup.id, error)
    with cloud.db.begin() as tx:
        if store.change_if(tx, backup.id, ["creating"], status="error", **values):
            _tell(tx, cloud, backup, "backup-create", "backup-create-failed")
        release_source(tx, cloud, backup)


def _drop_where_possible(cloud: Cloud, backup: Backup) -> None:
    try:
        drop_own_snapshot(cloud, backup)
    except (VolumeDriverError, HostUnknown) as error:
        log.warning("backup %s: its snapshot of volume %s stays: %s", backup.id, backup.volume_id, error)


def let_go(cloud: Cloud, backup: Backup) -> None:
    """Let go of what the work on a backup held, after somebody else gave it another status."""
    _drop_where_possible(cloud, backup)
    with cloud.db.begin() as tx:
        release_source(tx, cloud, backup)
        if backup.restore_volume_id is not None:
            volume = volumes.get(tx, backup.restore_volume_id)
            if volume is not None and volume.status == states.RESTORING:
                volumes.change(tx, volume.id, status=states.ERROR_RESTORING, before="", updated_at=cloud.clock.now())
            store.change(tx, backup.id, restore_volume_id=None)


# ---- restoring


def take_new_volume(tx: Connection, volume_id: str) -> None:
    """Take a volume that was made for a backup, before anybody else can."""
    volume = volumes.get(tx, volume_id)
    if volume is not None and volume.status == states.AVAILABLE:
        volumes.change(tx, volume_id, status=states.RESTORING, before=states.CREATING)


def restored(tx: Connection, cloud: Cloud, backup: Backup, volume: Volume, kept: Mapping[str, Any]) -> None:
    """Make a volume with the content of a backup what the volume was that was backed up, as far as that was kept."""
    now = cloud.clock.now()
    values: dict[str, Any] = {"bootable": bool(kept.get("bootable", volume.bootable))}
    new = volume.before == states.CREATING
    if volume.name == AUTO_NAME + backup.id and volume.description == AUTO_DESCRIPTION:
        values |= {"name": kept.get("name") or volume.name, "description": kept.get("description") or volume.description}
    if not new and backup.encryption_key_id is not None:
        values["encryption_key_id"] = keys.copy(tx, backup.encryption_key_id, volume.project_id)
        keys.forget(tx, volume.encryption_key_id)
    settled = volumes.settled_status(tx, volume.id)
    volumes.change(tx, volume.id, status=settled, before="", reported_error=None, updated_at=now, **values)
    metadata = dict(kept.get("metadata") or {})
    if backup.volume_id != volume.id:
        metadata[SOURCE] = backup.id
    if metadata:
        volumes.put_metadata(tx, volume.id, metadata)
    if image_metadata := dict(kept.get("image_metadata") or {}):
        volumes.put_image_metadata(tx, volume.id, image_metadata)


def restoring_failed(cloud: Cloud, backup: Backup, why: str, *, written: bool) -> None:
    """Say of a volume that it could not be restored; one that nothing was written to is as it was."""
    with cloud.db.begin() as tx:
        now = cloud.clock.now()
        volume = volumes.get(tx, backup.restore_volume_id) if backup.restore_volume_id else None
        if volume is not None and volume.status == states.RESTORING:
            status = states.ERROR_RESTORING if written else volumes.settled_status(tx, volume.id)
            status = states.ERROR if volume.before == states.CREATING else status
            volumes.change(tx, volume.id, status=status, before="", reported_error=why, updated_at=now)
        values = {"restore_volume_id": None, "fail_reason": why, "updated_at": now}
        if store.change_if(tx, backup.id, ["restoring"], status="available", **values):
            _tell(tx, cloud, backup, "backup-restore", "backup-restore-failed")


# ---- deletion


def erase_objects(cloud: Cloud, backup: Backup) -> None:
    """Delete the objects of a backup, its manifest first, so that no half of it is taken for the whole.

    :raises TargetError: when the target cannot.
    """
    if backup.location is None:
        return
    target = cloud.part(Targets).get(cloud)
    if target.service != backup.service:
        raise TargetError(f"The backup is kept in {backup.service}; backups are kept in {target.service} here.")
    target.delete(backup.container, manifest_name(backup.location))
    for name in target.list(backup.container, backup.location):
        target.delete(backup.container, name)


def forget(tx: Connection, backup: Backup) -> None:
    """Forget a backup's row, and its key."""
    keys.forget(tx, backup.encryption_key_id)
    store.remove(tx, backup.id)


def deletion_failed(cloud: Cloud, backup: Backup, why: str) -> None:
    """Leave the reason in the row."""
    with cloud.db.begin() as tx:
        values = {"fail_reason": why, "updated_at": cloud.clock.now()}
        if store.change_if(tx, backup.id, ["deleting"], status="error_deleting", **values):
            _tell(tx, cloud, backup, "backup-delete", "backup-delete-failed")


def _tell(tx: Connection, cloud: Cloud, backup: Backup, action: str, detail: str) -> None:
    messages.report(
        tx, cloud, project_id=backup.project_id, request_id=backup.request_id, resource_type=messages.BACKUP,
        resource_uuid=backup.id, action=action, detail=detail,
    )  # fmt: skip
