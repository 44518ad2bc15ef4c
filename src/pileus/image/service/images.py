"""Use cases on image records, and what compute and volume ask of images.

To others this module is the way in: `get` (any image the caller sees), `get_active` (one that can be booted) and `path` (the
file, on this machine).  `snapshots` has what makes an image out of a server's disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace
from sqlalchemy import Connection

from pileus.image import filters, patch, store
from pileus.image.fields import ImageCreate
from pileus.image.files import FileStore
from pileus.image.formats import PLAIN_CONTAINERS
from pileus.image.records import import_task_id, new_record, require_sound
from pileus.image.store import Image
from pileus.kernel import ids, tasks
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict, Forbidden, NotFound


@dataclass(frozen=True)
class ImageFile:
    """An image's content on this machine.

    Make a second name (a hard link) of the path to keep the content: the image may be deleted at any time.
    """

    path: str
    disk_format: str
    size_bytes: int
    virtual_size_bytes: int


def target_of(image: Image, member_id: str | None = None) -> dict[str, Any]:
    """Return an image as the policy's checks see it."""
    facts = {
        "id": image.id,
        "project_id": image.owner,
        "owner": image.owner,
        "visibility": image.visibility,
        "status": image.status,
    }
    return facts | {"member_id": member_id}


def find(ctx: Context, tx: Connection, image_id: str, *, lock: bool = False) -> tuple[Image, dict[str, Any]]:
    """Return an image that the caller may know of, and the target for further checks.

    :raises NotFound: when there is none, or the caller does not see it.
    """
    hidden = NotFound(f"Failed to find image {image_id}", kind="ImageNotFound")
    image = store.get(tx, image_id, lock=lock)
    if image is None:
        raise hidden
    sharing = None
    if image.owner != ctx.project_id and not ctx.is_admin and image.visibility not in ("public", "community"):
        sharing = store.get_member(tx, image_id, ctx.project_id) if image.visibility == "shared" else None
        if sharing is None:
            raise hidden
    target = target_of(image, sharing.member_id if sharing else None)
    if not ctx.can("get_image", target):
        raise hidden
    return image, target


def get(ctx: Context, image_id: str) -> Image:
    """Return an image.

    :raises NotFound: when there is none, or the caller does not see it.
    """
    with ctx.cloud.db.read() as tx:
        return find(ctx, tx, image_id)[0]


def get_active(ctx: Context, image_id: str) -> Image:
    """Return an image that can be used.

    :raises NotFound: when there is none, or the caller does not see it.
    :raises BadRequest: when it has no content, or is deactivated.
    """
    image = get(ctx, image_id)
    if image.status != "active":
        raise BadRequest(f"Image {image_id} is not active.", kind="ImageNotActive")
    return image


def path(cloud: Cloud, image_id: str) -> ImageFile:
    """Return the file of an active image and what it is.  Asks for no rights: the caller has checked them.

    :raises NotFound: when there is no such image.
    :raises Conflict: when it has no content, or its content is in a container, so that it is no disk.
    """
    with cloud.db.read() as tx:
        image = store.get(tx, image_id)
    if image is None:
        raise NotFound(f"Failed to find image {image_id}", kind="ImageNotFound")
    if not image.has_data or image.disk_format is None:
        raise Conflict(f"Image {image_id} is not active.", kind="ImageNotActive")
    if image.container_format not in PLAIN_CONTAINERS:
        raise Conflict(f"Image {image_id} is a {image.container_format} container and no disk.", kind="ImageUnacceptable")
    size = image.size or 0
    return ImageFile(str(cloud.part(FileStore).path(image_id)), image.disk_format, size, image.virtual_size or size)


def list_images(ctx: Context, listing: filters.Listing) -> list[Image]:
    """Return the images that the caller sees and that are asked for.

    :raises BadRequest: when the marker is none of them.
    """
    ctx.require("get_images")
    with ctx.cloud.db.read() as tx:
        if listing.marker is not None:
            try:
                find(ctx, tx, listing.marker)
            except NotFound as error:
                raise BadRequest(f"Marker {listing.marker} is not an image.") from error
        return store.list_images(tx, listing, ctx.project_id, ctx.is_admin)


def create(ctx: Context, wanted: ImageCreate, properties: Mapping[str, Any]) -> Image:
    """Write a new image down; it has no content yet.

    :raises Conflict: when there is one of its id.
    """
    base = {f: v for f in patch.BASE if (v := getattr(wanted, f)) is not UNSET}
    owner = base.get("owner", ctx.project_id or None)
    target = {"project_id": owner, "owner": owner, "visibility": base.get("visibility", "shared"), "member_id": None}
    if not ctx.is_admin and owner != ctx.project_id:
        raise Forbidden(f"You are not permitted to create images owned by '{owner}'")
    ctx.require("add_image", target)
    require_visibility(ctx, base.get("visibility"), target)
    patch.require_settable(properties)
    for name, value in properties.items():
        patch.require_property(name, value)
    image_id = ids.uuid() if wanted.id is UNSET else str(wanted.id)
    image = new_record(ctx.cloud, image_id, owner, base, dict(properties))
    with ctx.cloud.db.begin() as tx:
        store.add(tx, image)
    return image


