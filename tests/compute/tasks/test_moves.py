"""Servers go to another host while they are off: migrated, resized, confirmed, taken back; and what becomes of them if not."""

import pytest

from pileus.main import build_worker
from tests.compute.moves_lab import HOSTS, ROOT, cloud_of_three
from tests.compute.tasks.test_server_life import _revive, _run_and_die


@pytest.fixture
def moves(template_state, tmp_path):
    with cloud_of_three(template_state, tmp_path) as found:
        yield found


def other(host):
    return next(name for name in HOSTS if name != host)


def test_a_server_is_migrated_and_that_confirmed(moves):
    id = moves.boot()
    source = moves.host(id)
    moves.lab.hypervisors[source].guests[id].content = "what it wrote"
    room = moves.used()[source]
    moves.done(id, "migrate", persona="manager")
    target = moves.host(id)
    assert target != source
    assert moves.show(id)["status"] == "VERIFY_RESIZE"
    assert moves.guests(id) == {source: "off", target: "on"}
    assert moves.lab.hypervisors[target].guests[id].content == "what it wrote"
    assert moves.taps(id) == [target]
    assert {name: used for name, used in moves.used().items() if used[0]} == {source: room, target: room}
    assert moves.moved(id) == ("migration", "finished", source, target)
    wanted = ["conductor_migrate_server", "compute_prep_resize", "compute_resize_instance", "compute_finish_resize"]
    assert moves.events(id) == wanted
    moves.done(id, "confirmResize", persona="demo")
    assert (moves.show(id)["status"], moves.host(id)) == ("ACTIVE", target)
    assert moves.guests(id) == {target: "on"}
    assert {name: used for name, used in moves.used().items() if used[0]} == {target: room}
    assert moves.moved(id) == ("migration", "confirmed", source, target)
    assert moves.events(id) == ["compute_confirm_resize"]
    moves.delete(id)
    assert moves.nothing_left()


def test_a_migration_is_taken_back_to_the_disk_from_before(moves):
    id = moves.boot()
    source, before = moves.host(id), moves.used()
    moves.lab.hypervisors[source].guests[id].content = "before"
    moves.done(id, "migrate")
    target = moves.host(id)
    moves.lab.hypervisors[target].guests[id].content = "after"
    moves.done(id, "revertResize", persona="demo")
    assert (moves.show(id)["status"], moves.host(id)) == ("ACTIVE", source)
    assert moves.guests(id) == {source: "on"}
    assert moves.lab.hypervisors[source].guests[id].content == "before"
    assert (moves.taps(id), moves.used()) == ([source], before)
    assert moves.moved(id) == ("migration", "reverted", source, target)
    assert moves.events(id) == ["compute_revert_resize", "compute_finish_revert_resize"]
    moves.done(id, "migrate", {"host": target})
    moves.done(id, "confirmResize")
    assert moves.guests(id) == {target: "on"}
    moves.delete(id)
    assert moves.nothing_left()


def test_a_server_that_is_off_stays_off(moves):
    id = moves.boot()
    source = moves.host(id)
    moves.done(id, "os-stop")
    moves.done(id, "migrate")
    target = moves.host(id)
    assert moves.guests(id) == {source: "off", target: "off"}
    moves.done(id, "confirmResize")
    assert (moves.show(id)["status"], moves.guests(id)) == ("SHUTOFF", {target: "off"})
    moves.done(id, "os-start")
    assert moves.guests(id) == {target: "on"}


def test_volumes_go_along(moves):
    id, volume = moves.boot(), moves.volume()
    moves.attach(id, volume)
    source = moves.host(id)
    moves.done(id, "migrate")
    target = moves.host(id)
    assert list(moves.lab.hypervisors[target].guests[id].volumes) == [volume]
    (attachment,) = moves.see(volume)["attachments"]
    admin = moves.lab.client("admin", {"OpenStack-API-Version": "volume 3.70"})
    url = f"/volume/v3/{'a' * 31}0"
    assert admin.get(f"{url}/volumes/{volume}").json()["volume"]["attachments"][0]["host_name"] == target
    assert (moves.status(volume), moves.connected(volume)) == ("in-use", 1)
    moves.done(id, "revertResize")
    assert list(moves.lab.hypervisors[source].guests[id].volumes) == [volume]
    assert (moves.status(volume), moves.connected(volume)) == ("in-use", 1)
    moves.delete(id)
    assert (moves.status(volume), moves.connected(volume)) == ("available", 0)
    assert attachment["server_id"] == id


