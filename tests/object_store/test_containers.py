"""Containers over HTTP."""

import pytest

from tests.object_store.conftest import ACCOUNT, make_shop


def test_made_described_and_deleted(swift):
    assert swift("PUT", "/c", X_Container_Meta_Color="blau").status_code == 201
    assert swift("PUT", "/c").status_code == 202
    head = swift("HEAD", "/c")
    assert head.status_code == 204
    assert head.headers["x-container-object-count"] == "0"
    assert head.headers["x-container-meta-color"] == "blau"
    assert head.headers["x-storage-policy"] == "Policy-0"
    assert swift("POST", "/c", X_Remove_Container_Meta_Color="x", X_Container_Meta_Size="1").status_code == 204
    headers = swift("HEAD", "/c").headers
    assert "x-container-meta-color" not in headers
    assert headers["x-container-meta-size"] == "1"
    assert swift("DELETE", "/c").status_code == 204
    for method in ("HEAD", "GET", "POST", "DELETE"):
        assert swift(method, "/c").status_code == 404


def test_a_container_with_objects_stays(swift):
    swift("PUT", "/c")
    swift("PUT", "/c/o", b"x")
    assert swift("DELETE", "/c").status_code == 409
    swift("DELETE", "/c/o")
    assert swift("DELETE", "/c").status_code == 204


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/" + "c" * 257, {}, 400),
        ("/" + "c" * 256, {}, 201),
        ("/c", {"X-Container-Meta-": "x"}, 400),
        ("/c", {"X-Container-Meta-N": "v" * 257}, 400),
        ("/c", {"X-Container-Read": ".r:"}, 400),
        ("/c", {"X-Container-Read": ".unknown:x"}, 400),
        ("/c", {"X-Container-Write": ".r:*"}, 400),
        ("/c", {"X-Storage-Policy": "nonsense"}, 400),
        ("/c", {"X-Storage-Policy": "policy-0"}, 201),
        ("/c", {"X-Container-Meta-Quota-Bytes": "many"}, 400),
        ("/c", {"X-Versions-Location": "a/b"}, 412),
        ("/c", {"X-Versions-Location": "a", "X-History-Location": "b"}, 400),
    ],
)
def test_what_a_container_may_be(swift, path, headers, status):
    assert swift("PUT", path, **headers).status_code == status


def fill(swift, *names):
    swift("PUT", "/c")
    for name in names:
        assert swift("PUT", f"/c/{name}", name.encode()).status_code == 201


def names(answer):
    return [row.get("name") or row["subdir"] for row in answer.json()]


def test_listings(swift):
    fill(swift, "a", "d/", "d/e", "d/f/g", "z\u00fc")
    assert names(swift("GET", "/c?format=json")) == ["a", "d/", "d/e", "d/f/g", "z\u00fc"]
    assert names(swift("GET", "/c?format=json&delimiter=/")) == ["a", "d/", "z\u00fc"]
    assert names(swift("GET", "/c?format=json&delimiter=/&prefix=d/")) == ["d/", "d/e", "d/f/"]
    assert names(swift("GET", "/c?format=json&path=d")) == ["d/e"]
    assert names(swift("GET", "/c?format=json&path=")) == ["a", "d/", "z\u00fc"]
    assert names(swift("GET", "/c?format=json&marker=d/&end_marker=d/f/g")) == ["d/e"]
    assert names(swift("GET", "/c?format=json&reverse=true&limit=2")) == ["z\u00fc", "d/f/g"]
    assert swift("GET", "/c?delimiter=/").text == "a\nd/\nz\u00fc\n"
    xml = swift("GET", "/c?format=xml&delimiter=/").text
    assert '<container name="c"><object><name>a</name><hash>0cc175b9c0f1b6a831c399e269772661</hash><bytes>1</bytes>' in xml
    assert '<subdir name="d/"><name>d/</name></subdir>' in xml
    row = swift("GET", "/c?format=json&limit=1").json()[0]
    assert row["hash"] == "0cc175b9c0f1b6a831c399e269772661"
    assert (row["bytes"], row["content_type"]) == (1, "application/octet-stream")
    assert swift("GET", "/c?limit=10001").status_code == 412


def test_an_empty_listing(swift):
    swift("PUT", "/c")
    assert swift("GET", "/c").status_code == 204
    assert swift("GET", "/c?format=json").json() == []
    assert swift("GET", "/c?format=xml").text.endswith('<container name="c"></container>')


