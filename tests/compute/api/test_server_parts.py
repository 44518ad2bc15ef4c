"""What lies under a server: metadata, tags, addresses, interfaces."""

import pytest

from tests.compute.servers_lab import LATEST

ROOT = "/compute/v2.1/servers"
NOWHERE = "11111111-2222-4333-8444-555555555555"


def test_metadata(cloud):
    id = cloud.boot(metadata={"a": "1"})
    root = f"{ROOT}/{id}/metadata"
    demo = cloud.demo
    assert demo.get(root).json() == {"metadata": {"a": "1"}}
    assert demo.post(root, json={"metadata": {"b": "2"}}).json() == {"metadata": {"a": "1", "b": "2"}}
    assert demo.put(root, json={"metadata": {"c": "3"}}).json() == {"metadata": {"c": "3"}}
    assert demo.put(f"{root}/d", json={"meta": {"d": "4"}}).json() == {"meta": {"d": "4"}}
    assert demo.get(f"{root}/d").json() == {"meta": {"d": "4"}}
    assert demo.put(f"{root}/d", json={"meta": {"e": "4"}}).status_code == 400
    assert demo.delete(f"{root}/d").status_code == 204
    assert demo.get(f"{root}/d").status_code == 404
    assert demo.delete(f"{root}/d").status_code == 404
    for bad in ({"metadata": {"": "x"}}, {"metadata": {"k": 1}}, {"metadata": {"k": "v" * 256}}, {}, {"meta": {}}):
        assert demo.post(root, json=bad).status_code == 400
    many = {str(n): "x" for n in range(129)}
    assert demo.put(root, json={"metadata": many}).status_code == 403
    assert cloud.lab.client("other", LATEST).get(root).status_code == 404


def test_tags(cloud):
    id = cloud.boot(tags=["b", "a"])
    root = f"{ROOT}/{id}/tags"
    demo = cloud.demo
    assert demo.get(root).json() == {"tags": ["a", "b"]}
    assert demo.put(f"{root}/c").status_code == 201
    assert demo.put(f"{root}/c").status_code == 204
    assert demo.get(f"{root}/c").status_code == 204
    assert demo.delete(f"{root}/c").status_code == 204
    assert demo.delete(f"{root}/c").status_code == 404
    assert demo.put(f"{root}/{'x' * 61}").status_code == 400
    assert demo.put(root, json={"tags": ["z"]}).json() == {"tags": ["z"]}
    assert demo.put(root, json={"tags": ["a/b"]}).status_code == 400
    assert demo.delete(root).status_code == 204
    assert cloud.show(id)["tags"] == []
    assert cloud.lab.client("demo", {"OpenStack-API-Version": "compute 2.25"}).get(root).status_code == 404


def test_addresses(cloud):
    id = cloud.boot()
    found = cloud.demo.get(f"{ROOT}/{id}/ips").json()["addresses"]
    assert set(found["private"][0]) == {"version", "addr"}
    assert cloud.demo.get(f"{ROOT}/{id}/ips/private").json() == found
    assert cloud.demo.get(f"{ROOT}/{id}/ips/nope").status_code == 404
    shown = cloud.show(id)["addresses"]["private"][0]
    assert (shown["OS-EXT-IPS:type"], shown["version"]) == ("fixed", 4)
    assert cloud.demo.get(f"{ROOT}/{id}/os-security-groups").json()["security_groups"][0]["name"] == "default"


