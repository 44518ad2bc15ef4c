"""The actions on a volume by which it is attached in the older way."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call
from pileus.volume.api.actions import Action
from pileus.volume.schemas.fields import Text255, read_uuid
from pileus.volume.service import attach_actions as service


class Attach(Struct, forbid_unknown_fields=True):
    """Who has the volume: a server or a host."""

    mountpoint: Annotated[str, Meta(min_length=1, max_length=255)]
    instance_uuid: str | UnsetType = UNSET
    host_name: Text255 | UnsetType = UNSET
    mode: Literal["rw", "ro"] = "rw"


class Detach(Struct, forbid_unknown_fields=True):
    """Which attachment is meant, if there are several."""

    attachment_id: str | None = None


class Connect(Struct, forbid_unknown_fields=True):
    """For which host."""

    connector: dict[str, Any] | str


class Disconnect(Struct, forbid_unknown_fields=True):
    """For which host; None: for all."""

    connector: dict[str, Any] | str | None


class ForceDetach(Struct, forbid_unknown_fields=True):
    """Which attachment is meant, if there are several."""

    attachment_id: str | None = None
    connector: dict[str, Any] | str | None = None


def attach(call: Call, volume_id: str, body: Attach) -> None:
    """Say that a server or a host has the volume."""
    server_id = None if body.instance_uuid is UNSET else read_uuid(body.instance_uuid, "instance_uuid")
    host = None if body.host_name is UNSET else body.host_name
    if server_id is None and host is None:
        raise BadRequest("Invalid input for field/attribute os-attach. 'instance_uuid' or 'host_name' is required.")
    service.attach(call.ctx, volume_id, server_id, host, body.mountpoint, body.mode)


def detach(call: Call, volume_id: str, body: Detach | None) -> None:
    """Say that nobody has the volume any longer."""
    id = body.attachment_id if body else None
    service.detach(call.ctx, volume_id, None if id is None else read_uuid(id, "attachment_id"))


def force_detach(call: Call, volume_id: str, body: ForceDetach) -> None:
    """Take the volume away from whoever has it."""
    service.force_detach(call.ctx, volume_id, body.attachment_id)


def reserve(call: Call, volume_id: str, body: Any) -> None:
    """Say that someone is about to attach the volume."""
    service.reserve(call.ctx, volume_id)


def unreserve(call: Call, volume_id: str, body: Any) -> None:
    """Say that nobody is about to attach the volume any longer."""
    service.unreserve(call.ctx, volume_id)


def begin_detaching(call: Call, volume_id: str, body: Any) -> None:
    """Say that the volume is about to be detached."""
    service.begin_detaching(call.ctx, volume_id)


def roll_detaching(call: Call, volume_id: str, body: Any) -> None:
    """Say that the volume is not detached after all."""
    service.roll_detaching(call.ctx, volume_id)


def initialize_connection(call: Call, volume_id: str, body: Connect) -> Any:
    """Make the volume reachable for a host."""
    if not isinstance(body.connector, dict):
        raise BadRequest("Invalid input received: the connector must be an object", kind="InvalidInput")
    return {"connection_info": service.initialize_connection(call.ctx, volume_id, body.connector)}


def terminate_connection(call: Call, volume_id: str, body: Disconnect) -> None:
    """Take the way to the volume back."""
    connector = body.connector if isinstance(body.connector, dict) else None
    service.terminate_connection(call.ctx, volume_id, connector)


ACTIONS = {
    "os-attach": Action(attach, Attach),
    "os-detach": Action(detach, Detach | None),
    "os-force_detach": Action(force_detach, ForceDetach),
    "os-reserve": Action(reserve),
    "os-unreserve": Action(unreserve),
    "os-begin_detaching": Action(begin_detaching),
    "os-roll_detaching": Action(roll_detaching),
    "os-initialize_connection": Action(initialize_connection, Connect, status=200),
    "os-terminate_connection": Action(terminate_connection, Disconnect),
}
"""The actions by their words."""
