"""Consistency groups: the older API to groups."""

import pytest

from tests.volume.test_groups import BLUE, LATEST, make_group, make_group_type, make_type, message, settle, url


@pytest.fixture
def kind(lab):
    return make_type(lab.client("admin"))


@pytest.fixture
def demo(lab):
    return lab.client("demo")


def make(lab, demo, kind):
    answer = demo.post(url("consistencygroups"), json={"consistencygroup": {"name": "old", "volume_types": kind}})
    assert answer.status_code == 202, answer.text
    lab.settle()
    return answer.json()["consistencygroup"]["id"]


def add(lab, demo, kind, group_id):
    body = {"size": 1, "volume_type": kind, "consistencygroup_id": group_id}
    answer = demo.post(url("volumes"), json={"volume": body})
    assert answer.status_code == 202, answer.text
    lab.settle()
    return answer.json()["volume"]["id"]


def test_a_consistency_group_lives(lab, demo, kind):
    id = make(lab, demo, kind)
    one = url(f"consistencygroups/{id}")
    shown = demo.get(one).json()["consistencygroup"]
    assert {**shown, "created_at": ""} == {
        "id": id, "status": "available", "availability_zone": "nova", "created_at": "", "name": "old", "description": None,
        "volume_types": [kind],
    }  # fmt: skip
    volume_id = add(lab, demo, kind, id)
    assert demo.get(url(f"volumes/{volume_id}")).json()["volume"]["consistencygroup_id"] == id
    assert demo.put(f"{one}/update", json={"consistencygroup": {"name": "new", "remove_volumes": volume_id}}).status_code == 202
    assert demo.put(f"{one}/update", json={"consistencygroup": {"add_volumes": volume_id}}).status_code == 202
    assert demo.get(url("consistencygroups")).json() == {"consistencygroups": [{"id": id, "name": "new"}]}
    assert demo.put(f"{one}/update", json={"consistencygroup": {}}).status_code == 400
    assert demo.post(f"{one}/delete", json={"consistencygroup": {"force": False}}).status_code == 400
    assert demo.post(f"{one}/delete", json={"consistencygroup": {"force": True}}).status_code == 202
    settle(lab)
    assert demo.get(one).status_code == 404


def test_a_consistency_group_is_snapshotted_and_copied(lab, demo, kind):
    id = make(lab, demo, kind)
    add(lab, demo, kind, id)
    answer = demo.post(url("cgsnapshots"), json={"cgsnapshot": {"consistencygroup_id": id, "name": "then"}})
    assert answer.status_code == 202
    snapshot_id = answer.json()["cgsnapshot"]["id"]
    settle(lab)
    shown = demo.get(url("cgsnapshots/detail")).json()["cgsnapshots"]
    assert [(each["id"], each["consistencygroup_id"], each["status"]) for each in shown] == [(snapshot_id, id, "available")]
    for wish in ({"cgsnapshot_id": snapshot_id}, {"source_cgid": id}):
        answer = demo.post(url("consistencygroups/create_from_src"), json={"consistencygroup-from-src": wish})
        assert answer.status_code == 202, answer.text
        settle(lab)
        copy = answer.json()["consistencygroup"]["id"]
        assert demo.get(url(f"consistencygroups/{copy}")).json()["consistencygroup"]["status"] == "available"
    for wish in ({}, {"cgsnapshot_id": snapshot_id, "source_cgid": id}):
        answer = demo.post(url("consistencygroups/create_from_src"), json={"consistencygroup-from-src": wish})
        assert answer.status_code == 400
    assert demo.delete(url(f"cgsnapshots/{snapshot_id}")).status_code == 202
    settle(lab)
    assert demo.get(url(f"cgsnapshots/{snapshot_id}")).status_code == 404


def test_the_two_kinds_do_not_mix(lab, demo, kind):
    id = make(lab, demo, kind)
    latest = lab.client("demo", LATEST)
    answer = latest.get(url(f"groups/{id}"))
    assert answer.status_code == 400
    assert message(answer).endswith("Migrated group can only be operated by CG APIs.")
    assert latest.get(url("groups")).json() == {"groups": []}
    plain = make_group(lab, latest, (make_group_type(lab.client("admin", LATEST)), kind))
    assert demo.get(url(f"consistencygroups/{plain}")).status_code == 404
    assert demo.get(url(f"consistencygroups/{BLUE}")).status_code == 404
    reserved = latest.post(url("groups"), json={"group": {"group_type": "default_cgsnapshot_type", "volume_types": [kind]}})
    assert reserved.status_code == 400
    assert demo.post(url("consistencygroups"), json={"consistencygroup": {"volume_types": ""}}).status_code == 400
