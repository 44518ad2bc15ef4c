"""The control plane is killed in the midst of its work: the next start ends or undoes that, and nothing is left."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.journeys.conftest import IMAGE, until

pytestmark = [pytest.mark.host, pytest.mark.xdist_group("real-cloud"), pytest.mark.timeout(300)]

MOMENTS_SECONDS = (0.0, 0.02, 0.05, 0.09, 0.14, 0.2)
OF_VOLUMES_SECONDS = (0.0, 0.05)


def taps(real) -> list[str]:
    said = subprocess.run(["ip", "-n", real.name, "-br", "link"], capture_output=True, text=True, check=True).stdout
    return [line.split("@")[0].split()[0] for line in said.splitlines() if line.startswith("tap")]


def guest_directories(real) -> list[Path]:
    return list((real.state_dir / "hypervisor" / "guests").iterdir())


@pytest.fixture
def cloud(real):
    return real.connect("demo")


def _ask_for_server(cloud, name: str):
    return cloud.compute.create_server(
        name=name, image_id=cloud.image.find_image(IMAGE).id, flavor_id=cloud.compute.find_flavor("m1.nano").id,
        networks=[{"uuid": cloud.network.find_network("private").id}],
    )  # fmt: skip


@pytest.mark.parametrize("moment_seconds", MOMENTS_SECONDS)
def test_killed_while_creating_and_while_deleting(real, cloud, moment_seconds):
    before = {port.id for port in cloud.network.ports()}
    asked = _ask_for_server(cloud, f"killed-{moment_seconds}")
    time.sleep(moment_seconds)
    real.kill()
    real.up()
    server = until(lambda: (found := cloud.compute.get_server(asked)) and found.status in ("ACTIVE", "ERROR") and found, 30)
    assert server.status == "ACTIVE", server.fault
    assert len(real.guests()) == 1
    assert len(taps(real)) == 1

    cloud.compute.delete_server(server)
    time.sleep(moment_seconds)
    real.kill()
    real.up()
    cloud.compute.wait_for_delete(server, interval=0.1, wait=30)
    until(lambda: not real.guests() and not taps(real) and not guest_directories(real), 10)
    assert {port.id for port in cloud.network.ports()} <= before


@pytest.mark.parametrize("moment_seconds", OF_VOLUMES_SECONDS)
def test_killed_while_attaching_a_volume_and_while_giving_it_back(real, cloud, moment_seconds):
    volume = cloud.block_storage.create_volume(size=1, name=f"killed-{moment_seconds}").id
    server = _ask_for_server(cloud, f"with-volume-{moment_seconds}")

    def status() -> str:
        return cloud.block_storage.get_volume(volume).status

    until(lambda: cloud.compute.get_server(server).status == "ACTIVE", 60)
    until(lambda: status() == "available", 30)
    url = f"/servers/{server.id}/os-volume_attachments"
    assert cloud.compute.post(url, json={"volumeAttachment": {"volumeId": volume}}).status_code in (200, 202)
    time.sleep(moment_seconds)
    real.kill()
    real.up()
    until(lambda: status() == "in-use", 60)
    assert [found["volumeId"] for found in cloud.compute.get(url).json()["volumeAttachments"]] == [volume]

    (guest,) = real.guests()
    os.kill(guest, signal.SIGKILL)
    cloud.compute.delete_server(server)
    time.sleep(moment_seconds)
    real.kill()
    real.up()
    cloud.compute.wait_for_delete(server, interval=0.1, wait=60)
    until(lambda: status() == "available", 30)
    until(lambda: not real.guests() and not taps(real) and not guest_directories(real), 10)
    cloud.block_storage.delete_volume(volume)
    until(lambda: volume not in [found.id for found in cloud.block_storage.volumes()], 30)
