"""Servers that change their form: resized, rescued, put on a shelf, backed up; and what becomes of them when that fails."""

import json

import pytest

from pileus.compute.tasks.watch import watch

ROOT = "/compute/v2.1"


def _flavor(cloud, ram=256, vcpus=2, disk=2, **more):
    wanted = {"name": f"f{ram}-{vcpus}-{disk}", "ram": ram, "vcpus": vcpus, "disk": disk, **more}
    answer = cloud.admin.post(f"{ROOT}/flavors", json={"flavor": wanted})
    assert answer.status_code == 200, answer.text
    return answer.json()["flavor"]["id"]


def _act(cloud, id, name, argument=None, client=None):
    answer = cloud.act(id, name, argument, client)
    assert answer.status_code in (200, 202, 204), answer.text
    cloud.lab.settle()
    return answer


def _shape(cloud, id):
    spec = cloud.lab.hypervisor.guests[id].spec
    return spec.vcpus, spec.memory_mib, spec.power


def _used(cloud):
    host = cloud.admin.get(f"{ROOT}/os-hypervisors/detail", headers={"X-OpenStack-Nova-API-Version": "2.50"}).json()
    return host["hypervisors"][0]["vcpus_used"], host["hypervisors"][0]["memory_mb_used"]


def test_a_resize_is_kept_when_it_is_confirmed(cloud):
    id = cloud.boot()
    flavor = _flavor(cloud)
    _act(cloud, id, "resize", {"flavorRef": flavor})
    shown = cloud.show(id)
    assert (shown["status"], shown["OS-EXT-STS:vm_state"], shown["flavor"]["ram"]) == ("VERIFY_RESIZE", "resized", 256)
    assert _shape(cloud, id) == (2, 256, "on")
    disk = cloud.lab.hypervisor.guests[id].spec.disks[0]
    assert (disk.size_gib, disk.stage, disk.held) == (2, 1, True)
    assert _used(cloud)[0] == 2
    assert cloud.act(id, "os-stop").status_code == 409
    _act(cloud, id, "confirmResize")
    assert cloud.show(id)["status"] == "ACTIVE"
    _act(cloud, id, "reboot", {"type": "HARD"})
    disk = cloud.lab.hypervisor.guests[id].spec.disks[0]
    assert (disk.size_gib, disk.stage, disk.held) == (2, 1, False)
    (move,) = cloud.admin.get(f"{ROOT}/os-migrations").json()["migrations"]
    assert (move["instance_uuid"], move["status"], move["migration_type"]) == (id, "confirmed", "resize")
    assert cloud.admin.get(f"{ROOT}/os-migrations?status=error").json()["migrations"] == []
    assert cloud.admin.get(f"{ROOT}/os-migrations?marker={id}").status_code == 400
    assert cloud.act(id, "confirmResize").status_code == 409
    actions = cloud.demo.get(f"{ROOT}/servers/{id}/os-instance-actions").json()["instanceActions"]
    assert [each["action"] for each in actions] == ["reboot", "confirmResize", "resize", "create"]
    assert cloud.delete(id).status_code == 204
    assert cloud.left_over() == []


def test_a_resize_is_taken_back(cloud):
    id = cloud.boot()
    before, disks = _shape(cloud, id), cloud.lab.hypervisor.guests[id].spec.disks
    _act(cloud, id, "resize", {"flavorRef": _flavor(cloud, **{"OS-FLV-EXT-DATA:ephemeral": 1})})
    assert len(cloud.lab.hypervisor.guests[id].spec.disks) == 2
    _act(cloud, id, "revertResize")
    shown = cloud.show(id)
    assert (shown["status"], shown["flavor"]["ram"]) == ("ACTIVE", 128)
    assert _shape(cloud, id) == before
    assert cloud.lab.hypervisor.guests[id].spec.disks == disks
    assert _used(cloud)[0] == 1


def test_a_second_resize_is_taken_back_to_the_first(cloud):
    id = cloud.boot()
    _act(cloud, id, "resize", {"flavorRef": _flavor(cloud)})
    _act(cloud, id, "confirmResize")
    _act(cloud, id, "resize", {"flavorRef": _flavor(cloud, 512, 1, 3)})
    (disk,) = cloud.lab.hypervisor.guests[id].spec.disks
    assert (disk.size_gib, disk.stage, disk.held) == (3, 2, True)
    _act(cloud, id, "revertResize")
    (disk,) = cloud.lab.hypervisor.guests[id].spec.disks
    assert (disk.size_gib, disk.stage, disk.held) == (2, 1, False)


