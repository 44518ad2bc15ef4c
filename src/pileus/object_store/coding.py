"""Erasure coding: a body is cut into segments, each segment into fragments, of which any `data` give it back.

A fragment archive is what one device keeps of an object: its fragment of every segment, one after the other.  Each fragment
begins with a header of 80 bytes that tells its index, its size and the CRC32 of what follows (liberasurecode's form).  The
arithmetic is liberasurecode's, by way of PyECLib.  Pure.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
from pyeclib.ec_iface import VALID_EC_TYPES, ECDriver, ECDriverError

CHECKSUM = "inline_crc32"


class CodingError(ValueError):
    """The parameters make no code, or the fragments no segment."""


class Coding(msgspec.Struct, frozen=True, array_like=True):
    """How a body is cut: the algorithm, fragments with data and with parity, and bytes in a segment."""

    ec_type: str
    data: int
    parity: int
    segment_bytes: int = 1_048_576

    @property
    def fragments(self) -> int:
        """How many fragments a segment has."""
        return self.data + self.parity

    @property
    def quorum(self) -> int:
        """How many fragments must be kept for a write to stand: as many as are needed to read after one more loss."""
        return self.data + int(_driver(self).min_parity_fragments_needed())

    def check(self) -> None:
        """:raises CodingError: when there is no such code."""
        if self.segment_bytes < 1:
            raise CodingError("a segment needs at least one byte")
        if self.ec_type not in VALID_EC_TYPES:
            raise CodingError(f"no erasure code {self.ec_type!r} here; there are {', '.join(sorted(VALID_EC_TYPES))}")
        _driver(self)

    def segment_count(self, size_bytes: int) -> int:
        """Return how many segments a body has."""
        return -(-size_bytes // self.segment_bytes)

    def segment_size(self, size_bytes: int, segment: int) -> int:
        """Return how many bytes of the body a segment holds."""
        return min(self.segment_bytes, size_bytes - segment * self.segment_bytes)

    def fragment_size(self, size_bytes: int, segment: int) -> int:
        """Return how many bytes a fragment of a segment takes."""
        return _fragment_size(self, self.segment_size(size_bytes, segment))

    def archive_bytes(self, size_bytes: int) -> int:
        """Return how many bytes a fragment archive of a body takes."""
        whole, rest = divmod(size_bytes, self.segment_bytes)
        return whole * _fragment_size(self, self.segment_bytes) + (_fragment_size(self, rest) if rest else 0)

    def archive_start(self, segment: int) -> int:
        """Return where in an archive the fragment of a segment begins."""
        return segment * _fragment_size(self, self.segment_bytes)

    def encode(self, segment: bytes) -> list[bytes]:
        """Return the fragments of a segment."""
        found: list[bytes] = _driver(self).encode(segment)
        return found

    def decode(self, fragments: Sequence[bytes]) -> bytes:
        """Return the segment that fragments make.  :raises CodingError: when they are too few, or one is damaged."""
        self._check(fragments)  # decode looks at no checksum when all data fragments are there
        try:
            segment: bytes = _driver(self).decode(list(fragments))
        except ECDriverError as error:
            raise CodingError(str(error)) from error
        return segment

    def rebuild(self, fragments: Sequence[bytes], index: int) -> bytes:
        """Return the fragment of an index.  :raises CodingError: when the others are too few, or one is damaged."""
        self._check(fragments)
        try:
            (fragment,) = _driver(self).reconstruct(list(fragments), [index])
        except ECDriverError as error:
            raise CodingError(str(error)) from error
        return bytes(fragment)

    def _check(self, fragments: Sequence[bytes]) -> None:
        if any(self.is_damaged(fragment) for fragment in fragments):
            raise CodingError("a fragment is damaged")

    def is_damaged(self, fragment: bytes) -> bool:
        """Tell whether a fragment is not what was written."""
        try:
            return bool(_driver(self).get_metadata(fragment, formatted=1)["chksum_mismatch"])
        except (ECDriverError, KeyError, ValueError, TypeError):
            return True


@lru_cache(64)
def _make(ec_type: str, data: int, parity: int) -> ECDriver:
    try:
        return ECDriver(ec_type=ec_type, k=data, m=parity, chksum_type=CHECKSUM)
    except (ECDriverError, ValueError) as error:
        raise CodingError(f"{ec_type} of {data} and {parity}: {error}") from error


def _driver(coding: Coding) -> Any:
    return _make(coding.ec_type, coding.data, coding.parity)


@lru_cache(1024)
def _fragment_size(coding: Coding, segment_size: int) -> int:
    return int(_driver(coding).get_segment_info(segment_size, segment_size)["fragment_size"])
