"""Volumes that are given from one project to another."""

import pytest

from tests.volume.test_attachments import SERVER, client, connections, made, make_volume, set_volume, volume

ROOTS = ("os-volume-transfer", "volume-transfers")


def offer(lab, volume_id, persona="demo", root=ROOTS[1], version="3.71", **more):
    body = {"transfer": {"volume_id": volume_id, **more}}
    return client(lab, persona, version).post(f"/volume/v3/{root}", json=body)


def offered(lab, volume_id, **more):
    answer = offer(lab, volume_id, **more)
    assert answer.status_code == 202, answer.text
    return answer.json()["transfer"]


def accept(lab, id, key, persona="other", root=ROOTS[1], version="3.71"):
    return client(lab, persona, version).post(f"/volume/v3/{root}/{id}/accept", json={"accept": {"auth_key": key}})


def take_snapshot(lab, volume_id):
    body = {"snapshot": {"volume_id": volume_id, "force": True}}
    answer = client(lab, version="3.0").post("/volume/v3/snapshots", json=body)
    assert answer.status_code == 202, answer.text
    lab.settle()
    return answer.json()["snapshot"]["id"]


def snapshot_of(lab, id, persona):
    return client(lab, persona).get(f"/volume/v3/snapshots/{id}")


def usage(lab, persona):
    project = lab.ctx(persona).project_id
    found = client(lab, "admin").get(f"/volume/v3/os-quota-sets/{project}?usage=true").json()["quota_set"]
    return {name: found[name]["in_use"] for name in ("volumes", "snapshots", "gigabytes")}


@pytest.mark.parametrize("root", ROOTS)
def test_a_volume_goes_to_another_project(lab, root):
    id = make_volume(lab, name="data", metadata={"a": "b"})
    transfer = offered(lab, id, root=root, name=" gift ")
    assert (transfer["name"], transfer["volume_id"], len(transfer["auth_key"])) == ("gift", id, 16)
    assert (transfer["source_project_id"], transfer["destination_project_id"], transfer["accepted"]) == ("b" * 32, None, False)
    assert volume(lab, id)["status"] == "awaiting-transfer"
    answer = accept(lab, transfer["id"], transfer["auth_key"], root=root)
    assert answer.status_code == 202
    taken = answer.json()["transfer"]
    assert (taken["id"], taken["volume_id"], taken["name"]) == (transfer["id"], id, "gift")
    seen = volume(lab, id, "other")
    assert (seen["status"], seen["name"], seen["user_id"], seen["metadata"]["a"]) == ("available", "data", "f" * 32, "b")
    assert client(lab).get(f"/volume/v3/volumes/{id}").status_code == 404
    assert client(lab).get(f"/volume/v3/{root}/{transfer['id']}").status_code == 404
    assert accept(lab, transfer["id"], transfer["auth_key"], root=root).status_code == 404


def test_the_key_is_told_once_and_only_its_hash_is_kept(lab):
    from sqlalchemy import select

    from pileus.volume.tables.transfers import transfers

    made = offered(lab, make_volume(lab))
    assert "auth_key" not in client(lab).get(f"/volume/v3/volume-transfers/{made['id']}").json()["transfer"]
    with lab.cloud.db.read() as tx:
        row = tx.execute(select(transfers)).one()
    assert made["auth_key"] not in str(row)


def test_who_does_not_know_the_key_gets_nothing(lab):
    id = make_volume(lab)
    transfer = offered(lab, id)
    for wrong in ("", "0" * 16, transfer["auth_key"].upper() + "x", 7):
        answer = accept(lab, transfer["id"], wrong)
        assert answer.status_code == 400
        told = f"Invalid auth key: Attempt to transfer {transfer['id']} with invalid auth key."
        assert answer.json()["badRequest"]["message"] == told
    assert volume(lab, id)["status"] == "awaiting-transfer"
    assert accept(lab, SERVER, transfer["auth_key"]).status_code == 404


