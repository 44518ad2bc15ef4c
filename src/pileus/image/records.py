"""What becomes of an image's record: a new one, one whose content came, one whose upload died."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from pileus.image import store
from pileus.image.files import Digest, FileStore, digest, place
from pileus.image.formats import Inspection, WrongFormat
from pileus.image.store import Image
from pileus.kernel.context import Cloud
from pileus.kernel.errors import BadRequest, NotFound, TooLarge, UnsupportedMedia

PROPERTIES_MAX = TAGS_MAX = 128
HASH_ALGORITHM = "sha512"


def new_record(cloud: Cloud, image_id: str, owner: str | None, base: Mapping[str, Any], properties: dict[str, str]) -> Image:
    """Return a queued image.

    :raises BadRequest: when a number is negative.
    :raises TooLarge: when there are too many properties or tags.
    """
    now = cloud.clock.now()
    given = {"name": None, "visibility": "shared", "disk_format": None, "container_format": None, "min_disk": 0, "min_ram": 0}
    chosen = {**given, "protected": False, "os_hidden": False, **base, "owner": owner}
    chosen["tags"] = sorted(set(chosen.get("tags", ())))
    image = Image(
        id=image_id, status="queued", size=None, virtual_size=None, checksum=None, os_hash_algo=None, os_hash_value=None,
        created_at=now, updated_at=now, properties=properties, **chosen,
    )  # fmt: skip
    require_sound(image)
    return image


def require_sound(image: Image) -> None:
    """Check an image's numbers.

    :raises BadRequest: when one is negative.
    :raises TooLarge: when there are too many properties or tags.
    """
    for name in ("min_disk", "min_ram"):
        if getattr(image, name) < 0:
            raise BadRequest(f"Invalid value '{getattr(image, name)}' for parameter '{name}': Cannot be a negative value")
    if len(image.properties) > PROPERTIES_MAX:
        raise TooLarge(
            "The limit has been exceeded on the number of allowed image properties. "
            f"Attempted: {len(image.properties)}, Maximum: {PROPERTIES_MAX}"
        )
    if len(image.tags) > TAGS_MAX:
        raise TooLarge(
            f"The limit has been exceeded on the number of allowed image tags. Attempted: {len(image.tags)}, Maximum: {TAGS_MAX}"
        )


def import_task_id(image_id: str) -> str:
    """Return the id of the task that imports an image's staged content."""
    return f"image-import-{image_id}"


def requeue(cloud: Cloud, tx: Connection, image_id: str, upload_id: str) -> None:
    """Put an image back to queued if this upload is still the one that counts."""
    where = {"upload_id": upload_id, "status": ("saving", "uploading")}
    store.change(tx, image_id, where, status="queued", upload_id="", size=None, virtual_size=None, updated_at=cloud.clock.now())


def facts_of(digest: Digest) -> dict[str, object]:
    """Return what an image's record says once its content is there."""
    return {
        "size": digest.size,
        "virtual_size": digest.verdict.virtual_bytes,
        "checksum": digest.md5,
        "os_hash_algo": HASH_ALGORITHM,
        "os_hash_value": digest.sha512,
        "upload_id": "",
    }


def fill_from_file(cloud: Cloud, image_id: str, source: Path) -> None:
    """Make a file the content of a reserved image and the image active.  May be repeated.

    The file stays and may be removed afterwards; it must not be written to any more, since on the same file system the image is
    a second name of it.

    :raises NotFound: when the image was deleted.
    :raises UnsupportedMedia: when the file is not of the image's format or refers to others.
    """
    with cloud.db.read() as tx:
        image = store.get(tx, image_id)
    if image is None:
        raise NotFound(f"Failed to find image {image_id}", kind="ImageNotFound")
    if image.has_data:
        return
    files = cloud.part(FileStore)
    try:
        found = digest(source, Inspection(image.disk_format or "", image.container_format or ""))
    except WrongFormat as error:
        raise UnsupportedMedia(str(error), kind="InvalidImageData") from error
    place(source, files.scratch_path(image_id), files.path(image_id))
    with cloud.db.begin() as tx:
        done = store.change(tx, image_id, {"status": "queued"}, status="active", updated_at=cloud.clock.now(), **facts_of(found))
        gone = not done and store.get(tx, image_id) is None
    if gone:
        files.remove(image_id)
        raise NotFound(f"Failed to find image {image_id}", kind="ImageNotFound")
