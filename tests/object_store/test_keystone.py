"""A proxy whose tokens are those of an identity service elsewhere, asked over HTTP."""

import asyncio
import socket
import threading

import pytest

from pileus.identity.service.bootstrap import read_passwords
from pileus.kernel.server import Api
from pileus.object_store.bundle import SERVICE
from pileus.object_store.keystone import IdentityElsewhere, ServiceUser, read_holder
from pileus.object_store.storage.serve import serving
from tests.object_store.conftest import make_shop

CACHE_SECONDS = 300


class Served:
    """The APIs of a lab on a port of their own."""

    def __init__(self, lab) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.lab, self.loop, self.stop = lab, asyncio.new_event_loop(), asyncio.Event()
        ready = threading.Event()

        async def serve():
            async with serving(lab.app, "127.0.0.1", self.port):
                ready.set()
                await self.stop.wait()

        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(serve(),))
        self.thread.start()
        assert ready.wait(60)
        self.admin = lab.client("admin")
        self.project = self.made("projects", name="films")
        self.swift = self.person("swift", "service", self.made("projects", name="services"))
        self.ann = self.person("ann", "member", self.project)

    def made(self, kind, **values):
        answer = self.admin.post(f"/identity/v3/{kind}", json={kind[:-1]: {"domain_id": "default", **values}})
        assert answer.status_code == 201, answer.text
        return answer.json()[kind[:-1]]["id"]

    def person(self, name, role, project):
        user = self.made("users", name=name, password=f"{name} secret")
        (found,) = self.admin.get("/identity/v3/roles", params={"name": role}).json()["roles"]
        assert self.admin.put(f"/identity/v3/projects/{project}/users/{user}/roles/{found['id']}").status_code == 204
        return user

    def token(self, name="ann", project="films", **identity):
        domain = {"id": "default"}
        user = {"name": name, "password": f"{name} secret", "domain": domain}
        auth = {
            "identity": identity or {"methods": ["password"], "password": {"user": user}},
            **({} if identity else {"scope": {"project": {"name": project, "domain": domain}}}),
        }
        answer = self.lab.anonymous.post("/identity/v3/auth/tokens", json={"auth": auth})
        assert answer.status_code == 201, answer.text
        return answer.headers["X-Subject-Token"]

    def close(self) -> None:
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.stop.set)
            self.thread.join(60)


class Proxy:
    """An object store that asks that identity."""

    def __init__(self, path, identity, password="swift secret") -> None:
        self.shop = make_shop(path)
        user = ServiceUser("swift", password, "services")
        self.elsewhere = IdentityElsewhere(f"http://127.0.0.1:{identity.port}/identity/v3", user, CACHE_SECONDS)
        self.shop.store.identity = self.elsewhere
        self.shop.app = Api(self.shop.cloud, [SERVICE], self.elsewhere.authenticate)
        self.account = f"AUTH_{identity.project}"

    def __call__(self, method, path="", token="", account=None, **headers):
        given = {"X_Auth_Token": token} if token else {}
        return self.shop.client(None, account or self.account)(method, path, **given, **headers).status_code


@pytest.fixture
def identity(lab):
    made = Served(lab)
    yield made
    made.close()
    made.loop.close()


@pytest.fixture
def proxy(tmp_path, identity):
    (tmp_path / "proxy").mkdir()
    made = Proxy(tmp_path / "proxy", identity)
    yield made
    made.shop.app.close()


def test_a_token_gives_what_its_roles_give(identity, proxy):
    token = identity.token()
    assert proxy("PUT", "/box", token) == 201
    assert proxy("PUT", "/box/o", token, content=b"x") == 201
    assert proxy("GET", "/box/o", token) == 200
    assert proxy("GET", "/box", token, account="AUTH_" + "0" * 32) == 403
    assert proxy("GET", "/box") == 401
    assert proxy("GET", "/box", "no token") == 401
    assert proxy("GET", "/box", "schlüssel".encode()) == 401
    assert proxy("POST", "/box", token, X_Container_Read=".r:*") == 204
    assert proxy("GET", "/box/o", "no token") == 200, "public is public, whoever asks"


def test_a_revoked_token_is_good_until_it_is_asked_about_anew(identity, proxy):
    token = identity.token()
    assert proxy("PUT", "/box", token) == 201
    gone = identity.lab.anonymous.delete("/identity/v3/auth/tokens", headers={"X-Auth-Token": token, "X-Subject-Token": token})
    assert gone.status_code == 204
    assert proxy("HEAD", "/box", token) == 204
    proxy.shop.clock.advance(CACHE_SECONDS + 1)
    assert proxy("HEAD", "/box", token) == 401


