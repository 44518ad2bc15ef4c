"""The metadata catalog: namespaces and what they define, who sees and who changes them."""

import pytest

AT = "/image/v2/metadefs/namespaces"


@pytest.fixture
def admin(lab):
    return lab.client("admin")


@pytest.fixture
def space(admin):
    """Makes a namespace."""

    def made(name="OS::Test", **fields):
        answer = admin.post(AT, json={"namespace": name, "visibility": "public", **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()

    return made


FULL = {
    "objects": [{"name": "cpu", "properties": {"cores": {"title": "Cores", "type": "integer"}}, "required": ["cores"]}],
    "properties": {"size": {"title": "Size", "type": "integer", "minimum": 1}},
    "tags": [{"name": "fast"}],
    "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "hw_"}],
}


def test_a_namespace_comes_with_all_it_defines(admin, space):
    made = space(**FULL)
    shown = admin.get(f"{AT}/OS::Test").json()
    assert shown == made
    assert shown["properties"] == {"size": {"title": "Size", "type": "integer", "minimum": 1}}
    assert [tag["name"] for tag in shown["tags"]] == ["fast"]
    assert shown["self"] == "/v2/metadefs/namespaces/OS::Test"
    prefixed = admin.get(f"{AT}/OS::Test?resource_type=OS::Glance::Image").json()
    assert list(prefixed["properties"]) == ["hw_size"]
    assert prefixed["objects"][0]["required"] == ["hw_cores"]


def test_names_are_taken_once(admin, space):
    space()
    assert admin.post(AT, json={"namespace": "OS::Test"}).status_code == 409
    space("OS::Other")
    assert admin.put(f"{AT}/OS::Other", json={"namespace": "OS::Test"}).status_code == 409


def test_what_is_protected_stays(admin, space):
    space(protected=True, **FULL)
    assert admin.delete(f"{AT}/OS::Test").status_code == 403
    assert admin.delete(f"{AT}/OS::Test/objects/cpu").status_code == 403
    assert admin.put(f"{AT}/OS::Test", json={"namespace": "OS::New", "protected": False}).json()["namespace"] == "OS::New"
    assert admin.delete(f"{AT}/OS::New").status_code == 204
    assert admin.get(f"{AT}/OS::New").status_code == 404


def test_others_see_what_is_public_and_change_nothing(lab, admin, space):
    space()
    space("OS::Hidden", visibility="private")
    demo = lab.client("demo")
    assert [one["namespace"] for one in demo.get(AT).json()["namespaces"]] == ["OS::Test"]
    assert demo.get(f"{AT}/OS::Hidden").status_code == 404
    assert demo.post(AT, json={"namespace": "OS::Mine"}).status_code == 403
    assert demo.post(f"{AT}/OS::Test/objects", json={"name": "x"}).status_code == 403
    assert demo.delete(f"{AT}/OS::Test").status_code == 403


def test_lists_have_pages_and_filters(admin, space):
    for name in ("a", "b", "c"):
        space(name, resource_type_associations=[{"name": f"OS::{name}"}])
    first = admin.get(f"{AT}?limit=2&sort_key=namespace&sort_dir=asc").json()
    assert [one["namespace"] for one in first["namespaces"]] == ["a", "b"]
    rest = admin.get("/image" + first["next"]).json()
    assert [one["namespace"] for one in rest["namespaces"]] == ["c"]
    assert [one["namespace"] for one in admin.get(f"{AT}?resource_types=OS::b").json()["namespaces"]] == ["b"]
    assert admin.get(f"{AT}?marker=nowhere").status_code == 404
    assert admin.get(f"{AT}?visibility=odd").status_code == 400


@pytest.mark.parametrize(
    ("plural", "body", "change"),
    [
        ("objects", {"name": "x", "description": "one"}, {"name": "y", "description": "two"}),
        ("properties", {"name": "x", "title": "X", "type": "string"}, {"name": "y", "title": "Y", "type": "string"}),
    ],
)
def test_definitions_come_change_and_go(admin, space, plural, body, change):
    space()
    at = f"{AT}/OS::Test/{plural}"
    assert admin.post(at, json=body).status_code == 201
    assert admin.post(at, json=body).status_code == 409
    assert admin.get(f"{at}/x").json().items() >= body.items()
    assert admin.put(f"{at}/x", json=change).json().items() >= change.items()
    assert admin.get(f"{at}/x").status_code == 404
    assert "y" in str(admin.get(at).json()[plural])
    assert admin.delete(f"{at}/y").status_code == 204
    assert admin.delete(f"{at}/y").status_code == 404
    assert not admin.get(at).json()[plural]


def test_tags(admin, space):
    space()
    at = f"{AT}/OS::Test/tags"
    names = lambda: [tag["name"] for tag in admin.get(at).json()["tags"]]  # noqa: E731
    assert admin.post(at, json={"tags": [{"name": "b"}, {"name": "a"}]}).status_code == 201
    assert names() == ["a", "b"]
    assert admin.post(at, json={"tags": [{"name": "c"}]}, headers={"X-Openstack-Append": "True"}).status_code == 201
    assert admin.post(f"{at}/d").status_code == 201
    assert admin.put(f"{at}/d", json={"name": "e"}).json()["name"] == "e"
    assert names() == ["a", "b", "c", "e"]
    assert admin.post(at, json={"tags": [{"name": "z"}]}).status_code == 201
    assert names() == ["z"]
    assert admin.delete(at).status_code == 204
    assert names() == []


def test_resource_types(admin, space):
    space()
    at = f"{AT}/OS::Test/resource_types"
    assert "OS::Nova::Server" in str(admin.get("/image/v2/metadefs/resource_types").json())
    assert admin.post(at, json={"name": "OS::Odd::Thing"}).status_code == 201
    assert {"name": "OS::Odd::Thing"} in admin.get("/image/v2/metadefs/resource_types").json()["resource_types"]
    assert [one["name"] for one in admin.get(at).json()["resource_type_associations"]] == ["OS::Odd::Thing"]
    assert admin.delete(f"{at}/OS::Odd::Thing").status_code == 204
    assert admin.delete(f"{at}/OS::Odd::Thing").status_code == 404


@pytest.mark.parametrize("name", ["namespace", "objects", "property", "properties", "tags", "resource_types"])
def test_schemas(admin, name):
    assert admin.get(f"/image/v2/schemas/metadefs/{name}").json()["properties"]
