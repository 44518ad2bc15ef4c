"""What is done to volumes: extend, retype, migrate, revert, upload, re-image, small changes; in what state, and how it fails."""

import pytest

from .volumes_lab import BLOCK

GONE = "00000000-0000-4000-8000-000000000000"
SERVER = "11111111-1111-4111-8111-111111111111"


def heard(cloud, name):
    """The news of a name, as they come."""
    found = []
    cloud.lab.cloud.events.subscribe(name, lambda tx, where, facts: found.append(dict(facts)))
    return found


# ---- extend


def test_a_volume_grows_and_keeps_its_content(cloud):
    id = cloud.make()
    cloud.write(id, b"data")
    news = heard(cloud, "volume.extended")
    assert cloud.act(id, "os-extend", {"new_size": 3}).status_code == 202
    assert cloud.show(id)["status"] == "extending"
    cloud.lab.settle()
    assert (cloud.show(id)["status"], cloud.show(id)["size"]) == ("available", 3)
    assert cloud.place(id).observe(id).size_gib == 3
    assert cloud.read(id, 4) == b"data"
    assert news == [{"volume_id": id, "server_ids": [], "size_gib": 3}]


def test_a_volume_in_use_grows_since_3_42_and_those_who_use_it_are_told(cloud):
    id = cloud.make()
    cloud.attach(id)
    news = heard(cloud, "volume.extended")
    assert cloud.act(id, "os-extend", {"new_size": 2}, cloud.api(version="3.41")).status_code == 400
    assert cloud.act(id, "os-extend", {"new_size": 2}).status_code == 202
    cloud.lab.settle()
    assert (cloud.show(id)["status"], cloud.show(id)["size"]) == ("in-use", 2)
    assert news == [{"volume_id": id, "server_ids": [SERVER], "size_gib": 2}]


@pytest.mark.parametrize(
    "argument", [{"new_size": 1}, {"new_size": 0}, {"new_size": None}, {"new_size": "x"}, {}, None, {"new_size": 2, "x": 1}]
)
def test_sizes_that_are_no_extension(cloud, argument):
    assert cloud.act(cloud.make(), "os-extend", argument).status_code == 400


def test_a_back_end_that_cannot_extend(cloud):
    id = cloud.make()
    cloud.place(id).fail("ensure", error="no")
    cloud.act(id, "os-extend", {"new_size": 2})
    cloud.lab.settle()
    assert (cloud.show(id)["status"], cloud.show(id)["size"]) == ("error_extending", 1)
    assert cloud.messages() == ["extend volume:The back end failed to extend the volume."]
    assert cloud.delete(id).status_code == 202


def test_there_is_no_room_to_extend(cloud):
    cloud.limit(gigabytes=-1)
    id = cloud.make()
    assert cloud.act(id, "os-extend", {"new_size": 10**6}).status_code == 202
    cloud.lab.settle()
    assert (cloud.show(id)["status"], cloud.show(id)["size"]) == ("available", 1)
    assert cloud.messages() == ["extend volume:No back end is suitable and has room."]


# ---- retype and migrate


def test_another_type_that_fits_where_the_volume_is(cloud):
    id = cloud.make()
    assert cloud.act(id, "os-retype", {"new_type": cloud.type("shared", {"multiattach": "<is> True"})}).status_code == 202
    assert cloud.show(id)["status"] == "retyping"
    cloud.lab.settle()
    shown = cloud.show(id)
    assert (shown["status"], shown["volume_type"], shown["multiattach"]) == ("available", "shared", True)
    assert shown["migration_status"] is None


@pytest.mark.parametrize("policy", ["never", None, "on-demand"])
def test_another_type_that_fits_elsewhere_only(cloud, policy):
    id = cloud.make()
    cloud.write(id, b"kept", 3 * BLOCK)
    here = cloud.place(id)
    there = next(name.partition("@")[2] for name, backend in cloud.backends.items() if backend is not here)
    cloud.type("there", {"volume_backend_name": there})
    cloud.act(id, "os-retype", {"new_type": "there", "migration_policy": policy})
    cloud.lab.settle()
    shown = cloud.show(id)
    assert shown["status"] == "available"
    assert cloud.read(id, 4, 3 * BLOCK) == b"kept"
    if policy == "on-demand":
        assert (shown["volume_type"], shown["migration_status"]) == ("there", "success")
        assert shown["os-vol-host-attr:host"] == f"host1@{there}#{there}"
        assert id not in here.volumes
    else:
        assert (shown["volume_type"], cloud.place(id)) == ("__DEFAULT__", here)


