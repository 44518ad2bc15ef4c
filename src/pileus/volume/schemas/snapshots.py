"""Bodies and answers about snapshots."""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from pileus.kernel.errors import BadRequest
from pileus.volume.schemas.fields import Bool, Description, LooseName, Text255, read_bool, read_uuid, show_time
from pileus.volume.schemas.volumes import Metadata
from pileus.volume.service.snapshots import Shown, Wanted

Version = tuple[int, int]

FLAG_IS_GONE = (
    "Since microversion 3.66 the 'force' flag is invalid for this request.  For backward compatability, however, when the "
    "'force' flag is passed with a value evaluating to True, it is silently ignored."
)


class NewSnapshot(Struct, forbid_unknown_fields=True):
    """The snapshot to be taken."""

    volume_id: str | None
    name: LooseName = None
    display_name: LooseName = None
    description: Description = None
    force: Bool | None = None
    metadata: Metadata | None = None


class Create(Struct, forbid_unknown_fields=True):
    """POST /snapshots"""

    snapshot: NewSnapshot


class Changes(Struct, forbid_unknown_fields=True):
    """What may be changed."""

    name: LooseName | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    display_name: LooseName | UnsetType = UNSET
    display_description: Description | UnsetType = UNSET


class Update(Struct, forbid_unknown_fields=True):
    """PUT /snapshots/{snapshot_id}"""

    snapshot: Changes


class Status(Struct, forbid_unknown_fields=True):
    """os-reset_status"""

    status: Literal["available", "creating", "deleting", "error", "error_deleting", "deleted", "backing-up", "restoring"]


class Progress(Struct, forbid_unknown_fields=True):
    """os-update_snapshot_status"""

    status: Text255
    progress: Text255 | None = None


def read_create(body: Create, version: Version) -> Wanted:
    """Return the snapshot that is asked for.  :raises BadRequest: when a field makes no sense."""
    given = body.snapshot
    force = read_bool(given.force) if given.force is not None else False
    if version >= (3, 66):
        if given.force is not None and not force:
            raise BadRequest(FLAG_IS_GONE)
        force = True
    name = given.name if given.name is not None else given.display_name
    volume_id = "" if given.volume_id is None else read_uuid(given.volume_id, "volume_id")
    return Wanted(volume_id, _cleaned(name), _cleaned(given.description), given.metadata or {}, force)


def read_changes(given: Changes) -> dict[str, Any]:
    """Return the columns to be changed.  :raises BadRequest: when nothing is asked for."""
    found = {
        "name": given.name if given.name is not UNSET else given.display_name,
        "description": given.description if given.description is not UNSET else given.display_description,
    }
    values = {name: _cleaned(value) for name, value in found.items() if value is not UNSET}
    if not values:
        raise BadRequest("Invalid input for field/attribute snapshot. At least one field is to be given.")
    return values


def _cleaned(text: Any) -> str | None:
    return text.strip() if isinstance(text, str) else None


def show(shown: Shown, version: Version) -> dict[str, Any]:
    """Show a snapshot."""
    snapshot, metadata = shown
    found = {
        "id": snapshot.id,
        "created_at": show_time(snapshot.created_at),
        "updated_at": show_time(snapshot.updated_at),
        "name": snapshot.name,
        "description": snapshot.description,
        "volume_id": snapshot.volume_id,
        "status": snapshot.status,
        "size": snapshot.size_gib,
        "metadata": dict(metadata),
    }
    if version >= (3, 14):
        found["group_snapshot_id"] = snapshot.group_snapshot_id
    if version >= (3, 41):
        found["user_id"] = snapshot.user_id
    if version >= (3, 65):
        found["consumes_quota"] = snapshot.counts
    return found


def extend(found: dict[str, Any], shown: Shown) -> dict[str, Any]:
    """Add what the caller may see who may see the extended attributes."""
    found["os-extended-snapshot-attributes:progress"] = shown[0].progress
    found["os-extended-snapshot-attributes:project_id"] = shown[0].project_id
    return found
