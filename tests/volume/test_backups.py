"""Backups over HTTP: made, shown, listed, changed, restored, deleted."""

import pytest
from sqlalchemy import select

from pileus.kernel import tasks
from pileus.volume.backup_target import TargetFull
from tests.conftest import RED
from tests.volume.backup_scene import GIB, LATEST, MIB, Scene, noise

UNKNOWN = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def scene(lab):
    return Scene(lab)


@pytest.fixture
def filled(scene):
    """A volume of 2 GiB with content in several places."""
    volume_id = scene.volume(2, name="data", description="mine", metadata={"a": "1"})
    for offset in (0, 5 * MIB, 40 * MIB + 100, GIB - 64 * 1024, GIB + 3 * MIB, 2 * GIB - 65536):
        scene.write(volume_id, offset, noise(65536))
    return volume_id


def test_a_full_backup_and_what_it_shows(scene, filled):
    made = scene.call(
        "POST", "/backups", 202, backup={"volume_id": filled, "name": "b", "description": "d", "metadata": {"k": "v"}}
    )
    backup = made["backup"]
    assert set(backup) == {"id", "name", "links"}
    assert backup["links"][0]["href"].endswith(f"/volume/v3/backups/{backup['id']}")
    assert scene.show(backup["id"])["status"] == "creating"
    assert scene.status(filled) == "backing-up"
    scene.lab.settle()
    assert scene.status(filled) == "available"
    shown = scene.show(backup["id"])
    assert shown["status"] == "available"
    assert shown["object_count"] == len(scene.objects(backup["id"])) > 5
    assert (shown["name"], shown["description"], shown["metadata"], shown["size"]) == ("b", "d", {"k": "v"}, 2)
    assert (shown["is_incremental"], shown["has_dependent_backups"], shown["snapshot_id"]) == (False, False, None)
    assert shown["data_timestamp"] == shown["created_at"]
    assert (shown["container"], shown["availability_zone"], shown["fail_reason"]) == ("volumebackups", "nova", None)
    assert "user_id" not in shown
    assert "os-backup-project-attr:project_id" not in shown


def test_admins_see_whose_it_is(scene, filled):
    backup_id = scene.backup(filled)
    shown = scene.call_as_admin("GET", f"/backups/{backup_id}", 200)["backup"]
    assert shown["user_id"] == "d" * 32
    assert shown["os-backup-project-attr:project_id"] == "b" * 32


def test_a_new_volume_is_restored_with_what_was_kept(scene, filled):
    scene.call("POST", f"/volumes/{filled}/action", 200, **{"os-set_bootable": {"bootable": True}})
    backup_id = scene.backup(filled)
    answer = scene.call("POST", f"/backups/{backup_id}/restore", 202, restore={})["restore"]
    assert answer["backup_id"] == backup_id
    assert answer["volume_name"] == f"restore_backup_{backup_id}"
    assert scene.show(backup_id)["status"] == "restoring"
    scene.lab.settle()
    restored = scene.call("GET", f"/volumes/{answer['volume_id']}", 200)["volume"]
    assert (restored["status"], restored["size"], restored["bootable"]) == ("available", 2, "true")
    assert (restored["name"], restored["description"]) == ("data", "mine")
    assert restored["metadata"] == {"a": "1", "src_backup_id": backup_id}
    assert scene.show(backup_id)["status"] == "available"
    assert scene.same(filled, answer["volume_id"])


def test_a_new_volume_keeps_the_name_it_is_given(scene, filled):
    backup_id = scene.backup(filled)
    answer = scene.call("POST", f"/backups/{backup_id}/restore", 202, restore={"name": "mine"})["restore"]
    scene.lab.settle()
    assert scene.call("GET", f"/volumes/{answer['volume_id']}", 200)["volume"]["name"] == "mine"


