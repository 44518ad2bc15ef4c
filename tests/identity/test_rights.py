"""Roles, assignments, the catalog and credentials."""

import pytest

from pileus.identity.service import catalog, credentials, projects, tokens
from pileus.kernel.settings import Settings
from tests.identity.conftest import on


def roles_in(door, user, scope):
    answer = door.by_password(user, scope)
    return [role["name"] for role in answer.json()["token"]["roles"]] if answer.status_code == 201 else answer.status_code


def test_roles_through_a_group_and_from_above(door, admin, make, ann, role_ids):
    child = make("project", name="child", parent_id=ann["project_id"])
    group = make("group", name="devs")
    admin.put(f"/groups/{group['id']}/users/{ann['id']}")
    assert roles_in(door, "ann", on("child")) == 401
    inherited = f"/OS-INHERIT/projects/{ann['project_id']}/groups/{group['id']}/roles/{role_ids['manager']}/inherited_to_projects"
    assert admin.head(inherited).status_code == 404
    assert admin.put(inherited).status_code == 204
    assert admin.head(inherited).status_code == 204
    assert roles_in(door, "ann", on("child")) == ["manager", "member", "reader"]
    assert roles_in(door, "ann", on("blue")) == ["member", "reader"]
    assert admin.delete(inherited).status_code == 204
    everywhere = f"/OS-INHERIT/domains/default/users/{ann['id']}/roles/{role_ids['reader']}/inherited_to_projects"
    admin.put(everywhere)
    assert roles_in(door, "ann", on("child")) == ["reader"]
    listed = admin.get(f"/OS-INHERIT/domains/default/users/{ann['id']}/roles/inherited_to_projects").json()["roles"]
    assert [role["name"] for role in listed] == ["reader"]
    assert child["id"] in [p["id"] for p in admin.get(f"/users/{ann['id']}/projects").json()["projects"]]


def test_implied_roles(door, admin, make, ann, role_ids):
    role = make("role", name="inspector")
    rule = f"/roles/{role_ids['member']}/implies/{role['id']}"
    assert admin.head(rule).status_code == 404
    shown = admin.put(rule)
    assert shown.status_code == 201
    assert shown.json()["role_inference"]["implies"]["name"] == "inspector"
    assert roles_in(door, "ann", on("blue")) == ["inspector", "member", "reader"]
    assert admin.put(f"/roles/{role['id']}/implies/{role_ids['member']}").status_code == 403
    assert admin.put(f"/roles/{role['id']}/implies/{role_ids['admin']}").status_code == 403
    assert admin.head(rule).status_code == 204
    names = {r["prior_role"]["name"] for r in admin.get("/role_inferences").json()["role_inferences"]}
    assert names == {"admin", "manager", "member"}
    assert admin.delete(rule).status_code == 204
    assert roles_in(door, "ann", on("blue")) == ["member", "reader"]


def test_a_role_of_a_domain_counts_only_by_what_it_implies(door, admin, make, ann, role_ids):
    role = make("role", name="keeper", domain_id="default")
    admin.put(f"/projects/{ann['project_id']}/users/{ann['id']}/roles/{role['id']}")
    admin.put(f"/roles/{role['id']}/implies/{role_ids['manager']}")
    assert roles_in(door, "ann", on("blue")) == ["manager", "member", "reader"]
    assert [r["name"] for r in admin.get("/roles?domain_id=default").json()["roles"]] == ["keeper"]
    assert "keeper" not in [r["name"] for r in admin.get("/roles").json()["roles"]]
    assert admin.put(f"/system/users/{ann['id']}/roles/{role['id']}").status_code == 403


