"""What web pages do: uploads by forms, and requests from other origins."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from pileus.faces.s3 import sigv2, sigv4
from tests.faces.s3.conftest import HOST
from tests.faces.s3.test_objects import refused

URL = f"{HOST}/s3/one"


@pytest.fixture
def bucket(s3):
    s3.create_bucket(Bucket="one")
    return "one"


def policy(s3lab, *conditions, seconds=60, **changes):
    moment = datetime.fromtimestamp(s3lab.lab.clock.now(), UTC) + timedelta(seconds=seconds)
    found = {"expiration": moment.strftime("%Y-%m-%dT%H:%M:%SZ"), "conditions": [{"bucket": "one"}, *conditions], **changes}
    return base64.b64encode(json.dumps(found).encode()).decode()


def fields_v2(s3lab, text, **more):
    key = s3lab.keys["ann"]
    return {"AWSAccessKeyId": key.access, "policy": text, "signature": sigv2.sign(key.secret, text), **more}


def fields_v4(s3lab, text, **more):
    key = s3lab.keys["ann"]
    stamp = datetime.fromtimestamp(s3lab.lab.clock.now(), UTC).strftime("%Y%m%dT%H%M%SZ")
    made = sigv4.sign(sigv4.derive(key.secret, stamp[:8], "RegionOne", "s3"), text)
    return {
        "x-amz-algorithm": "AWS4-HMAC-SHA256", "x-amz-credential": f"{key.access}/{stamp[:8]}/RegionOne/s3/aws4_request",
        "x-amz-date": stamp, "x-amz-signature": made, "policy": text, **more,
    }  # fmt: skip


ANY_KEY, V4_CONDITIONS = (
    ["starts-with", "$key", ""],
    [["starts-with", f"$x-amz-{name}", ""] for name in ("algorithm", "credential", "date")],
)


def post(s3lab, fields, content=b"data", name="a.txt"):
    return s3lab.http.post(URL, data=fields, files={"file": (name, content)}, follow_redirects=False)


def test_forms_signed_in_both_ways(s3lab, s3, bucket):
    assert post(s3lab, fields_v2(s3lab, policy(s3lab, ANY_KEY), key="v2")).status_code == 204
    assert post(s3lab, fields_v4(s3lab, policy(s3lab, ANY_KEY, *V4_CONDITIONS), key="v4")).status_code == 204
    assert [s3.get_object(Bucket="one", Key=key)["Body"].read() for key in ("v2", "v4")] == [b"data", b"data"]


def test_what_a_form_says_of_an_object_is_kept(s3lab, s3, bucket):
    more = {"Content-Type": "text/x", "x-amz-meta-colour": "blue", "acl": "public-read",
            "tagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"}  # fmt: skip
    conditions = [["eq", f"${name}", value] for name, value in more.items()]
    fields = fields_v2(s3lab, policy(s3lab, ANY_KEY, *conditions), key="dir/${filename}", **more)
    assert post(s3lab, fields, name="ü.txt").status_code == 204
    head = s3.head_object(Bucket="one", Key="dir/ü.txt")
    assert (head["ContentType"], head["Metadata"]) == ("text/x", {"colour": "blue"})
    assert s3.get_object_tagging(Bucket="one", Key="dir/ü.txt")["TagSet"] == [{"Key": "a", "Value": "1"}]
    assert s3lab.http.get(f"{URL}/dir/ü.txt").content == b"data"


@pytest.mark.parametrize(("asked", "status"), [("200", 200), ("201", 201), ("204", 204), ("500", 204), ("", 204)])
def test_the_status_that_a_form_asks_for(s3lab, s3, bucket, asked, status):
    text = policy(s3lab, ANY_KEY, ["starts-with", "$success_action_status", ""])
    answer = post(s3lab, fields_v2(s3lab, text, key="x", success_action_status=asked))
    assert answer.status_code == status
    assert ("<PostResponse>" in answer.text) is (status == 201)
    assert answer.headers["etag"] == s3.head_object(Bucket="one", Key="x")["ETag"]


@pytest.mark.parametrize(
    ("where", "status"),
    [("http://page.test/done", 303), ("http://page.test/done?a=1", 303), ("javascript:alert(1)", 204), ("//evil", 204),
     ("http://a.test/\r\nSet-Cookie: a=b", 204)],
)  # fmt: skip
def test_where_a_form_leads_on(s3lab, s3, bucket, where, status):
    text = policy(s3lab, ANY_KEY, ["starts-with", "$success_action_redirect", ""])
    answer = post(s3lab, fields_v2(s3lab, text, key="a/b", success_action_redirect=where))
    assert answer.status_code == status
    if status == 303:
        assert answer.headers["location"].startswith(where + ("&" if "?" in where else "?") + "bucket=one&key=a%2Fb&etag=%22")
    assert "set-cookie" not in answer.headers


REFUSED = [
    ("a policy that is over", lambda lab: fields_v2(lab, policy(lab, ANY_KEY, seconds=-1), key="x"), "AccessDenied"),
    ("another key", lambda lab: fields_v2(lab, policy(lab, ["starts-with", "$key", "in/"]), key="x"), "AccessDenied"),
    ("another bucket", lambda lab: fields_v2(lab, policy(lab, ANY_KEY, {"bucket": "two"}), key="x"), "AccessDenied"),
    ("a field too many", lambda lab: fields_v2(lab, policy(lab, ANY_KEY), key="x", acl="public-read"), "AccessDenied"),
    ("a field missing", lambda lab: fields_v2(lab, policy(lab, ANY_KEY, {"acl": "private"}), key="x"), "AccessDenied"),
    (
        "too long a file",
        lambda lab: fields_v2(lab, policy(lab, ANY_KEY, ["content-length-range", 0, 3]), key="x"),
        "EntityTooLarge",
    ),
    (
        "too short a file",
        lambda lab: fields_v2(lab, policy(lab, ANY_KEY, ["content-length-range", 5, 9]), key="x"),
        "EntityTooSmall",
    ),
    (
        "huge numbers",
        lambda lab: fields_v2(lab, policy(lab, ANY_KEY, ["content-length-range", "9" * 5000, 9]), key="x"),
        "InvalidPolicy",
    ),
    ("a wrong signature", lambda lab: fields_v2(lab, policy(lab, ANY_KEY), key="x", signature="bm8="), "SignatureDoesNotMatch"),
    ("no signature", lambda lab: {"AWSAccessKeyId": "a", "policy": policy(lab, ANY_KEY), "key": "x"}, "InvalidArgument"),
    ("nobody's key pair", lambda lab: fields_v2(lab, policy(lab, ANY_KEY), key="x", AWSAccessKeyId="no"), "InvalidAccessKeyId"),
    ("no key", lambda lab: fields_v2(lab, policy(lab, ANY_KEY)), "InvalidArgument"),
    ("no policy", lambda lab: {"key": "x"}, "AccessDenied"),
    ("no base64", lambda lab: fields_v2(lab, "!", key="x"), "InvalidPolicy"),
    ("no JSON", lambda lab: fields_v2(lab, base64.b64encode(b"{").decode(), key="x"), "InvalidPolicy"),
    ("deep JSON", lambda lab: fields_v2(lab, base64.b64encode(b"[" * 4000).decode(), key="x"), "InvalidPolicy"),
    ("no expiration", lambda lab: fields_v2(lab, policy(lab, ANY_KEY, expiration=None), key="x"), "InvalidPolicy"),
    ("an expiration that is none", lambda lab: fields_v2(lab, policy(lab, ANY_KEY, expiration="soon"), key="x"), "InvalidPolicy"),
    ("no conditions", lambda lab: fields_v2(lab, policy(lab, conditions=[]), key="x"), "InvalidPolicy"),
    ("a condition that is none", lambda lab: fields_v2(lab, policy(lab, ["like", "$key", "x"]), key="x"), "InvalidPolicy"),
    (
        "a wrong checksum",
        lambda lab: fields_v2(lab, policy(lab, ANY_KEY), key="x", **{"x-amz-checksum-crc32": "AAAAAA=="}),
        "BadDigest",
    ),
]


@pytest.mark.parametrize(("made", "code"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED])
def test_a_form_that_is_not_right_leaves_nothing(s3lab, s3, bucket, made, code):
    answer = post(s3lab, made(s3lab))
    assert answer.status_code in (400, 403)
    assert f"<Code>{code}" in answer.text, answer.text
    assert s3.list_objects_v2(Bucket="one")["KeyCount"] == 0


@pytest.mark.parametrize(
    "body", [b"", b"--b\r\n", b"--b\r\nContent-Disposition: form-data; name=key\r\n\r\nx\r\n--b--", b"junk" * 9999]
)
def test_a_form_that_is_none(s3lab, s3, bucket, body):
    s3.put_bucket_acl(Bucket="one", ACL="public-read-write")
    answer = s3lab.http.post(URL, content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 400
    assert s3.list_objects_v2(Bucket="one")["KeyCount"] == 0


def test_an_open_bucket_takes_forms_of_everybody(s3lab, s3, bucket):
    s3.put_bucket_acl(Bucket="one", ACL="public-read-write")
    assert post(s3lab, {"key": "x"}).status_code == 204
    assert s3.get_object(Bucket="one", Key="x")["Body"].read() == b"data"


def rules(s3, *found):
    s3.put_bucket_cors(Bucket="one", CORSConfiguration={"CORSRules": list(found)})


def preflight(s3lab, origin, method="GET", headers=""):
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return s3lab.http.options(f"{URL}/x", headers=asked)


@pytest.mark.parametrize(
    ("pattern", "origin", "fits"),
    [
        ("*", "http://a.test", True),
        ("http://a.test", "http://a.test", True),
        ("http://a.test", "http://a.test:81", False),
        ("http://a.test", "https://a.test", False),
        ("http://*.test", "http://a.b.test", True),
        ("http://*.test", "http://.test.evil", False),
        ("http://a*a", "http://a", False),
        ("http://a.test", "http://A.test", False),
        ("http://[ab].test", "http://a.test", False),
    ],
)
def test_origins_fit_patterns(s3lab, s3, bucket, pattern, origin, fits):
    rules(s3, {"AllowedOrigins": [pattern], "AllowedMethods": ["GET"]})
    answer = preflight(s3lab, origin)
    assert answer.status_code == (200 if fits else 403)
    assert ("access-control-allow-origin" in answer.headers) is fits
    assert ("access-control-allow-credentials" in answer.headers) is (fits and pattern != "*")


def test_the_first_rule_that_fits_counts(s3lab, s3, bucket):
    first = {"AllowedOrigins": ["http://a.test"], "AllowedMethods": ["GET"], "MaxAgeSeconds": 1}
    rules(s3, first, {"AllowedOrigins": ["*"], "AllowedMethods": ["GET", "PUT"], "AllowedHeaders": ["x-*"], "MaxAgeSeconds": 2})
    assert preflight(s3lab, "http://a.test").headers["access-control-max-age"] == "1"
    assert preflight(s3lab, "http://a.test", "PUT").headers["access-control-max-age"] == "2"
    assert preflight(s3lab, "http://a.test", "GET", "X-One, x-two").headers["access-control-allow-headers"] == "x-one, x-two"
    assert preflight(s3lab, "http://a.test", "GET", "authorization").status_code == 403
    assert preflight(s3lab, "http://a.test", "DELETE").status_code == 403


def test_errors_are_shown_to_pages_too(s3lab, s3, bucket):
    assert "access-control-allow-origin" not in s3lab.http.get(f"{URL}/x", headers={"Origin": "http://a.test"}).headers
    rules(s3, {"AllowedOrigins": ["http://a.test"], "AllowedMethods": ["GET"]})
    answer = s3lab.http.get(f"{URL}/x", headers={"Origin": "http://a.test"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (403, "http://a.test")
    assert "Origin" in answer.headers["vary"]
    s3.delete_bucket_cors(Bucket="one")
    assert refused(s3.get_bucket_cors, Bucket="one") == (404, "NoSuchCORSConfiguration")
    assert preflight(s3lab, "http://a.test").status_code == 403


@pytest.mark.parametrize(
    "rule",
    [
        {"AllowedOrigins": ["*"], "AllowedMethods": ["PATCH"]},
        {"AllowedOrigins": ["http://*.*"], "AllowedMethods": ["GET"]},
        {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"], "AllowedHeaders": ["x-*-*"]},
        {"AllowedOrigins": [], "AllowedMethods": ["GET"]},
        {"AllowedOrigins": ["*"], "AllowedMethods": []},
    ],
)
def test_rules_that_cannot_be(s3, bucket, rule):
    status, code = refused(s3.put_bucket_cors, Bucket="one", CORSConfiguration={"CORSRules": [rule]})
    assert (status, code in ("InvalidRequest", "MalformedXML")) == (400, True)
