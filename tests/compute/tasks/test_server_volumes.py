"""Volumes attached to servers and detached; whatever breaks, and whenever the process dies."""

import pytest

from pileus.compute.tasks import servers as work


def test_a_volume_is_plugged_in_and_unplugged(store):
    id, volume = store.boot(), store.volume()
    answer = store.ask(id, volume)
    assert answer.json()["volumeAttachment"]["device"] == "/dev/vdb"
    assert store.status(volume) == "reserved"
    assert store.lab.worker.run_due() == 1
    assert store.status(volume) == "in-use"
    assert store.plugged(id) == [volume]
    assert store.connected(volume) == 1
    (shown,) = store.see(volume)["attachments"]
    assert (shown["server_id"], shown["device"]) == (id, "/dev/vdb")
    assert store.show(id)["os-extended-volumes:volumes_attached"] == [{"id": volume, "delete_on_termination": False}]
    assert store.log(id)[0] == ("attach_volume", None)
    assert store.detach(id, volume).status_code == 202
    assert store.status(volume) == "available"
    assert (store.plugged(id), store.connected(volume), store.attached(id)) == ([], 0, [])
    assert store.log(id)[0] == ("detach_volume", None)
    assert store.tasks() == []


def test_a_volume_that_cannot_be_plugged_in_is_given_back(store):
    id, volume = store.boot(), store.volume()
    store.lab.hypervisor.unreachable.add(volume)
    store.attach(id, volume)
    assert (store.status(volume), store.attached(id), store.connected(volume)) == ("available", [], 0)
    assert store.log(id)[0] == ("attach_volume", "Error")
    assert store.show(id)["status"] == "ACTIVE"
    assert "fault" not in store.show(id)
    store.lab.hypervisor.unreachable.clear()
    store.attach(id, volume)
    assert store.plugged(id) == [volume]


def test_a_back_end_that_refuses_leaves_the_volume_available(store):
    id, volume = store.boot(), store.volume()
    store.lab.volumes.fail("connect", volume, "no more targets", times=None)
    store.attach(id, volume)
    assert (store.status(volume), store.attached(id)) == ("available", [])
    url = f"/compute/v2.1/servers/{id}/os-instance-actions"
    (entry, *_) = store.admin.get(url).json()["instanceActions"]
    events = store.admin.get(f"{url}/{entry['request_id']}").json()["instanceAction"]["events"]
    assert (events[0]["event"], events[0]["result"]) == ("compute_attach_volume", "Error")
    assert "no more targets" in events[0]["details"]


def test_a_guest_that_does_not_let_go_keeps_its_volume(store):
    id, volume = store.boot(), store.volume()
    store.attach(id, volume)
    store.lab.hypervisor.deaf.add(id)
    assert store.detach(id, volume).status_code == 202
    assert (store.status(volume), store.plugged(id)) == ("detaching", [volume])
    for _ in range(10):
        store.lab.settle(10)
    assert (store.status(volume), store.plugged(id)) == ("in-use", [volume])
    assert store.log(id)[0] == ("detach_volume", "Error")
    assert store.show(id)["status"] == "ACTIVE"
    assert store.tasks() == []
    store.lab.hypervisor.deaf.clear()
    store.detach(id, volume)
    assert (store.status(volume), store.plugged(id)) == ("available", [])


def test_a_guest_that_is_just_starting_lets_go_of_its_volume_when_it_is_up(store):
    id, volume, other = store.boot(), store.volume(), store.volume()
    store.attach(id, volume)
    store.lab.hypervisor.deaf.add(id)
    assert store.detach(id, volume).status_code == 202
    store.attach(id, other)
    assert (store.status(volume), store.status(other)) == ("detaching", "in-use")
    store.lab.settle(10)
    store.lab.hypervisor.deaf.clear()
    store.lab.settle(10)
    assert (store.status(volume), store.plugged(id)) == ("available", [other])
    assert store.log(id)[1] == ("detach_volume", None)
    assert store.tasks() == []


def test_a_guest_that_is_paused_keeps_its_volume_at_once(store):
    id, volume = store.boot(), store.volume()
    store.attach(id, volume)
    store.act(id, "pause")
    store.lab.settle()
    store.detach(id, volume)
    assert (store.status(volume), store.log(id)[0]) == ("in-use", ("detach_volume", "Error"))