def test_lists_of_assignments(admin, make, ann, role_ids):
    group = make("group", name="devs")
    admin.put(f"/groups/{group['id']}/users/{ann['id']}")
    admin.put(f"/projects/{ann['project_id']}/groups/{group['id']}/roles/{role_ids['manager']}")

    def listed(**query):
        return admin.get("/role_assignments", params=query).json()["role_assignments"]

    given = listed(**{"scope.project.id": ann["project_id"]})
    assert {next(key for key in ("user", "group") if key in entry) for entry in given} == {"user", "group"}
    named = listed(**{"user.id": ann["id"], "include_names": ""})
    assert named[0]["scope"]["project"]["domain"] == {"id": "default", "name": "Default"}
    assert named[0]["role"]["name"] == "member"
    effective = listed(**{"user.id": ann["id"], "effective": "", "include_names": ""})
    assert {entry["role"]["name"] for entry in effective} == {"manager", "member", "reader"}
    through = next(entry for entry in effective if entry["role"]["name"] == "manager")
    assert through["links"]["membership"].endswith(f"/groups/{group['id']}/users/{ann['id']}")
    assert len(listed(**{"scope.system": "all"})) == 1
    assert len(listed(**{"role.id": role_ids["manager"]})) == 1
    tree = {"include_subtree": "", "scope.project.id": ann["project_id"]}
    assert len(listed(**tree)) == 2


@pytest.mark.parametrize(
    "query",
    [
        "user.id=x&group.id=x",
        "scope.domain.id=x&scope.project.id=x",
        "scope.system=all&scope.domain.id=x",
        "scope.system=all&scope.project.id=x",
        "effective&group.id=x",
        "include_subtree",
        "scope.OS-INHERIT:inherited_to=x",
    ],
)
def test_filters_that_exclude_one_another(admin, query):
    assert admin.get(f"/role_assignments?{query}").status_code == 400


def test_grants_of_what_is_not_there(admin, ann, role_ids):
    place = f"/projects/{ann['project_id']}/users/{ann['id']}/roles"
    assert admin.put(f"{place}/nothing").status_code == 404
    assert admin.put(f"/projects/nowhere/users/{ann['id']}/roles/{role_ids['member']}").status_code == 404
    assert admin.put(f"/projects/{ann['project_id']}/users/nobody/roles/{role_ids['member']}").status_code == 404
    assert admin.delete(f"{place}/{role_ids['admin']}").status_code == 404
    assert [role["name"] for role in admin.get(place).json()["roles"]] == ["member"]


def test_the_catalog_follows_what_is_written(door, admin, make):
    service = make("service", type="testing", name="svc")
    endpoint = make("endpoint", service_id=service["id"], interface="public", url="http://t/$(project_id)s", region="RegionTwo")
    assert endpoint["region_id"] == "RegionTwo"

    def urls(scope):
        entries = door.by_password("admin", scope).json()["token"]["catalog"]
        return [e["url"] for entry in entries if entry["type"] == "testing" for e in entry["endpoints"]]

    project = admin.get("/projects?name=admin").json()["projects"][0]["id"]
    assert urls(on("admin")) == [f"http://t/{project}"]
    assert urls({"system": {"all": True}}) == []
    assert admin.delete("/regions/RegionTwo").status_code == 403
    admin.patch(f"/endpoints/{endpoint['id']}", json={"endpoint": {"enabled": False}})
    assert urls(on("admin")) == []
    assert admin.post("/endpoints", json={"endpoint": {**_plain(endpoint), "url": "http://$(home)s"}}).status_code == 400
    assert admin.delete(f"/services/{service['id']}").status_code == 204
    assert admin.get(f"/endpoints/{endpoint['id']}").status_code == 404
    assert admin.delete("/regions/RegionTwo").status_code == 204


def _plain(endpoint):
    return {key: endpoint[key] for key in ("service_id", "interface")}


