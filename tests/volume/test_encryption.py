"""Encrypted volumes: their keys, who is told of them, and what is left when they are gone."""

import logging
import subprocess
from dataclasses import replace

import pytest

from pileus.kernel.bus import LocalBus
from pileus.volume.keys import KeyLost, VolumeKeys
from pileus.volume.store import keys as store
from pileus.volume.store import volumes
from pileus.volume.tasks import keys
from tests.volume.backup_scene import MIB, Scene, noise

SPECS = {"provider": "luks", "cipher": "aes-xts-plain64", "key_size": 256, "control_location": "front-end"}


def secret_type(scene, name="secret") -> str:
    admin = Scene(scene.lab, "admin")
    made = admin.call("POST", "/types", 200, volume_type={"name": name})["volume_type"]["id"]
    admin.call("POST", f"/types/{made}/encryption", 200, encryption=SPECS)
    return made


@pytest.fixture
def scene(lab):
    made = Scene(lab)
    secret_type(made)
    return made


def row(scene, volume_id):
    with scene.lab.cloud.db.read() as tx:
        return volumes.get(tx, volume_id)


def key_of(scene, key_id) -> str:
    with scene.lab.cloud.db.read() as tx:
        return keys.reveal(tx, scene.lab.cloud, key_id)


def is_kept(scene, key_id) -> bool:
    with scene.lab.cloud.db.read() as tx:
        return store.get(tx, key_id) is not None


def test_what_is_told_of_an_encrypted_volume(scene):
    volume_id = scene.volume(1, volume_type="secret")
    shown = scene.call("GET", f"/volumes/{volume_id}", 200)["volume"]
    assert shown["encrypted"] is True
    found = scene.call("GET", f"/volumes/{volume_id}/encryption", 200)
    assert found == {**SPECS, "encryption_key_id": shown["encryption_key_id"]}
    assert scene.client.get(f"/volume/v3/volumes/{volume_id}/encryption/cipher").json() == "aes-xts-plain64"
    scene.call("GET", f"/volumes/{volume_id}/encryption/color", 404)
    assert Scene(scene.lab, "reader").call("GET", f"/volumes/{volume_id}/encryption", 200) == found
    Scene(scene.lab, "other").call("GET", f"/volumes/{volume_id}/encryption", 404)
    Scene(scene.lab, "nobody").call("GET", f"/volumes/{volume_id}/encryption", 403)


def test_what_is_told_of_a_plain_volume(scene):
    volume_id = scene.volume()
    assert scene.call("GET", f"/volumes/{volume_id}", 200)["volume"]["encrypted"] is False
    assert scene.call("GET", f"/volumes/{volume_id}/encryption", 200) == {"encryption_key_id": None}


def test_every_volume_has_a_key_of_its_own_and_full_strength(scene):
    one, other = (row(scene, scene.volume(1, volume_type="secret")).encryption_key_id for _ in range(2))
    assert one != other
    assert len(bytes.fromhex(key_of(scene, one))) == 32
    assert key_of(scene, one) != key_of(scene, other)


def test_a_key_is_nowhere_in_the_open(scene, caplog):
    caplog.set_level(logging.DEBUG)
    volume_id = scene.volume(1, volume_type="secret")
    key = key_of(scene, row(scene, volume_id).encryption_key_id)
    backup_id = scene.backup(volume_id)
    record = Scene(scene.lab, "admin").client.get(f"/volume/v3/backups/{backup_id}/export_record").text
    assert key not in record
    assert key not in caplog.text
    state_dir = scene.lab.cloud.settings.state_dir
    found = subprocess.run(["grep", "-rlF", key, state_dir], capture_output=True, text=True, timeout=60, check=False)
    assert found.stdout == ""
    for path in ("", "/encryption", "/encryption/encryption_key_id"):
        assert key not in scene.client.get(f"/volume/v3/volumes/{volume_id}{path}").text


def test_key_files_are_for_nobody_else(scene):
    from pathlib import Path

    scene.volume(1, volume_type="secret")
    directory = Path(scene.lab.cloud.settings.state_dir) / "volume-keys"
    assert directory.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in directory.iterdir())


