"""Objects on their way out: opened, links followed, segments put together; answered whole, in ranges, or not at all."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from urllib.parse import quote, unquote

from pileus.kernel import ids
from pileus.object_store import conditions, ranges
from pileus.object_store.backend import ObjectName
from pileus.object_store.content import Content, plain
from pileus.object_store.indexes import ContainerInfo
from pileus.object_store.ranges import Span
from pileus.object_store.request import FileSlice, Refused, Request, Response, is_true
from pileus.object_store.service import access, dlo, slo

LINK, LINK_ACCOUNT = "X-Object-Sysmeta-Symlink-Target", "X-Object-Sysmeta-Symlink-Target-Account"
LINK_ETAG, LINK_BYTES = "X-Object-Sysmeta-Symlink-Target-Etag", "X-Object-Sysmeta-Symlink-Target-Bytes"
LINK_VERSION = "X-Object-Sysmeta-Versions-Symlink"
SHOWN_LINK = {
    LINK: "X-Symlink-Target", LINK_ACCOUNT: "X-Symlink-Target-Account", LINK_ETAG: "X-Symlink-Target-Etag",
    LINK_BYTES: "X-Symlink-Target-Bytes",
}  # fmt: skip


async def open_stored(req: Request, info: ContainerInfo, name: str, *, head: bool, newest: bool = False) -> Content | None:
    """Open what is stored under a name, as it is; None when there is nothing."""
    full = ObjectName(info.account, info.container, name)
    newest = newest or is_true(req.headers.get("x-newest", ""))
    if head:
        answer = await req.store.placement.object(info.policy, full, newest)
        return plain(answer.metadata) if answer.status == HTTPStatus.OK and answer.metadata else None
    reading = await req.store.placement.open(info.policy, full, newest)
    if reading is None or reading.answer.metadata is None:
        return None
    return plain(reading.answer.metadata, reading)


async def open_content(
    req: Request, info: ContainerInfo, name: str, *, head: bool, links: bool = True, whole: bool = True
) -> Content | None:
    """Open an object as callers mean it: links followed, large objects put together.

    :param links: follow links.
    :param whole: put large objects together; else the manifest is the content.
    :raises Refused: 409 when links go round or the target is not what it was.
    """
    content = await open_stored(req, info, name, head=head)
    if content is None:
        return None
    if links:
        content = await _follow(req, info, content, head)
        if content is None:
            return None
    if "X-Static-Large-Object" in content.sysmeta:
        return await slo.assemble(req, content, head) if whole else await slo.manifest(req, content, head)
    if whole and "X-Object-Manifest" in content.sysmeta:
        return await dlo.assemble(req, info.account, content)
    return content


async def _follow(req: Request, info: ContainerInfo, content: Content, head: bool) -> Content | None:
    account, steps, location, expected = info.account, 0, "", ""
    while target := content.sysmeta.get(LINK):
        await content.source.close()
        if steps > req.store.limits.symlink_depth - 1 and LINK_VERSION not in content.sysmeta:
            most = req.store.limits.symlink_depth
            raise Refused(409, f"Too many levels of symbolic links, maximum allowed is {most}")
        own = LINK_VERSION in content.sysmeta
        steps += 0 if own else 1
        account = unquote(content.sysmeta.get(LINK_ACCOUNT, "")) or account
        container, _, name = unquote(target).partition("/")
        location = f"/v1/{quote(account)}/{target}"
        found = content.sysmeta.get(LINK_ETAG, "")
        if expected and found and found != expected:
            raise Refused(409, "X-Symlink-Target-Etag headers do not match", {"Content-Location": location})
        expected = found
        next_info = await access.container_info(req, account, container)
        if not own:
            await access.authorize(req, next_info, write=False)
        opened = await open_stored(req, next_info, name, head=head) if next_info else None
        if opened is None:
            raise Refused(404, headers={"Content-Location": location})
        content = opened
    if expected and expected != _final_etag(content):
        await content.source.close()
        text = f"Object Etag {_final_etag(content)!r} does not match X-Symlink-Target-Etag header {expected!r}"
        raise Refused(409, text, {"Content-Location": location})
    content.location = location
    return content


def _final_etag(content: Content) -> str:
    return content.metadata.etag


async def answer(req: Request, content: Content, more: dict[str, str] | None = None) -> Response:
    """Answer a GET or HEAD with a content: whole, in ranges, or not at all where conditions say so.

    :raises Refused: 412 or 416; the content is closed then.
    """
    try:
        return _answer(req, content, more)
    except Refused:
        await content.source.close()
        raise


def _answer(req: Request, content: Content, more: dict[str, str] | None) -> Response:
    meta = content.metadata
    headers = {
        "Content-Type": content.content_type,
        "Etag": content.etag,
        "Last-Modified": conditions.http_date(meta.modified_at.seconds),
        "X-Timestamp": meta.modified_at.normal,
        "Accept-Ranges": "bytes",
        **content.headers,
        **({"X-Delete-At": str(meta.delete_at)} if meta.delete_at else {}),
        **({"Content-Location": content.location} if content.location else {}),
        **(more or {}),
    }
    if not content.etag:
        del headers["Etag"]
    status = conditions.verdict(req.headers, content.tags, meta.modified_at.seconds)
    if status == conditions.NOT_MODIFIED:
        return Response(
            304, {key: value for key, value in headers.items() if key != "Content-Length"}, close=content.source.close
        )
    if status == conditions.FAILED:
        raise Refused(412, headers={key: headers[key] for key in ("Etag", "Last-Modified", "X-Timestamp") if key in headers})
    if req.method == "HEAD":
        return Response(200, headers | {"Content-Length": str(content.size_bytes)}, close=content.source.close)
    spans = ranges.resolve(req.headers.get("range"), content.size_bytes) if _range_holds(req, content) else None
    if spans == []:
        text = "<html><h1>Requested Range Not Satisfiable</h1><p>The Range requested is not available.</p></html>"
        raise Refused(416, text, {"Content-Range": f"bytes */{content.size_bytes}"})
    if spans is None:
        return _part(content, 200, headers, Span(0, content.size_bytes))
    if len(spans) == 1:
        shown = {"Content-Range": ranges.content_range(spans[0], content.size_bytes)}
        return _part(content, 206, headers | shown, spans[0])
    boundary = ids.hex_id()
    length = ranges.envelope_length(boundary, content.content_type, spans, content.size_bytes)
    headers["Content-Type"] = f"multipart/byteranges;boundary={boundary}"
    return Response(206, headers, _parts(content, spans, boundary), length, content.source.close)


def _range_holds(req: Request, content: Content) -> bool:
    """Tell whether an If-Range header, if there is one, still fits."""
    text = req.headers.get("if-range")
    if text is None:
        return True
    moment = conditions.parse_date(text)
    if moment is not None:
        return content.metadata.modified_at.ceiling <= moment
    return bool(conditions.etags(text) & content.tags)


def _part(content: Content, status: int, headers: dict[str, str], span: Span) -> Response:
    source = content.source
    if source.inline is not None:
        return Response(status, headers, source.inline[span.start : span.end], span.length, source.close)
    if source.path is not None:
        whole = FileSlice(source.path, content.size_bytes, span.start, span.length)
        return Response(status, headers, whole, span.length, source.close)
    return Response(status, headers, source.chunks(span.start, span.length), span.length, source.close)


async def _parts(content: Content, spans: list[Span], boundary: str) -> AsyncIterator[bytes]:
    for place, span in enumerate(spans):
        yield ranges.part_head(boundary, content.content_type, span, content.size_bytes, place == 0)
        async for chunk in content.source.chunks(span.start, span.length):
            yield chunk
    yield ranges.tail(boundary)