def test_a_volume_is_made_of_a_backup(scene, filled):
    backup_id = scene.backup(filled)
    answer = scene.call("POST", "/volumes", 202, volume={"size": 3, "backup_id": backup_id, "name": "larger"})
    scene.lab.settle()
    made = scene.call("GET", f"/volumes/{answer['volume']['id']}", 200)["volume"]
    assert (made["status"], made["size"], made["name"]) == ("available", 3, "larger")
    assert scene.same(filled, made["id"])
    small = scene.call("POST", "/volumes", 400, volume={"size": 1, "backup_id": backup_id})
    assert "backup size" in small["badRequest"]["message"]
    scene.call("POST", "/volumes", 404, volume={"size": 1, "backup_id": UNKNOWN})


def test_what_a_given_volume_held_is_overwritten(scene, filled):
    backup_id = scene.backup(filled)
    other = scene.volume(3)
    for offset in (0, 3 * MIB, GIB + 77, 2 * GIB + 5):
        scene.write(other, offset, noise(MIB))
    beyond = scene.read(other, 2 * GIB + 5, MIB)
    assert scene.restore(backup_id, other) == other
    assert scene.status(other) == "available"
    assert scene.same(filled, other)
    assert scene.read(other, 3 * MIB, MIB) == bytes(MIB)
    assert scene.read(other, 2 * GIB + 5, MIB) == beyond


def test_incremental_backups_store_what_changed_and_restore_as_of_then(scene, filled):
    full = scene.backup(filled)
    first = scene.read(filled, 5 * MIB, 65536)
    scene.write(filled, 5 * MIB, noise(65536))
    scene.write(filled, 41 * MIB, bytes(65536))
    scene.lab.settle(5)
    second = scene.backup(filled, incremental=True)
    changed = scene.read(filled, 5 * MIB, 65536)
    scene.write(filled, 700 * MIB, noise(65536))
    scene.write(filled, 0, bytes(65536))
    scene.lab.settle(5)
    third = scene.backup(filled, incremental=True)
    assert scene.show(second)["is_incremental"] is True
    assert scene.show(full)["has_dependent_backups"] is True
    assert scene.show(third)["has_dependent_backups"] is False
    segments = [name for name in scene.objects(second) if "segment" in name]
    assert len(segments) == 1
    assert scene.same(filled, scene.restore(third))
    of_second = scene.restore(second)
    assert scene.read(of_second, 5 * MIB, 65536) == changed
    assert scene.read(of_second, 700 * MIB, 65536) == bytes(65536)
    assert scene.read(scene.restore(full), 5 * MIB, 65536) == first


def test_an_incremental_backup_of_a_volume_that_grew(scene, filled):
    scene.backup(filled)
    scene.call("POST", f"/volumes/{filled}/action", 202, **{"os-extend": {"new_size": 4}})
    scene.lab.settle()
    scene.write(filled, 4 * GIB - 65536, noise(65536))
    backup_id = scene.backup(filled, incremental=True)
    assert scene.show(backup_id)["size"] == 4
    assert scene.same(filled, scene.restore(backup_id))


def test_parents_stay_while_others_need_them(scene, filled):
    full = scene.backup(filled)
    scene.lab.settle(5)
    child = scene.backup(filled, incremental=True)
    told = scene.call("DELETE", f"/backups/{full}", 400)
    assert told["badRequest"]["message"] == "Invalid backup: Incremental backups exist for this backup."
    scene.call_as_admin("POST", f"/backups/{full}/action", 400, **{"os-force_delete": {}})
    for backup_id in (child, full):
        names = scene.objects(backup_id)
        scene.call("DELETE", f"/backups/{backup_id}", 202)
        scene.lab.settle()
        scene.call("GET", f"/backups/{backup_id}", 404)
        assert not set(names) & set(scene.target.list("volumebackups", f"volume_{filled}"))


def test_nothing_to_be_the_difference_to(scene, filled):
    told = scene.begin(filled, 400, incremental=True)
    assert told["badRequest"]["message"] == "Invalid backup: No backups available to do an incremental backup."


