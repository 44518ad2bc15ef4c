"""Logging in for real, and things to log in to."""

import pytest

from pileus.identity.service.bootstrap import read_passwords


class Door:
    """The identity API of a lab, as somebody at its door sees it."""

    def __init__(self, lab):
        self.lab = lab

    def password_of(self, name):
        return read_passwords(self.lab.cloud.settings).get(name, "secret")

    def by_password(self, name="admin", scope=None, password=None, **query):
        user = {"name": name, "domain": {"id": "default"}, "password": password or self.password_of(name)}
        auth = {"identity": {"methods": ["password"], "password": {"user": user}}}
        return self.post(auth, scope, **query)

    def by_token(self, token, scope=None, **query):
        return self.post({"identity": {"methods": ["token"], "token": {"id": token}}}, scope, **query)

    def by_app_credential(self, **given):
        return self.post({"identity": {"methods": ["application_credential"], "application_credential": given}})

    def post(self, auth, scope=None, **query):
        body = {"auth": {**auth, **({"scope": scope} if scope is not None else {})}}
        return self.lab.anonymous.post("/identity/v3/auth/tokens", json=body, params=query)

    def token(self, name="admin", scope=None, password=None):
        answer = self.by_password(name, scope, password)
        assert answer.status_code == 201, answer.text
        return answer.headers["X-Subject-Token"]

    def as_(self, token):
        client = self.lab.anonymous
        client.headers["X-Auth-Token"] = token
        client.base_url = "http://testserver/identity/v3"
        return client

    def see(self, token, subject=None, **query):
        """Validate a token with one's own."""
        return self.as_(token).get("/auth/tokens", headers={"X-Subject-Token": subject or token}, params=query)


def on(project):
    return {"project": {"name": project, "domain": {"id": "default"}}}


@pytest.fixture
def door(lab):
    return Door(lab)


@pytest.fixture
def admin(door):
    """A client with an admin's token for the project admin."""
    return door.as_(door.token("admin", on("admin")))


@pytest.fixture
def role_ids(admin):
    return {role["name"]: role["id"] for role in admin.get("/roles").json()["roles"]}


@pytest.fixture
def make(admin):
    """Makes a thing by its noun and returns it."""

    def made(noun, **attributes):
        answer = admin.post(f"/{noun}s", json={noun: attributes})
        assert answer.status_code == 201, answer.text
        return answer.json()[noun]

    return made


@pytest.fixture
def ann(make, admin, role_ids):
    """A user with the role member on a project of her own."""
    project = make("project", name="blue")
    user = make("user", name="ann", password="secret")
    assert admin.put(f"/projects/{project['id']}/users/{user['id']}/roles/{role_ids['member']}").status_code == 204
    return {**user, "project_id": project["id"]}
