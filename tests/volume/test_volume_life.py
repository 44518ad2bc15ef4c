"""The life of a volume: made of all kinds of things, changed, deleted; whatever breaks, and whenever the process dies."""

import pytest
from sqlalchemy import update

from pileus.kernel.tasks import Worker, tasks
from pileus.main import build_worker
from pileus.volume.tasks import volumes as work
from tests.image.conftest import qcow2

from .volumes_lab import BLOCK


def test_a_volume_is_made_and_deleted_without_a_trace(cloud):
    answer = cloud.post(name="disk", description="mine", metadata={"a": "b"})
    assert answer.status_code == 202
    made = answer.json()["volume"]
    assert (made["status"], made["size"], made["volume_type"]) == ("creating", 1, "__DEFAULT__")
    cloud.lab.settle()
    shown = cloud.show(made["id"])
    assert shown["status"] == "available"
    assert cloud.place(made["id"]).observe(made["id"]).size_gib == 1
    assert cloud.tasks() == []
    assert cloud.delete(made["id"]).status_code == 202
    assert cloud.show(made["id"])["status"] == "deleting"
    cloud.lab.settle()
    assert cloud.show(made["id"]) is None
    assert cloud.left_over() == []


def test_fifty_volumes_spread_over_the_back_ends(cloud):
    cloud.limit(volumes=-1)
    ids = [cloud.post().json()["volume"]["id"] for _ in range(50)]
    cloud.lab.settle()
    assert all(cloud.show(id)["status"] == "available" for id in ids)
    assert {name: len(backend.volumes) for name, backend in cloud.backends.items()} == {"host1@fake": 25, "host1@more": 25}


def test_a_volume_of_an_image_has_its_bytes_and_what_it_says(cloud):
    image = cloud.image(b"boot" * 1000, hw_disk_bus="scsi", min_disk=1)
    id = cloud.make(imageRef=image)
    assert cloud.read(id, 4000) == b"boot" * 1000
    shown = cloud.show(id)
    assert shown["bootable"] == "true"
    told = shown["volume_image_metadata"]
    assert told["image_id"] == image
    assert (told["hw_disk_bus"], told["disk_format"], told["min_disk"], told["size"]) == ("scsi", "raw", "1", "4000")
    assert cloud.left_over() == [f"{name}: {id}" for name, backend in cloud.backends.items() if id in backend.volumes]


def test_an_image_that_is_gone_before_the_copy_leaves_an_error_and_a_message(cloud):
    image = cloud.image()
    id = cloud.post(imageRef=image).json()["volume"]["id"]
    assert cloud.lab.client("demo").delete(f"/image/v2/images/{image}").status_code == 204
    cloud.lab.settle()
    assert cloud.show(id)["status"] == "error"
    assert cloud.messages() == ["create volume from backend storage:The back end failed to create the volume."]
    cloud.delete(id)
    cloud.lab.settle()
    assert cloud.left_over() == []


def test_images_that_do_not_fit(cloud):
    large = cloud.image(min_disk=3)
    answer = cloud.post(imageRef=large, size=2)
    assert answer.status_code == 400
    assert "Volume size 2GB cannot be smaller than the image minDisk size 3GB." in answer.text
    answer = cloud.post(imageRef=large, size=None)
    assert answer.status_code == 400
    assert "must be an integer and greater than 0" in answer.text
    wide = cloud.image(qcow2(2 << 30), disk_format="qcow2")
    answer = cloud.post(imageRef=wide)
    assert answer.status_code == 400
    assert "Size of specified image 2GB is larger than volume size 1GB." in answer.text


def test_an_image_is_found_only_by_those_who_may_see_it(cloud):
    image = cloud.image(persona="other", visibility="private")
    for wanted in (image, "00000000-0000-4000-8000-000000000000", "no-such-name"):
        answer = cloud.post(imageRef=wanted)
        assert answer.status_code == 400
        assert "Invalid image identifier" in answer.text


