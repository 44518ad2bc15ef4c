"""What compute does with volumes: keep, reach, use, let go of; deadlines, repetition, and what is told."""

import pytest

from pileus.kernel.errors import BadRequest, Conflict, Forbidden, NotFound
from pileus.volume.driver import VolumeDriverError
from pileus.volume.service import guests
from pileus.volume.tasks import attachments as work
from tests.volume.test_attachments import (
    OTHER_SERVER,
    SERVER,
    client,
    complete,
    connections,
    create,
    made,
    make_shared_volume,
    make_volume,
    set_volume,
    volume,
)

HOST = "host1"


def reserve(lab, volume_id, server_id=SERVER, persona="demo", **more):
    with lab.cloud.db.begin() as tx:
        return guests.reserve(tx, lab.ctx(persona), volume_id, server_id, **more)


def do(lab, function, *arguments):
    """Call a function of guests in a transaction of its own."""
    with lab.cloud.db.begin() as tx:
        return function(tx, lab.cloud, *arguments)


def attach(lab, volume_id, server_id=SERVER, host=HOST, device="/dev/vdb"):
    id = reserve(lab, volume_id, server_id)
    guests.connect(lab.cloud, id, host)
    do(lab, guests.attached, id, device)
    return id


def wait_past_the_deadline(lab):
    lab.clock.advance(lab.cloud.settings.volume_attach_timeout_seconds + 1)
    work.sweep(lab.cloud)


def listen(lab, name):
    heard = []
    lab.cloud.events.subscribe(name, lambda tx, cloud, facts: heard.append(dict(facts)))
    return heard


def test_a_server_gets_a_volume_and_lets_go_of_it(lab):
    id = make_volume(lab, name="data")
    kept = reserve(lab, id, device="/dev/vdb")
    assert volume(lab, id)["status"] == "reserved"
    with lab.cloud.db.read() as tx:
        assert guests.connection(tx, lab.cloud, kept) is None
    told = guests.connect(lab.cloud, kept, HOST)
    assert told == {
        "driver_volume_type": "fake", "data": {"volume_id": id, "access_mode": "rw"}, "qos_specs": None, "encrypted": False,
        "luks_key": "", "read_only": False, "size_gib": 1,
    }  # fmt: skip
    assert volume(lab, id)["status"] == "attaching"
    do(lab, guests.attached, kept, "/dev/vdc")
    seen = volume(lab, id)
    assert (seen["status"], seen["attachments"][0]["device"]) == ("in-use", "/dev/vdc")
    with lab.cloud.db.read() as tx:
        assert guests.connection(tx, lab.cloud, kept) == told
        (attached,) = guests.volumes_of(tx, [SERVER, OTHER_SERVER])[SERVER]
        facts = guests.facts(tx, lab.ctx(), id)
    assert attached == guests.AttachedVolume(id, kept, SERVER, "/dev/vdc", "attached", False, HOST)
    assert (facts.status, facts.size_gib, facts.bootable, facts.encrypted, facts.volume_type) == (
        "in-use", 1, False, False, "__DEFAULT__",
    )  # fmt: skip
    assert facts.attachments == (attached,)

    with lab.cloud.db.begin() as tx:
        guests.begin_detach(tx, lab.ctx(), kept)
    assert volume(lab, id)["status"] == "detaching"
    guests.disconnect(lab.cloud, kept)
    do(lab, guests.release, kept)
    assert volume(lab, id)["status"] == "available"
    assert connections(lab, id) == {}
    with lab.cloud.db.read() as tx:
        assert guests.volumes_of(tx, [SERVER]) == {}


def test_each_step_may_be_repeated(lab):
    id = make_volume(lab)
    kept = reserve(lab, id)
    assert guests.connect(lab.cloud, kept, HOST) == guests.connect(lab.cloud, kept, HOST)
    for _ in range(2):
        do(lab, guests.attached, kept, "/dev/vdb")
    assert guests.connect(lab.cloud, kept, HOST)["driver_volume_type"] == "fake"
    assert volume(lab, id)["status"] == "in-use"
    do(lab, guests.begin_detach, kept)
    for _ in range(2):
        guests.disconnect(lab.cloud, kept)
        do(lab, guests.release, kept)
    assert volume(lab, id)["status"] == "available"


