"""A file of this machine becomes an image's content: what steps of others do when they make images."""

from pathlib import Path

from pileus.image import content, store, stores
from pileus.image.backend import BackendError
from pileus.image.files import digest
from pileus.image.formats import Inspection, WrongFormat
from pileus.image.records import facts_of
from pileus.image.tasks import purge
from pileus.kernel.context import Cloud
from pileus.kernel.errors import NotFound, Unavailable, UnsupportedMedia


def fill_from_file(cloud: Cloud, image_id: str, source: Path) -> None:
    """Make a file the content of a reserved image and the image active.  May be repeated.

    The file stays and may be removed afterwards; it must not be written to any more, since on the same file system the image is
    a second name of it.

    :raises NotFound: when the image was deleted.
    :raises UnsupportedMedia: when the file is not of the image's format or refers to others.
    :raises Unavailable: when the default store does not take it now.
    """
    with cloud.db.read() as tx:
        image = store.get(tx, image_id)
    if image is None:
        raise NotFound(f"Failed to find image {image_id}", kind="ImageNotFound")
    if image.has_data:
        return
    try:
        found = digest(source, Inspection(image.disk_format or "", image.container_format or ""))
    except WrongFormat as error:
        raise UnsupportedMedia(str(error), kind="InvalidImageData") from error
    try:
        location = content.put(cloud, stores.default(cloud), image_id, image_id, source)
    except BackendError as error:
        raise Unavailable(str(error)) from error
    with cloud.db.begin() as tx:
        done = store.change(tx, image_id, {"status": "queued"}, status="active", updated_at=cloud.clock.now(), **facts_of(found))
        if done:
            store.set_locations(tx, image_id, [location])
        gone = not done and store.get(tx, image_id) is None
    if gone:
        purge.release(cloud, image_id, [location])
        raise NotFound(f"Failed to find image {image_id}", kind="ImageNotFound")
