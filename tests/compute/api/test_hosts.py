"""/v2.1/os-services, os-hypervisors, os-aggregates and os-availability-zone over HTTP."""

import pytest

from pileus.compute.service import hosts
from tests.compute.catalog import compute


def services(lab, version="2.53", query=""):
    return compute(lab, "admin", version, "GET", "/os-services" + query).json()["services"]


def test_a_host_is_a_service(lab):
    (old,), (new,) = services(lab, "2.1"), services(lab)
    assert old == {
        "id": 1, "binary": "nova-compute", "host": "host1", "zone": "nova", "status": "enabled", "state": "up",
        "updated_at": "2023-11-14T22:13:20.000000", "disabled_reason": None,
    }  # fmt: skip
    assert new == old | {"id": new["id"], "forced_down": False}
    assert len(new["id"]) == 36
    assert services(lab, query="?host=host1&binary=nova-compute") == [new]
    assert services(lab, query="?host=host2") == services(lab, query="?binary=nova-scheduler") == []


def test_only_admins_see_hosts(lab):
    for path in ("/os-services", "/os-hypervisors", "/os-hypervisors/detail", "/os-aggregates", "/os-availability-zone/detail"):
        for persona in ("demo", "manager", "reader", "nobody"):
            assert compute(lab, persona, "2.1", "GET", path).status_code == 403, path


def test_a_service_is_disabled_in_the_old_way(lab):
    who = {"host": "host1", "binary": "nova-compute"}

    def put(action, version="2.1", **more):
        return compute(lab, "admin", version, "PUT", "/os-services/" + action, {**who, **more})

    assert put("disable").json() == {"service": {**who, "status": "disabled"}}
    assert put("disable-log-reason", disabled_reason="fans").json()["service"]["disabled_reason"] == "fans"
    assert services(lab)[0]["disabled_reason"] == "fans"
    assert put("enable").json() == {"service": {**who, "status": "enabled"}}
    assert services(lab)[0]["disabled_reason"] is None
    assert put("force-down", "2.11", forced_down=True).json()["service"]["forced_down"] is True
    assert services(lab)[0]["state"] == "down"
    assert put("force-down", "2.11").status_code == 400
    assert put("force-down").status_code == 404
    assert put("disable-log-reason").status_code == 400
    assert put("explode").status_code == 404
    assert put("enable", host="host9").status_code == 404
    assert put("enable", binary="nova-scheduler").status_code == 400
    assert put("enable", host=1).status_code == 400


def test_a_service_is_disabled_in_the_new_way(lab):
    path = "/os-services/" + services(lab)[0]["id"]
    changed = compute(lab, "admin", "2.53", "PUT", path, {"status": "disabled", "disabled_reason": "fans"}).json()["service"]
    assert (changed["status"], changed["disabled_reason"], changed["binary"]) == ("disabled", "fans", "nova-compute")
    for bad in ({}, {"status": "enabled", "disabled_reason": "x"}, {"disabled_reason": "x"}, {"status": "off"}, {"x": 1}):
        assert compute(lab, "admin", "2.53", "PUT", path, bad).status_code == 400
    assert compute(lab, "admin", "2.53", "PUT", "/os-services/1", {"status": "enabled"}).status_code == 400
    unknown = "/os-services/" + "0" * 32
    assert compute(lab, "admin", "2.53", "PUT", unknown, {"status": "enabled"}).status_code == 404


def test_a_host_that_is_gone_is_forgotten_and_found_again(lab):
    assert compute(lab, "admin", "2.53", "DELETE", "/os-services/" + services(lab)[0]["id"]).status_code == 204
    assert services(lab) == []
    assert compute(lab, "admin", "2.1", "DELETE", "/os-services/1").status_code == 404
    assert compute(lab, "admin", "2.1", "DELETE", "/os-services/x").status_code == 400
    hosts.refresh(lab.cloud)
    assert len(services(lab)) == 1


def test_a_host_that_does_not_answer_is_down_after_a_minute(lab):
    lab.clock.advance(60)
    assert services(lab)[0]["state"] == "up"
    lab.hypervisor.fail_next("resources", 1)
    lab.clock.advance(1)
    hosts.refresh(lab.cloud)
    assert services(lab)[0]["state"] == "down"
    hosts.refresh(lab.cloud)
    assert services(lab)[0]["state"] == "up"


