"""What is kept beside an object: its access control list, tags, retention, legal hold."""

from collections.abc import Mapping

from pileus.faces.s3 import acl, lock, tags
from pileus.faces.s3.buckets import Bucket, directory
from pileus.faces.s3.describing import check_acl
from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.reading import open_for, refused_reading
from pileus.faces.s3.request import S3Request
from pileus.faces.s3.sending import nothing, xml_answer
from pileus.faces.s3.settings import read_acl
from pileus.faces.s3.writing import may_bypass
from pileus.faces.s3.xml import answer, tag
from pileus.kernel.http import Answer
from pileus.object_store.content import Content
from pileus.object_store.request import Refused
from pileus.object_store.service import direct, locks


async def _peek(s3: S3Request, bucket: Bucket) -> tuple[Content, str]:
    content, version_id = await open_for(s3, bucket, head=True)
    await content.source.close()
    return content, version_id


def _version(version_id: str) -> dict[str, str]:
    return {"x-amz-version-id": version_id} if version_id else {}


async def _describe(s3: S3Request, bucket: Bucket, change: direct.Change) -> str:
    asked = s3.query.get("versionId", "")
    try:
        return await direct.describe(bucket.request(s3), bucket.info, asked, change)
    except Refused as refused:
        raise refused_reading(s3, refused, asked) from refused


async def _put(s3: S3Request, bucket: Bucket, changes: Mapping[str, str]) -> str:
    async def change(content: Content) -> Mapping[str, str]:
        return changes

    return await _describe(s3, bucket, change)


async def show_acl(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell who may do what with an object."""
    content, version_id = await _peek(s3, bucket)
    found = acl.decode(content.sysmeta.get(acl.STORED), bucket.owner)
    return xml_answer(acl.to_xml(found, directory(s3.cloud)), 200, _version(version_id))


async def set_acl(s3: S3Request, bucket: Bucket) -> Answer:
    """Set who may do what with an object."""
    content, _ = await _peek(s3, bucket)
    owner = acl.decode(content.sysmeta.get(acl.STORED), bucket.owner).owner
    given = await read_acl(s3, bucket, owner)
    check_acl(bucket, given, s3.headers)
    version_id = await _put(s3, bucket, {acl.STORED: acl.encode(given, bucket.owner)})
    return nothing(200, _version(version_id))


async def show_tags(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell an object's tags."""
    content, version_id = await _peek(s3, bucket)
    return xml_answer(tags.to_xml(tags.decode(content.sysmeta.get(tags.STORED, ""))), 200, _version(version_id))


async def set_tags(s3: S3Request, bucket: Bucket) -> Answer:
    """Set an object's tags."""
    found = tags.from_xml(await s3.document("Tagging"), tags.OBJECT_MOST)
    version_id = await _put(s3, bucket, {tags.STORED: tags.encode(found)})
    return nothing(200, _version(version_id))


async def remove_tags(s3: S3Request, bucket: Bucket) -> Answer:
    """Take an object's tags away."""
    return nothing(204, _version(await _put(s3, bucket, {tags.STORED: ""})))


def _need_lock(bucket: Bucket) -> None:
    if not bucket.is_locked:
        raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")


async def show_retention(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell until when a version is retained."""
    _need_lock(bucket)
    content, _ = await _peek(s3, bucket)
    found = locks.retention_of(content.sysmeta)
    if found is None:
        raise S3Error("NoSuchObjectLockConfiguration")
    return xml_answer(lock.retention_to_xml(found))


async def set_retention(s3: S3Request, bucket: Bucket) -> Answer:
    """Retain a version until a time."""
    _need_lock(bucket)
    new = lock.retention_from_xml(await s3.document("Retention"), s3.now)
    bypass = await may_bypass(s3, bucket, s3.key)

    async def change(content: Content) -> Mapping[str, str]:
        lock.check_change(locks.retention_of(content.sysmeta), new, s3.now, bypass)
        return {locks.RETENTION: locks.encode(new) if new else ""}

    return nothing(200, _version(await _describe(s3, bucket, change)))


async def show_hold(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell whether a version is under a legal hold."""
    _need_lock(bucket)
    content, _ = await _peek(s3, bucket)
    if locks.HOLD not in content.sysmeta:
        raise S3Error("NoSuchObjectLockConfiguration")
    return xml_answer(answer("LegalHold", tag("Status", content.sysmeta[locks.HOLD])))


async def set_hold(s3: S3Request, bucket: Bucket) -> Answer:
    """Put a version under a legal hold, or end that."""
    _need_lock(bucket)
    status = (await s3.document("LegalHold")).get("Status")
    if status not in ("ON", "OFF"):
        raise S3Error("MalformedXML")
    return nothing(200, _version(await _put(s3, bucket, {locks.HOLD: status})))
