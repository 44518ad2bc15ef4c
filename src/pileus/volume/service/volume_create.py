"""Making volumes: what may be asked for, what it is made of, and the row and task that begin it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict
from pileus.volume import states
from pileus.volume.keys import KeyLost
from pileus.volume.service import backup_restores, group_access, quotas, types, volume_images
from pileus.volume.service.access import find_snapshot, find_volume, no_volume
from pileus.volume.store import services
from pileus.volume.store import volumes as store
from pileus.volume.store.types import Type
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import keys, placing
from pileus.volume.tasks import volumes as work

MULTIATTACH = "<is> True"


@dataclass(frozen=True)
class Wanted:
    """The volume to be made.  size_gib None: as large as what it is made of.  volume_type is an id or a name.

    follows_images: an image without content that stands for a server's volumes means the snapshot that it names.
    """

    size_gib: int | None = None
    name: str | None = None
    description: str | None = None
    volume_type: str | None = None
    availability_zone: str | None = None
    image_id: str | None = None
    snapshot_id: str | None = None
    source_volume_id: str | None = None
    backup_id: str | None = None
    group_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    scheduler_hints: Mapping[str, Any] = field(default_factory=dict)
    follows_images: bool = False


@dataclass(frozen=True)
class Origin:
    """What a volume is made of, and what it takes from there.  volume: the one that was cloned or snapshotted."""

    volume: Volume | None = None
    size_gib: int = 0
    volume_type: str | None = None
    bootable: bool = False
    image_metadata: Mapping[str, str] = field(default_factory=dict)
    encryption_key_id: str | None = None


def create(ctx: Context, wanted: Wanted) -> str:
    """Begin to make a volume; returns its id.

    :raises BadRequest: when what is asked for makes no sense.
    :raises NotFound: when what it is to be made of is not there.
    :raises OverQuota: when the project has used its share.
    """
    with ctx.cloud.db.begin() as tx:
        return make(tx, ctx, wanted)


def make(tx: Connection, ctx: Context, wanted: Wanted) -> str:
    """Begin to make a volume, in an open transaction; returns its id.

    :raises BadRequest: when what is asked for makes no sense.
    :raises NotFound: when what it is to be made of is not there.
    :raises OverQuota: when the project has used its share.
    """
    ctx.require("volume:create")
    named = [wanted.snapshot_id, wanted.image_id, wanted.source_volume_id, wanted.backup_id]
    if sum(map(bool, named)) > 1:
        raise _invalid("snapshot, imageRef, source_volume and backup exclude one another: name one of them.")
    wanted = _of_boot_snapshot(tx, ctx, wanted)
    origin = _origin(tx, ctx, wanted)
    size_gib = require_size(wanted, origin)
    kind = _type(tx, ctx, wanted, origin)
    multiattach = kind.extra_specs.get("multiattach", "") == MULTIATTACH
    if multiattach:
        ctx.require("volume:multiattach")
        if kind.encryption is not None:
            raise BadRequest("Invalid volume: Multiattach cannot be used with encrypted volumes.", kind="InvalidVolume")
    if wanted.group_id:
        group = group_access.require_member(tx, ctx, wanted.group_id, kind)
        wanted = replace(wanted, availability_zone=wanted.availability_zone or group.availability_zone)
    zone = _zone(tx, wanted, origin, kind)
    room = {"volumes": 1, "gigabytes": size_gib, "per_volume_gigabytes": size_gib}
    quotas.require_room(tx, ctx, ctx.project_id, volume_type=kind.id, **room)
    volume_id = ids.uuid()
    _write(tx, ctx, replace(wanted, size_gib=size_gib), {
        "id": volume_id, "volume_type_id": kind.id, "multiattach": multiattach, "availability_zone": zone,
        "bootable": origin.bootable, "encryption_key_id": encryption_key(tx, ctx, kind, origin),
        "aside": {"request_id": ctx.request_id, **({"as_it_is": True} if wanted.image_id and origin.encryption_key_id else {})},
    })  # fmt: skip
    if wanted.metadata:
        store.put_metadata(tx, volume_id, wanted.metadata)
    if origin.image_metadata:
        store.put_image_metadata(tx, volume_id, origin.image_metadata)
    if wanted.backup_id:
        backup_restores.begin(tx, ctx, backup_restores.find_restorable(tx, ctx, wanted.backup_id), volume_id)
    work.go(tx, ctx.cloud, volume_id, states.CREATING)
    return volume_id


def encryption_key(tx: Connection, ctx: Context, kind: Type, origin: Origin) -> str | None:
    """Return the id of the key of a new volume, or None for one that is not encrypted; a copy has its source's key."""
    if kind.encryption is None:
        return None
    try:
        return keys.copy(tx, origin.encryption_key_id, ctx.project_id) or keys.make(tx, ctx.cloud, ctx.project_id)
    except KeyLost as error:
        raise _invalid(str(error)) from error


