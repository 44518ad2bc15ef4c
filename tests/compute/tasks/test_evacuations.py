"""Servers of a host that is gone are made anew on another; the host that comes back learns what it lost."""

import pytest

from pileus.agent.serving import destroy_lost
from pileus.compute.service import evacuation, hosts
from pileus.compute.tasks.watch import watch
from pileus.kernel.answering import as_it_is
from pileus.main import build_worker
from tests.compute.moves_lab import HOSTS, ROOT, cloud_of_three
from tests.compute.tasks.test_server_life import _revive, _run_and_die


@pytest.fixture
def moves(template_state, tmp_path):
    with cloud_of_three(template_state, tmp_path) as found:
        yield found


def addresses(moves, id):
    return moves.show(id)["addresses"], [port["id"] for port in moves.ports() if port["device_id"] == id]


def test_a_server_of_a_dead_host_is_made_anew_elsewhere(moves):
    id, volume = moves.boot(), moves.volume()
    moves.attach(id, volume)
    source, before, room = moves.host(id), addresses(moves, id), moves.used()
    moves.lab.hypervisors[source].guests[id].content = "lost"
    with moves.away(source):
        moves.lab.settle(90)
        answer = moves.act_as("admin", id, "evacuate", {}, "2.94")
        assert answer.status_code == 200, answer.text
        assert answer.content == b""
        target = moves.host(id)
        assert (moves.show(id)["status"], target != source) == ("ACTIVE", True)
        assert moves.lab.hypervisors[target].guests[id].content == ""
        assert list(moves.lab.hypervisors[target].guests[id].volumes) == [volume]
        assert (moves.status(volume), moves.connected(volume)) == ("in-use", 1)
        assert addresses(moves, id) == before
        assert moves.moved(id) == ("evacuation", "done", source, target)
        assert moves.events(id) == ["compute_rebuild_instance"]
        assert {name: used for name, used in moves.used().items() if used[0]} == {target: room[source]}
    assert moves.running(id) == sorted([source, target])  # the host that was cut off does not know yet
    watch(moves.lab.cloud)
    assert moves.guests(id) == {target: "on"}
    assert moves.taps(id) == [target]
    moves.delete(id)
    assert moves.nothing_left()


def test_a_host_that_starts_again_destroys_first_what_it_lost(moves):
    ids = [moves.boot() for _ in range(6)]
    source = moves.host(ids[0])
    here = {id for id in ids if moves.host(id) == source}
    gone, deleted = ids[0], sorted(here - {ids[0]})[0]
    with moves.away(source):
        moves.lab.settle(90)
        moves.act_as("admin", gone, "evacuate", {})
        moves.demo.delete(f"{ROOT}/servers/{deleted}")
        moves.lab.settle(30)
    driver = moves.lab.hypervisors[source]
    driver.guests["0c9e1ad4-6a70-4b7e-a1c1-9f0c1d3f7a11"] = driver.guests[gone]  # one that nobody knows

    def lost(host, guest_ids):
        return evacuation.lost_guests(moves.lab.cloud, host, guest_ids)

    destroy_lost({source: {"hypervisor": driver}, "other@x": {"volume": None}}, as_it_is, lost)
    assert set(driver.guests) == (here - {gone, deleted}) | {"0c9e1ad4-6a70-4b7e-a1c1-9f0c1d3f7a11"}


def test_what_may_go_back_is_not_lost(moves):
    id = moves.boot()
    source = moves.host(id)
    moves.done(id, "migrate")
    assert evacuation.lost_guests(moves.lab.cloud, source, [id]) == ()
    watch(moves.lab.cloud)
    assert moves.guests(id)[source] == "off"
    moves.done(id, "confirmResize")
    assert evacuation.lost_guests(moves.lab.cloud, source, [id]) == (id,)
    assert evacuation.lost_guests(moves.lab.cloud, moves.host(id), [id]) == ()


@pytest.mark.parametrize(
    ("version", "before", "after"),
    [("2.94", "ACTIVE", "ACTIVE"), ("2.94", "SHUTOFF", "SHUTOFF"), ("2.95", "ACTIVE", "SHUTOFF"), ("2.94", "ERROR", "ACTIVE")],
)
def test_whether_it_runs_afterwards(moves, version, before, after):
    id = moves.boot()
    if before == "SHUTOFF":
        moves.done(id, "os-stop")
    if before == "ERROR":
        moves.done(id, "os-resetState", {"state": "error"})
    source = moves.host(id)
    moves.down(source)
    moves.act_as("admin", id, "evacuate", {}, version)
    target = moves.host(id)
    watch(moves.lab.cloud)
    assert (moves.show(id)["status"], moves.guests(id)) == (after, {target: "on" if after == "ACTIVE" else "off"})


