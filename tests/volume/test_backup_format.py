"""The format of backups, with whatever content and whatever damage."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.volume import backup_format as form
from pileus.volume.backup_format import CHUNK_BYTES, ZERO, Damaged, Segment

CHUNKS = {0: b"a" * CHUNK_BYTES, 3: bytes(range(256)) * 1024, 63: b"short"}
OBJECT = form.encode_segment(7, CHUNKS)
DIGESTS = {number: form.digest_of(data) for number, data in CHUNKS.items()}


def read(data):
    segment = Segment(data, 7, "s")
    return {number: segment.chunk(number, digest) for number, digest in DIGESTS.items()}


def test_what_is_written_is_read():
    assert read(OBJECT) == CHUNKS
    assert len(OBJECT) < 10_000


@given(st.binary(max_size=4096), st.integers(1, 600))
def test_any_chunk(part, times):
    data = (part * times)[:CHUNK_BYTES]
    found = Segment(form.encode_segment(0, {5: data}), 0, "s")
    assert found.chunk(5, form.digest_of(data)) == data


def test_noise_is_kept_as_it_is():
    import os

    data = os.urandom(CHUNK_BYTES)
    assert data in form.encode_segment(0, {0: data})


@settings(max_examples=200)
@given(st.integers(0, len(OBJECT) - 1), st.integers(1, 255))
def test_any_changed_byte_is_found(at, by):
    changed = bytearray(OBJECT)
    changed[at] ^= by
    with pytest.raises(Damaged, match="s is damaged"):
        read(bytes(changed))


@given(st.integers(0, len(OBJECT) - 1))
def test_any_shorter_object_is_found(length):
    with pytest.raises(Damaged):
        read(OBJECT[:length])


@settings(max_examples=200)
@given(st.binary(max_size=2000), st.booleans())
def test_forged_objects_are_found_too(body, head):
    """Who can write the target can also write checksums; the digests of the chunks they cannot."""
    whole = (form.HEAD.pack(form.SEGMENT_MAGIC, 7) if head else b"") + body
    with pytest.raises(Damaged):
        read(whole + form.digest_of(whole))


def test_a_bomb_is_defused():
    import zlib

    bomb = zlib.compress(bytes(1 << 28), 9)
    whole = form.HEAD.pack(form.SEGMENT_MAGIC, 7) + (1).to_bytes(2, "big") + form.PART.pack(0, 1, len(bomb)) + bomb
    with pytest.raises(Damaged):
        Segment(whole + form.digest_of(whole), 7, "s").chunk(0, DIGESTS[0])


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2, ZERO]), st.binary(min_size=32, max_size=32)), max_size=50))
def test_any_index(entries):
    data = form.encode_index(3, entries)
    assert form.decode_index(data, 3, len(entries), 3, "i") == entries
    for number, count, chain in ((4, len(entries), 3), (3, len(entries) + 1, 3)):
        with pytest.raises(Damaged):
            form.decode_index(data, number, count, chain, "i")
    if any(source == 2 for source, _ in entries):
        with pytest.raises(Damaged, match="not of the chain"):
            form.decode_index(data, 3, len(entries), 2, "i")


@given(st.lists(st.tuples(st.integers(1, 3 * CHUNK_BYTES), st.booleans()), max_size=20))
def test_full_chunks_are_those_that_full_extents_touch(lengths):
    extents, offset, touched = [], 0, set()
    for length, full in lengths:
        extents.append((offset, length, full))
        touched |= set(range(offset // CHUNK_BYTES, (offset + length - 1) // CHUNK_BYTES + 1)) if full else set()
        offset += length
    assert list(form.full_chunks(extents)) == sorted(touched)


@pytest.mark.parametrize("size_bytes", [0, 1, CHUNK_BYTES, form.INDEX_BYTES, form.INDEX_BYTES + 1, 5 * form.INDEX_BYTES - 7])
def test_counts_cover_the_volume(size_bytes):
    chunks = sum(form.chunk_count(size_bytes, number) for number in range(form.index_count(size_bytes)))
    assert chunks == -(-size_bytes // CHUNK_BYTES)


def test_manifests():
    made = form.Manifest(5, 1, "d", (form.Link("c", "l"),), 2, {"name": "x"})
    data = form.encode_manifest(made)
    assert form.decode_manifest(data, form.digest_of(data).hex(), "m") == made
    with pytest.raises(Damaged, match="checksum"):
        form.decode_manifest(data + b" ", form.digest_of(data).hex(), "m")
    changes = (
        (b'"format":"pileus-backup-1"', b'"format":"other"'),
        (b'"chunks":64', b'"chunks":63'),
        (b"{", b"["),
        (b'"size_bytes":5', b'"size_bytes":-5'),
    )
    for old, new in changes:
        other = data.replace(old, new, 1)
        with pytest.raises(Damaged):
            form.decode_manifest(other, form.digest_of(other).hex(), "m")
