"""Objects uploaded, copied and deleted."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from urllib.parse import unquote, unquote_plus

from pileus.faces.s3 import body, checksums, conditions, lock, tags
from pileus.faces.s3.access import Need, admit
from pileus.faces.s3.announced import md5_of
from pileus.faces.s3.buckets import Bucket, find
from pileus.faces.s3.describing import content_type, is_at_rest, new_object, refuse_encryption, shown_encryption, stored_headers
from pileus.faces.s3.errors import S3Error, of_refused
from pileus.faces.s3.numbers import natural
from pileus.faces.s3.reading import open_for
from pileus.faces.s3.request import S3Request
from pileus.faces.s3.sending import nothing, xml_answer
from pileus.faces.s3.xml import Element, answer, tag, wrap
from pileus.kernel.errors import Fault
from pileus.kernel.http import Answer
from pileus.object_store import ranges
from pileus.object_store.backend import Unreachable
from pileus.object_store.content import Content
from pileus.object_store.request import Refused
from pileus.object_store.service import direct, locks
from pileus.object_store.service.writing import NewObject

KEY_BYTES_MAX, DELETES_MAX, COPY_BYTES_MAX = 1024, 1000, 5 * 1024**3
DELETES_AT_ONCE = 8
BYPASS = Need("s3:BypassGovernanceRetention")


def check_upload(s3: S3Request) -> None:
    """Hold an upload to its length.  :raises S3Error: when it has none, or too much."""
    if "content-length" not in s3.headers and s3.headers.get("transfer-encoding", "").lower() != "chunked":
        raise S3Error("MissingContentLength")
    if (s3.body.length or 0) > s3.store.limits.object_bytes_max:
        raise S3Error("EntityTooLarge", ProposedSize=str(s3.body.length), MaxSizeAllowed=str(s3.store.limits.object_bytes_max))


def check_key(key: str) -> None:
    """Hold a key to its length.  :raises S3Error: KeyTooLongError."""
    if len(key.encode()) > KEY_BYTES_MAX:
        raise S3Error("KeyTooLongError", Size=str(len(key.encode())), MaxSizeAllowed=str(KEY_BYTES_MAX))


async def put(s3: S3Request, bucket: Bucket) -> Answer:
    """Upload an object."""
    check_key(s3.key)
    check_upload(s3)
    upload = s3.body
    new = replace(new_object(s3, bucket), size_bytes=upload.length, etag=md5_of(s3.headers), footer=upload.footer)
    if bucket.is_locked and locks.RETENTION in new.headers and not (new.etag or upload.wanted.algorithm):
        raise S3Error(
            "InvalidRequest",
            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters",
        )
    try:
        stored = await direct.store(bucket.request(s3), bucket.info, new, upload, conditions.of_upload(s3.headers))
    except Refused as refused:
        raise bad_md5(refused, new) from refused
    headers = {"ETag": f'"{stored.etag}"'} | made_header(bucket, stored) | shown_encryption(new.headers)
    if upload.checksum:
        headers[checksums.HEADER + upload.wanted.algorithm.lower()] = upload.checksum
        headers["x-amz-checksum-type"] = checksums.WHOLE
    return nothing(200, headers)


def bad_md5(refused: Refused, new: NewObject) -> S3Error | Refused:
    """Return the refusal of an upload, where its MD5 was another one in S3's words."""
    return S3Error("BadDigest", ExpectedDigest=new.etag) if refused.status == 422 and new.etag else refused


def version_header(stored: direct.Stored) -> dict[str, str]:
    """Return what headers tell of the version that was made or deleted."""
    return {"x-amz-version-id": stored.version_id} if stored.version_id else {}


def made_header(bucket: Bucket, stored: direct.Stored) -> dict[str, str]:
    """Return what headers tell of the version that an upload made: nothing, unless versions are kept."""
    return version_header(stored) if bucket.versioning == "Enabled" else {}


