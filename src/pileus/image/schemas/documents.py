"""The JSON schemas that clients read at /v2/schemas; glanceclient builds its commands out of them."""

from typing import Any

from pileus.image.fields import IMAGE_ID
from pileus.image.formats import CONTAINER_FORMATS, DISK_FORMATS

TEXT = {"type": "string"}
TEXT_OR_NULL = ["null", "string"]
STATUSES = ["queued", "saving", "active", "killed", "deleted", "uploading", "importing", "pending_delete", "deactivated"]


def _read_only(kind: Any, description: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "readOnly": True, "description": description, **more}


def _given(kind: Any, description: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "description": description, **more}


IMAGE_PROPERTIES: dict[str, Any] = {
    "id": _given("string", "An identifier for the image", pattern=IMAGE_ID),
    "name": _given(TEXT_OR_NULL, "Descriptive name for the image", maxLength=255),
    "status": _read_only("string", "Status of the image", enum=STATUSES),
    "visibility": _given("string", "Scope of image accessibility", enum=["community", "public", "private", "shared"]),
    "protected": _given("boolean", "If true, image will not be deletable."),
    "os_hidden": _given("boolean", "If true, image will not appear in default image list response."),
    "checksum": _read_only(TEXT_OR_NULL, "md5 hash of image contents.", maxLength=32),
    "os_hash_algo": _read_only(TEXT_OR_NULL, "Algorithm to calculate the os_hash_value", maxLength=64),
    "os_hash_value": _read_only(TEXT_OR_NULL, "Hexdigest of the image contents by the algorithm of os_hash_algo", maxLength=128),
    "owner": _given(TEXT_OR_NULL, "Owner of the image", maxLength=255),
    "size": _read_only(["null", "integer"], "Size of image file in bytes"),
    "virtual_size": _read_only(["null", "integer"], "Virtual size of image in bytes"),
    "container_format": _given(TEXT_OR_NULL, "Format of the container", enum=[None, *CONTAINER_FORMATS]),
    "disk_format": _given(TEXT_OR_NULL, "Format of the disk", enum=[None, *DISK_FORMATS]),
    "created_at": _read_only("string", "Date and time of image registration"),
    "updated_at": _read_only("string", "Date and time of the last image modification"),
    "tags": _given("array", "List of strings related to the image", items={"type": "string", "maxLength": 255}),
    "min_ram": _given("integer", "Amount of ram (in MB) required to boot image."),
    "min_disk": _given("integer", "Amount of disk space (in GB) required to boot image."),
    "self": _read_only("string", "An image self url"),
    "file": _read_only("string", "An image file url"),
    "stores": _read_only("string", "Stores in which image data resides, with commas."),
    "locations": _given(
        "array",
        "URLs and metadata of the places where the image's content is; there where the settings say so",
        items={
            "type": "object",
            "properties": {"url": {"type": "string", "maxLength": 2048}, "metadata": {"type": "object"}},
            "required": ["url", "metadata"],
        },
    ),
    "schema": _read_only("string", "An image schema url"),
}

MEMBER_PROPERTIES: dict[str, Any] = {
    "member_id": _given("string", "An identifier for the image member (tenantId)"),
    "image_id": _given("string", "An identifier for the image", pattern=IMAGE_ID),
    "created_at": _given("string", "Date and time of image member creation"),
    "updated_at": _given("string", "Date and time of last modification of image member"),
    "status": _given("string", "The status of this image member", enum=["pending", "accepted", "rejected"]),
    "schema": {"readOnly": True, "type": "string"},
}

TASK_PROPERTIES: dict[str, Any] = {
    "id": _given("string", "An identifier for the task", pattern=IMAGE_ID),
    "type": _given("string", "The type of task represented by this content", enum=["api_image_import", "location_import"]),
    "status": _given("string", "The current status of this task", enum=["pending", "processing", "success", "failure"]),
    "input": _given(["null", "object"], "The parameters required by task, JSON blob"),
    "result": _given(["null", "object"], "The result of current task, JSON blob"),
    "owner": _given("string", "An identifier for the owner of this task"),
    "message": _given("string", "Human-readable informative message only included when appropriate (usually on failure)"),
    "image_id": _given("string", "Image associated with the task"),
    "request_id": _given("string", "The request that began the task"),
    "user_id": _given("string", "User associated with the task"),
    "expires_at": _given(TEXT_OR_NULL, "Datetime when this resource would be subject to removal"),
    "created_at": _given("string", "Datetime when this resource was created"),
    "updated_at": _given("string", "Datetime when this resource was updated"),
    "self": {"readOnly": True, "type": "string"},
    "schema": {"readOnly": True, "type": "string"},
}

IMAGE: dict[str, Any] = {
    "name": "image",
    "properties": IMAGE_PROPERTIES,
    "additionalProperties": TEXT,
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
MEMBER: dict[str, Any] = {"name": "member", "properties": MEMBER_PROPERTIES}
TASK: dict[str, Any] = {"name": "task", "properties": TASK_PROPERTIES}


def _collection(name: str, item: dict[str, Any], paged: bool) -> dict[str, Any]:
    links = ("first", "next") if paged else ()
    return {
        "name": name,
        "properties": {name: {"type": "array", "items": item}, **dict.fromkeys(links, TEXT), "schema": TEXT},
        "links": [*({"rel": link, "href": f"{{{link}}}"} for link in links), {"rel": "describedby", "href": "{schema}"}],
    }


SCHEMAS: dict[str, dict[str, Any]] = {
    "image": IMAGE,
    "images": _collection("images", IMAGE, paged=True),
    "member": MEMBER,
    "members": _collection("members", MEMBER, paged=False),
    "task": TASK,
    "tasks": _collection("tasks", TASK, paged=True),
}