def test_retypes_that_are_refused(cloud):
    id = cloud.make()
    for new_type, status in (("nothing", 404), ("__DEFAULT__", 400)):
        assert cloud.act(id, "os-retype", {"new_type": new_type}).status_code == status
    for argument in ({}, None, {"new_type": "x", "migration_policy": "perhaps"}, {"new_type": 1}):
        assert cloud.act(id, "os-retype", argument).status_code == 400
    cloud.type("there", {"volume_backend_name": "more" if cloud.place(id) is cloud.backends["host1@fake"] else "fake"})
    cloud.attach(id)
    answer = cloud.act(id, "os-retype", {"new_type": "there", "migration_policy": "on-demand"})
    assert answer.status_code == 400
    assert cloud.show(id)["status"] == "in-use"


def test_a_type_has_a_quota_of_its_own(cloud):
    from pileus.kernel import quota

    id = cloud.make(size=2)
    type_id = cloud.type("dear")
    with cloud.lab.cloud.db.begin() as tx:
        quota.set_limits(tx, "volume", "b" * 32, {f"gigabytes_{type_id}": 1})
    assert cloud.act(id, "os-retype", {"new_type": "dear"}).status_code == 413
    assert cloud.show(id)["consumes_quota"] is True


@pytest.mark.parametrize("lock", [True, False])
def test_an_admin_carries_a_volume_to_another_back_end(cloud, lock):
    id = cloud.make()
    cloud.write(id, b"a" + bytes(9 * BLOCK) + b"z")
    here = cloud.show(id)["os-vol-host-attr:host"].partition("#")[0]
    there = next(name for name in cloud.backends if name != here)
    answer = cloud.act(id, "os-migrate_volume", {"host": there, "lock_volume": lock}, cloud.admin)
    assert answer.status_code == 202
    assert cloud.show(id)["status"] == ("maintenance" if lock else "available")
    assert cloud.demo.put(f"/volumes/{id}", json={"volume": {"name": "x"}}).status_code == 400
    assert cloud.delete(id).status_code == 400
    assert cloud.act(id, "os-force_delete", {}, cloud.admin).status_code == 400
    assert cloud.demo.post("/attachments", json={"attachment": {"volume_uuid": id, "instance_uuid": SERVER}}).status_code == 400
    cloud.lab.settle()
    shown = cloud.show(id)
    assert (shown["status"], shown["migration_status"]) == ("available", "success")
    assert shown["os-vol-host-attr:host"].partition("#")[0] == there
    assert cloud.read(id, 1) + cloud.read(id, 1, 9 * BLOCK + 1) == b"az"
    assert cloud.backends[here].volumes == {}


def test_migrations_that_are_refused(cloud):
    id = cloud.make()
    here = cloud.show(id)["os-vol-host-attr:host"]
    there = next(name for name in cloud.backends if name != here.partition("#")[0])
    for host in (here, here.partition("#")[0], "atlantis@x", "host1@more#other", "", None):
        assert cloud.act(id, "os-migrate_volume", {"host": host}, cloud.admin).status_code == 400
    cloud.make_snapshot(id)
    assert cloud.act(id, "os-migrate_volume", {"host": there}, cloud.admin).status_code == 400
    other = cloud.make()
    cloud.attach(other)
    assert cloud.act(other, "os-migrate_volume", {"host": there}, cloud.admin).status_code == 400


def test_a_migration_that_fails_leaves_the_volume_where_it_was(cloud):
    id = cloud.make()
    cloud.write(id, b"kept")
    here = cloud.place(id)
    there = next(name for name, backend in cloud.backends.items() if backend is not here)
    cloud.backends[there].fail("open", times=None)
    cloud.act(id, "os-migrate_volume", {"host": there}, cloud.admin)
    cloud.lab.settle()
    shown = cloud.show(id)
    assert (shown["status"], shown["migration_status"]) == ("available", "error")
    assert cloud.place(id) is here
    assert cloud.backends[there].volumes == {}
    assert cloud.read(id, 4) == b"kept"


def test_what_the_old_place_does_not_give_up_does_not_hold_a_volume_that_moved(cloud):
    id = cloud.make()
    here = cloud.place(id)
    there = next(name for name, backend in cloud.backends.items() if backend is not here)
    here.fail("destroy", times=None)
    cloud.act(id, "os-migrate_volume", {"host": there}, cloud.admin)
    cloud.lab.settle()
    for _ in range(40):
        cloud.lab.settle(3600)
    shown = cloud.show(id)
    assert (shown["status"], shown["migration_status"]) == ("available", "success")
    assert cloud.place(id) is cloud.backends[there]
    assert cloud.tasks() == []


# ---- revert


