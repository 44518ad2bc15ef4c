"""AWS signatures of version 4: in the header Authorization or in the query.  Pure.

What is signed is the method, the path, the query, some headers and the digest of the body, with a key that is derived from the
secret, the date, the region and the service.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, unquote

from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.numbers import natural

ALGORITHM = "AWS4-HMAC-SHA256"
SAFE = "-_.~"
SPACES = re.compile(r"\s+")
STAMP = re.compile("([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z")
UNSIGNED = "UNSIGNED-PAYLOAD"
CHUNKED_UNSIGNED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
CHUNKED = (CHUNKED_UNSIGNED, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER")
SHA256 = re.compile("[0-9a-fA-F]{64}")
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
EXPIRES_SECONDS_MAX = 604_800
MALFORMED = "The authorization header is malformed; "


@dataclass(frozen=True)
class Claim:
    """A signature, and what it is said to be of.

    :param at: when it was made, epoch seconds; stamp is the same in the form YYYYMMDDTHHMMSSZ.
    :param expires_seconds: how long it is valid; None: it is not presigned.
    """

    access: str
    date: str
    region: str
    service: str
    signed: tuple[str, ...]
    signature: str
    stamp: str
    at: float
    expires_seconds: int | None = None

    @property
    def scope(self) -> str:
        """Where the key is good."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"

    def key(self, secret: str) -> bytes:
        """Return the key."""
        return derive(secret, self.date, self.region, self.service)


def _seconds(stamp: str) -> float:
    match = STAMP.fullmatch(stamp)
    try:
        if match:
            return datetime(*map(int, match.groups()), tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]
    except ValueError:
        pass
    raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")


def parse_credential(text: str, code: str) -> tuple[str, str, str, str]:
    """Return the access key, date, region and service of a credential.  :raises S3Error: with the code, when it is none."""
    parts = text.rsplit("/", 4)
    if len(parts) != 5 or not parts[0] or parts[4] != "aws4_request" or parts[3] != "s3":
        wanted = '"<YOUR-AKID>/YYYYMMDD/REGION/s3/aws4_request"'
        raise S3Error(code, f"Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting {wanted}.")
    return parts[0], parts[1], parts[2], parts[3]


def from_header(headers: Mapping[str, str], http_date: float | None) -> Claim:
    """Read the header Authorization.  :raises S3Error: when it is malformed."""
    fields: dict[str, str] = {}
    for part in headers["authorization"].removeprefix(ALGORITHM).split(","):
        name, equals, value = part.strip().partition("=")
        if equals:
            fields[name] = value
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not fields.get(name):
            raise S3Error("AuthorizationHeaderMalformed", f"{MALFORMED}the {name} is missing.")
    access, date, region, service = parse_credential(fields["Credential"], "AuthorizationHeaderMalformed")
    stamp = headers.get("x-amz-date", "")
    if not stamp and http_date is not None:
        stamp = datetime.fromtimestamp(http_date, UTC).strftime("%Y%m%dT%H%M%SZ")
    at = _seconds(stamp)
    if stamp[:8] != date:
        raise S3Error("AuthorizationHeaderMalformed", f"{MALFORMED}the date of the Credential is not that of the request.")
    signed = tuple(fields["SignedHeaders"].lower().split(";"))
    return Claim(access, date, region, service, signed, fields["Signature"], stamp, at)


