"""Volumes and their snapshots as compute knew them before there was block storage; block storage does all the work."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pileus.compute.policies.volumes import VOLUMES
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, NotFound
from pileus.volume.service import snapshots, volumes


@dataclass(frozen=True)
class WantedVolume:
    """The volume to be made."""

    size_gib: int
    name: str | None = None
    description: str | None = None
    volume_type: str | None = None
    snapshot_id: str | None = None
    zone: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def list_volumes(ctx: Context, rule: str, offset: int, limit: int) -> list[volumes.Shown]:
    """Return some of the project's volumes, the newest first.  :param rule: list or detail."""
    ctx.require(VOLUMES + rule)
    return volumes.list_volumes(ctx, volumes.Search(), volumes.Slice(limit, offset))[0]


def show_volume(ctx: Context, volume_id: str) -> volumes.Shown:
    """Return a volume.  :raises NotFound: when there is none."""
    ctx.require(VOLUMES + "show")
    return volumes.show(ctx, volume_id)


def create_volume(ctx: Context, wanted: WantedVolume) -> volumes.Shown:
    """Begin to make a volume.

    :raises BadRequest: when what is asked for makes no sense.
    :raises NotFound: when there is no such snapshot.
    :raises OverQuota: when the project has used its share.
    """
    ctx.require(VOLUMES + "create")
    if wanted.snapshot_id:
        snapshots.show(ctx, wanted.snapshot_id)
    asked = volumes.Wanted(
        wanted.size_gib, wanted.name, wanted.description, wanted.volume_type, wanted.zone, snapshot_id=wanted.snapshot_id,
        metadata=wanted.metadata,
    )  # fmt: skip
    try:
        return volumes.create(ctx, asked)
    except NotFound as error:
        raise BadRequest(error.message, kind=error.kind) from None


def delete_volume(ctx: Context, volume_id: str) -> None:
    """Begin to delete a volume.  :raises BadRequest: when it is in no state for that."""
    ctx.require(VOLUMES + "delete")
    volumes.delete(ctx, volume_id)


def list_snapshots(ctx: Context, rule: str, offset: int, limit: int) -> list[Any]:
    """Return some of the project's snapshots, the newest first.  :param rule: snapshots:list or snapshots:detail."""
    ctx.require(VOLUMES + rule)
    return [shown[0] for shown in snapshots.list_snapshots(ctx, snapshots.Search(), snapshots.Slice(limit, offset))[0]]


def show_snapshot(ctx: Context, snapshot_id: str) -> Any:
    """Return a snapshot.  :raises NotFound: when there is none."""
    ctx.require(VOLUMES + "snapshots:show")
    return snapshots.show(ctx, snapshot_id)[0]


def create_snapshot(ctx: Context, volume_id: str, name: str | None, description: str | None, force: bool) -> Any:
    """Begin to take a snapshot of a volume.

    :param force: also while a server has it.
    :raises NotFound: when there is no such volume.
    :raises BadRequest: when it is in no state for that.
    :raises OverQuota: when the project has used its share.
    """
    ctx.require(VOLUMES + "snapshots:create")
    return snapshots.create(ctx, snapshots.Wanted(volume_id, name, description, force=force))[0]


def delete_snapshot(ctx: Context, snapshot_id: str) -> None:
    """Begin to delete a snapshot.  :raises BadRequest: when it is in no state for that."""
    ctx.require(VOLUMES + "snapshots:delete")
    snapshots.delete(ctx, snapshot_id)
