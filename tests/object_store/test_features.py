"""Temporary URLs, forms, archives, bulk deletion, sites, tempauth, and what stands beside the accounts."""

import base64
import hashlib
import hmac
import io
import tarfile

import pytest
from starlette.testclient import TestClient

from tests.object_store.conftest import ACCOUNT, OTHER_ACCOUNT, make_shop


@pytest.fixture
def box(swift):
    """A client with a container c, an object c/o, and a key."""
    swift("PUT", "/c")
    swift("PUT", "/c/o", b"hello", X_Object_Meta_Secret="s", X_Object_Meta_Public_A="p")
    swift("POST", X_Account_Meta_Temp_URL_Key="key", X_Account_Meta_Temp_URL_Key_2="second")
    return swift


def sign(text, key="key", digest="sha256"):
    return hmac.new(key.encode(), text.encode(), getattr(hashlib, digest)).hexdigest()


PATH = f"/v1/{ACCOUNT}/c/o"


@pytest.fixture
def signed(shop, box):
    """Calls with a signature."""
    expires = int(shop.clock.now()) + 100

    def call(method="GET", path="/c/o", text=None, query="", key="key", digest="sha256", content=None, **headers):
        text = text or f"{method}\n{expires}\n/v1/{ACCOUNT}{path}"
        sig = sign(text.replace("EXPIRES", str(expires)), key, digest)
        url = f"{path}?temp_url_sig={sig}&temp_url_expires={expires}{query}"
        return shop.client(None)(method, url, content, **headers)

    return call


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
def test_a_temporary_url(signed, digest):
    answer = signed(digest=digest)
    assert answer.content == b"hello"
    assert answer.headers["content-disposition"] == "attachment; filename=\"o\"; filename*=UTF-8''o"
    assert "x-object-meta-secret" not in answer.headers
    assert answer.headers["x-object-meta-public-a"] == "p"
    assert signed("HEAD", text=f"GET\nEXPIRES\n{PATH}", digest=digest).status_code == 200
    assert signed(key="second", digest=digest).status_code == 200


def test_temporary_urls_that_are_not_valid(shop, signed):
    assert signed(key="wrong").status_code == 401
    assert signed("PUT", text=f"GET\nEXPIRES\n{PATH}", content=b"x").status_code == 401
    assert signed(path="/c/p", text=f"GET\nEXPIRES\n{PATH}").status_code == 401
    anyone = shop.client(None)
    for query in ("temp_url_sig=x", "temp_url_expires=9999999999", "temp_url_sig=x&temp_url_expires=9999999999"):
        assert anyone("GET", f"/c/o?{query}").status_code == 401
    shop.clock.advance(200)
    assert signed().status_code == 401


def test_uploads_by_temporary_url(signed, box):
    assert signed("PUT", "/c/new", content=b"new").status_code == 201
    assert box("GET", "/c/new").content == b"new"
    assert signed("PUT", "/c/new", content=b"", X_Object_Manifest="c/o").status_code == 400
    assert signed("PUT", "/c/new", content=b"", X_Symlink_Target="c/o").status_code == 400
    assert signed("DELETE", "/c/new").status_code == 204


