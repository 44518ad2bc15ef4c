"""Groups of volumes, their types and their snapshots over HTTP."""

import pytest

from tests.conftest import BLUE

LATEST = {"OpenStack-API-Version": "volume 3.70"}
YES = "<is> True"


@pytest.fixture
def admin(lab):
    return lab.client("admin", LATEST)


@pytest.fixture
def demo(lab):
    return lab.client("demo", LATEST)


def url(path):
    return f"/volume/v3/{path}"


def make_group_type(admin, name="plain", **specs):
    answer = admin.post(url("group_types"), json={"group_type": {"name": name, "group_specs": specs}})
    assert answer.status_code == 202, answer.text
    return answer.json()["group_type"]["id"]


def make_type(admin, name="fast", **specs):
    answer = admin.post(url("types"), json={"volume_type": {"name": name, "extra_specs": specs}})
    return answer.json()["volume_type"]["id"]


@pytest.fixture
def kinds(admin):
    """A group type whose snapshots are of one instant, and a volume type."""
    return make_group_type(admin, "consistent", consistent_group_snapshot_enabled=YES), make_type(admin)


def make_group(lab, demo, kinds, **facts):
    body = {"name": "crew", "group_type": kinds[0], "volume_types": [kinds[1]], **facts}
    answer = demo.post(url("groups"), json={"group": body})
    assert answer.status_code == 202, answer.text
    lab.settle()
    return answer.json()["group"]["id"]


def make_volume(lab, demo, kinds, group_id=None, **facts):
    body = {"size": 1, "volume_type": kinds[1], **({"group_id": group_id} if group_id else {}), **facts}
    answer = demo.post(url("volumes"), json={"volume": body})
    assert answer.status_code == 202, answer.text
    lab.settle()
    return answer.json()["volume"]["id"]


def group_of(client, group_id):
    return client.get(url(f"groups/{group_id}?list_volume=True")).json()["group"]


def settle(lab, *_):
    for _ in range(6):
        lab.settle(1)


def message(answer):
    (fault,) = answer.json().values()
    return fault["message"]


# ---- types


def test_group_types(admin, demo, lab):
    answer = admin.post(url("group_types"), json={"group_type": {"name": "gold", "description": "d", "group_specs": {"a": "b"}}})
    assert answer.status_code == 202
    made = answer.json()["group_type"]
    assert made == {"id": made["id"], "name": "gold", "description": "d", "is_public": True, "group_specs": {"a": "b"}}
    one = url(f"group_types/{made['id']}")
    assert admin.get(one).json()["group_type"] == made
    assert "group_specs" not in demo.get(one).json()["group_type"]
    assert {each["name"] for each in demo.get(url("group_types")).json()["group_types"]} == {"gold", "default_cgsnapshot_type"}
    assert admin.post(url("group_types"), json={"group_type": {"name": "gold"}}).status_code == 409
    assert admin.put(one, json={"group_type": {"name": "silver", "is_public": False}}).status_code == 200
    assert demo.get(one).status_code == 404
    assert [each["name"] for each in admin.get(url("group_types?is_public=False")).json()["group_types"]] == ["silver"]
    assert admin.put(one, json={"group_type": {}}).status_code == 400
    assert demo.post(url("group_types"), json={"group_type": {"name": "x"}}).status_code == 403
    assert admin.delete(one).status_code == 202
    assert message(admin.get(one)) == f"Group type {made['id']} could not be found."
    assert lab.client("admin", {"OpenStack-API-Version": "volume 3.10"}).get(url("group_types")).status_code == 404
    assert message(admin.get(url("group_types/default"))) == "Default group type can not be found."


def test_group_specs(admin, demo):
    specs = url(f"group_types/{make_group_type(admin)}/group_specs")
    assert admin.post(specs, json={"group_specs": {"a": "1", "b": "2"}}).status_code == 202
    assert admin.put(f"{specs}/a", json={"a": "3"}).json() == {"a": "3"}
    assert admin.get(specs).json() == {"group_specs": {"a": "3", "b": "2"}}
    assert admin.get(f"{specs}/a").json() == {"a": "3"}
    assert admin.delete(f"{specs}/a").status_code == 202
    assert admin.delete(f"{specs}/a").status_code == 404
    assert admin.get(f"{specs}/a").status_code == 404
    assert admin.put(f"{specs}/a", json={"b": "3"}).status_code == 400
    assert demo.get(specs).status_code == 403


# ---- groups


