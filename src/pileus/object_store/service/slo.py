"""Static large objects, read: a manifest that lists segments with their sizes and ETags, and what they amount to.

The manifest is stored as a JSON list.  A segment has name, bytes, hash, content_type, last_modified, and perhaps range (first
and last byte) and sub_slo (it is such a large object itself); or it has data, its bytes in base64.
"""

import base64
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from pileus.object_store.backend import Unreachable
from pileus.object_store.content import Content, Source
from pileus.object_store.request import JSON, Refused, Request
from pileus.object_store.service import access, links

SLO_ETAG, SLO_SIZE = "X-Object-Sysmeta-Slo-Etag", "X-Object-Sysmeta-Slo-Size"
MARK = "X-Static-Large-Object"


@dataclass(frozen=True)
class Part:
    """Bytes of one segment; or data, bytes that stand in the manifest itself."""

    length: int
    data: bytes | None = None
    container: str = ""
    name: str = ""
    etag: str = ""
    size_bytes: int = 0
    start: int = 0
    is_manifest: bool = False


def parts_of(stored: bytes) -> list[Part]:
    """Return the parts that a stored manifest lists."""
    return [_part(entry) for entry in msgspec.json.decode(stored)]


def _part(entry: Mapping[str, Any]) -> Part:
    if "data" in entry:
        data = base64.b64decode(entry["data"])
        return Part(len(data), data)
    container, _, name = str(entry["name"]).lstrip("/").partition("/")
    size, start, end = int(entry["bytes"]), 0, int(entry["bytes"])
    if entry.get("range"):
        first, _, last = str(entry["range"]).partition("-")
        start, end = int(first), int(last) + 1
    return Part(end - start, None, container, name, str(entry["hash"]), size, start, bool(entry.get("sub_slo")))


def etag_of(entries: Iterable[Mapping[str, Any]]) -> str:
    """Return the ETag of a large object: the MD5 of those of its segments and their ranges."""
    digest = hashlib.md5(usedforsecurity=False)
    for entry in entries:
        if "data" in entry:
            text = hashlib.md5(base64.b64decode(entry["data"]), usedforsecurity=False).hexdigest()
        else:
            text = f"{entry['hash']}:{entry['range']};" if entry.get("range") else str(entry["hash"])
        digest.update(text.encode())
    return digest.hexdigest()


def size_of(entries: Iterable[Mapping[str, Any]]) -> int:
    """Return the size of a large object in bytes."""
    return sum(_part(entry).length for entry in entries)


async def read_all(source: Source, most: int) -> bytes:
    """Return all bytes of a source, and close it.  :raises Refused: 413 when there are more than most."""
    try:
        if source.inline is not None:
            return source.inline
        found = bytearray()
        async for chunk in source.chunks():
            found += chunk
            if len(found) > most:
                raise Refused(413)
        return bytes(found)
    finally:
        await source.close()


