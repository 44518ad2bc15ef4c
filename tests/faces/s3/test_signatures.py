"""Signatures: the examples of AWS's own documentation, by the functions and over HTTP; and every way to get one wrong."""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import unquote

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pileus.faces.s3 import sigv2, sigv4
from pileus.faces.s3.errors import S3Error
from pileus.identity.service import credentials
from tests.faces.s3.conftest import HOST
from tests.faces.s3.test_objects import refused

ACCESS, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
STAMP, SCOPE = "20130524T000000Z", "20130524/us-east-1/s3/aws4_request"
EXAMPLE_HOST = "examplebucket.s3.amazonaws.com"
EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Example:
    """A request of the documentation, and its signature."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    payload: str
    signature: str
    host: str = EXAMPLE_HOST


EXAMPLES = {
    "get an object": Example(
        "GET", "/test.txt", (), {"range": "bytes=0-9"}, EMPTY,
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    "put an object": Example(
        "PUT", "/test$file.text", (), {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    "get the lifecycle of a bucket": Example(
        "GET", "/", (("lifecycle", ""),), {}, EMPTY, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    "list objects": Example(
        "GET", "/", (("max-keys", "2"), ("prefix", "J")), {}, EMPTY,
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
    "begin chunks": Example(
        "PUT", "/examplebucket/chunkObject.txt", (),
        {"content-encoding": "aws-chunked", "content-length": "66824", "x-amz-decoded-content-length": "66560",
         "x-amz-storage-class": "REDUCED_REDUNDANCY"},
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        "s3.amazonaws.com",
    ),
    "begin chunks with a trailer": Example(
        "PUT", "/examplebucket/chunkObject.txt", (),
        {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": "66560", "x-amz-trailer": "x-amz-checksum-crc32c",
         "x-amz-storage-class": "REDUCED_REDUNDANCY"},
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
        "s3.amazonaws.com",
    ),
}  # fmt: skip


def headers_of(example: Example) -> dict[str, str]:
    plain = {**example.headers, "host": example.host, "x-amz-content-sha256": example.payload, "x-amz-date": STAMP}
    signed = ";".join(sorted(plain))
    given = f"AWS4-HMAC-SHA256 Credential={ACCESS}/{SCOPE},SignedHeaders={signed},Signature={example.signature}"
    return plain | {"authorization": given}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_version_4(name):
    example = EXAMPLES[name]
    headers = headers_of(example)
    claim = sigv4.from_header(headers, None)
    path, query = sigv4.canonical_path(example.path), sigv4.canonical_query(example.query)
    text = sigv4.string_to_sign(claim, sigv4.canonical_request(claim, example.method, path, query, headers, example.payload))
    assert sigv4.sign(claim.key(SECRET), text) == example.signature == claim.signature


PRESIGNED = {
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": f"{ACCESS}/{SCOPE}",
    "X-Amz-Date": STAMP,
    "X-Amz-Expires": "86400",
    "X-Amz-SignedHeaders": "host",
    "X-Amz-Signature": "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
}


def test_the_example_of_a_presigned_url():
    claim = sigv4.from_query(PRESIGNED)
    query = sigv4.canonical_query(PRESIGNED.items())
    request = sigv4.canonical_request(claim, "GET", "/test.txt", query, {"host": EXAMPLE_HOST}, sigv4.UNSIGNED)
    text = sigv4.string_to_sign(claim, request)
    assert sigv4.sign(claim.key(SECRET), text) == claim.signature
    assert claim.expires_seconds == 86400


VERSION_2 = [
    ("GET", "/johnsmith/photos/puppy.jpg", {}, "Tue, 27 Mar 2007 19:36:42 +0000", "bWq2s1WEIj+Ydj0vQ697zp+IXMU="),
    ("PUT", "/johnsmith/photos/puppy.jpg", {"content-type": "image/jpeg"}, "Tue, 27 Mar 2007 21:15:45 +0000",
     "MyyxeRY7whkBe+bq8fHCL/2kKUg="),
    ("GET", "/johnsmith/", {}, "Tue, 27 Mar 2007 19:42:41 +0000", "htDYFYduRNen8P9ZfE/s9SuKy0U="),
    ("GET", "/johnsmith/?acl", {}, "Tue, 27 Mar 2007 19:44:46 +0000", "c2WLPFtWHVgbEmeEG93a4cG37dM="),
    ("GET", "/", {}, "Wed, 28 Mar 2007 01:29:59 +0000", "qGdzdERIC03wnaRNKh6OqZehG9s="),
    ("GET", "/dictionary/fran%C3%A7ais/pr%c3%a9f%c3%a8re", {}, "Wed, 28 Mar 2007 01:49:49 +0000", "DNEZGsoieTZ92F3bUfSPQcbGmlM="),
]  # fmt: skip


@pytest.mark.parametrize(("method", "resource", "more", "date", "signature"), VERSION_2)
def test_the_examples_of_version_2(method, resource, more, date, signature):
    headers = {"date": date, "authorization": f"AWS {ACCESS}:{signature}", **more}
    claim = sigv2.from_header(headers)
    path, _, query = resource.partition("?")
    pairs = [(query, "")] if query else []
    text = sigv2.string_to_sign(claim, method, path, pairs, headers, False)
    assert sigv2.sign(SECRET, text) == claim.signature


@pytest.fixture
def example(s3lab):
    """The cloud at the time of the documentation, with its bucket, its object, its host and its key."""
    ann, lab = s3lab.keys["ann"], s3lab.lab
    ctx = lab.ctx("demo", user_id=ann.user_id, project_id=ann.project_id)
    blob = json.dumps({"access": ACCESS, "secret": SECRET})
    credentials.create(ctx, {"type": "ec2", "blob": blob, "user_id": ann.user_id, "project_id": ann.project_id})
    s3 = s3lab.client()
    s3.create_bucket(Bucket="examplebucket")
    s3.put_object(Bucket="examplebucket", Key="test.txt", Body=b"Welcome to Amazon S3.")
    object.__setattr__(lab.cloud, "settings", replace(lab.cloud.settings, s3_domain="s3.amazonaws.com"))
    lab.clock.advance(datetime(2013, 5, 24, tzinfo=UTC).timestamp() - lab.clock.now())
    return s3lab


@pytest.mark.parametrize(
    ("name", "status", "found"),
    [
        ("get an object", 206, "Welcome to"),
        ("get the lifecycle of a bucket", 404, "NoSuchLifecycleConfiguration"),
        ("list objects", 200, "<MaxKeys>2</MaxKeys>"),
        ("put an object", 400, "InvalidStorageClass"),
    ],
)
def test_the_examples_are_let_in(example, name, status, found):
    asked = EXAMPLES[name]
    query = "&".join(f"{key}={value}" for key, value in asked.query)
    url = f"http://{asked.host}{asked.path}" + (f"?{query}" if query else "")
    content = b"Welcome to Amazon S3." if asked.method == "PUT" else b""
    answer = example.http.request(asked.method, url, content=content, headers=headers_of(asked))
    assert (answer.status_code, found in answer.text) == (status, True), answer.text
    spoilt = headers_of(asked) | {"x-amz-date": "20130524T000001Z"}
    assert example.http.request(asked.method, url, headers=spoilt).status_code == 403


def test_the_presigned_example_is_let_in_for_a_day(example):
    url = f"http://{EXAMPLE_HOST}/test.txt"
    assert example.http.get(url, params=PRESIGNED).text == "Welcome to Amazon S3."
    assert example.http.head(url, params=PRESIGNED).status_code == 403
    assert example.http.get(url, params=PRESIGNED | {"X-Amz-Expires": "86401"}).status_code == 403
    assert example.http.get(url, params=PRESIGNED | {"versionId": "null"}).status_code == 403
    example.lab.clock.advance(86400)
    assert example.http.get(url, params=PRESIGNED).status_code == 200
    example.lab.clock.advance(1)
    late = example.http.get(url, params=PRESIGNED)
    assert (late.status_code, "expired" in late.text) == (403, True)


@pytest.mark.parametrize("seconds", [-901, 901])
def test_a_clock_that_is_off_by_more_than_a_quarter_of_an_hour_is_refused(example, seconds):
    asked = EXAMPLES["list objects"]
    url = f"http://{EXAMPLE_HOST}/?max-keys=2&prefix=J"
    example.lab.clock.advance(seconds)
    answer = example.http.get(url, headers=headers_of(asked))
    assert (answer.status_code, "RequestTimeTooSkewed" in answer.text) == (403, True)
    example.lab.clock.advance(-seconds / 901)
    assert example.http.get(url, headers=headers_of(asked)).status_code == 200


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"X-Amz-Expires": "0"}, "AuthorizationQueryParametersError"),
        ({"X-Amz-Expires": "-1"}, "AuthorizationQueryParametersError"),
        ({"X-Amz-Expires": "604801"}, "AuthorizationQueryParametersError"),
        ({"X-Amz-Expires": "9" * 5000}, "AuthorizationQueryParametersError"),
        ({"X-Amz-Expires": "ten"}, "AuthorizationQueryParametersError"),
        ({"X-Amz-Algorithm": "AWS4-HMAC-MD5"}, "AuthorizationQueryParametersError"),
        ({"X-Amz-Credential": "nobody"}, "AuthorizationQueryParametersError"),
        ({"X-Amz-Credential": f"{ACCESS}//us-east-1/s3/aws4_request"}, "AuthorizationQueryParametersError"),
        ({"X-Amz-Credential": f"{ACCESS}/20130524/us-east-1/ec2/aws4_request"}, "AuthorizationQueryParametersError"),
        ({"X-Amz-Credential": f"{ACCESS}/20130523/us-east-1/s3/aws4_request"}, "AuthorizationQueryParametersError"),
        ({"X-Amz-Date": "yesterday"}, "AccessDenied"),
        ({"X-Amz-Date": ""}, "AccessDenied"),
        ({"X-Amz-Signature": ""}, "AccessDenied"),
        ({"X-Amz-Signature": "é"}, "SignatureDoesNotMatch"),
        ({"X-Amz-SignedHeaders": "range"}, "AccessDenied"),
    ],
)
def test_a_presigned_url_that_is_not_right_is_refused(example, changes, code):
    answer = example.http.get(f"http://{EXAMPLE_HOST}/test.txt", params=PRESIGNED | changes)
    assert answer.status_code in (400, 403)
    assert f"<Code>{code}</Code>" in answer.text


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ("AWS4-HMAC-SHA256", 400, "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 Credential=a", 400, "AuthorizationHeaderMalformed"),
        (f"AWS4-HMAC-SHA256 Credential={ACCESS},SignedHeaders=host,Signature=00", 400, "AuthorizationHeaderMalformed"),
        (f"AWS4-HMAC-SHA256 Credential=/{SCOPE},SignedHeaders=host,Signature=00", 400, "AuthorizationHeaderMalformed"),
        (f"AWS4-HMAC-SHA256 Credential={ACCESS}/{SCOPE},SignedHeaders=,Signature=00", 400, "AuthorizationHeaderMalformed"),
        (f"AWS4-HMAC-SHA256 Credential=nobody/{SCOPE},SignedHeaders=host;x-amz-date,Signature=00", 403, "InvalidAccessKeyId"),
        ("AWS", 400, "InvalidArgument"),
        ("AWS HAHAHA", 400, "InvalidArgument"),
        ("AWS :x", 400, "InvalidArgument"),
        (f"AWS {ACCESS}:", 400, "InvalidArgument"),
        (f"AWS {ACCESS}:bm8=", 403, "AccessDenied"),
        ("Basic YTpi", 400, "InvalidArgument"),
        ("Bearer x", 400, "InvalidArgument"),
    ],
)
def test_an_authorization_that_is_not_right_is_refused(example, given, status, code):
    headers = {"authorization": given, "x-amz-date": STAMP, "x-amz-content-sha256": EMPTY}
    answer = example.http.get(f"http://{EXAMPLE_HOST}/test.txt", headers=headers)
    assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (status, True), answer.text


@pytest.mark.parametrize("stamp", ["", "20131301T000000Z", "2013-05-24", "20130524T000000", "Fri, 24 May 2013 00:00:00 GMT"])
def test_a_date_that_is_none_is_refused(stamp):
    headers = headers_of(EXAMPLES["list objects"]) | {"x-amz-date": stamp}
    with pytest.raises(S3Error) as error:
        sigv4.from_header(headers, None)
    assert error.value.kind == "AccessDenied"


def signed(s3lab, method, path, *, headers=None, data=b"", secret="", payload=None):
    """A request that ann signed by version 4."""
    key = s3lab.keys["ann"]
    request = AWSRequest(method, HOST + path, data=data, headers=dict(headers or {}))
    auth = S3SigV4Auth(Credentials(key.access, secret or key.secret), "s3", "RegionOne")
    if payload is not None:
        auth.payload = lambda request: payload
    auth.add_auth(request)
    return dict(request.headers.items())


@pytest.mark.parametrize("name", ["a%20b", "a+b", "a%2Bb", "%C3%A9", "a//b", "a%2Fb", "~a*'()", "a%25b", "%2E%2E/b"])
def test_names_are_signed_as_they_come(s3lab, s3, name):
    path = f"/s3/one/{name}"
    s3.create_bucket(Bucket="one")
    assert s3lab.http.put(HOST + path, content=b"1", headers=signed(s3lab, "PUT", path, data=b"1")).status_code == 200
    assert s3lab.http.get(HOST + path, headers=signed(s3lab, "GET", path)).content == b"1"
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="one")["Contents"]] == [unquote(name)]


def test_a_payload_that_is_no_digest_is_refused(s3lab, s3):
    s3.create_bucket(Bucket="one")
    for text in ("nonsense", "a" * 63, "G" * 64, "STREAMING-", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"):
        headers = signed(s3lab, "PUT", "/s3/one/x", headers={"X-Amz-Content-SHA256": text}, payload=text, data=b"1")
        answer = s3lab.http.put(f"{HOST}/s3/one/x", content=b"1", headers=headers)
        assert (answer.status_code, "<Code>InvalidArgument</Code>" in answer.text) == (400, True), answer.text
    assert refused(s3.head_object, Bucket="one", Key="x")[0] == 404


def test_a_key_that_was_taken_back_is_refused_at_once(s3lab, s3):
    key = s3lab.keys["ann"]
    s3.create_bucket(Bucket="one")
    url = s3.generate_presigned_url("list_objects", Params={"Bucket": "one"})
    assert s3lab.http.get(url).status_code == 200
    credentials.delete_ec2(s3lab.lab.ctx("demo", user_id=key.user_id, project_id=key.project_id), key.user_id, key.access)
    assert refused(s3.list_buckets) == (403, "InvalidAccessKeyId")
    assert s3lab.http.get(url).status_code == 403


def test_a_secret_that_was_changed_counts_at_once(s3lab, s3):
    key = s3lab.keys["ann"]
    s3.create_bucket(Bucket="one")
    s3.list_buckets()
    ctx = s3lab.lab.ctx("demo", user_id=key.user_id, project_id=key.project_id)
    found = next(one for one in credentials.list_(ctx, {"user_id": key.user_id}) if one.type == "ec2")
    blob = json.dumps({"access": key.access, "secret": "another"})
    credentials.update(s3lab.lab.ctx("system"), found.id, {"blob": blob})
    assert refused(s3.list_buckets) == (403, "SignatureDoesNotMatch")
    assert len(s3lab.client(key=replace(key, secret="another")).list_buckets()["Buckets"]) == 1


def test_a_signature_is_of_the_method_the_path_the_query_and_the_host(s3lab, s3):
    s3.create_bucket(Bucket="one")
    s3.create_bucket(Bucket="two")
    headers = signed(s3lab, "GET", "/s3/one?prefix=a")
    assert s3lab.http.get(f"{HOST}/s3/one?prefix=a", headers=headers).status_code == 200
    for method, path, more in (
        ("DELETE", "/s3/one?prefix=a", {}),
        ("GET", "/s3/two?prefix=a", {}),
        ("GET", "/s3/one?prefix=b", {}),
        ("GET", "/s3/one?prefix=a&prefix=a", {}),
        ("GET", "/s3/one", {}),
        ("GET", "/s3/one?prefix=a", {"Host": "elsewhere.test"}),
    ):
        answer = s3lab.http.request(method, HOST + path, headers=headers | more)
        assert (answer.status_code, "SignatureDoesNotMatch" in answer.text) == (403, True)
        assert s3lab.keys["ann"].secret not in answer.text
    s3.head_bucket(Bucket="one")


def test_a_presigned_upload_takes_any_body_but_no_further_headers(s3lab, s3):
    s3.create_bucket(Bucket="one")
    key = s3lab.keys["ann"]
    request = AWSRequest("PUT", f"{HOST}/s3/one/x")
    S3SigV4QueryAuth(Credentials(key.access, key.secret), "s3", "RegionOne", expires=60).add_auth(request)
    assert s3lab.http.put(request.url, content=b"any").status_code == 200
    refused_ = s3lab.http.put(request.url, content=b"any", headers={"x-amz-acl": "public-read"})
    assert (refused_.status_code, "x-amz-acl" in refused_.text) == (403, True)
    assert s3lab.http.put(request.url.replace("one/x", "one/y"), content=b"any").status_code == 403


def test_nothing_secret_is_logged(s3lab, s3, caplog):
    caplog.set_level("DEBUG")
    s3.create_bucket(Bucket="one")
    s3lab.http.get(s3.generate_presigned_url("list_objects", Params={"Bucket": "one"}))
    refused(s3lab.client(key=replace(s3lab.keys["ann"], access="0" * 32)).list_buckets)
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("pileus"))
    assert s3lab.keys["ann"].secret not in ours
    assert "X-Amz-Signature=" not in ours
