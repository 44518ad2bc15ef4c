"""Uploads in parts, at their edges: order, sizes, repeats, races, what is left; parts read by number."""

import os

import pytest

from tests.faces.s3.conftest import HOST
from tests.faces.s3.test_objects import refused

MIB = 1024 * 1024
FIVE = os.urandom(MIB) * 5


@pytest.fixture
def bucket(s3):
    s3.create_bucket(Bucket="one")
    return "one"


class Upload:
    """An upload in parts."""

    def __init__(self, s3, key="big", **more):
        self.s3, self.where = s3, {"Bucket": "one", "Key": key}
        self.id = s3.create_multipart_upload(**self.where, **more)["UploadId"]
        self.parts = {}

    def put(self, number, body, **more):
        found = self.s3.upload_part(**self.where, UploadId=self.id, PartNumber=number, Body=body, **more)
        sums = {name: value for name, value in found.items() if name.startswith("Checksum")}
        self.parts[number] = {"PartNumber": number, "ETag": found["ETag"], **sums}
        return found

    def complete(self, *numbers, **more):
        parts = [self.parts[number] for number in numbers or sorted(self.parts)]
        return self.s3.complete_multipart_upload(**self.where, UploadId=self.id, MultipartUpload={"Parts": parts}, **more)


def read(s3, key="big", **more):
    return s3.get_object(Bucket="one", Key=key, **more)["Body"].read()


def test_parts_come_in_any_order_and_again(s3, bucket):
    upload = Upload(s3)
    upload.put(7, b"end")
    upload.put(2, b"first try")
    upload.put(2, FIVE)
    made = upload.complete(2, 7)
    assert made["ETag"].endswith('-2"')
    assert read(s3) == FIVE + b"end"
    assert s3.head_object(Bucket="one", Key="big")["ETag"] == made["ETag"]
    assert s3.list_objects_v2(Bucket="one")["Contents"][0]["ETag"] == made["ETag"]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="one")


def test_parts_that_are_not_chosen_go(s3lab, s3, bucket):
    upload = Upload(s3)
    for number in (1, 2, 3):
        upload.put(number, FIVE if number < 3 else b"end")
    upload.complete(1, 3)
    assert read(s3) == FIVE + b"end"
    swift, account = s3lab.swift()
    assert swift.head(f"{account}/one+segments").headers["x-container-object-count"] == "2"
    s3.delete_object(Bucket="one", Key="big")
    assert swift.head(f"{account}/one+segments").headers["x-container-object-count"] == "0"


def test_what_cannot_be_completed_stays_as_it_was(s3, bucket):
    upload = Upload(s3)
    upload.put(1, b"small")
    upload.put(2, b"end")
    assert refused(upload.complete) == (400, "EntityTooSmall")
    upload.parts[3] = {"PartNumber": 3, "ETag": upload.parts[2]["ETag"]}
    assert refused(lambda: upload.complete(2, 3)) == (400, "InvalidPart")
    assert refused(lambda: upload.complete(2, 1)) == (400, "InvalidPartOrder")
    assert refused(lambda: upload.complete(2, 2)) == (400, "InvalidPartOrder")
    upload.parts[2]["ETag"] = '"' + "0" * 32 + '"'
    assert refused(lambda: upload.complete(2)) == (400, "InvalidPart")
    assert [one["PartNumber"] for one in s3.list_parts(**upload.where, UploadId=upload.id)["Parts"]] == [1, 2]
    assert refused(s3.head_object, **upload.where)[0] == 404
    upload.complete(1)
    assert read(s3) == b"small"


@pytest.mark.parametrize("number", [0, -1, 10_001, 2**31])
def test_a_part_has_a_number_up_to_ten_thousand(s3, bucket, number):
    upload = Upload(s3)
    assert refused(upload.put, number=number, body=b"x") == (400, "InvalidArgument")
    upload.put(10_000, b"x")
    upload.complete(10_000)
    assert read(s3) == b"x"


