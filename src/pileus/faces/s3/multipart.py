"""Uploads in parts."""

from dataclasses import replace
from typing import Any

from pileus.faces.s3 import acl, body, checksums, conditions, lock
from pileus.faces.s3.announced import Wanted, md5_of
from pileus.faces.s3.buckets import Bucket, directory
from pileus.faces.s3.describing import new_object, shown_encryption
from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.listing import Encoder, number_of
from pileus.faces.s3.numbers import natural
from pileus.faces.s3.request import S3Request
from pileus.faces.s3.sending import nothing, xml_answer
from pileus.faces.s3.writing import as_body, check_key, check_upload, made_header, open_source, span_of
from pileus.faces.s3.xml import Element, answer, tag, wrap
from pileus.kernel.http import Answer
from pileus.object_store.backend import ObjectMetadata
from pileus.object_store.conditions import etags
from pileus.object_store.request import Bytes
from pileus.object_store.service import direct, parts, quotas, reading, versions, writing
from pileus.object_store.service.parts import Chosen, Part, Upload
from pileus.object_store.timestamps import ZERO

COMPLETE_BYTES_MAX = 4_194_304
ALGORITHM, KIND = "X-Object-Sysmeta-S3Api-Upload-Checksum", "X-Object-Sysmeta-S3Api-Upload-Checksum-Type"
REASONS = {"upload": "NoSuchUpload", "part": "InvalidPart", "order": "InvalidPartOrder", "small": "EntityTooSmall"}


def of_unfit(unfit: parts.Unfit, upload_id: str) -> S3Error:
    """Return the error for an upload that cannot go on."""
    fields = {"UploadId": upload_id} if unfit.reason != "small" else {}
    if unfit.number:
        fields["PartNumber"] = str(unfit.number)
    if "etag" in unfit.facts:
        fields["ETag"] = unfit.facts["etag"]
    if unfit.reason == "small":
        fields |= {"ProposedSize": str(unfit.facts["size_bytes"]), "MinSizeAllowed": str(parts.PART_BYTES_MIN)}
    return S3Error(REASONS[unfit.reason], headers={}, **fields)


async def begin(s3: S3Request, bucket: Bucket) -> Answer:
    """Begin an upload."""
    check_key(s3.key)
    new = new_object(s3, bucket)
    algorithm, kind = _asked_checksum(s3)
    headers = dict(new.headers)
    if algorithm:
        headers |= {ALGORITHM: algorithm, KIND: kind}
    upload_id = await parts.begin(bucket.request(s3), bucket.info, replace(new, headers=headers), {"owner": s3.who.project_id})
    inner = tag("Bucket", s3.bucket) + tag("Key", s3.key) + tag("UploadId", upload_id)
    shown = {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind} if algorithm else {}
    shown |= shown_encryption(new.headers)
    return xml_answer(answer("InitiateMultipartUploadResult", inner), 200, shown)


def _asked_checksum(s3: S3Request) -> tuple[str, str]:
    algorithm = s3.headers.get("x-amz-checksum-algorithm", "").upper()
    kind = s3.headers.get("x-amz-checksum-type", "").upper()
    if algorithm and algorithm not in checksums.ALGORITHMS:
        raise S3Error(
            "InvalidRequest", "Checksum algorithm provided is unsupported. Please try again with any of the valid types."
        )
    if kind not in ("", checksums.WHOLE, checksums.COMPOSITE):
        raise S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    if kind and not algorithm:
        raise S3Error(
            "InvalidRequest", "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
        )
    if (kind == checksums.WHOLE and algorithm.startswith("SHA")) or (kind == checksums.COMPOSITE and algorithm == "CRC64NVME"):
        raise S3Error(
            "InvalidRequest", f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm."
        )
    return algorithm, kind or (checksums.WHOLE if algorithm == "CRC64NVME" else checksums.COMPOSITE)


def _number(s3: S3Request) -> int:
    found = natural(s3.query.get("partNumber")) or 0
    if not 1 <= found <= parts.PART_NUMBER_MAX:
        text, given = "Part number must be an integer between 1 and 10000, inclusive", s3.query.get("partNumber", "")
        raise S3Error("InvalidArgument", text, ArgumentName="partNumber", ArgumentValue=given)
    return found


