"""Attachments: a volume is kept for someone, made reachable for a host, in use, and let go of."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, Unavailable
from pileus.volume import states
from pileus.volume.driver import VolumeDriverError
from pileus.volume.service import access
from pileus.volume.store import attachments as store
from pileus.volume.store import volumes
from pileus.volume.store.attachments import Attachment
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import attachments as work

Wanted = Mapping[str, Any]
"""What an attachment starts with, beside its volume: server_id, mode, mountpoint, of_cloud, expires_at."""


def find(tx: Connection, ctx: Context, id: str, rule: str) -> Attachment:
    """Return an attachment with which the caller may do what a rule says.

    :raises NotFound: VolumeAttachmentNotFound when there is none, or it is another project's.
    :raises Forbidden: when it is the caller's project's and the rule does not hold.
    """
    found = store.get(tx, id)
    if found is None or found.claim:
        raise work.no_attachment(id)
    ctx.require(rule, {"project_id": found.project_id}, hidden=work.no_attachment(id))
    return found


def show(ctx: Context, id: str) -> Attachment:
    """Return an attachment.  :raises NotFound: when there is none."""
    with ctx.cloud.db.read() as tx:
        return find(tx, ctx, id, "volume:get")


def list_all(ctx: Context, exact: Mapping[str, Any], *, all_projects: bool = False) -> list[Attachment]:
    """Return the attachments of the caller's project, or of all, whose attributes have the wanted values."""
    ctx.require("volume:get_all")
    where = dict(exact)
    if not (all_projects and ctx.is_admin):
        where["project_id"] = ctx.project_id
    with ctx.cloud.db.read() as tx:
        return store.search(tx, where)


def create(
    ctx: Context, volume_id: str, server_id: str | None, connector: Mapping[str, Any] | None, mode: str = ""
) -> Attachment:
    """Keep a volume for a server, or for a host; with a connector also make it reachable.

    :param mode: rw or ro; empty: as the connector says.
    :raises NotFound: when there is no such volume.
    :raises BadRequest: InvalidVolume when it is not in a state for that.
    :raises Unavailable: when the back end cannot; then nothing is kept.
    """
    with ctx.cloud.db.begin() as tx:
        volume = access.find_volume(tx, ctx, volume_id, "volume:attachment_create")
        id = reserve(tx, ctx, volume, {"server_id": server_id, "mode": mode})
    if connector:
        try:
            _connect(ctx, id, connector)
        except Unavailable:
            with ctx.cloud.db.begin() as tx:
                if found := store.get(tx, id):
                    work.release(tx, ctx.cloud, found)
            raise
    return show(ctx, id)


def reserve(tx: Connection, ctx: Context, volume: Volume, wanted: Wanted, *, in_the_making: bool = False) -> str:
    """Keep a volume for someone; return the attachment's id.

    A server that has the volume may keep it once more: it is on its way to another host.

    :param in_the_making: the volume may not be there yet.
    :raises BadRequest: InvalidVolume when the volume is not in a state for that.
    """
    held = store.hold(tx, volume.id)
    if held is None:
        raise access.no_volume(volume.id)
    require_free(tx, ctx, held, wanted.get("server_id"), in_the_making=in_the_making)
    id = ids.uuid()
    mode = "ro" if held.read_only else wanted.get("mode", "")
    store.add(tx, **{
        "server_id": None, "claim": False, "of_cloud": False, **wanted, "id": id, "volume_id": held.id, "mode": mode,
        "project_id": held.project_id, "status": work.RESERVED, "created_at": ctx.cloud.clock.now(),
    })  # fmt: skip
    work.settle(tx, ctx.cloud, held.id)
    return id


def require_free(tx: Connection, ctx: Context, volume: Volume, server_id: str | None, *, in_the_making: bool = False) -> None:
    """Check that a volume may be given to someone.

    :raises BadRequest: InvalidVolume when it may not.
    """
    if "error" in volume.status:
        raise BadRequest(
            "Invalid volume: Volume attachments can not be created if the volume is in an error state. "
            f"The Volume {volume.id} currently has a status of: {volume.status} ",
            kind="InvalidVolume",
        )
    if volume.multiattach and volume.status == states.IN_USE and volume.bootable:
        target = {"project_id": volume.project_id, "user_id": volume.user_id}
        ctx.require("volume:multiattach_bootable_volume", target, hidden=access.no_volume(volume.id))
    free = {states.AVAILABLE, states.DOWNLOADING} | ({states.IN_USE} if volume.multiattach else set())
    if volume.status in free:
        return
    present = store.of_volume(tx, volume.id)
    if in_the_making and volume.status == states.CREATING and (volume.multiattach or not present):
        return
    moves = volume.status in (states.IN_USE, states.RESERVED) and server_id is not None
    if moves and any(attachment.server_id == server_id for attachment in present):
        return
    raise BadRequest(
        f"Invalid volume: Volume {volume.id} status must be {' or '.join(sorted(free))} to reserve, "
        f"but the current status is {volume.status}.",
        kind="InvalidVolume",
    )