def test_other_key_files_open_nothing(scene, tmp_path):
    key_id = row(scene, scene.volume(1, volume_type="secret")).encryption_key_id
    elsewhere = replace(scene.lab.cloud, parts={**scene.lab.cloud.parts, VolumeKeys: VolumeKeys(tmp_path)})
    with scene.lab.cloud.db.read() as tx, pytest.raises(KeyLost, match="other key files"):
        keys.reveal(tx, elsewhere, key_id)


def test_copies_keep_the_key_and_have_it_for_themselves(scene):
    volume_id = scene.volume(1, volume_type="secret")
    key_id = row(scene, volume_id).encryption_key_id
    snapshot_id = scene.call("POST", "/snapshots", 202, snapshot={"volume_id": volume_id})["snapshot"]["id"]
    scene.lab.settle()
    of_snapshot = row(scene, scene.volume(1, snapshot_id=snapshot_id)).encryption_key_id
    of_volume = row(scene, scene.volume(1, source_volid=volume_id)).encryption_key_id
    assert len({key_id, of_snapshot, of_volume}) == 3
    assert key_of(scene, of_snapshot) == key_of(scene, of_volume) == key_of(scene, key_id)
    scene.call("DELETE", f"/snapshots/{snapshot_id}", 202)
    scene.lab.settle()
    scene.call("DELETE", f"/volumes/{volume_id}", 202)
    scene.lab.settle()
    assert not is_kept(scene, key_id)
    assert key_of(scene, of_snapshot)


def test_deleting_shreds(scene):
    volume_id = scene.volume(1, volume_type="secret")
    key_id = row(scene, volume_id).encryption_key_id
    snapshot_id = scene.call("POST", "/snapshots", 202, snapshot={"volume_id": volume_id})["snapshot"]["id"]
    scene.lab.settle()
    backup_id = scene.backup(volume_id)
    scene.call("DELETE", f"/backups/{backup_id}", 202)
    scene.call("DELETE", f"/volumes/{volume_id}?cascade=true", 202)
    scene.lab.settle()
    assert not is_kept(scene, key_id)
    from sqlalchemy import func, select

    from pileus.volume.tables.volumes import volume_keys

    with scene.lab.cloud.db.read() as tx:
        assert tx.execute(select(func.count()).select_from(volume_keys)).scalar() == 0
    scene.call("GET", f"/snapshots/{snapshot_id}", 404)


def test_a_lost_key_is_told_and_nothing_is_made_without(scene):
    volume_id = scene.volume(1, volume_type="secret")
    with scene.lab.cloud.db.begin() as tx:
        keys.forget(tx, row(scene, volume_id).encryption_key_id)
    told = scene.begin(volume_id, 400)
    assert "is gone" in told["badRequest"]["message"]
    told = scene.call("POST", "/volumes", 400, volume={"size": 1, "source_volid": volume_id})
    assert "is gone" in told["badRequest"]["message"]


def test_backups_keep_the_key(scene):
    volume_id = scene.volume(1, volume_type="secret")
    scene.write(volume_id, 3 * MIB, noise(65536))
    key = key_of(scene, row(scene, volume_id).encryption_key_id)
    backup_id = scene.backup(volume_id)
    assert scene.show(backup_id)["encryption_key_id"] != row(scene, volume_id).encryption_key_id
    restored = scene.restore(backup_id)
    assert scene.status(restored) == "available"
    assert scene.call("GET", f"/volumes/{restored}", 200)["volume"]["volume_type"] == "secret"
    assert key_of(scene, row(scene, restored).encryption_key_id) == key
    assert scene.same(volume_id, restored)
    given = scene.volume(2, volume_type="secret")
    old = row(scene, given).encryption_key_id
    scene.restore(backup_id, given)
    assert key_of(scene, row(scene, given).encryption_key_id) == key
    assert not is_kept(scene, old)
    made = scene.volume(1, backup_id=backup_id, volume_type="secret")
    assert key_of(scene, row(scene, made).encryption_key_id) == key


