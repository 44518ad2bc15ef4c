"""What is done to volumes: extend, retype, migrate, revert, upload, reimage, and small changes.

Each checks its rule and the volume's state, writes the new state down if nobody else did so at the same moment, and starts
the work.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from pileus.image import patch
from pileus.image.service import images
from pileus.image.service import snapshots as image_making
from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, Fault
from pileus.volume import states
from pileus.volume.keys import KeyLost
from pileus.volume.service import quotas, types, volume_create, volume_images
from pileus.volume.service.access import find_volume
from pileus.volume.service.volumes import SETTLED
from pileus.volume.store import attachments as attachment_store
from pileus.volume.store import snapshots as snapshot_store
from pileus.volume.store import types as type_store
from pileus.volume.store import volumes as store
from pileus.volume.store.types import Type
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import attachments, moves, placing
from pileus.volume.tasks import volumes as work
from pileus.volume.tasks.backends import Gauges

OWN_IMAGE_KEYS = frozenset({
    "image_id", "image_name", "checksum", "size", "container_format", "disk_format", "min_disk", "min_ram",
})  # fmt: skip


def invalid_volume(text: str) -> BadRequest:
    """Return the fault of a volume that is in no state for what is asked."""
    return BadRequest(f"Invalid volume: {text}", kind="InvalidVolume")


def _invalid(text: str) -> BadRequest:
    return BadRequest(f"Invalid input received: {text}", kind="InvalidInput")


def begin(tx: Connection, ctx: Context, volume: Volume, status: str, aside: Mapping[str, Any], **values: Any) -> None:
    """Write down what is under way, and start it.

    :raises BadRequest: when someone else changed the volume at the same moment.
    """
    given = {
        "status": status, "before": volume.status, "aside": {**aside, "request_id": ctx.request_id},
        "updated_at": ctx.cloud.clock.now(), **values,
    }  # fmt: skip
    if not store.change_if(tx, volume, **given):
        raise invalid_volume(f"Volume {volume.id} was changed at the same moment.")
    work.go(tx, ctx.cloud, volume.id, status)


def require_status(volume: Volume, *allowed: str, doing: str) -> None:
    """Check a volume's state.  :raises BadRequest: when it is another, or the volume is being migrated."""
    if volume.status not in allowed:
        told = " or ".join(allowed)
        raise invalid_volume(f"Volume {volume.id} status must be {told} to {doing}, but current status is: {volume.status}.")
    if volume.migration_status not in SETTLED:
        raise invalid_volume(f"Volume {volume.id} is being migrated.")


# ---- size and content


def extend(ctx: Context, volume_id: str, size_gib: int, *, online: bool) -> None:
    """Begin to make a volume larger.

    :param online: also one that is in use (3.42).
    :raises BadRequest: when it is in no state for that, or would not be larger.
    :raises OverQuota: when the project has used its share.
    """
    with ctx.cloud.db.begin() as tx:
        volume = find_volume(tx, ctx, volume_id)
        in_use = online and volume.status == states.IN_USE
        rule = "volume:extend_attached_volume" if in_use else "volume:extend"
        ctx.require(rule, {"project_id": volume.project_id, "user_id": volume.user_id})
        require_status(volume, states.AVAILABLE, *([states.IN_USE] if online else []), doing="extend")
        if size_gib <= volume.size_gib:
            raise _invalid(
                f"New size for extend must be greater than current size. (current: {volume.size_gib}, extended: {size_gib})."
            )
        room = {"gigabytes": size_gib - volume.size_gib}
        quotas.require_room(tx, ctx, volume.project_id, per_volume_gigabytes=size_gib)
        quotas.require_room(tx, ctx, volume.project_id, volume_type=volume.volume_type_id or "", **room)
        begin(tx, ctx, volume, states.EXTENDING, {"if_failed": {"size_gib": volume.size_gib}}, size_gib=size_gib)