def test_a_token_ends_when_it_says_although_it_is_remembered(identity, proxy):
    token = identity.token()
    proxy.elsewhere._cache_seconds = 1e9
    assert proxy("PUT", "/box", token) == 201
    proxy.shop.clock.advance(10 * 86_400)
    assert proxy("HEAD", "/box", token) == 401


def test_what_is_remembered_outlives_identity_and_the_rest_is_unavailable(identity, proxy):
    known, other = identity.token(), identity.token()
    assert proxy("PUT", "/box", known) == 201
    assert proxy("HEAD", "/box", "no token") == 401
    identity.close()
    assert proxy("HEAD", "/box", known) == 204
    assert proxy("HEAD", "/box", "no token") == 401
    assert proxy("HEAD", "/box", other) == 503
    assert proxy("HEAD", "/box") == 401, "who shows no token needs no identity"
    proxy.shop.clock.advance(CACHE_SECONDS + 1)
    assert proxy("HEAD", "/box", known) == 503


def test_the_service_user_logs_in_anew_when_their_token_ends(identity, proxy):
    assert proxy("PUT", "/box", identity.token()) == 201
    own = proxy.elsewhere._own_token
    ended = identity.lab.anonymous.delete("/identity/v3/auth/tokens", headers={"X-Auth-Token": own, "X-Subject-Token": own})
    assert ended.status_code == 204
    assert proxy("HEAD", "/box", identity.token()) == 204
    assert proxy.elsewhere._own_token != own


def test_a_service_user_who_is_not_let_in_or_has_no_right_makes_it_unavailable(identity, tmp_path):
    token = identity.token()
    wrong = Proxy(tmp_path, identity, password="guessed")
    assert wrong("HEAD", "", token) == 503
    wrong.elsewhere._user = ServiceUser("ann", "ann secret", "films")  # a member may ask about her own tokens, not about others'
    assert wrong("HEAD", "", identity.token("swift", "services")) == 503
    wrong.shop.app.close()


def test_a_service_vouches_with_a_token_of_its_own(identity, proxy):
    account, vouching = f"SERVICE_{identity.project}", identity.token("swift", "services")
    assert proxy("PUT", "/box", identity.token(), account) == 403
    assert proxy("PUT", "/box", identity.token(), account, X_Service_Token=vouching) == 201


def test_an_application_credential_does_what_its_rules_name(identity, proxy):
    token = identity.token()
    rules = [{"service": "object-store", "method": "GET", "path": "/v1/**"}]
    made = identity.lab.anonymous.post(
        f"/identity/v3/users/{identity.ann}/application_credentials",
        json={"application_credential": {"name": "viewer", "access_rules": rules}},
        headers={"X-Auth-Token": token},
    )
    assert made.status_code == 201, made.text
    given = {key: made.json()["application_credential"][key] for key in ("id", "secret")}
    viewer = identity.token(methods=["application_credential"], application_credential=given)
    assert proxy("PUT", "/box", token) == 201
    assert proxy("GET", "/box", viewer) in {200, 204}
    assert proxy("PUT", "/other", viewer) == 401


def test_the_admin_of_the_cloud_logs_in_too(identity, proxy):
    assert "admin" in read_passwords(identity.lab.cloud.settings)
    project = identity.admin.get("/identity/v3/projects", params={"name": "admin"}).json()["projects"][0]["id"]
    password = read_passwords(identity.lab.cloud.settings)["admin"]
    user = {"name": "admin", "password": password, "domain": {"id": "default"}}
    auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"project": {"id": project}}}
    token = identity.lab.anonymous.post("/identity/v3/auth/tokens", json={"auth": auth}).headers["X-Subject-Token"]
    assert proxy("PUT", "/box", token, f"AUTH_{project}") == 201


@pytest.mark.parametrize("url", ["", "identity.example.org", "ftp://identity.example.org/v3", "http:///v3"])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(ValueError, match="not the URL"):
        IdentityElsewhere(url, ServiceUser("swift", "x"))


@pytest.mark.parametrize("answer", [{}, {"token": {}}, {"token": {"user": None}}, {"token": {"user": {"id": "a", "name": "a"}}}])
def test_an_answer_that_is_none_is_no_token(answer):
    with pytest.raises(Exception, match="validation failed"):
        read_holder(answer)