def test_a_volume_that_the_guest_has_let_go_of_is_given_back_though_its_way_cannot_be_taken(store):
    id, volume = store.boot(), store.volume()
    store.attach(id, volume)
    store.lab.volumes.fail("disconnect", volume, "no answer", times=None)
    store.detach(id, volume)
    assert (store.status(volume), store.plugged(id)) == ("detaching", [])
    for _ in range(20):
        store.lab.settle(30)
    assert (store.status(volume), store.attached(id), store.plugged(id)) == ("available", [], [])
    assert store.tasks() == []


def test_an_attachment_whose_host_is_away_is_taken_back_at_its_deadline(store):
    id, volume = store.boot(), store.volume()

    def away(name, role):
        if role == "hypervisor":
            raise RuntimeError("the host does not answer")
        return kept(name, role)

    store.lab.cloud.bus.host, kept = away, store.lab.cloud.bus.host
    store.attach(id, volume)
    assert store.status(volume) in ("reserved", "attaching")
    store.lab.cloud.bus.host = kept
    store.lab.settle(10_000)
    assert (store.status(volume), store.attached(id), store.connected(volume)) == ("available", [], 0)
    assert store.log(id)[0] == ("attach_volume", "Error")
    assert store.show(id)["status"] == "ACTIVE"
    assert store.tasks() == []


def test_two_volumes_asked_for_at_once_are_both_plugged_in(store):
    id, one, two = store.boot(), store.volume(), store.volume()
    assert store.ask(id, one).status_code == store.ask(id, two).status_code == 200
    store.lab.settle()
    assert sorted(store.plugged(id)) == sorted([one, two])
    assert {entry["device"] for entry in store.attached(id)} == {"/dev/vdb", "/dev/vdc"}
    assert [entry[1] for entry in store.log(id)[:2]] == [None, None]


def test_a_volume_asked_for_before_a_stop_is_attached_all_the_same(store):
    id, volume = store.boot(), store.volume()
    store.ask(id, volume)
    assert store.act(id, "os-stop").status_code == 202
    store.lab.settle()
    assert store.show(id)["status"] == "SHUTOFF"
    assert store.status(volume) == "in-use"
    assert store.tasks() == []
    store.act(id, "os-start")
    store.lab.settle()
    assert store.plugged(id) == [volume]


def test_volumes_stay_when_a_server_stops_starts_and_boots_again(store):
    id, volume = store.boot(), store.volume()
    store.act(id, "os-stop")
    store.lab.settle()
    store.attach(id, volume)
    assert store.status(volume) == "in-use"
    for action, argument in (("os-start", None), ("reboot", {"type": "HARD"}), ("suspend", None), ("resume", None)):
        assert store.act(id, action, argument).status_code == 202
        store.lab.settle()
    assert store.plugged(id) == [volume]
    assert store.show(id)["status"] == "ACTIVE"
    store.act(id, "os-stop")
    store.lab.settle()
    store.detach(id, volume)
    assert store.status(volume) == "available"


def test_a_deleted_server_leaves_its_volumes_or_takes_them_along(store):
    id, kept, gone = store.boot(), store.volume(), store.volume()
    store.attach(id, kept)
    store.attach(id, gone, delete_on_termination=True)
    store.delete(id)
    store.lab.settle()
    assert store.status(kept) == "available"
    assert store.see(gone) is None
    assert (store.connected(kept), store.left_over()) == (0, [])


