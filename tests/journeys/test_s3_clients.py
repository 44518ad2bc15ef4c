"""Clients of S3 against a server of its own: boto3, and the command-line clients that are installed."""

import hashlib
import http.client
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
import yaml
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.journeys.conftest import RealCloud, free_port

pytestmark = [pytest.mark.xdist_group("s3-cloud"), pytest.mark.timeout(300)]

PART = 5 * 1024 * 1024
REGION = "RegionOne"
FAKES = {"HYPERVISOR": "fake", "NETWORK_DRIVER": "fake", "VOLUME_BACKENDS": "fake", "DEMO": "false"}


@dataclass
class FakeCloud(RealCloud):
    """A cloud without guests: what it serves of objects is real."""

    s3_port: int = 0

    @property
    def environment(self) -> dict[str, str]:
        own = {**FAKES, "S3_PORT": str(self.s3_port)}
        return {**super().environment, **{f"PILEUS_{name}": value for name, value in own.items()}}


@dataclass(frozen=True)
class Access:
    """Where a server is, below its one port and at the root of one of S3's own, and an EC2 key pair for it."""

    url: str
    root: str
    access: str
    secret: str


KEYS = ("access", "secret")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A server, and an EC2 key pair for it."""
    listen = f"127.0.0.1:{free_port()}"
    cloud = FakeCloud(
        tmp_path_factory.mktemp("s3") / "state", f"s3{secrets.randbelow(9000) + 1000}", listen, "172.24.9.0/24", free_port()
    )
    cloud.up()
    try:
        entry = yaml.safe_load(cloud.pileus("clouds-yaml"))["clouds"][f"{cloud.name}-admin"]["auth"]
        domain = {"name": "Default"}
        user = {"name": entry["username"], "domain": domain, "password": entry["password"]}
        scope = {"project": {"name": entry["project_name"], "domain": domain}}
        asked = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        url = f"http://{listen}/identity/v3"
        token, found = call(f"{url}/auth/tokens", asked)
        path = f"/users/{found['token']['user']['id']}/credentials/OS-EC2"
        _, made = call(url + path, {"tenant_id": found["token"]["project"]["id"]}, token)
        yield Access(f"http://{listen}/s3", f"http://127.0.0.1:{cloud.s3_port}", **{k: made["credential"][k] for k in KEYS})
    finally:
        cloud.pileus("down", "--purge", "--yes")


def call(url, body, token=""):
    headers = {"Content-Type": "application/json", "X-Auth-Token": token}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=60) as answer:
        return answer.headers.get("X-Subject-Token"), json.loads(answer.read())


@pytest.fixture(scope="module")
def s3(pair):
    config = Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"})
    keys = {"aws_access_key_id": pair.access, "aws_secret_access_key": pair.secret}
    return boto3.client("s3", endpoint_url=pair.url, region_name=REGION, config=config, **keys)


@pytest.fixture
def bucket(s3):
    """A bucket of a test's own, emptied after it."""
    name = f"journey-{secrets.token_hex(4)}"
    s3.create_bucket(Bucket=name)
    yield name
    found = s3.list_object_versions(Bucket=name)
    rows = [*found.get("Versions", []), *found.get("DeleteMarkers", [])]
    if rows:
        every = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in rows]
        s3.delete_objects(Bucket=name, Delete={"Objects": every})
    s3.delete_bucket(Bucket=name)


def code(operation, **arguments):
    with pytest.raises(ClientError) as error:
        operation(**arguments)
    return error.value.response["Error"]["Code"]


def test_a_large_file_goes_up_and_down_in_parts(s3, bucket, tmp_path):
    sent, got = tmp_path / "sent", tmp_path / "got"
    sent.write_bytes(os.urandom(2 * PART + 12345))
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=4)
    s3.upload_file(str(sent), bucket, "large", Config=config, ExtraArgs={"Metadata": {"a": "b"}})
    head = s3.head_object(Bucket=bucket, Key="large", PartNumber=3)
    assert (head["PartsCount"], head["ContentLength"], head["Metadata"]) == (3, 12345, {"a": "b"})
    s3.download_file(bucket, "large", str(got), Config=config)
    assert got.read_bytes() == sent.read_bytes()
    s3.copy({"Bucket": bucket, "Key": "large"}, bucket, "copy", Config=config)
    copied = s3.get_object(Bucket=bucket, Key="copy")["Body"].read()
    assert hashlib.sha256(copied).digest() == hashlib.sha256(sent.read_bytes()).digest()