def test_a_group_is_made_shown_and_deleted(lab, admin, demo, kinds):
    group_id = make_group(lab, demo, kinds, description="all of it")
    shown = group_of(demo, group_id)
    assert shown["created_at"]
    assert {**shown, "created_at": ""} == {
        "id": group_id, "status": "available", "availability_zone": "nova", "created_at": "", "name": "crew",
        "description": "all of it", "group_type": kinds[0], "volume_types": [kinds[1]], "group_snapshot_id": None,
        "source_group_id": None, "volumes": [], "replication_status": "disabled",
    }  # fmt: skip
    assert group_of(admin, group_id)["project_id"] == BLUE
    assert demo.get(url("groups")).json() == {"groups": [{"id": group_id, "name": "crew"}]}
    assert lab.client("other", LATEST).get(url(f"groups/{group_id}")).status_code == 404
    assert admin.get(url("groups")).json() == {"groups": []}
    assert len(admin.get(url("groups?all_tenants=1")).json()["groups"]) == 1
    assert demo.get(url("groups/detail?name=crew")).json()["groups"][0]["id"] == group_id
    assert demo.get(url("groups?name~=re")).json()["groups"]
    assert demo.get(url("groups?name=cr")).json() == {"groups": []}
    assert demo.get(url("groups?odd=1")).status_code == 400
    assert message(admin.delete(url(f"group_types/{kinds[0]}"))) == "Target group type is still in use."
    assert message(admin.delete(url(f"types/{kinds[1]}"))) == "Target volume type is still in use."
    assert demo.post(url(f"groups/{group_id}/action"), json={"delete": {"delete-volumes": False}}).status_code == 202
    settle(lab)
    assert message(demo.get(url(f"groups/{group_id}"))) == f"Group {group_id} could not be found."


@pytest.mark.parametrize("changes", [
    {"volume_types": []}, {"group_type": ""}, {"volume_types": ["fast", "fast"]}, {"availability_zone": "mars"}, {"odd": 1},
])  # fmt: skip
def test_a_group_that_cannot_be(demo, kinds, changes):
    body = {"group_type": kinds[0], "volume_types": [kinds[1]], **changes}
    assert demo.post(url("groups"), json={"group": body}).status_code == 400


def test_a_group_of_types_that_are_not_there(demo, kinds):
    assert demo.post(url("groups"), json={"group": {"group_type": "odd", "volume_types": [kinds[1]]}}).status_code == 404
    assert demo.post(url("groups"), json={"group": {"group_type": kinds[0], "volume_types": ["odd"]}}).status_code == 404


def test_a_group_that_no_back_end_fits(lab, admin, demo, kinds):
    other = make_type(admin, "odd", volume_backend_name="nowhere")
    group_id = make_group(lab, demo, kinds, volume_types=[other])
    assert group_of(demo, group_id)["status"] == "error"
    assert demo.post(url(f"groups/{group_id}/action"), json={"delete": {}}).status_code == 202
    assert demo.get(url(f"groups/{group_id}")).status_code == 404


def test_how_many_groups_a_project_may_have(lab, admin, demo, kinds):
    admin.put(url(f"os-quota-sets/{BLUE}"), json={"quota_set": {"groups": 1}})
    make_group(lab, demo, kinds)
    answer = demo.post(url("groups"), json={"group": {"group_type": kinds[0], "volume_types": [kinds[1]]}})
    assert answer.status_code == 413
    assert answer.json() == {
        "overLimit": {"code": 413, "message": "Maximum number of groups allowed (1) exceeded", "retryAfter": "0"}
    }
    assert answer.headers["Retry-After"] == "0"


def test_volumes_of_a_group_lie_together(lab, admin, demo, kinds):
    group_id = make_group(lab, demo, kinds)
    ids = [make_volume(lab, demo, kinds, group_id) for _ in range(3)]
    hosts = {admin.get(url(f"volumes/{id}")).json()["volume"]["os-vol-host-attr:host"] for id in ids}
    assert len(hosts) == 1
    assert group_of(demo, group_id)["volumes"] == ids or set(group_of(demo, group_id)["volumes"]) == set(ids)
    assert demo.get(url(f"volumes/{ids[0]}")).json()["volume"]["group_id"] == group_id
    assert demo.delete(url(f"volumes/{ids[0]}")).status_code == 400
    wrong = demo.post(url("volumes"), json={"volume": {"size": 1, "volume_type": "__DEFAULT__", "group_id": group_id}})
    assert wrong.status_code == 400
    assert "(requested type must be supported by this group)" in message(wrong)
    none = demo.post(url("volumes"), json={"volume": {"size": 1, "volume_type": kinds[1], "group_id": BLUE}})
    assert none.status_code == 404
    refused = demo.post(url(f"groups/{group_id}/action"), json={"delete": {"delete-volumes": False}})
    assert message(refused) == (
        f"Invalid group: Group {group_id} still contains volumes. The delete-volumes flag is required to delete it."
    )
    assert demo.post(url(f"groups/{group_id}/action"), json={"delete": {"delete-volumes": True}}).status_code == 202
    assert group_of(demo, group_id)["status"] == "deleting"
    settle(lab)
    assert demo.get(url(f"groups/{group_id}")).status_code == 404
    assert demo.get(url("volumes")).json()["volumes"] == []


