"""AWS signatures of version 2: HMAC-SHA1 of a few headers and the resource, in a header or in the query.  Pure."""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz

from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.numbers import natural

SUBRESOURCES = frozenset(
    {
        "accelerate", "acl", "analytics", "attributes", "cors", "defaultObjectAcl", "delete", "encryption", "inventory",
        "legal-hold", "lifecycle", "location", "logging", "metrics", "notification", "object-lock", "ownershipControls",
        "partNumber", "policy", "policyStatus", "publicAccessBlock", "replication", "requestPayment",
        "response-cache-control", "response-content-disposition", "response-content-encoding",
        "response-content-language", "response-content-type", "response-expires", "restore", "retention", "select",
        "select-type", "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """A signature; expires_at, epoch seconds, is that of a presigned URL."""

    access: str
    signature: str
    date: str
    at: float
    expires_at: int | None = None


def from_header(headers: Mapping[str, str]) -> Claim:
    """Read the header Authorization.  :raises S3Error: when it is malformed."""
    access, colon, signature = headers["authorization"].removeprefix("AWS ").strip().rpartition(":")
    if not colon or not access or not signature:
        raise S3Error("InvalidArgument", "Unsupported Authorization Type")
    parsed = parsedate_tz(headers["x-amz-date"] if "x-amz-date" in headers else headers.get("date", ""))
    if parsed is None or mktime_tz(parsed) < 0:
        raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    date = "" if "x-amz-date" in headers else headers.get("date", "")
    return Claim(access, signature, date, float(mktime_tz(parsed)))


def from_query(query: Mapping[str, str]) -> Claim:
    """Read the parameters of a presigned URL.  :raises S3Error: when one of them is missing."""
    text = query.get("Expires", "")
    expires_at = natural(text)
    if not query.get("Signature") or expires_at is None:
        raise S3Error("AccessDenied", "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters")
    return Claim(query["AWSAccessKeyId"], query["Signature"], text, 0.0, expires_at)


def string_to_sign(
    claim: Claim, method: str, resource: str, pairs: Iterable[tuple[str, str]], headers: Mapping[str, str], presigned: bool
) -> str:
    """Return what is signed; resource is the path with the bucket in it, as it came."""
    amz = sorted((name, value.strip()) for name, value in headers.items() if name.startswith("x-amz-"))
    lines = "".join(f"{name}:{value}\n" for name, value in amz)
    named = sorted((key, value) for key, value in pairs if key in SUBRESOURCES)
    query = "&".join(f"{key}={value}" if value else key for key, value in named)
    where = f"{resource}?{query}" if query else resource
    md5, kind = headers.get("content-md5", ""), headers.get("content-type", "")
    return f"{method}\n{md5}\n{kind}\n{claim.date}\n{lines}{where}"


def sign(secret: str, text: str) -> str:
    """Return a signature."""
    return base64.b64encode(hmac.new(secret.encode(), text.encode("utf-8", "replace"), hashlib.sha1).digest()).decode()
