"""Use cases on the cache of images of this machine."""

from pileus.image import store
from pileus.image.service import finding
from pileus.image.store import cache
from pileus.image.store.cache import Cached
from pileus.image.tasks import caching
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, NotFound

TARGETS = ("", "cache", "queue")


def list_(ctx: Context) -> list[Cached]:
    """Return what is cached here, and what is to be."""
    ctx.require("cache_list")
    with ctx.cloud.db.read() as tx:
        return cache.list_(tx, ctx.cloud.settings.host)


def queue(ctx: Context, image_id: str) -> None:
    """Have an image cached.

    :raises BadRequest: when it is not active.
    """
    with ctx.cloud.db.begin() as tx:
        image, target = finding.find(ctx, tx, image_id)
        ctx.require("cache_image", target)
        if image.status != "active":
            raise BadRequest("Only images with status active can be targeted for queueing")
        caching.queue(tx, ctx.cloud, image_id)


def remove(ctx: Context, image_id: str) -> None:
    """Have an image cached no longer.

    :raises NotFound: when there is no such image, neither in the cache.
    """
    ctx.require("cache_delete")
    with ctx.cloud.db.read() as tx:
        if cache.get(tx, ctx.cloud.settings.host, image_id) is None and store.get(tx, image_id) is None:
            raise NotFound(f"Image {image_id} not found.")
    caching.drop(ctx.cloud, image_id)


def clear(ctx: Context, target: str) -> None:
    """Empty the cache, what is to be cached, or (target empty) both.

    :raises BadRequest: when the target is none.
    """
    ctx.require("cache_delete")
    if target not in TARGETS:
        raise BadRequest("If provided 'x-image-cache-clear-target' must be 'cache', 'queue' or empty string.")
    for one in list_(ctx):
        if not target or (one.status == cache.QUEUED) == (target == "queue"):
            caching.drop(ctx.cloud, one.image_id)


def clean(ctx: Context) -> None:
    """Make the cache and what is written of it agree."""
    ctx.require("cache_clean")
    caching.clean(ctx.cloud)


def prune(ctx: Context) -> tuple[int, int]:
    """Make the cache as small as it is meant to be; return how many images went, and their bytes."""
    ctx.require("cache_prune")
    return caching.prune(ctx.cloud)


def list_hosts(ctx: Context, image_id: str) -> list[str]:
    """Return the machines on which an image is cached.

    :raises NotFound: when there is no such image.
    """
    ctx.require("list_cached_nodes")
    with ctx.cloud.db.read() as tx:
        finding.find(ctx, tx, image_id)
        return [one.host for one in cache.list_(tx, image_id=image_id) if one.status != cache.QUEUED]
