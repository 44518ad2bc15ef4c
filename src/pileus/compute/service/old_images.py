"""Images as nova hands them on.  The image service says who may do what; nova's own limit on metadata holds as well."""

from collections.abc import Mapping, Sequence
from typing import Any

from pileus.compute.service import quotas
from pileus.image.service import proxied
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Forbidden

find = proxied.find
delete = proxied.delete


def list_images(ctx: Context, wanted: Sequence[tuple[str, str]], limit: int | None, marker: str | None) -> list[Any]:
    """Return the images that the caller sees and that fit.  :raises BadRequest: when the query is not well formed."""
    found: list[Any] = proxied.list_images(ctx, wanted, limit, marker)
    return found


def set_properties(ctx: Context, id: str, wanted: Mapping[str, str]) -> Mapping[str, str]:
    """Replace an image's properties; returns those that it has now.

    :raises Forbidden: when there are too many, or the image is another's.
    :raises BadRequest: when a name is none.
    """
    with ctx.cloud.db.read() as tx:
        most = quotas.limits_of(tx, ctx.cloud, ctx.project_id)["metadata_items"]
    if 0 <= most < len(wanted):
        raise Forbidden("Image metadata limit exceeded", kind="MetadataLimitExceeded")
    if any(not name for name in wanted):
        raise BadRequest("Image metadata key cannot be blank")
    found: Mapping[str, str] = proxied.set_properties(ctx, id, wanted).properties
    return found
