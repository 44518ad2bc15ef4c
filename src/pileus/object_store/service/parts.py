"""Uploads in parts: begun, filled part by part in any order, completed into one large object, or given up.

The parts of KEY lie in the container CONTAINER+segments as KEY/UPLOAD/1, KEY/UPLOAD/2, ..., beside a marker KEY/UPLOAD that
holds what the object is to be; completed, they are the segments of a static large object.  When that object goes, they go.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

import msgspec

from pileus.kernel import ids
from pileus.object_store.backend import ObjectMetadata, Written
from pileus.object_store.indexes import ContainerInfo, Listing, ObjectEntry
from pileus.object_store.request import Body, Bytes, Refused, Request
from pileus.object_store.service import access, entries, locks, quotas, reading, slo, versions, writing
from pileus.object_store.service.writing import NewObject
from pileus.object_store.timestamps import Timestamp

UPLOAD_ID = "X-Object-Sysmeta-S3Api-Upload-Id"
CONTENT_TYPE = "X-Object-Sysmeta-S3Api-Content-Type"
MARKER_TYPE = "application/x-directory"
PART_NUMBER_MAX, PART_BYTES_MIN = 10_000, 5 * 1024 * 1024
AT_ONCE = 8


class Unfit(Refused):
    """An upload in parts cannot go on; reason is "upload", "part", "order" or "small", number that of the part."""

    def __init__(self, reason: str, number: int = 0, **facts: Any) -> None:
        super().__init__(404 if reason == "upload" else 400, reason)
        self.reason, self.number, self.facts = reason, number, facts


@dataclass(frozen=True)
class Upload:
    """An upload that has begun; facts are what was noted of it at its beginning."""

    key: str
    id: str
    begun_at: Timestamp
    marker: ObjectMetadata | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """One part that is there; facts are further digests of it, by the name of the algorithm."""

    number: int
    etag: str
    size_bytes: int
    modified_at: Timestamp
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Whole:
    """A large object that was uploaded in parts."""

    key: str
    upload_id: str


@dataclass(frozen=True)
class Chosen:
    """A part that a large object is to have, as its uploader knows it."""

    number: int
    etag: str
    facts: Mapping[str, str] = field(default_factory=dict)


def _own(req: Request, info: ContainerInfo, **changes: Any) -> Request:
    """Return a request for the container of parts, on behalf of the object store itself."""
    vouched, facts = f"{info.account}/{info.container}", {**req.facts, locks.PARTS_OWN: True}
    return replace(req, container=info.container + access.PARTS, vouched=vouched, facts=facts, **changes)


async def _place(req: Request, info: ContainerInfo) -> ContainerInfo | None:
    return await access.container_info(req, info.account, info.container + access.PARTS)


async def begin(req: Request, info: ContainerInfo, new: NewObject, facts: Mapping[str, str]) -> str:
    """Begin an upload and return its id.

    :param new: what the object is to be.
    :param facts: what listings of uploads are to tell.
    """
    await access.authorize(req, info, write=True)
    writing.check_name(req)
    await quotas.check(req, info, 0)
    place = await _place(req, info)
    if place is None:
        await access.ensure_container(req, info.account, info.container + access.PARTS, info.policy)
        place = await _place(req, info)
    if place is None:
        raise Refused(503)
    upload_id = ids.secret(24)
    noted = {writing.INDEX_ETAG: entries.index_etag(entries.EMPTY_MD5, **facts)}
    marker = NewObject(MARKER_TYPE, {**new.headers, CONTENT_TYPE: new.content_type, **noted}, 0)
    await writing.write(_own(req, info), place, f"{req.name}/{upload_id}", marker, Bytes())
    return upload_id


async def find(req: Request, info: ContainerInfo, upload_id: str, *, write: bool = True) -> Upload:
    """Return an upload of the request's object.  :raises Unfit: when there is none such."""
    await access.authorize(req, info, write=write)
    place = await _place(req, info)
    found = await reading.open_stored(req, place, f"{req.name}/{upload_id}", head=True) if place and upload_id else None
    if found is None or CONTENT_TYPE not in found.sysmeta:
        raise Unfit("upload")
    return Upload(req.name, upload_id, found.metadata.data_at, found.metadata)


