"""What nobody sane sends, and what somebody bad does: headers, numbers, names, documents; and other people's buckets."""

import asyncio
import base64
import hashlib
import threading
from dataclasses import replace

import httpx
import pytest

from pileus.identity.service import credentials
from pileus.object_store.service import access
from tests.faces.s3.conftest import HOST
from tests.faces.s3.test_objects import refused
from tests.faces.s3.test_signatures import signed

HUGE = "9" * 6000


@pytest.fixture
def bucket(s3):
    s3.create_bucket(Bucket="one")
    s3.put_object(Bucket="one", Key="x", Body=b"data")
    return "one"


def link(s3, operation, **params):
    """A presigned URL."""
    return s3.generate_presigned_url(operation, Params=params)


@pytest.fixture
def everybody(s3, bucket):
    """A bucket in which everybody may do everything, so that nothing needs a signature."""
    s3.put_bucket_policy(
        Bucket=bucket,
        Policy='{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*",'
        ' "Resource": ["arn:aws:s3:::one", "arn:aws:s3:::one/*"]}]}',
    )
    return bucket


NUMBERS = [
    "/s3/one?max-keys={}", "/s3/one?list-type=2&max-keys={}", "/s3/one?versions&max-keys={}", "/s3/one?uploads&max-uploads={}",
    "/s3/one/x?partNumber={}",
]  # fmt: skip


@pytest.mark.parametrize("number", [HUGE, "-1", "1e3", "\uff11", "0x10", " 7"])
@pytest.mark.parametrize("path", NUMBERS)
def test_numbers_that_are_none_are_refused(s3lab, everybody, path, number):
    answer = s3lab.http.get(HOST + path.format(number))
    assert (answer.status_code, "<Code>InvalidArgument</Code>" in answer.text) == (400, True), answer.text


@pytest.mark.parametrize("version", [HUGE, "-1", "0", "\uff11", "../x", "null", "%00", "a" * 32])
def test_versions_that_are_none_are_not_found(s3lab, everybody, version):
    answer = s3lab.http.get(f"{HOST}/s3/one/y?versionId={version}")
    assert answer.status_code in (400, 404), answer.text
    assert "<Code>" in answer.text


