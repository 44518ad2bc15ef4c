"""Policies judged, tags held to their limits, public access blocked."""

import json

import pytest

from pileus.faces.s3 import policy
from pileus.faces.s3.errors import S3Error
from tests.faces.s3.conftest import HOST, make_person
from tests.faces.s3.test_objects import refused

ONE, ALL = "arn:aws:s3:::one", "arn:aws:s3:::one/*"


@pytest.fixture
def bucket(s3):
    s3.create_bucket(Bucket="one")
    s3.put_object(Bucket="one", Key="x", Body=b"data")
    return "one"


def statement(effect="Allow", **more):
    given = {"Effect": effect, **more}
    for name, usual in (("Principal", "*"), ("Action", "s3:GetObject"), ("Resource", ALL)):
        if f"Not{name}" not in given:
            given.setdefault(name, usual)
    return given


def judged(statements, action="s3:GetObject", resource="arn:aws:s3:::one/x", names=(), **facts):
    found = policy.parse(json.dumps({"Statement": statements}), "one")
    given = {key.replace("__", ":").replace("_", "-"): value for key, value in facts.items()}
    return policy.verdict(found, policy.Asked(action, resource, frozenset(names), given))


@pytest.mark.parametrize(
    ("more", "asked", "said"),
    [
        ({}, {}, "Allow"),
        ({"Action": "s3:*"}, {"action": "s3:PutObject"}, "Allow"),
        ({"Action": ["s3:Get*", "s3:Put*"]}, {"action": "s3:PutObjectAcl"}, "Allow"),
        ({"Action": "s3:getobject"}, {}, "Allow"),
        ({"Action": "s3:GetObject"}, {"action": "s3:GetObjectAcl"}, ""),
        ({"NotAction": "s3:GetObject"}, {}, ""),
        ({"NotAction": "s3:GetObject"}, {"action": "s3:PutObject"}, "Allow"),
        ({"Resource": "arn:aws:s3:::one/a*/?"}, {"resource": "arn:aws:s3:::one/ab/c/d"}, "Allow"),
        ({"Resource": "arn:aws:s3:::one/a*/?"}, {"resource": "arn:aws:s3:::one/ab/cd"}, ""),
        ({"Resource": "arn:aws:s3:::one/[x]"}, {}, ""),
        ({"Resource": ONE}, {}, ""),
        ({"NotResource": "arn:aws:s3:::one/x"}, {}, ""),
        ({"NotResource": "arn:aws:s3:::one/x"}, {"resource": "arn:aws:s3:::one/y"}, "Allow"),
        ({"Principal": {"AWS": "arn:aws:iam::blue:root"}}, {}, ""),
        ({"Principal": {"AWS": "arn:aws:iam::blue:root"}}, {"names": ("blue:root",)}, "Allow"),
        ({"Principal": {"AWS": ["red", "blue"]}}, {"names": ("blue:root",)}, "Allow"),
        ({"Principal": {"CanonicalUser": "blue"}}, {"names": ("blue:root",)}, "Allow"),
        ({"Principal": {"AWS": "arn:aws:iam::blue:user/ann"}}, {"names": ("blue:root", "blue:user/ann")}, "Allow"),
        ({"Effect": "Deny", "NotPrincipal": {"AWS": "blue"}}, {"names": ("blue:root",)}, ""),
        ({"Effect": "Deny", "NotPrincipal": {"AWS": "blue"}}, {"names": ("red:root",)}, "Deny"),
        ({"Condition": {"StringEqualsIfExists": {"aws:Referer": "a"}}}, {}, "Allow"),
        ({"Condition": {"StringEqualsIfExists": {"aws:Referer": "a"}}}, {"aws__referer": ("b",)}, ""),
        ({"Condition": {"StringEquals": {"aws:Referer": ["a", "b"]}}}, {"aws__referer": ("b",)}, "Allow"),
        ({"Condition": {"StringEquals": {"aws:Referer": "a"}}}, {}, ""),
        ({"Condition": {"StringNotEquals": {"aws:Referer": "a"}}}, {}, "Allow"),
        ({"Condition": {"Null": {"aws:Referer": "true"}}}, {}, "Allow"),
        ({"Condition": {"Null": {"aws:Referer": True}}}, {"aws__referer": ("b",)}, ""),
        ({"Condition": {"ForAllValues:StringEquals": {"s3:k": ["a", "b"]}}}, {"s3__k": ("a", "b")}, "Allow"),
        ({"Condition": {"ForAllValues:StringEquals": {"s3:k": ["a"]}}}, {"s3__k": ("a", "b")}, ""),
        ({"Condition": {"ForAnyValue:StringEquals": {"s3:k": ["a"]}}}, {"s3__k": ("a", "b")}, "Allow"),
        ({"Condition": {"NumericLessThan": {"s3:max-keys": 10}}}, {"s3__max_keys": ("9",)}, "Allow"),
        ({"Condition": {"NumericLessThan": {"s3:max-keys": "9" * 500}}}, {"s3__max_keys": ("9",)}, "Allow"),
        (
            {"Condition": {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "2001:db8::/32"]}}},
            {"aws__sourceip": ("2001:db8::1",)},
            "Allow",
        ),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "nonsense"}}}, {"aws__sourceip": ("10.0.0.1",)}, ""),
    ],
)
def test_what_a_statement_says(more, asked, said):
    assert judged([statement(**more)], **asked) == said


