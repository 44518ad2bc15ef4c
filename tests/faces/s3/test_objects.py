"""Objects by boto3: uploaded, read, copied, deleted; and the same data by Swift's door."""

import hashlib
import os

import pytest
from botocore.exceptions import ClientError


def code_of(error) -> str:
    return error.value.response["Error"]["Code"]


def refused(call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    answer = error.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


@pytest.fixture
def bucket(s3):
    s3.create_bucket(Bucket="one")
    return "one"


def test_an_object_comes_back_with_what_was_said_of_it(s3, bucket):
    made = s3.put_object(
        Bucket=bucket, Key="a/b c+é", Body=b"hello", Metadata={"colour": "blue"}, ContentType="text/x", CacheControl="no-cache",
        ContentDisposition="inline", Tagging="a=1&b=2",
    )  # fmt: skip
    assert made["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
    found = s3.get_object(Bucket=bucket, Key="a/b c+é")
    assert found["Body"].read() == b"hello"
    assert (found["Metadata"], found["ContentType"], found["CacheControl"]) == ({"colour": "blue"}, "text/x", "no-cache")
    assert found["ContentDisposition"] == "inline"
    assert found["TagCount"] == 2
    head = s3.head_object(Bucket=bucket, Key="a/b c+é")
    assert (head["ContentLength"], head["ETag"]) == (5, made["ETag"])


def test_what_is_not_there_is_named(s3, bucket):
    assert refused(s3.get_object, Bucket=bucket, Key="nothing") == (404, "NoSuchKey")
    assert refused(s3.get_object, Bucket="nothing", Key="x") == (404, "NoSuchBucket")
    assert refused(s3.head_object, Bucket=bucket, Key="nothing")[0] == 404
    assert s3.delete_object(Bucket=bucket, Key="nothing")["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_the_error_has_s3s_form_and_an_id(s3lab, s3, bucket):
    answer = s3lab.http.get("/s3/one/x")
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/xml"
    assert "<Code>AccessDenied</Code>" in answer.text
    assert f"<RequestId>{answer.headers['x-amz-request-id']}</RequestId>" in answer.text


@pytest.mark.parametrize("name", ["ab", "Upper", "under_score", "1.2.3.4", "a" * 64, "two..dots", "-dash", "dash-"])
def test_a_bucket_needs_a_name_that_hosts_can_have(s3lab, name):
    s3 = s3lab.client()
    s3.meta.events.unregister("before-parameter-build.s3")
    from botocore.handlers import validate_bucket_name

    s3.meta.events.unregister("before-parameter-build.s3", validate_bucket_name)
    assert refused(s3.create_bucket, Bucket=name) == (400, "InvalidBucketName")


def test_buckets_are_listed_and_deleted_when_empty(s3, bucket):
    s3.put_object(Bucket=bucket, Key="x", Body=b"")
    assert [found["Name"] for found in s3.list_buckets()["Buckets"]] == [bucket]
    assert refused(s3.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty")
    s3.delete_object(Bucket=bucket, Key="x")
    s3.delete_bucket(Bucket=bucket)
    assert s3.list_buckets()["Buckets"] == []
    assert refused(s3.head_bucket, Bucket=bucket)[0] == 404


def test_a_name_belongs_to_one_project(s3lab, s3, bucket):
    bob = s3lab.client("bob")
    assert refused(bob.create_bucket, Bucket=bucket) == (409, "BucketAlreadyExists")
    s3.create_bucket(Bucket=bucket)
    s3.delete_bucket(Bucket=bucket)
    bob.create_bucket(Bucket=bucket)
    assert refused(s3.create_bucket, Bucket=bucket) == (409, "BucketAlreadyExists")


def test_ranges_and_conditions(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="x", Body=b"0123456789")["ETag"]
    part = s3.get_object(Bucket=bucket, Key="x", Range="bytes=2-4")
    assert (part["Body"].read(), part["ContentRange"]) == (b"234", "bytes 2-4/10")
    assert s3.get_object(Bucket=bucket, Key="x", Range="bytes=-3")["Body"].read() == b"789"
    assert refused(s3.get_object, Bucket=bucket, Key="x", Range="bytes=10-") == (416, "InvalidRange")
    assert refused(s3.get_object, Bucket=bucket, Key="x", IfMatch='"other"') == (412, "PreconditionFailed")
    assert refused(s3.get_object, Bucket=bucket, Key="x", IfNoneMatch=etag)[0] == 304


def test_conditional_writes(s3, bucket):
    first = s3.put_object(Bucket=bucket, Key="x", Body=b"1", IfNoneMatch="*")["ETag"]
    assert refused(s3.put_object, Bucket=bucket, Key="x", Body=b"2", IfNoneMatch="*") == (412, "PreconditionFailed")
    assert refused(s3.put_object, Bucket=bucket, Key="x", Body=b"2", IfMatch='"no"') == (412, "PreconditionFailed")
    assert refused(s3.put_object, Bucket=bucket, Key="y", Body=b"2", IfMatch=first) == (404, "NoSuchKey")
    second = s3.put_object(Bucket=bucket, Key="x", Body=b"2", IfMatch=first)["ETag"]
    assert refused(s3.delete_object, Bucket=bucket, Key="x", IfMatch=first) == (412, "PreconditionFailed")
    s3.delete_object(Bucket=bucket, Key="x", IfMatch=second)
    assert refused(s3.head_object, Bucket=bucket, Key="x")[0] == 404


def test_copies_keep_or_replace_what_is_said_of_them(s3, bucket):
    s3.put_object(Bucket=bucket, Key="x", Body=b"data", Metadata={"a": "1"}, Tagging="t=1", ContentType="text/x")
    source = {"Bucket": bucket, "Key": "x"}
    s3.copy_object(Bucket=bucket, Key="y", CopySource=source)
    found = s3.get_object(Bucket=bucket, Key="y")
    assert (found["Body"].read(), found["Metadata"], found["ContentType"], found["TagCount"]) == (
        b"data",
        {"a": "1"},
        "text/x",
        1,
    )
    s3.copy_object(Bucket=bucket, Key="z", CopySource=source, MetadataDirective="REPLACE", Metadata={"b": "2"},
                   TaggingDirective="REPLACE", Tagging="u=1&v=2")  # fmt: skip
    found = s3.head_object(Bucket=bucket, Key="z")
    assert found["Metadata"] == {"b": "2"}
    assert s3.get_object_tagging(Bucket=bucket, Key="z")["TagSet"] == [{"Key": "u", "Value": "1"}, {"Key": "v", "Value": "2"}]
    assert refused(s3.copy_object, Bucket=bucket, Key="x", CopySource=source) == (400, "InvalidRequest")
    s3.copy_object(Bucket=bucket, Key="x", CopySource=source, MetadataDirective="REPLACE", Metadata={"c": "3"})
    assert s3.head_object(Bucket=bucket, Key="x")["Metadata"] == {"c": "3"}
    assert refused(s3.copy_object, Bucket=bucket, Key="n", CopySource=source, CopySourceIfMatch='"no"') == (
        412,
        "PreconditionFailed",
    )


def test_many_are_deleted_at_once(s3, bucket):
    for key in ("a", "b", "c"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}, {"Key": "b"}, {"Key": "nothing"}]})
    assert [one["Key"] for one in done["Deleted"]] == ["a", "b", "nothing"]
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["c"]
    assert "Deleted" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "c"}], "Quiet": True})


