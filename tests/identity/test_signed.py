"""Tokens by signatures of EC2 and S3, and by OAuth 2.0's client credentials."""

import base64
import hashlib
import hmac
import time

import pytest
from keystoneclient.contrib.ec2.utils import Ec2Signer

from tests.faces.s3.conftest import make_person

AT = "/identity/v3"


@pytest.fixture
def key(lab):
    lab.clock.advance(time.time() - lab.clock.now())
    return make_person(lab, "ann")


def stamp(lab, form="%Y-%m-%dT%H:%M:%SZ", late_seconds=0):
    return time.strftime(form, time.gmtime(lab.clock.now() - late_seconds))


def version_2(lab, key, secret="", **more):
    given = {
        "access": key.access, "host": "ec2.test:8788", "verb": "GET", "path": "/services/Cloud",
        "params": {"SignatureVersion": "2", "Action": "Describe", "Timestamp": stamp(lab), "AWSAccessKeyId": key.access}, **more,
    }  # fmt: skip
    return given | {"signature": Ec2Signer(secret or key.secret).generate(given)}


def version_4(lab, key, late_seconds=0):
    date = stamp(lab, "%Y%m%dT%H%M%SZ", late_seconds)
    scope = f"{date[:8]}/RegionOne/ec2/aws4_request"
    said = f"AWS4-HMAC-SHA256 Credential={key.access}/{scope}, SignedHeaders=host;x-amz-date, Signature=x"
    given = {
        "access": key.access, "host": "ec2.test", "verb": "POST", "path": "/", "params": {"Action": "Describe"},
        "headers": {"Authorization": said, "X-Amz-Date": date, "Host": "ec2.test"},
        "body_hash": hashlib.sha256(b"Action=Describe").hexdigest(),
    }  # fmt: skip
    return given | {"signature": Ec2Signer(key.secret).generate(given)}


def ask(lab, given, place="credentials", what="ec2tokens", persona="service"):
    return lab.client(persona).post(f"{AT}/{what}", json={place: given})


@pytest.mark.parametrize("version", [version_2, version_4])
@pytest.mark.parametrize("place", ["credentials", "ec2Credentials"])
def test_a_signature_is_a_proof(lab, key, version, place):
    answer = ask(lab, version(lab, key), place)
    assert answer.status_code == 200, answer.text
    token = answer.json()["token"]
    assert (token["user"]["id"], token["project"]["id"], token["methods"]) == (key.user_id, key.project_id, ["ec2credential"])
    assert [role["name"] for role in token["roles"]] == ["member", "reader"]
    used = lab.anonymous.get("/image/v2/images", headers={"X-Auth-Token": answer.headers["x-subject-token"]})
    assert used.status_code == 200


def test_the_host_may_be_signed_without_its_port(lab, key):
    given = version_2(lab, key, host="ec2.test")
    assert ask(lab, {**given, "host": "ec2.test:8788"}).status_code == 200


def test_signatures_that_prove_nothing(lab, key):
    good = version_2(lab, key)
    bob = make_person(lab, "bob")
    params = good["params"]
    wrong = [
        {**good, "signature": "x"}, {**good, "signature": None}, {**good, "path": "/other"}, {**good, "access": bob.access},
        {**good, "params": {**params, "Action": "Terminate"}}, {**good, "params": {**params, "SignatureVersion": "0"}},
        {**good, "params": {}}, {**good, "params": "x"}, {"access": key.access}, version_2(lab, key, secret="other"),
        {**version_4(lab, key), "body_hash": "x"}, {**version_4(lab, key), "headers": {}},
    ]  # fmt: skip
    for given in wrong:
        assert ask(lab, given).status_code == 401, given
    assert ask(lab, {**good, "access": "nothing"}).status_code == 404
    assert ask(lab, {}).status_code == 401
    assert lab.client("service").post(f"{AT}/ec2tokens").status_code == 400
    assert ask(lab, ["x"]).status_code == 400


def test_a_signature_grows_old(lab, key):
    assert ask(lab, version_4(lab, key, late_seconds=800)).status_code == 200
    assert ask(lab, version_4(lab, key, late_seconds=1000)).status_code == 401


def test_only_services_ask(lab, key):
    given = version_2(lab, key)
    assert ask(lab, given, persona="demo").status_code == 403
    assert ask(lab, given, persona="admin").status_code == 200
    assert lab.anonymous.post(f"{AT}/ec2tokens", json={"credentials": given}).status_code == 401
    assert lab.client("service").get(f"{AT}/ec2tokens").status_code == 405


def test_who_lost_their_role_gets_nothing(lab, key):
    lab.client("system").patch(f"{AT}/users/{key.user_id}", json={"user": {"enabled": False}})
    assert ask(lab, version_2(lab, key)).status_code == 401


