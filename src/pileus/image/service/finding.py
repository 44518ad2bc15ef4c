"""Finding an image for a caller: whoever may not know of it does not find it."""

from typing import Any

from sqlalchemy import Connection

from pileus.image import store
from pileus.image.store import Image
from pileus.kernel.context import Context
from pileus.kernel.errors import NotFound


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


def not_in_store(image_id: str, store_id: str) -> NotFound:
    """Return the fault for content that is not in a store."""
    return NotFound(f"Image {image_id} is not stored in store {store_id}.")
