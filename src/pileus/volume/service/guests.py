"""What compute does with volumes: know them, keep them for servers, reach them, let go of them.  For compute alone.

    reserve -> connect (I/O) -> attached -> begin_detach -> disconnect (I/O) -> release          (any time before: release)

`connect` and `disconnect` talk to the back end, so they may not be called in a transaction; both may be repeated.  All else
happens in the caller's transaction.  Who does not come to `attached`, or after `begin_detach` to `release`, within
volume_attach_timeout_seconds is told by the event "volume.attachment.expired"; if the listener neither says how it is
(`attached`, `release`, `abort_detach`, `park`) nor asks for more time (`prolong`), what was begun is taken back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from pileus.kernel.context import Cloud, Context, cloud_itself
from pileus.kernel.errors import BadRequest, Conflict
from pileus.volume.driver import VolumeDriverError
from pileus.volume.keys import KeyLost
from pileus.volume.service import access, connections, snapshots, volumes
from pileus.volume.service import attachments as service
from pileus.volume.store import attachments as store
from pileus.volume.store import snapshots as snapshot_store
from pileus.volume.store import types
from pileus.volume.store import volumes as volume_store
from pileus.volume.store.attachments import Attachment
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import attachments as work
from pileus.volume.tasks import keys, moves

__all__ = ["VolumeDriverError"]


@dataclass(frozen=True, slots=True)
class AttachedVolume:
    """A volume that a server has, or is about to have.  status: reserved, attaching, attached, detaching."""

    volume_id: str
    attachment_id: str
    server_id: str
    device: str | None
    status: str
    read_only: bool
    host: str | None


@dataclass(frozen=True, slots=True)
class VolumeFacts:
    """What compute knows of a volume."""

    id: str
    project_id: str
    status: str
    size_gib: int
    bootable: bool
    multiattach: bool
    read_only: bool
    encrypted: bool
    image_metadata: Mapping[str, str]
    volume_type: str | None
    availability_zone: str
    attachments: Sequence[AttachedVolume] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """What compute knows of a snapshot; bootable and image_metadata are those of its volume."""

    id: str
    size_gib: int
    status: str
    volume_id: str
    bootable: bool
    image_metadata: Mapping[str, str]


def facts(tx: Connection, ctx: Context, volume_id: str) -> VolumeFacts:
    """Return what there is to know of a volume.  :raises NotFound: VolumeNotFound when there is none for the caller."""
    volume = access.find_volume(tx, ctx, volume_id)
    kind = types.get(tx, volume.volume_type_id) if volume.volume_type_id else None
    return VolumeFacts(
        volume.id, volume.project_id, volume.status, volume.size_gib, volume.bootable, volume.multiattach, volume.read_only,
        volume.encryption_key_id is not None, volume_store.image_metadata_of(tx, [volume.id]).get(volume.id, {}),
        kind.name if kind else None, volume.availability_zone,
        tuple(_shown(volume, row) for row in store.of_volumes(tx, [volume.id]).get(volume.id, ())),
    )  # fmt: skip


def snapshot_facts(tx: Connection, ctx: Context, snapshot_id: str) -> SnapshotFacts:
    """Return what there is to know of a snapshot.  :raises NotFound: SnapshotNotFound when there is none for the caller."""
    snapshot = access.find_snapshot(tx, ctx, snapshot_id)
    volume = volume_store.get(tx, snapshot.volume_id)
    image_metadata = volume_store.image_metadata_of(tx, [snapshot.volume_id]).get(snapshot.volume_id, {})
    bootable = volume is not None and bool(volume.bootable)
    return SnapshotFacts(snapshot.id, snapshot.size_gib, snapshot.status, snapshot.volume_id, bootable, image_metadata)


def create(
    tx: Connection, ctx: Context, name: str, size_gib: int | None, *, image_id: str | None = None,
    snapshot_id: str | None = None, source_volume_id: str | None = None, volume_type: str | None = None,
) -> str:  # fmt: skip
    """Begin to make a volume for a server; returns its id.  "volume.ready" or "volume.failed" tells how that ended.

    :raises BadRequest: when what is asked for makes no sense.
    :raises NotFound: when what it is to be made of is not there.
    :raises OverQuota: when the project has used its share.
    """
    return volumes.make(tx, ctx, volumes.Wanted(
        size_gib, name, volume_type=volume_type, image_id=image_id,
        snapshot_id=snapshot_id, source_volume_id=source_volume_id,
    ))  # fmt: skip


def reserve(
    tx: Connection, ctx: Context, volume_id: str, server_id: str, *, device: str | None = None, of_building: bool = False,
    mode: str = "",
) -> str:  # fmt: skip
    """Keep a volume for a server; returns the attachment's id.

    The volume must be available, or in use and multiattach, or be this server's already (which moves to another host).

    :param of_building: the volume may be in the making still.
    :param mode: ro: the server may only read.
    :raises NotFound: VolumeNotFound when there is none for the caller.
    :raises BadRequest: InvalidVolume when it is in no state for that.
    """
    volume = access.find_volume(tx, ctx, volume_id, "volume:attachment_create")
    wanted = {
        "server_id": server_id, "mountpoint": device, "mode": mode, "of_cloud": True, "expires_at": work.deadline(ctx.cloud),
    }  # fmt: skip
    return service.reserve(tx, ctx, volume, wanted, in_the_making=of_building)


def connect(cloud: Cloud, attachment_id: str, host: str) -> dict[str, Any]:
    """Make a volume reachable for a host and say how; may be repeated, and does I/O.

    Beside driver_volume_type and data there are qos_specs (dict or None), encrypted, luks_key (hex), read_only, size_gib.

    :raises NotFound: VolumeAttachmentNotFound when there is no such attachment.
    :raises VolumeDriverError: when the back end cannot.
    """
    address = cloud.bus.facts(host).get("tunnel")  # where a back end on another host finds it
    work.connect(cloud, attachment_id, {"host": host, "ip": address} if address else {"host": host})
    with cloud.db.read() as tx:
        found = connection(tx, cloud, attachment_id)
    if found is None:
        raise work.no_attachment(attachment_id)
    return found


def connection(tx: Connection, cloud: Cloud, attachment_id: str) -> dict[str, Any] | None:
    """Return what `connect` answered last, brought up to date; None when there is no way to the volume.

    :raises VolumeDriverError: when the volume is encrypted and its key is lost.
    """
    attachment = store.get(tx, attachment_id)
    volume = volume_store.get(tx, attachment.volume_id) if attachment and attachment.connection else None
    if attachment is None or volume is None:
        return None
    try:
        luks_key = keys.reveal(tx, cloud, volume.encryption_key_id)
    except KeyLost as error:
        raise VolumeDriverError(str(error)) from error
    return {
        **attachment.connection, "qos_specs": connections.qos_of(tx, volume), "encrypted": bool(luks_key),
        "luks_key": luks_key, "read_only": work.is_read_only(volume, attachment), "size_gib": volume.size_gib,
    }  # fmt: skip


def attached(tx: Connection, cloud: Cloud, attachment_id: str, device: str | None) -> None:
    """Write down that a server has a volume, at a device.

    :raises NotFound: VolumeAttachmentNotFound when there is no such attachment.
    :raises Conflict: when it is being let go of.
    """
    service.attach(tx, cloud_itself(cloud), _find(tx, attachment_id), mountpoint=device)


def begin_detach(tx: Connection, who: Context | Cloud, attachment_id: str) -> None:
    """Write down that a server is to let go of a volume.  A Context must have the right to do so.

    :raises NotFound: VolumeAttachmentNotFound when there is no such attachment.
    :raises Conflict: when the volume is not attached, or is being detached already.
    """
    attachment = _find(tx, attachment_id)
    if isinstance(who, Context):
        access.find_volume(tx, who, attachment.volume_id, "volume_extension:volume_actions:begin_detaching")
    cloud = who.cloud if isinstance(who, Context) else who
    store.hold(tx, attachment.volume_id)
    if _find(tx, attachment_id).status != work.ATTACHED:
        raise Conflict(
            "Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach.",
            kind="InvalidVolume",
        )
    work.change(tx, cloud, attachment, status=work.DETACHING, expires_at=work.deadline(cloud))


def abort_detach(tx: Connection, cloud: Cloud, attachment_id: str) -> None:
    """Write down that a server keeps the volume it was to let go of; nothing happens when it was not."""
    attachment = store.get(tx, attachment_id)
    if attachment is not None and attachment.status == work.DETACHING and not work.is_doomed(attachment):
        work.change(tx, cloud, attachment, status=work.ATTACHED, expires_at=None)


def disconnect(cloud: Cloud, attachment_id: str) -> None:
    """Take the way to a volume back; may be repeated, does I/O, and nothing happens when there is no such attachment.

    :raises VolumeDriverError: when the back end cannot.
    """
    work.disconnect(cloud, attachment_id)


def release(tx: Connection, cloud: Cloud, attachment_id: str) -> None:
    """Forget an attachment, whatever its state, after `disconnect`; nothing happens when there is none.

    The volume is available again, or in use by others still.
    """
    attachment = store.get(tx, attachment_id)
    if attachment is not None:
        work.release(tx, cloud, attachment)


def park(tx: Connection, cloud: Cloud, attachment_id: str) -> None:
    """Keep a volume for a server that is on no host, for as long as it likes, after `disconnect` (a shelved server).

    :raises NotFound: VolumeAttachmentNotFound when there is no such attachment.
    """
    attachment = _find(tx, attachment_id)
    work.change(
        tx, cloud, attachment, status=work.RESERVED, host=None, connector=None, connection=None, attached_at=None, expires_at=None
    )


def prolong(tx: Connection, cloud: Cloud, attachment_id: str) -> None:
    """Give what is under way as much time again as it had; nothing happens when nothing is under way."""
    attachment = store.get(tx, attachment_id)
    if attachment is not None and attachment.expires_at is not None:
        store.change(tx, attachment_id, expires_at=work.deadline(cloud))


def target_of_move(tx: Connection, cloud: Cloud, attachment_id: str) -> dict[str, Any] | None:
    """Return how the copy of a volume is reached that is being moved to another back end; None: it is not being moved.

    :raises VolumeDriverError: when the volume is encrypted and its key is lost.
    """
    known, attachment = connection(tx, cloud, attachment_id), store.get(tx, attachment_id)
    volume = volume_store.get(tx, attachment.volume_id) if attachment else None
    target = moves.target_of(volume, attachment_id) if volume is not None else None
    return {**known, **target} if known is not None and target is not None else None


def moved(tx: Connection, cloud: Cloud, attachment_id: str) -> None:
    """Write down that a server has the copy of its volume now; nothing happens when the volume is not being moved."""
    attachment = store.get(tx, attachment_id)
    volume = store.hold(tx, attachment.volume_id) if attachment else None
    if attachment is not None and volume is not None and moves.target_of(volume, attachment_id) is not None:
        moves.moved(tx, cloud, volume, attachment)


def refuse_move(tx: Connection, cloud: Cloud, attachment_id: str, why: str) -> None:
    """Write down that a server keeps its volume where it is; nothing happens when that is not being moved."""
    attachment = store.get(tx, attachment_id)
    volume = store.hold(tx, attachment.volume_id) if attachment else None
    if volume is not None and moves.target_of(volume, attachment_id) is not None:
        moves.refused(tx, cloud, volume, why)


def volumes_of(tx: Connection, server_ids: Iterable[str]) -> dict[str, list[AttachedVolume]]:
    """Return what volumes servers have or are about to have, in the order of attaching; servers without are missing."""
    found = store.of_servers(tx, list(server_ids))
    its_volumes = volume_store.many(tx, sorted({row.volume_id for rows in found.values() for row in rows}))
    return {
        server_id: [_shown(its_volumes[row.volume_id], row) for row in rows if row.of_cloud] for server_id, rows in found.items()
    }


def delete(tx: Connection, cloud: Cloud, project_id: str, volume_id: str) -> bool:
    """Begin to delete a volume that ends with its server; tells whether it was in a state for that."""
    volume = volume_store.get(tx, volume_id)
    if volume is None or volume.project_id != project_id:
        return False
    try:
        volumes.remove_in(tx, cloud_itself(cloud, project_id), volume)
    except BadRequest:
        return False
    return True


def snapshot(tx: Connection, ctx: Context, volume_id: str, name: str) -> str:
    """Begin to take a snapshot of a volume, also while a server writes to it; returns its id.

    :raises NotFound: VolumeNotFound when there is no such volume for the caller.
    :raises BadRequest: when it is in no state for that.
    :raises OverQuota: when the project has used its share.
    """
    return snapshots.make(tx, ctx, access.find_volume(tx, ctx, volume_id), name, force=True)


def snapshot_status(tx: Connection, snapshot_id: str) -> str | None:
    """Return the status of a snapshot, such as creating, available or error; None when there is none."""
    found = snapshot_store.get(tx, snapshot_id)
    return None if found is None else str(found.status)


def drop_snapshot(tx: Connection, cloud: Cloud, snapshot_id: str) -> bool:
    """Begin to delete a snapshot; tells whether it was there and in a state for that."""
    found = snapshot_store.get(tx, snapshot_id)
    return found is not None and snapshots.remove_in(tx, cloud, found)


def _find(tx: Connection, attachment_id: str) -> Attachment:
    found = store.get(tx, attachment_id)
    if found is None:
        raise work.no_attachment(attachment_id)
    return found


def _shown(volume: Volume, row: Attachment) -> AttachedVolume:
    return AttachedVolume(
        row.volume_id, row.id, row.server_id or "", row.mountpoint, row.status, work.is_read_only(volume, row), row.host
    )
