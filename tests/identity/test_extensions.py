"""OAuth 1.0a, endpoint filters, kept policies, options of a domain, unified limits; and where tempest found us wrong."""

import base64
import hashlib
import hmac
from urllib.parse import parse_qs, quote

import pytest

from tests.identity.conftest import on


def signed(lab, method, path, secret, token_secret="", **parameters):
    """The header of a signed request, made as RFC 5849 says."""
    given = {
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": str(int(lab.clock.now())),
        "oauth_nonce": "n",
        **parameters,
    }
    escape = lambda text: quote(text, safe="")  # noqa: E731
    pairs = "&".join(f"{escape(name)}={escape(value)}" for name, value in sorted(given.items()))
    text = "&".join((method, escape(f"http://testserver/identity/v3{path}"), escape(pairs)))
    made = hmac.new(f"{secret}&{token_secret}".encode(), text.encode(), hashlib.sha1).digest()
    given["oauth_signature"] = base64.b64encode(made).decode()
    return {"Authorization": "OAuth " + ", ".join(f'{name}="{escape(value)}"' for name, value in given.items())}


def form(answer):
    assert answer.status_code == 201, answer.text
    return {name: values[0] for name, values in parse_qs(answer.text).items()}


@pytest.fixture
def consumer(admin):
    made = admin.post("/OS-OAUTH1/consumers", json={"consumer": {"description": "a program"}})
    assert made.status_code == 201, made.text
    return made.json()["consumer"]


def test_access_by_oauth(lab, door, admin, consumer, role_ids):
    key, secret = consumer["id"], consumer["secret"]
    project_id = admin.get("/projects?name=admin").json()["projects"][0]["id"]
    post = lambda path, headers: lab.anonymous.post(f"/identity/v3{path}", headers=headers)  # noqa: E731
    wanted = {"Requested-Project-Id": project_id}
    path = "/OS-OAUTH1/request_token"
    assert post(path, signed(lab, "POST", path, "wrong", oauth_consumer_key=key) | wanted).status_code == 401
    request = form(post(path, signed(lab, "POST", path, secret, oauth_consumer_key=key) | wanted))
    body = {"roles": [{"id": role_ids["reader"]}]}
    verifier = admin.put(f"/OS-OAUTH1/authorize/{request['oauth_token']}", json=body).json()["token"]["oauth_verifier"]
    path = "/OS-OAUTH1/access_token"
    given = {"oauth_consumer_key": key, "oauth_token": request["oauth_token"]}
    wrong = signed(lab, "POST", path, secret, request["oauth_token_secret"], **given, oauth_verifier="wrong")
    assert post(path, wrong).status_code == 401
    access = form(post(path, signed(lab, "POST", path, secret, request["oauth_token_secret"], **given, oauth_verifier=verifier)))
    given["oauth_token"] = access["oauth_token"]
    head = signed(lab, "POST", "/auth/tokens", secret, access["oauth_token_secret"], **given)
    auth = {"auth": {"identity": {"methods": ["oauth1"], "oauth1": {}}}}
    answer = lab.anonymous.post("/identity/v3/auth/tokens", json=auth, headers=head)
    assert answer.status_code == 201, answer.text
    token = answer.json()["token"]
    assert (token["project"]["id"], [role["name"] for role in token["roles"]]) == (project_id, ["reader"])
    assert token["OS-OAUTH1"] == {"access_token_id": access["oauth_token"], "consumer_id": key}
    me = token["user"]["id"]
    assert door.see(answer.headers["X-Subject-Token"]).status_code == 200
    assert [one["id"] for one in admin.get(f"/users/{me}/OS-OAUTH1/access_tokens").json()["access_tokens"]] == [
        given["oauth_token"]
    ]
    assert admin.delete(f"/users/{me}/OS-OAUTH1/access_tokens/{given['oauth_token']}").status_code == 204
    assert door.see(answer.headers["X-Subject-Token"]).status_code == 401


