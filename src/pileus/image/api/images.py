"""Images, their tags and members."""

from typing import Any
from urllib.parse import urlencode

import msgspec

from pileus.image import filters, patch, stores
from pileus.image.fields import ImageCreate
from pileus.image.schemas.images import MemberCreate, MemberUpdate, show_image, show_member
from pileus.image.service import images, imports, locations, members
from pileus.image.store import Image
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Forbidden
from pileus.kernel.http import Answer, Call, Route

TAG_MAX = 255


def index(call: Call) -> dict[str, Any]:
    """List images."""
    listing = filters.read(call.query.pairs)
    found = images.list_images(call.ctx, listing)
    kept = [(key, value) for key, value in call.query.pairs if key != "marker"]
    here = "/v2/images"
    shown: dict[str, Any] = {
        "images": [_show(call.ctx, image) for image in found],
        "first": f"{here}?{urlencode(kept)}" if kept else here,
        "schema": "/v2/schemas/images",
    }
    if found and len(found) == listing.limit:
        shown["next"] = f"{here}?{urlencode([*kept, ('marker', found[-1].id)])}"
    return shown


def create(call: Call) -> Answer:
    """Create an image's record."""
    plain = msgspec.json.decode(call.raw)
    for name in patch.DISALLOWED:
        if name in plain:
            raise Forbidden(f"Attribute '{name}' is read-only.")
    properties = {name: value for name, value in plain.items() if name not in patch.BASE and name != "id"}
    if "locations" in properties:
        raise Forbidden("It's not allowed to add locations while an image is made.")
    image = images.create(call.ctx, call.body, properties)
    headers = {
        "Location": f"{call.base_url}/v2/images/{image.id}",
        "OpenStack-image-import-methods": ",".join(imports.METHODS),
        "OpenStack-image-store-ids": ",".join(store.id for store in stores.all_of(call.cloud)),
    }
    return Answer(_show(call.ctx, image), headers=headers)


def _show(ctx: Context, image: Image) -> dict[str, Any]:
    if not ctx.cloud.settings.image_show_locations:
        return show_image(image)
    return show_image(image, with_locations=locations.seen(ctx, image))


def show(call: Call) -> dict[str, Any]:
    """Show an image."""
    return _show(call.ctx, images.get(call.ctx, call.path["image_id"]))


def update(call: Call) -> dict[str, Any]:
    """Change an image by a JSON patch."""
    changes = patch.read(call.headers.get("content-type", ""), call.body)
    return _show(call.ctx, images.update(call.ctx, call.path["image_id"], changes))


def delete(call: Call) -> None:
    """Delete an image."""
    images.delete(call.ctx, call.path["image_id"])


def deactivate(call: Call) -> None:
    """Let nobody but an admin read the content."""
    images.deactivate(call.ctx, call.path["image_id"])


def reactivate(call: Call) -> None:
    """Let the content be read again."""
    images.reactivate(call.ctx, call.path["image_id"])


def add_tag(call: Call) -> None:
    """Add a tag."""
    if len(call.path["tag"]) > TAG_MAX:
        raise BadRequest(f"Provided object does not match schema 'image': a tag is longer than {TAG_MAX} characters.")
    images.set_tag(call.ctx, call.path["image_id"], call.path["tag"], present=True)


def remove_tag(call: Call) -> None:
    """Take a tag away."""
    images.set_tag(call.ctx, call.path["image_id"], call.path["tag"], present=False)


def list_members(call: Call) -> dict[str, Any]:
    """List the projects that an image is shared with."""
    found = members.list_members(call.ctx, call.path["image_id"])
    return {"members": [show_member(member) for member in found], "schema": "/v2/schemas/members"}


def show_one_member(call: Call) -> dict[str, Any]:
    """Show one sharing."""
    return show_member(members.get(call.ctx, call.path["image_id"], call.path["member_id"]))


def add_member(call: Call) -> dict[str, Any]:
    """Offer an image to a project."""
    return show_member(members.add(call.ctx, call.path["image_id"], call.body.member))


def answer_member(call: Call) -> dict[str, Any]:
    """Accept or reject an image."""
    return show_member(members.answer(call.ctx, call.path["image_id"], call.path["member_id"], call.body.status))


def remove_member(call: Call) -> None:
    """Take an offer back."""
    members.remove(call.ctx, call.path["image_id"], call.path["member_id"])


AT = "/v2/images/{image_id}"

ROUTES = (
    Route("GET", "/v2/images", index, rule="get_images"),
    Route("POST", "/v2/images", create, body=ImageCreate, status=201, rule="add_image", errors=(400, 401, 403, 409, 413)),
    Route("GET", AT, show, rule="get_image"),
    Route("PATCH", AT, update, rule="modify_image", errors=(400, 401, 403, 404, 409, 413, 415)),
    Route("DELETE", AT, delete, status=204, rule="delete_image"),
    Route("POST", AT + "/actions/deactivate", deactivate, status=204, rule="deactivate"),
    Route("POST", AT + "/actions/reactivate", reactivate, status=204, rule="reactivate"),
    Route("PUT", AT + "/tags/{tag}", add_tag, status=204, rule="modify_image", errors=(400, 401, 403, 404, 413)),
    Route("DELETE", AT + "/tags/{tag}", remove_tag, status=204, rule="modify_image"),
    Route("GET", AT + "/members", list_members, rule="get_members"),
    Route("POST", AT + "/members", add_member, body=MemberCreate, rule="add_member", errors=(400, 401, 403, 404, 409, 413)),
    Route("GET", AT + "/members/{member_id}", show_one_member, rule="get_member"),
    Route("PUT", AT + "/members/{member_id}", answer_member, body=MemberUpdate, rule="modify_member"),
    Route("DELETE", AT + "/members/{member_id}", remove_member, status=204, rule="delete_member"),
)
