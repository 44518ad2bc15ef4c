"""The content of images: streams in, files out."""

import asyncio
import re
from collections.abc import AsyncIterator

from pileus.image.api.imports import STORE_HEADER
from pileus.image.backend import BackendError
from pileus.image.files import Block, Workspace
from pileus.image.service import data
from pileus.image.store import Image
from pileus.kernel.errors import BadRequest, RangeNotSatisfiable, Unavailable, UnsupportedMedia
from pileus.kernel.http import Answer, Call, FileAnswer, Route, StreamAnswer

OCTETS = "application/octet-stream"
BLOCK_BYTES, BLOCK_PARTS = 1 << 20, 512
RANGE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*$")
CONTENT_RANGE = re.compile(r"bytes\s+(\d+)-(\d+)/(\d+|\*)\s*$")


async def upload(call: Call) -> None:
    """Upload an image's content."""
    await _receive(call, stage=False)


async def stage(call: Call) -> None:
    """Upload content that waits for an import."""
    await _receive(call, stage=True)


async def _receive(call: Call, stage: bool) -> None:
    _require_octets(call)
    size_told = _size_told(call)
    loop, threads = asyncio.get_running_loop(), call.cloud.part(Workspace).threads
    store_id = "" if stage else call.headers.get(STORE_HEADER, "")
    begun = await loop.run_in_executor(
        threads, lambda: data.begin_upload(call.ctx, call.path["image_id"], size_told, stage=stage, store_id=store_id)
    )
    done = False
    try:
        block: Block = []
        size = 0
        assert call.chunks is not None
        async for chunk in call.chunks():
            block.append(chunk)
            size += len(chunk)
            if size >= BLOCK_BYTES or len(block) >= BLOCK_PARTS:
                await loop.run_in_executor(threads, begun.sink.take, block)
                block, size = [], 0
        if block:
            await loop.run_in_executor(threads, begun.sink.take, block)
        await loop.run_in_executor(threads, data.end_upload, begun)
        done = True
    finally:
        if not done:
            await asyncio.shield(loop.run_in_executor(threads, data.abandon_upload, begun))


def _require_octets(call: Call) -> None:
    kind = call.headers.get("content-type", "").partition(";")[0].strip()
    if kind != OCTETS:
        raise UnsupportedMedia(f"Invalid content type {kind or 'None'}: it must be {OCTETS}.")


def _size_told(call: Call) -> int | None:
    text = call.headers.get("x-openstack-image-size") or call.headers.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise BadRequest("Invalid or missing image size in request headers.")
    return int(text)


def download(call: Call) -> Answer | FileAnswer | StreamAnswer:
    """Download an image's content, or a range of it; prefer names the stores to be tried first."""
    preferred = [name.strip() for name in (call.query.get("prefer") or "").split(",") if name.strip()]
    found = data.open_download(call.ctx, call.path["image_id"], preferred)
    image, size = found.image, found.image.size or 0
    if not found.path and found.read is None:
        return Answer(None, status=204)
    headers = {"Accept-Ranges": "bytes"} | ({"Content-MD5": image.checksum} if image.checksum else {})
    wanted = _range(call, image)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {wanted[0]}-{wanted[1] - 1}/{size}"
    start, end = wanted or (0, size)
    if found.path:
        length = None if wanted is None else end - start
        return FileAnswer(found.path, size, start, length, 200 if wanted is None else 206, headers)
    return _stream(call, found, headers, start, None if wanted is None else end - start)


def _stream(call: Call, found: data.Download, headers: dict[str, str], start: int, length: int | None) -> StreamAnswer:
    """Answer with content that is read from elsewhere while it is sent; the first bytes are there before the status is."""
    assert found.read is not None
    blocks = found.read(start, length)
    try:
        first = next(blocks, b"")
    except BackendError as error:
        raise Unavailable(f"The content of image {found.image.id} cannot be had now: {error}") from error
    threads = call.cloud.part(Workspace).threads

    async def chunks() -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        block: bytes | None = first
        try:
            while block is not None:
                if block:
                    yield block
                block = await loop.run_in_executor(threads, next, blocks, None)
            if length is None:
                await loop.run_in_executor(threads, data.cache_soon, found, call.ctx)
        finally:
            await loop.run_in_executor(threads, getattr(blocks, "close", lambda: None))

    told = found.image.size if length is None else length
    return StreamAnswer(chunks(), told, 200 if length is None else 206, headers)


def _range(call: Call, image: Image) -> tuple[int, int] | None:
    """Return the first byte asked for and the one after the last; None: all.  A Content-Range is taken as Glance does."""
    size_bytes = image.size or 0
    text = call.headers.get("range")
    if text is None:
        text = call.headers.get("content-range")
        found = CONTENT_RANGE.match(text) if text else None
        if text is None:
            return None
        if not found or not int(found[1]) <= int(found[2]) < size_bytes:
            raise _not_satisfiable(text, size_bytes)
        return int(found[1]), int(found[2]) + 1
    found = RANGE.match(text)
    if not found or not (found[1] or found[2]):
        raise _not_satisfiable(text, size_bytes)
    if not found[1]:
        start, end = max(size_bytes - int(found[2]), 0), size_bytes
    else:
        start = int(found[1])
        end = min(int(found[2]) + 1, size_bytes) if found[2] else size_bytes
    if not 0 <= start < end:
        raise _not_satisfiable(text, size_bytes)
    return start, end


def _not_satisfiable(text: str, size_bytes: int) -> RangeNotSatisfiable:
    headers = {"Content-Range": f"bytes */{size_bytes}"}
    return RangeNotSatisfiable(f"The byte range passed in the 'Range' header could not be satisfied: {text}", headers=headers)


FILE = "/v2/images/{image_id}/file"
ROUTES = (
    Route(
        "PUT", FILE, upload, stream=True, status=204, rule="upload_image", errors=(400, 401, 403, 404, 409, 410, 413, 415, 503)
    ),
    Route("GET", FILE, download, rule="download_image", errors=(401, 403, 404, 416)),
    Route(
        "PUT",
        "/v2/images/{image_id}/stage",
        stage,
        stream=True,
        status=204,
        rule="modify_image",
        errors=(401, 403, 404, 409, 413, 415),
    ),
)
