"""What is set on a bucket, one subresource after the other: read, written, removed."""

from pileus.faces.s3 import acl, cors, lifecycle, lock, policy, tags
from pileus.faces.s3.buckets import Bucket, directory
from pileus.faces.s3.describing import AES256, check_acl, is_at_rest
from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.request import S3Request
from pileus.faces.s3.sending import nothing, xml_answer
from pileus.faces.s3.xml import answer, tag, wrap
from pileus.kernel.http import Answer
from pileus.object_store.service import buckets, containers, versions

BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
OWNERSHIPS = ("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter")


async def _set(s3: S3Request, bucket: Bucket, **changes: str) -> None:
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    req = bucket.request(s3, "")
    await buckets.configure(req, bucket.info, named)
    if any(named.values()):
        await buckets.claim(req, bucket.name, bucket.account)


async def show_location(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell where a bucket is."""
    region = s3.cloud.settings.region
    return xml_answer(answer("LocationConstraint", "" if region == "us-east-1" else region))


async def show_acl(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell who may do what with a bucket."""
    return xml_answer(acl.to_xml(bucket.acl, directory(s3.cloud)))


async def read_acl(s3: S3Request, bucket: Bucket, owner: str) -> acl.Acl:
    """Return the list in a request, that of a bucket or an object of this owner.  :raises S3Error: when it is none."""
    known = directory(s3.cloud)
    given = acl.from_headers(s3.headers, owner, bucket.owner, known)
    if given is None:
        given = acl.from_xml(await s3.document("AccessControlPolicy", code="MalformedACLError"), known)
        if given.owner != owner:
            raise S3Error("AccessDenied")
    check_acl(bucket, given, s3.headers)
    return given


async def set_acl(s3: S3Request, bucket: Bucket) -> Answer:
    """Set who may do what with a bucket."""
    given = await read_acl(s3, bucket, bucket.acl.owner)
    await _set(s3, bucket, Acl=acl.encode(given, bucket.owner))
    return nothing(200)


async def show_cors(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell what pages of other origins may do."""
    if not (text := bucket.setting("Cors")):
        raise S3Error("NoSuchCORSConfiguration", BucketName=bucket.name)
    return xml_answer(cors.to_xml(cors.decode(text)))


async def set_cors(s3: S3Request, bucket: Bucket) -> Answer:
    """Set what pages of other origins may do."""
    rules = cors.from_xml(await s3.document("CORSConfiguration", 65_536))
    await _set(s3, bucket, Cors=cors.encode(rules))
    return nothing(200)


async def remove_cors(s3: S3Request, bucket: Bucket) -> Answer:
    """Let pages of other origins do nothing."""
    await _set(s3, bucket, Cors="")
    return nothing()


async def show_policy(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell a bucket's policy."""
    if not (text := bucket.setting("Policy")):
        raise S3Error("NoSuchBucketPolicy", BucketName=bucket.name)
    return Answer(text.encode(), 200, {}, "application/json")


async def set_policy(s3: S3Request, bucket: Bucket) -> Answer:
    """Set a bucket's policy."""
    raw = await s3.body.whole(policy.BYTES_MAX)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise S3Error("MalformedPolicy") from None
    statements = policy.parse(text, bucket.name)
    if "BlockPublicPolicy" in bucket.blocks and policy.is_public(statements):
        raise S3Error("AccessDenied")
    await _set(s3, bucket, Policy=text)
    return nothing()


async def remove_policy(s3: S3Request, bucket: Bucket) -> Answer:
    """Take a bucket's policy away."""
    await _set(s3, bucket, Policy="")
    return nothing()


async def show_policy_status(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell whether a bucket is open to everybody."""
    by_acl = bucket.acl.is_public and not {"IgnorePublicAcls"} & bucket.blocks
    by_policy = policy.is_public(bucket.statements) and "RestrictPublicBuckets" not in bucket.blocks
    return xml_answer(answer("PolicyStatus", tag("IsPublic", str(by_acl or by_policy).lower())))


async def show_tags(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell a bucket's tags."""
    if not (text := bucket.setting(tags.SETTING)):
        raise S3Error("NoSuchTagSet", BucketName=bucket.name)
    return xml_answer(tags.to_xml(tags.decode(text)))


async def set_tags(s3: S3Request, bucket: Bucket) -> Answer:
    """Set a bucket's tags."""
    found = tags.from_xml(await s3.document("Tagging"), tags.BUCKET_MOST)
    await _set(s3, bucket, Tagging=tags.encode(found))
    return nothing()


async def remove_tags(s3: S3Request, bucket: Bucket) -> Answer:
    """Take a bucket's tags away."""
    await _set(s3, bucket, Tagging="")
    return nothing()


async def show_versioning(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell whether versions are kept."""
    return xml_answer(answer("VersioningConfiguration", tag("Status", bucket.versioning) if bucket.versioning else ""))


async def set_versioning(s3: S3Request, bucket: Bucket) -> Answer:
    """Begin to keep versions, or suspend that."""
    root = await s3.document("VersioningConfiguration")
    status = root.get("Status")
    if status not in ("Enabled", "Suspended"):
        raise S3Error("MalformedXML")
    if root.get("MfaDelete") == "Enabled":
        raise S3Error("NotImplemented", "MFA delete is not implemented.")
    if bucket.is_locked and status == "Suspended":
        text = "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
        raise S3Error("InvalidBucketState", text)
    if bucket.info.metadata.get(versions.LOCATION):
        raise S3Error("InvalidBucketState", "The container keeps old versions in Swift's older way.")
    if status == "Enabled" or bucket.keeps_versions:
        await _keep_versions(s3, bucket, status == "Enabled")
    else:
        await _keep_versions(s3, bucket, True)
        await _keep_versions(s3, bucket, False)
    return nothing(200)


async def _keep_versions(s3: S3Request, bucket: Bucket, on: bool) -> None:
    at = s3.store.next_timestamp(s3.cloud.clock)
    await containers.update(bucket.request(s3, "", headers={"x-versions-enabled": str(on).lower()}, at=at))


async def show_lock(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell how long versions are retained by default."""
    if not bucket.is_locked:
        raise S3Error("ObjectLockConfigurationNotFoundError", BucketName=bucket.name)
    return xml_answer(lock.rule_to_xml(lock.rule_of(bucket)))


async def set_lock(s3: S3Request, bucket: Bucket) -> Answer:
    """Enable object lock, and set how long versions are retained by default."""
    rule = lock.rule_from_xml(await s3.document("ObjectLockConfiguration"))
    if bucket.versioning != "Enabled":
        raise S3Error("InvalidBucketState", "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration")
    await _set(s3, bucket, Object_Lock=lock.encode(rule))
    return nothing(200)


async def show_lifecycle(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell when what vanishes."""
    if not (text := bucket.setting(lifecycle.SETTING)):
        raise S3Error("NoSuchLifecycleConfiguration", BucketName=bucket.name)
    return xml_answer(lifecycle.to_xml(lifecycle.decode(text)))


async def set_lifecycle(s3: S3Request, bucket: Bucket) -> Answer:
    """Set when what vanishes."""
    rules = lifecycle.from_xml(await s3.document("LifecycleConfiguration"))
    await _set(s3, bucket, Lifecycle=lifecycle.encode(rules))
    return nothing(200)


async def remove_lifecycle(s3: S3Request, bucket: Bucket) -> Answer:
    """Let nothing vanish."""
    await _set(s3, bucket, Lifecycle="")
    return nothing()


async def show_ownership(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell who owns objects."""
    if not bucket.ownership:
        raise S3Error("OwnershipControlsNotFoundError", BucketName=bucket.name)
    return xml_answer(answer("OwnershipControls", wrap("Rule", tag("ObjectOwnership", bucket.ownership))))


async def set_ownership(s3: S3Request, bucket: Bucket) -> Answer:
    """Set who owns objects."""
    root = await s3.document("OwnershipControls")
    rules = list(root.all("Rule"))
    if len(rules) != 1 or rules[0].get("ObjectOwnership") not in OWNERSHIPS:
        raise S3Error("MalformedXML")
    if rules[0].get("ObjectOwnership") == "BucketOwnerEnforced" and bucket.acl != acl.private(bucket.owner):
        raise S3Error("InvalidBucketAclWithObjectOwnership")
    await _set(s3, bucket, Ownership=rules[0].get("ObjectOwnership"))
    return nothing(200)


async def remove_ownership(s3: S3Request, bucket: Bucket) -> Answer:
    """Leave objects to those who write them."""
    await _set(s3, bucket, Ownership="")
    return nothing()


async def show_block(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell what of public access is blocked."""
    if not bucket.setting("Public-Access-Block"):
        raise S3Error("NoSuchPublicAccessBlockConfiguration", BucketName=bucket.name)
    inner = "".join(tag(name, str(name in bucket.blocks).lower()) for name in BLOCKS)
    return xml_answer(answer("PublicAccessBlockConfiguration", inner))


async def set_block(s3: S3Request, bucket: Bucket) -> Answer:
    """Set what of public access is blocked."""
    root = await s3.document("PublicAccessBlockConfiguration")
    chosen = [name for name in BLOCKS if root.get(name).lower() == "true"]
    await _set(s3, bucket, Public_Access_Block=" ".join(["set", *chosen]))
    return nothing(200)


async def remove_block(s3: S3Request, bucket: Bucket) -> Answer:
    """Block no public access."""
    await _set(s3, bucket, Public_Access_Block="")
    return nothing()


async def show_encryption(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell how new objects are encrypted."""
    if not is_at_rest(s3):
        raise S3Error("ServerSideEncryptionConfigurationNotFoundError", BucketName=bucket.name)
    chosen = wrap("ApplyServerSideEncryptionByDefault", tag("SSEAlgorithm", AES256))
    rule = wrap("Rule", chosen + tag("BucketKeyEnabled", "false"))
    return xml_answer(answer("ServerSideEncryptionConfiguration", rule))


async def set_encryption(s3: S3Request, bucket: Bucket) -> Answer:
    """Have new objects encrypted with the object store's own keys, as they are where it has any."""
    root = await s3.document("ServerSideEncryptionConfiguration")
    rules = list(root.all("Rule"))
    chosen = rules[0].first("ApplyServerSideEncryptionByDefault") if len(rules) == 1 else None
    if chosen is None or chosen.get("SSEAlgorithm") not in (AES256, "aws:kms", "aws:kms:dsse"):
        raise S3Error("MalformedXML")
    if chosen.get("SSEAlgorithm") != AES256 or not is_at_rest(s3):
        raise S3Error("NotImplemented", "Server side encryption of this kind is not implemented.")
    return nothing(200)


async def remove_encryption(s3: S3Request, bucket: Bucket) -> Answer:
    """Have new objects encrypted as by default."""
    return nothing()


async def show_payer(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell who pays."""
    return xml_answer(answer("RequestPaymentConfiguration", tag("Payer", "BucketOwner")))


async def show_logging(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell where access is logged to: nowhere."""
    return xml_answer(answer("BucketLoggingStatus"))


async def show_notification(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell whom news go to: nobody."""
    return xml_answer(answer("NotificationConfiguration"))


async def show_acceleration(s3: S3Request, bucket: Bucket) -> Answer:
    """Tell whether transfers are accelerated: they are not."""
    return xml_answer(answer("AccelerateConfiguration"))


async def encode_new(s3: S3Request, owner: str) -> dict[str, str]:
    """Return the settings that the headers of a request give a new bucket."""
    headers = s3.headers
    found: dict[str, str] = {}
    ownership = headers.get("x-amz-object-ownership", "")
    if ownership and ownership not in OWNERSHIPS:
        raise S3Error("InvalidArgument", "Invalid x-amz-object-ownership header", ArgumentName="x-amz-object-ownership")
    given = acl.from_headers(headers, owner, owner, directory(s3.cloud))
    if ownership:
        found["Ownership"] = ownership
        if ownership == "BucketOwnerEnforced" and given is not None and given != acl.private(owner):
            raise S3Error("InvalidBucketAclWithObjectOwnership")
    if given is not None:
        found[acl.SETTING] = acl.encode(given, owner)
    if headers.get("x-amz-bucket-object-lock-enabled", "").lower() == "true":
        found["Object-Lock"] = lock.encode(lock.Rule())
    return found
