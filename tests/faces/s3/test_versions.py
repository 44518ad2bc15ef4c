"""Versions, markers of deletions, the version "null"; object lock by both doors; lifecycle."""

import asyncio
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from pileus.faces.s3 import expiring
from tests.faces.s3.test_objects import refused

DAY = 86_400


@pytest.fixture
def bucket(s3):
    s3.create_bucket(Bucket="one")
    return "one"


@pytest.fixture
def versioned(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


def put(s3, bucket, body, key="x", **more):
    return s3.put_object(Bucket=bucket, Key=key, Body=body, **more).get("VersionId")


def read(s3, bucket, version=None, key="x"):
    try:
        asked = {"VersionId": version} if version else {}
        return s3.get_object(Bucket=bucket, Key=key, **asked)["Body"].read()
    except ClientError as error:
        return error.response["Error"]["Code"]


def rows(s3, bucket):
    found = s3.list_object_versions(Bucket=bucket)
    every = [(one["Key"], one["VersionId"], one["IsLatest"], "Size" in one) for one in found.get("Versions", [])]
    return every + [(one["Key"], one["VersionId"], one["IsLatest"], False) for one in found.get("DeleteMarkers", [])]


def test_versions_are_kept_and_found_by_id(s3, versioned):
    first, second = put(s3, versioned, b"1"), put(s3, versioned, b"2")
    assert (read(s3, versioned), read(s3, versioned, first), read(s3, versioned, second)) == (b"2", b"1", b"2")
    assert rows(s3, versioned) == [("x", second, True, True), ("x", first, False, True)]


def test_a_deletion_leaves_a_marker_and_its_deletion_brings_the_object_back(s3, versioned):
    version = put(s3, versioned, b"1")
    gone = s3.delete_object(Bucket=versioned, Key="x")
    assert gone["DeleteMarker"] is True
    assert read(s3, versioned) == "NoSuchKey"
    assert read(s3, versioned, version) == b"1"
    assert refused(s3.get_object, Bucket=versioned, Key="x", VersionId=gone["VersionId"]) == (405, "MethodNotAllowed")
    s3.delete_object(Bucket=versioned, Key="x", VersionId=gone["VersionId"])
    assert read(s3, versioned) == b"1"


def test_without_its_newest_version_the_one_before_is_the_object(s3, versioned):
    first, second = put(s3, versioned, b"1"), put(s3, versioned, b"2")
    s3.delete_object(Bucket=versioned, Key="x", VersionId=second)
    assert read(s3, versioned) == b"1"
    s3.delete_object(Bucket=versioned, Key="x", VersionId=first)
    assert read(s3, versioned) == "NoSuchKey"
    assert rows(s3, versioned) == []


def test_what_was_there_before_is_the_version_null(s3, bucket):
    put(s3, bucket, b"0")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert read(s3, bucket, "null") == b"0"
    newer = put(s3, bucket, b"1")
    assert (read(s3, bucket, "null"), read(s3, bucket)) == (b"0", b"1")
    assert [row[1] for row in rows(s3, bucket)] == [newer, "null"]
    s3.delete_object(Bucket=bucket, Key="x", VersionId=newer)
    assert s3.head_object(Bucket=bucket, Key="x")["VersionId"] == "null"
    s3.delete_object(Bucket=bucket, Key="x", VersionId="null")
    assert rows(s3, bucket) == []


def test_while_suspended_the_version_null_is_replaced(s3, versioned):
    kept = put(s3, versioned, b"1")
    s3.put_bucket_versioning(Bucket=versioned, VersioningConfiguration={"Status": "Suspended"})
    put(s3, versioned, b"2")
    put(s3, versioned, b"3")
    assert [row[1] for row in rows(s3, versioned)] == ["null", kept]
    s3.delete_object(Bucket=versioned, Key="x")
    assert [(row[1], row[3]) for row in rows(s3, versioned)] == [(kept, True), ("null", False)]
    assert read(s3, versioned) == "NoSuchKey"
    s3.delete_object(Bucket=versioned, Key="x", VersionId="null")
    assert read(s3, versioned) == b"1"


def test_pages_of_versions_lose_none(s3, versioned):
    wanted = [("x", put(s3, versioned, b"%d" % place)) for place in range(3)][::-1]
    wanted += [("y", put(s3, versioned, b"y", "y"))]
    seen, marker = [], {}
    while True:
        page = s3.list_object_versions(Bucket=versioned, MaxKeys=1, **marker)
        seen += [(one["Key"], one["VersionId"]) for one in page.get("Versions", [])]
        if not page["IsTruncated"]:
            break
        marker = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
    assert seen == wanted


def test_tags_are_those_of_a_version(s3, versioned):
    first, _ = put(s3, versioned, b"1"), put(s3, versioned, b"2")
    s3.put_object_tagging(Bucket=versioned, Key="x", VersionId=first, Tagging={"TagSet": [{"Key": "a", "Value": "1"}]})
    assert s3.get_object_tagging(Bucket=versioned, Key="x")["TagSet"] == []
    assert s3.get_object_tagging(Bucket=versioned, Key="x", VersionId=first)["TagSet"] == [{"Key": "a", "Value": "1"}]
    assert read(s3, versioned, first) == b"1"


@pytest.fixture
def locked(s3):
    s3.create_bucket(Bucket="vault", ObjectLockEnabledForBucket=True)
    return "vault"


def until(lab, seconds):
    return datetime.fromtimestamp(lab.clock.now() + seconds, UTC)


def test_a_retained_version_stays(s3lab, s3, locked):
    lab = s3lab.lab
    strict = put(s3, locked, b"1", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until(lab, 600))
    mild = put(s3, locked, b"2", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until(lab, 600))
    assert refused(s3.delete_object, Bucket=locked, Key="x", VersionId=strict) == (403, "AccessDenied")
    assert refused(s3.delete_object, Bucket=locked, Key="x", VersionId=mild) == (403, "AccessDenied")
    assert refused(s3.delete_object, Bucket=locked, Key="x", VersionId=strict, BypassGovernanceRetention=True)[0] == 403
    s3.delete_object(Bucket=locked, Key="x", VersionId=mild, BypassGovernanceRetention=True)
    assert read(s3, locked) == b"1"
    lab.clock.advance(601)
    s3.delete_object(Bucket=locked, Key="x", VersionId=strict)


def test_a_legal_hold_ends_when_it_is_taken_away(s3, locked):
    version = put(s3, locked, b"1")
    s3.put_object_legal_hold(Bucket=locked, Key="x", LegalHold={"Status": "ON"})
    assert s3.get_object_legal_hold(Bucket=locked, Key="x")["LegalHold"] == {"Status": "ON"}
    assert refused(s3.delete_object, Bucket=locked, Key="x", VersionId=version)[0] == 403
    s3.put_object_legal_hold(Bucket=locked, Key="x", LegalHold={"Status": "OFF"})
    s3.delete_object(Bucket=locked, Key="x", VersionId=version)


def test_the_default_retention_is_given_and_may_only_grow(s3lab, s3, locked):
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    config = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=config)
    assert s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"] == config
    version = put(s3, locked, b"1")
    assert s3.head_object(Bucket=locked, Key="x")["ObjectLockMode"] == "GOVERNANCE"
    longer = {"Mode": "GOVERNANCE", "RetainUntilDate": until(s3lab.lab, 2 * DAY)}
    s3.put_object_retention(Bucket=locked, Key="x", Retention=longer)
    shorter = {"Mode": "GOVERNANCE", "RetainUntilDate": until(s3lab.lab, 60)}
    assert refused(s3.put_object_retention, Bucket=locked, Key="x", Retention=shorter) == (403, "AccessDenied")
    s3.put_object_retention(Bucket=locked, Key="x", VersionId=version, Retention=shorter, BypassGovernanceRetention=True)


