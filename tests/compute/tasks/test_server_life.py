"""The life of a server: built, steered, deleted; whatever breaks, and whenever the process dies."""

import shutil
from dataclasses import replace

import pytest

from pileus.compute.tasks import servers as work
from pileus.compute.tasks.watch import sweep, watch
from pileus.kernel.tasks import Worker
from pileus.main import build_worker
from tests.compute.servers_lab import prepare
from tests.conftest import make_lab


def test_a_server_is_built_and_deleted_without_a_trace(cloud):
    id = cloud.boot()
    shown = cloud.show(id)
    assert (shown["status"], shown["OS-EXT-STS:vm_state"], shown["OS-EXT-STS:task_state"]) == ("ACTIVE", "active", None)
    assert shown["OS-EXT-STS:power_state"] == 1
    assert shown["addresses"]["private"][0]["addr"].startswith("10.0.0.")
    guest = cloud.lab.hypervisor.guests[id]
    assert (guest.spec.vcpus, guest.spec.memory_mib) == (1, 128)
    assert [nic.mac for nic in guest.spec.nics] == [port["mac_address"] for port in cloud.ports()]
    assert cloud.tasks() == []
    assert cloud.delete(id).status_code == 204
    assert cloud.show(id) is None
    assert cloud.left_over() == []


def test_no_host_has_room_and_the_fault_says_why_of_each(cloud):
    cloud.lab.client("admin").put(
        "/compute/v2.1/os-services/disable-log-reason",
        json={"host": "host1", "binary": "nova-compute", "disabled_reason": "moving house"},
    )
    id = cloud.boot()
    shown = cloud.show(id)
    assert shown["status"] == "ERROR"
    assert "host1" in shown["fault"]["message"]
    assert "moving house" in shown["fault"]["message"]
    assert shown["OS-EXT-STS:task_state"] is None
    assert cloud.left_over() == []
    assert cloud.delete(id).status_code == 204
    assert cloud.show(id) is None


def test_a_hypervisor_that_refuses_leaves_nothing_behind(cloud):
    cloud.lab.hypervisor.fail_next("ensure", times=100, reason="no space left on device")
    id = cloud.boot()
    shown = cloud.show(id, cloud.admin)
    assert shown["status"] == "ERROR"
    assert "no space left on device" in shown["fault"]["message"]
    assert shown["OS-EXT-SRV-ATTR:host"] is None
    assert cloud.left_over() == []


def test_an_image_that_is_gone_before_the_boot_is_the_fault(cloud):
    id = cloud.post().json()["server"]["id"]
    assert cloud.demo.delete(f"/image/v2/images/{cloud.image}").status_code == 204
    cloud.lab.settle()
    shown = cloud.show(id)
    assert shown["status"] == "ERROR"
    assert cloud.image in shown["fault"]["message"]
    assert cloud.left_over() == []


def test_guests_go_on_when_their_image_is_deleted(cloud):
    id = cloud.boot()
    cloud.demo.delete(f"/image/v2/images/{cloud.image}")
    cloud.act(id, "os-stop")
    cloud.lab.settle()
    assert cloud.act(id, "os-start").status_code == 202
    cloud.lab.settle()
    assert cloud.show(id)["status"] == "ACTIVE"


def test_a_build_that_hangs_is_given_up_at_its_deadline(cloud):
    def away(name, role):
        raise RuntimeError("the host does not answer")

    cloud.lab.cloud.bus.host, kept = away, cloud.lab.cloud.bus.host
    id = cloud.boot()
    assert cloud.show(id)["status"] == "BUILD"
    cloud.lab.cloud.bus.host = kept
    cloud.lab.settle(10_000)
    shown = cloud.show(id)
    assert shown["status"] == "ERROR"
    assert "does not answer" in shown["fault"]["message"]
    assert cloud.left_over() == []


def test_a_server_deleted_before_it_is_built_leaves_nothing(cloud):
    id = cloud.post().json()["server"]["id"]
    assert cloud.delete(id).status_code == 204
    assert cloud.show(id) is None
    assert cloud.left_over() == []


