"""Snapshots: taken, listed, shown, changed, dropped; in what state, and by whom."""

import pytest

GONE = "00000000-0000-4000-8000-000000000000"


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["snapshots"]]


def test_a_snapshot_is_taken_and_dropped_without_a_trace(cloud):
    volume = cloud.make(size=2)
    answer = cloud.snap(volume, name=" s ", description="d", metadata={"a": "b"})
    assert answer.status_code == 202
    made = answer.json()["snapshot"]
    assert (made["status"], made["name"], made["size"], made["metadata"]) == ("creating", "s", 2, {"a": "b"})
    cloud.lab.settle()
    assert cloud.snapshot(made["id"])["os-extended-snapshot-attributes:progress"] == "100%"
    assert cloud.place(volume).observe(volume).snapshots == (made["id"],)
    assert cloud.delete(volume).status_code == 400
    assert cloud.demo.delete(f"/snapshots/{made['id']}").status_code == 202
    cloud.lab.settle()
    assert cloud.snapshot(made["id"]) is None
    assert cloud.place(volume).observe(volume).snapshots == ()
    assert cloud.tasks() == []


def test_a_volume_goes_with_its_snapshots_when_that_is_asked(cloud):
    volume = cloud.make()
    for _ in range(3):
        cloud.make_snapshot(volume)
    assert cloud.delete(volume, cascade="true").status_code == 202
    cloud.lab.settle()
    assert cloud.show(volume) is None
    assert ids(cloud.demo.get("/snapshots")) == []
    assert cloud.left_over() == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"volume_id": GONE}, 404),
        ({"volume_id": None}, 404),
        ({"volume_id": "x"}, 400),
        ({}, 400),
        ({"name": "x" * 256}, 400),
        ({"description": "x" * 256}, 400),
        ({"metadata": {"": "x"}}, 400),
        ({"metadata": {"k": 1}}, 400),
        ({"force": "maybe"}, 400),
        ({"colour": "red"}, 400),
    ],
)
def test_what_is_no_snapshot(cloud, body, status):
    whole = {"volume_id": cloud.make(), **body} if body else {}
    assert cloud.demo.post("/snapshots", json={"snapshot": whole}).status_code == status


def test_a_volume_in_use_is_snapshotted_by_force_and_since_3_66_always(cloud):
    volume = cloud.make()
    cloud.attach(volume)
    old = cloud.api(version="3.65")
    assert cloud.snap(volume, old).status_code == 400
    assert cloud.snap(volume, old, force=True).status_code == 202
    assert cloud.snap(volume).status_code == 202
    assert cloud.snap(volume, force=True).status_code == 202
    assert "is invalid for this request" in cloud.snap(volume, force=False).text
    cloud.lab.settle()
    assert {cloud.snapshot(id)["status"] for id in ids(cloud.demo.get("/snapshots"))} == {"available"}


def test_a_volume_that_is_not_there_yet_is_not_snapshotted(cloud):
    volume = cloud.post().json()["volume"]["id"]
    assert cloud.snap(volume, force=True).status_code == 400


def test_a_back_end_that_cannot(cloud):
    volume = cloud.make()
    cloud.place(volume).fail("take_snapshot")
    snapshot = cloud.snap(volume).json()["snapshot"]["id"]
    cloud.lab.settle()
    assert cloud.snapshot(snapshot)["status"] == "error"
    cloud.place(volume).fail("drop_snapshot")
    assert cloud.demo.delete(f"/snapshots/{snapshot}").status_code == 202
    cloud.lab.settle()
    assert cloud.snapshot(snapshot)["status"] == "error_deleting"
    assert set(cloud.messages()) == {
        "delete snapshot:The snapshot could not be deleted.", "create snapshot:The snapshot could not be created.",
    }  # fmt: skip
    assert cloud.demo.delete(f"/snapshots/{snapshot}").status_code == 400
    action = {"os-force_delete": {}}
    assert cloud.demo.post(f"/snapshots/{snapshot}/action", json=action).status_code == 403
    assert cloud.admin.post(f"/snapshots/{snapshot}/action", json=action).status_code == 202
    cloud.lab.settle()
    assert cloud.snapshot(snapshot) is None


def test_a_snapshot_stays_until_the_volumes_of_it_are_made(cloud):
    volume = cloud.make()
    cloud.write(volume, b"data")
    snapshot = cloud.make_snapshot(volume)
    copy = cloud.post(snapshot_id=snapshot).json()["volume"]["id"]
    assert cloud.demo.delete(f"/snapshots/{snapshot}").status_code == 202
    cloud.lab.settle(1)
    cloud.lab.settle(1)
    assert cloud.snapshot(snapshot) is None
    assert cloud.read(copy, 4) == b"data"


@pytest.fixture
def three(cloud):
    """Snapshots a, b and c, made in this order; c is of another volume."""
    first, second = cloud.make(), cloud.make()
    found = {"volume": first}
    for name, volume in (("a", first), ("b", first), ("c", second)):
        found[name] = cloud.make_snapshot(volume, name=name, metadata={"letter": name})
        cloud.lab.clock.advance(60)
    return found


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "cba"), ("sort=name:asc", "abc"), ("sort_key=created_at&sort_dir=asc", "abc"), ("limit=1", "c"), ("offset=2", "a"),
        ("limit=0", ""), ("name=b", "b"), ("status=available", "cba"), ("status=error", ""), ("volume_id={volume}", "ba"),
        ("metadata={{'letter':'a'}}", "a"), ("marker={b}", "a"), ("name~=c", "c"), ("availability_zone=nova", "cba"),
        ("availability_zone=x", ""), ("consumes_quota=true", "cba"),
    ],
)  # fmt: skip
def test_lists(cloud, three, query, names):
    query = query.format(**three)
    assert ids(cloud.demo.get(f"/snapshots?{query}")) == [three[name] for name in names]
    assert ids(cloud.demo.get(f"/snapshots/detail?{query}")) == [three[name] for name in names]


