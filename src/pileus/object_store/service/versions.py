"""Versions of objects: the newer way (X-Versions-Enabled, ids of versions) and the two older ones.

Newer: bytes go into a hidden container under a name that holds the inverted time, and the object is a link to them; deleting
leaves a marker there.  Older: before an object is overwritten or deleted it is copied into another container that callers
see (X-Versions-Location: a deletion brings the last copy back; X-History-Location: it leaves a marker).
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace as replace_fields
from http import HTTPStatus
from urllib.parse import quote, unquote

from msgspec.structs import replace

from pileus.object_store import names
from pileus.object_store.backend import ObjectMetadata, Written
from pileus.object_store.indexes import ContainerInfo, Listing, ObjectEntry
from pileus.object_store.request import Body, Bytes, Refused, Request, Stream, is_true
from pileus.object_store.service import access, locks, reading, slo, writing
from pileus.object_store.service.entries import EMPTY_MD5, index_etag, split_etag
from pileus.object_store.service.writing import NewObject
from pileus.object_store.timestamps import Timestamp

ENABLED, HIDDEN = "X-Container-Sysmeta-Versions-Enabled", "X-Container-Sysmeta-Versions-Container"
LOCATION, MODE = "X-Container-Sysmeta-Versions-Location", "X-Container-Sysmeta-Versions-Mode"
MARKER_TYPE = "application/x-deleted;swift_versions_deleted=1"
NULL_MARK = "X-Object-Sysmeta-Versions-Null"
S3_ETAG = "X-Object-Sysmeta-S3Api-Etag"
GONE = "The versions container does not exist. You may want to re-enable object versioning."


def shown(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return what a container's headers tell of its versions."""
    found = {"X-Versions-Enabled": metadata[ENABLED]} if metadata.get(ENABLED) else {}
    if metadata.get(LOCATION):
        key = "X-History-Location" if metadata.get(MODE) == "history" else "X-Versions-Location"
        found[key] = metadata[LOCATION]
    return found


async def container_headers(req: Request, info: ContainerInfo | None, policy: int | None) -> dict[str, str]:
    """Return what a PUT or POST of a container sets of its versions; makes the hidden container.

    :raises Refused: 400 when the ways of versioning would mix.
    """
    found = _legacy_headers(req, info)
    enabled = req.headers.get("x-versions-enabled")
    if enabled is None:
        return found
    stored = info.metadata if info else {}
    if stored.get(LOCATION) or found.get(LOCATION):
        raise Refused(
            400, "Cannot enable object versioning on a container that is already using the legacy versioned writes feature."
        )
    if not is_true(enabled):
        locks.check_versioned(stored)
    found[ENABLED] = str(is_true(enabled))
    if is_true(enabled):
        hidden = names.versions_container(req.container)
        await access.ensure_container(req, req.account, hidden, info.policy if info else policy)
        found[HIDDEN] = quote(hidden)
    return found


def _legacy_headers(req: Request, info: ContainerInfo | None) -> dict[str, str]:
    headers = req.headers
    if headers.get("x-versions-location") and headers.get("x-history-location"):
        raise Refused(400, "Only one of x-versions-location and x-history-location may be specified.")
    for key, mode in (("x-versions-location", "stack"), ("x-history-location", "history")):
        given = headers.get(key)
        if given:
            if info and info.metadata.get(ENABLED):
                raise Refused(400, "Cannot use legacy versioned writes on a container with object versioning enabled.")
            target = unquote(given).strip("/")
            if not target or "/" in target:
                raise Refused(412, f"{key.title()} must be a container name")
            return {LOCATION: quote(target), MODE: mode}
        if given == "" or f"x-remove-{key[2:]}" in headers:
            return {LOCATION: "", MODE: ""}
    return {}


def is_enabled(info: ContainerInfo) -> bool:
    """Tell whether new versions are kept (in the newer way)."""
    return info.metadata.get(ENABLED) == "True"


async def hidden_info(req: Request, info: ContainerInfo) -> ContainerInfo | None:
    """Return what is known of the container that holds a container's versions; None when there is none."""
    hidden = info.metadata.get(HIDDEN)
    return await access.container_info(req, info.account, unquote(hidden)) if hidden else None


async def bytes_used(req: Request, info: ContainerInfo) -> int:
    """Return how many bytes the versions of a container's objects take."""
    if not info.metadata.get(HIDDEN):
        return 0
    found = await access.container_info(req, info.account, unquote(info.metadata[HIDDEN]), fresh=True)
    return found.bytes_used if found else 0


