"""Images out of the web, and what is never asked for one."""

import http.server
import socket
import threading
from dataclasses import replace

import pytest

from pileus.image import web
from tests.image.conftest import qcow2

CONTENT = qcow2()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, content = {"/disk": (200, CONTENT), "/moved": (302, b"")}.get(self.path, (404, b""))
        self.send_response(status)
        self.send_header("Location", "/disk")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def site(lab):
    """A site on this machine that the settings list."""
    before = lab.cloud.settings
    object.__setattr__(lab.cloud, "settings", replace(before, image_import_hosts="127.0.0.0/8"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
    object.__setattr__(lab.cloud, "settings", before)


def begin(lab, image, uri):
    body = {"method": {"name": "web-download", "uri": uri}}
    return lab.client("demo").post(f"/image/v2/images/{image['id']}/import", json=body)


def test_content_comes_from_the_web(lab, make, site):
    image = make(None, disk_format="qcow2")
    assert begin(lab, image, f"{site}/disk").status_code == 202
    lab.settle(5)
    found = lab.client("demo").get(f"/image/v2/images/{image['id']}").json()
    assert (found["status"], found["size"]) == ("active", len(CONTENT))


@pytest.mark.parametrize("path", ["/nothing", "/moved"])
def test_what_cannot_be_had_leaves_the_image_queued(lab, make, site, path):
    image = make(None, disk_format="qcow2")
    assert begin(lab, image, site + path).status_code == 202
    lab.settle(5)
    found = lab.client("demo").get(f"/image/v2/images/{image['id']}").json()
    assert (found["status"], found["os_glance_failed_import"]) == ("queued", "file")
    task = lab.client("demo").get(f"/image/v2/images/{image['id']}/tasks").json()["tasks"][0]
    assert task["status"] == "failure"


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1/x", "http://localhost/x", "http://169.254.169.254/latest", "http://10.0.0.1/x", "http://[::1]/x",
        "http://[::ffff:127.0.0.1]/x", "http://0.0.0.0/x", "http://192.168.1.1/x", "file:///etc/passwd", "ftp://example.org/x",
        "http://user@example.org/x", "http://example.org:22/x", "http:///x", "", "http://[bad/x", "http://[2002:7f00:1::]/x",
    ],
)  # fmt: skip
def test_what_only_this_machine_may_reach_is_refused(lab, make, uri):
    assert begin(lab, make(None), uri).status_code == 400


def test_a_name_that_leads_inside_is_refused(tmp_path, monkeypatch):
    inside = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: inside)
    with pytest.raises(web.NotFetched, match="not a public address"):
        web.fetch("http://innocent.example/x", tmp_path / "x", 100, "")


def test_too_much_is_not_taken(tmp_path, site):
    with pytest.raises(web.NotFetched, match="larger"):
        web.fetch(f"{site}/disk", tmp_path / "x", 100, "127.0.0.1")


def test_an_image_as_a_task(lab, site):
    admin = lab.client("admin")
    given = {"import_from": f"{site}/disk", "import_from_format": "qcow2",
             "image_properties": {"name": "t", "disk_format": "qcow2", "container_format": "bare"}}  # fmt: skip
    task = admin.post("/image/v2/tasks", json={"type": "import", "input": given})
    assert task.status_code == 201, task.text
    lab.settle(5)
    done = admin.get(f"/image/v2/tasks/{task.json()['id']}").json()
    assert done["status"] == "success"
    assert admin.get(f"/image/v2/images/{done['result']['image_id']}").json()["status"] == "active"
    assert lab.client("demo").post("/image/v2/tasks", json={"type": "import", "input": given}).status_code == 403
    assert admin.post("/image/v2/tasks", json={"type": "import", "input": {**given, "import_from": "x"}}).status_code == 400
