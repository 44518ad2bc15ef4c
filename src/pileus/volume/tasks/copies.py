"""Copies between volumes and images: a volume uploaded as an image, a volume made of an image again.

upload --> (the status before)     reimage --> (available, reserved)
"""

import shutil
import subprocess
from pathlib import Path

from pileus.image.service import snapshots as image_making
from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Cloud
from pileus.kernel.errors import Fault
from pileus.kernel.tasks import Done, Fail, Hop, Outcome, Run
from pileus.volume import states
from pileus.volume.driver import VolumeBackend, VolumeDriverError, VolumeSpec
from pileus.volume.store import volumes as store
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import backends, contents
from pileus.volume.tasks.volumes import UNABLE, begin, finish, settle, step, wipe

CONVERT_SECONDS = 4 * 3600.0
FAILURES: tuple[type[Exception], ...] = (*UNABLE, Fault, OSError, subprocess.SubprocessError)
QEMU_NAMES = {"vhd": "vpc", "ploop": "parallels"}


@step
def upload(run: Run, volume: Volume) -> Outcome:
    """Write the content to a file and make that the image's."""
    if volume.status != states.UPLOADING:
        return Hop(begin)
    image_id, disk_format = volume.aside["upload_image_id"], volume.aside["disk_format"]
    path = contents.work_folder(run.cloud) / f"{volume.id}.upload"
    try:
        path.unlink(missing_ok=True)
        write_out(backends.of(run.cloud, volume), volume.id, path, disk_format)
        image_making.fill_from_file(run.cloud, image_id, path)
    except FAILURES as error:
        image_making.fail(run.cloud, image_id)
        return Fail(str(error))
    finally:
        path.unlink(missing_ok=True)
    return finish(run, volume)


def write_out(backend: VolumeBackend, volume_id: str, path: Path, disk_format: str) -> None:
    """Write a volume to a new file of a format.

    :raises VolumeDriverError: when the back end cannot, or this machine cannot write the format.
    """
    if hasattr(backend, "copy_out"):
        backend.copy_out(volume_id, str(path), disk_format)
        return
    raw = path if disk_format == "raw" else path.with_suffix(".raw")
    try:
        write_raw(backend, volume_id, raw)
        if raw != path:
            convert(raw, path, disk_format)
    finally:
        if raw != path:
            raw.unlink(missing_ok=True)


def write_raw(backend: VolumeBackend, volume_id: str, path: Path) -> None:
    """Write a volume to a file with holes where there is nothing.  :raises VolumeDriverError: when the back end cannot."""
    content = backend.open(volume_id)
    try:
        with open(path, "wb") as file:
            file.truncate(content.size_bytes)
            for offset, length, full in content.extents():
                for at in range(offset, offset + length if full else offset, contents.CHUNK_BYTES):
                    data = content.read(at, min(contents.CHUNK_BYTES, offset + length - at))
                    if any(data):
                        file.seek(at)
                        file.write(data)
    finally:
        content.close()


def convert(raw: Path, path: Path, disk_format: str) -> None:
    """Turn a raw file into one of another format.  :raises VolumeDriverError: when this machine cannot."""
    program = shutil.which("qemu-img")
    if program is None:
        raise VolumeDriverError(f"qemu-img is missing, which writes format {disk_format}.")
    name = QEMU_NAMES.get(disk_format, disk_format)
    command = [program, "convert", "-f", "raw", "-O", name, str(raw), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CONVERT_SECONDS, check=False)
    if done.returncode:
        raise VolumeDriverError(done.stderr.strip()[:500] or f"qemu-img cannot write format {disk_format}.")


@step
def reimage(run: Run, volume: Volume) -> Outcome:
    """Make the volume's content that of an image again, by way of a volume beside it, so that its snapshots stay."""
    if volume.status != states.DOWNLOADING:
        return Hop(begin)
    beside_id, image_id = volume.aside["beside_id"], volume.aside["from_image_id"]
    try:
        backend = backends.of(run.cloud, volume)
        key = contents.luks_key(run.cloud, volume)
        spec = VolumeSpec(beside_id, volume.size_gib, thin=volume.thin, luks_key=key)
        contents.with_image(run.cloud, image_id, spec, backend)
        source = backend.open(beside_id)
        try:
            contents.copy(source, backend.open(volume.id, writable=True))
        finally:
            source.close()
        backend.destroy(beside_id, wipe(run.cloud))
    except UNABLE as error:
        forget_beside(run.cloud, volume)
        return Fail(str(error))
    with run.cloud.db.begin() as tx:
        if not settle(tx, run.cloud, volume, image_id=image_id, bootable=True, reported_error=None):
            return Hop(begin)
        store.put_image_metadata(tx, volume.id, volume.aside["image_metadata"], replace=True)
        run.cloud.events.publish(tx, run.cloud, "volume.ready", {"volume_id": volume.id, "why": ""})
    return Done()


def forget_beside(cloud: Cloud, volume: Volume) -> None:
    """Leave nothing of the volume that was made beside another one, where that can be."""
    try:
        backends.of(cloud, volume).destroy(volume.aside["beside_id"], wipe(cloud))
    except (VolumeDriverError, HostUnknown) as error:
        contents.log.warning("volume %s: what was made beside it stays: %s", volume.id, error)