HEADERS = [
    ("GET", "/s3/one/x", {"Range": f"bytes=0-{HUGE}"}, {200, 206}),
    ("GET", "/s3/one/x", {"Range": f"bytes={HUGE}-"}, {200, 416}),
    ("GET", "/s3/one/x", {"Range": "bytes=" + "0-0," * 500 + "1-1"}, {200, 206, 416}),
    ("GET", "/s3/one/x", {"If-Modified-Since": HUGE}, {200}),
    ("GET", "/s3/one/x", {"If-Match": '"' * 999}, {412}),
    ("GET", "/s3/one/x?attributes", {"x-amz-object-attributes": "ObjectParts", "x-amz-max-parts": HUGE}, {200, 400}),
    ("GET", "/s3/one/x?attributes", {"x-amz-object-attributes": "Everything"}, {400}),
    ("PUT", "/s3/one/y", {"x-amz-acl": "bogus"}, {400}),
    ("PUT", "/s3/one/y", {"x-amz-grant-read": "=,=,="}, {400}),
    ("PUT", "/s3/one/y", {"x-amz-tagging": "a=1&a=2"}, {400}),
    ("PUT", "/s3/one/y", {"x-amz-tagging": "&".join(f"k{n}=v" for n in range(11))}, {400}),
    ("PUT", "/s3/one/y", {"x-amz-tagging": "aws:a=1"}, {400}),
    ("PUT", "/s3/one/y", {"x-amz-storage-class": "GLACIER"}, {400}),
    ("PUT", "/s3/one/y", {"x-amz-object-lock-mode": "COMPLIANCE"}, {400}),
    ("PUT", "/s3/one/y", {"x-amz-copy-source": "nothing"}, {400}),
    ("PUT", "/s3/one/y", {"x-amz-copy-source": "/one/%ff"}, {400, 404}),
    ("PUT", "/s3/one/y", {"x-amz-copy-source": "/one/x?versionId=../x"}, {400}),
    ("PUT", "/s3/one/y", {"x-amz-copy-source": "/one/x", "x-amz-metadata-directive": "MOVE"}, {400}),
    ("PUT", "/s3/one/y", {"x-amz-website-redirect-location": "javascript:1"}, {400}),
    ("PUT", "/s3/one/y", {"x-amz-meta-a": "b" * 3000}, {400}),
    ("DELETE", "/s3/one/y", {"x-amz-if-match-size": HUGE}, {400}),
    ("DELETE", "/s3/one/y", {"x-amz-if-match-last-modified-time": "9" * 400}, {400}),
    ("POST", "/s3/one/y?uploads", {"x-amz-checksum-algorithm": "MD5"}, {400}),
    ("PUT", "/s3/one/y?uploadId=a&partNumber=0", {}, {400}),
    ("PUT", f"/s3/one/y?uploadId=a&partNumber={'9' * 2000}", {}, {400}),
    ("PUT", "/s3/one/y?uploadId=..%2F..%2Fx&partNumber=1", {}, {404}),
    ("POST", "/s3/one/y?uploadId=a", {}, {400}),
    ("POST", "/s3/one", {"Content-Type": "multipart/form-data; boundary=" + "b" * 5000}, {400}),
    ("POST", "/s3/one", {"Content-Type": "multipart/form-data"}, {400}),
    ("POST", "/s3/one/y", {}, {501}),
    ("PATCH", "/s3/one/y", {}, {405}),
    ("OPTIONS", "/s3/one/y", {}, {400}),
    ("OPTIONS", "/s3/one/y", {"Origin": "null", "Access-Control-Request-Method": "GET"}, {403}),
    ("PUT", "/s3/one?website", {}, {501}),
    ("GET", "/s3/one/x?torrent", {}, {501}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "headers", "statuses"), HEADERS)
def test_requests_that_are_odd_get_an_answer_of_s3(s3lab, s3, everybody, method, path, headers, statuses):
    answer = s3lab.http.request(method, HOST + path, headers=headers)
    assert answer.status_code in statuses, answer.text
    if answer.status_code >= 400 and method != "PATCH":
        assert "<Code>" in answer.text
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="one")["Contents"]] == ["x"]


SUBRESOURCES = (
    "acl", "cors", "delete", "lifecycle", "object-lock", "ownershipControls", "publicAccessBlock", "tagging", "versioning",
)  # fmt: skip
DOCUMENTS = [
    b"", b"<", b"{}", b"<a/>", b"<a>" * 50, b"<?xml version='1.0' encoding='utf-16'?><a/>", b"\xff\xfe", b"\x00" * 10,
    b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', b"<Tagging><TagSet><Tag/></TagSet></Tagging>",
    b"<Delete><Object/></Delete>", b"<Delete>" + b"<Object><Key>x</Key></Object>" * 1001 + b"</Delete>",
    b"<CORSConfiguration><CORSRule/></CORSConfiguration>", b"<LifecycleConfiguration><Rule/></LifecycleConfiguration>",
    b"<VersioningConfiguration><Status>Perhaps</Status></VersioningConfiguration>", b"<AccessControlPolicy/>",
    b"<ObjectLockConfiguration><ObjectLockEnabled>No</ObjectLockEnabled></ObjectLockConfiguration>",
    b"<OwnershipControls><Rule><ObjectOwnership>Mine</ObjectOwnership></Rule></OwnershipControls>",
]  # fmt: skip


@pytest.mark.parametrize("name", SUBRESOURCES)
def test_documents_that_are_no_good_change_nothing(s3lab, s3, everybody, name):
    method = "POST" if name == "delete" else "PUT"
    for body in DOCUMENTS:
        answer = s3lab.http.request(
            method, f"{HOST}/s3/one?{name}", content=body, headers={"x-amz-checksum-sha256": sha256(body)}
        )
        assert answer.status_code == 400, (body, answer.text)
        assert "/etc/passwd" not in answer.text
        assert "root:" not in answer.text
    assert s3.get_object(Bucket="one", Key="x")["Body"].read() == b"data"
    assert "Status" not in s3.get_bucket_versioning(Bucket="one")


