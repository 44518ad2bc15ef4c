"""Bodies of uploads: in chunks signed and unsigned, with trailers, with checksums; what is not right leaves nothing."""

import base64
import hashlib
import hmac
import shutil
import time
from dataclasses import dataclass
from itertools import pairwise

import pytest
from awscrt import checksums as native
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pileus.faces.s3 import checksums
from tests import engines
from tests.conftest import make_lab
from tests.faces.s3.conftest import HOST, S3Lab, make_person
from tests.faces.s3.test_objects import refused

EMPTY = hashlib.sha256(b"").hexdigest()
SIGNED, UNSIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
BIG = b"0123456789abcdef" * 512


@pytest.fixture
def bucket(s3):
    s3.create_bucket(Bucket="one")
    return "one"


def crc32c(data: bytes) -> str:
    return base64.b64encode(native.crc32c(data).to_bytes(4, "big")).decode()


@dataclass
class Sender:
    """Sends an upload in chunks, as SDKs do, or not quite so."""

    s3lab: object
    trailer: str = ""
    signed: bool = True
    announced: str = ""

    def __post_init__(self) -> None:
        self.key = self.s3lab.keys["ann"]
        self.announced = self.announced or self.trailer.partition(":")[0]
        self.kind = (SIGNED + ("-TRAILER" if self.announced else "")) if self.signed else UNSIGNED

    def head(self, size_bytes: object, **more: str) -> dict[str, str]:
        """Return the headers, and keep what the chunks are signed with."""
        headers = {"X-Amz-Content-SHA256": self.kind, "X-Amz-Decoded-Content-Length": str(size_bytes)}
        headers |= {"Content-Encoding": "aws-chunked", **more}
        if self.announced:
            headers["X-Amz-Trailer"] = self.announced
        request = AWSRequest("PUT", f"{HOST}/s3/one/x", headers=headers)
        auth = S3SigV4Auth(Credentials(self.key.access, self.key.secret), "s3", "RegionOne")
        auth.payload = lambda request: self.kind
        auth.add_auth(request)
        found = dict(request.headers.items())
        self.stamp, self.last = request.context["timestamp"], found["Authorization"].rpartition("=")[2]
        self.secret = f"AWS4{self.key.secret}".encode()
        for text in (self.stamp[:8], "RegionOne", "s3", "aws4_request"):
            self.secret = hmac.new(self.secret, text.encode(), hashlib.sha256).digest()
        return found

    def sign(self, kind: str, *lines: str) -> str:
        scope = f"{self.stamp[:8]}/RegionOne/s3/aws4_request"
        text = "\n".join((f"AWS4-HMAC-SHA256-{kind}", self.stamp, scope, self.last, *lines))
        self.last = hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()
        return self.last

    def chunk(self, data: bytes) -> bytes:
        note = f";chunk-signature={self.sign('PAYLOAD', EMPTY, hashlib.sha256(data).hexdigest())}" if self.signed else ""
        return f"{len(data):x}{note}\r\n".encode() + data + (b"\r\n" if data else b"")

    def tail(self) -> bytes:
        if not self.trailer:
            return b"\r\n"
        body = f"{self.trailer}\r\n".encode()
        if self.signed:
            made = self.sign("TRAILER", hashlib.sha256(f"{self.trailer}\n".encode()).hexdigest())
            body += f"x-amz-trailer-signature:{made}\r\n".encode()
        return body + b"\r\n"

    def put(self, headers: dict[str, str], body: bytes):
        return self.s3lab.http.put(f"{HOST}/s3/one/x", content=body, headers=headers)

    def send(self, *chunks: bytes, spoil=lambda body: body, **more: str):
        headers = self.head(sum(map(len, chunks)), **more)
        body = b"".join(map(self.chunk, [*chunks, b""])) + self.tail()
        return self.put(headers, spoil(body))


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("with_trailer", [True, False])
def test_bodies_in_chunks_arrive_whole(s3lab, s3, bucket, signed, with_trailer):
    trailer = f"x-amz-checksum-crc32c:{crc32c(BIG + b'end')}" if with_trailer else ""
    answer = Sender(s3lab, trailer, signed).send(BIG, b"end")
    assert answer.status_code == 200, answer.text
    found = s3.get_object(Bucket=bucket, Key="x", ChecksumMode="ENABLED")
    assert (found["Body"].read(), "ContentEncoding" in found) == (BIG + b"end", False)
    assert found.get("ChecksumCRC32C", "") == trailer.partition(":")[2]


