"""What lies on a back end is taken in, and what is let go of stays there."""

import types

import pytest

from pileus.volume.driver import Found, VolumeDriverError
from pileus.volume.drivers.fake import _Volume

GONE = "00000000-0000-4000-8000-000000000000"


class Attic:
    """Has a fake back end take in and let go of volumes and snapshots; `volumes` and `snapshots` lie there unused."""

    def __init__(self, backend) -> None:
        self.backend, self.volumes, self.snapshots = backend, {}, {}
        for name in ("list_volumes", "adopt_volume", "disown_volume", "list_snapshots", "adopt_snapshot", "disown_snapshot"):
            setattr(backend, name, types.MethodType(lambda _, *args, name=name: getattr(self, name)(*args), backend))

    def put(self, reference: str, size_gib: int) -> None:
        self.volumes[reference] = _Volume(size_gib)

    def list_volumes(self):
        unused = [Found(name, volume.size_gib) for name, volume in self.volumes.items()]
        return (*unused, *[Found(id, volume.size_gib, False, "already managed") for id, volume in self.backend.volumes.items()])

    def adopt_volume(self, reference, volume_id):
        if reference not in self.volumes:
            raise VolumeDriverError(f"there is no {reference}")
        self.backend.volumes[volume_id] = self.volumes.pop(reference)
        return self.backend.volumes[volume_id].size_gib

    def disown_volume(self, volume_id):
        self.volumes[f"volume-{volume_id}"] = self.backend.volumes.pop(volume_id)
        return f"volume-{volume_id}"

    def list_snapshots(self):
        return tuple(Found(name, found[1][0], volume_reference=found[0]) for name, found in self.snapshots.items())

    def adopt_snapshot(self, volume_id, reference, snapshot_id):
        if self.snapshots.get(reference, ("",))[0] != volume_id:
            raise VolumeDriverError(f"there is no {reference}")
        self.backend.volumes[volume_id].snapshots[snapshot_id] = self.snapshots.pop(reference)[1]
        return self.backend.volumes[volume_id].snapshots[snapshot_id][0]

    def disown_snapshot(self, volume_id, snapshot_id):
        self.snapshots[f"_snapshot-{snapshot_id}"] = (volume_id, self.backend.volumes[volume_id].snapshots.pop(snapshot_id))
        return f"_snapshot-{snapshot_id}"


@pytest.fixture
def attic(cloud) -> Attic:
    cloud.backends["host1@more"].total_gib = 0
    cloud.lab.clock.advance(60)
    return Attic(cloud.backends["host1@fake"])


def manage(cloud, reference="old", host="host1@fake", client=None, **body):
    whole = {"volume": {"host": host, "ref": {"source-name": reference}, **body}}
    return (client or cloud.admin).post("/manageable_volumes", json=whole)


@pytest.mark.parametrize("twice_over", [False, True])
def test_a_volume_is_taken_in_and_let_go_of(cloud, twice, attic, twice_over):
    if twice_over:
        cloud, attic = twice, Attic(twice.backends["host1@fake"])
    attic.put("old", 7)
    attic.volumes["old"].blocks[0] = b"data".ljust(65536, b"\0")
    answer = manage(cloud, name="mine", metadata={"a": "b"}, bootable=True)
    assert answer.status_code == 202, answer.text
    made = answer.json()["volume"]
    assert (made["status"], made["name"], made["bootable"]) == ("creating", "mine", "true")
    cloud.lab.settle()
    shown = cloud.show(made["id"])
    assert (shown["status"], shown["size"], shown["metadata"]) == ("available", 7, {"a": "b"})
    assert cloud.read(made["id"], 4) == b"data"
    assert cloud.act(made["id"], "os-unmanage", {}, cloud.admin).status_code == 202
    cloud.lab.settle()
    assert cloud.show(made["id"]) is None
    assert list(attic.volumes) == [f"volume-{made['id']}"]
    assert cloud.left_over() == []


def test_clients_send_null_for_what_they_do_not_say(cloud, attic):
    attic.put("disk.img", 1)
    answer = manage(cloud, name="mine", bootable=None, metadata=None, cluster=None, description=None)
    assert answer.json()["volume"]["bootable"] == "false"


