"""What volumes are filled with: nothing, an image, another volume, a snapshot."""

import errno
import logging
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from pileus.image.service import images
from pileus.kernel.context import Cloud
from pileus.kernel.errors import Conflict, NotFound
from pileus.volume.driver import Content, DiskFormat, Source, VolumeBackend, VolumeDriverError, VolumeSpec
from pileus.volume.keys import KeyLost
from pileus.volume.store import snapshots
from pileus.volume.store import volumes as store
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import backends, keys

log = logging.getLogger(__name__)

CHUNK_BYTES = 4 * 1024 * 1024
FORMATS: dict[str, DiskFormat] = {"raw": "raw", "iso": "raw", "ami": "raw", "qcow2": "qcow2"}


class Unfit(Exception):
    """What a volume was to be made of cannot be used; the message says why.  No use in trying again."""


@dataclass(frozen=True)
class Origin:
    """Where content lies: in a volume or snapshot of a back end."""

    host: str
    volume_id: str
    snapshot_id: str = ""


def spec_of(volume: Volume, luks_key: str = "") -> VolumeSpec:
    """Return how a volume's back end is to make it, without a source."""
    return VolumeSpec(volume.id, volume.size_gib, thin=volume.thin, luks_key=luks_key)


def make(cloud: Cloud, volume: Volume) -> None:
    """Make a volume on its back end, with the content that its row asks for.  May be repeated.

    :raises VolumeDriverError: when the back end cannot.
    :raises HostUnknown: when the back end is not there.
    :raises Unfit: when what it is made of is gone or cannot be used.
    """
    backend = backends.of(cloud, volume)
    key = luks_key(cloud, volume)
    if volume.image_id:
        encrypted_already = (volume.aside or {}).get("as_it_is")
        with_image(cloud, volume.image_id, spec_of(volume, "" if encrypted_already else key), backend)
        return
    origin = origin_of(cloud, volume)
    spec = spec_of(volume, key)
    if origin is None:
        backend.ensure(spec)
    elif origin.host == volume.host:
        kind = "snapshot" if origin.snapshot_id else "volume"
        source = (
            Source("snapshot", origin.snapshot_id, origin.volume_id) if kind == "snapshot" else Source("volume", origin.volume_id)
        )
        backend.ensure(replace(spec, source=source))
    else:
        carry(cloud, origin, volume, str(volume.host))


def luks_key(cloud: Cloud, volume: Volume) -> str:
    """Return the key (hex) of an encrypted volume; empty: it is not encrypted.  :raises Unfit: when it is lost."""
    try:
        with cloud.db.read() as tx:
            return keys.reveal(tx, cloud, volume.encryption_key_id)
    except KeyLost as error:
        raise Unfit(str(error)) from error


def origin_of(cloud: Cloud, volume: Volume) -> Origin | None:
    """Return what a volume is a copy of, or None.  :raises Unfit: when that is gone."""
    with cloud.db.read() as tx:
        if volume.snapshot_id:
            snapshot = snapshots.get(tx, volume.snapshot_id)
            origin = store.get(tx, snapshot.volume_id) if snapshot else None
            what = f"Snapshot {volume.snapshot_id}"
        elif volume.source_volume_id:
            origin, what = store.get(tx, volume.source_volume_id), f"Volume {volume.source_volume_id}"
        else:
            return None
    if origin is None or origin.host is None:
        raise Unfit(f"{what} is gone.")
    return Origin(origin.host, origin.id, volume.snapshot_id or "")


def carry(cloud: Cloud, origin: Origin, volume: Volume, host: str) -> None:
    """Copy content to a volume on another back end, `host`, with all that encrypts it.  May be repeated.

    :raises VolumeDriverError: when a back end cannot.
    :raises HostUnknown: when a back end is not there.
    """
    target = backends.named(cloud, host)
    target.ensure(spec_of(volume))
    source = backends.named(cloud, origin.host).open(origin.volume_id, origin.snapshot_id)
    try:
        copy(source, target.open(volume.id, writable=True))
    finally:
        source.close()


def copy(source: Content, target: Content) -> None:
    """Make the start of `target` what `source` is, leave out zeroes, and close the target.

    :raises BackendFull: when there is no room.
    """
    try:
        for offset, length, full in source.extents():
            if not full:
                target.zero(offset, length)
                continue
            for at in range(offset, offset + length, CHUNK_BYTES):
                data = source.read(at, min(CHUNK_BYTES, offset + length - at))
                if any(data):
                    target.write(at, data)
                else:
                    target.zero(at, len(data))
        target.flush()
    finally:
        target.close()


# ---- images


def with_image(cloud: Cloud, image_id: str, spec: VolumeSpec, backend: VolumeBackend) -> None:
    """Make a volume of an image's file, which is kept for as long as it takes.  May be repeated.

    :raises VolumeDriverError: when the back end cannot.
    :raises Unfit: when the image is gone, or no disk that fits.
    """
    kept = kept_path(cloud, spec.id)
    try:
        file = images.path(cloud, image_id)
    except (NotFound, Conflict) as error:
        if backend.observe(spec.id) is None:
            raise Unfit(error.message) from error
        return  # the volume has been made, whatever became of the image
    disk_format = FORMATS.get(file.disk_format)
    if disk_format is None:
        raise Unfit(f"Image {image_id} is unacceptable: volumes are not made of format {file.disk_format}.")
    if file.virtual_size_bytes > spec.size_bytes:
        raise Unfit(f"Image {image_id} has {file.virtual_size_bytes} bytes and does not fit in {spec.size_gib} GiB.")
    try:
        keep(Path(file.path), kept)
        backend.ensure(replace(spec, source=Source("image", image_id, path=str(kept), disk_format=disk_format)))
    except FileNotFoundError:
        raise Unfit(f"Image {image_id} was deleted.") from None
    except OSError as error:
        raise VolumeDriverError(f"The image could not be kept: {error}") from error
    finally:
        kept.unlink(missing_ok=True)


def kept_path(cloud: Cloud, volume_id: str) -> Path:
    """Return where an image's file is kept while a volume is made of it."""
    return work_folder(cloud) / f"{volume_id}.image"


def work_folder(cloud: Cloud) -> Path:
    """Return the folder for what lasts no longer than a step."""
    folder = Path(cloud.settings.state_dir) / "volumes" / ".work"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def keep(file: Path, kept: Path) -> None:
    """Give a file a second name, or, on another file system, a copy."""
    kept.unlink(missing_ok=True)
    try:
        os.link(file, kept)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            raise
        shutil.copyfile(file, kept)
