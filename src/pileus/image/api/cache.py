"""The cache of images, as operators steer it."""

from typing import Any

from pileus.image.service import caching
from pileus.image.store.cache import QUEUED
from pileus.kernel.http import Call, Route


def index(call: Call) -> dict[str, Any]:
    """List what is cached, and what is to be."""
    found = caching.list_(call.ctx)
    cached = [
        {
            "image_id": one.image_id,
            "hits": one.hits,
            "last_accessed": one.last_accessed,
            "last_modified": one.last_modified,
            "size": one.size,
        }
        for one in found
        if one.status != QUEUED
    ]
    return {"cached_images": cached, "queued_images": [one.image_id for one in found if one.status == QUEUED]}


def queue(call: Call) -> None:
    """Have an image cached."""
    caching.queue(call.ctx, call.path["image_id"])


def remove(call: Call) -> None:
    """Have an image cached no longer."""
    caching.remove(call.ctx, call.path["image_id"])


def clear(call: Call) -> None:
    """Empty the cache, the queue, or both."""
    caching.clear(call.ctx, call.headers.get("x-image-cache-clear-target", "").lower())


def clean(call: Call) -> None:
    """Make the cache and what is written of it agree."""
    caching.clean(call.ctx)


def prune(call: Call) -> dict[str, int]:
    """Make the cache as small as it is meant to be."""
    files, size_bytes = caching.prune(call.ctx)
    return {"total_files_pruned": files, "total_bytes_pruned": size_bytes}


def nodes(call: Call) -> dict[str, list[str]]:
    """List the machines on which an image is cached."""
    return {"cached_nodes": caching.list_hosts(call.ctx, call.path["image_id"])}


ROUTES = (
    Route("GET", "/v2/cache", index, rule="cache_list", errors=(401, 403)),
    Route("DELETE", "/v2/cache", clear, status=204, rule="cache_delete", errors=(400, 401, 403)),
    Route("POST", "/v2/cache/clean", clean, rule="cache_clean", errors=(401, 403)),
    Route("POST", "/v2/cache/prune", prune, rule="cache_prune", errors=(401, 403)),
    Route("GET", "/v2/cache/nodes/{image_id}", nodes, rule="list_cached_nodes", errors=(401, 403, 404)),
    Route("PUT", "/v2/cache/{image_id}", queue, status=202, rule="cache_image", errors=(400, 401, 403, 404)),
    Route("DELETE", "/v2/cache/{image_id}", remove, status=204, rule="cache_delete", errors=(401, 403, 404)),
)
