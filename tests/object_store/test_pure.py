"""The pure parts: ranges, conditions, access lists, the choice of a form, names of versions, forms."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.object_store import acl, conditions, listing, names, ranges
from pileus.object_store.multipart import Form, FormError
from pileus.object_store.ranges import Span
from pileus.object_store.request import Refused

NUMBERS = st.integers(0, 40)
SPECS = st.lists(st.one_of(st.tuples(NUMBERS, NUMBERS), st.tuples(NUMBERS, st.none()), st.tuples(st.none(), NUMBERS)), min_size=1)


def spell(spec):
    return "bytes=" + ",".join(f"{'' if a is None else a}-{'' if b is None else b}" for a, b in spec)


@given(SPECS, st.integers(0, 30))
def test_ranges_are_those_of_a_slice(spec, size):
    """Each span is what a slice of the content would be; a range that runs backwards voids the header."""
    found = ranges.resolve(spell(spec), size)
    if any(a is not None and b is not None and b < a for a, b in spec):
        assert found is None
        return
    assert found is not None
    content = list(range(size))
    wanted = []
    for first, last in spec:
        start = first if first is not None else max(size - last, 0)
        wanted.append(content[start : None if last is None or first is None else last + 1])
    if found:
        assert [content[span.start : span.end] for span in found] == [part for part in wanted if part] or size == 0
    elif len(spec) == 1 and size:
        assert wanted == [[]]


@given(st.text(max_size=30), st.integers(0, 100))
def test_any_header_is_understood_or_ignored(text, size):
    for header in (text, "bytes=" + text):
        found = ranges.resolve(header, size)
        assert found is None or all(0 <= span.start <= span.end <= size for span in found)


@given(st.lists(st.tuples(NUMBERS, NUMBERS).map(sorted), min_size=2, max_size=5))
def test_the_length_of_an_envelope_is_that_of_its_parts(pairs):
    spans = [Span(start, end + 1) for start, end in pairs]
    body = b""
    for place, span in enumerate(spans):
        body += ranges.part_head("b", "text/x", span, 100, place == 0) + b"x" * span.length
    assert len(body + ranges.tail("b")) == ranges.envelope_length("b", "text/x", spans, 100)


def test_too_many_ranges_cannot_be_satisfied():
    assert ranges.resolve("bytes=" + ",".join(f"{n}-{n}" for n in range(51)), 100) == []
    assert ranges.resolve("bytes=0-9,0-9,0-9,0-9", 100) == []
    assert ranges.resolve("bytes=" + ",".join(f"{n}-{n}" for n in range(20, 0, -2)), 100) == []


def test_dates():
    assert conditions.http_date(0.2) == "Thu, 01 Jan 1970 00:00:01 GMT"
    assert conditions.parse_date("Thu, 01 Jan 1970 00:00:01 GMT") == 1
    assert conditions.parse_date("nonsense") is conditions.parse_date(None) is None
    assert conditions.etags('"a", W/"b",, c') == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("header", "text", "cleaned"),
    [
        ("x-container-read", ".r:*, .rlistings ", ".r:*,.rlistings"),
        ("x-container-read", ".referrer : *.example.com", ".r:.example.com"),
        ("x-container-read", ".ref:- bad.example.com", ".r:-bad.example.com"),
        ("x-container-write", "p:u, role,,", "p:u,role"),
    ],
)
def test_access_lists_are_cleaned(header, text, cleaned):
    assert acl.clean(header, text) == cleaned


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("*/*", "text/plain"),
        ("application/json", "application/json"),
        ("text/plain;q=0.5, application/json", "application/json"),
        ("application/*;q=0.5", "application/json"),
        ("text/xml", "text/xml"),
        ("text/plain;q=0, */*", "application/json"),
        ("image/png", None),
    ],
)
def test_the_choice_of_a_form(accepted, chosen):
    assert listing.best_of(accepted, [kind for kind, _ in listing.OFFERED]) == chosen


@given(st.text(max_size=40))
def test_any_accept_header_is_understood_or_refused(text):
    with suppress(Refused):
        assert listing.best_of(text, ["text/plain"]) in ("text/plain", None)


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",))), st.integers(1, 10**14))
def test_names_of_versions_sort_the_newest_first(name, ticks):
    older, newer = (f"{t // 100_000:010d}.{t % 100_000:05d}" for t in (ticks, ticks + 1))
    assert names.version_object(name, newer) < names.version_object(name, older)
    assert names.parse_version(names.version_object(name, newer)) == (name, newer)


def parts_of(body, size):
    async def pieces():
        for start in range(0, len(body), size):
            yield body[start : start + size]

    async def read():
        form, found = Form(pieces(), "mark"), []
        while (headers := await form.next_part()) is not None:
            found.append((headers.get("x", ""), b"".join([chunk async for chunk in form.chunks()])))
        return found

    return asyncio.run(read())


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.binary(max_size=50)), max_size=4), st.integers(1, 40), st.booleans())
def test_forms_are_read_whatever_the_pieces(parts, size, ended):
    body = b"".join(b"--mark\r\nX: " + name.encode() + b"\r\n\r\n" + data + b"\r\n" for name, data in parts)
    if any(b"\r\n--mark" in b"\r\n" + data for _, data in parts):
        return
    assert parts_of(body + b"--mark--" + (b"\r\n" if ended else b""), size) == parts


@pytest.mark.parametrize(
    "body", [b"", b"nonsense", b"--mark\r\nX: 1", b"--mark\r\nX: 1\r\n\r\ndata", b"--mark\r\n" + b"x" * 40_000]
)
def test_what_is_no_form(body):
    with pytest.raises(FormError):
        parts_of(body, 7)