def sha256(body: bytes) -> str:

    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def test_a_document_that_is_too_large_is_refused(s3lab, everybody):
    for name, size in (("cors", 70_000), ("tagging", 1_100_000)):
        answer = s3lab.http.put(f"{HOST}/s3/one?{name}", content=b"<a>" + b" " * size + b"</a>")
        assert answer.status_code == 400


NAMES = ["a..", "..a", "/etc/passwd", "/", "//", "a//b", " ", "\t", "\u2028", "%2e%2e", "a\\b", "x" * 1024, "é" * 512]
DOTTED = ["../two/y", "..", ".", "a/../../two/y", "../../.."]


def test_no_name_leads_out_of_its_bucket(s3lab, s3, bucket):
    s3.create_bucket(Bucket="two")
    for name in NAMES:
        s3.put_object(Bucket="one", Key=name, Body=name.encode())
    listed = [one["Key"] for one in s3.list_objects_v2(Bucket="one")["Contents"]]
    assert sorted(listed) == sorted([*NAMES, "x"])
    assert all(s3.get_object(Bucket="one", Key=name)["Body"].read() == name.encode() for name in NAMES)
    assert "Contents" not in s3.list_objects_v2(Bucket="two")
    s3.delete_objects(Bucket="one", Delete={"Objects": [{"Key": name} for name in NAMES]})
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="one")["Contents"]] == ["x"]


def test_dots_in_names_are_but_dots(s3lab, s3, everybody):
    s3.create_bucket(Bucket="two")
    for name in DOTTED:
        url = f"{HOST}/s3/one/" + name.replace(".", "%2E").replace("/", "%2F")
        assert s3lab.http.put(url, content=name.encode()).status_code == 200
        assert s3lab.http.get(url).text == name
    assert sorted(one["Key"] for one in s3.list_objects_v2(Bucket="one")["Contents"]) == sorted([*DOTTED, "x"])
    assert "Contents" not in s3.list_objects_v2(Bucket="two")


def test_names_that_cannot_be_are_refused(s3lab, s3, everybody):
    assert refused(s3.put_object, Bucket="one", Key="x" * 1025, Body=b"") == (400, "KeyTooLongError")
    for name in ("a%00b", "%ff", "a%c3"):
        answer = s3lab.http.put(f"{HOST}/s3/one/{name}", content=b"1")
        assert (answer.status_code, "<Code>" in answer.text) == (400, True), answer.text
    for name in ("%00", "a%00b", "%ff", ".s3", "one+segments", "a%2fb"):
        assert s3lab.http.get(f"{HOST}/s3/{name}").status_code in (400, 403, 404)


