"""The OpenAPI 3.1 document of a service, out of the same routes and types that check its requests."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from pileus.kernel.http import Answer, Call, Route, Service

METHODS = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE")  # OpenAPI knows no others
VARIABLE = re.compile(r"\{(\w+)(?::rest)?\}")


def with_document(service: Service) -> list[Route]:
    """Return a service's routes and one more that serves its document."""
    made: list[bytes] = []

    def show(call: Call) -> Answer:
        if not made:
            made.append(msgspec.json.encode(document(service)))
        return Answer(made[0])

    return [*service.routes, Route("GET", "/openapi.json", show, public=True)]


def document(service: Service) -> dict[str, Any]:
    """Return the document of a service."""
    types = _types(service.routes)
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_type = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in service.routes:
        if route.method not in METHODS:
            continue
        path = VARIABLE.sub(r"{\1}", route.path)
        methods = paths.setdefault(path, {})
        described = _operation(service, route, by_type)
        if route.method.lower() in methods:
            _merge(methods[route.method.lower()], described)
        else:
            methods[route.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": service.title, "version": "1"},
        "servers": [{"url": f"/{service.name}"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
        },
    }


def _types(routes: Iterable[Route]) -> list[Any]:
    found: dict[int, Any] = {}
    for route in routes:
        for kind in (route.body, route.answer, route.query):
            if kind is not None:
                found[id(kind)] = kind
    return list(found.values())


def _operation(service: Service, route: Route, schemas: dict[int, Any]) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in VARIABLE.findall(route.path)
    ]
    if route.query is not None:
        for part in msgspec.structs.fields(route.query):
            schema = msgspec.json.schema(part.type)
            parameters.append({"name": part.encode_name, "in": "query", "required": False, "schema": schema})
    name = getattr(route.handler, "__name__", "")
    found: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}_{name}{route.since}"),
        "summary": route.summary or (route.handler.__doc__ or name.replace("_", " ")).strip().splitlines()[0],
        "parameters": parameters,
        "responses": _responses(route, schemas),
        "security": [] if route.public else [{"token": []}],
    }
    if route.rule:
        found["x-policy"] = route.rule
    if route.since or route.until:
        found["x-microversions"] = {"since": route.since, "until": route.until}
    if route.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schemas[id(route.body)]}}}
    elif route.stream or route.raw:
        found["requestBody"] = {"content": {"application/octet-stream": {}}}
    return found


def _responses(route: Route, schemas: dict[int, Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "done"}
    if route.answer is not None:
        good["content"] = {"application/json": {"schema": schemas[id(route.answer)]}}
    return {str(route.status): good} | {str(status): {"description": "refused"} for status in route.errors}


def _merge(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Describe two routes of one path and method, which differ by microversion, as one operation."""
    body, other = first.get("requestBody"), second.get("requestBody")
    if body and other and body != other:
        kind = "application/json"
        old, new = body["content"].get(kind, {}).get("schema", {}), other["content"].get(kind, {}).get("schema", {})
        body["content"][kind] = {"schema": {"anyOf": [*old.get("anyOf", [old]), new]}}
    first["responses"] |= second["responses"]
    named = {(p["in"], p["name"]) for p in first["parameters"]}
    first["parameters"] += [p for p in second["parameters"] if (p["in"], p["name"]) not in named]
