"""Who is attached to a volume: the states, the way to the back end and back, and what has taken too long.

    (none) --reserve--> reserved --connect--> attaching --attached--> attached <--> detaching --release--> (none)
                            '---------------------'----------release----------------------------------------^

The volume's status follows its attachments: in-use when one is attached, else attaching, detaching or reserved, else
available.  While something else is under way (it is made, extended, uploaded) the status stays, and what it goes back to
follows.

The older actions know no attachments until the volume is attached.  What they announce is kept as claims, which users do not
see: os-reserve makes one that is `attaching`, os-initialize_connection alone one that is `exported` and does not count.

What is under way for the cloud's own servers or by the older actions is taken back when its time is over; an attachment that
a user made has no such time: its maker knows its id and may be using it.
"""

import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Cloud
from pileus.kernel.errors import NotFound
from pileus.volume import states
from pileus.volume.driver import Connector, VolumeDriverError
from pileus.volume.store import attachments as store
from pileus.volume.store import volumes
from pileus.volume.store.attachments import Attachment
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import backends

log = logging.getLogger(__name__)

RESERVED, ATTACHING, ATTACHED, DETACHING, EXPORTED = "reserved", "attaching", "attached", "detaching", "exported"

MOVED = frozenset({states.AVAILABLE, states.RESERVED, states.ATTACHING, states.IN_USE, states.DETACHING})
"""The statuses of a volume that follow from its attachments."""

IN_THE_MAKING = frozenset({states.CREATING, states.DOWNLOADING})

SWEEP_SECONDS = 15.0


def no_attachment(id: str) -> NotFound:
    """Return the fault of an attachment that is not there."""
    text = f"Volume attachment could not be found with filter: attachment_id = {id}."
    return NotFound(text, kind="VolumeAttachmentNotFound")


def settle(tx: Connection, cloud: Cloud, volume_id: str, *, force: bool = False) -> None:
    """Let a volume's status follow its attachments.

    :param force: also that of a volume in error or maintenance.
    """
    volume = store.hold(tx, volume_id)
    if volume is None:
        return
    status = volumes.settled_status(tx, volume_id)
    if volume.status in MOVED or (force and volume.status in (states.ERROR, states.MAINTENANCE)):
        if volume.status != status:
            volumes.change(tx, volume_id, status=status, updated_at=cloud.clock.now())
    elif volume.before in MOVED and volume.before != status:
        volumes.change(tx, volume_id, before=status)


def deadline(cloud: Cloud) -> float:
    """Return when what is begun now is taken back."""
    return cloud.clock.now() + cloud.settings.volume_attach_timeout_seconds


def change(tx: Connection, cloud: Cloud, attachment: Attachment, **values: Any) -> None:
    """Change an attachment, and the volume with it."""
    store.hold(tx, attachment.volume_id)
    store.change(tx, attachment.id, **values)
    settle(tx, cloud, attachment.volume_id)


def release(tx: Connection, cloud: Cloud, attachment: Attachment, *, force: bool = False) -> bool:
    """Forget an attachment that the back end was told of already; tells whether it was there."""
    store.hold(tx, attachment.volume_id)
    was_there = store.remove(tx, attachment.id)
    settle(tx, cloud, attachment.volume_id, force=force)
    return was_there


def is_doomed(attachment: Attachment) -> bool:
    """Tell whether an attachment that never was complete is being taken back."""
    return attachment.status == DETACHING and attachment.attached_at is None


def is_read_only(volume: Volume, attachment: Attachment) -> bool:
    """Tell whether who is attached may only read."""
    return bool(volume.read_only) or attachment.mode == "ro"


def connect(cloud: Cloud, attachment_id: str, connector: Mapping[str, Any]) -> dict[str, Any]:
    """Make a volume reachable for a host, and write down how; may be repeated.

    :param connector: what is known of the host: host, ip, initiator, and mountpoint if it is known.
    :raises NotFound: VolumeAttachmentNotFound when the attachment is not there, or no longer when it is done.
    :raises VolumeDriverError: when the back end cannot.
    """
    with cloud.db.read() as tx:
        attachment = store.get(tx, attachment_id)
        volume = volumes.get(tx, attachment.volume_id) if attachment else None
    if attachment is None or volume is None or is_doomed(attachment):
        raise no_attachment(attachment_id)
    try:
        made = dict(backends.of(cloud, volume).connect(volume.id, _connector(volume, attachment, connector)))
    except HostUnknown as error:
        raise VolumeDriverError(str(error)) from error
    if not _write_connection(cloud, attachment_id, dict(connector), made):
        disconnect_from(cloud, volume, attachment_id)
        raise no_attachment(attachment_id)
    return made


