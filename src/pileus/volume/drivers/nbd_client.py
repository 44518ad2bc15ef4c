"""A client of NBD exports: the content of a volume, read and written by this process.

From the NBD protocol's doc/proto.md: fixed newstyle negotiation, structured replies, and base:allocation for where there is
data.  One request at a time.
"""

import contextlib
import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pileus.volume.driver import BackendFull, VolumeDriverError

OPTION_MAGIC, REPLY_MAGIC = b"IHAVEOPT", 0x3E889045565A9
REQUEST, SIMPLE, STRUCTURED = 0x25609513, 0x67446698, 0x668E33EF
OPT_GO, OPT_STRUCTURED, OPT_SET_META = 7, 8, 10
REP_ACK, REP_INFO, REP_META, REP_ERROR = 1, 3, 4, 1 << 31
INFO_EXPORT = 0
READ, WRITE, DISCONNECT, FLUSH, TRIM, WRITE_ZEROES, STATUS = 0, 1, 2, 3, 4, 6, 7
CAN_FLUSH, CAN_TRIM, CAN_WRITE_ZEROES, READ_ONLY = 1 << 2, 1 << 5, 1 << 6, 1 << 1
DONE, DATA, HOLE, BLOCKS, ERROR = 1, 1, 2, 5, 1 << 15
CONTEXT = b"base:allocation"
IS_ZERO = 2
REQUEST_BYTES_MAX = 8 << 20
STRETCH_BYTES_MAX = 1 << 30
TIMEOUT_SECONDS = 60.0
NAMES_MAX = 65536


@dataclass(frozen=True, slots=True)
class _Chunk:
    last: bool
    kind: int
    payload: bytes


