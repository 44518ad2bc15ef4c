"""What a guest is told of itself: over the network in both forms, and on its config drive."""

import base64
import json
from dataclasses import dataclass

import pytest

from pileus.compute.service.guest_metadata import MetadataService

KEY = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQCwN3NxrLkbUJDoTHDDIbFqVaOJQd9ZbGVCeLwNZlwNAs4wSkM0kdmDxvvjqtaHn0dKKpYCm ann@home"


@dataclass(frozen=True)
class Source:
    """Who asks."""

    network_id: str | None
    router_id: str | None
    remote_ip: str


@pytest.fixture
def guest(cloud):
    """A server that has everything, and a way to ask as it would."""
    import_ = cloud.demo.post("/compute/v2.1/os-keypairs", json={"keypair": {"name": "mine", "public_key": KEY, "type": "ssh"}})
    key = {"key_name": "mine"} if import_.status_code in (200, 201) else {}
    id = cloud.boot(
        name="Web Server.1", user_data=base64.b64encode(b"#!/bin/sh\necho hi\n").decode(), metadata={"role": "web"},
        config_drive=True, adminPass="secret", **key,
        networks=[{"uuid": cloud.network, "fixed_ip": "10.0.0.50", "tag": "front"}],
    )  # fmt: skip
    service = MetadataService(cloud.lab.cloud)

    def ask(path, method="GET", ip="10.0.0.50", network=None, body=b"", headers=None):
        source = Source(network or cloud.network, None, ip)
        status, _, answer = service(source, method, path, headers or {}, body)
        return status, answer

    return cloud, id, ask, key


def test_openstack_form(guest):
    cloud, id, ask, key = guest
    assert ask("/openstack")[1].decode().splitlines()[-1] == "latest"
    names = ask("/openstack/latest/")[1].decode().split()
    assert {"meta_data.json", "network_data.json", "password", "user_data", "vendor_data.json", "vendor_data2.json"} == set(names)
    assert ask("/openstack/2012-08-10")[1].decode().split() == ["meta_data.json", "user_data"]
    facts = json.loads(ask("/openstack/latest/meta_data.json")[1])
    assert (facts["uuid"], facts["hostname"], facts["meta"]) == (id, "web-server-1.novalocal", {"role": "web"})
    assert (facts["name"], facts["availability_zone"], facts["project_id"]) == ("Web Server.1", "nova", "b" * 32)
    assert facts["devices"][0]["tags"] == ["front"]
    assert "admin_pass" not in facts
    assert not key or facts["public_keys"] == {"mine": KEY}
    assert ask("/openstack/latest/user_data")[1] == b"#!/bin/sh\necho hi\n"
    network = json.loads(ask("/openstack/latest/network_data.json")[1])
    assert (network["links"][0]["type"], network["networks"][0]["type"]) == ("bridge", "ipv4_dhcp")
    assert network["links"][0]["ethernet_mac_address"] == cloud.ports()[0]["mac_address"]


def test_ec2_form(guest):
    _, _, ask, key = guest
    assert ask("/")[1].decode().splitlines()[0] == "1.0"
    names = ask("/latest/meta-data/")[1].decode().split()
    assert {"ami-id", "instance-id", "hostname", "local-ipv4", "placement/", "block-device-mapping/"} <= set(names)
    assert ask("/2009-04-04/meta-data/local-ipv4")[1] == b"10.0.0.50"
    assert ask("/latest/meta-data/placement/availability-zone")[1] == b"nova"
    assert ask("/latest/meta-data/instance-type")[1] == b"m1.nano"
    assert ask("/latest/meta-data/block-device-mapping/root")[1] == b"/dev/vda"
    assert ask("/latest/meta-data/security-groups")[1] == b"default"
    assert ask("/latest/user-data")[1].startswith(b"#!/bin/sh")
    assert ask("/1.0/meta-data/placement")[0] == 404
    if key:
        assert ask("/latest/meta-data/public-keys/")[1] == b"0=mine"
        assert ask("/latest/meta-data/public-keys/0/openssh-key")[1] == KEY.encode()


LOST = [
    "/openstack/1999-01-01", "/latest/nope", "/openstack/latest/../../etc/passwd", "/openstack/content/0000", "/nope",
    "/latest/meta-data/_name",
]  # fmt: skip


@pytest.mark.parametrize("path", LOST)
def test_what_is_not_there(guest, path):
    assert guest[2](path)[0] == 404


def test_only_the_guest_itself_is_told(guest):
    _, _, ask, _ = guest
    assert ask("/latest/meta-data/", ip="10.0.0.51")[0] == 404
    assert ask("/latest/meta-data/", ip="10.0.0.51", headers={"x-forwarded-for": "10.0.0.50"})[0] == 404
    assert ask("/latest/meta-data/", network="11111111-2222-4333-8444-555555555555")[0] == 404
    assert ask("/latest/meta-data/", method="DELETE")[0] == 405


def test_the_password_is_taken_once(guest):
    cloud, id, ask, _ = guest
    assert ask("/openstack/latest/password") == (200, b"")
    assert ask("/openstack/latest/password", "POST", body=b"")[0] == 400
    assert ask("/openstack/latest/password", "POST", body=b"x" * 2000)[0] == 400
    assert ask("/openstack/latest/password", "POST", body=b"c2VjcmV0")[0] == 200
    assert ask("/openstack/latest/password", "POST", body=b"b3RoZXI=")[0] == 409
    assert ask("/openstack/latest/password") == (200, b"c2VjcmV0")
    root = f"/compute/v2.1/servers/{id}/os-server-password"
    assert cloud.demo.get(root).json() == {"password": "c2VjcmV0"}
    assert cloud.demo.delete(root).status_code == 204
    assert cloud.demo.get(root).json() == {"password": ""}


def test_the_config_drive_tells_the_same(guest):
    cloud, id, _, _ = guest
    files = cloud.lab.hypervisor.guests[id].spec.config_drive
    facts = json.loads(files["openstack/latest/meta_data.json"])
    assert (facts["uuid"], facts["admin_pass"]) == (id, "secret")
    assert files["openstack/latest/user_data"] == b"#!/bin/sh\necho hi\n"
    assert "openstack/2018-08-27/network_data.json" in files
    assert json.loads(files["ec2/latest/meta-data.json"])["local-ipv4"] == "10.0.0.50"
    assert cloud.show(id)["config_drive"] == "True"


def test_injected_files_are_on_the_config_drive(cloud):
    old = cloud.lab.client("demo", {"OpenStack-API-Version": "compute 2.56"})
    body = {"personality": [{"path": "/etc/motd", "contents": "aGVsbG8="}], "config_drive": True}
    id = cloud.post(old, **body).json()["server"]["id"]
    cloud.lab.settle()
    files = cloud.lab.hypervisor.guests[id].spec.config_drive
    (entry,) = json.loads(files["openstack/latest/meta_data.json"])["files"]
    assert files["openstack" + entry["content_path"]] == b"hello"
