"""Servers that boot from a volume: built, steered, put away, deleted; whatever breaks."""

import json

import pytest

ROOT = "/compute/v2.1"


def _act(store, id, name, argument=None, client=None):
    answer = store.act(id, name, argument, client)
    assert answer.status_code in (200, 202, 204), answer.text
    store.lab.settle()
    return answer


def _root(store, id):
    return store.lab.hypervisor.guests[id].spec.disks[0]


def test_a_server_boots_from_a_volume_that_is_there(store):
    volume = store.boot_volume()
    id = store.boot(**store.on_volume(volume))
    shown = store.show(id, store.admin)
    assert (shown["status"], shown["image"]) == ("ACTIVE", "")
    assert shown["os-extended-volumes:volumes_attached"] == [{"id": volume, "delete_on_termination": False}]
    assert shown["OS-EXT-SRV-ATTR:root_device_name"] == "/dev/vda"
    assert store.status(volume) == "in-use"
    (disk,) = store.lab.hypervisor.guests[id].spec.disks
    assert (disk.id, disk.kind, disk.boot_index, disk.serial) == (volume, "volume", 0, volume)
    assert store.detach(id, volume).status_code == 400
    store.delete(id)
    assert (store.status(volume), store.left_over()) == ("available", [])


def test_a_volume_is_made_of_the_image_and_the_server_waits_for_it(store):
    answer = store.post(**store.on_volume(delete_on_termination=True))
    assert answer.status_code == 202, answer.text
    id = answer.json()["server"]["id"]
    (shown,) = store.show(id)["os-extended-volumes:volumes_attached"]
    store.lab.settle()
    assert store.show(id)["status"] == "ACTIVE"
    assert store.see(shown["id"])["volume_image_metadata"]["image_id"] == store.image
    assert store.tasks() == []
    store.delete(id)
    assert store.see(shown["id"]) is None
    assert store.left_over() == []


def test_a_volume_that_cannot_be_made_is_the_fault(store):
    for backend in (store.lab.volumes, store.lab.cloud.bus.host("host1@more", "volume")):
        backend.fail("ensure", error="the disks are on fire", times=None)
    id = store.boot(**store.on_volume(delete_on_termination=True))
    shown = store.show(id)
    assert shown["status"] == "ERROR"
    assert "did not finish being created" in shown["fault"]["message"]
    assert shown["os-extended-volumes:volumes_attached"] == []
    assert store.cinder.get("/volume/v3/" + "b" * 32 + "/volumes").json()["volumes"] == []
    assert store.left_over() == []


def test_a_server_that_waits_for_its_volume_sleeps_until_it_is_told(store):
    """The volume's task is kept from running: the server's task naps, and is woken by the news, not by the clock."""
    from sqlalchemy import select, update

    from pileus.kernel.tasks import tasks

    id = store.post(**store.on_volume()).json()["server"]["id"]
    with store.lab.cloud.db.begin() as tx:
        volume_task = tx.execute(select(tasks.c.id).where(tasks.c.program == "volume.volume")).scalar_one()
        tx.execute(update(tasks).where(tasks.c.id == volume_task).values(due_at=store.lab.clock.now() + 20))
    store.lab.settle()
    assert store.show(id)["OS-EXT-STS:task_state"] == "block_device_mapping"
    with store.lab.cloud.db.begin() as tx:
        tx.execute(update(tasks).where(tasks.c.id == volume_task).values(due_at=store.lab.clock.now()))
    store.lab.settle()
    assert store.show(id)["status"] == "ACTIVE"


def test_a_server_deleted_while_its_volume_is_made_takes_it_along(store):
    from sqlalchemy import select, update

    from pileus.kernel.tasks import tasks

    id = store.post(**store.on_volume(delete_on_termination=True)).json()["server"]["id"]
    (volume,) = store.show(id)["os-extended-volumes:volumes_attached"]
    with store.lab.cloud.db.begin() as tx:
        volume_task = tx.execute(select(tasks.c.id).where(tasks.c.program == "volume.volume")).scalar_one()
        tx.execute(update(tasks).where(tasks.c.id == volume_task).values(due_at=store.lab.clock.now() + 5))
    store.lab.settle()
    store.delete(id)
    store.lab.settle(6)
    assert store.show(id) is None
    assert store.see(volume["id"]) is None
    assert store.left_over() == []