def test_a_volume_is_reverted_to_its_latest_snapshot_only(cloud):
    id = cloud.make()
    cloud.write(id, b"one")
    first = cloud.make_snapshot(id)
    cloud.lab.clock.advance(1)
    cloud.write(id, b"two")
    second = cloud.make_snapshot(id)
    cloud.write(id, b"bad")
    for wrong in (first, GONE, None):
        assert cloud.act(id, "revert", {"snapshot_id": wrong}).status_code == 400
    assert cloud.act(id, "revert", {"snapshot_id": second}, cloud.api(version="3.39")).status_code == 400
    assert cloud.act(id, "revert", {"snapshot_id": second}).status_code == 202
    assert (cloud.show(id)["status"], cloud.snapshot(second)["status"]) == ("reverting", "restoring")
    assert cloud.act(id, "revert", {"snapshot_id": second}).status_code == 409
    cloud.lab.settle()
    assert (cloud.show(id)["status"], cloud.snapshot(second)["status"]) == ("available", "available")
    assert cloud.read(id, 3) == b"two"
    cloud.act(id, "os-extend", {"new_size": 2})
    cloud.lab.settle()
    assert "must be equal" in cloud.act(id, "revert", {"snapshot_id": second}).text


def test_a_volume_in_use_or_without_snapshots_is_not_reverted(cloud):
    id = cloud.make()
    assert cloud.act(id, "revert", {"snapshot_id": GONE}).status_code == 400
    snapshot = cloud.make_snapshot(id)
    cloud.attach(id)
    assert cloud.act(id, "revert", {"snapshot_id": snapshot}).status_code == 409
    assert cloud.snapshot(snapshot)["status"] == "available"


def test_a_back_end_that_cannot_revert(cloud):
    id = cloud.make()
    snapshot = cloud.make_snapshot(id)
    cloud.place(id).fail("revert")
    cloud.act(id, "revert", {"snapshot_id": snapshot})
    cloud.lab.settle()
    assert (cloud.show(id)["status"], cloud.snapshot(snapshot)["status"]) == ("error", "available")


# ---- images


@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
def test_a_volume_is_uploaded_as_an_image_and_comes_back_from_it(cloud, disk_format):
    id = cloud.make(imageRef=cloud.image(b"boot" * 300, hw_disk_bus="scsi"))
    argument = {"image_name": "up", "disk_format": disk_format, "visibility": "private", "protected": False}
    answer = cloud.act(id, "os-volume_upload_image", argument)
    assert answer.status_code == 202, answer.text
    told = answer.json()["os-volume_upload_image"]
    assert (told["status"], told["image_name"], told["disk_format"]) == ("uploading", "up", disk_format)
    assert told["volume_type"]["name"] == "__DEFAULT__"
    cloud.lab.settle()
    assert cloud.show(id)["status"] == "available", cloud.why(id)
    image = cloud.lab.client("demo").get(f"/image/v2/images/{told['image_id']}").json()
    assert (image["status"], image["name"], image["hw_disk_bus"], image["virtual_size"]) == ("active", "up", "scsi", 1 << 30)
    assert "image_id" not in image
    if disk_format == "raw":
        assert cloud.read(cloud.make(imageRef=image["id"]), 8) == b"bootboot"


def test_uploads_that_are_refused(cloud):
    id = cloud.make()
    for argument in ({}, {"image_name": ""}, {"image_name": "x", "disk_format": "floppy"}, {"image_name": "x", "force": "maybe"}):
        assert cloud.act(id, "os-volume_upload_image", argument).status_code == 400
    public = {"image_name": "x", "visibility": "public"}
    assert cloud.act(id, "os-volume_upload_image", public).status_code == 403
    assert cloud.act(id, "os-volume_upload_image", public, cloud.api(version="3.0")).status_code == 400
    cloud.attach(id)
    assert cloud.act(id, "os-volume_upload_image", {"image_name": "x", "force": True}).status_code == 400
    assert cloud.lab.client("demo").get("/image/v2/images").json()["images"] == []


def test_an_upload_that_fails_leaves_no_image(cloud):
    id = cloud.make()
    cloud.place(id).fail("open", error="bad sectors")
    cloud.act(id, "os-volume_upload_image", {"image_name": "x"})
    cloud.lab.settle()
    assert cloud.show(id)["status"] == "available"
    assert cloud.messages() == ["copy volume to image:The back end failed to upload the volume."]
    assert cloud.lab.client("demo").get("/image/v2/images").json()["images"] == []


def test_a_volume_deleted_by_force_while_it_is_uploaded_leaves_no_image(cloud):
    id = cloud.make()
    cloud.act(id, "os-volume_upload_image", {"image_name": "x"})
    assert cloud.act(id, "os-force_delete", {}, cloud.admin).status_code == 202
    cloud.lab.settle()
    assert cloud.show(id) is None
    assert cloud.lab.client("demo").get("/image/v2/images").json()["images"] == []
    assert cloud.left_over() == []


