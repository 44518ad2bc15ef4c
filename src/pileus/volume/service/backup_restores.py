"""Restoring backups: what may be restored, and how it begins.  For `backups`, and for volumes that are made of a backup."""

from sqlalchemy import Connection

from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, NotFound
from pileus.volume.backup_targets import Targets
from pileus.volume.service.access import require
from pileus.volume.store import backups as store
from pileus.volume.store.backups import Backup
from pileus.volume.tasks import backups as work


def find(tx: Connection, ctx: Context, backup_id: str, rule: str = "backup:get") -> Backup:
    """Return a backup with which the caller may do what a rule says.

    :raises NotFound: BackupNotFound when there is none, or it is another project's.
    :raises Forbidden: when it is the caller's project's and the rule does not hold.
    """
    hidden = NotFound(f"Backup {backup_id} could not be found.", kind="BackupNotFound")
    found = store.get(tx, backup_id)
    if found is None:
        raise hidden
    require(ctx, rule, found, hidden)
    return found


def find_restorable(tx: Connection, ctx: Context, backup_id: str) -> Backup:
    """Return a backup that the caller may restore now.

    :raises NotFound: when there is none, or it is another project's.
    :raises BadRequest: when it is in no state for that.
    """
    find(tx, ctx, backup_id)
    backup = find(tx, ctx, backup_id, "backup:restore")
    if backup.status != "available":
        raise invalid("Backup status must be available")
    require_here(ctx.cloud, backup, "Restore backup")
    return backup


def require_here(cloud: Cloud, backup: Backup, doing: str) -> None:
    """Check that a backup is kept where backups are kept now.  :raises BadRequest: when it is not."""
    configured = cloud.part(Targets).get(cloud).service
    if backup.service != configured:
        raise invalid(
            f"{doing} aborted, the backup service currently configured [{configured}] is not the backup service that was "
            f"used to create this backup [{backup.service}]."
        )


def begin(tx: Connection, ctx: Context, backup: Backup, volume_id: str) -> None:
    """Begin to restore a backup to a volume, which is restored to already or is being made.

    :raises BadRequest: when somebody else began something with the backup at the same moment.
    """
    now = ctx.cloud.clock.now()
    values = {"restore_volume_id": volume_id, "request_id": ctx.request_id, "fail_reason": None, "updated_at": now}
    if not store.change_if(tx, backup.id, ["available"], status="restoring", **values):
        raise invalid("Backup status must be available")
    work.go(tx, ctx.cloud, backup.id, backup.size_gib)


def invalid(text: str) -> BadRequest:
    """Return the fault of a backup that is in no state for something."""
    return BadRequest(f"Invalid backup: {text}", kind="InvalidBackup")