def test_a_fixed_address_and_a_port_of_the_users_own(cloud):
    id = cloud.boot(networks=[{"uuid": cloud.network, "fixed_ip": "10.0.0.77", "tag": "nic1"}])
    assert cloud.show(id)["addresses"]["private"][0]["addr"] == "10.0.0.77"
    assert cloud.post(networks=[{"uuid": cloud.network, "fixed_ip": "10.0.0.77"}]).status_code == 400
    assert cloud.post(networks=[{"uuid": cloud.network, "fixed_ip": "10.9.9.9"}]).status_code == 400
    port = cloud.demo.post("/network/v2.0/ports", json={"port": {"network_id": cloud.network}}).json()["port"]["id"]
    other = cloud.boot(networks=[{"port": port}])
    assert cloud.post(networks=[{"port": port}]).status_code == 409
    cloud.delete(other)
    kept = cloud.demo.get(f"/network/v2.0/ports/{port}").json()["port"]
    assert (kept["device_id"], kept["status"]) == ("", "DOWN")
    assert [nic["tag"] for nic in cloud.demo.get(f"{ROOT}/{id}/os-interface").json()["interfaceAttachments"]] == ["nic1"]


def test_the_only_network_is_taken_and_several_are_ambiguous(cloud):
    old = cloud.lab.client("demo")
    first = cloud.post(old, networks=None)
    assert first.status_code == 202
    cloud.lab.settle()
    assert cloud.show(first.json()["server"]["id"])["addresses"]["private"]
    assert cloud.show(cloud.boot(networks="none"))["addresses"] == {}
    made = cloud.demo.post("/network/v2.0/networks", json={"network": {"name": "second"}}).json()["network"]["id"]
    subnet = {"network_id": made, "ip_version": 4, "cidr": "10.1.0.0/24"}
    cloud.demo.post("/network/v2.0/subnets", json={"subnet": subnet})
    assert cloud.post(old, networks=None).status_code == 409
    assert cloud.post(networks="auto").status_code == 409


def test_interfaces_come_and_go_while_the_server_runs(cloud):
    id = cloud.boot()
    root = f"{ROOT}/{id}/os-interface"
    answer = cloud.demo.post(root, json={"interfaceAttachment": {"net_id": cloud.network, "tag": "x"}})
    assert answer.status_code == 200, answer.text
    made = answer.json()["interfaceAttachment"]
    assert set(made) == {"net_id", "port_id", "mac_addr", "port_state", "fixed_ips", "tag"}
    cloud.lab.settle()
    assert len(cloud.lab.hypervisor.guests[id].spec.nics) == 2
    assert cloud.demo.get(f"{root}/{made['port_id']}").json()["interfaceAttachment"]["port_state"] == "ACTIVE"
    assert cloud.demo.delete(f"{root}/{made['port_id']}").status_code == 202
    cloud.lab.settle()
    assert [nic.port_id for nic in cloud.lab.hypervisor.guests[id].spec.nics] != made["port_id"]
    assert len(cloud.lab.hypervisor.guests[id].spec.nics) == 1
    assert cloud.demo.get(f"{root}/{made['port_id']}").status_code == 404
    assert cloud.demo.delete(f"{root}/{made['port_id']}").status_code == 404
    assert len(cloud.ports()) == 1
    assert cloud.tasks() == []
    cloud.delete(id)
    assert cloud.left_over() == []


@pytest.mark.parametrize(
    ("attachment", "status"),
    [
        ({"net_id": NOWHERE}, 404), ({"port_id": NOWHERE}, 404), ({"net_id": "nope"}, 400), ({"fixed_ips": []}, 400),
        ({"net_id": NOWHERE, "port_id": NOWHERE}, 400), ({"fixed_ips": [{"ip_address": "10.0.0.9"}]}, 400), ({"color": 1}, 400),
    ],
)  # fmt: skip
def test_interfaces_that_are_refused(cloud, attachment, status):
    id = cloud.boot()
    answer = cloud.demo.post(f"{ROOT}/{id}/os-interface", json={"interfaceAttachment": attachment})
    assert answer.status_code == status, answer.text
    assert len(cloud.ports()) == 1


def test_an_interface_in_any_network_where_the_caller_has_none(cloud):
    id = cloud.boot()
    answer = cloud.admin.post(f"{ROOT}/{id}/os-interface", json={"interfaceAttachment": {}})
    assert answer.status_code == 400, answer.text
    assert "No specific network was requested and none are available" in answer.text
    assert len(cloud.ports()) == 1


