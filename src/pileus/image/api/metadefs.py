"""/v2/metadefs: namespaces, and the objects, properties, tags and resource types they define."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET

from pileus.image.schemas.metadefs import (
    AT,
    Association,
    NamespaceBody,
    ObjectBody,
    Property,
    TagBody,
    TagsBody,
    show_definition,
    show_full,
    show_namespace,
)
from pileus.image.service import metadefs
from pileus.image.service.metadefs import Given
from pileus.kernel.http import Answer, Call, Route
from pileus.kernel.paging import read_limit

PLURALS = {"object": "objects", "property": "properties", "tag": "tags"}
ALL_AT_ONCE_MAX = 1000


def list_namespaces(call: Call) -> dict[str, Any]:
    """List namespaces"""
    limit = read_limit(call.query.get("limit"), ALL_AT_ONCE_MAX)
    found = metadefs.list_namespaces(call.ctx, metadefs.read_listing(dict(call.query.pairs), limit))
    kept = [(key, value) for key, value in call.query.pairs if key != "marker"]
    shown: dict[str, Any] = {
        "namespaces": [show_namespace(one, types) for one, types in found],
        "first": f"{AT}?{urlencode(kept)}" if kept else AT,
        "schema": "/v2/schemas/metadefs/namespaces",
    }
    if found and len(found) == limit:
        shown["next"] = f"{AT}?{urlencode([*kept, ('marker', found[-1][0].namespace)])}"
    return shown


def create_namespace(call: Call) -> Answer:
    """Create a namespace with what it defines"""
    values = _plain(call.body)
    given: list[Given] = [("object", *_named(one)) for one in values.pop("objects", [])]
    given += [("property", name, body) for name, body in values.pop("properties", {}).items()]
    given += [("tag", *_named(one)) for one in values.pop("tags", [])]
    given += [("resource_type", *_named(one)) for one in values.pop("resource_type_associations", [])]
    made = metadefs.create_namespace(call.ctx, values, given)
    headers = {"Location": f"{call.base_url}{AT}/{made.namespace}"}
    return Answer(show_full(*metadefs.get_namespace(call.ctx, made.namespace), None), headers=headers)


def show_one_namespace(call: Call) -> dict[str, Any]:
    """Show a namespace with all it defines"""
    return show_full(*metadefs.get_namespace(call.ctx, call.path["namespace"]), call.query.get("resource_type"))


def update_namespace(call: Call) -> dict[str, Any]:
    """Update a namespace"""
    values = _plain(call.body)
    for name in ("objects", "properties", "tags", "resource_type_associations"):
        values.pop(name, None)
    return show_namespace(metadefs.update_namespace(call.ctx, call.path["namespace"], values), [])


def delete_namespace(call: Call) -> None:
    """Delete a namespace"""
    metadefs.delete_namespace(call.ctx, call.path["namespace"])


def _plain(body: Any) -> dict[str, Any]:
    """Return the attributes of a body that were given."""
    found: dict[str, Any] = msgspec.to_builtins(
        {part.name: value for part in msgspec.structs.fields(body) if (value := getattr(body, part.name)) is not UNSET}
    )
    return found


def _named(plain: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return plain["name"], {key: value for key, value in plain.items() if key != "name"}


def _about(kind: str, act: Callable[[Call, str], Any], what: str) -> Callable[[Call], Any]:
    """Return a handler for one kind of definition."""

    def handler(call: Call) -> Any:
        return act(call, kind)

    handler.__name__ = f"{act.__name__}_{kind}"
    handler.__doc__ = f"{what} {kind}"
    return handler


def list_(call: Call, kind: str) -> dict[str, Any]:
    """List definitions of a kind"""
    namespace, plural = call.path["namespace"], PLURALS[kind]
    found = metadefs.list_definitions(call.ctx, namespace, kind)
    if kind == "property":
        return {"properties": {one.name: one.body for one in found}}
    shown = [show_definition(one, namespace) for one in found]
    return {plural: shown, "first": f"{AT}/{namespace}/{plural}", "schema": f"/v2/schemas/metadefs/{plural}"}


def create(call: Call, kind: str) -> dict[str, Any]:
    """Add a definition"""
    name, body = (call.path["name"], {}) if kind == "tag" else _named(_plain(call.body))
    return show_definition(metadefs.define(call.ctx, call.path["namespace"], kind, name, body), call.path["namespace"])


def show(call: Call, kind: str) -> dict[str, Any]:
    """Show a definition"""
    namespace = call.path["namespace"]
    return show_definition(metadefs.get_definition(call.ctx, namespace, kind, call.path["name"]), namespace)


def update(call: Call, kind: str) -> dict[str, Any]:
    """Change a definition"""
    namespace = call.path["namespace"]
    return show_definition(metadefs.redefine(call.ctx, namespace, kind, call.path["name"], *_named(_plain(call.body))), namespace)


def delete(call: Call, kind: str) -> None:
    """Take a definition away, or all of a kind"""
    metadefs.undefine(call.ctx, call.path["namespace"], kind, call.path.get("name"))


def set_tags(call: Call) -> dict[str, Any]:
    """Write the tags of a namespace"""
    keep = call.headers.get("x-openstack-append", "").lower() == "true"
    namespace = call.path["namespace"]
    found = metadefs.set_tags(call.ctx, namespace, [tag.name for tag in call.body.tags], keep=keep)
    return {"tags": [show_definition(one, namespace) for one in found]}


def list_resource_types(call: Call) -> dict[str, Any]:
    """List the types of resources"""
    return {"resource_types": [{"name": name} for name in metadefs.list_resource_types(call.ctx)]}


def list_associations(call: Call) -> dict[str, Any]:
    """List the types of resources a namespace is meant for"""
    namespace = call.path["namespace"]
    found = metadefs.list_definitions(call.ctx, namespace, "resource_type")
    return {"resource_type_associations": [show_definition(one, namespace) for one in found]}


ONE = AT + "/{namespace}"
BODIES = {"object": ObjectBody, "property": Property, "tag": TagBody}
REMOVES = {"object": "delete_metadef_object", "property": "remove_metadef_property", "tag": "delete_metadef_tag"}


def _routes(kind: str) -> tuple[Route, ...]:
    plural = PLURALS[kind]
    many, one, body = f"{ONE}/{plural}", f"{ONE}/{plural}/{{name}}", BODIES[kind]
    rules = {"list": f"get_metadef_{plural}", "one": f"get_metadef_{kind}", "change": f"modify_metadef_{kind}"}
    add = Route("POST", many, _about(kind, create, "Add a"), body=body, status=201, rule=f"add_metadef_{kind}")
    if kind == "tag":
        add = Route("POST", one, _about(kind, create, "Add a"), status=201, rule="add_metadef_tag")
    return (
        Route("GET", many, _about(kind, list_, "List definitions of a kind:"), rule=rules["list"]),
        add,
        Route("DELETE", many, _about(kind, delete, "Take away every"), status=204, rule=REMOVES[kind]),
        Route("GET", one, _about(kind, show, "Show a"), rule=rules["one"]),
        Route("PUT", one, _about(kind, update, "Change a"), body=body, rule=rules["change"]),
        Route("DELETE", one, _about(kind, delete, "Take away a"), status=204, rule=REMOVES[kind]),
    )


TYPES = f"{ONE}/resource_types"
ROUTES = (
    Route("GET", "/v2/metadefs/resource_types", list_resource_types, rule="list_metadef_resource_types"),
    Route("GET", AT, list_namespaces, rule="get_metadef_namespaces"),
    Route("POST", AT, create_namespace, body=NamespaceBody, status=201, rule="add_metadef_namespace"),
    Route("GET", ONE, show_one_namespace, rule="get_metadef_namespace"),
    Route("PUT", ONE, update_namespace, body=NamespaceBody, rule="modify_metadef_namespace"),
    Route("DELETE", ONE, delete_namespace, status=204, rule="delete_metadef_namespace"),
    *(route for kind in PLURALS for route in _routes(kind)),
    Route("POST", f"{ONE}/tags", set_tags, body=TagsBody, status=201, rule="add_metadef_tags"),
    Route("GET", TYPES, list_associations, rule="get_metadef_resource_type"),
    Route(
        "POST",
        TYPES,
        _about("resource_type", create, "Add a"),
        body=Association,
        status=201,
        rule="add_metadef_resource_type_association",
    ),
    Route(
        "DELETE",
        f"{TYPES}/{{name}}",
        _about("resource_type", delete, "Take away a"),
        status=204,
        rule="remove_metadef_resource_type_association",
    ),
)
