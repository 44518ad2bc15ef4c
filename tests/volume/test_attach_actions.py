"""The older actions by which a volume is attached, and what they do in every state."""

import pytest

from pileus.volume.service import guests
from pileus.volume.tasks import attachments as work
from tests.volume.test_attachments import (
    CONNECTOR,
    OTHER_SERVER,
    SERVER,
    client,
    connections,
    made,
    make_shared_volume,
    make_volume,
    set_volume,
    volume,
)
from tests.volume.test_guests import attach as attach_to_server
from tests.volume.test_guests import listen, wait_past_the_deadline

ATTACH = {"instance_uuid": SERVER, "mountpoint": "/dev/vdb"}


def act(lab, id, word, body=None, persona="demo", **changes):
    return client(lab, persona, "3.0", **changes).post(f"/volume/v3/volumes/{id}/action", json={word: body})


def status(lab, id):
    return volume(lab, id)["status"]


def done(answer):
    assert answer.status_code == 202, answer.text


def message(answer):
    assert answer.status_code == 400, answer.text
    return answer.json()["badRequest"]["message"]


def test_a_volume_is_attached_and_detached_step_by_step(lab):
    id = make_volume(lab)
    done(act(lab, id, "os-reserve"))
    assert status(lab, id) == "attaching"
    assert client(lab).get("/volume/v3/attachments").json() == {"attachments": []}
    answer = act(lab, id, "os-initialize_connection", {"connector": CONNECTOR})
    assert answer.status_code == 200
    assert answer.json() == {"connection_info": {
        "driver_volume_type": "fake",
        "data": {"volume_id": id, "access_mode": "rw", "encrypted": False, "qos_specs": None},
        "enforce_multipath": False,
    }}  # fmt: skip
    (id_on_back_end,) = connections(lab, id)
    done(act(lab, id, "os-attach", ATTACH))
    seen = volume(lab, id)
    assert seen["status"] == "in-use"
    assert [(a["server_id"], a["device"]) for a in seen["attachments"]] == [(SERVER, "/dev/vdb")]
    assert seen["attachments"][0]["attachment_id"] == id_on_back_end

    done(act(lab, id, "os-begin_detaching"))
    assert status(lab, id) == "detaching"
    assert len(volume(lab, id)["attachments"]) == 1
    done(act(lab, id, "os-terminate_connection", {"connector": CONNECTOR}))
    assert connections(lab, id) == {}
    done(act(lab, id, "os-detach", {"attachment_id": id_on_back_end}))
    assert status(lab, id) == "available"
    assert volume(lab, id)["attachments"] == []


def test_a_volume_is_attached_to_a_server_or_a_host_at_once(lab):
    id = make_volume(lab)
    done(act(lab, id, "os-attach", ATTACH))
    done(act(lab, id, "os-attach", ATTACH))
    assert len(volume(lab, id)["attachments"]) == 1
    done(act(lab, id, "os-detach", None))
    done(act(lab, id, "os-attach", {"host_name": "metal1", "mountpoint": "/mnt", "mode": "ro"}))
    seen = volume(lab, id, "admin")
    assert (seen["attachments"][0]["host_name"], seen["attachments"][0]["server_id"]) == ("metal1", None)
    assert seen["metadata"]["attached_mode"] == "ro"
    done(act(lab, id, "os-detach", {}))
    assert status(lab, id) == "available"


# ---- reserve


@pytest.mark.parametrize(
    "before", ["creating", "error", "attaching", "in-use", "reserved", "detaching", "deleting", "maintenance", "extending"]
)
def test_only_an_available_volume_is_reserved(lab, before):
    id = make_volume(lab)
    set_volume(lab, id, status=before)
    told = message(act(lab, id, "os-reserve"))
    assert told == f"Invalid volume: Volume status must be available to reserve, but the status is {before}."


def test_of_two_who_reserve_one_wins(lab):
    id = make_volume(lab)
    done(act(lab, id, "os-reserve"))
    message(act(lab, id, "os-reserve"))
    done(act(lab, id, "os-unreserve"))
    done(act(lab, id, "os-unreserve"))
    assert status(lab, id) == "available"
    done(act(lab, id, "os-reserve"))