BODIES = [
    ("2.1", {"onSharedStorage": False}, 200),
    ("2.1", {"onSharedStorage": "False", "host": "OTHER", "adminPass": "secret"}, 200),
    ("2.1", {"onSharedStorage": True}, 400),
    ("2.1", {"onSharedStorage": True, "adminPass": "secret"}, 400),
    ("2.1", {}, 400),
    ("2.1", {"onSharedStorage": False, "force": True}, 400),
    ("2.13", {"onSharedStorage": False}, 200),
    ("2.14", {"onSharedStorage": False}, 400),
    ("2.14", {"adminPass": "secret"}, 200),
    ("2.28", {"force": True, "host": "OTHER"}, 400),
    ("2.29", {"force": True, "host": "OTHER"}, 200),
    ("2.29", {"force": True}, 400),
    ("2.67", {"force": False, "host": "OTHER"}, 200),
    ("2.68", {"force": True, "host": "OTHER"}, 400),
    ("2.95", {"host": "OTHER"}, 200),
    ("2.95", {"host": "nowhere"}, 404),
    ("2.95", {"host": "SAME"}, 400),
    ("2.95", {"host": ""}, 400),
    ("2.95", {"host": 7}, 400),
    ("2.95", {"where": "there"}, 400),
]


@pytest.mark.parametrize(("version", "body", "status"), BODIES)
def test_bodies(moves, version, body, status):
    id = moves.boot()
    source = moves.host(id)
    moves.down(source)
    names = {"SAME": source, "OTHER": next(name for name in HOSTS if name != source)}
    body = {key: names.get(value, value) if isinstance(value, str) else value for key, value in body.items()}
    answer = moves.act_as("admin", id, "evacuate", body, version)
    assert answer.status_code == status, answer.text
    assert (moves.host(id) != source) == (status == 200)
    if status == 200 and version in ("2.1", "2.13"):
        assert answer.json()["adminPass"] == body.get("adminPass", answer.json()["adminPass"]) != ""


def test_force_goes_past_the_scheduler(moves):
    id = moves.boot()
    source = moves.host(id)
    moves.down(source)
    for name in HOSTS:
        moves.disable(name)
    target = next(name for name in HOSTS if name != source)
    assert moves.act_as("admin", id, "evacuate", {"host": target}, "2.29").status_code == 400
    assert moves.act_as("admin", id, "evacuate", {"host": target, "force": True}, "2.29").status_code == 200
    assert moves.host(id) == target


@pytest.mark.parametrize(("persona", "status"), [("manager", 403), ("demo", 403), ("other", 404)])
def test_who_may(moves, persona, status):
    id = moves.boot()
    moves.down(moves.host(id))
    assert moves.act_as(persona, id, "evacuate", {}).status_code == status


def test_a_host_that_is_up_keeps_its_servers(moves):
    id = moves.boot()
    source = moves.host(id)
    answer = moves.act_as("admin", id, "evacuate", {})
    assert (answer.status_code, "still in use" in answer.text) == (400, True)
    moves.down(source)
    moves.done(id, "pause")
    assert moves.act_as("admin", id, "evacuate", {}).status_code == 409
    assert moves.host(id) == source


def test_a_host_that_may_run_its_guests_still_is_waited_for(template_state, tmp_path):
    with cloud_of_three(template_state, tmp_path, fence_after_seconds=60) as moves:
        id = moves.boot()
        source, cloud = moves.host(id), moves.lab.cloud
        assert evacuation.renew(cloud, source, [id]) == (60.0, ())
        moves.down(source)
        assert evacuation.renew(cloud, source, [id]) == (60.0, (id,)), "who is said to be down runs nothing"
        moves.lab.hypervisors[source].halt(id)
        answer = moves.act(id, "evacuate", {}, moves.admin)
        assert answer.status_code == 200, answer.text
        moves.lab.settle(70)
        assert (moves.host(id), list(moves.guests(id))) == (source, [source])
        moves.lab.settle(20)
        assert moves.host(id) != source
        assert moves.guests(id) == {source: "paused", moves.host(id): "off"}
        watch(cloud)
        assert list(moves.guests(id)) == [moves.host(id)]


