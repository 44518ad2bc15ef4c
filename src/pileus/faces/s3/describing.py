"""An object's headers, from S3 into the object store and back."""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

import msgspec

from pileus.faces.s3 import acl, body, checksums, lock, tags
from pileus.faces.s3.buckets import Bucket, directory
from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.request import S3Request
from pileus.object_store.content import Content
from pileus.object_store.listing import is_utf8
from pileus.object_store.service import locks, parts, slo, versions
from pileus.object_store.service.writing import NewObject

META, STORED_META = "x-amz-meta-", "X-Object-Meta-"
KEPT = ("content-disposition", "content-encoding", "content-language", "cache-control", "expires")
REDIRECT = "x-amz-website-redirect-location"
STORED_REDIRECT = "X-Object-Transient-Sysmeta-S3Api-Redirect"
DEFAULT_TYPE = "binary/octet-stream"
META_BYTES_MAX = 2048
SSE, AES256, STORED_SSE = "x-amz-server-side-encryption", "AES256", "X-Object-Sysmeta-S3Api-Encryption"
ENCRYPTION = ("x-amz-server-side-encryption", "x-amz-copy-source-server-side-encryption")
RESPONSE = {
    "response-cache-control": "Cache-Control", "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding", "response-content-language": "Content-Language",
    "response-content-type": "Content-Type", "response-expires": "Expires",
}  # fmt: skip


def is_at_rest(s3: S3Request) -> bool:
    """Tell whether the object store encrypts what it keeps."""
    return bool(s3.cloud.settings.object_encryption_secrets)


def refuse_encryption(headers: Mapping[str, str], at_rest: bool = False) -> None:
    """Refuse what would need keys of callers, or of a service that keeps keys.  :raises S3Error: NotImplemented.

    :param at_rest: the object store encrypts what it keeps, so that encryption with its own keys may be asked for.
    """
    if headers.get(SSE) not in (None, AES256, "aws:kms", "aws:kms:dsse"):
        raise S3Error("InvalidArgument", "The encryption method specified is not supported", ArgumentName=SSE)
    asked = [name for name in headers if name.startswith(ENCRYPTION)]
    if asked and not (at_rest and asked == [SSE] and headers[SSE] == AES256):
        raise S3Error("NotImplemented", "Server side encryption of this kind is not implemented.")


def stored_headers(headers: Mapping[str, str], frame: str = "") -> dict[str, str]:
    """Return what is kept of a request's headers.  :raises S3Error: when metadata are too large, or no text.

    :param frame: the content encoding that is the body's on its way only.
    """
    found: dict[str, str] = {}
    size = 0
    for name, value in headers.items():
        if name.startswith(META):
            if not is_utf8(value) or not is_utf8(name):
                raise S3Error("InvalidArgument", "Metadata must be valid UTF-8.")
            size += len(name) - len(META) + len(value.encode())
            found[(STORED_META + name[len(META) :]).title()] = value
        elif name in KEPT and value and is_utf8(value):
            found[name.title()] = value
    if size > META_BYTES_MAX:
        raise S3Error("MetadataTooLarge", Size=str(size), MaxSizeAllowed=str(META_BYTES_MAX))
    if encoding := found.pop("Content-Encoding", ""):
        rest = [part.strip() for part in encoding.split(",") if part.strip() not in ("", frame)]
        found |= {"Content-Encoding": ", ".join(rest)} if rest else {}
    if where := headers.get(REDIRECT):
        if not where.startswith(("/", "http://", "https://")):
            raise S3Error(
                "InvalidArgument", "The website redirect location must have a prefix of 'http://' or 'https://' or '/'."
            )
        found[STORED_REDIRECT] = where
    return found


def check_class(headers: Mapping[str, str]) -> None:
    """Refuse a class of storage that there is not.  :raises S3Error: InvalidStorageClass."""
    if headers.get("x-amz-storage-class", "STANDARD") != "STANDARD":
        raise S3Error("InvalidStorageClass")


def rights(s3: S3Request, bucket: Bucket) -> dict[str, str]:
    """Return what is kept of who may do what with a new object.  :raises S3Error: when the bucket does not take lists."""
    owner = s3.who.project_id or bucket.owner
    asked = acl.from_headers(s3.headers, owner, bucket.owner, directory(s3.cloud))
    check_acl(bucket, asked, s3.headers)
    if bucket.ownership == "BucketOwnerEnforced":
        return {}
    if bucket.ownership == "BucketOwnerPreferred" and s3.headers.get("x-amz-acl") == "bucket-owner-full-control":
        return {}
    text = acl.encode(asked or acl.private(owner), bucket.owner)
    return {acl.STORED: text} if text else {}


