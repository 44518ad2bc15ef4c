"""Two callers at the same moment: exactly one wins, and what is left is of one piece."""

import threading

import pytest

from pileus.kernel import ids
from pileus.kernel.errors import Fault
from pileus.volume.service import volume_actions, volumes
from pileus.volume.service.snapshots import Wanted
from pileus.volume.service.snapshots import create as take_snapshot


def at_once(*calls) -> list[bool]:
    """Run calls in threads that start together; tells of each whether it went well."""
    start, won = threading.Barrier(len(calls)), [False] * len(calls)

    def run(index, call):
        start.wait()
        try:
            call()
            won[index] = True
        except Fault:
            pass

    threads = [threading.Thread(target=run, args=(index, call)) for index, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


def reserve(cloud, id):
    from pileus.volume.service import guests

    ctx = cloud.lab.ctx("demo")
    with ctx.cloud.db.begin() as tx:
        return guests.reserve(tx, ctx, id, ids.uuid())


CALLS = {
    "delete": lambda cloud, id: volumes.delete(cloud.lab.ctx("demo"), id),
    "attach": reserve,
    "extend": lambda cloud, id: volume_actions.extend(cloud.lab.ctx("demo"), id, 2, online=True),
    "upload": lambda cloud, id: volume_actions.upload(cloud.lab.ctx("demo"), id, volume_actions.Upload("x")),
    "migrate": lambda cloud, id: volume_actions.migrate(cloud.lab.ctx("admin"), id, cloud.elsewhere(id), lock=True),
}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("delete", "delete"), ("delete", "attach"), ("extend", "delete"), ("extend", "extend"), ("attach", "attach"),
        ("migrate", "attach"), ("migrate", "delete"), ("upload", "migrate"),
    ],
)  # fmt: skip
def test_exactly_one_of_two_wins(cloud, first, second):
    cloud.elsewhere = lambda id: "host1@more" if "@fake" in cloud.show(id)["os-vol-host-attr:host"] else "host1@fake"
    cloud.limit(volumes=-1)
    for _ in range(5):
        id = cloud.make()
        there = cloud.elsewhere(id)
        cloud.elsewhere = lambda id, there=there: there
        won = at_once(lambda: CALLS[first](cloud, id), lambda: CALLS[second](cloud, id))  # noqa: B023
        assert sum(won) == 1, (first, second, won)
        cloud.lab.settle()
        winner = (first, second)[won.index(True)]
        shown = cloud.show(id)
        if winner == "delete":
            assert shown is None
        else:
            assert shown["status"] == ("reserved" if winner == "attach" else "available")
            assert shown["size"] == (2 if winner == "extend" else 1)
        assert cloud.tasks() == []
        cloud.elsewhere = lambda id: "host1@more" if "@fake" in cloud.show(id)["os-vol-host-attr:host"] else "host1@fake"


def test_the_last_of_a_quota_goes_to_one(cloud):
    cloud.limit(volumes=1)
    ctx = cloud.lab.ctx("demo")
    won = at_once(*[lambda: volumes.create(ctx, volumes.Wanted(1)) for _ in range(6)])
    assert sum(won) == 1


def test_a_volume_with_a_snapshot_under_way_is_not_deleted(cloud):
    ctx = cloud.lab.ctx("demo")
    for _ in range(5):
        id = cloud.make()
        won = at_once(lambda: volumes.delete(ctx, id), lambda: take_snapshot(ctx, Wanted(id)))  # noqa: B023
        assert sum(won) == 1
        cloud.lab.settle()
        assert (cloud.show(id) is None) == won[0]
        assert cloud.tasks() == []


def test_the_last_room_of_a_back_end_is_not_given_out_twice(cloud):
    cloud.limit(gigabytes=-1)
    for backend in cloud.backends.values():
        backend.total_gib = 1.0  # times 20: 20 GiB each
    cloud.lab.clock.advance(60)
    made = [cloud.post(size=15).json()["volume"]["id"] for _ in range(3)]
    workers = [threading.Thread(target=cloud.lab.settle) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(cloud.show(id)["status"] for id in made) == ["available", "available", "error"]
    assert all(len(backend.volumes) == 1 for backend in cloud.backends.values())