def test_a_volume_is_made_of_another_image(cloud):
    id = cloud.make(imageRef=cloud.image(b"old"), size=2)
    cloud.write(id, b"mine", 7 * BLOCK)
    snapshot = cloud.make_snapshot(id)
    new = cloud.image(b"new", os_distro="x")
    assert cloud.act(id, "os-reimage", {"image_id": new}, cloud.api(version="3.67")).status_code == 400
    assert cloud.act(id, "os-reimage", {"image_id": new}).status_code == 202
    assert cloud.show(id)["status"] == "downloading"
    cloud.lab.settle()
    shown = cloud.show(id)
    assert shown["status"] == "available", cloud.why(id)
    assert cloud.read(id, 4) == b"new\0"
    assert cloud.read(id, 4, 7 * BLOCK) == bytes(4)
    assert (shown["volume_image_metadata"]["image_id"], shown["volume_image_metadata"]["os_distro"]) == (new, "x")
    assert cloud.snapshot(snapshot)["status"] == "available"
    assert list(cloud.place(id).volumes) == [id]


def test_images_that_a_volume_is_not_made_of_again(cloud):
    id = cloud.make()
    for image, status in ((GONE, 400), ("x", 400), (cloud.image(min_disk=5), 400), (cloud.image(persona="other"), 400)):
        assert cloud.act(id, "os-reimage", {"image_id": image}).status_code == status
    cloud.attach(id)
    assert cloud.act(id, "os-reimage", {"image_id": cloud.image()}).status_code == 400


def test_a_re_image_that_fails(cloud):
    id = cloud.make()
    image = cloud.image()
    news = heard(cloud, "volume.failed")
    cloud.act(id, "os-reimage", {"image_id": image})
    cloud.lab.client("demo").delete(f"/image/v2/images/{image}")
    cloud.lab.settle()
    assert cloud.show(id)["status"] == "error"
    assert [facts["volume_id"] for facts in news] == [id]
    assert list(cloud.place(id).volumes) == [id]


# ---- small changes


def test_flags(cloud):
    id = cloud.make()
    assert cloud.act(id, "os-set_bootable", {"bootable": "True"}).status_code == 200
    assert cloud.show(id)["bootable"] == "true"
    assert "readonly" not in cloud.show(id)["metadata"]
    for value, shown in ((True, "True"), (False, "False")):
        assert cloud.act(id, "os-update_readonly_flag", {"readonly": value}).status_code == 202
        assert cloud.show(id)["metadata"]["readonly"] == shown
    for action, key in (("os-set_bootable", "bootable"), ("os-update_readonly_flag", "readonly")):
        for argument in ({}, None, {key: "perhaps"}, {key: None}):
            assert cloud.act(id, action, argument).status_code == 400
    cloud.attach(id)
    assert cloud.act(id, "os-update_readonly_flag", {"readonly": True}).status_code == 400


def test_an_admin_says_what_the_state_is(cloud):
    id = cloud.make()
    for argument in (
        {}, None, {"status": "weird"}, {"status": "deleting"}, {"status": "in-use"}, {"attach_status": "x"},
        {"migration_status": "x"},
        {"status": None},
    ):  # fmt: skip
        assert cloud.act(id, "os-reset_status", argument, cloud.admin).status_code == 400
    assert cloud.act(id, "os-reset_status", {"status": "ERROR"}, cloud.admin).status_code == 202
    assert cloud.show(id)["status"] == "error"
    cloud.act(id, "os-reset_status", {"status": "available", "migration_status": "migrating"}, cloud.admin)
    assert (cloud.show(id)["status"], cloud.show(id)["migration_status"]) == ("available", "migrating")
    cloud.act(id, "os-reset_status", {"migration_status": "none"}, cloud.admin)
    assert cloud.show(id)["migration_status"] is None


def test_a_state_that_was_reset_ends_the_work_that_it_interrupts(cloud):
    id = cloud.post().json()["volume"]["id"]
    cloud.act(id, "os-reset_status", {"status": "error"}, cloud.admin)
    cloud.lab.settle()
    assert cloud.show(id)["status"] == "error"
    assert cloud.tasks() == []


@pytest.mark.parametrize(
    "body", [{}, {"os-fly": {}}, {"os-extend": {"new_size": 2}, "revert": {}}, [], None, "os-extend", {"": 1}]
)
def test_actions_that_are_none(cloud, body):
    id = cloud.make()
    assert cloud.demo.post(f"/volumes/{id}/action", json=body).status_code == 400


def test_what_only_others_back_ends_wait_for(cloud):
    id, other = cloud.make(), cloud.make()
    assert cloud.act(id, "os-migrate_volume_completion", {"new_volume": other}, cloud.admin).status_code == 400
    assert cloud.act(id, "os-migrate_volume_completion", {"new_volume": GONE}, cloud.admin).status_code == 404
    assert cloud.act(id, "os-extend_volume_completion", {"error": False}, cloud.admin).status_code == 400
