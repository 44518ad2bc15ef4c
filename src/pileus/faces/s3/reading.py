"""Objects downloaded and described: GET, HEAD, attributes."""

from dataclasses import replace
from typing import Any

from pileus.faces.s3 import body, checksums, lifecycle
from pileus.faces.s3.access import Need, admit
from pileus.faces.s3.buckets import Bucket
from pileus.faces.s3.describing import (
    as_s3,
    checksum_asked,
    checksum_headers,
    etag_of,
    overridden,
    parts_count,
    refuse_encryption,
    shown_headers,
)
from pileus.faces.s3.errors import S3Error, of_refused
from pileus.faces.s3.numbers import natural
from pileus.faces.s3.request import S3Request
from pileus.faces.s3.sending import send
from pileus.faces.s3.xml import answer, tag, wrap
from pileus.kernel.http import Answer
from pileus.object_store.conditions import http_date
from pileus.object_store.content import Content
from pileus.object_store.request import Refused
from pileus.object_store.service import direct, parts, reading, slo

SHOWN = frozenset({"Content-Type", "Etag", "Last-Modified", "Accept-Ranges", "Content-Range", "Content-Length"})
PARTS_SHOWN_MAX = 1000
ATTRIBUTES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")


def refused_reading(s3: S3Request, refused: Refused, version_id: str) -> S3Error:
    """Return the error for an object that is not there, telling of a marker of deletion where there is one."""
    found = of_refused(refused, s3.key, version_id)
    if refused.status == 400:
        return S3Error("InvalidArgument", "Invalid version id specified", ArgumentName="versionId", ArgumentValue=version_id)
    if refused.status != 404:
        return found
    marker = refused.headers.get("X-Object-Version-Id")
    if marker is None:
        return S3Error(found.kind, headers={}, Key=s3.key, **({"VersionId": version_id} if version_id else {}))
    headers = {"x-amz-delete-marker": "true", "x-amz-version-id": marker}
    if version_id:
        return S3Error("MethodNotAllowed", headers=headers | {"Allow": "DELETE"}, Method=s3.method, ResourceType="DeleteMarker")
    return S3Error("NoSuchKey", headers=headers, Key=s3.key)


async def open_for(s3: S3Request, bucket: Bucket, *, head: bool) -> tuple[Content, str]:
    """Open the object or version that a request means, as S3 has it, and return its version id."""
    version_id = s3.query.get("versionId", "")
    if "versionId" in s3.query and not version_id:
        raise S3Error("InvalidArgument", "Version id cannot be the empty string")
    headers = {name: value for name, value in s3.headers.items() if name not in ("x-newest", "x-web-mode")}
    req = bucket.request(s3, headers=headers)
    try:
        found = await direct.open_object(req, bucket.info, version_id, head=head)
    except Refused as refused:
        raise refused_reading(s3, refused, version_id) from refused
    return as_s3(found.content), found.version_id


async def show(s3: S3Request, bucket: Bucket) -> Any:
    """Download an object, or with HEAD describe it."""
    refuse_encryption(s3.headers)
    by_part = s3.query.get("partNumber")
    content, version_id = await open_for(s3, bucket, head=s3.method == "HEAD" and by_part is None)
    more = shown_headers(s3, content, version_id) | overridden(s3)
    if expiration := lifecycle.expiration_header(s3, bucket, content):
        more["x-amz-expiration"] = expiration
    headers = dict(s3.headers)
    if "if-none-match" in headers:
        headers.pop("if-modified-since", None)
    if "if-match" in headers:
        headers.pop("if-unmodified-since", None)
    if by_part is not None:
        try:
            headers["range"] = _range_of_part(s3, content, by_part)
        except S3Error:
            await content.source.close()
            raise
        if count := parts_count(content):
            more["x-amz-mp-parts-count"] = str(count)
            more |= await _sum_of_part(s3, bucket, content, by_part)
    if content.size_bytes == 0 and "range" in headers and by_part is not None:
        del headers["range"]
    if "range" in headers and by_part is None and "x-amz-checksum-mode" in headers:
        more = {name: value for name, value in more.items() if not name.startswith(checksums.HEADER)}
    found = await _answered(s3, bucket, content, headers)
    kept = {name: value for name, value in found.headers.items() if name in SHOWN}
    if found.status == 304:
        more = {name: value for name, value in more.items() if not name.startswith(checksums.HEADER)}
    if found.headers.get("Content-Type", "").startswith("multipart/byteranges"):
        more.pop("Content-Type", None)
    found.headers = kept | more
    if by_part is not None and s3.method == "HEAD" and "range" in headers and found.status == 200:
        found.status = 206
        first, _, last = headers["range"].removeprefix("bytes=").partition("-")
        found.headers["Content-Length"] = str(int(last) - int(first) + 1)
        found.headers["Content-Range"] = f"bytes {first}-{last}/{content.size_bytes}"
    return await send(s3, found)


