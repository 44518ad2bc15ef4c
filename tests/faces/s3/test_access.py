"""Who is let in: signatures, access control lists, policies, CORS, forms."""

import json
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pileus.faces.s3 import policy, xml
from pileus.faces.s3.errors import S3Error
from pileus.identity.service import projects, users
from tests.faces.s3.conftest import HOST, make_person
from tests.faces.s3.test_objects import refused


@pytest.fixture
def bucket(s3):
    s3.create_bucket(Bucket="one")
    s3.put_object(Bucket="one", Key="x", Body=b"data")
    return "one"


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_both_signatures_in_headers_and_urls(s3lab, bucket, version):
    s3 = s3lab.client(signature_version=version)
    assert s3.get_object(Bucket=bucket, Key="x")["Body"].read() == b"data"
    url = urlsplit(s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "x"}, ExpiresIn=60))
    path = f"{url.path}?{url.query}"
    assert s3lab.http.get(HOST + path).content == b"data"
    assert s3lab.http.get(HOST + path.replace("/x?", "/y?")).status_code == 403
    s3lab.lab.clock.advance(600)
    late = s3lab.http.get(HOST + path)
    assert (late.status_code, "expired" in late.text) == (403, True)


def test_a_wrong_secret_or_clock_is_refused(s3lab, s3, bucket):
    key = s3lab.keys["ann"]
    from dataclasses import replace

    assert refused(s3lab.client(key=replace(key, secret="0" * 32)).list_buckets) == (403, "SignatureDoesNotMatch")
    assert refused(s3lab.client(key=replace(key, access="0" * 32)).list_buckets) == (403, "InvalidAccessKeyId")
    s3lab.lab.clock.advance(1000)
    assert refused(s3.list_buckets) == (403, "RequestTimeTooSkewed")


def test_a_disabled_user_or_project_is_refused(s3lab, s3, bucket):
    admin, key = s3lab.lab.ctx("system"), s3lab.keys["ann"]
    users.update(admin, key.user_id, {"enabled": False})
    assert refused(s3.list_buckets) == (403, "InvalidAccessKeyId")
    users.update(admin, key.user_id, {"enabled": True})
    s3.list_buckets()
    projects.update(admin, key.project_id, {"enabled": False})
    assert refused(s3.list_buckets) == (403, "InvalidAccessKeyId")


def test_a_reader_of_the_project_reads_and_does_not_write(s3lab, bucket):
    reader = s3lab.client(key=make_person(s3lab.lab, "rea", "reader", s3lab.keys["ann"].project_id))
    assert reader.get_object(Bucket=bucket, Key="x")["Body"].read() == b"data"
    assert len(reader.list_objects_v2(Bucket=bucket)["Contents"]) == 1
    assert refused(reader.put_object, Bucket=bucket, Key="y", Body=b"") == (403, "AccessDenied")
    assert refused(reader.delete_object, Bucket=bucket, Key="x") == (403, "AccessDenied")
    assert refused(reader.delete_bucket, Bucket=bucket) == (403, "AccessDenied")
    assert refused(reader.create_bucket, Bucket="two") == (403, "AccessDenied")


def test_a_body_other_than_the_signed_one_is_refused(s3lab, s3, bucket):
    key = s3lab.keys["ann"]
    request = AWSRequest("PUT", f"{HOST}/s3/one/y", data=b"good")
    S3SigV4Auth(Credentials(key.access, key.secret), "s3", "RegionOne").add_auth(request)
    answer = s3lab.http.put(request.url, content=b"evil", headers=dict(request.headers.items()))
    assert (answer.status_code, "XAmzContentSHA256Mismatch" in answer.text) == (400, True)
    assert refused(s3.head_object, Bucket=bucket, Key="y")[0] == 404


def test_a_header_that_is_not_signed_is_refused(s3lab, bucket):
    key = s3lab.keys["ann"]
    request = AWSRequest("GET", f"{HOST}/s3/one/x")
    S3SigV4Auth(Credentials(key.access, key.secret), "s3", "RegionOne").add_auth(request)
    headers = dict(request.headers.items()) | {"x-amz-acl": "public-read"}
    assert s3lab.http.get(request.url, headers=headers).status_code == 403


