"""How much a project may keep, and how much it keeps.  A limit of -1 is none.

Each volume type has limits of its own for volumes, snapshots and gigabytes.  They are kept under the type's id, so that
they follow it when it is renamed, and shown under its name: `gigabytes_NAME`.
"""

import logging
from collections.abc import Mapping

from sqlalchemy import Connection

from pileus.identity.service import unified
from pileus.kernel import quota
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, OverQuota
from pileus.volume.policies.quotas import CLASSES, QUOTAS, USED
from pileus.volume.store import types, usage

log = logging.getLogger(__name__)

SERVICE = "volume"

DEFAULTS: Mapping[str, int] = {
    "per_volume_gigabytes": -1, "volumes": 10, "snapshots": 10, "gigabytes": 1000, "backups": 10, "backup_gigabytes": 1000,
    "groups": 10,
}  # fmt: skip

PER_TYPE = ("volumes", "snapshots", "gigabytes")

Details = dict[str, dict[str, int]]
"""Limit and use of each resource, by the name it is shown under."""

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
    names = {key: name for key, (_, name) in named.items()}
    limits = unified.limits_of(tx, ctx.cloud, SERVICE, project_id, {**dict.fromkeys(named, -1), **DEFAULTS}, names)
    used = usage.count(tx, project_id)
    for key in quota.exceeded(limits, used, amounts):
        resource, name = named[key]
        fault, text = MESSAGES[resource]
        facts = {"name": name, "wanted": amounts[key], "limit": limits[key], "used": used[key]}
        log.warning("request %s exceeds the quota of project %s: %s", ctx.request_id, project_id, facts)
        raise OverQuota(text.format(**facts), kind=fault, headers={"Retry-After": "0"}, extra={"retryAfter": "0"})


def show(ctx: Context, project_id: str) -> Details:
    """Return limit and use of every resource of a project."""
    ctx.require(QUOTAS + "show", {"project_id": project_id})
    with ctx.cloud.db.read() as tx:
        return _details(tx, ctx.cloud, project_id)


def defaults(ctx: Context, project_id: str) -> dict[str, int]:
    """Return the limits of projects that have none of their own."""
    ctx.require(QUOTAS + "show", {"project_id": project_id})
    with ctx.cloud.db.read() as tx:
        return _limits(tx, ctx.cloud, quota.DEFAULT_CLASS)


def update(ctx: Context, project_id: str, values: Mapping[str, int]) -> dict[str, int]:
    """Change limits of a project; returns all of them.

    :raises BadRequest: when there is no such resource, or more of it is in use.
    """
    ctx.require(QUOTAS + "update", {"project_id": project_id})
    unified.require_kept_here(ctx.cloud, SERVICE)
    _require_length(project_id, "quota_set_name")
    with ctx.cloud.db.begin() as tx:
        details = _details(tx, ctx.cloud, project_id)
        keys = _read_keys(tx, values, "quota set")
        for name, value in values.items():
            used = details[name]["in_use"]
            if name != "per_volume_gigabytes" and 0 <= value < used:
                raise BadRequest(
                    f"Quota {name} limit must be equal or greater than existing resources. Current usage is {used} and the "
                    f"requested limit is {value}."
                )
        quota.set_limits(tx, SERVICE, project_id, {keys[name]: value for name, value in values.items()})
        return _limits(tx, ctx.cloud, project_id)


def reset(ctx: Context, project_id: str) -> None:
    """Give a project the defaults again."""
    ctx.require(QUOTAS + "delete", {"project_id": project_id})
    with ctx.cloud.db.begin() as tx:
        quota.reset_limits(tx, SERVICE, project_id)


def show_class(ctx: Context, name: str) -> dict[str, int]:
    """Return the limits of a class.  Only the class default has a meaning: it holds for every project."""
    ctx.require(CLASSES + "get")
    with ctx.cloud.db.read() as tx:
        return _limits(tx, ctx.cloud, _class(name))


def update_class(ctx: Context, name: str, values: Mapping[str, int]) -> dict[str, int]:
    """Change the limits of a class; returns all of them.

    :raises BadRequest: when there is no such resource.
    """
    ctx.require(CLASSES + "update")
    unified.require_kept_here(ctx.cloud, SERVICE)
    _require_length(name, "quota_class_name")
    with ctx.cloud.db.begin() as tx:
        keys = _read_keys(tx, values, "quota class set")
        quota.set_limits(tx, SERVICE, _class(name), {keys[key]: value for key, value in values.items()})
        return _limits(tx, ctx.cloud, _class(name))


def show_limits(ctx: Context, project_id: str = "") -> tuple[Details, bool]:
    """Return limit and use of every resource, of the caller's project or (for admins) another, and whether use is to be shown.

    Every caller may see the limits of their own project: that needs no rule, as in cinder.
    """
    if not ctx.is_admin:
        project_id = ""
    with ctx.cloud.db.read() as tx:
        return _details(tx, ctx.cloud, project_id or ctx.project_id), ctx.can(USED)


def forget_type(tx: Connection, type_id: str) -> None:
    """Forget the limits of a volume type that is gone."""
    quota.forget_resources(tx, SERVICE, [f"{name}_{type_id}" for name in PER_TYPE])


def _keys(tx: Connection) -> dict[str, str]:
    """Return under which key each resource is kept, by the name it is shown under."""
    named = types.names(tx).items()
    per_type = {f"{resource}_{name}": f"{resource}_{id}" for id, name in named for resource in PER_TYPE}
    return per_type | {name: name for name in DEFAULTS}


def _read_keys(tx: Connection, values: Mapping[str, int], what: str) -> dict[str, str]:
    keys = _keys(tx)
    if unknown := [name for name in values if name not in keys]:
        raise BadRequest(f"Invalid input received: Bad key(s) in {what}: {', '.join(unknown)}", kind="InvalidInput")
    return keys


def _limits(tx: Connection, cloud: Cloud, owner: str) -> dict[str, int]:
    keys = _keys(tx)
    names = {key: name for name, key in keys.items()}
    found = unified.limits_of(tx, cloud, SERVICE, owner, {key: DEFAULTS.get(key, -1) for key in names}, names)
    return {name: found[key] for name, key in keys.items()}


def _details(tx: Connection, cloud: Cloud, project_id: str) -> Details:
    keys, used = _keys(tx), usage.count(tx, project_id)
    limits = _limits(tx, cloud, project_id)
    return {name: {"limit": limits[name], "in_use": used[key], "reserved": 0} for name, key in keys.items()}


def _class(name: str) -> str:
    return quota.DEFAULT_CLASS if name == quota.DEFAULT_CLASS else f"class:{name[:150]}"


def _require_length(name: str, what: str) -> None:
    if not 1 <= len(name) <= 150:
        raise BadRequest(f"Invalid input received: {what} has {len(name)} characters, more than 150.")
