"""Byte ranges (RFC 7233): what a Range header asks for, and the envelope of several parts.

Pure.  As in Swift a header that cannot be read is as if it were not there, and too many or much overlapping ranges cannot be
satisfied.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

RANGES_MAX, OVERLAPS_MAX, DISORDERS_MAX = 50, 2, 8
ONE = re.compile(r"(\d{0,100})-(\d{0,100})$")


@dataclass(frozen=True)
class Span:
    """Bytes from start up to, not including, end."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.end - self.start


def parse(header: str | None) -> list[tuple[int | None, int | None]] | None:
    """Return the pairs of first and last byte of a Range header; None when there is none that can be read."""
    if not header or not header.startswith("bytes="):
        return None
    found: list[tuple[int | None, int | None]] = []
    for part in header[len("bytes=") :].split(","):
        match = ONE.match(part.strip())
        if not match or not (match[1] or match[2]) or not part.isascii():
            return None
        first = int(match[1]) if match[1] else None
        last = int(match[2]) if match[2] else None
        if first is not None and last is not None and last < first:
            return None
        found.append((first, last))
    return found


def resolve(header: str | None, size_bytes: int) -> list[Span] | None:
    """Return the spans asked for of a content; None: all of it; an empty list: none can be satisfied."""
    asked = parse(header)
    if asked is None:
        return None
    spans: list[Span] = []
    for first, last in asked:
        if first is None:
            assert last is not None
            if last == 0:
                continue
            spans.append(Span(max(size_bytes - last, 0), size_bytes))
        elif first < size_bytes:
            spans.append(Span(first, size_bytes if last is None else min(last + 1, size_bytes)))
    if len(spans) > RANGES_MAX or _overlaps(spans) > OVERLAPS_MAX or _disorders(spans) > DISORDERS_MAX:
        return []
    return [span for span in spans if span.length or not size_bytes]


def _overlaps(spans: list[Span]) -> int:
    ordered = sorted((span.start, span.end) for span in spans)
    return sum(1 for before, after in pairwise(ordered) if after[0] < before[1])


def _disorders(spans: list[Span]) -> int:
    return sum(1 for before, after in pairwise(spans) if after.start < before.start)


def part_head(boundary: str, content_type: str, span: Span, size_bytes: int, first: bool) -> bytes:
    """Return what stands before a part of a multipart/byteranges body."""
    lead = "" if first else "\r\n"
    return (
        f"{lead}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {content_range(span, size_bytes)}\r\n\r\n"
    ).encode()


def tail(boundary: str) -> bytes:
    """Return what stands after the last part."""
    return f"\r\n--{boundary}--".encode()


def content_range(span: Span, size_bytes: int) -> str:
    """Return the Content-Range header of a span."""
    return f"bytes {span.start}-{span.end - 1}/{size_bytes}"


def envelope_length(boundary: str, content_type: str, spans: list[Span], size_bytes: int) -> int:
    """Return the length of a multipart/byteranges body."""
    heads = sum(len(part_head(boundary, content_type, span, size_bytes, i == 0)) for i, span in enumerate(spans))
    return heads + sum(span.length for span in spans) + len(tail(boundary))