def test_canned_lists_let_others_in(s3lab, s3, bucket):
    bob = s3lab.client("bob")
    assert refused(bob.get_object, Bucket=bucket, Key="x") == (403, "AccessDenied")
    assert s3lab.http.get("/s3/one/x").status_code == 403
    s3.put_object_acl(Bucket=bucket, Key="x", ACL="public-read")
    assert s3lab.http.get("/s3/one/x").content == b"data"
    assert refused(bob.list_objects, Bucket=bucket) == (403, "AccessDenied")
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    assert len(bob.list_objects(Bucket=bucket)["Contents"]) == 1
    bob.put_object(Bucket=bucket, Key="y", Body=b"bob's")
    assert refused(bob.put_bucket_acl, Bucket=bucket, ACL="private") == (403, "AccessDenied")
    assert bob.get_object_acl(Bucket=bucket, Key="y")["Owner"]["DisplayName"] == "bob"
    assert s3.get_object(Bucket=bucket, Key="y")["Body"].read() == b"bob's"


def test_grants_name_projects(s3lab, s3, bucket):
    bob = s3lab.client("bob")
    s3.put_object_acl(Bucket=bucket, Key="x", GrantRead=f"id={s3lab.keys['bob'].project_id}")
    assert bob.get_object(Bucket=bucket, Key="x")["Body"].read() == b"data"
    assert refused(bob.get_object_acl, Bucket=bucket, Key="x") == (403, "AccessDenied")
    assert s3lab.http.get("/s3/one/x").status_code == 403
    assert refused(s3.put_object_acl, Bucket=bucket, Key="x", GrantRead="id=nobody") == (400, "InvalidArgument")


def test_blocks_of_public_access_close_what_lists_open(s3lab, s3, bucket):
    s3.put_object_acl(Bucket=bucket, Key="x", ACL="public-read")
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"IgnorePublicAcls": True, "BlockPublicAcls": True})
    assert s3lab.http.get("/s3/one/x").status_code == 403
    assert refused(s3.put_object_acl, Bucket=bucket, Key="x", ACL="public-read") == (403, "AccessDenied")
    s3.delete_public_access_block(Bucket=bucket)
    assert s3lab.http.get("/s3/one/x").status_code == 200


def test_a_bucket_whose_owner_owns_all_takes_no_lists(s3, bucket):
    rules = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=rules)
    assert refused(s3.put_object, Bucket=bucket, Key="y", Body=b"", ACL="public-read") == (400, "AccessControlListNotSupported")


def set_policy(s3, *statements):
    s3.put_bucket_policy(Bucket="one", Policy=json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))


def allow(effect="Allow", principal="*", action="s3:GetObject", resource="arn:aws:s3:::one/*", **more):
    return {"Effect": effect, "Principal": principal, "Action": action, "Resource": resource, **more}


def test_a_policy_allows_and_denies(s3lab, s3, bucket):
    bob = s3lab.client("bob")
    set_policy(s3, allow(principal={"AWS": f"arn:aws:iam::{s3lab.keys['bob'].project_id}:root"}))
    assert bob.get_object(Bucket=bucket, Key="x")["Body"].read() == b"data"
    assert s3lab.http.get("/s3/one/x").status_code == 403
    assert refused(bob.list_objects, Bucket=bucket) == (403, "AccessDenied")
    set_policy(s3, allow(), allow("Deny", action="s3:*", resource=["arn:aws:s3:::one/secret/*"]))
    assert s3lab.http.get("/s3/one/x").status_code == 200
    assert refused(s3.put_object, Bucket=bucket, Key="secret/a", Body=b"") == (403, "AccessDenied")
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is True
    s3.delete_bucket_policy(Bucket=bucket)
    assert s3lab.http.get("/s3/one/x").status_code == 403