def test_a_backup_of_a_snapshot_has_what_the_volume_had_then(scene, filled):
    then = scene.read(filled, 0, 65536)
    snapshot_id = scene.call("POST", "/snapshots", 202, snapshot={"volume_id": filled})["snapshot"]["id"]
    scene.lab.settle(1)
    scene.write(filled, 0, noise(65536))
    made = scene.begin(filled, snapshot_id=snapshot_id)
    assert scene.call("GET", f"/snapshots/{snapshot_id}", 200)["snapshot"]["status"] == "backing-up"
    assert scene.status(filled) == "available"
    scene.lab.settle()
    shown = scene.show(made)
    snapshot = scene.call("GET", f"/snapshots/{snapshot_id}", 200)["snapshot"]
    assert (shown["status"], shown["snapshot_id"]) == ("available", snapshot_id)
    assert shown["data_timestamp"] == snapshot["created_at"]
    assert snapshot["status"] == "available"
    assert scene.read(scene.restore(made), 0, 65536) == then


def test_a_snapshots_parent_is_older_than_it(scene, filled):
    scene.lab.settle(5)
    first = scene.backup(filled)
    scene.lab.settle(5)
    snapshot_id = scene.call("POST", "/snapshots", 202, snapshot={"volume_id": filled})["snapshot"]["id"]
    scene.lab.settle(5)
    scene.backup(filled)
    made = scene.backup(filled, snapshot_id=snapshot_id, incremental=True)
    record = Scene(scene.lab, "admin").call("GET", f"/backups?parent_id={first}&all_tenants=1", 200)
    assert [backup["id"] for backup in record["backups"]] == [made]


def attach(scene, volume_id):
    """Have a volume in use, as a host outside would."""
    service = Scene(scene.lab, "demo")
    attachment = service.call("POST", "/attachments", 200, attachment={"volume_uuid": volume_id, "instance_uuid": UNKNOWN})
    id = attachment["attachment"]["id"]
    connector = {"host": "elsewhere", "initiator": "iqn.x:y", "ip": "192.0.2.9"}
    service.call("PUT", f"/attachments/{id}", 200, attachment={"connector": connector})
    service.call("POST", f"/attachments/{id}/action", 204, **{"os-complete": {}})
    assert scene.status(volume_id) == "in-use"


def test_a_volume_in_use_is_backed_up_as_it_was_at_one_instant(scene, filled):
    attach(scene, filled)
    assert "force" in scene.begin(filled, 400)["badRequest"]["message"]
    then = scene.read(filled, 0, 65536)
    flaky = scene.break_target(at=2, error=ConnectionError("gone"), times=1)
    made = scene.begin(filled, force=True)
    assert scene.status(filled) == "backing-up"
    scene.lab.worker.run_due(1)
    assert flaky.calls == 2
    scene.write(filled, 0, noise(65536))
    scene.mend()
    scene.settle_late()
    assert scene.show(made)["status"] == "available"
    assert scene.status(filled) == "in-use"
    assert scene.backend(filled).observe(filled).snapshots == ()
    restored = scene.restore(made)
    assert scene.read(restored, 0, 65536) == then


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"volume_id": "nonsense"},
        {"volume_id": UNKNOWN, "incremental": "perhaps"},
        {"volume_id": UNKNOWN, "container": "x" * 256},
        {"volume_id": UNKNOWN, "container": "a/b"},
        {"volume_id": UNKNOWN, "container": ".."},
        {"volume_id": UNKNOWN, "snapshot_id": "nonsense"},
        {"volume_id": UNKNOWN, "metadata": {"k": 1}},
        {"volume_id": UNKNOWN, "color": "red"},
    ],
)
def test_bodies_that_make_no_sense(scene, body):
    scene.call("POST", "/backups", 400, backup=body)


