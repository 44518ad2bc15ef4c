"""Block storage as nova showed it."""

import pytest

ROOT = "/compute/v2.1"


@pytest.fixture
def nova(store):
    return store.lab.client("demo", {"OpenStack-API-Version": "compute 2.35"})


def test_volumes(store, nova):
    wanted = {"size": "1", "display_name": "old", "metadata": {"a": "b"}}
    answer = nova.post(f"{ROOT}/os-volumes", json={"volume": wanted})
    assert answer.status_code == 200, answer.text
    made = answer.json()["volume"]
    store.lab.settle()
    shown = nova.get(f"{ROOT}/os-volumes/{made['id']}").json()["volume"]
    assert (shown["displayName"], shown["size"], shown["status"], shown["metadata"]) == ("old", 1, "available", {"a": "b"})
    assert shown["attachments"] == [{}]
    id = store.boot()
    store.attach(id, made["id"])
    (listed,) = nova.get(f"{ROOT}/os-volumes/detail").json()["volumes"]
    assert listed["attachments"] == [{"id": made["id"], "volumeId": made["id"], "serverId": id, "device": "/dev/vdb"}]
    assert nova.delete(f"{ROOT}/os-volumes/{made['id']}").status_code == 400
    store.detach(id, made["id"])
    assert nova.delete(f"{ROOT}/os-volumes/{made['id']}").status_code == 202
    store.lab.settle()
    assert nova.get(f"{ROOT}/os-volumes/{made['id']}").status_code == 404
    assert nova.get(f"{ROOT}/os-volumes").json() == {"volumes": []}


def test_pages(store, nova):
    ids = [store.volume() for _ in range(3)]
    everything = [each["id"] for each in nova.get(f"{ROOT}/os-volumes").json()["volumes"]]
    assert sorted(everything) == sorted(ids)
    second = nova.get(f"{ROOT}/os-volumes?limit=1&offset=1").json()["volumes"]
    assert [each["id"] for each in second] == everything[1:2]


def test_snapshots(store, nova):
    volume = store.volume()
    answer = nova.post(f"{ROOT}/os-snapshots", json={"snapshot": {"volume_id": volume, "display_name": "s"}})
    assert answer.status_code == 200, answer.text
    store.lab.settle()
    (listed,) = nova.get(f"{ROOT}/os-snapshots").json()["snapshots"]
    assert (listed["volumeId"], listed["displayName"], listed["status"], listed["size"]) == (volume, "s", "available", 1)
    assert nova.get(f"{ROOT}/os-snapshots/detail").json()["snapshots"] == [listed]
    assert nova.get(f"{ROOT}/os-snapshots/{listed['id']}").json()["snapshot"] == listed
    made = nova.post(f"{ROOT}/os-volumes", json={"volume": {"size": 1, "snapshot_id": listed["id"]}})
    assert made.json()["volume"]["snapshotId"] == listed["id"]
    store.lab.settle()
    assert nova.delete(f"{ROOT}/os-snapshots/{listed['id']}").status_code == 202
    store.lab.settle()
    assert nova.get(f"{ROOT}/os-snapshots/{listed['id']}").status_code == 404


@pytest.mark.parametrize(
    "wanted", [{"size": 0}, {"size": "x"}, {}, {"size": 1, "wrong": 1}, {"size": 1, "availability_zone": "none"}, {"size": -1}]
)
def test_what_is_refused(store, nova, wanted):
    assert nova.post(f"{ROOT}/os-volumes", json={"volume": wanted}).status_code == 400


def test_the_calls_end_and_are_the_projects_own(store, nova):
    volume = store.volume()
    late = store.lab.client("demo", {"OpenStack-API-Version": "compute 2.36"})
    for path in ("os-volumes", "os-volumes/detail", "os-snapshots", f"os-volumes/{volume}"):
        assert late.get(f"{ROOT}/{path}").status_code == 404
    stranger = store.lab.client("other", {"OpenStack-API-Version": "compute 2.35"})
    assert stranger.get(f"{ROOT}/os-volumes/{volume}").status_code == 404
    assert stranger.get(f"{ROOT}/os-volumes").json() == {"volumes": []}
    assert store.lab.client("reader").delete(f"{ROOT}/os-volumes/{volume}").status_code == 403
