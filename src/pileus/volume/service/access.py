"""Who may know of what: finding volumes and snapshots for a caller."""

from sqlalchemy import Connection

from pileus.kernel.context import Context
from pileus.kernel.errors import NotFound
from pileus.volume.store import snapshots, volumes
from pileus.volume.store.snapshots import Snapshot
from pileus.volume.store.volumes import Volume


def no_volume(volume_id: str) -> NotFound:
    """Return the fault of a volume that is not there, or that the caller may not know of."""
    return NotFound(f"Volume {volume_id} could not be found.", kind="VolumeNotFound")


def find_volume(tx: Connection, ctx: Context, volume_id: str, rule: str = "volume:get") -> Volume:
    """Return a volume with which the caller may do what a rule says.

    :raises NotFound: VolumeNotFound when there is none, or it is another project's.
    :raises Forbidden: when it is the caller's project's and the rule does not hold.
    """
    found = volumes.get(tx, volume_id)
    if found is None:
        raise no_volume(volume_id)
    require(ctx, rule, found, no_volume(volume_id))
    return found


def find_snapshot(tx: Connection, ctx: Context, snapshot_id: str, rule: str = "volume:get_snapshot") -> Snapshot:
    """Return a snapshot with which the caller may do what a rule says.

    :raises NotFound: SnapshotNotFound when there is none, or it is another project's.
    :raises Forbidden: when it is the caller's project's and the rule does not hold.
    """
    hidden = NotFound(f"Snapshot {snapshot_id} could not be found.", kind="SnapshotNotFound")
    found = snapshots.get(tx, snapshot_id)
    if found is None:
        raise hidden
    require(ctx, rule, found, hidden)
    return found


def require(ctx: Context, rule: str, row: Volume | Snapshot, hidden: NotFound) -> None:
    """Check a rule for a thing of a project.

    :raises NotFound: the one given, when it is another project's.
    :raises Forbidden: when it is the caller's project's.
    """
    ctx.require(rule, {"project_id": row.project_id, "user_id": row.user_id}, hidden=hidden)