def revert(ctx: Context, volume_id: str, snapshot_id: str | None) -> None:
    """Begin to give a volume the content of its latest snapshot again.

    :raises BadRequest: when that is not its latest snapshot, or of another size.
    :raises Conflict: when the volume or the snapshot is in no state for that.
    """
    with ctx.cloud.db.begin() as tx:
        volume = find_volume(tx, ctx, volume_id, "volume:revert_to_snapshot")
        taken = snapshot_store.of_volume(tx, volume_id)
        if not taken:
            raise BadRequest(f"Volume {volume_id} doesn't have any snapshots.")
        if snapshot_id != taken[0].id:
            raise BadRequest(f"Specified snapshot {snapshot_id} is None or not the latest one of volume {volume_id}.")
        told = f"Can't revert volume {volume_id} to its latest snapshot {snapshot_id}."
        if volume.size_gib != taken[0].size_gib:
            raise BadRequest(f"{told} The volume size must be equal to the snapshot size.")
        if volume.status != states.AVAILABLE or volume.migration_status not in SETTLED:
            raise Conflict(f"Invalid volume: {told} Volume's status must be 'available'.", kind="InvalidVolume")
        if not snapshot_store.change_if(tx, taken[0].id, ["available"], status="restoring"):
            raise Conflict(f"Invalid snapshot: {told} Snapshot's status must be 'available'.", kind="InvalidSnapshot")
        begin(tx, ctx, volume, states.REVERTING, {"snapshot_id": snapshot_id})


@dataclass(frozen=True)
class Upload:
    """The image that a volume is to be uploaded as."""

    image_name: str
    disk_format: str = "raw"
    container_format: str = "bare"
    visibility: str = "private"
    protected: bool = False


def upload(ctx: Context, volume_id: str, wanted: Upload) -> tuple[Volume, Type | None, str]:
    """Begin to upload a volume as an image; returns the volume, its type and the image's id.

    :raises BadRequest: when it is in no state for that.
    """
    rule = "volume_extension:volume_actions:upload_"
    if wanted.visibility == "public":
        ctx.require(rule + "public")
    with ctx.cloud.db.begin() as tx:
        volume = find_volume(tx, ctx, volume_id, rule + "image")
        require_status(volume, states.AVAILABLE, doing="be uploaded")
        if volume.encryption_key_id is not None and (wanted.disk_format, wanted.container_format) != ("raw", "bare"):
            text = "An encrypted volume uploaded as an image must use 'raw' disk_format and 'bare' container_format"
            raise BadRequest(f"{text}, which are the defaults for these options.")
        try:
            image = image_making.reserve(tx, ctx, _image(tx, ctx, volume, wanted))
        except KeyLost as error:
            raise invalid_volume(str(error)) from error
        except Fault as error:
            raise BadRequest(error.message) from error
        begin(tx, ctx, volume, states.UPLOADING, {"upload_image_id": image.id, "disk_format": wanted.disk_format})
        shown = find_volume(tx, ctx, volume_id)
        kind = type_store.get(tx, volume.volume_type_id) if volume.volume_type_id else None
    if wanted.protected:
        images.update(ctx, image.id, [patch.Change("replace", "protected", True)])
    return shown, kind, image.id


def _image(tx: Connection, ctx: Context, volume: Volume, wanted: Upload) -> image_making.Wanted:
    kept = store.image_metadata_of(tx, [volume.id]).get(volume.id, {})
    numbers = {name: int(kept[name]) for name in ("min_disk", "min_ram") if kept.get(name, "").isdecimal()}
    properties = {key: value for key, value in kept.items() if key not in OWN_IMAGE_KEYS | volume_images.KEY_NAMES}
    image_id = ids.uuid()
    if volume.encryption_key_id is not None:
        properties |= volume_images.seal(tx, volume.encryption_key_id, ctx.project_id, image_id)
    return image_making.Wanted(
        wanted.image_name, wanted.disk_format, wanted.container_format, numbers.get("min_disk", 0), numbers.get("min_ram", 0),
        wanted.visibility, properties, image_id,
    )  # fmt: skip


