"""Users whose rules ask for more than one proof, and one-time passwords."""

import base64
import hmac

import pytest

AT = "/identity/v3"
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # that of RFC 6238's appendix
RULES = [["password", "totp"]]


@pytest.fixture
def admin(lab):
    return lab.client("system")


@pytest.fixture
def user(lab, admin):
    made = admin.post(f"{AT}/users", json={"user": {"name": "ann", "domain_id": "default", "password": "secret"}}).json()["user"]
    body = {"credential": {"user_id": made["id"], "type": "totp", "blob": SECRET}}
    assert admin.post(f"{AT}/credentials", json=body).status_code == 201
    return made


def demand(admin, user, rules=RULES, enabled=True):
    options = {"multi_factor_auth_enabled": enabled, "multi_factor_auth_rules": rules}
    answer = admin.patch(f"{AT}/users/{user['id']}", json={"user": {"options": options}})
    assert answer.status_code == 200, answer.text


def passcode(lab, steps_back=0):
    step = int(lab.clock.now()) // 30 - steps_back
    digest = hmac.digest(base64.b32decode(SECRET), step.to_bytes(8, "big"), "sha1")
    start = digest[-1] & 15
    return f"{(int.from_bytes(digest[start : start + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"


def log_in(lab, user, password=None, code=None, receipt=None):
    identity = {"methods": []}
    if password is not None:
        identity["methods"].append("password")
        identity["password"] = {"user": {"id": user["id"], "password": password}}
    if code is not None:
        identity["methods"].append("totp")
        identity["totp"] = {"user": {"id": user["id"], "passcode": code}}
    headers = {"Openstack-Auth-Receipt": receipt} if receipt else {}
    return lab.anonymous.post(f"{AT}/auth/tokens", json={"auth": {"identity": identity}}, headers=headers)


def test_a_one_time_password(lab, user):
    answer = log_in(lab, user, code=passcode(lab))
    assert (answer.status_code, answer.json()["token"]["methods"]) == (201, ["totp"])
    assert log_in(lab, user, code=passcode(lab, 1)).status_code == 201
    for code in (passcode(lab, 2), passcode(lab, -1), "000000", "", "x"):
        assert log_in(lab, user, code=code).status_code == 401
    assert log_in(lab, {"id": "nobody"}, code=passcode(lab)).status_code == 401


def test_the_numbers_of_the_standard(lab):
    from pileus.identity.service.factors import _passcode

    found = [_passcode(SECRET, at // 30) for at in (59, 1111111109, 1111111111, 1234567890, 2000000000, 20000000000)]
    assert found == ["287082", "081804", "050471", "005924", "279037", "353130"]
    assert _passcode("no base32!", 1) == ""


def test_both_at_once(lab, admin, user):
    demand(admin, user)
    answer = log_in(lab, user, "secret", passcode(lab))
    assert (answer.status_code, answer.json()["token"]["methods"]) == (201, ["password", "totp"])
    again = {"identity": {"methods": ["token"], "token": {"id": answer.headers["x-subject-token"]}}}
    assert lab.anonymous.post(f"{AT}/auth/tokens", json={"auth": again}).status_code == 201


def test_one_after_the_other(lab, admin, user):
    demand(admin, user)
    first = log_in(lab, user, "secret")
    assert first.status_code == 401
    assert first.json()["required_auth_methods"] == RULES
    assert (first.json()["receipt"]["methods"], first.json()["receipt"]["user"]["name"]) == (["password"], "ann")
    receipt = first.headers["openstack-auth-receipt"]
    assert log_in(lab, user, code="000000", receipt=receipt).status_code == 401
    done = log_in(lab, user, code=passcode(lab), receipt=receipt)
    assert (done.status_code, done.json()["token"]["methods"]) == (201, ["password", "totp"])


def test_receipts_that_are_none(lab, admin, user):
    demand(admin, user)
    other = admin.post(f"{AT}/users", json={"user": {"name": "bob", "domain_id": "default", "password": "secret"}}).json()["user"]
    demand(admin, other)
    receipt = log_in(lab, user, "secret").headers["openstack-auth-receipt"]
    of_bob = log_in(lab, other, "secret").headers["openstack-auth-receipt"]
    for wrong in ("x", of_bob, receipt[:-4]):
        assert log_in(lab, user, code=passcode(lab), receipt=wrong).status_code == 401
    lab.clock.advance(301)
    assert log_in(lab, user, code=passcode(lab), receipt=receipt).status_code == 401
    assert lab.anonymous.get(f"{AT}/auth/projects", headers={"X-Auth-Token": receipt}).status_code == 401


def test_a_wrong_password_tells_nothing_of_the_rules(lab, admin, user):
    demand(admin, user)
    answer = log_in(lab, user, "wrong")
    assert (answer.status_code, "receipt" in answer.json()) == (401, False)


@pytest.mark.parametrize(
    ("rules", "enabled"), [(RULES, False), ([], True), ([["password", "retina"]], True), ([["password"], ["totp"]], True)]
)
def test_rules_that_ask_for_no_more(lab, admin, user, rules, enabled):
    demand(admin, user, rules, enabled)
    assert log_in(lab, user, "secret").status_code == 201


@pytest.mark.parametrize(
    "options",
    [
        {"colour": True}, {"lock_password": "yes"}, {"multi_factor_auth_rules": "password"}, {"multi_factor_auth_rules": [[]]},
        {"multi_factor_auth_rules": [[1]]}, {"multi_factor_auth_enabled": 1}, [], "x",
    ],
)  # fmt: skip
def test_options_that_are_none(admin, user, options):
    assert admin.patch(f"{AT}/users/{user['id']}", json={"user": {"options": options}}).status_code == 400
    body = {"user": {"name": "eve", "domain_id": "default", "options": options}}
    assert admin.post(f"{AT}/users", json=body).status_code == 400


def test_an_option_is_taken_away(admin, user):
    demand(admin, user)
    gone = {"options": {"multi_factor_auth_enabled": None, "multi_factor_auth_rules": None, "lock_password": True}}
    assert admin.patch(f"{AT}/users/{user['id']}", json={"user": gone}).json()["user"]["options"] == {"lock_password": True}