def test_an_encoding_beside_the_chunks_is_kept(s3lab, s3, bucket):
    sender = Sender(s3lab)
    headers = sender.head(3, **{"Content-Encoding": "aws-chunked,gzip"})
    assert sender.put(headers, sender.chunk(b"abc") + sender.chunk(b"") + b"\r\n").status_code == 200
    assert s3.head_object(Bucket=bucket, Key="x")["ContentEncoding"] == "gzip"


SPOILT = [
    ("a byte changed", lambda body: body.replace(b"0123", b"0124", 1), 403, "SignatureDoesNotMatch"),
    ("cut in a chunk", lambda body: body[:4000], 400, "IncompleteBody"),
    ("cut before the last chunk", lambda body: body[: body.rindex(b"0;chunk")], 400, "IncompleteBody"),
    ("no size", lambda body: b";" + body, 400, "IncompleteBody"),
    ("a negative size", lambda body: b"-" + body, 400, "IncompleteBody"),
    ("a huge size", lambda body: b"f" * 3000 + body, 400, "IncompleteBody"),
    ("a size beyond what was said", lambda body: b"f" + body, 400, "IncompleteBody"),
    ("a line without end", lambda body: b"1" * 100_000, 400, "IncompleteBody"),
    ("no signature", lambda body: body.replace(b";chunk-signature=", b";", 1), 400, "IncompleteBody"),
    ("an empty signature", lambda body: b"2000;chunk-signature=\r\n" + body, 400, "IncompleteBody"),
    ("a chunk twice", lambda body: body[: body.index(b"3;chunk")] + body, 400, "IncompleteBody"),
    ("chunks in another order", lambda body: body[body.index(b"3;chunk") :] + body, 403, "SignatureDoesNotMatch"),
    ("a wrong last signature", lambda body: body[:-10] + b"000000\r\n\r\n", 403, "SignatureDoesNotMatch"),
    ("nothing", lambda body: b"", 400, "IncompleteBody"),
]


@pytest.mark.parametrize(("spoil", "status", "code"), [one[1:] for one in SPOILT], ids=[one[0] for one in SPOILT])
def test_chunks_that_are_not_right_leave_nothing(s3lab, s3, bucket, spoil, status, code):
    answer = Sender(s3lab).send(BIG, b"end", spoil=spoil)
    assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (status, True), answer.text
    assert refused(s3.head_object, Bucket=bucket, Key="x")[0] == 404


def test_only_the_last_signed_chunk_may_be_small(s3lab, s3, bucket):
    answer = Sender(s3lab).send(b"small", b"end")
    assert (answer.status_code, "InvalidChunkSizeError" in answer.text) == (403, True)
    assert Sender(s3lab, signed=False).send(b"small", b"end").status_code == 200


GOOD = f"x-amz-checksum-crc32c:{crc32c(b'data')}"