def test_what_is_reserved_or_attaching_can_be_undone(lab):
    id = make_volume(lab)
    do(lab, guests.release, reserve(lab, id))
    assert volume(lab, id)["status"] == "available"
    kept = reserve(lab, id)
    guests.connect(lab.cloud, kept, HOST)
    guests.disconnect(lab.cloud, kept)
    do(lab, guests.release, kept)
    assert volume(lab, id)["status"] == "available"


def test_a_volume_in_the_making_is_kept_for_a_server_that_is_built(lab):
    answer = client(lab).post("/volume/v3/volumes", json={"volume": {"size": 1}})
    id = answer.json()["volume"]["id"]
    with pytest.raises(BadRequest):
        reserve(lab, id)
    kept = reserve(lab, id, of_building=True)
    with pytest.raises(BadRequest):
        reserve(lab, id, OTHER_SERVER, of_building=True)
    assert volume(lab, id)["status"] == "creating"
    wait_past_the_deadline(lab)
    lab.settle()
    assert volume(lab, id)["status"] == "reserved"
    guests.connect(lab.cloud, kept, HOST)
    do(lab, guests.attached, kept, "/dev/vda")
    assert volume(lab, id)["status"] == "in-use"


def test_a_volume_is_made_for_a_server(lab):
    ready, failed = listen(lab, "volume.ready"), listen(lab, "volume.failed")
    with lab.cloud.db.begin() as tx:
        id = guests.create(tx, lab.ctx(), "root", 2)
    lab.settle()
    assert (volume(lab, id)["name"], volume(lab, id)["size"]) == ("root", 2)
    assert {facts["volume_id"] for facts in ready} == {id}
    lab.volumes.total_gib = lab.cloud.bus.host("host1@more", "volume").total_gib = 0
    with lab.cloud.db.begin() as tx:
        other = guests.create(tx, lab.ctx(), "root", 2)
    lab.settle(10)
    assert {facts["volume_id"] for facts in failed} == {other}


def test_a_read_only_connection_is_told_to_the_back_end(lab):
    id = make_volume(lab)
    kept = reserve(lab, id, mode="ro")
    assert guests.connect(lab.cloud, kept, HOST)["read_only"] is True
    assert connections(lab, id)[kept].read_only is True


def test_limits_of_the_type_go_with_the_connection(lab):
    admin = client(lab, "admin")
    specs = {"qos_specs": {"name": "slow", "consumer": "front-end", "total_iops_sec": "100"}}
    qos = admin.post("/volume/v3/qos-specs", json=specs).json()["qos_specs"]["id"]
    kind = admin.post("/volume/v3/types", json={"volume_type": {"name": "slow"}}).json()["volume_type"]["id"]
    assert admin.get(f"/volume/v3/qos-specs/{qos}/associate?vol_type_id={kind}").status_code == 202
    id = make_volume(lab, volume_type="slow")
    kept = reserve(lab, id)
    assert guests.connect(lab.cloud, kept, HOST)["qos_specs"] == {"total_iops_sec": "100"}
    told = client(lab, "demo").get(f"/volume/v3/attachments/{kept}").json()["attachment"]["connection_info"]
    assert told["qos_specs"] == {"total_iops_sec": "100"}


# ---- rights and refusals


def test_only_those_who_may_attach_keep_a_volume(lab):
    id = make_volume(lab)
    with pytest.raises(NotFound):
        reserve(lab, id, persona="other")
    with pytest.raises(Forbidden):
        reserve(lab, id, persona="reader")
    with lab.cloud.db.read() as tx, pytest.raises(NotFound):
        guests.facts(tx, lab.ctx("other"), id)
    with lab.cloud.db.read() as tx, pytest.raises(NotFound):
        guests.snapshot_facts(tx, lab.ctx("demo"), SERVER)
    kept = attach(lab, id)
    with lab.cloud.db.begin() as tx, pytest.raises(NotFound):
        guests.begin_detach(tx, lab.ctx("other"), kept)
    assert volume(lab, id)["status"] == "in-use"


