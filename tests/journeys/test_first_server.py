"""A user of the SDK boots a server, logs in to it, and everything about it is as it should be, through every mishap."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openstack
import pytest

from tests.journeys.conftest import IMAGE, RealCloud, ssh, until

pytestmark = [pytest.mark.host, pytest.mark.xdist_group("real-cloud"), pytest.mark.timeout(300)]

USER_DATA = "#!/bin/sh\necho hello > /tmp/user-data-ran\n"


@dataclass
class Booted:
    """A server that SSH reaches."""

    server: Any
    address: str


def open_ssh(cloud: Any) -> None:
    group = next(iter(cloud.network.security_groups(name="default", project_id=cloud.current_project_id)))
    for rule in ({"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}, {"protocol": "icmp"}):
        with contextlib.suppress(openstack.exceptions.ConflictException):
            cloud.network.create_security_group_rule(security_group_id=group.id, direction="ingress", ethertype="IPv4", **rule)


def boot(cloud: Any, key: Path, name: str, **changes: Any) -> Booted:
    if cloud.compute.find_keypair("journey") is None:
        cloud.compute.create_keypair(name="journey", public_key=Path(f"{key}.pub").read_text().strip())
    open_ssh(cloud)
    network = cloud.network.find_network("private")
    changes = {"image_id": cloud.image.find_image(IMAGE).id, **changes}
    server = cloud.compute.create_server(
        name=name,
        flavor_id=cloud.compute.find_flavor("m1.nano").id,
        networks=[{"uuid": network.id}],
        key_name="journey",
        **changes,
    )
    server = cloud.compute.wait_for_server(server, interval=0.2, wait=60)
    port = next(iter(cloud.network.ports(device_id=server.id)))
    address = cloud.network.create_ip(floating_network_id=cloud.network.find_network("public").id, port_id=port.id)
    return Booted(server, address.floating_ip_address)


def remove(cloud: Any, booted: Booted) -> None:
    for address in cloud.network.ips(floating_ip_address=booted.address):
        cloud.network.delete_ip(address)
    cloud.compute.delete_server(booted.server)
    cloud.compute.wait_for_delete(booted.server, interval=0.2, wait=60)


@pytest.fixture(scope="module")
def cloud(real: RealCloud) -> Any:
    return real.connect("demo")


@pytest.fixture(scope="module")
def booted(real: RealCloud, cloud: Any, key: Path) -> Iterator[Booted]:
    import base64

    made = boot(cloud, key, "first", user_data=base64.b64encode(USER_DATA.encode()).decode(), metadata={"colour": "blue"})
    until(lambda: ssh(made.address, key, "true") is not None)
    yield made
    remove(cloud, made)
    assert until(lambda: not real.guests(), 10)


def status(cloud: Any, booted: Booted) -> str:
    return cloud.compute.get_server(booted.server).status


def test_the_guest_is_what_was_asked_for(cloud, booted, key):
    assert ssh(booted.address, key, "hostname").strip() == "first"
    until(lambda: ssh(booted.address, key, "cat /tmp/user-data-ran") == "hello\n", 20)
    fixed = next(iter(cloud.network.ports(device_id=booted.server.id))).fixed_ips[0]["ip_address"]
    assert fixed in ssh(booted.address, key, "ip -4 addr")
    said = ssh(booted.address, key, "timeout 5 wget -q -O - http://169.254.169.254/openstack/latest/meta_data.json")
    assert '"colour": "blue"' in said.replace('":"', '": "')
    assert "login:" in cloud.compute.get_server_console_output(booted.server)["output"]


def test_a_closed_port_stays_closed_until_a_rule_opens_it(cloud, booted, key):
    ssh(booted.address, key, "(nc -l -p 8080 -e echo open > /dev/null 2>&1 &) ; sleep 0.2")
    look = ["timeout", "2", "nc" if Path("/bin/nc").exists() else "busybox", *([] if Path("/bin/nc").exists() else ["nc"])]
    assert subprocess.run([*look, booted.address, "8080"], capture_output=True, check=False).stdout == b""
    group = next(iter(cloud.network.security_groups(name="default", project_id=cloud.current_project_id)))
    rule = cloud.network.create_security_group_rule(
        security_group_id=group.id,
        direction="ingress",
        ethertype="IPv4",
        protocol="tcp",
        port_range_min=8080,
        port_range_max=8080,
    )
    try:
        until(lambda: subprocess.run([*look, booted.address, "8080"], capture_output=True, check=False).stdout == b"open\n", 10)
    finally:
        cloud.network.delete_security_group_rule(rule)


def test_stop_and_start(cloud, booted, key):
    cloud.compute.stop_server(booted.server)
    cloud.compute.wait_for_server(booted.server, status="SHUTOFF", interval=0.2, wait=70)
    assert ssh(booted.address, key, "true") is None
    cloud.compute.start_server(booted.server)
    cloud.compute.wait_for_server(booted.server, interval=0.2, wait=60)
    until(lambda: ssh(booted.address, key, "true") is not None)


def test_pause_and_unpause(cloud, booted, key):
    cloud.compute.pause_server(booted.server)
    cloud.compute.wait_for_server(booted.server, status="PAUSED", interval=0.2, wait=20)
    cloud.compute.unpause_server(booted.server)
    cloud.compute.wait_for_server(booted.server, interval=0.2, wait=20)
    until(lambda: ssh(booted.address, key, "true") is not None, 20)


def test_the_control_plane_is_killed_and_the_guest_runs_on(real, cloud, booted, key):
    before = real.guests()
    real.kill()
    assert ssh(booted.address, key, "true") is not None
    real.up()
    assert status(cloud, booted) == "ACTIVE"
    assert real.guests() == before
    assert ssh(booted.address, key, "true") is not None


def test_what_is_torn_down_on_the_host_is_built_again(real, booted, key):
    names = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout.split()
    routers = [name for name in names if name.startswith(f"{real.name}-rtr-")]
    assert routers
    for name in routers:
        subprocess.run(["ip", "netns", "del", name], check=True)
    subprocess.run(["ip", "netns", "exec", real.name, "nft", "flush", "ruleset"], check=True)
    until(lambda: ssh(booted.address, key, "true") is not None, 60)


def test_a_guest_that_dies_shows(real, cloud, booted, key):
    for pid in real.guests():
        os.kill(pid, signal.SIGKILL)
    until(lambda: status(cloud, booted) == "SHUTOFF", 4)
    cloud.compute.start_server(booted.server)
    cloud.compute.wait_for_server(booted.server, interval=0.2, wait=60)
    until(lambda: ssh(booted.address, key, "true") is not None)


def test_an_image_of_a_server_boots(real, cloud, booted, key):
    assert ssh(booted.address, key, "echo kept > ~/mark; sync") is not None
    image = cloud.compute.create_server_image(booted.server, name="snapshot", wait=True, timeout=60)
    made = boot_from(cloud, image)
    try:
        until(lambda: "login:" in (cloud.compute.get_server_console_output(made)["output"] or ""))
    finally:
        cloud.compute.delete_server(made)
        cloud.compute.wait_for_delete(made, interval=0.2, wait=60)
        cloud.image.delete_image(image.id)


def boot_from(cloud: Any, image: Any) -> Any:
    made = cloud.compute.create_server(
        name="second", image_id=image.id, flavor_id=cloud.compute.find_flavor("m1.nano").id, networks="none"
    )
    return cloud.compute.wait_for_server(made, interval=0.2, wait=60)
