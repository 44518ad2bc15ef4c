"""Images as what volumes are made of and uploaded as: found by id or name, checked, described.

An image of an encrypted volume holds the content as it is encrypted.  Its key is kept under the image's own id, so that nobody
can name another key, and goes with the image.  An image that a server's volumes stand for (`block_device_mapping`) has no
content: a volume is made of the snapshot that it names.
"""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.image import filters
from pileus.image.service import images
from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict, Fault, NotFound
from pileus.volume.driver import GIB
from pileus.volume.service.access import find_snapshot
from pileus.volume.tasks import keys

KEY_ID, KEY_DELETION = "cinder_encryption_key_id", "cinder_encryption_key_deletion_policy"
KEY_NAMES = frozenset({KEY_ID, KEY_DELETION})


def require_id(ctx: Context, reference: str) -> str:
    """Return the id of the image that a caller names by its id or its name.

    :raises BadRequest: when there is none.
    :raises Conflict: when several have that name.
    """
    if ids.is_uuid(reference):
        return reference
    conditions = (("os_hidden", "eq", False), ("name", "eq", reference))
    listing = filters.Listing(2, None, (("created_at", True),), "accepted", None, conditions, ())
    found = images.list_images(ctx, listing)
    if len(found) > 1:
        raise Conflict(f"Multiple matches found for '{reference}', use an ID to be more specific.")
    if not found:
        raise _unusable()
    return found[0].id


def find(tx: Connection, ctx: Context, image_id: str) -> Any:
    """Return an image that volumes may be made of.

    :raises BadRequest: when there is none, or it has no content.
    """
    try:
        image, _ = images.find(ctx, tx, image_id)
    except Fault:
        raise _unusable() from None
    if image.status != "active":
        raise _invalid(f"Image {image_id} is not active.")
    return image


def boot_snapshot(tx: Connection, ctx: Context, image: Any) -> str | None:
    """Return the id of the snapshot that an image stands for; None: for none.

    :raises NotFound: when it is gone, or not for the caller.
    """
    try:
        mapping = json.loads(image.properties.get("block_device_mapping") or "[]")
    except ValueError:
        return None
    for device in mapping if isinstance(mapping, list) else ():
        if isinstance(device, dict) and device.get("source_type") == "snapshot" and device.get("boot_index") == 0:
            snapshot_id = str(device.get("snapshot_id"))
            try:
                return str(find_snapshot(tx, ctx, snapshot_id).id)
            except NotFound as error:
                text = f"Nova specific image is found, but boot volume snapshot id:{snapshot_id} not found."
                raise NotFound(text) from error
    return None


def require_fit(image: Any, size_gib: int) -> None:
    """Check that an image fits in a volume.  :raises BadRequest: when it does not, or wants a larger disk."""
    virtual_bytes = max(image.virtual_size or 0, image.size or 0 if image.disk_format != "qcow2" else 0)
    image_gib = -(-virtual_bytes // GIB)
    if image_gib > size_gib:
        raise _invalid(f"Size of specified image {image_gib}GB is larger than volume size {size_gib}GB.")
    if (image.min_disk or 0) > size_gib:
        raise _invalid(f"Volume size {size_gib}GB cannot be smaller than the image minDisk size {image.min_disk}GB.")


def describe(image: Any) -> dict[str, str]:
    """Return what a volume keeps of what its image says."""
    base = {
        "image_id": image.id, "image_name": image.name or "", "checksum": image.checksum or "", "size": image.size or 0,
        "container_format": image.container_format or "", "disk_format": image.disk_format or "",
        "min_disk": image.min_disk, "min_ram": image.min_ram,
    }  # fmt: skip
    properties = {name: str(value) for name, value in image.properties.items() if name not in KEY_NAMES}
    return {**properties, **{name: str(value) for name, value in base.items()}}


def key_of(image: Any) -> str | None:
    """Return the id of the key of an image of an encrypted volume; None for any other image.

    :raises BadRequest: when the image names a key that is not its own.
    """
    named = image.properties.get(KEY_ID)
    if named is not None and named != image.id:
        raise _invalid(f"Image {image.id} is encrypted by a key that this cloud does not have.")
    return image.id if named else None


def seal(tx: Connection, key_id: str, project_id: str, image_id: str) -> Mapping[str, str]:
    """Keep the key of a volume for an image of it; returns the properties that say so.  :raises KeyLost: when it is gone."""
    keys.copy(tx, key_id, project_id, as_id=image_id)
    return {KEY_ID: image_id, KEY_DELETION: "on_image_deletion"}


def on_image_deleted(tx: Connection, cloud: Cloud, data: Mapping[str, Any]) -> None:
    """Forget the key of an image that is gone."""
    keys.forget(tx, str(data["image_id"]))


def _unusable() -> BadRequest:
    return BadRequest("Invalid image identifier or unable to access requested image.")


def _invalid(text: str) -> BadRequest:
    return BadRequest(f"Invalid input received: {text}", kind="InvalidInput")
