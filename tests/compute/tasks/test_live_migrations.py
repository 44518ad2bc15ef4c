"""Servers go to another host while they run, and what becomes of them if that fails.

The guest runs in one place, and the API says where.
"""

import pytest

from pileus.compute.driver import DriverError
from pileus.compute.tasks import watch
from pileus.main import build_worker
from tests.compute.moves_lab import HOSTS, ROOT, cloud_of_three
from tests.compute.tasks.test_server_life import _revive, _run_and_die

AUTO = {"host": None, "block_migration": "auto"}


@pytest.fixture
def moves(template_state, tmp_path):
    with cloud_of_three(template_state, tmp_path) as found:
        yield found


def other(host):
    return next(name for name in HOSTS if name != host)


def running(moves, id):
    """Return the hosts where a guest runs."""
    return [name for name, host in moves.lab.hypervisors.items() if host.runs(id)]


def ask(moves, id, argument=None, version="latest", persona="admin", **more):
    """Ask that a server go while it runs, and let nothing be done yet."""
    client = moves.lab.client(persona, {"X-OpenStack-Nova-API-Version": version})
    return moves.act(id, "os-migrateLive", {**(argument or AUTO), **more}, client)


def under_way(moves, id):
    return moves.admin.get(f"{ROOT}/servers/{id}/migrations").json()["migrations"]


def set_out(moves, id):
    """Have a server be on its way, with memory that does not come to an end; returns its host, and the migration."""
    source = moves.host(id)
    moves.lab.hypervisors[source].restless.add(id)
    assert ask(moves, id).status_code == 202
    step(moves)
    (found,) = under_way(moves, id)
    assert found["status"] == "running"
    return source, found


def step(moves):
    for _ in range(20):
        moves.lab.worker.run_due(1)


def nothing_left(moves):
    for host in moves.lab.hypervisors.values():
        assert (host.coming, host.leaving) == ({}, {})
    return moves.nothing_left()