def connector_of(volume: Volume, attachment: Attachment) -> Connector:
    """Return who has a volume, in the words of back ends."""
    return _connector(volume, attachment, attachment.connector or {})


def _connector(volume: Volume, attachment: Attachment, told: Mapping[str, Any]) -> Connector:
    ip, initiator = str(told.get("ip") or ""), str(told.get("initiator") or "")
    read_only = is_read_only(volume, attachment)
    return Connector(attachment.id, str(told.get("host") or ""), ip, initiator, read_only=read_only)


def _write_connection(cloud: Cloud, id: str, connector: dict[str, Any], made: dict[str, Any]) -> bool:
    with cloud.db.begin() as tx:
        attachment = store.get(tx, id)
        if attachment is None or store.hold(tx, attachment.volume_id) is None or is_doomed(attachment):
            return False
        values: dict[str, Any] = {"connector": connector, "connection": made, "host": connector.get("host") or None}
        if attachment.status == RESERVED:
            values["status"] = ATTACHING
        if attachment.expires_at is not None:
            values["expires_at"] = deadline(cloud)
        change(tx, cloud, attachment, **values)
        return True


def disconnect(cloud: Cloud, attachment_id: str) -> None:
    """Take the way to the volume back; may be repeated, and nothing happens when there is no such attachment.

    :raises VolumeDriverError: when the back end cannot.
    """
    with cloud.db.read() as tx:
        attachment = store.get(tx, attachment_id)
        volume = volumes.get(tx, attachment.volume_id) if attachment else None
    if volume is None:
        return
    disconnect_from(cloud, volume, attachment_id)
    with cloud.db.begin() as tx:
        store.change(tx, attachment_id, connection=None)


def disconnect_from(cloud: Cloud, volume: Volume, attachment_id: str) -> None:
    """Take the way to a volume back, whatever is written down.  :raises VolumeDriverError: when the back end cannot."""
    if volume.host is None:
        return
    try:
        backends.of(cloud, volume).disconnect(volume.id, attachment_id)
    except HostUnknown as error:
        raise VolumeDriverError(str(error)) from error


def sweep(cloud: Cloud) -> None:
    """Take back what has been under way for too long.

    What was being detached is attached again: whoever had the volume may have it still.  All else is let go of.
    """
    with cloud.db.read() as tx:
        found = store.expired(tx, cloud.clock.now())
    for attachment in found:
        try:
            if _expire(cloud, attachment):
                disconnect(cloud, attachment.id)
                with cloud.db.begin() as tx:
                    release(tx, cloud, attachment)
        except VolumeDriverError as error:
            log.warning("attachment %s cannot be taken back yet: %s", attachment.id, error)


def _expire(cloud: Cloud, before: Attachment) -> bool:
    """Say that an attachment's time is over, and begin to take it back; tells whether it is to be let go of.

    Who listens may write down how it really is, or give it more time; then that holds.
    """
    with cloud.db.begin() as tx:
        volume = store.hold(tx, before.volume_id)
        attachment = store.get(tx, before.id)
        if volume is None or attachment is None or attachment.expires_at != before.expires_at:
            return False
        if volume.status in IN_THE_MAKING and attachment.status == RESERVED:
            store.change(tx, attachment.id, expires_at=deadline(cloud))
            return False
        if attachment.of_cloud:
            facts = {"attachment_id": attachment.id, "server_id": attachment.server_id, "volume_id": volume.id}
            cloud.events.publish(tx, cloud, "volume.attachment.expired", facts)
            attachment = store.get(tx, before.id)
            if attachment is None or attachment.expires_at != before.expires_at:
                return False
        log.warning("attachment %s of volume %s was %s for too long", attachment.id, volume.id, attachment.status)
        if attachment.status == DETACHING and not is_doomed(attachment):
            change(tx, cloud, attachment, status=ATTACHED, expires_at=None)
            return False
        change(tx, cloud, attachment, status=EXPORTED if attachment.status == EXPORTED else DETACHING, attached_at=None)
        return True
