"""Qualities of service over HTTP."""

import pytest


@pytest.fixture
def admin(lab):
    return lab.client("admin")


def make(admin, name="gold", **specs):
    answer = admin.post("/volume/v3/qos-specs", json={"qos_specs": {"name": name, **specs}})
    assert answer.status_code == 200, answer.text
    return answer.json()["qos_specs"]


def make_type(admin, name="fast"):
    return admin.post("/volume/v3/types", json={"volume_type": {"name": name}}).json()["volume_type"]["id"]


def test_specs_are_made_changed_and_deleted(admin):
    made = make(admin, consumer="front-end", read_iops_sec="2000")
    assert made == {"id": made["id"], "name": "gold", "consumer": "front-end", "specs": {"read_iops_sec": "2000"}}
    url = f"/volume/v3/qos-specs/{made['id']}"
    shown = admin.get(url).json()
    assert shown["qos_specs"] == made
    assert [link["rel"] for link in shown["links"]] == ["self", "bookmark"]
    assert shown["links"][0]["href"].endswith(url)
    assert admin.put(url, json={"qos_specs": {"size_iops_sec": "1"}}).json() == {"qos_specs": {"size_iops_sec": "1"}}
    assert admin.put(url, json={"qos_specs": {"consumer": "both"}}).status_code == 200
    now = admin.get(url).json()["qos_specs"]
    assert (now["consumer"], now["specs"]) == ("both", {"read_iops_sec": "2000", "size_iops_sec": "1"})
    assert admin.put(f"{url}/delete_keys", json={"keys": ["size_iops_sec"]}).status_code == 202
    missing = admin.put(f"{url}/delete_keys", json={"keys": ["read_iops_sec", "odd"]})
    assert missing.status_code == 404
    assert missing.json()["itemNotFound"]["message"] == f"QoS spec {made['id']} has no spec with key odd."
    assert admin.get(url).json()["qos_specs"]["specs"] == {}
    assert admin.delete(url).status_code == 202
    gone = admin.get(url)
    assert gone.json()["itemNotFound"]["message"] == f"No such QoS spec {made['id']}."


def test_a_list(admin):
    for name in ("a", "b", "c"):
        make(admin, name, consumer="front-end" if name == "b" else "both")
    names = lambda query: [each["name"] for each in admin.get(f"/volume/v3/qos-specs{query}").json()["qos_specs"]]  # noqa: E731
    assert names("?sort=name:asc") == ["a", "b", "c"]
    assert names("?consumer=front-end") == ["b"]
    assert names("?sort=name:asc&limit=1&offset=1") == ["b"]


def test_who_keeps_a_promise_when_it_does_not_say(admin):
    assert make(admin)["consumer"] == "back-end"


def test_types_have_specs(admin):
    made, type_id, other = make(admin), make_type(admin), make(admin, "silver")
    url = f"/volume/v3/qos-specs/{made['id']}"
    assert admin.get(f"{url}/associate?vol_type_id={type_id}").status_code == 202
    assert admin.get(f"{url}/associations").json() == {
        "qos_associations": [{"association_type": "volume_type", "name": "fast", "id": type_id}]
    }
    assert admin.get(f"/volume/v3/types/{type_id}").json()["volume_type"]["qos_specs_id"] == made["id"]
    refused = admin.get(f"/volume/v3/qos-specs/{other['id']}/associate?vol_type_id={type_id}")
    assert refused.status_code == 400
    used = admin.delete(url)
    assert used.status_code == 400
    assert used.json()["badRequest"]["message"] == "Qos specs still in use."
    assert admin.get(f"{url}/disassociate?vol_type_id={type_id}").status_code == 202
    assert admin.get(f"{url}/associations").json() == {"qos_associations": []}
    for each in (type_id, make_type(admin, "slow")):
        admin.get(f"{url}/associate?vol_type_id={each}")
    assert len(admin.get(f"{url}/associations").json()["qos_associations"]) == 2
    assert admin.get(f"{url}/disassociate_all").status_code == 202
    assert admin.get(f"{url}/associations").json() == {"qos_associations": []}
    admin.get(f"{url}/associate?vol_type_id={type_id}")
    assert admin.delete(f"{url}?force=True").status_code == 202
    assert admin.get(f"/volume/v3/types/{type_id}").json()["volume_type"]["qos_specs_id"] is None


def test_bad_input(admin, lab):
    made = make(admin)
    url = f"/volume/v3/qos-specs/{made['id']}"
    for specs in ({}, {"name": " "}, {"name": "x" * 256}, {"name": "x", "a": 1}, {"name": "x", "consumer": "odd"}):
        assert admin.post("/volume/v3/qos-specs", json={"qos_specs": specs}).status_code == 400, specs
    assert admin.post("/volume/v3/qos-specs", json={"qos_specs": {"name": "gold"}}).status_code == 409
    assert admin.put(url, json={"qos_specs": {"consumer": "odd"}}).status_code == 400
    assert admin.put(url, json={"qos_specs": {"a": 1}}).status_code == 400
    assert admin.put(f"{url}/delete_keys", json={"keys": ["a", "a"]}).status_code == 400
    assert admin.get(f"{url}/associate").status_code == 400
    assert admin.get(f"{url}/associate?vol_type_id=none").status_code == 404
    assert admin.get("/volume/v3/qos-specs/none/associations").status_code == 404
    assert admin.delete(f"{url}?force=odd").status_code == 400
    demo = lab.client("demo")
    assert demo.get("/volume/v3/qos-specs").status_code == 403
    assert demo.get(url).status_code == 403