def test_a_signature_is_no_method_to_log_in_by(lab):
    body = {"auth": {"identity": {"methods": ["ec2credential"], "ec2credential": {}}}}
    assert lab.anonymous.post(f"{AT}/auth/tokens", json=body).status_code == 401


def test_a_token_by_signature_gives_another(lab, key):
    first = ask(lab, version_2(lab, key)).headers["x-subject-token"]
    body = {"auth": {"identity": {"methods": ["token"], "token": {"id": first}}, "scope": {"project": {"id": key.project_id}}}}
    answer = lab.anonymous.post(f"{AT}/auth/tokens", json=body)
    assert (answer.status_code, answer.json()["token"]["methods"]) == (201, ["token", "ec2credential"])


def s3_text(lab, version):
    if version == 2:
        return b"GET\n\n\nSat, 21 Nov 2026 16:00:00 +0000\n/bucket/object"
    scope = f"{stamp(lab, '%Y%m%d')}/RegionOne/s3/aws4_request"
    return f"AWS4-HMAC-SHA256\n{stamp(lab, '%Y%m%dT%H%M%SZ')}\n{scope}\n{'0' * 64}".encode()


def s3_sign(text, secret):
    if not text.startswith(b"AWS4"):
        return base64.b64encode(hmac.digest(secret.encode(), text, "sha1")).decode()
    signing = b"AWS4" + secret.encode()
    for part in text.split(b"\n")[2].split(b"/"):
        signing = hmac.digest(signing, part, "sha256")
    return hmac.digest(signing, text, "sha256").hex()


@pytest.mark.parametrize("version", [2, 4])
def test_what_s3_services_hand_on(lab, key, version):
    text = s3_text(lab, version)
    given = {"access": key.access, "token": base64.urlsafe_b64encode(text).decode(), "signature": s3_sign(text, key.secret)}
    answer = ask(lab, given, what="s3tokens")
    assert answer.status_code == 200, answer.text
    assert answer.json()["token"]["project"]["id"] == key.project_id
    assert ask(lab, {**given, "signature": s3_sign(text, "other")}, what="s3tokens").status_code == 401
    assert ask(lab, {**given, "token": "!"}, what="s3tokens").status_code == 401
    assert ask(lab, {"access": key.access}, what="s3tokens").status_code == 401
    assert ask(lab, given, what="s3tokens", persona="reader").status_code == 403


def test_a_text_for_another_service_is_not_taken(lab, key):
    text = s3_text(lab, 4).replace(b"/s3/", b"/ec2/")
    given = {"access": key.access, "token": base64.urlsafe_b64encode(text).decode(), "signature": s3_sign(text, key.secret)}
    assert ask(lab, given, what="s3tokens").status_code == 401


@pytest.fixture
def app_credential(lab, key):
    client = lab.client("demo", user_id=key.user_id, project_id=key.project_id)
    body = {"application_credential": {"name": "robot", "secret": "s3cret%&+"}}
    return client.post(f"{AT}/users/{key.user_id}/application_credentials", json=body).json()["application_credential"]


def grant(lab, form, **headers):
    return lab.anonymous.post(f"{AT}/OS-OAUTH2/token", data=form, headers=headers)


@pytest.mark.parametrize("how", ["basic", "form"])
def test_client_credentials(lab, key, app_credential, how):
    form, headers = {"grant_type": "client_credentials"}, {}
    if how == "basic":
        from urllib.parse import quote_plus

        pair = f"{app_credential['id']}:{quote_plus('s3cret%&+')}"
        headers = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    else:
        form |= {"client_id": app_credential["id"], "client_secret": "s3cret%&+"}
    answer = grant(lab, form, **headers)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["token_type"], answer.headers["cache-control"]) == ("Bearer", "no-store")
    assert answer.json()["expires_in"] == lab.cloud.settings.token_seconds
    used = lab.anonymous.get(f"{AT}/auth/projects", headers={"X-Auth-Token": answer.json()["access_token"]})
    assert [project["id"] for project in used.json()["projects"]] == [key.project_id]


def test_client_credentials_that_are_none(lab, app_credential):
    good = {"grant_type": "client_credentials", "client_id": app_credential["id"], "client_secret": "s3cret%&+"}
    for form, status, error in (
        ({}, 400, "invalid_request"), ({**good, "grant_type": "password"}, 400, "unsupported_grant_type"),
        ({**good, "client_secret": "x"}, 401, "invalid_client"), ({**good, "client_id": "x"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, 401, "invalid_client"),
    ):  # fmt: skip
        answer = grant(lab, form)
        assert (answer.status_code, answer.json()["error"]) == (status, error), form
    assert grant(lab, {"grant_type": "client_credentials"}, Authorization="Basic !").status_code == 401
    assert lab.anonymous.post(f"{AT}/OS-OAUTH2/token", json=good).status_code == 400
