"""What the headers of a request say of its body, to be held against it: MD5, checksums, trailers to come."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from pileus.faces.s3 import checksums
from pileus.faces.s3.errors import S3Error

ALGORITHM, TRAILER = "x-amz-sdk-checksum-algorithm", "x-amz-trailer"
ABOUT = frozenset({"algorithm", "type", "mode"})
MANY = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."


@dataclass(frozen=True)
class Wanted:
    """What the sender says of the body, to be checked: a digest of it now or (value None) in a trailer."""

    algorithm: str = ""
    value: str | None = None


def md5_of(headers: Mapping[str, str]) -> str:
    """Return the MD5 that a request gives, in hexadecimal; "" when it gives none.  :raises S3Error: when it is none."""
    text = headers.get("content-md5")
    if text is None:
        return ""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != 16:
        raise S3Error("InvalidDigest")
    return found.hex()


def _bad(text: str) -> S3Error:
    return S3Error("InvalidRequest", text)


def checksum_of(headers: Mapping[str, str], chunked: bool) -> Wanted:
    """Return the checksum that a request gives or announces.  :raises S3Error: when it is none, or more than one.

    :param chunked: the body comes in chunks, which trailers may follow.
    """
    announced = headers.get(ALGORITHM, "").upper()
    named, trailer = _given(headers), trailer_of(headers)
    if announced and announced not in checksums.ALGORITHMS:
        raise _bad(f"Value for {ALGORITHM} header is invalid.")
    if named and trailer:
        raise _bad("Expecting a single x-amz-checksum- header")
    if trailer and not chunked:
        raise S3Error("MalformedTrailerError")
    chosen = named or trailer
    if announced and not chosen:
        reason = f"{ALGORITHM} specified, but no corresponding x-amz-checksum-* or {TRAILER} headers were found."
        raise _bad(reason)
    if announced and announced != chosen:
        raise _bad(f"Value for {ALGORITHM} header is invalid.")
    return Wanted(chosen, headers[checksums.HEADER + named.lower()] if named else None)


def _given(headers: Mapping[str, str]) -> str:
    """Return the algorithm of the checksum among the headers; "" when there is none.  :raises S3Error: when it is none."""
    given = [name.removeprefix(checksums.HEADER).upper() for name in headers if name.startswith(checksums.HEADER)]
    given = [name for name in given if name.lower() not in ABOUT]
    if any(name not in checksums.ALGORITHMS for name in given):
        raise _bad("The algorithm type you specified in x-amz-checksum- header is invalid.")
    if len(given) > 1:
        raise _bad(MANY)
    for name in given:
        header = checksums.HEADER + name.lower()
        if checksums.decode(name, headers[header]) is None:
            raise _bad(f"Value for {header} header is invalid.")
    return given[0] if given else ""


def trailer_of(headers: Mapping[str, str]) -> str:
    """Return the algorithm of the checksum that is to come in a trailer; "" when none is.  :raises S3Error: for others."""
    text = headers.get(TRAILER, "").strip().rstrip(",")
    if not text:
        return ""
    names = [part.strip().lower() for part in text.split(",")]
    found = [name.removeprefix(checksums.HEADER).upper() for name in names]
    for name, algorithm in zip(names, found, strict=True):
        if not name.startswith(checksums.HEADER) or algorithm not in checksums.ALGORITHMS:
            raise _bad("The value specified in the x-amz-trailer header is not supported")
    if len(found) > 1:
        raise _bad(MANY)
    return found[0]