async def drop_container(req: Request, info: ContainerInfo) -> None:
    """Delete the hidden container.  :raises Refused: 409 when there are versions in it."""
    if not info.metadata.get(HIDDEN):
        return
    hidden = unquote(info.metadata[HIDDEN])
    found = await access.container_info(req, info.account, hidden, fresh=True)
    if found is not None and found.object_count > 0:
        raise Refused(409, "Delete all versions before deleting container.")
    await req.store.placement.delete_container(info.account, hidden, req.at)
    req.store.forget(info.account, hidden)


async def store(req: Request, info: ContainerInfo, new: NewObject, body: Body) -> tuple[Written, dict[str, str]]:
    """Store an object, keeping the one before it where the container says so.

    :return: how it was written, and further headers of the answer.
    """
    if is_enabled(info):
        return await _store_version(req, info, new, body)
    if info.metadata.get(LOCATION):
        await archive(req, info)
    return await writing.write(req, info, req.name, new, body), {}


async def _store_version(req: Request, info: ContainerInfo, new: NewObject, body: Body) -> tuple[Written, dict[str, str]]:
    hidden = await hidden_info(req, info)
    if hidden is None:
        raise Refused(500, GONE)
    if new.if_absent and await reading.open_stored(req, info, req.name, head=True):
        raise Refused(412)
    await keep_current(req, info, hidden)
    stored_name = names.version_object(req.name, req.at.normal)
    counted = _Counted(body)
    written = await writing.write(req, hidden, stored_name, _without_delete_at(new), counted)
    size = int(new.headers.get(slo.SLO_SIZE, counted.size_bytes))
    await link(req, info, stored_name, written.etag, size, new)
    return Written(201, written.timestamp, written.etag), {"X-Object-Version-Id": req.at.normal}


def _without_delete_at(new: NewObject) -> NewObject:
    return replace_fields(new, delete_at=None, if_absent=False)


class _Counted:
    """A body that counts its bytes as they pass."""

    def __init__(self, body: Body) -> None:
        self.body, self.size_bytes, self.length = body, 0, body.length

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        async for chunk in self.body.chunks():
            self.size_bytes += len(chunk)
            yield chunk


async def link(req: Request, info: ContainerInfo, stored_name: str, etag: str, length: int, new: NewObject) -> None:
    """Make an object the link to one of its versions."""
    target = quote(f"{names.versions_container(info.container)}/{stored_name}")
    facts = {"symlink_target": target, "symlink_target_etag": etag, "symlink_target_bytes": str(length)}
    slo_etag, s3_etag = new.headers.get(slo.SLO_ETAG, ""), new.headers.get(S3_ETAG, "")
    headers = {
        reading.LINK: target,
        reading.LINK_ETAG: etag,
        reading.LINK_BYTES: str(length),
        reading.LINK_VERSION: "true",
        writing.INDEX_ETAG: index_etag(EMPTY_MD5, slo_etag=slo_etag, s3_etag=s3_etag, **facts),
    }
    at = replace(req.at, offset=req.at.offset + 1)
    linked = NewObject(new.content_type, headers, 0, delete_at=new.delete_at)
    await writing.write(req, info, req.name, linked, Bytes(), at)


async def keep_current(req: Request, info: ContainerInfo, hidden: ContainerInfo) -> None:
    """Copy the object that is there into the versions, unless it is there already."""
    content = await reading.open_stored(req, info, req.name, head=False, newest=True)
    if content is None:
        return
    try:
        if reading.LINK_VERSION not in content.sysmeta:
            meta = content.metadata
            stored_name = names.version_object(req.name, meta.data_at.normal)
            kept = NewObject(meta.content_type, _marked_null(meta), meta.size_bytes)
            body = Stream(content.source.chunks(), meta.size_bytes)
            await writing.write(req, hidden, stored_name, kept, body, Timestamp(meta.data_at.ticks))
    finally:
        await content.source.close()


def _marked_null(meta: ObjectMetadata) -> dict[str, str]:
    """Return the headers of an object that becomes a version: it had no version id before ("null")."""
    etag, facts = split_etag(meta.headers.get(writing.INDEX_ETAG) or meta.etag)
    return {**meta.headers, NULL_MARK: "true", writing.INDEX_ETAG: index_etag(etag, **facts | {"null": "true"})}