def test_regions(admin, make):
    make("region", id="a")
    make("region", id="b", parent_region_id="a")
    assert admin.patch("/regions/a", json={"region": {"parent_region_id": "b"}}).status_code == 400
    assert admin.put("/regions/c", json={"region": {"description": "x"}}).json()["region"]["id"] == "c"
    assert admin.delete("/regions/a").status_code == 204
    assert admin.get("/regions/b").status_code == 404


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "http://127.0.0.1:8000/compute/v2.1"),
        ({"listen": "0.0.0.0:80"}, "http://127.0.0.1:80/compute/v2.1"),
        ({"public_host": "cloud.example"}, "http://cloud.example:8000/compute/v2.1"),
        ({"public_host": "cloud.example:81"}, "http://cloud.example:81/compute/v2.1"),
        ({"public_host": "https://cloud.example"}, "https://cloud.example/compute/v2.1"),
        ({"classic_ports": True}, "http://127.0.0.1:8774/v2.1"),
        ({"classic_ports": True, "public_host": "cloud.example"}, "http://cloud.example:8774/v2.1"),
    ],
)
def test_urls_follow_the_settings(changes, url):
    assert catalog.resolve(Settings(**changes), "$(own_url)s/compute/v2.1|8774/v2.1", "") == url


def test_what_other_services_ask(lab, door, ann):
    assert projects.get_name(lab.cloud, ann["project_id"]) == "blue"
    assert not projects.exists(lab.cloud, "nowhere")
    assert catalog.url_for(lab.cloud, "image").endswith("/image")
    assert tokens.context_of(lab.cloud, ann["id"], ann["project_id"]).roles == {"member", "reader"}


def test_ec2_key_pairs(door, ann, lab):
    client = door.as_(door.token("ann", on("blue")))
    keys = f"/users/{ann['id']}/credentials/OS-EC2"
    made = client.post(keys, json={"tenant_id": ann["project_id"]})
    assert made.status_code == 201
    pair = made.json()["credential"]
    assert credentials.find_ec2(lab.cloud, pair["access"]).secret == pair["secret"]
    assert client.get(f"{keys}/{pair['access']}").json()["credential"] == pair
    assert [key["access"] for key in client.get(keys).json()["credentials"]] == [pair["access"]]
    assert client.post(keys, json={"tenant_id": "nowhere"}).status_code == 404
    assert client.post(keys, json={}).status_code == 400
    stored = client.get("/credentials").json()["credentials"][0]
    assert stored["type"] == "ec2"
    assert client.delete(f"{keys}/{pair['access']}").status_code == 204
    assert credentials.find_ec2(lab.cloud, pair["access"]) is None


def test_secrets_are_their_owners_and_encrypted(door, admin, ann, lab):
    mine = door.as_(door.token("ann", on("blue")))
    made = mine.post("/credentials", json={"credential": {"type": "cert", "blob": "opensesame", "user_id": ann["id"]}})
    assert made.status_code == 201
    path = f"/credentials/{made.json()['credential']['id']}"
    assert mine.get(path).json()["credential"]["blob"] == "opensesame"
    assert door.as_(door.token("demo", on("demo"))).get(path).status_code == 403
    assert admin.get("/credentials?type=cert").json()["credentials"][0]["user_id"] == ann["id"]
    assert mine.patch(path, json={"credential": {"blob": "new"}}).json()["credential"]["blob"] == "new"
    with lab.cloud.db.read() as tx:
        assert b"new" not in repr(tx.exec_driver_sql("select encrypted_blob from identity_credentials").all()).encode()
    assert mine.delete(path).status_code == 204
    assert admin.get(path).status_code == 404


@pytest.fixture
def app_credential(door, ann):
    """Makes application credentials of ann's."""

    def made(**given):
        client = door.as_(door.token("ann", on("blue")))
        body = {"application_credential": {"name": "app", "secret": "s", **given}}
        return client.post(f"/users/{ann['id']}/application_credentials", json=body)

    return made


