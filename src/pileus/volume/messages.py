"""What users are told of work that failed after it had been accepted: an action, and what became of it.

Ids are cinder's (VOLUME_RESOURCE_ACTION_DETAIL), so that clients know them.  The true reason, which may name hosts and
devices, goes to the log and into the row; users get the detail's words.
"""

import logging

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Cloud
from pileus.volume.store import messages as store

log = logging.getLogger(__name__)

LASTS_SECONDS = 30 * 86_400.0

VOLUME, SNAPSHOT, BACKUP = "VOLUME", "VOLUME_SNAPSHOT", "VOLUME_BACKUP"

ACTIONS = {
    "schedule": ("001", "schedule allocate volume"),
    "attach": ("002", "attach volume"),
    "upload": ("003", "copy volume to image"),
    "attachment-update": ("004", "update attachment"),
    "copy-image": ("005", "copy image to volume"),
    "unmanage": ("006", "unmanage volume"),
    "extend": ("007", "extend volume"),
    "create": ("008", "create volume from backend storage"),
    "snapshot-create": ("009", "create snapshot"),
    "snapshot-delete": ("010", "delete snapshot"),
    "snapshot-update": ("011", "update snapshot"),
    "snapshot-metadata": ("012", "update snapshot metadata"),
    "backup-create": ("013", "create backup"),
    "backup-delete": ("014", "delete backup"),
    "backup-restore": ("015", "restore backup"),
    "reimage": ("016", "reimage volume"),
}
DETAILS = {
    "unknown": ("001", "An unknown error occurred."),
    "driver-away": ("002", "The back end is not there at present."),
    "no-backend": ("003", "No back end is suitable and has room."),
    "upload-failed": ("004", "The back end failed to upload the volume."),
    "attach-mode": ("005", "The attach mode of the volume is invalid."),
    "quota": ("006", "The quota is not enough for it."),
    "no-space-for-image": ("007", "The image needs more space than there is."),
    "unmanage-encrypted": ("008", "Encrypted volumes cannot be unmanaged."),
    "compute-failed": ("009", "Compute failed to extend the volume."),
    "extend-failed": ("010", "The back end failed to extend the volume."),
    "signature": ("011", "The signature of the image is wrong."),
    "create-failed": ("012", "The back end failed to create the volume."),
    "snapshot-failed": ("013", "The snapshot could not be created."),
    "snapshot-metadata-failed": ("014", "The metadata of the snapshot could not be updated."),
    "snapshot-busy": ("015", "The snapshot is busy."),
    "snapshot-delete-failed": ("016", "The snapshot could not be deleted."),
    "backup-state": ("017", "The status of the backup is invalid."),
    "backup-away": ("018", "The place for backups is not there."),
    "backup-read-failed": ("019", "The volume could not be read."),
    "backup-create-failed": ("020", "The backup could not be written."),
    "attach-failed": ("021", "The volume could not be attached."),
    "detach-failed": ("022", "The volume could not be detached."),
    "backup-cleanup-failed": ("023", "What was made for the backup could not be removed."),
    "backup-schedule-failed": ("024", "There is no place for the backup."),
    "backup-delete-failed": ("025", "The backup could not be deleted."),
    "backup-restore-failed": ("026", "The backup could not be restored."),
    "volume-state": ("027", "The status of the volume is invalid."),
    "reimage-failed": ("028", "The volume could not be made of the image again."),
    "image-format": ("029", "The format of the image is not one that volumes are made of."),
    "backup-full": ("030", "An incremental backup was not possible; it is a full one."),
}


def report(
    tx: Connection, cloud: Cloud, *, project_id: str, request_id: str, resource_type: str, resource_uuid: str,
    action: str, detail: str = "unknown",
) -> None:  # fmt: skip
    """Tell a project what became of something it asked for.

    :param resource_type: VOLUME, SNAPSHOT or BACKUP.
    :param action: a key of ACTIONS.
    :param detail: a key of DETAILS.
    """
    (action_id, doing), (detail_id, became) = ACTIONS[action], DETAILS[detail]
    now = cloud.clock.now()
    store.add(
        tx, id=ids.uuid(), project_id=project_id, request_id=request_id, resource_type=resource_type,
        resource_uuid=resource_uuid, event_id=f"VOLUME_{resource_type}_{action_id}_{detail_id}", message_level="ERROR",
        user_message=f"{doing}:{became}", created_at=now, guaranteed_until=now + LASTS_SECONDS,
    )  # fmt: skip


def expire(cloud: Cloud) -> None:
    """Forget messages that are old enough."""
    with cloud.db.begin() as tx:
        store.expire(tx, cloud.clock.now())