def reimage(ctx: Context, volume_id: str, image_id: str, *, reserved: bool) -> None:
    """Begin to make a volume's content that of an image again.

    :param reserved: also of a volume that is kept for someone.
    :raises BadRequest: when it is in no state for that, or the image does not fit.
    """
    with ctx.cloud.db.begin() as tx:
        volume = find_volume(tx, ctx, volume_id, "volume:reimage_reserved" if reserved else "volume:reimage")
        allowed = (states.AVAILABLE, states.ERROR, *((states.RESERVED,) if reserved else ()))
        require_status(volume, *allowed, doing="be re-imaged")
        image = volume_images.find(tx, ctx, image_id)
        if volume_images.key_of(image) is not None:
            raise _invalid(f"Image {image_id} is encrypted: volumes are made of it anew, with its key.")
        if not image.size:
            raise _invalid(f"Image {image_id} has no content of its own.")
        volume_images.require_fit(image, volume.size_gib)
        aside = {
            "from_image_id": image_id, "beside_id": ids.uuid(), "image_metadata": volume_images.describe(image),
        }  # fmt: skip
        begin(tx, ctx, volume, states.DOWNLOADING, aside)


# ---- place and type


def retype(ctx: Context, volume_id: str, new_type: str, policy: str) -> None:
    """Begin to give a volume another type.

    :param policy: never, or on-demand: it may be carried to another back end.
    :raises BadRequest: when it is in no state for that, or the types do not go together.
    :raises NotFound: when there is no such type.
    :raises OverQuota: when the project has used its share of the new type.
    """
    ctx.cloud.part(Gauges).read(ctx.cloud)
    with ctx.cloud.db.read() as tx:
        volume = find_volume(tx, ctx, volume_id, "volume:retype")
        kind = types.find(tx, ctx, new_type)
    stays = moves.fits(ctx.cloud, volume, kind.id)
    with ctx.cloud.db.begin() as tx:
        volume = find_volume(tx, ctx, volume_id, "volume:retype")
        require_status(volume, states.AVAILABLE, states.IN_USE, doing="be retyped")
        _require_retypable(tx, volume, kind)
        if not stays and policy == "on-demand":
            _require_movable(tx, volume)
            if store.count_snapshots(tx, volume_id):
                raise invalid_volume("A volume that has snapshots is not carried to another back end.")
        store.describe(tx, volume_id, counts=False)
        room = {"volumes": 1, "gigabytes": volume.size_gib}
        quotas.require_room(tx, ctx, volume.project_id, volume_type=kind.id, **room)
        store.describe(tx, volume_id, counts=volume.counts)
        begin(tx, ctx, volume, states.RETYPING, {"type_id": kind.id, "policy": policy})


def _require_retypable(tx: Connection, volume: Volume, kind: Type) -> None:
    old = type_store.get(tx, volume.volume_type_id) if volume.volume_type_id else None
    if volume.group_id is not None:
        raise invalid_volume(f"Volume {volume.id} is in a group.")
    if kind.id == volume.volume_type_id:
        raise _invalid(f"New volume_type same as original: {kind.name}.")
    if (kind.encryption is None) != (volume.encryption_key_id is None):
        raise _invalid("Retype between types that encrypt and types that do not is not possible.")
    if volume.status == states.IN_USE and old is not None:
        if old.qos_specs_id != kind.qos_specs_id and "front-end" in (old.qos_consumer, kind.qos_consumer):
            raise _invalid("Retype cannot change front-end qos specs for in-use volume")
        if (kind.extra_specs.get("multiattach", "") == volume_create.MULTIATTACH) != volume.multiattach:
            raise _invalid("Changing volume type to or from multiattach is possible while the volume is available.")


def migrate(ctx: Context, volume_id: str, host: str, *, lock: bool) -> None:
    """Begin to carry a volume to another back end; an admin's right.

    :param host: HOST@BACKEND, or with #POOL.
    :param lock: nobody may use the volume meanwhile, and all see that.
    :raises BadRequest: when it is in no state for that, or there is no such back end.
    """
    wanted = placing.pool_host(host.partition("#")[0])
    with ctx.cloud.db.begin() as tx:
        volume = find_volume(tx, ctx, volume_id, "volume_extension:volume_admin_actions:migrate_volume")
        require_status(volume, states.AVAILABLE, states.IN_USE, doing="be migrated")
        if host.partition("#")[0] not in ctx.cloud.bus.hosts("volume") or host not in (wanted, wanted.partition("#")[0]):
            raise BadRequest(f"Invalid host: No available service named {host}", kind="InvalidHost")
        if wanted == volume.host:
            raise BadRequest("Invalid host: Destination host must be different than the current host.", kind="InvalidHost")
        _require_movable(tx, volume)
        if store.count_snapshots(tx, volume_id) or volume.group_id is not None:
            raise invalid_volume(f"Volume {volume_id} must not have snapshots or be part of a group to be migrated.")
        aside = {"wanted_host": wanted, "unlocked": not lock}
        begin(tx, ctx, volume, states.MAINTENANCE, aside, migration_status="starting")