@pytest.mark.parametrize(
    ("trailer", "announced", "code"),
    [
        ("x-amz-checksum-crc32c:AAAAAA==", "", "BadDigest"),
        ("x-amz-checksum-crc32c:nonsense", "", "InvalidRequest"),
        ("x-amz-checksum-crc32c:", "", "InvalidRequest"),
        (GOOD, "x-amz-checksum-crc32", "MalformedTrailerError"),
        ("", "x-amz-checksum-crc32", "MalformedTrailerError"),
        (GOOD, "x-amz-checksum-md5", "InvalidRequest"),
        (GOOD, "x-amz-meta-a", "InvalidRequest"),
        (GOOD, "x-amz-checksum-crc32c,x-amz-checksum-sha1", "InvalidRequest"),
        (GOOD + "\r\nx-amz-meta-a:1", "x-amz-checksum-crc32c", "MalformedTrailerError"),
    ],
)
def test_trailers_that_are_not_right_leave_nothing(s3lab, s3, bucket, trailer, announced, code):
    answer = Sender(s3lab, trailer, signed=False, announced=announced).send(b"data")
    assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (400, True), answer.text
    assert refused(s3.head_object, Bucket=bucket, Key="x")[0] == 404


def test_a_trailer_is_signed_too(s3lab, s3, bucket):
    for spoil, code in (
        (lambda body: body.replace(b"crc32c:", b"crc32c:AAAA", 1), "SignatureDoesNotMatch"),
        (lambda body: body[: body.index(b"x-amz-trailer-sig")], "IncompleteBody"),
    ):
        answer = Sender(s3lab, GOOD).send(b"data", spoil=spoil)
        assert f"<Code>{code}</Code>" in answer.text
    assert refused(s3.head_object, Bucket=bucket, Key="x")[0] == 404
    assert Sender(s3lab, GOOD).send(b"data").status_code == 200


@pytest.mark.parametrize(
    ("size", "status", "code"),
    [("5", 400, "IncompleteBody"), ("3", 400, "IncompleteBody"), ("", 411, "MissingContentLength"),
     ("-4", 411, "MissingContentLength"), ("9" * 100, 411, "MissingContentLength"), ("four", 411, "MissingContentLength")],
)  # fmt: skip
def test_the_length_that_is_said_holds(s3lab, s3, bucket, size, status, code):
    sender = Sender(s3lab, signed=False)
    answer = sender.put(sender.head(size), sender.chunk(b"data") + sender.chunk(b"") + b"\r\n")
    assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (status, True), answer.text
    assert refused(s3.head_object, Bucket=bucket, Key="x")[0] == 404


def test_nobody_known_may_send_chunks_where_all_may_write(s3lab, s3, bucket):
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    headers = {"Content-Encoding": "aws-chunked", "X-Amz-Decoded-Content-Length": "4", "X-Amz-Trailer": "x-amz-checksum-crc32c"}
    body = f"4\r\ndata\r\n0\r\n{GOOD}\r\n\r\n".encode()
    assert s3lab.http.put(f"{HOST}/s3/one/x", content=body, headers=headers).status_code == 200
    assert s3.get_object(Bucket=bucket, Key="x")["Body"].read() == b"data"


SUMS = {"CRC32": "rfPzYw==", "CRC32C": crc32c(b"data"), "SHA1": base64.b64encode(hashlib.sha1(b"data").digest()).decode(),
        "SHA256": base64.b64encode(hashlib.sha256(b"data").digest()).decode(),
        "CRC64NVME": base64.b64encode(native.crc64nvme(b"data").to_bytes(8, "big")).decode()}  # fmt: skip


