"""What compute and volume need to make images: reserve a record, fill it with a file, or give it up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from pileus.image import content, store
from pileus.image.records import new_record
from pileus.image.store import Image
from pileus.image.tasks.filling import fill_from_file
from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context


@dataclass(frozen=True)
class Wanted:
    """The image to be made.  min_disk in GiB, min_ram in MiB; id: the one that it is to have (empty: a new one)."""

    name: str
    disk_format: str = "qcow2"
    container_format: str = "bare"
    min_disk: int = 0
    min_ram: int = 0
    visibility: str = "private"
    properties: Mapping[str, str] = field(default_factory=dict)
    id: str = ""


def reserve(tx: Connection, ctx: Context, wanted: Wanted) -> Image:
    """Write down a queued image of the caller's project, in the caller's transaction.

    :raises Forbidden: when the caller may not make images.
    """
    target = {"project_id": ctx.project_id, "owner": ctx.project_id, "visibility": wanted.visibility, "member_id": None}
    ctx.require("add_image", target)
    base: dict[str, Any] = {
        f: getattr(wanted, f) for f in ("name", "disk_format", "container_format", "min_disk", "min_ram", "visibility")
    }
    image = new_record(ctx.cloud, wanted.id or ids.uuid(), ctx.project_id, base, dict(wanted.properties))
    store.add(tx, image)
    return image


def fail(cloud: Cloud, image_id: str) -> None:
    """Give up an image that could not be made; one that became active stays.  May be repeated."""
    with cloud.db.begin() as tx:
        image = store.get(tx, image_id, lock=True)
        if image is None or image.has_data:
            return
        store.remove(tx, image_id)
        cloud.events.publish(tx, cloud, "image.image.deleted", {"image_id": image_id, "project_id": image.owner})
    content.remove_local(cloud, image_id)


__all__ = ["Wanted", "fail", "fill_from_file", "reserve"]
