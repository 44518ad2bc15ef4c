"""Temporary URLs: a signature in the query lets anyone do one thing for a while."""

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from urllib.parse import quote

from pileus.kernel.clock import from_iso
from pileus.object_store.conditions import http_date
from pileus.object_store.request import Refused, Request, Response
from pileus.object_store.service import access

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
DIGESTS = {40: "sha1", 64: "sha256", 128: "sha512"}
FORBIDDEN = ("x-object-manifest", "x-symlink-target", "x-copy-from")
KEYS = ("Temp-Url-Key", "Temp-Url-Key-2")
PARAMETERS = ("temp_url_sig", "temp_url_expires", "temp_url_prefix", "temp_url_ip_range", "filename", "inline")


def is_used(req: Request) -> bool:
    """Tell whether a request comes by a temporary URL."""
    return "temp_url_sig" in req.query or "temp_url_expires" in req.query


def _invalid() -> Refused:
    return Refused(401, "Temp URL invalid\n")


def digest_of(signature: str) -> tuple[str, str]:
    """Return the name of a signature's digest, and the signature in hexadecimal.  :raises ValueError: when it is none."""
    name, colon, rest = signature.partition(":")
    if colon:
        if name not in DIGESTS.values():
            raise ValueError(name)
        padded = rest + "=" * (-len(rest) % 4)
        return name, base64.urlsafe_b64decode(padded).hex()
    if len(signature) not in DIGESTS:
        raise ValueError("length")
    return DIGESTS[len(signature)], signature.lower()


async def keys_of(req: Request) -> list[tuple[str, str]]:
    """Return the keys that may sign, each with where it lets go: "account" or "account/container"."""
    account, container = await access.account_info(req), await access.container_info(req)
    found: list[tuple[str, str]] = []
    places: list[tuple[Mapping[str, str] | None, str, str]] = [
        (account.metadata if account else None, "X-Account-Meta-", req.account),
        (container.metadata if container else None, "X-Container-Meta-", f"{req.account}/{req.container}"),
    ]
    for metadata, prefix, scope in places:
        found += [(metadata[prefix + key], scope) for key in KEYS if metadata and metadata.get(prefix + key)]
    return found


def _expires(req: Request) -> int:
    """Return when the URL ends.  :raises Refused: 401 when it has."""
    text = req.query.get("temp_url_expires", "")
    try:
        found = int(text) if text.isascii() and text.isdecimal() else int(from_iso(text))
    except ValueError:
        raise _invalid() from None
    if found < req.cloud.clock.now():
        raise _invalid()
    return found


async def admit(req: Request) -> None:
    """Let a request in by its signature.  :raises Refused: 401 when it is not valid, 400 when it asks for more."""
    expires, given = _expires(req), req.query.get("temp_url_sig", "")
    prefix, ip_range = req.query.get("temp_url_prefix"), req.query.get("temp_url_ip_range")
    is_site = prefix == "" and req.method in ("GET", "HEAD")
    if not given or not req.container or req.method not in METHODS or not (req.name or is_site):
        raise _invalid()
    if ip_range is not None and not _within(req.client, ip_range):
        raise _invalid()
    if prefix is not None and not req.name.startswith(prefix):
        raise _invalid()
    try:
        digest, signature = digest_of(given)
    except (ValueError, binascii.Error):
        raise _invalid() from None
    path = f"/v1/{req.account}/{req.container}/{req.name if prefix is None else prefix}"
    kind = "" if prefix is None else "prefix:"
    methods = ("HEAD", "GET", "POST", "PUT") if req.method == "HEAD" else (req.method,)
    lead = f"ip={ip_range}\n" if ip_range is not None else ""
    texts = [f"{lead}{m}\n{expires}\n{kind}{mount}{path}" for m in methods for mount in {"", req.mount}]
    req.vouched = await _scope(req, digest, signature, texts)
    for header in FORBIDDEN:
        if req.method in ("PUT", "POST") and header in req.headers:
            raise Refused(400, f"The header {header.title()!r} is not allowed in this tempurl")
    req.query = {key: value for key, value in req.query.items() if key in PARAMETERS}
    if prefix is not None:
        req.facts |= {"signed": _query_of(req, prefix, given), "signed_prefix": prefix}


def _query_of(req: Request, prefix: str, signature: str) -> str:
    """Return the query that opens further pages below the prefix, for links in pages."""
    query = f"?temp_url_prefix={quote(prefix)}&amp;temp_url_expires={quote(req.query['temp_url_expires'])}"
    query += f"&amp;temp_url_sig={quote(signature)}"
    if "temp_url_ip_range" in req.query:
        query += f"&amp;temp_url_ip_range={quote(req.query['temp_url_ip_range'])}"
    return query + ("&amp;inline" if "inline" in req.query else "")


def check_site(req: Request, is_site: bool) -> None:
    """Hold temporary URLs of whole containers to be for sites: they list no container otherwise.  :raises Refused: 401."""
    if not req.name and not is_site:
        raise _invalid()


async def _scope(req: Request, digest: str, signature: str, texts: list[str]) -> str:
    for key, scope in await keys_of(req):
        for text in texts:
            made = hmac.new(key.encode(), text.encode(), getattr(hashlib, digest)).hexdigest()
            if hmac.compare_digest(made.encode(), signature.encode()):
                return scope
    raise _invalid()


def _within(client: str, ip_range: str) -> bool:
    try:
        return ipaddress.ip_address(client) in ipaddress.ip_network(ip_range)
    except ValueError:
        return False


def dress(req: Request, found: Response) -> Response:
    """Give an answer the headers it has by a temporary URL: how to save it, and no metadata but the public ones."""
    headers = {
        key: value
        for key, value in found.headers.items()
        if not key.startswith("X-Object-Meta-") or key.startswith("X-Object-Meta-Public-")
    }
    if req.method in ("GET", "HEAD") and found.status // 100 == 2:
        name, inline = req.query.get("filename", ""), "inline" in req.query or "site" in req.facts
        if inline:
            headers["Content-Disposition"] = _disposition("inline", name) if name else "inline"
        elif name or "Content-Disposition" not in headers:
            headers["Content-Disposition"] = _disposition("attachment", name or req.name.rstrip("/").rpartition("/")[2])
        headers["Expires"] = headers.get("Expires") or http_date(_expires(req))
    found.headers = headers
    return found


def _disposition(kind: str, name: str) -> str:
    safe = quote(name, safe=" /")
    return f"{kind}; filename=\"{safe}\"; filename*=UTF-8''{quote(name)}"
