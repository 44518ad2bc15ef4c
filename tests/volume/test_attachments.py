"""Attachments (3.27 and newer): kept, reachable, in use, let go of; who may, in what state, and what is told."""

import pytest

SERVER, OTHER_SERVER = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
CONNECTOR = {"host": "metal1", "ip": "192.0.2.7", "initiator": "iqn.2026-01.org.example:metal1", "mountpoint": "/dev/vdb"}


def client(lab, persona="demo", version="3.71", **changes):
    made = lab.client(persona, **changes)
    made.headers["OpenStack-API-Version"] = f"volume {version}"
    return made


def make_volume(lab, persona="demo", **body) -> str:
    """A volume on lab.volumes; the other back end is full."""
    lab.cloud.bus.host("host1@more", "volume").total_gib = 0
    answer = client(lab, persona).post("/volume/v3/volumes", json={"volume": {"size": 1, **body}})
    assert answer.status_code == 202, answer.text
    lab.settle()
    return answer.json()["volume"]["id"]


def make_shared_volume(lab, **body) -> str:
    """A volume that several servers may have."""
    spec = {"name": "shared", "extra_specs": {"multiattach": "<is> True"}}
    client(lab, "admin").post("/volume/v3/types", json={"volume_type": spec})
    return make_volume(lab, volume_type="shared", **body)


def volume(lab, id, persona="demo"):
    return client(lab, persona).get(f"/volume/v3/volumes/{id}").json()["volume"]


def set_volume(lab, id, **values):
    """Write down of a volume what would take long to bring about."""
    from pileus.volume.store import volumes

    with lab.cloud.db.begin() as tx:
        volumes.change(tx, id, **values)


def create(api, volume_id, **more):
    return api.post("/volume/v3/attachments", json={"attachment": {"volume_uuid": volume_id, **more}})


def made(api, volume_id, **more):
    answer = create(api, volume_id, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()["attachment"]


def connections(lab, volume_id):
    return lab.volumes.volumes[volume_id].connectors


def complete(api, id):
    return api.post(f"/volume/v3/attachments/{id}/action", json={"os-complete": {}})


def test_a_volume_is_kept_reached_used_and_let_go_of(lab):
    api, id = client(lab), make_volume(lab)
    kept = made(api, id, instance_uuid=SERVER)
    assert kept == {
        "id": kept["id"], "status": "reserved", "instance": SERVER, "volume_id": id, "attached_at": "", "detached_at": "",
        "attach_mode": "null", "connection_info": {},
    }  # fmt: skip
    assert volume(lab, id)["status"] == "reserved"

    answer = api.put(f"/volume/v3/attachments/{kept['id']}", json={"attachment": {"connector": CONNECTOR}})
    assert answer.status_code == 200, answer.text
    reached = answer.json()["attachment"]
    assert reached["status"] == "attaching"
    assert reached["attach_mode"] == "rw"
    assert reached["connection_info"] == {
        "driver_volume_type": "fake", "volume_id": id, "attachment_id": kept["id"], "access_mode": "rw", "encrypted": False,
        "qos_specs": None,
    }  # fmt: skip
    told = connections(lab, id)[kept["id"]]
    assert (told.host, told.address, told.initiator, told.read_only) == ("metal1", "192.0.2.7", CONNECTOR["initiator"], False)
    assert volume(lab, id)["status"] == "attaching"
    assert volume(lab, id)["attachments"] == []

    assert complete(api, kept["id"]).status_code == 204
    seen = volume(lab, id)
    assert seen["status"] == "in-use"
    assert [(a["server_id"], a["attachment_id"], a["device"], a["host_name"]) for a in seen["attachments"]] == [
        (SERVER, kept["id"], "/dev/vdb", None)
    ]
    assert volume(lab, id, "admin")["attachments"][0]["host_name"] == "metal1"
    assert api.get(f"/volume/v3/attachments/{kept['id']}").json()["attachment"]["attached_at"].startswith("20")

    answer = api.delete(f"/volume/v3/attachments/{kept['id']}")
    assert (answer.status_code, answer.json()) == (200, {"attachments": []})
    assert volume(lab, id)["status"] == "available"
    assert connections(lab, id) == {}
    assert api.get(f"/volume/v3/attachments/{kept['id']}").status_code == 404


def test_with_a_connector_a_volume_is_reached_at_once(lab):
    api, id = client(lab), make_volume(lab)
    reached = made(api, id, connector=CONNECTOR)
    assert (reached["status"], reached["instance"]) == ("attaching", None)
    assert list(connections(lab, id)) == [reached["id"]]


@pytest.mark.parametrize(
    ("wanted", "connector", "mode"),
    [
        (None, {}, "rw"),
        (None, {"mode": "ro"}, "ro"),
        ("ro", {}, "ro"),
        ("rw", {"mode": "ro"}, "rw"),
        ("ro", {"mode": "rw"}, "ro"),
    ],
)
def test_the_mode_is_that_of_the_attachment_else_of_the_connector(lab, wanted, connector, mode):
    api, id = client(lab), make_volume(lab)
    reached = made(api, id, connector={**CONNECTOR, **connector}, **({"mode": wanted} if wanted else {}))
    assert (reached["attach_mode"], reached["connection_info"]["access_mode"]) == (mode, mode)
    assert connections(lab, id)[reached["id"]].read_only is (mode == "ro")


def test_a_read_only_volume_is_attached_to_be_read(lab):
    api, id = client(lab), make_volume(lab)
    set_volume(lab, id, read_only=True)
    assert made(api, id, connector=CONNECTOR, mode="rw")["connection_info"]["access_mode"] == "ro"


def test_the_mode_is_new_in_3_54(lab):
    id = make_volume(lab)
    assert create(client(lab, version="3.53"), id, mode="ro").status_code == 400
    assert create(client(lab, version="3.54"), id, mode="ro").status_code == 200


def test_there_are_no_attachments_before_3_27_and_none_is_completed_before_3_44(lab):
    id = make_volume(lab)
    assert create(client(lab, version="3.26"), id).status_code == 404
    kept = made(client(lab, version="3.27"), id)
    assert complete(client(lab, version="3.43"), kept["id"]).status_code == 404
    assert complete(client(lab, version="3.44"), kept["id"]).status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"attachment": {}},
        {"attachment": {"instance_uuid": SERVER}},
        {"attachment": {"volume_uuid": "no-uuid"}},
        {"attachment": {"volume_uuid": 7}},
        {"attachment": {"volume_uuid": SERVER, "instance_uuid": "x"}},
        {"attachment": {"volume_uuid": SERVER, "instance_uuid": None}},
        {"attachment": {"volume_uuid": SERVER, "connector": "metal1"}},
        {"attachment": {"volume_uuid": SERVER, "connector": []}},
        {"attachment": {"volume_uuid": SERVER, "mode": "rwx"}},
        {"attachment": {"volume_uuid": SERVER, "more": 1}},
        {"attachment": {"volume_uuid": SERVER}, "more": 1},
        {"attachment": None},
        [],
    ],
)
def test_bodies_that_make_no_sense_are_refused(lab, body):
    assert client(lab).post("/volume/v3/attachments", json=body).status_code == 400