def test_back_ends_and_operators_are_told_the_address_of_the_host(moves):
    moves.lab.cloud.bus._facts = {name: {"tunnel": f"10.77.0.1{name[-1]}"} for name in HOSTS}
    id, volume = moves.boot(), moves.volume()
    moves.attach(id, volume)
    moves.done(id, "migrate")
    target = moves.host(id)
    (connector,) = moves.lab.volumes.volumes[volume].connectors.values()
    assert (connector.host, connector.address) == (target, f"10.77.0.1{target[-1]}")
    assert moves.migrations()[0]["dest_host"] == f"10.77.0.1{target[-1]}"


def test_migrations_are_found_by_what_they_are(moves):
    one, two = moves.boot(), moves.boot()
    moves.done(one, "migrate")
    moves.done(two, "resize", {"flavorRef": moves.flavor()}, persona="demo")
    found = moves.moved(one)
    queries = {
        f"host={found[2]}": 1, f"host={found[3]}": 1, f"source_compute={found[2]}": 1, f"source_compute={found[3]}": 0,
        "migration_type=migration": 1, "migration_type=resize": 1, "migration_type=evacuation": 0, "status=finished": 2,
        f"instance_uuid={two}": 1, f"user_id={'d' * 32}": 1, f"user_id={'a' * 32}": 1, f"project_id={'b' * 32}": 2,
    }  # fmt: skip
    own = moves.host(two)
    for query, count in queries.items():
        mine = 1 if query in (f"host={own}", f"source_compute={own}") else 0
        assert len(moves.migrations(f"?{query}")) == count + mine, query
    for version, fields in (("2.22", set()), ("2.23", {"migration_type"}), ("2.59", {"migration_type", "uuid"})):
        client = moves.lab.client("admin", {"X-OpenStack-Nova-API-Version": version})
        shown = client.get(f"{ROOT}/os-migrations").json()["migrations"][0]
        assert {"migration_type", "uuid", "user_id", "project_id"} & set(shown) == fields
    for version, query in (("2.59", "user_id=x"), ("2.59", "changes-before=2020-01-01"), ("2.80", "colour=blue")):
        client = moves.lab.client("admin", {"X-OpenStack-Nova-API-Version": version})
        assert client.get(f"{ROOT}/os-migrations?{query}").status_code == 400, query
    late, early = "2100-01-01T00:00:00", "1990-01-01T00:00:00"
    assert moves.admin.get(f"{ROOT}/os-migrations?changes-since={late}&changes-before={early}").status_code == 400
    assert len(moves.migrations(f"?changes-since={early}&changes-before={late}")) == 2


def test_a_server_that_boots_from_a_volume_is_migrated(moves):
    volume = moves.boot_volume()
    id = moves.boot(**moves.on_volume(volume))
    moves.done(id, "migrate")
    moves.done(id, "confirmResize")
    assert moves.guests(id) == {moves.host(id): "on"}
    assert moves.connected(volume) == 1