def test_consumers(admin, consumer):
    at = f"/OS-OAUTH1/consumers/{consumer['id']}"
    assert "secret" not in admin.get(at).json()["consumer"]
    assert admin.patch(at, json={"consumer": {"description": "two"}}).json()["consumer"]["description"] == "two"
    assert admin.delete(at).status_code == 204
    assert admin.get(at).status_code == 404


def test_a_project_sees_the_endpoints_it_was_given(door, ann, admin):
    def catalog():
        entries = door.by_password("ann", on("blue")).json()["token"]["catalog"]
        return {entry["type"] for entry in entries if entry["endpoints"]}

    everything = catalog()
    services = {one["type"]: one["id"] for one in admin.get("/services").json()["services"]}
    image = admin.get(f"/endpoints?service_id={services['image']}").json()["endpoints"][0]["id"]
    at = f"/OS-EP-FILTER/projects/{ann['project_id']}/endpoints"
    assert admin.put(f"{at}/{image}").status_code == 204
    assert catalog() == {"image"}
    body = {"endpoint_group": {"name": "g", "filters": {"service_id": services["identity"]}}}
    group = admin.post("/OS-EP-FILTER/endpoint_groups", json=body).json()["endpoint_group"]["id"]
    assert admin.put(f"/OS-EP-FILTER/endpoint_groups/{group}/projects/{ann['project_id']}").status_code == 204
    assert catalog() == {"image", "identity"}
    assert len(admin.get(at).json()["endpoints"]) == 4
    assert admin.head(f"{at}/{image}").status_code == 204
    assert admin.delete(f"{at}/{image}").status_code == 204
    assert admin.delete(f"/OS-EP-FILTER/endpoint_groups/{group}").status_code == 204
    assert catalog() == everything


def test_an_endpoint_group_without_filters_has_every_endpoint(admin):
    made = admin.post("/OS-EP-FILTER/endpoint_groups", json={"endpoint_group": {"name": "all", "filters": {}}})
    assert made.status_code == 201
    found = admin.get(f"/OS-EP-FILTER/endpoint_groups/{made.json()['endpoint_group']['id']}/endpoints").json()
    assert len(found["endpoints"]) == len(admin.get("/endpoints").json()["endpoints"])


def test_filters_of_an_endpoint_group_name_attributes(admin):
    body = {"endpoint_group": {"name": "g", "filters": {"colour": "red"}}}
    assert admin.post("/OS-EP-FILTER/endpoint_groups", json=body).status_code == 400


def test_kept_policies(admin):
    policy = admin.post("/policies", json={"policy": {"type": "application/json", "blob": {"a": 1}}}).json()["policy"]
    at = f"/policies/{policy['id']}"
    assert admin.get(at).json()["policy"]["blob"] == {"a": 1}
    endpoint = admin.get("/endpoints").json()["endpoints"][0]
    place = f"{at}/OS-ENDPOINT-POLICY/services/{endpoint['service_id']}/regions/{endpoint['region_id']}"
    effective = f"/endpoints/{endpoint['id']}/OS-ENDPOINT-POLICY/policy"
    assert admin.get(effective).status_code == 404
    assert admin.put(place).status_code == 204
    assert admin.get(place).status_code == 204
    assert admin.get(effective).json()["policy"]["id"] == policy["id"]
    assert endpoint["id"] in str(admin.get(f"{at}/OS-ENDPOINT-POLICY/endpoints").json())
    assert admin.delete(place).status_code == 204
    assert admin.get(place).status_code == 404
    assert admin.patch(at, json={"policy": {"type": "text/plain"}}).json()["policy"]["type"] == "text/plain"
    assert admin.delete(at).status_code == 204
    assert admin.get("/policies").json()["policies"] == []