def test_a_volume_of_a_group_that_cannot_be_deleted(lab, demo, kinds):
    group_id = make_group(lab, demo, kinds)
    volume_id = make_volume(lab, demo, kinds, group_id)
    for backend in (lab.cloud.bus.host(f"host1@{name}", "volume") for name in ("fake", "more")):
        backend.fail("destroy", volume_id, times=None)
    demo.post(url(f"groups/{group_id}/action"), json={"delete": {"delete-volumes": True}})
    settle(lab)
    assert group_of(demo, group_id)["status"] == "error_deleting"


def test_volumes_join_and_leave(lab, demo, kinds):
    group_id = make_group(lab, demo, kinds)
    inside = make_volume(lab, demo, kinds, group_id)
    outside = make_volume(lab, demo, ("", "__DEFAULT__"))
    one = url(f"groups/{group_id}")
    changed = demo.put(one, json={"group": {"name": "team", "description": "new", "remove_volumes": inside}})
    assert changed.status_code == 202
    shown = group_of(demo, group_id)
    assert (shown["name"], shown["description"], shown["status"], shown["volumes"]) == ("team", "new", "available", [])
    assert demo.put(one, json={"group": {"add_volumes": inside}}).status_code == 202
    assert group_of(demo, group_id)["volumes"] == [inside]
    for changes, told in (
        ({"add_volumes": outside}, "is not supported by the group."),
        ({"remove_volumes": outside}, "because it is not in the group."),
        ({"add_volumes": BLUE}, "because volume cannot be found."),
        ({"add_volumes": inside, "remove_volumes": inside}, "are in both add and remove volume list."),
        ({"name": "team"}, "because no valid name, description, add_volumes, or remove_volumes were provided."),
    ):
        answer = demo.put(one, json={"group": changes})
        assert answer.status_code == 400, changes
        assert message(answer).endswith(told)
    assert demo.put(one, json={"group": {}}).status_code == 400
    assert lab.client("reader", LATEST).put(one, json={"group": {"name": "x"}}).status_code == 403


def test_a_status_is_reset(lab, admin, demo, kinds):
    group_id = make_group(lab, demo, kinds)
    action = url(f"groups/{group_id}/action")
    assert admin.post(action, json={"reset_status": {"status": "Error"}}).status_code == 202
    assert group_of(demo, group_id)["status"] == "error"
    assert admin.post(action, json={"reset_status": {"status": "odd"}}).status_code == 400
    assert demo.post(action, json={"reset_status": {"status": "error"}}).status_code == 403


def test_nothing_is_replicated(lab, admin, demo, kinds):
    group_id = make_group(lab, demo, kinds)
    for word in ("enable_replication", "disable_replication", "failover_replication", "list_replication_targets"):
        answer = demo.post(url(f"groups/{group_id}/action"), json={word: {}})
        assert answer.status_code == 400
        assert message(answer) == f"Invalid group type: Group {group_id} is not a replication group type."
    replicated = make_group_type(admin, "twice", group_replication_enabled=YES)
    other = make_group(lab, demo, (replicated, kinds[1]))
    assert group_of(demo, other)["status"] == "error"
    answer = demo.post(url(f"groups/{other}/action"), json={"enable_replication": {}})
    assert message(answer).endswith("Cannot enable replication.")


# ---- group snapshots and copies