def test_the_stores_own_containers_are_no_buckets(s3lab, s3, bucket):
    """Parts of uploads, versions, and the list of names are reached by no door of S3's."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="x", Body=b"2")
    s3.create_multipart_upload(Bucket=bucket, Key="big")
    for name in (f"{bucket}%2Bsegments", f"{bucket}{access.PARTS}", "%00versions%00one", ".s3", f"{bucket}%00"):
        for method, more in (("GET", ""), ("HEAD", ""), ("GET", "?uploads"), ("DELETE", ""), ("GET", "?versions"), ("PUT", "/x")):
            path = f"/s3/{name}{more}"
            answer = s3lab.http.request(method, HOST + path, headers=signed(s3lab, method, path))
            assert answer.status_code in (400, 403, 404), (method, path)
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["one"]


OTHERS = [
    ("get_object", {"Key": "x"}), ("head_object", {"Key": "x"}), ("put_object", {"Key": "x", "Body": b"evil"}),
    ("delete_object", {"Key": "x"}), ("list_objects", {}), ("list_objects_v2", {}), ("list_object_versions", {}),
    ("get_object_acl", {"Key": "x"}), ("get_bucket_acl", {}), ("put_bucket_acl", {"ACL": "public-read"}),
    ("get_bucket_policy", {}), ("delete_bucket_policy", {}), ("get_bucket_cors", {}), ("delete_bucket", {}),
    ("get_object_tagging", {"Key": "x"}), ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Enabled"}}),
    ("create_multipart_upload", {"Key": "x"}), ("list_multipart_uploads", {}), ("get_bucket_location", {}),
    ("delete_objects", {"Delete": {"Objects": [{"Key": "x"}]}}),
    ("get_object_attributes", {"Key": "x", "ObjectAttributes": ["ETag"]}),
    ("put_public_access_block", {"PublicAccessBlockConfiguration": {}}), ("get_bucket_lifecycle_configuration", {}),
    ("copy_object", {"Key": "y", "CopySource": "one/x"}),
]  # fmt: skip


def test_another_projects_bucket_is_denied(s3lab, s3, bucket):
    bob = s3lab.client("bob")
    bob.create_bucket(Bucket="bobs")
    for name, arguments in OTHERS:
        if name == "delete_objects":
            assert [one["Code"] for one in bob.delete_objects(Bucket=bucket, **arguments)["Errors"]] == ["AccessDenied"]
            continue
        status, code = refused(getattr(bob, name), Bucket="bobs" if name == "copy_object" else bucket, **arguments)
        assert (status, code) in ((403, "AccessDenied"), (403, "403")), name
    assert refused(bob.create_bucket, Bucket=bucket) == (409, "BucketAlreadyExists")
    assert refused(bob.get_object, Bucket="nobodys", Key="x") == (404, "NoSuchBucket")
    assert [one["Name"] for one in bob.list_buckets()["Buckets"]] == ["bobs"]
    assert s3.get_object(Bucket=bucket, Key="x")["Body"].read() == b"data"


def test_an_upload_of_somebody_else_cannot_be_gone_on_with(s3lab, s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
    bob = s3lab.client("bob")
    bob.create_bucket(Bucket="bobs")
    assert refused(bob.upload_part, Bucket=bucket, Key="big", UploadId=upload, PartNumber=1, Body=b"")[0] == 403
    for key in ("big", "other"):
        assert refused(bob.upload_part, Bucket="bobs", Key=key, UploadId=upload, PartNumber=1, Body=b"") == (404, "NoSuchUpload")
    assert refused(s3.upload_part, Bucket=bucket, Key="other", UploadId=upload, PartNumber=1, Body=b"") == (404, "NoSuchUpload")


def test_the_owner_that_is_expected_is_held(s3lab, s3, bucket):
    ann, bob = s3lab.keys["ann"].project_id, s3lab.keys["bob"].project_id
    s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=ann)
    assert refused(s3.head_bucket, Bucket=bucket, ExpectedBucketOwner=bob)[0] == 403
    assert refused(s3.put_object, Bucket=bucket, Key="x", Body=b"", ExpectedBucketOwner=bob)[0] == 403
    assert refused(s3.copy_object, Bucket=bucket, Key="y", CopySource="one/x", ExpectedSourceBucketOwner=bob)[0] == 403


def test_a_key_made_by_an_application_is_of_no_use(s3lab, s3, bucket):
    """A pair that is no EC2 pair, or of another project, gives no rights here."""
    key = s3lab.keys["ann"]
    ctx = s3lab.lab.ctx("demo", user_id=key.user_id, project_id=key.project_id)
    made = credentials.create(ctx, {"type": "cert", "blob": '{"access": "a", "secret": "b"}', "user_id": key.user_id})
    assert refused(s3lab.client(key=replace(key, access=made.id)).list_buckets) == (403, "InvalidAccessKeyId")
    assert refused(s3lab.client(key=replace(key, access="a", secret="b")).list_buckets) == (403, "InvalidAccessKeyId")


class Gated(httpx.AsyncByteStream):
    """A body whose last byte waits until it is told to come."""

    def __init__(self, data: bytes, gate: asyncio.Event, begun: asyncio.Event) -> None:
        self.data, self.gate, self.begun = data, gate, begun

    async def __aiter__(self):
        yield self.data[:-1]
        self.begun.set()
        await self.gate.wait()
        yield self.data[-1:]


def together(s3lab, urls, headers):
    """Put at once to all URLs: every body has begun before the first one ends.  Return the statuses."""

    async def run():
        gate, begun = asyncio.Event(), [asyncio.Event() for _ in urls]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(s3lab.lab.app)) as client:

            async def put(number, url):
                body = Gated(b"body %d" % number, gate, begun[number])
                sent = headers | {"Content-Length": "6"}
                return (await client.put(url, content=body, headers=sent)).status_code

            tasks = [asyncio.create_task(put(number, url)) for number, url in enumerate(urls)]
            for one in begun:
                await asyncio.wait_for(one.wait(), 30)
            gate.set()
            return await asyncio.gather(*tasks)

    found = []
    thread = threading.Thread(target=lambda: found.extend(asyncio.run(run())))
    thread.start()
    thread.join(60)
    return found


@pytest.mark.parametrize("versioned", [False, True])
@pytest.mark.parametrize("condition", ["If-None-Match", "If-Match"])
def test_of_those_who_write_at_once_on_a_condition_one_wins(s3lab, s3, bucket, condition, versioned):
    if versioned:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    key, value = ("new", "*") if condition == "If-None-Match" else ("x", s3.head_object(Bucket=bucket, Key="x")["ETag"])
    url = link(s3, "put_object", Bucket=bucket, Key=key)
    statuses = together(s3lab, [url] * 4, {condition: value})
    assert sorted(statuses) == [200, 412, 412, 412]
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"body %d" % statuses.index(200)


def test_those_who_write_at_once_leave_one_whole_object(s3lab, s3, bucket):
    url = link(s3, "put_object", Bucket=bucket, Key="x")
    assert together(s3lab, [url] * 5, {}) == [200] * 5
    found = s3.get_object(Bucket=bucket, Key="x")
    body = found["Body"].read()
    assert body in [b"body %d" % number for number in range(5)]

    assert found["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'


def test_a_client_that_goes_away_leaves_nothing(s3lab, s3, bucket):
    url = link(s3, "put_object", Bucket=bucket, Key="gone")

    async def run():
        sent = iter([{"type": "http.request", "body": b"part", "more_body": True}, {"type": "http.disconnect"}])
        answers = []

        async def receive():
            return next(sent)

        async def send(message):
            answers.append(message)

        path, _, query = url.removeprefix(HOST).partition("?")
        headers = [(b"host", b"cloud.test"), (b"content-length", b"100")]
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "PUT", "scheme": "http",
                 "path": path, "raw_path": path.encode(), "query_string": query.encode(), "headers": headers,
                 "client": ("127.0.0.1", 1),
                 "server": ("cloud.test", 80), "root_path": ""}  # fmt: skip
        await s3lab.lab.app(scope, receive, send)
        return answers[0]["status"]

    assert asyncio.run(run()) == 400
    assert refused(s3.head_object, Bucket=bucket, Key="gone")[0] == 404


@pytest.mark.parametrize(
    ("wanted", "answer"), [("RegionOne", None), ("us-east-1", None), ("eu-west-1", (400, "InvalidLocationConstraint"))]
)
def test_a_bucket_is_made_where_nobody_chose_otherwise(s3, wanted, answer):
    """Clients that were told of no region name us-east-1."""
    asked = {"Bucket": "here", "CreateBucketConfiguration": {"LocationConstraint": wanted}}
    if answer:
        assert refused(s3.create_bucket, **asked) == answer
    else:
        assert s3.create_bucket(**asked)["ResponseMetadata"]["HTTPStatusCode"] == 200