def _write(tx: Connection, ctx: Context, wanted: Wanted, values: Mapping[str, Any]) -> None:
    store.add(
        tx, project_id=ctx.project_id, user_id=ctx.user_id, name=wanted.name, description=wanted.description,
        created_at=ctx.cloud.clock.now(), status=states.CREATING, size_gib=wanted.size_gib, snapshot_id=wanted.snapshot_id,
        source_volume_id=wanted.source_volume_id, image_id=wanted.image_id, backup_id=wanted.backup_id,
        group_id=wanted.group_id, scheduler_hints=dict(wanted.scheduler_hints), **values,
    )  # fmt: skip


# ---- what it is made of


def _origin(tx: Connection, ctx: Context, wanted: Wanted) -> Origin:
    if wanted.image_id:
        return _of_image(tx, ctx, wanted)
    if wanted.snapshot_id:
        return _of_snapshot(tx, ctx, wanted.snapshot_id)
    if wanted.source_volume_id:
        return _of_volume(tx, ctx, wanted.source_volume_id)
    if wanted.backup_id:
        backup = backup_restores.find_restorable(tx, ctx, wanted.backup_id)
        return Origin(size_gib=backup.size_gib, encryption_key_id=backup.encryption_key_id)
    return Origin()


def _of_boot_snapshot(tx: Connection, ctx: Context, wanted: Wanted) -> Wanted:
    """Name the snapshot in the place of an image that stands for one, where the caller knows of such images (3.46)."""
    if not (wanted.image_id and wanted.follows_images):
        return wanted
    snapshot_id = volume_images.boot_snapshot(tx, ctx, volume_images.find(tx, ctx, wanted.image_id))
    return replace(wanted, image_id=None, snapshot_id=snapshot_id) if snapshot_id else wanted


def _of_image(tx: Connection, ctx: Context, wanted: Wanted) -> Origin:
    ctx.require("volume:create_from_image")
    size_gib = require_size(wanted, Origin())
    image = volume_images.find(tx, ctx, str(wanted.image_id))
    volume_images.require_fit(image, size_gib)
    return Origin(
        volume_type=image.properties.get("cinder_img_volume_type"), bootable=True, image_metadata=volume_images.describe(image),
        encryption_key_id=volume_images.key_of(image),
    )  # fmt: skip


def _of_snapshot(tx: Connection, ctx: Context, snapshot_id: str) -> Origin:
    snapshot = find_snapshot(tx, ctx, snapshot_id)
    if snapshot.status not in ("available", "backing-up"):
        raise BadRequest(
            "Invalid snapshot: Originating snapshot status must be one of 'available, backing-up' values", kind="InvalidSnapshot"
        )
    volume = store.get(tx, snapshot.volume_id)
    if volume is None:
        raise no_volume(snapshot.volume_id)
    return _taking_after(tx, volume, snapshot.size_gib, snapshot.volume_type_id, snapshot.encryption_key_id)


