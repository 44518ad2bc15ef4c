"""The metadata catalog: how its namespaces and definitions are given and shown, and the JSON schemas of both."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from pileus.image.store.metadefs import Definition, Namespace
from pileus.kernel.clock import to_iso

Short = Annotated[str, Meta(min_length=1, max_length=80)]
Label = Annotated[str, Meta(max_length=80)]
Text = Annotated[str, Meta(max_length=500)]
Kind = Literal["array", "boolean", "integer", "number", "object", "string"]
Whole = Annotated[int, Meta(ge=0)]
AT = "/v2/metadefs/namespaces"
SHOWN_ONLY = ("self", "schema", "created_at", "updated_at")


class Attributes(Struct, kw_only=True, forbid_unknown_fields=True):
    """A property that things may have, in the words of JSON schema."""

    title: Label
    type: Kind
    description: str | UnsetType = UNSET
    operators: list[str] | UnsetType = UNSET
    required: list[str] | UnsetType = UNSET
    minimum: float | UnsetType = UNSET
    maximum: float | UnsetType = UNSET
    maxLength: Whole | UnsetType = UNSET
    minLength: Whole | UnsetType = UNSET
    pattern: str | UnsetType = UNSET
    enum: list[Any] | UnsetType = UNSET
    readonly: bool | UnsetType = UNSET
    default: Any = UNSET
    items: dict[str, Any] | UnsetType = UNSET
    uniqueItems: bool | UnsetType = UNSET
    minItems: Whole | UnsetType = UNSET
    maxItems: Whole | UnsetType = UNSET
    additionalItems: bool | UnsetType = UNSET


class Property(Attributes, kw_only=True, forbid_unknown_fields=True):
    """A property with its name."""

    name: Short


class ObjectBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """A group of properties."""

    name: Short
    description: str | UnsetType = UNSET
    properties: dict[str, Attributes] | UnsetType = UNSET
    required: list[str] | UnsetType = UNSET


class TagBody(Struct, forbid_unknown_fields=True):
    """A tag."""

    name: Short


class TagsBody(Struct):
    """Several tags."""

    tags: list[TagBody]


class Association(Struct, kw_only=True, forbid_unknown_fields=True):
    """That a namespace is meant for a type of resource, whose properties then begin with the prefix."""

    name: Short
    prefix: Label | UnsetType = UNSET
    properties_target: Label | UnsetType = UNSET


class NamespaceBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """A namespace to make, with what it defines, or to change."""

    namespace: Short
    display_name: Label | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    visibility: Literal["public", "private"] | UnsetType = UNSET
    protected: bool | UnsetType = UNSET
    owner: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET
    objects: list[ObjectBody] | UnsetType = UNSET
    properties: dict[str, Attributes] | UnsetType = UNSET
    tags: list[TagBody] | UnsetType = UNSET
    resource_type_associations: list[Association] | UnsetType = UNSET


def show_definition(found: Definition, namespace: str) -> dict[str, Any]:
    """Return a definition as shown by itself."""
    shown = {**found.body, "name": found.name}
    if found.kind == "property":
        return shown
    shown |= {"created_at": to_iso(found.created_at), "updated_at": to_iso(found.updated_at)}
    if found.kind in ("object", "tag"):
        shown["schema"] = f"/v2/schemas/metadefs/{found.kind}"
    if found.kind == "object":
        shown["self"] = f"{AT}/{namespace}/objects/{found.name}"
    return shown


def show_namespace(found: Namespace, types: list[Definition]) -> dict[str, Any]:
    """Return a namespace as a list shows it."""
    shown: dict[str, Any] = {
        "namespace": found.namespace,
        "display_name": found.display_name,
        "description": found.description,
        "visibility": found.visibility,
        "protected": found.protected,
        "owner": found.owner,
        "created_at": to_iso(found.created_at),
        "updated_at": to_iso(found.updated_at),
        "self": f"{AT}/{found.namespace}",
        "schema": "/v2/schemas/metadefs/namespace",
    }
    if types:
        shown["resource_type_associations"] = [show_definition(one, found.namespace) for one in types]
    return {name: value for name, value in shown.items() if value is not None}


def show_full(found: Namespace, definitions: list[Definition], resource_type: str | None) -> dict[str, Any]:
    """Return a namespace with all it defines.

    :param resource_type: the type whose prefix the properties' names are to begin with.
    """
    by_kind: dict[str, list[Definition]] = {}
    for one in definitions:
        by_kind.setdefault(one.kind, []).append(one)
    types = by_kind.get("resource_type", [])
    prefix = next((str(one.body.get("prefix", "")) for one in types if one.name == resource_type), "")
    shown = show_namespace(found, types)
    if "object" in by_kind:
        shown["objects"] = [_prefixed(show_definition(one, found.namespace), prefix) for one in by_kind["object"]]
    if "property" in by_kind:
        shown["properties"] = {prefix + one.name: one.body for one in by_kind["property"]}
    if "tag" in by_kind:
        shown["tags"] = [show_definition(one, found.namespace) for one in by_kind["tag"]]
    return shown


def _prefixed(shown: dict[str, Any], prefix: str) -> dict[str, Any]:
    if prefix and "properties" in shown:
        shown["properties"] = {prefix + name: value for name, value in shown["properties"].items()}
    if prefix and "required" in shown:
        shown["required"] = [prefix + name for name in shown["required"]]
    return shown


def _schema(name: str, kind: Any) -> dict[str, Any]:
    """Return the JSON schema of a type that a body has, with what is only shown."""
    (made,), parts = msgspec.json.schema_components([kind], ref_template="#/definitions/{name}")
    body = parts.pop(made["$ref"].rpartition("/")[2])
    stamps: dict[str, Any] = {key: {"type": "string", "readOnly": True} for key in SHOWN_ONLY}
    schema = {"name": name, "type": "object", "properties": {**body["properties"], **stamps}, "additionalProperties": False}
    return schema | {"required": body.get("required", [])} | ({"definitions": parts} if parts else {})


def _collection(name: str, item: dict[str, Any], *, by_name: bool = False) -> dict[str, Any]:
    items = {"type": "object", "additionalProperties": item} if by_name else {"type": "array", "items": item}
    links = {link: {"type": "string"} for link in ("first", "next", "schema")}
    return {
        "name": name,
        "properties": {name: items, **links},
        "links": [{"rel": link, "href": f"{{{link}}}"} for link in ("first", "next")]
        + [{"rel": "describedby", "href": "{schema}"}],
    }


_ONES = {
    "namespace": _schema("namespace", NamespaceBody),
    "object": _schema("object", ObjectBody),
    "property": _schema("property", Property),
    "tag": _schema("tag", TagBody),
    "resource_type": _schema("resource_type_association", Association),
}
METADEF_SCHEMAS: dict[str, dict[str, Any]] = {
    **_ONES,
    "namespaces": _collection("namespaces", _ONES["namespace"]),
    "objects": _collection("objects", _ONES["object"]),
    "properties": _collection("properties", _ONES["property"], by_name=True),
    "tags": _collection("tags", _ONES["tag"]),
    "resource_types": _collection("resource_type_associations", _ONES["resource_type"]),
}
