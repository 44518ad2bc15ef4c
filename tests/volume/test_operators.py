"""What operators see and steer: services, hosts, pools, capabilities; and what users are told when work fails."""

import pytest

from pileus.volume.bundle import BUNDLE
from pileus.volume.drivers.fake import FakeBackend

GONE = "00000000-0000-4000-8000-000000000000"


def services(cloud, query=""):
    return cloud.admin.get(f"/os-services{query}").json()["services"]


def test_the_parts_of_the_service(cloud):
    found = services(cloud)
    assert {(one["binary"], one["host"], one["status"], one["state"]) for one in found} == {
        ("cinder-volume", "host1@fake", "enabled", "up"),
        ("cinder-volume", "host1@more", "enabled", "up"),
        ("cinder-scheduler", "host1", "enabled", "up"),
        ("cinder-backup", "host1", "enabled", "up"),
    }
    assert len(services(cloud, "?host=host1")) == 4
    assert len(services(cloud, "?host=host1@more")) == 1
    assert len(services(cloud, "?binary=cinder-volume&host=host1")) == 2
    assert services(cloud, "?binary=x") == []
    assert cloud.demo.get("/os-services").status_code == 403


def test_the_back_ends_of_a_host_that_joins_a_cloud_that_runs(cloud):
    cloud.lab.cloud.bus._hosts["host2@late"] = {"volume": FakeBackend()}
    for _ in range(2):
        next(loop for loop in BUNDLE.loops if loop.name == "volume.backends").run(cloud.lab.cloud)
    assert [(late["status"], late["state"]) for late in services(cloud, "?host=host2@late")] == [("enabled", "up")]
    assert cloud.admin.put("/os-services/freeze", json={"host": "host2@late"}).status_code == 200


def test_a_back_end_that_does_not_answer_is_down_and_gets_nothing(cloud):
    cloud.backends["host1@fake"].fail("capacity", times=None)
    cloud.lab.clock.advance(60)
    states = {one["host"]: one["state"] for one in services(cloud, "?binary=cinder-volume")}
    assert states == {"host1@fake": "down", "host1@more": "up"}
    for _ in range(3):
        assert cloud.place(cloud.make()) is cloud.backends["host1@more"]


def test_a_disabled_back_end_gets_nothing_new(cloud):
    body = {"host": "host1@fake", "binary": "cinder-volume", "disabled_reason": "moving house"}
    answer = cloud.admin.put("/os-services/disable-log-reason", json=body)
    assert answer.json() == {**body, "service": "", "status": "disabled", "disabled": True}
    assert {one["disabled_reason"] for one in services(cloud, "?host=host1@fake")} == {"moving house"}
    for _ in range(3):
        assert cloud.place(cloud.make()) is cloud.backends["host1@more"]
    assert "host1@fake" not in {one["host_name"] for one in cloud.admin.get("/os-hosts").json()["hosts"]}
    assert cloud.admin.put("/os-services/enable", json={k: body[k] for k in ("host", "binary")}).json()["status"] == "enabled"
    assert {cloud.show(cloud.make())["os-vol-host-attr:host"] for _ in range(3)} == {"host1@fake#fake"}


def test_a_frozen_back_end_gets_nothing_new(cloud):
    assert cloud.admin.put("/os-services/freeze", json={"host": "host1@fake"}).status_code == 200
    assert services(cloud, "?host=host1@fake")[0]["frozen"] is True
    assert cloud.place(cloud.make()) is cloud.backends["host1@more"]
    assert cloud.admin.put("/os-services/thaw", json={"host": "host1@fake"}).status_code == 200
    assert cloud.place(cloud.make()) is cloud.backends["host1@fake"]