def update(ctx: Context, id: str, connector: Mapping[str, Any]) -> Attachment:
    """Make the volume of an attachment reachable for a host.

    :raises NotFound: when there is no such attachment.
    :raises Conflict: when the volume is in error, or is reachable for someone else who shares it with nobody.
    :raises Unavailable: when the back end cannot.
    """
    with ctx.cloud.db.read() as tx:
        attachment = find(tx, ctx, id, "volume:attachment_update")
        volume = volumes.get(tx, attachment.volume_id)
        others = [other for other in store.of_volume(tx, attachment.volume_id) if other.id != id]
    if volume is None:
        raise work.no_attachment(id)
    if "error" in volume.status:
        raise Conflict(
            "Resource conflict: Volume attachments can not be updated if the volume is in an error state. "
            f"The Volume {volume.id} currently has a status of: {volume.status} ",
            kind="ResourceConflict",
        )
    if not volume.multiattach and any(o.connection and o.server_id != attachment.server_id for o in others):
        text = f"Resource conflict: duplicate connectors detected on volume {volume.id}"
        raise Conflict(text, kind="ResourceConflict")
    _connect(ctx, id, connector)
    return show(ctx, id)


def complete(ctx: Context, id: str) -> None:
    """Say that a volume is in use.

    :raises NotFound: when there is no such attachment.
    :raises Conflict: when it is being taken back.
    """
    with ctx.cloud.db.begin() as tx:
        attach(tx, ctx, find(tx, ctx, id, "volume:attachment_complete"))


def attach(tx: Connection, ctx: Context, attachment: Attachment, **values: Any) -> None:
    """Write down that a volume is in use.  :raises Conflict: when the attachment is being let go of."""
    store.hold(tx, attachment.volume_id)
    present = store.get(tx, attachment.id)
    if present is None:
        raise work.no_attachment(attachment.id)
    if present.status == work.DETACHING:
        raise Conflict(f"Resource conflict: attachment {attachment.id} is being detached", kind="ResourceConflict")
    now = ctx.cloud.clock.now()
    done = {"status": work.ATTACHED, "expires_at": None, "attached_at": present.attached_at or now}
    work.change(tx, ctx.cloud, present, **done, **values)


def delete(ctx: Context, id: str) -> list[Attachment]:
    """Let go of a volume; return who has it still.

    :raises NotFound: when there is no such attachment.
    :raises Conflict: ConflictNovaUsingAttachment when a server of this cloud has the volume: compute alone detaches it.
    :raises Unavailable: when the back end cannot.
    """
    with ctx.cloud.db.begin() as tx:
        attachment = find(tx, ctx, id, "volume:attachment_delete")
        store.hold(tx, attachment.volume_id)
        require_not_served(ctx, attachment)
        begin(tx, ctx, attachment)
    if not let_go(ctx, attachment):
        raise work.no_attachment(id)
    with ctx.cloud.db.read() as tx:
        return store.of_volumes(tx, [attachment.volume_id]).get(attachment.volume_id, [])


def require_not_served(ctx: Context, attachment: Attachment) -> None:
    """Check that no server of this cloud has the volume at this moment; services may do as they like.

    :raises Conflict: ConflictNovaUsingAttachment when one has.
    """
    if attachment.of_cloud and attachment.connection and "service" not in ctx.roles:
        text = f"Detach volume from instance {attachment.server_id} using the Compute API"
        raise Conflict(text, kind="ConflictNovaUsingAttachment")


def begin(tx: Connection, ctx: Context, attachment: Attachment) -> None:
    """Write down that an attachment is being let go of."""
    work.change(tx, ctx.cloud, attachment, status=work.DETACHING, expires_at=work.deadline(ctx.cloud))


def undo(tx: Connection, ctx: Context, attachment: Attachment) -> None:
    """Write down that an attachment is not let go of: it is as it was."""
    if attachment.attached_at is not None:
        work.change(tx, ctx.cloud, attachment, status=work.ATTACHED, expires_at=None)
    else:
        expires_at = work.deadline(ctx.cloud) if attachment.of_cloud or attachment.claim else None
        status = work.ATTACHING if attachment.connection or attachment.claim else work.RESERVED
        work.change(tx, ctx.cloud, attachment, status=status, expires_at=expires_at)


def let_go(ctx: Context, attachment: Attachment, *, force: bool = False) -> bool:
    """Take the way to a volume back and forget the attachment, telling compute if it was one of its servers'.

    Tells whether it was there: of several who let go of it at once, one does.

    :raises Unavailable: when the back end cannot; then the attachment is as it was.
    """
    try:
        work.disconnect(ctx.cloud, attachment.id)
    except VolumeDriverError as error:
        with ctx.cloud.db.begin() as tx:
            if present := store.get(tx, attachment.id):
                undo(tx, ctx, present)
        raise Unavailable(f"Unable to detach volume: {error}", kind="VolumeBackendAPIException") from error
    with ctx.cloud.db.begin() as tx:
        was_there = work.release(tx, ctx.cloud, attachment, force=force)
        if was_there and attachment.of_cloud:
            facts = {"attachment_id": attachment.id, "server_id": attachment.server_id, "volume_id": attachment.volume_id}
            ctx.cloud.events.publish(tx, ctx.cloud, "volume.attachment.deleted", facts)
    return was_there


def _connect(ctx: Context, id: str, connector: Mapping[str, Any]) -> None:
    told = dict(connector)
    with ctx.cloud.db.begin() as tx:
        found = store.get(tx, id)
        if found is None:
            raise work.no_attachment(id)
        mode = found.mode or ("ro" if told.get("mode") == "ro" else "rw")
        store.change(tx, id, mode=mode, mountpoint=told.get("mountpoint") or found.mountpoint)
    try:
        work.connect(ctx.cloud, id, told)
    except VolumeDriverError as error:
        raise Unavailable(f"Unable to update attachment ({error}).", kind="VolumeBackendAPIException") from error