def test_listings_roll_up_and_go_on(s3, bucket):
    for key in ("a", "b/1", "b/2", "c/1", "d"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    seen, token = [], {}
    while True:
        page = s3.list_objects_v2(Bucket=bucket, Delimiter="/", MaxKeys=1, **token)
        seen += [one["Key"] for one in page.get("Contents", [])] + [one["Prefix"] for one in page.get("CommonPrefixes", [])]
        if not page["IsTruncated"]:
            break
        token = {"ContinuationToken": page["NextContinuationToken"]}
    assert seen == ["a", "b/", "c/", "d"]
    page = s3.list_objects(Bucket=bucket, Delimiter="/", MaxKeys=2)
    assert (page["IsTruncated"], page["NextMarker"]) == (True, "b/")
    assert [one["Prefix"] for one in s3.list_objects(Bucket=bucket, Delimiter="/", Marker="b/")["CommonPrefixes"]] == ["c/"]
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, StartAfter="b/1")["Contents"]] == ["b/2", "c/1", "d"]
    assert s3.list_objects(Bucket=bucket)["Contents"][0]["Owner"]["DisplayName"] == "ann"


def test_swift_and_s3_show_the_same_data(s3lab, s3, bucket):
    swift, account = s3lab.swift()
    s3.put_object(Bucket=bucket, Key="x", Body=b"by s3", Metadata={"a": "1"})
    found = swift.get(f"{account}/one/x")
    assert (found.content, found.headers["x-object-meta-a"]) == (b"by s3", "1")
    swift.put(f"{account}/one/y", content=b"by swift", headers={"X-Object-Meta-B": "2", "Content-Type": "text/y"})
    found = s3.get_object(Bucket=bucket, Key="y")
    assert (found["Body"].read(), found["Metadata"], found["ContentType"]) == (b"by swift", {"b": "2"}, "text/y")
    swift.put(f"{account}/two")
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["one", "two"]
    s3.put_object(Bucket="two", Key="z", Body=b"")
    assert swift.get(f"{account}/two").text == "z\n"