def test_security_groups_of_a_running_server(cloud):
    made = cloud.demo.post("/network/v2.0/security-groups", json={"security_group": {"name": "web"}})
    assert made.status_code == 201, made.text
    id = cloud.boot(security_groups=[{"name": "web"}])
    assert cloud.show(id)["security_groups"] == [{"name": "web"}]
    assert cloud.act(id, "addSecurityGroup", {"name": "default"}).status_code == 202
    assert {group["name"] for group in cloud.show(id)["security_groups"]} == {"web", "default"}
    assert cloud.act(id, "removeSecurityGroup", {"name": "web"}).status_code == 202
    assert cloud.show(id)["security_groups"] == [{"name": "default"}]
    assert cloud.act(id, "removeSecurityGroup", {"name": "web"}).status_code == 404


def test_what_there_is_not_yet(cloud):
    id = cloud.boot()
    demo = cloud.demo
    assert demo.get(f"{ROOT}/{id}/os-volume_attachments").json() == {"volumeAttachments": []}
    body = {"volumeAttachment": {"volumeId": NOWHERE}}
    assert demo.post(f"{ROOT}/{id}/os-volume_attachments", json=body).status_code == 404
    assert demo.get(f"{ROOT}/{id}/os-server-password").json() == {"password": ""}
    assert demo.get(f"{ROOT}/{NOWHERE}").status_code == 404
    assert demo.get(f"{ROOT}/nope").status_code == 404


def test_a_port_deleted_under_a_server_takes_its_nic_along(cloud):
    id = cloud.boot()
    (port,) = cloud.ports()
    assert cloud.demo.delete(f"/network/v2.0/ports/{port['id']}").status_code == 204
    cloud.lab.settle()
    assert cloud.lab.hypervisor.guests[id].spec.nics == ()
    assert cloud.act(id, "reboot", {"type": "HARD"}).status_code == 202
    cloud.lab.settle()
    assert cloud.show(id)["status"] == "ACTIVE"
    cloud.delete(id)
    assert cloud.left_over() == []


def test_diagnostics_are_for_admins(cloud):
    id = cloud.boot()
    found = cloud.admin.get(f"{ROOT}/{id}/diagnostics").json()
    assert (found["state"], found["num_cpus"], found["num_nics"], found["num_disks"]) == ("running", 1, 1, 1)
    assert (len(found["cpu_details"]), len(found["disk_details"])) == (1, 1)
    (port,) = cloud.ports()
    (nic,) = found["nic_details"]
    assert (nic["mac_address"], nic["rx_octets"], nic["rx_rate"]) == (port["mac_address"], 0, None)
    old = cloud.lab.client("admin").get(f"{ROOT}/{id}/diagnostics").json()
    assert {"memory", "cpu0_time", "vda_read_req", f"tap{port['id'][:11]}_rx_packets"} <= set(old)
    cloud.lab.hypervisor.fail_next("diagnose", reason="no answer")
    assert cloud.admin.get(f"{ROOT}/{id}/diagnostics").status_code == 409
    assert cloud.demo.get(f"{ROOT}/{id}/diagnostics").status_code == 403
    waiting = cloud.post().json()["server"]["id"]
    assert cloud.admin.get(f"{ROOT}/{waiting}/diagnostics").status_code == 409
    cloud.act(id, "os-stop")
    cloud.lab.settle()
    off = cloud.admin.get(f"{ROOT}/{id}/diagnostics").json()
    assert (off["state"], off["uptime"], off["cpu_details"], off["disk_details"]) == ("shutdown", None, [], [])


def test_the_openapi_document_knows_servers(cloud):
    found = cloud.lab.anonymous.get("/compute/openapi.json").json()
    assert "CreateServer" in found["components"]["schemas"]
    assert "post" in found["paths"]["/v2.1/servers/{server_id}/action"]
