"""A file of a device, held open to be read; what is read whole is compared with its MD5 on the way.

A small body is compared before a byte of it is sent: a damaged one is set aside, and not found here.  A bigger one that passes
through this process is compared while it is read: a damaged one breaks off ahead of its last piece, so that its reader knows,
and is set aside.  One that the kernel sends without it is left to the auditor, as reading it here would cost several times
what sending it does; so are ranges.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pileus.kernel.ids import hex_id
from pileus.object_store.backend import ObjectAnswer, ObjectName, Unreachable
from pileus.object_store.storage.disk import Opened, Shelf
from pileus.object_store.storage.hashdir import read_state
from pileus.object_store.storage.layout import Device

INLINE_BYTES_MAX = 65_536
CHUNK_BYTES = 1_048_576
LINGER_SECONDS = 2.0
LENT_BYTES_MIN = 1_048_576
LENT_SECONDS = 60.0
Run = Callable[[Callable[[], Any]], Awaitable[Any]]


@dataclass
class LocalReader:
    """An object held open by its descriptor.

    :param etag: the MD5 of the file; "": not known.
    :param set_aside: called when the bytes are not those that were written.
    """

    answer: ObjectAnswer
    descriptor: int
    run: Run
    etag: str = ""
    set_aside: Callable[[], None] | None = None
    inline: bytes | None = None
    path: str | None = None
    lent: str | None = None

    @property
    def size_bytes(self) -> int:
        """How long the body is."""
        return self.answer.metadata.size_bytes if self.answer.metadata else 0

    async def chunks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Read in pieces.  :raises Unreachable: when bytes are missing, or not those that were written."""
        if self.inline is not None:
            piece = self.inline[start:] if length is None else self.inline[start : start + length]
            if piece:
                yield piece
            return
        metadata = self.answer.metadata
        if metadata is None:
            return
        end = metadata.size_bytes if length is None else min(start + length, metadata.size_bytes)
        whole = start == 0 and end == metadata.size_bytes and self.etag
        md5 = hashlib.md5(usedforsecurity=False) if whole else None

        def read() -> bytes:
            found = os.pread(self.descriptor, min(CHUNK_BYTES, end - start), start)
            if md5 is not None:
                md5.update(found)
            return found

        while start < end:
            piece = await self.run(read)
            if not piece:
                raise Unreachable("the file was cut short")
            start += len(piece)
            if md5 is not None and start == end and md5.hexdigest() != self.etag:
                await self.run(self._damaged)
                raise Unreachable("the bytes have changed")
            yield piece

    def lend(self, device: Device) -> None:
        """Give the file a further name, by which a server may open it late: a descriptor's number may be another's by then.

        So the kernel sends a big body without this process, two to three times as fast.
        """
        path = f"{device.root}/tmp/{hex_id()}"
        try:
            os.makedirs(f"{device.root}/tmp", exist_ok=True)
            os.link(f"/proc/self/fd/{self.descriptor}", path, src_dir_fd=self.descriptor, follow_symlinks=True)
        except OSError:
            return  # it has no name any more, too many of them, or no room for one: then it passes through this process
        self.path = self.lent = path

    def _damaged(self) -> None:
        if self.set_aside is not None:
            self.set_aside()

    async def close(self) -> None:
        """Let go of it; a path that was handed out can still be opened for a moment, as servers open it late."""
        if self.lent is not None:
            lent, self.lent, self.path = self.lent, None, None
            loop = asyncio.get_running_loop()
            loop.call_later(LENT_SECONDS, loop.run_in_executor, None, _forget, lent)
        if self.path is not None and self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            asyncio.get_running_loop().call_later(LINGER_SECONDS, os.close, descriptor)
        self.release()

    def __del__(self) -> None:
        self.release()

    def release(self) -> None:
        """Close the descriptor."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _forget(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def reader_of(opened: Opened, shelf: Shelf, partition: int, name: ObjectName, run: Run) -> LocalReader:
    """Return what reads an opened file: the body itself where it is small, else a path."""

    def set_aside() -> None:
        directory = shelf.directory(partition, name)
        if opened.state is None or read_state(directory).files == opened.state.files:  # else it is another's by now
            shelf.device.quarantine(directory, "objects", shelf.policy)

    etag = opened.record.stored[1] if opened.record else ""
    reader = LocalReader(opened.answer, opened.descriptor, run, etag, set_aside)
    metadata = opened.answer.metadata
    if metadata is None:
        return reader
    if metadata.size_bytes > INLINE_BYTES_MAX:
        reader.path = f"/proc/self/fd/{opened.descriptor}"
        return reader
    reader.inline = os.pread(opened.descriptor, metadata.size_bytes, 0)
    reader.release()
    if etag and hashlib.md5(reader.inline, usedforsecurity=False).hexdigest() != etag:
        set_aside()
        return LocalReader(ObjectAnswer(HTTPStatus.NOT_FOUND), -1, run)
    return reader