@pytest.mark.parametrize(
    ("action", "body", "status"),
    [
        ("disable", {"host": "atlantis", "binary": "cinder-volume"}, 404), ("disable", {"binary": "cinder-volume"}, 400),
        ("disable-log-reason", {"host": "host1@fake", "binary": "cinder-volume"}, 400), ("freeze", {"host": "atlantis"}, 400),
        ("failover_host", {"host": "host1@fake"}, 400), ("fly", {}, 404), ("disable", None, 400),
        ("set-log", {"level": "x"}, 400),
    ],
)  # fmt: skip
def test_what_is_no_steering(cloud, action, body, status):
    assert cloud.admin.put(f"/os-services/{action}", json=body).status_code == status
    assert cloud.demo.put(f"/os-services/{action}", json=body).status_code == 403


def test_log_levels(cloud):
    assert (
        cloud.admin.put("/os-services/set-log", json={"level": "ERROR", "prefix": "pileus.volume.tasks.volumes"}).status_code
        == 202
    )
    told = cloud.admin.put("/os-services/get-log", json={"prefix": "pileus.volume.tasks.volumes"}).json()["log_levels"]
    assert told[0]["levels"]["pileus.volume.tasks.volumes"] == "ERROR"
    cloud.admin.put("/os-services/set-log", json={"level": "info", "prefix": "pileus.volume.tasks.volumes"})


def test_hosts(cloud):
    mine, others = cloud.make(size=2), cloud.make(cloud.other, hints={"same_host": None})
    cloud.make_snapshot(mine)
    host = cloud.show(mine)["os-vol-host-attr:host"].partition("#")[0]
    found = [one["resource"] for one in cloud.admin.get(f"/os-hosts/{host}").json()["host"]]
    assert found[0] == {
        "host": host, "project": "(total)", "volume_count": "1", "total_volume_gb": "2", "snapshot_count": "1",
        "total_snapshot_gb": "2",
    }  # fmt: skip
    assert [one["project"] for one in found[1:]] == ["b" * 32]
    assert cloud.show(others)["status"] == "available"
    assert cloud.admin.get("/os-hosts/atlantis").status_code == 404
    assert cloud.demo.get("/os-hosts").status_code == 403
    assert cloud.admin.put(f"/os-hosts/{host}", json={"status": "disable"}).json() == {"host": host, "status": "disabled"}
    assert cloud.show(cloud.make())["os-vol-host-attr:host"].partition("#")[0] != host
    assert cloud.admin.put(f"/os-hosts/{host}", json={"status": "enable"}).status_code == 200
    for body in ({"status": "x"}, {"x": "enable"}, {}):
        assert cloud.admin.put(f"/os-hosts/{host}", json=body).status_code == 400


def test_pools(cloud):
    cloud.make(size=5)
    brief = cloud.admin.get("/scheduler-stats/get_pools").json()["pools"]
    assert brief == [{"name": "host1@fake#fake"}, {"name": "host1@more#more"}]
    full = cloud.admin.get("/scheduler-stats/get_pools?detail=true").json()["pools"]
    has = {one["name"]: one["capabilities"] for one in full}
    assert {name: one["provisioned_capacity_gb"] for name, one in has.items()} == {"host1@fake#fake": 5, "host1@more#more": 0}
    assert has["host1@fake#fake"]["volume_backend_name"] == "fake"
    assert has["host1@fake#fake"]["total_capacity_gb"] == 1000
    cloud.type("there", {"volume_backend_name": "more"})
    assert cloud.admin.get("/scheduler-stats/get_pools?volume_type=there").json()["pools"] == [{"name": "host1@more#more"}]
    assert cloud.admin.get("/scheduler-stats/get_pools?name=host1@fake%23fake").json()["pools"] == [{"name": "host1@fake#fake"}]
    assert cloud.admin.get("/scheduler-stats/get_pools?colour=red").status_code == 400
    assert cloud.demo.get("/scheduler-stats/get_pools").status_code == 403


