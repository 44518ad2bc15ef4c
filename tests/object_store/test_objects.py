"""Objects over HTTP: every byte comes back."""

import hashlib
import time
from email.utils import formatdate
from urllib.parse import unquote

import pytest

from tests.object_store.conftest import ACCOUNT, OTHER_ACCOUNT

HELLO = "5d41402abc4b2a76b9719d911017c592"


@pytest.fixture
def box(swift):
    """A client whose container c is there."""
    swift("PUT", "/c")
    return swift


def test_up_and_down(box):
    answer = box("PUT", "/c/o", b"hello", Content_Type="text/x", X_Object_Meta_Color="blau", Content_Disposition="inline")
    assert answer.status_code == 201
    assert (answer.headers["etag"], answer.headers["content-length"]) == (HELLO, "0")
    assert answer.headers["last-modified"]
    for method in ("GET", "HEAD"):
        found = box(method, "/c/o")
        assert found.status_code == 200
        shown = {key: found.headers[key] for key in ("etag", "content-length", "content-type", "accept-ranges")}
        assert shown == {"etag": HELLO, "content-length": "5", "content-type": "text/x", "accept-ranges": "bytes"}
        assert (found.headers["x-object-meta-color"], found.headers["content-disposition"]) == ("blau", "inline")
        assert float(found.headers["x-timestamp"]) > 1_600_000_000
    assert box("GET", "/c/o").content == b"hello"
    assert box("HEAD", "/c/o").content == b""
    assert box("DELETE", "/c/o").status_code == 204
    assert [box(method, "/c/o").status_code for method in ("GET", "HEAD", "POST", "DELETE")] == [404] * 4


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 3_000_001])
def test_bodies_of_all_sizes(box, size):
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    assert box("PUT", "/c/o", body).headers["etag"] == hashlib.md5(body).hexdigest()
    assert box("GET", "/c/o").content == body
    assert box("PUT", "/c/chunked", iter([body[:7], body[7:]])).headers["etag"] == hashlib.md5(body).hexdigest()
    assert box("GET", "/c/chunked").content == body


def test_a_body_of_unknown_length(box):
    def pieces():
        yield b"hel"
        yield b"lo"

    assert box("PUT", "/c/o", pieces()).status_code == 201
    assert box("GET", "/c/o").content == b"hello"
    assert box("GET", "/c?format=json").json()[0]["bytes"] == 5


@pytest.mark.parametrize("name", ["a%2Fb", "dir/", "a//b", "%C3%BC", "a%20b%3F%23", "%2E%2E", "%25", "a" * 1024, "~'(*)", "v1/x"])
def test_names_of_all_kinds(box, name):
    url = f"/object-store/v1/{ACCOUNT}/c/"
    put = box.build_request("PUT", url, content=b"x")
    put.url = put.url.copy_with(raw_path=(url + name).encode())
    assert box.send(put).status_code == 201
    assert box("GET", "/c?format=json").json()[0]["name"] == unquote(name)
    get = box.build_request("GET", url)
    get.url = get.url.copy_with(raw_path=(url + name).encode())
    assert box.send(get).content == b"x"


@pytest.mark.parametrize(
    ("path", "headers", "status", "text"),
    [
        ("/c/" + "n" * 1025, {}, 400, "Object name length of 1025 longer than 1024"),
        ("/nowhere/o", {}, 404, ""),
        ("/c/o", {"ETag": "0" * 32}, 422, "Unprocessable Entity"),
        ("/c/o", {"ETag": f'"{HELLO}"'}, 201, ""),
        ("/c/o", {"X-Delete-After": "x"}, 400, "Non-integer X-Delete-After"),
        ("/c/o", {"X-Delete-At": "x"}, 400, "Non-integer X-Delete-At"),
        ("/c/o", {"X-Delete-After": "-1"}, 400, "X-Delete-After in past"),
        ("/c/o", {"X-Delete-At": "1"}, 400, "X-Delete-At in past"),
        ("/c/o", {"X-Object-Manifest": "no-slash"}, 400, "X-Object-Manifest must be in the format container/prefix"),
        ("/c/o", {"X-Object-Meta-": "x"}, 400, "Metadata name cannot be empty"),
        ("/c/o", {"X-Object-Meta-N": "x" * 257}, 400, "Metadata value longer than 256"),
        ("/c/o", {"If-None-Match": "abc"}, 400, "If-None-Match only supports *"),
        ("/c/o", {"X-Copy-From": "/c/p"}, 400, "Copy requests require a zero byte body"),
    ],
)
def test_uploads_that_are_refused_leave_nothing(box, path, headers, status, text):
    answer = box("PUT", path, b"hello", **headers)
    assert (answer.status_code, text in answer.text) == (status, True), answer.text
    assert (box("GET", "/c?format=json").json() == []) == (status != 201)