def test_a_server_deleted_while_a_volume_is_attached_leaves_nothing(store):
    id, volume = store.boot(), store.volume()
    step = work.program.steps["plug"]

    def interrupted(run):
        store.demo.delete(f"/compute/v2.1/servers/{id}")
        return step(run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(work.program.steps, "plug", interrupted)
        store.ask(id, volume)
        store.lab.settle()
    assert store.show(id) is None
    assert (store.status(volume), store.connected(volume), store.left_over()) == ("available", 0, [])


# ---- moved to another back end while a server has it


def _there(store, volume):
    here = store.lab.client("admin").get(f"/volume/v3/{'a' * 31}0/volumes/{volume}").json()["volume"]["os-vol-host-attr:host"]
    return here.partition("#")[0], "host1@more" if here.startswith("host1@fake") else "host1@fake"


def _migrate(store, volume, host):
    body = {"os-migrate_volume": {"host": host}}
    return store.lab.client("admin").post(f"/volume/v3/{'a' * 31}0/volumes/{volume}/action", json=body)


def _backend(store, host):
    return store.lab.cloud.bus.host(host, "volume")


def _migration(store, volume):
    found = store.lab.client("admin").get(f"/volume/v3/{'a' * 31}0/volumes/{volume}").json()["volume"]
    return found["status"], found["migration_status"], found["os-vol-host-attr:host"].partition("#")[0]


def test_a_volume_is_moved_under_its_server(store):
    id, volume = store.boot(), store.volume()
    store.attach(id, volume)
    for times in (1, 2):
        here, there = _there(store, volume)
        answer = _migrate(store, volume, there)
        assert answer.status_code == 202, answer.text
        assert store.status(volume) == "in-use"
        store.lab.settle()
        assert _migration(store, volume) == ("in-use", "success", there)
        assert store.plugged(id) == [f"{volume}-{times}"]
        assert store.lab.hypervisor.guests[id].volumes[f"{volume}-{times}"].serial == volume
        assert volume not in _backend(store, here).volumes
        assert len(_backend(store, there).volumes[volume].connectors) == 1
    assert [entry["volumeId"] for entry in store.attached(id)] == [volume]
    assert store.act(id, "reboot", {"type": "HARD"}).status_code == 202
    store.lab.settle()
    assert store.plugged(id) == [f"{volume}-2"]
    store.detach(id, volume)
    assert (store.status(volume), store.plugged(id), store.tasks()) == ("available", [], [])
    assert not _backend(store, there).volumes[volume].connectors


def test_a_server_goes_on_with_other_work_while_its_volume_is_copied(store):
    id, volume, other = store.boot(), store.volume(), store.volume()
    store.attach(id, volume)
    store.lab.hypervisor.copying.add(f"{volume}-1")
    there = _there(store, volume)[1]
    _migrate(store, volume, there)
    store.lab.settle()
    assert store.demo.delete(f"/compute/v2.1/servers/{id}/os-volume_attachments/{volume}").status_code == 400
    assert store.ask(id, other).status_code == 200
    store.lab.hypervisor.copying.clear()
    store.lab.settle(1)
    assert _migration(store, volume) == ("in-use", "success", there)
    assert set(store.plugged(id)) == {f"{volume}-1", other}


def test_a_volume_whose_copy_fails_stays_where_it_is(store):
    id, volume = store.boot(), store.volume()
    store.attach(id, volume)
    here, there = _there(store, volume)
    store.lab.hypervisor.fail_next("swap_disk", reason="no room on the other side")
    _migrate(store, volume, there)
    store.lab.settle()
    assert _migration(store, volume) == ("in-use", "error", here)
    assert store.plugged(id) == [volume]
    assert volume not in _backend(store, there).volumes
    _migrate(store, volume, there)
    store.lab.settle()
    assert _migration(store, volume) == ("in-use", "success", there)


def test_a_volume_of_a_server_that_is_off_or_goes_off_stays_where_it_is(store):
    id, volume = store.boot(), store.volume()
    store.attach(id, volume)
    store.act(id, "os-stop")
    store.lab.settle()
    here, there = _there(store, volume)
    _migrate(store, volume, there)
    store.lab.settle()
    assert _migration(store, volume) == ("in-use", "error", here)
    assert volume not in _backend(store, there).volumes


def test_a_server_deleted_while_its_volume_is_moved_leaves_it_whole(store):
    id, volume = store.boot(), store.volume()
    store.attach(id, volume)
    store.lab.hypervisor.copying.add(f"{volume}-1")
    here, there = _there(store, volume)
    _migrate(store, volume, there)
    store.lab.settle()
    store.demo.delete(f"/compute/v2.1/servers/{id}")
    store.lab.settle()
    for _ in range(3):
        store.lab.settle(100)
    assert store.show(id) is None
    assert _migration(store, volume)[:2] == ("available", "success")
    assert not _backend(store, there).volumes[volume].connectors
    assert volume not in _backend(store, here).volumes