def test_a_denial_counts_wherever_it_stands():
    assert judged([statement(), statement("Deny")]) == judged([statement("Deny"), statement()]) == "Deny"


@pytest.mark.parametrize(
    "more",
    [
        {"NotPrincipal": {"AWS": "blue"}}, {"Principal": {}}, {"Principal": {"AWS": []}}, {"Principal": {"AWS": 1}},
        {"Principal": "blue"}, {"Action": []}, {"Resource": "arn:aws:s3:::two/*"}, {"Resource": "one/*"}, {"Resource": None},
        {"Condition": []}, {"Condition": {"StringEquals": "a"}}, {"Condition": {"StringEquals": {"a": {}}}}, {"Extra": 1},
        {"Action": "s3:GetObject", "NotAction": "s3:PutObject"},
    ],
)  # fmt: skip
def test_statements_that_cannot_be(more):
    with pytest.raises(S3Error) as error:
        judged([statement(**more)])
    assert error.value.kind == "MalformedPolicy"


def test_an_owner_who_denies_everybody_can_take_that_back(s3lab, s3, bucket):
    s3.put_bucket_policy(Bucket="one", Policy=json.dumps({"Statement": [statement("Deny", Action="s3:*", Resource=[ONE, ALL])]}))
    assert refused(s3.get_object, Bucket="one", Key="x") == (403, "AccessDenied")
    assert refused(s3.list_objects_v2, Bucket="one") == (403, "AccessDenied")
    assert "Deny" in s3.get_bucket_policy(Bucket="one")["Policy"]
    s3.delete_bucket_policy(Bucket="one")
    assert s3.get_object(Bucket="one", Key="x")["Body"].read() == b"data"


def test_a_reader_of_the_owners_project_changes_no_policy(s3lab, s3, bucket):
    reader = s3lab.client(key=make_person(s3lab.lab, "rea", "reader", s3lab.keys["ann"].project_id))
    text = json.dumps({"Statement": [statement()]})
    assert refused(reader.put_bucket_policy, Bucket="one", Policy=text) == (403, "AccessDenied")
    assert refused(reader.delete_bucket_policy, Bucket="one") == (403, "AccessDenied")


def test_a_policy_of_swifts_door_too(s3lab, s3, bucket):
    """A policy opens S3's door alone: Swift's does not know it, and opens nothing more."""
    s3.put_bucket_policy(Bucket="one", Policy=json.dumps({"Statement": [statement()]}))
    assert s3lab.http.get(f"{HOST}/s3/one/x").content == b"data"
    account = s3lab.keys["ann"].project_id
    assert s3lab.http.get(f"{HOST}/object-store/v1/AUTH_{account}/one/x").status_code == 401


