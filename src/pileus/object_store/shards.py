"""Lists a big container through its shards, as if it were one."""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from msgspec.structs import replace

from pileus.object_store.indexes import ContainerAnswer, Listing, ObjectEntry, ShardRange, Subdir
from pileus.object_store.request import Refused

Ask = Callable[[str, str, Listing], Awaitable[ContainerAnswer]]
LAST = "\U0010ffff"
NEXT = "\x00"
"""What makes of a name the next one after it."""


async def collect(ask: Ask, ranges: Sequence[ShardRange], listing: Listing) -> list[ObjectEntry | Subdir]:
    """Return the names of a listing; ask lists one shard.  :raises Refused: 503 when a shard is not to be had."""
    entries: list[ObjectEntry | Subdir] = []
    marker = _past_folder(listing, listing.marker)
    for one in sorted(ranges, key=lambda one: one.lower, reverse=listing.reverse):
        part = _part(replace(listing, marker=marker, limit=listing.limit - len(entries)), one)
        if part is None:
            continue
        answer = await ask(one.account, one.container, part)
        if answer.status != HTTPStatus.OK:
            raise Refused(503)
        entries += answer.entries
        if len(entries) >= listing.limit:
            break
        if answer.entries:
            last = answer.entries[-1]
            marker = _past_folder(listing, last.name) if isinstance(last, Subdir) else last.name
    return entries


def _past_folder(listing: Listing, marker: str) -> str:
    """Return a marker behind all of the folder that a marker names, if it names one: it may go on in the next shard."""
    folder = (
        listing.delimiter and listing.path is None and marker.startswith(listing.prefix) and marker.endswith(listing.delimiter)
    )
    return marker + LAST if folder and len(marker) > len(listing.prefix) and not listing.reverse else marker


def _part(listing: Listing, one: ShardRange) -> Listing | None:
    """Return what of a listing lies in a range; None when nothing does."""
    lower, upper = (listing.end_marker, listing.marker) if listing.reverse else (listing.marker, listing.end_marker)
    beyond = one.upper + NEXT if one.upper else ""
    low = max(lower, one.lower)
    high = min(upper or beyond, beyond or upper)
    start = listing.prefix if listing.path is None else listing.path.rstrip("/")
    if (high and low >= high) or (beyond and start and one.upper < start) or (start and one.lower > start + LAST):
        return None
    marker, end_marker = (high, low) if listing.reverse else (low, high)
    return replace(listing, marker=marker, end_marker=end_marker)