def test_snapshots_and_what_is_used_go_with_the_volume(lab):
    id = make_volume(lab)
    snapshot = take_snapshot(lab, id)
    assert usage(lab, "demo") == {"volumes": 1, "snapshots": 1, "gigabytes": 2}
    transfer = offered(lab, id)
    accept(lab, transfer["id"], transfer["auth_key"])
    assert usage(lab, "demo") == {"volumes": 0, "snapshots": 0, "gigabytes": 0}
    assert usage(lab, "other") == {"volumes": 1, "snapshots": 1, "gigabytes": 2}
    assert snapshot_of(lab, snapshot, "other").status_code == 200
    assert snapshot_of(lab, snapshot, "demo").status_code == 404


def test_a_volume_may_go_without_its_snapshots(lab):
    id = make_volume(lab)
    snapshot = take_snapshot(lab, id)
    transfer = offered(lab, id, no_snapshots=True)
    assert transfer["no_snapshots"] is True
    accept(lab, transfer["id"], transfer["auth_key"])
    assert snapshot_of(lab, snapshot, "demo").status_code == 200
    assert usage(lab, "demo") == {"volumes": 0, "snapshots": 1, "gigabytes": 1}
    assert usage(lab, "other") == {"volumes": 1, "snapshots": 0, "gigabytes": 1}


@pytest.mark.parametrize("limit", [{"volumes": 0}, {"gigabytes": 1}, {"snapshots": 0}, {"per_volume_gigabytes": 0}])
def test_nothing_moves_when_the_taker_has_no_room(lab, limit):
    id = make_volume(lab)
    take_snapshot(lab, id)
    transfer = offered(lab, id)
    project = lab.ctx("other").project_id
    answer = client(lab, "admin").put(f"/volume/v3/os-quota-sets/{project}", json={"quota_set": limit})
    assert answer.status_code == 200, answer.text
    assert accept(lab, transfer["id"], transfer["auth_key"]).status_code == 413
    assert volume(lab, id)["status"] == "awaiting-transfer"
    assert usage(lab, "demo") == {"volumes": 1, "snapshots": 1, "gigabytes": 2}


def test_a_project_may_take_its_own_offer_with_a_full_quota(lab):
    id = make_volume(lab)
    project = lab.ctx("demo").project_id
    client(lab, "admin").put(f"/volume/v3/os-quota-sets/{project}", json={"quota_set": {"volumes": 1}})
    transfer = offered(lab, id)
    assert accept(lab, transfer["id"], transfer["auth_key"], "demo").status_code == 202
    assert volume(lab, id)["status"] == "available"


def test_an_offer_is_taken_back(lab):
    id = make_volume(lab)
    transfer = offered(lab, id)
    assert offer(lab, id).status_code == 400
    assert client(lab).delete(f"/volume/v3/volume-transfers/{transfer['id']}").status_code == 202
    assert volume(lab, id)["status"] == "available"
    assert client(lab).delete(f"/volume/v3/volume-transfers/{transfer['id']}").status_code == 404
    assert accept(lab, transfer["id"], transfer["auth_key"]).status_code == 404
    offered(lab, id)


# ---- states


@pytest.mark.parametrize("status", ["creating", "in-use", "reserved", "error", "deleting", "extending", "maintenance"])
def test_only_an_available_volume_is_offered(lab, status):
    id = make_volume(lab)
    set_volume(lab, id, status=status)
    answer = offer(lab, id)
    assert answer.status_code == 400
    assert answer.json()["badRequest"]["message"] == "Invalid volume: status must be available"


def test_a_volume_that_someone_reaches_is_not_offered(lab):
    id = make_volume(lab)
    body = {"os-initialize_connection": {"connector": {"host": "metal1"}}}
    client(lab).post(f"/volume/v3/volumes/{id}/action", json=body)
    assert len(connections(lab, id)) == 1
    assert offer(lab, id).status_code == 400