def test_a_snapshot_is_taken_in_and_let_go_of(cloud, attic):
    volume = cloud.make(cloud.admin)
    answer = cloud.snap(volume, cloud.admin)
    cloud.lab.settle()
    snapshot = answer.json()["snapshot"]["id"]
    assert cloud.admin.post(f"/snapshots/{snapshot}/action", json={"os-unmanage": {}}).status_code == 202
    cloud.lab.settle()
    assert cloud.snapshot(snapshot) is None
    listed = cloud.admin.get("/manageable_snapshots/detail?host=host1@fake").json()["manageable-snapshots"]
    assert [(one["reference"], one["source_reference"]) for one in listed] == [
        ({"source-name": f"_snapshot-{snapshot}"}, {"source-name": volume})
    ]
    body = {"snapshot": {"volume_id": volume, "ref": {"source-name": f"_snapshot-{snapshot}"}, "name": "back"}}
    back = cloud.admin.post("/manageable_snapshots", json=body)
    assert back.status_code == 202, back.text
    cloud.lab.settle()
    assert cloud.snapshot(back.json()["snapshot"]["id"])["status"] == "available"
    assert attic.snapshots == {}


def test_what_there_is_to_take_in(cloud, attic):
    attic.put("b", 2)
    attic.put("a", 1)
    volume = cloud.make()
    found = cloud.admin.get("/manageable_volumes/detail?host=host1@fake&sort=reference:asc").json()["manageable-volumes"]
    assert [(one["reference"]["source-name"], one["size"], one["safe_to_manage"]) for one in found] == sorted([
        ("a", 1, True), ("b", 2, True), (volume, 1, False),
    ])  # fmt: skip
    assert next(one for one in found if not one["safe_to_manage"])["cinder_id"] == volume
    brief = cloud.admin.get("/os-volume-manage?host=host1@fake&sort=size:desc&limit=1").json()["manageable-volumes"]
    assert brief == [{"reference": {"source-name": "b"}, "size": 2, "safe_to_manage": True}]
    for query in ("", "host=atlantis@x", "host=host1@more", "host=host1@fake&sort=colour"):
        assert cloud.admin.get(f"/manageable_volumes?{query}").status_code == 400
    assert cloud.demo.get("/manageable_volumes?host=host1@fake").status_code == 403
    assert cloud.api("admin", "3.7").get("/manageable_volumes?host=host1@fake").status_code == 404


def test_what_cannot_be_taken_in(cloud, attic):
    attic.put("old", 1)
    assert manage(cloud, client=cloud.demo).status_code == 403
    assert manage(cloud, host="atlantis@x").status_code == 503
    assert manage(cloud, host="host1@more").status_code == 400
    assert manage(cloud, volume_type="none").status_code == 400
    for ref in ({}, "", 3, {"source-name": ""}):
        body = {"volume": {"host": "host1@fake", "ref": ref}}
        assert cloud.admin.post("/manageable_volumes", json=body).status_code == 400
    missing = manage(cloud, "nothing").json()["volume"]["id"]
    cloud.lab.settle()
    assert cloud.show(missing)["status"] == "error"
    assert cloud.admin.delete(f"/volumes/{missing}").status_code == 202
    cloud.lab.settle()
    assert cloud.show(missing) is None
    assert list(attic.volumes) == ["old"]
    body = {"snapshot": {"volume_id": GONE, "ref": {"source-name": "x"}}}
    assert cloud.admin.post("/manageable_snapshots", json=body).status_code == 404


def test_what_is_not_let_go_of(cloud, attic):
    id = cloud.make()
    snapshot = cloud.make_snapshot(id)
    assert cloud.act(id, "os-unmanage", {}, cloud.admin).status_code == 400
    cloud.demo.delete(f"/snapshots/{snapshot}")
    cloud.lab.settle()
    cloud.attach(id)
    assert cloud.act(id, "os-unmanage", {}, cloud.admin).status_code == 400
    assert cloud.show(id)["status"] == "in-use"
