"""Versions 1 and 2 of the API: the same cloud under older names."""

import pytest

from tests.volume.test_attachments import CONNECTOR, SERVER, make_volume, volume

BLUE = "b" * 32
V1, V2 = f"/volume/v1/{BLUE}", f"/volume/v2/{BLUE}"


def ok(answer, status=200):
    assert answer.status_code == status, answer.text
    return answer.json()


def test_the_versions_are_listed(lab_once):
    found = ok(lab_once.anonymous.get("/volume/"), 300)["versions"]
    assert [(v["id"], v["status"], v["version"], v["min_version"]) for v in found] == [
        ("v1.0", "DEPRECATED", "", ""), ("v2.0", "DEPRECATED", "", ""), ("v3.0", "CURRENT", "3.71", "3.0"),
    ]  # fmt: skip
    for number in (1, 2, 3):
        (one,) = ok(lab_once.anonymous.get(f"/volume/v{number}/"))["versions"]
        assert one["id"] == f"v{number}.0"
        assert one["links"][1]["href"].endswith(f"/volume/v{number}/")


def test_the_catalog_has_each_version(lab_once):
    from pileus.volume.bundle import LISTED

    assert {(listed.type, listed.name, listed.path) for listed in LISTED} == {
        ("block-storage", "cinder", "/volume/v3/$(project_id)s"), ("volumev3", "cinderv3", "/volume/v3/$(project_id)s"),
        ("volumev2", "cinderv2", "/volume/v2/$(project_id)s"), ("volume", "cinder", "/volume/v1/$(project_id)s"),
    }  # fmt: skip


# ---- version 2


def test_version_2_makes_shows_lists_changes_and_deletes_volumes(lab):
    api = lab.client()
    made = ok(api.post(f"{V2}/volumes", json={"volume": {"size": 1, "name": "data", "metadata": {"a": "b"}}}), 202)["volume"]
    assert {"name", "description", "user_id", "links", "multiattach", "updated_at"} <= set(made)
    assert made["links"][0]["href"].endswith(f"/volume/v2/{BLUE}/volumes/{made['id']}")
    lab.settle()
    shown = ok(api.get(f"{V2}/volumes/{made['id']}"))["volume"]
    assert (shown["status"], shown["os-vol-tenant-attr:tenant_id"]) == ("available", BLUE)
    assert not {"group_id", "service_uuid", "volume_type_id", "consumes_quota"} & set(shown)
    (brief,) = ok(api.get(f"{V2}/volumes"))["volumes"]
    assert set(brief) == {"id", "name", "links"}
    (full,) = ok(api.get(f"{V2}/volumes/detail?name=data"))["volumes"]
    assert full == shown
    changed = ok(api.put(f"{V2}/volumes/{made['id']}", json={"volume": {"name": "other"}}))["volume"]
    assert changed["name"] == "other"
    assert api.delete(f"{V2}/volumes/{made['id']}").status_code == 202
    lab.settle()
    assert api.get(f"{V2}/volumes/{made['id']}").status_code == 404


def test_version_2_knows_no_microversions(lab):
    id = make_volume(lab)
    newest = lab.client(headers={"OpenStack-API-Version": "volume 3.71"})
    assert "consumes_quota" not in ok(newest.get(f"{V2}/volumes/{id}"))["volume"]
    for path in ("attachments", "messages", "groups", "resource_filters", "volume-transfers", "volumes/summary", "default-types"):
        assert newest.get(f"{V2}/{path}").status_code == 404, path
        assert newest.get(f"{V1}/{path}").status_code == 404, path


def test_pages_of_version_2_lead_to_pages_of_version_2(lab):
    ids = []
    for _ in range(2):
        lab.clock.advance(1)
        ids.append(make_volume(lab))
    page = ok(lab.client().get(f"{V2}/volumes?limit=1"))
    href = page["volumes_links"][0]["href"]
    assert f"/volume/v2/{BLUE}/volumes?" in href
    assert [v["id"] for v in ok(lab.client().get(href))["volumes"]] == [ids[0]]