def test_a_volume_of_a_group_is_neither_offered_nor_taken(lab):
    id, other = make_volume(lab), make_volume(lab)
    transfer = offered(lab, id)
    for volume_id in (id, other):
        set_volume(lab, volume_id, group_id=SERVER)
    assert offer(lab, other).status_code == 400
    answer = accept(lab, transfer["id"], transfer["auth_key"])
    assert answer.status_code == 400
    assert "consistency group" in answer.text


def test_a_volume_whose_snapshot_is_busy_is_not_offered_with_it(lab):
    from pileus.volume.store import snapshots

    id = make_volume(lab)
    snapshot = take_snapshot(lab, id)
    with lab.cloud.db.begin() as tx:
        snapshots.change(tx, snapshot, status="error")
    answer = offer(lab, id)
    assert answer.json()["badRequest"]["message"] == f"Invalid snapshot: snapshot: {snapshot} status must be available"
    assert offer(lab, id, no_snapshots=True).status_code == 202


def test_an_offered_volume_is_not_for_use(lab):
    id = make_volume(lab)
    offered(lab, id)
    api = client(lab)
    assert api.post("/volume/v3/attachments", json={"attachment": {"volume_uuid": id}}).status_code == 400
    assert api.delete(f"/volume/v3/volumes/{id}").status_code == 400


def test_a_volume_that_is_no_longer_awaiting_is_not_taken(lab):
    id = make_volume(lab)
    transfer = offered(lab, id)
    set_volume(lab, id, status="available")
    made(client(lab), id, instance_uuid=SERVER)
    answer = accept(lab, transfer["id"], transfer["auth_key"])
    assert answer.status_code == 400
    assert "expected awaiting-transfer" in answer.text
    assert client(lab).delete(f"/volume/v3/volume-transfers/{transfer['id']}").status_code == 202
    assert volume(lab, id)["status"] == "reserved"


def test_an_encrypted_volume_goes_with_its_key_since_3_70(lab):
    from pileus.volume.store import keys

    id = make_volume(lab)
    with lab.cloud.db.begin() as tx:
        keys.add(tx, SERVER, "b" * 32, "sealed")
    set_volume(lab, id, encryption_key_id=SERVER)
    assert offer(lab, id, version="3.69").status_code == 400
    assert offer(lab, id, root=ROOTS[0]).status_code == 400
    assert offer(lab, id, no_snapshots=True).status_code == 400
    transfer = offered(lab, id, version="3.70")
    accept(lab, transfer["id"], transfer["auth_key"])
    from sqlalchemy import select

    from pileus.volume.tables.volumes import volume_keys

    with lab.cloud.db.read() as tx:
        assert tx.execute(select(volume_keys.c.project_id)).scalars().all() == ["c" * 32]


# ---- shapes and lists


def test_what_is_told_grows_with_the_microversion(lab):
    id = make_volume(lab)
    transfer = offered(lab, id)

    def names(version):
        return set(client(lab, version=version).get(f"/volume/v3/volume-transfers/{transfer['id']}").json()["transfer"])

    assert names("3.0") == {"id", "volume_id", "name", "links", "created_at"}
    assert names("3.55") - names("3.0") == {"no_snapshots"}
    assert names("3.57") - names("3.55") == {"source_project_id", "destination_project_id", "accepted"}
    assert offer(lab, id, version="3.54", no_snapshots=True).status_code == 400
    assert offer(lab, id, root=ROOTS[0], no_snapshots=True).status_code == 400
    project = client(lab).get(f"/volume/v3/{'b' * 32}/volume-transfers/{transfer['id']}").json()["transfer"]
    assert project["links"][0]["href"].endswith(f"/volume/v3/{'b' * 32}/os-volume-transfer/{transfer['id']}")


