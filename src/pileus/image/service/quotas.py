"""What a project may have of images: identity's unified limits of this service, where there are any.  Sizes are in MiB.

As in Glance, a limit holds for what there is already: the size of an upload is not known when it begins, so one that begins
below the limit may end above it, and the next is refused.
"""

from sqlalchemy import Connection

from pileus.identity.service import limits
from pileus.image import store
from pileus.kernel import quota
from pileus.kernel.context import Context
from pileus.kernel.errors import OverQuota

SERVICE = "image"
SIZE, STAGED, COUNT, UPLOADING = "image_size_total", "image_stage_total", "image_count_total", "image_count_uploading"
NAMES = (SIZE, STAGED, COUNT, UPLOADING)
IN_STORES, IN_STAGING, ON_THE_WAY = ("active", "deactivated"), ("uploading", "importing"), ("saving", "uploading", "importing")


def usage(ctx: Context) -> dict[str, tuple[int, int]]:
    """Return what the caller's project uses and may use, by the names of the limits; -1: no limit."""
    ctx.require("get_images")
    with ctx.cloud.db.read() as tx:
        used, most = _used(tx, ctx.project_id), _most(ctx, tx, ctx.project_id)
    return {name: (used[name], most.get(name, -1)) for name in NAMES}


def require_image(ctx: Context, tx: Connection, project_id: str) -> None:
    """Check that a project may have one more image.  :raises OverQuota: when it may not."""
    _require(ctx, tx, project_id, {COUNT: 1})


def require_upload(ctx: Context, tx: Connection, project_id: str, *, stage: bool) -> None:
    """Check that a project may begin one more upload.  :raises OverQuota: when it may not."""
    _require(ctx, tx, project_id, {UPLOADING: 1, STAGED if stage else SIZE: 0})


def require_import(ctx: Context, tx: Connection, project_id: str) -> None:
    """Check that a project may import.  :raises OverQuota: when it has too much already."""
    _require(ctx, tx, project_id, {SIZE: 0})


def _require(ctx: Context, tx: Connection, project_id: str, wanted: dict[str, int]) -> None:
    most = _most(ctx, tx, project_id)
    if not any(name in most for name in wanted):
        return
    quota.lock(tx, SERVICE, project_id)
    used = _used(tx, project_id)
    for name, more in wanted.items():
        if 0 <= most.get(name, -1) < used[name] + more:
            raise OverQuota(
                f"Project {project_id} is over a limit for [Resource {name} is over limit of {most[name]} due to current usage "
                f"{used[name]} and delta {more}]"
            )


def _most(ctx: Context, tx: Connection, project_id: str) -> dict[str, int]:
    return limits.effective(tx, SERVICE, ctx.cloud.settings.region, project_id)


def _used(tx: Connection, project_id: str) -> dict[str, int]:
    found = store.usage(tx, project_id)
    return {
        SIZE: sum(size for status, (_, size) in found.items() if status in IN_STORES) >> 20,
        STAGED: sum(size for status, (_, size) in found.items() if status in IN_STAGING) >> 20,
        COUNT: sum(count for count, _ in found.values()),
        UPLOADING: sum(found.get(status, (0, 0))[0] for status in ON_THE_WAY),
    }