async def delete(req: Request, info: ContainerInfo, if_delete_at: int | None = None) -> dict[str, str]:
    """Delete an object as the container's way of versioning has it, and return further headers of the answer.

    :raises Refused: 404 when there is none.
    """
    if is_enabled(info):
        return await _delete_version(req, info)
    if info.metadata.get(LOCATION):
        if info.metadata.get(MODE) == "history":
            await _leave_marker(req, info)
        elif await _bring_back(req, info):
            return {}
    written = await writing.remove(req, info, req.name, if_delete_at=if_delete_at)
    if not written.ok:
        raise Refused(int(written.status))
    return {}


async def _delete_version(req: Request, info: ContainerInfo) -> dict[str, str]:
    hidden = await hidden_info(req, info)
    if hidden is None:
        raise Refused(500, GONE)
    await keep_current(req, info, hidden)
    marker = NewObject(MARKER_TYPE, {}, 0)
    await writing.write(req, hidden, names.version_object(req.name, req.at.normal), marker, Bytes())
    more = {"X-Object-Version-Id": req.at.normal}
    at = replace(req.at, offset=req.at.offset + 1)
    written = await writing.remove(req, info, req.name, at)
    if not written.ok:
        raise Refused(int(written.status), headers=more)
    return more


# the older ways


def _archive_prefix(name: str) -> str:
    return f"{len(name.encode()):03x}{name}/"


async def archive(req: Request, info: ContainerInfo) -> None:
    """Copy the object that is there into the container of old versions, as the newest of them.

    :raises Refused: 412 when that container is not there.
    """
    content = await reading.open_stored(req, info, req.name, head=False, newest=True)
    if content is None:
        return
    try:
        meta = content.metadata
        if meta.content_type == MARKER_TYPE:
            return
        place = await _archive_info(req, info)
        stored_name = _archive_prefix(req.name) + meta.data_at.normal
        body = Stream(content.source.chunks(), meta.size_bytes)
        await writing.write(req, place, stored_name, NewObject(meta.content_type, dict(meta.headers), meta.size_bytes), body)
    finally:
        await content.source.close()


async def _archive_info(req: Request, info: ContainerInfo) -> ContainerInfo:
    place = await access.container_info(req, info.account, unquote(info.metadata[LOCATION]))
    if place is None:
        raise Refused(412)
    return place


async def _leave_marker(req: Request, info: ContainerInfo) -> None:
    await archive(req, info)
    place = await _archive_info(req, info)
    await writing.write(req, place, _archive_prefix(req.name) + req.at.normal, NewObject(MARKER_TYPE, {}, 0), Bytes())


async def _bring_back(req: Request, info: ContainerInfo) -> bool:
    """Put the last old version in the object's place; False: there is none, and the object itself is to be deleted.

    Where the last is a marker of deletion, left when the container kept history, and the object is gone, the marker goes too.
    """
    place = await access.container_info(req, info.account, unquote(info.metadata[LOCATION]))
    if place is None:
        return False
    page = Listing(prefix=_archive_prefix(req.name), reverse=True, limit=2)
    answer = await req.store.placement.container(place.account, place.container, page)
    if answer.status != HTTPStatus.OK or not answer.entries:
        return False
    gone = replace(req.at, offset=req.at.offset + 1)
    last, *before = (entry for entry in answer.entries if isinstance(entry, ObjectEntry))
    if last.content_type == MARKER_TYPE:
        if await reading.open_stored(req, info, req.name, head=True, newest=True) is not None:
            return False
        await writing.remove(req, place, last.name, gone)
        if not before or before[0].content_type == MARKER_TYPE:
            return True
        last = before[0]
    if not await _restore(req, info, place, last.name):
        return False
    await writing.remove(req, place, last.name, gone)
    return True


async def _restore(req: Request, info: ContainerInfo, place: ContainerInfo, stored_name: str) -> bool:
    """Copy an old version to the object's place; False: it is not there any more."""
    content = await reading.open_stored(req, place, stored_name, head=False, newest=True)
    if content is None:
        return False
    try:
        meta = content.metadata
        back = NewObject(meta.content_type, dict(meta.headers), meta.size_bytes)
        await writing.write(req, info, req.name, back, Stream(content.source.chunks(), meta.size_bytes))
    finally:
        await content.source.close()
    return True