def test_room_is_held_for_the_larger_of_both_flavors_until_it_is_confirmed(cloud):
    large, small = _flavor(cloud, 512, 4), _flavor(cloud, 256, 1, 3)
    id = cloud.boot(flavorRef=large)
    _act(cloud, id, "resize", {"flavorRef": small})
    assert _used(cloud)[0] == 4
    _act(cloud, id, "confirmResize")
    assert _used(cloud)[0] == 1


def test_a_stopped_server_stays_stopped_when_it_is_resized(cloud):
    id = cloud.boot()
    _act(cloud, id, "os-stop")
    _act(cloud, id, "resize", {"flavorRef": _flavor(cloud)})
    assert _shape(cloud, id) == (2, 256, "off")
    _act(cloud, id, "confirmResize")
    assert cloud.show(id)["status"] == "SHUTOFF"


def test_what_a_resize_refuses(cloud):
    id = cloud.boot()
    shrunk = cloud.boot(flavorRef=_flavor(cloud, 128, 1, 5))
    assert cloud.act(id, "resize", {"flavorRef": "42"}).status_code == 400
    assert cloud.act(id, "resize", {"flavorRef": "none"}).status_code == 400
    assert cloud.act(shrunk, "resize", {"flavorRef": "42"}).status_code == 400
    huge = cloud.act(id, "resize", {"flavorRef": _flavor(cloud, 40_000, 19)})
    assert huge.status_code == 202
    too_many = cloud.act(shrunk, "resize", {"flavorRef": _flavor(cloud, 256, 30, 5)})
    assert too_many.status_code == 403
    nowhere = cloud.act(shrunk, "resize", {"flavorRef": _flavor(cloud, 256, 1, 90_000)})
    assert nowhere.status_code == 400
    assert "No valid host" in nowhere.text


def test_a_resize_that_fails_leaves_the_old_flavor(cloud):
    id = cloud.boot()
    cloud.lab.hypervisor.fail_next("ensure", reason="no memory left")
    _act(cloud, id, "resize", {"flavorRef": _flavor(cloud)})
    shown = cloud.show(id)
    assert (shown["status"], shown["flavor"]["ram"], shown["fault"]["message"]) == ("ERROR", 128, "no memory left")
    assert _used(cloud)[0] == 1


def test_a_server_is_rescued_and_comes_back(cloud):
    id = cloud.boot()
    answer = _act(cloud, id, "rescue", {"adminPass": "secret", "rescue_image_ref": cloud.image})
    assert answer.json() == {"adminPass": "secret"}
    assert cloud.show(id)["status"] == "RESCUE"
    disks = cloud.lab.hypervisor.guests[id].spec.disks
    assert [(disk.id, disk.boot_index) for disk in disks] == [("rescue", 0), ("root", None)]
    for action in ("rescue", "os-stop", "pause", "createImage", "shelve"):
        assert cloud.act(id, action, {"name": "x"} if action == "createImage" else None).status_code == 409, action
    _act(cloud, id, "unrescue")
    assert cloud.show(id)["status"] == "ACTIVE"
    assert [disk.id for disk in cloud.lab.hypervisor.guests[id].spec.disks] == ["root"]
    assert cloud.act(id, "unrescue").status_code == 409
    assert _act(cloud, id, "rescue").json()["adminPass"]
    assert cloud.delete(id).status_code == 204
    assert cloud.left_over() == []


