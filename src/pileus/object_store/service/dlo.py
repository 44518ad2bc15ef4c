"""Dynamic large objects: an empty object that names a container and a prefix; what is there, in order, is its content."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import unquote

from pileus.object_store.backend import Unreachable
from pileus.object_store.content import Content
from pileus.object_store.indexes import ContainerInfo, Listing, ObjectEntry
from pileus.object_store.request import Refused, Request
from pileus.object_store.service import access, entries, links


@dataclass
class Segments:
    """The bytes of objects of one container, one after the other."""

    req: Request
    info: ContainerInfo
    listed: Sequence[ObjectEntry]
    inline: bytes | None = None
    path: str | None = None

    async def chunks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Read bytes.  :raises Unreachable: when a segment has changed since it was listed."""
        left = sum(size_of(entry) for entry in self.listed) - start if length is None else length
        for entry in self.listed:
            size = size_of(entry)
            if left <= 0:
                return
            if start >= size:
                start -= size
                continue
            content = await self._open(entry)
            try:
                if content.size_bytes != size:
                    raise Unreachable(f"segment {entry.name} has changed")
                take = min(left, size - start)
                async for chunk in content.source.chunks(start, take):
                    yield chunk
            finally:
                await content.source.close()
            left, start = left - take, 0

    async def _open(self, entry: ObjectEntry) -> Content:
        try:
            found = await links.open_stored(self.req, self.info, entry.name, head=False)
            if found is None:
                raise Unreachable(f"segment {entry.name} is gone")
            return await links.follow(self.req, self.info.account, found, head=False)
        except Refused as refused:
            raise Unreachable(f"segment {entry.name} cannot be read: {refused.status}") from refused

    async def close(self) -> None:
        """Nothing is held."""


def size_of(entry: ObjectEntry) -> int:
    """Return how many bytes a segment has: of a link, its target's."""
    text = entries.split_etag(entry.etag)[1].get("symlink_target_bytes") if "; " in entry.etag else None
    return int(text) if text else entry.size_bytes


def _etag_of(entry: ObjectEntry) -> str:
    etag, facts = entries.split_etag(entry.etag)
    return facts.get("symlink_target_etag", etag)


async def assemble(req: Request, account: str, content: Content) -> Content:
    """Return the content that a manifest stands for.  :raises Refused: 401 or 403 when the caller may not read it."""
    container, _, prefix = unquote(content.sysmeta["X-Object-Manifest"]).lstrip("/").partition("/")
    await content.source.close()
    info = await access.container_info(req, account, container)
    await access.authorize(req, info, write=False)
    listed = await _list(req, info, prefix) if info else []
    digest = hashlib.md5("".join(_etag_of(entry) for entry in listed).encode(), usedforsecurity=False)
    etag = f'"{digest.hexdigest()}"'
    size = sum(size_of(entry) for entry in listed)
    if info is None:
        return replace(content, size_bytes=0, etag=etag, tags={digest.hexdigest()})
    return replace(
        content, size_bytes=size, etag=etag, tags={digest.hexdigest()}, source=Segments(req, info, listed), one_range=True
    )


async def _list(req: Request, info: ContainerInfo, prefix: str) -> list[ObjectEntry]:
    found: list[ObjectEntry] = []
    most, marker = req.store.limits.listing_segments, ""
    while True:
        page = Listing(limit=most, prefix=prefix, marker=marker)
        answer = await req.store.placement.container(info.account, info.container, page)
        if answer.status != HTTPStatus.OK:
            raise Refused(int(answer.status))
        found += [entry for entry in answer.entries if isinstance(entry, ObjectEntry)]
        if len(answer.entries) < most:
            return found
        marker = answer.entries[-1].name