def test_bodies_of_older_versions_know_less(scene, filled):
    old = scene.lab.client("demo", {"OpenStack-API-Version": "volume 3.42"})
    body = {"backup": {"volume_id": filled, "metadata": {"k": "v"}}}
    assert old.post("/volume/v3/backups", json=body).status_code == 400
    assert old.put(f"/volume/v3/backups/{UNKNOWN}", json={"backup": {"metadata": {}}}).status_code == 400
    oldest = scene.lab.client("demo", {"OpenStack-API-Version": "volume 3.8"})
    assert oldest.put(f"/volume/v3/backups/{UNKNOWN}", json={"backup": {"name": "x"}}).status_code in (404, 405)
    zone = {"backup": {"volume_id": filled, "availability_zone": "nova"}}
    assert (
        scene.lab.client("demo", {"OpenStack-API-Version": "volume 3.50"}).post("/volume/v3/backups", json=zone).status_code
        == 400
    )
    scene.call("POST", "/backups", 202, **zone)


def test_what_cannot_be_backed_up(scene, filled):
    scene.begin(UNKNOWN, 404)
    scene.begin(filled, 404, snapshot_id=UNKNOWN)
    scene.begin(filled, 400, availability_zone="mars")
    other = scene.volume()
    snapshot_id = scene.call("POST", "/snapshots", 202, snapshot={"volume_id": other})["snapshot"]["id"]
    scene.lab.settle()
    assert "does not match" in scene.begin(filled, 400, snapshot_id=snapshot_id)["badRequest"]["message"]
    scene.begin(filled)
    assert "backing-up" in scene.begin(filled, 400)["badRequest"]["message"]


def test_what_cannot_be_restored(scene, filled):
    backup_id = scene.backup(filled)
    small = scene.volume(1)
    told = scene.call("POST", f"/backups/{backup_id}/restore", 400, restore={"volume_id": small})
    assert "too small" in told["badRequest"]["message"]
    scene.call("POST", f"/backups/{backup_id}/restore", 404, restore={"volume_id": UNKNOWN})
    scene.call("POST", f"/backups/{backup_id}/restore", 400, restore={"volume_id": "x"})
    scene.call("POST", f"/backups/{backup_id}/restore", 400, restore={"color": "red"})
    scene.call("POST", f"/backups/{UNKNOWN}/restore", 404, restore={})
    attach(scene, filled)
    scene.call("POST", f"/backups/{backup_id}/restore", 400, restore={"volume_id": filled})
    answer = scene.client.post(f"/volume/v3/backups/{backup_id}/restore", json={"restore": None})
    assert answer.status_code == 202
    scene.call("POST", f"/backups/{backup_id}/restore", 400, restore={})
    scene.call("DELETE", f"/backups/{backup_id}", 400)


def test_other_projects_know_nothing_of_it(scene, filled):
    backup_id = scene.backup(filled)
    other = Scene(scene.lab, "other")
    for method, path in (("GET", ""), ("DELETE", ""), ("PUT", ""), ("POST", "/restore")):
        body = {"restore": {}} if path else {"backup": {"name": "x"}} if method == "PUT" else {}
        other.call(method, f"/backups/{backup_id}{path}", 404, **body)
    assert other.call("GET", "/backups", 200) == {"backups": []}
    assert other.call("GET", "/backups?all_tenants=1", 200) == {"backups": []}
    other.begin(filled, 404)
    mine = other.volume(2)
    told = scene.call("POST", f"/backups/{backup_id}/restore", 404, restore={"volume_id": mine})
    assert mine in told["itemNotFound"]["message"]