def test_what_is_reserved_is_not_for_others(lab):
    id = make_volume(lab)
    done(act(lab, id, "os-reserve"))
    answer = client(lab).post("/volume/v3/attachments", json={"attachment": {"volume_uuid": id}})
    assert answer.status_code == 400


def test_a_reservation_nobody_uses_ends(lab):
    id = make_volume(lab)
    done(act(lab, id, "os-reserve"))
    act(lab, id, "os-initialize_connection", {"connector": CONNECTOR})
    wait_past_the_deadline(lab)
    assert status(lab, id) == "available"
    assert connections(lab, id) == {}


def test_an_unreserved_volume_of_others_stays_as_it_is(lab):
    id = make_volume(lab)
    made(client(lab), id)
    done(act(lab, id, "os-unreserve"))
    assert status(lab, id) == "reserved"


# ---- attach


@pytest.mark.parametrize("before", ["creating", "error", "attaching", "reserved", "detaching", "deleting", "extending"])
def test_a_volume_that_is_not_free_is_not_attached(lab, before):
    id = make_volume(lab)
    set_volume(lab, id, status=before)
    assert before in message(act(lab, id, "os-attach", ATTACH))


def test_a_volume_in_maintenance_is_left_alone(lab):
    id = make_volume(lab)
    done(act(lab, id, "os-attach", ATTACH))
    set_volume(lab, id, status="maintenance")
    assert "maintenance" in message(act(lab, id, "os-attach", ATTACH))
    assert "maintenance" in message(act(lab, id, "os-detach", {}))
    assert "maintenance" in message(act(lab, id, "os-initialize_connection", {"connector": CONNECTOR}))


def test_a_volume_in_use_is_not_for_another_server(lab):
    id = make_volume(lab)
    done(act(lab, id, "os-attach", ATTACH))
    told = message(act(lab, id, "os-attach", {**ATTACH, "instance_uuid": OTHER_SERVER}))
    assert told == "Invalid volume: volume is already attached and multiple attachments are not enabled"


def test_a_read_only_volume_is_attached_to_be_read(lab):
    id = make_volume(lab)
    set_volume(lab, id, read_only=True)
    assert message(act(lab, id, "os-attach", ATTACH)) == f"Invalid attaching mode 'rw' for volume {id}."
    done(act(lab, id, "os-attach", {**ATTACH, "mode": "ro"}))


def test_a_shared_volume_is_detached_from_the_one_that_is_named(lab):
    id = make_shared_volume(lab)
    done(act(lab, id, "os-attach", ATTACH))
    done(act(lab, id, "os-reserve"))
    done(act(lab, id, "os-attach", {**ATTACH, "instance_uuid": OTHER_SERVER}))
    first, second = (a["attachment_id"] for a in volume(lab, id)["attachments"])
    assert "More than one attachment" in message(act(lab, id, "os-detach", {}))
    done(act(lab, id, "os-begin_detaching"))
    done(act(lab, id, "os-detach", {"attachment_id": first}))
    assert status(lab, id) == "in-use"
    assert [a["attachment_id"] for a in volume(lab, id)["attachments"]] == [second]
    done(act(lab, id, "os-detach", {}))
    assert status(lab, id) == "available"


# ---- detach


def test_a_detach_is_rolled_back(lab):
    id = make_volume(lab)
    done(act(lab, id, "os-attach", ATTACH))
    done(act(lab, id, "os-begin_detaching"))
    assert "in-use" in message(act(lab, id, "os-begin_detaching"))
    done(act(lab, id, "os-roll_detaching"))
    assert status(lab, id) == "in-use"
    done(act(lab, id, "os-begin_detaching"))
    wait_past_the_deadline(lab)
    assert status(lab, id) == "in-use"


@pytest.mark.parametrize("before", ["available", "attaching", "error", "detaching", "reserved"])
def test_only_a_volume_in_use_begins_to_be_detached(lab, before):
    id = make_volume(lab)
    set_volume(lab, id, status=before)
    message(act(lab, id, "os-begin_detaching"))
    assert status(lab, id) == before


def test_a_volume_that_is_migrated_does_not_begin_to_be_detached(lab):
    id = make_volume(lab)
    done(act(lab, id, "os-attach", ATTACH))
    set_volume(lab, id, migration_status="migrating")
    message(act(lab, id, "os-begin_detaching"))


