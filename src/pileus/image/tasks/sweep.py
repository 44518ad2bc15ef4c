"""What a process that died left behind: uploads that nobody carries on, files that no image has; and what has had its time.

Looks at what is and takes no input, so it can run at any time, also while others upload.
"""

from pileus.image import content, store, stores
from pileus.image.files import Workspace
from pileus.image.records import IMPORT_SECONDS_KEPT, requeue
from pileus.image.store import Location
from pileus.image.tasks import caching, purge
from pileus.kernel.context import Cloud
from pileus.kernel.loops import Loop

INTERVAL_SECONDS = 60.0


def sweep(cloud: Cloud) -> None:
    """Put images of dead uploads back to queued, remove files without an image, keep the cache small, forget old imports."""
    files = cloud.part(Workspace)
    with cloud.db.read() as tx:
        writing = store.list_uploads(tx)
    dead = [(image_id, upload_id) for image_id, upload_id in writing if not files.is_alive(image_id, upload_id)]
    for image_id, upload_id in dead:
        content.remove_local(cloud, image_id)  # it may have died between the putting and the writing down
        with cloud.db.begin() as tx:
            purge.start(tx, cloud, image_id, _places(cloud, image_id, upload_id))
            requeue(cloud, tx, image_id, upload_id)
    files.remove_dead_uploads()
    _remove_unknown(cloud)
    caching.clean(cloud)
    caching.prune(cloud)
    with cloud.db.begin() as tx:
        store.prune_imports(tx, cloud.clock.now() - IMPORT_SECONDS_KEPT)


def _places(cloud: Cloud, image_id: str, upload_id: str) -> list[Location]:
    """Return where content of an upload may be that no record tells of."""
    return [Location(one.id, one.backend.url(image_id, upload_id)) for one in stores.writable(cloud)]


def _remove_unknown(cloud: Cloud) -> None:
    found = set(cloud.part(Workspace).list_content())  # before the records are read: a record is older than its file
    for backend in stores.collected(cloud):
        found.update(backend.list_content())
    with cloud.db.read() as tx:
        kept = store.known(tx, found)
    for image_id in found - kept:
        content.remove_local(cloud, image_id)


SWEEP = Loop("image.sweep", INTERVAL_SECONDS, sweep)