def _patch(cloud, **properties):
    operations = [{"op": "add", "path": f"/{name}", "value": value} for name, value in properties.items()]
    answer = cloud.demo.patch(
        f"/image/v2/images/{cloud.image}", content=json.dumps(operations),
        headers={"Content-Type": "application/openstack-images-v2.1-json-patch"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("device", "bus", "wanted"),
    [
        ("disk", "virtio", ("virtio", False)), ("disk", "usb", ("usb", False)), ("cdrom", "ide", ("ide", True)),
        (None, "scsi", ("scsi", False)), ("cdrom", None, ("ide", True)), ("disk", None, ("virtio", False)),
    ],
)  # fmt: skip
def test_an_image_may_ask_for_a_rescue_beside_the_disks_of_a_server(cloud, device, bus, wanted):
    id = cloud.boot()
    _patch(cloud, **{name: value for name, value in (("hw_rescue_device", device), ("hw_rescue_bus", bus)) if value})
    _act(cloud, id, "rescue", {"rescue_image_ref": cloud.image})
    assert cloud.show(id)["status"] == "RESCUE"
    disks = cloud.lab.hypervisor.guests[id].spec.disks
    assert [(disk.id, disk.boot_index) for disk in disks] == [("root", None), ("rescue", 0)]
    assert (disks[1].bus, disks[1].is_cdrom) == wanted
    _act(cloud, id, "unrescue")
    assert [(disk.id, disk.boot_index) for disk in cloud.lab.hypervisor.guests[id].spec.disks] == [("root", 0)]


@pytest.mark.parametrize(("device", "bus"), [("floppy", "ide"), ("disk", "fdc"), ("disk", "xen"), ("cdrom", "virtio")])
def test_a_rescue_on_a_device_that_no_guest_has_is_refused(cloud, device, bus):
    id = cloud.boot()
    _patch(cloud, hw_rescue_device=device, hw_rescue_bus=bus)
    assert cloud.act(id, "rescue", {"rescue_image_ref": cloud.image}).status_code == 400
    assert cloud.show(id)["status"] == "ACTIVE"


def test_a_rescue_needs_an_image_that_is_there(cloud):
    id = cloud.boot()
    missing = {"rescue_image_ref": "5f7a7c0e-30a4-4b0b-8a0e-7d8d6b7c0000"}
    assert cloud.act(id, "rescue", missing).status_code == 400
    assert cloud.show(id)["status"] == "ACTIVE"


def test_a_rescue_that_fails_leaves_the_server_to_be_rebooted(cloud):
    id = cloud.boot()
    cloud.lab.hypervisor.fail_next("ensure", reason="no space")
    _act(cloud, id, "rescue")
    assert cloud.show(id)["status"] == "ERROR"
    _act(cloud, id, "reboot", {"type": "HARD"})
    assert cloud.show(id)["status"] == "ACTIVE"
    assert [disk.id for disk in cloud.lab.hypervisor.guests[id].spec.disks] == ["root"]


def _images(cloud):
    return {each["name"]: each for each in cloud.demo.get("/image/v2/images").json()["images"]}


@pytest.mark.parametrize("before", [None, "pause", "os-stop", "suspend"])
def test_a_server_is_put_away_and_taken_back(cloud, before):
    id = cloud.boot()
    addresses = cloud.show(id)["addresses"]
    if before:
        _act(cloud, id, before)
    _act(cloud, id, "shelve")
    shown = cloud.show(id, cloud.admin)
    assert (shown["status"], shown["OS-EXT-SRV-ATTR:host"], shown["addresses"]) == ("SHELVED_OFFLOADED", None, addresses)
    assert cloud.lab.hypervisor.guests == {}
    assert _used(cloud)[0] == 0
    image = _images(cloud)["one-shelved"]
    assert (image["status"], image["instance_uuid"]) == ("active", id)
    for action in ("shelve", "os-start", "shelveOffload"):
        client = cloud.admin if action == "shelveOffload" else None
        assert cloud.act(id, action, None, client).status_code == 409, action
    _act(cloud, id, "unshelve")
    shown = cloud.show(id)
    assert (shown["status"], shown["addresses"]) == ("ACTIVE", addresses)
    assert cloud.lab.hypervisor.guests[id].spec.disks[0].source.endswith(f"{image['id']}.raw")
    assert "one-shelved" not in _images(cloud)
    assert cloud.act(id, "unshelve").status_code == 409


def test_a_server_that_is_away_is_deleted_with_its_image(cloud):
    id = cloud.boot()
    _act(cloud, id, "shelve")
    assert cloud.delete(id).status_code == 204
    assert cloud.left_over() == []
    assert set(_images(cloud)) == {"small"}


def test_an_image_that_was_being_made_goes_with_its_server(cloud):
    id = cloud.boot()
    assert cloud.act(id, "createImage", {"name": "never"}).status_code == 202
    assert cloud.delete(id).status_code == 204
    assert set(_images(cloud)) == {"small"}


def test_a_server_that_cannot_be_taken_back_stays_away(cloud):
    id = cloud.boot()
    _act(cloud, id, "shelve")
    cloud.lab.hypervisor.fail_next("ensure", reason="no memory left")
    _act(cloud, id, "unshelve")
    shown = cloud.show(id, cloud.admin)
    assert (shown["status"], shown["OS-EXT-STS:task_state"], shown["OS-EXT-SRV-ATTR:host"]) == ("SHELVED_OFFLOADED", None, None)
    _act(cloud, id, "unshelve")
    assert cloud.show(id)["status"] == "ACTIVE"


def test_a_server_that_cannot_be_imaged_is_not_put_away(cloud):
    id = cloud.boot()
    cloud.lab.hypervisor.fail_next("capture", reason="no space")
    _act(cloud, id, "shelve")
    assert cloud.show(id)["status"] == "ERROR"
    assert id in cloud.lab.hypervisor.guests
    assert set(_images(cloud)) == {"small"}


def test_places_for_servers_that_come_back(cloud):
    id = cloud.boot()
    _act(cloud, id, "shelve")
    assert cloud.act(id, "unshelve", {"availability_zone": "none"}).status_code == 400
    assert cloud.act(id, "unshelve", {"host": "host1"}).status_code == 403
    assert cloud.act(id, "unshelve", {"host": "none"}, cloud.admin).status_code == 400
    _act(cloud, id, "unshelve", {"availability_zone": "nova", "host": "host1"}, cloud.admin)
    assert cloud.show(id)["status"] == "ACTIVE"


def test_backups_take_turns(cloud):
    id = cloud.boot()
    for number in range(3):
        cloud.lab.clock.advance(5)
        answer = _act(cloud, id, "createBackup", {"name": f"b{number}", "backup_type": "daily", "rotation": "2"})
        assert answer.json()["image_id"]
    _act(cloud, id, "createBackup", {"name": "w", "backup_type": "weekly", "rotation": 1})
    images = _images(cloud)
    assert set(images) == {"small", "b1", "b2", "w"}
    assert (images["w"]["image_type"], images["w"]["backup_type"]) == ("backup", "weekly")
    assert cloud.act(id, "createBackup", {"name": "w", "backup_type": "weekly", "rotation": -1}).status_code == 400
    assert cloud.act(id, "createBackup", {"name": "w", "rotation": 1}).status_code == 400


def test_an_image_is_made_even_when_the_guest_is_just_being_mended(cloud):
    id = cloud.boot()
    events = {"events": [{"name": "network-changed", "server_uuid": id}]}
    assert cloud.admin.post(f"{ROOT}/os-server-external-events", json=events).status_code == 200
    assert cloud.act(id, "createImage", {"name": "kept"}).status_code == 202
    cloud.lab.settle()
    assert _images(cloud)["kept"]["status"] == "active"


@pytest.mark.parametrize(
    ("action", "argument", "status"), [("resize", {"flavorRef": "1"}, "VERIFY_RESIZE"), ("rescue", None, "RESCUE")]
)
def test_the_power_of_a_server_in_another_form_is_followed(cloud, action, argument, status):
    id = cloud.boot()
    _act(cloud, id, action, argument)
    watch(cloud.lab.cloud)
    cloud.lab.hypervisor.shut_down(id)
    shown = cloud.show(id)
    assert (shown["status"], shown["OS-EXT-STS:power_state"]) == (status, 4)
    watch(cloud.lab.cloud)
    cloud.lab.settle()
    assert cloud.lab.hypervisor.guests[id].power == "off"


@pytest.mark.parametrize(
    ("action", "argument", "status"), [("resize", {"flavorRef": "1"}, "VERIFY_RESIZE"), ("rescue", None, "RESCUE")]
)
def test_a_server_in_another_form_comes_back_with_its_host(cloud, action, argument, status):
    id = cloud.boot()
    _act(cloud, id, action, argument)
    guest = cloud.lab.hypervisor.guests[id]
    before, guest.power, guest.why, guest.started_seconds = guest.spec.disks, "off", "", None
    watch(cloud.lab.cloud)
    cloud.lab.settle()
    assert (guest.power, guest.spec.disks, cloud.show(id)["status"]) == ("on", before, status)
