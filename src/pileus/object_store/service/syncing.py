"""Container sync, seen by the proxy: what containers may say of it, and requests of clusters that sync theirs to one here.

The daemon that sends is `storage.daemons.container_sync`.
"""

import hashlib
import hmac

import msgspec

from pileus.object_store.conditions import http_date
from pileus.object_store.indexes import ContainerInfo
from pileus.object_store.request import HTML, Bytes, Refused, Request, Response
from pileus.object_store.service import access, slo, versions, writing
from pileus.object_store.service.entries import index_etag
from pileus.object_store.timestamps import Timestamp

TO, KEY, AUTH = "x-container-sync-to", "x-container-sync-key", "x-container-sync-auth"
STORED_KEY = "X-Container-Sync-Key"
SYNCED = "synced"
UNKNOWN = "X-Container-Sync-Auth header not valid; contact cluster operator for support."


def check_headers(req: Request, info: ContainerInfo | None) -> None:
    """Hold what a request sets of a container's sync to what the operator allows.  :raises Refused: 400."""
    given = req.headers.get(TO)
    if not given:
        return
    if info is not None and info.metadata.get(versions.HIDDEN):
        raise Refused(400, "Cannot configure container sync on a container with object versioning configured.")
    try:
        req.store.realms.partner(given)
    except ValueError as error:
        raise Refused(400, str(error)) from error


async def admit(req: Request) -> None:
    """Let a request of another cluster in, at the time that it names, where it proves to know the container's key.

    :raises Refused: 400 or 401.
    """
    if not req.container:
        return
    if AUTH in req.headers:
        info = await access.container_info(req)
        user_key, stamp = (info.metadata.get(STORED_KEY, "") if info else ""), req.headers.get("x-timestamp", "0")
        if not req.store.realms.knows(req.headers[AUTH], req.method, req.facts.get("sent_path", ""), stamp, user_key):
            raise Refused(401, UNKNOWN)
    elif not (req.name and req.store.realms.hosts and "x-timestamp" in req.headers and await _knows_key(req)):
        return
    if text := req.headers.get("x-timestamp"):
        try:
            req.at = Timestamp.parse(text)
        except ValueError:
            raise Refused(400, f"Invalid X-Timestamp header: {text}") from None
    req.vouched = f"{req.account}/{req.container}"
    req.facts[SYNCED] = True


async def _knows_key(req: Request) -> bool:
    """Tell whether a request names the container's key itself, as it does where no realms are used."""
    given = req.headers.get(KEY, "")
    info = await access.container_info(req) if given else None
    wanted = info.metadata.get(STORED_KEY, "") if info else ""
    return bool(wanted) and hmac.compare_digest(wanted.encode(), given.encode("utf-8", "surrogateescape"))


def is_manifest(req: Request) -> bool:
    """Tell whether a request of another cluster brings the manifest of a static large object."""
    return SYNCED in req.facts and req.headers.get("x-static-large-object", "").lower() == "true"


async def take_manifest(req: Request, info: ContainerInfo) -> Response:
    """Store a manifest as another cluster has it; its segments may come later.  :raises Refused: 400 or 413."""
    new, most, raw = writing.read_headers(req), req.store.limits.manifest_bytes, bytearray()
    async for chunk in req.body.chunks():
        raw += chunk
        if len(raw) > most:
            raise Refused(413, f"Manifest File > {most} bytes")
    body = bytes(raw)
    try:
        listed = msgspec.json.decode(body)
        etag, size = slo.etag_of(listed), slo.size_of(listed)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError):
        raise Refused(400, "Manifest must be valid JSON.\n") from None
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    headers = {
        **new.headers,
        slo.MARK: "True",
        slo.SLO_ETAG: etag,
        slo.SLO_SIZE: str(size),
        writing.INDEX_SIZE: str(size),
        writing.INDEX_ETAG: index_etag(digest, slo_etag=etag),
    }
    manifest = writing.NewObject(new.content_type, headers, len(body), digest, new.delete_at)
    await versions.store(req, info, manifest, Bytes(body))
    return Response(201, {"Content-Type": HTML, "Etag": f'"{etag}"', "Last-Modified": http_date(req.at.seconds)})