def test_lists(lab):
    ids = []
    for number in range(3):
        lab.clock.advance(1)
        ids.append(offered(lab, make_volume(lab), name=f"gift {number}")["id"])

    def found(query="", root=ROOTS[1], version="3.71", persona="demo"):
        answer = client(lab, persona, version).get(f"/volume/v3/{root}{query}")
        assert answer.status_code == 200, answer.text
        return [transfer["id"] for transfer in answer.json()["transfers"]]

    assert found(root=ROOTS[0]) == ids
    assert found(version="3.58") == ids
    assert found("?sort=created_at:asc") == ids
    assert found("?sort=name:desc&limit=2") == ids[:0:-1]
    assert found(f"?sort=name:asc&limit=1&marker={ids[0]}") == [ids[1]]
    assert found("?name=gift 1") == [ids[1]]
    assert found("/detail?limit=1&sort=name") == [ids[2]]
    assert found(persona="other") == []
    assert found("?all_tenants=1", persona="other") == []
    assert found("?all_tenants=1&sort=created_at:asc", persona="admin") == ids
    assert found("?all_tenants=0", persona="admin") == []
    brief = client(lab).get("/volume/v3/volume-transfers?limit=1").json()
    assert set(brief["transfers"][0]) == {"id", "volume_id", "name", "links"}
    assert brief["transfers_links"][0]["rel"] == "next"
    detailed = client(lab).get("/volume/v3/os-volume-transfer/detail").json()["transfers"][0]
    assert "auth_key" not in detailed
    assert client(lab).get("/volume/v3/volume-transfers?sort=key_hash").status_code == 400
    assert client(lab).get("/volume/v3/volume-transfers?limit=x").status_code == 400


# ---- bad input, rights


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"transfer": {}},
        {"transfer": {"volume_id": "x"}},
        {"transfer": {"volume_id": SERVER, "name": "x" * 256}},
        {"transfer": {"volume_id": SERVER, "name": 1}},
        {"transfer": {"volume_id": SERVER, "no_snapshots": "perhaps"}},
        {"transfer": {"volume_id": SERVER, "more": 1}},
        {"transfer": {"volume_id": SERVER}, "more": 1},
    ],
)
def test_bodies_that_make_no_sense_are_refused(lab, body):
    assert client(lab).post("/volume/v3/volume-transfers", json=body).status_code == 400


@pytest.mark.parametrize("body", [{}, {"accept": {}}, {"accept": {"auth_key": None}}, {"accept": {"auth_key": [], "more": 1}}])
def test_an_acceptance_needs_a_key(lab, body):
    transfer = offered(lab, make_volume(lab))
    answer = client(lab, "other").post(f"/volume/v3/volume-transfers/{transfer['id']}/accept", json=body)
    assert answer.status_code == 400


def test_rights(lab):
    id = make_volume(lab)
    assert offer(lab, id, "reader").status_code == 403
    assert offer(lab, id, "other").status_code == 404
    assert offer(lab, SERVER).status_code == 404
    transfer = offered(lab, id)
    one = f"/volume/v3/volume-transfers/{transfer['id']}"
    assert client(lab, "reader").get(one).status_code == 200
    assert client(lab, "other").get(one).status_code == 404
    assert client(lab, "nobody").get("/volume/v3/volume-transfers").status_code == 403
    assert client(lab, "reader").delete(one).status_code == 403
    assert client(lab, "other").delete(one).status_code == 404
    assert accept(lab, transfer["id"], transfer["auth_key"], "reader").status_code == 403
    assert client(lab, "admin").delete(one).status_code == 202


def test_of_several_who_take_it_one_gets_it(lab):
    from tests.volume.test_attach_races import race

    id = make_volume(lab)
    transfer = offered(lab, id)
    takers = [lambda: accept(lab, transfer["id"], transfer["auth_key"]).status_code] * 3
    answers = race(*takers, lambda: client(lab).delete(f"/volume/v3/volume-transfers/{transfer['id']}").status_code)
    assert answers.count(202) == 1
    owner = "demo" if answers[3] == 202 else "other"
    assert volume(lab, id, owner)["status"] == "available"
