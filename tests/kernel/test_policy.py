"""The language of rules."""

import pytest

from pileus.kernel.policy import Enforcer, PolicyError, Rule

ANN = {"user_id": "ann", "project_id": "blue", "domain_id": "", "system_scope": None, "roles": frozenset({"member", "reader"})}
ROOT = {**ANN, "roles": frozenset({"admin", "member", "reader"})}
SYSTEM = {**ROOT, "project_id": "", "system_scope": "all"}


def allows(check, who=ANN, target=None, scope="project", **overrides):
    enforcer = Enforcer([Rule("r", check, scopes=("project", "system"))], overrides or None)
    return enforcer.allows("r", who, scope, target or {"project_id": "blue"})


@pytest.mark.parametrize(
    ("check", "ann", "root"),
    [
        ("", True, True),
        ("@", True, True),
        ("!", False, False),
        ("role:member", True, True),
        ("role:Admin", False, True),
        ("not role:admin", True, False),
        ("role:admin or role:member", True, True),
        ("role:admin and role:member", False, True),
        ("role:admin or (role:member and project_id:%(project_id)s)", True, True),
        ("(role:admin)", False, True),
        ("rule:admin", False, True),
        ("user_id:ann", True, True),
        ("user_id:bob", False, False),
        ("'blue':%(project_id)s", True, True),
        ("rule:project_member", True, True),
        ("domain_id:%(domain_id)s", False, False),
        ("system_scope:all", False, False),
    ],
)
def test_checks(check, ann, root):
    assert allows(check) is ann
    assert allows(check, ROOT) is root


def test_a_target_of_another_project():
    assert not allows("rule:project_member", target={"project_id": "red"})
    assert not allows("rule:project_member", target={"project_id": None})
    assert not allows("project_id:%(project_id)s", {**ANN, "project_id": ""}, {"project_id": ""})


def test_scopes():
    assert allows("role:admin", SYSTEM, scope="system")
    assert not Enforcer([Rule("r", "@")]).allows("r", SYSTEM, "system", {})


def test_overrides():
    assert not allows("@", r="!")
    assert allows("rule:mine", mine="role:member")


@pytest.mark.parametrize("check", ["role", "(role:a", "role:a or", "rule:none", "role:a role:b", "rule:r", "and"])
def test_what_is_not_of_the_language(check):
    with pytest.raises(PolicyError):
        allows(check)


def test_a_rule_is_declared_once():
    with pytest.raises(PolicyError):
        Enforcer([Rule("r", "@"), Rule("r", "!")])
