"""Records of backups: exported, changed, imported again, here or elsewhere."""

import base64
import json
import shutil

import pytest

from pileus.volume.backup_targets.files import FileTarget
from tests.conftest import make_lab
from tests.volume.backup_scene import MIB, Scene, noise

NEW = "99999999-2222-4333-8444-555555555555"


@pytest.fixture
def scene(lab):
    return Scene(lab)


@pytest.fixture
def admin(lab):
    return Scene(lab, "admin")


@pytest.fixture
def filled(scene):
    volume_id = scene.volume(1, name="data", metadata={"a": "1"})
    scene.write(volume_id, 3 * MIB, noise(65536))
    return volume_id


def export(admin, backup_id) -> dict:
    record = admin.call("GET", f"/backups/{backup_id}/export_record", 200)["backup-record"]
    assert record["backup_service"].startswith("cinder.backup.drivers")
    return record


def changed(record, **changes) -> dict:
    """The record with other fields; None leaves one out."""
    fields = {**json.loads(base64.b64decode(record["backup_url"])), **changes}
    fields = {name: value for name, value in fields.items() if value is not None}
    return {**record, "backup_url": base64.b64encode(json.dumps(fields).encode()).decode()}


def take(admin, record, status=201):
    answer = admin.call("POST", "/backups/import_record", status, **{"backup-record": record})
    admin.lab.settle()
    return answer["backup"]["id"] if status == 201 else answer


def test_a_record_is_what_cinder_calls_one(scene, admin, filled):
    backup_id = scene.backup(filled, name="b")
    fields = json.loads(base64.b64decode(export(admin, backup_id)["backup_url"]))
    shown = scene.show(backup_id)
    assert fields["id"] == backup_id
    assert (fields["display_name"], fields["size"], fields["volume_id"]) == ("b", 1, filled)
    assert (fields["container"], fields["object_count"]) == (shown["container"], shown["object_count"])
    assert fields["service_metadata"].startswith(f"volume_{filled}/")


def test_the_same_content_under_two_records(scene, admin, filled):
    backup_id = scene.backup(filled)
    assert take(admin, changed(export(admin, backup_id), id=NEW)) == NEW
    assert admin.show(NEW)["status"] == "available"
    assert scene.same(filled, scene.restore(backup_id))
    assert admin.same(filled, admin.restore(NEW))
    admin.call("DELETE", f"/backups/{NEW}", 202)
    scene.lab.settle()
    admin.call("GET", f"/backups/{NEW}", 404)
    assert scene.same(filled, scene.restore(backup_id))
    names = scene.objects(backup_id)
    scene.call("DELETE", f"/backups/{backup_id}", 202)
    scene.lab.settle()
    assert not set(names) & set(scene.target.list("volumebackups", f"volume_{filled}"))


def test_a_backup_comes_back_after_its_row_was_lost(scene, admin, filled):
    full = scene.backup(filled)
    scene.lab.settle(5)
    scene.write(filled, 0, noise(65536))
    child = scene.backup(filled, incremental=True)
    records = [export(admin, backup_id) for backup_id in (child, full)]
    with scene.lab.cloud.db.begin() as tx:
        from pileus.volume.store import backups

        backups.remove(tx, child)
        backups.remove(tx, full)
    for record in records:
        take(admin, record)
    assert admin.show(child)["is_incremental"] is True
    assert admin.show(full)["has_dependent_backups"] is True
    assert admin.same(filled, admin.restore(child))
    admin.call("DELETE", f"/backups/{full}", 400)


def test_another_cloud_restores_it(scene, admin, filled, template_state, tmp_path):
    backup_id = scene.backup(filled)
    record = export(admin, backup_id)
    shutil.copytree(template_state, tmp_path / "elsewhere")
    lab = make_lab(tmp_path / "elsewhere", volume_backup_dir=scene.lab.cloud.settings.state_dir + "/backups")
    try:
        there = Scene(lab, "admin")
        take(there, record)
        restored = there.restore(backup_id)
        volume = there.call("GET", f"/volumes/{restored}", 200)["volume"]
        assert (volume["status"], volume["name"], volume["metadata"]["a"]) == ("available", "data", "1")
        assert there.read(restored, 3 * MIB, 65536) == scene.read(filled, 3 * MIB, 65536)
    finally:
        lab.app.close()
        lab.cloud.db.dispose()


