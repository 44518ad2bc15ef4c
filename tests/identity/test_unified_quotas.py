"""Quotas of compute, network and block storage that are identity's unified limits, where the setting says so."""

import shutil

import pytest

from pileus.identity.service import bootstrap
from pileus.identity.store import rows
from pileus.identity.store.records import Project
from tests import engines
from tests.conftest import BLUE, make_lab

LIMITS = "/identity/v3"
NETWORKS, VOLUMES, KEYS = "/network/v2.0/networks", "/volume/v3/volumes", "/compute/v2.1/os-keypairs"
SERVERS = "/compute/v2.1/servers"


@pytest.fixture
def unified(template_state, tmp_path):
    """A cloud that asks identity how much a project may have."""
    state_dir = tmp_path / "state"
    shutil.copytree(template_state, state_dir)
    lab = make_lab(state_dir, unified_limits="compute, network,volume")
    assert bootstrap.DOMAIN_ID == "default"
    with lab.cloud.db.begin() as tx:
        rows.add(tx, Project(BLUE, "blue", "default", "default"), "project", BLUE)
    yield lab
    lab.app.close()
    lab.cloud.db.dispose()
    engines.drop(state_dir)


def service_of(lab, kind):
    found = lab.client("system").get(f"{LIMITS}/services", params={"type": kind}).json()["services"]
    return found[0]["id"]


def register(lab, kind, resource, most):
    limit = {"service_id": service_of(lab, kind), "resource_name": resource, "default_limit": most}
    answer = lab.client("system").post(f"{LIMITS}/registered_limits", json={"registered_limits": [limit]})
    assert answer.status_code == 201, answer.text


def allow(lab, kind, resource, most):
    limit = {"service_id": service_of(lab, kind), "resource_name": resource, "resource_limit": most, "project_id": BLUE}
    answer = lab.client("system").post(f"{LIMITS}/limits", json={"limits": [limit]})
    assert answer.status_code == 201, answer.text


def make_network(lab, persona="demo"):
    return lab.client(persona).post(NETWORKS, json={"network": {"name": "n"}})


def make_volume(lab, size_gib=1, **more):
    return lab.client("demo").post(VOLUMES, json={"volume": {"size": size_gib, **more}})


def test_networks_are_limited_by_the_registered_limit_and_the_project_s_own(unified):
    register(unified, "network", "network", 1)
    assert make_network(unified).status_code == 201
    refused = make_network(unified)
    assert refused.status_code == 409
    assert refused.json()["NeutronError"]["type"] == "OverQuota"
    assert make_network(unified, "other").status_code == 201
    allow(unified, "network", "network", 2)
    assert make_network(unified).status_code == 201
    assert make_network(unified).status_code == 409
    assert make_network(unified, "other").status_code == 409


def test_what_is_not_registered_is_not_limited(unified):
    shown = unified.client("demo").get(f"/compute/v2.1/os-quota-sets/{BLUE}").json()["quota_set"]
    assert {shown[name] for name in ("instances", "cores", "ram", "key_pairs")} == {-1}


@pytest.mark.parametrize("kind", ["volumev3", "block-storage"])
def test_volumes_are_limited_under_either_name_of_the_service(unified, kind):
    register(unified, kind, "gigabytes", 3)
    assert make_volume(unified, 3).status_code == 202
    refused = make_volume(unified, 1)
    assert refused.status_code == 413
    assert refused.headers["Retry-After"] == "0"
    assert "quota is 3G and 3G has been consumed" in refused.text


def test_a_volume_type_is_limited_by_its_name(unified):
    made = unified.client("admin").post("/volume/v3/types", json={"volume_type": {"name": "fast"}})
    assert made.status_code == 200
    register(unified, "volumev3", "volumes_fast", 1)
    assert make_volume(unified, volume_type="fast").status_code == 202
    assert make_volume(unified, volume_type="fast").status_code == 413
    assert make_volume(unified).status_code == 202


def test_keys_and_servers_are_limited_under_nova_s_names(unified):
    register(unified, "compute", "server_key_pairs", 0)
    register(unified, "compute", "servers", 1)
    register(unified, "compute", "class:VCPU", 3)
    assert unified.client("demo").post(KEYS, json={"keypair": {"name": "k"}}).status_code == 403
    shown = unified.client("demo").get("/compute/v2.1/limits").json()["limits"]["absolute"]
    assert (shown["maxTotalInstances"], shown["maxTotalCores"], shown["maxTotalKeypairs"]) == (1, 3, 0)
    flavor = unified.client("admin").post(
        "/compute/v2.1/flavors", json={"flavor": {"name": "f", "ram": 64, "vcpus": 2, "disk": 0}}
    )
    network = make_network(unified).json()["network"]["id"]
    unified.client("demo").post(
        "/network/v2.0/subnets", json={"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/24"}}
    )
    image = unified.client("demo").post("/image/v2/images", json={"disk_format": "raw", "container_format": "bare"}).json()["id"]
    unified.client("demo").put(
        f"/image/v2/images/{image}/file", content=b"x", headers={"Content-Type": "application/octet-stream"}
    )
    body = {"name": "s", "flavorRef": flavor.json()["flavor"]["id"], "imageRef": image, "networks": [{"uuid": network}]}
    zero_disk = unified.client("admin", project_id=BLUE)
    assert zero_disk.post(SERVERS, json={"server": body}).status_code == 202
    refused = zero_disk.post(SERVERS, json={"server": body})
    assert refused.status_code == 403
    assert "Quota exceeded for cores, instances" in refused.text


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (f"/compute/v2.1/os-quota-sets/{BLUE}", {"quota_set": {"cores": 1}}),
        (f"/volume/v3/os-quota-sets/{BLUE}", {"quota_set": {"volumes": 1}}),
        (f"/network/v2.0/quotas/{BLUE}", {"quota": {"network": 1}}),
    ],
)
def test_quotas_are_not_changed_where_they_are_not_kept(unified, url, body):
    assert unified.client("admin").put(url, json=body).status_code == 501


def test_without_the_setting_services_keep_their_own_quotas(lab):
    register(lab, "network", "network", 0)
    assert make_network(lab).status_code == 201
