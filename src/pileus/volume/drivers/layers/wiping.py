"""Files that nobody needs any more: made unreadable in slices, from the end, and removed.

A slice is cut off once it is wiped, so a wipe that was interrupted goes on where it was.
"""

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path

from pileus.volume.driver import Wipe

SLICE_BYTES = 64 << 20
HOLE_SLICE_BYTES = 4 << 30
BLOCK_BYTES = 1 << 20
KEEP_SIZE, PUNCH_HOLE = 1, 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def wipe(path: Path, how: Wipe, stop: Callable[[], bool] = lambda: False) -> bool:
    """Wipe a file and remove it; False when it was stopped before the end.  A file with a second name is only unlinked.

    :raises OSError: when it cannot be written.
    """
    try:
        with path.open("r+b", buffering=0) as file:
            if how != "none" and os.fstat(file.fileno()).st_nlink == 1 and not _wipe(file.fileno(), how, stop):
                return False
    except FileNotFoundError:
        return True
    path.unlink(missing_ok=True)
    return True


def _wipe(file: int, how: Wipe, stop: Callable[[], bool]) -> bool:
    slice_bytes = HOLE_SLICE_BYTES if how == "punch" else SLICE_BYTES
    size = os.fstat(file).st_size
    while size > 0:
        if stop():
            return False
        start = max(0, (size - 1) // slice_bytes * slice_bytes)
        if how == "punch":
            _punch(file, start, size - start)
        else:
            for content in ("zero",) if how == "zero" else ("random", "random", "zero"):
                _overwrite(file, start, size, content)
                os.fdatasync(file)
        os.ftruncate(file, start)
        size = start
    return True


def _punch(file: int, offset: int, length: int) -> None:
    if _libc.fallocate(file, PUNCH_HOLE | KEEP_SIZE, offset, length) != 0:
        number = ctypes.get_errno()
        if number not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise OSError(number, os.strerror(number))


def _overwrite(file: int, start: int, end: int, content: str) -> None:
    """Overwrite what is not a hole.  Blocks that another file shares need new room; without it they are left to that file."""
    offset = start
    while offset < end:
        try:
            offset = os.lseek(file, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        stop = min(end, os.lseek(file, offset, os.SEEK_HOLE))
        while offset < stop:
            length = min(BLOCK_BYTES, stop - offset)
            try:
                os.pwrite(file, os.urandom(length) if content == "random" else bytes(length), offset)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
            offset += length


def sync(path: Path) -> None:
    """Return when a file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
