"""Files that appear whole or not at all, with a record beside their bytes.

A new file has no name (O_TMPFILE) until its bytes and its record are on the disk; then it is linked in place.  A process that
dies on the way leaves nothing.  Where the file system has no nameless files, they are named in the device's tmp, which is
emptied of old ones by the auditor.

The record is a msgpack value after its CRC32, in the extended attribute `user.pileus.record`.  Where there are no user
attributes, or the record is too big for one (ext4 holds 4 KiB), it stands in a file beside: NAME.xattr, linked in first.
"""

import errno
import os
import zlib
from typing import Any

from pileus.kernel.ids import hex_id
from pileus.object_store.storage.layout import Device, sync_directory

ATTRIBUTE = "user.pileus.record"
SIDECAR = ".xattr"
NO_ATTRIBUTE = {errno.ENOTSUP, errno.ENODATA, errno.EPERM}
TOO_BIG = {errno.ENOTSUP, errno.E2BIG, errno.ENOSPC, errno.ERANGE, errno.EPERM}
FULL = {errno.ENOSPC, errno.EDQUOT}
_nameless = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}


class Damaged(Exception):
    """What is on the disk is not what was written."""


class NewFile:
    """A file that has no name yet.

    :param first: the directory was made for it, so that nothing older lies there.
    """

    def __init__(self, device: Device, directory: str, first: bool = False) -> None:
        """Open it.  directory, where it will be linked, must exist."""
        self.first = first
        self.name: str | None = None
        try:
            self.descriptor = os.open(directory, os.O_TMPFILE | os.O_WRONLY, 0o600)
        except OSError as error:
            if error.errno not in _nameless:
                raise
            self.name = f"{device.root}/tmp/{hex_id()}"
            os.makedirs(f"{device.root}/tmp", exist_ok=True)
            self.descriptor = os.open(self.name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)

    def write(self, data: bytes) -> None:
        """Write all of it."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.descriptor, view) :]

    def link(self, path: str) -> bool:
        """Give it its name; tell whether it was free."""
        try:
            if self.name is None:
                # any directory descriptor makes os.link call linkat, which alone follows the link in /proc
                os.link(f"/proc/self/fd/{self.descriptor}", path, src_dir_fd=self.descriptor, follow_symlinks=True)
            else:
                os.link(self.name, path)
        except FileExistsError:
            return False
        return True

    def close(self) -> None:
        """Let go of it; without a link it is gone."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        if self.name is not None:
            os.unlink(self.name)
            self.name = None


def seal(record: bytes) -> bytes:
    """Return a record with its checksum."""
    return zlib.crc32(record).to_bytes(4) + record


def unseal(sealed: bytes, where: str) -> bytes:
    """Return the record.

    :raises Damaged: when the checksum is not its own.
    """
    record = sealed[4:]
    if len(sealed) < 5 or zlib.crc32(record).to_bytes(4) != sealed[:4]:
        raise Damaged(f"{where}: the record is damaged")
    return record


def place(device: Device, new: NewFile, path: str, record: bytes) -> bool:
    """Finish a new file: record, bytes to the disk, name.  Return whether the name was free.

    The directory is durable on return.
    """
    sealed = seal(record)
    directory = os.path.dirname(path)
    try:
        os.setxattr(new.descriptor, ATTRIBUTE, sealed)
    except OSError as error:
        if error.errno not in TOO_BIG:
            raise
        _place_sidecar(device, path, sealed)
    os.fsync(new.descriptor)
    linked = new.link(path)
    sync_directory(directory)
    return linked


def _place_sidecar(device: Device, path: str, sealed: bytes) -> None:
    beside = NewFile(device, os.path.dirname(path))
    try:
        beside.write(sealed)
        os.fsync(beside.descriptor)
        if not beside.link(path + SIDECAR):
            os.unlink(path + SIDECAR)  # left by a write that was never finished
            beside.link(path + SIDECAR)
    finally:
        beside.close()


def read_record(path: str, descriptor: int | None = None) -> bytes:
    """Return the record of a file.

    :raises Damaged: when there is none that can be read.
    :raises FileNotFoundError: when the file is not there.
    """
    target: Any = path if descriptor is None else descriptor
    try:
        return unseal(os.getxattr(target, ATTRIBUTE), path)
    except OSError as error:
        if error.errno not in NO_ATTRIBUTE:
            raise
    try:
        with open(path + SIDECAR, "rb") as beside:
            return unseal(beside.read(), path)
    except FileNotFoundError:
        if os.path.lexists(path):
            raise Damaged(f"{path}: no record") from None
        raise


def remove(path: str) -> None:
    """Remove a file and its sidecar, which may be gone already."""
    for name in (path, path + SIDECAR):
        try:
            os.unlink(name)
        except FileNotFoundError:
            continue
