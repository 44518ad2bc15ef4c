"""What the settings demand of passwords and logins."""

from dataclasses import replace

import pytest

from tests.identity.conftest import on


@pytest.fixture
def demand(lab, monkeypatch):
    """Changes settings of the running cloud."""

    def changed(**settings):
        object.__setattr__(lab.cloud, "settings", replace(lab.cloud.settings, **settings))

    before = lab.cloud.settings
    yield changed
    object.__setattr__(lab.cloud, "settings", before)


@pytest.fixture
def change(door, ann):
    """Has ann change her password."""

    def changed(old, new):
        body = {"user": {"original_password": old, "password": new}}
        return door.lab.anonymous.post(f"/identity/v3/users/{ann['id']}/password", json=body).status_code

    return changed


def test_failures_in_a_row_lock_out_for_a_while(door, lab, ann, demand):
    demand(lockout_failure_attempts=2, lockout_seconds=5)
    assert door.by_password("ann").status_code == 201
    for _ in range(2):
        assert door.by_password("ann", password="wrong").status_code == 401
    assert door.by_password("ann").status_code == 401
    lab.clock.advance(6)
    assert door.by_password("ann").status_code == 201


def test_a_good_login_ends_the_row(door, ann, demand):
    demand(lockout_failure_attempts=2)
    for _ in range(3):
        assert door.by_password("ann", password="wrong").status_code == 401
        assert door.by_password("ann").status_code == 201


def test_some_are_never_locked_out(door, ann, admin, demand):
    demand(lockout_failure_attempts=1)
    options = {"ignore_lockout_failure_attempts": True}
    assert admin.patch(f"/users/{ann['id']}", json={"user": {"options": options}}).status_code == 200
    assert door.by_password("ann", password="wrong").status_code == 401
    assert door.by_password("ann").status_code == 201


def test_enabling_ends_a_lockout(door, ann, admin, demand):
    demand(lockout_failure_attempts=1)
    assert door.by_password("ann", password="wrong").status_code == 401
    assert admin.patch(f"/users/{ann['id']}", json={"user": {"enabled": True}}).status_code == 200
    assert door.by_password("ann").status_code == 201


def test_the_last_passwords_are_not_taken_again(change, demand):
    demand(password_unique_last_count=2)
    assert change("secret", "second") == 204
    assert change("second", "second") == 400
    assert change("second", "secret") == 400
    assert change("second", "third") == 204
    assert change("third", "secret") == 204


def test_history_does_not_bind_an_admin(admin, ann, change, demand):
    demand(password_unique_last_count=2)
    assert change("secret", "second") == 204
    assert admin.patch(f"/users/{ann['id']}", json={"user": {"password": "secret"}}).status_code == 200


def test_a_password_ends(door, lab, make, demand):
    demand(password_expires_days=1)
    make("user", name="bob", password="secret")
    told = door.by_password("bob").json()["token"]["user"]["password_expires_at"]
    assert told == "2023-11-15T22:13:20.000000Z"
    lab.clock.advance(86_401)
    answer = door.by_password("bob")
    assert answer.status_code == 401
    assert "expired" in answer.json()["error"]["message"]


def test_a_password_set_by_another_is_changed_first(door, admin, make, demand):
    demand(password_change_on_first_use=True)
    bob = make("user", name="bob", password="secret")
    assert door.by_password("bob").status_code == 401
    body = {"user": {"original_password": "secret", "password": "mine"}}
    assert door.lab.anonymous.post(f"/identity/v3/users/{bob['id']}/password", json=body).status_code == 204
    assert door.by_password("bob", password="mine").status_code == 201


def test_a_password_has_a_form(admin, ann, change, demand):
    demand(password_regex=r"^(?=.*\d).{8,}$", password_regex_description="eight characters and a digit")
    assert change("secret", "short") == 400
    answer = admin.post("/users", json={"user": {"name": "carl", "password": "short"}})
    assert answer.status_code == 400
    assert "eight characters and a digit" in answer.json()["error"]["message"]
    shown = admin.get("/domains/default/config/security_compliance").json()["config"]["security_compliance"]
    assert shown["password_regex_description"] == "eight characters and a digit"
    assert change("secret", "longer-than-8") == 204


def test_a_young_password_stays(lab, change, demand):
    demand(password_minimum_age_days=1)
    assert change("secret", "second") == 400
    lab.clock.advance(86_401)
    assert change("secret", "second") == 204


def test_a_locked_password_stays(admin, ann, change):
    assert admin.patch(f"/users/{ann['id']}", json={"user": {"options": {"lock_password": True}}}).status_code == 200
    assert change("secret", "second") == 400


def test_logging_in_by_a_scope_counts_too(door, ann, demand):
    demand(lockout_failure_attempts=1)
    assert door.by_password("ann", on("blue"), password="wrong").status_code == 401
    assert door.by_password("ann", on("blue")).status_code == 401