def test_version_2_has_the_older_actions(lab):
    id = make_volume(lab)
    api = lab.client()

    def act(word, body=None, status=202):
        answer = api.post(f"{V2}/volumes/{id}/action", json={word: body})
        assert answer.status_code == status, answer.text
        return answer

    act("os-reserve")
    told = act("os-initialize_connection", {"connector": CONNECTOR}, 200).json()
    assert told["connection_info"]["driver_volume_type"] == "fake"
    act("os-attach", {"instance_uuid": SERVER, "mountpoint": "/dev/vdb"})
    assert ok(api.get(f"{V2}/volumes/{id}"))["volume"]["attachments"][0]["server_id"] == SERVER
    act("os-begin_detaching")
    act("os-detach", {})
    act("os-extend", {"new_size": 2})
    lab.settle()
    assert ok(api.get(f"{V2}/volumes/{id}"))["volume"]["size"] == 2


def test_version_2_has_what_goes_with_volumes(lab):
    id = make_volume(lab)
    api, admin = lab.client(), lab.client("admin")
    snapshot = ok(api.post(f"{V2}/snapshots", json={"snapshot": {"volume_id": id, "name": "s"}}), 202)["snapshot"]
    assert snapshot["name"] == "s"
    lab.settle()
    assert ok(api.get(f"{V2}/snapshots/detail"))["snapshots"][0]["status"] == "available"
    assert ok(api.put(f"{V2}/volumes/{id}/metadata", json={"metadata": {"k": "v"}})) == {"metadata": {"k": "v"}}
    assert ok(api.get(f"{V2}/types"))["volume_types"][0]["name"] == "__DEFAULT__"
    assert ok(api.get(f"{V2}/limits"))["limits"]["absolute"]["totalVolumesUsed"] == 1
    project = "a" * 31 + "0"
    assert ok(admin.get(f"/volume/v2/{project}/os-quota-sets/{BLUE}"))["quota_set"]["volumes"] == 10
    assert ok(api.get(f"{V2}/os-availability-zone"))["availabilityZoneInfo"]
    transfer = ok(api.post(f"{V2}/os-volume-transfer", json={"transfer": {"volume_id": make_volume(lab)}}), 202)["transfer"]
    assert "source_project_id" not in transfer
    assert f"/volume/v2/{BLUE}/os-volume-transfer/" in transfer["links"][0]["href"]


# ---- version 1


def test_version_1_makes_shows_lists_changes_and_deletes_volumes(lab):
    api = lab.client()
    body = {
        "size": 1, "display_name": "test", "display_description": "of version 1", "snapshot_id": None, "source_volid": None,
        "volume_type": None, "user_id": None, "project_id": None, "availability_zone": None, "status": "creating",
        "attach_status": "detached", "metadata": {}, "imageRef": None, "multiattach": False,
    }  # fmt: skip
    made = ok(api.post(f"{V1}/volumes", json={"volume": body}))["volume"]
    assert (made["display_name"], made["display_description"], made["multiattach"]) == ("test", "of version 1", "false")
    assert not {"name", "description", "links", "user_id", "updated_at", "replication_status"} & set(made)
    lab.settle()
    shown = ok(api.get(f"{V1}/volumes/{made['id']}"))["volume"]
    assert (shown["status"], shown["bootable"], shown["attachments"], shown["size"]) == ("available", "false", [], 1)
    assert volume(lab, made["id"])["name"] == "test"
    for path in ("volumes", "volumes/detail", "volumes?display_name=test", "volumes?status=available"):
        assert ok(api.get(f"{V1}/{path}"))["volumes"] == [shown], path
    assert ok(api.get(f"{V1}/volumes?display_name=none"))["volumes"] == []
    changed = ok(api.put(f"{V1}/volumes/{made['id']}", json={"volume": {"display_name": "new"}}))["volume"]
    assert (changed["display_name"], changed["display_description"]) == ("new", "of version 1")
    assert api.delete(f"{V1}/volumes/{made['id']}").status_code == 202
    lab.settle()
    assert ok(api.get(f"{V1}/volumes"))["volumes"] == []


