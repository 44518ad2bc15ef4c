"""Bodies and answers of attachments."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from pileus.volume.schemas.fields import show_time
from pileus.volume.store.attachments import Attachment

Connector = dict[str, Any]


class NewAttachment(Struct, forbid_unknown_fields=True):
    """A volume to be kept, and for whom; with a connector it is made reachable at once.  mode: since 3.54."""

    volume_uuid: str
    instance_uuid: str | UnsetType = UNSET
    connector: Connector | UnsetType | None = UNSET
    mode: Literal["rw", "ro"] | UnsetType = UNSET


class Create(Struct, forbid_unknown_fields=True):
    """The body that makes an attachment."""

    attachment: NewAttachment


class ChangedAttachment(Struct, forbid_unknown_fields=True):
    """For which host the volume is to be made reachable."""

    connector: Annotated[Connector, Meta(min_length=1)]


class Update(Struct, forbid_unknown_fields=True):
    """The body that changes an attachment."""

    attachment: ChangedAttachment


class Complete(Struct, forbid_unknown_fields=True):
    """The body that says that a volume is in use."""

    complete: Any = field(name="os-complete")


def show_brief(attachment: Attachment) -> dict[str, Any]:
    """Show an attachment with few words."""
    return {
        "id": attachment.id,
        "status": attachment.status,
        "instance": attachment.server_id,
        "volume_id": attachment.volume_id,
    }


def show(attachment: Attachment, connection_info: Mapping[str, Any]) -> dict[str, Any]:
    """Show all of an attachment."""
    return show_brief(attachment) | {
        "attached_at": show_time(attachment.attached_at) or "",
        "detached_at": "",
        "attach_mode": attachment.mode or "null",
        "connection_info": dict(connection_info),
    }
