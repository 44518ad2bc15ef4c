"""/v3/os-volume-manage and manageable_volumes, os-snapshot-manage and manageable_snapshots"""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call, Route
from pileus.volume.api.queries import cut, links, read_cut
from pileus.volume.schemas import snapshots as snapshot_schemas
from pileus.volume.schemas import volumes as volume_schemas
from pileus.volume.schemas.fields import Bool, Description, LooseName, Text255, read_bool, read_uuid
from pileus.volume.schemas.volumes import Metadata
from pileus.volume.service import adoption, snapshots, volumes
from pileus.volume.service.adoption import Found, Wanted

NAMES = ("source-name", "source-id", "name", "id")
"""Words under which a reference may be given, the first for answers."""


class NewVolume(Struct, forbid_unknown_fields=True):
    """What is to be taken in, and where it lies."""

    ref: dict[str, Any] | str
    host: Text255 | None = None
    cluster: LooseName = None
    name: LooseName = None
    description: Description = None
    volume_type: LooseName = None
    availability_zone: LooseName = None
    bootable: Bool | None = None
    metadata: Metadata | None = None


class ManageVolume(Struct, forbid_unknown_fields=True):
    """POST /os-volume-manage"""

    volume: NewVolume


class NewSnapshot(Struct, forbid_unknown_fields=True):
    """What is to be taken in, and of which volume."""

    ref: dict[str, Any] | str | None
    volume_id: str
    name: LooseName = None
    description: Description = None
    metadata: Metadata | None = None


class ManageSnapshot(Struct, forbid_unknown_fields=True):
    """POST /os-snapshot-manage"""

    snapshot: NewSnapshot


def list_volumes(call: Call) -> Any:
    return {"manageable-volumes": _list(call, adoption.list_volumes, _brief)}


def detail_volumes(call: Call) -> Any:
    return {"manageable-volumes": _list(call, adoption.list_volumes, _full)}


def list_snapshots(call: Call) -> Any:
    return {"manageable-snapshots": _list(call, adoption.list_snapshots, _brief_snapshot)}


def detail_snapshots(call: Call) -> Any:
    return {"manageable-snapshots": _list(call, adoption.list_snapshots, _full_snapshot)}


def _list(call: Call, ask: Callable[..., list[Found]], show: Callable[[Found], dict[str, Any]]) -> list[dict[str, Any]]:
    host = call.query.get("host")
    if not host:
        raise BadRequest("Invalid input received: Host field is missing.", kind="InvalidInput")
    wanted = read_cut(call, "reference", "desc")
    if any(name not in ("reference", "size") for name, _ in wanted.sort):
        raise BadRequest("Invalid sort keys passed: only reference and size may be sorted by.")
    found: Sequence[Found] = ask(call.ctx, host)
    keys: dict[str, Callable[[Found], Any]] = {
        "id": lambda one: one.reference, "reference": lambda one: one.reference, "size": lambda one: one.size_gib,
    }  # fmt: skip
    return [show(one) for one in cut(found, wanted, keys)]


def _brief(found: Found) -> dict[str, Any]:
    return {"reference": {NAMES[0]: found.reference}, "size": found.size_gib, "safe_to_manage": found.safe}


def _full(found: Found) -> dict[str, Any]:
    more = {"reason_not_safe": found.why_unsafe or None, "cinder_id": None if found.safe else found.reference, "extra_info": None}
    return {**_brief(found), **more}


def _brief_snapshot(found: Found) -> dict[str, Any]:
    return {**_brief(found), "source_reference": {NAMES[0]: found.volume_reference}}


def _full_snapshot(found: Found) -> dict[str, Any]:
    return {**_full(found), "source_reference": {NAMES[0]: found.volume_reference}}


def _reference(given: dict[str, Any] | str | None) -> str:
    if isinstance(given, str) and given:
        return given
    for name in NAMES:
        if isinstance(given, dict) and isinstance(given.get(name), str) and given[name]:
            return str(given[name])
    raise BadRequest(f"Invalid input received: the reference must have one of {', '.join(NAMES)}", kind="InvalidInput")


def manage_volume(call: Call) -> Any:
    given = call.body.volume
    if not given.host:
        raise BadRequest("Invalid input received: Host field is missing.", kind="InvalidInput")
    wanted = Wanted(
        _reference(given.ref), given.host, (given.name or "").strip() or None, given.description, given.volume_type or None,
        given.metadata or {}, read_bool(given.bootable or False),
    )  # fmt: skip
    shown = volumes.show(call.ctx, adoption.manage(call.ctx, wanted))
    return {"volume": volume_schemas.show(call.ctx, shown, (3, 0), links(call, "volumes", shown.volume.id))}


def manage_snapshot(call: Call) -> Any:
    given = call.body.snapshot
    wanted = Wanted(
        _reference(given.ref), name=given.name, description=given.description, metadata=given.metadata or {},
        volume_id=read_uuid(given.volume_id, "volume_id"),
    )  # fmt: skip
    shown = snapshots.show(call.ctx, adoption.manage_snapshot(call.ctx, wanted))
    return {"snapshot": snapshot_schemas.show(shown, call.version)}


routes = (
    Route("GET", "/v3/os-volume-manage", list_volumes),
    Route("GET", "/v3/os-volume-manage/detail", detail_volumes),
    Route("POST", "/v3/os-volume-manage", manage_volume, ManageVolume, status=202),
    Route("GET", "/v3/manageable_volumes", list_volumes, since="3.8"),
    Route("GET", "/v3/manageable_volumes/detail", detail_volumes, since="3.8"),
    Route("POST", "/v3/manageable_volumes", manage_volume, ManageVolume, since="3.8", status=202),
    Route("GET", "/v3/os-snapshot-manage", list_snapshots),
    Route("GET", "/v3/os-snapshot-manage/detail", detail_snapshots),
    Route("POST", "/v3/os-snapshot-manage", manage_snapshot, ManageSnapshot, status=202),
    Route("GET", "/v3/manageable_snapshots", list_snapshots, since="3.8"),
    Route("GET", "/v3/manageable_snapshots/detail", detail_snapshots, since="3.8"),
    Route("POST", "/v3/manageable_snapshots", manage_snapshot, ManageSnapshot, since="3.8", status=202),
)
