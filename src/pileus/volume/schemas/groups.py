"""Groups, their types and their snapshots, as they are asked for and shown."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from pileus.kernel.errors import BadRequest
from pileus.volume.schemas.fields import (
    Bool,
    Description,
    LooseName,
    Name,
    SpecKey,
    Text255,
    TightKey,
    read_bool,
    read_uuid,
    show_time,
)
from pileus.volume.service.groups import NewGroup, Shown, Source
from pileus.volume.store.group_types import GroupType
from pileus.volume.store.groups import GroupSnapshot


class _NewType(Struct, forbid_unknown_fields=True):
    name: Name
    description: Description = None
    is_public: Bool = True
    group_specs: dict[SpecKey, Text255] | None = None


class CreateType(Struct, forbid_unknown_fields=True):
    group_type: _NewType


class _TypeChanges(Struct, forbid_unknown_fields=True):
    name: LooseName = None
    description: Description = None
    is_public: Bool | None = None


class UpdateType(Struct, forbid_unknown_fields=True):
    group_type: _TypeChanges


Specs = dict[TightKey, Text255 | None]


class CreateSpecs(Struct, forbid_unknown_fields=True):
    group_specs: Specs


class _NewGroup(Struct, forbid_unknown_fields=True):
    group_type: Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\S")]
    volume_types: Annotated[list[Text255], Meta(min_length=1)]
    name: LooseName = None
    description: Description = None
    availability_zone: Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\S")] | None = None


class Create(Struct, forbid_unknown_fields=True):
    group: _NewGroup


class _Source(Struct, forbid_unknown_fields=True):
    name: LooseName = None
    description: Description = None
    group_snapshot_id: str | UnsetType = UNSET
    source_group_id: str | UnsetType = UNSET


class CreateFrom(Struct, forbid_unknown_fields=True):
    source: _Source = field(name="create-from-src")


class _Changes(Struct, forbid_unknown_fields=True):
    name: LooseName | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    add_volumes: str | UnsetType | None = UNSET
    remove_volumes: str | UnsetType | None = UNSET


class Update(Struct, forbid_unknown_fields=True):
    group: _Changes


class Delete(Struct, forbid_unknown_fields=True):
    with_volumes: Bool = field(default=False, name="delete-volumes")


class Reset(Struct, forbid_unknown_fields=True):
    status: Annotated[str, Meta(min_length=1, max_length=255)]


class Failover(Struct, forbid_unknown_fields=True):
    allow_attached_volume: Bool = False
    secondary_backend_id: Text255 | None = None


class _NewSnapshot(Struct, forbid_unknown_fields=True):
    group_id: str
    name: LooseName = None
    description: Description = None


class CreateSnapshot(Struct, forbid_unknown_fields=True):
    group_snapshot: _NewSnapshot


def read_type(body: CreateType) -> dict[str, Any]:
    """Return the columns of a new group type."""
    asked = body.group_type
    return {
        "name": asked.name,
        "description": asked.description,
        "is_public": read_bool(asked.is_public),
        "group_specs": asked.group_specs or {},
    }


def read_type_changes(body: UpdateType) -> dict[str, Any]:
    """Return the columns that are to change; None stays.

    :raises BadRequest: when none is, or the name is empty.
    """
    asked = body.group_type
    if asked.name is not None and not asked.name.strip():
        raise BadRequest("Group type name can not be empty.")
    if asked.name is None and asked.description is None and asked.is_public is None:
        raise BadRequest("Specify group type name, description or a combination thereof.")
    is_public = None if asked.is_public is None else read_bool(asked.is_public)
    return {"name": asked.name, "description": asked.description, "is_public": is_public}


def read_group(body: Create) -> NewGroup:
    """Return the group to be made.

    :raises BadRequest: when a type is named twice.
    """
    asked = body.group
    if len(set(asked.volume_types)) != len(asked.volume_types):
        named = asked.volume_types
        raise BadRequest(f"Invalid input for field/attribute volume_types. Value: {named}. {named} has non-unique elements")
    zone = asked.availability_zone.strip() if asked.availability_zone else None
    return NewGroup(strip(asked.name), strip(asked.description), asked.group_type, asked.volume_types, zone)


def read_source(body: CreateFrom) -> tuple[Source, str | None, str | None]:
    """Return what a group is to be a copy of, its name and its description.

    :raises BadRequest: when there is not exactly one source.
    """
    asked = body.source
    given = {
        name: read_uuid(value, name)
        for name in ("group_snapshot_id", "source_group_id")
        if isinstance(value := getattr(asked, name), str)
    }
    if len(given) != 1:
        raise BadRequest("Exactly one of group_snapshot_id and source_group_id is to be given.")
    return Source(**given), strip(asked.name), strip(asked.description)


def read_changes(body: Update) -> tuple[dict[str, str | None], list[str], list[str]]:
    """Return the columns that are to change, and the ids of the volumes that join and that leave.

    :raises BadRequest: when there is nothing at all.
    """
    asked = body.group
    if all(getattr(asked, name) is UNSET for name in ("name", "description", "add_volumes", "remove_volumes")):
        raise BadRequest("Invalid input for field/attribute group. It is not valid under any of the given schemas")
    columns = {name: strip(value) for name in ("name", "description") if (value := getattr(asked, name)) is not UNSET}
    return columns, read_ids(asked.add_volumes), read_ids(asked.remove_volumes)


def read_ids(text: str | UnsetType | None) -> list[str]:
    """Return the ids in a text with commas."""
    return text.strip(",").split(",") if isinstance(text, str) and text.strip(",") else []


def strip(text: str | None) -> str | None:
    """Return a text without the spaces around it."""
    return text.strip() if text else text


def show_type(kind: GroupType, with_specs: bool) -> dict[str, Any]:
    """Show a group type."""
    shown = {"id": kind.id, "name": kind.name, "description": kind.description, "is_public": kind.is_public}
    return {**shown, "group_specs": kind.group_specs} if with_specs else shown


def show(shown: Shown, version: tuple[int, int], with_volumes: bool, with_project: bool) -> dict[str, Any]:
    """Show a group in full."""
    group = shown.group
    found: dict[str, Any] = {
        "id": group.id,
        "status": group.status,
        "availability_zone": group.availability_zone,
        "created_at": show_time(group.created_at),
        "name": group.name,
        "description": group.description,
        "group_type": group.group_type_id,
        "volume_types": list(shown.type_ids),
    }
    if version >= (3, 14):
        found |= {"group_snapshot_id": group.group_snapshot_id, "source_group_id": group.source_group_id}
    if version >= (3, 25) and with_volumes:
        found["volumes"] = list(shown.volume_ids)
    if version >= (3, 38):
        found["replication_status"] = group.replication_status
    if version >= (3, 58) and with_project:
        found["project_id"] = group.project_id
    return found


def show_snapshot(row: GroupSnapshot, version: tuple[int, int], with_project: bool) -> dict[str, Any]:
    """Show a group snapshot in full."""
    shown = {
        "id": row.id,
        "group_id": row.group_id,
        "group_type_id": row.group_type_id,
        "status": row.status,
        "created_at": show_time(row.created_at),
        "name": row.name,
        "description": row.description,
    }
    return {**shown, "project_id": row.project_id} if version >= (3, 58) and with_project else shown
