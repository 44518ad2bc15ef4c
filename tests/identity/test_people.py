"""Users, groups, projects, domains."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.identity.conftest import on


def test_a_user_from_birth_to_death(admin, make, door):
    user = make("user", name="ann", password="secret", email="a@example.org", enabled=True)
    assert user["email"] == "a@example.org"
    assert user["domain_id"] == "default"
    assert "password" not in user
    assert user["links"]["self"].endswith(f"/v3/users/{user['id']}")
    changed = admin.patch(f"/users/{user['id']}", json={"user": {"name": "eve", "description": "x"}}).json()["user"]
    assert (changed["name"], changed["description"], changed["email"]) == ("eve", "x", "a@example.org")
    assert admin.get(f"/users/{user['id']}").json()["user"] == changed
    assert admin.delete(f"/users/{user['id']}").status_code == 204
    answer = admin.get(f"/users/{user['id']}")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == f"Could not find user: {user['id']}."


@pytest.mark.parametrize(
    ("noun", "body", "status"),
    [
        ("user", {"name": "admin"}, 409),
        ("user", {}, 400),
        ("user", {"name": ""}, 400),
        ("user", {"name": "x" * 256}, 400),
        ("user", {"name": "x", "enabled": "yes"}, 400),
        ("user", {"name": "x", "domain_id": "nowhere"}, 404),
        ("user", {"name": "x", "default_project_id": "default"}, 400),
        ("project", {"name": "demo"}, 409),
        ("project", {"name": "x" * 65}, 400),
        ("project", {"name": "x", "tags": ["a,b"]}, 400),
        ("project", {"name": "x", "parent_id": "nowhere"}, 404),
        ("domain", {"name": "Default"}, 409),
        ("domain", {"name": None}, 400),
        ("group", {"description": "x"}, 400),
        ("role", {"name": "admin"}, 409),
        ("service", {"name": "x"}, 400),
        ("endpoint", {"service_id": "x", "interface": "sideways", "url": "http://x"}, 400),
        ("endpoint", {"service_id": "x", "interface": "public", "url": "http://x"}, 400),
        ("region", {"id": "RegionOne"}, 409),
        ("credential", {"type": "ec2", "blob": "{"}, 400),
    ],
)
def test_bad_creates(admin, noun, body, status):
    answer = admin.post(f"/{noun}s", json={noun: body})
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == status


def test_of_two_creates_of_one_name_one_is_refused(admin):
    def create(_):
        return admin.post("/users", json={"user": {"name": "twin"}}).status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(create, range(4)))
    assert statuses == [201, 409, 409, 409]


def test_lists_are_filtered_and_paged(admin, make):
    for name in ("u1", "u2", "u3"):
        make("user", name=name, enabled=name != "u2")

    def names(**query):
        return [user["name"] for user in admin.get("/users", params=query).json()["users"]]

    assert names(name="u1") == ["u1"]
    assert names(enabled="false") == ["u2"]
    assert names(name__startswith="u", enabled="") == ["u1", "u3"]
    assert names(name__icontains="U") == ["u1", "u2", "u3"]
    assert names(domain_id="nowhere") == []
    page = admin.get("/users", params={"limit": 2}).json()
    assert [user["name"] for user in page["users"]] == ["admin", "demo"]
    rest = admin.get(page["links"]["next"]).json()
    assert [user["name"] for user in rest["users"]] == ["u1", "u2"]
    assert admin.get("/users", params={"limit": "x"}).status_code == 400
    assert admin.get("/users", params={"marker": "x"}).status_code == 404


def test_an_id_cannot_be_changed(admin, make):
    user = make("user", name="ann")
    assert admin.patch(f"/users/{user['id']}", json={"user": {"id": "x"}}).status_code == 400
    assert admin.patch(f"/users/{user['id']}", json={"user": {"domain_id": "x"}}).status_code == 400


def test_groups_and_their_users(admin, make):
    group, user = make("group", name="devs"), make("user", name="ann")
    member = f"/groups/{group['id']}/users/{user['id']}"
    assert admin.head(member).status_code == 404
    assert admin.put(member).status_code == 204
    assert admin.put(member).status_code == 204
    assert admin.head(member).status_code == 204
    assert [u["name"] for u in admin.get(f"/groups/{group['id']}/users").json()["users"]] == ["ann"]
    assert [g["name"] for g in admin.get(f"/users/{user['id']}/groups").json()["groups"]] == ["devs"]
    assert admin.delete(member).status_code == 204
    assert admin.delete(member).status_code == 404
    assert admin.put(f"/groups/{group['id']}/users/nobody").status_code == 404
    assert admin.patch(f"/groups/{group['id']}", json={"group": {"description": "d"}}).json()["group"]["description"] == "d"
    assert admin.delete(f"/groups/{group['id']}").status_code == 204


def test_projects_stand_in_a_hierarchy(admin, make):
    a = make("project", name="a", description="top")
    b = make("project", name="b", parent_id=a["id"])
    c = make("project", name="c", parent_id=b["id"])
    assert (a["parent_id"], a["is_domain"]) == ("default", False)
    shown = admin.get(f"/projects/{b['id']}?parents_as_list&subtree_as_list").json()["project"]
    assert [p["project"]["name"] for p in shown["parents"]] == ["a"]
    assert [p["project"]["name"] for p in shown["subtree"]] == ["c"]
    assert admin.get(f"/projects/{a['id']}?subtree_as_ids").json()["project"]["subtree"] == {b["id"]: {c["id"]: None}}
    parents = admin.get(f"/projects/{c['id']}?parents_as_ids").json()["project"]["parents"]
    assert parents == {b["id"]: {a["id"]: {"default": None}}}
    assert admin.get(f"/projects/{a['id']}?parents_as_ids&parents_as_list").status_code == 400
    assert admin.delete(f"/projects/{a['id']}").status_code == 403
    assert admin.patch(f"/projects/{a['id']}", json={"project": {"enabled": False}}).status_code == 403
    assert admin.patch(f"/projects/{a['id']}", json={"project": {"parent_id": b["id"]}}).status_code == 403
    for project in (c, b, a):
        assert admin.patch(f"/projects/{project['id']}", json={"project": {"enabled": False}}).status_code == 200
    assert admin.patch(f"/projects/{c['id']}", json={"project": {"enabled": True}}).status_code == 403
    assert admin.post("/projects", json={"project": {"name": "d", "parent_id": c["id"]}}).status_code == 403
    for project in (c, b, a):
        assert admin.delete(f"/projects/{project['id']}").status_code == 204


def test_a_hierarchy_is_not_deeper_than_five(admin, make):
    parent = "default"
    for depth in range(4):
        parent = make("project", name=f"p{depth}", parent_id=parent)["id"]
    assert admin.post("/projects", json={"project": {"name": "deep", "parent_id": parent}}).status_code == 403


def test_tags(admin, make):
    project = make("project", name="p", tags=["red", "blue"])
    tags = f"/projects/{project['id']}/tags"
    assert admin.get(tags).json()["tags"] == ["blue", "red"]
    assert admin.put(f"{tags}/green").status_code == 201
    assert admin.head(f"{tags}/green").status_code == 204
    assert admin.delete(f"{tags}/red").status_code == 204
    assert admin.get(f"{tags}/red").status_code == 404
    assert [p["name"] for p in admin.get("/projects?tags=blue,green").json()["projects"]] == ["p"]
    assert admin.get("/projects?tags=blue,red").json()["projects"] == []
    assert [p["name"] for p in admin.get("/projects?tags-any=blue,red").json()["projects"]] == ["p"]
    assert "p" not in [p["name"] for p in admin.get("/projects?not-tags-any=blue").json()["projects"]]
    assert admin.put(tags, json={"tags": ["x"]}).json()["tags"] == ["x"]
    assert admin.delete(tags).status_code == 204
    assert admin.get(f"/projects/{project['id']}").json()["project"]["tags"] == []


def test_a_domain_must_be_disabled_before_it_goes_with_all_in_it(admin, make):
    domain = make("domain", name="far")
    user = make("user", name="eve", domain_id=domain["id"])
    top = make("project", name="p", domain_id=domain["id"])
    make("project", name="q", parent_id=top["id"])
    make("role", name="keeper", domain_id=domain["id"])
    make("group", name="g", domain_id=domain["id"])
    answer = admin.delete(f"/domains/{domain['id']}")
    assert answer.status_code == 403
    assert "disable it first" in answer.json()["error"]["message"]
    admin.patch(f"/domains/{domain['id']}", json={"domain": {"enabled": False}})
    assert admin.delete(f"/domains/{domain['id']}").status_code == 204
    assert admin.get(f"/users/{user['id']}").status_code == 404
    assert admin.get("/projects", params={"domain_id": domain["id"]}).json()["projects"] == []


def test_a_project_that_acts_as_a_domain(admin, make):
    made = make("project", name="far", is_domain=True)
    assert made["is_domain"]
    assert "far" in [d["name"] for d in admin.get("/domains").json()["domains"]]
    assert "far" in [p["name"] for p in admin.get("/projects?is_domain=true").json()["projects"]]


def test_what_is_immutable_stays(admin, role_ids, make):
    role = f"/roles/{role_ids['admin']}"
    assert admin.delete(role).status_code == 403
    assert admin.patch(role, json={"role": {"name": "boss"}}).status_code == 403
    project = make("project", name="p", options={"immutable": True})
    assert admin.delete(f"/projects/{project['id']}").status_code == 403
    admin.patch(f"/projects/{project['id']}", json={"project": {"options": {"immutable": False}}})
    assert admin.delete(f"/projects/{project['id']}").status_code == 204


def test_deleting_a_project_tells_the_other_services(admin, make, lab):
    heard = []
    lab.cloud.events.subscribe("identity.project.deleted", lambda tx, cloud, facts: heard.append(facts["id"]))
    project = make("project", name="p")
    admin.delete(f"/projects/{project['id']}")
    assert heard == [project["id"]]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users"), ("POST", "/users"), ("GET", "/projects"), ("GET", "/groups"), ("GET", "/domains"),
        ("GET", "/roles"), ("GET", "/role_assignments"), ("GET", "/services"), ("GET", "/endpoints"), ("POST", "/regions"),
        ("GET", "/users/{other}"), ("DELETE", "/users/{other}"), ("GET", "/users/nobody"), ("GET", "/projects/{foreign}"),
        ("GET", "/users/{other}/projects"), ("GET", "/users/{other}/application_credentials"),
        ("GET", "/users/{other}/credentials/OS-EC2"),
    ],
)  # fmt: skip
def test_what_a_member_may_not(door, admin, ann, method, path):
    users = {user["name"]: user["id"] for user in admin.get("/users").json()["users"]}
    foreign = admin.get("/projects?name=admin").json()["projects"][0]["id"]
    bodies = {"/users": {"user": {"name": "x"}}, "/regions": {"region": {"id": "x"}}}
    client = door.as_(door.token("ann", on("blue")))
    answer = client.request(method, path.format(other=users["admin"], foreign=foreign), json=bodies.get(path))
    assert answer.status_code == 403, answer.text
    assert answer.json()["error"]["message"].startswith("You are not authorized to perform the requested action: identity:")


def test_what_a_member_may(door, ann):
    client = door.as_(door.token("ann", on("blue")))
    for path in (f"/users/{ann['id']}", f"/users/{ann['id']}/projects", f"/projects/{ann['project_id']}", "/regions",
                 "/domains/default", f"/users/{ann['id']}/groups"):  # fmt: skip
        assert client.get(path).status_code == 200, path
    unscoped = door.as_(door.token("ann", "unscoped"))
    assert [p["name"] for p in unscoped.get(f"/users/{ann['id']}/projects").json()["projects"]] == ["blue"]


@pytest.fixture
def far(admin, make, role_ids, door):
    """A domain with a manager in it, and a client with their token for the domain."""
    domain = make("domain", name="far")
    boss = make("user", name="boss", domain_id=domain["id"], password="secret")
    admin.put(f"/domains/{domain['id']}/users/{boss['id']}/roles/{role_ids['manager']}")
    login = {"identity": {"methods": ["password"], "password": {"user": {"id": boss["id"], "password": "secret"}}}}
    token = door.post(login, {"domain": {"id": domain["id"]}}).headers["X-Subject-Token"]
    return domain["id"], door.as_(token)


def test_the_manager_of_a_domain_rules_it_and_nothing_else(far, ann, admin, role_ids):
    domain_id, boss = far
    assert [user["name"] for user in boss.get("/users").json()["users"]] == ["boss"]
    user = boss.post("/users", json={"user": {"name": "joe", "domain_id": domain_id}}).json()["user"]
    project = boss.post("/projects", json={"project": {"name": "p", "domain_id": domain_id}}).json()["project"]
    grant = f"/projects/{project['id']}/users/{user['id']}/roles"
    assert boss.put(f"{grant}/{role_ids['member']}").status_code == 204
    assert boss.put(f"{grant}/{role_ids['admin']}").status_code == 403
    assert len(boss.get("/role_assignments").json()["role_assignments"]) == 2
    assert boss.get(f"/users/{ann['id']}").status_code == 403
    assert boss.post("/users", json={"user": {"name": "x", "domain_id": "default"}}).status_code == 403
    assert boss.put(f"/projects/{ann['project_id']}/users/{user['id']}/roles/{role_ids['member']}").status_code == 403
    assert boss.delete(f"/domains/{domain_id}").status_code == 403
    assert boss.delete(f"/users/{user['id']}").status_code == 204


def test_a_reader_of_the_system_sees_all_and_changes_nothing(door, admin, ann, role_ids):
    assert admin.put(f"/system/users/{ann['id']}/roles/{role_ids['reader']}").status_code == 204
    reader = door.as_(door.token("ann", {"system": {"all": True}}))
    for path in ("/users", "/projects", "/domains", "/roles", "/role_assignments", "/services", "/credentials"):
        assert reader.get(path).status_code == 200, path
    assert reader.post("/users", json={"user": {"name": "x"}}).status_code == 403
    assert reader.post("/domains", json={"domain": {"name": "x"}}).status_code == 403
