"""Large objects, dynamic and static."""

import base64
import hashlib
import json

import pytest

from tests.object_store.conftest import ACCOUNT, OTHER_ACCOUNT


def md5(data):
    return hashlib.md5(data).hexdigest()


@pytest.fixture
def box(swift):
    """A client with segments s/1 (aaa), s/2 (bbbb), s/3 (c)."""
    swift("PUT", "/c")
    swift("PUT", "/s")
    for name, data in (("1", b"aaa"), ("2", b"bbbb"), ("3", b"c")):
        swift("PUT", f"/s/{name}", data)
    return swift


def manifest(*entries):
    return json.dumps(list(entries)).encode()


THREE = manifest({"path": "/s/1", "etag": md5(b"aaa"), "size_bytes": 3}, {"path": "s/2"}, {"path": "/s/3", "etag": None})
ETAG = md5((md5(b"aaa") + md5(b"bbbb") + md5(b"c")).encode())


@pytest.fixture
def dynamic(box):
    """And the same segments below d/p/."""
    box("PUT", "/d")
    for name, data in (("1", b"aaa"), ("2", b"bbbb"), ("3", b"c")):
        box("PUT", f"/d/p/{name}", data)
    return box


def test_dynamic(dynamic):
    box = dynamic
    assert box("PUT", "/c/dlo", b"", X_Object_Manifest="d/p/", Content_Type="text/x").status_code == 201
    answer = box("GET", "/c/dlo")
    assert answer.content == b"aaabbbbc"
    assert (answer.headers["etag"], answer.headers["content-length"]) == (f'"{ETAG}"', "8")
    assert (answer.headers["content-type"], answer.headers["x-object-manifest"]) == ("text/x", "d/p/")
    assert box("HEAD", "/c/dlo").headers["content-length"] == "8"
    assert box("GET", "/c/dlo", Range="bytes=2-4").content == b"abb"
    assert box("GET", "/c/dlo", If_None_Match=ETAG).status_code == 304
    assert box("GET", "/c/dlo?multipart-manifest=get").content == b""
    box("PUT", "/d/p/4", b"dd")
    assert box("GET", "/c/dlo").content == b"aaabbbbcdd"
    assert box("COPY", "/c/dlo", Destination="c/whole").status_code == 201
    assert "x-object-manifest" not in box("HEAD", "/c/whole").headers
    assert box("GET", "/c/whole").content == b"aaabbbbcdd"
    box("COPY", "/c/dlo?multipart-manifest=get", Destination="c/again")
    assert box("HEAD", "/c/again").headers["x-object-manifest"] == "d/p/"
    box("POST", "/c/dlo", X_Object_Meta_A="1")
    assert box("GET", "/c/dlo").content == b""


def test_dynamic_over_many_pages(shop, dynamic):
    box = dynamic
    shop.limit(listing_segments=2)
    box("PUT", "/c/dlo", b"", X_Object_Manifest="d/p/")
    assert box("GET", "/c/dlo").content == b"aaabbbbc"
    box("PUT", "/c/none", b"", X_Object_Manifest="nowhere/x")
    assert box("GET", "/c/none").status_code in (200, 404)


def test_static(box):
    answer = box("PUT", "/c/slo?multipart-manifest=put", THREE, Content_Type="text/x", X_Object_Meta_A="1")
    assert (answer.status_code, answer.headers["etag"]) == (201, f'"{ETAG}"')
    for method in ("GET", "HEAD"):
        found = box(method, "/c/slo")
        assert (found.status_code, found.headers["content-length"], found.headers["etag"]) == (200, "8", f'"{ETAG}"')
        assert (found.headers["content-type"], found.headers["x-static-large-object"]) == ("text/x", "True")
    assert box("GET", "/c/slo").content == b"aaabbbbc"
    assert box("GET", "/c/slo", Range="bytes=2-3").content == b"ab"
    assert box("GET", "/c/slo", Range="bytes=-1").content == b"c"
    several = box("GET", "/c/slo", Range="bytes=0-3,6-7")
    assert b"aaab" in several.content
    assert b"bc" in several.content
    assert int(several.headers["content-length"]) == len(several.content)
    assert box("GET", "/c/slo", Range="bytes=8-").status_code == 416
    assert box("GET", "/c/slo", If_None_Match=f'"{ETAG}"').status_code == 304
    row = box("GET", "/c?format=json").json()[0]
    assert (row["bytes"], row["slo_etag"]) == (8, f'"{ETAG}"')
    box("POST", "/c/slo", X_Object_Meta_B="1")
    assert box("GET", "/c/slo").content == b"aaabbbbc"


