"""/servers/{id}/os-volume_attachments."""

import pytest

from tests.compute.servers_lab import LATEST

NOWHERE = "11111111-2222-4333-8444-555555555555"


def _client(store, version, persona="demo"):
    return store.lab.client(persona, {"OpenStack-API-Version": f"compute {version}"})


def _url(id, volume=""):
    return f"/compute/v2.1/servers/{id}/os-volume_attachments" + (f"/{volume}" if volume else "")


def shared_volume(store):
    """Make a volume that several servers may have."""
    admin = store.lab.client("admin")
    root = "/volume/v3/" + "a" * 31 + "0/types"
    kind = {"name": "shared", "extra_specs": {"multiattach": "<is> True"}}
    assert admin.post(root, json={"volume_type": kind}).status_code == 200
    return store.volume(volume_type="shared")


def test_what_each_microversion_shows(store):
    id, volume = store.boot(), store.volume()
    store.attach(id, volume, tag="data", delete_on_termination=True)
    fields = {
        "2.1": {"id", "volumeId", "serverId", "device"},
        "2.70": {"id", "volumeId", "serverId", "device", "tag"},
        "2.79": {"id", "volumeId", "serverId", "device", "tag", "delete_on_termination"},
        "2.89": {"volumeId", "serverId", "device", "tag", "delete_on_termination", "attachment_id", "bdm_uuid"},
    }
    for version, names in fields.items():
        client = _client(store, version)
        (listed,) = client.get(_url(id)).json()["volumeAttachments"]
        assert set(listed) == names, version
        assert client.get(_url(id, volume)).json()["volumeAttachment"] == listed
        (brief,) = client.get(f"/compute/v2.1/servers/{id}").json()["server"]["os-extended-volumes:volumes_attached"]
        assert set(brief) == ({"id"} if version == "2.1" else {"id", "delete_on_termination"})
    assert (listed["tag"], listed["delete_on_termination"]) == ("data", True)
    attachments = store.see(volume)["attachments"]
    assert listed["attachment_id"] == attachments[0]["attachment_id"]


def test_the_answer_to_an_attachment(store):
    id, one, two = store.boot(), store.volume(), store.volume()
    first = store.ask(id, one, _client(store, "2.1")).json()["volumeAttachment"]
    assert first == {"id": one, "volumeId": one, "serverId": id, "device": "/dev/vdb"}
    store.lab.settle()
    assert _client(store, "2.1").get(_url(id)).json()["volumeAttachments"] == [first]
    second = store.ask(id, two, device="/dev/vdd", tag="x").json()["volumeAttachment"]
    assert (second["device"], second["tag"], second["delete_on_termination"]) == ("/dev/vdd", "x", False)
    store.lab.settle()
    assert [entry["device"] for entry in store.attached(id)] == ["/dev/vdb", "/dev/vdd"]
    assert len(store.demo.get(_url(id) + "?limit=1&offset=1").json()["volumeAttachments"]) == 1
    assert store.demo.get(_url(id) + "?wrong=1").status_code == 400
    assert _client(store, "2.74").get(_url(id) + "?wrong=1").status_code == 200


@pytest.mark.parametrize(
    ("version", "wanted", "status"),
    [
        ("2.1", {"tag": "x"}, 400),
        ("2.49", {"delete_on_termination": True}, 400),
        ("2.79", {"device": "vdb"}, 400),
        ("2.79", {"device": "/dev/vdb "}, 400),
        ("2.79", {"volumeId": "no"}, 400),
        ("2.79", {"volumeId": NOWHERE}, 404),
        ("2.79", {"device": "/dev/vda"}, 409),
        ("2.79", {"tag": "a,b"}, 400),
        ("2.79", {"wrong": 1}, 400),
        ("2.79", {"delete_on_termination": "maybe"}, 400),
        ("2.79", {"device": None}, 200),
    ],
)
def test_what_is_refused_of_an_attachment(store, version, wanted, status):
    id, volume = store.boot(), store.volume()
    body = {"volumeAttachment": {"volumeId": volume, **wanted}}
    answer = _client(store, version).post(_url(id), json=body)
    assert answer.status_code == status, answer.text
    if status != 200:
        assert store.status(volume) == "available"