def test_what_is_denied_to_a_project_is_denied_to_its_readers(s3lab, s3, bucket):
    reader = s3lab.client(key=make_person(s3lab.lab, "rea", "reader", s3lab.keys["bob"].project_id))
    project = {"AWS": f"arn:aws:iam::{s3lab.keys['bob'].project_id}:root"}
    set_policy(s3, allow(action=["s3:GetObject", "s3:PutObject"], principal=project))
    assert reader.get_object(Bucket=bucket, Key="x")["Body"].read() == b"data"
    assert refused(reader.put_object, Bucket=bucket, Key="y", Body=b"") == (403, "AccessDenied")
    set_policy(s3, allow(), allow("Deny", project))
    assert refused(reader.get_object, Bucket=bucket, Key="x") == (403, "AccessDenied")


def test_lists_give_a_projects_readers_no_more_than_reading(s3lab, s3, bucket):
    reader = s3lab.client(key=make_person(s3lab.lab, "rea", "reader", s3lab.keys["bob"].project_id))
    s3.put_bucket_acl(Bucket=bucket, GrantFullControl=f"id={s3lab.keys['bob'].project_id}")
    assert len(reader.list_objects_v2(Bucket=bucket)["Contents"]) == 1
    assert refused(reader.put_object, Bucket=bucket, Key="y", Body=b"") == (403, "AccessDenied")
    s3lab.client("bob").put_object(Bucket=bucket, Key="y", Body=b"")


def test_conditions_of_policies(s3lab, s3, bucket):
    bob = s3lab.client("bob")
    listing = allow(action="s3:ListBucket", resource="arn:aws:s3:::one", Condition={"StringLike": {"s3:prefix": "pub/*"}})
    tagged = allow(Condition={"StringEquals": {"s3:ExistingObjectTag/open": "yes"}})
    set_policy(s3, listing, tagged)
    assert refused(bob.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")
    assert bob.list_objects_v2(Bucket=bucket, Prefix="pub/a")["KeyCount"] == 0
    assert refused(bob.get_object, Bucket=bucket, Key="x") == (403, "AccessDenied")
    s3.put_object_tagging(Bucket=bucket, Key="x", Tagging={"TagSet": [{"Key": "open", "Value": "yes"}]})
    assert bob.get_object(Bucket=bucket, Key="x")["Body"].read() == b"data"


def test_deleting_many_asks_for_each(s3lab, s3, bucket):
    s3.put_object(Bucket=bucket, Key="y", Body=b"")
    set_policy(s3, allow(action="s3:DeleteObject", resource="arn:aws:s3:::one/y"))
    done = s3lab.client("bob").delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "x"}, {"Key": "y"}]})
    assert [one["Key"] for one in done["Deleted"]] == ["y"]
    assert [(one["Key"], one["Code"]) for one in done["Errors"]] == [("x", "AccessDenied")]


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"Statement": []}',
        json.dumps({"Statement": [allow(resource="arn:aws:s3:::other/*")]}),
        json.dumps({"Statement": [allow(action="ec2:Run")]}),
        json.dumps({"Statement": [allow(effect="Perhaps")]}),
        json.dumps({"Statement": [allow(Condition={"Bogus": {"a": "b"}})]}),
        json.dumps({"Statement": [allow(principal={"AWS": "arn:aws:nobody"})]}),
        "[" * 100_000,
    ],
)  # fmt: skip
def test_a_policy_that_is_none_is_refused(text):
    with pytest.raises(S3Error) as error:
        policy.parse(text, "one")
    assert error.value.kind == "MalformedPolicy"


@pytest.mark.parametrize(
    ("operator", "given", "wanted", "holds"),
    [
        ("StringEquals", "a", "a", True),
        ("StringNotEquals", "a", "a", False),
        ("StringLike", "photos/1", "photos/*", True),
        ("NumericLessThanEquals", "5", "10", True),
        ("NumericLessThan", "x", "10", False),
        ("DateGreaterThan", "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", True),
        ("IpAddress", "192.0.2.7", "192.0.2.0/24", True),
        ("NotIpAddress", "192.0.2.7", "192.0.2.0/24", False),
        ("Bool", "false", "true", False),
    ],
)
def test_operators_of_conditions(operator, given, wanted, holds):
    text = json.dumps({"Statement": [allow(Condition={operator: {"aws:Key": wanted}})]})
    asked = policy.Asked("s3:GetObject", "arn:aws:s3:::one/x", frozenset(), {"aws:key": (given,)})
    assert (policy.verdict(policy.parse(text, "one"), asked) == "Allow") is holds


