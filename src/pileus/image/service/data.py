"""Content: upload, staging and download.

An upload begins (rights, state, a locked file), takes blocks, and ends: published and active, or nothing is left and the image
is queued again.  Whoever dies on the way lets go of the lock on the file, and the sweeper puts the image back.
"""

from dataclasses import dataclass

from msgspec.structs import replace

from pileus.image import store
from pileus.image.files import FileStore, Sink
from pileus.image.formats import Inspection, WrongFormat
from pileus.image.records import facts_of, requeue
from pileus.image.service import images
from pileus.image.store import Image
from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict, Forbidden, Gone, TooLarge, UnsupportedMedia


@dataclass(frozen=True)
class Upload:
    """An upload under way.  stage: its content waits for an import instead of becoming the image's."""

    cloud: Cloud
    image: Image
    sink: Sink
    stage: bool

    @property
    def while_status(self) -> str:
        """The status of the image meanwhile."""
        return "uploading" if self.stage else "saving"


def begin_upload(ctx: Context, image_id: str, size_told: int | None, *, stage: bool = False) -> Upload:
    """Begin to take an image's content.

    :param size_told: in bytes, by the request; None: not told.
    :raises Conflict: when it has content or someone else is uploading it.
    :raises BadRequest: when its formats are not set.
    :raises TooLarge: when it is known beforehand to be too large.
    """
    cloud = ctx.cloud
    with cloud.db.read() as tx:
        image, target = images.find(ctx, tx, image_id)
    ctx.require("modify_image" if stage else "upload_image", target)
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
    sink = Sink(cloud.part(FileStore).upload_path(image_id, upload_id), inspection, most)
    taken = False
    try:
        with cloud.db.begin() as tx:
            now = cloud.clock.now()
            taken = store.change(tx, image_id, {"status": "queued"}, status=status, upload_id=upload_id, updated_at=now)
            image = store.get(tx, image_id) or image
        if not taken:
            _require_queued(image if image.status != "queued" else replace(image, status=status), status)
    finally:
        if not taken:
            sink.discard()
    return Upload(cloud, image, sink, stage)


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
    """Publish what was taken.

    :raises UnsupportedMedia: when it is not what the image's record says.
    :raises Gone: when the image was deleted meanwhile.
    """
    image, cloud, files = upload.image, upload.cloud, upload.cloud.part(FileStore)
    try:
        digest = upload.sink.finish()
    except WrongFormat as error:
        raise UnsupportedMedia(str(error), kind="InvalidImageData") from error
    upload.sink.publish(files.staged_path(image.id) if upload.stage else files.path(image.id))
    where = {"status": upload.while_status, "upload_id": image.upload_id}
    values = {"size": digest.size, "upload_id": ""} if upload.stage else facts_of(digest) | {"status": "active"}
    with cloud.db.begin() as tx:
        done = store.change(tx, image.id, where, updated_at=cloud.clock.now(), **values)
        gone = not done and store.get(tx, image.id) is None
    upload.sink.discard()
    if done:
        return
    if gone:
        files.remove(image.id)
    raise Gone(f"Image {image.id} could not be found after upload. The image may have been deleted during the upload.")


def abandon_upload(upload: Upload) -> None:
    """Leave nothing of an upload, and let another one begin."""
    upload.sink.discard()
    with upload.cloud.db.begin() as tx:
        requeue(upload.cloud, tx, upload.image.id, upload.image.upload_id)


def open_download(ctx: Context, image_id: str) -> tuple[Image, str]:
    """Return an image whose content the caller may read, and the path of the file; no path when there is no content.

    :raises Forbidden: when it is deactivated.
    """
    with ctx.cloud.db.read() as tx:
        image, target = images.find(ctx, tx, image_id)
    if image.status == "deactivated" and not ctx.is_admin:
        raise Forbidden("The requested image has been deactivated. Image data download is forbidden.")
    ctx.require("download_image", target)
    if not image.has_data:
        return image, ""
    return image, str(ctx.cloud.part(FileStore).path(image_id))