def test_the_manifest_itself(box):
    box("PUT", "/c/slo?multipart-manifest=put", THREE)
    answer = box("GET", "/c/slo?multipart-manifest=get")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert [(part["name"], part["bytes"], part["hash"]) for part in answer.json()][1] == ("/s/2", 4, md5(b"bbbb"))
    raw = box("GET", "/c/slo?multipart-manifest=get&format=raw")
    assert raw.json()[0] == {"path": "/s/1", "size_bytes": 3, "etag": md5(b"aaa")}
    assert box("PUT", "/c/again?multipart-manifest=put", raw.content).headers["etag"] == f'"{ETAG}"'
    assert box("COPY", "/c/slo?multipart-manifest=get", Destination="c/copy").status_code == 201
    assert box("GET", "/c/copy").content == b"aaabbbbc"
    assert box("HEAD", "/c/copy").headers["x-static-large-object"] == "True"
    assert box("COPY", "/c/slo", Destination="c/flat").status_code == 201
    assert "x-static-large-object" not in box("HEAD", "/c/flat").headers
    assert box("GET", "/c/flat").content == b"aaabbbbc"


def test_ranges_of_segments_and_data_in_the_manifest(box):
    data = base64.b64encode(b"<-->").decode()
    body = manifest(
        {"path": "/s/2", "range": "1-2"}, {"data": data}, {"path": "/s/1", "range": "-1"}, {"path": "/s/3", "range": "0-"}
    )
    assert box("PUT", "/c/slo?multipart-manifest=put", body).status_code == 201
    assert box("GET", "/c/slo").content == b"bb<-->ac"
    for start in range(8):
        for end in range(start, 8):
            assert box("GET", "/c/slo", Range=f"bytes={start}-{end}").content == b"bb<-->ac"[start : end + 1]


def test_manifests_of_manifests(shop, box):
    box("PUT", "/c/slo?multipart-manifest=put", THREE)
    body = manifest({"path": "/c/slo", "range": "2-6"}, {"path": "/s/3"}, {"path": "/c/slo"})
    answer = box("PUT", "/c/nested?multipart-manifest=put", body)
    assert answer.status_code == 201
    assert box("GET", "/c/nested").content == b"abbbb" + b"c" + b"aaabbbbc"
    assert box("GET", "/c/nested", Range="bytes=4-8").content == b"bcaaa"
    assert box("GET", "/c/nested?multipart-manifest=get").json()[0]["sub_slo"] is True


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"nonsense", 400, "Manifest must be valid JSON."),
        (b"{}", 400, "Manifest must be a list."),
        (b"[]", 400, "Manifest must have at least one segment."),
        (manifest(7), 400, "Index 0: not a JSON object"),
        (manifest({}), 400, 'expected keys to include one of "path" or "data"'),
        (manifest({"path": "/s/1", "other": 1}), 400, "extraneous keys 'other'"),
        (manifest({"path": "s"}), 400, "path does not refer to an object"),
        (manifest({"path": "/c/slo"}), 400, "manifest must not include itself"),
        (manifest({"path": "/s/1", "size_bytes": "x"}), 400, "invalid size_bytes"),
        (manifest({"path": "/s/1", "size_bytes": 0}), 400, "too small"),
        (manifest({"path": "/s/1", "range": "x"}), 400, "invalid range"),
        (manifest({"path": "/s/1", "range": "0-0,2-2"}), 400, "multiple ranges"),
        (manifest({"path": "/s/1", "range": "5-6"}), 400, "Unsatisfiable Range"),
        (manifest({"path": "/s/1", "size_bytes": 4}), 400, "/s/1, Size Mismatch"),
        (manifest({"path": "/s/1", "etag": "x"}), 400, "/s/1, Etag Mismatch"),
        (manifest({"path": "/s/nowhere"}), 400, "/s/nowhere, 404 Not Found"),
        (manifest({"path": "/s/empty"}), 400, "Too small"),
        (manifest({"data": "****"}), 400, "data must be valid base64"),
        (manifest({"data": "YQ=="}), 400, "require at least one object-backed segment"),
        (manifest(*[{"path": "/s/1"}] * 1001), 413, "exceeds limit 1000"),
    ],
)
def test_manifests_that_are_refused(box, body, status, text):
    box("PUT", "/s/empty", b"")
    answer = box("PUT", "/c/slo?multipart-manifest=put", body)
    assert (answer.status_code, text in answer.text) == (status, True), answer.text
    assert box("GET", "/c/slo").status_code == 404