class NbdContent:
    """An open export.  Fulfils `Content`; may be used from many threads, which take turns."""

    def __init__(self, path: Path, export: str, *, closed: Callable[[], None] = lambda: None) -> None:
        """Connect to an export on a unix socket.  :raises VolumeDriverError: when that cannot be."""
        self._closed, self._lock, self._open, self._handle = closed, threading.Lock(), True, 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(TIMEOUT_SECONDS)
        try:
            self._socket.connect(str(path))
            self._context = -1
            self.size_bytes, self._flags = self._negotiate(export.encode())
        except (OSError, struct.error) as error:
            self._socket.close()
            raise VolumeDriverError(f"cannot open export {export}: {error}") from error
        except VolumeDriverError:
            self._socket.close()
            raise

    def read(self, offset: int, length: int) -> bytes:
        """Return so many bytes.  :raises VolumeDriverError: when the server cannot."""
        found = bytearray(length)
        for start in range(0, length, REQUEST_BYTES_MAX):
            wanted = min(REQUEST_BYTES_MAX, length - start)
            with self._lock:
                for chunk in self._ask(READ, offset + start, wanted):
                    if chunk.kind == DATA:
                        at = struct.unpack_from(">Q", chunk.payload)[0] - offset
                        found[at : at + len(chunk.payload) - 8] = memoryview(chunk.payload)[8:]
        return bytes(found)

    def write(self, offset: int, data: bytes) -> None:
        """Put bytes in place.

        :raises BackendFull: when there is no room.
        :raises VolumeDriverError: when it is read only, or the server cannot.
        """
        self._require_writable()
        for start in range(0, len(data), REQUEST_BYTES_MAX):
            part = data[start : start + REQUEST_BYTES_MAX]
            self._do(WRITE, offset + start, len(part), part)

    def zero(self, offset: int, length: int) -> None:
        """Make a stretch zeroes, without using room where that can be."""
        self._require_writable()
        while length > 0:
            wanted = min(STRETCH_BYTES_MAX, length)
            if self._flags & CAN_WRITE_ZEROES:
                self._do(WRITE_ZEROES, offset, wanted)
            else:
                wanted = min(wanted, REQUEST_BYTES_MAX)
                self._do(WRITE, offset, wanted, bytes(wanted))
            offset, length = offset + wanted, length - wanted

    def trim(self, offset: int, length: int) -> None:
        """Say that nobody needs a stretch any more."""
        self._require_writable()
        for start in range(offset, offset + length, STRETCH_BYTES_MAX):
            if self._flags & CAN_TRIM:
                self._do(TRIM, start, min(STRETCH_BYTES_MAX, offset + length - start))

    def extents(self) -> Iterator[tuple[int, int, bool]]:
        """Go over offset, length and whether there may be other than zeroes, gaplessly and in order."""
        pending: tuple[int, int, bool] | None = None
        for start, length, full in self._statuses():
            if pending is not None and pending[2] == full:
                pending = (pending[0], pending[1] + length, full)
                continue
            if pending is not None:
                yield pending
            pending = (start, length, full)
        if pending is not None:
            yield pending

    def flush(self) -> None:
        """Return when all that was written is on the disk."""
        if self._flags & CAN_FLUSH and not self._flags & READ_ONLY:
            self._do(FLUSH, 0, 0)

    def close(self) -> None:
        """Let go of it."""
        with self._lock:
            if not self._open:
                return
            self._open = False
            with contextlib.suppress(OSError):
                self._socket.sendall(struct.pack(">IHHQQI", REQUEST, 0, DISCONNECT, 0, 0, 0))
            self._socket.close()
        self._closed()

    def _negotiate(self, export: bytes) -> tuple[int, int]:
        magic, option_magic, flags = struct.unpack(">8s8sH", self._take(18))
        if magic != b"NBDMAGIC" or option_magic != OPTION_MAGIC or not flags & 1:
            raise VolumeDriverError("it is no NBD server of the newstyle")
        self._socket.sendall(struct.pack(">I", 1 | flags & 2))
        self._option(OPT_STRUCTURED, b"")
        query = struct.pack(">I", len(export)) + export + struct.pack(">II", 1, len(CONTEXT)) + CONTEXT
        for kind, payload in self._option(OPT_SET_META, query):
            if kind == REP_META and payload[4:] == CONTEXT:
                self._context = struct.unpack_from(">I", payload)[0]
        for kind, payload in self._option(OPT_GO, struct.pack(">I", len(export)) + export + struct.pack(">H", 0)):
            if kind == REP_INFO and struct.unpack_from(">H", payload)[0] == INFO_EXPORT:
                size_bytes, transmission = struct.unpack_from(">QH", payload, 2)
        return size_bytes, transmission

    def _option(self, option: int, data: bytes) -> list[tuple[int, bytes]]:
        self._socket.sendall(OPTION_MAGIC + struct.pack(">II", option, len(data)) + data)
        found: list[tuple[int, bytes]] = []
        while True:
            magic, _, kind, length = struct.unpack(">QIII", self._take(20))
            if magic != REPLY_MAGIC or length > NAMES_MAX:
                raise VolumeDriverError("the NBD server does not keep to the protocol")
            payload = self._take(length)
            if kind & REP_ERROR:
                raise VolumeDriverError(f"the NBD server refused: {payload.decode(errors='replace') or hex(kind)}")
            if kind == REP_ACK:
                return found
            found.append((kind, payload))

    def _statuses(self) -> Iterator[tuple[int, int, bool]]:
        offset = 0
        while offset < self.size_bytes:
            wanted = min(STRETCH_BYTES_MAX, self.size_bytes - offset)
            if self._context < 0:
                yield offset, wanted, True
                offset += wanted
                continue
            with self._lock:
                chunks = [chunk for chunk in self._ask(STATUS, offset, wanted) if chunk.kind == BLOCKS]
            for told, state in struct.iter_unpack(">II", chunks[0].payload[4:]):
                length = min(told, self.size_bytes - offset)
                yield offset, length, not state & IS_ZERO
                offset += length

    def _require_writable(self) -> None:
        if self._flags & READ_ONLY:
            raise VolumeDriverError("It was opened to be read only.")

    def _do(self, command: int, offset: int, length: int, data: bytes = b"") -> None:
        with self._lock:
            for _ in self._ask(command, offset, length, data):
                pass

    def _ask(self, command: int, offset: int, length: int, data: bytes = b"") -> list[_Chunk]:
        if not self._open:
            raise VolumeDriverError("It is closed.")
        if offset < 0 or offset + length > self.size_bytes:
            raise VolumeDriverError(f"{offset} to {offset + length} is beyond the end at {self.size_bytes}")
        self._handle += 1
        try:
            self._socket.sendall(struct.pack(">IHHQQI", REQUEST, 0, command, self._handle, offset, length))
            self._socket.sendall(data)
            chunks = [self._chunk()]
            while not chunks[-1].last:
                chunks.append(self._chunk())
        except OSError as error:
            raise VolumeDriverError(f"the NBD server does not answer: {error}") from error
        for chunk in chunks:
            if chunk.kind & ERROR:
                number, length = struct.unpack_from(">IH", chunk.payload)
                raise _failure(number, chunk.payload[6 : 6 + length])
        return chunks

    def _chunk(self) -> _Chunk:
        magic = struct.unpack(">I", self._take(4))[0]
        if magic == SIMPLE:
            error, handle = struct.unpack(">IQ", self._take(12))
            self._require_handle(handle)
            return _Chunk(True, ERROR if error else 0, struct.pack(">IH", error, 0))
        if magic != STRUCTURED:
            raise VolumeDriverError("the NBD server does not keep to the protocol")
        flags, kind, handle, length = struct.unpack(">HHQI", self._take(16))
        self._require_handle(handle)
        return _Chunk(bool(flags & DONE), kind, self._take(length))

    def _require_handle(self, handle: int) -> None:
        if handle != self._handle:
            raise VolumeDriverError("the NBD server answered another question")

    def _take(self, length: int) -> bytes:
        found = bytearray(length)
        view = memoryview(found)
        while view:
            got = self._socket.recv_into(view)
            if not got:
                raise ConnectionError("the server has gone")
            view = view[got:]
        return bytes(found)


def _failure(number: int, text: bytes) -> VolumeDriverError:
    words = ": ".join(filter(None, (text.decode(errors="replace"), os.strerror(number))))
    return BackendFull(words) if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else VolumeDriverError(words)
