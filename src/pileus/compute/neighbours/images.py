"""What compute takes from the image service: images to boot, and images made of servers."""

import contextlib
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from pileus.compute.driver import DiskFormat
from pileus.image.service import images, proxied, snapshots
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict, Forbidden, NotFound
from pileus.network.service import guests

RAW_FORMATS = {"raw", "iso", "ami"}


@dataclass(frozen=True)
class ImageFacts:
    """What compute must know of an image.  min_disk in GiB, min_ram in MiB."""

    id: str
    name: str
    disk_format: str
    min_disk: int
    min_ram: int
    virtual_size_bytes: int
    properties: Mapping[str, str] = field(default_factory=dict)


def image_to_boot(ctx: Context, image_id: str) -> ImageFacts:
    """Return an image that the caller may boot.

    :raises NotFound: when there is none.
    :raises BadRequest: when it is not active, or is no disk.
    """
    image = images.get_active(ctx, image_id)
    if image.disk_format not in RAW_FORMATS | {"qcow2"}:
        text = f"Image {image_id} is unacceptable: {image.disk_format} is no disk format of this cloud."
        raise BadRequest(text, kind="ImageUnacceptable")
    size = image.virtual_size or image.size or 0
    return ImageFacts(image.id, image.name or "", image.disk_format or "", image.min_disk, image.min_ram, size, image.properties)


def require_direct(image: ImageFacts) -> None:
    """Check that a guest can boot an image as it is, and not only a volume made of it.

    :raises BadRequest: when its content is encrypted, as that of an image of an encrypted volume is.
    """
    if image.properties.get("cinder_encryption_key_id"):
        text = "Direct booting of an image uploaded from an encrypted volume is unsupported."
        raise BadRequest(f"Image {image.id} is unacceptable: {text}", kind="ImageUnacceptable")


def image_file(cloud: Cloud, image_id: str) -> tuple[str, DiskFormat]:
    """Return the read-only file of an image, and its format.

    The file is a second name of the image's content: guests go on when the image is deleted.

    :raises NotFound: when the image is gone, and no guest was ever made of it here.
    """
    folder = _bases(cloud)
    for form in ("qcow2", "raw"):
        if (kept := folder / f"{image_id}.{form}").exists():
            return str(kept), "raw" if form == "raw" else "qcow2"
    try:
        found = images.path(cloud, image_id)
    except (NotFound, Conflict):
        raise NotFound(f"Image {image_id} could not be found.", kind="ImageNotFound") from None
    disk_format: DiskFormat = "raw" if found.disk_format in RAW_FORMATS else "qcow2"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{image_id}.{disk_format}"
    try:
        os.link(found.path, target)
    except FileExistsError:
        pass  # another server's task was quicker
    except FileNotFoundError:
        raise NotFound(f"Image {image_id} could not be found.", kind="ImageNotFound") from None
    except OSError:
        shutil.copyfile(found.path, f"{target}.new")
        os.rename(f"{target}.new", target)
    return str(target), disk_format


def _bases(cloud: Cloud) -> Path:
    return Path(cloud.settings.state_dir) / "bases"


def sweep_bases(cloud: Cloud, used: Collection[str]) -> None:
    """Remove the files of images of which no server is made."""
    for file in _bases(cloud).glob("*.*"):
        if file.stem not in used:
            with contextlib.suppress(FileNotFoundError):
                file.unlink()


def reserve_image(
    tx: Connection, ctx: Context, name: str, base: Mapping[str, Any], properties: Mapping[str, str], disk_gib: int
) -> str:
    """Write down an image of a server that is about to be made; returns its id.

    :param base: the image that the server was made of: its properties are handed down.
    :raises Forbidden: when the caller may not make images.
    """
    handed_down = {key: str(value) for key, value in (base.get("properties") or {}).items() if not key.startswith("os_hash")}
    smallest = max(disk_gib, int(base.get("min_disk") or 0))
    wanted = snapshots.Wanted(
        name=name, disk_format=snapshot_format(base), min_disk=smallest, min_ram=int(base.get("min_ram") or 0),
        properties={**handed_down, **properties},
    )  # fmt: skip
    return snapshots.reserve(tx, ctx, wanted).id


def snapshot_format(base: Mapping[str, Any]) -> DiskFormat:
    """Return the format in which an image is made of a server: that of its own image."""
    return "raw" if base.get("disk_format") in RAW_FORMATS else "qcow2"


def fill_image(cloud: Cloud, image_id: str, disk_format: str, write: Callable[[str], None]) -> None:
    """Make what `write` writes to a path the content of a reserved image.  May be repeated.

    :raises NotFound: when the image was deleted meanwhile.
    """
    folder = Path(cloud.settings.state_dir) / "snapshots"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{image_id}.{disk_format}"
    file.unlink(missing_ok=True)
    try:
        write(str(file))
        snapshots.fill_from_file(cloud, image_id, file)
    finally:
        file.unlink(missing_ok=True)


def drop_image(cloud: Cloud, image_id: str) -> None:
    """Forget a reserved image that could not be made."""
    snapshots.fail(cloud, image_id)


def delete_image(cloud: Cloud, project_id: str, image_id: str) -> None:
    """Delete an image that was made for a server and is of no more use.  May be repeated."""
    with contextlib.suppress(NotFound, Forbidden):
        images.delete(guests.acting_for(cloud, project_id), image_id)


def rotate_backups(cloud: Cloud, project_id: str, server_id: str, backup_type: str, keep: int) -> None:
    """Delete the oldest backups of a server and kind.  May be repeated."""
    wanted = [("instance_uuid", server_id), ("image_type", "backup"), ("backup_type", backup_type), ("status", "active")]
    for image in proxied.list_images(guests.acting_for(cloud, project_id), wanted, None, None)[keep:]:
        delete_image(cloud, project_id, image.id)
