"""Logging in, and what becomes of tokens."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pileus.identity import loops
from pileus.identity.service.bootstrap import bootstrap
from pileus.identity.state import state_of
from pileus.identity.store import revisions
from tests.conftest import make_lab
from tests.identity.conftest import Door, on

UNAUTHENTICATED = "The request you have made requires authentication."


def test_versions_are_public(lab):
    answer = lab.anonymous.get("/identity/")
    assert answer.status_code == 300
    assert answer.json()["versions"]["values"][0]["id"] == "v3.14"
    assert lab.anonymous.get("/identity/v3").json()["version"]["links"][0]["href"].endswith("/identity/v3/")


def test_a_password_gives_a_token_for_a_project(door):
    answer = door.by_password("admin", on("admin"))
    token = answer.json()["token"]
    assert answer.status_code == 201
    assert len(answer.headers["X-Subject-Token"]) <= 255
    assert token["methods"] == ["password"]
    assert token["project"]["name"] == "admin"
    assert token["project"]["domain"] == {"id": "default", "name": "Default"}
    assert token["is_domain"] is False
    assert [role["name"] for role in token["roles"]] == ["admin", "manager", "member", "reader"]
    assert {entry["type"] for entry in token["catalog"]} >= {"identity", "image", "compute", "network", "placement"}
    assert token["user"]["password_expires_at"] is None
    assert token["expires_at"].endswith(".000000Z")


def test_the_catalog_can_be_left_out(door):
    assert "catalog" not in door.by_password("admin", on("admin"), nocatalog="").json()["token"]


@pytest.mark.parametrize(
    ("user", "scope", "facts"),
    [
        ("admin", {"system": {"all": True}}, {"system": {"all": True}}),
        ("admin", "unscoped", {}),
        ("admin", {"unscoped": {}}, {}),
        ("demo", None, {}),
    ],
)
def test_scopes(door, user, scope, facts):
    answer = door.by_password(user, scope)
    assert answer.status_code == 201, answer.text
    token = answer.json()["token"]
    assert {key: token[key] for key in ("system", "domain", "project") if key in token} == facts


def test_the_default_project_is_the_scope_when_none_is_named(door, admin, ann):
    admin.patch(f"/users/{ann['id']}", json={"user": {"default_project_id": ann["project_id"]}})
    assert door.by_password("ann").json()["token"]["project"]["id"] == ann["project_id"]
    assert "project" not in door.by_password("ann", "unscoped").json()["token"]


def test_a_domain_token_needs_a_role_on_the_domain(door, admin, ann, role_ids):
    scope = {"domain": {"name": "Default"}}
    assert door.by_password("ann", scope).status_code == 401
    admin.put(f"/domains/default/users/{ann['id']}/roles/{role_ids['reader']}")
    token = door.by_password("ann", scope).json()["token"]
    assert token["domain"] == {"id": "default", "name": "Default"}
    assert [role["name"] for role in token["roles"]] == ["reader"]


@pytest.mark.parametrize(
    ("user", "password", "scope"),
    [
        ("admin", "wrong", on("admin")),
        ("nobody", "secret", on("admin")),
        ("demo", None, on("admin")),
        ("demo", None, on("nowhere")),
        ("demo", None, {"system": {"all": True}}),
        ("demo", None, {"project": {"id": "f" * 32}}),
        ("demo", None, {"domain": {"id": "nowhere"}}),
        ("demo", None, {"OS-TRUST:trust": {"id": "x"}}),
    ],
)
def test_a_login_that_fails_does_not_say_why(door, user, password, scope):
    answer = door.by_password(user, scope, password)
    assert answer.status_code == 401
    assert answer.json()["error"] == {"code": 401, "title": "Unauthorized", "message": UNAUTHENTICATED}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"auth": {}}, 400),
        ({"auth": {"identity": {"methods": []}}}, 400),
        ({"auth": {"identity": {"methods": ["password"]}}}, 400),
        ({"auth": {"identity": {"methods": ["totp"], "totp": {}}}}, 400),
        ({"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "admin", "password": "x"}}}}}, 400),
        ({"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": "x"}}}}}, 400),
        ({"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}, "scope": {}}}, 400),
        ({"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}, "scope": {"project": {"name": "x"}}}}, 404),
        ({"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}}}, 404),
        ({"auth": []}, 400),
    ],
)
def test_bad_bodies(lab, body, status):
    answer = lab.anonymous.post("/identity/v3/auth/tokens", json=body)
    assert answer.status_code == status, answer.text


def test_a_body_that_is_not_json(lab):
    assert lab.anonymous.post("/identity/v3/auth/tokens", content=b"{").status_code == 400
    assert lab.anonymous.post("/identity/v3/auth/tokens").status_code == 400


def test_rescoping_keeps_the_end_and_the_chain(door, lab):
    first = door.by_password("admin", "unscoped")
    lab.clock.advance(100)
    second = door.by_token(first.headers["X-Subject-Token"], on("demo"))
    old, new = first.json()["token"], second.json()["token"]
    assert new["expires_at"] == old["expires_at"]
    assert new["issued_at"] > old["issued_at"]
    assert new["methods"] == ["password", "token"]
    assert new["audit_ids"][1] == old["audit_ids"][0]
    third = door.by_token(second.headers["X-Subject-Token"], on("admin")).json()["token"]
    assert third["audit_ids"][1] == old["audit_ids"][0]
    assert len(second.headers["X-Subject-Token"]) <= 255


def test_a_system_token_cannot_become_one_for_a_project(door):
    answer = door.by_token(door.token("admin", {"system": {"all": True}}), on("admin"))
    assert answer.status_code == 403


def test_two_methods_must_name_the_same_user(door):
    token = door.token("demo")
    user = {"name": "admin", "domain": {"id": "default"}, "password": door.password_of("admin")}
    both = {"methods": ["password", "token"], "password": {"user": user}, "token": {"id": token}}
    assert door.post({"identity": both}).status_code == 401
    both["token"]["id"] = door.token("admin")
    assert door.post({"identity": both}).json()["token"]["methods"] == ["password", "token"]


def test_validating(door):
    admin, demo = door.token("admin", on("admin")), door.token("demo", on("demo"))
    assert door.see(admin, demo).json()["token"]["user"]["name"] == "demo"
    assert door.see(demo).headers["X-Subject-Token"] == demo
    assert door.see(demo, admin).status_code == 403
    assert door.see(admin, "gAAAA-nonsense").status_code == 404
    assert door.as_(admin).get("/auth/tokens").status_code == 404
    head = door.as_(admin).head("/auth/tokens", headers={"X-Subject-Token": demo})
    assert (head.status_code, head.content) == (200, b"")


def test_a_token_ends(door, lab):
    demo = door.token("demo", on("demo"))
    lab.clock.advance(14_401)
    admin = door.token("admin", on("admin"))
    assert door.see(demo).status_code == 401
    assert door.see(admin, demo).status_code == 404
    assert door.see(admin, demo, allow_expired="1").status_code == 200
    lab.clock.advance(172_801)
    admin = door.token("admin", on("admin"))
    assert door.see(admin, demo, allow_expired="1").status_code == 404


def test_revoking(door):
    admin, demo, other = door.token("admin", on("admin")), door.token("demo", on("demo")), door.token("demo", on("demo"))
    assert door.as_(demo).delete("/auth/tokens", headers={"X-Subject-Token": admin}).status_code == 403
    assert door.as_(demo).delete("/auth/tokens", headers={"X-Subject-Token": demo}).status_code == 204
    assert door.see(demo).status_code == 401
    assert door.see(admin, demo).status_code == 404
    assert door.see(admin, other).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda admin, ann: admin.patch(f"/users/{ann['id']}", json={"user": {"enabled": False}}),
        lambda admin, ann: admin.patch(f"/users/{ann['id']}", json={"user": {"password": "other"}}),
        lambda admin, ann: admin.patch(f"/projects/{ann['project_id']}", json={"project": {"enabled": False}}),
        lambda admin, ann: admin.delete(f"/projects/{ann['project_id']}"),
        lambda admin, ann: admin.delete(f"/users/{ann['id']}"),
    ],
    ids=["user disabled", "password changed", "project disabled", "project deleted", "user deleted"],
)
def test_what_makes_a_token_void(door, admin, ann, change):
    token = door.token("ann", on("blue"))
    assert door.see(token).status_code == 200
    assert change(admin, ann).status_code in (200, 204)
    assert door.see(token).status_code == 401
    assert door.see(admin.headers["X-Auth-Token"], token).status_code == 404


def test_a_void_token_stays_void_when_the_user_is_enabled_again(door, admin, ann):
    token = door.token("ann", on("blue"))
    for enabled in (False, True):
        admin.patch(f"/users/{ann['id']}", json={"user": {"enabled": enabled}})
    assert door.see(token).status_code == 401
    assert door.by_password("ann", on("blue")).status_code == 201


def test_a_role_taken_away_counts_at_once(door, admin, ann, role_ids):
    token = door.token("ann", on("blue"))
    place = f"/projects/{ann['project_id']}/users/{ann['id']}/roles"
    admin.put(f"{place}/{role_ids['reader']}")
    admin.delete(f"{place}/{role_ids['member']}")
    assert [role["name"] for role in door.see(token).json()["token"]["roles"]] == ["reader"]
    admin.delete(f"{place}/{role_ids['reader']}")
    assert door.see(token).status_code == 401


def test_a_disabled_domain_shuts_its_users_out(door, admin, make, lab, role_ids):
    domain = make("domain", name="far")
    user = make("user", name="eve", domain_id=domain["id"], password="secret")
    project = make("project", name="p", domain_id=domain["id"])
    admin.put(f"/projects/{project['id']}/users/{user['id']}/roles/{role_ids['member']}")
    login = {"identity": {"methods": ["password"], "password": {"user": {"id": user["id"], "password": "secret"}}}}
    token = door.post(login, {"project": {"id": project["id"]}}).headers["X-Subject-Token"]
    admin.patch(f"/domains/{domain['id']}", json={"domain": {"enabled": False}})
    assert door.see(token).status_code == 401
    assert door.post(login).status_code == 401
    admin.patch(f"/domains/{domain['id']}", json={"domain": {"enabled": True}})
    assert door.see(token).status_code == 401
    assert door.post(login).status_code == 201


def test_another_process_sees_a_revocation(door, lab):
    """A second state over the same files and database stands for a second process."""
    token = door.token("demo", on("demo"))
    other = make_lab(Path(lab.cloud.settings.state_dir))
    try:
        assert Door(other).see(token).status_code == 200
        door.as_(token).delete("/auth/tokens", headers={"X-Subject-Token": token})
        assert Door(other).see(token).status_code == 401
    finally:
        other.app.close()
        other.cloud.db.dispose()


def test_keys_rotate_under_load(door, lab):
    old = door.token("admin", on("admin"))
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(door.by_token, old, on("demo")) for _ in range(40)]
        for _ in range(3):
            lab.clock.advance(1)
            state_of(lab.cloud).token_keys.rotate(lab.clock.now(), keep=5)
        answers = [job.result() for job in jobs]
    assert {answer.status_code for answer in answers} == {201}
    state_of(lab.cloud)._view = None
    assert all(door.see(old, answer.headers["X-Subject-Token"]).status_code == 200 for answer in answers)


def test_keys_rotate_when_they_are_old_and_not_before(door, lab):
    keys = state_of(lab.cloud).token_keys
    first = keys.primary_since()
    loops.rotate_keys(lab.cloud)
    assert keys.primary_since() == first
    for _ in range(9):
        lab.clock.advance(86_400)
        loops.rotate_keys(lab.cloud)
    assert keys.primary_since() == pytest.approx(lab.clock.now())
    names = [file.name for file in keys._directory.iterdir()]
    assert len(names) == 5
    assert "0" in names
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in keys._directory.iterdir())


def test_revocations_are_forgotten_once_nothing_needs_them(door, lab):
    token = door.token("demo")
    door.as_(token).delete("/auth/tokens", headers={"X-Subject-Token": token})
    loops.forget_revocations(lab.cloud)
    assert door.see(token).status_code == 401
    lab.clock.advance(200_000)
    loops.forget_revocations(lab.cloud)
    with lab.cloud.db.read() as tx:
        assert revisions.revoked(tx) == {}


def test_what_a_token_opens(door, ann):
    client = door.as_(door.token("ann"))
    assert [project["name"] for project in client.get("/auth/projects").json()["projects"]] == ["blue"]
    assert client.get("/auth/domains").json()["domains"] == []
    assert client.get("/auth/system").json()["system"] == []
    assert client.get("/auth/catalog").status_code == 403
    assert door.as_(door.token("ann", on("blue"))).get("/auth/catalog").json()["catalog"]
    assert door.as_(door.token("admin")).get("/auth/system").json()["system"] == [{"all": True}]


def test_changing_ones_own_password(door, ann, lab):
    token = door.token("ann", on("blue"))

    def change(old, new, user_id=ann["id"]):
        body = {"user": {"original_password": old, "password": new}}
        return lab.anonymous.post(f"/identity/v3/users/{user_id}/password", json=body).status_code

    assert change("wrong", "better") == 401
    assert change("secret", "better", "nobody") == 401
    assert change("secret", "") == 400
    assert change("secret", "better") == 204
    assert door.see(token).status_code == 401
    assert door.by_password("ann", on("blue"), "secret").status_code == 401
    assert door.by_password("ann", on("blue"), "better").status_code == 201


def test_every_byte_of_a_long_password_counts(door, make):
    make("user", name="long", password="x" * 200 + "a")
    assert door.by_password("long", password="x" * 200 + "b").status_code == 401
    assert door.by_password("long", password="x" * 200 + "a").status_code == 201


def test_many_logins_at_once_do_not_hold_up_others(door, lab):
    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(door.by_password, "demo", on("demo")) for _ in range(12)]
        assert all(job.result().status_code == 201 for job in jobs)


def test_first_passwords_are_kept_for_their_owner_only(lab):
    file = Path(lab.cloud.settings.state_dir) / "passwords.json"
    assert set(json.loads(file.read_text())) == {"admin", "demo"}
    assert file.stat().st_mode & 0o777 == 0o600


def test_starting_again_changes_nothing(lab, admin):
    def everything():
        paths = ("users", "projects", "roles", "services", "endpoints", "role_assignments", "role_inferences")
        return [admin.get(f"/{path}").json() for path in paths]

    before = everything()
    bootstrap(lab.cloud)
    assert everything() == before


def test_a_lost_file_of_passwords_is_not_made_up(lab):
    file = Path(lab.cloud.settings.state_dir) / "passwords.json"
    file.unlink()
    bootstrap(lab.cloud)
    assert not file.exists()


def test_a_token_says_the_same_when_it_is_read_again(door, lab, make):
    lab.clock.advance(0.3109835999)
    made = door.by_password("demo")
    make("role", name="anything")  # so that nothing is remembered
    assert door.see(made.headers["X-Subject-Token"]).json() == made.json()