def from_query(query: Mapping[str, str]) -> Claim:
    """Read the parameters of a presigned URL.  :raises S3Error: when one of them is missing or malformed."""
    code = "AuthorizationQueryParametersError"
    names = ("X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature")
    if query.get("X-Amz-Algorithm") != ALGORITHM:
        raise S3Error(code, f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    if any(not query.get(name) for name in names):
        raise S3Error("AccessDenied", "Query-string authentication needs X-Amz-Algorithm, " + ", ".join(names))
    access, date, region, service = parse_credential(query["X-Amz-Credential"], code)
    stamp, text = query["X-Amz-Date"], query["X-Amz-Expires"]
    at = _seconds(stamp)
    expires_seconds = natural(text) or 0
    if not 1 <= expires_seconds <= EXPIRES_SECONDS_MAX:
        reason = "X-Amz-Expires must be non-negative" if text.startswith("-") else "X-Amz-Expires must be a number of seconds"
        raise S3Error(code, f"{reason}, at least one and at most a week (604800)")
    if stamp[:8] != date:
        raise S3Error(code, "The date of X-Amz-Credential is not that of X-Amz-Date")
    signed = tuple(query["X-Amz-SignedHeaders"].lower().split(";"))
    return Claim(access, date, region, service, signed, query["X-Amz-Signature"], stamp, at, expires_seconds)


@dataclass(frozen=True)
class Signed:
    """A request that was signed well; in version 4: what the chunks of its body are signed with.

    :param access: the access key; "" when nobody signed.
    :param payload: what stands for the body in the header of version 4.
    :param canonical: the request in its canonical form.
    """

    access: str = ""
    payload: str = ""
    key: bytes = b""
    scope: str = ""
    stamp: str = ""
    signature: str = ""
    canonical: str = ""


def mismatch(access: str, text: str, given: str, canonical: str) -> S3Error:
    """Return the error for a signature that is another one, with what it ought to be of."""

    def shown(found: str) -> str:
        return found.encode("utf-8", "replace").hex(" ")

    return S3Error(
        "SignatureDoesNotMatch",
        AWSAccessKeyId=access,
        StringToSign=text,
        SignatureProvided=given,
        StringToSignBytes=shown(text),
        CanonicalRequest=canonical,
        CanonicalRequestBytes=shown(canonical),
    )


def canonical_path(raw: str) -> str:
    """Return a path as it is signed."""
    return quote(unquote(raw, errors="surrogateescape"), safe=SAFE + "/", errors="surrogateescape") or "/"


def canonical_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a query as it is signed."""
    encoded = sorted((quote(key, safe=SAFE), quote(value, safe=SAFE)) for key, value in pairs if key != "X-Amz-Signature")
    return "&".join(f"{key}={value}" for key, value in encoded)


def canonical_request(claim: Claim, method: str, path: str, query: str, headers: Mapping[str, str], payload: str) -> str:
    """Return a request in the form in which it is digested.

    :param headers: as they came (Latin-1 text).
    :param payload: the digest of the body, or what stands for it.
    """
    lines = "".join(f"{name}:{SPACES.sub(' ', headers.get(name, '').strip())}\n" for name in claim.signed)
    return f"{method}\n{path}\n{query}\n{lines}\n{';'.join(claim.signed)}\n{payload}"


def string_to_sign(claim: Claim, request: str) -> str:
    """Return what is signed of a request in its canonical form."""
    digest = hashlib.sha256(request.encode("latin-1", "replace")).hexdigest()
    return f"{ALGORITHM}\n{claim.stamp}\n{claim.scope}\n{digest}"


def is_payload(text: str) -> bool:
    """Tell whether a text may stand for the body: its digest, or a name for what it is."""
    return text == UNSIGNED or text in CHUNKED or bool(SHA256.fullmatch(text))


def sign(key: bytes, text: str) -> str:
    """Return a signature."""
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=1024)
def derive(secret: str, date: str, region: str, service: str) -> bytes:
    """Return the key of a day, a region and a service."""
    key = f"AWS4{secret}".encode()
    for text in (date, region, service, "aws4_request"):
        key = hmac.new(key, text.encode(), hashlib.sha256).digest()
    return key


def unsigned_headers(claim: Claim, headers: Mapping[str, str]) -> list[str]:
    """Return the names of headers that ought to be signed and are not."""
    needed = [name for name in headers if name == "host" or (name.startswith("x-amz-") and name != "x-amz-content-sha256")]
    return [name for name in needed if name not in claim.signed]
