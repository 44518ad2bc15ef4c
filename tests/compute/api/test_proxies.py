"""Nova's old calls for networks and images, which are handed on."""

import pytest

from tests.compute.servers_lab import LATEST

ROOT = "/compute/v2.1"


@pytest.fixture
def old(lab):
    """A member of the project who asks in the oldest microversion."""
    return lab.client("demo")


def test_security_groups_live_in_the_network(old, lab):
    made = old.post(f"{ROOT}/os-security-groups", json={"security_group": {"name": "web", "description": "for all"}})
    assert made.status_code == 200, made.text
    group = made.json()["security_group"]
    assert (group["name"], group["description"], group["rules"]) == ("web", "for all", [])
    assert lab.client("demo").get(f"/network/v2.0/security-groups/{group['id']}").status_code == 200
    changed = old.put(f"{ROOT}/os-security-groups/{group['id']}", json={"security_group": {"name": "w", "description": "d"}})
    assert changed.json()["security_group"]["name"] == "w"
    assert {each["name"] for each in old.get(f"{ROOT}/os-security-groups").json()["security_groups"]} == {"default", "w"}
    assert old.delete(f"{ROOT}/os-security-groups/{group['id']}").status_code == 202
    assert old.get(f"{ROOT}/os-security-groups/{group['id']}").status_code == 404
    assert old.get(f"{ROOT}/os-security-groups/none").status_code == 400


def test_rules_of_security_groups(old):
    group = old.post(f"{ROOT}/os-security-groups", json={"security_group": {"name": "web", "description": ""}}).json()
    group_id = group["security_group"]["id"]

    def rule(**facts):
        return old.post(f"{ROOT}/os-security-group-rules", json={"security_group_rule": {"parent_group_id": group_id, **facts}})

    made = rule(ip_protocol="tcp", from_port=22, to_port=22, cidr="10.0.0.0/8")
    assert made.status_code == 200, made.text
    expected = {"ip_protocol": "tcp", "from_port": 22, "to_port": 22, "group": {}, "ip_range": {"cidr": "10.0.0.0/8"}}
    shown = made.json()["security_group_rule"]
    assert {name: shown[name] for name in expected} == expected
    kept = rule(ip_protocol="tcp", from_port=80, to_port=80, cidr="10.2.3.124/24").json()["security_group_rule"]
    assert kept["ip_range"] == {"cidr": "10.2.3.124/24"}
    assert old.delete(f"{ROOT}/os-security-group-rules/{kept['id']}").status_code == 202
    within = rule(ip_protocol="TCP", group_id=group_id).json()["security_group_rule"]
    assert (within["group"]["name"], within["ip_range"], within["to_port"]) == ("web", {}, 65535)
    assert len(old.get(f"{ROOT}/os-security-groups/{group_id}").json()["security_group"]["rules"]) == 2
    for wrong in (
        {"ip_protocol": "tcp", "from_port": 22, "to_port": 22, "cidr": "10.0.0.0/8"},  # there already
        {"ip_protocol": "tcp", "from_port": 23, "to_port": 22},
        {"ip_protocol": "tcp", "from_port": 0, "to_port": 70000},
        {"ip_protocol": "gre", "from_port": 1, "to_port": 2},
        {"ip_protocol": "tcp"},
        {"ip_protocol": "tcp", "from_port": "a", "to_port": 22},
        {"ip_protocol": "tcp", "from_port": 22, "to_port": 22, "cidr": "10.0.0.0/99"},
    ):
        assert rule(**wrong).status_code == 400, wrong
    assert rule(ip_protocol="tcp", group_id="5f7a7c0e-30a4-4b0b-8a0e-7d8d6b7c0000").status_code == 404
    assert old.delete(f"{ROOT}/os-security-group-rules/{shown['id']}").status_code == 202
    assert old.delete(f"{ROOT}/os-security-group-rules/{shown['id']}").status_code == 404


def test_a_server_shows_its_groups_with_their_rules(cloud):
    id = cloud.boot()
    found = cloud.demo.get(f"{ROOT}/servers/{id}/os-security-groups").json()["security_groups"]
    assert [group["name"] for group in found] == ["default"]
    assert {rule["group"]["name"] for rule in found[0]["rules"]} == {"default"}


def test_networks_show_id_and_label(cloud, old):
    for noun in ("os-networks", "os-tenant-networks"):
        found = {each["id"]: each["label"] for each in old.get(f"{ROOT}/{noun}").json()["networks"]}
        assert found[cloud.network] == "private"
        assert old.get(f"{ROOT}/{noun}/{cloud.network}").json()["network"]["label"] == "private"
        assert old.get(f"{ROOT}/{noun}/5f7a7c0e-30a4-4b0b-8a0e-7d8d6b7c0000").status_code == 404
        assert old.post(f"{ROOT}/{noun}", json={}).status_code == 410


def _open_to_the_world(cloud):
    admin = cloud.lab.client("admin")
    outside = admin.post("/network/v2.0/networks", json={"network": {"name": "outside", "router:external": True}}).json()
    outside_id = outside["network"]["id"]
    admin.post("/network/v2.0/subnets", json={"subnet": {"network_id": outside_id, "ip_version": 4, "cidr": "203.0.113.0/24"}})
    router = {"router": {"external_gateway_info": {"network_id": outside_id}}}
    router_id = cloud.lab.client("demo").post("/network/v2.0/routers", json=router).json()["router"]["id"]
    added = cloud.lab.client("demo").put(
        f"/network/v2.0/routers/{router_id}/add_router_interface", json={"subnet_id": cloud.subnet}
    )
    assert added.status_code == 200, added.text