def test_an_object_that_is_too_large(shop, box):
    shop.limit(object_bytes_max=10)
    assert box("PUT", "/c/o", b"0" * 10).status_code == 201
    assert box("PUT", "/c/p", b"0" * 11).status_code == 413
    assert box("PUT", "/c/p", iter([b"0" * 6, b"0" * 6])).status_code == 413
    assert box("GET", "/c/p").status_code == 404


def test_content_types_are_guessed(box):
    box("PUT", "/c/o.html", b"")
    assert box("HEAD", "/c/o.html").headers["content-type"] == "text/html"
    box("PUT", "/c/o.png", b"", Content_Type="text/x", X_Detect_Content_Type="true")
    assert box("HEAD", "/c/o.png").headers["content-type"] == "image/png"


def test_post_replaces_metadata(box):
    box("PUT", "/c/o", b"hello", X_Object_Meta_A="1", X_Object_Meta_B="2", Content_Encoding="gzip", Content_Type="text/x")
    assert box("POST", "/c/o", X_Object_Meta_B="3").status_code == 202
    headers = box("HEAD", "/c/o").headers
    assert headers["x-object-meta-b"] == "3"
    assert "x-object-meta-a" not in headers
    assert "content-encoding" not in headers
    assert headers["content-type"] == "text/x"
    box("POST", "/c/o", Content_Type="text/y")
    assert box("GET", "/c/o").headers["content-type"] == "text/y"
    assert box("GET", "/c?format=json").json()[0]["content_type"] == "text/y"
    assert box("GET", "/c/o").content == b"hello"
    assert box("POST", "/c/o", X_Object_Meta_A="x" * 257).status_code == 400
    assert box("POST", "/c/nowhere").status_code == 404