def test_version_1_shows_who_has_a_volume(lab):
    id = make_volume(lab)
    body = {"os-attach": {"instance_uuid": SERVER, "mountpoint": "/dev/vdb"}}
    assert lab.client().post(f"{V1}/volumes/{id}/action", json=body).status_code == 202
    (attachment,) = ok(lab.client().get(f"{V1}/volumes/{id}"))["volume"]["attachments"]
    assert set(attachment) == {"id", "attachment_id", "volume_id", "server_id", "host_name", "device"}
    assert (attachment["server_id"], attachment["device"]) == (SERVER, "/dev/vdb")


def test_version_1_has_snapshots(lab):
    id = make_volume(lab)
    api = lab.client()
    body = {"snapshot": {"volume_id": id, "force": False, "display_name": "s", "display_description": "d"}}
    made = ok(api.post(f"{V1}/snapshots", json=body))["snapshot"]
    assert (made["display_name"], made["display_description"]) == ("s", "d")
    assert not {"name", "description", "updated_at"} & set(made)
    lab.settle()
    for path in ("snapshots", "snapshots/detail", "snapshots?display_name=s"):
        (shown,) = ok(api.get(f"{V1}/{path}"))["snapshots"]
        assert (shown["display_name"], shown["status"], shown["size"]) == ("s", "available", 1), path
    changed = ok(api.put(f"{V1}/snapshots/{made['id']}", json={"snapshot": {"display_name": "t"}}))["snapshot"]
    assert changed["display_name"] == "t"
    copy = ok(api.post(f"{V1}/volumes", json={"volume": {"snapshot_id": made["id"], "display_name": "copy"}}))["volume"]
    assert (copy["snapshot_id"], copy["size"]) == (made["id"], 1)
    assert ok(api.get(f"{V1}/snapshots/{made['id']}/metadata")) == {"metadata": {}}


def test_version_1_has_types_limits_and_quotas(lab):
    api, admin = lab.client(), lab.client("admin")
    assert ok(api.get(f"{V1}/types"))["volume_types"][0]["name"] == "__DEFAULT__"
    assert ok(api.get(f"{V1}/limits"))["limits"]["absolute"]["maxTotalVolumes"] == 10
    one = f"/volume/v1/{'a' * 31}0/os-quota-sets/{BLUE}"
    assert ok(admin.put(one, json={"quota_set": {"volumes": 0}}))["quota_set"]["volumes"] == 0
    assert api.post(f"{V1}/volumes", json={"volume": {"size": 1}}).status_code == 413


@pytest.mark.parametrize("body", [None, {}, {"volume": None}, {"volume": {}}, {"volume": 1}, {"volume": {"size": "x"}}, []])
def test_bodies_of_version_1_that_make_no_sense(lab, body):
    id = make_volume(lab)
    assert lab.client().post(f"{V1}/volumes", json=body).status_code == 422
    if body != {"volume": {"size": "x"}}:
        assert lab.client().put(f"{V1}/volumes/{id}", json=body).status_code == 422
    assert lab.client().post(f"{V1}/snapshots", json=body).status_code == 422
    assert lab.client().post(f"{V2}/volumes", json=body).status_code == 400


@pytest.mark.parametrize("root", [V1, V2])
def test_older_versions_are_as_guarded_as_the_newest(lab, root):
    id = make_volume(lab)
    assert lab.anonymous.get(f"{root}/volumes").status_code == 401
    assert lab.client("other").get(f"{root}/volumes").status_code == 400  # the URL names another project
    assert lab.client("other").get(f"{root.replace(BLUE, 'c' * 32)}/volumes/{id}").status_code == 404
    assert lab.client("reader").post(f"{root}/volumes", json={"volume": {"size": 1}}).status_code == 403
    assert lab.client("reader").delete(f"{root}/volumes/{id}").status_code == 403
    assert lab.client().get(f"{root}/volumes/{SERVER}").status_code == 404
    assert lab.client().get(f"{root}/nothing").status_code == 404