def test_capabilities(cloud):
    found = cloud.admin.get("/capabilities/host1@fake").json()
    assert (found["namespace"], found["volume_backend_name"]) == ("OS::Storage::Capabilities::host1@fake", "fake")
    assert cloud.admin.get("/capabilities/atlantis").status_code == 404
    assert cloud.demo.get("/capabilities/host1@fake").status_code == 403


def test_there_are_no_clusters_and_nothing_to_clean(cloud):
    assert cloud.admin.get("/clusters").json() == {"clusters": []}
    assert cloud.admin.get("/clusters/x").status_code == 404
    assert cloud.admin.put("/clusters/enable", json={"name": "x"}).status_code == 404
    assert cloud.admin.post("/workers/cleanup", json={}).json() == {"cleaning": [], "unavailable": []}
    for method, path in (("GET", "/clusters"), ("GET", "/clusters/x"), ("PUT", "/clusters/enable"), ("POST", "/workers/cleanup")):
        assert cloud.demo.request(method, path, json={}).status_code == 403


# ---- messages


@pytest.fixture
def told(cloud) -> list[dict]:
    """Three messages of the project, the newest first."""
    for backend in cloud.backends.values():
        backend.fail("ensure", times=None)
    for _ in range(3):
        cloud.post()
        cloud.lab.settle()
        cloud.lab.clock.advance(60)
    return cloud.demo.get("/messages").json()["messages"]


def test_a_message_says_what_became_of_what(cloud, told):
    message = told[0]
    volumes = {volume["id"] for volume in cloud.demo.get("/volumes").json()["volumes"]}
    assert {one["resource_uuid"] for one in told} == volumes
    assert message["event_id"] == "VOLUME_VOLUME_001_003"
    assert (message["resource_type"], message["message_level"]) == ("VOLUME", "ERROR")
    assert message["request_id"].startswith("req-")
    assert message["guaranteed_until"] > message["created_at"]
    assert cloud.demo.get(f"/messages/{message['id']}").json()["message"] == message
    assert cloud.demo.delete(f"/messages/{message['id']}").status_code == 204
    assert cloud.demo.get(f"/messages/{message['id']}").status_code == 404


def test_messages_are_filtered_sorted_and_cut(cloud, told):
    def ids(query, status=200):
        answer = cloud.demo.get(f"/messages?{query}")
        assert answer.status_code == status, answer.text
        return [one["id"] for one in answer.json()["messages"]] if status == 200 else None

    every = [one["id"] for one in told]
    assert ids("sort=created_at:asc") == every[::-1]
    assert ids("limit=1&offset=1") == every[1:2]
    assert ids(f"marker={every[0]}") == every[1:]
    assert ids(f"resource_uuid={told[1]['resource_uuid']}") == every[1:2]
    assert ids("resource_type=VOLUME_SNAPSHOT") == []
    assert ids("event_id=VOLUME_VOLUME_001_003&message_level=ERROR") == every
    link = cloud.demo.get("/messages?limit=2").json()["messages_links"][0]["href"]
    assert [one["id"] for one in cloud.demo.get(link).json()["messages"]] == every[2:]
    for query in ("colour=red", "sort=colour", "limit=x"):
        ids(query, 400)
    ids(f"marker={GONE}", 404)
    assert cloud.api(version="3.2").get("/messages").status_code == 404


def test_nobody_reads_another_projects_messages(cloud, told):
    at = f"/messages/{told[0]['id']}"
    assert cloud.other.get(at).status_code == 404
    assert cloud.other.delete(at).status_code == 404
    assert cloud.other.get("/messages").json()["messages"] == []
    assert cloud.api("reader").get(at).status_code == 200
    assert cloud.api("reader").delete(at).status_code == 403


def test_messages_do_not_stay_for_ever(cloud, told):
    from pileus.volume import messages

    cloud.lab.clock.advance(messages.LASTS_SECONDS + 1)
    messages.expire(cloud.lab.cloud)
    assert cloud.demo.get("/messages").json()["messages"] == []