def test_a_volume_nobody_has_is_available_once_detached(lab):
    id = make_volume(lab)
    set_volume(lab, id, status="in-use")
    done(act(lab, id, "os-detach", {}))
    assert status(lab, id) == "available"
    done(act(lab, id, "os-detach", {"attachment_id": SERVER}))


def test_another_volumes_attachment_is_not_detached(lab):
    id, other = make_volume(lab), make_volume(lab)
    done(act(lab, id, "os-attach", ATTACH))
    kept = volume(lab, id)["attachments"][0]["attachment_id"]
    assert "Mismatched" in message(act(lab, other, "os-detach", {"attachment_id": kept}))
    assert status(lab, id) == "in-use"


def test_a_detach_that_the_back_end_refuses_changes_nothing(lab):
    id = make_volume(lab)
    act(lab, id, "os-initialize_connection", {"connector": CONNECTOR})
    done(act(lab, id, "os-attach", ATTACH))
    lab.volumes.fail("disconnect")
    assert act(lab, id, "os-detach", {}).status_code == 503
    assert status(lab, id) == "in-use"
    lab.volumes.fail("disconnect")
    assert act(lab, id, "os-terminate_connection", {"connector": CONNECTOR}).status_code == 503
    done(act(lab, id, "os-detach", {}))


def test_admins_detach_by_force_whatever_the_state(lab):
    id = make_volume(lab)
    act(lab, id, "os-initialize_connection", {"connector": CONNECTOR})
    done(act(lab, id, "os-attach", ATTACH))
    kept = volume(lab, id)["attachments"][0]["attachment_id"]
    set_volume(lab, id, status="error")
    body = {"attachment_id": kept, "connector": None}
    assert act(lab, id, "os-force_detach", body).status_code == 403
    done(act(lab, id, "os-force_detach", body, "admin"))
    assert (status(lab, id), volume(lab, id)["attachments"], connections(lab, id)) == ("available", [], {})


def test_a_stuck_reservation_is_ended_by_force(lab):
    id = make_volume(lab)
    done(act(lab, id, "os-reserve"))
    done(act(lab, id, "os-force_detach", {}, "admin"))
    assert status(lab, id) == "available"


# ---- connections


def test_a_connection_alone_changes_no_status_and_ends(lab):
    id = make_volume(lab)
    for host in ("metal1", "metal2", "metal1"):
        answer = act(lab, id, "os-initialize_connection", {"connector": {"host": host, "enforce_multipath": True}})
        assert answer.json()["connection_info"]["enforce_multipath"] is True
    assert sorted(c.host for c in connections(lab, id).values()) == ["metal1", "metal2"]
    assert status(lab, id) == "available"
    done(act(lab, id, "os-terminate_connection", {"connector": {"host": "metal1"}}))
    assert [c.host for c in connections(lab, id).values()] == ["metal2"]
    wait_past_the_deadline(lab)
    assert connections(lab, id) == {}
    done(act(lab, id, "os-terminate_connection", {"connector": None}))


def test_a_connection_to_read_is_one_to_the_back_end(lab):
    id = make_volume(lab)
    answer = act(lab, id, "os-initialize_connection", {"connector": {**CONNECTOR, "mode": "ro"}})
    assert answer.json()["connection_info"]["data"]["access_mode"] == "ro"
    assert next(iter(connections(lab, id).values())).read_only is True


@pytest.mark.parametrize("before", ["creating", "error", "deleting"])
def test_a_volume_that_is_not_there_is_not_reached(lab, before):
    id = make_volume(lab)
    set_volume(lab, id, status=before)
    assert before in message(act(lab, id, "os-initialize_connection", {"connector": CONNECTOR}))


def test_a_back_end_that_cannot_connect_says_why(lab):
    id = make_volume(lab)
    lab.volumes.fail("connect", error="no ports left")
    answer = act(lab, id, "os-initialize_connection", {"connector": CONNECTOR})
    assert answer.status_code == 503
    assert "no ports left" in answer.text


# ---- what servers of the cloud have


