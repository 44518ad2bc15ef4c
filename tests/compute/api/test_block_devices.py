"""What disks may be asked for together with a server, and what is refused."""

import pytest

NOWHERE = "11111111-2222-4333-8444-555555555555"
ROOT = {"source_type": "image", "destination_type": "local", "boot_index": 0, "uuid": "IMAGE"}
BLANK = {"source_type": "blank", "destination_type": "volume", "volume_size": 1, "boot_index": -1}


def _filled(store, devices, ids):
    return [{key: ids.get(value, value) if isinstance(value, str) else value for key, value in each.items()} for each in devices]


REFUSED = {
    "nothing to boot from": (None, [], "imageRef"),
    "no root": ("IMAGE", [BLANK], "Boot sequence"),
    "two roots": ("IMAGE", [ROOT, {**BLANK, "boot_index": 0}], "Boot sequence"),
    "a gap": ("IMAGE", [ROOT, {**BLANK, "boot_index": 2}], "Boot sequence"),
    "no source": ("IMAGE", [ROOT, {"destination_type": "volume"}], "required fields"),
    "a blank one with an id": ("IMAGE", [ROOT, {**BLANK, "uuid": NOWHERE}], "Invalid device UUID"),
    "no id": ("IMAGE", [ROOT, {"source_type": "volume", "destination_type": "volume"}], "Missing device UUID"),
    "an image on the host": (None, [{**ROOT, "boot_index": 0}], "Mapping image to local is not supported"),
    "a type of what is there": (
        "IMAGE", [ROOT, {"source_type": "volume", "destination_type": "volume", "uuid": "VOLUME", "volume_type": "x"}],
        "existing volume",
    ),
    "a type on the host": (
        "IMAGE", [ROOT, {"source_type": "blank", "destination_type": "local", "volume_type": "x"}], "destination_type=local",
    ),
    "an unknown type": ("IMAGE", [ROOT, {**BLANK, "volume_type": "none"}], "none could not be found"),
    "no such volume": (
        "IMAGE", [ROOT, {"source_type": "volume", "destination_type": "volume", "uuid": NOWHERE}], "failed to get volume",
    ),
    "no such snapshot": (
        "IMAGE", [ROOT, {"source_type": "snapshot", "destination_type": "volume", "uuid": NOWHERE}], "failed to get snapshot",
    ),
    "no such image": (
        None, [{"source_type": "image", "destination_type": "volume", "uuid": NOWHERE, "boot_index": 0, "volume_size": 1}],
        "failed to get image",
    ),
    "an image without a size": (
        None, [{"source_type": "image", "destination_type": "volume", "uuid": "IMAGE", "boot_index": 0}], "non-zero size",
    ),
    "a blank one without a size": ("IMAGE", [ROOT, {**BLANK, "volume_size": 0}], "volume_size"),
    "not bootable": (
        None, [{"source_type": "volume", "destination_type": "volume", "uuid": "VOLUME", "boot_index": 0}], "is not bootable",
    ),
    "an unknown bus": ("IMAGE", [ROOT, {**BLANK, "disk_bus": "string"}], "disk bus"),
    "a bus that no host has": ("IMAGE", [ROOT, {**BLANK, "disk_bus": "xen"}], "disk bus"),
    "a CD": ("IMAGE", [ROOT, {**BLANK, "device_type": "cdrom"}], "cdrom"),
    "too much swap": (
        "IMAGE",
        [ROOT, {"source_type": "blank", "destination_type": "local", "guest_format": "swap", "volume_size": 9, "boot_index": -1}],
        "Swap drive",
    ),
    "too much ephemeral": (
        "IMAGE", [ROOT, {"source_type": "blank", "destination_type": "local", "volume_size": 9, "boot_index": -1}], "Ephemeral",
    ),
    "the root's device": (
        "IMAGE", [ROOT, {**BLANK, "device_name": "/dev/vda"}], "root device",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", list(REFUSED))
def test_what_is_refused(store, what):
    image, devices, told = REFUSED[what]
    ids = {"IMAGE": store.image, "VOLUME": store.volume()}
    answer = store.post(imageRef=ids.get(image), block_device_mapping_v2=_filled(store, devices, ids) or None)
    assert answer.status_code == 400, answer.text
    assert told in answer.text
    assert store.status(ids["VOLUME"]) == "available"
    assert store.ports() == []


def test_fields_of_later_microversions(store):
    def post(version, **more):
        client = store.lab.client("demo", {"OpenStack-API-Version": f"compute {version}"})
        devices = [{**ROOT, "uuid": store.image}, {**BLANK, **more}]
        return store.post(client, block_device_mapping_v2=devices)

    assert post("2.31", tag="x").status_code == 400
    assert post("2.32", tag="x").status_code == 202
    assert post("2.41", tag="x").status_code == 400
    assert post("2.66", volume_type="__DEFAULT__").status_code == 400
    assert post("2.67", volume_type="__DEFAULT__").status_code == 202


def test_both_forms_at_once_are_refused(store):
    old = [{"device_name": "vda", "volume_id": store.boot_volume()}]
    assert store.post(block_device_mapping=old, block_device_mapping_v2=[ROOT]).status_code == 400


def test_the_older_form_boots_from_a_volume_named_as_the_root(store):
    volume, data = store.boot_volume(), store.volume(2)
    old = [
        {"device_name": "vda", "volume_id": volume, "delete_on_termination": "1"},
        {"device_name": "vdc", "volume_id": data, "volume_size": "2"},
    ]
    id = store.boot(imageRef="", block_device_mapping=old)
    assert [(disk.id, disk.boot_index, disk.device) for disk in store.lab.hypervisor.guests[id].spec.disks] == [
        (volume, 0, "/dev/vda"), (data, None, "/dev/vdc"),
    ]  # fmt: skip
    store.delete(id)
    store.lab.settle()
    assert store.see(volume) is None
    assert store.status(data) == "available"


def test_the_older_form_adds_volumes_to_an_image(store):
    volume = store.volume()
    id = store.boot(block_device_mapping=[{"device_name": "/dev/sdc", "volume_id": volume}])
    assert store.show(id)["image"]["id"] == store.image
    assert [(disk.kind, disk.device) for disk in store.lab.hypervisor.guests[id].spec.disks] == [
        ("image", "/dev/vda"), ("volume", "/dev/vdc"),
    ]  # fmt: skip


def test_a_volume_for_several_servers_is_refused(store):
    volume = store.boot_volume()
    answer = store.post(**store.on_volume(volume), min_count=2)
    assert (answer.status_code, "multiple instances" in answer.text) == (400, True)
    assert store.status(volume) == "available"


def test_a_volume_in_use_is_refused(store):
    volume = store.boot_volume()
    store.boot(**store.on_volume(volume))
    assert store.post(**store.on_volume(volume)).status_code == 400


def test_the_quota_of_block_storage_is_asked_first(store):
    admin = store.lab.client("admin")
    url = "/volume/v3/" + "a" * 31 + "0/os-quota-sets/" + "b" * 32
    assert admin.put(url, json={"quota_set": {"volumes": 1}}).status_code == 200
    devices = [{**ROOT, "uuid": store.image}, BLANK, BLANK]
    answer = store.post(block_device_mapping_v2=devices)
    assert answer.status_code == 403, answer.text
    assert store.ports() == []
    assert store.cinder.get("/volume/v3/" + "b" * 32 + "/volumes").json()["volumes"] == []


def test_the_disks_of_the_flavor_stay_beside_a_volume(store):
    wanted = {"name": "rich", "ram": 128, "vcpus": 1, "disk": 1, "OS-FLV-EXT-DATA:ephemeral": 2, "swap": 64}
    flavor = store.admin.post("/compute/v2.1/flavors", json={"flavor": wanted}).json()["flavor"]["id"]
    id = store.boot(flavorRef=flavor, **store.on_volume(store.boot_volume()))
    disks = store.lab.hypervisor.guests[id].spec.disks
    assert [(disk.kind, disk.size_gib, disk.size_mib, disk.device) for disk in disks] == [
        ("volume", 1, 0, "/dev/vda"), ("blank", 2, 0, "/dev/vdb"), ("blank", 0, 64, "/dev/vdc"),
    ]  # fmt: skip
    late = store.attach(id, store.volume())
    assert late["device"] == "/dev/vdd"


def test_an_image_says_what_is_on_a_root_volume_that_does_not_say_it_boots(store):
    volume = store.volume()
    disk = {"source_type": "volume", "destination_type": "volume", "uuid": volume, "boot_index": 0, "delete_on_termination": True}
    id = store.boot(block_device_mapping_v2=[disk])
    assert [(one.kind, one.id) for one in store.lab.hypervisor.guests[id].spec.disks] == [("volume", volume)]
