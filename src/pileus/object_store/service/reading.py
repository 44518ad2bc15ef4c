"""Objects on their way out: opened, links followed, segments put together; answered whole, in ranges, or not at all."""

from collections.abc import AsyncIterator

from pileus.kernel import ids
from pileus.object_store import conditions, ranges
from pileus.object_store.content import Content
from pileus.object_store.indexes import ContainerInfo
from pileus.object_store.ranges import Span
from pileus.object_store.request import FileSlice, Refused, Request, Response
from pileus.object_store.service import dlo, links, slo
from pileus.object_store.service.links import (
    LINK,
    LINK_ACCOUNT,
    LINK_BYTES,
    LINK_ETAG,
    LINK_VERSION,
    SHOWN_LINK,
    open_stored,
)

__all__ = [
    "LINK",
    "LINK_ACCOUNT",
    "LINK_BYTES",
    "LINK_ETAG",
    "LINK_VERSION",
    "SHOWN_LINK",
    "answer",
    "open_content",
    "open_stored",
]


async def open_content(
    req: Request, info: ContainerInfo, name: str, *, head: bool, follow: bool = True, whole: bool = True
) -> Content | None:
    """Open an object as callers mean it: links followed, large objects put together.

    :param follow: follow links.
    :param whole: put large objects together; else the manifest is the content.
    :raises Refused: 409 when links go round or the target is not what it was.
    """
    head = head and "part-number" not in req.query
    content = await open_stored(req, info, name, head=head)
    if content is None:
        return None
    if follow:
        content = await links.follow(req, info.account, content, head)
    if "X-Static-Large-Object" in content.sysmeta:
        return await slo.assemble(req, content, head) if whole else await slo.manifest(req, content, head)
    if whole and "X-Object-Manifest" in content.sysmeta:
        return await dlo.assemble(req, content.location.split("/")[2] if content.location else info.account, content)
    return content


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
        told = ("Etag", "Last-Modified", "X-Timestamp", "Content-Location")
        raise Refused(412, headers={key: headers[key] for key in told if key in headers})
    part = part_span(req, content, headers)
    if part is not None:
        headers |= {"Content-Range": ranges.content_range(part, content.size_bytes)}
    if req.method == "HEAD":
        length = content.size_bytes if part is None else part.length
        return Response(206 if part else 200, headers | {"Content-Length": str(length)}, close=content.source.close)
    if part is not None:
        return _part(content, 206, headers, part)
    spans = ranges.resolve(req.headers.get("range"), content.size_bytes) if _range_holds(req, content) else None
    if spans == []:
        text = "<html><h1>Requested Range Not Satisfiable</h1><p>The Range requested is not available.</p></html>"
        raise Refused(416, text, {"Content-Range": f"bytes */{content.size_bytes}"})
    if spans is None or (content.one_range and len(spans) > 1):
        return _part(content, 200, headers, Span(0, content.size_bytes))
    if len(spans) == 1:
        shown = {"Content-Range": ranges.content_range(spans[0], content.size_bytes)}
        return _part(content, 206, headers | shown, spans[0])
    boundary = ids.hex_id()
    length = ranges.envelope_length(boundary, content.content_type, spans, content.size_bytes)
    headers["Content-Type"] = f"multipart/byteranges;boundary={boundary}"
    return Response(206, headers, _parts(content, spans, boundary), length, content.source.close)


def part_span(req: Request, content: Content, headers: dict[str, str]) -> Span | None:
    """Return the bytes of the part of a large object that a request asks for by number, if it does.

    :param headers: of the answer; told how many parts there are.
    :raises Refused: 400 or 416 when there is no such part.
    """
    text = req.query.get("part-number")
    if text is None or content.parts is None:
        return None
    number = int(text) if text.isascii() and text.isdecimal() else 0
    if number < 1:
        raise Refused(400, "Part number must be an integer greater than 0")
    if "range" in req.headers:
        raise Refused(400, "Range requests are not supported with part number queries")
    headers["X-Parts-Count"] = str(len(content.parts))
    if number > len(content.parts):
        kept = {key: value for key, value in headers.items() if key not in ("Content-Type", "Content-Length")}
        kept |= {"Content-Range": f"bytes */{content.size_bytes}"} | ({"Content-Length": "0"} if req.method == "HEAD" else {})
        raise Refused(416, "The requested part number is not satisfiable", kept)
    start = sum(content.parts[: number - 1])
    return Span(start, start + content.parts[number - 1])


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