@dataclass
class Summed:
    """A body with a checksum of it, once it was read."""

    source: AsyncIterator[bytes]
    length: int | None
    algorithm: str
    checksum: str = ""

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        digest = checksums.new(self.algorithm) if self.algorithm else None
        async for chunk in self.source:
            if digest:
                digest.update(chunk)
            yield chunk
        if digest:
            self.checksum = checksums.encode(digest.digest())

    def footer(self) -> dict[str, str]:
        """Return what is kept with the object of the checksum."""
        return {body.STORED_ALGORITHM: self.algorithm, body.STORED_CHECKSUM: self.checksum} if self.checksum else {}


async def open_source(s3: S3Request) -> tuple[S3Request, Content, str]:
    """Open the source of a copy, and return the request for it and its version id.  :raises S3Error: when it may not be read."""
    refuse_encryption(s3.headers, is_at_rest(s3))
    path, question, query = s3.headers["x-amz-copy-source"].partition("?")
    name, slash, key = unquote(path).removeprefix("/").partition("/")
    if not slash or not key or not name:
        raise S3Error("InvalidArgument", "Invalid copy source object key", ArgumentName="x-amz-copy-source")
    version_id = unquote_plus(query.removeprefix("versionId=")) if question and query.startswith("versionId=") else None
    asked = {} if version_id is None else {"versionId": version_id}
    source = replace(s3, bucket=name, key=key, query=asked, headers={}, facts=dict(s3.facts))
    bucket = await find(source, name)
    if s3.headers.get("x-amz-source-expected-bucket-owner", bucket.owner) != bucket.owner:
        raise S3Error("AccessDenied")
    action = "s3:GetObject" if version_id is None else "s3:GetObjectVersion"
    await admit(source, bucket, Need(action, "READ", of_object=True, data=True))
    content, shown = await open_for(source, bucket, head=False)
    try:
        conditions.check_source(s3.headers, content)
    except S3Error:
        await content.source.close()
        raise
    return source, content, shown


def as_body(content: Content, start: int, length: int, algorithm: str) -> Summed:
    """Return bytes of a content as a body."""
    inline = content.source.inline

    async def whole() -> AsyncIterator[bytes]:
        yield (inline or b"")[start : start + length]

    return Summed(whole() if inline is not None else content.source.chunks(start, length), length, algorithm)


def algorithm_of(s3: S3Request) -> str:
    """Return the algorithm of the checksum that a request wants; "" when it wants none.  :raises S3Error: unknown."""
    found = s3.headers.get("x-amz-checksum-algorithm", "").upper()
    if found and found not in checksums.ALGORITHMS:
        raise S3Error(
            "InvalidRequest", "Checksum algorithm provided is unsupported. Please try again with any of the valid types."
        )
    return found


async def copy(s3: S3Request, bucket: Bucket) -> Answer:
    """Make an object out of another one."""
    check_key(s3.key)
    if "range" in s3.headers:
        asked = s3.headers["range"]
        raise S3Error("InvalidArgument", "RANGE is not supported in Copy!", ArgumentName="Range", ArgumentValue=asked)
    for name in ("x-amz-metadata-directive", "x-amz-tagging-directive"):
        if s3.headers.get(name, "COPY") not in ("COPY", "REPLACE"):
            raise S3Error("InvalidArgument", "Unknown directive.", ArgumentName=name, ArgumentValue=s3.headers[name])
    fresh = s3.headers.get("x-amz-metadata-directive") == "REPLACE"
    source, content, version_id = await open_source(s3)
    try:
        if content.size_bytes > COPY_BYTES_MAX:
            raise S3Error(
                "InvalidRequest",
                "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120",
            )
        itself = (source.bucket, source.key) == (s3.bucket, s3.key) and not source.query
        if (
            itself
            and not fresh
            and not any(name in s3.headers for name in ("x-amz-website-redirect-location", "x-amz-storage-class"))
        ):
            text = "This copy request is illegal because it copies an object to itself without changing anything about it."
            raise S3Error("InvalidRequest", text)
        algorithm = algorithm_of(s3) or content.sysmeta.get(body.STORED_ALGORITHM, "")
        made = as_body(content, 0, content.size_bytes, algorithm)
        new = replace(_copied(s3, bucket, content, fresh), size_bytes=content.size_bytes, footer=made.footer)
        stored = await direct.store(bucket.request(s3), bucket.info, new, made, conditions.of_upload(s3.headers))
    finally:
        await content.source.close()
    headers = (
        made_header(bucket, stored)
        | shown_encryption(new.headers)
        | ({"x-amz-copy-source-version-id": version_id} if version_id else {})
    )
    inner = tag("LastModified", lock.to_date(s3.at.ceiling)) + tag("ETag", f'"{stored.etag}"')
    inner += tag(f"Checksum{algorithm}", made.checksum) if made.checksum else ""
    return xml_answer(answer("CopyObjectResult", inner), 200, headers)


