"""Copies of files: by reference where the file system can, else of what is not a hole."""

import contextlib
import errno
import fcntl
import os
import secrets
from pathlib import Path

FICLONE = 0x40049409
COPY_BYTES = 64 << 20
BUFFER_BYTES = 1 << 20


def reflinks(directory: Path) -> bool:
    """Whether files of a directory can share their blocks."""
    one, two = (directory / f".reflink-{secrets.token_hex(6)}" for _ in range(2))
    try:
        one.write_bytes(bytes(4096))
        return clone(one, two)
    finally:
        one.unlink(missing_ok=True)
        two.unlink(missing_ok=True)


def clone(source: Path, target: Path) -> bool:
    """Make a new file that shares the blocks of another one, as it is at one instant; False when that cannot be.

    :raises OSError: when there is no room for it.
    """
    with source.open("rb") as read, target.open("xb") as written:
        try:
            fcntl.ioctl(written, FICLONE, read.fileno())
        except OSError as error:
            target.unlink()
            if error.errno in (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM):
                return False
            raise
        os.fsync(written.fileno())
        return True


def link(source: Path, target: Path) -> bool:
    """Give a file a second name, so that it outlives its first; False when it lies on another file system."""
    try:
        os.link(source, target, follow_symlinks=True)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            return False
        raise
    return True


def copy(source: Path, target: Path) -> None:
    """Copy a file to a new one, holes as holes, and sync it.

    :raises OSError: when it cannot be read or written.
    """
    with source.open("rb") as read, target.open("xb") as written:
        size = os.fstat(read.fileno()).st_size
        offset = 0
        while offset < size:
            try:
                start = os.lseek(read.fileno(), offset, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    break
                raise
            offset = os.lseek(read.fileno(), start, os.SEEK_HOLE)
            _copy_range(read.fileno(), written.fileno(), start, offset)
        os.ftruncate(written.fileno(), size)
        os.fsync(written.fileno())


def _copy_range(read: int, written: int, start: int, end: int) -> None:
    with contextlib.suppress(OSError):
        while start < end:
            copied = os.copy_file_range(read, written, min(COPY_BYTES, end - start), start, start)
            if not copied:
                break
            start += copied
    while start < end:
        block = os.pread(read, min(BUFFER_BYTES, end - start), start)
        if not block:
            return
        start += os.pwrite(written, block, start)


def sync_directory(directory: Path) -> None:
    """Return when the names in a directory are on the disk."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
