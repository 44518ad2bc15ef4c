"""How much a project may keep, and how much it keeps.  A limit of -1 is none.

Each volume type has limits of its own for volumes, snapshots and gigabytes.  They are kept under the type's id, so that
they follow it when it is renamed, and shown under its name: `gigabytes_NAME`.
"""

import logging
from collections.abc import Mapping

from sqlalchemy import Connection

from pileus.kernel import quota
from pileus.kernel.context import Context
from pileus.kernel.errors import OverQuota
from pileus.volume.store import types, usage

log = logging.getLogger(__name__)

SERVICE = "volume"

DEFAULTS: Mapping[str, int] = {
    "per_volume_gigabytes": -1, "volumes": 10, "snapshots": 10, "gigabytes": 1000, "backups": 10, "backup_gigabytes": 1000,
    "groups": 10,
}  # fmt: skip

PER_TYPE = ("volumes", "snapshots", "gigabytes")

MESSAGES = {
    "volumes": ("VolumeLimitExceeded", "Maximum number of volumes allowed ({limit}) exceeded for quota '{name}'."),
    "snapshots": ("SnapshotLimitExceeded", "Maximum number of snapshots allowed ({limit}) exceeded"),
    "backups": ("BackupLimitExceeded", "Maximum number of backups allowed ({limit}) exceeded"),
    "groups": ("GroupLimitExceeded", "Maximum number of groups allowed ({limit}) exceeded"),
    "gigabytes": (
        "VolumeSizeExceedsAvailableQuota",
        "Requested volume or snapshot exceeds allowed {name} quota. Requested {wanted}G, quota is {limit}G and {used}G has "
        "been consumed.",
    ),
    "backup_gigabytes": (
        "VolumeBackupSizeExceedsAvailableQuota",
        "Requested backup exceeds allowed Backup gigabytes quota. Requested {wanted}G, quota is {limit}G and {used}G has "
        "been consumed.",
    ),
    "per_volume_gigabytes": (
        "VolumeSizeExceedsLimit",
        "Requested volume size {wanted}G is larger than maximum allowed limit {limit}G.",
    ),
}


def require_room(tx: Connection, ctx: Context, project_id: str, *, volume_type: str = "", **wanted: int) -> None:
    """Check, and lock until the end of the transaction, that a project may have so much more.

    :param volume_type: name or id of the type whose own limits hold as well.
    :param wanted: how much more of which resources: volumes, gigabytes, snapshots, backups, backup_gigabytes, groups;
        per_volume_gigabytes is the size that one volume is to have.
    :raises OverQuota: when it may not.
    """
    quota.lock(tx, SERVICE, project_id)
    kind = (types.get(tx, volume_type) or types.get_by_name(tx, volume_type)) if volume_type else None
    named = {name: (name, name) for name in wanted}
    if kind:
        named |= {f"{name}_{kind.id}": (name, f"{name}_{kind.name}") for name in wanted if name in PER_TYPE}
    amounts = {key: wanted[resource] for key, (resource, _) in named.items()}
    limits = quota.get_limits(tx, SERVICE, project_id, {**dict.fromkeys(named, -1), **DEFAULTS})
    used = usage.count(tx, project_id)
    for key in quota.exceeded(limits, used, amounts):
        resource, name = named[key]
        fault, text = MESSAGES[resource]
        facts = {"name": name, "wanted": amounts[key], "limit": limits[key], "used": used[key]}
        log.warning("request %s exceeds the quota of project %s: %s", ctx.request_id, project_id, facts)
        raise OverQuota(text.format(**facts), kind=fault, headers={"Retry-After": "0"}, extra={"retryAfter": "0"})