def test_a_host_with_servers_stays(cloud):
    cloud.boot()
    admin = cloud.lab
    assert compute(admin, "admin", "2.1", "DELETE", "/os-services/1").status_code == 409
    found = compute(admin, "admin", "2.53", "GET", "/os-hypervisors/detail?with_servers=true").json()["hypervisors"][0]
    assert [each["name"] for each in found["servers"]] == ["one"]
    assert (found["vcpus_used"], found["memory_mb_used"], found["running_vms"]) == (1, 128 + 512, 1)


@pytest.mark.parametrize(
    ("version", "more", "less"),
    [("2.1", "vcpus", "uptime"), ("2.28", "cpu_info", "uptime"), ("2.53", "vcpus", "uptime"), ("2.88", "uptime", "vcpus")],
)
def test_the_shape_of_a_hypervisor_by_microversion(lab, version, more, less):
    (found,) = compute(lab, "admin", version, "GET", "/os-hypervisors/detail").json()["hypervisors"]
    assert more in found
    assert less not in found
    assert found["hypervisor_hostname"] == "host1"
    assert isinstance(found["id"], str) is (version >= "2.53")
    if version != "2.88":
        assert isinstance(found["cpu_info"], dict) is (version != "2.1")
    shown = compute(lab, "admin", version, "GET", f"/os-hypervisors/{found['id']}")
    assert shown.json()["hypervisor"] == found


def test_hypervisors_are_looked_for(lab):
    def get(version, path):
        return compute(lab, "admin", version, "GET", "/os-hypervisors" + path)

    assert get("2.1", "/host/search").json()["hypervisors"][0]["hypervisor_hostname"] == "host1"
    assert get("2.1", "/none/search").status_code == get("2.1", "/none/servers").status_code == 404
    assert get("2.53", "/host/search").status_code == get("2.53", "/host/servers").status_code == 404
    assert len(get("2.53", "?hypervisor_hostname_pattern=ost").json()["hypervisors"]) == 1
    assert get("2.53", "?hypervisor_hostname_pattern=none").status_code == 404
    assert get("2.53", "?hypervisor_hostname_pattern=ost&limit=1").status_code == 400
    assert get("2.53", "?with_servers=x").status_code == get("2.53", "?x=1").status_code == 400
    assert get("2.75", "?with_servers=true").json()["hypervisors"][0]["servers"] == []
    assert get("2.53", "/1").status_code == 400
    assert get("2.52", "/9").status_code == get("2.52", "/x").status_code == 404
    assert get("2.33", "?marker=9").status_code == 400
    assert get("2.33", "?limit=1").json()["hypervisors"][0]["id"] == 1
    assert get("2.1", "/statistics").json()["hypervisor_statistics"]["vcpus"] == 64
    assert get("2.88", "/statistics").status_code == get("2.88", "/1/uptime").status_code == 404
    assert "load average" in get("2.1", "/1/uptime").json()["hypervisor"]["uptime"]


def aggregate(lab, method, path="", body=None, version="2.41"):
    return compute(lab, "admin", version, method, "/os-aggregates" + path, body)


def test_an_aggregate_makes_a_zone(lab):
    made = aggregate(lab, "POST", body={"aggregate": {"name": "left", "availability_zone": "z1"}}).json()["aggregate"]
    assert set(made) == {"id", "uuid", "name", "availability_zone", "created_at", "updated_at", "deleted", "deleted_at"}
    one = f"/{made['id']}"
    added = aggregate(lab, "POST", one + "/action", {"add_host": {"host": "host1"}}).json()["aggregate"]
    assert (added["hosts"], added["metadata"]) == (["host1"], {"availability_zone": "z1"})
    assert services(lab)[0]["zone"] == "z1"
    zones = compute(lab, "demo", "2.1", "GET", "/os-availability-zone").json()["availabilityZoneInfo"]
    assert zones == [{"zoneName": "z1", "zoneState": {"available": True}, "hosts": None}]
    internal, detail = compute(lab, "admin", "2.1", "GET", "/os-availability-zone/detail").json()["availabilityZoneInfo"]
    assert detail["hosts"]["host1"]["nova-compute"]["available"] is True
    assert (internal["zoneName"], internal["zoneState"]) == ("internal", {"available": True})
    assert set(internal["hosts"]["host1"]) == {"nova-conductor", "nova-scheduler"}
    assert aggregate(lab, "DELETE", one).status_code == 400
    assert aggregate(lab, "POST", one + "/action", {"remove_host": {"host": "host1"}}).json()["aggregate"]["hosts"] == []
    assert aggregate(lab, "POST", one + "/action", {"remove_host": {"host": "host1"}}).status_code == 404
    assert aggregate(lab, "DELETE", one).status_code == 200
    assert aggregate(lab, "GET", one).status_code == 404


