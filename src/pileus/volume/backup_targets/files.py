"""Backups in a directory, such as one on another disk or on a mounted share: DIRECTORY/CONTAINER/NAME."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from pileus.kernel import ids
from pileus.volume.backup_target import ObjectMissing, TargetError, TargetFull, check_name

SERVICE = "cinder.backup.drivers.pileus.files"
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
PART = ".part-"


class FileTarget:
    """Fulfils `BackupTarget`."""

    service = SERVICE

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, container: str, name: str, data: bytes) -> None:
        path = self._path(container, name)
        part = path.with_name(f"{PART}{ids.hex_id()}")
        try:
            _make_directories(path.parent)
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
            _sync_directory(path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            kind = TargetFull if error.errno in NO_ROOM else TargetError
            raise kind(f"{name} could not be written: {error.strerror or error}") from error

    def get(self, container: str, name: str) -> bytes:
        try:
            return self._path(container, name).read_bytes()
        except NOT_THERE:
            raise ObjectMissing(f"There is no object {name} in {container}.") from None
        except OSError as error:
            raise TargetError(f"{name} could not be read: {error.strerror or error}") from error

    def delete(self, container: str, name: str) -> None:
        path = self._path(container, name)
        try:
            path.unlink(missing_ok=True)
        except NOT_THERE:
            return
        except OSError as error:
            raise TargetError(f"{name} could not be deleted: {error.strerror or error}") from error
        for parent in list(path.parents)[: name.count("/")]:
            try:
                for left in parent.glob(PART + "*"):
                    left.unlink(missing_ok=True)
                parent.rmdir()
            except OSError:
                return  # others are still in there

    def list(self, container: str, prefix: str) -> Iterator[str]:
        root = self._path(container, prefix)
        try:
            entries = sorted(os.scandir(root), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise TargetError(f"{prefix} could not be listed: {error.strerror or error}") from error
        for entry in entries:
            if entry.name.startswith(PART):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self.list(container, f"{prefix}/{entry.name}")
            else:
                yield f"{prefix}/{entry.name}"

    def _path(self, container: str, name: str) -> Path:
        return self._directory / ("c-" + quote(container, safe="")) / check_name(name)


def _make_directories(path: Path) -> None:
    """Make a directory and those above it, for nobody else to read."""
    if path.is_dir():
        return
    _make_directories(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