def test_urls_that_were_signed_before_do_for_anybody(s3, bucket):
    put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "x"})
    request = urllib.request.Request(put, b"data", {"Content-Type": ""}, method="PUT")
    assert urllib.request.urlopen(request, timeout=60).status == 200
    get = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "x"})
    assert urllib.request.urlopen(get, timeout=60).read() == b"data"


def test_a_deleted_object_comes_back(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="x", Body=b"1")["VersionId"]
    s3.put_object(Bucket=bucket, Key="x", Body=b"2")
    marker = s3.delete_object(Bucket=bucket, Key="x")["VersionId"]
    assert code(s3.get_object, Bucket=bucket, Key="x") == "NoSuchKey"
    s3.delete_object(Bucket=bucket, Key="x", VersionId=marker)
    assert s3.get_object(Bucket=bucket, Key="x")["Body"].read() == b"2"
    assert s3.get_object(Bucket=bucket, Key="x", VersionId=first)["Body"].read() == b"1"


def test_many_objects_are_listed_and_deleted(s3, bucket):
    for number in range(120):
        s3.put_object(Bucket=bucket, Key=f"{number % 3}/{number:03d}", Body=b"")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 50})
    names = [one["Key"] for page in pages for one in page["Contents"]]
    assert (len(names), names) == (120, sorted(names))
    folders = s3.list_objects_v2(Bucket=bucket, Delimiter="/")["CommonPrefixes"]
    assert [one["Prefix"] for one in folders] == ["0/", "1/", "2/"]
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": name} for name in names]})
    assert len(done["Deleted"]) == 120
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_what_is_set_on_a_bucket_is_told(s3, bucket):
    rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 7}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == [rule]
    tags = {"TagSet": [{"Key": "team", "Value": "blue"}]}
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tags)
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags["TagSet"]
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/pub/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    s3.put_object(Bucket=bucket, Key="pub/x", Body=b"open")
    assert urllib.request.urlopen(f"{s3.meta.endpoint_url}/{bucket}/pub/x", timeout=60).read() == b"open"


def test_a_lock_holds_until_it_is_passed_by(s3):
    name = f"vault-{secrets.token_hex(4)}"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    config = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=config)
    version = s3.put_object(Bucket=name, Key="x", Body=b"1")["VersionId"]
    assert code(s3.delete_object, Bucket=name, Key="x", VersionId=version) == "AccessDenied"
    s3.delete_object(Bucket=name, Key="x", VersionId=version, BypassGovernanceRetention=True)
    s3.delete_bucket(Bucket=name)


def test_after_a_refused_upload_the_connection_is_good(s3, bucket):
    """An upload that is refused before its body was sent must not spoil the next request (it did)."""
    s3.put_object(Bucket=bucket, Key="x", Body=b"data")
    for _ in range(10):
        assert code(s3.put_object, Bucket=bucket, Key="x", Body=b"other", IfNoneMatch="*") == "PreconditionFailed"
        assert s3.get_object(Bucket=bucket, Key="x")["Body"].read() == b"data"
        assert code(s3.put_object, Bucket="nobodys-bucket", Key="x", Body=b"other") == "NoSuchBucket"
        s3.put_object(Bucket=bucket, Key="y", Body=b"more")


def test_a_refused_body_of_any_length_gets_its_answer(pair):
    host, port = pair.root.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    for _ in range(2):
        connection.request("PUT", "/nobodys-bucket/x", b"x" * 500_000)
        answer = connection.getresponse()
        assert (answer.status, b"NoSuchBucket" in answer.read()) == (404, True)


def test_dots_in_a_path_lead_nowhere(s3, pair, bucket):
    s3.put_object(Bucket=bucket, Key="x", Body=b"secret")
    host, port = pair.root.removeprefix("http://").split(":")
    for path in (f"/other/../{bucket}/x", f"/other/..%2f{bucket}%2fx", f"//{bucket}/x", f"/{bucket}/./x", "/..%00/x"):
        with socket.create_connection((host, int(port)), 60) as raw:
            raw.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: raw.recv(65536), b""))
        assert answer.split()[1] in (b"400", b"403", b"404")
        assert b"secret" not in answer


