"""Imports of content into stores, also told as tasks."""

from typing import Any

import msgspec
from msgspec import UNSET

from pileus.image import patch
from pileus.image.fields import ImageCreate
from pileus.image.schemas.images import ImportRequest, TaskCreate, show_task
from pileus.image.service import imports
from pileus.image.store import Import
from pileus.kernel.errors import BadRequest, MethodNotAllowed
from pileus.kernel.http import Answer, Call, Route
from pileus.kernel.paging import Page, next_link, read_limit, read_sort

STORE_HEADER = "x-image-meta-store"
LIMIT_DEFAULT, LIMIT_MAX = 25, 1000
SORT_KEYS = {"id", "type", "status", "created_at", "updated_at"}
FILTERS = ("status", "type")


def begin_import(call: Call) -> Answer:
    """Import what is staged, what the web or another region has, or what is in another store."""
    body: ImportRequest = call.body
    named = call.headers.get(STORE_HEADER, "")
    if body.all_stores and (named or body.stores is not UNSET):
        raise BadRequest("All_stores parameter can't be used with x-image-meta-store header or stores parameter")
    if named and body.stores is not UNSET:
        raise BadRequest("Stores parameter and x-image-meta-store header can't be both specified")
    stores = tuple(body.stores) if body.stores is not UNSET else (named,) if named else ()
    plain = msgspec.json.decode(call.raw)
    request = imports.Request(body.method.name, stores, body.all_stores, body.all_stores_must_succeed, plain)
    imports.begin(call.ctx, call.path["image_id"], request)
    return Answer(None, status=202)


def list_image_tasks(call: Call) -> dict[str, Any]:
    """List the imports of an image."""
    return {"tasks": [_show(record, full=True) for record in imports.list_of_image(call.ctx, call.path["image_id"])]}


def list_tasks(call: Call) -> dict[str, Any]:
    """List imports as tasks."""
    query = call.query
    where = {name: value for name in FILTERS if (value := query.get(name))}
    sort = read_sort([query.get("sort_key", "created_at") or ""], [query.get("sort_dir", "desc") or ""], SORT_KEYS)
    limit = min(LIMIT_DEFAULT if (given := read_limit(query.get("limit"))) is None else given, LIMIT_MAX)
    found = imports.list_all(call.ctx, where, Page(limit, query.get("marker"), sort))
    shown: dict[str, Any] = {
        "tasks": [_show(record, full=False) for record in found], "first": "/v2/tasks", "schema": "/v2/schemas/tasks",
    }  # fmt: skip
    if found and len(found) == limit:
        shown["next"] = next_link("/v2/tasks", query.pairs, found[-1].id)
    return shown


def create_task(call: Call) -> dict[str, Any]:
    """Make an image of what the web has, as a task."""
    given = call.body.input
    try:
        wanted = msgspec.convert(given.image_properties, ImageCreate)
    except msgspec.ValidationError as error:
        raise BadRequest(f"Invalid image_properties: {error}") from error
    properties = {name: value for name, value in given.image_properties.items() if name not in patch.BASE and name != "id"}
    return _show(imports.create_task(call.ctx, wanted, properties, given.import_from), full=True)


def show_one_task(call: Call) -> dict[str, Any]:
    """Show an import as a task."""
    return _show(imports.get(call.ctx, call.path["task_id"]), full=True)


def delete_task(call: Call) -> None:
    """Refuse: tasks are forgotten when they expire."""
    imports.get(call.ctx, call.path["task_id"])
    raise MethodNotAllowed(
        "This operation is currently not permitted on Glance Tasks. They are auto deleted after reaching the time based on their "
        "expires_at property.",
        headers={"Allow": "GET"},
    )


def _show(record: Import, full: bool) -> dict[str, Any]:
    return show_task(record, imports.kept(record, "type"), full)


AT = "/v2/images/{image_id}"

ROUTES = (
    Route(
        "POST",
        AT + "/import",
        begin_import,
        body=ImportRequest,
        status=202,
        rule="modify_image",
        errors=(400, 401, 403, 404, 409, 413),
    ),
    Route("GET", AT + "/tasks", list_image_tasks, rule="get_image"),
    Route("GET", "/v2/tasks", list_tasks, rule="tasks_api_access"),
    Route("POST", "/v2/tasks", create_task, body=TaskCreate, status=201, rule="tasks_api_access"),
    Route("GET", "/v2/tasks/{task_id}", show_one_task, rule="tasks_api_access"),
    Route("DELETE", "/v2/tasks/{task_id}", delete_task, status=405, rule="tasks_api_access", errors=(401, 403, 404, 405)),
)