def test_floating_ips(cloud, old):
    assert old.post(f"{ROOT}/os-floating-ips", json={"pool": "none"}).status_code == 404
    _open_to_the_world(cloud)
    assert {"name": "outside"} in old.get(f"{ROOT}/os-floating-ip-pools").json()["floating_ip_pools"]
    made = old.post(f"{ROOT}/os-floating-ips", json={"pool": "outside"})
    assert made.status_code == 200, made.text
    ip = made.json()["floating_ip"]
    assert (ip["pool"], ip["instance_id"], ip["fixed_ip"]) == ("outside", None, None)
    id = cloud.boot()
    missing = cloud.act(id, "addFloatingIp", {"address": "203.0.113.250"}, old)
    assert missing.status_code == 404
    assert cloud.act(id, "removeFloatingIp", {"address": ip["ip"]}, old).status_code == 409
    assert cloud.act(id, "addFloatingIp", {"address": ip["ip"]}, old).status_code == 202
    shown = old.get(f"{ROOT}/os-floating-ips/{ip['id']}").json()["floating_ip"]
    assert shown["instance_id"] == id
    assert shown["fixed_ip"].startswith("10.0.0.")
    assert [each["id"] for each in old.get(f"{ROOT}/os-floating-ips").json()["floating_ips"]] == [ip["id"]]
    assert cloud.act(id, "removeFloatingIp", {"address": ip["ip"]}, old).status_code == 202
    assert old.delete(f"{ROOT}/os-floating-ips/{ip['id']}").status_code == 202
    assert old.get(f"{ROOT}/os-floating-ips/{ip['id']}").status_code == 404


def test_fixed_ips_are_added_and_removed(cloud, old):
    id = cloud.boot()
    assert cloud.act(id, "addFixedIp", {"networkId": cloud.network}, old).status_code == 202
    addresses = [each["addr"] for each in cloud.show(id)["addresses"]["private"]]
    assert len(addresses) == 2
    assert cloud.act(id, "removeFixedIp", {"address": addresses[1]}, old).status_code == 202
    assert [each["addr"] for each in cloud.show(id)["addresses"]["private"]] == addresses[:1]
    assert cloud.act(id, "removeFixedIp", {"address": "10.9.9.9"}, old).status_code == 400
    assert cloud.act(id, "addFixedIp", {"networkId": "5f7a7c0e-30a4-4b0b-8a0e-7d8d6b7c0000"}, old).status_code == 404


def test_images_and_their_properties(cloud, old):
    listed = old.get(f"{ROOT}/images").json()["images"]
    assert [each["id"] for each in listed if each["name"] == "small"] == [cloud.image]
    shown = old.get(f"{ROOT}/images/{cloud.image}").json()["image"]
    assert (shown["status"], shown["progress"], shown["OS-EXT-IMG-SIZE:size"]) == ("ACTIVE", 100, 4096)
    assert old.get(f"{ROOT}/images/detail?status=ACTIVE&name=small").json()["images"] == [shown]
    assert old.get(f"{ROOT}/images/detail?limit=0").json()["images"] == []
    assert old.get(f"{ROOT}/images?limit=-1").status_code == 400
    one = f"{ROOT}/images/{cloud.image}/metadata"
    assert old.post(one, json={"metadata": {"a": "1", "b": "2"}}).json() == {"metadata": {"a": "1", "b": "2"}}
    assert old.put(f"{one}/a", json={"meta": {"a": "3"}}).json() == {"meta": {"a": "3"}}
    assert old.put(f"{one}/b", json={"meta": {"a": "3"}}).status_code == 400
    assert old.get(f"{one}/a").json() == {"meta": {"a": "3"}}
    assert old.delete(f"{one}/a").status_code == 204
    assert old.delete(f"{one}/a").status_code == 404
    assert old.put(one, json={"metadata": {"c": "4"}}).json() == {"metadata": {"c": "4"}}
    assert old.get(one).json() == {"metadata": {"c": "4"}}
    assert cloud.lab.client("other").post(one, json={"metadata": {}}).status_code == 404
    assert old.get(f"{ROOT}/images/5f7a7c0e-30a4-4b0b-8a0e-7d8d6b7c0000").status_code == 404


def test_snapshots_are_found_by_their_server(cloud, old):
    id = cloud.boot()
    cloud.act(id, "createImage", {"name": "kept"})
    cloud.lab.settle()
    found = old.get(f"{ROOT}/images/detail?server={id}&type=snapshot").json()["images"]
    assert [(each["name"], each["server"]["id"]) for each in found] == [("kept", id)]


@pytest.mark.parametrize("path", ["os-security-groups", "os-floating-ips", "os-networks", "os-tenant-networks", "images"])
def test_the_old_calls_end(lab, path):
    assert lab.client("demo", LATEST).get(f"{ROOT}/{path}").status_code == 404
    assert lab.client("demo", {"X-OpenStack-Nova-API-Version": "2.35"}).get(f"{ROOT}/{path}").status_code == 200


def test_addresses_to_reach_a_server_at_are_shown_in_their_shortest_form(cloud):
    id = cloud.boot(accessIPv6="0000:0000:0000:0000:0000:babe:220.12.22.2")
    assert cloud.show(id)["accessIPv6"] == "::babe:dc0c:1602"
    cloud.demo.put(f"{ROOT}/servers/{id}", json={"server": {"accessIPv6": "2001:0db8::0001"}})
    assert cloud.show(id)["accessIPv6"] == "2001:db8::1"