def test_unknown_attachments(lab):
    with pytest.raises(NotFound):
        guests.connect(lab.cloud, SERVER, HOST)
    for function, arguments in ((guests.attached, ("/dev/vdb",)), (guests.begin_detach, ()), (guests.park, ())):
        with pytest.raises(NotFound):
            do(lab, function, SERVER, *arguments)
    guests.disconnect(lab.cloud, SERVER)
    for function in (guests.release, guests.abort_detach, guests.prolong):
        do(lab, function, SERVER)


def test_a_volume_is_for_one_server(lab):
    id = make_volume(lab)
    attach(lab, id)
    with pytest.raises(BadRequest, match="in-use"):
        reserve(lab, id, OTHER_SERVER)


def test_the_same_server_may_reach_its_volume_from_two_hosts(lab):
    id = make_volume(lab)
    first = attach(lab, id)
    second = reserve(lab, id)
    guests.connect(lab.cloud, second, "host2")
    assert volume(lab, id)["status"] == "in-use"
    do(lab, guests.attached, second, "/dev/vdb")
    guests.disconnect(lab.cloud, first)
    do(lab, guests.release, first)
    assert volume(lab, id)["status"] == "in-use"
    assert [c.host for c in connections(lab, id).values()] == ["host2"]


def test_of_several_who_detach_one_wins(lab):
    kept = attach(lab, make_volume(lab))
    do(lab, guests.begin_detach, kept)
    with pytest.raises(Conflict):
        do(lab, guests.begin_detach, kept)
    do(lab, guests.abort_detach, kept)
    do(lab, guests.begin_detach, kept)


def test_what_is_not_attached_is_not_detached(lab):
    kept = reserve(lab, make_volume(lab))
    with pytest.raises(Conflict):
        do(lab, guests.begin_detach, kept)
    guests.connect(lab.cloud, kept, HOST)
    with pytest.raises(Conflict):
        do(lab, guests.begin_detach, kept)


def test_an_aborted_detach_leaves_the_volume_in_use(lab):
    id = make_volume(lab)
    kept = attach(lab, id)
    do(lab, guests.begin_detach, kept)
    with pytest.raises(Conflict):
        do(lab, guests.attached, kept, "/dev/vdb")
    do(lab, guests.abort_detach, kept)
    assert volume(lab, id)["status"] == "in-use"
    wait_past_the_deadline(lab)
    assert volume(lab, id)["status"] == "in-use"


def test_a_back_end_that_cannot_connect_says_why(lab):
    kept = reserve(lab, make_volume(lab))
    lab.volumes.fail("connect", error="no ports left")
    with pytest.raises(VolumeDriverError, match="no ports left"):
        guests.connect(lab.cloud, kept, HOST)
    assert guests.connect(lab.cloud, kept, HOST)


def test_a_volume_whose_back_end_is_away_says_so(lab):
    id = make_volume(lab)
    kept = reserve(lab, id)
    set_volume(lab, id, host="gone@fake#fake")
    with pytest.raises(VolumeDriverError):
        guests.connect(lab.cloud, kept, HOST)


def test_what_was_let_go_of_while_it_was_connected_is_not_reachable(lab):
    """The row goes in the midst of the back end's work: the way to the volume goes with it."""
    id = make_volume(lab)
    kept = reserve(lab, id)
    connect = lab.volumes.connect

    def slow(volume_id, connector):
        answer = connect(volume_id, connector)
        do(lab, guests.release, kept)
        return answer

    lab.volumes.connect = slow
    with pytest.raises(NotFound):
        guests.connect(lab.cloud, kept, HOST)
    assert connections(lab, id) == {}
    assert volume(lab, id)["status"] == "available"


# ---- in error, extended, deleted meanwhile


def test_a_volume_that_is_extended_while_in_use_goes_back_to_what_its_attachments_say(lab):
    id = make_volume(lab)
    kept = attach(lab, id)
    set_volume(lab, id, status="extending", before="in-use")
    guests.disconnect(lab.cloud, kept)
    do(lab, guests.release, kept)
    with lab.cloud.db.read() as tx:
        facts = guests.facts(tx, lab.ctx(), id)
        from pileus.volume.store import volumes

        assert (facts.status, volumes.get(tx, id).before) == ("extending", "available")