def test_an_application_credential_logs_in(door, ann, app_credential, lab):
    answer = app_credential(roles=[{"name": "reader"}], description="d")
    assert answer.status_code == 201, answer.text
    made = answer.json()["application_credential"]
    assert made["secret"] == "s"
    login = door.by_app_credential(id=made["id"], secret="s")
    token = login.json()["token"]
    assert token["methods"] == ["application_credential"]
    assert token["project"]["id"] == ann["project_id"]
    assert [role["name"] for role in token["roles"]] == ["reader"]
    assert token["application_credential"] == {"id": made["id"], "name": "app", "restricted": True}
    assert len(login.headers["X-Subject-Token"]) <= 255
    by_name = door.by_app_credential(name="app", secret="s", user={"name": "ann", "domain": {"id": "default"}})
    assert by_name.status_code == 201
    assert door.by_app_credential(id=made["id"], secret="wrong").status_code == 401
    again = door.by_token(login.headers["X-Subject-Token"])
    assert again.json()["token"]["application_credential"]["id"] == made["id"]
    assert len(again.headers["X-Subject-Token"]) <= 255
    assert door.by_token(login.headers["X-Subject-Token"], on("blue")).status_code == 403
    restricted = door.as_(login.headers["X-Subject-Token"])
    path = f"/users/{ann['id']}/application_credentials"
    assert restricted.post(path, json={"application_credential": {"name": "more"}}).status_code == 403
    assert "secret" not in door.as_(door.token("ann", on("blue"))).get(path).json()["application_credentials"][0]
    assert door.as_(door.token("ann", on("blue"))).delete(f"{path}/{made['id']}").status_code == 204
    assert door.see(login.headers["X-Subject-Token"]).status_code == 401


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"name": ""}, 400),
        ({"color": "red"}, 400),
        ({"roles": [{"name": "admin"}]}, 400),
        ({"roles": [{"name": "nothing"}]}, 404),
        ({"roles": [{}]}, 400),
        ({"expires_at": "2001-01-01T00:00:00Z"}, 400),
        ({"expires_at": "soon"}, 400),
        ({"access_rules": [{"service": "compute", "method": "GET"}]}, 400),
        ({"access_rules": [{"id": "nothing"}]}, 404),
    ],
)
def test_bad_application_credentials(app_credential, given, status):
    answer = app_credential(**given)
    assert answer.status_code == status, answer.text


def test_an_application_credential_ends(door, app_credential, lab):
    made = app_credential(expires_at="2023-11-14T23:00:00").json()["application_credential"]
    token = door.by_app_credential(id=made["id"], secret="s").headers["X-Subject-Token"]
    lab.clock.advance(3_600)
    assert door.see(token).status_code == 401
    assert door.by_app_credential(id=made["id"], secret="s").status_code == 401


def test_names_of_application_credentials_are_their_users_once(app_credential):
    assert app_credential().status_code == 201
    assert app_credential().status_code == 409


def test_access_rules_bind(door, ann, app_credential, lab):
    rules = [
        {"service": "identity", "method": "GET", "path": f"/v3/users/{ann['id']}"},
        {"service": "identity", "method": "GET", "path": "/v3/projects/{project_id}"},
        {"service": "network", "method": "GET", "path": "/v2.0/**"},
    ]
    made = app_credential(access_rules=rules).json()["application_credential"]
    token = door.by_app_credential(id=made["id"], secret="s").headers["X-Subject-Token"]
    client = door.as_(token)
    assert client.get(f"/users/{ann['id']}").status_code == 200
    assert client.get(f"/projects/{ann['project_id']}").status_code == 200
    assert client.get(f"/projects/{ann['project_id']}/tags").status_code == 401
    assert client.delete(f"/users/{ann['id']}").status_code == 401
    assert client.get("/regions").status_code == 401
    plain = door.as_(door.token("ann", on("blue")))
    listed = plain.get(f"/users/{ann['id']}/access_rules").json()["access_rules"]
    assert {rule["path"] for rule in listed} == {rule["path"] for rule in rules}
    one = f"/users/{ann['id']}/access_rules/{listed[0]['id']}"
    assert plain.get(one).status_code == 200
    assert plain.delete(one).status_code == 403
    plain.delete(f"/users/{ann['id']}/application_credentials/{made['id']}")
    assert plain.delete(one).status_code == 204


def test_nobody_makes_application_credentials_for_others(admin, ann):
    path = f"/users/{ann['id']}/application_credentials"
    assert admin.post(path, json={"application_credential": {"name": "x"}}).status_code == 403
