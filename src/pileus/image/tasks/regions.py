"""An image of another region, or of this one, as the source of an import: found by the catalog, read with the asker's rights.

Another region is asked over its API with a short-lived token of the asker, so it must share this cloud's identity.  Its URL is
the catalog's, which only operators write, and so may lead to an address that is not public.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from pileus.identity.service import tokens
from pileus.image import content, store, web
from pileus.image.backend import BackendError
from pileus.image.web import NotFetched
from pileus.kernel.context import Cloud
from pileus.kernel.errors import Unauthenticated

TAKEN_OVER = ("hw_", "trait:", "os_distro", "os_secure_boot", "os_type")
"""Properties whose names begin so come along."""

TOKEN_SECONDS = 900.0
RECORD_BYTES_MAX = 4 << 20


@dataclass(frozen=True)
class Wanted:
    """The image to be read.

    :param url: of the other region's API; empty: an image of this region, which the asker was found to be allowed to read.
    :param problem: why it cannot be had, when that was known from the start.
    :param via: how the asker proved themselves, by the names of `Via`.
    """

    image_id: str
    url: str = ""
    user_id: str = ""
    project_id: str = ""
    via: dict[str, str] | None = None
    problem: str = ""


@dataclass(frozen=True)
class Source:
    """An image that was found; write fetches its content into a file.  :raises NotFetched: when it cannot be had."""

    disk_format: str
    container_format: str
    properties: Mapping[str, str]
    write: Callable[[Path], None]


def find(cloud: Cloud, wanted: Wanted) -> Source:
    """Return an image that is to be read.

    :raises NotFetched: when it cannot be had.
    """
    if wanted.problem:
        raise NotFetched(wanted.problem)
    return _elsewhere(cloud, wanted) if wanted.url else _here(cloud, wanted.image_id)


def _here(cloud: Cloud, image_id: str) -> Source:
    with cloud.db.read() as tx:
        image = store.get(tx, image_id)
    if image is None or not image.has_data:
        raise NotFetched(f"Image {image_id} has no content.")

    def blocks() -> Iterator[bytes]:
        try:
            yield from content.read(cloud, image)
        except BackendError as error:
            raise NotFetched(f"The content of image {image_id} cannot be had: {error}") from error

    kept = _chosen(image.properties)
    return Source(image.disk_format or "", image.container_format or "", kept, lambda path: _write(cloud, blocks(), path))


def _elsewhere(cloud: Cloud, wanted: Wanted) -> Source:
    try:
        token = tokens.lend(cloud, wanted.user_id, wanted.project_id, wanted.via or {}, TOKEN_SECONDS)
    except Unauthenticated as error:
        raise NotFetched("Whoever asked for this may do it no longer.") from error
    listed = f"{cloud.settings.image_import_hosts},{urlsplit(wanted.url).hostname or ''}"
    at = f"{wanted.url.rstrip('/').removesuffix('/v2')}/v2/images/{wanted.image_id}"
    headers = {"X-Auth-Token": token}
    with web.opened(at, listed, headers=headers) as answer:
        text = b"".join(_limited(answer.blocks(), RECORD_BYTES_MAX))
    try:
        record = msgspec.json.decode(text, type=dict[str, object])
    except msgspec.MsgspecError as error:
        raise NotFetched(f"{at} is no image.") from error

    def write(path: Path) -> None:
        with web.opened(f"{at}/file", listed, headers=headers) as answer:
            _write(cloud, answer.blocks(), path)

    plain = {name: value for name, value in record.items() if isinstance(value, str)}
    return Source(plain.get("disk_format", ""), plain.get("container_format", ""), _chosen(plain), write)


def _chosen(properties: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in properties.items() if name.startswith(TAKEN_OVER)}


def _limited(blocks: Iterator[bytes], bytes_max: int) -> Iterator[bytes]:
    taken = 0
    for block in blocks:
        taken += len(block)
        if taken > bytes_max:
            raise NotFetched(f"The image is larger than {bytes_max} bytes.")
        yield block


def _write(cloud: Cloud, blocks: Iterator[bytes], path: Path) -> None:
    try:
        with open(path, "wb") as file:
            for block in _limited(blocks, cloud.settings.image_bytes_max):
                file.write(block)
    except OSError as error:
        raise NotFetched(f"The image could not be kept: {error.strerror or error}") from error