@pytest.mark.parametrize(
    "body", [{}, {"attachment": {}}, {"attachment": {"connector": {}}}, {"attachment": {"connector": None}}, {"attachment": 1}]
)
def test_an_update_needs_a_connector(lab, body):
    api = client(lab)
    kept = made(api, make_volume(lab))
    assert api.put(f"/volume/v3/attachments/{kept['id']}", json=body).status_code == 400


def test_what_is_not_there_is_not_found(lab):
    api = client(lab)
    assert create(api, SERVER).status_code == 404
    for answer in (
        api.get(f"/volume/v3/attachments/{SERVER}"),
        api.delete(f"/volume/v3/attachments/{SERVER}"),
        api.put(f"/volume/v3/attachments/{SERVER}", json={"attachment": {"connector": CONNECTOR}}),
        complete(api, SERVER),
    ):
        assert answer.status_code == 404
        assert answer.json()["itemNotFound"]["message"] == (
            f"Volume attachment could not be found with filter: attachment_id = {SERVER}."
        )


@pytest.mark.parametrize(
    "status",
    ["creating", "deleting", "error", "error_deleting", "error_extending", "reserved", "attaching", "in-use", "detaching",
     "extending", "uploading", "backing-up", "restoring-backup", "maintenance", "retyping", "awaiting-transfer"],
)  # fmt: skip
def test_only_a_free_volume_can_be_kept(lab, status):
    id = make_volume(lab)
    set_volume(lab, id, status=status)
    answer = create(client(lab), id, instance_uuid=SERVER)
    assert answer.status_code == 400
    assert status in answer.json()["badRequest"]["message"]


def test_a_volume_is_kept_for_one(lab):
    api, id = client(lab), make_volume(lab)
    made(api, id, instance_uuid=SERVER)
    answer = create(api, id, instance_uuid=OTHER_SERVER)
    assert answer.status_code == 400
    assert "reserved" in answer.json()["badRequest"]["message"]


