"""Hosts as nova showed them once, events from outside, and other corners that tempest looks into."""

ROOT = "/compute/v2.1"


def test_hosts_in_the_old_form(lab, cloud):
    admin = lab.client("admin")
    found = admin.get(f"{ROOT}/os-hosts").json()["hosts"]
    assert {"host_name": "host1", "service": "compute", "zone": "nova"} in found
    assert {each["service"] for each in found} == {"compute", "conductor", "scheduler"}
    assert admin.get(f"{ROOT}/os-hosts?zone=").json()["hosts"] == found
    assert admin.get(f"{ROOT}/os-hosts?zone=elsewhere").json()["hosts"] == []
    cloud.boot()
    resources = [each["resource"] for each in admin.get(f"{ROOT}/os-hosts/host1").json()["host"]]
    assert resources[0] == {"host": "host1", "project": "(total)", "cpu": 64, "memory_mb": 256 * 1024, "disk_gb": 4096}
    assert resources[1]["cpu"] == resources[-1]["cpu"] == 1
    assert admin.get(f"{ROOT}/os-hosts/none").status_code == 404
    assert lab.client("demo").get(f"{ROOT}/os-hosts").status_code == 403
    assert lab.client("admin", {"X-OpenStack-Nova-API-Version": "2.43"}).get(f"{ROOT}/os-hosts").status_code == 404


def test_hosts_are_switched_but_not_powered(lab):
    admin = lab.client("admin")
    assert admin.put(f"{ROOT}/os-hosts/host1", json={"status": "disable"}).json() == {"host": "host1", "status": "disabled"}
    assert admin.get(f"{ROOT}/os-services").json()["services"][0]["status"] == "disabled"
    assert admin.put(f"{ROOT}/os-hosts/host1", json={"status": "Enable"}).json()["status"] == "enabled"
    assert admin.put(f"{ROOT}/os-hosts/host1", json={"status": "maybe"}).status_code == 400
    assert admin.put(f"{ROOT}/os-hosts/host1", json={}).status_code == 400
    assert admin.put(f"{ROOT}/os-hosts/host1", json={"maintenance_mode": "enable"}).status_code == 501
    assert admin.put(f"{ROOT}/os-hosts/none", json={"status": "enable"}).status_code == 404
    for action in ("startup", "shutdown", "reboot"):
        assert admin.get(f"{ROOT}/os-hosts/host1/{action}").status_code == 501
        assert admin.get(f"{ROOT}/os-hosts/none/{action}").status_code == 404
        assert lab.client("demo").get(f"{ROOT}/os-hosts/host1/{action}").status_code == 403


def test_events_from_outside(lab, cloud):
    id = cloud.boot()
    event = {"name": "network-changed", "server_uuid": id}
    answer = lab.client("service").post(f"{ROOT}/os-server-external-events", json={"events": [event]})
    assert (answer.status_code, answer.json()) == (200, {"events": [{**event, "status": "completed", "code": 200}]})
    lab.settle()
    lost = {"name": "network-changed", "server_uuid": "5f7a7c0e-30a4-4b0b-8a0e-7d8d6b7c0000"}
    answer = lab.client("admin").post(f"{ROOT}/os-server-external-events", json={"events": [event, lost]})
    assert (answer.status_code, [each["code"] for each in answer.json()["events"]]) == (207, [200, 404])
    assert lab.client("demo").post(f"{ROOT}/os-server-external-events", json={"events": [event]}).status_code == 403
    unknown = {"events": [{**event, "name": "party"}]}
    assert lab.client("admin").post(f"{ROOT}/os-server-external-events", json=unknown).status_code == 400


def test_corners(lab):
    admin = lab.client("admin")
    assert admin.get(f"{ROOT}/os-aggregates/-1").status_code == 404
    assert admin.get(f"{ROOT}/os-aggregates/x").status_code == 400
    assert admin.get(f"{ROOT}/os-simple-tenant-usage/").status_code == 404
    assert admin.get(f"{ROOT}/extensions/os-consoles").json()["extension"]["name"] == "Consoles"
