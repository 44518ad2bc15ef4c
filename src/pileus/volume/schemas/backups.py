"""Bodies and answers about backups."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from pileus.kernel.errors import BadRequest
from pileus.volume.schemas.fields import Bool, Description, LooseName, Text255, read_bool, read_uuid, show_time
from pileus.volume.schemas.volumes import Metadata
from pileus.volume.service.backups import Shown, Wanted
from pileus.volume.store.backups import Backup

Version = tuple[int, int]


class NewBackup(Struct, forbid_unknown_fields=True):
    """The backup to be made."""

    volume_id: str
    container: LooseName = None
    name: LooseName = None
    description: Description = None
    incremental: Bool = False
    force: Bool = False
    snapshot_id: str | None = None


class NewBackup343(NewBackup, forbid_unknown_fields=True):
    """The backup to be made, with metadata."""

    metadata: Metadata | None = None


class NewBackup351(NewBackup343, forbid_unknown_fields=True):
    """The backup to be made, with the zone it is to be kept in."""

    availability_zone: Text255 | None = None


class Create(Struct, forbid_unknown_fields=True):
    """POST /backups"""

    backup: NewBackup


class Create343(Struct, forbid_unknown_fields=True):
    """POST /backups since 3.43"""

    backup: NewBackup343


class Create351(Struct, forbid_unknown_fields=True):
    """POST /backups since 3.51"""

    backup: NewBackup351


class Changes(Struct, forbid_unknown_fields=True):
    """What may be changed."""

    name: LooseName | UnsetType = UNSET
    description: Description | UnsetType = UNSET


class Changes343(Changes, forbid_unknown_fields=True):
    """What may be changed, with metadata."""

    metadata: Metadata | UnsetType = UNSET


class Update(Struct, forbid_unknown_fields=True):
    """PUT /backups/{backup_id} since 3.9"""

    backup: Changes | None


class Update343(Struct, forbid_unknown_fields=True):
    """PUT /backups/{backup_id} since 3.43"""

    backup: Changes343 | None


class Destination(Struct, forbid_unknown_fields=True):
    """Where a backup is to be restored to; none: a new volume."""

    name: LooseName = None
    volume_id: str | None = None


class Restore(Struct, forbid_unknown_fields=True):
    """POST /backups/{backup_id}/restore"""

    restore: Destination | None


class Record(Struct, forbid_unknown_fields=True):
    """The record of a backup."""

    backup_service: Text255
    backup_url: Annotated[str, Meta(min_length=1)]


class Import(Struct, forbid_unknown_fields=True, rename={"backup_record": "backup-record"}):
    """POST /backups/import_record"""

    backup_record: Record


class Status(Struct, forbid_unknown_fields=True):
    """os-reset_status"""

    status: str


def read_create(given: Any) -> Wanted:
    """Return the backup that is asked for.  :raises BadRequest: when a field makes no sense."""
    snapshot_id = read_uuid(given.snapshot_id, "snapshot_id") if given.snapshot_id is not None else None
    return Wanted(
        read_uuid(given.volume_id, "volume_id"), _cleaned(given.name), _cleaned(given.description), given.container or None,
        read_bool(given.incremental), read_bool(given.force), snapshot_id, getattr(given, "metadata", None) or {},
        getattr(given, "availability_zone", None) or None,
    )  # fmt: skip


def read_changes(given: Changes | None) -> dict[str, Any]:
    """Return the columns to be changed."""
    found = {"name": given.name, "description": given.description} if given is not None else {}
    return {name: _cleaned(value) for name, value in found.items() if value is not UNSET}


def read_destination(given: Destination | None) -> tuple[str | None, str | None]:
    """Return the volume that is to be restored to, and a new one's name.  :raises BadRequest: when it is no id."""
    if given is None:
        return None, None
    return (read_uuid(given.volume_id, "volume_id") if given.volume_id is not None else None), given.name


def read_status(given: Status) -> str:
    """Return the status that is to be set.  :raises BadRequest: when it may not be."""
    status = given.status.lower()
    if status not in ("available", "error"):
        valid = "['available', 'error']"
        raise BadRequest(f"Backup status: {given.status} is invalid, valid statuses are: {valid}.", kind="InvalidParameterValue")
    return status


def _cleaned(text: Any) -> str | None:
    return text.strip() if isinstance(text, str) else None


def show_brief(backup: Backup, links: list[dict[str, str]]) -> dict[str, Any]:
    """Show a backup in few words."""
    return {"id": backup.id, "name": backup.name, "links": links}


def show(shown: Shown, links: list[dict[str, str]], version: Version, *, owner: bool) -> dict[str, Any]:
    """Show a backup; owner: also whose it is."""
    backup = shown.backup
    found = {
        **show_brief(backup, links),
        "status": backup.status,
        "size": backup.size_gib,
        "object_count": backup.object_count,
        "availability_zone": backup.availability_zone,
        "container": backup.container,
        "created_at": show_time(backup.created_at),
        "updated_at": show_time(backup.updated_at),
        "description": backup.description,
        "fail_reason": backup.fail_reason,
        "volume_id": backup.volume_id,
        "is_incremental": backup.parent_id is not None,
        "has_dependent_backups": shown.has_dependents,
        "snapshot_id": backup.snapshot_id,
        "data_timestamp": show_time(backup.data_timestamp),
    }
    if version >= (3, 43):
        found["metadata"] = dict(shown.metadata)
    if version >= (3, 64) and backup.encryption_key_id is not None:
        found["encryption_key_id"] = backup.encryption_key_id
    if owner and version >= (3, 18):
        found["os-backup-project-attr:project_id"] = backup.project_id
    if owner and version >= (3, 56):
        found["user_id"] = backup.user_id
    return found
