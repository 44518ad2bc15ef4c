"""How names are picked for a listing: prefix, delimiter, path, markers, either way.  Pure; the rows come from a seek function.

Names compare by code point, which is the byte order of UTF-8 and the order of SQLite's BINARY collation.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pileus.object_store.indexes import Listing, Subdir

Row = tuple[Any, ...]
"""A row whose first column is the name."""

LAST = "\U0010ffff"


@dataclass(frozen=True)
class Span:
    """The names from low to high.  high None: no end."""

    low: str = ""
    low_inclusive: bool = True
    high: str | None = None
    high_inclusive: bool = False
    reverse: bool = False
    limit: int = 10_000
    """At most so many rows: one more than can still be listed, as one may be the folder itself."""

    def holds(self, name: str) -> bool:
        """Tell whether a name lies in it."""
        if name < self.low or (name == self.low and not self.low_inclusive):
            return False
        return self.high is None or name < self.high or (name == self.high and self.high_inclusive)


Seek = Callable[[Span], Iterable[Row]]


def successor(prefix: str) -> str | None:
    """Return the least string above all that begin with the prefix; None when there is no such."""
    while prefix:
        last = ord(prefix[-1])
        if last < 0x10FFFF:
            following = 0xE000 if last + 1 == 0xD800 else last + 1
            return prefix[:-1] + chr(following)
        prefix = prefix[:-1]
    return None


def first_span(listing: Listing) -> Span:
    """Return the span in which all names of a listing lie."""
    prefix, _ = shape(listing)
    lower, upper = (listing.end_marker, listing.marker) if listing.reverse else (listing.marker, listing.end_marker)
    low, inclusive = (lower, False) if lower and lower >= prefix else (prefix, True)
    if not listing.allow_reserved and low < "\x01":
        low, inclusive = "\x01", True
    high = successor(prefix)
    if upper and (high is None or upper < high):
        high = upper
    return Span(low, inclusive, high, False, listing.reverse, listing.limit)


def shape(listing: Listing) -> tuple[str, str]:
    """Return the prefix and the delimiter in force."""
    if listing.path is None:
        return listing.prefix, listing.delimiter
    folder = listing.path.rstrip("/")
    return (folder + "/" if folder else ""), "/"


def collect(seek: Seek, listing: Listing) -> list[Row | Subdir]:
    """Return the rows and subdirectories of a listing."""
    prefix, delimiter = shape(listing)
    if listing.limit <= 0:
        return []
    if not delimiter:
        return list(seek(first_span(listing)))
    return list(_walk(seek, listing, prefix, delimiter))


def _walk(seek: Seek, listing: Listing, prefix: str, delimiter: str) -> Iterator[Row | Subdir]:
    """Read names until one lies in a folder; then go on behind the folder."""
    left = listing.limit
    span: Span | None = first_span(listing)
    while span is not None:
        for row in seek(replace(span, limit=left + 1)):
            name = row[0]
            end = name.find(delimiter, len(prefix))
            folder = name[: end + len(delimiter)] if end >= 0 else ""
            if listing.path is not None:
                if name == prefix:
                    continue
                if folder and name != folder:
                    span = _beyond(span, folder, keep_itself=True)
                    break
            elif folder:
                span = _beyond(span, folder, keep_itself=False)
                if folder == listing.marker:
                    break
                yield Subdir(folder)
                left -= 1
                if not left:
                    return
                break
            yield row
            left -= 1
            if not left:
                return
        else:
            return


def _beyond(span: Span, folder: str, keep_itself: bool) -> Span | None:
    """Return what is left of a span past all names in a folder."""
    if span.reverse:
        return Span(span.low, span.low_inclusive, folder, keep_itself, True)
    low = successor(folder)
    return None if low is None else Span(low, True, span.high, span.high_inclusive)
