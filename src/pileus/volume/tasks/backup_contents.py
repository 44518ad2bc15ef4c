"""Carrying content between volumes and backup targets, an index (1 GiB) at a time.

Nothing here changes a row.  Everything may be repeated: the same content gives the same objects under the same names.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

from pileus.volume import backup_format as form
from pileus.volume.backup_format import CHUNK_BYTES, CHUNKS, SEGMENT_BYTES, SEGMENTS, ZERO, Entries, Link, Manifest, Segment
from pileus.volume.backup_target import BackupTarget, ObjectMissing
from pileus.volume.driver import Content, VolumeDriverError

THREADS = 2
ZEROES = bytes(CHUNK_BYTES)


@dataclass(frozen=True)
class Progress:
    """How far a copy has come: the next index, the digest over those before it, and how many objects were stored."""

    index: int = 0
    digest: str = ""
    objects: int = 0


@dataclass(frozen=True)
class Whole:
    """A backup that is there: where it is, and what its manifest says."""

    target: BackupTarget
    link: Link
    manifest: Manifest

    def entries(self, number: int) -> tuple[Entries, bytes]:
        """Return an index, read and as it lies there.

        :raises Damaged: when it is none.
        :raises TargetError: when it cannot be had.
        """
        name = form.index_name(self.link.location, number)
        data = fetch(self.target, self.link.container, name)
        count = form.chunk_count(self.manifest.size_bytes, number)
        return form.decode_index(data, number, count, len(self.manifest.chain), name), data

    def segment(self, source: int, number: int) -> Segment:
        """Return the segment that a backup of the chain stored.

        :raises Damaged: when it is none.
        :raises TargetError: when it cannot be had.
        """
        link = self.manifest.chain[source]
        name = form.segment_name(link.location, number)
        return Segment(fetch(self.target, link.container, name), number, name)


def fetch(target: BackupTarget, container: str, name: str) -> bytes:
    """Return an object of a backup.

    :raises Damaged: when it is not there.
    :raises TargetError: when the target cannot.
    """
    try:
        return target.get(container, name)
    except ObjectMissing:
        raise form.Damaged(f"{name} is missing in {container}.") from None


def open_backup(target: BackupTarget, link: Link, digest: str) -> Whole:
    """Read a backup's manifest.

    :raises Damaged: when it is missing, or not the one of that digest.
    :raises TargetError: when the target cannot.
    """
    name = form.manifest_name(link.location)
    return Whole(target, link, form.decode_manifest(fetch(target, link.container, name), digest, name))


# ---- from a volume to a target


@dataclass(frozen=True)
class Storing:
    """A backup that is being made.  parent: what it is the difference to; chain: of that, and at its end this one."""

    target: BackupTarget
    content: Content
    chain: tuple[Link, ...]
    parent: Whole | None = None

    @property
    def link(self) -> Link:
        """Where its own objects go."""
        return self.chain[-1]


def store(storing: Storing, done: Progress) -> Iterator[Progress]:
    """Store what comes after `done`, and yield how far it is after each index.

    :raises VolumeDriverError: when the volume cannot be read.
    :raises TargetError: when the target cannot.
    :raises Damaged: when the parent cannot be compared with.
    """
    size_bytes = storing.content.size_bytes
    first = done.index * SEGMENTS * CHUNKS
    full = (number for number in form.full_chunks(storing.content.extents()) if number >= first)
    waiting = next(full, None)
    with ThreadPoolExecutor(THREADS) as pool:
        for index in range(done.index, form.index_count(size_bytes)):
            end = (index + 1) * SEGMENTS * CHUNKS
            numbers = set()
            while waiting is not None and waiting < end:
                numbers.add(waiting)
                waiting = next(full, None)
            data, stored = _store_index(storing, index, numbers, pool)
            done = Progress(index + 1, form.running(done.digest, data), done.objects + stored + 1)
            yield done


def _store_index(storing: Storing, number: int, full: set[int], pool: ThreadPoolExecutor) -> tuple[bytes, int]:
    """Store one index and its segments; returns it, and how many segments were stored."""
    size_bytes, own = storing.content.size_bytes, len(storing.chain) - 1
    count = form.chunk_count(size_bytes, number)
    before = _parents_entries(storing, number, count)
    entries: Entries = [form.NOTHING] * count
    first, stored = number * SEGMENTS * CHUNKS, 0
    for start in range(0, count, CHUNKS):
        wanted = [place for place in range(start, min(start + CHUNKS, count)) if first + place in full]
        read = {place: _read(storing.content, first + place, size_bytes) for place in wanted}
        digests = dict(zip(read, pool.map(_digest, read.values()), strict=True))
        kept: dict[int, bytes] = {}
        for place, digest in digests.items():
            if digest is None:
                continue
            if before[place][0] != ZERO and before[place][1] == digest:
                entries[place] = before[place]
            else:
                entries[place] = (own, digest)
                kept[place - start] = read[place]
        if kept:
            segment = number * SEGMENTS + start // CHUNKS
            data = form.encode_segment(segment, kept, pool.map)
            storing.target.put(storing.link.container, form.segment_name(storing.link.location, segment), data)
            stored += 1
    index = form.encode_index(number, entries)
    storing.target.put(storing.link.container, form.index_name(storing.link.location, number), index)
    return index, stored


def _parents_entries(storing: Storing, number: int, count: int) -> Entries:
    """Return the entries of the parent for an index; a volume that grew since has nothing there."""
    found: Entries = []
    if storing.parent is not None and number < storing.parent.manifest.indexes:
        found, _ = storing.parent.entries(number)
    return (found + [form.NOTHING] * (count - len(found)))[:count]


def _read(content: Content, chunk: int, size_bytes: int) -> bytes:
    offset = chunk * CHUNK_BYTES
    length = min(CHUNK_BYTES, size_bytes - offset)
    data = content.read(offset, length)
    if len(data) != length:
        raise VolumeDriverError(f"The volume gave {len(data)} bytes at {offset} instead of {length}.")
    return data


def _digest(data: bytes) -> bytes | None:
    """Return the digest of a chunk; None for one of zeroes."""
    return None if data == ZEROES[: len(data)] else form.digest_of(data)


def seal(target: BackupTarget, manifest: Manifest) -> str:
    """Write the manifest of a backup that was stored; returns its digest.  :raises TargetError: when the target cannot."""
    data, link = form.encode_manifest(manifest), manifest.chain[-1]
    target.put(link.container, form.manifest_name(link.location), data)
    return form.digest_of(data).hex()


# ---- from a target to a volume

Put = Callable[[int, bytes | None, int], None]
"""Takes a stretch of content: its offset, its bytes (None: zeroes), its length."""


def walk(whole: Whole, done: Progress, put: Put) -> Iterator[Progress]:
    """Read and check what comes after `done`, hand it on, and yield how far it is after each index.

    :raises Damaged: when something is missing or not what was stored; what came before was whole.
    :raises TargetError: when the target cannot.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        for index in range(done.index, whole.manifest.indexes):
            entries, data = whole.entries(index)
            done = Progress(index + 1, form.running(done.digest, data), done.objects)
            if index + 1 == whole.manifest.indexes and done.digest != whole.manifest.digest:
                raise form.Damaged(f"An index of {whole.link.location} is not the one that was stored.")
            for number, part in form.segments_of(entries, index):
                _walk_segment(whole, number, list(part), put, pool)
            yield done


