"""Servers are put on a shelf on one host and taken from it on another."""

import pytest

from tests.compute.moves_lab import HOSTS, ROOT, cloud_of_three


@pytest.fixture
def moves(template_state, tmp_path):
    with cloud_of_three(template_state, tmp_path) as found:
        yield found


def zone(moves, name, host):
    aggregate = moves.admin.post(f"{ROOT}/os-aggregates", json={"aggregate": {"name": name, "availability_zone": name}}).json()
    url = f"{ROOT}/os-aggregates/{aggregate['aggregate']['id']}/action"
    assert moves.admin.post(url, json={"add_host": {"host": host}}).status_code == 200


def test_a_server_comes_back_elsewhere(moves):
    id, volume = moves.boot(), moves.volume()
    moves.attach(id, volume)
    source = moves.host(id)
    moves.done(id, "shelve", persona="demo")
    assert (moves.show(id)["status"], moves.host(id), moves.guests(id)) == ("SHELVED_OFFLOADED", None, {})
    assert moves.taps(id) == []
    assert all(used == (0, 0, 0) for used in moves.used().values())
    moves.disable(source)
    moves.done(id, "unshelve", persona="demo")
    target = moves.host(id)
    assert (moves.show(id)["status"], target != source, moves.guests(id)) == ("ACTIVE", True, {target: "on"})
    assert moves.taps(id) == [target]
    assert list(moves.lab.hypervisors[target].guests[id].volumes) == [volume]
    assert moves.connected(volume) == 1


def test_a_server_comes_back_where_that_is_asked(moves):
    id = moves.boot()
    for target in HOSTS:
        moves.done(id, "shelve", persona="demo")
        moves.done(id, "unshelve", {"host": target})
        assert (moves.host(id), moves.show(id)["status"]) == (target, "ACTIVE")


def test_zones(moves):
    zone(moves, "east", "host2")
    id = moves.boot(availability_zone="nova")
    moves.done(id, "shelve", persona="demo")
    assert moves.act_as("admin", id, "unshelve", {"host": "host2"}).status_code == 409  # it is bound to another zone
    moves.done(id, "unshelve", {"availability_zone": "east"}, persona="demo")
    assert (moves.host(id), moves.show(id)["OS-EXT-AZ:availability_zone"]) == ("host2", "east")
    moves.done(id, "shelve", persona="demo")
    moves.done(id, "unshelve", {"availability_zone": None, "host": "host1"})
    assert moves.host(id) == "host1"
    moves.done(id, "shelve", persona="demo")
    moves.done(id, "unshelve", {"host": "host2"})  # it is bound to none any more
    assert moves.host(id) == "host2"


@pytest.mark.parametrize(
    ("version", "persona", "body", "status"),
    [
        ("2.90", "demo", {"availability_zone": None}, 400),
        ("2.77", "demo", {"availability_zone": ""}, 400),
        ("2.91", "demo", {"availability_zone": ""}, 400),
        ("2.90", "admin", {"host": "host2"}, 400),
        ("2.91", "demo", {"host": "host2"}, 403),
        ("2.91", "admin", {"host": "nowhere"}, 400),
        ("2.77", "demo", {"availability_zone": "nowhere"}, 400),
        ("2.76", "demo", {"availability_zone": "nowhere"}, 202),
        ("2.91", "demo", {"availability_zone": None}, 202),
        ("2.91", "demo", None, 202),
    ],
)
def test_bodies(moves, version, persona, body, status):
    id = moves.boot()
    moves.done(id, "shelve", persona="demo")
    assert moves.act_as(persona, id, "unshelve", body, version).status_code == status
    assert moves.show(id)["status"] == ("ACTIVE" if status == 202 else "SHELVED_OFFLOADED")


def test_a_host_that_cannot_start_it_leaves_it_on_its_shelf(moves):
    id = moves.boot()
    moves.done(id, "shelve", persona="demo")
    for host in moves.lab.hypervisors.values():
        host.fail_next("ensure", times=1, reason="no KVM here")
    moves.act_as("admin", id, "unshelve", {"host": "host2"})
    assert (moves.show(id)["status"], moves.host(id), moves.guests(id)) == ("SHELVED_OFFLOADED", None, {})
    moves.done(id, "unshelve", {"host": "host2"})
    assert moves.host(id) == "host2"