def test_a_server_may_keep_its_volume_once_more_to_move(lab):
    api, id = client(lab), make_volume(lab)
    first = made(api, id, instance_uuid=SERVER, connector=CONNECTOR)
    complete(api, first["id"])
    second = made(api, id, instance_uuid=SERVER, connector={**CONNECTOR, "host": "metal2"})
    complete(api, second["id"])
    assert api.delete(f"/volume/v3/attachments/{first['id']}").json()["attachments"][0]["id"] == second["id"]
    assert volume(lab, id)["status"] == "in-use"


def test_a_volume_that_is_shared_is_in_use_until_the_last_lets_go(lab):
    api, id = client(lab), make_shared_volume(lab)
    both = [made(api, id, instance_uuid=server, connector=CONNECTOR) for server in (SERVER,)]
    complete(api, both[0]["id"])
    both.append(made(api, id, instance_uuid=OTHER_SERVER, connector={**CONNECTOR, "host": "metal2"}))
    complete(api, both[1]["id"])
    assert len(volume(lab, id)["attachments"]) == 2
    api.delete(f"/volume/v3/attachments/{both[0]['id']}")
    assert volume(lab, id)["status"] == "in-use"
    assert list(connections(lab, id)) == [both[1]["id"]]
    api.delete(f"/volume/v3/attachments/{both[1]['id']}")
    assert volume(lab, id)["status"] == "available"


def test_a_bootable_volume_is_shared_only_with_the_right_to(lab):
    from pileus.kernel.policy import Enforcer, Rule

    api, id = client(lab), make_shared_volume(lab)
    set_volume(lab, id, bootable=True)
    first = made(api, id, instance_uuid=SERVER)
    complete(api, first["id"])
    rules = [rule for rule in lab.cloud.policy.rules.values() if rule.name != "volume:multiattach_bootable_volume"]
    strict = Enforcer([*rules, Rule("volume:multiattach_bootable_volume", "rule:admin")])
    object.__setattr__(lab.cloud, "policy", strict)
    assert create(api, id, instance_uuid=OTHER_SERVER).status_code == 403


def test_others_who_have_the_volume_keep_an_update_out(lab):
    api, id = client(lab), make_volume(lab)
    kept = made(api, id, instance_uuid=SERVER)
    set_volume(lab, id, status="available")
    made(api, id, instance_uuid=OTHER_SERVER, connector=CONNECTOR)
    answer = api.put(f"/volume/v3/attachments/{kept['id']}", json={"attachment": {"connector": CONNECTOR}})
    assert answer.status_code == 409
    assert "duplicate connectors" in answer.json()["conflictingRequest"]["message"]


def test_the_volume_of_an_update_must_not_be_in_error(lab):
    api, id = client(lab), make_volume(lab)
    kept = made(api, id)
    set_volume(lab, id, status="error")
    answer = api.put(f"/volume/v3/attachments/{kept['id']}", json={"attachment": {"connector": CONNECTOR}})
    assert answer.status_code == 409


def test_nothing_is_kept_when_the_back_end_cannot_connect(lab):
    api, id = client(lab), make_volume(lab)
    lab.volumes.fail("connect", error="no ports left")
    answer = create(api, id, connector=CONNECTOR)
    assert answer.status_code == 503
    assert "no ports left" in answer.json()["serviceUnavailable"]["message"]
    assert volume(lab, id)["status"] == "available"
    assert api.get("/volume/v3/attachments").json() == {"attachments": []}


def test_an_update_that_failed_can_be_repeated(lab):
    api, id = client(lab), make_volume(lab)
    kept = made(api, id)
    lab.volumes.fail("connect")
    assert api.put(f"/volume/v3/attachments/{kept['id']}", json={"attachment": {"connector": CONNECTOR}}).status_code == 503
    assert api.get(f"/volume/v3/attachments/{kept['id']}").json()["attachment"]["status"] == "reserved"
    assert api.put(f"/volume/v3/attachments/{kept['id']}", json={"attachment": {"connector": CONNECTOR}}).status_code == 200


def test_an_attachment_stays_when_the_back_end_cannot_disconnect(lab):
    api, id = client(lab), make_volume(lab)
    kept = made(api, id, connector=CONNECTOR)
    complete(api, kept["id"])
    lab.volumes.fail("disconnect", error="stuck")
    assert api.delete(f"/volume/v3/attachments/{kept['id']}").status_code == 503
    assert volume(lab, id)["status"] == "in-use"
    assert api.delete(f"/volume/v3/attachments/{kept['id']}").status_code == 200
    assert volume(lab, id)["status"] == "available"


