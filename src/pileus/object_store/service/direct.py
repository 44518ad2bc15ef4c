"""Objects for doors whose rules of versions are S3's: stored, opened, deleted and described by version.

They differ from Swift's in this: an object that was there before versions were kept is its version "null", also after it
was overwritten; while versions are suspended, writes and deletions replace that one; and when the newest version is deleted
by its id the one before it becomes the object again.  The data are the same.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from urllib.parse import unquote

from msgspec.structs import replace as replace_struct

from pileus.object_store import names
from pileus.object_store.backend import ObjectName, ObjectPost, Written
from pileus.object_store.content import Content
from pileus.object_store.indexes import ContainerInfo, Listing, ObjectEntry
from pileus.object_store.request import Body, Bytes, Refused, Request
from pileus.object_store.service import access, entries, locks, parts, quotas, reading, version_ids, versions, writing
from pileus.object_store.service.version_ids import NULL
from pileus.object_store.service.writing import NewObject

Check = Callable[[Content | None], None]
"""Looks at the object that is there and raises Refused when the request is not to go on."""


@dataclass(frozen=True)
class Found:
    """An object, opened; version_id is "" where the container never kept versions."""

    content: Content
    version_id: str = ""


@dataclass(frozen=True)
class Stored:
    """How an object was stored or deleted; is_marker: a deletion that left, or took away, a marker of deletion."""

    etag: str = ""
    version_id: str = ""
    is_marker: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


class Superseded(Refused):
    """What a conditional upload stored is older than what somebody else did to the object meanwhile."""


def keeps_versions(info: ContainerInfo) -> bool:
    """Tell whether a container keeps versions, or has once."""
    return bool(info.metadata.get(versions.HIDDEN))


def version_of(info: ContainerInfo, content: Content) -> str:
    """Return the version id of an object's current content."""
    if not keeps_versions(info):
        return ""
    if versions.NULL_MARK in content.sysmeta or not content.location:
        return NULL
    return version_ids.version_of_target(content.location.removeprefix("/v1/").partition("/")[2])


async def open_object(req: Request, info: ContainerInfo, version_id: str = "", *, head: bool) -> Found:
    """Open an object, or one of its versions.

    :raises Refused: 404 when there is none (with X-Object-Version-Id when a marker of deletion is there), 400 for an id
        that is none.
    """
    await access.authorize(req, info, write=False)
    if version_id and keeps_versions(info):
        content, shown = await _open_version(req, info, version_id, head=head)
        return Found(content, shown)
    if version_id not in ("", NULL):
        version_ids.stored_name(req, version_id)
        raise Refused(404)
    found = await reading.open_content(req, info, req.name, head=head)
    if found is None:
        marker = await _newest(req, info) if keeps_versions(info) else None
        raise Refused(404, headers={"X-Object-Version-Id": _id_of(marker)} if marker else {})
    return Found(found, version_of(info, found) or version_id)


async def _open_version(req: Request, info: ContainerInfo, version_id: str, *, head: bool) -> tuple[Content, str]:
    if version_id != NULL:
        content = await version_ids.open_version(req, info, version_id, head=head)
        return content, version_id
    if await version_ids.current(req, info) == NULL:
        try:
            return await version_ids.open_version(req, info, NULL, head=head), NULL
        except Refused as refused:
            if refused.status != 404:
                raise
    entry = await _null_entry(req, info)
    if entry is None:
        raise Refused(404)
    content = await version_ids.open_version(req, info, names.parse_version(entry.name)[1], head=head)
    return content, NULL


def is_null(entry: ObjectEntry) -> bool:
    """Tell whether a line of the hidden container is the version "null"."""
    return "; " in entry.etag and entries.split_etag(entry.etag)[1].get("null") == "true"


async def _entries(req: Request, info: ContainerInfo, limit: int) -> AsyncIterator[ObjectEntry]:
    """Yield the versions of the object in the hidden container, the newest first."""
    hidden = await versions.hidden_info(req, info)
    prefix, marker = names.reserved(req.name, ""), ""
    while hidden is not None:
        page = Listing(prefix=prefix, marker=marker, limit=limit, allow_reserved=True)
        answer = await req.store.placement.container(hidden.account, hidden.container, page)
        for entry in answer.entries:
            if isinstance(entry, ObjectEntry):
                yield entry
                marker = entry.name
        if len(answer.entries) < limit:
            return


async def _null_entry(req: Request, info: ContainerInfo) -> ObjectEntry | None:
    return await anext((entry async for entry in _entries(req, info, 1000) if is_null(entry)), None)


async def _newest(req: Request, info: ContainerInfo) -> ObjectEntry | None:
    return await anext(_entries(req, info, 1), None)


def _id_of(entry: ObjectEntry) -> str:
    return NULL if is_null(entry) else names.parse_version(entry.name)[1]


