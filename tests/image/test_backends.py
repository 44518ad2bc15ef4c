"""What every back end for images must show: a folder, this cloud's own object store, and others' over HTTP."""

import json
import time

import pytest

from pileus.image.backend import BackendError, ContentMissing
from pileus.image.backends.file import FileBackend
from pileus.image.backends.http import HttpBackend
from pileus.image.backends.objects import ObjectBackend
from pileus.image.backends.own import OwnAccount
from pileus.image.backends.s3 import S3Backend
from pileus.image.backends.swift import SwiftBackend
from pileus.kernel import ids
from tests.faces.s3.conftest import make_person

PART_BYTES = 70_000
CONTENT = bytes(range(256)) * 800  # three parts, the last one shorter


@pytest.fixture(params=["file", "own", "swift", "keystone", "s3"])
def backend(request, lab, tmp_path):
    if request.param == "file":
        return FileBackend(tmp_path / "images")
    if request.param == "own":
        return ObjectBackend(OwnAccount(lab.cloud), "here", PART_BYTES)
    address = request.getfixturevalue("gateway").address
    if request.param == "s3":
        lab.clock.advance(time.time() - lab.clock.now())  # signatures carry the time
        key = make_person(lab, "pia")
        return S3Backend(f"http://{key.access}:{key.secret}@{address}/s3/pictures?region=RegionOne")
    url = f"http://a%3Ab:s%2Fcret@{address}/" + ("auth/v1.0" if request.param == "swift" else "identity/v3?project=p&region=Y")
    made = SwiftBackend(url)
    made._part_bytes = PART_BYTES
    return made


@pytest.fixture
def put(tmp_path):
    """Put content into a back end under the URL of a new image."""
    source = tmp_path / "source"

    def put_content(backend, content: bytes = CONTENT, url: str = "") -> str:
        url = url or backend.url(ids.uuid(), ids.uuid())
        source.unlink(missing_ok=True)
        source.write_bytes(content)
        backend.put(url, source)
        return url

    return put_content


@pytest.mark.parametrize("content", [b"", b"x", CONTENT[:PART_BYTES], CONTENT], ids=["none", "one", "part", "parts"])
def test_what_is_put_is_there(backend, put, content):
    url = put(backend, content)
    assert b"".join(backend.read(url)) == content
    assert backend.size_bytes(url) == len(content)
    path = backend.local_path(url)
    assert path is None or path.read_bytes() == content


def test_putting_again_is_putting_once(backend, put):
    url = put(backend)
    assert put(backend, CONTENT, url) == url
    assert b"".join(backend.read(url)) == CONTENT


@pytest.mark.parametrize(("start", "length"), [(0, 1), (5, 10), (PART_BYTES - 2, 4), (len(CONTENT) - 3, None), (7, 0)])
def test_parts_are_read(backend, put, start, length):
    url = put(backend)
    end = None if length is None else start + length
    assert b"".join(backend.read(url, start, length)) == CONTENT[start:end]


def test_what_is_removed_is_gone(backend, put):
    url, other = put(backend), put(backend, b"other")
    for _ in range(2):
        backend.remove(url)
        with pytest.raises(ContentMissing):
            b"".join(backend.read(url))
        with pytest.raises(ContentMissing):
            backend.size_bytes(url)
    assert b"".join(backend.read(other)) == b"other"


def test_nothing_is_left_of_the_parts(lab, put):
    account = OwnAccount(lab.cloud)
    backend = ObjectBackend(account, "here", PART_BYTES)
    url = put(backend)
    assert len(account.list("here", "")) == 4
    backend.remove(url)
    assert account.list("here", "") == []


def test_properties_hold_no_secret(backend):
    assert "s/cret" not in json.dumps(dict(backend.properties()))


def test_a_token_that_ran_out_is_replaced(gateway, put):
    backend = SwiftBackend(f"http://a%3Ab:s%2Fcret@{gateway.address}/auth/v1.0")
    url = put(backend, b"one")
    gateway.refuse_once = True
    assert put(backend, b"two", url) == url
    gateway.refuse_once = True
    assert b"".join(backend.read(url)) == b"two"
    assert gateway.logins == 3


def test_large_content_is_sent_to_s3_in_parts(lab, gateway, put):
    lab.clock.advance(time.time() - lab.clock.now())
    key, part_bytes = make_person(lab, "pia"), 5 << 20  # S3 takes none smaller
    backend = S3Backend(f"http://{key.access}:{key.secret}@{gateway.address}/s3/pictures?region=RegionOne", part_bytes)
    content = bytes(part_bytes) + b"the rest"
    url = put(backend, content)
    assert b"".join(backend.read(url)) == content
    assert b"".join(backend.read(url, part_bytes - 1, 4)) == b"\0the"


@pytest.mark.parametrize("url", ["http://a%3Ab:wrong@{}/auth/v1.0", "http://x:y@127.0.0.1:1/auth/v1.0"])
def test_who_is_not_let_in_is_told(gateway, put, url):
    with pytest.raises(BackendError):
        put(SwiftBackend(url.format(gateway.address)), b"x")


def test_a_wrong_signature_is_refused(lab, gateway, put):
    lab.clock.advance(time.time() - lab.clock.now())
    access = make_person(lab, "pia").access
    with pytest.raises(BackendError, match=r"403|401"):
        put(S3Backend(f"http://{access}:wrong@{gateway.address}/s3/pictures?region=RegionOne"), b"x")


@pytest.mark.parametrize("url", ["", "swift", "http://host/auth/v1.0", "ftp://u:p@host/auth/v1.0"])
def test_urls_that_are_none(url):
    with pytest.raises(BackendError):
        SwiftBackend(url)
    with pytest.raises(BackendError):
        S3Backend(url)


def test_the_web_is_read_only(tmp_path):
    backend = HttpBackend("")
    assert backend.read_only
    with pytest.raises(BackendError):
        backend.put("http://example.org/x", tmp_path)
    with pytest.raises(BackendError):
        b"".join(backend.read("http://127.0.0.1/x"))
    with pytest.raises(BackendError):
        backend.size_bytes("http://169.254.169.254/x")
    backend.remove("http://example.org/x")