@pytest.mark.parametrize("algorithm", SUMS)
def test_each_checksum_is_held_and_told(s3, bucket, algorithm):
    name = f"Checksum{algorithm}"
    assert s3.put_object(Bucket=bucket, Key="x", Body=b"data", **{name: SUMS[algorithm]})[name] == SUMS[algorithm]
    assert s3.head_object(Bucket=bucket, Key="x", ChecksumMode="ENABLED")[name] == SUMS[algorithm]
    assert name not in s3.head_object(Bucket=bucket, Key="x")
    assert s3.get_object_attributes(Bucket=bucket, Key="x", ObjectAttributes=["Checksum"])["Checksum"][name] == SUMS[algorithm]
    assert refused(s3.put_object, Bucket=bucket, Key="y", Body=b"date", **{name: SUMS[algorithm]}) == (400, "BadDigest")
    assert refused(s3.put_object, Bucket=bucket, Key="y", Body=b"data", **{name: "AAA="}) == (400, "InvalidRequest")
    assert refused(s3.head_object, Bucket=bucket, Key="y")[0] == 404
    s3.copy_object(Bucket=bucket, Key="z", CopySource=f"{bucket}/x")
    assert s3.head_object(Bucket=bucket, Key="z", ChecksumMode="ENABLED")[name] == SUMS[algorithm]


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-checksum-crc32": SUMS["CRC32"], "x-amz-checksum-sha1": SUMS["SHA1"]},
        {"x-amz-checksum-crc32": SUMS["CRC32"], "x-amz-trailer": "x-amz-checksum-crc32"},
        {"x-amz-checksum-crc32": SUMS["CRC32"], "x-amz-sdk-checksum-algorithm": "SHA1"},
        {"x-amz-sdk-checksum-algorithm": "SHA1"},
        {"x-amz-sdk-checksum-algorithm": "MD4"},
        {"x-amz-checksum-md5": SUMS["CRC32"]},
        {"x-amz-checksum-crc32": ""},
        {"x-amz-checksum-crc32": "rfPzYx=="},
    ],
)
def test_checksums_that_do_not_fit_together_are_refused(s3lab, s3, bucket, headers):
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    answer = s3lab.http.put(f"{HOST}/s3/one/x", content=b"data", headers=headers)
    assert (answer.status_code, "<Code>InvalidRequest</Code>" in answer.text) == (400, True)
    assert refused(s3.head_object, Bucket=bucket, Key="x")[0] == 404


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (hashlib.md5(b"date").digest(), "BadDigest"),
        (b"short", "InvalidDigest"),
        (b"", "InvalidDigest"),
        (b"x" * 17, "InvalidDigest"),
    ],
)
def test_an_md5_is_held(s3lab, s3, bucket, given, code):
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    headers = {"Content-MD5": base64.b64encode(given).decode()}
    answer = s3lab.http.put(f"{HOST}/s3/one/x", content=b"data", headers=headers)
    assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (400, True)
    assert refused(s3.head_object, Bucket=bucket, Key="x")[0] == 404


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
@pytest.mark.parametrize("cuts", [(0,), (1, 1000), (8191, 8192), (3, 5, 4096)])
def test_the_crc_of_a_whole_is_made_of_those_of_its_parts(algorithm, cuts):
    def made(data: bytes) -> str:
        digest = checksums.new(algorithm)
        digest.update(data)
        return checksums.encode(digest.digest())

    places = [0, *cuts, len(BIG)]
    parts = [BIG[start:end] for start, end in pairwise(places)]
    assert checksums.combined(algorithm, [(made(part), len(part)) for part in parts]) == made(BIG)


def test_deleting_many_needs_a_checksum(s3lab, s3, bucket):
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    s3.put_object(Bucket=bucket, Key="x", Body=b"data")
    body = b"<Delete><Object><Key>x</Key></Object></Delete>"
    answer = s3lab.http.post(f"{HOST}/s3/one?delete", content=body)
    assert (answer.status_code, "Content-MD5 OR x-amz-checksum" in answer.text) == (400, True)
    s3.head_object(Bucket=bucket, Key="x")
    headers = {"Content-MD5": base64.b64encode(hashlib.md5(body).digest()).decode()}
    assert s3lab.http.post(f"{HOST}/s3/one?delete", content=body, headers=headers).status_code == 200
    assert refused(s3.head_object, Bucket=bucket, Key="x")[0] == 404


SSE = {"ServerSideEncryption": "AES256"}
RULE = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}]}