async def store(req: Request, info: ContainerInfo, new: NewObject, body: Body, check: Check | None = None) -> Stored:
    """Store an object.

    :param check: looked at before the body is read, and again after, in turn with all others that check this object.
    :raises Superseded: when it passed, and the object was changed later than the request began all the same.
    """
    await access.authorize(req, info, write=True)
    writing.check_name(req)
    await quotas.check(req, info, new.size_bytes if new.size_bytes is not None else body.length)
    if check is not None:
        check(await _present(req, info))
    async with AsyncExitStack() as turn:
        in_turn = check is not None or keeps_versions(info)
        guarded = _Guarded(body, req, info, check, turn) if in_turn else body
        before = await parts.manifest_of(req, info) if not versions.is_enabled(info) else None
        written, more = await versions.store(req, info, new, guarded)
    if check is not None and written.status == 202:
        raise Superseded(409, "A later change of the object came before.")
    return await _after_store(req, info, written, more, before)


async def _after_store(
    req: Request, info: ContainerInfo, written: Written, more: Mapping[str, str], before: "parts.Whole | None"
) -> Stored:
    if before is not None and written.status == 201:
        await parts.drop(req, info, before)
    version_id = more.get("X-Object-Version-Id", "")
    if keeps_versions(info) and not version_id:
        await _drop_null(req, info)
        version_id = NULL
    return Stored(written.etag, version_id)


@dataclass
class _Guarded:
    """A body at whose end a turn begins, which lasts until the object is stored, and a check is made."""

    body: Body
    req: Request
    info: ContainerInfo
    check: Check | None
    turn: AsyncExitStack

    @property
    def length(self) -> int | None:
        return self.body.length

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        async for chunk in self.body.chunks():
            yield chunk
        await self.turn.enter_async_context(self.req.store.turn(self.info.account, self.info.container, self.req.name))
        if self.check is not None:
            self.check(await _present(self.req, self.info))


async def _present(req: Request, info: ContainerInfo) -> Content | None:
    try:
        found = await reading.open_content(req, info, req.name, head=True)
    except Refused as refused:
        if refused.status != 404:
            raise
        return None
    if found is not None:
        await found.source.close()
    return found


async def _drop_null(req: Request, info: ContainerInfo) -> None:
    """Delete the version "null" among the versions: another one has taken its place."""
    entry = await _null_entry(req, info)
    hidden = await versions.hidden_info(req, info)
    if entry is not None and hidden is not None:
        await locks.check_version(req, info, hidden, entry.name)
        await _remove_version(req, info, hidden, entry.name)


async def _remove_version(req: Request, info: ContainerInfo, hidden: ContainerInfo, stored: str) -> bool:
    """Delete a version with the parts it is made of; False when there was none."""
    whole = await parts.manifest_at(req, hidden, stored)
    written = await writing.remove(req, hidden, stored)
    if not written.ok and written.status != 404:
        raise Refused(int(written.status))
    if whole is not None and written.ok:
        await parts.drop(req, info, whole)
    return written.ok


async def delete(req: Request, info: ContainerInfo, version_id: str = "", check: Check | None = None) -> Stored:
    """Delete an object, or one of its versions for good.  What is not there is deleted already.

    :raises Refused: 403 when object lock keeps it.
    """
    await access.authorize(req, info, write=True)
    if check is None and not keeps_versions(info):
        return await _delete(req, info, version_id)
    async with req.store.turn(info.account, info.container, req.name):
        if check is not None:
            check(await _asked_for(req, info, version_id))
        return await _delete(req, info, version_id)


async def _asked_for(req: Request, info: ContainerInfo, version_id: str) -> Content | None:
    """Return the object, or the version, that a deletion is of; None when there is none."""
    if not version_id:
        return await _present(req, info)
    try:
        found = await open_object(req, info, version_id, head=True)
    except Refused as refused:
        if refused.status != 404:
            raise
        return None
    return found.content


async def _delete(req: Request, info: ContainerInfo, version_id: str) -> Stored:
    if version_id and keeps_versions(info):
        return await _delete_version(req, info, version_id)
    if version_id not in ("", NULL):
        version_ids.stored_name(req, version_id)
        raise Refused(404)
    if versions.is_enabled(info):
        try:
            more = await versions.delete(req, info)
        except Refused as refused:
            if refused.status != 404:
                raise
            more = refused.headers
        return Stored(version_id=more.get("X-Object-Version-Id", ""), is_marker=True)
    if keeps_versions(info):
        return await _delete_suspended(req, info)
    before = await parts.manifest_of(req, info)
    try:
        await versions.delete(req, info)
    except Refused as refused:
        if refused.status != 404:
            raise
    if before is not None:
        await parts.drop(req, info, before)
    return Stored()