def test_a_resize_goes_to_another_host_where_its_own_has_no_room(moves):
    id = moves.boot()
    source = moves.host(id)
    moves.lab.hypervisors[source].host = replace_host(moves, source, vcpus=1)
    moves.lab.settle(1)
    flavor = moves.flavor(vcpus=4)
    moves.done(id, "resize", {"flavorRef": flavor}, persona="demo")
    target = moves.host(id)
    assert target != source
    spec = moves.lab.hypervisors[target].guests[id].spec
    assert (spec.vcpus, spec.disks[0].size_gib, spec.disks[0].held) == (4, 2, False)
    assert moves.lab.hypervisors[source].guests[id].spec.vcpus == 1
    assert (moves.used()[source][0], moves.used()[target][0]) == (1, 4)
    assert moves.moved(id) == ("resize", "finished", source, target)
    limits = moves.demo.get(f"{ROOT}/limits").json()["limits"]["absolute"]
    assert limits["totalCoresUsed"] == 4
    moves.done(id, "revertResize", persona="demo")
    spec = moves.lab.hypervisors[source].guests[id].spec
    assert (spec.vcpus, moves.show(id)["flavor"]["vcpus"], moves.host(id)) == (1, 1, source)
    moves.done(id, "resize", {"flavorRef": flavor})
    moves.done(id, "confirmResize")
    assert (moves.show(id)["flavor"]["vcpus"], moves.host(id), moves.used()[source][0]) == (4, target, 0)
    moves.delete(id)
    assert moves.nothing_left()


def replace_host(moves, name, **facts):
    from dataclasses import replace

    return replace(moves.lab.hypervisors[name].host, **facts)


def test_resized_servers_leave_their_host_where_that_is_set(template_state, tmp_path):
    with cloud_of_three(template_state, tmp_path, allow_resize_to_same_host=False) as moves:
        id = moves.boot()
        source = moves.host(id)
        moves.done(id, "resize", {"flavorRef": moves.flavor()}, persona="demo")
        assert moves.host(id) != source
        for name in HOSTS:
            if name not in (source, moves.host(id)):
                moves.disable(name)
        moves.done(id, "confirmResize")
        moves.disable(source)
        answer = moves.act_as("demo", id, "resize", {"flavorRef": moves.flavor(512)})
        assert answer.status_code == 400
        assert "leave their host" in answer.text
        assert moves.show(id)["status"] == "ACTIVE"


def test_placement_shows_what_a_migration_holds(moves):
    id = moves.boot()
    source = moves.host(id)
    moves.done(id, "migrate")
    placement = moves.lab.client("admin", {"OpenStack-API-Version": "placement 1.38"})
    (migration,) = moves.migrations()
    providers = {
        each["name"]: each["uuid"] for each in placement.get("/placement/resource_providers").json()["resource_providers"]
    }
    held = placement.get(f"/placement/allocations/{migration['uuid']}").json()["allocations"]
    own = placement.get(f"/placement/allocations/{id}").json()["allocations"]
    assert list(held) == [providers[source]]
    assert list(own) == [providers[moves.host(id)]]
    assert held[providers[source]]["resources"] == own[providers[moves.host(id)]]["resources"]
    taken = placement.get(f"/placement/resource_providers/{providers[source]}/allocations").json()["allocations"]
    assert list(taken) == [migration["uuid"]]
    project = placement.get(f"/placement/usages?project_id={'b' * 32}").json()["usages"]
    assert set(project) == {"INSTANCE", "MIGRATION"}
    assert placement.delete(f"/placement/allocations/{migration['uuid']}").status_code == 409
    moves.done(id, "confirmResize")
    assert placement.get(f"/placement/allocations/{migration['uuid']}").json()["allocations"] == {}


@pytest.mark.parametrize(
    ("policy", "fits"), [("affinity", False), ("anti-affinity", True), ("soft-affinity", True), ("soft-anti-affinity", True)]
)
def test_server_groups_hold(moves, policy, fits):
    body = {"server_group": {"name": "g", "policy": policy}}
    group = moves.demo.post(f"{ROOT}/os-server-groups", json=body).json()["server_group"]["id"]
    ids = []
    for _ in range(2):
        body = moves.body() | {"os:scheduler_hints": {"group": group}}
        ids.append(moves.demo.post(f"{ROOT}/servers", json=body).json()["server"]["id"])
        moves.lab.settle()
    one, two = ids
    where = moves.host(one), moves.host(two)
    answer = moves.act_as("admin", one, "migrate")
    assert answer.status_code == (202 if fits else 400), answer.text
    if policy == "anti-affinity":
        assert moves.host(one) not in where
        assert moves.act_as("admin", two, "migrate").status_code == 400  # one may go back to where it was
        moves.done(one, "confirmResize")
        moves.done(two, "migrate")
    elif not fits:
        assert "affinity" in answer.text
        assert moves.act_as("admin", one, "migrate", {"host": other(where[0])}).status_code == 400
        assert moves.host(one) == where[0]


