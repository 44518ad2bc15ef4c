"""What compute asks of images, and the guest image of a new cloud."""

import os
import shutil
from pathlib import Path

import pytest

from pileus import guest
from pileus.identity.service import bootstrap as identity_bootstrap
from pileus.identity.service import projects
from pileus.image.bundle import BUNDLE
from pileus.image.service import images, snapshots
from pileus.image.tasks import guest as guest_task
from pileus.kernel.errors import BadRequest, Conflict, Forbidden, NotFound, UnsupportedMedia
from tests.conftest import make_lab

from .conftest import OCTETS, md5, qcow2


def reserve(lab, persona: str = "demo", **fields) -> str:
    ctx = lab.ctx(persona)
    with lab.cloud.db.begin() as tx:
        return snapshots.reserve(tx, ctx, snapshots.Wanted("snap", **fields)).id


def test_get_and_path(lab, make):
    image, queued = make(b"abc", hw_disk_bus="scsi"), make(None)
    found = images.get_active(lab.ctx("demo"), image["id"])
    assert (found.properties, found.min_disk) == ({"hw_disk_bus": "scsi"}, 0)
    file = images.path(lab.cloud, image["id"])
    assert Path(file.path).read_bytes() == b"abc"
    assert (file.disk_format, file.size_bytes, file.virtual_size_bytes) == ("raw", 3, 3)
    with pytest.raises(BadRequest):
        images.get_active(lab.ctx("demo"), queued["id"])
    with pytest.raises(NotFound):
        images.get(lab.ctx("other"), image["id"])
    with pytest.raises(Conflict):
        images.path(lab.cloud, queued["id"])
    with pytest.raises(NotFound):
        images.path(lab.cloud, "nothing")
    wrapped = make(b"abc", container_format="ova")
    with pytest.raises(Conflict):
        images.path(lab.cloud, wrapped["id"])


def test_a_snapshot_becomes_an_image(lab, tmp_path):
    disk = Path(lab.cloud.settings.state_dir) / "disk.qcow2"
    disk.write_bytes(qcow2())
    image_id = reserve(lab, min_disk=1, properties={"image_type": "snapshot"})
    assert images.get(lab.ctx("demo"), image_id).status == "queued"
    snapshots.fill_from_file(lab.cloud, image_id, disk)
    snapshots.fill_from_file(lab.cloud, image_id, disk)
    image = images.get(lab.ctx("demo"), image_id)
    assert (image.status, image.checksum, image.virtual_size, image.visibility) == ("active", md5(qcow2()), 1 << 30, "private")
    assert image.properties == {"image_type": "snapshot"}
    assert os.path.samefile(images.path(lab.cloud, image_id).path, disk)
    disk.unlink()
    assert Path(images.path(lab.cloud, image_id).path).read_bytes() == qcow2()
    snapshots.fail(lab.cloud, image_id)
    assert images.get(lab.ctx("demo"), image_id).status == "active"


def test_a_snapshot_that_fails(lab, tmp_path, files):
    disk = tmp_path / "disk"
    disk.write_bytes(qcow2(backing="/base"))
    image_id = reserve(lab)
    with pytest.raises(UnsupportedMedia):
        snapshots.fill_from_file(lab.cloud, image_id, disk)
    snapshots.fail(lab.cloud, image_id)
    snapshots.fail(lab.cloud, image_id)
    with pytest.raises(NotFound):
        images.get(lab.ctx("demo"), image_id)
    with pytest.raises(NotFound):
        snapshots.fill_from_file(lab.cloud, image_id, disk)
    with pytest.raises(Forbidden):
        reserve(lab, "reader")
    assert files() == []


def test_the_guest_image_is_built_once_and_published(lab, monkeypatch, files):
    def build(out: Path, work: Path) -> None:
        assert work.is_dir()
        out.write_bytes(qcow2())

    monkeypatch.setattr(guest, "build", build)
    guest_task.start(lab.cloud, "a" * 32)
    guest_task.start(lab.cloud, "a" * 32)
    [queued] = lab.client("demo").get("/image/v2/images").json()["images"]
    assert (queued["name"], queued["status"], queued["visibility"]) == ("cirros-pileus", "queued", "public")
    lab.settle()
    guest_task.start(lab.cloud, "a" * 32)
    lab.settle()
    [image] = lab.client("demo").get("/image/v2/images").json()["images"]
    assert (image["status"], image["disk_format"], image["owner"]) == ("active", "qcow2", "a" * 32)
    assert files() == [image["id"]]


def test_without_packages_the_guest_image_says_so(lab, monkeypatch, files):
    def missing(out: Path, work: Path) -> None:
        raise guest.MissingPackages({"syslinux"})

    monkeypatch.setattr(guest, "build", missing)
    guest_task.start(lab.cloud, None)
    lab.settle()
    [image] = lab.client("demo").get("/image/v2/images").json()["images"]
    assert image["status"] == "queued"
    assert "apt-get install syslinux" in image["pileus_message"]
    monkeypatch.setattr(guest, "build", lambda out, work: out.write_bytes(qcow2()))
    lab.settle(61)
    [image] = lab.client("demo").get("/image/v2/images").json()["images"]
    assert image["status"] == "active"
    assert "pileus_message" not in image


def test_the_first_start_of_a_demonstration_begins_the_guest_image(tmp_path, monkeypatch):
    monkeypatch.setattr(guest, "build", lambda out, work: out.write_bytes(qcow2()))
    lab = make_lab(tmp_path / "state", demo=True)
    (tmp_path / "state").mkdir(exist_ok=True)
    lab.cloud.db.create_tables()
    identity_bootstrap.bootstrap(lab.cloud)
    for _ in range(2):
        BUNDLE.bootstrap(lab.cloud)
        found = lab.client("admin").get("/image/v2/images").json()["images"]
        assert [image["name"] for image in found] == ["cirros-pileus"]
    assert projects.get_name(lab.cloud, found[0]["owner"]) == "admin"
    lab.app.close()
    lab.cloud.db.dispose()


def test_every_step_bears_repetition(template_state, tmp_path, monkeypatch):
    monkeypatch.setattr(guest, "build", lambda out, work: out.write_bytes(qcow2()))
    shutil.copytree(template_state, tmp_path / "state")
    lab = make_lab(tmp_path / "state", repeats=2)
    client = lab.client("demo")
    at = "/image/v2/images"
    good, bad = (client.post(at, json={"disk_format": "qcow2", "container_format": "bare"}).json()["id"] for _ in range(2))
    for image_id, content in ((good, qcow2()), (bad, b"no disk")):
        assert client.put(f"{at}/{image_id}/stage", content=content, headers=OCTETS).status_code == 204
        assert client.post(f"{at}/{image_id}/import", json={"method": {"name": "glance-direct"}}).status_code == 202
    guest_task.start(lab.cloud, None)
    lab.settle()
    states = {image["id"]: image["status"] for image in client.get(at).json()["images"]}
    assert (states.pop(good), states.pop(bad), list(states.values())) == ("active", "queued", ["active"])
    assert [client.get(f"{at}/{i}/tasks").json()["tasks"][0]["status"] for i in (good, bad)] == ["success", "failure"]
    lab.app.close()
    lab.cloud.db.dispose()
