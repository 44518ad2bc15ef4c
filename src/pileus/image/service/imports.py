"""Use cases on imports: staged content becomes an image's, told as a task."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection

from pileus.identity.service import catalog, tokens
from pileus.image import store, stores, web
from pileus.image.fields import IMAGE_ID, ImageCreate
from pileus.image.records import import_task_id
from pileus.image.service import data, finding, images, quotas
from pileus.image.store import Image, Import
from pileus.image.tasks.imports import (
    COPY,
    DEADLINE_SECONDS,
    FAILED,
    IMPORT,
    LEFT,
    TASK,
    download,
    fetch_image,
    publish,
)
from pileus.kernel import ids, tasks
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict, Fault, NotFound
from pileus.kernel.paging import Page

UUID = re.compile(IMAGE_ID)
METHODS = ("glance-direct", "web-download", "glance-download", COPY)
FROM_ELSEWHERE = ("web-download", "glance-download")
INTERFACES = ("public", "internal", "admin")


@dataclass(frozen=True)
class Request:
    """What an import is to do.

    :param stores: the stores it is to go into, in their order; everywhere: all there are.
    :param must_succeed: whether a store that fails undoes the others.
    :param plain: the request as it came, for the task's record.
    """

    method: str
    stores: tuple[str, ...] = ()
    everywhere: bool = False
    must_succeed: bool = True
    plain: dict[str, Any] = field(default_factory=dict)

    def parameter(self, name: str) -> str:
        """Return what the request says of its method."""
        return str(self.plain.get("method", {}).get(name) or "")


def begin(ctx: Context, image_id: str, request: Request) -> None:
    """Begin to import what is staged, what the web or another region has, or what is in another store.

    :raises BadRequest: when the method is none, or what it is to fetch is not to be fetched.
    :raises Conflict: when nothing is staged, a format is not set, a store is unknown, or an import is under way.
    :raises OverQuota: when the project has too much already.
    """
    if request.method not in METHODS:
        raise BadRequest(f"Unknown import method name '{request.method}'.")
    cloud = ctx.cloud
    uri = _read_uri(ctx, request.parameter("uri")) if request.method == "web-download" else ""
    source = _source(ctx, request) if request.method == "glance-download" else {}
    with cloud.db.begin() as tx:
        image, target = finding.find(ctx, tx, image_id, lock=True)
        _require_state(image, request.method)
        ctx.require("copy_image" if request.method == COPY else "modify_image", target)
        quotas.require_import(ctx, tx, image.owner or "")
        if image.properties.get(TASK):
            raise Conflict(f"New operation on image '{image_id}' is not permitted as prior operation is still in progress")
        wanted = _stores(cloud, image, request)
        if not wanted:
            store.set_properties(tx, image_id, {LEFT: "", FAILED: ""})
            return
        _start(ctx, tx, image, request, {"uri": uri, "source": source, "left": wanted})


def _start(ctx: Context, tx: Connection, image: Image, request: Request, more: dict[str, Any]) -> None:
    cloud, now = ctx.cloud, ctx.cloud.clock.now()
    told = {"image_id": image.id, "import_req": request.plain, "backend": more["left"]}
    record = Import(ids.uuid(), image.id, ctx.project_id, ctx.user_id, ctx.request_id, "pending", told, "", now, now)
    store.add_import(tx, record)
    store.set_properties(tx, image.id, {TASK: record.id, LEFT: ",".join(more["left"]), FAILED: ""})
    if request.method != COPY:
        store.change(tx, image.id, {"status": image.status}, status="importing", updated_at=now)
    memo = {
        "image": image.id, "import": record.id, "method": request.method, "all": request.must_succeed, "placed": [], "failed": [],
        **more,
    }  # fmt: skip
    steps = {"web-download": download.__name__, "glance-download": fetch_image.__name__}
    tasks.start(tx, cloud, IMPORT, import_task_id(image.id), DEADLINE_SECONDS, memo, steps.get(request.method, publish.__name__))


def _require_state(image: Image, method: str) -> None:
    if method == COPY and image.status != "active":
        raise Conflict("Only images with status active can be targeted for copying")
    if method != COPY and image.status == "active":
        raise Conflict("Image with status active cannot be target for import")
    if method in FROM_ELSEWHERE and image.status != "queued":
        raise Conflict(f"Image needs to be in 'queued' state to use '{method}' method")
    if method == "glance-direct" and (image.status != "uploading" or image.upload_id):
        raise Conflict("Image needs to be staged before 'glance-direct' method can be used")
    for name in ("container_format", "disk_format"):
        if not getattr(image, name):
            raise Conflict(f"'{name}' needs to be set before import")


def _stores(cloud: Cloud, image: Image, request: Request) -> list[str]:
    """Return the stores that the content is to be put into; of a copy those that do not have it."""
    there = [one.id for one in stores.writable(cloud)]
    wanted = there if request.everywhere else list(dict.fromkeys(request.stores)) or there[:1]
    if unknown := [name for name in wanted if name not in there]:
        raise Conflict(f"Store for identifier {unknown[0]} is not available.")
    if request.method != COPY:
        return wanted
    if not request.everywhere and (known := [name for name in wanted if name in image.stores]):
        raise BadRequest(f"Image is already present at store '{known[0]}'")
    return [name for name in wanted if name not in image.stores]


def _read_uri(ctx: Context, uri: str) -> str:
    try:
        web.check(uri, ctx.cloud.settings.image_import_hosts)
    except web.NotFetched as error:
        raise BadRequest(str(error)) from error
    return uri


def _source(ctx: Context, request: Request) -> dict[str, Any]:
    """Return where another image is; what cannot be had is told in the task, as Glance does.

    :raises BadRequest: when it is not named as it must be.
    """
    region, image_id = request.parameter("glance_region"), request.parameter("glance_image_id")
    interface = request.parameter("glance_service_interface") or "public"
    for name, value in (("glance_region", region), ("glance_image_id", image_id)):
        if not value:
            raise BadRequest(f"'{name}' needs to be set for glance-download import method")
    if not UUID.fullmatch(image_id):
        raise BadRequest(f"Remote image id does not look like a UUID: {image_id}")
    url = catalog.url_for(ctx.cloud, "image", ctx.project_id, interface, region) if interface in INTERFACES else None
    if url is None:
        return {"image_id": image_id, "problem": f"There is no image service of interface {interface} in region {region}."}
    if region == ctx.cloud.settings.region:
        return {"image_id": image_id, "problem": _refusal(ctx, image_id)}
    token = tokens.token_of(ctx)
    via = asdict(token.payload.via) if token else {}
    return {"image_id": image_id, "url": url, "user_id": ctx.user_id, "project_id": ctx.project_id, "via": via}


def _refusal(ctx: Context, image_id: str) -> str:
    """Return why the caller may not read an image of this region; empty: they may."""
    try:
        data.open_download(ctx, image_id)
    except Fault as fault:
        return fault.message
    return ""


def create_task(ctx: Context, wanted: ImageCreate, properties: dict[str, Any], source: str) -> Import:
    """Make an image of what the web has, as a task.

    :raises BadRequest: when the URI is not one to be fetched.
    """
    ctx.require("tasks_api_access")
    _read_uri(ctx, source)
    image = images.create(ctx, wanted, properties)
    begin(ctx, image.id, Request("web-download", plain={"method": {"name": "web-download", "uri": source}}))
    return list_of_image(ctx, image.id)[0]


def list_of_image(ctx: Context, image_id: str) -> list[Import]:
    """Return the imports of an image, newest first."""
    with ctx.cloud.db.read() as tx:
        finding.find(ctx, tx, image_id)
        return store.list_imports(tx, image_id)


def list_all(ctx: Context, where: Mapping[str, str], page: Page) -> list[Import]:
    """Return imports, as tasks.

    :param where: status and type that they have.
    :raises BadRequest: when the marker is none of them.
    """
    ctx.require("tasks_api_access")
    with ctx.cloud.db.read() as tx:
        found = [one for one in store.list_imports(tx) if all(kept(one, name) == value for name, value in where.items())]
    for key, descends in reversed(page.sort):
        found.sort(key=lambda one, key=key: kept(one, key), reverse=descends)  # type: ignore[misc]
    if page.marker is not None:
        places = [at for at, one in enumerate(found) if one.id == page.marker]
        if not places:
            raise BadRequest(f"Invalid marker. Task {page.marker} is not there.")
        found = found[places[0] + 1 :]
    return found[: page.limit]


def kept(record: Import, name: str) -> Any:
    """Return an attribute of an import under the name that tasks have for it; checks no rule."""
    if name == "type":
        return "location_import" if "loc_url" in record.input else "api_image_import"
    return getattr(record, name)


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