def test_a_volume_belongs_to_one_server_at_a_time(store):
    one, two, volume = store.boot(), store.boot(), store.volume()
    store.attach(one, volume)
    again = store.ask(one, volume)
    assert (again.status_code, "already attached" in again.text) == (400, True)
    assert store.ask(two, volume).status_code == 400
    assert store.detach(two, volume).status_code == 404
    assert store.demo.get(_url(two, volume)).status_code == 404


def test_a_shared_volume_belongs_to_several(store):
    volume = shared_volume(store)
    one, two = store.boot(), store.boot()
    old = store.ask(one, volume, _client(store, "2.59"))
    assert (old.status_code, "2.60" in old.text) == (400, True)
    store.attach(one, volume)
    store.attach(two, volume)
    assert (store.connected(volume), store.status(volume)) == (2, "in-use")
    assert store.ask(two, volume).status_code == 400
    assert store.demo.delete(f"/compute/v2.1/servers/{one}/os-volume_attachments/{volume}").status_code == 202
    assert store.status(volume) == "detaching"
    store.lab.settle()
    assert (store.connected(volume), store.status(volume), store.plugged(two)) == (1, "in-use", [volume])
    store.act(one, "shelve")
    store.lab.settle()
    assert store.ask(one, volume).status_code == 400
    store.delete(two)
    assert store.status(volume) == "available"


def test_the_state_and_the_lock_of_the_server_count(store):
    id, volume, other = store.boot(), store.volume(), store.volume()
    store.attach(id, other)
    store.act(id, "suspend")
    store.lab.settle()
    assert store.ask(id, volume).status_code == 409
    assert store.detach(id, other).status_code == 409
    store.act(id, "resume")
    store.lab.settle()
    store.act(id, "lock")
    assert store.lab.client("demo", LATEST).post(_url(id), json={"volumeAttachment": {"volumeId": volume}}).status_code == 409
    assert store.detach(id, other).status_code == 409


def test_what_may_be_changed_of_an_attachment(store):
    id, volume, other = store.boot(), store.volume(), store.volume()
    made = store.attach(id, volume, tag="x")

    def put(client=None, **changes):
        body = {"volumeAttachment": {"volumeId": volume, **changes}}
        return (client or store.demo).put(_url(id, volume), json=body)

    assert put(delete_on_termination=True, device=made["device"], tag="x", serverId=id, id=volume).status_code == 202
    assert store.attached(id)[0]["delete_on_termination"] is True
    for wrong in ({"device": "/dev/vdz"}, {"tag": "y"}, {"serverId": NOWHERE}, {"id": other}):
        assert put(**wrong).status_code == 400, wrong
    assert put(_client(store, "2.84"), delete_on_termination=True).status_code == 400
    assert put(volumeId=other).status_code == 403
    service = _client(store, "2.85", "service")
    assert put(_client(store, "2.84")).status_code == 403
    swapped = service.put(_url(id, volume), json={"volumeAttachment": {"volumeId": other}})
    assert swapped.status_code in (404, 409)
    assert store.demo.put(_url(id, other), json={"volumeAttachment": {"volumeId": other}}).status_code == 404
    assert store.attached(id)[0]["volumeId"] == volume
    store.delete(id)
    store.lab.settle()
    assert store.see(volume) is None


def test_readers_see_and_others_do_not(store):
    id, volume = store.boot(), store.volume()
    store.attach(id, volume)
    reader, stranger = store.lab.client("reader", LATEST), store.lab.client("other", LATEST)
    assert len(reader.get(_url(id)).json()["volumeAttachments"]) == 1
    assert reader.delete(_url(id, volume)).status_code == 403
    assert reader.post(_url(id), json={"volumeAttachment": {"volumeId": volume}}).status_code == 403
    for method, url in (("GET", _url(id)), ("GET", _url(id, volume)), ("DELETE", _url(id, volume))):
        assert stranger.request(method, url).status_code == 404
    theirs = stranger.post(_url(id), json={"volumeAttachment": {"volumeId": volume}})
    assert theirs.status_code == 404


