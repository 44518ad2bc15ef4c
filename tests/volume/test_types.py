"""Volume types over HTTP: who sees what, specs, access, encryption, defaults."""

import pytest

from tests.conftest import BLUE, RED

V352, V362 = {"OpenStack-API-Version": "volume 3.52"}, {"OpenStack-API-Version": "volume 3.62"}


@pytest.fixture
def admin(lab):
    return lab.client("admin")


@pytest.fixture
def demo(lab):
    return lab.client("demo")


def make(admin, name="fast", **facts):
    answer = admin.post("/volume/v3/types", json={"volume_type": {"name": name, **facts}})
    assert answer.status_code == 200, answer.text
    return answer.json()["volume_type"]


def names(client, query="", headers=None):
    answer = client.get(f"/volume/v3/types{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return sorted(each["name"] for each in answer.json()["volume_types"])


def add_volume(lab, type_id, **facts):
    from pileus.volume.store import volumes

    with lab.cloud.db.begin() as tx:
        volumes.add(
            tx, **{
                "id": "11111111-1111-4111-8111-111111111111", "project_id": BLUE, "user_id": "d" * 32, "created_at": 1.0,
                "status": "available", "size_gib": 1, "availability_zone": "nova", "volume_type_id": type_id,
                "scheduler_hints": {}, **facts,
            },
        )  # fmt: skip


def test_a_new_cloud_has_the_default_type(demo):
    assert names(demo) == ["__DEFAULT__"]
    shown = demo.get("/volume/v3/types/default").json()["volume_type"]
    assert (shown["name"], shown["is_public"], shown["os-volume-type-access:is_public"]) == ("__DEFAULT__", True, True)


def test_a_type_is_made_shown_changed_and_deleted(lab, admin, demo):
    specs = {"volume_backend_name": "fake", "multiattach": "<is> True"}
    made = make(admin, description="quick", extra_specs=specs)
    assert made == {
        "id": made["id"], "name": "fast", "description": "quick", "is_public": True, "extra_specs": specs,
        "os-volume-type-access:is_public": True,
    }  # fmt: skip
    assert admin.get(f"/volume/v3/types/{made['id']}").json()["volume_type"] == {**made, "qos_specs_id": None}
    seen = demo.get(f"/volume/v3/{BLUE}/types/{made['id']}").json()["volume_type"]
    assert seen["extra_specs"] == {"multiattach": "<is> True"}
    assert "qos_specs_id" not in seen
    url = f"/volume/v3/types/{made['id']}"
    changed = admin.put(url, json={"volume_type": {"name": "faster", "is_public": False}})
    assert changed.status_code == 200
    assert (changed.json()["volume_type"]["name"], changed.json()["volume_type"]["description"]) == ("faster", "quick")
    assert demo.get(url).status_code == 404
    assert admin.delete(url).status_code == 202
    gone = admin.get(url)
    assert gone.status_code == 404
    assert gone.json() == {"itemNotFound": {"code": 404, "message": f"Volume type {made['id']} could not be found."}}


def test_users_may_not_make_types(demo, admin):
    assert demo.post("/volume/v3/types", json={"volume_type": {"name": "x"}}).status_code == 403
    url = f"/volume/v3/types/{make(admin)['id']}"
    assert demo.put(url, json={"volume_type": {"name": "y"}}).status_code == 403
    assert demo.delete(url).status_code == 403


def test_a_name_is_taken_once(admin):
    make(admin)
    answer = admin.post("/volume/v3/types", json={"volume_type": {"name": "fast"}})
    assert answer.status_code == 409
    assert answer.json()["conflictingRequest"]["message"] == "Volume Type fast already exists."
    other = make(admin, "slow")
    assert admin.put(f"/volume/v3/types/{other['id']}", json={"volume_type": {"name": "fast"}}).status_code == 409


@pytest.mark.parametrize("body", [
    {}, {"volume_type": {}}, {"volume_type": {"name": ""}}, {"volume_type": {"name": "  "}}, {"volume_type": {"name": "x" * 256}},
    {"volume_type": {"name": "x", "os-volume-type-access:is_public": "maybe"}}, {"volume_type": {"name": "x", "odd": 1}},
    {"volume_type": {"name": "x", "extra_specs": {"a" * 256: "b"}}}, {"volume_type": {"name": "x", "extra_specs": []}},
    {"volume_type": {"name": "x", "extra_specs": {"multiattach": "<is> True", "cacheable": "<is> True"}}},
])  # fmt: skip
def test_a_type_that_cannot_be(admin, body):
    assert admin.post("/volume/v3/types", json=body).status_code == 400


@pytest.mark.parametrize("changes", [{}, {"name": " "}, {"name": ""}, {"is_public": "maybe"}, {"description": None}])
def test_a_change_that_cannot_be(admin, changes):
    answer = admin.put(f"/volume/v3/types/{make(admin)['id']}", json={"volume_type": changes})
    assert answer.status_code == 400


def test_defaults_are_not_deleted(lab, admin):
    default = admin.get("/volume/v3/types/default").json()["volume_type"]["id"]
    answer = admin.delete(f"/volume/v3/types/{default}")
    assert answer.status_code == 400
    text = f"The volume type {default} is a default volume type and cannot be deleted."
    assert answer.json()["badRequest"]["message"] == text
    assert admin.put(f"/volume/v3/types/{default}", json={"volume_type": {"name": "plain"}}).status_code == 200
    assert admin.get("/volume/v3/types/default").json()["volume_type"]["name"] == "plain"


def test_a_type_in_use_stays_as_it_is(lab, admin):
    made = make(admin, extra_specs={"a": "b"})
    add_volume(lab, made["id"])
    url = f"/volume/v3/types/{made['id']}"
    answer = admin.delete(url)
    assert answer.status_code == 400
    assert answer.json()["badRequest"]["message"] == "Target volume type is still in use."
    for answer in (
        admin.post(f"{url}/extra_specs", json={"extra_specs": {"c": "d"}}),
        admin.put(f"{url}/extra_specs/a", json={"a": "d"}),
        admin.delete(f"{url}/extra_specs/a"),
    ):
        assert answer.status_code == 400
        assert answer.json()["badRequest"]["message"] == "Volume Type is currently in use."
    wish = {"encryption": {"provider": "luks", "control_location": "front-end"}}
    answer = admin.post(f"{url}/encryption", json=wish)
    assert answer.json()["badRequest"]["message"] == "Cannot create encryption specs. Volume type in use."


def test_lists_by_publicity(lab, admin, demo):
    make(admin, "hidden", **{"os-volume-type-access:is_public": False})
    make(admin, "open")
    assert names(admin) == ["__DEFAULT__", "open"]
    assert names(admin, "?is_public=None") == ["__DEFAULT__", "hidden", "open"]
    assert names(admin, "?is_public=False") == ["hidden"]
    assert names(demo, "?is_public=None") == ["__DEFAULT__", "open"]
    assert admin.get("/volume/v3/types?is_public=perhaps").status_code == 400


def test_lists_by_extra_specs(admin, demo):
    make(admin, "one", extra_specs={"multiattach": "<is> True", "volume_backend_name": "fake"})
    make(admin, "two", extra_specs={"RESKEY:availability_zones": "az1,az2"})
    by = "?extra_specs="
    assert names(admin, by + "{'volume_backend_name': 'fake'}", V352) == ["one"]
    assert names(admin, by + "{'volume_backend_name': 'other'}", V352) == []
    assert names(demo, by + "{'multiattach':'<is> True'}", V352) == ["one"]
    assert names(demo, by + "{'RESKEY:availability_zones':'az2'}", V352) == ["two"]
    assert names(demo, by + "{'volume_backend_name': 'fake'}", V352) == []  # users do not see it
    assert admin.get("/volume/v3/types?extra_specs=[", headers=V352).status_code == 400
    assert demo.get("/volume/v3/types?odd=1", headers=V352).status_code == 400
    assert len(names(demo, "?odd=1")) == 3
    assert names(admin, "?odd=1", V352) == []


def test_pages(admin):
    for name in "abc":
        make(admin, name)
    answer = admin.get("/volume/v3/types?limit=2&sort=name:asc").json()
    assert [each["name"] for each in answer["volume_types"]] == ["__DEFAULT__", "a"]
    (link,) = answer["volume_type_links"]
    assert link["rel"] == "next"
    rest = admin.get(link["href"]).json()
    assert [each["name"] for each in rest["volume_types"]] == ["b", "c"]
    for query in ("limit=x", "limit=-1", "offset=-1", "sort=odd", "sort=name:up", "sort=name&sort_key=name"):
        assert admin.get(f"/volume/v3/types?{query}").status_code == 400, query
    assert admin.get("/volume/v3/types?marker=x").status_code == 404


def test_extra_specs(admin, demo):
    url = f"/volume/v3/types/{make(admin)['id']}/extra_specs"
    assert admin.post(url, json={"extra_specs": {"a": "1", "multiattach": "<is> True"}}).json()["extra_specs"]["a"] == "1"
    assert admin.put(f"{url}/a", json={"a": "2"}).json() == {"a": "2"}
    assert admin.get(url).json() == {"extra_specs": {"a": "2", "multiattach": "<is> True"}}
    assert demo.get(url).json() == {"extra_specs": {"multiattach": "<is> True"}}
    assert admin.get(f"{url}/a").json() == {"a": "2"}
    assert demo.get(f"{url}/a").status_code == 404
    assert demo.post(url, json={"extra_specs": {"a": "1"}}).status_code == 403
    assert admin.delete(f"{url}/a").status_code == 202
    answer = admin.delete(f"{url}/a")
    assert answer.status_code == 404
    assert answer.json()["itemNotFound"]["message"].endswith("has no extra specs with key a.")


def test_extra_specs_that_cannot_be(admin):
    url = f"/volume/v3/types/{make(admin)['id']}/extra_specs"
    for body in ({}, {"extra_specs": None}, {"extra_specs": {"a b": "1"}}, {"extra_specs": {"a": 1}}, {"extra_specs": {"": "1"}}):
        assert admin.post(url, json=body).status_code == 400, body
    for body in ({}, {"b": "1"}, {"a": "1", "b": "2"}, None):
        assert admin.put(f"{url}/a", json=body).status_code == 400, body
    assert admin.post("/volume/v3/types/none/extra_specs", json={"extra_specs": {"a": "1"}}).status_code == 404


def test_access(admin, demo, lab):
    made = make(admin, "hidden", **{"os-volume-type-access:is_public": False})
    url = f"/volume/v3/types/{made['id']}"
    grant = {"addProjectAccess": {"project": BLUE}}
    assert admin.post(f"{url}/action", json=grant).status_code == 202
    again = admin.post(f"{url}/action", json=grant)
    assert again.status_code == 409
    text = f"Volume type access for {made['id']} / {BLUE} combination already exists."
    assert again.json()["conflictingRequest"]["message"] == text
    assert admin.get(f"{url}/os-volume-type-access").json() == {
        "volume_type_access": [{"volume_type_id": made["id"], "project_id": BLUE}]
    }
    assert names(demo) == ["__DEFAULT__", "hidden"]
    assert lab.client("other").get(url).status_code == 404
    assert demo.post(f"{url}/action", json=grant).status_code == 403
    take = {"removeProjectAccess": {"project": BLUE}}
    assert admin.post(f"{url}/action", json=take).status_code == 202
    assert admin.post(f"{url}/action", json=take).status_code == 404
    assert demo.get(url).status_code == 404
    assert admin.post(f"{url}/action", json={"odd": {}}).status_code == 400


def test_public_types_have_no_access_list(admin):
    url = f"/volume/v3/types/{make(admin)['id']}"
    answer = admin.post(f"{url}/action", json={"addProjectAccess": {"project": BLUE}})
    assert answer.status_code == 400
    text = "Invalid volume type: Type access modification is not applicable to public volume type."
    assert answer.json()["badRequest"]["message"] == text
    assert admin.get(f"{url}/os-volume-type-access").status_code == 404


def test_encryption(admin, demo):
    made = make(admin)
    url = f"/volume/v3/types/{made['id']}/encryption"
    assert admin.get(url).json() == {}
    wish = {"provider": "luks", "key_size": "256", "cipher": "aes-xts-plain64", "control_location": "front-end"}
    answer = admin.post(url, json={"encryption": wish})
    assert answer.status_code == 200
    got = answer.json()["encryption"]
    assert {**wish, "key_size": 256, "volume_type_id": made["id"], "encryption_id": got["encryption_id"]} == got
    again = admin.post(url, json={"encryption": wish})
    assert again.status_code == 400
    assert again.json()["badRequest"]["message"] == f"Volume type encryption for type {made['id']} already exists."
    assert admin.put(f"{url}/provider", json={"encryption": {"key_size": 128}}).json() == {"encryption": {"key_size": 128}}
    assert admin.get(url).json()["key_size"] == 128
    assert admin.get(f"{url}/cipher").json() == {"cipher": "aes-xts-plain64"}
    assert admin.get(f"{url}/odd").status_code == 404
    assert demo.get(url).status_code == 403
    assert admin.delete(f"{url}/provider").status_code == 202
    gone = admin.delete(f"{url}/provider")
    assert gone.status_code == 404
    assert admin.get(url).json() == {}


@pytest.mark.parametrize("wish", [
    {}, {"provider": "luks"}, {"provider": "luks", "control_location": "middle"},
    {"provider": "luks", "control_location": "front-end", "key_size": "big"},
    {"provider": "luks", "control_location": "front-end", "key_size": -1},
])  # fmt: skip
def test_an_encryption_that_cannot_be(admin, wish):
    assert admin.post(f"/volume/v3/types/{make(admin)['id']}/encryption", json={"encryption": wish}).status_code == 400


def test_default_types_of_projects(lab, admin, demo):
    made = make(admin)
    project = lab.ctx("admin").project_id
    url = f"/volume/v3/default-types/{project}"
    assert admin.get(url, headers=V362).status_code == 404
    answer = admin.put(url, json={"default_type": {"volume_type": "fast"}}, headers=V362)
    assert answer.json() == {"default_type": {"project_id": project, "volume_type_id": made["id"]}}
    assert admin.get(url, headers=V362).json() == answer.json()
    assert admin.get("/volume/v3/default-types", headers=V362).json()["default_types"] == [answer.json()["default_type"]]
    assert admin.get("/volume/v3/types/default").json()["volume_type"]["name"] == "fast"
    assert demo.get("/volume/v3/types/default").json()["volume_type"]["name"] == "__DEFAULT__"
    assert admin.delete(f"/volume/v3/types/{made['id']}").status_code == 400
    assert admin.put(url, json={"default_type": {"volume_type": "odd"}}, headers=V362).status_code == 400
    unknown = f"/volume/v3/default-types/{RED}"
    assert admin.put(unknown, json={"default_type": {"volume_type": "fast"}}, headers=V362).status_code == 404
    assert (
        demo.put(f"/volume/v3/default-types/{BLUE}", json={"default_type": {"volume_type": "fast"}}, headers=V362).status_code
        == 403
    )
    assert admin.delete(url, headers=V362).status_code == 204
    assert admin.get("/volume/v3/types/default").json()["volume_type"]["name"] == "__DEFAULT__"
    assert admin.get(url).status_code == 404  # before 3.62 there is no such thing


def test_resource_filters(demo):
    found = demo.get("/volume/v3/resource_filters?resource=volume_type", headers=V352).json()
    assert found == {"resource_filters": [{"resource": "volume_type", "filters": ["is_public", "extra_specs"]}]}
    assert demo.get("/volume/v3/resource_filters").status_code == 404
