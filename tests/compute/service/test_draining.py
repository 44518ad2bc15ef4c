"""A host is drained: everything leaves it that can, and what cannot is named."""

import pytest

from pileus.compute.service import draining
from pileus.kernel.errors import NotFound
from tests.compute.moves_lab import HOSTS, ROOT, cloud_of_three


@pytest.fixture
def moves(template_state, tmp_path):
    with cloud_of_three(template_state, tmp_path) as found:
        yield found


def drained(moves, host, drain=None):
    """Drain a host to the end; returns how far it was each time."""
    ctx = draining.operator(moves.lab.cloud)
    drain, seen = drain or draining.begin(ctx, host), []
    for _ in range(60):
        seen.append(draining.advance(ctx, drain))
        if seen[-1].is_over:
            return seen
        moves.lab.settle(1)
    raise AssertionError(seen[-1])


def on(moves, host, count):
    """Make servers on a host."""
    found = []
    for _ in range(count):
        client = moves.lab.client("demo", {"X-OpenStack-Nova-API-Version": "latest"})
        for name in HOSTS:
            if name != host:
                moves.disable(name)
        found.append(moves.boot())
        answer = client.get(f"{ROOT}/servers/{found[-1]}")
        assert answer.json()["server"]["status"] == "ACTIVE"
    for name in HOSTS:
        draining.undo(draining.operator(moves.lab.cloud), name)
    return found


def test_everything_leaves(moves):
    ids = on(moves, "host2", 6)
    volume = moves.volume()
    moves.attach(ids[0], volume)
    moves.done(ids[1], "os-stop")
    moves.done(ids[2], "pause")
    last = drained(moves, "host2")[-1]
    assert (last.here, dict(last.left)) == (0, {})
    assert moves.lab.hypervisors["host2"].guests == {}
    assert moves.used()["host2"] == (0, 0, 0)
    statuses = {id: moves.show(id)["status"] for id in ids}
    assert statuses == {id: {ids[1]: "SHUTOFF", ids[2]: "PAUSED"}.get(id, "ACTIVE") for id in ids}
    assert all(moves.running(id) == ([] if id == ids[1] else [moves.host(id)]) for id in ids)
    assert (moves.status(volume), moves.connected(volume)) == ("in-use", 1)
    services = moves.admin.get(f"{ROOT}/os-services?binary=nova-compute&host=host2").json()["services"]
    assert (services[0]["status"], services[0]["disabled_reason"]) == ("disabled", "drained")
    draining.undo(draining.operator(moves.lab.cloud), "host2")
    services = moves.admin.get(f"{ROOT}/os-services?binary=nova-compute&host=host2").json()["services"]
    assert (services[0]["status"], services[0]["disabled_reason"]) == ("enabled", None)


def test_one_that_has_left_and_does_not_run_yet_is_not_away(moves):
    (id,) = on(moves, "host1", 1)
    moves.done(id, "os-stop")
    ctx = draining.operator(moves.lab.cloud)
    drain, looks = draining.begin(ctx, "host1"), []
    for name in ("host2", "host3"):
        host = moves.lab.hypervisors[name]
        host.hook = lambda method, _: looks.append(draining.advance(ctx, drain)) if method == "ensure" else None
        host.fail_next("ensure", times=9, reason="no KVM here")
    last = drained(moves, "host1", drain)[-1]
    assert looks  # its row names the other host, which cannot start it: so it comes back
    assert not any(each.is_over for each in looks)
    assert dict(last.left) == {id: "no KVM here"}
    assert moves.host(id) == "host1"


def test_few_leave_at_once(moves):
    on(moves, "host1", 9)
    seen = drained(moves, "host1")
    assert max(each.under_way for each in seen) <= draining.AT_ONCE
    assert [each.here for each in seen] == sorted((each.here for each in seen), reverse=True)


def test_one_that_cannot_go_while_it_runs_goes_off(moves):
    (id,) = on(moves, "host1", 1)
    for host in moves.lab.hypervisors.values():
        host.fail_next("receive", times=1, reason="no way in")
    assert drained(moves, "host1")[-1].here == 0
    assert (moves.show(id)["status"], moves.running(id)) == ("ACTIVE", [moves.host(id)])
    assert [each["migration_type"] for each in moves.migrations()] == ["migration", "live-migration"]


def test_what_cannot_leave_is_named(moves):
    ids = on(moves, "host3", 4)
    moves.done(ids[0], "suspend")
    moves.done(ids[1], "migrate")  # by somebody who has not confirmed it
    moves.lab.hypervisors["host3"].guests[ids[2]].power = "on"
    for name in ("host1", "host2"):
        moves.lab.hypervisors[name].fail_next("unpack", times=9, reason="no space left")
        moves.lab.hypervisors[name].fail_next("receive", times=9, reason="no way in")
    last = drained(moves, "host3")[-1]
    assert last.left[ids[0]] == "it is suspended"
    assert "confirmed" in last.left[ids[1]]
    assert "no space left" in last.left[ids[2]]
    assert "no space left" in last.left[ids[3]]
    assert last.here == 4
    assert {moves.show(id)["status"] for id in ids[2:]} == {"ACTIVE"}
    moves.done(ids[1], "confirmResize", persona="demo")
    for name in ("host1", "host2"):
        moves.lab.hypervisors[name]._failures.clear()
    last = drained(moves, "host3")[-1]  # asked for again, it tries again
    assert set(last.left) == {ids[0]}


def test_what_was_begun_is_taken_up_again(moves):
    (id,) = on(moves, "host1", 1)
    moves.done(id, "os-stop")
    ctx = draining.operator(moves.lab.cloud)
    draining.advance(ctx, draining.begin(ctx, "host1"))
    moves.lab.settle()
    assert moves.show(id)["status"] == "VERIFY_RESIZE"
    assert drained(moves, "host1")[-1].left == {}
    assert moves.show(id)["status"] == "SHUTOFF"


def test_a_host_that_is_down(moves):
    (id,) = on(moves, "host1", 1)
    moves.down("host1")
    assert dict(drained(moves, "host1")[-1].left) == {id: "the host is down: evacuate it"}


def test_a_host_that_is_none(moves):
    with pytest.raises(NotFound):
        draining.begin(draining.operator(moves.lab.cloud), "nowhere")
    with pytest.raises(NotFound):
        draining.undo(draining.operator(moves.lab.cloud), "nowhere")