def test_an_error_is_not_hidden_by_a_release(lab):
    id = make_volume(lab)
    kept = attach(lab, id)
    set_volume(lab, id, status="error")
    do(lab, guests.release, kept)
    assert volume(lab, id)["status"] == "error"


def test_a_volume_ends_with_its_server(lab):
    id, busy, other = make_volume(lab), make_volume(lab), make_volume(lab)
    attach(lab, busy)
    project_id = lab.ctx().project_id
    assert do(lab, guests.delete, project_id, id) is True
    assert do(lab, guests.delete, project_id, id) is False
    assert do(lab, guests.delete, project_id, busy) is False
    assert do(lab, guests.delete, "0" * 32, other) is False
    assert do(lab, guests.delete, project_id, SERVER) is False
    lab.settle()
    assert client(lab).get(f"/volume/v3/volumes/{id}").status_code == 404
    assert set(lab.volumes.volumes) == {busy, other}


def test_a_volume_is_snapshotted_while_a_server_writes(lab):
    id = make_volume(lab)
    attach(lab, id)
    with lab.cloud.db.begin() as tx:
        taken = guests.snapshot(tx, lab.ctx(), id, "snapshot for image")
        assert guests.snapshot_status(tx, taken) == "creating"
    lab.settle()
    with lab.cloud.db.read() as tx:
        assert guests.snapshot_status(tx, taken) == "available"
        facts = guests.snapshot_facts(tx, lab.ctx(), taken)
    assert (facts.volume_id, facts.size_gib, facts.bootable) == (id, 1, False)
    assert list(lab.volumes.volumes[id].snapshots) == [taken]
    assert do(lab, guests.drop_snapshot, taken) is True
    lab.settle()
    assert do(lab, guests.drop_snapshot, taken) is False
    assert lab.volumes.volumes[id].snapshots == {}
    with lab.cloud.db.read() as tx:
        assert guests.snapshot_status(tx, taken) is None


# ---- time


@pytest.mark.parametrize("connected", [False, True])
def test_what_is_not_attached_in_time_is_taken_back(lab, connected):
    heard = listen(lab, "volume.attachment.expired")
    id = make_volume(lab)
    kept = reserve(lab, id)
    if connected:
        guests.connect(lab.cloud, kept, HOST)
    work.sweep(lab.cloud)
    assert volume(lab, id)["status"] == ("attaching" if connected else "reserved")
    wait_past_the_deadline(lab)
    assert volume(lab, id)["status"] == "available"
    assert connections(lab, id) == {}
    assert heard == [{"attachment_id": kept, "server_id": SERVER, "volume_id": id}]
    with pytest.raises(NotFound):
        guests.connect(lab.cloud, kept, HOST)


def test_what_is_not_detached_in_time_is_attached_again(lab):
    heard = listen(lab, "volume.attachment.expired")
    id = make_volume(lab)
    kept = attach(lab, id)
    do(lab, guests.begin_detach, kept)
    wait_past_the_deadline(lab)
    assert volume(lab, id)["status"] == "in-use"
    assert list(connections(lab, id)) == [kept]
    assert [facts["attachment_id"] for facts in heard] == [kept]
    wait_past_the_deadline(lab)
    assert len(heard) == 1


def test_what_is_attached_stays(lab):
    id = make_volume(lab)
    attach(lab, id)
    lab.clock.advance(10**7)
    work.sweep(lab.cloud)
    assert volume(lab, id)["status"] == "in-use"


@pytest.mark.parametrize(("answer", "status"), [("attached", "in-use"), ("prolong", "attaching"), ("release", "available")])
def test_who_hears_that_time_is_over_may_say_how_it_is(lab, answer, status):
    def hear(tx, cloud, facts):
        arguments = ("/dev/vdb",) if answer == "attached" else ()
        getattr(guests, answer)(tx, cloud, facts["attachment_id"], *arguments)

    lab.cloud.events.subscribe("volume.attachment.expired", hear)
    id = make_volume(lab)
    guests.connect(lab.cloud, reserve(lab, id), HOST)
    wait_past_the_deadline(lab)
    assert volume(lab, id)["status"] == status


