"""The process dies in the midst of work on volumes; when it comes back, the work is finished and nothing is left over."""

import shutil
from contextlib import contextmanager

import pytest

from pileus.main import build_worker
from tests.compute.servers_lab import prepare
from tests.compute.tasks.test_server_life import Killed, _revive, _run_and_die
from tests.compute.volumes_lab import with_volumes
from tests.conftest import make_lab


def _nothing_left(store):
    assert store.left_over() == []
    assert all(not volume.connectors for volume in store.lab.volumes.volumes.values())


def _attach(store):
    id, volume = store.boot(), store.volume()
    assert store.ask(id, volume).status_code == 200
    return id, volume


def _detach(store):
    id, volume = store.boot(), store.volume()
    store.attach(id, volume)
    assert store.demo.delete(f"/compute/v2.1/servers/{id}/os-volume_attachments/{volume}").status_code == 202
    return id, volume


def _refused(store):
    id, volume = store.boot(), store.volume()
    store.lab.hypervisor.unreachable.add(volume)
    assert store.ask(id, volume).status_code == 200
    return id, volume


def _create(store):
    answer = store.post(**store.on_volume(delete_on_termination=True))
    id = answer.json()["server"]["id"]
    return id, store.show(id)["os-extended-volumes:volumes_attached"][0]["id"]


def _act(action, argument=None, first=None):
    def begin(store):
        volume = store.boot_volume()
        id = store.boot(**store.on_volume(volume))
        if first:
            assert store.act(id, first).status_code == 202
            store.lab.settle()
        assert store.act(id, action, argument).status_code in (200, 202, 204)
        return id, volume

    return begin


def _move(store):
    id, volume = store.boot(), store.volume()
    store.attach(id, volume)
    admin, url = store.lab.client("admin"), f"/volume/v3/{'a' * 31}0/volumes/{volume}"
    here = admin.get(url).json()["volume"]["os-vol-host-attr:host"].partition("#")[0]
    there = next(name for name in ("host1@fake", "host1@more") if name != here)
    assert admin.post(f"{url}/action", json={"os-migrate_volume": {"host": there}}).status_code == 202
    return id, volume


def _delete(store):
    volume = store.boot_volume()
    id = store.boot(**store.on_volume(volume))
    assert store.demo.delete(f"/compute/v2.1/servers/{id}").status_code == 204
    return id, volume


CASES = {
    "attach": (_attach, "ACTIVE", "in-use"),
    "detach": (_detach, "ACTIVE", "available"),
    "refused": (_refused, "ACTIVE", "available"),
    "create": (_create, "ACTIVE", "in-use"),
    "image": (_act("createImage", {"name": "shot"}), "ACTIVE", "in-use"),
    "shelve": (_act("shelve"), "SHELVED_OFFLOADED", "reserved"),
    "unshelve": (_act("unshelve", first="shelve"), "ACTIVE", "in-use"),
    "stop": (_act("os-stop"), "SHUTOFF", "in-use"),
    "delete": (_delete, None, "available"),
    "move": (_move, "ACTIVE", "in-use"),
}


@pytest.mark.parametrize("before_write", [True, False], ids=["before the write", "after the write"])
@pytest.mark.parametrize("what", list(CASES))
def test_a_process_killed_at_any_write_finishes_the_work_on_volumes(store, what, before_write):
    begin, status, of_volume = CASES[what]
    for at in range(1, 24):
        id, volume = begin(store)
        died = _run_and_die(build_worker(store.lab.cloud), at, before_write)
        _revive(store.lab)
        shown = store.show(id)
        assert (shown and shown["status"], store.status(volume)) == (status, of_volume), f"died at write {at}"
        assert not shown or shown["OS-EXT-STS:task_state"] is None
        assert store.tasks() == []
        if of_volume == "available" and shown:
            assert (store.attached(id), store.plugged(id)) == ([], [])
        store.delete(id)
        store.lab.settle(60)
        _nothing_left(store)
        _forget_volumes(store)
        if not died:
            assert at > 1
            return
    raise AssertionError("it never came to an end")


@pytest.mark.parametrize("what", list(CASES))
def test_a_process_killed_between_any_two_transactions_finishes_the_work_on_volumes(store, what, monkeypatch):
    begin, status, of_volume = CASES[what]
    for at in range(1, 60):
        id, volume = begin(store)
        died = _die_after_commit(store, at, monkeypatch)
        _revive(store.lab)
        shown = store.show(id)
        assert (shown and shown["status"], store.status(volume)) == (status, of_volume), f"died after transaction {at}"
        assert store.tasks() == []
        store.delete(id)
        store.lab.settle(60)
        _nothing_left(store)
        _forget_volumes(store)
        if not died:
            assert at > 3
            return
    raise AssertionError("it never came to an end")


def _die_after_commit(store, at, monkeypatch):
    """Run tasks and die right after the at-th transaction, in the midst of a step; tells whether it came to that."""
    database, count = store.lab.cloud.db, 0
    begin = database.begin

    @contextmanager
    def dying():
        nonlocal count
        with begin() as tx:
            yield tx
        count += 1
        if count == at:
            raise Killed

    worker = build_worker(store.lab.cloud)
    with monkeypatch.context() as patch:
        patch.setattr(database, "begin", dying)
        try:
            while worker.run_due():
                pass
        except Killed:
            return True
    return False


def _forget_volumes(store):
    """Make room in the project's quota."""
    root = "/volume/v3/" + "b" * 32
    for kind in ("snapshots", "volumes"):
        for found in store.cinder.get(f"{root}/{kind}").json()[kind]:
            assert store.cinder.delete(f"{root}/{kind}/{found['id']}").status_code == 202, found
        store.lab.settle()
    for image in store.demo.get("/image/v2/images").json()["images"]:
        if image["id"] != store.image:
            store.demo.delete(f"/image/v2/images/{image['id']}")


def test_every_step_with_volumes_bears_to_be_run_twice(template_state, tmp_path):
    shutil.copytree(template_state, tmp_path / "state")
    lab = make_lab(tmp_path / "state", repeats=2)
    store = with_volumes(prepare(lab))
    for begin, status, of_volume in CASES.values():
        id, volume = begin(store)
        store.lab.settle()
        shown = store.show(id)
        assert (shown and shown["status"], store.status(volume)) == (status, of_volume), begin
        store.delete(id)
        store.lab.settle()
        _nothing_left(store)
        _forget_volumes(store)
    lab.app.close()
    lab.cloud.db.dispose()