def test_copies_have_the_bytes_of_their_source_at_that_time(cloud):
    source = cloud.make(size=2)
    cloud.write(source, b"one" + bytes(3 * BLOCK) + b"two")
    snapshot = cloud.make_snapshot(source)
    cloud.write(source, b"new")
    of_snapshot, of_volume = cloud.make(snapshot_id=snapshot, size=None), cloud.make(source_volid=source, size=4)
    assert cloud.read(of_snapshot, 3) == b"one"
    assert cloud.read(of_volume, 3) == b"new"
    assert cloud.read(of_snapshot, 3, 3 * BLOCK + 3) == b"two"
    assert [cloud.show(id)["size"] for id in (of_snapshot, of_volume)] == [2, 4]
    cloud.write(of_snapshot, b"own")
    assert cloud.read(source, 3) == b"new"
    assert cloud.place(of_snapshot) is cloud.place(source)


def test_a_copy_of_a_type_for_another_back_end_is_carried_there(cloud):
    cloud.type("there", {"volume_backend_name": "more"})
    cloud.type("here", {"volume_backend_name": "fake"})
    source = cloud.make(volume_type="here")
    cloud.write(source, b"far", 5 * BLOCK)
    copy = cloud.make(source_volid=source, volume_type="there", size=2)
    assert cloud.place(copy) is cloud.backends["host1@more"]
    assert cloud.read(copy, 3, 5 * BLOCK) == b"far"
    assert cloud.read(copy, 3) == bytes(3)


def test_a_back_end_that_refuses_is_left_and_another_one_taken(cloud):
    cloud.backends["host1@fake"].fail("ensure", times=None)
    id = cloud.make()
    assert cloud.place(id) is cloud.backends["host1@more"]
    assert cloud.backends["host1@fake"].volumes == {}


def test_when_all_back_ends_refuse_it_is_an_error_with_the_reason_and_a_message(cloud):
    for backend in cloud.backends.values():
        backend.fail("ensure", error="the array is on fire", times=None)
    id = cloud.post().json()["volume"]["id"]
    cloud.lab.settle()
    assert cloud.show(id)["status"] == "error"
    assert cloud.show(id)["os-vol-host-attr:host"] is None
    assert "the array is on fire" in cloud.why(id)
    assert cloud.messages() == ["schedule allocate volume:No back end is suitable and has room."]
    assert "on fire" not in cloud.demo.get("/messages").text
    cloud.delete(id)
    cloud.lab.settle()
    assert cloud.show(id) is None
    assert cloud.left_over() == []


def test_no_room_anywhere(cloud):
    cloud.limit(gigabytes=-1)
    id = cloud.post(size=10**6).json()["volume"]["id"]
    cloud.lab.settle()
    assert cloud.show(id)["status"] == "error"
    assert "room for" in cloud.why(id)


def test_a_back_end_that_fails_to_delete_says_so_and_one_can_ask_again(cloud):
    id = cloud.make()
    cloud.place(id).fail("destroy")
    cloud.delete(id)
    cloud.lab.settle()
    assert cloud.show(id)["status"] == "error_deleting"
    assert cloud.delete(id).status_code == 400
    assert cloud.act(id, "os-force_delete", {}, cloud.admin).status_code == 202
    cloud.lab.settle()
    assert cloud.show(id) is None
    assert cloud.left_over() == []


def test_a_source_stays_until_its_copies_are_made(cloud):
    source = cloud.make()
    cloud.write(source, b"data")
    copy = cloud.post(source_volid=source).json()["volume"]["id"]
    assert cloud.delete(source).status_code == 202
    cloud.lab.settle(1)
    cloud.lab.settle(1)
    assert cloud.show(source) is None
    assert cloud.read(copy, 4) == b"data"


def test_hints_put_volumes_together_and_apart(cloud):
    first = cloud.make()
    near = [cloud.make(hints={"same_host": first}) for _ in range(3)]
    far = cloud.make(hints={"different_host": [first]})
    assert {id(cloud.place(one)) for one in near} == {id(cloud.place(first))}
    assert cloud.place(far) is not cloud.place(first)


def test_a_hint_that_nothing_fulfils_ends_in_error(cloud):
    others = cloud.make(cloud.other)
    for unknown in ("00000000-0000-4000-8000-000000000000", others):
        id = cloud.post(hints={"same_host": unknown}).json()["volume"]["id"]
        cloud.lab.settle()
        assert cloud.show(id)["status"] == "error"
        assert cloud.show(cloud.make(hints={"different_host": unknown}))["status"] == "available"


def test_the_time_is_over(cloud):
    for backend in cloud.backends.values():
        backend.capacity = None  # the scheduler breaks: a bug that no reason is known for
    id = cloud.post().json()["volume"]["id"]
    cloud.lab.settle()
    assert cloud.show(id)["status"] == "creating"
    cloud.lab.settle(work.COPY_SECONDS + 1)
    assert cloud.show(id)["status"] == "error"
    assert cloud.tasks() == []