def test_public_policies_are_blocked(s3lab, s3, bucket):
    text = json.dumps({"Statement": [statement()]})
    s3.put_bucket_policy(Bucket="one", Policy=text)
    s3.put_public_access_block(
        Bucket="one", PublicAccessBlockConfiguration={"RestrictPublicBuckets": True, "BlockPublicPolicy": True}
    )
    assert s3lab.http.get(f"{HOST}/s3/one/x").status_code == 403
    assert refused(s3lab.client("bob").get_object, Bucket="one", Key="x") == (403, "AccessDenied")
    assert s3.get_bucket_policy_status(Bucket="one")["PolicyStatus"]["IsPublic"] is False
    assert refused(s3.put_bucket_policy, Bucket="one", Policy=text) == (403, "AccessDenied")
    bob = {"AWS": f"arn:aws:iam::{s3lab.keys['bob'].project_id}:root"}
    s3.put_bucket_policy(Bucket="one", Policy=json.dumps({"Statement": [statement(Principal=bob)]}))
    assert s3lab.client("bob").get_object(Bucket="one", Key="x")["Body"].read() == b"data"


@pytest.mark.parametrize(
    ("tags", "fits"),
    [
        ([("k", "v")], True),
        ([("k", "")], True),
        ([("k" * 128, "v" * 256)], True),
        ([("é ü+-=._:/@", "ß")], True),
        ([(f"k{number}", "v") for number in range(10)], True),
        ([(f"k{number}", "v") for number in range(11)], False),
        ([("k" * 129, "v")], False),
        ([("k", "v" * 257)], False),
        ([("k", "1"), ("k", "2")], False),
        ([("aws:k", "v")], False),
        ([("k<", "v")], False),
        ([("k", "a\x7fb")], False),
    ],
)
def test_tags_have_limits(s3, bucket, tags, fits):
    listed = [{"Key": key, "Value": value} for key, value in tags]
    if not fits:
        assert refused(s3.put_object_tagging, Bucket="one", Key="x", Tagging={"TagSet": listed}) == (400, "InvalidTag")
        assert s3.get_object_tagging(Bucket="one", Key="x")["TagSet"] == []
        return
    s3.put_object_tagging(Bucket="one", Key="x", Tagging={"TagSet": listed})
    found = s3.get_object_tagging(Bucket="one", Key="x")["TagSet"]
    assert sorted((one["Key"], one["Value"]) for one in found) == sorted(tags)
    assert s3.head_object(Bucket="one", Key="x")["ResponseMetadata"]["HTTPHeaders"]["x-amz-tagging-count"] == str(len(tags))
    s3.delete_object_tagging(Bucket="one", Key="x")
    assert s3.get_object_tagging(Bucket="one", Key="x")["TagSet"] == []


def test_tags_of_nothing(s3, bucket):
    tags = {"TagSet": [{"Key": "k", "Value": "v"}]}
    assert refused(s3.put_object_tagging, Bucket="one", Key="no", Tagging=tags) == (404, "NoSuchKey")
    assert refused(s3.get_object_tagging, Bucket="one", Key="no") == (404, "NoSuchKey")
    assert refused(s3.get_bucket_tagging, Bucket="one") == (404, "NoSuchTagSet")
    s3.put_bucket_tagging(Bucket="one", Tagging=tags)
    assert s3.get_bucket_tagging(Bucket="one")["TagSet"] == tags["TagSet"]
    s3.delete_bucket_tagging(Bucket="one")
    assert refused(s3.get_bucket_tagging, Bucket="one") == (404, "NoSuchTagSet")


def test_a_change_of_tags_is_no_change_of_the_object(s3, bucket):
    before = s3.head_object(Bucket="one", Key="x")
    s3.put_object_tagging(Bucket="one", Key="x", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    s3.put_object_acl(Bucket="one", Key="x", ACL="public-read")
    after = s3.head_object(Bucket="one", Key="x")
    assert (after["ETag"], after["LastModified"], after["Metadata"]) == (
        before["ETag"],
        before["LastModified"],
        before["Metadata"],
    )
    assert s3.get_object(Bucket="one", Key="x", IfMatch=before["ETag"])["Body"].read() == b"data"


def test_a_copy_takes_tags_along_unless_it_has_its_own(s3, bucket):
    s3.put_object(Bucket="one", Key="x", Body=b"data", Tagging="a=1")
    s3.copy_object(Bucket="one", Key="y", CopySource="one/x")
    s3.copy_object(Bucket="one", Key="z", CopySource="one/x", TaggingDirective="REPLACE", Tagging="b=2")
    found = [s3.get_object_tagging(Bucket="one", Key=key)["TagSet"] for key in ("y", "z")]
    assert found == [[{"Key": "a", "Value": "1"}], [{"Key": "b", "Value": "2"}]]
