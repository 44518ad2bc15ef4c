"""The checksums that S3 knows beside MD5: of bytes as they pass, and of a whole out of those of its parts."""

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from awscrt import checksums as native

ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
LENGTHS = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}
HEADER = "x-amz-checksum-"
WHOLE, COMPOSITE = "FULL_OBJECT", "COMPOSITE"
POLYNOMIALS = {"CRC32": (0xEDB88320, 32), "CRC32C": (0x82F63B78, 32), "CRC64NVME": (0x9A6C9329AC4BC9B5, 64)}


class Digest(Protocol):
    """A checksum that is being made."""

    def update(self, data: bytes, /) -> None:
        """Take bytes."""

    def digest(self) -> bytes:
        """Return it."""


@dataclass
class _Crc:
    step: Callable[[bytes, int], int]
    byte_count: int
    value: int = 0

    def update(self, data: bytes, /) -> None:
        self.value = self.step(data, self.value)

    def digest(self) -> bytes:
        return self.value.to_bytes(self.byte_count, "big")


def new(algorithm: str) -> Digest:
    """Begin a checksum."""
    match algorithm:
        case "CRC32":
            return _Crc(zlib.crc32, 4)
        case "CRC32C":
            return _Crc(native.crc32c, 4)
        case "CRC64NVME":
            return _Crc(native.crc64nvme, 8)
        case "SHA1":
            return hashlib.sha1(usedforsecurity=False)
    return hashlib.sha256()


def encode(digest: bytes) -> str:
    """Return a checksum as headers have it."""
    return base64.b64encode(digest).decode()


def decode(algorithm: str, text: str) -> bytes | None:
    """Return the checksum in a header; None when it is none."""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if len(found) == LENGTHS[algorithm] and encode(found) == text else None


def composite(algorithm: str, parts: Iterable[str]) -> str:
    """Return the checksum of the checksums of parts, with their number."""
    digest, count = new(algorithm), 0
    for count, part in enumerate(parts, 1):  # noqa: B007
        digest.update(base64.b64decode(part))
    return f"{encode(digest.digest())}-{count}"


def combined(algorithm: str, parts: Iterable[tuple[str, int]]) -> str:
    """Return the CRC of a whole out of those of its parts and their lengths in bytes."""
    polynomial, width = POLYNOMIALS[algorithm]
    total = 0
    for text, size_bytes in parts:
        crc = int.from_bytes(base64.b64decode(text), "big")
        total = _shift(total, size_bytes, polynomial, width) ^ crc
    return encode(total.to_bytes(width // 8, "big"))


def _times(matrix: list[int], vector: int) -> int:
    found, place = 0, 0
    while vector:
        if vector & 1:
            found ^= matrix[place]
        vector >>= 1
        place += 1
    return found


def _shift(crc: int, size_bytes: int, polynomial: int, width: int) -> int:
    """Return a CRC as if as many zero bytes had followed: multiplied by x^(8 n) modulo the polynomial."""
    matrix = [polynomial, *(1 << place for place in range(width - 1))]
    bits = size_bytes * 8
    while bits:
        if bits & 1:
            crc = _times(matrix, crc)
        bits >>= 1
        if bits:
            matrix = [_times(matrix, row) for row in matrix]
    return crc
