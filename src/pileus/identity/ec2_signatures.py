"""Signatures of AWS's requests, made again out of what a service tells of a request that it got.  Pure.

Version 2 signs EC2's queries, version 4 any request; what S3 services hand on is the text itself that was signed, of version
2 (HMAC-SHA1) or 4.  Versions 0 and 1 can be forged and are not taken.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
S3_SERVICES = ("s3", "iam", "sts")


class BadSignature(Exception):
    """What is told is not enough to check the signature, or does not fit together."""


def matches_ec2(secret: str, given: Mapping[str, Any]) -> bool:
    """Tell whether a request was signed with a secret.

    Some clients sign the host without its port, so both are tried.

    :param given: signature, host, verb, path, params, headers and body_hash.
    :raises BadSignature: when there is no signature of a version that is taken.
    """
    signature, host = given.get("signature"), str(given.get("host", ""))
    if not isinstance(signature, str) or not signature:
        raise BadSignature("EC2 signature not supplied.")
    hosts = dict.fromkeys((host, urlsplit("//" + host).hostname or host))
    return any(hmac.compare_digest(_sign_ec2(secret, given, one).encode(), signature.encode()) for one in hosts)


def _sign_ec2(secret: str, given: Mapping[str, Any], host: str) -> str:
    params, headers = _texts(given.get("params")), _texts(given.get("headers"))
    if params.get("SignatureVersion") == "2":
        return _sign_2(secret, given, host, params)
    if headers.get("Authorization", "").startswith(ALGORITHM) or params.get("X-Amz-Algorithm") == ALGORITHM:
        return _sign_4(secret, given, host, params, headers)
    raise BadSignature("Invalid EC2 signature.")


def _texts(given: Any) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise BadSignature("Invalid EC2 signature.")
    return {str(name): str(value) for name, value in given.items()}


def _query(params: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='')}={quote(params[name], safe='-_~')}" for name in sorted(params))


def _sign_2(secret: str, given: Mapping[str, Any], host: str, params: Mapping[str, str]) -> str:
    params = {name: value for name, value in params.items() if name != "Signature"} | {"SignatureMethod": "HmacSHA256"}
    text = "\n".join((str(given.get("verb", "")), host, str(given.get("path", "")), _query(params)))
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), "sha256")).decode()


def _sign_4(secret: str, given: Mapping[str, Any], host: str, params: Mapping[str, str], headers: Mapping[str, str]) -> str:
    said = headers.get("Authorization", "")

    def told(name: str) -> str:
        return said.partition(f"{name}=")[2].split(",")[0] if said else params.get(f"X-Amz-{name}", "")

    date = headers.get("X-Amz-Date") or params.get("X-Amz-Date", "")
    credential = told("Credential").split("/")
    if len(credential) != 5 or not credential[1] or not date.startswith(credential[1]):
        raise BadSignature("Request date mismatch error")
    verb, signed = str(given.get("verb", "")).upper(), told("SignedHeaders")
    lower = {name.lower().strip(): value.strip() for name, value in headers.items()} | {"host": host}
    lines = "".join(f"{name}:{lower[name]}\n" for name in signed.split(";") if name in lower)
    asked = {name: value for name, value in params.items() if name != "X-Amz-Signature"}
    query = "" if verb == "POST" else _query(asked)
    request = "\n".join((verb, str(given.get("path", "")), query, lines, signed, str(given.get("body_hash", ""))))
    scope = credential[1:]
    text = "\n".join((ALGORITHM, date, "/".join(scope), hashlib.sha256(request.encode()).hexdigest()))
    return _derive(secret, scope, text.encode())


def _derive(secret: str, scope: list[str], text: bytes) -> str:
    key = b"AWS4" + secret.encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text, "sha256").hex()


def matches_s3(secret: str, given: Mapping[str, Any]) -> bool:
    """Tell whether a text was signed with a secret.

    :param given: signature, and the text as token in URL-safe base64.
    :raises BadSignature: when it is no text that S3's clients sign.
    """
    try:
        text = base64.urlsafe_b64decode(str(given["token"]))
        signature = str(given["signature"])
    except (KeyError, ValueError):
        raise BadSignature("Credential signature mismatch") from None
    if text.startswith(b"AWS4"):
        parts = text.split(b"\n")
        scope = parts[2].decode(errors="replace").split("/") if len(parts) == 4 else []
        if parts[0] != ALGORITHM.encode() or len(scope) != 4 or scope[3] != "aws4_request" or scope[2] not in S3_SERVICES:
            raise BadSignature("Invalid EC2 signature.")
        made = _derive(secret, scope, text)
    else:
        made = base64.b64encode(hmac.digest(secret.encode(), text, "sha1")).decode()
    return hmac.compare_digest(made.encode(), signature.encode())


def signed_at(given: Mapping[str, Any]) -> float | None:
    """Return when a request says that it was signed, in epoch seconds; None: it does not say.

    :raises BadSignature: when it says so in a form that is none.
    """
    params, headers = _texts(given.get("params")), _texts(given.get("headers"))
    text = params.get("Timestamp") or headers.get("X-Amz-Date") or params.get("X-Amz-Date")
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise BadSignature("Credential timestamp is invalid") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
