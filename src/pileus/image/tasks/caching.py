"""Caching: an image whose stores are elsewhere, or that an operator asks for, is fetched to this machine.

keep: fetch it
x give_up: forget that it was to be cached
"""

import logging

from sqlalchemy import Connection

from pileus.image import content, store
from pileus.image.files import Workspace
from pileus.image.store import Image, cache
from pileus.image.store.cache import QUEUED, Cached
from pileus.kernel import tasks
from pileus.kernel.context import Cloud
from pileus.kernel.tasks import Done, Outcome, Program, Run

log = logging.getLogger(__name__)

CACHE = Program("image.cache")
DEADLINE_SECONDS = 3600.0


def task_id(host: str, image_id: str) -> str:
    """Return the id of the task that caches an image."""
    return f"image-cache-{image_id}-{host}"[:80]


def queue(tx: Connection, cloud: Cloud, image_id: str) -> None:
    """Have an image cached on this machine; nothing happens when it is, or is about to be."""
    host = cloud.settings.host
    if cache.get(tx, host, image_id) is None:
        now = cloud.clock.now()
        cache.put(tx, Cached(host, image_id, QUEUED, 0, 0, now, now))
        tasks.start(tx, cloud, CACHE, task_id(host, image_id), DEADLINE_SECONDS, {"image": image_id, "host": host})


def queue_reading(cloud: Cloud, image: Image) -> None:
    """Have an image cached that was just read out of a store elsewhere."""
    if cloud.settings.image_cache_bytes_max >= (image.size or 0):
        with cloud.db.begin() as tx:
            queue(tx, cloud, image.id)


@CACHE.step
def keep(run: Run) -> Outcome:
    """Fetch it."""
    with run.cloud.db.read() as tx:
        image = store.get(tx, run.memo["image"])
        wanted = cache.get(tx, run.memo["host"], run.memo["image"]) is not None
    if image is not None and image.has_data and wanted:
        content.keep(run.cloud, image)
    if image is None or run.memo["host"] != run.cloud.settings.host:
        with run.cloud.db.begin() as tx:
            cache.remove(tx, run.memo["host"], run.memo["image"])
    return Done()


@CACHE.on_fail
def give_up(run: Run) -> Outcome:
    """Want it no longer."""
    log.warning("image %s could not be cached: %s", run.memo["image"], run.error)
    with run.cloud.db.begin() as tx:
        cache.remove(tx, run.memo["host"], run.memo["image"])
    return Done()


def drop(cloud: Cloud, image_id: str) -> None:
    """Remove an image from the cache of this machine, and from what is to be cached."""
    with cloud.db.begin() as tx:
        tasks.cancel(tx, task_id(cloud.settings.host, image_id))
        cache.remove(tx, cloud.settings.host, image_id)
    cloud.part(Workspace).cached_path(image_id).unlink(missing_ok=True)


def prune(cloud: Cloud) -> tuple[int, int]:
    """Remove from the cache of this machine what was unread the longest, until it is small enough; return how many and bytes."""
    with cloud.db.read() as tx:
        there = [one for one in cache.list_(tx, cloud.settings.host) if one.status != QUEUED]
    spare = sum(one.size for one in there) - cloud.settings.image_cache_bytes_max
    files = size = 0
    for one in there:
        if size >= spare:
            break
        drop(cloud, one.image_id)
        files, size = files + 1, size + one.size
    return files, size


def clean(cloud: Cloud) -> None:
    """Make the cache and what is written of it agree: files without a record go, and records without a file."""
    workspace = cloud.part(Workspace)
    there = workspace.list_cached()
    with cloud.db.read() as tx:
        known = {one.image_id: one for one in cache.list_(tx, cloud.settings.host)}
    for image_id in there:
        if image_id not in known:
            workspace.cached_path(image_id).unlink(missing_ok=True)
    for image_id, one in known.items():
        if one.status != QUEUED and image_id not in there:
            drop(cloud, image_id)