def test_a_host_is_in_one_zone_at_most(lab):
    for name, zone in (("a", "z1"), ("b", "z2"), ("c", None)):
        aggregate(lab, "POST", body={"aggregate": {"name": name, "availability_zone": zone}})
    host = {"add_host": {"host": "host1"}}
    assert [aggregate(lab, "POST", f"/{n}/action", host).status_code for n in (1, 1, 2, 3)] == [200, 409, 409, 200]
    assert aggregate(lab, "PUT", "/3", {"aggregate": {"availability_zone": "z9"}}).status_code == 400
    change = {"set_metadata": {"metadata": {"availability_zone": "z9"}}}
    assert aggregate(lab, "POST", "/3/action", change).status_code == 400
    assert aggregate(lab, "POST", "/1/action", {"add_host": {"host": "nowhere"}}).status_code == 404


def test_servers_stay_in_their_zone(cloud):
    cloud.boot()
    aggregate(cloud.lab, "POST", body={"aggregate": {"name": "a", "availability_zone": "z1"}})
    refused = aggregate(cloud.lab, "POST", "/1/action", {"add_host": {"host": "host1"}})
    assert refused.status_code == 409
    assert "contain instances" in refused.json()["conflictingRequest"]["message"]


def test_metadata_and_names_of_aggregates(lab):
    aggregate(lab, "POST", body={"aggregate": {"name": "a"}})
    aggregate(lab, "POST", body={"aggregate": {"name": "b"}})
    assert aggregate(lab, "POST", body={"aggregate": {"name": "a"}}).status_code == 409
    assert aggregate(lab, "PUT", "/2", {"aggregate": {"name": "a"}}).status_code == 409
    assert aggregate(lab, "PUT", "/2", {"aggregate": {"name": "c"}}).json()["aggregate"]["name"] == "c"
    set_both = {"set_metadata": {"metadata": {"ssd": "true", "x": "1"}}}
    assert aggregate(lab, "POST", "/1/action", set_both).json()["aggregate"]["metadata"] == {"ssd": "true", "x": "1"}
    drop = {"set_metadata": {"metadata": {"x": None}}}
    assert aggregate(lab, "POST", "/1/action", drop).json()["aggregate"]["metadata"] == {"ssd": "true"}
    assert "uuid" not in aggregate(lab, "GET", "/1", version="2.40").json()["aggregate"]
    assert aggregate(lab, "POST", "/1/images", {"cache": [{"id": "0" * 36}]}, "2.81").status_code == 501


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "", {"aggregate": {}}), ("POST", "", {"aggregate": {"name": ""}}),
        ("POST", "", {"aggregate": {"name": "x" * 256}}),
        ("POST", "", {"aggregate": {"name": "x", "availability_zone": "a:b"}}), ("POST", "", None), ("GET", "/x", None),
        ("PUT", "/1", {"aggregate": {}}), ("PUT", "/1", {"aggregate": {"hosts": []}}), ("POST", "/1/action", {}),
        ("POST", "/1/action", {"add_host": {"host": "a b"}}), ("POST", "/1/action", {"explode": {}}),
        ("POST", "/1/action", {"set_metadata": {"metadata": {"a": 1}}}), ("DELETE", "/x", None),
    ],
)  # fmt: skip
def test_what_is_no_aggregate(lab, method, path, body):
    aggregate(lab, "POST", body={"aggregate": {"name": "a"}})
    assert aggregate(lab, method, path, body).status_code == 400