def _require_movable(tx: Connection, volume: Volume) -> None:
    if volume.status == states.IN_USE and moves.movable(attachment_store.of_volume(tx, volume.id)) is None:
        raise invalid_volume(f"Volume {volume.id} is in use: {moves.NOT_MOVABLE}")


def complete_migration(ctx: Context, volume_id: str, new_volume_id: str) -> None:
    """Say that a volume has been copied by someone else: none ever is here.

    :raises BadRequest: always; :raises NotFound: when there is no such volume.
    """
    with ctx.cloud.db.read() as tx:
        for id in (volume_id, new_volume_id):
            find_volume(tx, ctx, id, "volume_extension:volume_admin_actions:migrate_volume_completion")
    raise invalid_volume("Source volume not mid-migration.")


def complete_extension(ctx: Context, volume_id: str) -> None:
    """Say that compute has made a disk larger: no back end here waits for that.

    :raises BadRequest: always; :raises NotFound: when there is no such volume.
    """
    with ctx.cloud.db.read() as tx:
        volume = find_volume(tx, ctx, volume_id, "volume_extension:volume_actions:extend_volume_completion")
    raise invalid_volume(f"Volume {volume_id} is {volume.status} and waits for nobody to complete its extension.")


# ---- small changes


def set_bootable(ctx: Context, volume_id: str, bootable: bool) -> None:
    """Say whether servers can boot from a volume.  :raises BadRequest: while it is being moved."""
    with ctx.cloud.db.begin() as tx:
        volume = find_volume(tx, ctx, volume_id, "volume:update")
        if volume.status == states.MAINTENANCE:
            raise invalid_volume("The volume cannot be updated during maintenance.")
        store.describe(tx, volume_id, bootable=bootable, updated_at=ctx.cloud.clock.now())


def set_read_only(ctx: Context, volume_id: str, read_only: bool) -> None:
    """Say whether those who attach a volume may only read it.  :raises BadRequest: when it is not available."""
    with ctx.cloud.db.begin() as tx:
        volume = find_volume(tx, ctx, volume_id, "volume:update_readonly_flag")
        require_status(volume, states.AVAILABLE, doing="update readonly flag")
        if not store.change_if(tx, volume, read_only=read_only, updated_at=ctx.cloud.clock.now()):
            raise invalid_volume(f"Volume {volume_id} was changed at the same moment.")


def reset(
    ctx: Context, volume_id: str, status: str | None, *, detached: bool = False, migration_status: str | None = None
) -> None:
    """Say what the state of a volume is, whatever it really is; an admin's right.

    :param detached: take it from all who have it.
    :param migration_status: "none" forgets it; None leaves it.
    :raises BadRequest: when that state cannot be.
    """
    with ctx.cloud.db.begin() as tx:
        volume = find_volume(tx, ctx, volume_id, "volume_extension:volume_admin_actions:reset_status")
        if status in (states.DELETING, states.ERROR_DELETING, states.DETACHING):
            raise BadRequest(f"Cannot reset-state to {status}")
        its_attachments = attachment_store.of_volume(tx, volume_id)
        if status == states.IN_USE and not its_attachments:
            raise BadRequest("Cannot reset-state to in-use because volume does not have any attachments.")
        values: dict[str, Any] = {"status": status, "before": "", "aside": None} if status else {}
        if migration_status:
            values["migration_status"] = None if migration_status == "none" else migration_status
        if values:
            store.change(tx, volume_id, **values, updated_at=ctx.cloud.clock.now())
        for row in its_attachments if detached else ():
            now = ctx.cloud.clock.now()
            attachment_store.change(tx, row.id, status=attachments.DETACHING, attached_at=None, expires_at=now)
        if detached and volume.status in attachments.MOVED and not status:
            store.change(tx, volume_id, status=states.AVAILABLE)
