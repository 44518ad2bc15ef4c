"""Work on volumes of a host that is away for a while: it waits, and ends at its deadline with a word why."""

import pytest

from pileus.volume.tasks.volumes import ACTION_SECONDS


def of_volume(cloud, volume, snapshot):
    return cloud.delete(volume, client=cloud.admin, cascade=True).status_code, lambda: cloud.show(volume)


def of_size(cloud, volume, snapshot):
    asked = cloud.act(volume, "os-extend", {"new_size": 2}, client=cloud.admin).status_code
    return asked, lambda: (found := cloud.show(volume)) and (found["status"], found["size"])


def of_content(cloud, volume, snapshot):
    asked = cloud.act(volume, "revert", {"snapshot_id": snapshot}, client=cloud.admin).status_code
    return asked, lambda: cloud.show(volume)["status"]


def of_snapshot(cloud, volume, snapshot):
    def status():
        answer = cloud.admin.get(f"/snapshots/{snapshot}")
        return answer.json()["snapshot"]["status"] if answer.status_code == 200 else None

    return cloud.admin.delete(f"/snapshots/{snapshot}").status_code, status


def another_snapshot(cloud, volume, snapshot):
    answer = cloud.snap(volume)
    id = answer.json()["snapshot"]["id"]
    return answer.status_code, lambda: cloud.admin.get(f"/snapshots/{id}").json()["snapshot"]["status"]


CASES = [
    (of_volume, lambda now: now is None, lambda now: now["status"] == "error_deleting"),
    (of_size, lambda now: now == ("available", 2), lambda now: now[0] == "error_extending"),
    (of_content, lambda now: now == "available", lambda now: now == "error"),
    (of_snapshot, lambda now: now is None, lambda now: now == "error_deleting"),
    (another_snapshot, lambda now: now == "available", lambda now: now == "error"),
]


@pytest.mark.parametrize(("what", "done", "failed"), CASES, ids=[case[0].__name__ for case in CASES])
@pytest.mark.parametrize("is_back", [True, False])
def test_work_waits_for_a_host_that_is_away(cloud, what, done, failed, is_back):
    volume = cloud.make()
    snapshot = cloud.make_snapshot(volume)
    hosts = cloud.lab.cloud.bus._hosts
    gone = {name: hosts.pop(name) for name in list(hosts) if "@" in name}
    status, look = what(cloud, volume, snapshot)
    assert status == 202
    for _ in range(5):
        cloud.lab.settle(20)
    assert not done(look())
    assert not failed(look())
    if is_back:
        hosts |= gone
    for _ in range(int(ACTION_SECONDS) // 60 if not is_back else 2):
        cloud.lab.settle(61)
    assert (done if is_back else failed)(look())