def test_parts_become_one_object_that_swift_reads_too(s3lab, s3, bucket):
    swift, account = s3lab.swift()
    first, last = os.urandom(5 * 1024 * 1024), b"the end"
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big", Metadata={"a": "1"}, ContentType="text/big")["UploadId"]
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(Bucket=bucket, Key="big", UploadId=upload, PartNumber=number, Body=body)["ETag"],
        }
        for number, body in ((1, first), (2, last))
    ]
    assert [one["Size"] for one in s3.list_parts(Bucket=bucket, Key="big", UploadId=upload)["Parts"]] == [len(first), len(last)]
    assert [one["UploadId"] for one in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
    assert refused(s3.get_object, Bucket=bucket, Key="big") == (404, "NoSuchKey")
    done = s3.complete_multipart_upload(Bucket=bucket, Key="big", UploadId=upload, MultipartUpload={"Parts": parts})
    md5s = hashlib.md5(first).digest() + hashlib.md5(last).digest()
    assert done["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-2"'
    found = s3.get_object(Bucket=bucket, Key="big")
    assert (found["Body"].read() == first + last, found["ETag"], found["Metadata"]) == (True, done["ETag"], {"a": "1"})
    assert (
        s3.get_object(Bucket=bucket, Key="big", Range=f"bytes={len(first) - 2}-{len(first) + 2}")["Body"].read()
        == first[-2:] + b"the"
    )
    assert s3.get_object(Bucket=bucket, Key="big", PartNumber=2)["Body"].read() == last
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["ETag"] == done["ETag"]
    assert swift.get(f"{account}/one/big").content == first + last
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    assert len(swift.get(f"{account}/one+segments").text.splitlines()) == 2
    s3.delete_object(Bucket=bucket, Key="big")
    assert swift.get(f"{account}/one+segments").text == ""


def test_an_upload_is_held_to_its_parts(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]

    def put(number):
        etag = s3.upload_part(Bucket=bucket, Key="big", UploadId=upload, PartNumber=number, Body=b"small")["ETag"]
        return {"PartNumber": number, "ETag": etag}

    def complete(*parts):
        return refused(
            s3.complete_multipart_upload, Bucket=bucket, Key="big", UploadId=upload, MultipartUpload={"Parts": list(parts)}
        )

    one, two = put(1), put(2)
    assert complete(one, two) == (400, "EntityTooSmall")
    assert complete(two, one) == (400, "InvalidPartOrder")
    assert complete(one, {"PartNumber": 3, "ETag": one["ETag"]}) == (400, "InvalidPart")
    assert complete({"PartNumber": 1, "ETag": "0" * 32}) == (400, "InvalidPart")
    s3.abort_multipart_upload(Bucket=bucket, Key="big", UploadId=upload)
    assert refused(s3.upload_part, Bucket=bucket, Key="big", UploadId=upload, PartNumber=1, Body=b"") == (404, "NoSuchUpload")


def test_parts_are_copied_from_ranges(s3, bucket):
    s3.put_object(Bucket=bucket, Key="x", Body=b"0123456789")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="y")["UploadId"]
    source = {"Bucket": bucket, "Key": "x"}
    part = s3.upload_part_copy(
        Bucket=bucket, Key="y", UploadId=upload, PartNumber=1, CopySource=source, CopySourceRange="bytes=2-5"
    )
    done = {"Parts": [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="y", UploadId=upload, MultipartUpload=done)
    assert s3.get_object(Bucket=bucket, Key="y")["Body"].read() == b"2345"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_are_checked_and_kept(s3, bucket, algorithm):
    s3.put_object(Bucket=bucket, Key="x", Body=b"hello", ChecksumAlgorithm=algorithm)
    found = s3.head_object(Bucket=bucket, Key="x", ChecksumMode="ENABLED")
    wrong = {f"Checksum{algorithm}": "A" * (len(found[f"Checksum{algorithm}"]) - 2) + "=="}
    status, code = refused(s3.put_object, Bucket=bucket, Key="y", Body=b"hello", **wrong)
    assert (status, code) in ((400, "BadDigest"), (400, "InvalidRequest"))
    assert refused(s3.head_object, Bucket=bucket, Key="y")[0] == 404
    told = s3.get_object_attributes(Bucket=bucket, Key="x", ObjectAttributes=["Checksum", "ObjectSize", "ETag"])
    assert told["Checksum"][f"Checksum{algorithm}"] == found[f"Checksum{algorithm}"]
    assert told["ObjectSize"] == 5


def test_a_wrong_md5_leaves_nothing(s3, bucket):
    assert refused(s3.put_object, Bucket=bucket, Key="x", Body=b"1", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==") == (400, "BadDigest")
    assert refused(s3.put_object, Bucket=bucket, Key="x", Body=b"1", ContentMD5="bad") == (400, "InvalidDigest")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_encryption_with_keys_is_refused(s3, bucket):
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    assert refused(s3.put_object, Bucket=bucket, Key="x", Body=b"1", **key) == (501, "NotImplemented")


def test_a_website_is_refused(s3, bucket):
    site = {"IndexDocument": {"Suffix": "index.html"}}
    assert refused(s3.put_bucket_website, Bucket=bucket, WebsiteConfiguration=site) == (501, "NotImplemented")


def test_of_many_deletions_each_is_answered_in_its_place(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    made = [s3.put_object(Bucket=bucket, Key="x", Body=b"%d" % number)["VersionId"] for number in range(3)]
    names = [{"Key": f"k{number:03d}"} for number in range(40)]
    asked = [{"Key": "x", "VersionId": made[2]}, *names, {"Key": "x", "VersionId": "bogus"}, {"Key": "x", "VersionId": made[1]}]
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": asked})
    assert [one["Key"] for one in done["Deleted"]] == ["x", *(one["Key"] for one in names), "x"]
    assert [(one["Key"], one["VersionId"]) for one in done["Errors"]] == [("x", "bogus")]
    assert s3.get_object(Bucket=bucket, Key="x")["Body"].read() == b"0"
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "x", "VersionId": made[0]}], "Quiet": True})
    assert "Deleted" not in quiet
    assert refused(s3.get_object, Bucket=bucket, Key="x") == (404, "NoSuchKey")
