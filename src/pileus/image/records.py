"""What becomes of an image's record: a new one, one whose content came, one whose upload died."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.image import store
from pileus.image.files import Digest
from pileus.image.store import Image
from pileus.kernel.context import Cloud
from pileus.kernel.errors import BadRequest, TooLarge

PROPERTIES_MAX = TAGS_MAX = 128
HASH_ALGORITHM = "sha512"
IMPORT_SECONDS_KEPT = 48 * 3600.0
"""How long it is told of an import that it is over."""


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
