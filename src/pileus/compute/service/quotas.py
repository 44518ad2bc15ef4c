"""How much a project may use, and how much it uses.  A limit of -1 is none."""

from collections.abc import Mapping

from sqlalchemy import Connection

from pileus.compute.policies.quotas import CLASSES, LIMITS, SETS
from pileus.compute.service.projects import require_project
from pileus.compute.store import usage as store
from pileus.identity.service import unified
from pileus.kernel import quota
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest

SERVICE = "compute"

DEFAULTS: Mapping[str, int] = {
    "instances": 10, "cores": 20, "ram": 51_200, "fixed_ips": -1, "floating_ips": -1, "metadata_items": 128,
    "injected_files": 5, "injected_file_content_bytes": 10_240, "injected_file_path_bytes": 255, "security_groups": -1,
    "security_group_rules": -1, "key_pairs": 100, "server_groups": 10, "server_group_members": 10,
}  # fmt: skip

UNIFIED: Mapping[str, str] = {
    "instances": "servers", "cores": "class:VCPU", "ram": "class:MEMORY_MB", "metadata_items": "server_metadata_items",
    "injected_files": "server_injected_files", "injected_file_content_bytes": "server_injected_file_content_bytes",
    "injected_file_path_bytes": "server_injected_file_path_bytes", "key_pairs": "server_key_pairs",
}  # fmt: skip
"""What identity's unified limits call a resource, where that is not its name here."""

Details = dict[str, dict[str, int]]


def limits_of(tx: Connection, cloud: Cloud, project_id: str, user_id: str = "") -> dict[str, int]:
    """Return the limits of a project; with a user, those of the user in it where there are any."""
    found = unified.limits_of(tx, cloud, SERVICE, project_id, DEFAULTS, UNIFIED)
    return found | _own(tx, cloud, project_id, user_id) if user_id else found


def require_room(tx: Connection, cloud: Cloud, project_id: str, user_id: str, wanted: Mapping[str, int]) -> None:
    """Check, and lock until the end of the transaction, that a project and its user may use so much more.

    :raises OverQuota: when they may not.
    """
    quota.lock(tx, SERVICE, project_id)
    quota.require_room(limits_of(tx, cloud, project_id), store.count(tx, project_id), wanted)
    own = _own(tx, cloud, project_id, user_id)
    if own:
        quota.require_room(own, store.count(tx, project_id, user_id), wanted)


def show(ctx: Context, project_id: str, user_id: str = "", rule: str = "show") -> Details:
    """Return limit and use of every resource.

    :raises BadRequest: when the id cannot be a project's.
    """
    ctx.require(SETS + rule, {"project_id": project_id})
    require_project(ctx, project_id)
    with ctx.cloud.db.read() as tx:
        return _details(tx, ctx.cloud, project_id, user_id)


def defaults(ctx: Context, project_id: str) -> dict[str, int]:
    """Return the limits of projects that have none of their own."""
    ctx.require(SETS + "defaults", {"project_id": project_id})
    require_project(ctx, project_id)
    with ctx.cloud.db.read() as tx:
        return limits_of(tx, ctx.cloud, quota.DEFAULT_CLASS)


def update(ctx: Context, project_id: str, values: Mapping[str, int], force: bool, user_id: str = "") -> Details:
    """Change limits of a project, or of a user in it.

    :param force: also to less than what is used.
    :raises BadRequest: when a limit is below what is used, or a user's above the project's.
    """
    ctx.require(SETS + "update", {"project_id": project_id})
    unified.require_kept_here(ctx.cloud, SERVICE)
    require_project(ctx, project_id)
    with ctx.cloud.db.begin() as tx:
        if not force:
            _check(_details(tx, ctx.cloud, project_id, user_id), values)
        if user_id and not force:
            _check_most(limits_of(tx, ctx.cloud, project_id), values)
        quota.set_limits(tx, SERVICE, _user(project_id, user_id) if user_id else project_id, values)
        return _details(tx, ctx.cloud, project_id, user_id)


def reset(ctx: Context, project_id: str, user_id: str = "") -> None:
    """Give a project, or a user in it, the defaults again."""
    ctx.require(SETS + "delete", {"project_id": project_id})
    with ctx.cloud.db.begin() as tx:
        quota.reset_limits(tx, SERVICE, _user(project_id, user_id) if user_id else project_id)


def show_class(ctx: Context, name: str) -> dict[str, int]:
    """Return the limits of a class.  Only the class default has a meaning: it holds for every project."""
    ctx.require(CLASSES + "show", {"quota_class": name})
    with ctx.cloud.db.read() as tx:
        return limits_of(tx, ctx.cloud, _class(name))


def update_class(ctx: Context, name: str, values: Mapping[str, int]) -> dict[str, int]:
    """Change the limits of a class."""
    ctx.require(CLASSES + "update", {"quota_class": name})
    unified.require_kept_here(ctx.cloud, SERVICE)
    with ctx.cloud.db.begin() as tx:
        quota.set_limits(tx, SERVICE, _class(name), values)
        return limits_of(tx, ctx.cloud, _class(name))


def show_limits(ctx: Context, project_id: str = "") -> Details:
    """Return limit and use of every resource, of the caller's project or of another."""
    ctx.require(LIMITS)
    if project_id:
        ctx.require(LIMITS + ":other_project")
    with ctx.cloud.db.read() as tx:
        return _details(tx, ctx.cloud, project_id or ctx.project_id, "")


def _own(tx: Connection, cloud: Cloud, project_id: str, user_id: str) -> dict[str, int]:
    return {} if unified.holds(cloud, SERVICE) else quota.get_own(tx, SERVICE, _user(project_id, user_id))


def _user(project_id: str, user_id: str) -> str:
    return f"user:{project_id}:{user_id}"


def _class(name: str) -> str:
    return quota.DEFAULT_CLASS if name == quota.DEFAULT_CLASS else f"class:{name[:150]}"


def _details(tx: Connection, cloud: Cloud, project_id: str, user_id: str) -> Details:
    used = store.count(tx, project_id, user_id)
    limits = limits_of(tx, cloud, project_id, user_id)
    return {name: {"limit": limits[name], "in_use": used.get(name, 0), "reserved": 0} for name in DEFAULTS}


def _check(details: Details, values: Mapping[str, int]) -> None:
    for name, value in values.items():
        used = details[name]["in_use"]
        if 0 <= value < used:
            raise BadRequest(f"Quota limit {value} for {name} must be greater than or equal to already used and reserved {used}.")


def _check_most(limits: Mapping[str, int], values: Mapping[str, int]) -> None:
    for name, value in values.items():
        if limits[name] >= 0 and (value < 0 or value > limits[name]):
            raise BadRequest(f"Quota limit {value} for {name} must be less than or equal to {limits[name]}.")
