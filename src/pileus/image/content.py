"""An image's content, wherever it is: put into stores, found as a file on this machine, read, removed.

What is in a store elsewhere is brought into the cache of this machine when it is needed as a file, once: hashed, and looked at,
so that nothing untrue or unsafe is ever given to a hypervisor.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pileus.image import store, stores
from pileus.image.backend import BackendError
from pileus.image.files import Workspace, sync_folder
from pileus.image.formats import Inspection, Verdict, WrongFormat
from pileus.image.store import Image, Location, cache
from pileus.image.store.cache import CACHED, Cached
from pileus.image.stores import Store
from pileus.kernel import ids
from pileus.kernel.context import Cloud
from pileus.kernel.errors import Conflict, Unavailable


@dataclass(frozen=True)
class Reading:
    """What was learned of content that was read through; digest in hexadecimal, by the algorithm asked for."""

    size_bytes: int
    md5: str
    digest: str
    verdict: Verdict


def put(cloud: Cloud, target: Store, image_id: str, token: str, source: Path) -> Location:
    """Put a file's content into a store.  May be repeated.

    :param token: an id; the same in every repetition.
    :raises BackendError: when the store cannot.
    """
    url = target.backend.url(image_id, token)
    target.backend.put(url, source)
    return Location(target.id, url)


def local_path(cloud: Cloud, image: Image) -> Path | None:
    """Return the file of an image's content on this machine: in a store, or cached; None when there is none."""
    for location in image.locations:
        found = stores.find(cloud, location.store)
        path = found.backend.local_path(location.url) if found else None
        if path is not None and path.exists():
            return path
    cached = cloud.part(Workspace).cached_path(image.id)
    return cached if cached.exists() else None


def bring(cloud: Cloud, image: Image) -> Path:
    """Return the file of an image's content on this machine; fetches it when there is none, which may take long.

    :raises Unavailable: when its stores cannot give it now.
    :raises Conflict: when it is not what its record says.
    """
    return local_path(cloud, image) or keep(cloud, image)


def note_reading(cloud: Cloud, image_id: str, path: Path) -> None:
    """Count a reading where it was out of the cache."""
    if path == cloud.part(Workspace).cached_path(image_id):
        with cloud.db.begin() as tx:
            cache.hit(tx, cloud.settings.host, image_id, cloud.clock.now())


def keep(cloud: Cloud, image: Image) -> Path:
    """Have an image in the cache of this machine, also one that a store has here; returns the file.

    :raises Unavailable: when its stores cannot give it now.
    :raises Conflict: when it is not what its record says.
    """
    workspace = cloud.part(Workspace)
    target = workspace.cached_path(image.id)
    with workspace.locked(target.name):  # another one's fetching is waited for
        if not target.exists():
            _fill_cache(cloud, image, target, workspace.upload_path(image.id, ids.uuid()))
    return target


def _fill_cache(cloud: Cloud, image: Image, target: Path, part: Path) -> None:
    path = local_path(cloud, image)
    if path is not None:
        part.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.link(path, part)
    if path is None or not part.exists():
        with open(part, "wb") as file:
            found = _read_through(image, _tee(read(cloud, image), file))
            file.flush()
            os.fsync(file.fileno())
        _require_same(image, found)
        _learn(cloud, image, found)
    now, size = cloud.clock.now(), part.stat().st_size
    with cloud.db.begin() as tx:  # before the file has its name: what has one is known
        cache.put(tx, Cached(cloud.settings.host, image.id, CACHED, size, 0, now, now))
    os.rename(part, target)
    sync_folder(target.parent)


def _tee(blocks: Iterable[bytes], file: Any) -> Iterator[bytes]:
    for block in blocks:
        file.write(block)
        yield block


def _read_through(image: Image, blocks: Iterable[bytes]) -> Reading:
    try:
        return examine(blocks, image.os_hash_algo or "sha512", Inspection(image.disk_format or "", image.container_format or ""))
    except BackendError as error:
        raise Unavailable(f"The content of image {image.id} cannot be had now: {error}") from error
    except WrongFormat as error:
        raise Conflict(f"Image {image.id} is unacceptable: {error}", kind="ImageUnacceptable") from error


def _require_same(image: Image, found: Reading) -> None:
    told = ((image.size, found.size_bytes), (image.os_hash_value, found.digest), (image.checksum, found.md5))
    if any(said is not None and said != seen for said, seen in told):
        raise Conflict(f"The content of image {image.id} is not what it was when it was hashed.", kind="ImageUnacceptable")


def _learn(cloud: Cloud, image: Image, found: Reading) -> None:
    if image.virtual_size is None and found.verdict.virtual_bytes is not None:
        with cloud.db.begin() as tx:
            store.change(tx, image.id, {"virtual_size": None}, virtual_size=found.verdict.virtual_bytes, size=found.size_bytes)


def examine(blocks: Iterable[bytes], algorithm: str, inspection: Inspection) -> Reading:
    """Read content through.

    :param algorithm: a name that hashlib knows.
    :raises WrongFormat: when the content is not what its record says.
    """
    md5, chosen, size_bytes = hashlib.md5(usedforsecurity=False), hashlib.new(algorithm, usedforsecurity=False), 0
    for block in blocks:
        md5.update(block)
        chosen.update(block)
        inspection.feed(block)
        size_bytes += len(block)
    return Reading(size_bytes, md5.hexdigest(), chosen.hexdigest(), inspection.finish())


def read(cloud: Cloud, image: Image, start: int = 0, length: int | None = None) -> Iterator[bytes]:
    """Yield an image's content out of the first store that has it.

    :raises BackendError: when none can give it, or the one that began breaks off.
    """
    last = BackendError("it is in no store")
    for location in image.locations:
        target = stores.find(cloud, location.store)
        if target is None:
            last = BackendError(f"the store {location.store} is not configured")
            continue
        blocks = target.backend.read(location.url, start, length)
        try:
            first = next(blocks, b"")
        except BackendError as error:
            last = error
            continue
        yield first
        yield from blocks
        return
    raise last


def remove_local(cloud: Cloud, image_id: str) -> None:
    """Remove whatever there is of an image on this machine; those who read it go on reading."""
    cloud.part(Workspace).remove(image_id)
    for backend in stores.collected(cloud):
        backend.remove_all(image_id)