def _walk_segment(whole: Whole, number: int, entries: Entries, put: Put, pool: ThreadPoolExecutor) -> None:
    size_bytes = whole.manifest.size_bytes
    base = number * SEGMENT_BYTES
    segments = {source: whole.segment(source, number) for source in sorted({source for source, _ in entries} - {ZERO})}

    def chunk(place: int) -> bytes:
        source, digest = entries[place]
        data = segments[source].chunk(place, digest)
        if len(data) != min(CHUNK_BYTES, size_bytes - base - place * CHUNK_BYTES):
            raise form.Damaged(
                f"{form.segment_name(whole.manifest.chain[source].location, number)} has a chunk of a wrong length."
            )
        return data

    for empty, places in groupby(range(len(entries)), lambda place: entries[place][0] == ZERO):
        run = list(places)
        if empty:
            start = base + run[0] * CHUNK_BYTES
            put(start, None, min(len(run) * CHUNK_BYTES, size_bytes - start))
            continue
        for place, data in zip(run, pool.map(chunk, run), strict=True):
            put(base + place * CHUNK_BYTES, data, len(data))


def writer(content: Content, *, empty: bool) -> Put:
    """Return what writes stretches to a volume; empty: it has nothing but zeroes yet, which need not be written."""

    def put(offset: int, data: bytes | None, length: int) -> None:
        if data is not None:
            content.write(offset, data)
        elif not empty:
            content.zero(offset, length)

    return put


def nowhere(offset: int, data: bytes | None, length: int) -> None:
    """Take a stretch and do nothing with it: for checking a backup."""
