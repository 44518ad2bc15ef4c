"""How the content of a volume lies in a backup: a manifest, indexes, and segments that hold chunks.

    chunk     256 KiB of the volume, known by its SHA-256; zeroes are not stored
    segment   64 chunks (16 MiB); its object holds those of them that this backup stored, compressed
    index     64 segments (1 GiB); for every chunk its digest, and which backup of the chain stored it
    manifest  JSON: the sizes, the chain of backups from the full one to this one, what the volume was, and a digest that
              runs over all indexes

An incremental backup stores the chunks whose digests are not those of its parent's index, and its own index names the
others where they lie, so that restoring reads each chunk once, however long the chain.  From the digest of the manifest, kept
in the database, everything is checked: manifest -> indexes -> chunks.  What is read may have been damaged or forged, and is
never believed before that.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

CHUNK_BYTES = 256 * 1024
CHUNKS = 64
SEGMENTS = 64
SEGMENT_BYTES = CHUNK_BYTES * CHUNKS
INDEX_BYTES = SEGMENT_BYTES * SEGMENTS

FORMAT = "pileus-backup-1"
INDEX_MAGIC, SEGMENT_MAGIC = b"PLSBIX1\n", b"PLSBSG1\n"
ZERO = 0xFFFF
CHAIN_MAX = 0xFFF0
DIGEST_BYTES = 32
ENTRY = struct.Struct(">H32s")
HEAD = struct.Struct(">8sI")
PART = struct.Struct(">HBI")
LEVEL = 1
SAMPLE_BYTES, SAMPLE_STEP_BYTES = 2048, 32 * 1024

Entry = tuple[int, bytes]
"""Where a chunk lies: the number of the backup in the chain (ZERO: nowhere, it is zeroes) and its digest."""
Entries = list[Entry]

NOTHING: Entry = (ZERO, bytes(DIGEST_BYTES))


class Damaged(Exception):
    """What was read is not what was written.  The message says which object it is."""


class Link(msgspec.Struct, frozen=True):
    """Where a backup of the chain keeps its objects."""

    container: str
    location: str


class Manifest(msgspec.Struct, frozen=True):
    """What a backup is.  `volume` is what was known of the volume."""

    size_bytes: int
    size_gib: int
    digest: str
    chain: tuple[Link, ...]
    object_count: int
    volume: dict[str, Any]
    format: str = FORMAT
    chunk_bytes: int = CHUNK_BYTES
    chunks: int = CHUNKS
    segments: int = SEGMENTS

    @property
    def indexes(self) -> int:
        """How many indexes it has."""
        return index_count(self.size_bytes)


def index_count(size_bytes: int) -> int:
    """Return how many indexes cover a volume."""
    return -(-size_bytes // INDEX_BYTES)


def chunk_count(size_bytes: int, number: int) -> int:
    """Return how many chunks an index of a volume covers."""
    return -(-min(size_bytes - number * INDEX_BYTES, INDEX_BYTES) // CHUNK_BYTES)


def index_name(location: str, number: int) -> str:
    """Return the name of an index."""
    return f"{location}/index-{number:08d}"


def segment_name(location: str, number: int) -> str:
    """Return the name of a segment, counted through the whole volume."""
    return f"{location}/segment-{number:010d}"


def manifest_name(location: str) -> str:
    """Return the name of the manifest."""
    return f"{location}/manifest"


def digest_of(data: bytes) -> bytes:
    """Return the digest of a chunk, or of anything else."""
    return hashlib.sha256(data).digest()


def running(before: str, index: bytes) -> str:
    """Return the digest that runs over all indexes, after one more ("" before the first)."""
    return hashlib.sha256(before.encode() + index).hexdigest()


# ---- manifest


def encode_manifest(manifest: Manifest) -> bytes:
    """Write a manifest."""
    return msgspec.json.encode(manifest)


def decode_manifest(data: bytes, digest: str, name: str) -> Manifest:
    """Read a manifest.  :raises Damaged: when its digest is another, or this version cannot read it."""
    if hashlib.sha256(data).hexdigest() != digest:
        raise Damaged(f"{name} is damaged: its checksum is not that of the backup.")
    try:
        found = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise Damaged(f"{name} cannot be read: {error}") from error
    if (found.format, found.chunk_bytes, found.chunks, found.segments) != (FORMAT, CHUNK_BYTES, CHUNKS, SEGMENTS):
        raise Damaged(f"{name} is of a format that is not known here: {found.format}.")
    if not found.chain or len(found.chain) > CHAIN_MAX or found.size_bytes < 0:
        raise Damaged(f"{name} makes no sense.")
    return found


# ---- indexes


def encode_index(number: int, entries: Sequence[Entry]) -> bytes:
    """Write an index."""
    return HEAD.pack(INDEX_MAGIC, number) + b"".join(ENTRY.pack(*entry) for entry in entries)


def decode_index(data: bytes, number: int, count: int, chain_length: int, name: str) -> Entries:
    """Read an index of so many chunks.  :raises Damaged: when it is none of them."""
    if len(data) != HEAD.size + count * ENTRY.size or HEAD.unpack_from(data) != (INDEX_MAGIC, number):
        raise Damaged(f"{name} is damaged: it is no index of {count} chunks.")
    entries = list(ENTRY.iter_unpack(data[HEAD.size :]))
    if any(source != ZERO and source >= chain_length for source, _ in entries):
        raise Damaged(f"{name} is damaged: it names a backup that is not of the chain.")
    return entries


# ---- segments


def encode_segment(number: int, chunks: Mapping[int, bytes], each: Callable[..., Iterable[bytes]] = map) -> bytes:
    """Write a segment: its number, and chunks by their number in it; each is compressed if that makes it smaller.

    :param each: like `map`, may work at several chunks at once.
    """
    heads, bodies = [], []
    for (chunk, data), body in zip(chunks.items(), each(_pack, chunks.values()), strict=True):
        heads.append(PART.pack(chunk, len(body) < len(data), len(body)))
        bodies.append(body)
    whole = b"".join([HEAD.pack(SEGMENT_MAGIC, number), len(heads).to_bytes(2, "big"), *heads, *bodies])
    return whole + digest_of(whole)


def _pack(data: bytes) -> bytes:
    """Compress a chunk, unless samples show that it is noise (as what is encrypted is): that takes a tenth of the time."""
    samples = b"".join(data[at : at + SAMPLE_BYTES] for at in range(0, len(data), SAMPLE_STEP_BYTES))
    if len(zlib.compress(samples, LEVEL)) >= len(samples):
        return data
    packed = zlib.compress(data, LEVEL)
    return packed if len(packed) < len(data) else data


class Segment:
    """The chunks of a segment's object, taken out one by one."""

    def __init__(self, data: bytes, number: int, name: str) -> None:
        """Read an object.  :raises Damaged: when its checksum is wrong, or it is none."""
        self._data, self._name = data, name
        body = memoryview(data)[:-DIGEST_BYTES]
        if len(data) < HEAD.size + 2 + DIGEST_BYTES or hashlib.sha256(body).digest() != data[-DIGEST_BYTES:]:
            raise Damaged(f"{name} is damaged: its checksum is wrong.")
        if HEAD.unpack_from(data) != (SEGMENT_MAGIC, number):
            raise Damaged(f"{name} is damaged: it is not segment {number}.")
        self._places = dict(self._read_places(len(body)))

    def _read_places(self, end: int) -> Iterator[tuple[int, tuple[bool, int, int]]]:
        count = int.from_bytes(self._data[HEAD.size : HEAD.size + 2], "big")
        start = HEAD.size + 2
        at = start + count * PART.size
        if at > end:
            raise Damaged(f"{self._name} is damaged: it ends too early.")
        for chunk, small, length in PART.iter_unpack(self._data[start:at]):
            if at + length > end:
                raise Damaged(f"{self._name} is damaged: it ends too early.")
            yield chunk, (bool(small), at, length)
            at += length

    def chunk(self, number: int, digest: bytes) -> bytes:
        """Return a chunk.  :raises Damaged: when it is not there, or not the one of that digest."""
        if number not in self._places:
            raise Damaged(f"{self._name} is damaged: chunk {number} is missing.")
        small, at, length = self._places[number]
        data = self._data[at : at + length]
        if small:
            data = self._inflate(data)
        if len(data) > CHUNK_BYTES or digest_of(data) != digest:
            raise Damaged(f"{self._name} is damaged: chunk {number} has another checksum than the index says.")
        return data

    def _inflate(self, data: bytes) -> bytes:
        """Return what was compressed, and never more than a chunk of it."""
        try:
            return zlib.decompressobj().decompress(data, CHUNK_BYTES + 1)
        except zlib.error as error:
            raise Damaged(f"{self._name} is damaged: {error}") from error


# ---- from content to entries


def segments_of(entries: Sequence[Entry], index_number: int) -> Iterator[tuple[int, Sequence[Entry]]]:
    """Go over the segments of an index: each one's number in the whole volume, and its entries."""
    for start in range(0, len(entries), CHUNKS):
        yield index_number * SEGMENTS + start // CHUNKS, entries[start : start + CHUNKS]


def full_chunks(extents: Iterable[tuple[int, int, bool]]) -> Iterator[int]:
    """Go over the numbers of the chunks, in order, that may hold other than zeroes."""
    last = -1
    for offset, length, full in extents:
        if full and length > 0:
            first, end = offset // CHUNK_BYTES, (offset + length - 1) // CHUNK_BYTES
            yield from range(max(first, last + 1), end + 1)
            last = max(last, end)