def _copied(s3: S3Request, bucket: Bucket, content: Content, fresh: bool) -> NewObject:
    """Return what a copy is: the source's headers, or with REPLACE those of the request."""
    new = new_object(s3, bucket)
    headers = dict(new.headers)
    if not fresh:
        shown = {
            name: value
            for name, value in content.headers.items()
            if not name.startswith(("X-Static-", "X-Manifest-", "X-Object-Manifest"))
        }
        own = stored_headers({name: value for name, value in s3.headers.items() if name == "x-amz-website-redirect-location"})
        kept_own = {name: value for name, value in headers.items() if "-Sysmeta-" in name}
        headers = shown | kept_own | own
    if s3.headers.get("x-amz-tagging-directive") != "REPLACE":
        headers.pop(tags.STORED, None)
        if text := content.sysmeta.get(tags.STORED, ""):
            headers[tags.STORED] = text
    return NewObject(content_type(s3.headers) if fresh else content.content_type, headers)


async def may_bypass(s3: S3Request, bucket: Bucket, key: str) -> bool:
    """Tell whether a request passes by retention of the mode GOVERNANCE.  :raises S3Error: when it wants to and may not."""
    if s3.headers.get("x-amz-bypass-governance-retention", "").lower() != "true":
        return False
    vouched = s3.vouched
    await admit(s3, bucket, BYPASS, key)
    s3.vouched = vouched
    return True


async def delete(s3: S3Request, bucket: Bucket) -> Answer:
    """Delete an object or a version of it."""
    version_id = s3.query.get("versionId", "")
    modified, size = s3.headers.get("x-amz-if-match-last-modified-time"), s3.headers.get("x-amz-if-match-size")
    moment = lock.parse_http_date(modified) if modified is not None else None
    strict = bucket.keeps_versions and not version_id
    check = conditions.of_deletion(s3.headers.get("if-match"), moment, _integer(size), strict)
    try:
        stored = await _delete_one(s3, bucket, s3.key, version_id, check)
    except Refused as refused:
        if refused.status == 404 and not version_id:
            return nothing()
        raise
    marked = {"x-amz-delete-marker": "true"} if stored.is_marker else {}
    return nothing(204, version_header(stored) | marked)


async def _delete_one(s3: S3Request, bucket: Bucket, key: str, version_id: str, check: conditions.Check | None) -> direct.Stored:
    s3.facts[locks.BYPASS] = await may_bypass(s3, bucket, key) if version_id else False
    req = bucket.request(s3, key, at=s3.store.next_timestamp(s3.cloud.clock))
    return await direct.delete(req, bucket.info, version_id, check)


def _integer(text: str | None) -> int | None:
    if text is None:
        return None
    found = natural(text)
    if found is None:
        raise S3Error("InvalidArgument", "A size is a number.")
    return found