def require_visibility(ctx: Context, visibility: str | None, target: Mapping[str, Any]) -> None:
    """Check that the caller may show an image to everyone.

    :raises Forbidden: when they may not.
    """
    if visibility == "public":
        ctx.require("publicize_image", target)
    elif visibility == "community":
        ctx.require("communitize_image", target)


def update(ctx: Context, image_id: str, changes: list[patch.Change]) -> Image:
    """Apply a patch: all of it or none.

    :raises Forbidden: when a change is not the caller's to make, or not of this attribute.
    :raises Conflict: when what is to be replaced or removed is not there.
    """
    with ctx.cloud.db.begin() as tx:
        image, target = find(ctx, tx, image_id, lock=True)
        if not changes:
            return image
        changed = image
        for change in changes:
            if change.name == "visibility" and change.op != "remove":
                require_visibility(ctx, change.value, target)
            ctx.require("modify_image", target)
            changed = _apply(ctx, changed, change)
        require_sound(changed)
        changed = replace(changed, updated_at=ctx.cloud.clock.now())
        store.replace(tx, changed)
    return changed


def _apply(ctx: Context, image: Image, change: patch.Change) -> Image:
    name = change.name
    if name == "locations":
        raise Forbidden("It's not allowed to update locations if locations are invisible.")
    if name in patch.BASE:
        if change.op == "remove":
            raise Forbidden(f"Property {name} may not be removed.")
        if change.op == "add" and change.only_new:
            raise Conflict(f"Property {name} already present.")
        if name == "owner" and not ctx.is_admin:
            raise Forbidden("Owner can't be updated by non admin.")
        if name in ("disk_format", "container_format") and image.status not in ("queued", "importing"):
            raise Forbidden(f"Attribute {name} can be only replaced for a queued image.")
        value = sorted(set(change.value)) if name == "tags" else change.value
        return replace(image, **{name: value})
    there = name in image.properties
    if change.op != "add" and not there:
        raise Conflict(f"Property {name} does not exist.")
    if change.op == "add" and there and change.only_new:
        raise Conflict(f"Property {name} already present.")
    kept = {key: value for key, value in image.properties.items() if key != name}
    return replace(image, properties=kept if change.op == "remove" else kept | {name: change.value})


def delete(ctx: Context, image_id: str) -> None:
    """Delete an image, whatever it is in the midst of; whoever downloads it goes on.

    :raises Forbidden: when it is protected.
    """
    cloud = ctx.cloud
    with cloud.db.begin() as tx:
        image, target = find(ctx, tx, image_id, lock=True)
        ctx.require("delete_image", target)
        if image.protected:
            raise Forbidden(f"Image {image_id} is protected and cannot be deleted.", kind="ProtectedImageDelete")
        tasks.cancel(tx, import_task_id(image_id))
        store.remove(tx, image_id)
        cloud.events.publish(tx, cloud, "image.image.deleted", {"image_id": image_id, "project_id": image.owner})
    cloud.part(FileStore).remove(image_id)


def set_tag(ctx: Context, image_id: str, tag: str, present: bool) -> None:
    """Add a tag or take it away.

    :raises NotFound: when the tag to be taken away is not there.
    """
    with ctx.cloud.db.begin() as tx:
        image, target = find(ctx, tx, image_id, lock=True)
        ctx.require("modify_image", target)
        if not present and tag not in image.tags:
            raise NotFound(f"Image {image_id} has no tag {tag}.")
        kept = {name for name in image.tags if name != tag}
        changed = replace(image, tags=sorted(kept | {tag} if present else kept), updated_at=ctx.cloud.clock.now())
        require_sound(changed)
        store.replace(tx, changed)


def deactivate(ctx: Context, image_id: str) -> None:
    """Let nobody but an admin read the content.

    :raises Forbidden: when it has none.
    """
    _switch(ctx, image_id, "deactivate", "active", "deactivated")


def reactivate(ctx: Context, image_id: str) -> None:
    """Let the content be read again.

    :raises Forbidden: when it has none.
    """
    _switch(ctx, image_id, "reactivate", "deactivated", "active")


def _switch(ctx: Context, image_id: str, rule: str, before: str, after: str) -> None:
    with ctx.cloud.db.begin() as tx:
        image, target = find(ctx, tx, image_id, lock=True)
        ctx.require(rule, target)
        if image.status not in (before, after):
            raise Forbidden(f"Not allowed to {rule} image in status '{image.status}'")
        if image.status == before:
            store.change(tx, image_id, {"status": before}, status=after, updated_at=ctx.cloud.clock.now())


def usage(ctx: Context) -> dict[str, int]:
    """Return what the caller's project uses, under the names of Glance's limits; sizes in MiB."""
    ctx.require("get_images")
    with ctx.cloud.db.read() as tx:
        found = store.usage(tx, ctx.project_id)
    stored = sum(size for status, (_, size) in found.items() if status in ("active", "deactivated"))
    return {
        "image_size_total": stored >> 20,
        "image_stage_total": sum(size for status, (_, size) in found.items() if status in ("uploading", "importing")) >> 20,
        "image_count_total": sum(count for count, _ in found.values()),
        "image_count_uploading": sum(found.get(status, (0, 0))[0] for status in ("saving", "uploading")),
    }
