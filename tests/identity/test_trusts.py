"""Trusts: acting for another user, for a while, a number of times, and giving that on."""

import pytest

from tests.identity.conftest import on


@pytest.fixture
def bob(make):
    return make("user", name="bob", password="secret")


@pytest.fixture
def eve(make):
    return make("user", name="eve", password="secret")


@pytest.fixture
def as_ann(door, ann):
    return door.as_(door.token("ann", on("blue")))


@pytest.fixture
def trust(as_ann, ann, bob):
    """Makes a trust of ann's in bob."""

    def made(status=201, client=as_ann, **more):
        body = {"trustor_user_id": ann["id"], "trustee_user_id": bob["id"], "project_id": ann["project_id"],
                "impersonation": True, "roles": [{"name": "member"}], **more}  # fmt: skip
        answer = client.post("/OS-TRUST/trusts", json={"trust": body})
        assert answer.status_code == status, answer.text
        return answer.json().get("trust")

    return made


def by(trust_id):
    return {"OS-TRUST:trust": {"id": trust_id}}


def roles_of(answer):
    return {role["name"] for role in answer.json()["token"]["roles"]}


def test_a_trustee_acts_as_the_trustor(door, trust, ann, bob):
    made = trust()
    answer = door.by_password("bob", by(made["id"]))
    assert answer.status_code == 201, answer.text
    token = answer.json()["token"]
    assert (token["user"]["id"], token["project"]["id"]) == (ann["id"], ann["project_id"])
    assert roles_of(answer) == {"member", "reader"}
    assert token["OS-TRUST:trust"] == {
        "id": made["id"], "impersonation": True, "trustor_user": {"id": ann["id"]}, "trustee_user": {"id": bob["id"]},
    }  # fmt: skip
    assert door.see(answer.headers["X-Subject-Token"]).json()["token"]["user"]["id"] == ann["id"]


def test_without_impersonation_the_trustee_stays_who_they_are(door, trust, bob):
    made = trust(impersonation=False)
    answer = door.by_password("bob", by(made["id"]))
    assert answer.json()["token"]["user"]["id"] == bob["id"]
    assert roles_of(answer) == {"member", "reader"}


def test_nobody_but_the_trustee_uses_a_trust(door, trust, eve):
    assert door.by_password("eve", by(trust()["id"])).status_code == 403


def test_a_trust_that_is_not_there_is_no_login(door):
    assert door.by_password("demo", by("f" * 32)).status_code == 401


def test_uses_are_counted(door, trust):
    made = trust(remaining_uses=1)
    first = door.by_password("bob", by(made["id"]))
    assert first.status_code == 201
    assert door.by_password("bob", by(made["id"])).status_code == 401
    assert door.see(first.headers["X-Subject-Token"]).status_code == 200  # the last use lasts


def test_a_trust_ends(door, lab, trust):
    made = trust(expires_at="2023-11-14T23:13:20Z")  # an hour after the lab's start
    assert made["expires_at"] == "2023-11-14T23:13:20.000000Z"
    answer = door.by_password("bob", by(made["id"]))
    assert answer.json()["token"]["expires_at"] <= made["expires_at"]
    lab.clock.advance(3601)
    assert door.by_password("bob", by(made["id"])).status_code == 401
    assert door.as_(door.token("admin", on("admin"))).get(f"/OS-TRUST/trusts/{made['id']}").status_code == 404


@pytest.mark.parametrize("ends", ["bad.123Z", "2001-01-01T00:00:00Z"])
def test_an_end_is_a_time_to_come(trust, ends):
    trust(400, expires_at=ends)


def test_what_a_trustor_loses_a_trust_cannot_give(door, trust, ann, admin, role_ids):
    made = trust()
    token = door.by_password("bob", by(made["id"])).headers["X-Subject-Token"]
    assert admin.delete(f"/projects/{ann['project_id']}/users/{ann['id']}/roles/{role_ids['member']}").status_code == 204
    assert door.by_password("bob", by(made["id"])).status_code == 403
    assert door.see(door.token("admin", on("admin")), token).status_code == 404


def test_a_trust_is_of_roles_that_one_has(trust):
    trust(404, roles=[{"name": "admin"}])
    trust(403, roles=[])


def test_deleting_a_trust_makes_its_tokens_void(door, trust, as_ann):
    made = trust()
    token = door.by_password("bob", by(made["id"])).headers["X-Subject-Token"]
    assert as_ann.delete(f"/OS-TRUST/trusts/{made['id']}").status_code == 204
    assert door.see(token).status_code == 401


def test_a_trust_token_begets_no_other(door, trust):
    token = door.by_password("bob", by(trust()["id"])).headers["X-Subject-Token"]
    assert door.by_token(token, on("blue")).status_code == 403
    assert door.by_token(token).status_code == 403


def test_lists_are_for_those_concerned(door, trust, as_ann, ann, bob):
    made = trust()
    assert [one["id"] for one in as_ann.get(f"/OS-TRUST/trusts?trustor_user_id={ann['id']}").json()["trusts"]] == [made["id"]]
    assert as_ann.get(f"/OS-TRUST/trusts?trustee_user_id={bob['id']}").status_code == 403
    assert as_ann.get("/OS-TRUST/trusts").status_code == 403
    assert "roles" not in door.as_(door.token("admin", on("admin"))).get("/OS-TRUST/trusts").json()["trusts"][0]


def test_roles_of_a_trust(trust, as_ann, role_ids):
    at = f"/OS-TRUST/trusts/{trust()['id']}/roles"
    assert [role["name"] for role in as_ann.get(at).json()["roles"]] == ["member"]
    assert as_ann.head(f"{at}/{role_ids['member']}").status_code == 200
    assert as_ann.get(f"{at}/{role_ids['admin']}").status_code == 404


def test_giving_on(door, trust, eve, as_ann):
    made = trust(allow_redelegation=True)
    assert made["redelegation_count"] == 3
    middle = door.as_(door.by_password("bob", by(made["id"])).headers["X-Subject-Token"])
    given_on = trust(client=middle, trustee_user_id=eve["id"], allow_redelegation=True)
    assert (given_on["redelegated_trust_id"], given_on["redelegation_count"]) == (made["id"], 2)
    assert door.by_password("eve", by(given_on["id"])).status_code == 201
    trust(403, client=middle, remaining_uses=3)
    trust(403, client=middle, roles=[{"name": "reader"}])
    assert as_ann.delete(f"/OS-TRUST/trusts/{made['id']}").status_code == 204
    assert door.by_password("eve", by(given_on["id"])).status_code == 401


def test_what_may_not_be_given_on_is_not(door, trust):
    middle = door.as_(door.by_password("bob", by(trust()["id"])).headers["X-Subject-Token"])
    trust(403, client=middle)


def test_what_is_lent_makes_no_secret_that_lasts(door, trust, ann):
    acting = door.as_(door.by_password("bob", by(trust()["id"])).headers["X-Subject-Token"])
    at = f"/users/{ann['id']}"
    assert acting.post(f"{at}/credentials/OS-EC2", json={"tenant_id": ann["project_id"]}).status_code == 403
    assert acting.post(f"{at}/application_credentials", json={"application_credential": {"name": "x"}}).status_code == 403