def test_a_host_that_is_heard_again_in_time_does_not_run_what_is_evacuated(template_state, tmp_path):
    with cloud_of_three(template_state, tmp_path, fence_after_seconds=60) as moves:
        id = moves.boot()
        source = moves.host(id)
        with moves.away(source):
            moves.lab.clock.advance(61)
            hosts.refresh(moves.lab.cloud)
            assert moves.act(id, "evacuate", {}, moves.admin).status_code == 200
        assert evacuation.renew(moves.lab.cloud, source, [id]) == (60.0, (id,))
        moves.lab.settle(60)
        assert moves.host(id) != source
        assert evacuation.renew(moves.lab.cloud, source, [id]) == (60.0, (id,)), "it is lost"


def test_without_fences_nothing_is_waited_for(moves):
    id = moves.boot()
    assert evacuation.renew(moves.lab.cloud, moves.host(id), [id]) == (0.0, ())
    moves.down(moves.host(id))
    assert evacuation.renew(moves.lab.cloud, moves.host(id), [id]) == (0.0, ())


def test_one_that_cannot_be_made_anew_stays_where_it_was(moves):
    id, volume = moves.boot(), moves.volume()
    moves.attach(id, volume)
    source, used = moves.host(id), moves.used()
    moves.lab.hypervisors[source].guests[id].content = "kept"
    moves.down(source)
    for name in HOSTS:
        if name != source:
            moves.lab.hypervisors[name].fail_next("ensure", reason="no KVM here")
    moves.act_as("admin", id, "evacuate", {})
    shown = moves.show(id)
    assert (shown["status"], moves.host(id), shown["fault"]["message"]) == ("ERROR", source, "no KVM here")
    assert (moves.moved(id)[1], moves.used()) == ("failed", used)
    watch(moves.lab.cloud)
    assert moves.lab.hypervisors[source].guests[id].content == "kept"
    moves.down(source, forced=False)
    moves.done(id, "reboot", {"type": "HARD"})
    assert (moves.show(id)["status"], moves.guests(id)) == ("ACTIVE", {source: "on"})
    assert (moves.status(volume), moves.connected(volume)) == ("in-use", 1)


def test_work_that_was_under_way_with_a_dead_host_ends(moves):
    id = moves.boot()
    source = moves.host(id)
    with moves.away(source):
        moves.lab.settle(90)
        assert moves.act(id, "os-stop").status_code == 202
        answer = moves.act_as("admin", id, "evacuate", {}, "2.94")
        assert answer.status_code == 200, answer.text
        moves.lab.settle(5)
        assert moves.host(id) != source
        assert moves.show(id)["status"] == "ACTIVE"


def test_every_step_bears_to_be_run_twice(moves):
    moves.lab.worker = build_worker(moves.lab.cloud, repeats=2)
    id, volume = moves.boot(), moves.volume()
    moves.attach(id, volume)
    source = moves.host(id)
    moves.down(source)
    moves.act_as("admin", id, "evacuate", {}, "2.94")
    watch(moves.lab.cloud)
    assert (moves.show(id)["status"], moves.guests(id)) == ("ACTIVE", {moves.host(id): "on"})
    assert moves.connected(volume) == 1


@pytest.mark.parametrize("before_write", [True, False], ids=["before the write", "after the write"])
@pytest.mark.parametrize("fails", [False, True], ids=["goes well", "fails"])
def test_a_process_killed_at_any_write_finishes_the_evacuation(moves, fails, before_write):
    for at in range(1, 16):
        id = moves.boot()
        source = moves.host(id)
        target = next(name for name in HOSTS if name != source)
        moves.down(source)
        if fails:
            moves.lab.hypervisors[target].fail_next("ensure", times=1000)
        moves.act(id, "evacuate", {"host": target}, moves.lab.client("admin", {"X-OpenStack-Nova-API-Version": "2.94"}))
        died = _run_and_die(build_worker(moves.lab.cloud), at, before_write)
        _revive(moves.lab)
        moves.lab.hypervisors[target]._failures.clear()
        assert moves.show(id)["OS-EXT-STS:task_state"] is None
        assert (moves.show(id)["status"], moves.host(id)) == (("ERROR", source) if fails else ("ACTIVE", target)), f"at {at}"
        watch(moves.lab.cloud)
        assert list(moves.guests(id)) == [moves.host(id)]
        moves.down(source, forced=False)
        moves.delete(id)
        assert moves.nothing_left()
        if not died:
            assert at > 1
            return
    raise AssertionError("it never came to an end")