async def _find(s3: S3Request, bucket: Bucket, *, write: bool = True) -> Upload:
    upload_id = s3.query.get("uploadId", "")
    if "/" in upload_id:
        raise S3Error("NoSuchUpload", UploadId=upload_id)
    return await parts.find(bucket.request(s3), bucket.info, upload_id, write=write)


def _headers(upload: Upload) -> dict[str, str]:
    return dict(upload.marker.headers) if isinstance(upload.marker, ObjectMetadata) else {}


async def put(s3: S3Request, bucket: Bucket) -> Answer:
    """Upload a part."""
    number = _number(s3)
    check_upload(s3)
    upload = await _find(s3, bucket)
    given, wanted = s3.body, _headers(upload).get(ALGORITHM, "")
    if not given.wanted.algorithm:
        given.wanted = Wanted(wanted)
    elif wanted and wanted != given.wanted.algorithm:
        text = f"Checksum Type mismatch occurred, expected checksum Type: {wanted.lower()}, actual checksum Type: "
        raise S3Error("InvalidRequest", text + given.wanted.algorithm.lower())

    def footer() -> dict[str, str]:
        facts = f"; {given.wanted.algorithm}={given.checksum}" if given.checksum else ""
        return dict(given.footer()) | ({writing.INDEX_ETAG: facts} if facts else {})

    new = writing.NewObject(writing.OCTETS, {}, given.length, md5_of(s3.headers), footer=footer)
    written = await parts.put(bucket.request(s3), bucket.info, upload, number, new, given)
    headers = {"ETag": f'"{written.etag}"'}
    if given.checksum:
        headers[checksums.HEADER + given.wanted.algorithm.lower()] = given.checksum
    return nothing(200, headers)


async def copy(s3: S3Request, bucket: Bucket) -> Answer:
    """Make a part out of an object or a range of it."""
    number = _number(s3)
    upload = await _find(s3, bucket)
    algorithm = _headers(upload).get(ALGORITHM, "")
    vouched = s3.vouched
    _, content, version_id = await open_source(s3)
    s3.vouched = vouched
    try:
        start, length = span_of(s3, content)
        made = as_body(content, start, length, algorithm)

        def footer() -> dict[str, str]:
            return made.footer() | ({writing.INDEX_ETAG: f"; {algorithm}={made.checksum}"} if made.checksum else {})

        new = writing.NewObject(writing.OCTETS, {}, length, footer=footer)
        written = await parts.put(bucket.request(s3), bucket.info, upload, number, new, made)
    finally:
        await content.source.close()
    inner = tag("LastModified", lock.to_date(s3.at.ceiling)) + tag("ETag", f'"{written.etag}"')
    inner += tag(f"Checksum{algorithm}", made.checksum) if made.checksum else ""
    headers = {"x-amz-copy-source-version-id": version_id} if version_id else {}
    return xml_answer(answer("CopyPartResult", inner), 200, headers)


def _chosen(root: Element) -> list[Chosen]:
    found = []
    for one in root.all("Part"):
        number, etag = one.get("PartNumber"), one.first("ETag")
        if natural(number) is None or etag is None:
            raise S3Error("MalformedXML")
        facts = {name: text for name in checksums.ALGORITHMS if (text := one.get(f"Checksum{name}"))}
        found.append(Chosen(int(number), "".join(etags(etag.text)), facts))
    if not found or len(found) > parts.PART_NUMBER_MAX:
        raise S3Error("MalformedXML")
    return found