@dataclass
class Assembled:
    """The bytes of the parts of a manifest, one after the other."""

    req: Request
    account: str
    parts: Sequence[Part]
    depth: int = 1
    inline: bytes | None = None
    path: str | None = None

    async def chunks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Read bytes.  :raises Unreachable: when a segment is not what the manifest says."""
        left = sum(part.length for part in self.parts) - start if length is None else length
        for part in self.parts:
            if left <= 0:
                return
            if start >= part.length:
                start -= part.length
                continue
            take = min(left, part.length - start)
            if part.data is not None:
                yield part.data[start : start + take]
            else:
                source = await self.open(part)
                try:
                    async for chunk in source.chunks(part.start + start, take):
                        yield chunk
                finally:
                    await source.close()
            left, start = left - take, 0

    async def open(self, part: Part) -> Source:
        """Open a segment.  :raises Unreachable: when it is not what the manifest says, or lies too deep."""
        found = await _open_segment(self.req, self.account, part)
        if not part.is_manifest:
            return found
        if self.depth >= self.req.store.limits.manifest_depth:
            await found.close()
            raise Unreachable(f"{part.name}: max recursion depth exceeded")
        stored = await read_all(found, self.req.store.limits.manifest_bytes)
        inner = parts_of(stored)
        try:
            await authorize_parts(self.req, self.account, inner)
        except Refused as refused:
            raise Unreachable(f"{part.name}: its segments may not be read") from refused
        return Assembled(self.req, self.account, inner, self.depth + 1)

    async def close(self) -> None:
        """Nothing is held."""


async def _open_segment(req: Request, account: str, part: Part) -> Source:
    info = await access.container_info(req, account, part.container)
    try:
        found = await links.open_stored(req, info, part.name, head=False) if info else None
        content = await links.follow(req, account, found, head=False) if found else None
    except Refused as refused:
        raise Unreachable(f"segment /{part.container}/{part.name}: {refused.message or refused.status}") from refused
    if content is None:
        raise Unreachable(f"segment /{part.container}/{part.name} is not there")
    meta = content.metadata
    etag = meta.headers.get(SLO_ETAG, meta.etag)
    size = int(meta.headers.get(SLO_SIZE, meta.size_bytes))
    if etag != part.etag or size != part.size_bytes:
        await content.source.close()
        raise Unreachable(f"segment /{part.container}/{part.name} has changed")
    return content.source


async def authorize_parts(req: Request, account: str, parts: Sequence[Part]) -> None:
    """Check that the caller may read the segments.  :raises Refused: 401 or 403."""
    for container in {part.container for part in parts if part.data is None}:
        info = await access.container_info(req, account, container)
        await access.authorize(req, info, write=False)


async def assemble(req: Request, content: Content, head: bool) -> Content:
    """Return the content that a manifest stands for.  :raises Refused: 409 when its first segment cannot be read."""
    meta = content.metadata
    etag, size = meta.headers.get(SLO_ETAG), meta.headers.get(SLO_SIZE)
    account = _account_of(req, content)
    made, lengths = content.source, None
    if not head:
        stored = await read_all(content.source, req.store.limits.manifest_bytes)
        parts = parts_of(stored)
        try:
            await authorize_parts(req, account, parts)
        except Refused as refused:
            raise Refused(409) from refused
        assembled = Assembled(req, account, parts)
        await _check_first(assembled)
        made, lengths = assembled, [part.length for part in parts]
        size = size or str(sum(part.length for part in parts))
    shown = content.headers | {"X-Manifest-Etag": meta.etag}
    return replace(
        content,
        size_bytes=int(size or 0),
        etag=f'"{etag}"',
        tags={etag or "", meta.etag},
        headers=shown,
        source=made,
        parts=lengths,
    )


def _account_of(req: Request, content: Content) -> str:
    return content.location.split("/")[2] if content.location else req.account


async def _check_first(assembled: Assembled) -> None:
    first = next((part for part in assembled.parts if part.data is None), None)
    if first is None:
        return
    try:
        opened = await assembled.open(first)
    except Unreachable as error:
        raise Refused(409) from error
    if isinstance(opened, Assembled):
        await _check_first(opened)
    await opened.close()


async def manifest(req: Request, content: Content, head: bool) -> Content:
    """Return the manifest itself as the content; with format=raw in the form in which it may be uploaded."""
    shown = content.headers | {"X-Static-Large-Object": "True"}
    if req.query.get("format") != "raw":
        return replace(content, content_type=JSON, headers=shown)
    if head:
        return replace(content, headers=shown)
    raw = await raw_manifest(content.source, req.store.limits.manifest_bytes)
    etag = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    meta = msgspec.structs.replace(content.metadata, etag=etag, size_bytes=len(raw))
    return replace(content, metadata=meta, size_bytes=len(raw), etag=etag, tags={etag}, headers=shown, source=Raw(raw))


async def raw_manifest(source: Source, most: int) -> bytes:
    """Read a manifest, and return it in the form in which it may be uploaded."""
    stored = await read_all(source, most)
    return msgspec.json.encode([_raw(entry) for entry in msgspec.json.decode(stored)])


def _raw(entry: Mapping[str, Any]) -> dict[str, Any]:
    if "data" in entry:
        return {"data": entry["data"]}
    found = {"path": entry["name"], "size_bytes": entry["bytes"], "etag": entry["hash"]}
    return found | ({"range": entry["range"]} if entry.get("range") else {})


@dataclass
class Raw:
    """Bytes that are at hand, as a source."""

    inline: bytes | None
    path: str | None = None

    async def chunks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Read bytes."""
        data = self.inline or b""
        yield data[start:] if length is None else data[start : start + length]

    async def close(self) -> None:
        """Nothing is held."""
