"""Quotas and limits, as they are asked for and shown."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from pileus.kernel.errors import BadRequest
from pileus.volume.schemas.fields import read_int

NO_RESOURCES = ("tenant_id", "id")

LIMIT_NAMES = {
    "maxTotalVolumeGigabytes": "gigabytes", "maxTotalBackupGigabytes": "backup_gigabytes", "maxTotalVolumes": "volumes",
    "maxTotalSnapshots": "snapshots", "maxTotalBackups": "backups",
}  # fmt: skip
USED_NAMES = {
    "totalVolumesUsed": "volumes", "totalGigabytesUsed": "gigabytes", "totalSnapshotsUsed": "snapshots",
    "totalBackupsUsed": "backups", "totalBackupGigabytesUsed": "backup_gigabytes",
}  # fmt: skip


class Update(Struct, forbid_unknown_fields=True):
    """quota_set holds limits by the name of their resource."""

    quota_set: dict[str, Any]


class UpdateClass(Struct, forbid_unknown_fields=True):
    quota_class_set: dict[str, Any]


def read_set(body: Update) -> dict[str, int]:
    """Return the limits that are to change.

    :raises BadRequest: when there is none, or one is no number of -1 or more.
    """
    if not body.quota_set:
        raise BadRequest("Invalid input for field/attribute quota_set. Value: {}. {} does not have enough properties")
    return {name: read_int(value, name, -1) for name, value in body.quota_set.items() if name not in NO_RESOURCES}


def read_class(body: UpdateClass) -> dict[str, int]:
    """Return the limits of a class that are to change.

    :raises BadRequest: when one is no number of -1 or more.
    """
    return {name: read_int(value, name, -1) for name, value in body.quota_class_set.items()}


def show_limits(details: Mapping[str, Mapping[str, int]], with_use: bool) -> dict[str, Any]:
    """Show limits and, where it may be seen, use."""
    absolute = {name: details[resource]["limit"] for name, resource in LIMIT_NAMES.items()}
    if with_use:
        absolute |= {name: details[resource]["in_use"] for name, resource in USED_NAMES.items()}
    return {"limits": {"rate": [], "absolute": absolute}}
