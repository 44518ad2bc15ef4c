"""The control plane is killed in the midst of creates and deletes: the next start ends or undoes them, and nothing is left."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.journeys.conftest import IMAGE, until

pytestmark = [pytest.mark.host, pytest.mark.xdist_group("real-cloud"), pytest.mark.timeout(300)]

MOMENTS_SECONDS = (0.0, 0.02, 0.05, 0.09, 0.14, 0.2)


def taps(real) -> list[str]:
    said = subprocess.run(["ip", "-n", real.name, "-br", "link"], capture_output=True, text=True, check=True).stdout
    return [line.split("@")[0].split()[0] for line in said.splitlines() if line.startswith("tap")]


def guest_directories(real) -> list[Path]:
    return list((real.state_dir / "hypervisor" / "guests").iterdir())


@pytest.fixture
def cloud(real):
    return real.connect("demo")


@pytest.mark.parametrize("moment_seconds", MOMENTS_SECONDS)
def test_killed_while_creating_and_while_deleting(real, cloud, moment_seconds):
    before = {port.id for port in cloud.network.ports()}
    network = cloud.network.find_network("private")
    asked = cloud.compute.create_server(
        name=f"killed-{moment_seconds}", image_id=cloud.image.find_image(IMAGE).id, networks=[{"uuid": network.id}],
        flavor_id=cloud.compute.find_flavor("m1.nano").id,
    )  # fmt: skip
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