def test_readers_read(scene, filled):
    backup_id = scene.backup(filled)
    reader = Scene(scene.lab, "reader")
    assert reader.show(backup_id)["id"] == backup_id
    reader.begin(filled, 403)
    reader.call("DELETE", f"/backups/{backup_id}", 403)
    reader.call("PUT", f"/backups/{backup_id}", 403, backup={"name": "x"})
    reader.call("POST", f"/backups/{backup_id}/restore", 403, restore={})
    for path, body in (("action", {"os-reset_status": {"status": "error"}}), ("action", {"os-force_delete": {}})):
        scene.call("POST", f"/backups/{backup_id}/{path}", 403, **body)
    scene.call("GET", f"/backups/{backup_id}/export_record", 403)
    scene.call("POST", "/backups/import_record", 403, **{"backup-record": {"backup_service": "x", "backup_url": "eA=="}})


def test_names_and_metadata_change(scene, filled):
    backup_id = scene.backup(filled, name="old", metadata={"k": "v"})
    changed = scene.call("PUT", f"/backups/{backup_id}", 200, backup={"name": " new ", "metadata": {"x": "y"}})
    assert changed["backup"]["name"] == "new"
    shown = scene.show(backup_id)
    assert (shown["metadata"], shown["description"]) == ({"x": "y"}, None)
    assert shown["updated_at"]
    scene.call("PUT", f"/backups/{UNKNOWN}", 404, backup={"name": "x"})
    scene.call("PUT", f"/backups/{backup_id}", 400, backup={"size": 3})


def test_lists(scene, filled):
    made = []
    for number in range(3):
        made.append(scene.backup(filled, name=f"b{number}"))
        scene.lab.settle(5)
    other = scene.volume()
    of_other = scene.backup(other, name="c")
    listed = scene.call("GET", "/backups", 200)["backups"]
    assert [backup["id"] for backup in listed] == [of_other, *reversed(made)]
    assert set(listed[0]) == {"id", "name", "links"}
    page = scene.call("GET", "/backups/detail?limit=2&sort=name:asc&with_count=True", 200)
    assert ([b["name"] for b in page["backups"]], page["count"]) == (["b0", "b1"], 4)
    following = page["backups_links"][0]["href"].partition("/volume/v3")[2]
    assert [b["name"] for b in scene.call("GET", following, 200)["backups"]] == ["b2", "c"]
    for query, names in (
        ("name=b1", ["b1"]),
        (f"volume_id={other}", ["c"]),
        ("status=error", []),
        ("name~=b", ["b2", "b1", "b0"]),
    ):
        assert [b["name"] for b in scene.call("GET", f"/backups?{query}", 200)["backups"]] == names, query
    scene.call("GET", "/backups?color=red", 400)
    scene.call("GET", "/backups?sort=color", 400)
    scene.call("GET", f"/backups?marker={UNKNOWN}", 404)
    old = scene.lab.client("demo", {"OpenStack-API-Version": "volume 3.30"})
    assert len(old.get("/volume/v3/backups?color=red").json()["backups"]) == 4
    assert old.get("/volume/v3/backups?sort=name").status_code == 400


def test_admins_list_those_of_all_projects(scene, filled):
    backup_id = scene.backup(filled)
    admin = Scene(scene.lab, "admin")
    assert admin.call("GET", "/backups", 200) == {"backups": []}
    listed = admin.call("GET", "/backups/detail?all_tenants=1", 200)["backups"]
    assert [(b["id"], b["os-backup-project-attr:project_id"]) for b in listed] == [(backup_id, "b" * 32)]
    assert admin.call("GET", f"/backups?all_tenants=1&project_id={RED}", 200) == {"backups": []}


def test_the_quota_is_held(scene, filled):
    admin = Scene(scene.lab, "admin")
    admin.call("PUT", f"/os-quota-sets/{'b' * 32}", 200, quota_set={"backups": 1})
    backup_id = scene.backup(filled)
    told = scene.begin(filled, 413)
    assert told["overLimit"]["message"] == "Maximum number of backups allowed (1) exceeded"
    scene.call("DELETE", f"/backups/{backup_id}", 202)
    scene.lab.settle()
    admin.call("PUT", f"/os-quota-sets/{'b' * 32}", 200, quota_set={"backup_gigabytes": 1})
    assert "Backup gigabytes" in scene.begin(filled, 413)["overLimit"]["message"]