def test_a_group_is_snapshotted_at_one_instant_and_copied(lab, demo, kinds):
    group_id = make_group(lab, demo, kinds)
    volumes = [make_volume(lab, demo, kinds, group_id) for _ in range(2)]
    answer = demo.post(url("group_snapshots"), json={"group_snapshot": {"group_id": group_id, "name": "now"}})
    assert answer.status_code == 202
    id = answer.json()["group_snapshot"]["id"]
    settle(lab)
    shown = demo.get(url(f"group_snapshots/{id}")).json()["group_snapshot"]
    assert (shown["status"], shown["group_id"], shown["group_type_id"], shown["name"]) == ("available", group_id, kinds[0], "now")
    assert demo.get(url("group_snapshots?status=available")).json() == {"group_snapshots": [{"id": id, "name": "now"}]}
    parts = demo.get(url("snapshots/detail")).json()["snapshots"]
    assert {(part["volume_id"], part["group_snapshot_id"], part["status"]) for part in parts} == {
        (volume_id, id, "available") for volume_id in volumes
    }
    assert demo.delete(url(f"snapshots/{parts[0]['id']}")).status_code == 400
    refused = demo.post(url(f"groups/{group_id}/action"), json={"delete": {"delete-volumes": True}})
    assert message(refused) == "Invalid group: Group has existing snapshots."
    wish = {"name": "copy", "group_snapshot_id": id}
    answer = demo.post(url("groups/action"), json={"create-from-src": wish})
    assert answer.status_code == 202, answer.text
    copy = answer.json()["group"]["id"]
    assert group_of(demo, copy)["status"] == "creating"
    assert demo.delete(url(f"group_snapshots/{id}")).status_code == 400
    settle(lab)
    shown = group_of(demo, copy)
    assert (shown["status"], len(shown["volumes"]), shown["group_snapshot_id"]) == ("available", 2, id)
    assert demo.delete(url(f"group_snapshots/{id}")).status_code == 202
    settle(lab)
    assert demo.get(url(f"group_snapshots/{id}")).status_code == 404
    assert demo.get(url("snapshots")).json()["snapshots"] == []


def test_a_group_is_copied(lab, demo, kinds):
    group_id = make_group(lab, demo, kinds)
    empty = demo.post(url("groups/action"), json={"create-from-src": {"source_group_id": group_id}})
    assert message(empty) == "Invalid group: Source Group is empty. No group will be created."
    make_volume(lab, demo, kinds, group_id)
    answer = demo.post(url("groups/action"), json={"create-from-src": {"source_group_id": group_id}})
    assert answer.status_code == 202
    settle(lab)
    shown = group_of(demo, answer.json()["group"]["id"])
    assert (shown["status"], len(shown["volumes"]), shown["source_group_id"]) == ("available", 1, group_id)
    for wish in ({}, {"source_group_id": group_id, "group_snapshot_id": group_id}, {"source_group_id": "x"}):
        assert demo.post(url("groups/action"), json={"create-from-src": wish}).status_code == 400


def test_all_or_nothing_is_kept(lab, demo, kinds):
    group_id = make_group(lab, demo, kinds)
    volumes = [make_volume(lab, demo, kinds, group_id) for _ in range(2)]
    backends = [lab.cloud.bus.host(f"host1@{name}", "volume") for name in ("fake", "more")]
    for backend in backends:
        backend.fail("take_snapshots", times=None)
    answer = demo.post(url("group_snapshots"), json={"group_snapshot": {"group_id": group_id}})
    id = answer.json()["group_snapshot"]["id"]
    settle(lab)
    assert demo.get(url(f"group_snapshots/{id}")).json()["group_snapshot"]["status"] == "error"
    assert {part["status"] for part in demo.get(url("snapshots")).json()["snapshots"]} == {"error"}
    assert not any(b.volumes[v].snapshots for b in backends for v in volumes if v in b.volumes)
    assert demo.delete(url(f"group_snapshots/{id}")).status_code == 202
    settle(lab)
    assert demo.get(url("snapshots")).json()["snapshots"] == []


def test_snapshots_without_a_promise(lab, admin, demo):
    kinds = make_group_type(admin, "loose", consistent_group_snapshot_enabled="<is> False"), make_type(admin)
    group_id = make_group(lab, demo, kinds)
    make_volume(lab, demo, kinds, group_id)
    id = demo.post(url("group_snapshots"), json={"group_snapshot": {"group_id": group_id}}).json()["group_snapshot"]["id"]
    settle(lab)
    assert demo.get(url(f"group_snapshots/{id}")).json()["group_snapshot"]["status"] == "available"


def test_group_snapshots_of_nothing_and_of_others(lab, admin, demo, kinds):
    group_id = make_group(lab, demo, kinds)
    body = {"group_snapshot": {"group_id": group_id}}
    assert message(demo.post(url("group_snapshots"), json=body)).startswith("Invalid group: Source group is empty.")
    assert lab.client("other", LATEST).post(url("group_snapshots"), json=body).status_code == 404
    assert demo.post(url("group_snapshots"), json={"group_snapshot": {"group_id": "x"}}).status_code == 400
    make_volume(lab, demo, kinds, group_id)
    id = demo.post(url("group_snapshots"), json=body).json()["group_snapshot"]["id"]
    settle(lab)
    action = url(f"group_snapshots/{id}/action")
    assert demo.post(action, json={"reset_status": {"status": "error"}}).status_code == 403
    assert admin.post(action, json={"reset_status": {"status": "error"}}).status_code == 202
    assert demo.get(url(f"group_snapshots/{id}")).json()["group_snapshot"]["status"] == "error"