def test_what_a_guest_is_told_of_its_volumes(store):
    from pileus.compute import guest_data
    from pileus.compute.store import server_volumes, servers

    id, volume = store.boot(), store.volume()
    store.attach(id, volume, tag="data")
    with store.lab.cloud.db.read() as tx:
        facts = guest_data.Facts(servers.get(tx, id), [], volumes=server_volumes.of(tx, id))
    (device,) = guest_data.meta_data(facts, "2018-08-27")["devices"]
    assert (device["type"], device["serial"], device["path"], device["tags"]) == ("disk", volume, "/dev/vdb", ["data"])
    mapping = guest_data.ec2(facts, "2009-04-04")["meta-data"]["block-device-mapping"]
    assert mapping == {"ami": "vda", "root": "/dev/vda", "ebs0": "vdb"}


def test_the_limits_of_a_volume_type_hold_for_the_disk(store):
    admin = store.lab.client("admin")
    root = "/volume/v3/" + "a" * 31 + "0"
    qos = {"name": "slow", "consumer": "front-end", "total_iops_sec": "100", "read_bytes_sec": "2000"}
    spec = admin.post(f"{root}/qos-specs", json={"qos_specs": qos})
    assert spec.status_code == 200, spec.text
    kind = admin.post(f"{root}/types", json={"volume_type": {"name": "slow"}}).json()["volume_type"]["id"]
    qos_id = spec.json()["qos_specs"]["id"]
    assert admin.get(f"{root}/qos-specs/{qos_id}/associate?vol_type_id={kind}").status_code == 202
    id, volume = store.boot(), store.volume(volume_type="slow")
    store.attach(id, volume)
    assert store.lab.hypervisor.guests[id].volumes[volume].limits == {"total_iops_sec": 100, "read_bytes_sec": 2000}


def test_a_volume_that_may_only_be_read_is_plugged_in_so(store):
    id, volume = store.boot(), store.volume()
    url = "/volume/v3/" + "b" * 32 + f"/volumes/{volume}/action"
    assert store.cinder.post(url, json={"os-update_readonly_flag": {"readonly": True}}).status_code == 202
    store.attach(id, volume)
    assert store.lab.hypervisor.guests[id].volumes[volume].read_only is True


def test_a_service_detaches_by_force_from_a_guest_that_does_not_let_go(store):
    id, volume = store.boot(), store.volume()
    store.attach(id, volume)
    store.lab.hypervisor.deaf.add(id)
    admin, service = store.lab.client("admin"), store.lab.client("admin", roles=["admin", "service"])
    url = "/volume/v3/" + "a" * 31 + f"0/volumes/{volume}/action"
    (attachment,) = store.see(volume)["attachments"]
    body = {"os-force_detach": {"attachment_id": attachment["attachment_id"]}}
    assert (admin.post(url, json=body).status_code, store.status(volume)) == (409, "in-use")
    answer = service.post(url, json=body)
    assert answer.status_code == 202, answer.text
    store.lab.settle()
    assert (store.status(volume), store.attached(id), store.connected(volume)) == ("available", [], 0)
    assert store.tasks() == []


def test_a_list_of_servers_costs_as_many_questions_however_many_volumes_there_are(store):
    from sqlalchemy import event

    asked = []
    event.listen(store.lab.cloud.db.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))

    def count():
        asked.clear()
        assert store.demo.get("/compute/v2.1/servers/detail").status_code == 200
        return len(asked)

    store.attach(store.boot(), store.volume())
    few = count()
    for _ in range(3):
        store.attach(store.boot(), store.volume())
    assert count() == few
