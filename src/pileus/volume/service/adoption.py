"""Taking in what lies on a back end already (manage), and letting go of what stays there (unmanage)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pileus.kernel import ids
from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Fault, Unavailable
from pileus.volume import states
from pileus.volume.driver import Adopter, Found, VolumeDriverError
from pileus.volume.service import quotas, types
from pileus.volume.service.access import find_snapshot, find_volume
from pileus.volume.service.volume_actions import begin, invalid_volume, require_status
from pileus.volume.store import services
from pileus.volume.store import snapshots as snapshot_store
from pileus.volume.store import volumes as store
from pileus.volume.tasks import adoption as work
from pileus.volume.tasks import placing
from pileus.volume.tasks import snapshots as snapshot_work
from pileus.volume.tasks import volumes as volume_work

__all__ = ["Found"]


@dataclass(frozen=True)
class Wanted:
    """What is to be taken in.  reference is its name on the back end."""

    reference: str
    host: str = ""
    name: str | None = None
    description: str | None = None
    volume_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    bootable: bool = False
    volume_id: str = ""


def list_volumes(ctx: Context, host: str) -> list[Found]:
    """Return what lies on a back end and may be taken in as volumes.

    :raises BadRequest: when there is no such back end, or it cannot say.
    """
    ctx.require("volume_extension:list_manageable")
    return _ask(ctx, host, lambda adopter: adopter.list_volumes())


def list_snapshots(ctx: Context, host: str) -> list[Found]:
    """Return what lies on a back end and may be taken in as snapshots.

    :raises BadRequest: when there is no such back end, or it cannot say.
    """
    ctx.require("snapshot_extension:list_manageable")
    return _ask(ctx, host, lambda adopter: adopter.list_snapshots())


def _ask(ctx: Context, host: str, question: Callable[[Adopter], tuple[Found, ...]]) -> list[Found]:
    try:
        return list(question(work.adopter(ctx.cloud, host)))
    except (VolumeDriverError, HostUnknown) as error:
        raise BadRequest(f"Invalid input received: {error}", kind="InvalidInput") from error


def manage(ctx: Context, wanted: Wanted) -> str:
    """Begin to take something in as a volume; returns its id.

    :raises Unavailable: when there is no such back end.
    :raises BadRequest: when it cannot take anything in, or the type is none.
    :raises OverQuota: when the project has used its share.
    """
    ctx.require("volume_extension:volume_manage")
    there = {found.reference: found for found in _there(ctx, wanted.host)}
    found = there.get(wanted.reference)
    host = placing.pool_host(wanted.host.partition("#")[0])
    with ctx.cloud.db.begin() as tx:
        try:
            kind = types.find(tx, ctx, wanted.volume_type) if wanted.volume_type else types.default_for(tx, ctx)
        except Fault as error:
            text = f"Invalid volume type: Cannot find requested '{wanted.volume_type}' volume type"
            raise BadRequest(text, kind="InvalidVolumeType") from error
        size_gib = found.size_gib if found else 0
        quotas.require_room(tx, ctx, ctx.project_id, volume_type=kind.id, volumes=1, gigabytes=size_gib)
        part = services.backends(tx).get(wanted.host.partition("#")[0])
        volume_id = ids.uuid()
        store.add(
            tx, id=volume_id, project_id=ctx.project_id, user_id=ctx.user_id, name=wanted.name, description=wanted.description,
            created_at=ctx.cloud.clock.now(), status=states.MANAGING, size_gib=size_gib, host=host, volume_type_id=kind.id,
            availability_zone=part.availability_zone if part else services.DEFAULT_ZONE, bootable=wanted.bootable,
            scheduler_hints={}, aside={"reference": wanted.reference, "request_id": ctx.request_id},
        )  # fmt: skip
        if wanted.metadata:
            store.put_metadata(tx, volume_id, wanted.metadata)
        volume_work.go(tx, ctx.cloud, volume_id, states.MANAGING)
    return volume_id


def _there(ctx: Context, host: str) -> tuple[Found, ...]:
    try:
        return work.adopter(ctx.cloud, host).list_volumes()
    except HostUnknown as error:
        raise Unavailable(f"Host '{host}' not found") from error
    except VolumeDriverError as error:
        raise BadRequest(f"Invalid input received: {error}", kind="InvalidInput") from error


def unmanage(ctx: Context, volume_id: str) -> None:
    """Begin to let go of a volume, which stays on its back end.

    :raises BadRequest: when it is in no state for that, encrypted, or its back end cannot.
    """
    with ctx.cloud.db.begin() as tx:
        volume = find_volume(tx, ctx, volume_id, "volume_extension:volume_unmanage")
        require_status(volume, states.AVAILABLE, states.ERROR, states.ERROR_MANAGING, doing="be unmanaged")
        if volume.encryption_key_id is not None:
            raise BadRequest("Unmanaging encrypted volumes is not supported.", kind="Invalid")
        if volume.host is None or volume.group_id is not None or store.count_snapshots(tx, volume_id):
            raise invalid_volume(f"Volume {volume_id} has snapshots, is part of a group, or is nowhere.")
        _require_adopter(ctx, volume.host)
        begin(tx, ctx, volume, states.UNMANAGING, {})


def manage_snapshot(ctx: Context, wanted: Wanted) -> str:
    """Begin to take something in as a snapshot of a volume; returns its id.

    :raises NotFound: when there is no such volume.
    :raises BadRequest: when its back end cannot.
    :raises OverQuota: when the project has used its share.
    """
    with ctx.cloud.db.begin() as tx:
        volume = find_volume(tx, ctx, wanted.volume_id)
        ctx.require("snapshot_extension:snapshot_manage", {"project_id": volume.project_id, "user_id": volume.user_id})
        if volume.host is None:
            raise invalid_volume(f"Volume {volume.id} is nowhere.")
        _require_adopter(ctx, volume.host)
        quotas.require_room(tx, ctx, volume.project_id, snapshots=1, gigabytes=volume.size_gib)
        snapshot_id = ids.uuid()
        snapshot_store.add(
            tx, id=snapshot_id, volume_id=volume.id, project_id=volume.project_id, user_id=ctx.user_id, name=wanted.name,
            description=wanted.description, created_at=ctx.cloud.clock.now(), status="managing", size_gib=volume.size_gib,
            volume_type_id=volume.volume_type_id,
        )  # fmt: skip
        if wanted.metadata:
            snapshot_store.put_metadata(tx, snapshot_id, wanted.metadata)
        memo = {"request_id": ctx.request_id, "reference": wanted.reference}
        snapshot_work.go(tx, ctx.cloud, snapshot_id, "managing", memo)
    return snapshot_id


def unmanage_snapshot(ctx: Context, snapshot_id: str) -> None:
    """Begin to let go of a snapshot, which stays on its back end.

    :raises BadRequest: when it is in no state for that, or its back end cannot.
    """
    with ctx.cloud.db.begin() as tx:
        snapshot = find_snapshot(tx, ctx, snapshot_id, "snapshot_extension:snapshot_unmanage")
        volume = store.get(tx, snapshot.volume_id)
        if volume is None or volume.host is None or snapshot.group_snapshot_id is not None:
            raise BadRequest("Invalid snapshot: It is part of a group snapshot, or nowhere.", kind="InvalidSnapshot")
        _require_adopter(ctx, volume.host)
        if not snapshot_store.change_if(tx, snapshot_id, ["available", "error"], status="unmanaging"):
            text = "Invalid snapshot: Snapshot status must be available or error to be unmanaged."
            raise BadRequest(text, kind="InvalidSnapshot")
        snapshot_work.go(tx, ctx.cloud, snapshot_id, "unmanaging", {"request_id": ctx.request_id})


def _require_adopter(ctx: Context, host: str) -> None:
    try:
        work.adopter(ctx.cloud, host)
    except (VolumeDriverError, HostUnknown) as error:
        raise invalid_volume(str(error)) from error
