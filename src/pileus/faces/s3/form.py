"""Uploads by a form of a web page: its fields, the policy that somebody signed for it, the file."""

import base64
import binascii
import hmac
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from pileus.faces.s3 import checksums, lock, sigv2, sigv4, tags, xml
from pileus.faces.s3.access import Need, admit
from pileus.faces.s3.auth import Who, holder
from pileus.faces.s3.body import STORED_ALGORITHM, STORED_CHECKSUM
from pileus.faces.s3.buckets import Bucket
from pileus.faces.s3.describing import new_object
from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.numbers import natural
from pileus.faces.s3.request import S3Request
from pileus.faces.s3.sending import nothing, xml_answer
from pileus.faces.s3.writing import check_key, version_header
from pileus.faces.s3.xml import document, tag
from pileus.kernel.http import Answer
from pileus.object_store.listing import is_utf8
from pileus.object_store.multipart import Form, FormError, parse_header
from pileus.object_store.service import direct

FIELDS_MAX = 200
EXPIRATION = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
FREE = frozenset({"awsaccesskeyid", "signature", "policy", "file", "x-amz-signature", "submit"})
FREE_START = ("x-ignore-", "x-amz-checksum-")


@dataclass
class File:
    """The file of a form, held to the sizes that its policy allows."""

    form: Form
    least: int
    most: int | None
    algorithm: str = ""
    said: str = ""
    length: int | None = None
    checksum: str = ""

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the content.  :raises S3Error: when it is too large or too small, or the form ends early."""
        digest, size = (checksums.new(self.algorithm) if self.algorithm else None), 0
        try:
            async for chunk in self.form.chunks():
                size += len(chunk)
                if self.most is not None and size > self.most:
                    raise S3Error("EntityTooLarge")
                if digest:
                    digest.update(chunk)
                yield chunk
        except FormError as error:
            raise S3Error("MalformedPOSTRequest", str(error)) from None
        if size < self.least:
            raise S3Error("EntityTooSmall")
        if digest:
            self.checksum = checksums.encode(digest.digest())
            if self.said != self.checksum:
                raise S3Error("BadDigest")

    def footer(self) -> dict[str, str]:
        """Return what is kept with the object of the checksum."""
        return {STORED_ALGORITHM: self.algorithm, STORED_CHECKSUM: self.checksum} if self.checksum else {}


async def upload(s3: S3Request, bucket: Bucket) -> Answer:
    """Store the file of a form."""
    form = _form(s3)
    try:
        fields, file_name = await _fields(form)
    except FormError as error:
        raise S3Error("MalformedPOSTRequest", str(error)) from None
    if not fields.get("key"):
        raise S3Error("InvalidArgument", "Bucket POST must contain a field named 'key'.", ArgumentName="key")
    key = fields["key"].replace("${filename}", file_name)
    least, most = 0, None
    if "policy" in fields:
        s3.who = await _signer(s3, fields)
        least, most = judge(fields | {"bucket": s3.bucket, "key": key}, s3.now)
    asked = replace(s3, key=key, headers=_headers(s3, fields), facts=dict(s3.facts))
    if "tagging" in fields:
        try:
            asked.facts["asked_tags"] = tags.from_xml(xml.parse(fields["tagging"].encode()), tags.OBJECT_MOST)
        except xml.BadXml:
            raise S3Error("MalformedXML") from None
    check_key(key)
    await admit(asked, bucket, Need("s3:PutObject", "WRITE", data=True), key)
    name = next((one for one in checksums.ALGORITHMS if checksums.HEADER + one.lower() in fields), "")
    body = File(form, least, most, name, fields.get(checksums.HEADER + name.lower(), ""))
    new = replace(new_object(asked, bucket), footer=body.footer)
    if stored_tags := tags.encode(asked.facts.get("asked_tags") or {}):
        new = replace(new, headers={**new.headers, tags.STORED: stored_tags})
    stored = await direct.store(bucket.request(asked, key), bucket.info, new, body)
    return _answer(asked, fields, stored)


def _form(s3: S3Request) -> Form:
    kind, parameters = parse_header(s3.headers.get("content-type", ""))
    if kind != "multipart/form-data" or not parameters.get("boundary"):
        raise S3Error("MalformedPOSTRequest")
    return Form(s3.body.chunks(), parameters["boundary"])


async def _fields(form: Form) -> tuple[dict[str, str], str]:
    """Return the fields before the file, and the file's name; the form stands at the file's content then."""
    found: dict[str, str] = {}
    while headers := await form.next_part():
        _, parameters = parse_header(headers.get("content-disposition", ""))
        name = parameters.get("name", "").lower()
        if name == "file":
            return found, parameters.get("filename", "")
        found[name] = await form.value()
        if len(found) > FIELDS_MAX or not is_utf8(name + found[name]):
            raise FormError("a field cannot be taken")
    raise S3Error("InvalidArgument", "POST requires exactly one file upload per request.", ArgumentName="file")


def _headers(s3: S3Request, fields: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that the fields stand for."""
    kept = {name: s3.headers[name] for name in ("origin", "referer", "user-agent") if name in s3.headers}
    plain = ("cache-control", "content-type", "content-disposition", "content-encoding", "expires")
    named = {name: value for name, value in fields.items() if name in plain or name.startswith("x-amz-")}
    return kept | named | ({"x-amz-acl": fields["acl"]} if "acl" in fields else {})