async def complete(s3: S3Request, bucket: Bucket) -> Answer:
    """Make the object out of its parts."""
    if not s3.body.length:
        raise S3Error("MalformedXML")
    root = await s3.document("CompleteMultipartUpload", COMPLETE_BYTES_MAX)
    chosen, req = _chosen(root), bucket.request(s3)
    upload_id = s3.query.get("uploadId", "")
    try:
        upload = await _find(s3, bucket)
    except parts.Unfit:
        etag, sums = await _completed_before(s3, bucket, upload_id)
        if not etag or etag != _etag_of(chosen):
            raise
        return xml_answer(_result(s3, etag, sums))
    try:
        found = parts.choose(await parts.parts_of(req, bucket.info, s3.key, upload.id), chosen)
    except parts.Unfit as unfit:
        raise of_unfit(unfit, upload.id) from unfit
    if (size := s3.headers.get("x-amz-mp-object-size")) and size != str(sum(part.size_bytes for part in found)):
        raise S3Error("InvalidRequest", "The provided 'x-amz-mp-object-size' header value does not match what was computed.")
    sums = _whole_checksum(s3, _headers(upload), found)
    new, manifest = parts.as_object(bucket.info, upload, found, sums)
    headers = {name: value for name, value in new.headers.items() if name not in (ALGORITHM, KIND)}
    await quotas.check(req, bucket.info, 0)
    check = conditions.of_upload(s3.headers)
    stored = await direct.store(req, bucket.info, replace(new, headers=headers), Bytes(manifest), check)
    await parts.finish(bucket.request(s3, at=s3.store.next_timestamp(s3.cloud.clock)), bucket.info, upload, found)
    return xml_answer(_result(s3, parts.etag_of(found), sums), 200, made_header(bucket, stored))


def _etag_of(chosen: list[Chosen]) -> str:
    """Return the ETag of an object of these parts; "" when one of them is none."""
    try:
        return parts.etag_of([Part(one.number, one.etag, 0, ZERO) for one in chosen])
    except ValueError:
        return ""


async def _completed_before(s3: S3Request, bucket: Bucket, upload_id: str) -> tuple[str, dict[str, str]]:
    """Return the ETag and checksum of the object when this upload was completed already: an answer may have been lost."""
    found = await reading.open_content(bucket.request(s3, method="HEAD"), bucket.info, s3.key, head=True)
    if found is None or not upload_id or found.sysmeta.get(parts.UPLOAD_ID) != upload_id:
        return "", {}
    names = (body.STORED_ALGORITHM, body.STORED_CHECKSUM, body.STORED_TYPE)
    return found.sysmeta.get(versions.S3_ETAG, ""), {name: found.sysmeta[name] for name in names if name in found.sysmeta}


def _whole_checksum(s3: S3Request, marker: dict[str, str], found: list[Part]) -> dict[str, str]:
    """Return what is kept of the checksum of the whole.  :raises S3Error: when the request gives another."""
    algorithm, kind = marker.get(ALGORITHM, ""), marker.get(KIND, "")
    named = s3.headers.get("x-amz-checksum-type", "").upper()
    if named and named != kind:
        raise S3Error("InvalidRequest", f"The upload was created using the {kind or 'no'} checksum mode.")
    if not algorithm or any(algorithm not in part.facts for part in found):
        return {}
    if kind == checksums.COMPOSITE:
        total = checksums.composite(algorithm, (part.facts[algorithm] for part in found))
    else:
        total = checksums.combined(algorithm, ((part.facts[algorithm], part.size_bytes) for part in found))
    given = s3.headers.get(checksums.HEADER + algorithm.lower())
    if given is not None and given.partition("-")[0] != total.partition("-")[0]:
        raise S3Error("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")
    return {body.STORED_ALGORITHM: algorithm, body.STORED_CHECKSUM: total, body.STORED_TYPE: kind}


def _result(s3: S3Request, etag: str, sums: dict[str, str]) -> bytes:
    location = f"{s3.call.base_url}/{s3.bucket}/{s3.key}"
    inner = tag("Location", location) + tag("Bucket", s3.bucket) + tag("Key", s3.key) + tag("ETag", f'"{etag}"')
    if sums:
        inner += tag(f"Checksum{sums[body.STORED_ALGORITHM]}", sums[body.STORED_CHECKSUM])
        inner += tag("ChecksumType", sums[body.STORED_TYPE])
    return answer("CompleteMultipartUploadResult", inner)


