"""Use cases on imports: staged content becomes an image's, told as a task."""

from typing import Any

from pileus.image import store, web
from pileus.image.fields import ImageCreate
from pileus.image.files import STORE
from pileus.image.records import import_task_id
from pileus.image.service import images
from pileus.image.store import Import
from pileus.image.tasks.imports import DEADLINE_SECONDS, IMPORT, download, publish
from pileus.kernel import ids, tasks
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, NotFound

METHODS = ("glance-direct", "web-download")


def begin(ctx: Context, image_id: str, method: str, stores: list[str], request: dict[str, Any]) -> Import:
    """Begin to import what is staged, or what the web has.

    :raises BadRequest: when the method is not one of METHODS, or the URI not one to be fetched.
    :raises Conflict: when nothing is staged, a format is not set, or a store is unknown.
    """
    if method not in METHODS:
        raise BadRequest(f"Unknown import method name '{method}'.")
    uri = _read_uri(ctx, request) if method == "web-download" else ""
    cloud, now = ctx.cloud, ctx.cloud.clock.now()
    with cloud.db.begin() as tx:
        image, target = images.find(ctx, tx, image_id, lock=True)
        if image.status == "active":
            raise Conflict("Image with status active cannot be target for import")
        if uri and image.status != "queued":
            raise Conflict("Image needs to be in 'queued' state to use 'web-download' method")
        if not uri and (image.status != "uploading" or image.upload_id):
            raise Conflict("Image needs to be staged before 'glance-direct' method can be used")
        for name in ("container_format", "disk_format"):
            if not getattr(image, name):
                raise Conflict(f"'{name}' needs to be set before import")
        ctx.require("modify_image", target)
        if unknown := [name for name in stores if name != STORE]:
            raise Conflict(f"Store for identifier {unknown[0]} is not available.")
        record = Import(
            ids.uuid(), image_id, ctx.project_id, ctx.user_id, ctx.request_id, "pending",
            {"image_id": image_id, "import_req": request, "backend": [STORE]}, "", now, now,
        )  # fmt: skip
        store.add_import(tx, record)
        store.change(tx, image_id, {"status": image.status}, status="importing", updated_at=now)
        memo = {"image": image_id, "import": record.id, "uri": uri}
        first = download.__name__ if uri else publish.__name__
        tasks.start(tx, cloud, IMPORT, import_task_id(image_id), DEADLINE_SECONDS, memo, first)
    return record


def _read_uri(ctx: Context, request: dict[str, Any]) -> str:
    uri = str(request.get("method", {}).get("uri") or "")
    try:
        web.check(uri, ctx.cloud.settings.image_import_hosts)
    except web.NotFetched as error:
        raise BadRequest(str(error)) from error
    return uri


def create_task(ctx: Context, wanted: ImageCreate, properties: dict[str, Any], source: str) -> Import:
    """Make an image of what the web has, as a task.

    :raises BadRequest: when the URI is not one to be fetched.
    """
    ctx.require("tasks_api_access")
    request = {"method": {"name": "web-download", "uri": source}}
    _read_uri(ctx, request)
    image = images.create(ctx, wanted, properties)
    return begin(ctx, image.id, "web-download", [], request)


def list_of_image(ctx: Context, image_id: str) -> list[Import]:
    """Return the imports of an image, newest first."""
    with ctx.cloud.db.read() as tx:
        images.find(ctx, tx, image_id)
        return store.list_imports(tx, image_id)


def list_all(ctx: Context) -> list[Import]:
    """Return every import, newest first."""
    ctx.require("tasks_api_access")
    with ctx.cloud.db.read() as tx:
        return store.list_imports(tx)


def get(ctx: Context, import_id: str) -> Import:
    """Return one import.

    :raises NotFound: when there is none.
    """
    ctx.require("tasks_api_access")
    with ctx.cloud.db.read() as tx:
        found = store.get_import(tx, import_id)
    if found is None:
        raise NotFound(f"No task found with ID {import_id}")
    return found
