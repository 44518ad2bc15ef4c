"""Places on the web where images' content is: added by patches, added and hashed, shown, removed."""

import hashlib
import http.server
import shutil
import threading

import pytest

from pileus.image.service import images
from pileus.kernel.errors import Conflict
from tests import engines
from tests.conftest import make_lab

from .conftest import OCTETS, PATCH, md5, qcow2

AT = "/image/v2/images"
CONTENT = qcow2(3 << 30)
SHA512, SHA256 = hashlib.sha512(CONTENT).hexdigest(), hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self, body=True):
        known = self.path in ("/disk", "/other")
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(CONTENT) if known else 0))
        self.end_headers()
        if body and known:
            self.wfile.write(CONTENT)

    def do_HEAD(self):
        self.do_GET(body=False)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    """A site on this machine."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def lab(template_state, tmp_path):
    """A cloud that shows locations, has a store for the web, and may ask this machine."""
    shutil.copytree(template_state, tmp_path / "state")
    made = make_lab(
        tmp_path / "state", repeats=2, image_stores="file,web=http", image_show_locations=True, image_import_hosts="127.0.0.0/8"
    )
    yield made
    made.app.close()
    made.cloud.db.dispose()
    engines.drop(tmp_path / "state")


def show(lab, image, persona="demo"):
    return lab.client(persona).get(f"{AT}/{image['id']}").json()


def patch(lab, image, *changes, persona="demo"):
    return lab.client(persona).patch(f"{AT}/{image['id']}", json=list(changes), headers=PATCH)


def adding(url, at="-", **more):
    return {"op": "add", "path": f"/locations/{at}", "value": {"url": url, "metadata": {}, **more}}


def test_where_an_upload_went_is_shown_to_its_project(lab, make):
    image = make(None, visibility="public", persona="admin")
    assert image["locations"] == []
    lab.client("admin").put(f"{AT}/{image['id']}/file", content=b"x", headers=OCTETS)
    found = show(lab, image, "admin")["locations"]
    assert [place["metadata"] for place in found] == [{"store": "file"}]
    assert found[0]["url"].endswith(f"/images/{image['id']}")
    assert show(lab, image)["locations"] == []
    assert show(lab, image)["stores"] == "file"


def test_a_place_that_is_added_is_believed(lab, make, site):
    image = make(None, disk_format="qcow2")
    assert patch(lab, image, adding(f"{site}/disk", metadata={"foo": "bar"})).status_code == 200
    shown = show(lab, image)
    assert (shown["status"], shown["size"], shown["stores"]) == ("active", len(CONTENT), "web")
    assert (shown["os_hash_algo"], shown["os_hash_value"], shown["checksum"]) == (None, None, None)
    assert shown["locations"] == [{"url": f"{site}/disk", "metadata": {"foo": "bar", "store": "web"}}]
    got = lab.client("demo").get(f"{AT}/{image['id']}/file")
    assert (got.status_code, got.content) == (200, CONTENT)
    part = lab.client("demo").get(f"{AT}/{image['id']}/file", headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.content) == (206, CONTENT[1:3])
    found = images.path(lab.cloud, image["id"])
    assert found.virtual_size_bytes == 3 << 30
    with open(found.path, "rb") as file:
        assert file.read() == CONTENT


def test_what_is_believed_is_looked_at_when_it_is_used(lab, make, site):
    image = make(None, disk_format="raw")
    assert patch(lab, image, adding(f"{site}/disk")).status_code == 200
    with pytest.raises(Conflict, match="unacceptable"):
        images.path(lab.cloud, image["id"])


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("gopher://info.cern.ch", 400), ("file:///etc/passwd", 400), ("http://169.254.169.254/latest", 400), ("swift://a/b", 400),
        ("http://10.0.0.1/x", 400), ("http://localhost/x", 400), ("", 400), ("{}/nothing", 400),
    ],
)  # fmt: skip
def test_places_that_are_refused(lab, make, site, url, status):
    image = make(None)
    assert patch(lab, image, adding(url.format(site))).status_code == status
    assert show(lab, image)["status"] == "queued"
    if not url.startswith("{}"):
        assert lab.client("demo").post(f"{AT}/{image['id']}/locations", json={"url": url}).status_code == 400


def test_several_places(lab, make, site):
    image = make(None, disk_format="qcow2")
    one, two = f"{site}/disk", f"{site}/disk#new"
    assert patch(lab, image, adding(one), adding(two, metadata={"speed": "88mph"})).status_code == 200
    there = show(lab, image)["locations"]
    assert [place["url"] for place in there] == [one, two]
    assert patch(lab, image, adding(one)).status_code == 400  # it is there
    assert patch(lab, image, {"op": "replace", "path": "/locations", "value": there}).status_code == 200
    there[0]["metadata"]["date"] = "2015-10-15"
    assert patch(lab, image, {"op": "replace", "path": "/locations", "value": there}).status_code == 200
    assert show(lab, image)["locations"] == there
    other = [there[0], {"url": f"{site}/other", "metadata": {}}]
    for value in (other, there[:1], [], [there[0], there[0]]):
        assert patch(lab, image, {"op": "replace", "path": "/locations", "value": value}).status_code == 400
    assert patch(lab, image, adding(f"{site}/other", at="0")).status_code == 200
    assert show(lab, image)["locations"][0]["url"] == f"{site}/other"
    for at, status in (("x", 400), ("9", 400), ("0", 200), ("0", 200), ("0", 403)):
        assert patch(lab, image, {"op": "remove", "path": f"/locations/{at}"}, persona="admin").status_code == status
    assert patch(lab, image, {"op": "remove", "path": "/locations/0"}).status_code == 403
    assert [place["url"] for place in show(lab, image)["locations"]] == [two]


@pytest.mark.parametrize(
    "value", [{"url": "x"}, {"metadata": {}}, {"url": 1, "metadata": {}}, {"url": "http://a/", "metadata": {"a": 1}}, "x", None],
)  # fmt: skip
def test_places_that_are_not_well_formed(lab, make, value):
    image = make(None)
    assert patch(lab, image, {"op": "add", "path": "/locations/-", "value": value}).status_code == 400
    assert patch(lab, image, {"op": "replace", "path": "/locations", "value": [value]}).status_code == 400


def test_what_is_told_of_a_place(lab, make, site):
    image, url = make(None, disk_format="qcow2"), f"{site}/disk"
    told = {"checksum": "1" * 32, "os_hash_value": "deadbeef" * 16, "os_hash_algo": "sha512"}
    for wrong in (
        {"os_hash_algo": "sha256"}, {"os_hash_value": "xx"}, {"os_hash_value": "ab"}, {"checksum": "12"}, {"os_hash_algo": None},
    ):  # fmt: skip
        answer = patch(lab, image, adding(url, validation_data={**told, **wrong}))
        assert answer.status_code in (400, 409), wrong
    assert patch(lab, image, adding(url, validation_data={"checksum": "1" * 32})).status_code == 409
    assert patch(lab, image, adding(url, validation_data=told)).status_code == 200
    shown = show(lab, image)
    assert {name: shown[name] for name in told} == told
    assert patch(lab, image, adding(url + "#b", validation_data=told)).status_code == 200
    assert patch(lab, image, adding(url + "#c", validation_data={**told, "checksum": "2" * 32})).status_code == 409


def test_a_place_that_is_hashed(lab, make, site):
    image, client = make(None, disk_format="qcow2"), lab.client("demo")
    at, url = f"{AT}/{image['id']}/locations", f"{site}/disk"
    for told in (
        {"os_hash_value": SHA256}, {"os_hash_algo": "sha256"}, {"os_hash_algo": "sha123", "os_hash_value": SHA256},
        {"os_hash_algo": "sha512", "os_hash_value": SHA256}, {"os_hash_algo": "sha512", "os_hash_value": "z" * 128},
        {"checksum": "1" * 32}, {"x": "y"}, [], "x",
    ):  # fmt: skip
        assert client.post(at, json={"url": url, "validation_data": told}).status_code == 400, told
    assert client.post(at, json={}).status_code == 400
    assert lab.client("reader").post(at, json={"url": url}).status_code == 403
    assert lab.client("other").post(at, json={"url": url}).status_code == 404
    told = {"os_hash_algo": "sha256", "os_hash_value": SHA256}
    assert client.post(at, json={"url": url, "validation_data": told}).status_code == 202
    assert show(lab, image)["status"] == "importing"
    assert client.post(at, json={"url": url}).status_code == 409
    lab.settle()
    shown = show(lab, image)
    assert (shown["status"], shown["os_hash_algo"], shown["os_hash_value"]) == ("active", "sha256", SHA256)
    assert (shown["checksum"], shown["size"]) == (md5(CONTENT), len(CONTENT))
    task = client.get(f"{AT}/{image['id']}/tasks").json()["tasks"][0]
    assert (task["type"], task["status"], task["input"]["loc_url"]) == ("location_import", "success", url)
    assert client.get(at).status_code == 403
    assert lab.client("admin").get(at).status_code == 403
    served = lab.client("service", project_id="b" * 32, roles=["service", "reader"]).get(at).json()
    assert served == [{"url": url, "metadata": {"store": "web"}}]


def test_a_wrong_hash_leaves_the_image_queued(lab, make, site):
    image = make(None, disk_format="qcow2")
    told = {"os_hash_algo": "sha512", "os_hash_value": "beefdead" * 16}
    at = f"{AT}/{image['id']}/locations"
    assert lab.client("demo").post(at, json={"url": f"{site}/disk", "validation_data": told}).status_code == 202
    lab.settle()
    shown = show(lab, image)
    assert (shown["status"], shown["os_hash_algo"], shown["os_hash_value"], shown["checksum"]) == ("queued", None, None, None)
    task = lab.client("demo").get(f"{AT}/{image['id']}/tasks").json()["tasks"][0]
    assert (task["status"], "not matched" in task["message"]) == ("failure", True)
    upload = lab.client("demo").put(f"{AT}/{image['id']}/file", content=CONTENT, headers=OCTETS)
    assert upload.status_code == 204
    assert show(lab, image)["stores"] == "file"


def test_without_a_hash_the_image_is_active_at_once(lab, make, site):
    image = make(None, disk_format="qcow2")
    at = f"{AT}/{image['id']}/locations"
    assert lab.client("demo").post(at, json={"url": f"{site}/disk", "validation_data": None}).status_code == 202
    shown = show(lab, image)
    assert (shown["status"], shown["os_hash_algo"], shown["os_hash_value"]) == ("active", "sha512", None)
    lab.settle()
    assert show(lab, image)["os_hash_value"] == SHA512


def test_a_place_that_cannot_be_read(lab, make, site):
    image = make(None, disk_format="qcow2")
    told = {"os_hash_algo": "sha512", "os_hash_value": SHA512}
    at = f"{AT}/{image['id']}/locations"
    assert lab.client("demo").post(at, json={"url": f"{site}/nothing", "validation_data": told}).status_code == 202
    for _ in range(8):
        lab.settle(60)
    assert show(lab, image)["status"] == "queued"
    assert "404" in lab.client("demo").get(f"{AT}/{image['id']}/tasks").json()["tasks"][0]["message"]


def test_an_image_that_is_deleted_meanwhile(lab, make, site):
    image = make(None, disk_format="qcow2")
    lab.client("demo").post(f"{AT}/{image['id']}/locations", json={"url": f"{site}/disk"})
    assert lab.client("demo").delete(f"{AT}/{image['id']}").status_code == 204
    lab.settle()
    assert lab.client("demo").get(f"{AT}/{image['id']}").status_code == 404


def test_a_cloud_that_shows_no_locations_takes_none(lab_once):
    client = lab_once.client("demo")
    image = client.post(AT, json={"disk_format": "raw", "container_format": "bare"}).json()
    assert "locations" not in image
    add = {"op": "add", "path": "/locations/-", "value": {"url": "http://example.org/x", "metadata": {}}}
    assert client.patch(f"{AT}/{image['id']}", json=[add], headers=PATCH).status_code == 403
    answer = client.post(f"{AT}/{image['id']}/locations", json={"url": "http://example.org/x"})
    assert (answer.status_code, "http store must be enabled" in answer.text) == (403, True)
