"""What a process that died left behind: uploads that nobody carries on, files that no image has.

Looks at what is and takes no input, so it can run at any time, also while others upload.
"""

from pileus.image import store
from pileus.image.files import FileStore
from pileus.image.records import requeue
from pileus.kernel.context import Cloud
from pileus.kernel.loops import Loop

INTERVAL_SECONDS = 60.0


def sweep(cloud: Cloud) -> None:
    """Put images of dead uploads back to queued, and remove files without an image."""
    files = cloud.part(FileStore)
    with cloud.db.read() as tx:
        writing = store.list_uploads(tx)
    dead = [(image_id, upload_id) for image_id, upload_id in writing if not files.is_alive(image_id, upload_id)]
    for image_id, upload_id in dead:
        files.remove(image_id)  # it may have died between the publishing and the writing down
        with cloud.db.begin() as tx:
            requeue(cloud, tx, image_id, upload_id)
    files.remove_dead_uploads()
    content = files.list_content()  # before the records are read: a record is older than its file
    with cloud.db.read() as tx:
        kept = store.known(tx, content)
    for image_id in content:
        if image_id not in kept:
            files.remove(image_id)


SWEEP = Loop("image.sweep", INTERVAL_SECONDS, sweep)