def test_swifts_door_is_no_way_around_a_lock(s3lab, s3, locked):
    swift, account = s3lab.swift()
    version = put(s3, locked, b"1", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until(s3lab.lab, 600))
    assert swift.delete(f"{account}/{locked}/x?version-id={version}").status_code == 403
    assert swift.post(f"{account}/{locked}", headers={"X-Versions-Enabled": "false"}).status_code == 409
    assert swift.post(f"{account}/{locked}/x", headers={"X-Object-Meta-A": "1"}).status_code == 202
    assert s3.head_object(Bucket=locked, Key="x", VersionId=version)["ObjectLockMode"] == "COMPLIANCE"
    swift.post(f"{account}/{locked}/x", headers={"X-Delete-After": "5"})
    s3lab.lab.clock.advance(6)
    assert read(s3, locked, version) == b"1"
    swift.delete(f"{account}/{locked}/x")
    assert swift.delete(f"{account}/{locked}").status_code == 409
    assert read(s3, locked, version) == b"1"


def test_parts_of_a_locked_object_cannot_be_taken_from_under_it(s3lab, s3, locked):
    swift, account = s3lab.swift()
    upload = s3.create_multipart_upload(
        Bucket=locked, Key="x", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until(s3lab.lab, 600)
    )["UploadId"]
    etag = s3.upload_part(Bucket=locked, Key="x", UploadId=upload, PartNumber=1, Body=b"data")["ETag"]
    s3.complete_multipart_upload(
        Bucket=locked, Key="x", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}
    )
    part = f"{account}/{locked}+segments/x/{upload}/1"
    assert swift.get(part).content == b"data"
    assert swift.delete(part).status_code == 403
    assert swift.put(part, content=b"evil").status_code == 403
    swift.delete(f"{account}/{locked}/x?multipart-manifest=delete")
    version = s3.list_object_versions(Bucket=locked)["Versions"][0]["VersionId"]
    assert read(s3, locked, version) == b"data"


