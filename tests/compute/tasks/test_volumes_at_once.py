"""Of several who want something of the same volume or server at once, one gets it, and nothing is left half done."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

SERVERS = "/compute/v2.1/servers"
VOLUMES = "/volume/v3/" + "b" * 32 + "/volumes"
ROUNDS = 5


def _race(*calls: Callable[[], Any]) -> list[int]:
    """Make calls at once; return the status of each answer."""
    barrier = Barrier(len(calls))

    def make(call: Callable[[], Any]) -> int:
        barrier.wait()
        return call().status_code

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(make, calls))


def _nothing_left(store):
    assert store.left_over() == []
    assert all(not volume.connectors for volume in store.lab.volumes.volumes.values())


@pytest.mark.parametrize("many", [2, 4])
def test_one_of_several_detaches_wins(store, many):
    id, volume = store.boot(), store.volume()
    url = f"{SERVERS}/{id}/os-volume_attachments/{volume}"
    store.attach(id, volume)
    answers = _race(*[lambda: store.demo.delete(url)] * many)
    assert sorted(answers) == [202] + [400] * (many - 1)
    store.lab.settle()
    assert (store.status(volume), store.plugged(id), store.attached(id)) == ("available", [], [])
    assert [entry[0] for entry in store.log(id)].count("detach_volume") == 1


def test_one_of_several_servers_gets_a_volume(store):
    servers, volume = [store.boot() for _ in range(3)], store.volume()
    answers = _race(*[lambda id=id: store.ask(id, volume) for id in servers])
    assert (answers.count(200), answers.count(400)) == (1, 2)
    store.lab.settle()
    assert [store.plugged(id) for id in servers].count([volume]) == 1
    assert (store.status(volume), store.connected(volume)) == ("in-use", 1)


def test_several_volumes_asked_for_at_once_get_a_device_each(store):
    id, volumes = store.boot(), [store.volume() for _ in range(4)]
    assert _race(*[lambda volume=volume: store.ask(id, volume) for volume in volumes]) == [200] * 4
    store.lab.settle()
    assert sorted(entry["device"] for entry in store.attached(id)) == [f"/dev/vd{letter}" for letter in "bcde"]
    assert sorted(store.plugged(id)) == sorted(volumes)


def _attach_or_delete(store, id):
    volume = store.volume()
    asked, deleted = _race(lambda: store.ask(id, volume), lambda: store.cinder.delete(f"{VOLUMES}/{volume}"))
    store.lab.settle()
    if asked == 200:
        assert (deleted, store.status(volume), store.plugged(id)) == (400, "in-use", [volume])
        store.detach(id, volume)
    else:
        assert (asked in (400, 404), deleted, store.see(volume), store.plugged(id)) == (True, 202, None, [])


def test_a_volume_is_attached_or_deleted(store):
    id = store.boot()
    for _ in range(ROUNDS):
        _attach_or_delete(store, id)


def _attach_and_delete_the_server(store, kept):
    id, volume = store.boot(), store.volume()
    url = f"{SERVERS}/{id}"
    asked, deleted = _race(lambda: store.ask(id, volume, delete_on_termination=not kept), lambda: store.demo.delete(url))
    assert (asked in (200, 404, 409), deleted) == (True, 204)
    store.lab.settle()
    assert store.show(id) is None
    assert store.status(volume) == ("available" if kept or asked != 200 else "")
    _nothing_left(store)


@pytest.mark.parametrize("kept", [True, False])
def test_a_volume_attached_to_a_server_that_is_deleted_is_free_or_goes_along(store, kept):
    for _ in range(ROUNDS):
        _attach_and_delete_the_server(store, kept)


def _detach_and_delete_the_server(store):
    id, volume = store.boot(), store.volume()
    store.attach(id, volume)
    url = f"{SERVERS}/{id}"
    answers = _race(lambda: store.demo.delete(f"{url}/os-volume_attachments/{volume}"), lambda: store.demo.delete(url))
    assert (answers[0] in (202, 404, 409), answers[1]) == (True, 204)
    store.lab.settle()
    assert (store.show(id), store.status(volume)) == (None, "available")
    _nothing_left(store)


def test_a_volume_detached_from_a_server_that_is_deleted_is_free(store):
    for _ in range(ROUNDS):
        _detach_and_delete_the_server(store)


def test_a_server_deleted_twice_at_once_is_deleted_once(store):
    volume = store.boot_volume()
    id = store.boot(**store.on_volume(volume, delete_on_termination=True))
    answers = _race(*[lambda: store.demo.delete(f"{SERVERS}/{id}")] * 3)
    assert set(answers) <= {204, 404}
    assert 204 in answers
    store.lab.settle()
    assert (store.show(id), store.see(volume)) == (None, None)
    _nothing_left(store)
