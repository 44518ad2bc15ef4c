"""What damage, absence and sudden death do to backups: nothing stays stuck, nothing is half, and the reason is told."""

import shutil

import pytest

from pileus.volume.backup_target import TargetFull
from tests.conftest import make_lab
from tests.volume.backup_scene import GIB, MIB, Flaky, Killed, Scene, noise, refusal

PLACES = (0, 17 * MIB, 40 * MIB, GIB + 3 * MIB, 2 * GIB + MIB)


@pytest.fixture
def scene(lab):
    return Scene(lab)


@pytest.fixture
def filled(scene):
    volume_id = scene.volume(3)
    for offset in PLACES:
        scene.write(volume_id, offset, noise(65536))
    return volume_id


def restart(scene):
    """What a start after a kill does: all leases are dropped."""
    scene.lab.clock.advance(200)
    scene.lab.settle()


def killed(scene):
    """Run what is due until the process dies."""
    with pytest.raises(Killed):
        scene.lab.settle()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 10))
def test_killed_at_each_write_of_a_backup(scene, filled, at, after):
    scene.break_target(at=at, after=after)
    made = scene.begin(filled)
    killed(scene)
    assert scene.show(made)["status"] == "creating"
    scene.mend()
    restart(scene)
    assert scene.show(made)["status"] == "available"
    assert scene.status(filled) == "available"
    assert scene.show(made)["object_count"] == len(scene.objects(made))
    assert scene.same(filled, scene.restore(made))


def test_there_are_no_more_writes_than_that(scene, filled):
    flaky = scene.break_target()
    scene.backup(filled)
    assert flaky.calls == 9


class DyingContent:
    """Content that dies at the n-th write."""

    def __init__(self, inner, fuse):
        self._inner, self._fuse = inner, fuse

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def write(self, offset, data):
        self._fuse()
        self._inner.write(offset, data)


def die_at_write(scene, monkeypatch, volume_id, at, error):
    """Have the n-th write to a volume end in an error."""
    backend = scene.backend(volume_id)
    opened, calls = backend.open, [0]

    def fuse():
        calls[0] += 1
        if calls[0] == at:
            raise error

    monkeypatch.setattr(backend, "open", lambda *args, **how: DyingContent(opened(*args, **how), fuse))


@pytest.mark.parametrize("at", range(1, 6))
def test_killed_at_each_write_of_a_restore(scene, filled, monkeypatch, at):
    backup_id = scene.backup(filled)
    other = scene.volume(3)
    scene.write(other, 5 * MIB, noise(MIB))
    die_at_write(scene, monkeypatch, other, at, Killed("killed"))
    scene.call("POST", f"/backups/{backup_id}/restore", 202, restore={"volume_id": other})
    killed(scene)
    assert (scene.status(other), scene.show(backup_id)["status"]) == ("restoring-backup", "restoring")
    restart(scene)
    assert (scene.status(other), scene.show(backup_id)["status"]) == ("available", "available")
    assert scene.same(filled, other)


@pytest.mark.parametrize("at", range(1, 5))
def test_killed_at_each_deletion(scene, filled, at):
    backup_id = scene.backup(filled)
    scene.break_target(at=at, method="delete")
    scene.call("DELETE", f"/backups/{backup_id}", 202)
    killed(scene)
    scene.mend()
    restart(scene)
    scene.call("GET", f"/backups/{backup_id}", 404)
    assert list(scene.target.list("volumebackups", f"volume_{filled}")) == []


def test_a_volume_whose_restore_broke_off_says_so(scene, filled, monkeypatch):
    backup_id = scene.backup(filled)
    other = scene.volume(3)
    from pileus.volume.driver import VolumeDriverError

    die_at_write(scene, monkeypatch, other, 2, VolumeDriverError("the disk is on fire"))
    scene.restore(backup_id, other)
    assert scene.status(other) == "error_restoring"
    shown = scene.show(backup_id)
    assert (shown["status"], shown["fail_reason"]) == ("available", "the disk is on fire")
    assert scene.messages(backup_id) == ["VOLUME_VOLUME_BACKUP_015_026"]
    monkeypatch.undo()
    scene.call("DELETE", f"/volumes/{other}", 202)


