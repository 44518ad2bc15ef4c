"""Files with holes as a stream of bytes: only what is written in them goes over the wire, and a digest says that it came whole.

frame    offset (8 bytes), length (8 bytes), the bytes;  the last one has the file's size, 0, and SHA-256 of all before it
"""

import hashlib
import os
import struct
from collections.abc import Iterator
from typing import IO, Any

TYPE = "application/x-pileus-extents"
CHUNK_BYTES = 1 << 20
HEAD = struct.Struct(">QQ")


class BrokenStream(OSError):
    """What arrived is not what was sent."""


def send(source: IO[bytes], target: Any) -> None:
    """Write a file as a stream."""
    number, size_bytes, digest = source.fileno(), os.fstat(source.fileno()).st_size, hashlib.sha256()
    for offset, length in _written(number, size_bytes):
        for start in range(offset, offset + length, CHUNK_BYTES):
            data = os.pread(number, min(CHUNK_BYTES, offset + length - start), start)
            if not any(data):
                continue  # zeroes that are written out need not be sent either
            frame = HEAD.pack(start, len(data))
            digest.update(frame)
            digest.update(data)
            target.write(frame)
            target.write(data)
    target.write(HEAD.pack(size_bytes, 0) + digest.digest())


def receive(source: Any, target: IO[bytes]) -> None:
    """Read a stream into an empty file, which has holes where nothing is written.  :raises BrokenStream: when it is not whole."""
    digest = hashlib.sha256()
    while True:
        frame = _exactly(source, HEAD.size)
        offset, length = HEAD.unpack(frame)
        if not length:
            break
        if length > CHUNK_BYTES:
            raise BrokenStream("a piece is too large")
        data = _exactly(source, length)
        digest.update(frame)
        digest.update(data)
        target.seek(offset)
        target.write(data)
    if _exactly(source, digest.digest_size) != digest.digest():
        raise BrokenStream("the digest is another")
    target.truncate(offset)


def _exactly(source: Any, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        more = source.read(length - len(data))
        if not more:
            raise BrokenStream("the stream ends too soon")
        data += more
    return bytes(data)


def _written(number: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Go over offset and length of what is written in a file."""
    offset = 0
    while offset < size_bytes:
        try:
            start = os.lseek(number, offset, os.SEEK_DATA)
        except OSError:
            return  # nothing but a hole is left
        offset = os.lseek(number, start, os.SEEK_HOLE)
        yield start, offset - start