@pytest.mark.parametrize("query", ["limit=-1", "limit=x", "sort=colour", "colour=red", "offset=-1", "metadata=x"])
def test_queries_that_make_no_sense(cloud, three, query):
    assert cloud.demo.get(f"/snapshots?{query}").status_code == 400


def test_pages_counts_and_projects(cloud, three):
    answer = cloud.demo.get("/snapshots?limit=2&with_count=true").json()
    assert (len(answer["snapshots"]), answer["count"]) == (2, 3)
    assert ids(cloud.demo.get(answer["snapshots_links"][0]["href"])) == [three["a"]]
    assert cloud.demo.get(f"/snapshots?marker={GONE}").status_code == 404
    assert ids(cloud.other.get("/snapshots?all_tenants=1")) == []
    assert ids(cloud.admin.get("/snapshots")) == []
    assert len(ids(cloud.admin.get("/snapshots?all_tenants=1"))) == 3


def test_what_a_snapshot_says_of_itself_by_microversion(cloud, three):
    def keys(version):
        return cloud.api(version=version).get(f"/snapshots/{three['a']}").json()["snapshot"].keys()

    plain = {
        "id", "created_at", "updated_at", "name", "description", "volume_id", "status", "size", "metadata",
        "os-extended-snapshot-attributes:progress", "os-extended-snapshot-attributes:project_id",
    }  # fmt: skip
    assert keys("3.0") == plain
    assert keys("3.14") == plain | {"group_snapshot_id"}
    assert keys("3.41") == plain | {"group_snapshot_id", "user_id"}
    assert keys("3.65") == plain | {"group_snapshot_id", "user_id", "consumes_quota"}


def test_changes_and_metadata(cloud, three):
    at = f"/snapshots/{three['a']}"
    assert cloud.demo.put(at, json={"snapshot": {"name": " x ", "description": "y"}}).json()["snapshot"]["name"] == "x"
    for body in ({}, {"snapshot": {}}, {"snapshot": {"size": 1}}, {"snapshot": {"name": "x" * 256}}):
        assert cloud.demo.put(at, json=body).status_code == 400
    metadata = f"{at}/metadata"
    assert cloud.demo.post(metadata, json={"metadata": {"k": "1"}}).json() == {"metadata": {"letter": "a", "k": "1"}}
    assert cloud.demo.put(f"{metadata}/k", json={"meta": {"k": "2"}}).json() == {"meta": {"k": "2"}}
    assert cloud.demo.get(f"{metadata}/k").json() == {"meta": {"k": "2"}}
    assert cloud.demo.put(metadata, json={"metadata": {"z": "3"}}).json() == {"metadata": {"z": "3"}}
    assert cloud.demo.delete(f"{metadata}/z").status_code == 200
    assert cloud.demo.delete(f"{metadata}/z").status_code == 404
    assert cloud.demo.get(metadata).json() == {"metadata": {}}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "", {"snapshot": {"name": "x"}}), ("DELETE", "", None), ("POST", "/metadata", {"metadata": {}}),
        ("PUT", "/metadata", {"metadata": {}}), ("PUT", "/metadata/a", {"meta": {"a": "b"}}),
        ("DELETE", "/metadata/letter", None),
        ("POST", "/action", {"os-reset_status": {"status": "error"}}), ("POST", "/action", {"os-force_delete": {}}),
        ("POST", "/action", {"os-update_snapshot_status": {"status": "error"}}), ("POST", "/action", {"os-unmanage": {}}),
    ],
)  # fmt: skip
def test_nobody_touches_another_projects_snapshot_and_readers_touch_none(cloud, three, method, path, body):
    at = f"/snapshots/{three['a']}{path}"
    assert cloud.other.request(method, at, json=body).status_code == 404
    assert cloud.api("reader").request(method, at, json=body).status_code == 403
    assert cloud.other.get(f"/snapshots/{three['a']}").status_code == 404
    assert cloud.api("reader").get(f"/snapshots/{three['a']}").status_code == 200


def test_states_that_are_said(cloud, three):
    at = f"/snapshots/{three['a']}/action"
    for status in ("weird", None, ""):
        assert cloud.admin.post(at, json={"os-reset_status": {"status": status}}).status_code == 400
    assert cloud.admin.post(at, json={"os-reset_status": {"status": "creating"}}).status_code == 202
    told = {"os-update_snapshot_status": {"status": "available", "progress": "80%"}}
    assert cloud.demo.post(at, json=told).status_code == 202
    assert cloud.snapshot(three["a"])["os-extended-snapshot-attributes:progress"] == "80%"
    assert cloud.demo.post(at, json=told).status_code == 400
    cloud.admin.post(at, json={"os-reset_status": {"status": "creating"}})
    assert cloud.demo.post(at, json={"os-update_snapshot_status": {"status": "deleting"}}).status_code == 400


def test_snapshots_count_against_the_quota(cloud):
    volume = cloud.make()
    cloud.limit(snapshots=1)
    cloud.make_snapshot(volume)
    answer = cloud.snap(volume)
    assert answer.status_code == 413
    assert "Maximum number of snapshots allowed (1) exceeded" in answer.text