async def put(req: Request, info: ContainerInfo, upload: Upload, number: int, new: NewObject, body: Body) -> Written:
    """Store a part of an upload that was found."""
    await quotas.check(req, info, new.size_bytes)
    place = await _place(req, info)
    if place is None:
        raise Unfit("upload")
    return await writing.write(_own(req, info), place, f"{upload.key}/{upload.id}/{number}", new, body)


async def _entries(req: Request, place: ContainerInfo | None, prefix: str, marker: str = "") -> AsyncIterator[ObjectEntry]:
    limit = req.store.limits.listing
    while place is not None:
        page = Listing(prefix=prefix, marker=marker, limit=limit)
        answer = await req.store.placement.container(place.account, place.container, page)
        if answer.status != HTTPStatus.OK:
            raise Refused(int(answer.status))
        for entry in answer.entries:
            if isinstance(entry, ObjectEntry):
                yield entry
                marker = entry.name
        if len(answer.entries) < limit:
            return


async def parts_of(req: Request, info: ContainerInfo, key: str, upload_id: str) -> list[Part]:
    """Return the parts that an upload has, by number."""
    prefix, found = f"{key}/{upload_id}/", []
    async for entry in _entries(req, await _place(req, info), prefix):
        number = entry.name[len(prefix) :]
        if number.isascii() and number.isdecimal():
            etag, facts = entries.split_etag(entry.etag)
            found.append(Part(int(number), etag, entry.size_bytes, entry.modified_at, facts))
    return sorted(found, key=lambda part: part.number)


async def uploads(req: Request, info: ContainerInfo, prefix: str = "") -> list[Upload]:
    """Return the uploads that have begun in a container, by key and time."""
    await access.authorize(req, info, write=False, listing=True)
    found = []
    async for entry in _entries(req, await _place(req, info), prefix):
        key, _, upload_id = entry.name.rpartition("/")
        if entry.content_type == MARKER_TYPE and key and not upload_id.isdecimal():
            found.append(Upload(key, upload_id, entry.modified_at, facts=entries.split_etag(entry.etag)[1]))
    return sorted(found, key=lambda upload: (upload.key, upload.id))


async def abort(req: Request, info: ContainerInfo, upload: Upload) -> None:
    """Give an upload up, with its parts."""
    place, own = await _place(req, info), _own(req, info)
    if place is not None:
        await writing.remove(own, place, f"{upload.key}/{upload.id}")
        await drop(req, info, Whole(upload.key, upload.id))


async def drop(req: Request, info: ContainerInfo, whole: Whole) -> None:
    """Delete the parts of an upload, or of a large object that is gone."""
    place, own, turn = await _place(req, info), _own(req, info), asyncio.Semaphore(AT_ONCE)
    if place is None:
        return

    async def one(name: str) -> None:
        async with turn:
            await writing.remove(own, place, name)

    doomed = [entry.name async for entry in _entries(req, place, f"{whole.key}/{whole.upload_id}/")]
    for start in range(0, len(doomed), 1000):
        await asyncio.gather(*(one(name) for name in doomed[start : start + 1000]))


async def manifest_of(req: Request, info: ContainerInfo) -> Whole | None:
    """Return the large object that the request's object is, if it was uploaded in parts and is no version."""
    if await _place(req, info) is None:
        return None
    return await manifest_at(req, info, req.name)


async def manifest_at(req: Request, place: ContainerInfo, stored: str) -> Whole | None:
    """Return the large object that lies under a stored name, if it was uploaded in parts."""
    found = await reading.open_stored(req, place, stored, head=True)
    if found is None or slo.MARK not in found.sysmeta or UPLOAD_ID not in found.sysmeta:
        return None
    return Whole(req.name, found.sysmeta[UPLOAD_ID])


