"""How an image is asked for and shown."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from pileus.image.records import IMPORT_SECONDS_KEPT
from pileus.image.store import Image, Import, Location, Member
from pileus.kernel.clock import to_iso


class ImportMethod(Struct):
    """How content is imported; uri: where the method web-download finds it."""

    name: str
    uri: str = ""


class ImportRequest(Struct):
    """The body of POST /v2/images/{image_id}/import."""

    method: ImportMethod
    stores: list[str] | UnsetType = UNSET
    all_stores: bool = False
    all_stores_must_succeed: bool = True


class TaskInput(Struct):
    """Where an image's content is, and what the image is to be."""

    import_from: str
    image_properties: dict[str, Any]
    import_from_format: str = ""


class TaskCreate(Struct):
    """The body of POST /v2/tasks."""

    type: Literal["import"]
    input: TaskInput


class MemberCreate(Struct):
    """The body of POST /v2/images/{image_id}/members."""

    member: Annotated[str, Meta(min_length=1, max_length=255)]


class MemberUpdate(Struct):
    """The body of PUT /v2/images/{image_id}/members/{member_id}."""

    status: str


def show_location(location: Location) -> dict[str, Any]:
    """Return a place of an image's content as the API shows it."""
    return {"url": location.url, "metadata": {**location.metadata, "store": location.store}}


def show_image(image: Image, with_locations: bool | None = None) -> dict[str, Any]:
    """Return an image as the API shows it.

    :param with_locations: whether the caller sees where its content is; None: nobody does in this cloud.
    """
    at = f"/v2/images/{image.id}"
    shown: dict[str, Any] = {
        **image.properties,
        "name": image.name,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "visibility": image.visibility,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "status": image.status,
        "checksum": image.checksum,
        "protected": image.protected,
        "min_ram": image.min_ram,
        "min_disk": image.min_disk,
        "owner": image.owner,
        "os_hidden": image.os_hidden,
        "os_hash_algo": image.os_hash_algo,
        "os_hash_value": image.os_hash_value,
        "id": image.id,
        "created_at": to_iso(image.created_at),
        "updated_at": to_iso(image.updated_at),
        "tags": image.tags,
        "self": at,
        "file": at + "/file",
        "schema": "/v2/schemas/image",
    }
    if image.locations:
        shown["stores"] = ",".join(image.stores)
    if with_locations is not None:
        shown["locations"] = [show_location(location) for location in image.locations] if with_locations else []
    return shown


def show_member(member: Member) -> dict[str, Any]:
    """Return a sharing as the API shows it."""
    return {
        "image_id": member.image_id,
        "member_id": member.member_id,
        "status": member.status,
        "created_at": to_iso(member.created_at),
        "updated_at": to_iso(member.updated_at),
        "schema": "/v2/schemas/member",
    }


def show_task(record: Import, kind: str, full: bool) -> dict[str, Any]:
    """Return an import as a task; a list shows less of each than the task itself."""
    over = record.status in ("success", "failure")
    shown: dict[str, Any] = {
        "id": record.id,
        "type": kind,
        "status": record.status,
        "owner": record.owner,
        "image_id": record.image_id,
        "user_id": record.user_id,
        "request_id": record.request_id,
        "expires_at": to_iso(record.updated_at + IMPORT_SECONDS_KEPT) if over else None,
        "created_at": to_iso(record.created_at),
        "updated_at": to_iso(record.updated_at),
        "self": f"/v2/tasks/{record.id}",
        "schema": "/v2/schemas/task",
    }
    if full:
        result = {"image_id": record.image_id} if record.status == "success" else None
        shown |= {"input": record.input, "message": record.message, "result": result}
    return shown