def test_an_upload_that_was_completed_may_be_completed_again_with_the_same_parts_only(s3, bucket):
    upload = Upload(s3, ChecksumAlgorithm="CRC32")
    upload.put(1, FIVE)
    upload.put(2, b"end")
    first = upload.complete()
    again = upload.complete()
    assert (again["ETag"], again["ChecksumCRC32"]) == (first["ETag"], first["ChecksumCRC32"])
    assert refused(lambda: upload.complete(1)) == (404, "NoSuchUpload")
    s3.put_object(**upload.where, Body=b"another")
    assert refused(upload.complete) == (404, "NoSuchUpload")
    assert refused(upload.put, number=3, body=b"late") == (404, "NoSuchUpload")


def test_an_upload_that_was_given_up_is_gone(s3lab, s3, bucket):
    upload = Upload(s3)
    upload.put(1, b"x")
    s3.abort_multipart_upload(**upload.where, UploadId=upload.id)
    for call in (upload.complete, lambda: upload.put(2, b"y"), lambda: s3.list_parts(**upload.where, UploadId=upload.id)):
        assert refused(call) == (404, "NoSuchUpload")
    assert refused(s3.abort_multipart_upload, **upload.where, UploadId=upload.id) == (404, "NoSuchUpload")
    swift, account = s3lab.swift()
    assert swift.head(f"{account}/one+segments").headers["x-container-object-count"] == "0"


def test_a_part_with_a_wrong_checksum_leaves_none(s3, bucket):
    upload = Upload(s3, ChecksumAlgorithm="SHA256")
    assert refused(upload.put, number=1, body=b"x", ChecksumSHA256="A" * 43 + "=") == (400, "BadDigest")
    assert refused(upload.put, number=1, body=b"x", ChecksumCRC32="AAAAAA==") == (400, "InvalidRequest")
    assert "Parts" not in s3.list_parts(**upload.where, UploadId=upload.id)


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [("CRC32", "FULL_OBJECT"), ("CRC64NVME", "FULL_OBJECT"), ("SHA1", "COMPOSITE"), ("CRC32C", "COMPOSITE")],
)
def test_the_checksum_of_the_whole(s3, bucket, algorithm, kind):
    upload = Upload(s3, ChecksumAlgorithm=algorithm, ChecksumType=kind)
    first, second = (upload.put(number, body, ChecksumAlgorithm=algorithm) for number, body in ((1, FIVE), (2, b"end")))
    name = f"Checksum{algorithm}"
    made = upload.complete()
    assert (made["ChecksumType"], made[name].endswith("-2")) == (kind, kind == "COMPOSITE")
    if kind == "FULL_OBJECT":
        assert s3.put_object(Bucket="one", Key="plain", Body=FIVE + b"end", ChecksumAlgorithm=algorithm)[name] == made[name]
    head = s3.head_object(**upload.where, ChecksumMode="ENABLED")
    assert (head[name], head["ChecksumType"]) == (made[name], kind)
    for number, part in ((1, first), (2, second)):
        assert s3.get_object(**upload.where, PartNumber=number, ChecksumMode="ENABLED")[name] == part[name]
    told = s3.get_object_attributes(**upload.where, ObjectAttributes=["ObjectParts", "Checksum"], MaxParts=1, PartNumberMarker=1)
    assert told["Checksum"][name] == made[name]
    assert [one[name] for one in told["ObjectParts"]["Parts"]] == [second[name]]
    assert (told["ObjectParts"]["TotalPartsCount"], told["ObjectParts"]["IsTruncated"]) == (2, False)