def choose(present: Sequence[Part], chosen: Sequence[Chosen]) -> list[Part]:
    """Return the parts that a large object is to have.

    :raises Unfit: "order" where numbers do not rise, "part" where one is not there or another, "small" where one that is
        not the last has too few bytes.
    """
    by_number = {part.number: part for part in present}
    found: list[Part] = []
    for one in chosen:
        if found and one.number <= found[-1].number:
            raise Unfit("order", one.number)
        part = by_number.get(one.number)
        if part is None or part.etag != one.etag:
            raise Unfit("part", one.number, etag=one.etag)
        if any(part.facts.get(name) != value for name, value in one.facts.items()):
            raise Unfit("part", one.number, etag=one.etag)
        found.append(part)
    for part in found[:-1]:
        if part.size_bytes < PART_BYTES_MIN:
            raise Unfit("small", part.number, etag=part.etag, size_bytes=part.size_bytes)
    return found


def etag_of(found: Sequence[Part]) -> str:
    """Return the ETag that S3 gives an object of these parts: the MD5 of their MD5s, a dash, their number."""
    digest = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in found), usedforsecurity=False).hexdigest()
    return f"{digest}-{len(found)}"


def as_object(info: ContainerInfo, upload: Upload, found: Sequence[Part], more: Mapping[str, str]) -> tuple[NewObject, bytes]:
    """Return the large object that an upload becomes with these parts, and its manifest."""
    prefix = f"/{info.container}{access.PARTS}/{upload.key}/{upload.id}/"
    listed = [
        {
            "name": f"{prefix}{part.number}",
            "bytes": part.size_bytes,
            "hash": part.etag,
            "content_type": writing.OCTETS,
            "last_modified": part.modified_at.isoformat,
        }
        for part in found
        if part.size_bytes
    ]
    stored, s3_etag = msgspec.json.encode(listed), etag_of(found)
    slo_etag, size = slo.etag_of(listed), slo.size_of(listed)
    digest = hashlib.md5(stored, usedforsecurity=False).hexdigest()
    kept = dict(upload.marker.headers) if upload.marker else {}
    content_type = kept.pop(CONTENT_TYPE, writing.OCTETS)
    headers = {
        **kept,
        slo.MARK: "True",
        slo.SLO_ETAG: slo_etag,
        slo.SLO_SIZE: str(size),
        writing.INDEX_SIZE: str(size),
        writing.INDEX_ETAG: entries.index_etag(digest, slo_etag=slo_etag, s3_etag=s3_etag),
        versions.S3_ETAG: s3_etag,
        UPLOAD_ID: upload.id,
        **more,
    }
    return NewObject(content_type, headers, len(stored), digest), stored


async def finish(req: Request, info: ContainerInfo, upload: Upload, found: Sequence[Part]) -> None:
    """Forget an upload that was completed, and its parts that were not chosen."""
    place, own = await _place(req, info), _own(req, info)
    if place is None:
        return
    await writing.remove(own, place, f"{upload.key}/{upload.id}")
    wanted = {str(part.number) for part in found if part.size_bytes}
    prefix = f"{upload.key}/{upload.id}/"
    async for entry in _entries(req, place, prefix):
        if entry.name[len(prefix) :] not in wanted:
            await writing.remove(own, place, entry.name)


async def drop_all(req: Request, info: ContainerInfo) -> None:
    """Delete the container of parts of a container that is gone, with what is in it."""
    place, own = await _place(req, info), _own(req, info)
    if place is None:
        return
    async for entry in _entries(req, place, ""):
        await writing.remove(own, place, entry.name)
    at = req.store.next_timestamp(req.cloud.clock)
    await req.store.placement.delete_container(place.account, place.container, at)
    req.store.forget(place.account, place.container)
