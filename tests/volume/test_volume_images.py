"""What images volumes are made of: named by id or by name, of encrypted volumes, of a server's volumes."""

import json

import pytest

from pileus.volume.store import keys as key_store
from pileus.volume.store import volumes
from tests.volume.backup_scene import MIB, Scene, noise
from tests.volume.test_encryption import secret_type
from tests.volume.volumes_lab import VolumesLab


@pytest.fixture
def cloud(lab):
    return VolumesLab(lab)


def test_an_image_is_named_by_its_name_or_at_the_end_of_its_url(cloud):
    image_id = cloud.image(b"called", name="one / two")
    made = [cloud.make(imageRef=reference) for reference in ("one / two", f"http://127.0.0.1/v2/images/{image_id}")]
    assert [cloud.read(id, 6) for id in made] == [b"called", b"called"]
    assert cloud.post(imageRef="three").status_code == 400
    cloud.image(name="one / two")
    assert cloud.post(imageRef="one / two").status_code == 409


def test_anothers_private_image_has_no_name(cloud):
    cloud.image(persona="other", name="hidden", visibility="private")
    assert cloud.post(imageRef="hidden").status_code == 400


def of_server(cloud, snapshot_id) -> str:
    mapping = json.dumps([
        {"source_type": "snapshot", "boot_index": 1, "snapshot_id": "0"},
        {"source_type": "snapshot", "boot_index": 0, "snapshot_id": snapshot_id},
    ])  # fmt: skip
    return cloud.image(b"", block_device_mapping=mapping)


def test_an_image_of_a_servers_volumes_stands_for_its_snapshot(cloud):
    source = cloud.make()
    cloud.write(source, b"root")
    snapshot_id = cloud.make_snapshot(source)
    image_id = of_server(cloud, snapshot_id)
    made = cloud.make(cloud.api(version="3.46"), imageRef=image_id)
    assert cloud.read(made, 4) == b"root"
    assert cloud.show(made)["snapshot_id"] == snapshot_id
    assert cloud.act(made, "os-reimage", {"image_id": image_id}).status_code == 400
    assert cloud.show(made)["status"] == "available"
    older = cloud.make(cloud.api(version="3.45"), imageRef=image_id)
    assert cloud.show(older)["snapshot_id"] is None
    cloud.demo.delete(f"/snapshots/{made}")
    assert cloud.post(imageRef=of_server(cloud, made)).status_code == 404


@pytest.fixture
def scene(lab):
    made = Scene(lab)
    secret_type(made)
    return made


def upload(scene, volume_id, status=202, **more):
    wanted = {"image_name": "sealed", **more}
    answer = scene.call("POST", f"/volumes/{volume_id}/action", status, **{"os-volume_upload_image": wanted})
    scene.lab.settle()
    return answer["os-volume_upload_image"]["image_id"] if status == 202 else None


def key(scene, key_id) -> str | None:
    with scene.lab.cloud.db.read() as tx:
        return key_store.get(tx, key_id)


def row(scene, volume_id):
    with scene.lab.cloud.db.read() as tx:
        return volumes.get(tx, volume_id)


def test_an_encrypted_volume_goes_into_an_image_and_comes_back(scene):
    volume_id = scene.volume(1, volume_type="secret")
    data = noise(64)
    scene.write(volume_id, 32 * MIB, data)
    upload(scene, volume_id, 400, disk_format="qcow2")
    image_id = upload(scene, volume_id)
    image = scene.client.get(f"/image/v2/images/{image_id}").json()
    assert (image["status"], image["cinder_encryption_key_id"]) == ("active", image_id)
    assert image["cinder_encryption_key_deletion_policy"] == "on_image_deletion"
    secret = key(scene, row(scene, volume_id).encryption_key_id)
    scene.call("DELETE", f"/volumes/{volume_id}", 202)
    scene.lab.settle()
    made = scene.volume(2, imageRef=image_id, volume_type="secret")
    assert scene.status(made) == "available"
    assert scene.read(made, 32 * MIB, len(data)) == data
    assert key(scene, row(scene, made).encryption_key_id) == secret
    shown = scene.call("GET", f"/volumes/{made}", 200)["volume"]
    assert "cinder_encryption_key_id" not in shown["volume_image_metadata"]
    scene.call("POST", "/volumes", 400, volume={"size": 2, "imageRef": image_id})
    plain = scene.volume()
    scene.call("POST", f"/volumes/{plain}/action", 400, **{"os-reimage": {"image_id": image_id}})
    assert scene.client.delete(f"/image/v2/images/{image_id}").status_code == 204
    assert key(scene, image_id) is None
    assert key(scene, row(scene, made).encryption_key_id) == secret


def test_no_image_opens_with_the_key_of_another(scene):
    volume_id = scene.volume(1, volume_type="secret")
    image_id = upload(scene, volume_id)
    other = upload(scene, scene.volume())
    change = [{"op": "add", "path": "/cinder_encryption_key_id", "value": image_id}]
    headers = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    scene.client.patch(f"/image/v2/images/{other}", content=json.dumps(change), headers=headers)
    scene.call("POST", "/volumes", 400, volume={"size": 1, "imageRef": other, "volume_type": "secret"})


def test_an_upload_that_fails_leaves_no_key(scene):
    volume_id = scene.volume(1, volume_type="secret")
    scene.backend(volume_id).fail("open", volume_id, times=None)
    image_id = upload(scene, volume_id)
    assert scene.status(volume_id) == "available"
    assert scene.client.get(f"/image/v2/images/{image_id}").status_code == 404
    assert key(scene, image_id) is None
