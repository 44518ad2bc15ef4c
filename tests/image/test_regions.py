"""Images made of other images: of this region, and of another one that shares identity."""

import http.server
import json
import threading

import pytest

from pileus.identity.service import tokens
from pileus.kernel import ids
from tests.faces.s3.conftest import make_person

from .conftest import qcow2

AT = "/image/v2/images"
REMOTE_ID = "36d4b546-64a2-4bb9-bdd0-ba676aa48f2c"
PROPERTIES = {"hw_cpu_cores": "5", "trait:STORAGE_DISK_SSD": "required", "os_distro": "rhel", "speed": "88mph"}


def begin(lab, image, image_id, region="RegionOne", client=None, **more):
    method = {"name": "glance-download", "glance_image_id": image_id, "glance_region": region, **more}
    return (client or lab.client("demo")).post(f"{AT}/{image['id']}/import", json={"method": method})


def show(lab, image, client=None):
    return (client or lab.client("demo")).get(f"{AT}/{image['id']}").json()


def last_task(lab, image, client=None):
    return (client or lab.client("demo")).get(f"{AT}/{image['id']}/tasks").json()["tasks"][0]


def test_an_image_of_this_region(lab, make):
    source = make(qcow2(2 << 30), disk_format="qcow2", **PROPERTIES)
    image = make(None, disk_format="iso", container_format="ovf", hw_cpu_cores="1", os_distro="windows")
    assert begin(lab, image, source["id"]).status_code == 202
    lab.settle()
    shown = show(lab, image)
    assert (shown["status"], shown["disk_format"], shown["container_format"]) == ("active", "qcow2", "bare")
    assert (shown["checksum"], shown["virtual_size"]) == (source["checksum"], 2 << 30)
    assert {name: shown.get(name) for name in PROPERTIES} == {**PROPERTIES, "speed": None}


@pytest.mark.parametrize("what", ["missing", "hidden", "empty", "region", "interface"])
def test_sources_that_cannot_be_had_are_told_in_the_task(lab, make, what):
    image = make(None, hw_cpu_cores="1")
    more, region, image_id = {}, "RegionOne", ids.uuid()
    if what in ("hidden", "empty"):
        image_id = make(b"x" if what == "hidden" else None, persona="other" if what == "hidden" else "demo")["id"]
    if what == "region":
        region = "not a region"
    if what == "interface":
        more = {"glance_service_interface": "not an interface"}
    assert begin(lab, image, image_id, region, **more).status_code == 202
    lab.settle()
    assert (show(lab, image)["status"], show(lab, image)["hw_cpu_cores"]) == ("queued", "1")
    assert (last_task(lab, image)["status"], bool(last_task(lab, image)["message"])) == ("failure", True)


def test_requests_that_say_too_little(lab, make):
    image, client = make(None), lab.client("demo")
    answer = begin(lab, image, "foo")
    assert (answer.status_code, "image id does not look like a UUID" in answer.text) == (400, True)
    for method in ({}, {"glance_image_id": REMOTE_ID}, {"glance_region": "RegionOne"}):
        body = {"method": {"name": "glance-download", **method}}
        assert client.post(f"{AT}/{image['id']}/import", json=body).status_code == 400
    assert begin(lab, make(b"x"), REMOTE_ID).status_code == 409


class Other(http.server.BaseHTTPRequestHandler):
    """The image service of another region."""

    lab, seen, content = None, [], qcow2(4 << 30)

    def do_GET(self):
        who = tokens.authenticate(self.lab.cloud, self.headers["X-Auth-Token"], None)
        self.seen.append((who.user_id, who.project_id, self.path))
        body = json.dumps({"disk_format": "qcow2", "container_format": "bare", **PROPERTIES}).encode()
        body = self.content if self.path.endswith("/file") else body
        self.send_response(200 if REMOTE_ID in self.path else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def elsewhere(lab):
    """Another region in the catalog."""
    Other.lab, Other.seen = lab, []
    admin = lab.client("system")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        admin.post("/identity/v3/regions", json={"region": {"id": "Elsewhere"}})
        service = admin.get("/identity/v3/services?type=image").json()["services"][0]["id"]
        url = f"http://127.0.0.1:{server.server_port}/image"
        endpoint = {"service_id": service, "interface": "public", "region_id": "Elsewhere", "url": url}
        assert admin.post("/identity/v3/endpoints", json={"endpoint": endpoint}).status_code == 201
        yield server
        server.shutdown()


def test_an_image_of_another_region_is_read_with_the_rights_of_who_asks(lab, elsewhere):
    person = make_person(lab, "ann")
    client = lab.client("demo", user_id=person.user_id, project_id=person.project_id)
    image = client.post(AT, json={"disk_format": "raw", "container_format": "bare"}).json()
    assert begin(lab, image, REMOTE_ID, "Elsewhere", client).status_code == 202
    lab.settle()
    shown = show(lab, image, client)
    assert (shown["status"], shown["disk_format"], shown["virtual_size"]) == ("active", "qcow2", 4 << 30)
    assert (shown["os_distro"], shown.get("speed")) == ("rhel", None)
    assert {(user, project) for user, project, _ in Other.seen} == {(person.user_id, person.project_id)}
    missing = client.post(AT, json={"disk_format": "raw", "container_format": "bare"}).json()
    assert begin(lab, missing, ids.uuid(), "Elsewhere", client).status_code == 202
    lab.settle()
    assert (show(lab, missing, client)["status"], last_task(lab, missing, client)["status"]) == ("queued", "failure")


def test_who_lost_their_role_meanwhile_gets_nothing(lab, elsewhere):
    person = make_person(lab, "ann")
    client = lab.client("demo", user_id=person.user_id, project_id=person.project_id)
    image = client.post(AT, json={"disk_format": "raw", "container_format": "bare"}).json()
    assert begin(lab, image, REMOTE_ID, "Elsewhere", client).status_code == 202
    lab.client("system").patch(f"/identity/v3/users/{person.user_id}", json={"user": {"enabled": False}})
    lab.settle()
    assert (show(lab, image, client)["status"], Other.seen) == ("queued", [])