def sweep(s3lab):
    return dict(asyncio.run(expiring.sweep(s3lab.lab.cloud)))


def rule(**more):
    return {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, **more}


def set_rules(s3, bucket, *rules):
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)})


def test_objects_vanish_in_their_time(s3lab, s3, bucket):
    put(s3, bucket, b"1", "old/a")
    put(s3, bucket, b"1", "kept/a")
    set_rules(s3, bucket, rule(Filter={"Prefix": "old/"}, Expiration={"Days": 2}))
    assert "rule-id" in s3.head_object(Bucket=bucket, Key="old/a")["Expiration"]
    assert sweep(s3lab) == {}
    s3lab.lab.clock.advance(3 * DAY)
    assert sweep(s3lab) == {"expired": 1}
    key = s3lab.keys["ann"]
    swift, account = s3lab.swift()
    assert swift.get(f"{account}/{bucket}").text == "kept/a\n", key


def test_rules_choose_by_tags_and_size(s3lab, s3, bucket):
    put(s3, bucket, b"1", "a", Tagging="tmp=yes")
    put(s3, bucket, b"1", "b")
    put(s3, bucket, b"123456", "c", Tagging="tmp=yes")
    both = {"And": {"Prefix": "", "Tags": [{"Key": "tmp", "Value": "yes"}], "ObjectSizeLessThan": 5}}
    set_rules(s3, bucket, rule(Filter=both, Expiration={"Days": 1}))
    s3lab.lab.clock.advance(2 * DAY)
    assert sweep(s3lab) == {"expired": 1}
    swift, account = s3lab.swift()
    assert swift.get(f"{account}/{bucket}").text == "b\nc\n"


def test_noncurrent_versions_and_lone_markers_vanish(s3lab, s3, versioned):
    put(s3, versioned, b"1")
    put(s3, versioned, b"2")
    s3.delete_object(Bucket=versioned, Key="x")
    set_rules(
        s3, versioned, rule(NoncurrentVersionExpiration={"NoncurrentDays": 1}, Expiration={"ExpiredObjectDeleteMarker": True})
    )
    s3lab.lab.clock.advance(3 * DAY)
    assert sweep(s3lab) == {"noncurrent": 2, "markers": 1}
    swift, account = s3lab.swift()
    assert swift.get(f"{account}/{versioned}?versions").json() == []


def test_newer_noncurrent_versions_are_kept(s3lab, s3, versioned):
    for body in (b"1", b"2", b"3", b"4"):
        put(s3, versioned, body)
    set_rules(s3, versioned, rule(NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 2}))
    s3lab.lab.clock.advance(3 * DAY)
    assert sweep(s3lab) == {"noncurrent": 1}


def test_lifecycle_leaves_what_is_locked(s3lab, s3, locked):
    put(s3, locked, b"1", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until(s3lab.lab, 30 * DAY))
    put(s3, locked, b"2")
    set_rules(s3, locked, rule(NoncurrentVersionExpiration={"NoncurrentDays": 1}))
    s3lab.lab.clock.advance(3 * DAY)
    assert sweep(s3lab) == {"kept": 1}


def test_uploads_that_nobody_completes_are_given_up(s3lab, s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="big", UploadId=upload, PartNumber=1, Body=b"data")
    set_rules(s3, bucket, rule(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1}))
    s3lab.lab.clock.advance(3 * DAY)
    assert sweep(s3lab) == {"uploads": 1}
    swift, account = s3lab.swift()
    assert swift.get(f"{account}/{bucket}+segments").text == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"Expiration": {"Days": 0}},
        {"Expiration": {"Days": 1}, "Status": "enabled"},
        {"Expiration": {"Days": 1}, "ID": "x" * 256},
        {},
        {"Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]},
    ],
)
def test_a_rule_that_cannot_be_is_refused(s3, bucket, wrong):
    with pytest.raises(ClientError) as error:
        set_rules(s3, bucket, {**rule(), **wrong})
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 501)
    assert refused(s3.get_bucket_lifecycle_configuration, Bucket=bucket) == (404, "NoSuchLifecycleConfiguration")
