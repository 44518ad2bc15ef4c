"""Use cases on imports: staged content becomes an image's, told as a task."""

from typing import Any

from pileus.image import store
from pileus.image.files import STORE
from pileus.image.records import import_task_id
from pileus.image.service import images
from pileus.image.store import Import
from pileus.image.tasks.imports import DEADLINE_SECONDS, IMPORT
from pileus.kernel import ids, tasks
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, NotFound

METHODS = ("glance-direct",)


def begin(ctx: Context, image_id: str, method: str, stores: list[str], request: dict[str, Any]) -> None:
    """Begin to import what is staged.

    :raises BadRequest: when the method is not one of METHODS.
    :raises Conflict: when nothing is staged, a format is not set, or a store is unknown.
    """
    if method not in METHODS:
        raise BadRequest(f"Unknown import method name '{method}'.")
    cloud, now = ctx.cloud, ctx.cloud.clock.now()
    with cloud.db.begin() as tx:
        image, target = images.find(ctx, tx, image_id, lock=True)
        if image.status == "active":
            raise Conflict("Image with status active cannot be target for import")
        if image.status != "uploading" or image.upload_id:
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
        store.change(tx, image_id, {"status": "uploading"}, status="importing", updated_at=now)
        tasks.start(tx, cloud, IMPORT, import_task_id(image_id), DEADLINE_SECONDS, {"image": image_id, "import": record.id})


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