def test_options_of_a_domain(admin):
    at = "/domains/default/config"
    assert admin.get(at).status_code == 404
    given = {"identity": {"driver": "ldap"}, "ldap": {"url": "ldap://x", "password": "hidden"}}
    assert admin.put(at, json={"config": given}).status_code == 201
    assert admin.get(at).json()["config"] == {"identity": {"driver": "ldap"}, "ldap": {"url": "ldap://x"}}
    assert admin.get(f"{at}/ldap/url").json() == {"config": {"url": "ldap://x"}}
    assert admin.get(f"{at}/ldap/password").status_code == 404
    assert admin.patch(f"{at}/identity/driver", json={"config": {"driver": "sql"}}).status_code == 200
    assert admin.patch(f"{at}/ldap", json={"config": {"identity": {"driver": "x"}}}).status_code == 403
    assert admin.patch(at, json={"config": {"odd": {"x": 1}}}).status_code == 403
    assert admin.delete(f"{at}/identity").status_code == 204
    assert admin.get(f"{at}/identity").status_code == 404
    assert admin.delete(at).status_code == 204
    assert admin.get("/domains/config/identity/driver/default").json() == {"config": {"driver": "sql"}}


def test_limits(door, ann, admin):
    service = admin.get("/services").json()["services"][0]["id"]
    one = {"service_id": service, "resource_name": "cores"}
    assert (
        admin.post("/limits", json={"limits": [{**one, "resource_limit": 5, "project_id": ann["project_id"]}]}).status_code == 403
    )
    body = {"registered_limits": [{**one, "default_limit": 10}]}
    registered = admin.post("/registered_limits", json=body).json()["registered_limits"][0]
    assert admin.post("/registered_limits", json=body).status_code == 409
    body = {"limits": [{**one, "resource_limit": 5, "project_id": ann["project_id"]}]}
    made = admin.post("/limits", json=body).json()["limits"][0]
    assert (made["resource_limit"], made["service_id"], made["region_id"]) == (5, service, None)
    assert admin.post("/limits", json=body).status_code == 409
    own = door.as_(door.token("ann", on("blue")))
    assert own.get(f"/limits/{made['id']}").status_code == 200
    demo = door.as_(door.token("demo", on("demo")))
    assert demo.get(f"/limits/{made['id']}").status_code == 403
    assert demo.get("/limits").json()["limits"] == []
    assert admin.delete(f"/registered_limits/{registered['id']}").status_code == 403
    assert admin.patch(f"/limits/{made['id']}", json={"limit": {"resource_limit": 7}}).json()["limit"]["resource_limit"] == 7
    assert admin.delete(f"/limits/{made['id']}").status_code == 204
    assert admin.delete(f"/registered_limits/{registered['id']}").status_code == 204
    assert admin.get("/limits/model").json()["model"]["name"] == "flat"


def test_a_disabled_domain_goes_by_its_name_as_a_project(admin, make):
    domain = make("project", name="acts", is_domain=True)
    user = make("user", name="inside", domain_id=domain["id"])
    assert admin.delete(f"/projects/{domain['id']}").status_code == 403
    assert admin.patch(f"/projects/{domain['id']}", json={"project": {"enabled": False}}).status_code == 200
    assert admin.delete(f"/projects/{domain['id']}").status_code == 204
    assert admin.get(f"/users/{user['id']}").status_code == 404


def test_an_ec2_key_that_is_not_there_is_not_found(door, ann):
    own = door.as_(door.token("ann", on("blue")))
    assert own.get(f"/users/{ann['id']}/credentials/OS-EC2/{'f' * 32}").status_code == 404


def test_the_end_of_an_application_credential_is_shown_as_keystone_does(door, ann):
    own = door.as_(door.token("ann", on("blue")))
    body = {"application_credential": {"name": "x", "expires_at": "2033-01-01T00:00:00.5"}}
    made = own.post(f"/users/{ann['id']}/application_credentials", json=body).json()["application_credential"]
    assert made["expires_at"] == "2033-01-01T00:00:00.500000"