class Killed(BaseException):
    """The process dies here."""


def run_and_die(worker: Worker, at: int, before_write: bool) -> bool:
    """Run until the at-th write of a task, and die before or after it.  Tells whether it got that far."""
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


def revive(lab) -> None:
    """Start again after a death: leases are dropped, as the pool does when it starts alone."""
    with lab.cloud.db.begin() as tx:
        tx.execute(update(tasks).values(leased_until=0.0, lease=""))
    lab.worker = build_worker(lab.cloud)
    lab.settle(1)
    lab.settle(60)


def _extended(cloud, id):
    assert cloud.act(id, "os-extend", {"new_size": 3}).status_code == 202
    return lambda shown: shown["size"] == 3


def _retyped(cloud, id):
    cloud.admin.post("/types", json={"volume_type": {"name": "plain"}})
    assert cloud.act(id, "os-retype", {"new_type": "plain"}).status_code == 202
    return lambda shown: shown["volume_type"] == "plain"


def _migrated(cloud, id):
    host = next(name for name, backend in cloud.backends.items() if id not in backend.volumes)
    assert cloud.act(id, "os-migrate_volume", {"host": host}, cloud.admin).status_code == 202
    return lambda shown: shown["os-vol-host-attr:host"].startswith(host) and shown["migration_status"] == "success"


def _uploaded(cloud, id):
    image = cloud.act(id, "os-volume_upload_image", {"image_name": "up"}).json()["os-volume_upload_image"]["image_id"]
    images = cloud.lab.client("demo")

    def there(shown):
        return images.get(f"/image/v2/images/{image}").json()["status"] == "active"

    return there


def _reimaged(cloud, id):
    assert cloud.act(id, "os-reimage", {"image_id": cloud.image(b"anew")}).status_code == 202
    return lambda shown: cloud.read(id, 4) == b"anew"


DONE = {"extend": _extended, "retype": _retyped, "migrate": _migrated, "upload": _uploaded, "reimage": _reimaged}


@pytest.mark.parametrize("before_write", [True, False], ids=["before the write", "after the write"])
@pytest.mark.parametrize("what", ["create", "create of an image", "delete", *DONE])
def test_a_process_killed_at_any_step_finishes_its_work_when_it_comes_back(cloud, what, before_write):
    for at in range(1, 12):
        good = lambda shown: True  # noqa: E731
        if what.startswith("create"):
            image = cloud.image(b"kept") if "image" in what else None
            id = cloud.post(imageRef=image).json()["volume"]["id"]
        else:
            id = cloud.make()
            cloud.write(id, b"kept")
            if what == "delete":
                cloud.delete(id)
            else:
                good = DONE[what](cloud, id)
        died = run_and_die(build_worker(cloud.lab.cloud), at, before_write)
        revive(cloud.lab)
        shown = cloud.show(id)
        assert cloud.tasks() == []
        if what == "delete":
            assert shown is None
        else:
            assert shown["status"] == "available", (at, cloud.why(id))
            assert good(shown), f"died at write {at}"
            if what not in ("create", "reimage"):
                assert cloud.read(id, 4) == b"kept"
            assert [name for name, backend in cloud.backends.items() if id in backend.volumes] == [
                shown["os-vol-host-attr:host"].partition("#")[0]
            ]
            cloud.delete(id)
            cloud.lab.settle()
        assert cloud.left_over() == []
        if not died:
            assert at > 1
            return
    raise AssertionError("it never came to an end")


def test_every_step_bears_to_be_run_twice(twice):
    id = twice.make(imageRef=twice.image(b"kept"))
    for what, begin in DONE.items():
        good = begin(twice, id)
        twice.lab.settle()
        shown = twice.show(id)
        assert shown["status"] == "available", (what, twice.why(id))
        assert good(shown), what
    snapshot = twice.make_snapshot(id)
    twice.write(id, b"lost")
    assert twice.act(id, "revert", {"snapshot_id": snapshot}).status_code == 202
    twice.lab.settle()
    assert twice.read(id, 4) == b"anew"
    twice.delete(id, cascade=True)
    twice.lab.settle()
    assert twice.left_over() == []
