"""Changes of an image as a JSON patch, in the two dialects that Glance takes.  Pure: nothing is looked up or written here.

application/openstack-images-v2.1-json-patch   [{"op": "replace", "path": "/name", "value": "x"}]   (RFC 6902)
application/openstack-images-v2.0-json-patch   [{"replace": "/name", "value": "x"}]
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from pileus.image.fields import BaseFields
from pileus.kernel.errors import BadRequest, Forbidden, UnsupportedMedia

OLD, NEW = "application/openstack-images-v2.0-json-patch", "application/openstack-images-v2.1-json-patch"
OPERATIONS = ("add", "remove", "replace")
BASE = tuple(field.name for field in msgspec.structs.fields(BaseFields))
DISALLOWED = ("direct_url", "self", "file", "schema", "stores")
READ_ONLY = (
    "created_at", "updated_at", "status", "checksum", "size", "virtual_size", "id", "os_hash_algo", "os_hash_value", *DISALLOWED,
)  # fmt: skip
RESERVED = ("location", "deleted", "deleted_at")
RESERVED_PREFIX = "os_glance"
NAME_MAX = 255


class Validation(msgspec.Struct, forbid_unknown_fields=True):
    """What the content at a location is said to be, in hexadecimal."""

    checksum: Annotated[str, msgspec.Meta(max_length=32)] | msgspec.UnsetType = msgspec.UNSET
    os_hash_algo: Annotated[str, msgspec.Meta(max_length=64)] | msgspec.UnsetType = msgspec.UNSET
    os_hash_value: Annotated[str, msgspec.Meta(max_length=128)] | msgspec.UnsetType = msgspec.UNSET

    def given(self) -> dict[str, str]:
        """Return what is told."""
        return {name: str(value) for name in self.__struct_fields__ if (value := getattr(self, name)) is not msgspec.UNSET}


class GivenLocation(msgspec.Struct):
    """A place where an image's content is, as a caller gives it."""

    url: Annotated[str, msgspec.Meta(max_length=2048)]
    metadata: dict[str, str]
    validation_data: Validation | None = None


@dataclass(frozen=True)
class Change:
    """One operation on one attribute or property.

    :param only_new: adding what is there is refused (the older dialect).
    :param position: of one location among several: a number, or "-" for the end.
    """

    op: str
    name: str
    value: Any = None
    only_new: bool = False
    position: str = ""


def read(content_type: str, body: Any) -> list[Change]:
    """Read a patch.

    :raises UnsupportedMedia: when it is of neither dialect.
    :raises BadRequest: when it is not well formed, or a value is not of its kind.
    :raises Forbidden: when it touches what may not be changed.
    """
    kind = content_type.partition(";")[0].strip()
    if kind not in (OLD, NEW):
        allowed = f"{OLD}, {NEW}"
        raise UnsupportedMedia(f"Image PATCH expects Content-Type one of: {allowed}", headers={"Accept-Patch": allowed})
    if not isinstance(body, list):
        raise BadRequest("Request body must be a JSON array of operation objects.")
    return [_read_one(raw, kind == OLD) for raw in body]


def require_settable(names: Any) -> None:
    """Check that names may be set by a caller.

    :raises Forbidden: when one is the cloud's own.
    """
    for name in names:
        if name in READ_ONLY:
            raise Forbidden(f"Attribute '{name}' is read-only.")
        if name in RESERVED or name.startswith(RESERVED_PREFIX):
            raise Forbidden(f"Attribute '{name}' is reserved.")


def require_property(name: str, value: Any) -> None:
    """Check that a property is a text under a name of moderate length.

    :raises BadRequest: when it is not.
    """
    if len(name) > NAME_MAX:
        raise BadRequest("Custom property should not be greater than 255 characters.")
    if not isinstance(value, str):
        raise BadRequest(f"Provided object does not match schema 'image': {value!r} is not of type 'string' (property {name})")
    if not name:
        raise BadRequest("A custom property needs a name.")


def _read_one(raw: Any, old: bool) -> Change:
    if not isinstance(raw, dict):
        raise BadRequest("Operations must be JSON objects.")
    op, pointer = _old_operation(raw) if old else _new_operation(raw)
    name, position = _read_pointer(pointer, op)
    if op != "remove" and "value" not in raw:
        raise BadRequest(f'Operation "{op}" requires a member named "value".')
    if name != "locations":
        require_settable([name])
    value = raw.get("value")
    if op != "remove" and name in BASE:
        value = _convert(name, value)
    elif op != "remove" and name == "locations":
        value = _read_locations(value if op == "replace" else [value])
    elif op != "remove":
        require_property(name, value)
    return Change(op, name, value, only_new=old, position=position)


def _read_locations(value: Any) -> list[GivenLocation]:
    try:
        return msgspec.convert(value, list[GivenLocation])
    except msgspec.ValidationError as error:
        raise BadRequest(f"Provided object does not match schema 'image': {error} (locations)") from error


def _new_operation(raw: dict[str, Any]) -> tuple[str, Any]:
    available = ", ".join(OPERATIONS)
    op = raw.get("op")
    if op is None:
        raise BadRequest(f"Unable to find `op` in JSON Schema change. It must be one of the following: {available}.")
    if op not in OPERATIONS:
        raise BadRequest(f"Invalid operation: `{op}`. It must be one of the following: {available}.")
    if "path" not in raw:
        raise BadRequest("Unable to find 'path' in JSON Schema change")
    return str(op), raw["path"]


def _old_operation(raw: dict[str, Any]) -> tuple[str, Any]:
    named = [op for op in OPERATIONS if op in raw]
    if len(named) != 1:
        count = "only" if named else "exactly"
        raise BadRequest(f'Operation objects must contain {count} one member named "add", "remove", or "replace".')
    return named[0], raw[named[0]]


def _read_pointer(pointer: Any, op: str) -> tuple[str, str]:
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        raise BadRequest(f'Pointer `{pointer}` does not start with "/".')
    if re.search(r"/\s*?/", pointer[1:]):
        raise BadRequest(f'Pointer `{pointer}` contains adjacent "/".')
    if len(pointer) > 1 and pointer.endswith("/"):
        raise BadRequest(f'Pointer `{pointer}` end with "/".')
    if re.search("~[^01]", pointer) or pointer.endswith("~"):
        raise BadRequest(f'Pointer `{pointer}` contains "~" not part of a recognized escape sequence.')
    parts = [part.replace("~1", "/").replace("~0", "~").strip() for part in pointer.lstrip("/").split("/")]
    depth = 2 if parts[0] == "locations" and op != "replace" else 1
    if len(parts) != depth or not parts[0]:
        raise BadRequest(f"Invalid JSON pointer for this resource: '/{'/'.join(parts)}'")
    return parts[0], parts[1] if depth == 2 else ""


def _convert(name: str, value: Any) -> Any:
    try:
        return getattr(msgspec.convert({name: value}, BaseFields), name)
    except msgspec.ValidationError as error:
        raise BadRequest(f"Provided object does not match schema 'image': {error}") from error