def _of_volume(tx: Connection, ctx: Context, volume_id: str) -> Origin:
    volume = find_volume(tx, ctx, volume_id)
    if volume.status not in (states.AVAILABLE, states.IN_USE):
        raise BadRequest(
            "Invalid volume: Originating source volume status must be one of 'available, in-use' values", kind="InvalidVolume"
        )
    return _taking_after(tx, volume, volume.size_gib, volume.volume_type_id, volume.encryption_key_id)


def _taking_after(tx: Connection, volume: Volume, size_gib: int, type_id: str | None, key_id: str | None) -> Origin:
    kept = store.image_metadata_of(tx, [volume.id]).get(volume.id, {})
    return Origin(volume, size_gib, type_id, volume.bootable, kept, key_id)


# ---- what is asked for


def require_size(wanted: Wanted, origin: Origin) -> int:
    """Return the size of a volume, in GiB.  :raises BadRequest: when it is none, or too small for what it is made of."""
    size_gib = wanted.size_gib or origin.size_gib
    if size_gib <= 0:
        raise _invalid(f"Volume size '{wanted.size_gib}' must be an integer and greater than 0")
    if wanted.source_volume_id and size_gib < origin.size_gib:
        raise _invalid(
            f"Volume size '{size_gib}'GB cannot be smaller than original volume size  {origin.size_gib}GB. "
            "They must be >= original volume size."
        )
    if wanted.backup_id and size_gib < origin.size_gib:
        raise _invalid(
            f"Volume size {size_gib}GB cannot be smaller than the backup size {origin.size_gib}GB. It must be >= backup size."
        )
    if wanted.snapshot_id and size_gib < origin.size_gib:
        raise _invalid(
            f"Volume size '{size_gib}'GB cannot be smaller than the snapshot size {origin.size_gib}GB. "
            "They must be >= original snapshot size."
        )
    return size_gib


def _type(tx: Connection, ctx: Context, wanted: Wanted, origin: Origin) -> Type:
    if wanted.volume_type:
        kind = types.find(tx, ctx, wanted.volume_type)
    elif origin.volume_type:
        kind = types.find(tx, ctx, origin.volume_type)
    else:
        kind = types.default_for(tx, ctx)
    copied = origin.volume is not None or wanted.backup_id or origin.encryption_key_id is not None
    if copied and (origin.encryption_key_id is None) != (kind.encryption is None):
        text = "a copy is encrypted as its source is: choose a type that encrypts as the source's does"
        raise _invalid(f"Invalid volume_type provided: {kind.name} ({text}).")
    return kind


def _zone(tx: Connection, wanted: Wanted, origin: Origin, kind: Type) -> str:
    """Return the zone of a volume; empty where its type allows several and none is named."""
    allowed, known = placing.zones_of(kind.extra_specs), zones(tx)
    usable = known & set(allowed) if allowed else known
    if not usable:
        raise BadRequest(
            f"Volume type is only supported in the availability zones {allowed}.", kind="InvalidTypeAvailabilityZones"
        )
    zone = wanted.availability_zone or (origin.volume.availability_zone if origin.volume is not None else "")
    if not zone and not allowed:
        zone = services.DEFAULT_ZONE
    if zone and zone not in usable:
        raise _invalid(f"Availability zone '{zone}' is invalid.")
    if origin.volume is not None and zone and zone != origin.volume.availability_zone:
        what = "snapshot" if wanted.snapshot_id else "source volume"
        raise _invalid(f"Volume must be in the same availability zone as the {what}")
    return zone


def zones(tx: Connection) -> set[str]:
    """Return the zones that back ends are in."""
    return {part.availability_zone for part in services.backends(tx).values()} | {services.DEFAULT_ZONE}


def _invalid(text: str) -> BadRequest:
    return BadRequest(f"Invalid input received: {text}", kind="InvalidInput")


def lost_race(volume_id: str) -> Conflict:
    """Return the fault of a volume that someone else changed at the same moment."""
    return Conflict(f"Volume {volume_id} was changed at the same time. Try again.", kind="ResourceConflict")
