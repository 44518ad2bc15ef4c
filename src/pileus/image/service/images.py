"""Use cases on image records, and what compute and volume ask of images.

To others this module is the way in: `get` (any image the caller sees), `get_active` (one that can be booted) and `path` (the
file, on this machine, fetched where its stores are elsewhere).  `snapshots` has what makes an image out of a server's disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from pileus.image import content, filters, patch, store
from pileus.image.fields import ImageCreate
from pileus.image.formats import PLAIN_CONTAINERS
from pileus.image.records import import_task_id, new_record, require_sound
from pileus.image.service import finding, locations, quotas
from pileus.image.store import Image, cache
from pileus.image.tasks import purge
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


find = finding.find


def get(ctx: Context, image_id: str) -> Image:
    """Return an image.

    :raises NotFound: when there is none, or the caller does not see it.
    """
    with ctx.cloud.db.look() as tx:
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

    Content that is in a store elsewhere is fetched first, which may take long: not for handlers.

    :raises NotFound: when there is no such image.
    :raises Conflict: when it has no content, its content is in a container, so that it is no disk, or not what it should be.
    :raises Unavailable: when its stores cannot give it now.
    """
    image = _record(cloud, image_id)
    if not image.has_data or image.disk_format is None:
        raise Conflict(f"Image {image_id} is not active.", kind="ImageNotActive")
    if image.container_format not in PLAIN_CONTAINERS:
        raise Conflict(f"Image {image_id} is a {image.container_format} container and no disk.", kind="ImageUnacceptable")
    file = content.bring(cloud, image)
    if image.virtual_size is None:
        image = _record(cloud, image_id)  # what was fetched has been looked at
    size = image.size or file.stat().st_size
    return ImageFile(str(file), image.disk_format or "raw", size, image.virtual_size or size)


def _record(cloud: Cloud, image_id: str) -> Image:
    with cloud.db.read() as tx:
        image = store.get(tx, image_id)
    if image is None:
        raise NotFound(f"Failed to find image {image_id}", kind="ImageNotFound")
    return image


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
    :raises OverQuota: when the project has used its share.
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
        quotas.require_image(ctx, tx, owner or "")
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
    measured = locations.measure(ctx, image_id, changes)
    with ctx.cloud.db.begin() as tx:
        image, target = find(ctx, tx, image_id, lock=True)
        if not changes:
            return image
        changed = image
        for change in changes:
            if change.name == "visibility" and change.op != "remove":
                require_visibility(ctx, change.value, target)
            ctx.require("modify_image", target)
            if change.name == "locations":
                changed = locations.apply(ctx, changed, target, change, measured)
            else:
                changed = _apply(ctx, changed, change)
        purge.start(tx, ctx.cloud, image_id, [place for place in image.locations if place not in changed.locations])
        require_sound(changed)
        changed = replace(changed, updated_at=ctx.cloud.clock.now())
        store.replace(tx, changed)
    locations.remove_dropped(ctx.cloud, image, changed)
    return changed


def _apply(ctx: Context, image: Image, change: patch.Change) -> Image:
    name = change.name
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
        purge.start(tx, cloud, image_id, image.locations)
        cache.remove_image(tx, image_id)
        store.remove(tx, image_id)
        cloud.events.publish(tx, cloud, "image.image.deleted", {"image_id": image_id, "project_id": image.owner})
    content.remove_local(cloud, image_id)


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