async def _delete_suspended(req: Request, info: ContainerInfo) -> Stored:
    """Delete an object while versions are suspended: its version "null" becomes a marker of deletion."""
    await _drop_null(req, info)
    before = await parts.manifest_of(req, info)
    hidden = await versions.hidden_info(req, info)
    if hidden is None:
        raise Refused(500, versions.GONE)
    etag = entries.index_etag(entries.EMPTY_MD5, null="true")
    marker = NewObject(versions.MARKER_TYPE, {versions.NULL_MARK: "true", writing.INDEX_ETAG: etag}, 0)
    await writing.write(req, hidden, names.version_object(req.name, req.at.normal), marker, Bytes())
    await writing.remove(req, info, req.name, replace_struct(req.at, offset=req.at.offset + 1))
    if before is not None:
        await parts.drop(req, info, before)
    return Stored(version_id=NULL, is_marker=True)


async def _delete_version(req: Request, info: ContainerInfo, version_id: str) -> Stored:
    hidden = await versions.hidden_info(req, info)
    if hidden is None:
        raise Refused(500, versions.GONE)
    current = await version_ids.current(req, info)
    if version_id == NULL:
        found = await reading.open_stored(req, info, req.name, head=True)
        if found is not None and reading.LINK_VERSION not in found.sysmeta:
            before = await parts.manifest_of(req, info)
            await writing.remove(req, info, req.name)
            if before is not None:
                await parts.drop(req, info, before)
            await promote(req, info)
            return Stored(version_id=NULL)
        entry = await _null_entry(req, info)
        if entry is None:
            return Stored(version_id=NULL)
        stored = entry.name
    else:
        stored = version_ids.stored_name(req, version_id)
    await locks.check_version(req, info, hidden, stored)
    answer = await req.store.placement.object(hidden.policy, ObjectName(hidden.account, hidden.container, stored))
    is_marker = answer.metadata is not None and answer.metadata.content_type == versions.MARKER_TYPE
    await _remove_version(req, info, hidden, stored)
    if names.parse_version(stored)[1] == current or is_marker:
        await promote(req, info)
    return Stored(version_id=version_id, is_marker=is_marker)


async def promote(req: Request, info: ContainerInfo) -> None:
    """Make the newest version the object again, after the one that was it is gone."""
    found = await reading.open_stored(req, info, req.name, head=True)
    if found is not None and reading.LINK_VERSION not in found.sysmeta:
        return
    entry, hidden = await _newest(req, info), await versions.hidden_info(req, info)
    if entry is None or hidden is None or entry.content_type == versions.MARKER_TYPE:
        if found is not None:
            await writing.remove(req, info, req.name)
        return
    answer = await req.store.placement.object(hidden.policy, ObjectName(hidden.account, hidden.container, entry.name))
    meta = answer.metadata
    if meta is not None:
        await versions.link(req, info, entry.name, meta.etag, entry.size_bytes, NewObject(meta.content_type, dict(meta.headers)))


Change = Callable[[Content], Awaitable[Mapping[str, str]]]


async def describe(req: Request, info: ContainerInfo, version_id: str, change: Change) -> str:
    """Change what is kept beside an object or one of its versions, and return the version's id.

    :param change: told the object, returns stored headers to set ("" removes).
    """
    await access.authorize(req, info, write=True)
    async with req.store.turn(info.account, info.container, req.name):
        found = await open_object(req, info, version_id, head=True)
        content = found.content
        place, name = info, req.name
        if found.version_id and content.location:
            path = unquote(content.location.removeprefix("/v1/")).partition("/")[2]
            hidden = await versions.hidden_info(req, info)
            place, name = (hidden or info), path.partition("/")[2]
        elif found.version_id and version_id and version_id != NULL:
            hidden = await versions.hidden_info(req, info)
            place, name = (hidden or info), version_ids.stored_name(req, version_id)
        elif found.version_id == NULL and versions.NULL_MARK in content.sysmeta:
            entry, hidden = await _null_entry(req, info), await versions.hidden_info(req, info)
            if entry is not None and hidden is not None:
                place, name = hidden, entry.name
        changes = await change(content)
        await _post(req, place, name, content, changes)
    return found.version_id


async def _post(req: Request, place: ContainerInfo, name: str, content: Content, changes: Mapping[str, str]) -> None:
    meta = content.metadata
    kept = {key: value for key, value in meta.headers.items() if not key.startswith("X-Object-Sysmeta-")}
    headers = {key: value for key, value in (kept | dict(changes)).items() if value}
    post = ObjectPost(timestamp=req.at, delete_at=meta.delete_at, headers=headers)
    if locks.is_locked(headers, req.cloud.clock.now()):
        post = replace_struct(post, delete_at=None)
    written = await req.store.placement.post_object(place.policy, ObjectName(place.account, place.container, name), post, True)
    if not written.ok:
        raise Refused(int(written.status))