def test_what_a_server_has_is_left_to_compute(lab):
    id = make_volume(lab)
    kept = attach_to_server(lab, id)
    for word, body in (
        ("os-detach", {"attachment_id": kept}),
        ("os-detach", {}),
        ("os-begin_detaching", None),
        ("os-terminate_connection", {"connector": None}),
    ):
        answer = act(lab, id, word, body)
        assert answer.status_code == 409, word
        assert answer.json()["conflictingRequest"]["message"].startswith("Detach volume from instance")
    done(act(lab, id, "os-roll_detaching"))
    done(act(lab, id, "os-unreserve"))
    assert status(lab, id) == "in-use"
    assert list(connections(lab, id)) == [kept]


def test_compute_is_asked_to_take_a_volume_from_its_server_by_force(lab):
    heard = listen(lab, "volume.detach.wanted")
    id = make_volume(lab)
    kept = attach_to_server(lab, id)
    refused = act(lab, id, "os-force_detach", {"attachment_id": kept}, "admin")
    assert (refused.status_code, status(lab, id), heard) == (409, "in-use", [])
    done(act(lab, id, "os-force_detach", {"attachment_id": kept}, "admin", roles=["admin", "service"]))
    assert heard == [{"attachment_id": kept, "server_id": SERVER, "volume_id": id}]
    assert status(lab, id) == "detaching"
    guests.disconnect(lab.cloud, kept)
    with lab.cloud.db.begin() as tx:
        guests.release(tx, lab.cloud, kept)
    assert status(lab, id) == "available"


def test_a_forced_detach_that_compute_does_not_do_is_rolled_back(lab):
    id = make_volume(lab)
    kept = attach_to_server(lab, id)
    done(act(lab, id, "os-force_detach", {"attachment_id": kept}, "admin", roles=["admin", "service"]))
    lab.clock.advance(lab.cloud.settings.volume_attach_timeout_seconds + 1)
    work.sweep(lab.cloud)
    assert status(lab, id) == "in-use"


# ---- bad input, rights


@pytest.mark.parametrize(
    ("word", "body"),
    [
        ("os-attach", None),
        ("os-attach", {}),
        ("os-attach", {"instance_uuid": SERVER}),
        ("os-attach", {"mountpoint": "/dev/vdb"}),
        ("os-attach", {"mountpoint": "", "instance_uuid": SERVER}),
        ("os-attach", {"mountpoint": "x" * 256, "instance_uuid": SERVER}),
        ("os-attach", {"mountpoint": "/dev/vdb", "instance_uuid": "x"}),
        ("os-attach", {"mountpoint": "/dev/vdb", "host_name": "x" * 256}),
        ("os-attach", {"mountpoint": "/dev/vdb", "instance_uuid": SERVER, "mode": "w"}),
        ("os-attach", {"mountpoint": "/dev/vdb", "instance_uuid": SERVER, "more": 1}),
        ("os-detach", {"attachment_id": "x"}),
        ("os-detach", {"more": 1}),
        ("os-detach", "x"),
        ("os-initialize_connection", {}),
        ("os-initialize_connection", {"connector": None}),
        ("os-initialize_connection", {"connector": "metal1"}),
        ("os-initialize_connection", None),
        ("os-terminate_connection", {}),
        ("os-terminate_connection", {"connector": 1}),
        ("os-force_detach", {"attachment_id": 1}),
        ("os-force_detach", {"more": 1}),
    ],
)
def test_bodies_that_make_no_sense_are_refused(lab, word, body):
    id = make_volume(lab)
    assert act(lab, id, word, body, "admin").status_code == 400
    assert status(lab, id) == "available"


@pytest.mark.parametrize(
    ("word", "body"),
    [
        ("os-reserve", None),
        ("os-unreserve", None),
        ("os-attach", ATTACH),
        ("os-detach", {}),
        ("os-begin_detaching", None),
        ("os-roll_detaching", None),
        ("os-initialize_connection", {"connector": CONNECTOR}),
        ("os-terminate_connection", {"connector": CONNECTOR}),
    ],
)
def test_readers_and_strangers_do_nothing(lab, word, body):
    id = make_volume(lab)
    assert act(lab, id, word, body, "reader").status_code == 403
    assert act(lab, id, word, body, "other").status_code == 404
    assert act(lab, SERVER, word, body).status_code == 404
    assert status(lab, id) == "available"
