"""Objects on their way in: what a request says of one, and its bytes to the replicas."""

import mimetypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote

from pileus.object_store import metadata
from pileus.object_store.backend import NO_HEADERS, ObjectDelete, ObjectName, ObjectPut, Written
from pileus.object_store.conditions import etags
from pileus.object_store.indexes import ContainerInfo
from pileus.object_store.listing import is_utf8
from pileus.object_store.request import Body, Refused, Request, is_true
from pileus.object_store.service import locks
from pileus.object_store.timestamps import Timestamp

KEPT = frozenset(
    {
        "content-disposition", "content-encoding", "content-language", "cache-control", "expires", "x-robots-tag",
        "x-object-manifest",
    }
)  # fmt: skip
DELETE_AT_MAX = 9_999_999_999
OCTETS = "application/octet-stream"
INDEX_SIZE = "X-Object-Sysmeta-Container-Update-Override-Size"
INDEX_ETAG = "X-Object-Sysmeta-Container-Update-Override-Etag"
INDEX_TYPE = "X-Object-Sysmeta-Container-Update-Override-Content-Type"


@dataclass(frozen=True)
class NewObject:
    """An object that is about to be.

    :param etag: the MD5 that its bytes must have.
    :param size_bytes: how many bytes there will be; None: not known.
    :param if_absent: refuse (412) when there is an object of the name.
    :param footer: tells further headers once the body has been read.
    """

    content_type: str = OCTETS
    headers: Mapping[str, str] = field(default_factory=dict)
    size_bytes: int | None = None
    etag: str = ""
    delete_at: int | None = None
    if_absent: bool = False
    footer: Callable[[], Mapping[str, str]] | None = None


def read_headers(req: Request) -> NewObject:
    """Return what a request says of the object that it uploads.

    :raises Refused: 400, 411 or 413 when that is not as it should be.
    """
    limits, headers = req.store.limits, req.headers
    if req.body.length is None and headers.get("transfer-encoding", "").lower() != "chunked":
        raise Refused(411, "Missing Content-Length header.")
    check_name(req)
    if (req.body.length or 0) > limits.object_bytes_max:
        raise Refused(413, "Your request is too large.")
    absent = headers.get("if-none-match")
    if absent is not None and "*" not in etags(absent):
        raise Refused(400, "If-None-Match only supports *")
    metadata.check(headers, "object", limits)
    return NewObject(
        content_type_of(req),
        stored_headers(headers),
        req.body.length,
        headers.get("etag", "").strip('"').lower(),
        delete_at(req),
        absent is not None,
    )


def check_name(req: Request) -> None:
    """Hold the name of an object to its length.  :raises Refused: 400."""
    length = len(req.name.encode())
    if length > req.store.limits.object_name_length:
        raise Refused(400, f"Object name length of {length} longer than {req.store.limits.object_name_length}")


def content_type_of(req: Request) -> str:
    """Return the content type that a request gives an object, or that its name suggests."""
    given = req.headers.get("content-type", "")
    if not given or is_true(req.headers.get("x-detect-content-type", "")):
        return (mimetypes.guess_type(req.name)[0] if "." in req.name else None) or OCTETS
    if not is_utf8(given):
        raise Refused(400, "Invalid Content-Type")
    return given


def stored_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that are kept with an object.  :raises Refused: 400 when one of them is wrong."""
    found = {key.title(): value for key, value in headers.items() if (key in KEPT and value) or key.startswith("x-object-meta-")}
    if manifest := found.get("X-Object-Manifest"):
        container, _, prefix = unquote(manifest).lstrip("/").partition("/")
        if not container or not prefix or "?" in manifest or "&" in manifest or prefix.startswith("/"):
            raise Refused(400, "X-Object-Manifest must be in the format container/prefix")
    return found


def delete_at(req: Request) -> int | None:
    """Return when the object is to vanish, epoch seconds.  :raises Refused: 400 when that is no time to come."""
    now = req.at.seconds
    if "x-delete-after" in req.headers:
        after = _integer(req.headers["x-delete-after"], "X-Delete-After")
        found = int(now) + after
        if found <= now:
            raise Refused(400, "X-Delete-After in past")
        return min(found, DELETE_AT_MAX)
    if req.headers.get("x-delete-at"):
        found = _integer(req.headers["x-delete-at"], "X-Delete-At")
        if found <= now:
            raise Refused(400, "X-Delete-At in past")
        return min(found, DELETE_AT_MAX)
    return None


def _integer(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Refused(400, f"Non-integer {name}") from None


async def write(req: Request, info: ContainerInfo, name: str, new: NewObject, body: Body, at: Timestamp | None = None) -> Written:
    """Store an object and return its ETag.

    :param at: its timestamp; by default the request's.
    :raises Refused: when it does not stand.
    """
    await locks.check_part(req, info)
    put = ObjectPut(
        timestamp=at or req.at,
        content_type=new.content_type,
        size_bytes=new.size_bytes,
        etag=new.etag,
        delete_at=new.delete_at,
        headers=new.headers,
        if_none_match=("*",) if new.if_absent else (),
    )
    upload = await req.store.placement.upload(info.policy, ObjectName(info.account, info.container, name), put)
    if isinstance(upload, Written):
        return _judge(upload)
    done, size, most = False, 0, req.store.limits.object_bytes_max
    try:
        async for chunk in body.chunks():
            size += len(chunk)
            if size > most:
                raise Refused(413, "Your request is too large.")
            await upload.write(chunk)
        if new.size_bytes is not None and size < new.size_bytes:
            raise Refused(499, "The body ended early.")
        done = True
        written = await upload.commit(new.footer() if new.footer else NO_HEADERS)
    finally:
        if not done:
            await upload.abort()
    return _judge(written)


def _judge(written: Written) -> Written:
    if written.ok:
        return written
    if written.status == HTTPStatus.CONFLICT:
        return Written(202, written.timestamp, written.etag)
    raise Refused(int(written.status))


async def remove(
    req: Request, info: ContainerInfo, name: str, at: Timestamp | None = None, if_delete_at: int | None = None
) -> Written:
    """Delete an object, and return what the replicas say (404 when there was none).

    :raises Refused: 403 when it is a part of what object lock protects.
    """
    await locks.check_part(req, info)
    delete = ObjectDelete(timestamp=at or req.at, if_delete_at=if_delete_at)
    return await req.store.placement.delete_object(info.policy, ObjectName(info.account, info.container, name), delete)
