"""Object storage by the programs that people use: `swift`, `openstack object`, rclone."""

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.journeys.conftest import RealCloud, free_port

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("object-cloud")]

PROGRAMS = Path(sys.executable).parent
MIB = 1 << 20


class Quiet(RealCloud):
    """A cloud without guests and networks: its object storage is the real one."""

    @property
    def environment(self) -> dict[str, str]:
        fakes = {"PILEUS_HYPERVISOR": "fake", "PILEUS_NETWORK_DRIVER": "fake", "PILEUS_VOLUME_BACKENDS": "fake"}
        return {**super().environment, **fakes, "PILEUS_DEMO": "true"}


@dataclass
class Desk:
    """Somebody's terminal."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str) -> str:
        program = PROGRAMS / command[0]
        first = str(program) if program.exists() else command[0]
        done = subprocess.run(
            [first, *command[1:]], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def openstack(self, *command: str):
        return json.loads(self.run("openstack", *command, "-f", "json"))

    @property
    def storage_url(self) -> str:
        lines = [line.removeprefix("export ") for line in self.run("swift", "auth").splitlines()]
        return next(line for line in lines if line.startswith("OS_STORAGE_URL=")).partition("=")[2].strip("'")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    made = Quiet(tmp_path_factory.mktemp("objects") / "state", "plobj", f"127.0.0.1:{free_port()}", "172.25.9.0/24")
    made.up()
    try:
        yield made
    finally:
        made.pileus("down", "--purge", "--yes")


@pytest.fixture
def desk(cloud, tmp_path):
    return Desk(tmp_path, cloud.openrc("demo"))


def fetch(url: str) -> tuple[int, bytes, str]:
    try:
        with urllib.request.urlopen(url, timeout=20) as found:
            return found.status, found.read(), found.headers.get("Content-Type", "")
    except urllib.error.HTTPError as error:
        return error.code, error.read(), ""


@pytest.mark.parametrize("way", [(), ("--use-slo",)])
def test_a_big_file_goes_up_in_segments_and_comes_back(desk, way):
    body = os.urandom(5 * MIB + 17)
    (desk.folder / "big.bin").write_bytes(body)
    desk.run("swift", "upload", "-S", str(MIB), *way, "films", "big.bin")
    assert len(desk.run("swift", "list", "films_segments").split()) == 6
    desk.run("swift", "download", "films", "big.bin", "-o", "again.bin")
    assert (desk.folder / "again.bin").read_bytes() == body
    desk.run("swift", "delete", "films", "big.bin")
    assert desk.run("swift", "list", "films_segments") == desk.run("swift", "list", "films") == ""


def test_a_folder_is_uploaded_changed_and_deleted(desk):
    for name in ("a.txt", "b/c.txt", "b/ü.txt"):
        file = desk.folder / "home" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    desk.run("swift", "upload", "box", "home")
    assert desk.run("swift", "list", "box").split() == ["home/a.txt", "home/b/c.txt", "home/b/ü.txt"]
    desk.run("swift", "post", "box", "home/a.txt", "-m", "Color: blau", "-H", "Content-Type: text/x")
    assert "Meta Color: blau" in desk.run("swift", "stat", "box", "home/a.txt")
    desk.run("swift", "copy", "box", "home/a.txt", "-d", "/box/copied")
    desk.run("swift", "delete", "box", "--prefix", "home/b/")
    assert desk.run("swift", "list", "box").split() == ["copied", "home/a.txt"]
    desk.run("swift", "delete", "box")


def test_a_deleted_version_is_brought_back(desk):
    desk.run("swift", "post", "notes", "-H", "X-Versions-Enabled: true")
    for text in ("first", "second"):
        (desk.folder / "n.txt").write_text(text)
        desk.run("swift", "upload", "notes", "n.txt")
    desk.run("swift", "delete", "notes", "n.txt")
    assert desk.run("swift", "list", "notes") == ""
    rows = json.loads(desk.run("swift", "list", "--versions", "--json", "notes"))
    assert [row["content_type"].startswith("application/x-deleted") for row in rows] == [True, False, False]
    desk.run("swift", "download", "notes", "n.txt", "--version-id", rows[2]["version_id"], "-o", "back.txt")
    assert (desk.folder / "back.txt").read_text() == "first"
    for row in rows:
        desk.run("swift", "delete", "notes", "n.txt", "--version-id", row["version_id"])
    desk.run("swift", "delete", "notes")


def test_a_temporary_url_opens_one_object(desk):
    (desk.folder / "o.txt").write_text("hello")
    desk.run("swift", "upload", "shared", "o.txt")
    desk.run("swift", "post", "shared", "-m", "Temp-URL-Key: secret")
    base, _, path = desk.storage_url.partition("/object-store")
    address = f"/object-store{path}/shared/o.txt"
    signed = desk.run("swift", "tempurl", "--digest", "sha256", "GET", "3600", address, "secret").strip()
    assert fetch(base + signed)[:2] == (200, b"hello")
    assert fetch(base + address)[0] == 401
    assert fetch(base + signed.replace("o.txt", "p.txt"))[0] == 401
    desk.run("swift", "delete", "shared")


def test_a_static_site(desk):
    (desk.folder / "index.html").write_text("<h1>Welcome</h1>")
    (desk.folder / "404error.html").write_text("<h1>Nothing</h1>")
    desk.run("swift", "upload", "site", "index.html", "404error.html")
    desk.run("swift", "post", "-r", ".r:*,.rlistings", "-m", "web-index: index.html", "-m", "web-error: error.html", "site")
    url = f"{desk.storage_url}/site/"
    status, body, kind = fetch(url)
    assert (status, body, kind.partition(";")[0]) == (200, b"<h1>Welcome</h1>", "text/html")
    assert fetch(url + "nowhere")[:2] == (404, b"<h1>Nothing</h1>")
    desk.run("swift", "delete", "site")


def test_the_openstack_client(desk):
    (desk.folder / "o.txt").write_text("hello")
    assert desk.openstack("container", "create", "cli")[0]["container"] == "cli"
    assert desk.openstack("object", "create", "cli", "o.txt")[0]["etag"] == "5d41402abc4b2a76b9719d911017c592"
    desk.run("openstack", "object", "set", "--property", "color=blau", "cli", "o.txt")
    shown = desk.openstack("object", "show", "cli", "o.txt")
    assert (shown["content-length"], shown["properties"]["color"]) == ("5", "blau")
    assert desk.openstack("object", "list", "cli") == [{"Name": "o.txt"}]
    desk.run("openstack", "object", "save", "--file", "saved.txt", "cli", "o.txt")
    assert (desk.folder / "saved.txt").read_text() == "hello"
    desk.run("openstack", "object", "store", "account", "set", "--property", "team=blue")
    assert desk.openstack("object", "store", "account", "show")["properties"]["team"] == "blue"
    desk.run("openstack", "container", "delete", "--recursive", "cli")
    assert {"Name": "cli"} not in desk.openstack("container", "list")


def test_rclone_keeps_a_folder_in_step(desk):
    if not shutil.which("rclone"):
        pytest.skip("needs rclone")
    desk.environment |= {
        "RCLONE_CONFIG_P_TYPE": "swift",
        "RCLONE_CONFIG_P_ENV_AUTH": "true",
        "OS_AUTH_URL": desk.environment["OS_AUTH_URL"].removesuffix("/v3") + "/v3",  # it does not look for versions
        "RCLONE_CONFIG": str(desk.folder / "none"),
    }
    home = desk.folder / "home"
    (home / "b").mkdir(parents=True)
    (home / "a.txt").write_text("a")
    (home / "b" / "big.bin").write_bytes(os.urandom(3 * MIB))
    desk.run("rclone", "sync", "--swift-chunk-size", "1M", str(home), "p:mirror")
    desk.run("rclone", "check", str(home), "p:mirror")
    (home / "a.txt").unlink()
    (home / "c.txt").write_text("c")
    desk.run("rclone", "sync", str(home), "p:mirror")
    assert sorted(desk.run("rclone", "lsf", "-R", "--files-only", "p:mirror").split()) == ["b/big.bin", "c.txt"]
    desk.run("rclone", "copy", "p:mirror", str(desk.folder / "back"))
    assert (desk.folder / "back" / "b" / "big.bin").read_bytes() == (home / "b" / "big.bin").read_bytes()
    desk.run("rclone", "purge", "p:mirror")