def test_there_is_that_backup_already(scene, admin, filled):
    record = export(admin, scene.backup(filled))
    told = take(admin, record, 400)
    assert told["badRequest"]["message"] == "Invalid backup: Backup already exists in database."


def test_only_what_is_finished_has_a_record(scene, admin, filled):
    backup_id = scene.begin(filled)
    told = admin.call("GET", f"/backups/{backup_id}/export_record", 400)
    assert told["badRequest"]["message"] == "Invalid backup: Backup status must be available and not creating."


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": "nonsense"},
        {"id": "a" * 32},
        {"id": 5},
        {"size": None},
        {"size": 0},
        {"size": -1},
        {"size": 2**40},
        {"size": "large"},
        {"container": "../x"},
        {"container": ".."},
        {"container": ""},
        {"container": None},
        {"service_metadata": "../../etc"},
        {"service_metadata": "/etc"},
        {"service_metadata": "a//b"},
        {"service_metadata": "x" * 300},
        {"service_metadata": None},
        {"driver_info": None},
        {"driver_info": {"digest": "short"}},
        {"driver_info": "x"},
        {"volume_id": "nonsense"},
        {"parent_id": "nonsense"},
        {"object_count": -5},
        {"display_name": "x" * 256},
        {"data_timestamp": "yesterday"},
        {"encryption_key_id": "11111111-2222-4333-8444-555555555555"},
    ],
)
def test_records_that_make_no_sense(scene, admin, filled, changes):
    record = changed(export(admin, scene.backup(filled)), **{"id": NEW, **changes})
    take(admin, record, 400)
    admin.call("GET", f"/backups/{NEW}", 404)


@pytest.mark.parametrize("url", ["", "%%%", "bm9uc2Vuc2U=", base64.b64encode(b"[]").decode(), base64.b64encode(b"7").decode()])
def test_what_is_no_record(scene, admin, url):
    take(admin, {"backup_service": "cinder.backup.drivers.pileus.files", "backup_url": url}, 400)


def test_records_of_another_target_or_of_what_is_gone(scene, admin, filled):
    backup_id = scene.backup(filled)
    record = changed(export(admin, backup_id), id=NEW)
    take(admin, {**record, "backup_service": "cinder.backup.drivers.swift.SwiftBackupDriver"})
    shown = admin.show(NEW)
    assert shown["status"] == "error"
    assert "cinder.backup.drivers.swift.SwiftBackupDriver" in shown["fail_reason"]
    admin.call("DELETE", f"/backups/{NEW}", 202)
    scene.lab.settle()
    admin.call("GET", f"/backups/{NEW}", 404)
    take(admin, changed(record, service_metadata="nowhere/at_all"))
    assert (admin.show(NEW)["status"], "missing" in admin.show(NEW)["fail_reason"]) == ("error", True)
    admin.call("POST", f"/backups/{NEW}/restore", 400, restore={})
    admin.call("DELETE", f"/backups/{NEW}", 202)
    scene.lab.settle()
    admin.call("GET", f"/backups/{NEW}", 404)
    take(admin, changed(record, driver_info={"digest": "0" * 64}))
    assert "damaged" in admin.show(NEW)["fail_reason"]
    with scene.lab.cloud.db.begin() as tx:
        from pileus.volume.store import backups

        row = backups.get(tx, backup_id)
        backups.remove(tx, backup_id)
    admin.call("DELETE", f"/backups/{NEW}", 202)
    scene.lab.settle()
    with scene.lab.cloud.db.begin() as tx:
        backups.add(tx, **row._mapping)
    assert scene.same(filled, scene.restore(backup_id))


def test_importing_counts_against_the_quota(scene, admin, filled):
    record = changed(export(admin, scene.backup(filled)), id=NEW)
    project_id = "a" * 31 + "0"
    admin.call("PUT", f"/os-quota-sets/{project_id}", 200, quota_set={"backups": 0})
    take(admin, record, 413)


def test_a_record_leads_out_of_no_directory(tmp_path):
    from pileus.volume.backup_target import TargetError

    (tmp_path / "secret").write_text("x")
    with pytest.raises(TargetError):
        FileTarget(tmp_path / "backups").get("..", "../secret")
