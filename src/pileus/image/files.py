"""The files of images on this machine that are on their way, under names made of ids only; `backends` keep what has arrived.

    images/uploads/<image id>.<upload id>      being written; whoever writes holds a lock on it
    images/staging/<image id>                  content, staged for an import
    images/cache/<image id>                    content whose store is elsewhere, kept here because it is used here

A file appears under its name only when all of it is on the disk.  The kernel drops the lock with the process that held it, so
that a lock tells an upload that lives from one that died, whatever the clock says.
"""

import fcntl
import hashlib
import os
import queue
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pileus.image.formats import Inspection, Verdict
from pileus.kernel.errors import TooLarge, Unavailable

READ_BYTES = 1 << 20
QUEUE_BLOCKS = 8
SYNC_EVERY_BYTES = 64 << 20
THREADS_MAX = 32
SAFE = re.compile(r"[0-9A-Fa-f-]{36}$")

Block = list[bytes]


@dataclass(frozen=True)
class Digest:
    """What was learned of content while it streamed by."""

    size: int
    md5: str
    sha512: str
    verdict: Verdict


class Workspace:
    """Where the files of images lie that are on their way."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._uploads = folder, folder / "uploads"
        self._staging, self._cache = folder / "staging", folder / "cache"
        self.threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="image")
        """For the blocking halves of streams, so that a slow disk takes no thread from other requests."""

    def prepare(self) -> None:
        """Make the folders."""
        for folder in (self.folder, self._staging, self._cache, self._uploads):
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)

    def staged_path(self, image_id: str) -> Path:
        """Return where an image's staged content is, or will be."""
        return self._staging / safe(image_id)

    def cached_path(self, image_id: str) -> Path:
        """Return where an image's content is cached, or will be."""
        return self._cache / safe(image_id)

    def upload_path(self, image_id: str, upload_id: str) -> Path:
        """Return where an upload is written."""
        return self._uploads / f"{safe(image_id)}.{safe(upload_id)}"

    def work_folder(self, name: str) -> Path:
        """Return a folder on the same file system, for what becomes an image."""
        folder = self._uploads / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Let one at a time, in any process of this machine, bring an image here."""
        with open(self._cache / f".{safe(name)}", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
            Path(lock.name).unlink(missing_ok=True)

    def remove(self, image_id: str) -> None:
        """Remove what is staged and cached of an image; those who read it go on reading."""
        for path in (self.staged_path(image_id), self.cached_path(image_id)):
            path.unlink(missing_ok=True)

    def list_content(self) -> list[str]:
        """Return the ids of the images of which something is staged or cached."""
        return sorted({*_ids_in(self._staging), *_ids_in(self._cache)})

    def list_cached(self) -> list[str]:
        """Return the ids of the images that are cached."""
        return sorted(_ids_in(self._cache))

    def remove_dead_uploads(self) -> None:
        """Remove the files of uploads whose process is gone."""
        if self._uploads.exists():
            for entry in os.scandir(self._uploads):
                if entry.is_file():
                    _remove_unheld(entry.path)

    def is_alive(self, image_id: str, upload_id: str) -> bool:
        """Tell whether someone still writes an upload."""
        path = self.upload_path(image_id, upload_id)
        return _held(path)


def _ids_in(folder: Path) -> set[str]:
    return {entry.name for entry in os.scandir(folder) if SAFE.fullmatch(entry.name)} if folder.exists() else set()


class Sink:
    """Takes a stream of bytes: writes, hashes and inspects it, each in a thread of its own, a few blocks apart at most.

    :param bytes_max: how much is taken.
    """

    def __init__(self, path: Path, inspection: Inspection, bytes_max: int) -> None:
        self.path, self._inspection, self._bytes_max = path, inspection, bytes_max
        self._fd = _open_locked(path)
        self._size = self._unsynced = 0
        self._md5, self._sha512 = hashlib.md5(usedforsecurity=False), hashlib.sha512()
        self._error: BaseException | None = None
        works = [_each(self._md5.update), _each(self._sha512.update), self._write]
        self._queues: list[queue.Queue[Block | None]] = [queue.Queue(QUEUE_BLOCKS) for _ in works]
        pairs = zip(self._queues, works, strict=True)
        self._workers = [threading.Thread(target=self._consume, args=pair, daemon=True, name="image-sink") for pair in pairs]
        for worker in self._workers:
            worker.start()

    def take(self, block: Block) -> None:
        """Take the next bytes; waits while the disk or the hashes are behind.

        :raises TooLarge: when it is more than what is taken, or the disk is full.
        :raises Unavailable: when the disk does not take it.
        """
        self._size += sum(len(part) for part in block)
        if self._size > self._bytes_max:
            raise TooLarge(f"The incoming image is too large: the maximum is {self._bytes_max} bytes.")
        self._require_well()
        for waiting in self._queues:
            waiting.put(block)

    def finish(self) -> Digest:
        """Wait until everything is on the disk; the file stays locked and unpublished.

        :raises WrongFormat: when the content is not what its record says.
        """
        self._join()
        self._require_well()
        os.fsync(self._fd)
        return Digest(self._size, self._md5.hexdigest(), self._sha512.hexdigest(), self._inspection.finish())

    def publish(self, target: Path) -> None:
        """Give the file a second name; the first and the lock stay until it is discarded."""
        target.unlink(missing_ok=True)
        os.link(self.path, target)
        sync_folder(target.parent)

    def discard(self) -> None:
        """Let go of the file, of which nothing is left unless it was published; may be called at any time, and twice."""
        self._join()
        if self._fd >= 0:
            self.path.unlink(missing_ok=True)
            self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _join(self) -> None:
        if self._workers:
            for waiting in self._queues:
                waiting.put(None)
            for worker in self._workers:
                worker.join()
            self._workers = []

    def _require_well(self) -> None:
        error = self._error
        if error is None:
            return
        if isinstance(error, OSError):
            if error.errno in (28, 122):  # no space, over quota
                raise TooLarge(f"Image storage media is full: {error.strerror}")
            raise Unavailable(f"Insufficient permissions on image storage media: {error.strerror}")
        raise error

    def _consume(self, waiting: "queue.Queue[Block | None]", work: Callable[[Block], None]) -> None:
        while (block := waiting.get()) is not None:
            if self._error is None:
                try:
                    work(block)
                except BaseException as error:
                    self._error = error

    def _write(self, block: Block) -> None:
        total = sum(len(part) for part in block)
        written = os.writev(self._fd, block)
        if written < total:
            rest = memoryview(b"".join(block))[written:]
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        for part in block:
            self._inspection.feed(part)
        self._unsynced += total
        if self._unsynced >= SYNC_EVERY_BYTES:
            os.fdatasync(self._fd)  # while the hashes go on, so that little is left to wait for at the end
            self._unsynced = 0


def digest(path: Path, inspection: Inspection) -> Digest:
    """Hash and inspect a file that is there already."""
    md5, sha512, size = hashlib.md5(usedforsecurity=False), hashlib.sha512(), 0
    with open(path, "rb") as source, ThreadPoolExecutor(2) as pool:
        while block := source.read(READ_BYTES):
            size += len(block)
            busy = [pool.submit(md5.update, block), pool.submit(sha512.update, block)]
            inspection.feed(block)
            for future in busy:
                future.result()
    return Digest(size, md5.hexdigest(), sha512.hexdigest(), inspection.finish())


def place(source: Path, scratch: Path, target: Path) -> None:
    """Put a file's content under a name without moving it: as a second name, or as a copy where that cannot be."""
    scratch.unlink(missing_ok=True)
    try:
        os.link(source, scratch)
    except OSError:
        shutil.copyfile(source, scratch)
    with open(scratch, "rb") as file:
        os.fsync(file.fileno())
    os.rename(scratch, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _each(update: Callable[[bytes], None]) -> Callable[[Block], None]:
    def work(block: Block) -> None:
        for part in block:
            update(part)

    return work


def safe(name: str) -> str:
    """Return a name that is an id, and so no path.  :raises ValueError: when it is none."""
    if not SAFE.fullmatch(name):
        raise ValueError(f"{name!r} is no id")
    return name


def _open_locked(path: Path) -> int:
    """Make a file and lock it; the one who sweeps may have taken it away between the two, so look again."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if path.exists() and path.stat().st_ino == os.fstat(fd).st_ino:
                return fd
        except OSError:
            os.close(fd)
            raise
        os.close(fd)


def _held(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _remove_unheld(path: str) -> None:
    try:
        with open(path, "rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
    except (FileNotFoundError, BlockingIOError):
        return  # gone, or alive