def test_a_server_goes_over_while_it_runs(moves):
    id = moves.boot()
    source, room = moves.host(id), max(moves.used().values())
    starts = moves.lab.hypervisors[source].guests[id].starts
    assert ask(moves, id, persona="manager").status_code == 202
    assert (moves.show(id)["status"], moves.show(id)["OS-EXT-STS:task_state"]) == ("MIGRATING", "migrating")
    moves.lab.settle()
    target = moves.host(id)
    assert target != source
    assert (moves.show(id)["status"], moves.show(id)["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
    assert moves.guests(id) == {target: "on"}
    assert moves.lab.hypervisors[target].guests[id].starts == starts
    assert moves.taps(id) == [target]
    assert {name: used for name, used in moves.used().items() if used[0]} == {target: room}
    assert moves.moved(id) == ("live-migration", "completed", source, target)
    assert moves.events(id) == [
        "conductor_live_migrate_instance", "compute_live_migration", "compute_post_live_migration_at_destination",
    ]  # fmt: skip
    assert under_way(moves, id) == []
    moves.delete(id)
    assert nothing_left(moves)


def test_both_hosts_have_what_is_needed_on_the_way(moves):
    id = moves.boot()
    room = max(moves.used().values())
    source, found = set_out(moves, id)
    target = found["dest_compute"]
    assert {name: used for name, used in moves.used().items() if used[0]} == {source: room, target: room}
    assert sorted(moves.taps(id)) == sorted([source, target])
    assert moves.lab.hypervisors[target].observe(id).arriving
    assert (moves.host(id), running(moves, id)) == (source, [source])
    assert (found["memory_total_bytes"], found["memory_remaining_bytes"] > 0) == (128 * 1024**2, True)
    shown = moves.admin.get(f"{ROOT}/servers/{id}/migrations/{found['id']}").json()["migration"]
    assert shown | {"updated_at": 0} == found | {"updated_at": 0}
    links = moves.migrations(f"?instance_uuid={id}")[0]["links"]
    assert links[0]["href"].endswith(f"/servers/{id}/migrations/{found['id']}")


def test_volumes_are_reached_from_both_hosts_and_then_from_one(moves):
    id, volume = moves.boot(), moves.volume()
    moves.attach(id, volume)
    source, found = set_out(moves, id)
    assert moves.connected(volume) == 2
    moves.lab.hypervisors[source].restless.clear()
    moves.lab.settle(1)
    target = moves.host(id)
    assert (target, list(moves.lab.hypervisors[target].guests[id].volumes)) == (found["dest_compute"], [volume])
    assert (moves.status(volume), moves.connected(volume), len(moves.see(volume)["attachments"])) == ("in-use", 1, 1)
    moves.delete(id)
    assert (moves.status(volume), moves.connected(volume)) == ("available", 0)
    assert nothing_left(moves)


def test_a_server_that_is_paused_stays_so(moves):
    id = moves.boot()
    moves.done(id, "pause", persona="demo")
    source = moves.host(id)
    assert ask(moves, id).status_code == 202
    moves.lab.settle()
    assert (moves.show(id)["status"], moves.guests(id)) == ("PAUSED", {moves.host(id): "paused"})
    assert moves.host(id) != source


def test_a_migration_is_aborted(moves):
    id, volume = moves.boot(), moves.volume()
    moves.attach(id, volume)
    source, found = set_out(moves, id)
    url = f"{ROOT}/servers/{id}/migrations/{found['id']}"
    assert moves.admin.delete(url).status_code == 202
    moves.lab.settle(1)
    assert (moves.show(id)["status"], moves.host(id), running(moves, id)) == ("ACTIVE", source, [source])
    assert moves.moved(id) == ("live-migration", "cancelled", source, found["dest_compute"])
    assert (moves.taps(id), moves.connected(volume)) == ([source], 1)
    assert moves.admin.delete(url).status_code == 409
    assert moves.admin.get(url).status_code == 404
    moves.delete(id)
    assert nothing_left(moves)


def test_a_migration_is_forced_to_end(moves):
    id = moves.boot()
    source, found = set_out(moves, id)
    url = f"{ROOT}/servers/{id}/migrations/{found['id']}/action"
    moves.lab.settle(1)
    assert moves.show(id)["status"] == "MIGRATING"
    for wrong in ({}, {"force_complete": 1}, {"force_complete": None, "more": 1}, {"else": None}):
        assert moves.admin.post(url, json=wrong).status_code == 400
    assert moves.admin.post(url, json={"force_complete": None}).status_code == 202
    moves.lab.settle(1)
    assert moves.moved(id) == ("live-migration", "completed", source, found["dest_compute"])
    assert running(moves, id) == [moves.host(id)] == [found["dest_compute"]]
    assert moves.admin.post(url, json={"force_complete": None}).status_code == 409


def test_what_is_asked_of_a_migration_at_the_wrong_time(moves):
    id, quiet = moves.boot(), moves.boot()
    _, found = set_out(moves, id)
    one, none = f"{ROOT}/servers/{id}/migrations/{found['id']}", f"{ROOT}/servers/{id}/migrations/77"
    others = f"{ROOT}/servers/{quiet}/migrations/{found['id']}"
    end = {"force_complete": None}
    assert moves.admin.get(none).status_code == moves.admin.delete(none).status_code == 404
    assert moves.admin.post(f"{none}/action", json=end).status_code == 400
    assert moves.admin.get(others).status_code == 404
    assert moves.admin.delete(others).status_code == moves.admin.post(f"{others}/action", json=end).status_code == 409
    assert moves.demo.get(one).status_code == 403
    assert moves.demo.delete(one).status_code == 403
    manager = moves.manager.get(one).json()["migration"]
    assert (manager["source_compute"], manager["dest_compute"]) == (None, None)
    older = {
        version: moves.lab.client("admin", {"X-OpenStack-Nova-API-Version": version}) for version in ("2.21", "2.22", "2.23")
    }
    assert older["2.21"].post(f"{one}/action", json=end).status_code == 404
    assert older["2.22"].get(one).status_code == 404
    assert older["2.23"].delete(one).status_code == 404
    assert moves.act(id, "os-stop", None, moves.demo).status_code == 409
    assert ask(moves, id).status_code == 409


OLD = {"host": None, "block_migration": True, "disk_over_commit": False}


@pytest.mark.parametrize(
    ("version", "argument", "status"),
    [
        ("2.1", OLD, 202),
        ("2.1", {"host": None, "block_migration": True}, 400),
        ("2.1", {**OLD, "block_migration": "auto"}, 400),
        ("2.1", {**OLD, "block_migration": False}, 400),
        ("2.1", {**OLD, "host": "nowhere"}, 400),
        ("2.24", {**OLD, "force": False}, 400),
        ("2.25", OLD, 400),
        ("2.25", AUTO, 202),
        ("2.25", {"block_migration": "auto"}, 400),
        ("2.25", {"host": None, "block_migration": "perhaps"}, 400),
        ("2.29", {**AUTO, "force": True}, 400),
        ("2.30", {**AUTO, "force": True}, 202),
        ("2.67", {**AUTO, "host": "host2", "force": True}, 202),
        ("2.68", {**AUTO, "force": True}, 400),
        ("latest", {**AUTO, "host": "nowhere"}, 400),
        ("latest", {**AUTO, "host": "host1"}, 400),
        ("latest", {**AUTO, "host": 7}, 400),
        ("latest", {**AUTO, "more": 1}, 400),
        ("latest", {**AUTO, "block_migration": False}, 202),
    ],
)
def test_what_may_be_asked(moves, version, argument, status):
    for name in ("host2", "host3"):
        moves.down(name)
    id = moves.boot()
    for name in ("host2", "host3"):
        moves.down(name, forced=False)
    answer = ask(moves, id, argument, version)
    assert answer.status_code == status, answer.text
    moves.lab.settle()
    assert moves.show(id)["status"] == "ACTIVE"
    moved = status == 202 and argument["block_migration"] is not False
    assert running(moves, id) == [moves.host(id)]
    assert (moves.host(id) != "host1") == moved


def test_who_may_not(moves):
    id = moves.boot()
    for persona, argument, status in (
        ("demo", AUTO, 403), ("reader", AUTO, 403), ("other", AUTO, 404),
        ("manager", {**AUTO, "host": other(moves.host(id))}, 403),
    ):  # fmt: skip
        assert ask(moves, id, argument, persona=persona).status_code == status, persona
    assert moves.show(id)["status"] == "ACTIVE"


def test_what_speaks_against_it_is_told_or_logged(moves):
    id = moves.boot()
    for name in HOSTS:
        if name != moves.host(id):
            moves.disable(name)
    old = ask(moves, id, OLD, "2.1")
    assert (old.status_code, "No valid host was found" in old.text) == (400, True)
    assert ask(moves, id).status_code == 202
    moves.lab.settle()
    assert (moves.show(id)["status"], running(moves, id)) == ("ACTIVE", [moves.host(id)])
    assert moves.migrations(f"?instance_uuid={id}")[0]["status"] == "error"
    assert moves.events(id) == ["conductor_live_migrate_instance"]
    moves.done(id, "os-stop", persona="demo")
    assert ask(moves, id).status_code == 409


def test_server_groups_hold(moves):
    wanted = {"name": "apart", "policy": "anti-affinity", "rules": {"max_server_per_host": 1}}
    answer = moves.demo.post(f"{ROOT}/os-server-groups", json={"server_group": wanted})
    group = answer.json()["server_group"]["id"]
    body = {"os:scheduler_hints": {"group": group}}
    first, second = boot_with(moves, body), boot_with(moves, body)
    taken = {moves.host(first), moves.host(second)}
    assert len(taken) == 2
    assert ask(moves, first).status_code == 202
    moves.lab.settle()
    assert moves.host(first) not in taken
    assert running(moves, first) == [moves.host(first)]


def boot_with(moves, more):
    wanted = {"name": "one", "imageRef": moves.image, "flavorRef": "1", "networks": "none"}
    answer = moves.demo.post(f"{ROOT}/servers", json={"server": wanted, **more})
    assert answer.status_code == 202, answer.text
    moves.lab.settle()
    return answer.json()["server"]["id"]


@pytest.mark.parametrize("method", ["describe", "send", "passage"])
def test_a_source_that_cannot_keeps_the_server(moves, method):
    id = moves.boot()
    source = moves.host(id)
    moves.lab.hypervisors[source].fail_next(method, times=2)
    assert ask(moves, id).status_code == 202
    moves.lab.settle()
    stayed_well(moves, id, source)


@pytest.mark.parametrize("method", ["receive", "doomed"])
def test_a_target_that_cannot_leaves_the_server_where_it_is(moves, method):
    id, volume = moves.boot(), moves.volume()
    moves.attach(id, volume)
    source = moves.host(id)
    target = other(source)
    if method == "doomed":
        moves.lab.hypervisors[source].doomed.add(id)
    else:
        moves.lab.hypervisors[target].fail_next(method, times=2)
    assert ask(moves, id, host=target).status_code == 202
    moves.lab.settle()
    assert moves.connected(volume) == 1
    stayed_well(moves, id, source)


def stayed_well(moves, id, source):
    assert (moves.show(id)["status"], moves.host(id), running(moves, id)) == ("ACTIVE", source, [source])
    assert moves.taps(id) == [source]
    assert moves.moved(id)[:2] in (("live-migration", "failed"), ("live-migration", "error"))
    moves.done(id, "reboot", {"type": "HARD"}, persona="demo")
    moves.delete(id)
    assert nothing_left(moves)


def test_a_word_that_is_lost_is_said_again(moves):
    id = moves.boot()
    source = moves.host(id)
    moves.lab.hypervisors[source].mute = True
    assert ask(moves, id).status_code == 202
    moves.lab.settle()
    assert running(moves, id) == [moves.host(id)] != [source]


def test_a_guest_that_is_lost_before_it_came_goes_on_where_it_was(moves):
    id = moves.boot()
    source = moves.host(id)
    target = other(source)
    moves.lab.hypervisors[source].mute = True
    there = moves.lab.hypervisors[target]
    there.hook = lambda method, guest: there.coming.pop(guest, None) if method == "arrive" else None
    assert ask(moves, id, host=target).status_code == 202
    moves.lab.settle()
    stayed_well(moves, id, source)


def test_a_guest_that_is_lost_after_it_came_is_an_error_there(moves):
    id = moves.boot()
    source = moves.host(id)
    target = other(source)
    there = moves.lab.hypervisors[target]
    there.hook = lambda method, guest: there.crash(guest) if method == "arrive" and guest in there.guests else None
    there.fail_next("arrive", times=1, reason="the rest of its memory is lost")
    assert ask(moves, id, host=target).status_code == 202
    moves.lab.settle()
    there.hook = None
    assert moves.host(id) in (source, target)
    assert len(running(moves, id)) <= 1
    moves.done(id, "reboot", {"type": "HARD"}, persona="admin")
    assert running(moves, id) == [moves.host(id)]
    moves.delete(id)
    assert nothing_left(moves)


@pytest.mark.parametrize("gone", ["source", "target"])
def test_a_host_that_is_lost_on_the_way(moves, gone):
    id = moves.boot()
    source, found = set_out(moves, id)
    target = found["dest_compute"]
    with moves.away(source if gone == "source" else target):
        for _ in range(40):
            moves.lab.settle(100)
        shown = moves.show(id)
        assert shown["status"] in ("ACTIVE", "ERROR", "MIGRATING")
        assert len(running(moves, id)) == 1
    for _ in range(20):
        moves.lab.settle(100)
    shown = moves.show(id)
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
    assert running(moves, id) == [moves.host(id)]
    watch.watch(moves.lab.cloud)  # what a host keeps that was away
    moves.delete(id)
    assert nothing_left(moves)


@pytest.mark.parametrize("when", ["before", "on the way", "gone"])
def test_a_server_is_deleted_on_its_way(moves, when):
    id, volume = moves.boot(), moves.volume()
    moves.attach(id, volume)
    source = moves.host(id)
    if when == "gone":
        for host in moves.lab.hypervisors.values():
            host.hook = lambda method, _: moves.demo.delete(f"{ROOT}/servers/{id}") if method == "arrive" else None
        assert ask(moves, id).status_code == 202
    elif when == "on the way":
        set_out(moves, id)
    else:
        assert ask(moves, id).status_code == 202
    if when != "gone":
        assert moves.demo.delete(f"{ROOT}/servers/{id}").status_code == 204
    moves.lab.settle()
    moves.lab.settle(10)
    assert moves.show(id) is None
    assert (moves.status(volume), moves.connected(volume)) == ("available", 0)
    assert source in HOSTS
    assert nothing_left(moves)


def test_a_state_set_by_hand_does_not_stop_it(moves):
    id = moves.boot()
    source, _ = set_out(moves, id)
    moves.done(id, "os-resetState", {"state": "active"})
    moves.lab.hypervisors[source].restless.clear()
    moves.lab.settle(1)
    assert (moves.show(id)["status"], running(moves, id)) == ("ACTIVE", [moves.host(id)])
    assert moves.host(id) != source


def test_a_guest_on_its_way_is_let_alone_by_others(moves):
    id = moves.boot()
    source, found = set_out(moves, id)
    for name in (source, found["dest_compute"]):
        host = moves.lab.hypervisors[name]
        with pytest.raises(DriverError):
            host.ensure(moves.lab.hypervisors[source].guests[id].spec)


def test_every_step_bears_to_be_run_twice(template_state, tmp_path):
    with cloud_of_three(template_state, tmp_path) as moves:
        moves.lab.worker = build_worker(moves.lab.cloud, repeats=2)
        id, volume = moves.boot(), moves.volume()
        moves.attach(id, volume)
        for doomed in (False, True, False):
            source = moves.host(id)
            moves.lab.hypervisors[source].doomed = {id} if doomed else set()
            assert ask(moves, id).status_code == 202
            moves.lab.settle()
            moves.lab.settle(10)
            assert (moves.show(id)["status"], running(moves, id)) == ("ACTIVE", [moves.host(id)])
            assert (moves.host(id) == source) == doomed
            assert moves.connected(volume) == 1
        moves.delete(id)
        assert nothing_left(moves)


@pytest.mark.parametrize("before_write", [True, False], ids=["before the write", "after the write"])
@pytest.mark.parametrize("what", ["goes over", "fails", "is aborted"])
def test_a_process_killed_at_any_write_finishes_it(moves, what, before_write):
    volume = moves.volume()
    for at in range(1, 32):
        id = moves.boot()
        moves.attach(id, volume)
        source = moves.host(id)
        here = moves.lab.hypervisors[source]
        here.doomed = {id} if what == "fails" else set()
        if what == "is aborted":
            _, found = set_out(moves, id)
            assert moves.admin.delete(f"{ROOT}/servers/{id}/migrations/{found['id']}").status_code == 202
        else:
            assert ask(moves, id).status_code == 202
        died = _run_and_die(build_worker(moves.lab.cloud), at, before_write)
        assert len(running(moves, id)) <= 1
        _revive(moves.lab)
        moves.lab.settle(5)
        shown = moves.show(id)
        assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("ACTIVE", None), f"died at write {at}"
        assert running(moves, id) == [moves.host(id)]
        assert (moves.host(id) != source) == (what == "goes over")
        assert moves.connected(volume) == 1
        here.restless.clear()
        moves.delete(id)
        assert moves.connected(volume) == 0
        assert nothing_left(moves)
        if not died:
            assert at > 1
            return
    raise AssertionError("it never came to an end")
