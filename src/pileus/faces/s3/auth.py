"""Who asks: the holder of an EC2 key pair of identity, who signed the request; or nobody known."""

import asyncio
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from pileus.faces.s3 import sigv2, sigv4
from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.sigv4 import Signed
from pileus.identity.service import credentials, tokens
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import Fault
from pileus.kernel.http import Call
from pileus.object_store.caller import KEYSTONE_PREFIX, NOBODY, Caller
from pileus.object_store.conditions import parse_date

SKEW_SECONDS = 900


@dataclass(frozen=True)
class Who:
    """Who asks."""

    ctx: Context | None = None
    access: str = ""
    signed: Signed = field(default_factory=Signed)

    @property
    def project_id(self) -> str:
        """Their project; "" when nobody knows them."""
        return self.ctx.project_id if self.ctx else ""

    @property
    def account(self) -> str:
        """Their project's account."""
        return KEYSTONE_PREFIX + self.project_id if self.ctx else ""

    @property
    def caller(self) -> Caller:
        """Them, as the object store sees them."""
        return Caller(ctx=self.ctx) if self.ctx else NOBODY


def is_signed(headers: Mapping[str, str], query: str) -> bool:
    """Tell whether a request carries an AWS signature; query: as it came."""
    given = headers.get("authorization", "")
    return given.startswith(("AWS ", sigv4.ALGORITHM)) or "X-Amz-Signature=" in query or "AWSAccessKeyId=" in query


async def identify(call: Call, bucket_of_host: str) -> Who:
    """Find out who asks.

    :param bucket_of_host: the bucket that the host's name names, "" where it is in the path.
    :raises S3Error: when a signature is not good.
    """
    given, query = call.headers.get("authorization", ""), dict(call.query.pairs)
    presigned = "X-Amz-Signature" in query or "X-Amz-Algorithm" in query
    if given.startswith(sigv4.ALGORITHM) or presigned:
        claim = sigv4.from_query(query) if presigned else sigv4.from_header(call.headers, parse_date(call.headers.get("date")))
        return await _check_v4(call, claim)
    if given.startswith("AWS ") or "AWSAccessKeyId" in query:
        presigned = not given
        return await _check_v2(call, sigv2.from_query(query) if presigned else sigv2.from_header(call.headers), bucket_of_host)
    if given:
        raise S3Error("InvalidArgument", "Unsupported Authorization Type")
    return Who()


async def _check_v4(call: Call, claim: sigv4.Claim) -> Who:
    now = call.cloud.clock.now()
    _check_time(claim.at, now, claim.expires_seconds)
    if missing := sigv4.unsigned_headers(claim, call.headers):
        text = "There were headers present in the request which were not signed"
        raise S3Error("AccessDenied", text, HeadersNotSigned=", ".join(missing))
    secret, ctx = await holder(call.cloud, claim.access)
    payload = call.headers.get("x-amz-content-sha256", "")
    if claim.expires_seconds is not None:
        payload = payload if "x-amz-content-sha256" in claim.signed else sigv4.UNSIGNED
    elif not payload:
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    if claim.expires_seconds is None and not sigv4.is_payload(payload):
        reason = f"x-amz-content-sha256 must be {sigv4.UNSIGNED}, {', '.join(sigv4.CHUNKED)}, or a valid sha256 value."
        raise S3Error("InvalidArgument", reason, ArgumentName="x-amz-content-sha256", ArgumentValue=payload)
    query, key = sigv4.canonical_query(call.query.pairs), claim.key(secret)
    text = canonical = ""
    paths = _paths(call)
    for path in dict.fromkeys((*map(sigv4.canonical_path, paths), *paths)):  # some sign it encoded in ways of their own
        canonical = sigv4.canonical_request(claim, call.method, path, query, call.headers, payload)
        text = sigv4.string_to_sign(claim, canonical)
        if hmac.compare_digest(sigv4.sign(key, text).encode(), claim.signature.encode()):
            payload = payload if claim.expires_seconds is None else ""
            signed = Signed(claim.access, payload, key, claim.scope, claim.stamp, claim.signature, canonical)
            return Who(ctx, claim.access, signed)
    raise sigv4.mismatch(claim.access, text, claim.signature, canonical)


def _paths(call: Call) -> tuple[str, ...]:
    """Return the paths that may have been signed: as it came; that of the root may have come without its slash."""
    path = call.path_url[len(call.root_url) :]
    return (path, path[:-1]) if call.path_url == call.base_url + "/" and len(path) > 1 else (path,)


async def _check_v2(call: Call, claim: sigv2.Claim, bucket_of_host: str) -> Who:
    now = call.cloud.clock.now()
    if claim.expires_at is None:
        _check_time(claim.at, now, None)
    elif claim.expires_at < now:
        raise S3Error("AccessDenied", "Request has expired")
    secret, ctx = await holder(call.cloud, claim.access)
    within = call.path_url[len(call.base_url) :] or "/"
    lead = f"/{bucket_of_host}" if bucket_of_host else ""
    presigned = claim.expires_at is not None
    candidates = [lead + within, *(lead + path for path in _paths(call))]
    # a bucket itself is signed with a slash at its end, whether the request has one or not
    candidates += [f"{one}/" for one in candidates if not one.endswith("/")]
    for resource in dict.fromkeys(candidates):
        text = sigv2.string_to_sign(claim, call.method, resource, call.query.pairs, call.headers, presigned)
        if hmac.compare_digest(sigv2.sign(secret, text).encode(), claim.signature.encode()):
            return Who(ctx, claim.access, Signed(claim.access))
    raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=claim.access)


def _check_time(at: float, now: float, expires_seconds: int | None) -> None:
    """Hold a signature to its time.  :raises S3Error: when it is not yet, or no longer, valid."""
    if expires_seconds is not None:
        if now > at + expires_seconds:
            raise S3Error("AccessDenied", "Request has expired")
        if at > now + SKEW_SECONDS:
            raise S3Error("AccessDenied", "Request is not yet valid")
    elif abs(now - at) > SKEW_SECONDS:
        raise S3Error("RequestTimeTooSkewed")


async def holder(cloud: Cloud, access: str) -> tuple[str, Context]:
    """Return the secret of an access key, and its holder.  :raises S3Error: when there is none, or the holder is disabled."""
    if cloud.db.is_sqlite:
        return _find(cloud, access)
    return await asyncio.to_thread(_find, cloud, access)


def _find(cloud: Cloud, access: str) -> tuple[str, Context]:
    key = credentials.find_ec2(cloud, access)
    if key is None or not key.secret or not key.project_id or key.is_lent:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access)
    try:
        return key.secret, tokens.context_of(cloud, key.user_id, key.project_id)
    except Fault as fault:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access) from fault
