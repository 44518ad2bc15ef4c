"""/v2.1/images: images and their properties as nova showed them; the image API has them all.

The calls end with microversion 2.35, those for properties with 2.38.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from pileus.compute.api.queries import links, read_page
from pileus.compute.schemas.fields import TRUE
from pileus.compute.schemas.servers import Metadata
from pileus.compute.service import old_images
from pileus.kernel.clock import to_iso
from pileus.kernel.errors import NotFound
from pileus.kernel.http import Call, Route
from pileus.kernel.paging import next_link

LAST, LAST_OF_METADATA = "2.35", "2.38"
FILTERS = {
    "name": "name", "status": "status", "server": "instance_uuid", "type": "image_type", "minRam": "min_ram",
    "minDisk": "min_disk", "changes-since": "updated_at",
}  # fmt: skip
STATUS = {"active": "ACTIVE", "queued": "SAVING", "saving": "SAVING", "deleted": "DELETED", "pending_delete": "DELETED"}
PROGRESS = {"queued": 25, "saving": 50, "active": 100}


class MetadataBody(Struct):
    """POST and PUT /images/{id}/metadata."""

    metadata: Metadata


class MetaBody(Struct):
    """PUT /images/{id}/metadata/{key}."""

    meta: Annotated[Metadata, Meta(min_length=1, max_length=1)]


def _links(call: Call, id: str) -> list[dict[str, str]]:
    alternate = {"rel": "alternate", "type": "application/vnd.openstack.image", "href": f"{call.root_url}/image/images/{id}"}
    return [*links(call, "images", id), alternate]


def _full(call: Call, image: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": image.id, "name": image.name, "minRam": image.min_ram, "minDisk": image.min_disk, "metadata": image.properties,
        "created": to_iso(image.created_at), "updated": to_iso(image.updated_at), "status": STATUS.get(image.status, "UNKNOWN"),
        "progress": PROGRESS.get(image.status, 0), "OS-EXT-IMG-SIZE:size": image.size or 0, "links": _links(call, image.id),
    }  # fmt: skip
    if server_id := image.properties.get("instance_uuid"):
        found["server"] = {"id": server_id, "links": links(call, "servers", server_id)}
    if (wanted := image.properties.get("auto_disk_config")) is not None:
        found["OS-DCF:diskConfig"] = "AUTO" if wanted.lower() in TRUE else "MANUAL"
    return found


def _wanted(call: Call) -> list[tuple[str, str]]:
    """Read the filters, in the image API's own names."""
    found = []
    for name, value in call.query.pairs:
        if name.startswith("property-"):
            found.append((name.removeprefix("property-"), value))
        elif name in FILTERS:
            text = {"status": value.lower(), "server": value.rpartition("/")[2], "changes-since": f"gte:{value}"}.get(name, value)
            found.append((FILTERS[name], text))
    return found


def _list(call: Call, detail: bool) -> Any:
    page = read_page(call) if "limit" in call.query else None
    found = old_images.list_images(call.ctx, _wanted(call), page.limit if page else None, call.query.get("marker"))
    brief = ({"id": image.id, "name": image.name, "links": _links(call, image.id)} for image in found)
    body: dict[str, Any] = {"images": [_full(call, image) for image in found] if detail else list(brief)}
    if found and page is not None and len(found) == page.limit:
        body["images_links"] = [{"rel": "next", "href": next_link(call.path_url, call.query.pairs, found[-1].id)}]
    return body


def index(call: Call) -> Any:
    """List images: ids and names."""
    return _list(call, detail=False)


def detail(call: Call) -> Any:
    """List images with everything about them."""
    return _list(call, detail=True)


def show(call: Call) -> Any:
    """Show an image."""
    return {"image": _full(call, old_images.find(call.ctx, call.path["id"]))}


def delete(call: Call) -> None:
    """Delete an image."""
    old_images.delete(call.ctx, call.path["id"])


def _properties(call: Call) -> Mapping[str, str]:
    found: Mapping[str, str] = old_images.find(call.ctx, call.path["id"]).properties
    return found


def show_metadata(call: Call) -> Any:
    """Show an image's properties."""
    return {"metadata": _properties(call)}


def add_metadata(call: Call) -> Any:
    """Add properties to an image."""
    wanted = {**_properties(call), **call.body.metadata}
    return {"metadata": old_images.set_properties(call.ctx, call.path["id"], wanted)}


def replace_metadata(call: Call) -> Any:
    """Replace an image's properties."""
    _properties(call)
    return {"metadata": old_images.set_properties(call.ctx, call.path["id"], call.body.metadata)}


def show_item(call: Call) -> Any:
    """Show one property of an image."""
    key, found = call.path["key"], _properties(call)
    if key not in found:
        raise NotFound("The resource could not be found.")
    return {"meta": {key: found[key]}}


def set_item(call: Call) -> Any:
    """Set one property of an image."""
    call.require_one(call.body.meta)
    old_images.set_properties(call.ctx, call.path["id"], {**_properties(call), **call.body.meta})
    return {"meta": call.body.meta}


def delete_item(call: Call) -> None:
    """Remove one property of an image."""
    key, found = call.path["key"], _properties(call)
    if key not in found:
        raise NotFound("Invalid metadata key")
    old_images.set_properties(call.ctx, call.path["id"], {name: value for name, value in found.items() if name != key})


ONE = "/v2.1/images/{id}"
META, ITEM = ONE + "/metadata", ONE + "/metadata/{key}"
BAD = (400, 401, 403, 404)

routes = (
    Route("GET", "/v2.1/images", index, rule="get_images", until=LAST),
    Route("GET", "/v2.1/images/detail", detail, rule="get_images", until=LAST),
    Route("GET", ONE, show, rule="get_image", until=LAST),
    Route("DELETE", ONE, delete, status=204, rule="delete_image", until=LAST),
    Route("GET", META, show_metadata, rule="get_image", until=LAST_OF_METADATA),
    Route("POST", META, add_metadata, body=MetadataBody, rule="modify_image", until=LAST_OF_METADATA, errors=BAD),
    Route("PUT", META, replace_metadata, body=MetadataBody, rule="modify_image", until=LAST_OF_METADATA, errors=BAD),
    Route("GET", ITEM, show_item, rule="get_image", until=LAST_OF_METADATA),
    Route("PUT", ITEM, set_item, body=MetaBody, rule="modify_image", until=LAST_OF_METADATA, errors=BAD),
    Route("DELETE", ITEM, delete_item, status=204, rule="modify_image", until=LAST_OF_METADATA, errors=BAD),
)
