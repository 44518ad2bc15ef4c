"""What the old image calls of compute come down to."""

from collections.abc import Mapping, Sequence

from pileus.image import filters, patch
from pileus.image.service import finding, images
from pileus.image.store import Image
from pileus.kernel.context import Context
from pileus.kernel.errors import NotFound


def list_images(ctx: Context, wanted: Sequence[tuple[str, str]], limit: int | None, marker: str | None) -> list[Image]:
    """Return the images that the caller sees and that fit; without a limit all of them, however many.

    :param wanted: filters as a query of the image API has them.
    :raises BadRequest: when a filter is not well formed, or the marker is no image.
    """
    found: list[Image] = []
    most = filters.LIMIT_MAX if limit is None else limit
    while most:
        pairs = [*wanted, ("limit", str(most)), *([("marker", marker)] if marker else [])]
        part = images.list_images(ctx, filters.read(pairs))
        found += part
        if limit is not None or len(part) < most:
            break
        marker = part[-1].id
    return found


def set_properties(ctx: Context, image_id: str, wanted: Mapping[str, str]) -> Image:
    """Have an image have these properties and no others.

    :raises Forbidden: when the image is not the caller's to change.
    """
    image = images.get(ctx, image_id)
    ctx.require("modify_image", finding.target_of(image))
    there = image.properties
    patch.require_settable([name for name in wanted if wanted[name] != there.get(name)])
    for name, value in wanted.items():
        patch.require_property(name, value)
    changes = [patch.Change("remove", name) for name in there if name not in wanted]
    changes += [patch.Change("add", name, value) for name, value in wanted.items() if there.get(name) != value]
    return images.update(ctx, image_id, changes)


def find(ctx: Context, image_id: str) -> Image:
    """Return an image.  :raises NotFound: in nova's words, when the caller sees none."""
    try:
        return images.get(ctx, image_id)
    except NotFound:
        raise NotFound("Image not found.", kind="ImageNotFound") from None


def delete(ctx: Context, image_id: str) -> None:
    """Delete an image.  :raises NotFound: when the caller sees none."""
    find(ctx, image_id)
    images.delete(ctx, image_id)