async def abort(s3: S3Request, bucket: Bucket) -> Answer:
    """Give an upload up."""
    upload = await _find(s3, bucket)
    await parts.abort(bucket.request(s3), bucket.info, upload)
    return nothing()


def _owner(s3: S3Request, bucket: Bucket, upload: Upload) -> str:
    who = directory(s3.cloud)
    owner = upload.facts.get("owner") or acl.decode(_headers(upload).get(acl.STORED), bucket.owner).owner
    return acl.owner_xml(owner, who, "Initiator") + acl.owner_xml(owner, who)


async def list_parts(s3: S3Request, bucket: Bucket) -> Answer:
    """List the parts that are there."""
    upload = await _find(s3, bucket, write=False)
    most, marker = number_of(s3, "max-parts", 1000), number_of(s3, "part-number-marker", 0, parts.PART_NUMBER_MAX)
    encoder = Encoder(s3)
    rest = [part for part in await parts.parts_of(bucket.request(s3), bucket.info, s3.key, upload.id) if part.number > marker]
    page = rest[:most]
    inner = tag("Bucket", s3.bucket) + tag("Key", encoder(s3.key)) + tag("UploadId", upload.id) + _owner(s3, bucket, upload)
    inner += tag("StorageClass", "STANDARD") + tag("PartNumberMarker", marker)
    inner += tag("NextPartNumberMarker", page[-1].number if page else 0) + tag("MaxParts", most)
    inner += tag("IsTruncated", str(len(rest) > most).lower())
    if algorithm := _headers(upload).get(ALGORITHM):
        inner += tag("ChecksumAlgorithm", algorithm) + tag("ChecksumType", _headers(upload).get(KIND, ""))
    for part in page:
        sums = "".join(tag(f"Checksum{name}", value) for name, value in part.facts.items())
        shown = tag("PartNumber", part.number) + tag("LastModified", lock.to_date(part.modified_at.seconds))
        inner += wrap("Part", shown + tag("ETag", f'"{part.etag}"') + tag("Size", part.size_bytes) + sums)
    return xml_answer(answer("ListPartsResult", inner))


async def list_uploads(s3: S3Request, bucket: Bucket) -> Answer:
    """List the uploads that have begun."""
    encoder, query = Encoder(s3), s3.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    key_marker, id_marker = query.get("key-marker", ""), query.get("upload-id-marker", "") if query.get("key-marker") else ""
    most = number_of(s3, "max-uploads", 1000)
    rows: list[tuple[str, Any]] = []
    for upload in await parts.uploads(bucket.request(s3), bucket.info, prefix):
        end = upload.key.find(delimiter, len(prefix)) if delimiter else -1
        folder = upload.key[: end + len(delimiter)] if end >= 0 else ""
        past = upload.key > key_marker or (upload.key == key_marker and bool(id_marker) and upload.id > id_marker)
        if not past or (folder and (folder <= key_marker or (rows and rows[-1][0] == folder))):
            continue
        rows.append((folder, None) if folder else (upload.key, upload))
    page = rows[:most]
    inner = tag("Bucket", s3.bucket) + tag("KeyMarker", encoder(key_marker)) + tag("UploadIdMarker", id_marker)
    last_id = page[-1][1].id if page and page[-1][1] else ""
    inner += tag("NextKeyMarker", encoder(page[-1][0]) if page else "") + tag("NextUploadIdMarker", last_id)
    inner += tag("Prefix", encoder(prefix)) + (tag("Delimiter", encoder(delimiter)) if delimiter else "") + encoder.note
    inner += tag("MaxUploads", most) + tag("IsTruncated", str(len(rows) > most).lower())
    for key, upload in page:
        if upload is None:
            inner += wrap("CommonPrefixes", tag("Prefix", encoder(key)))
            continue
        shown = tag("Key", encoder(key)) + tag("UploadId", upload.id) + _owner(s3, bucket, upload)
        begun = lock.to_date(upload.begun_at.seconds)
        inner += wrap("Upload", shown + tag("StorageClass", "STANDARD") + tag("Initiated", begun))
    return xml_answer(answer("ListMultipartUploadsResult", inner))