def test_an_attachment_of_a_user_is_not_taken_back_by_time(lab):
    from pileus.volume.tasks import attachments

    api, id = client(lab), make_volume(lab)
    made(api, id, connector=CONNECTOR)
    lab.clock.advance(10**6)
    attachments.sweep(lab.cloud)
    assert volume(lab, id)["status"] == "attaching"


def test_a_deletion_that_was_cut_off_is_rolled_back_in_time(lab):
    from pileus.kernel.context import cloud_itself
    from pileus.volume.service.attachments import begin
    from pileus.volume.store import attachments as store
    from pileus.volume.tasks import attachments

    api, id = client(lab), make_volume(lab)
    kept = made(api, id, connector=CONNECTOR)
    complete(api, kept["id"])
    with lab.cloud.db.begin() as tx:
        begin(tx, cloud_itself(lab.cloud), store.get(tx, kept["id"]))
    assert volume(lab, id)["status"] == "detaching"
    assert complete(api, kept["id"]).status_code == 409
    lab.clock.advance(lab.cloud.settings.volume_attach_timeout_seconds + 1)
    attachments.sweep(lab.cloud)
    assert volume(lab, id)["status"] == "in-use"
    assert list(connections(lab, id)) == [kept["id"]]


# ---- lists


def test_lists_have_what_fits_newest_first(lab):
    api = client(lab)
    ids = [make_volume(lab) for _ in range(3)]
    kept = []
    for number, id in enumerate(ids):
        lab.clock.advance(1)
        kept.append(made(api, id, instance_uuid=SERVER, **({"connector": CONNECTOR} if number else {}))["id"])

    def found(query=""):
        return [a["id"] for a in api.get(f"/volume/v3/attachments{query}").json()["attachments"]]

    assert found() == kept[::-1]
    assert found(f"?volume_id={ids[1]}") == [kept[1]]
    assert found(f"?instance_id={SERVER}&status=reserved") == [kept[0]]
    assert found("?attach_status=attaching&sort=created_at:asc") == kept[1:]
    assert found("?limit=1") == [kept[2]]
    assert found(f"?limit=1&marker={kept[2]}") == [kept[1]]
    assert found(f"?instance_id={OTHER_SERVER}") == []
    assert found("?status~=serve") == [kept[0]]
    assert api.get("/volume/v3/attachments?mode=rw").status_code == 400
    assert client(lab, version="3.30").get("/volume/v3/attachments?mode=rw").json()["attachments"]
    assert client(lab, "admin").get("/volume/v3/attachments?all_tenants=1&color=red").json() == {"attachments": []}
    assert api.get("/volume/v3/attachments").json()["attachments"][2] == {
        "id": kept[0], "status": "reserved", "instance": SERVER, "volume_id": ids[0],
    }  # fmt: skip
    details = api.get("/volume/v3/attachments/detail").json()["attachments"]
    assert [bool(a["connection_info"]) for a in details] == [True, True, False]
    assert api.get("/volume/v3/attachments?limit=x").status_code == 400
    assert api.get("/volume/v3/attachments?sort=secret").status_code == 400


def test_another_projects_attachments_are_not_seen_but_by_admins_who_ask(lab):
    kept = made(client(lab), make_volume(lab), connector=CONNECTOR)["id"]
    assert client(lab, "other").get("/volume/v3/attachments?all_tenants=1").json() == {"attachments": []}
    assert client(lab, "admin").get("/volume/v3/attachments").json() == {"attachments": []}
    everyone = client(lab, "admin").get("/volume/v3/attachments?all_tenants=1").json()["attachments"]
    assert [a["id"] for a in everyone] == [kept]


# ---- rights


def test_readers_may_look_and_strangers_may_not(lab):
    id = make_volume(lab)
    kept = made(client(lab), id)["id"]
    reader, stranger, nobody = client(lab, "reader"), client(lab, "other"), client(lab, "nobody")
    assert reader.get(f"/volume/v3/attachments/{kept}").status_code == 200
    assert len(reader.get("/volume/v3/attachments").json()["attachments"]) == 1
    connector = {"attachment": {"connector": CONNECTOR}}
    for api, status in ((reader, 403), (stranger, 404), (nobody, 403)):
        assert create(api, id).status_code == status
        assert api.put(f"/volume/v3/attachments/{kept}", json=connector).status_code == status
        assert complete(api, kept).status_code == status
        assert api.delete(f"/volume/v3/attachments/{kept}").status_code == status
    assert stranger.get(f"/volume/v3/attachments/{kept}").status_code == 404
    assert nobody.get("/volume/v3/attachments").status_code == 403
    assert client(lab, "admin").delete(f"/volume/v3/attachments/{kept}").status_code == 200