@pytest.mark.parametrize(
    ("persona", "argument", "version", "status"),
    [
        ("demo", None, "latest", 403),
        ("other", None, "latest", 404),
        ("manager", {"host": "host2"}, "latest", 403),
        ("admin", {"host": "nowhere"}, "latest", 400),
        ("admin", {"host": "SAME"}, "latest", 400),
        ("admin", {"host": 7}, "latest", 400),
        ("admin", {"hosts": "host2"}, "latest", 400),
        ("admin", "host2", "2.56", 400),
        ("admin", {"host": "SAME"}, "2.55", 202),  # what it says counts from 2.56 on
        ("admin", {"host": None}, "2.56", 202),
    ],
)
def test_who_may_migrate_and_where_to(moves, persona, argument, version, status):
    id = moves.boot()
    source = moves.host(id)
    if isinstance(argument, dict) and argument.get("host") == "SAME":
        argument = {"host": source}
    answer = moves.act_as(persona, id, "migrate", argument, version)
    assert answer.status_code == status, answer.text
    assert (moves.host(id) != source) == (status == 202)
    assert len(moves.migrations()) == (status == 202)


def test_what_cannot_be_migrated(moves):
    id = moves.boot()
    for name in HOSTS:
        if name != moves.host(id):
            moves.disable(name)
    answer = moves.act_as("admin", id, "migrate")
    assert answer.status_code == 400
    assert "disabled" in answer.text
    moves.done(id, "suspend")
    assert moves.act_as("admin", id, "migrate").status_code == 409
    assert moves.act_as("admin", id, "confirmResize").status_code == 409
    assert moves.migrations() == []


def test_a_host_that_is_forced_down_or_disabled_takes_nothing(moves):
    id = moves.boot()
    first, second = [name for name in HOSTS if name != moves.host(id)]
    moves.down(first)
    moves.disable(second)
    assert moves.act_as("admin", id, "migrate").status_code == 400
    assert moves.act_as("admin", id, "migrate", {"host": first}).status_code == 400
    moves.down(first, forced=False)
    moves.done(id, "migrate")
    assert moves.host(id) == first


@pytest.mark.parametrize("method", ["pack", "unpack"])
def test_a_copy_that_fails_leaves_the_server_where_it_was(moves, method):
    id = moves.boot()
    source, before = moves.host(id), moves.used()
    target = other(source)
    moves.lab.hypervisors[source if method == "pack" else target].fail_next(method, times=1, reason="no space left")
    moves.done(id, "migrate", {"host": target})
    shown = moves.show(id)
    assert (shown["status"], moves.host(id), shown["OS-EXT-STS:task_state"]) == ("ACTIVE", source, None)
    assert (moves.guests(id), moves.taps(id), moves.used()) == ({source: "on"}, [source], before)
    assert moves.moved(id) == ("migration", "error", source, target)
    url = f"{ROOT}/servers/{id}/os-instance-actions"
    action = moves.admin.get(url).json()["instanceActions"][0]
    assert action["message"] == "Error"
    events = moves.admin.get(f"{url}/{action['request_id']}").json()["instanceAction"]["events"]
    assert any("no space left" in (event["details"] or "") for event in events)


def test_a_host_that_cannot_start_it_gives_it_back(moves):
    id, volume = moves.boot(), moves.volume()
    moves.attach(id, volume)
    source, before = moves.host(id), moves.used()
    target = other(source)
    moves.lab.hypervisors[target].fail_next("ensure", times=1, reason="no KVM here")
    moves.done(id, "migrate", {"host": target})
    assert (moves.show(id)["status"], moves.host(id)) == ("ACTIVE", source)
    assert (moves.guests(id), moves.taps(id), moves.used()) == ({source: "on"}, [source], before)
    assert (moves.status(volume), moves.connected(volume)) == ("in-use", 1)
    assert moves.moved(id)[1] == "error"
    moves.delete(id)
    assert moves.nothing_left()


