"""What every target for backups must show: a directory, this cloud's own object store, and one over HTTP."""

import threading

import pytest

from pileus.kernel.settings import Settings
from pileus.volume.backup_target import ObjectMissing, TargetError
from pileus.volume.backup_targets import Targets, build
from pileus.volume.backup_targets.files import FileTarget
from pileus.volume.backup_targets.own import OwnTarget
from pileus.volume.backup_targets.swift import SwiftTarget
from tests.conftest import make_lab
from tests.volume.backup_scene import MIB, Scene, noise


@pytest.fixture(params=["files", "own", "swift", "keystone"])
def target(request, lab, tmp_path):
    if request.param == "files":
        return FileTarget(tmp_path / "backups")
    if request.param == "own":
        return OwnTarget(lab.cloud)
    address = request.getfixturevalue("gateway").address
    if request.param == "swift":
        return SwiftTarget(f"http://a%3Ab:s%2Fcret@{address}/auth/v1.0")
    return SwiftTarget(f"http://a%3Ab:s%2Fcret@{address}/identity/v3?project=p&region=Y")


def test_what_is_put_is_there(target):
    data = noise(3 * MIB)
    target.put("box", "volume_1/a/one", data)
    target.put("box", "volume_1/a/two", b"")
    assert target.get("box", "volume_1/a/one") == data
    assert target.get("box", "volume_1/a/two") == b""


def test_putting_again_replaces(target):
    target.put("box", "a/b", b"old")
    target.put("box", "a/b", b"new")
    assert target.get("box", "a/b") == b"new"
    assert list(target.list("box", "a")) == ["a/b"]


def test_what_is_not_there(target):
    with pytest.raises(ObjectMissing):
        target.get("box", "a/b")
    target.put("box", "a/b", b"1")
    for container, name in (("box", "a/c"), ("box", "a"), ("other", "a/b"), ("box", "a/b/c")):
        with pytest.raises(ObjectMissing):
            target.get(container, name)
        target.delete(container, name)
    assert target.get("box", "a/b") == b"1"
    assert list(target.list("other", "a")) == []
    assert list(target.list("box", "zzz")) == []


def test_lists_are_of_a_folder_and_in_order(target):
    for name in ("a/index-2", "a/index-1", "ab/x", "b/y", "a/sub/z"):
        target.put("box", name, b"1")
    assert list(target.list("box", "a")) == ["a/index-1", "a/index-2", "a/sub/z"]


def test_what_is_deleted_is_gone(target):
    target.put("box", "a/b", b"1")
    target.put("box", "a/c", b"1")
    target.delete("box", "a/b")
    target.delete("box", "a/b")
    assert list(target.list("box", "a")) == ["a/c"]
    target.delete("box", "a/c")
    assert list(target.list("box", "a")) == []
    target.put("box", "a/c", b"2")
    assert target.get("box", "a/c") == b"2"


@pytest.mark.parametrize("container", ["Größe & co", "...", "a?b#c", "x" * 200])
def test_containers_may_be_called_anything(target, container):
    target.put(container, "a/b", b"1")
    assert target.get(container, "a/b") == b"1"
    assert list(target.list(container, "a")) == ["a/b"]


@pytest.mark.parametrize("name", ["", "/", "../x", "a/../b", "a//b", "/a", "a/", ".hidden", "a/.part-1", "a\nb", "a\0b"])
def test_names_stay_in_their_place(target, name):
    for call in (
        lambda: target.put("box", name, b"1"),
        lambda: target.get("box", name),
        lambda: target.delete("box", name),
        lambda: list(target.list("box", name)),
    ):
        with pytest.raises(TargetError):
            call()


def test_many_at_once(target):
    threads = [threading.Thread(target=target.put, args=("box", f"a/{n}", bytes([n]) * 1000)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(target.list("box", "a"))) == 12
    assert target.get("box", "a/7") == b"\x07" * 1000


def test_a_target_carries_backups(target, lab):
    scene = Scene(lab)
    scene.use(target)
    volume_id = scene.volume(1)
    scene.write(volume_id, 3 * MIB, noise(65536))
    backup_id = scene.backup(volume_id, container="mine")
    assert scene.show(backup_id)["container"] == "mine"
    assert scene.same(volume_id, scene.restore(backup_id))
    scene.call("DELETE", f"/backups/{backup_id}", 202)
    lab.settle()
    assert list(target.list("mine", f"volume_{volume_id}")) == []


# ---- files


def test_files_are_for_nobody_else(tmp_path):
    FileTarget(tmp_path / "backups").put("box", "a/b", b"1")
    found = list((tmp_path / "backups").rglob("*"))
    assert found
    assert all(path.stat().st_mode & 0o077 == 0 for path in found)


def test_what_a_death_left_is_no_object(tmp_path):
    target = FileTarget(tmp_path)
    target.put("box", "a/b", b"1")
    (tmp_path / "c-box" / "a" / ".part-123").write_bytes(b"half")
    assert list(target.list("box", "a")) == ["a/b"]
    target.delete("box", "a/b")
    assert not (tmp_path / "c-box" / "a").exists()


def test_a_directory_that_is_none(tmp_path):
    (tmp_path / "file").write_text("x")
    target = FileTarget(tmp_path / "file")
    with pytest.raises(TargetError):
        target.put("box", "a/b", b"1")


# ---- over HTTP


def test_a_token_that_ran_out_is_replaced(gateway):
    target = SwiftTarget(f"http://a%3Ab:s%2Fcret@{gateway.address}/auth/v1.0")
    target.put("box", "a/b", b"1")
    gateway.refuse_once = True
    assert target.get("box", "a/b") == b"1"
    assert gateway.logins == 2


@pytest.mark.parametrize("path", ["/auth/v1.0", "/identity/v3?project=p"])
def test_a_wrong_password_says_so_and_not_which(gateway, path):
    with pytest.raises(TargetError, match="does not let a in: 401") as told:
        SwiftTarget(f"http://a:wrong-key@{gateway.address}{path}").put("box", "a/b", b"1")
    assert "wrong-key" not in str(told.value)


def test_nobody_there(gateway):
    gateway.close()
    with pytest.raises(TargetError, match="does not answer"):
        SwiftTarget(f"http://a:b@{gateway.address}/auth/v1.0").get("box", "a/b")


@pytest.mark.parametrize("url", ["ftp://a:b@h/auth/v1.0", "https://host/auth/v1.0", "nonsense", "https://a@h/v3"])
def test_urls_that_are_none(url):
    with pytest.raises(TargetError, match="is not of the form"):
        SwiftTarget(url)


# ---- settings


def test_settings_choose(lab, tmp_path, template_state):
    assert isinstance(lab.cloud.part(Targets).get(lab.cloud), FileTarget)
    assert Settings().volume_backup_url == ""
    made = make_lab(tmp_path / "state", volume_backup_dir=str(tmp_path / "elsewhere"))
    build(made.cloud).put("box", "a", b"1")
    assert (tmp_path / "elsewhere" / "c-box" / "a").read_bytes() == b"1"
    assert isinstance(build(make_lab(tmp_path / "state", volume_backup_url="swift").cloud), OwnTarget)
    assert isinstance(build(make_lab(tmp_path / "state", volume_backup_url="https://a:b@h/auth/v1.0").cloud), SwiftTarget)


def test_users_cannot_reach_what_lies_in_the_own_store(lab):
    OwnTarget(lab.cloud).put("box", "a/b", b"1")
    for persona in ("demo", "other", "reader"):
        answer = lab.client(persona).get("/object-store/v1/AUTH_volume-backups/box/a/b")
        assert answer.status_code == 403
