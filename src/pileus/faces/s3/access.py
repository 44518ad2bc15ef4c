"""Whether a request may go on: the bucket's policy, who owns the bucket, access control lists, and Swift's own lists."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pileus.faces.s3 import acl, policy, tags
from pileus.faces.s3.buckets import Bucket
from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.request import S3Request
from pileus.kernel.clock import to_iso
from pileus.object_store.content import Content
from pileus.object_store.request import Refused
from pileus.object_store.service import access, direct

ROOT_ACTIONS = frozenset({"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"})
BLOCK_POLICY, IGNORE_ACLS, BLOCK_ACLS = "RestrictPublicBuckets", "IgnorePublicAcls", "BlockPublicAcls"


@dataclass(frozen=True)
class Need:
    """What a request needs to go on.

    :param action: as policies name it.
    :param permission: of the access control list that gives it; "": none does.
    :param of_object: whether that is the object's list.
    :param data: whether Swift's own access lists of the container let in, too.
    """

    action: str
    permission: str = ""
    of_object: bool = False
    data: bool = False

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.permission in (acl.WRITE, acl.WRITE_ACP) or not self.action.startswith(("s3:Get", "s3:List", "s3:Head"))


async def admit(s3: S3Request, bucket: Bucket, need: Need, key: str | None = None) -> None:
    """Let a request go on, on the right ground.  :raises S3Error: AccessDenied."""
    key = s3.key if key is None else key
    caller, s3.vouched = s3.who.caller, ""
    owns = caller.owns(bucket.account) or caller.administers(bucket.account)
    said = ""
    if bucket.statements and not (owns and need.action in ROOT_ACTIONS):
        said = policy.verdict(bucket.statements, await _asked(s3, bucket, need, key))
        if said == policy.DENY:
            raise S3Error("AccessDenied")
        if BLOCK_POLICY in bucket.blocks and policy.is_public(bucket.statements) and s3.who.project_id != bucket.owner:
            said = ""
    if owns or (not need.writes and caller.reads(bucket.account)):
        return
    if said == policy.ALLOW and need.of_object:
        await _tell_of_absence(s3, bucket, key)
    if said == policy.ALLOW or (need.permission and await _acl_gives(s3, bucket, need, key)):
        s3.vouched = f"{bucket.account}/{bucket.name}"
        return
    if not need.data:
        raise S3Error("AccessDenied")
    listing = need.action.startswith("s3:List")
    try:
        await access.authorize(bucket.request(s3, key), bucket.info, write=need.writes, listing=listing)
    except Refused:
        raise S3Error("AccessDenied") from None


def _speaks_for_project(s3: S3Request, need: Need) -> bool:
    """Tell whether what is granted to a project is granted to the caller: as far as their role goes in it."""
    who = s3.who
    return bool(who.ctx) and (who.caller.owns(who.account) or (not need.writes and who.caller.reads(who.account)))


async def _acl_gives(s3: S3Request, bucket: Bucket, need: Need, key: str) -> bool:
    project_id = s3.who.project_id
    if project_id == bucket.owner or not _speaks_for_project(s3, need):
        project_id = ""  # in their own project roles decide, not lists
    if bucket.ownership == "BucketOwnerEnforced":
        return False
    if not need.of_object:
        found = bucket.acl
    else:
        content = await peek(s3, bucket, key)
        if content is None:
            if await _may_list(s3, bucket, key, project_id):
                raise S3Error("NoSuchKey", Key=key)
            return False
        found = acl.decode(content.sysmeta.get(acl.STORED), bucket.owner)
    if IGNORE_ACLS in bucket.blocks:
        found = found.without_public()
    return found.gives(need.permission, project_id)


async def _may_list(s3: S3Request, bucket: Bucket, key: str, project_id: str) -> bool:
    """Tell whether the caller may list the bucket: only they are told that an object is not there."""
    if bucket.acl.gives(acl.READ, project_id):
        return True
    asked = await _asked(s3, bucket, Need("s3:ListBucket", acl.READ), "")
    facts = {**asked.facts, "s3:prefix": (key,)}
    return policy.verdict(bucket.statements, replace(asked, facts=facts)) == policy.ALLOW


async def _tell_of_absence(s3: S3Request, bucket: Bucket, key: str) -> None:
    """Refuse a request for an object that is not there, if the caller may not know that.  :raises S3Error: AccessDenied."""
    if await peek(s3, bucket, key) is None and not await _may_list(s3, bucket, key, s3.who.project_id):
        raise S3Error("AccessDenied")


async def peek(s3: S3Request, bucket: Bucket, key: str) -> Content | None:
    """Return what is known of an object (or the version asked for); None when there is none."""
    vouched, s3.vouched = s3.vouched, f"{bucket.account}/{bucket.name}"
    try:
        version_id = s3.query.get("versionId", "") if key == s3.key else ""
        found = await direct.open_object(bucket.request(s3, key, method="HEAD"), bucket.info, version_id, head=True)
    except Refused as refused:
        if refused.status not in (400, 404):
            raise
        return None
    finally:
        s3.vouched = vouched
    await found.content.source.close()
    return found.content


def principals(s3: S3Request, need: Need | None) -> frozenset[str]:
    """Return the names by which policies mean the caller: of the user, and of the project.

    :param need: what for; that of the project is left out unless they speak for it there.  None: all names.
    """
    ctx = s3.who.ctx
    if ctx is None:
        return frozenset()
    project = ctx.project_id
    users = {f"{project}:user/{ctx.user_id}", f"{project}:user/{ctx.user_name}"}
    return frozenset(users | {f"{project}:root"} if need is None or _speaks_for_project(s3, need) else users)


async def _asked(s3: S3Request, bucket: Bucket, need: Need, key: str) -> policy.Asked:
    facts = _facts(s3)
    if key and policy.mentions(bucket.statements, "s3:existingobjecttag/"):
        content = await peek(s3, bucket, key)
        for name, value in tags.decode(content.sysmeta.get(tags.STORED, "") if content else "").items():
            facts[f"s3:existingobjecttag/{name}"] = (value,)
    resource = policy.RESOURCE + bucket.name + (f"/{key}" if key else "")
    return policy.Asked(need.action, resource, principals(s3, need), facts, principals(s3, None))


def _facts(s3: S3Request) -> dict[str, tuple[str, ...]]:
    """Return what conditions may ask for, by names in lower case."""
    headers, ctx = s3.headers, s3.who.ctx
    found: dict[str, tuple[str, ...]] = {
        "aws:sourceip": (s3.call.client,),
        "aws:securetransport": (str(s3.call.root_url.startswith("https:")).lower(),),
        "aws:currenttime": (to_iso(s3.now),),
        "aws:epochtime": (str(int(s3.now)),),
        "s3:signatureversion": ("AWS4-HMAC-SHA256" if s3.who.signed.key else "AWS",),
        "s3:authtype": ("REST-QUERY-STRING" if "X-Amz-Signature" in s3.query else "REST-HEADER",),
    }
    given: Mapping[str, str | None] = {
        "aws:referer": headers.get("referer"),
        "aws:useragent": headers.get("user-agent"),
        "aws:username": ctx.user_name if ctx else None,
        "aws:userid": ctx.user_id if ctx else None,
        "aws:principalaccount": ctx.project_id if ctx else None,
        "s3:prefix": s3.query.get("prefix"),
        "s3:delimiter": s3.query.get("delimiter"),
        "s3:max-keys": s3.query.get("max-keys"),
        "s3:versionid": s3.query.get("versionId"),
        "s3:object-lock-mode": headers.get("x-amz-object-lock-mode"),
        "s3:object-lock-legal-hold": headers.get("x-amz-object-lock-legal-hold"),
        "s3:object-lock-retain-until-date": headers.get("x-amz-object-lock-retain-until-date"),
    }
    found |= {key: (value,) for key, value in given.items() if value is not None}
    for name in headers:
        if name.startswith("x-amz-") and name not in ("x-amz-tagging", "x-amz-date"):
            found[f"s3:{name}"] = (headers[name].removeprefix("/") if name == "x-amz-copy-source" else headers[name],)
    asked = s3.facts.get("asked_tags")
    if asked is None and "x-amz-tagging" in headers:
        asked = tags.from_header(headers["x-amz-tagging"])
    if asked is not None:
        found["s3:requestobjecttagkeys"] = tuple(asked)
        found |= {f"s3:requestobjecttag/{name}": (value,) for name, value in asked.items()}
    return found
