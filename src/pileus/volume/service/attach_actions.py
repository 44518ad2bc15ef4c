"""The older way to attach: actions on a volume, whose caller does the attaching and says at each step how far it is.

    os-reserve, os-initialize_connection, os-attach  ...  os-begin_detaching, os-terminate_connection, os-detach

What servers of this cloud have is left alone: their volumes are detached by compute.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, Unavailable
from pileus.volume import states
from pileus.volume.driver import VolumeDriverError
from pileus.volume.service import access, connections
from pileus.volume.service.attachments import attach as mark_attached
from pileus.volume.service.attachments import begin, let_go, require_not_served
from pileus.volume.store import attachments as store
from pileus.volume.store.attachments import Attachment
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import attachments as work

ACTIONS = "volume_extension:volume_actions:"
NOT_MIGRATING = (None, "deleting", "error", "success")


def reserve(ctx: Context, volume_id: str) -> None:
    """Keep a volume for whoever is about to attach it.

    :raises BadRequest: InvalidVolume when it is not free.
    """
    with ctx.cloud.db.begin() as tx:
        volume = _hold(tx, ctx, volume_id, ACTIONS + "reserve")
        free = (states.AVAILABLE, states.IN_USE) if volume.multiattach else (states.AVAILABLE,)
        if volume.status not in free:
            expected = " or ".join(free)
            raise _invalid(f"Volume status must be {expected} to reserve, but the status is {volume.status}.")
        _claim(tx, ctx, volume, work.ATTACHING)


def unreserve(ctx: Context, volume_id: str) -> None:
    """Take back what `reserve` did; nothing happens where it did nothing."""
    with ctx.cloud.db.begin() as tx:
        _unreserve(tx, ctx, _hold(tx, ctx, volume_id, ACTIONS + "unreserve"))


def _unreserve(tx: Connection, ctx: Context, volume: Volume) -> None:
    for row in store.of_volume(tx, volume.id):
        if row.claim and row.status == work.ATTACHING:
            if row.connection:
                work.change(tx, ctx.cloud, row, status=work.EXPORTED)
            else:
                work.release(tx, ctx.cloud, row)


def begin_detaching(ctx: Context, volume_id: str) -> None:
    """Say that a volume is about to be detached.

    :raises BadRequest: InvalidVolume when nobody has it.
    :raises Conflict: when only servers of this cloud have it.
    """
    with ctx.cloud.db.begin() as tx:
        volume = _hold(tx, ctx, volume_id, ACTIONS + "begin_detaching")
        found = [row for row in _present(tx, volume) if row.status == work.ATTACHED]
        if volume.status != states.IN_USE or not found or volume.migration_status not in NOT_MIGRATING:
            raise _invalid(
                "Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach."
            )
        own = [row for row in found if not row.of_cloud]
        if not own:
            require_not_served(ctx, found[0])
        for row in own:
            begin(tx, ctx, row)


def roll_detaching(ctx: Context, volume_id: str) -> None:
    """Say that a volume is not detached after all."""
    with ctx.cloud.db.begin() as tx:
        _roll_back(tx, ctx, _hold(tx, ctx, volume_id, ACTIONS + "roll_detaching"))


def _roll_back(tx: Connection, ctx: Context, volume: Volume) -> None:
    for row in store.of_volume(tx, volume.id):
        if row.status == work.DETACHING and not row.of_cloud and not work.is_doomed(row):
            work.change(tx, ctx.cloud, row, status=work.ATTACHED, expires_at=None)


def attach(ctx: Context, volume_id: str, server_id: str | None, host: str | None, mountpoint: str, mode: str) -> None:
    """Say that a server, or a host, has a volume; twice is the same as once.

    :raises BadRequest: InvalidVolume when someone else has it, or it is in no state for that; InvalidVolumeAttachMode when
        it may only be read.
    """
    with ctx.cloud.db.begin() as tx:
        volume = _hold(tx, ctx, volume_id, ACTIONS + "attach")
        if volume.status == states.MAINTENANCE:
            raise _invalid("The volume cannot be attached in maintenance mode.")
        if volume.read_only and mode != "ro":
            text = f"Invalid attaching mode '{mode}' for volume {volume_id}."
            raise BadRequest(text, kind="InvalidVolumeAttachMode")
        present = _present(tx, volume)
        if any(row.server_id == server_id if server_id else row.host == host for row in present if row.status == work.ATTACHED):
            return
        claim = _claimed(tx, volume, host)
        if volume.status == states.IN_USE and not volume.multiattach:
            raise _invalid("volume is already attached and multiple attachments are not enabled")
        if volume.status not in (states.AVAILABLE, states.IN_USE) and not (volume.status == states.ATTACHING and claim):
            raise _invalid(f"Volume {volume_id} cannot be attached: its status is {volume.status}.")
        if claim is None:
            claim = _claim(tx, ctx, volume, work.ATTACHING)
        told = {"server_id": server_id, "host": host or claim.host, "mountpoint": mountpoint, "mode": mode, "claim": False}
        mark_attached(tx, ctx, claim, **told)


def detach(ctx: Context, volume_id: str, attachment_id: str | None) -> None:
    """Say that a server, or a host, no longer has a volume.

    :raises BadRequest: when it is unclear who is meant, or that is another volume's attachment.
    :raises Conflict: when a server of this cloud has the volume, or someone else detaches it at this moment.
    :raises Unavailable: when the back end cannot.
    """
    with ctx.cloud.db.begin() as tx:
        volume = _hold(tx, ctx, volume_id, ACTIONS + "detach")
        row = _meant(tx, volume, attachment_id)
        if row is not None:
            require_not_served(ctx, row)
        if volume.status == states.MAINTENANCE:
            raise _invalid("The volume cannot be detached in maintenance mode.")
        if row is None:
            work.settle(tx, ctx.cloud, volume.id)
            return
        begin(tx, ctx, row)
    _end(ctx, row)


def force_detach(ctx: Context, volume_id: str, attachment_id: str | None) -> None:
    """Take a volume from whoever has it, whatever its state.  For a service compute takes it from a server of this cloud, too.

    :raises BadRequest: when it is unclear who is meant, or that is another volume's attachment.
    :raises Conflict: when a server of this cloud has the volume: people detach it there.
    :raises Unavailable: when the back end cannot.
    """
    with ctx.cloud.db.begin() as tx:
        volume = _hold(tx, ctx, volume_id, "volume_extension:volume_admin_actions:force_detach")
        row = _meant(tx, volume, attachment_id)
        if row is None:
            _unreserve(tx, ctx, volume)
            work.settle(tx, ctx.cloud, volume.id, force=True)
            return
        require_not_served(ctx, row)
        begin(tx, ctx, row)
        if row.of_cloud:
            facts = {"attachment_id": row.id, "server_id": row.server_id, "volume_id": volume.id}
            ctx.cloud.events.publish(tx, ctx.cloud, "volume.detach.wanted", facts)
            return
    _end(ctx, row)


def _end(ctx: Context, row: Attachment) -> None:
    if not let_go(ctx, row, force=True):
        raise Conflict(f"Resource conflict: volume {row.volume_id} is detached already", kind="ResourceConflict")
    with ctx.cloud.db.begin() as tx:
        volume = store.hold(tx, row.volume_id)
        if volume is not None:
            _roll_back(tx, ctx, volume)


def initialize_connection(ctx: Context, volume_id: str, connector: Mapping[str, Any]) -> dict[str, Any]:
    """Make a volume reachable for a host and say how.

    :raises BadRequest: InvalidVolume when it is in no state for that.
    :raises Unavailable: when the back end cannot.
    """
    host = str(connector.get("host") or "")
    with ctx.cloud.db.begin() as tx:
        volume = _hold(tx, ctx, volume_id, ACTIONS + "initialize_connection")
        if volume.status == states.MAINTENANCE:
            raise _invalid("The volume connection cannot be initialized in maintenance mode.")
        if volume.host is None or volume.status in (states.CREATING, states.DELETING, states.ERROR):
            raise _invalid(f"Volume {volume_id} cannot be reached: its status is {volume.status}.")
        own = [row for row in _present(tx, volume) if not row.of_cloud and row.host == host]
        row = own[0] if own else _claimed(tx, volume, host) or _claim(tx, ctx, volume, work.EXPORTED)
        if row.claim and connector.get("mode") == "ro":
            store.change(tx, row.id, mode="ro")
    try:
        work.connect(ctx.cloud, row.id, connector)
    except VolumeDriverError as error:
        text = f"Unable to fetch connection information from backend: {error}"
        raise Unavailable(text, kind="VolumeBackendAPIException") from error
    with ctx.cloud.db.read() as tx:
        made = store.get(tx, row.id)
        if made is None:
            raise work.no_attachment(row.id)
        found = connections.nested(volume, made, connections.qos_of(tx, volume))
    return found | {"enforce_multipath": bool(connector.get("enforce_multipath", False))}


def terminate_connection(ctx: Context, volume_id: str, connector: Mapping[str, Any] | None) -> None:
    """Take the way to a volume back: from one host, or from all when none is named.

    :raises Conflict: when servers of this cloud have the volume.
    :raises Unavailable: when the back end cannot.
    """
    host = str((connector or {}).get("host") or "")
    with ctx.cloud.db.begin() as tx:
        volume = _hold(tx, ctx, volume_id, ACTIONS + "terminate_connection")
        rows = store.of_volume(tx, volume.id)
        for row in rows:
            require_not_served(ctx, row)
    for row in rows:
        if row.connection and not row.of_cloud and (not host or row.host == host):
            _unreach(ctx, row)
    with ctx.cloud.db.begin() as tx:
        _unreserve(tx, ctx, volume)


def _unreach(ctx: Context, row: Attachment) -> None:
    try:
        work.disconnect(ctx.cloud, row.id)
    except VolumeDriverError as error:
        text = f"Unable to terminate volume connection from backend: {error}"
        raise Unavailable(text, kind="VolumeBackendAPIException") from error
    if row.claim and row.status == work.EXPORTED:
        with ctx.cloud.db.begin() as tx:
            work.release(tx, ctx.cloud, row)


def _hold(tx: Connection, ctx: Context, volume_id: str, rule: str) -> Volume:
    access.find_volume(tx, ctx, volume_id, rule)
    held = store.hold(tx, volume_id)
    if held is None:
        raise access.no_volume(volume_id)
    return held


def _present(tx: Connection, volume: Volume) -> Sequence[Attachment]:
    return [row for row in store.of_volume(tx, volume.id) if not row.claim]


def _claimed(tx: Connection, volume: Volume, host: str | None) -> Attachment | None:
    """Return the claim of a host, else one that no host is known of yet, else (for an unknown host) any."""
    claims = [row for row in store.of_volume(tx, volume.id) if row.claim and not work.is_doomed(row)]
    fitting = [row for row in claims if row.host == host] if host else claims
    unbound = [row for row in claims if row.host is None]
    return next(iter(fitting or unbound), None)


def _claim(tx: Connection, ctx: Context, volume: Volume, status: str) -> Attachment:
    id = ids.uuid()
    store.add(
        tx, id=id, volume_id=volume.id, project_id=volume.project_id, status=status, claim=True, of_cloud=False,
        mode="ro" if volume.read_only else "rw", created_at=ctx.cloud.clock.now(), expires_at=work.deadline(ctx.cloud),
    )  # fmt: skip
    work.settle(tx, ctx.cloud, volume.id)
    made = store.get(tx, id)
    if made is None:
        raise work.no_attachment(id)
    return made


def _meant(tx: Connection, volume: Volume, attachment_id: str | None) -> Attachment | None:
    if attachment_id is None:
        present = _present(tx, volume)
        if len(present) > 1:
            raise _invalid("Detach volume failed: More than one attachment, but no attachment_id provided.")
        return present[0] if present else None
    found = store.get(tx, attachment_id)
    if found is not None and found.volume_id != volume.id:
        raise BadRequest("Invalid input received: Mismatched volume and attachment", kind="InvalidInput")
    return None if found is None or found.claim else found


def _invalid(text: str) -> BadRequest:
    return BadRequest(f"Invalid volume: {text}", kind="InvalidVolume")