def run(*command, env=None):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=kept | (env or {}))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def tree(tmp_path) -> Path:
    made = tmp_path / "tree"
    (made / "deep").mkdir(parents=True)
    (made / "a b.txt").write_text("one")
    (made / "deep" / "é+&=.bin").write_bytes(os.urandom(6 * 1024 * 1024))
    return made


def same(left: Path, right: Path) -> bool:
    found = [{one.relative_to(root): one.read_bytes() for one in root.rglob("*") if one.is_file()} for root in (left, right)]
    return found[0] == found[1]


@pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not installed")
def test_rclone_syncs(pair, bucket, tree, tmp_path):
    env = {"TYPE": "s3", "PROVIDER": "Other", "ENDPOINT": pair.root, "REGION": REGION}
    env |= {"ACCESS_KEY_ID": pair.access, "SECRET_ACCESS_KEY": pair.secret}
    env = {f"RCLONE_CONFIG_P_{name}": value for name, value in env.items()} | {"RCLONE_CONFIG": str(tmp_path / "none")}
    cut = ["--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M"]
    run("rclone", "sync", *cut, str(tree), f"p:{bucket}/tree", env=env)
    run("rclone", "check", str(tree), f"p:{bucket}/tree", env=env)
    run("rclone", "copy", f"p:{bucket}/tree", str(tmp_path / "back"), env=env)
    assert same(tree, tmp_path / "back")
    run("rclone", "moveto", f"p:{bucket}/tree/a b.txt", f"p:{bucket}/tree/moved", env=env)
    assert run("rclone", "lsf", f"p:{bucket}/tree", env=env).split("\n")[:-1] == ["deep/", "moved"]
    run("rclone", "purge", f"p:{bucket}/tree", env=env)


@pytest.mark.skipif(shutil.which("s3cmd") is None, reason="s3cmd is not installed")
def test_s3cmd_syncs(pair, bucket, tree, tmp_path):
    config, host = tmp_path / "s3cfg", pair.root.removeprefix("http://")
    config.write_text(
        f"[default]\naccess_key = {pair.access}\nsecret_key = {pair.secret}\nhost_base = {host}\nhost_bucket = {host}\n"
        f"use_https = False\nbucket_location = {REGION}\nmultipart_chunk_size_mb = 5\n"
    )
    s3cmd = ("s3cmd", "-c", str(config))
    run(*s3cmd, "sync", f"{tree}/", f"s3://{bucket}/tree/")
    (tmp_path / "back").mkdir()
    run(*s3cmd, "sync", f"s3://{bucket}/tree/", f"{tmp_path}/back/")
    assert same(tree, tmp_path / "back")
    assert re.search(r"File size: +3", run(*s3cmd, "info", f"s3://{bucket}/tree/a b.txt"))
    run(*s3cmd, "setacl", "--acl-public", f"s3://{bucket}/tree/a b.txt")
    assert urllib.request.urlopen(f"{pair.root}/{bucket}/tree/a%20b.txt", timeout=60).read() == b"one"
    run(*s3cmd, "del", "--recursive", "--force", f"s3://{bucket}/tree/")


@pytest.mark.skipif(shutil.which("aws") is None, reason="the AWS CLI is not installed")
def test_the_aws_cli_syncs(pair, bucket, tree, tmp_path):
    env = {"AWS_ACCESS_KEY_ID": pair.access, "AWS_SECRET_ACCESS_KEY": pair.secret, "AWS_DEFAULT_REGION": REGION}
    aws = ("aws", "--endpoint-url", pair.url)
    run(*aws, "s3", "sync", str(tree), f"s3://{bucket}/tree", env=env)
    run(*aws, "s3", "sync", f"s3://{bucket}/tree", str(tmp_path / "back"), env=env)
    assert same(tree, tmp_path / "back")
    listed = json.loads(run(*aws, "s3api", "list-objects-v2", "--bucket", bucket, env=env))
    assert [one["Key"] for one in listed["Contents"]] == ["tree/a b.txt", "tree/deep/é+&=.bin"]
    run(*aws, "s3", "mv", f"s3://{bucket}/tree/a b.txt", f"s3://{bucket}/moved", env=env)
    run(*aws, "s3", "rm", "--recursive", f"s3://{bucket}", env=env)
