"""/servers/{server_id}/os-volume_attachments: the volumes of a server.  The id of an attachment is that of its volume."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from pileus.compute.api.given import given
from pileus.compute.api.queries import read_offset_page
from pileus.compute.policies.servers import API
from pileus.compute.schemas import servers as schemas
from pileus.compute.schemas.fields import Bool, read_bool
from pileus.compute.service import server_volumes as service
from pileus.compute.store.server_volumes import Mapped
from pileus.kernel.http import Call, Route
from pileus.kernel.microversion import Version

ONE = "/v2.1/servers/{server_id}/os-volume_attachments"
RULE = API + "os-volumes-attachments:"
CHANGE = (400, 401, 403, 404, 409)

DeviceName = Annotated[str, Meta(pattern=r"^(/dev/x?[a-z]?d?)([a-z]+)[0-9]*$(?!\n)")]
NEW: dict[str, Version] = {"tag": (2, 49), "delete_on_termination": (2, 79)}
CHANGED: dict[str, Version] = dict.fromkeys(("device", "tag", "delete_on_termination", "server_id", "id"), (2, 85))


class Attachment(Struct, forbid_unknown_fields=True):
    """The volume to be attached."""

    volume_id: str = field(name="volumeId")
    device: DeviceName | UnsetType | None = UNSET
    tag: schemas.Tag | UnsetType = UNSET
    delete_on_termination: Bool | UnsetType = UNSET


class AttachBody(Struct, forbid_unknown_fields=True):
    """POST /servers/{server_id}/os-volume_attachments."""

    attachment: Attachment = field(name="volumeAttachment")


class Change(Struct, forbid_unknown_fields=True):
    """What is to be changed of a volume's attachment, with what is not."""

    volume_id: str = field(name="volumeId")
    device: DeviceName | UnsetType | None = UNSET
    tag: schemas.Tag | UnsetType = UNSET
    delete_on_termination: Bool | UnsetType = UNSET
    server_id: str | UnsetType = field(default=UNSET, name="serverId")
    id: str | UnsetType = UNSET


class ChangeBody(Struct, forbid_unknown_fields=True):
    """PUT /servers/{server_id}/os-volume_attachments/{volume_id}."""

    attachment: Change = field(name="volumeAttachment")


def _require_known(call: Call, body: Struct, since: dict[str, Version]) -> None:
    for name, version in since.items():
        if getattr(body, name) is not UNSET and call.version < version:
            raise schemas.unexpected({"server_id": "serverId"}.get(name, name))


def _shown(call: Call, row: Mapped) -> dict[str, Any]:
    found: dict[str, Any] = {} if call.since("2.89") else {"id": row.volume_id}
    found |= {"volumeId": row.volume_id, "serverId": row.server_id, "device": row.device_name}
    if call.since("2.70"):
        found["tag"] = row.tag
    if call.since("2.79"):
        found["delete_on_termination"] = row.delete_on_termination
    if call.since("2.89"):
        found |= {"attachment_id": row.attachment_id, "bdm_uuid": row.id}
    return found


def index(call: Call) -> Any:
    """List the volumes of a server."""
    first, most = read_offset_page(call, "2.75")
    found = service.list_volumes(call.ctx, call.path["server_id"])
    return {"volumeAttachments": [_shown(call, row) for row in found[first:][:most]]}


def show(call: Call) -> Any:
    """Show a volume of a server."""
    return {"volumeAttachment": _shown(call, service.show(call.ctx, call.path["server_id"], call.path["volume_id"]))}


def attach(call: Call) -> Any:
    """Attach a volume to a server."""
    body: Attachment = call.body.attachment
    _require_known(call, body, NEW)
    schemas.check_uuid("volumeId", body.volume_id)
    wanted = service.Wanted(
        body.volume_id, given(body.device) or "", given(body.tag), read_bool(given(body.delete_on_termination, False)),
        call.since("2.60"), call.since("2.20"),
    )  # fmt: skip
    row = service.attach(call.ctx, call.path["server_id"], wanted)
    shown = {"id": row.volume_id, "volumeId": row.volume_id, "serverId": row.server_id, "device": row.device_name}
    shown |= {"tag": row.tag} if call.since("2.70") else {}
    return {"volumeAttachment": shown | ({"delete_on_termination": row.delete_on_termination} if call.since("2.79") else {})}


def update(call: Call) -> None:
    """Change what becomes of a volume when its server goes."""
    body: Change = call.body.attachment
    _require_known(call, body, CHANGED)
    schemas.check_uuid("volumeId", body.volume_id)
    server_id, volume_id = call.path["server_id"], call.path["volume_id"]
    if not call.since("2.85"):
        service.swap(call.ctx, server_id, volume_id)
        return
    names = {"id": "id", "server_id": "serverId", "device": "device", "tag": "tag"}
    values = {told: value for name, told in names.items() if (value := getattr(body, name)) is not UNSET}
    if body.delete_on_termination is not UNSET:
        values["delete_on_termination"] = read_bool(body.delete_on_termination)
    service.update(call.ctx, server_id, volume_id, values, body.volume_id)


def detach(call: Call) -> None:
    """Detach a volume from a server."""
    service.detach(call.ctx, call.path["server_id"], call.path["volume_id"], call.since("2.20"))


routes = (
    Route("GET", ONE, index, rule=RULE + "index"),
    Route("POST", ONE, attach, body=AttachBody, rule=RULE + "create", errors=CHANGE),
    Route("GET", f"{ONE}/{{volume_id}}", show, rule=RULE + "show"),
    Route("PUT", f"{ONE}/{{volume_id}}", update, body=ChangeBody, status=202, rule=RULE + "update", errors=CHANGE),
    Route("DELETE", f"{ONE}/{{volume_id}}", detach, status=202, rule=RULE + "delete", errors=CHANGE),
)