def test_the_etag_of_a_manifest_is_checked(box):
    assert box("PUT", "/c/slo?multipart-manifest=put", THREE, ETag="wrong").status_code == 422
    assert box("PUT", "/c/slo?multipart-manifest=put", THREE, ETag=ETAG).status_code == 201
    errors = box("PUT", "/c/slo?multipart-manifest=put", manifest({"path": "/s/x"}), Accept="application/json").json()
    assert errors == {"Errors": [["/s/x", "404 Not Found"]]}


def test_heartbeat(box):
    answer = box("PUT", "/c/slo?multipart-manifest=put&heartbeat=on", THREE, Accept="application/json")
    assert answer.status_code == 202
    told = json.loads(answer.content)
    assert (told["Response Status"], told["Etag"], told["Errors"]) == ("201 Created", f'"{ETAG}"', [])
    bad = box("PUT", "/c/b?multipart-manifest=put&heartbeat=on", manifest({"path": "/s/x"}), Accept="application/json")
    told = json.loads(bad.content)
    assert (told["Response Status"], told["Errors"]) == ("400 Bad Request", [["/s/x", "404 Not Found"]])


def test_a_segment_that_changed(box):
    box("PUT", "/c/slo?multipart-manifest=put", THREE)
    box("PUT", "/s/1", b"xxx")
    assert box("GET", "/c/slo").status_code == 409
    assert box("HEAD", "/c/slo").status_code == 200


def test_deletion_with_the_segments(box):
    box("PUT", "/c/slo?multipart-manifest=put", THREE)
    box("PUT", "/c/nested?multipart-manifest=put", manifest({"path": "/c/slo"}, {"path": "/s/1"}))
    answer = box("DELETE", "/c/nested?multipart-manifest=delete", Accept="application/json")
    assert answer.status_code == 200
    told = answer.json()
    assert (told["Number Deleted"], told["Response Status"], told["Errors"]) == (5, "200 OK", [])
    assert box("GET", "/s").status_code == box("GET", "/c").status_code == 204
    box("PUT", "/c/o", b"plain")
    assert box("DELETE", "/c/o?multipart-manifest=delete").status_code == 400
    assert box("DELETE", "/c/nowhere?multipart-manifest=delete").status_code == 404


def test_segments_of_others_are_not_shown(shop, dynamic):
    box = dynamic
    box("PUT", "/c/slo?multipart-manifest=put", THREE)
    box("PUT", "/c/dlo", b"", X_Object_Manifest="d/p/")
    other = shop.client("other", ACCOUNT)
    box("POST", "/c", X_Container_Read="*:*")
    assert [other("GET", path).status_code for path in ("/c/slo", "/c/dlo")] == [409, 403]
    box("POST", "/s", X_Container_Read="*:*")
    box("POST", "/d", X_Container_Read="*:*")
    assert [other("GET", path).content for path in ("/c/slo", "/c/dlo")] == [b"aaabbbbc"] * 2
    assert shop.client("other", OTHER_ACCOUNT)("GET").status_code == 204