def test_plain_and_encrypted_do_not_mix(scene):
    plain, encrypted = scene.volume(), scene.volume(1, volume_type="secret")
    of_plain, of_encrypted = scene.backup(plain), scene.backup(encrypted)
    for backup_id, volume_id in ((of_plain, encrypted), (of_encrypted, plain)):
        scene.call("POST", f"/backups/{backup_id}/restore", 400, restore={"volume_id": volume_id})
    scene.call("POST", "/volumes", 400, volume={"size": 1, "backup_id": of_plain, "volume_type": "secret"})
    scene.call("POST", "/volumes", 400, volume={"size": 1, "backup_id": of_encrypted})
    assert scene.status(plain) == scene.status(encrypted) == "available"


def test_the_back_end_is_given_the_key(scene, monkeypatch):
    given = []
    for backend in (scene.lab.volumes, scene.lab.cloud.bus.host("host1@more", "volume")):
        ensure = backend.ensure
        monkeypatch.setattr(backend, "ensure", lambda spec, ensure=ensure: (given.append(spec), ensure(spec)))
    volume_id = scene.volume(1, volume_type="secret")
    plain = scene.volume(1)
    specs = {spec.id: spec.luks_key for spec in given}
    assert specs == {volume_id: key_of(scene, row(scene, volume_id).encryption_key_id), plain: ""}


# ---- with real files


@pytest.fixture
def real(lab, tmp_path):
    """A lab whose only back end keeps files."""
    from pileus.volume.drivers.file import FileBackend

    backend = FileBackend(tmp_path / "volumes", tmp_path / "run", "host1")
    bus = LocalBus({"host1": lab.cloud.bus._hosts["host1"], "host1@fake": {"volume": backend}})
    object.__setattr__(lab.cloud, "bus", bus)
    made = Scene(lab)
    secret_type(made)
    yield made, tmp_path / "volumes"
    backend.close()


def opened(path, key, tmp_path, length) -> bytes:
    """Read through the encryption, as whoever has the key can."""
    secret = tmp_path / "secret"
    secret.write_text(key)
    plain = tmp_path / "plain"
    plain.unlink(missing_ok=True)
    source = f"driver=luks,key-secret=k,file.driver=file,file.filename={path}"
    blocks = [f"bs={length}", "count=1", f"if={source}", f"of={plain}"]
    command = ["qemu-img", "dd", "--object", f"secret,id=k,file={secret}", "--image-opts", "-O", "raw", *blocks]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    return plain.read_bytes()[:length]


def dump(scene, volume_id, path):
    """Write what the back end keeps of a volume to a file."""
    content = scene.backend(volume_id).open(volume_id)
    with path.open("wb") as file:
        file.truncate(content.size_bytes)
        for offset, length, full in content.extents():
            for at in range(offset, offset + length, 8 * MIB) if full else ():
                file.seek(at)
                file.write(content.read(at, min(8 * MIB, offset + length - at)))
    content.close()
    return path


def upload(lab, content) -> str:
    client = lab.client("demo")
    body = {"name": "i", "disk_format": "raw", "container_format": "bare"}
    image_id = client.post("/image/v2/images", json=body).json()["id"]
    headers = {"Content-Type": "application/octet-stream"}
    assert client.put(f"/image/v2/images/{image_id}/file", content=content, headers=headers).status_code == 204
    return image_id


@pytest.mark.host
def test_an_image_becomes_ciphertext_and_a_backup_of_it_opens_with_the_same_key(real, tmp_path):
    scene, directory = real
    word = b"a word that is nowhere to be seen".ljust(512, b".")
    image_id = upload(scene.lab, word * 4096)
    volume_id = scene.volume(1, volume_type="secret", imageRef=image_id)
    assert scene.status(volume_id) == "available"
    key = key_of(scene, row(scene, volume_id).encryption_key_id)
    stored = dump(scene, volume_id, tmp_path / "stored")
    assert stored.read_bytes().find(word) == -1
    assert opened(stored, key, tmp_path, len(word)) == word
    backup_id = scene.backup(volume_id)
    restored = scene.restore(backup_id)
    assert scene.status(restored) == "available", scene.show(backup_id)
    again = dump(scene, restored, tmp_path / "again")
    assert opened(again, key_of(scene, row(scene, restored).encryption_key_id), tmp_path, len(word)) == word
    found = subprocess.run(
        ["grep", "-rlF", word.decode(), str(directory)], capture_output=True, text=True, timeout=60, check=False
    )
    assert found.stdout == ""
