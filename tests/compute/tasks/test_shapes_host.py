"""Servers with true guests that are resized, rescued, put away and taken back: what is done, QEMU's own disks show."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from pileus.compute.drivers.qemu import QemuHypervisor, QemuOptions
from tests.compute.drivers import sectors
from tests.compute.servers_lab import ServersLab

pytestmark = pytest.mark.host
LIMITS = {"shutdown_seconds": 0.5, "unplug_seconds": 0.3}


@pytest.fixture
def qemu(cloud: ServersLab, tmp_path) -> Iterator[QemuHypervisor]:
    """A host with QEMU in the place of the fake one."""
    made = QemuHypervisor(QemuOptions(tmp_path / "qemu", virt_type="qemu", cgroup_prefix="pileus-shapes", **LIMITS))
    cloud.lab.cloud.bus._hosts["host1"]["hypervisor"] = made
    yield made
    for guest_id in made.observe_all():
        made.destroy(guest_id)
    made.close()


def _image(cloud: ServersLab, name: str, sector: bytes) -> str:
    wanted = {"name": name, "disk_format": "raw", "container_format": "bare"}
    id = cloud.demo.post("/image/v2/images", json=wanted).json()["id"]
    headers = {"Content-Type": "application/octet-stream"}
    assert cloud.demo.put(f"/image/v2/images/{id}/file", content=sector, headers=headers).status_code == 204
    return id


def _act(cloud: ServersLab, id: str, name: str, argument=None) -> dict:
    answer = cloud.act(id, name, argument)
    assert answer.status_code in (200, 202, 204), answer.text
    cloud.lab.settle()
    return cloud.show(id)


def _disks(tmp_path, id: str) -> dict[str, tuple[str, int]]:
    """Return the disks of a guest: what is below each, and its size in GiB."""
    found = {}
    for path in (tmp_path / "qemu" / "guests" / id / "disks").iterdir():
        told = subprocess.run(["qemu-img", "info", "-U", "--output=json", path], capture_output=True, check=True, timeout=30)
        info = json.loads(told.stdout)
        found[path.stem] = (info["backing-filename"].rpartition("/")[2], info["virtual-size"] >> 30)
    return found


def test_a_guest_changes_its_shape_and_comes_back(cloud, qemu, tmp_path):
    image, medic = _image(cloud, "stubborn", sectors.stubborn()), _image(cloud, "medic", sectors.stubborn())
    id = cloud.boot(imageRef=image, networks="none")
    assert (cloud.show(id)["status"], qemu.observe(id).power) == ("ACTIVE", "on")
    assert _disks(tmp_path, id) == {"root": (f"{image}.raw", 1)}

    wanted = {"name": "large", "ram": 192, "vcpus": 2, "disk": 2}
    flavor = cloud.admin.post("/compute/v2.1/flavors", json={"flavor": wanted}).json()["flavor"]["id"]
    assert _act(cloud, id, "resize", {"flavorRef": flavor})["status"] == "VERIFY_RESIZE"
    grown = {"root": (f"{image}.raw", 1), "root.1": ("root.qcow2", 2)}
    assert (qemu.observe(id).power, _disks(tmp_path, id)) == ("on", grown)
    assert _act(cloud, id, "revertResize")["status"] == "ACTIVE"
    assert _disks(tmp_path, id) == {"root": (f"{image}.raw", 1)}
    assert _act(cloud, id, "resize", {"flavorRef": flavor})["status"] == "VERIFY_RESIZE"
    assert _act(cloud, id, "confirmResize")["status"] == "ACTIVE"
    assert (qemu.observe(id).power, _disks(tmp_path, id)) == ("on", grown)

    assert _act(cloud, id, "rescue", {"rescue_image_ref": medic})["status"] == "RESCUE"
    assert qemu.observe(id).power == "on"
    assert _disks(tmp_path, id) == {"root": (f"{image}.raw", 2), "rescue": (f"{medic}.raw", 0)}
    assert _act(cloud, id, "unrescue")["status"] == "ACTIVE"
    assert _disks(tmp_path, id) == {"root": (f"{image}.raw", 2)}

    assert _act(cloud, id, "shelve")["status"] == "SHELVED_OFFLOADED"
    assert qemu.observe_all() == {}
    assert _act(cloud, id, "unshelve")["status"] == "ACTIVE"
    assert qemu.observe(id).power == "on"
    (below, size_gib) = _disks(tmp_path, id)["root"]
    assert (below != f"{image}.raw", size_gib) == (True, 2)
    cloud.delete(id)
    assert qemu.observe_all() == {}
