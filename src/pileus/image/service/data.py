"""Content: upload, staging and download.

An upload begins (rights, state, a locked file), takes blocks, and ends: in a store and active, or nothing is left and the image
is queued again.  Whoever dies on the way lets go of the lock on the file, and the sweeper puts the image back.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from pileus.image import content, store, stores
from pileus.image.backend import BackendError, BackendFull
from pileus.image.files import Sink, Workspace
from pileus.image.formats import Inspection, WrongFormat
from pileus.image.records import facts_of, requeue
from pileus.image.service import finding, quotas
from pileus.image.store import Image, Location
from pileus.image.stores import Store
from pileus.image.tasks import caching, purge
from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict, Forbidden, Gone, TooLarge, Unavailable, UnsupportedMedia


@dataclass(frozen=True)
class Upload:
    """An upload under way.  stage: its content waits for an import instead of becoming the image's; store: where it goes."""

    cloud: Cloud
    image: Image
    sink: Sink
    stage: bool
    store: Store

    @property
    def while_status(self) -> str:
        """The status of the image meanwhile."""
        return "uploading" if self.stage else "saving"


def begin_upload(ctx: Context, image_id: str, size_told: int | None, *, stage: bool = False, store_id: str = "") -> Upload:
    """Begin to take an image's content.

    :param size_told: in bytes, by the request; None: not told.
    :param store_id: the store it is to go into; empty: the default one.
    :raises OverQuota: when the project has used its share.
    :raises Conflict: when it has content or someone else is uploading it.
    :raises BadRequest: when its formats are not set, or there is no such store.
    :raises TooLarge: when it is known beforehand to be too large.
    """
    cloud = ctx.cloud
    with cloud.db.read() as tx:
        image, target = finding.find(ctx, tx, image_id)
    ctx.require("modify_image" if stage else "upload_image", target)
    place = _find_store(cloud, store_id)
    status = "uploading" if stage else "saving"
    _require_queued(image, status)
    if not stage:
        _require_formats(image)
    most = cloud.settings.image_bytes_max
    if size_told is not None and size_told > most:
        raise TooLarge(f"The incoming image is too large: the maximum is {most} bytes.")
    upload_id = ids.uuid()
    # What is staged is looked at when it is imported: until then its record may change.
    inspection = Inspection(image.disk_format or "", image.container_format or "") if not stage else Inspection("", "")
    sink = Sink(cloud.part(Workspace).upload_path(image_id, upload_id), inspection, most)
    taken = False
    try:
        with cloud.db.begin() as tx:
            now = cloud.clock.now()
            quotas.require_upload(ctx, tx, image.owner or "", stage=stage)
            taken = store.change(tx, image_id, {"status": "queued"}, status=status, upload_id=upload_id, updated_at=now)
            image = store.get(tx, image_id) or image
        if not taken:
            _require_queued(image if image.status != "queued" else replace(image, status=status), status)
    finally:
        if not taken:
            sink.discard()
    return Upload(cloud, image, sink, stage, place)


def _find_store(cloud: Cloud, store_id: str) -> Store:
    found = next((store for store in stores.writable(cloud) if store.id == store_id), None) if store_id else stores.default(cloud)
    if found is None:
        raise BadRequest(f"Store for identifier {store_id} not found.")
    return found


def _require_queued(image: Image, wanted: str) -> None:
    if image.status != "queued":
        raise Conflict(
            f"Image status transition from {image.status} to {wanted} is not allowed", kind="InvalidImageStatusTransition"
        )


def _require_formats(image: Image) -> None:
    missing = [name for name in ("disk_format", "container_format") if not getattr(image, name)]
    if missing:
        words = f"Propert{'y' if len(missing) == 1 else 'ies'} {', '.join(missing)}"
        raise BadRequest(f"{words} must be set prior to saving data.")


def end_upload(upload: Upload) -> None:
    """Put what was taken into its store.

    :raises UnsupportedMedia: when it is not what the image's record says.
    :raises Gone: when the image was deleted meanwhile.
    :raises TooLarge: when the store is full.
    :raises Unavailable: when the store cannot take it.
    """
    image, cloud = upload.image, upload.cloud
    try:
        digest = upload.sink.finish()
    except WrongFormat as error:
        raise UnsupportedMedia(str(error), kind="InvalidImageData") from error
    where = {"status": upload.while_status, "upload_id": image.upload_id}
    places = _put(upload)
    values = {"size": digest.size, "upload_id": ""} if upload.stage else facts_of(digest) | {"status": "active"}
    with cloud.db.begin() as tx:
        done = store.change(tx, image.id, where, updated_at=cloud.clock.now(), **values)
        if done and places:
            store.set_locations(tx, image.id, places)
        gone = not done and store.get(tx, image.id) is None
    upload.sink.discard()
    if done:
        return
    if gone:
        purge.release(cloud, image.id, places)
    raise Gone(f"Image {image.id} could not be found after upload. The image may have been deleted during the upload.")


def _put(upload: Upload) -> list[Location]:
    image = upload.image
    if upload.stage:
        upload.sink.publish(upload.cloud.part(Workspace).staged_path(image.id))
        return []
    try:
        return [content.put(upload.cloud, upload.store, image.id, image.upload_id, upload.sink.path)]
    except BackendFull as error:
        raise TooLarge(f"Image storage media is full: {error}") from error
    except BackendError as error:
        raise Unavailable(f"The store {upload.store.id} did not take the image: {error}") from error


def abandon_upload(upload: Upload) -> None:
    """Leave nothing of an upload, and let another one begin."""
    upload.sink.discard()
    with upload.cloud.db.begin() as tx:
        requeue(upload.cloud, tx, upload.image.id, upload.image.upload_id)


@dataclass(frozen=True)
class Download:
    """Content to be given out: a file on this machine, or (path empty) what `read` yields; nothing when there is no content."""

    image: Image
    path: str = ""
    read: Callable[[int, int | None], Iterator[bytes]] | None = None


def open_download(ctx: Context, image_id: str, preferred: Sequence[str] = ()) -> Download:
    """Return an image whose content the caller may read, and the way to it.

    :param preferred: the stores to be tried first.
    :raises Forbidden: when it is deactivated.
    :raises BadRequest: when a preferred store is none.
    """
    cloud = ctx.cloud
    with cloud.db.read() as tx:
        image, target = finding.find(ctx, tx, image_id)
    if image.status == "deactivated" and not ctx.is_admin:
        raise Forbidden("The requested image has been deactivated. Image data download is forbidden.")
    ctx.require("download_image", target)
    if preferred:
        ctx.require("download_from_store", target)
        image = _reordered(cloud, image, preferred)
    if not image.has_data:
        return Download(image)
    path = content.local_path(cloud, image)
    if path is not None:
        content.note_reading(cloud, image_id, path)
        return Download(image, str(path))
    return Download(image, "", lambda start, length: content.read(cloud, image, start, length))


def _reordered(cloud: Cloud, image: Image, preferred: Sequence[str]) -> Image:
    for name in preferred:
        if stores.find(cloud, name) is None:
            raise BadRequest(f"Store '{name}' is not configured.")
    return replace(image, locations=sorted(image.locations, key=lambda location: location.store not in preferred))


def cache_soon(download: Download, ctx: Context) -> None:
    """Have an image that had to be fetched from elsewhere in this machine's cache for the next time."""
    caching.queue_reading(ctx.cloud, download.image)
