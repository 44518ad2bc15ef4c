"""/traits and /resource_classes"""

from typing import Any

from pileus.compute.schemas import placement as schemas
from pileus.compute.service import placement_names as names
from pileus.kernel.errors import BadRequest, Conflict
from pileus.kernel.http import Answer, Call, Route


def list_traits(call: Call) -> Any:
    if unknown := call.query.names() - {"name", "associated"}:
        raise BadRequest(f"Invalid query string parameters: '{min(unknown)}' is not known.")
    associated = call.query.get("associated")
    if associated is not None and associated.lower() not in ("true", "false"):
        raise BadRequest('The query parameter "associated" only accepts "true" or "false"')
    found = names.list_traits(call.ctx, None if associated is None else associated.lower() == "true")
    wish = call.query.get("name")
    if wish is not None:
        kind, _, text = wish.partition(":")
        if kind not in ("in", "startswith"):
            raise BadRequest(
                "Badly formatted name parameter. Expected name query string parameter in form: ?name=[in|startswith]:X"
            )
        wanted = set(text.split(","))
        found = [name for name in found if (name in wanted if kind == "in" else name.startswith(text))]
    return Answer({"traits": found}, headers=fresh(call))


def show_trait(call: Call) -> Any:
    names.check_trait(call.ctx, call.path["name"])
    return Answer(status=204, headers=fresh(call))


def put_trait(call: Call) -> Any:
    name = call.path["name"]
    status = 201 if names.add_trait(call.ctx, name) else 204
    return Answer(status=status, headers={"Location": f"{root(call)}/traits/{name}", **fresh(call)})


def delete_trait(call: Call) -> None:
    names.delete_trait(call.ctx, call.path["name"])


def list_classes(call: Call) -> Any:
    shown = [_show(call, name) for name in names.list_classes(call.ctx)]
    return Answer({"resource_classes": shown}, headers=fresh(call))


def show_class(call: Call) -> Any:
    names.check_class(call.ctx, call.path["name"])
    return Answer(_show(call, call.path["name"]), headers=fresh(call))


def create_class(call: Call) -> Any:
    name = call.body.name
    if not names.add_class(call.ctx, name):
        raise Conflict(f"Conflicting resource class already exists: {name}")
    return Answer(headers={"Location": f"{call.root_url}{root(call)}/resource_classes/{name}"})


def put_class(call: Call) -> Any:
    name = call.path["name"]
    status = 201 if names.add_class(call.ctx, name, "update") else 204
    return Answer(status=status, headers={"Location": f"{call.root_url}{root(call)}/resource_classes/{name}"})


def rename_class(call: Call) -> Any:
    names.rename_class(call.ctx, call.path["name"], call.body.name)
    return _show(call, call.body.name)


def delete_class(call: Call) -> None:
    names.delete_class(call.ctx, call.path["name"])


def root(call: Call) -> str:
    """Return the path under which the service is mounted."""
    return call.base_url.removeprefix(call.root_url)


def fresh(call: Call) -> dict[str, str]:
    """Return the headers that keep answers out of caches."""
    return {"Cache-Control": "no-cache"} if call.since("1.15") else {}


def _show(call: Call, name: str) -> dict[str, Any]:
    return {"name": name, "links": [{"rel": "self", "href": f"{root(call)}/resource_classes/{name}"}]}


ERRORS = (400, 401, 403, 404, 409)

routes = (
    Route("GET", "/traits", list_traits, since="1.6"),
    Route("GET", "/traits/{name}", show_trait, since="1.6", status=204),
    Route("PUT", "/traits/{name}", put_trait, since="1.6", status=201),
    Route("DELETE", "/traits/{name}", delete_trait, since="1.6", status=204, errors=ERRORS),
    Route("GET", "/resource_classes", list_classes, since="1.2"),
    Route("POST", "/resource_classes", create_class, schemas.ResourceClass, since="1.2", status=201, errors=ERRORS),
    Route("GET", "/resource_classes/{name}", show_class, since="1.2"),
    Route("PUT", "/resource_classes/{name}", rename_class, schemas.ResourceClass, since="1.2", until="1.6", errors=ERRORS),
    Route("PUT", "/resource_classes/{name}", put_class, since="1.7", status=201),
    Route("DELETE", "/resource_classes/{name}", delete_class, since="1.2", status=204, errors=ERRORS),
)