def test_quotas(swift):
    swift("PUT", "/c", X_Container_Meta_Quota_Bytes="5", X_Container_Meta_Quota_Count="2")
    assert swift("PUT", "/c/a", b"123").status_code == 201
    assert swift("PUT", "/c/b", b"456").status_code == 413
    assert swift("PUT", "/c/b", b"45").status_code == 201
    assert swift("PUT", "/c/d", b"").status_code == 413
    assert swift("COPY", "/c/a", Destination="c/e").status_code == 413


def test_storage_policies(tmp_path):
    shop = make_shop(tmp_path, policies=2)
    swift = shop.client()
    assert swift("PUT", "/c", X_Storage_Policy="Policy-1").status_code == 201
    assert swift("HEAD", "/c").headers["x-storage-policy"] == "Policy-1"
    assert swift("PUT", "/c", X_Storage_Policy="Policy-0").status_code == 409
    assert swift("PUT", "/c/o", b"abc").status_code == 201
    assert swift("GET", "/c/o").content == b"abc"
    assert swift("HEAD").headers["x-account-storage-policy-policy-1-bytes-used"] == "3"
    shop.app.close()


def test_access_lists(shop, swift):
    other, anyone = shop.client("other", ACCOUNT), shop.client(None)
    fill(swift, "o")
    for client, status in ((other, 403), (anyone, 401)):
        for method, path in (
            ("GET", "/c"),
            ("GET", "/c/o"),
            ("PUT", "/c/p"),
            ("DELETE", "/c/o"),
            ("POST", "/c"),
            ("DELETE", "/c"),
        ):
            assert client(method, path).status_code == status, (method, path)
    swift("POST", "/c", X_Container_Read=".r:*")
    assert anyone("GET", "/c/o").content == b"o"
    assert anyone("GET", "/c").status_code == 401
    swift("POST", "/c", X_Container_Read=".r:*, .rlistings")
    assert swift("HEAD", "/c").headers["x-container-read"] == ".r:*,.rlistings"
    assert anyone("GET", "/c").text == "o\n"
    assert "x-container-read" not in anyone("HEAD", "/c").headers
    assert anyone("PUT", "/c/p", b"").status_code == 401
    swift("POST", "/c", X_Container_Read=".r:.example.com,.r:-bad.example.com")
    assert anyone("GET", "/c/o", Referer="http://www.example.com/x").status_code == 200
    assert anyone("GET", "/c/o", Referer="http://bad.example.com/x").status_code == 401
    assert anyone("GET", "/c/o").status_code == 401
    project, user = "c" * 32, "f" * 32
    for entry in (f"{project}:{user}", f"{project}:*", f"*:{user}", "*:*", "member"):
        swift("POST", "/c", X_Container_Read=entry, X_Container_Write="")
        assert other("GET", "/c/o").status_code == 200, entry
        assert other("GET", "/c").status_code == 200
        assert other("PUT", "/c/p", b"").status_code == 403
        swift("POST", "/c", X_Container_Read="", X_Container_Write=entry)
        assert other("PUT", "/c/p", b"").status_code == 201
        assert other("DELETE", "/c/p").status_code == 204
        assert other("GET", "/c/o").status_code == 403
        assert other("POST", "/c").status_code == 403
    swift("POST", "/c", X_Remove_Container_Write="x")
    assert other("PUT", "/c/p", b"").status_code == 403


def test_browsers_of_other_origins(shop, swift):
    fill(swift, "o")
    ask = {"Origin": "http://a.example", "Access-Control-Request-Method": "GET"}
    anyone = shop.client(None)
    assert anyone("OPTIONS", "/c/o", **ask).status_code == 401
    assert "GET" in anyone("OPTIONS", "/c/o").headers["allow"]
    swift("POST", "/c", X_Container_Meta_Access_Control_Allow_Origin="http://a.example http://b.example")
    swift("POST", "/c", X_Container_Meta_Access_Control_Max_Age="60", X_Container_Read=".r:*")
    allowed = anyone("OPTIONS", "/c/o", **ask)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "http://a.example"
    assert allowed.headers["access-control-max-age"] == "60"
    answer = anyone("GET", "/c/o", Origin="http://b.example")
    assert answer.headers["access-control-allow-origin"] == "http://b.example"
    assert "etag" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in anyone("GET", "/c/o", Origin="http://c.example").headers