@pytest.mark.parametrize("stage", ["place", "boot"])
def test_a_server_deleted_while_a_step_runs_leaves_nothing(cloud, stage):
    id = cloud.post().json()["server"]["id"]
    step = work.program.steps[stage]

    def interrupted(run):
        cloud.demo.delete(f"/compute/v2.1/servers/{id}")
        return step(run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(work.program.steps, stage, interrupted)
        cloud.lab.settle()
    assert cloud.show(id) is None
    assert cloud.left_over() == []


class Killed(BaseException):
    """The process dies here."""


def _run_and_die(worker: Worker, at: int, before_write: bool) -> bool:
    """Run until the at-th step, and die after its side effects; before or after they are written down.  Tells whether it got
    that far."""
    count = 0
    kept = worker._write, worker._end

    def dying(method):
        def write(*args, **values):
            nonlocal count
            count += 1
            if count == at and before_write:
                raise Killed
            result = method(*args, **values)
            if count == at:
                raise Killed
            return result

        return write

    worker._write, worker._end = dying(kept[0]), dying(kept[1])
    try:
        while worker.run_due():
            pass
    except Killed:
        return True
    return False


def _revive(lab):
    """Start again after a death: leases are dropped, as the pool does when it starts alone."""
    from sqlalchemy import update

    from pileus.kernel.tasks import tasks

    with lab.cloud.db.begin() as tx:
        tx.execute(update(tasks).values(leased_until=0.0, lease=""))
    lab.worker = build_worker(lab.cloud)
    lab.settle(1)
    lab.settle(60)


FIRST = {"revertResize": ("resize", {"flavorRef": "1"}), "unrescue": ("rescue", None), "unshelve": ("shelve", None)}
ACTS = {
    "create": (None, None, "ACTIVE"),
    "stop": ("os-stop", None, "SHUTOFF"),
    "pause": ("pause", None, "PAUSED"),
    "suspend": ("suspend", None, "SUSPENDED"),
    "reboot": ("reboot", {"type": "HARD"}, "ACTIVE"),
    "rebuild": ("rebuild", {}, "ACTIVE"),
    "image": ("createImage", {"name": "shot"}, "ACTIVE"),
    "resize": ("resize", {"flavorRef": "1"}, "VERIFY_RESIZE"),
    "revert": ("revertResize", None, "ACTIVE"),
    "rescue": ("rescue", None, "RESCUE"),
    "unrescue": ("unrescue", None, "ACTIVE"),
    "shelve": ("shelve", None, "SHELVED_OFFLOADED"),
    "unshelve": ("unshelve", None, "ACTIVE"),
    "delete": ("forceDelete", None, None),
}


@pytest.mark.parametrize("before_write", [True, False], ids=["before the write", "after the write"])
@pytest.mark.parametrize("what", list(ACTS))
def test_a_process_killed_at_any_step_finishes_its_work_when_it_comes_back(cloud, what, before_write):
    action, argument, status = ACTS[what]
    for at in range(1, 12):
        id = cloud.post().json()["server"]["id"]
        if action:
            cloud.lab.settle()
            body = {"imageRef": cloud.image} if action == "rebuild" else argument
            if action in FIRST:
                cloud.act(id, *FIRST[action])
                cloud.lab.settle()
            assert cloud.act(id, action, body).status_code in (202, 204, 200)
        died = _run_and_die(build_worker(cloud.lab.cloud), at, before_write)
        _revive(cloud.lab)
        shown = cloud.show(id)
        assert (shown and shown["status"]) == status, f"died at write {at}"
        assert not shown or shown["OS-EXT-STS:task_state"] is None
        assert cloud.tasks() == []
        cloud.delete(id)
        assert cloud.left_over() == []
        if not died:
            assert at > 1
            return
    raise AssertionError("it never came to an end")


def test_every_step_bears_to_be_run_twice(template_state, tmp_path):
    shutil.copytree(template_state, tmp_path / "state")
    lab = make_lab(tmp_path / "state", repeats=2)
    cloud = prepare(lab)
    id = cloud.boot(config_drive=True)
    assert cloud.show(id)["status"] == "ACTIVE"
    for action, argument, status in list(ACTS.values())[1:-1]:
        if cloud.show(id)["status"] == "SUSPENDED":
            cloud.act(id, "resume")
        elif cloud.show(id)["status"] == "PAUSED":
            cloud.act(id, "unpause")
        elif cloud.show(id)["status"] == "SHUTOFF":
            cloud.act(id, "os-start")
        lab.settle()
        body = {"imageRef": cloud.image} if action == "rebuild" else argument
        assert cloud.act(id, action, body).status_code in (200, 202), action
        lab.settle()
        assert cloud.show(id)["status"] == status, action
    lab.hypervisor.fail_next("ensure", times=2, reason="told to fail")
    other = cloud.boot()
    assert cloud.show(other)["status"] == "ERROR"
    cloud.delete(id)
    cloud.delete(other)
    assert cloud.left_over() == []
    lab.app.close()
    lab.cloud.db.dispose()


def test_power_follows_the_host(cloud):
    id = cloud.boot()
    watch(cloud.lab.cloud)
    cloud.lab.hypervisor.crash(id)
    shown = cloud.show(id)
    assert (shown["status"], shown["OS-EXT-STS:power_state"]) == ("SHUTOFF", 6)
    assert cloud.act(id, "os-start").status_code == 202
    cloud.lab.settle()
    assert cloud.show(id)["status"] == "ACTIVE"
    cloud.lab.hypervisor.shut_down(id)
    shown = cloud.show(id)
    assert (shown["status"], shown["OS-EXT-STS:power_state"]) == ("SHUTOFF", 4)
    assert cloud.tasks() == []


def test_a_missed_change_is_found_by_the_next_look(cloud):
    id = cloud.boot()
    watch(cloud.lab.cloud)
    guest = cloud.lab.hypervisor.guests[id]
    guest.power, guest.why = "off", "the guest shut itself down"
    assert cloud.show(id)["status"] == "ACTIVE"
    watch(cloud.lab.cloud)
    assert cloud.show(id)["status"] == "SHUTOFF"


def test_servers_come_back_with_a_host_that_was_started_again(cloud):
    running, stopped = cloud.boot(), cloud.boot()
    cloud.act(stopped, "os-stop")
    cloud.lab.settle()
    for guest in cloud.lab.hypervisor.guests.values():
        guest.power, guest.why, guest.started_seconds = "off", "", None
    watch(cloud.lab.cloud)
    cloud.lab.settle()
    assert cloud.lab.hypervisor.guests[running].power == "on"
    assert cloud.lab.hypervisor.guests[stopped].power == "off"
    assert (cloud.show(running)["status"], cloud.show(stopped)["status"]) == ("ACTIVE", "SHUTOFF")


def test_an_action_that_fails_shows_why_and_the_server_can_be_saved(cloud):
    id = cloud.boot()
    cloud.lab.hypervisor.fail_next("reboot", reason="the machine is on fire")
    assert cloud.act(id, "reboot", {"type": "SOFT"}).status_code == 202
    cloud.lab.settle()
    shown = cloud.show(id)
    assert shown["status"] == "ERROR"
    assert "on fire" in shown["fault"]["message"]
    log = cloud.admin.get(f"/compute/v2.1/servers/{id}/os-instance-actions").json()["instanceActions"][0]
    assert (log["action"], log["message"]) == ("reboot", "Error")
    assert cloud.act(id, "reboot", {"type": "HARD"}).status_code == 202
    cloud.lab.settle()
    shown = cloud.show(id)
    assert shown["status"] == "ACTIVE"
    assert "fault" not in shown
    assert cloud.tasks() == []


@pytest.mark.parametrize(("days", "kept"), [(0, True), (7, True), (2, False)])
def test_what_is_known_of_deleted_servers_is_forgotten_when_it_is_old(cloud, days, kept):
    lab = cloud.lab
    lab.cloud = replace(lab.cloud, settings=replace(lab.cloud.settings, deleted_servers_days=days))
    there, gone = cloud.boot(), cloud.boot()
    cloud.delete(gone)
    lab.clock.advance(3 * 86_400)
    sweep(lab.cloud)
    assert cloud.show(there)["status"] == "ACTIVE"
    deleted = cloud.admin.get("/compute/v2.1/servers?deleted=true&all_tenants=1").json()["servers"]
    assert [server["id"] for server in deleted] == ([gone] if kept else [])
    url = f"/compute/v2.1/servers/{gone}/os-instance-actions"
    assert cloud.admin.get(url).status_code == (200 if kept else 404)