def damage(scene, backup_id, part, change):
    """Change an object of a backup; part is in its name."""
    name = next(name for name in scene.objects(backup_id) if part in name)
    data = change(scene.target.get("volumebackups", name))
    if data is None:
        scene.target.delete("volumebackups", name)
    else:
        scene.target.put("volumebackups", name, data)
    return name


def flip(at):
    def change(data):
        changed = bytearray(data)
        changed[at] ^= 1
        return bytes(changed)

    return change


DAMAGES = {
    "a flipped byte in a segment": ("segment-0000000001", flip(5000)),
    "a flipped byte in the last segment": ("segment-0000000128", flip(-1)),
    "a flipped byte in a segment's head": ("segment-0000000000", flip(12)),
    "a segment cut short": ("segment-0000000001", lambda data: data[:-100]),
    "an empty segment": ("segment-0000000001", lambda data: b""),
    "a missing segment": ("segment-0000000002", lambda data: None),
    "a flipped byte in an index": ("index-00000001", flip(100)),
    "an index cut short": ("index-00000000", lambda data: data[:-1]),
    "a missing index": ("index-00000002", lambda data: None),
    "a flipped byte in the manifest": ("manifest", flip(10)),
    "a missing manifest": ("manifest", lambda data: None),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_found_before_anything_is_written(scene, filled, kind):
    backup_id = scene.backup(filled)
    name = damage(scene, backup_id, *DAMAGES[kind])
    other = scene.volume(3)
    scene.write(other, 0, b"precious")
    used = scene.backend(other).observe(other).used_bytes
    scene.restore(backup_id, other)
    scene.settle_late()
    assert scene.status(other) == "available"
    assert scene.read(other, 0, 8) == b"precious"
    assert scene.backend(other).observe(other).used_bytes == used
    shown = scene.show(backup_id)
    assert shown["status"] == "available"
    told = shown["fail_reason"]
    assert name in told or "is not the one that was stored" in told
    assert any(word in told for word in ("damaged", "missing", "stored"))
    assert scene.messages(backup_id) == ["VOLUME_VOLUME_BACKUP_015_026"]


def test_a_new_volume_is_not_usable_when_there_is_damage(scene, filled):
    backup_id = scene.backup(filled)
    damage(scene, backup_id, *DAMAGES["a flipped byte in the last segment"])
    restored = scene.restore(backup_id)
    assert scene.status(restored) == "error"
    assert scene.show(backup_id)["status"] == "available"


def test_segments_of_other_places_are_not_taken(scene, filled):
    backup_id = scene.backup(filled)
    one, other = (n for n in scene.objects(backup_id) if n.endswith(("segment-0000000001", "segment-0000000002")))
    scene.target.put("volumebackups", one, scene.target.get("volumebackups", other))
    assert scene.status(scene.restore(backup_id)) == "error"


def test_parents_whose_content_is_gone(scene, filled):
    full = scene.backup(filled)
    scene.lab.settle(5)
    scene.write(filled, 0, noise(65536))
    child = scene.backup(filled, incremental=True)
    name = damage(scene, full, "segment-0000000001", lambda data: None)
    restored = scene.restore(child)
    assert scene.status(restored) == "error"
    assert name in scene.show(child)["fail_reason"]
    damage(scene, child, "manifest", lambda data: None)
    scene.lab.settle(5)
    third = scene.begin(filled, incremental=True)
    scene.settle_late()
    shown = scene.show(third)
    assert shown["status"] == "error"
    assert "manifest is missing" in shown["fail_reason"]
    assert scene.status(filled) == "available"


def test_a_target_that_is_away_for_a_while(scene, filled):
    scene.break_target(at=3, error=refusal(), times=2)
    made = scene.begin(filled)
    scene.settle_late()
    assert scene.show(made)["status"] == "available"
    assert scene.same(filled, scene.restore(made))


@pytest.mark.parametrize("error", [refusal("it is away"), TargetFull("it is full")])
def test_a_target_that_does_not_come_back(scene, filled, error):
    scene.break_target(at=3, error=error, times=10**6)
    made = scene.begin(filled)
    scene.settle_late()
    shown = scene.show(made)
    assert (shown["status"], shown["fail_reason"]) == ("error", str(error))
    assert scene.status(filled) == "available"
    assert scene.messages(made) == ["VOLUME_VOLUME_BACKUP_013_020"]
    scene.mend()
    assert scene.objects(made) == []
    scene.call("DELETE", f"/backups/{made}", 202)
    scene.lab.settle()
    scene.call("GET", f"/backups/{made}", 404)


def test_a_volume_that_cannot_be_read(scene, filled):
    scene.backend(filled).fail("open", filled, "no such disk", times=None)
    made = scene.begin(filled)
    scene.lab.settle()
    assert (scene.show(made)["status"], scene.show(made)["fail_reason"]) == ("error", "no such disk")
    assert scene.status(filled) == "available"


def test_a_target_that_does_not_delete(scene, filled):
    backup_id = scene.backup(filled)
    scene.break_target(at=1, method="delete", error=refusal("no"), times=10**6)
    scene.call("DELETE", f"/backups/{backup_id}", 202)
    scene.settle_late()
    shown = scene.show(backup_id)
    assert (shown["status"], shown["fail_reason"]) == ("error_deleting", "no")
    assert scene.messages(backup_id) == ["VOLUME_VOLUME_BACKUP_014_025"]
    scene.mend()
    Scene(scene.lab, "admin").call("POST", f"/backups/{backup_id}/action", 202, **{"os-force_delete": {}})
    scene.lab.settle()
    scene.call("GET", f"/backups/{backup_id}", 404)


def test_what_takes_too_long_is_given_up(scene, filled):
    scene.break_target(at=1, error=ConnectionError("hangs"), times=10**6)
    made = scene.begin(filled)
    scene.lab.settle()
    for _ in range(60):
        scene.lab.settle(60)
    assert scene.show(made)["status"] == "error"
    assert scene.status(filled) == "available"


def test_a_new_volume_that_cannot_be_made(scene, filled):
    backup_id = scene.backup(filled)
    for backend in (scene.lab.volumes, scene.lab.cloud.bus.host("host1@more", "volume")):
        backend.fail("ensure", None, "no", times=None)
    restored = scene.restore(backup_id)
    assert (scene.status(restored), scene.show(backup_id)["status"]) == ("error", "available")


def test_a_new_volume_that_is_deleted_meanwhile(scene, filled):
    backup_id = scene.backup(filled)
    answer = scene.call("POST", f"/backups/{backup_id}/restore", 202, restore={})["restore"]
    admin = Scene(scene.lab, "admin")
    admin.call("POST", f"/volumes/{answer['volume_id']}/action", 202, **{"os-force_delete": {}})
    scene.lab.settle()
    scene.settle_late()
    assert scene.show(backup_id)["status"] == "available"
    scene.call("GET", f"/volumes/{answer['volume_id']}", 404)


def test_a_volume_that_is_full_while_it_is_restored(scene, filled):
    backup_id = scene.backup(filled)
    other = scene.volume(3)
    backend = scene.backend(other)
    backend.room_bytes = backend._used_bytes() + 65536
    scene.restore(backup_id, other)
    assert scene.status(other) == "error_restoring"
    assert "No space left" in scene.show(backup_id)["fail_reason"]


def test_steps_bear_repetition(template_state, tmp_path):
    state_dir = tmp_path / "state"
    shutil.copytree(template_state, state_dir)
    lab = make_lab(state_dir, repeats=2)
    try:
        scene = Scene(lab)
        volume_id = scene.volume(2)
        scene.write(volume_id, 3 * MIB, noise(65536))
        full = scene.backup(volume_id)
        lab.settle(5)
        scene.write(volume_id, GIB, noise(65536))
        child = scene.backup(volume_id, incremental=True)
        assert scene.same(volume_id, scene.restore(child))
        assert scene.same(volume_id, scene.restore(child, scene.volume(2)))
        for backup_id in (child, full):
            scene.call("DELETE", f"/backups/{backup_id}", 202)
            lab.settle()
            scene.call("GET", f"/backups/{backup_id}", 404)
    finally:
        lab.app.close()
        lab.cloud.db.dispose()


def test_a_flaky_target_is_only_as_flaky_as_told(scene):
    flaky = Flaky(scene.target, at=2, error=refusal())
    flaky.put("c", "a/b", b"1")
    with pytest.raises(Exception, match="away"):
        flaky.put("c", "a/b", b"2")
    assert flaky.get("c", "a/b") == b"1"