def test_a_volume_of_a_snapshot_and_a_blank_one(store):
    volume = store.boot_volume()
    answer = store.cinder.post("/volume/v3/" + "b" * 32 + "/snapshots", json={"snapshot": {"volume_id": volume, "name": "s"}})
    store.lab.settle()
    devices = [
        {"source_type": "snapshot", "uuid": answer.json()["snapshot"]["id"], "destination_type": "volume", "boot_index": 0},
        {"source_type": "blank", "destination_type": "volume", "volume_size": 2, "boot_index": -1, "tag": "data"},
    ]
    id = store.boot(imageRef=None, block_device_mapping_v2=devices, config_drive=True)
    assert store.show(id)["status"] == "ACTIVE"
    assert [disk.size_gib for disk in store.lab.hypervisor.guests[id].spec.disks] == [1, 2]
    drive = store.lab.hypervisor.guests[id].spec.config_drive
    (device,) = json.loads(drive["openstack/latest/meta_data.json"])["devices"]
    data = store.lab.hypervisor.guests[id].spec.disks[1]
    assert (device["serial"], device["tags"], device["type"]) == (data.serial, ["data"], "disk")


def test_several_servers_each_get_a_volume_of_their_own(store):
    store.boot(**store.on_volume(), min_count=2)
    servers = store.demo.get(f"{ROOT}/servers/detail").json()["servers"]
    assert {server["status"] for server in servers} == {"ACTIVE"}
    assert len({server["os-extended-volumes:volumes_attached"][0]["id"] for server in servers}) == 2


def test_a_host_that_refuses_leaves_the_volume_available(store):
    volume = store.boot_volume()
    store.lab.hypervisor.fail_next("ensure", times=100, reason="no memory")
    id = store.boot(**store.on_volume(volume))
    assert store.show(id)["status"] == "ERROR"
    assert (store.status(volume), store.connected(volume), store.left_over()) == ("available", 0, [])


def test_images_of_servers_on_volumes_are_snapshots_and_boot_again(store):
    volume, data = store.boot_volume(), store.volume(2)
    id = store.boot(**store.on_volume(volume))
    store.attach(id, data)
    image_id = _act(store, id, "createImage", {"name": "shot"}).json()["image_id"]
    image = store.demo.get(f"/image/v2/images/{image_id}").json()
    assert (image["status"], image["size"], image["bdm_v2"]) == ("active", 0, "True")
    mapping = json.loads(image["block_device_mapping"])
    assert [(each["source_type"], each["boot_index"], each["volume_size"]) for each in mapping] == [
        ("snapshot", 0, 1), ("snapshot", None, 2),
    ]  # fmt: skip
    snapshots = store.cinder.get("/volume/v3/" + "b" * 32 + "/snapshots").json()["snapshots"]
    assert {each["snapshot_id"] for each in mapping} == {each["id"] for each in snapshots}
    assert store.show(id)["OS-EXT-STS:task_state"] is None
    again = store.boot(imageRef=image_id)
    shown = store.show(again)
    assert (shown["status"], shown["image"], len(shown["os-extended-volumes:volumes_attached"])) == ("ACTIVE", "", 2)
    assert store.act(id, "createBackup", {"name": "b", "backup_type": "daily", "rotation": 1}).status_code == 400


def test_a_snapshot_that_fails_leaves_no_image(store):
    volume = store.boot_volume()
    id = store.boot(**store.on_volume(volume))
    store.lab.volumes.fail("take_snapshot", error="no room", times=None)
    _act(store, id, "createImage", {"name": "shot"})
    assert store.show(id)["status"] == "ACTIVE"
    assert store.show(id)["OS-EXT-STS:task_state"] is None
    names = [image["name"] for image in store.demo.get("/image/v2/images").json()["images"]]
    assert "shot" not in names
    assert store.cinder.get("/volume/v3/" + "b" * 32 + "/snapshots").json()["snapshots"] == []


def test_a_server_on_a_volume_is_shelved_and_taken_back(store):
    volume, data, late = store.boot_volume(), store.volume(), store.volume()
    id = store.boot(**store.on_volume(volume))
    store.attach(id, data)
    _act(store, id, "shelve")
    assert store.show(id)["status"] == "SHELVED_OFFLOADED"
    assert (store.connected(volume), store.connected(data)) == (0, 0)
    assert store.status(volume) == "reserved"
    assert len(store.demo.get("/image/v2/images").json()["images"]) == 1
    store.attach(id, late)
    assert store.status(late) == "in-use"
    assert store.detach(id, data).status_code == 202
    assert store.status(data) == "available"
    old = store.lab.client("demo", {"OpenStack-API-Version": "compute 2.19"})
    assert store.ask(id, data, old).status_code == 409
    assert store.ask(id, data, tag="x").status_code == 400
    _act(store, id, "unshelve")
    assert store.show(id)["status"] == "ACTIVE"
    assert (store.status(volume), store.status(late)) == ("in-use", "in-use")
    assert store.plugged(id) == [volume, late]
    _act(store, id, "shelve")
    store.delete(id)
    assert (store.status(volume), store.left_over()) == ("available", [])