async def _signer(s3: S3Request, fields: Mapping[str, str]) -> Who:
    """Return who signed the policy.  :raises S3Error: when nobody did, or not well."""
    policy = fields["policy"]
    if fields.get("x-amz-algorithm") == sigv4.ALGORITHM:
        names = ("x-amz-credential", "x-amz-date", "x-amz-signature")
        if any(not fields.get(name) for name in names):
            raise S3Error("InvalidArgument", "Bucket POST must contain the fields " + ", ".join(names))
        access, date, region, service = sigv4.parse_credential(fields["x-amz-credential"], "InvalidArgument")
        secret, ctx = await holder(s3.cloud, access)
        made, given = sigv4.sign(sigv4.derive(secret, date, region, service), policy), fields["x-amz-signature"]
    else:
        if not fields.get("awsaccesskeyid") or not fields.get("signature"):
            raise S3Error("InvalidArgument", "Bucket POST must contain the fields AWSAccessKeyId and signature.")
        access = fields["awsaccesskeyid"]
        secret, ctx = await holder(s3.cloud, access)
        made, given = sigv2.sign(secret, policy), fields["signature"]
    if not hmac.compare_digest(made.encode(), given.encode()):
        raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=access)
    return Who(ctx, access)


def _bad_policy(text: str) -> S3Error:
    return S3Error("InvalidPolicyDocument", f"Invalid Policy: {text}")


def judge(fields: Mapping[str, str], now: float) -> tuple[int, int | None]:
    """Hold the fields of a form to its policy, and return how many bytes the file may have.

    :raises S3Error: InvalidPolicyDocument when it is none, AccessDenied when the form is not as it demands.
    """
    try:
        found = msgspec.json.decode(base64.b64decode(fields["policy"], validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _bad_policy("Invalid JSON.") from None
    if not isinstance(found, dict) or not isinstance(found.get("expiration"), str):
        raise _bad_policy("Policy missing expiration.")
    conditions = found.get("conditions")
    if not isinstance(conditions, list) or not conditions:
        raise _bad_policy("Policy missing conditions.")
    try:
        if not EXPIRATION.fullmatch(found["expiration"]):
            raise S3Error("MalformedXML")
        expires = lock.parse_date(found["expiration"])
    except S3Error:
        raise _bad_policy("Invalid 'expiration' value.") from None
    if expires <= now:
        raise S3Error("AccessDenied", "Invalid according to Policy: Policy expired.")
    least, most = 0, None
    named = {"bucket"}
    for condition in conditions:
        operator, name, value = _condition(condition)
        if operator == "content-length-range":
            least, most = int(name), int(value)
            continue
        named.add(name)
        given = fields.get(name, "")
        if not (given.startswith(value) if operator == "starts-with" else given == value) or name not in fields:
            raise S3Error("AccessDenied", f"Invalid according to Policy: Policy Condition failed: {name}")
    for name in fields:
        if name not in named and name not in FREE and not name.startswith(FREE_START):
            raise S3Error("AccessDenied", f"Invalid according to Policy: Extra input fields: {name}")
    return least, most


def _condition(condition: Any) -> tuple[str, str, str]:
    if isinstance(condition, dict) and len(condition) == 1:
        name, value = next(iter(condition.items()))
        if isinstance(name, str) and isinstance(value, str):
            return "eq", name.lower(), value
    if isinstance(condition, list) and len(condition) == 3:
        operator, name, value = str(condition[0]).lower(), *condition[1:]
        if operator == "content-length-range":
            texts = [str(one) for one in (name, value) if isinstance(one, int | str)]
            if len(texts) == 2 and all(natural(text) is not None for text in texts):
                return operator, texts[0], texts[1]
        elif operator in ("eq", "starts-with") and isinstance(name, str) and name.startswith("$") and isinstance(value, str):
            return operator, name[1:].lower(), value
    raise _bad_policy("Invalid condition.")


def _answer(s3: S3Request, fields: Mapping[str, str], stored: direct.Stored) -> Answer:
    etag, more = f'"{stored.etag}"', version_header(stored)
    location = f"{s3.call.base_url}/{quote(s3.bucket)}/{quote(s3.key)}"
    where = fields.get("success_action_redirect") or fields.get("redirect") or ""
    if where and urlsplit(where).scheme in ("http", "https") and where.isprintable():
        joint = "&" if urlsplit(where).query else "?"
        shown = f"{where}{joint}bucket={quote(s3.bucket)}&key={quote(s3.key, safe='')}&etag={quote(etag)}"
        return nothing(303, {"Location": shown, "ETag": etag} | more)
    if fields.get("success_action_status") == "201":
        inner = tag("Location", location) + tag("Bucket", s3.bucket) + tag("Key", s3.key) + tag("ETag", etag)
        return xml_answer(document(f"<PostResponse>{inner}</PostResponse>"), 201, {"ETag": etag, "Location": location} | more)
    status = 200 if fields.get("success_action_status") == "200" else 204
    return nothing(status, {"ETag": etag, "Location": location} | more)