def test_swifts_lists_of_a_container_count_too(s3lab, s3, bucket):
    swift, account = s3lab.swift()
    bob = s3lab.keys["bob"]
    swift.post(f"{account}/one", headers={"X-Container-Read": f"{bob.project_id}:*"})
    assert s3lab.client("bob").get_object(Bucket=bucket, Key="x")["Body"].read() == b"data"
    assert refused(s3lab.client("bob").put_object, Bucket=bucket, Key="y", Body=b"") == (403, "AccessDenied")


def test_pages_of_other_origins(s3lab, s3, bucket):
    rule = {"AllowedOrigins": ["https://*.example.org"], "AllowedMethods": ["GET", "PUT"], "AllowedHeaders": ["x-*"],
            "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 60}  # fmt: skip
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == [rule]
    asked = {"Origin": "https://a.example.org", "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "X-One"}
    answer = s3lab.http.options("/s3/one/x", headers=asked)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://a.example.org")
    assert answer.headers["access-control-max-age"] == "60"
    assert s3lab.http.options("/s3/one/x", headers=asked | {"Origin": "https://evil.org"}).status_code == 403
    assert s3lab.http.options("/s3/one/x", headers=asked | {"Access-Control-Request-Method": "DELETE"}).status_code == 403
    s3.put_object_acl(Bucket=bucket, Key="x", ACL="public-read")
    shown = s3lab.http.get("/s3/one/x", headers={"Origin": "https://a.example.org"})
    assert shown.headers["access-control-expose-headers"] == "ETag"
    assert "access-control-allow-origin" not in s3lab.http.get("/s3/one/x", headers={"Origin": "https://evil.org"}).headers


def test_a_form_of_a_page_uploads(s3lab, s3, bucket):
    made = s3.generate_presigned_post(bucket, "form/${filename}", Conditions=[["content-length-range", 1, 5]], ExpiresIn=60)
    fields = made["fields"]
    answer = s3lab.http.post(made["url"], data=fields, files={"file": ("a.txt", b"hello")})
    assert answer.status_code == 204, answer.text
    assert s3.get_object(Bucket=bucket, Key="form/a.txt")["Body"].read() == b"hello"
    assert "EntityTooLarge" in s3lab.http.post(made["url"], data=fields, files={"file": ("b", b"too long")}).text
    assert "AccessDenied" in s3lab.http.post(made["url"], data={**fields, "acl": "public-read"}, files={"file": b"x"}).text
    assert "SignatureDoesNotMatch" in s3lab.http.post(
        made["url"], data={**fields, "x-amz-signature": "0" * 64}, files={"file": b"x"}
    ).text  # fmt: skip
    assert s3lab.http.post("/s3/one", data={"key": "anonymous"}, files={"file": b"x"}).status_code == 403


def test_a_host_may_name_the_bucket(s3lab, s3, bucket):
    s3.put_object_acl(Bucket=bucket, Key="x", ACL="public-read")
    from dataclasses import replace

    object.__setattr__(s3lab.lab.cloud, "settings", replace(s3lab.lab.cloud.settings, s3_domain="s3.test"))
    assert s3lab.http.get("http://one.s3.test/x").content == b"data"
    assert s3lab.http.get("http://s3.test/one/x").content == b"data"
    assert s3lab.http.get("http://elsewhere.test/one/x").status_code == 404


@pytest.mark.parametrize(
    "text",
    [
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b"<a>" * 100,
        b"<a><b></a>",
        b"",
        b"<a>&undefined;</a>",
        b"<a>" + b"<b/>" * 50_000 + b"</a>",
    ],
)
def test_documents_that_are_no_good_are_refused(text):
    with pytest.raises(xml.BadXml):
        xml.parse(text)