def test_a_server_on_a_volume_is_resized_and_keeps_its_disks(store):
    volume = store.boot_volume()
    id = store.boot(**store.on_volume(volume))
    wanted = {"name": "zero", "ram": 256, "vcpus": 2, "disk": 0}
    flavor = store.admin.post(f"{ROOT}/flavors", json={"flavor": wanted}).json()["flavor"]["id"]
    _act(store, id, "resize", {"flavorRef": flavor})
    _act(store, id, "confirmResize")
    assert (store.show(id)["status"], store.plugged(id)) == ("ACTIVE", [volume])
    _act(store, id, "resize", {"flavorRef": "42"})
    _act(store, id, "revertResize")
    assert (store.show(id)["status"], store.plugged(id)) == ("ACTIVE", [volume])
    assert store.status(volume) == "in-use"


def test_a_flavor_without_a_disk_boots_from_a_volume_only(store):
    wanted = {"name": "zero", "ram": 128, "vcpus": 1, "disk": 0}
    flavor = store.admin.post(f"{ROOT}/flavors", json={"flavor": wanted}).json()["flavor"]["id"]
    assert store.post(flavorRef=flavor).status_code == 403
    id = store.boot(flavorRef=flavor, **store.on_volume())
    assert store.show(id)["status"] == "ACTIVE"
    before = store.admin.get(f"{ROOT}/os-hypervisors/detail", headers={"X-OpenStack-Nova-API-Version": "2.50"}).json()
    assert before["hypervisors"][0]["local_gb_used"] == 0


def test_rebuilding_a_server_on_a_volume(store):
    volume = store.boot_volume()
    id = store.boot(**store.on_volume(volume))
    other = store.demo.post("/image/v2/images", json={"name": "other", "disk_format": "raw", "container_format": "bare"}).json()[
        "id"
    ]
    content = {"Content-Type": "application/octet-stream"}
    store.demo.put(f"/image/v2/images/{other}/file", content=b"\x42" * 4096, headers=content)
    old = store.lab.client("demo", {"OpenStack-API-Version": "compute 2.92"})
    refused = store.act(id, "rebuild", {"imageRef": other}, old)
    assert (refused.status_code, "different image" in refused.text) == (400, True)
    _act(store, id, "rebuild", {"imageRef": store.image}, old)
    assert store.show(id)["status"] == "ACTIVE"
    _act(store, id, "rebuild", {"imageRef": other})
    shown = store.show(id)
    assert (shown["status"], shown["image"]) == ("ACTIVE", ""), shown
    assert store.see(volume)["volume_image_metadata"]["image_id"] == other
    assert store.lab.volumes.open(volume).read(0, 4) == b"\x42" * 4
    assert (store.status(volume), store.plugged(id)) == ("in-use", [volume])


def test_rescuing_a_server_on_a_volume(store):
    volume = store.boot_volume()
    id = store.boot(**store.on_volume(volume))
    assert store.act(id, "rescue").status_code == 400
    wanted = {"hw_rescue_bus": "scsi", "hw_rescue_device": "disk"}
    operations = [{"op": "add", "path": f"/{name}", "value": value} for name, value in wanted.items()]
    patched = store.demo.patch(
        f"/image/v2/images/{store.image}", content=json.dumps(operations),
        headers={"Content-Type": "application/openstack-images-v2.1-json-patch"},
    )  # fmt: skip
    assert patched.status_code == 200, patched.text
    old = store.lab.client("demo", {"OpenStack-API-Version": "compute 2.86"})
    assert store.act(id, "rescue", {"rescue_image_ref": store.image}, old).status_code == 400
    _act(store, id, "rescue", {"rescue_image_ref": store.image})
    assert store.show(id)["status"] == "RESCUE"
    disks = store.lab.hypervisor.guests[id].spec.disks
    assert [(disk.id, disk.boot_index) for disk in disks] == [(volume, None), ("rescue", 0)]
    assert disks[1].bus == "scsi"
    assert store.ask(id, store.volume()).status_code == 409
    _act(store, id, "unrescue")
    assert _root(store, id).id == volume


@pytest.mark.parametrize("online", [True, False])
def test_a_volume_that_grows_lets_the_disk_grow(store, online):
    id, volume = store.boot(), store.volume()
    store.attach(id, volume)
    if not online:
        _act(store, id, "os-stop")
    answer = store.cinder.post("/volume/v3/" + "b" * 32 + f"/volumes/{volume}/action", json={"os-extend": {"new_size": 3}})
    assert answer.status_code == 202, answer.text
    store.lab.settle()
    assert store.lab.hypervisor.guests[id].volumes[volume].size_gib == 3
    assert store.log(id)[0] == ("extend_volume", None)
    service = store.lab.client("admin", {"OpenStack-API-Version": "compute 2.51"})
    event = {"name": "volume-extended", "server_uuid": id, "tag": volume}
    told = service.post(f"{ROOT}/os-server-external-events", json={"events": [event]})
    assert told.status_code == 200, told.text
    store.lab.settle()
    assert store.tasks() == []