def test_names_times_prefixes_and_addresses(shop, signed, box):
    assert 'filename="x y"' in signed(query="&filename=x%20y").headers["content-disposition"]
    assert signed(query="&inline").headers["content-disposition"] == "inline"
    box("PUT", "/c/dir/a", b"a")
    prefix = f"prefix:/v1/{ACCOUNT}/c/dir/"
    text = f"GET\nEXPIRES\n{prefix}"
    assert signed(path="/c/dir/a", text=text, query="&temp_url_prefix=dir/").content == b"a"
    assert signed(path="/c/o", text=text, query="&temp_url_prefix=dir/").status_code == 401
    here = f"ip=10.0.0.0/8\nGET\nEXPIRES\n{PATH}"
    assert signed(text=here, query="&temp_url_ip_range=10.0.0.0/8").status_code == 401
    caller = TestClient(shop.app, client=("10.1.2.3", 1))
    expires = int(shop.clock.now()) + 100
    sig = sign(here.replace("EXPIRES", str(expires)))
    url = f"/object-store{PATH}?temp_url_sig={sig}&temp_url_expires={expires}&temp_url_ip_range=10.0.0.0/8"
    assert caller.get(url).content == b"hello"
    raw = hmac.new(b"key", f"GET\n{expires}\n{PATH}".encode(), hashlib.sha512).digest()
    text = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    assert caller.get(f"/object-store{PATH}?temp_url_sig=sha512:{text}&temp_url_expires={expires}").status_code == 200
    mounted = sign(f"GET\n{expires}\n/object-store{PATH}")
    assert caller.get(f"/object-store{PATH}?temp_url_sig={mounted}&temp_url_expires={expires}").status_code == 200


def test_keys_of_a_container_open_that_container_only(shop, signed, box):
    box("POST", "/c", X_Container_Meta_Temp_URL_Key="ckey")
    assert signed(key="ckey").status_code == 200
    box("PUT", "/d")
    box("PUT", "/d/o", b"x")
    assert signed(path="/d/o", key="ckey").status_code == 401
    box("PUT", "/c/link", b"", X_Symlink_Target="d/o")
    assert signed(path="/c/link", key="ckey").status_code == 401
    assert signed(path="/c/link").status_code == 200
    reader = shop.client("reader")
    assert "x-account-meta-temp-url-key" not in reader("HEAD").headers
    assert "x-container-meta-temp-url-key" not in reader("HEAD", "/c").headers


def form(shop, path=f"/v1/{ACCOUNT}/c/up/", redirect="", files=(("f.txt", b"file"),), key="key", most=100, count=2):
    expires = int(shop.clock.now()) + 100
    fields = {"redirect": redirect, "max_file_size": str(most), "max_file_count": str(count), "expires": str(expires)}
    fields["signature"] = sign("\n".join([path, redirect, str(most), str(count), str(expires)]), key)
    given = [(f"file{n}", (name, data, "text/x")) for n, (name, data) in enumerate(files)]
    return shop.client(None).post(f"/object-store{path}", data=fields, files=given, follow_redirects=False)


def test_forms(shop, box):
    answer = form(shop, files=[("a.txt", b"one"), ("b.txt", b"\r\n--two\r\n" * 1000)], most=100_000)
    assert (answer.status_code, answer.text) == (201, "201 Created")
    assert box("GET", "/c/up/a.txt").content == b"one"
    assert box("GET", "/c/up/a.txt").headers["content-type"] == "text/x"
    assert box("GET", "/c/up/b.txt").content == b"\r\n--two\r\n" * 1000
    answer = form(shop, redirect="http://example.com/?x=1")
    assert answer.status_code == 303
    assert answer.headers["location"] == "http://example.com/?x=1&status=201&message="


def test_forms_that_are_refused(shop, box):
    assert form(shop, key="wrong").status_code == 401
    assert form(shop, files=[("a", b"x" * 101)]).status_code == 413
    assert box("GET", "/c/up/a").status_code == 404
    assert form(shop, files=[("a", b"1"), ("b", b"2"), ("d", b"3")]).status_code == 400
    assert box("GET", "/c/up/d").status_code == 404
    location = form(shop, redirect="http://example.com/", files=[("a", b"x" * 101)]).headers["location"]
    assert "status=413&message=max_file_size%20exceeded" in location
    plain = shop.client(None)("POST", "/c/up/", b"nonsense", Content_Type="multipart/form-data; boundary=x")
    assert plain.status_code == 400
    assert shop.client(None)("POST", "/c/", b"", Content_Type="multipart/form-data").status_code == 400


def archive(mode, *files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=tarfile.PAX_FORMAT) as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if name.endswith("typed"):
                info.pax_headers = {"SCHILY.xattr.user.mime_type": "text/typed", "SCHILY.xattr.user.meta.color": "blau"}
            tar.addfile(info, io.BytesIO(data))
        directory = tarfile.TarInfo("directory")
        directory.type = tarfile.DIRTYPE
        tar.addfile(directory)
    return out.getvalue()


