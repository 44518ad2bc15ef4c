"""boto3 against the cloud in memory: its requests, signed as for a server, are handed to the application itself."""

import time
from dataclasses import dataclass

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config

from pileus.identity.service import credentials, grants, projects, roles, users
from tests.conftest import Lab

HOST = "http://cloud.test"


class Raw:
    """The body of an answer as botocore reads it."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def stream(self, amt=1024, decode_content=None):
        yield self.content

    def read(self, amt=None, decode_content=None):
        amt = len(self.content) if amt is None else amt
        found, self.content = self.content[:amt], self.content[amt:]
        return found

    def __getattr__(self, name):
        raise AttributeError(name)


class Carrier:
    """Stands where botocore has its HTTP client."""

    def __init__(self, client) -> None:
        self.client, self.last = client, None

    def send(self, request):
        body = request.body
        if hasattr(body, "read"):
            body = body.read()
        headers = {name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()}
        headers.pop("Expect", None)
        self.last = self.client.request(request.method, request.url, content=body, headers=headers, follow_redirects=False)
        return AWSResponse(request.url, self.last.status_code, self.last.headers, Raw(self.last.content))

    def close(self):
        pass


@dataclass(frozen=True)
class Key:
    """An EC2 key pair."""

    project_id: str
    user_id: str
    access: str
    secret: str


@dataclass
class S3Lab:
    """A cloud with people who have keys."""

    lab: Lab
    keys: dict[str, Key]

    def client(self, name="ann", mount="/s3", key=None, **config):
        """A boto3 client with the key of a person."""
        found = key or self.keys[name]
        made = boto3.client(
            "s3",
            endpoint_url=HOST + mount,
            aws_access_key_id=found.access,
            aws_secret_access_key=found.secret,
            region_name="RegionOne",
            config=Config(retries={"max_attempts": 0}, **{"s3": {"addressing_style": "path"}, **config}),
        )
        made._endpoint.http_session = Carrier(self.lab.anonymous)
        return made

    @property
    def http(self):
        """Plain HTTP, signed by nobody."""
        return self.lab.anonymous

    def swift(self, name="ann"):
        """Plain HTTP to the same account by Swift's door."""
        key = self.keys[name]
        return self.lab.client("demo", project_id=key.project_id), f"/object-store/v1/AUTH_{key.project_id}"


def make_person(lab: Lab, name: str, role: str = "member", project_id: str = "") -> Key:
    """A user with a role in a project of their own, and a key for it."""
    admin = lab.ctx("system")
    project_id = project_id or projects.create(admin, {"name": name, "domain_id": "default"}).id
    user = users.create(admin, {"name": name, "domain_id": "default", "password": "secret"})
    role_id = roles.list_(admin, {"name": role})[0].id
    grants.create(admin, grants.Place("user", user.id, "project", project_id), role_id)
    ctx = lab.ctx("demo", user_id=user.id, project_id=project_id)
    pair = credentials.create_ec2(ctx, user.id, project_id)
    return Key(project_id, user.id, pair.access, pair.secret)


@pytest.fixture
def s3lab(lab) -> S3Lab:
    """A cloud whose clock shows the time, with two people of two projects."""
    lab.clock.advance(time.time() - lab.clock.now())
    return S3Lab(lab, {"ann": make_person(lab, "ann"), "bob": make_person(lab, "bob")})


@pytest.fixture
def s3(s3lab):
    """A client with ann's key."""
    return s3lab.client()