def test_conditions(box):
    box("PUT", "/c/o", b"hello")
    past, future = formatdate(0, usegmt=True), formatdate(time.time() + 10**6, usegmt=True)
    for headers, status in (
        ({"If-Match": HELLO}, 200),
        ({"If-Match": f'"x", "{HELLO}"'}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": "x"}, 412),
        ({"If-None-Match": HELLO}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": "x"}, 200),
        ({"If-Modified-Since": past}, 200),
        ({"If-Modified-Since": future}, 304),
        ({"If-Modified-Since": "nonsense"}, 200),
        ({"If-Unmodified-Since": past}, 412),
        ({"If-Unmodified-Since": future}, 200),
    ):
        for method in ("GET", "HEAD"):
            answer = box(method, "/c/o", **headers)
            assert answer.status_code == status, (method, headers)
            assert (answer.content == b"hello") == (status == 200 and method == "GET")
            assert answer.headers["etag"] == HELLO
    assert box("GET", "/c/nowhere", If_Match="*").status_code in (404, 412)


def test_an_upload_that_must_be_the_first(box):
    assert box("PUT", "/c/o", b"1", If_None_Match="*").status_code == 201
    assert box("PUT", "/c/o", b"2", If_None_Match="*").status_code == 412
    assert box("GET", "/c/o").content == b"1"


def test_ranges(box):
    box("PUT", "/c/o", b"0123456789")
    for text, status, content in (
        ("bytes=0-4", 206, b"01234"),
        ("bytes=5-", 206, b"56789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=-30", 206, b"0123456789"),
        ("bytes=8-30", 206, b"89"),
        ("bytes=5-2", 200, b"0123456789"),
        ("bytes=x", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
        ("bytes=0-0,20-", 206, b"0"),
    ):
        answer = box("GET", "/c/o", Range=text)
        assert (answer.status_code, answer.content) == (status, content), text
    beyond = box("GET", "/c/o", Range="bytes=10-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */10")
    assert box("GET", "/c/o", Range="bytes=2-3").headers["content-range"] == "bytes 2-3/10"
    assert box("GET", "/c/o", Range="bytes=0-1", If_Range="other").status_code == 200
    assert box("HEAD", "/c/o", Range="bytes=0-1").headers["content-length"] == "10"


def test_several_ranges(box):
    box("PUT", "/c/o", b"0123456789", Content_Type="text/x")
    answer = box("GET", "/c/o", Range="bytes=0-1,-2")
    kind, _, boundary = answer.headers["content-type"].partition(";boundary=")
    assert kind == "multipart/byteranges"
    parts = answer.content.split(f"--{boundary}".encode())
    assert parts[1].strip() == b"Content-Type: text/x\r\nContent-Range: bytes 0-1/10\r\n\r\n01"
    assert parts[2].strip() == b"Content-Type: text/x\r\nContent-Range: bytes 8-9/10\r\n\r\n89"
    assert parts[3] == b"--"
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert box("GET", "/c/o", Range="bytes=" + ",".join(["0-"] * 60)).status_code == 416


def test_objects_vanish_at_their_time(shop, box):
    at = int(shop.clock.now()) + 100
    box("PUT", "/c/o", b"x", X_Delete_At=str(at))
    box("PUT", "/c/p", b"x", X_Delete_After="50")
    assert box("HEAD", "/c/o").headers["x-delete-at"] == str(at)
    assert "x-delete-after" not in box("HEAD", "/c/p").headers
    shop.clock.advance(60)
    assert [box("GET", path).status_code for path in ("/c/o", "/c/p")] == [200, 404]
    box("POST", "/c/o", X_Object_Meta_A="b")
    assert "x-delete-at" not in box("HEAD", "/c/o").headers
    shop.clock.advance(60)
    assert box("GET", "/c/o").status_code == 200


def test_copies(box):
    box("PUT", "/d")
    box("PUT", "/c/o", b"hello", X_Object_Meta_A="1", X_Object_Meta_B="2", Content_Type="text/x", Content_Encoding="x")
    answer = box("COPY", "/c/o", Destination="d/p", X_Object_Meta_B="3")
    assert (answer.status_code, answer.headers["etag"]) == (201, HELLO)
    assert answer.headers["x-copied-from"] == "c/o"
    assert answer.headers["x-copied-from-account"] == ACCOUNT
    headers = box("GET", "/d/p").headers
    assert [headers[f"x-object-meta-{name}"] for name in "ab"] == ["1", "3"]
    assert (headers["content-type"], headers["content-encoding"]) == ("text/x", "x")
    assert box("PUT", "/d/q", X_Copy_From="/c/o", Content_Length="0").status_code == 201
    assert box("GET", "/d/q").content == b"hello"
    assert (
        box("PUT", "/d/r", X_Copy_From="c/o", X_Fresh_Metadata="true", X_Object_Meta_Z="1", Content_Length="0").status_code == 201
    )
    headers = box("HEAD", "/d/r").headers
    assert "x-object-meta-a" not in headers
    assert headers["x-object-meta-z"] == "1"
    assert box("COPY", "/c/o", Destination="c/o", X_Object_Meta_New="1").status_code == 201
    assert box("GET", "/c/o").headers["x-object-meta-new"] == "1"
    assert box("COPY", "/c/o", Destination="c/part", Range="bytes=1-2").status_code == 201
    assert box("GET", "/c/part").content == b"el"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("COPY", "/c/o", {}, 412),
        ("COPY", "/c/o", {"Destination": "no-slash"}, 412),
        ("COPY", "/c/o", {"Destination": "nowhere/p"}, 404),
        ("COPY", "/c/nowhere", {"Destination": "c/p"}, 404),
        ("PUT", "/c/p", {"X-Copy-From": "c"}, 412),
        ("PUT", "/c/p", {"X-Copy-From": "/c/nowhere"}, 404),
        ("COPY", "/c/o", {"Destination": "c/p", "Destination-Account": "a/b"}, 412),
        ("COPY", "/c/o", {"Destination": "c/p", "Destination-Account": OTHER_ACCOUNT}, 403),
        ("PUT", "/c/p", {"X-Copy-From": "/c/o", "X-Copy-From-Account": OTHER_ACCOUNT}, 403),
    ],
)
def test_copies_that_are_refused(box, method, path, headers, status):
    box("PUT", "/c/o", b"hello")
    assert box(method, path, **headers).status_code == status


def test_copies_between_accounts(shop, box):
    other = shop.client("other", OTHER_ACCOUNT)
    other("PUT", "/theirs", X_Container_Write=f"{'b' * 32}:*", X_Container_Read=f"{'b' * 32}:*")
    box("PUT", "/c/o", b"hello")
    assert box("COPY", "/c/o", Destination="theirs/o", Destination_Account=OTHER_ACCOUNT).status_code == 201
    assert other("GET", "/theirs/o").content == b"hello"
    assert box("PUT", "/c/back", X_Copy_From="theirs/o", X_Copy_From_Account=OTHER_ACCOUNT, Content_Length="0").status_code == 201


def test_deletions_with_conditions(box):
    box("PUT", "/c/o", b"hello")
    assert box("DELETE", "/c/o", If_Match="x").status_code == 412
    assert box("DELETE", "/c/o", X_If_Delete_At="x").status_code == 400
    assert box("DELETE", "/c/o", X_If_Delete_At="17").status_code == 412
    assert box("DELETE", "/c/o", If_Match=HELLO).status_code == 204


def test_links(box):
    box("PUT", "/c/target", b"hello", X_Object_Meta_A="1")
    assert box("PUT", "/c/link", b"", X_Symlink_Target="c/target").status_code == 201
    answer = box("GET", "/c/link")
    assert (answer.content, answer.headers["x-object-meta-a"]) == (b"hello", "1")
    assert answer.headers["content-location"] == f"/v1/{ACCOUNT}/c/target"
    own = box("HEAD", "/c/link?symlink=get")
    assert (own.headers["x-symlink-target"], own.headers["content-length"]) == ("c/target", "0")
    assert own.headers["content-type"] == "application/symlink"
    row = next(row for row in box("GET", "/c?format=json").json() if row["name"] == "link")
    assert (row["symlink_path"], row["bytes"]) == (f"/v1/{ACCOUNT}/c/target", 0)
    posted = box("POST", "/c/link", X_Object_Meta_B="2")
    assert (posted.status_code, posted.headers["location"]) == (307, f"/object-store/v1/{ACCOUNT}/c/target")
    assert box("COPY", "/c/link", Destination="c/copy").status_code == 201
    assert "x-symlink-target" not in box("HEAD", "/c/copy?symlink=get").headers
    assert box("COPY", "/c/link?symlink=get", Destination="c/copy").status_code == 201
    assert box("HEAD", "/c/copy?symlink=get").headers["x-symlink-target"] == "c/target"
    assert box("DELETE", "/c/link").status_code == 204
    assert box("GET", "/c/target").content == b"hello"
    box("DELETE", "/c/target")
    assert box("GET", "/c/copy").status_code == 404


def test_links_that_are_refused(box):
    box("PUT", "/c/target", b"hello")
    for headers, body, status in (
        ({"X-Symlink-Target": "c/x"}, b"body", 400),
        ({"X-Symlink-Target": "no-slash"}, b"", 412),
        ({"X-Symlink-Target": "/c/x"}, b"", 412),
        ({"X-Symlink-Target": "c/link"}, b"", 400),
        ({"X-Symlink-Target": "c/target", "X-Symlink-Target-Etag": "wrong"}, b"", 409),
        ({"X-Symlink-Target": "c/nowhere", "X-Symlink-Target-Etag": HELLO}, b"", 409),
        ({"X-Symlink-Target": "c/target", "X-Symlink-Target-Etag": HELLO}, b"", 201),
    ):
        assert box("PUT", "/c/link", body, **headers).status_code == status, headers
    box("PUT", "/c/target", b"changed")
    assert box("GET", "/c/link").status_code == 409
    assert box("POST", "/c/link", X_Symlink_Target="c/x").status_code == 400


def test_links_that_go_round(box):
    box("PUT", "/c/target", b"hello")
    box("PUT", "/c/1", b"", X_Symlink_Target="c/target")
    box("PUT", "/c/2", b"", X_Symlink_Target="c/1")
    box("PUT", "/c/3", b"", X_Symlink_Target="c/2")
    assert box("GET", "/c/2").content == b"hello"
    assert box("GET", "/c/3").status_code == 409


def test_links_do_not_lead_where_one_may_not_go(shop, box):
    other = shop.client("other", OTHER_ACCOUNT)
    other("PUT", "/secret")
    other("PUT", "/secret/o", b"secret")
    box("PUT", "/c/link", b"", X_Symlink_Target="secret/o", X_Symlink_Target_Account=OTHER_ACCOUNT)
    assert box("GET", "/c/link").status_code == 403
    other("POST", "/secret", X_Container_Read=f"{'b' * 32}:*")
    assert box("GET", "/c/link").content == b"secret"
