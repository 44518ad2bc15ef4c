"""Removing content from stores elsewhere that is no image's any more; tried again until the store answers.

remove: one place after the other
x give_up: after a week, with a word in the log
"""

import logging
from collections.abc import Iterable

from sqlalchemy import Connection

from pileus.image import content, stores
from pileus.image.store import Location
from pileus.kernel import ids, tasks
from pileus.kernel.context import Cloud
from pileus.kernel.tasks import Done, Outcome, Program, Run

log = logging.getLogger(__name__)

PURGE = Program("image.purge")
DEADLINE_SECONDS = 7 * 86400.0


def start(tx: Connection, cloud: Cloud, image_id: str, locations: Iterable[Location]) -> None:
    """Begin to remove content; what lies on this machine or is others' is left to whoever calls this."""
    wanted = []
    for location in locations:
        found = stores.find(cloud, location.store)
        if found is not None and not found.is_local and not found.backend.read_only:
            wanted.append({"store": location.store, "url": location.url})
    if wanted:
        tasks.start(tx, cloud, PURGE, f"image-purge-{ids.uuid()}", DEADLINE_SECONDS, {"image": image_id, "places": wanted})


def release(cloud: Cloud, image_id: str, locations: Iterable[Location]) -> None:
    """Remove what there is of an image that is gone: here at once, elsewhere by and by."""
    with cloud.db.begin() as tx:
        start(tx, cloud, image_id, locations)
    content.remove_local(cloud, image_id)


@PURGE.step
def remove(run: Run) -> Outcome:
    """Remove it from every place."""
    for place in run.memo["places"]:
        found = stores.find(run.cloud, place["store"])
        if found is not None:
            found.backend.remove(place["url"])
    return Done()


@PURGE.on_fail
def give_up(run: Run) -> Outcome:
    """Say what is left behind."""
    log.warning("content of image %s is left in %s: %s", run.memo["image"], run.memo["places"], run.error)
    return Done()
