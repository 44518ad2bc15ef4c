"""Time as the object store writes it: ticks of ten microseconds, and an offset that orders writes within one tick.

`1700000000.12345` is the normal form, which clients see; `1700000000.12345_000000000000000a` the internal form of one with an
offset.  Both sort as text in the order of time.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

TICKS_PER_SECOND = 100_000
_FORM = re.compile(r"(\d{1,11})(?:\.(\d{1,20}))?(?:_([0-9a-f]{1,16}))?")


class Timestamp(msgspec.Struct, frozen=True, order=True, array_like=True, gc=False):
    """A moment; compares by time, then by offset."""

    ticks: int
    offset: int = 0

    @staticmethod
    def of(seconds: float) -> "Timestamp":
        """Return the moment at epoch seconds."""
        return Timestamp(round(seconds * TICKS_PER_SECOND))

    @staticmethod
    def parse(text: str) -> "Timestamp":
        """Read any form.

        :raises ValueError: when it is none.
        """
        if len(text) == 16 and text[10] == "." and text[:10].isdecimal() and text[11:].isdecimal():
            return Timestamp(int(text[:10]) * TICKS_PER_SECOND + int(text[11:]))
        found = _FORM.fullmatch(text.strip())
        if not found:
            raise ValueError(f"not a timestamp: {text!r}")
        whole, fraction, offset = found.groups()
        ticks = int(whole) * TICKS_PER_SECOND + int((fraction or "0")[:5].ljust(5, "0"))
        return Timestamp(ticks, int(offset, 16) if offset else 0)

    @property
    def normal(self) -> str:
        """The form that clients see: `1700000000.12345`."""
        return f"{self.ticks // TICKS_PER_SECOND:010d}.{self.ticks % TICKS_PER_SECOND:05d}"

    @property
    def internal(self) -> str:
        """The form on disk and between servers, with the offset where there is one."""
        return f"{self.normal}_{self.offset:016x}" if self.offset else self.normal

    @property
    def seconds(self) -> float:
        """Epoch seconds."""
        return self.ticks / TICKS_PER_SECOND

    @property
    def ceiling(self) -> int:
        """Epoch seconds rounded up, as Last-Modified shows them."""
        return -(-self.ticks // TICKS_PER_SECOND)

    @property
    def isoformat(self) -> str:
        """`2026-01-31T12:00:00.123450`, as listings show it."""
        return f"{_iso_second(self.ticks // TICKS_PER_SECOND)}.{self.ticks % TICKS_PER_SECOND * 10:06d}"

    def after(self, other: "Timestamp") -> "Timestamp":
        """Return this moment, or the next one after the other where this is not newer."""
        return self if self > other else Timestamp(other.ticks, other.offset + 1)

    def __bool__(self) -> bool:
        return self.ticks > 0


ZERO = Timestamp(0)


def iso_of(internal: str) -> str:
    """Return what `isoformat` says of a moment in its internal form, without making one."""
    whole, _, rest = internal.partition(".")
    return f"{_iso_second(int(whole))}.{rest[:5]}0"


@lru_cache(maxsize=8192)
def _iso_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
