"""Dynamic large objects: an empty object that names a container and a prefix; what is there, in order, is its content."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import unquote

from pileus.object_store.backend import ObjectName, Unreachable
from pileus.object_store.content import Content
from pileus.object_store.indexes import ContainerInfo, Listing, ObjectEntry
from pileus.object_store.request import Refused, Request
from pileus.object_store.service import access, entries


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
        left = sum(entry.size_bytes for entry in self.listed) - start if length is None else length
        for entry in self.listed:
            if left <= 0:
                return
            if start >= entry.size_bytes:
                start -= entry.size_bytes
                continue
            name = ObjectName(self.info.account, self.info.container, entry.name)
            reading = await self.req.store.placement.open(self.info.policy, name)
            if reading is None:
                raise Unreachable(f"segment {entry.name} is gone")
            try:
                if reading.answer.metadata is None or reading.answer.metadata.size_bytes != entry.size_bytes:
                    raise Unreachable(f"segment {entry.name} has changed")
                take = min(left, entry.size_bytes - start)
                async for chunk in reading.chunks(start, take):
                    yield chunk
            finally:
                await reading.close()
            left, start = left - take, 0

    async def close(self) -> None:
        """Nothing is held."""


async def assemble(req: Request, account: str, content: Content) -> Content:
    """Return the content that a manifest stands for.  :raises Refused: 401 or 403 when the caller may not read it."""
    container, _, prefix = unquote(content.sysmeta["X-Object-Manifest"]).lstrip("/").partition("/")
    await content.source.close()
    info = await access.container_info(req, account, container)
    await access.authorize(req, info, write=False)
    listed = await _list(req, info, prefix) if info else []
    digest = hashlib.md5("".join(entries.split_etag(entry.etag)[0] for entry in listed).encode(), usedforsecurity=False)
    etag = f'"{digest.hexdigest()}"'
    size = sum(entry.size_bytes for entry in listed)
    if info is None:
        return replace(content, size_bytes=0, etag=etag, tags={digest.hexdigest()})
    return replace(content, size_bytes=size, etag=etag, tags={digest.hexdigest()}, source=Segments(req, info, listed))


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
