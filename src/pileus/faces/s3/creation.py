"""Buckets made, looked at, and deleted."""

from pileus.faces.s3 import xml
from pileus.faces.s3.buckets import Bucket, is_name
from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.request import S3Request
from pileus.faces.s3.sending import nothing
from pileus.faces.s3.settings import encode_new
from pileus.kernel.http import Answer
from pileus.object_store.request import Refused
from pileus.object_store.service import access, buckets, containers, parts

NO_CHOICE = "us-east-1"
"""The region that clients name when nobody has told them of one."""
NEW = ("Acl", "Ownership", "Object-Lock")


async def create(s3: S3Request) -> Answer:
    """Make a bucket in the caller's account."""
    if not is_name(s3.bucket):
        raise S3Error("InvalidBucketName", BucketName=s3.bucket)
    if s3.who.ctx is None:
        raise S3Error("AccessDenied")
    await _check_place(s3)
    account = s3.who.account
    changes = await encode_new(s3, s3.who.project_id)
    headers = {"x-versions-enabled": "true"} if "Object-Lock" in changes else {}
    req = s3.swift(account, s3.bucket, headers=headers)
    await access.authorize_container_change(req, None)
    before = await access.container_info(req, fresh=True)
    if before is not None:
        if all(buckets.setting(before, name) == changes.get(name, "") for name in NEW):
            return nothing(200, {"Location": f"/{s3.bucket}"})
        raise S3Error("BucketAlreadyOwnedByYou", BucketName=s3.bucket)
    if await buckets.claim(req, s3.bucket, account) != account:
        raise S3Error("BucketAlreadyExists", BucketName=s3.bucket)
    try:
        await containers.create(req)
    except Refused:
        await buckets.release(s3.swift(account, s3.bucket, at=s3.store.next_timestamp(s3.cloud.clock)), s3.bucket, account)
        raise
    if changes:
        info = await access.container_info(req, fresh=True)
        if info is None:
            raise Refused(503)
        await buckets.configure(s3.swift(account, s3.bucket, at=s3.store.next_timestamp(s3.cloud.clock)), info, changes)
    return nothing(200, {"Location": f"/{s3.bucket}"})


async def _check_place(s3: S3Request) -> None:
    """Hold a wish for a region to the one there is, if it is a wish.  :raises S3Error: when another one is wanted."""
    raw = await s3.body.whole(65_536)
    if not raw:
        return
    try:
        root = xml.parse(raw)
    except xml.BadXml:
        raise S3Error("MalformedXML") from None
    if root.name != "CreateBucketConfiguration":
        raise S3Error("MalformedXML")
    wanted = root.get("LocationConstraint")
    if wanted not in ("", NO_CHOICE, s3.cloud.settings.region):
        raise S3Error("InvalidLocationConstraint", LocationConstraint=wanted)


async def head(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell that a bucket is there."""
    return nothing(200, {"x-amz-bucket-region": s3.cloud.settings.region, "Content-Type": "application/xml"})


async def delete(s3: S3Request, bucket: Bucket) -> Answer:
    """Delete a bucket that is empty; uploads that have begun in it are given up."""
    req = bucket.request(s3, "")
    info = await access.container_info(req, fresh=True)
    if info is not None and info.object_count:
        raise S3Error("BucketNotEmpty", BucketName=bucket.name)
    try:
        await containers.delete(req)
    except Refused as refused:
        if refused.status == 409:
            raise S3Error("BucketNotEmpty", BucketName=bucket.name) from None
        raise
    after = bucket.request(s3, "", at=s3.store.next_timestamp(s3.cloud.clock))
    await parts.drop_all(after, bucket.info)
    await buckets.release(after, bucket.name, bucket.account)
    return nothing()