@pytest.mark.parametrize(("form", "mode"), [("tar", "w"), ("tar.gz", "w:gz"), ("tar.bz2", "w:bz2")])
def test_archives_are_unpacked(swift, form, mode):
    big = bytes(range(256)) * 3000
    body = archive(mode, ("a/one", b"1"), ("./a/b/two", big), ("b/typed", b"3"))
    answer = swift("PUT", f"?extract-archive={form}", body, Accept="application/json")
    told = answer.json()
    assert (told["Response Status"], told["Number Files Created"], told["Errors"]) == ("201 Created", 3, [])
    assert swift("GET", "/a/one").content == b"1"
    assert swift("GET", "/a/b/two").content == big
    assert swift("GET", "/b/typed").headers["content-type"] == "text/typed"
    assert swift("GET", "/b/typed").headers["x-object-meta-color"] == "blau"
    swift("PUT", "/c")
    assert swift("PUT", f"/c/below?extract-archive={form}", body).status_code == 200
    assert swift("GET", "/c/below/a/one").content == b"1"


def test_archives_that_are_none(shop, swift):
    told = swift("PUT", "?extract-archive=tar", b"nonsense" * 200, Accept="application/json").json()
    assert told["Response Status"] == "400 Bad Request"
    assert "Invalid Tar File" in told["Response Body"]
    assert swift("PUT", "?extract-archive=zip", b"x").status_code == 400
    told = swift("PUT", "?extract-archive=tar", archive("w", ("top", b"1")), Accept="application/json").json()
    assert (told["Response Status"], told["Errors"]) == ("400 Bad Request", [["top", "412 Precondition Failed"]])
    told = shop.client(None)("PUT", "?extract-archive=tar", archive("w", ("a/b", b"1")), Accept="application/json").json()
    assert told["Response Status"] == "401 Unauthorized"
    whole = archive("w:gz", ("a/b", b"1" * 100_000))
    told = swift("PUT", "?extract-archive=tar.gz", whole[: len(whole) // 2], Accept="application/json").json()
    assert told["Response Status"] == "400 Bad Request"


def test_bulk_deletion(shop, swift):
    for container in ("c", "d"):
        swift("PUT", f"/{container}")
    for name in ("c/1", "c/2", "c/%C3%BC", "d/1"):
        swift("PUT", f"/{name}", b"x")
    body = b"/c/1\nc/2\n/c/%C3%BC\n/c/nowhere\n/d\n/c\n"
    told = swift("POST", "?bulk-delete", body, Accept="application/json").json()
    assert (told["Number Deleted"], told["Number Not Found"]) == (4, 1)
    assert (told["Response Status"], told["Errors"]) == ("400 Bad Request", [["/d", "409 Conflict"]])
    told = swift("DELETE", "?bulk-delete", b"/d/1\n/d", Accept="application/json").json()
    assert (told["Number Deleted"], told["Response Status"]) == (2, "200 OK")
    assert swift("POST", "?bulk-delete", b"").text.startswith("Response Status: 400 Bad Request")
    shop.limit(bulk_deletes=1)
    assert swift("POST", "?bulk-delete", b"/a/1\n/a/2").text.startswith("Response Status: 413")
    xml = swift("POST", "?bulk-delete", b"/a/1", Accept="text/xml")
    assert "<number_not_found>1</number_not_found>" in xml.text


def test_sites(shop, swift):
    anyone = shop.client(None)
    swift("PUT", "/w", X_Container_Read=".r:*,.rlistings", X_Container_Meta_Web_Index="index.html")
    swift("PUT", "/w/a/x.txt", b"x")
    assert anyone("GET", "/w/").status_code == 404
    swift("PUT", "/w/index.html", b"<h1>Home</h1>")
    swift("PUT", "/w/a/index.html", b"<h1>A</h1>")
    moved = anyone("GET", "/w")
    assert (moved.status_code, moved.headers["location"]) == (301, f"http://testserver/object-store/v1/{ACCOUNT}/w/")
    assert anyone("GET", "/w/").content == b"<h1>Home</h1>"
    assert anyone("GET", "/w/").headers["content-type"] == "text/html"
    assert anyone("GET", "/w/a").status_code == 301
    assert anyone("GET", "/w/a/").content == b"<h1>A</h1>"
    assert "index.html" in swift("GET", "/w").text
    assert swift("GET", "/w/", X_Web_Mode="true").content == b"<h1>Home</h1>"
    assert anyone("GET", "/w/b/").status_code == 404
    swift("PUT", "/w/404error.html", b"gone")
    swift("POST", "/w", X_Container_Meta_Web_Error="error.html", X_Container_Meta_Web_Index="", X_Container_Meta_Web_Listings="1")
    lost = anyone("GET", "/w/nowhere")
    assert (lost.status_code, lost.content) == (404, b"gone")
    page = anyone("GET", "/w/").text
    assert "Listing of" in page
    assert '<a href="./a/">a/</a>' in page
    assert '<a href="./x.txt">x.txt</a>' in anyone("GET", "/w/a/").text
    swift("POST", "/w", X_Container_Read="")
    assert anyone("GET", "/w/").status_code == 401


def test_tempauth(tmp_path):
    shop = make_shop(tmp_path, object_tempauth_users="test:tester:testing:.admin,test:user:pass,x:y:z:.reseller_admin")
    anyone = TestClient(shop.app)

    def sign_in(user, key, path="/object-store/auth/v1.0"):
        return anyone.get(path, headers={"X-Auth-User": user, "X-Auth-Key": key})

    answer = sign_in("test:tester", "testing")
    assert answer.headers["x-storage-url"] == "http://testserver/object-store/v1/AUTH_test"
    assert int(answer.headers["x-auth-token-expires"]) == 86_400
    assert [sign_in(*pair).status_code for pair in (("test:tester", "x"), ("nobody", ""), ("", ""))] == [401] * 3
    as_admin = shop.client(None, "AUTH_test", **{"X-Auth-Token": answer.headers["x-auth-token"]})
    assert as_admin("PUT", "/c").status_code == 201
    assert as_admin("PUT", "/c", account="AUTH_x").status_code == 403
    token = sign_in("user", "pass", "/object-store/auth/v1/test/auth").headers["x-auth-token"]
    as_user = shop.client(None, "AUTH_test", **{"X-Storage-Token": token})
    assert as_user("PUT", "/c/o", b"").status_code == 403
    as_admin("POST", "/c", X_Container_Write="test:user")
    assert as_user("PUT", "/c/o", b"").status_code == 201
    token = sign_in("x:y", "z").headers["x-auth-token"]
    assert shop.client(None, "AUTH_test", **{"X-Auth-Token": token})("PUT", "/d").status_code == 201
    shop.clock.advance(90_000)
    assert as_admin("GET").status_code == 401
    shop.app.close()


def test_beside_the_accounts(shop):
    anyone = TestClient(shop.app)
    for prefix in ("", "/object-store"):
        told = anyone.get(f"{prefix}/info").json()
        assert told["swift"]["max_file_size"] == 5_368_709_122
        assert told["swift"]["policies"] == [{"name": "Policy-0", "aliases": "Policy-0", "default": True}]
        assert {"slo", "dlo", "tempurl", "symlink", "staticweb", "bulk_delete"} <= told.keys()
        assert "tempauth" not in told
        assert anyone.get(f"{prefix}/healthcheck").text == "OK"
        assert anyone.get(f"{prefix}/crossdomain.xml").text.startswith('<?xml version="1.0"?>')
    assert anyone.get("/object-store/auth/v1.0").status_code == 404
    assert shop.client("demo", OTHER_ACCOUNT)("OPTIONS", "/c").status_code == 200
