"""/v2.1/os-volumes and /v2.1/os-snapshots: block storage as nova showed it.  The calls end with microversion 2.35."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from pileus.compute.api.given import given
from pileus.compute.api.queries import read_offset_page
from pileus.compute.policies.volumes import VOLUMES
from pileus.compute.schemas.fields import Bool, Positive, read_bool, read_int, show_time
from pileus.compute.service import old_volumes as service
from pileus.kernel.http import Answer, Call, Route

LAST = "2.35"


class Volume(Struct, forbid_unknown_fields=True):
    """The volume to be made."""

    size: Positive
    volume_type: str | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET
    snapshot_id: str | UnsetType = UNSET
    availability_zone: str | UnsetType = UNSET
    display_name: str | UnsetType = UNSET
    display_description: str | UnsetType = UNSET


class VolumeBody(Struct, forbid_unknown_fields=True):
    """POST /os-volumes."""

    volume: Volume


class Snapshot(Struct, forbid_unknown_fields=True):
    """The snapshot to be taken."""

    volume_id: str
    force: Bool | UnsetType = UNSET
    display_name: str | UnsetType = UNSET
    display_description: str | UnsetType = UNSET


class SnapshotBody(Struct, forbid_unknown_fields=True):
    """POST /os-snapshots."""

    snapshot: Snapshot


def _volume(shown: Any) -> dict[str, Any]:
    row = shown.volume
    attached: list[dict[str, Any]] = [{}]
    if shown.attachments:
        first = shown.attachments[0]
        attached = [{"id": row.id, "volumeId": row.id, "serverId": first.server_id}]
        attached[0] |= {"device": first.mountpoint} if first.mountpoint else {}
    return {
        "id": row.id, "status": row.status, "size": row.size_gib, "availabilityZone": row.availability_zone,
        "createdAt": show_time(row.created_at), "attachments": attached, "displayName": row.name,
        "displayDescription": row.description, "volumeType": shown.type_name, "snapshotId": row.snapshot_id,
        "metadata": dict(shown.metadata),
    }  # fmt: skip


def _snapshot(row: Any) -> dict[str, Any]:
    return {
        "id": row.id, "volumeId": row.volume_id, "status": row.status, "size": row.size_gib,
        "createdAt": show_time(row.created_at), "displayName": row.name, "displayDescription": row.description,
    }  # fmt: skip


def list_volumes(call: Call) -> Any:
    """List volumes."""
    first, most = read_offset_page(call, "2.75")
    return {"volumes": [_volume(shown) for shown in service.list_volumes(call.ctx, "list", first, most)]}


def list_volumes_detail(call: Call) -> Any:
    """List volumes; nova showed no more here than in the other list."""
    first, most = read_offset_page(call, "2.75")
    return {"volumes": [_volume(shown) for shown in service.list_volumes(call.ctx, "detail", first, most)]}


def show_volume(call: Call) -> Any:
    """Show a volume."""
    return {"volume": _volume(service.show_volume(call.ctx, call.path["id"]))}


def create_volume(call: Call) -> Answer:
    """Make a volume."""
    body: Volume = call.body.volume
    wanted = service.WantedVolume(
        read_int(body.size), given(body.display_name), given(body.display_description), given(body.volume_type),
        given(body.snapshot_id), given(body.availability_zone), given(body.metadata, {}),
    )  # fmt: skip
    shown = _volume(service.create_volume(call.ctx, wanted))
    return Answer({"volume": shown}, headers={"Location": f"{call.path_url}/{shown['id']}"})


def delete_volume(call: Call) -> None:
    """Delete a volume."""
    service.delete_volume(call.ctx, call.path["id"])


def list_snapshots(call: Call) -> Any:
    """List snapshots."""
    first, most = read_offset_page(call, "2.75")
    return {"snapshots": [_snapshot(row) for row in service.list_snapshots(call.ctx, "snapshots:list", first, most)]}


def list_snapshots_detail(call: Call) -> Any:
    """List snapshots; nova showed no more here than in the other list."""
    first, most = read_offset_page(call, "2.75")
    return {"snapshots": [_snapshot(row) for row in service.list_snapshots(call.ctx, "snapshots:detail", first, most)]}


def show_snapshot(call: Call) -> Any:
    """Show a snapshot."""
    return {"snapshot": _snapshot(service.show_snapshot(call.ctx, call.path["id"]))}


def create_snapshot(call: Call) -> Any:
    """Take a snapshot of a volume."""
    body: Snapshot = call.body.snapshot
    names = given(body.display_name), given(body.display_description)
    return {"snapshot": _snapshot(service.create_snapshot(call.ctx, body.volume_id, *names, read_bool(given(body.force, False))))}


def delete_snapshot(call: Call) -> None:
    """Delete a snapshot."""
    service.delete_snapshot(call.ctx, call.path["id"])


SOME, SNAPS = "/v2.1/os-volumes", "/v2.1/os-snapshots"

routes = (
    Route("GET", SOME, list_volumes, rule=VOLUMES + "list", until=LAST),
    Route("POST", SOME, create_volume, body=VolumeBody, rule=VOLUMES + "create", until=LAST),
    Route("GET", f"{SOME}/detail", list_volumes_detail, rule=VOLUMES + "detail", until=LAST),
    Route("GET", f"{SOME}/{{id}}", show_volume, rule=VOLUMES + "show", until=LAST),
    Route("DELETE", f"{SOME}/{{id}}", delete_volume, status=202, rule=VOLUMES + "delete", until=LAST),
    Route("GET", SNAPS, list_snapshots, rule=VOLUMES + "snapshots:list", until=LAST),
    Route("POST", SNAPS, create_snapshot, body=SnapshotBody, rule=VOLUMES + "snapshots:create", until=LAST),
    Route("GET", f"{SNAPS}/detail", list_snapshots_detail, rule=VOLUMES + "snapshots:detail", until=LAST),
    Route("GET", f"{SNAPS}/{{id}}", show_snapshot, rule=VOLUMES + "snapshots:show", until=LAST),
    Route("DELETE", f"{SNAPS}/{{id}}", delete_snapshot, status=202, rule=VOLUMES + "snapshots:delete", until=LAST),
)