def test_one_that_cannot_be_started_again_either_says_so(moves):
    id = moves.boot()
    source = moves.host(id)
    target = other(source)
    moves.lab.hypervisors[target].fail_next("unpack", reason="no space left")
    moves.lab.hypervisors[source].hook = lambda method, _: (
        moves.lab.hypervisors[source].fail_next("ensure", 1, "burnt") if method == "pack" else None
    )
    moves.done(id, "migrate", {"host": target})
    shown = moves.show(id, moves.admin)
    assert (shown["status"], moves.host(id)) == ("ERROR", source)
    assert "no space left" in shown["fault"]["message"]
    assert "burnt" in shown["fault"]["message"]
    assert moves.moved(id)[1] == "error"
    moves.lab.hypervisors[source].hook = None
    moves.done(id, "reboot", {"type": "HARD"})
    assert moves.show(id)["status"] == "ACTIVE"


def test_a_target_that_is_lost_on_the_way_gives_the_server_up_only_when_it_is_down(moves):
    id = moves.boot()
    source = moves.host(id)
    target = other(source)
    there = moves.lab.hypervisors[target]
    there.fail_next("ensure", times=1, reason="it burns")
    moves.act(id, "migrate", {"host": target}, moves.admin)
    kept = moves.lab.cloud.bus._hosts
    there.hook = lambda method, _: kept.pop(target, None) if method == "ensure" else None
    moves.lab.settle()
    assert moves.host(id) == target  # it may run there
    assert moves.running(id) == []
    moves.lab.settle(5)
    assert moves.host(id) == target
    moves.lab.settle(120)
    moves.lab.settle(30)
    assert (moves.show(id)["status"], moves.host(id), moves.guests(id)[source]) == ("ACTIVE", source, "on")


@pytest.mark.parametrize("back_after", [10, None])
def test_a_source_that_is_away_while_the_server_goes_back(moves, back_after):
    id = moves.boot()
    source = moves.host(id)
    target = other(source)
    moves.lab.hypervisors[target].fail_next("unpack", reason="no space left")
    moves.act(id, "migrate", {"host": target}, moves.admin)
    kept = moves.lab.cloud.bus._hosts
    there = kept[source]
    moves.lab.hypervisors[target].hook = lambda method, _: kept.pop(source, None) if method == "unpack" else None
    moves.lab.settle()
    moves.lab.hypervisors[target].hook = None
    assert (moves.host(id), moves.running(id)) == (source, [])
    if back_after:
        moves.lab.settle(back_after)
        kept[source] = there
        moves.lab.settle(30)
        assert (moves.show(id)["status"], moves.running(id)) == ("ACTIVE", [source])
    else:
        moves.lab.settle(400)
        shown = moves.show(id, moves.admin)
        assert (shown["status"], shown["fault"]["message"], moves.host(id)) == ("ERROR", "no space left", source)
        kept[source] = there
        moves.done(id, "reboot", {"type": "HARD"})
        assert (moves.show(id)["status"], moves.running(id)) == ("ACTIVE", [source])
    assert moves.moved(id)[1] == "error"
    assert sum(used[0] for used in moves.used().values()) == 1
    kept[source] = there


def test_confirming_while_the_source_is_down(moves):
    id = moves.boot()
    source = moves.host(id)
    moves.done(id, "migrate")
    with moves.away(source):
        moves.lab.settle(90)
        moves.act_as("admin", id, "confirmResize")
        moves.lab.settle(30)
        assert moves.show(id)["status"] == "ACTIVE"
        assert moves.used()[source][0] == 0