def test_encryption_that_there_is_not_is_refused(s3, bucket):
    customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32}
    for more in (SSE, {"ServerSideEncryption": "aws:kms"}, customer):
        assert refused(s3.put_object, Bucket=bucket, Key="x", Body=b"data", **more) == (501, "NotImplemented")
        assert refused(s3.create_multipart_upload, Bucket=bucket, Key="x", **more) == (501, "NotImplemented")
    assert refused(s3.put_object, Bucket=bucket, Key="x", Body=b"", ServerSideEncryption="rot13") == (400, "InvalidArgument")
    missing = "ServerSideEncryptionConfigurationNotFoundError"
    assert refused(s3.get_bucket_encryption, Bucket=bucket) == (404, missing)
    assert refused(s3.put_bucket_encryption, Bucket=bucket, ServerSideEncryptionConfiguration=RULE) == (501, "NotImplemented")
    assert refused(s3.head_object, Bucket=bucket, Key="x")[0] == 404


@pytest.fixture
def sealed(template_state, tmp_path):
    """A client of a cloud whose object store encrypts what it keeps, and where it keeps it."""
    state = tmp_path / "sealed"
    shutil.copytree(template_state, state)
    secret = base64.b64encode(b"s" * 32).decode()
    lab = make_lab(state, object_encryption_secrets=f"a:{secret}")
    lab.clock.advance(time.time() - lab.clock.now())
    s3 = S3Lab(lab, {"ann": make_person(lab, "ann")}).client()
    s3.create_bucket(Bucket="one")
    yield s3, state / "objects"
    lab.app.close()
    lab.cloud.db.dispose()
    engines.drop(state)


def test_where_the_store_encrypts_objects_are_told_to_be_encrypted(sealed):
    s3, kept = sealed
    data = BIG * 3
    for key, more in (("asked", SSE), ("default", {})):
        assert s3.put_object(Bucket="one", Key=key, Body=data, **more)["ServerSideEncryption"] == "AES256"
        found = s3.get_object(Bucket="one", Key=key, Range="bytes=7-20")
        assert (found["Body"].read(), found["ServerSideEncryption"]) == (data[7:21], "AES256")
        assert found["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    assert s3.copy_object(Bucket="one", Key="copy", CopySource="one/asked")["ServerSideEncryption"] == "AES256"
    assert s3.get_object(Bucket="one", Key="copy")["Body"].read() == data
    assert refused(s3.put_object, Bucket="one", Key="x", Body=b"", ServerSideEncryption="aws:kms") == (501, "NotImplemented")
    s3.put_bucket_encryption(Bucket="one", ServerSideEncryptionConfiguration=RULE)
    assert s3.get_bucket_encryption(Bucket="one")["ServerSideEncryptionConfiguration"] == RULE
    assert not [one for one in kept.rglob("*") if one.is_file() and data[:64] in one.read_bytes()]


@pytest.mark.parametrize("algorithm", ["", "CRC32", "SHA256"])
def test_parts_are_encrypted_too(sealed, algorithm):
    s3, kept = sealed
    more = {"ChecksumAlgorithm": algorithm} if algorithm else {}
    upload = s3.create_multipart_upload(Bucket="one", Key="big", **SSE, **more)
    assert upload["ServerSideEncryption"] == "AES256"
    where = {"Bucket": "one", "Key": "big", "UploadId": upload["UploadId"]}
    bodies, parts = [BIG * 640, b"end"], []
    for number, body in enumerate(bodies, 1):
        made = s3.upload_part(**where, PartNumber=number, Body=body, **more)
        sums = {name: value for name, value in made.items() if name.startswith("Checksum") and algorithm}
        parts.append({"PartNumber": number, "ETag": made["ETag"], **sums})
    assert [one["ETag"] for one in s3.list_parts(**where)["Parts"]] == [one["ETag"] for one in parts]
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    found = s3.get_object(Bucket="one", Key="big")
    assert (found["Body"].read(), found["ServerSideEncryption"]) == (b"".join(bodies), "AES256")
    assert s3.get_object(Bucket="one", Key="big", PartNumber=2)["Body"].read() == b"end"
    assert not [one for one in kept.rglob("*") if one.is_file() and BIG[:64] in one.read_bytes()]