def check_acl(bucket: Bucket, asked: acl.Acl | None, headers: Mapping[str, str]) -> None:
    """Hold a list that is asked for to what the bucket takes.  :raises S3Error: when it does not."""
    if asked is None:
        return
    if bucket.ownership == "BucketOwnerEnforced" and headers.get("x-amz-acl") != "bucket-owner-full-control":
        raise S3Error("AccessControlListNotSupported")
    if asked.is_public and "BlockPublicAcls" in bucket.blocks:
        raise S3Error("AccessDenied")


def new_object(s3: S3Request, bucket: Bucket) -> NewObject:
    """Return what a request says of the object that it makes."""
    headers = s3.headers
    refuse_encryption(headers, is_at_rest(s3))
    check_class(headers)
    frame = "aws-chunked" if s3.body.is_chunked else ""
    stored = stored_headers(headers, frame) | rights(s3, bucket) | lock.of_headers(s3, bucket)
    if is_at_rest(s3):
        stored[STORED_SSE] = AES256
    if "x-amz-tagging" in headers and (text := tags.encode(tags.from_header(headers["x-amz-tagging"]))):
        stored[tags.STORED] = text
    return NewObject(content_type(headers), stored)


def content_type(headers: Mapping[str, str]) -> str:
    """Return the content type that a request gives."""
    found = headers.get("content-type") or DEFAULT_TYPE
    if not is_utf8(found):
        raise S3Error("InvalidArgument", "Content-Type must be valid UTF-8.")
    return found


def etag_of(content: Content) -> str:
    """Return the entity tag of an object as S3 has it, without quotes."""
    if found := content.sysmeta.get(versions.S3_ETAG):
        return found
    if slo.MARK in content.sysmeta:
        return content.etag.strip('"') + "-N"
    return content.etag.strip('"')


def as_s3(content: Content) -> Content:
    """Return a content whose tags and time are what S3 has: a change of metadata is no change of the object."""
    etag = etag_of(content)
    meta = msgspec.structs.replace(content.metadata, modified_at=content.metadata.data_at)
    return replace(content, etag=f'"{etag}"', tags={etag}, metadata=meta)


def shown_headers(s3: S3Request, content: Content, version_id: str) -> dict[str, str]:
    """Return what the headers of an answer tell of an object, beside its type, tag and time."""
    found = {}
    for name, value in content.headers.items():
        if name.startswith(STORED_META):
            found[META + name[len(STORED_META) :].lower()] = value
        elif name.lower() in KEPT:
            found[name] = value
    sysmeta = content.sysmeta
    if version_id:
        found["x-amz-version-id"] = version_id
    if count := len(tags.decode(sysmeta.get(tags.STORED, ""))):
        found["x-amz-tagging-count"] = str(count)
    found |= shown_encryption(sysmeta)
    if where := sysmeta.get(STORED_REDIRECT):
        found[REDIRECT] = where
    retention = locks.retention_of(sysmeta)
    if retention is not None:
        found["x-amz-object-lock-mode"] = retention.mode
        found["x-amz-object-lock-retain-until-date"] = lock.to_date(retention.until)
    if hold := sysmeta.get(locks.HOLD):
        found["x-amz-object-lock-legal-hold"] = hold
    if checksum_asked(s3):
        found |= checksum_headers(sysmeta)
    return found


def shown_encryption(stored: Mapping[str, str]) -> dict[str, str]:
    """Return what headers tell of how an object is encrypted."""
    return {SSE: stored[STORED_SSE]} if STORED_SSE in stored else {}


def checksum_asked(s3: S3Request) -> bool:
    """Tell whether a request wants to be told the checksum of an object."""
    return s3.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"


def checksum_headers(sysmeta: Mapping[str, str]) -> dict[str, str]:
    """Return what headers tell of the checksum that is kept with an object."""
    algorithm = sysmeta.get(body.STORED_ALGORITHM)
    if not algorithm:
        return {}
    kind = sysmeta.get(body.STORED_TYPE, checksums.WHOLE)
    header = checksums.HEADER + algorithm.lower()
    return {header: sysmeta.get(body.STORED_CHECKSUM, ""), "x-amz-checksum-type": kind}


def overridden(s3: S3Request) -> dict[str, str]:
    """Return the headers that the query wants an answer to have."""
    found = {header: s3.query[name] for name, header in RESPONSE.items() if name in s3.query}
    if found and s3.who.ctx is None:
        raise S3Error("InvalidRequest", "Request specific response headers cannot be used for anonymous GET requests.")
    return {header: value if value.isascii() else quote(value) for header, value in found.items() if "\n" not in value}


def parts_count(content: Content) -> int:
    """Return how many parts an object was uploaded in; 0 when it was uploaded in one."""
    if parts.UPLOAD_ID not in content.sysmeta:
        return 0
    return int(content.sysmeta.get(versions.S3_ETAG, "-0").rpartition("-")[2])