@pytest.mark.parametrize("when", ["before", "copied", "verify"])
def test_a_server_is_deleted_on_its_way(moves, when):
    id = moves.boot()
    source = moves.host(id)
    target = other(source)
    if when == "copied":
        moves.lab.hypervisors[target].hook = lambda method, _: (
            moves.demo.delete(f"{ROOT}/servers/{id}") if method == "unpack" else None
        )
    answer = moves.act(id, "migrate", {"host": target}, moves.admin)
    assert answer.status_code == 202
    if when == "verify":
        moves.lab.settle()
    if when != "copied":
        assert moves.demo.delete(f"{ROOT}/servers/{id}").status_code == 204
    moves.lab.settle()
    moves.lab.settle(10)
    assert moves.show(id) is None
    assert moves.nothing_left()


def test_a_host_where_a_server_may_go_back_is_not_forgotten(moves):
    id = moves.boot()
    source = moves.host(id)
    moves.done(id, "migrate")
    (service,) = moves.admin.get(f"{ROOT}/os-services?binary=nova-compute&host={source}").json()["services"]
    assert moves.admin.delete(f"{ROOT}/os-services/{service['id']}").status_code == 409
    moves.done(id, "confirmResize")
    assert moves.admin.delete(f"{ROOT}/os-services/{service['id']}").status_code == 204


def test_a_state_set_by_hand_holds_no_room(moves):
    id = moves.boot()
    source = moves.host(id)
    moves.done(id, "migrate")
    moves.done(id, "os-resetState", {"state": "active"})
    assert moves.used()[source][0] == 0
    assert moves.show(id)["status"] == "ACTIVE"


def test_every_step_of_a_move_bears_to_be_run_twice(template_state, tmp_path):
    with cloud_of_three(template_state, tmp_path) as moves:
        moves.lab.worker = build_worker(moves.lab.cloud, repeats=2)
        id, volume = moves.boot(), moves.volume()
        moves.attach(id, volume)
        for action in ("revertResize", "confirmResize"):
            source = moves.host(id)
            moves.lab.hypervisors[source].guests[id].content = action
            moves.done(id, "migrate")
            assert moves.running(id) == [moves.host(id)]
            moves.done(id, action)
            assert (moves.show(id)["status"], moves.guests(id)) == ("ACTIVE", {moves.host(id): "on"})
            assert moves.lab.hypervisors[moves.host(id)].guests[id].content == action
            assert moves.connected(volume) == 1
        source = moves.host(id)
        moves.lab.hypervisors[other(source)].fail_next("ensure", times=2)
        moves.done(id, "migrate", {"host": other(source)})
        assert (moves.show(id)["status"], moves.guests(id)) == ("ACTIVE", {source: "on"})
        moves.delete(id)
        assert moves.nothing_left()


ENDS = {"migrate": "VERIFY_RESIZE", "confirmResize": "ACTIVE", "revertResize": "ACTIVE", "fails": "ACTIVE"}


@pytest.mark.parametrize("before_write", [True, False], ids=["before the write", "after the write"])
@pytest.mark.parametrize("what", list(ENDS))
def test_a_process_killed_at_any_write_finishes_the_move(moves, what, before_write):
    for at in range(1, 24):
        id = moves.boot()
        source = moves.host(id)
        target = other(source)
        if what in ("confirmResize", "revertResize"):
            moves.done(id, "migrate", {"host": target})
            assert moves.act(id, what, None, moves.admin).status_code in (202, 204)
        else:
            if what == "fails":
                moves.lab.hypervisors[target].fail_next("ensure", times=1000)
            assert moves.act(id, "migrate", {"host": target}, moves.admin).status_code == 202
        died = _run_and_die(build_worker(moves.lab.cloud), at, before_write)
        assert len(moves.running(id)) <= 1
        _revive(moves.lab)
        moves.lab.hypervisors[target]._failures.clear()
        shown, host = moves.show(id), moves.host(id)
        assert (shown["status"], shown["OS-EXT-STS:task_state"]) == (ENDS[what], None), f"died at write {at}"
        assert moves.running(id) == [host]
        assert host == (target if what in ("migrate", "confirmResize") else source)
        moves.delete(id)
        assert moves.nothing_left()
        if not died:
            assert at > 1
            return
    raise AssertionError("it never came to an end")