@pytest.mark.parametrize(
    "more",
    [
        {"ChecksumAlgorithm": "SHA1", "ChecksumType": "FULL_OBJECT"},
        {"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "COMPOSITE"},
        {"ChecksumType": "COMPOSITE"},
    ],
)
def test_checksums_that_there_are_not(s3, bucket, more):
    assert refused(s3.create_multipart_upload, Bucket="one", Key="big", **more) == (400, "InvalidRequest")


def test_parts_are_read_by_their_place(s3, bucket):
    upload = Upload(s3)
    upload.put(3, FIVE)
    upload.put(9, b"end")
    upload.complete()
    head = s3.head_object(**upload.where, PartNumber=2)
    assert (head["ContentLength"], head["PartsCount"]) == (3, 2)
    assert head["ResponseMetadata"]["HTTPHeaders"]["content-range"] == f"bytes {5 * MIB}-{5 * MIB + 2}/{5 * MIB + 3}"
    assert read(s3, PartNumber=2) == b"end"
    assert refused(s3.get_object, **upload.where, PartNumber=3) == (416, "InvalidPartNumber")
    assert refused(s3.get_object, **upload.where, PartNumber=0, Range="bytes=0-1") == (400, "InvalidRequest")
    assert read(s3, Range=f"bytes={5 * MIB - 2}-{5 * MIB}") == FIVE[-2:] + b"e"
    assert read(s3, Range="bytes=-4") == FIVE[-1:] + b"end"


def test_an_object_of_one_empty_part(s3, bucket):
    upload = Upload(s3, ChecksumAlgorithm="CRC32")
    upload.put(1, b"")
    upload.complete()
    assert (read(s3), read(s3, PartNumber=1, ChecksumMode="ENABLED")) == (b"", b"")


def test_a_completion_may_be_conditional(s3, bucket):
    s3.put_object(Bucket="one", Key="big", Body=b"there")
    etag = s3.head_object(Bucket="one", Key="big")["ETag"]
    upload = Upload(s3)
    upload.put(1, b"parts")
    assert refused(upload.complete, IfNoneMatch="*") == (412, "PreconditionFailed")
    assert refused(upload.complete, IfMatch='"0"') == (412, "PreconditionFailed")
    upload.complete(IfMatch=etag)
    assert read(s3) == b"parts"


def test_a_size_that_is_said_holds(s3, bucket):
    upload = Upload(s3)
    upload.put(1, b"12345")
    assert refused(upload.complete, MpuObjectSize=4) == (400, "InvalidRequest")
    upload.complete(MpuObjectSize=5)


def test_uploads_and_parts_are_listed_in_pages(s3, bucket):
    made = sorted((key, Upload(s3, key).id) for key in ("a/1", "a/2", "b", "b"))
    found, markers = [], {}
    while True:
        page = s3.list_multipart_uploads(Bucket="one", MaxUploads=1, **markers)
        found += [(one["Key"], one["UploadId"]) for one in page["Uploads"]]
        if not page["IsTruncated"]:
            break
        markers = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert found == made
    rolled = s3.list_multipart_uploads(Bucket="one", Delimiter="/")
    assert ([one["Prefix"] for one in rolled["CommonPrefixes"]], len(rolled["Uploads"])) == (["a/"], 2)
    upload = Upload(s3, "c")
    for number in range(1, 6):
        upload.put(number, b"x")
    pages = s3.get_paginator("list_parts").paginate(**upload.where, UploadId=upload.id, PaginationConfig={"PageSize": 2})
    assert [one["PartNumber"] for page in pages for one in page.get("Parts", [])] == [1, 2, 3, 4, 5]


def test_documents_of_completions_that_are_no_good(s3lab, s3, bucket):
    s3.put_bucket_policy(
        Bucket="one",
        Policy='{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::one/*"}]}',
    )
    upload = Upload(s3)
    etag = upload.put(1, b"x")["ETag"]
    for inner in (
        "", "<Part/>", "<Part><PartNumber>1</PartNumber></Part>", f"<Part><PartNumber>one</PartNumber><ETag>{etag}</ETag></Part>",
        f"<Part><PartNumber>{'9' * 5000}</PartNumber><ETag>{etag}</ETag></Part>",
        f"<Part><PartNumber>-1</PartNumber><ETag>{etag}</ETag></Part>",
        f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>" * 10_001,
    ):  # fmt: skip
        body = f"<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>"
        answer = s3lab.http.post(f"{HOST}/s3/one/big?uploadId={upload.id}", content=body)
        assert (answer.status_code, "<Code>" in answer.text) == (400, True), answer.text
    upload.complete()