def test_a_server_that_is_on_no_host_keeps_its_volume_for_as_long_as_it_likes(lab):
    id = make_volume(lab)
    kept = attach(lab, id)
    guests.disconnect(lab.cloud, kept)
    do(lab, guests.park, kept)
    assert volume(lab, id)["status"] == "reserved"
    wait_past_the_deadline(lab)
    assert volume(lab, id)["status"] == "reserved"
    guests.connect(lab.cloud, kept, "host2")
    do(lab, guests.attached, kept, "/dev/vdb")
    assert volume(lab, id)["status"] == "in-use"


def test_what_cannot_be_taken_back_yet_is_taken_back_later(lab):
    id = make_volume(lab)
    guests.connect(lab.cloud, reserve(lab, id), HOST)
    lab.volumes.fail("disconnect", times=2)
    wait_past_the_deadline(lab)
    work.sweep(lab.cloud)
    assert volume(lab, id)["status"] == "detaching"
    work.sweep(lab.cloud)
    assert volume(lab, id)["status"] == "available"


def test_a_shared_volume_is_taken_back_from_the_late_one_alone(lab):
    id = make_shared_volume(lab)
    attach(lab, id)
    late = reserve(lab, id, OTHER_SERVER)
    guests.connect(lab.cloud, late, "host2")
    wait_past_the_deadline(lab)
    assert volume(lab, id)["status"] == "in-use"
    assert [a["server_id"] for a in volume(lab, id)["attachments"]] == [SERVER]
    assert [c.host for c in connections(lab, id).values()] == [HOST]


# ---- what users may do to attachments of servers


def test_what_a_server_has_is_detached_by_compute_alone(lab):
    id = make_volume(lab)
    kept = attach(lab, id)
    for persona in ("demo", "admin"):
        answer = client(lab, persona).delete(f"/volume/v3/attachments/{kept}")
        assert answer.status_code == 409
        assert answer.json()["conflictingRequest"]["message"] == f"Detach volume from instance {SERVER} using the Compute API"
    assert volume(lab, id)["status"] == "in-use"
    service = client(lab, "demo", roles=("member", "reader", "service"))
    assert service.delete(f"/volume/v3/attachments/{kept}").status_code == 200
    assert volume(lab, id)["status"] == "available"


def test_what_is_only_kept_for_a_server_may_be_deleted_and_compute_hears_of_it(lab):
    heard = listen(lab, "volume.attachment.deleted")
    id = make_volume(lab)
    kept = reserve(lab, id)
    assert client(lab).delete(f"/volume/v3/attachments/{kept}").status_code == 200
    assert volume(lab, id)["status"] == "available"
    assert heard == [{"attachment_id": kept, "server_id": SERVER, "volume_id": id}]


def test_attachments_of_users_are_no_volumes_of_servers_to_compute(lab):
    id = make_volume(lab)
    kept = made(client(lab), id, instance_uuid=SERVER)
    complete(client(lab), kept["id"])
    with lab.cloud.db.read() as tx:
        assert guests.volumes_of(tx, [SERVER]).get(SERVER, []) == []


def test_a_server_has_its_volume_for_itself_before_users(lab):
    id = make_volume(lab)
    reserve(lab, id)
    assert create(client(lab), id, instance_uuid=OTHER_SERVER).status_code == 400


def test_the_secrets_of_a_servers_connection_are_not_for_users(lab):
    from pileus.volume.store import attachments

    id = make_volume(lab)
    kept = attach(lab, id)
    secret = {"driver_volume_type": "iscsi", "data": {"target_iqn": "iqn.x", "auth_password": "hush"}}
    with lab.cloud.db.begin() as tx:
        attachments.change(tx, kept, connection=secret)

    def told(persona):
        answer = client(lab, persona).get(f"/volume/v3/attachments/{kept}").json()
        return answer["attachment"]["connection_info"]

    assert told("demo")["target_iqn"] == "iqn.x"
    assert "auth_password" not in told("demo")
    assert told("admin")["auth_password"] == "hush"