async def delete_many(s3: S3Request, bucket: Bucket) -> Answer:
    """Delete what a document lists, up to 1,000 objects or versions."""
    if "content-md5" not in s3.headers and not s3.body.wanted.algorithm:
        raise S3Error("InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
    root = await s3.document("Delete", 2_097_152)
    listed = list(root.all("Object"))
    if not listed or len(listed) > DELETES_MAX:
        raise S3Error("MalformedXML")
    quiet, wanted = root.get("Quiet").lower() == "true", [_listed(one) for one in listed]
    by_key: dict[str, list[int]] = {}
    for place, (key, _, _) in enumerate(wanted):
        by_key.setdefault(key, []).append(place)
    found, turn = [""] * len(wanted), asyncio.Semaphore(DELETES_AT_ONCE)

    async def delete_key(places: list[int]) -> None:
        async with turn:
            for place in places:
                found[place] = await _delete_named(s3, bucket, *wanted[place], quiet)

    async with asyncio.TaskGroup() as group:
        for places in by_key.values():
            group.create_task(delete_key(places))
    return xml_answer(answer("DeleteResult", "".join(found)))


def _listed(one: Element) -> tuple[str, str, Element]:
    """Return the key and version id of a line.  :raises S3Error: when it has no key."""
    key = one.first("Key")
    if key is None or not key.text:
        raise S3Error("MalformedXML")
    return key.text, one.get("VersionId"), one


async def _delete_named(s3: S3Request, bucket: Bucket, key: str, version_id: str, one: Element, quiet: bool) -> str:
    """Delete what a line of the document names, and return what is told of that."""
    named = tag("Key", key) + (tag("VersionId", version_id) if version_id else "")
    own = replace(s3, facts=dict(s3.facts))
    try:
        stored = await _delete_listed(own, bucket, one, key, version_id)
    except (Fault, Unreachable) as fault:
        error = fault if isinstance(fault, S3Error) else of_refused(_as_refused(fault), key, version_id)
        return wrap("Error", named + tag("Code", error.kind) + tag("Message", error.message))
    return "" if quiet else wrap("Deleted", named + _marker_xml(stored, version_id))


def _as_refused(fault: Exception) -> Refused:
    return fault if isinstance(fault, Refused) else Refused(503 if isinstance(fault, Unreachable) else 500)


def _marker_xml(stored: direct.Stored, version_id: str) -> str:
    if not stored.is_marker:
        return ""
    return tag("DeleteMarker", "true") + tag("DeleteMarkerVersionId", stored.version_id or version_id)


async def _delete_listed(s3: S3Request, bucket: Bucket, one: Element, key: str, version_id: str) -> direct.Stored:
    action = "s3:DeleteObjectVersion" if version_id else "s3:DeleteObject"
    await admit(s3, bucket, Need(action, "WRITE", data=True), key)
    modified, size = one.first("LastModifiedTime"), one.first("Size")
    etag = one.first("ETag")
    check = conditions.of_deletion(
        etag.text if etag is not None else None,
        lock.parse_http_date(modified.text) if modified is not None else None,
        _integer(size.text) if size is not None else None,
        bucket.keeps_versions and not version_id,
    )
    try:
        return await _delete_one(s3, bucket, key, version_id, check)
    except Refused as refused:
        if refused.status != 404:
            raise
        return direct.Stored(version_id=version_id)


def span_of(s3: S3Request, content: Content) -> tuple[int, int]:
    """Return the start and length of the bytes that a part is copied of.  :raises S3Error: when there are none such."""
    text = s3.headers.get("x-amz-copy-source-range")
    if text is None:
        return 0, content.size_bytes
    asked = ranges.parse(text)
    first, last = asked[0] if asked and len(asked) == 1 else (None, None)
    if first is None or last is None:
        reason = "The x-amz-copy-source-range value must be of the form bytes=first-last"
        raise S3Error("InvalidArgument", reason, ArgumentName="x-amz-copy-source-range")
    if last >= content.size_bytes:
        raise S3Error("InvalidRange", f"Range specified is not valid for source object of size: {content.size_bytes}")
    return first, last - first + 1