async def _answered(s3: S3Request, bucket: Bucket, content: Content, headers: dict[str, str]) -> Any:
    try:
        return await reading.answer(bucket.request(s3, headers=headers), replace(content, headers={}))
    except Refused as refused:
        if refused.status == 416:
            shown = {"Content-Range": f"bytes */{content.size_bytes}"}
            range_asked = headers.get("range", "")
            raise S3Error(
                "InvalidRange", headers=shown, ActualObjectSize=str(content.size_bytes), RangeRequested=range_asked
            ) from None
        if refused.status == 412:
            raise S3Error("PreconditionFailed", headers={"ETag": content.etag}) from None
        raise


def _range_of_part(s3: S3Request, content: Content, text: str) -> str:
    if "range" in s3.headers:
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    number = natural(text) or 0
    if not 1 <= number <= parts.PART_NUMBER_MAX:
        reason = "Part number must be an integer between 1 and 10000, inclusive"
        raise S3Error("InvalidArgument", reason, ArgumentName="partNumber", ArgumentValue=text)
    lengths = _lengths(content)
    if number > len(lengths):
        if lengths or number > 1:
            counted = {"PartNumberRequested": str(number), "ActualPartCount": str(max(len(lengths), 1))}
            raise S3Error("InvalidPartNumber", headers={}, **counted)
        return f"bytes=0-{content.size_bytes - 1}"
    start = sum(lengths[: number - 1])
    return f"bytes={start}-{start + lengths[number - 1] - 1}"


async def _sum_of_part(s3: S3Request, bucket: Bucket, content: Content, text: str) -> dict[str, str]:
    """Return what headers tell of the checksum of a part, where they tell of that of the whole."""
    algorithm, source = content.sysmeta.get(body.STORED_ALGORITHM, ""), content.source
    if not checksum_asked(s3) or not algorithm or not isinstance(source, slo.Assembled):
        return {}
    if int(text) > len(source.parts):
        return {}
    number = source.parts[int(text) - 1].name.rpartition("/")[2]
    found = await parts.parts_of(bucket.request(s3), bucket.info, s3.key, content.sysmeta[parts.UPLOAD_ID])
    facts = next((part.facts for part in found if str(part.number) == number), {})
    return {checksums.HEADER + algorithm.lower(): facts[algorithm]} if algorithm in facts else {}


def _lengths(content: Content) -> list[int]:
    source = content.source
    if parts_count(content) and isinstance(source, slo.Assembled):
        return [part.length for part in source.parts]
    return []


async def attributes(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell chosen attributes of an object."""
    asked = {part.strip() for part in s3.headers.get("x-amz-object-attributes", "").split(",") if part.strip()}
    if not asked or asked - set(ATTRIBUTES):
        raise S3Error("InvalidArgument", "Invalid attribute name specified.")
    await admit(s3, bucket, Need("s3:GetObjectAttributes", "READ", of_object=True, data=True))
    content, version_id = await open_for(s3, bucket, head=False)
    await content.source.close()
    sums = checksum_headers(content.sysmeta)
    inner = tag("ETag", etag_of(content)) if "ETag" in asked else ""
    if "Checksum" in asked and sums:
        kind = sums.pop("x-amz-checksum-type")
        each = "".join(tag(f"Checksum{name.removeprefix(checksums.HEADER).upper()}", value) for name, value in sums.items())
        inner += wrap("Checksum", each + tag("ChecksumType", kind))
    if "ObjectParts" in asked and (count := parts_count(content)):
        inner += await _parts_xml(s3, bucket, content, count)
    inner += tag("StorageClass", "STANDARD") if "StorageClass" in asked else ""
    inner += tag("ObjectSize", content.size_bytes) if "ObjectSize" in asked else ""
    headers = {"Last-Modified": http_date(content.metadata.data_at.seconds)}
    headers |= {"x-amz-version-id": version_id} if version_id else {}
    return Answer(answer("GetObjectAttributesResponse", inner), 200, headers, "application/xml")


async def _parts_xml(s3: S3Request, bucket: Bucket, content: Content, count: int) -> str:
    marker = natural(s3.headers.get("x-amz-part-number-marker") or "0")
    most = natural(s3.headers.get("x-amz-max-parts") or "1000")
    if marker is None or most is None:
        raise S3Error("InvalidArgument", "A part number marker and a number of parts are numbers.")
    most = min(most, PARTS_SHOWN_MAX)
    upload_id = content.sysmeta[parts.UPLOAD_ID]
    found = await parts.parts_of(bucket.request(s3), bucket.info, s3.key, upload_id)
    rest = [part for part in found if part.number > marker]
    page = rest[:most]
    listed = ""
    if any(part.facts for part in found):
        for part in page:
            sums = "".join(tag(f"Checksum{name}", value) for name, value in part.facts.items())
            listed += wrap("Part", tag("PartNumber", part.number) + tag("Size", part.size_bytes) + sums)
    head = tag("PartsCount", count) + tag("PartNumberMarker", marker) + tag("MaxParts", most)
    head += tag("NextPartNumberMarker", page[-1].number if page else 0)
    return wrap("ObjectParts", head + tag("IsTruncated", str(len(rest) > most).lower()) + listed)