def test_the_status_is_reset(scene, filled):
    backup_id = scene.backup(filled)
    admin = Scene(scene.lab, "admin")
    admin.call("POST", f"/backups/{backup_id}/action", 400, **{"os-reset_status": {"status": "restoring"}})
    admin.call("POST", f"/backups/{backup_id}/action", 202, **{"os-reset_status": {"status": "ERROR"}})
    scene.lab.settle()
    assert scene.show(backup_id)["status"] == "error"
    scene.call("POST", f"/backups/{backup_id}/restore", 400, restore={})
    admin.call("POST", f"/backups/{backup_id}/action", 202, **{"os-reset_status": {"status": "available"}})
    scene.lab.settle()
    assert scene.same(filled, scene.restore(backup_id))


def test_a_reset_lets_go_of_the_volume(scene, filled):
    made = scene.begin(filled)
    admin = Scene(scene.lab, "admin")
    told = admin.call("POST", f"/backups/{made}/action", 400, **{"os-reset_status": {"status": "available"}})
    assert "never finished" in told["badRequest"]["message"]
    admin.call("POST", f"/backups/{made}/action", 202, **{"os-reset_status": {"status": "error"}})
    scene.lab.settle()
    assert (scene.show(made)["status"], scene.status(filled)) == ("error", "available")


def test_a_forced_deletion_ends_what_is_under_way(scene, filled):
    made = scene.begin(filled)
    scene.call("DELETE", f"/backups/{made}", 400)
    Scene(scene.lab, "admin").call("POST", f"/backups/{made}/action", 202, **{"os-force_delete": {}})
    scene.lab.settle()
    scene.call("GET", f"/backups/{made}", 404)
    assert scene.status(filled) == "available"
    backup_id = scene.backup(filled)
    other = scene.volume(2)
    scene.call("POST", f"/backups/{backup_id}/restore", 202, restore={"volume_id": other})
    Scene(scene.lab, "admin").call("POST", f"/backups/{backup_id}/action", 202, **{"os-force_delete": {}})
    scene.lab.settle()
    assert scene.status(other) == "error_restoring"


def test_deleting_one_that_failed_leaves_another_at_work(scene, filled):
    scene.break_target(at=1, error=TargetFull("full"))
    failed = scene.begin(filled)
    scene.lab.settle()
    scene.mend()
    assert scene.show(failed)["status"] == "error"
    made = scene.begin(filled)
    scene.call("DELETE", f"/backups/{failed}", 202)
    while tasks_of(scene, failed):
        scene.lab.worker.run(*next(leased for leased in scene.lab.worker.lease(10) if failed in leased[0]))
    assert scene.status(filled) == "backing-up"
    scene.lab.settle(200)
    assert (scene.show(made)["status"], scene.status(filled)) == ("available", "available")


def tasks_of(scene, backup_id):
    with scene.lab.cloud.db.read() as tx:
        return tx.execute(select(tasks.tasks.c.id).where(tasks.tasks.c.id == f"backup-{backup_id}")).scalars().all()


def test_a_backup_outlives_its_volume(scene, filled):
    backup_id = scene.backup(filled)
    first = scene.read(filled, 0, 65536)
    scene.call("DELETE", f"/volumes/{filled}", 202)
    scene.lab.settle()
    assert scene.read(scene.restore(backup_id), 0, 65536) == first


def test_with_the_project_in_the_path(scene, filled):
    backup_id = scene.backup(filled)
    answer = scene.lab.client("demo", LATEST).get(f"/volume/v3/{'b' * 32}/backups/{backup_id}").json()["backup"]
    assert answer["links"][0]["href"].endswith(f"/v3/{'b' * 32}/backups/{backup_id}")
