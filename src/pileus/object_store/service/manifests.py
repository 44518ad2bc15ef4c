"""Static large objects, written: a manifest checked against its segments and stored; deleted together with them."""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from pileus.object_store import ranges
from pileus.object_store.conditions import http_date
from pileus.object_store.content import Content
from pileus.object_store.indexes import ContainerInfo
from pileus.object_store.listing import is_utf8
from pileus.object_store.request import HTML, Bytes, Refused, Request, Response
from pileus.object_store.service import access, links, quotas, reading, report, slo, version_ids, versions, writing
from pileus.object_store.service.entries import index_etag
from pileus.object_store.service.writing import NewObject

CHECKS_AT_ONCE = 8
KEYS = {"path", "etag", "size_bytes", "range"}
HEARTBEAT_SECONDS = 5.0
Errors = list[tuple[str, str]]


async def create(req: Request, info: ContainerInfo) -> Response:
    """Store the manifest in the request's body; with heartbeat=on keep the client posted while that is checked."""
    new = writing.read_headers(req)
    if "x-symlink-target" in req.headers:
        raise Refused(400, "A symlink cannot be a manifest")
    listed = await _read(req)
    if not req.flag("heartbeat"):
        return await _store(req, info, new, listed)
    kind = report.kind_of(req)
    return Response(202, {"Content-Type": report.TYPES[kind]}, _beating(req, info, new, listed))


async def _beating(req: Request, info: ContainerInfo, new: NewObject, listed: list[Mapping[str, Any]]) -> AsyncIterator[bytes]:
    kind = report.kind_of(req)
    work = asyncio.ensure_future(_store(req, info, new, listed))
    try:
        yield b" "
        while not (await asyncio.wait({work}, timeout=HEARTBEAT_SECONDS))[0]:
            yield b" "
        try:
            stored = work.result()
            facts = {"Last Modified": stored.headers["Last-Modified"], "Etag": stored.headers["Etag"]}
            yield b"\r\n\r\n" + report.encode(kind, {"Response Status": "201 Created", "Response Body": "", **facts}, [])
        except Refused as refused:
            facts = {"Response Status": report.status_line(refused.status), "Response Body": refused.message}
            yield b"\r\n\r\n" + report.encode(kind, facts, refused.extra.get("errors", []))
    finally:
        work.cancel()


async def _read(req: Request) -> list[Mapping[str, Any]]:
    """Return the segments that a body lists.  :raises Refused: 400 or 413 when it cannot be a manifest."""
    limits, raw = req.store.limits, bytearray()
    async for chunk in req.body.chunks():
        raw += chunk
        if len(raw) > limits.manifest_bytes:
            raise Refused(413, f"Manifest File > {limits.manifest_bytes} bytes")
    try:
        listed = msgspec.json.decode(bytes(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(400, "Manifest must be valid JSON.\n") from None
    if not isinstance(listed, list):
        raise Refused(400, "Manifest must be a list.\n")
    wrong = [text for place, entry in enumerate(listed) if (text := _fault_of(req, place, entry))]
    if wrong:
        raise Refused(400, "".join(f"{text}\n" for text in wrong))
    if not listed:
        raise Refused(400, "Manifest must have at least one segment.\n")
    if all("data" in entry for entry in listed):
        raise Refused(400, "Inline data segments require at least one object-backed segment.\n")
    counted = sum(1 for entry in listed if "path" in entry)
    if counted > limits.manifest_segments:
        raise Refused(413, f"Number of object segments exceeds limit {limits.manifest_segments}.\n")
    if sum(len(entry["data"]) for entry in listed if "data" in entry) > limits.manifest_bytes:
        raise Refused(413, "Inline data is too large.\n")
    return listed


def _fault_of(req: Request, place: int, entry: Any) -> str:
    """Return what is wrong with an entry, or ""."""
    if not isinstance(entry, dict):
        return f"Index {place}: not a JSON object"
    if "data" in entry:
        return _fault_of_data(place, entry)
    if "path" not in entry:
        return f'Index {place}: expected keys to include one of "path" or "data"'
    if extra := sorted(entry.keys() - KEYS):
        return f"Index {place}: extraneous keys {', '.join(repr(key) for key in extra)}"
    path = entry["path"]
    if not isinstance(path, str) or not is_utf8(path):
        return f"Index {place}: path must be a string"
    container, _, name = path.lstrip("/").partition("/")
    if not container or not name:
        return f"Index {place}: path does not refer to an object. Path must be of the form /container/object."
    if (container, name) == (req.container, req.name):
        return f'Index {place}: manifest must not include itself as a segment "/{container}/{name}"'
    if entry.get("etag") is not None and not isinstance(entry["etag"], str):
        return f"Index {place}: etag must be a string or null (if provided)"
    return _fault_of_numbers(place, entry)


def _fault_of_data(place: int, entry: dict[str, Any]) -> str:
    if entry.keys() != {"data"}:
        return f"Index {place}: extraneous keys {', '.join(repr(key) for key in sorted(entry.keys() - {'data'}))}"
    try:
        data = base64.b64decode(entry["data"], validate=True) if isinstance(entry["data"], str) else b""
    except (binascii.Error, ValueError):
        return f"Index {place}: data must be valid base64"
    return "" if data else f"Index {place}: too small; each segment must be at least 1 byte"


def _fault_of_numbers(place: int, entry: dict[str, Any]) -> str:
    size = entry.get("size_bytes")
    if size is not None:
        try:
            size = int(size)
        except (TypeError, ValueError):
            return f"Index {place}: invalid size_bytes"
        if size < 1:
            return f"Index {place}: too small; each segment must be at least 1 byte."
    if entry.get("range") is None:
        return ""
    asked = ranges.parse(f"bytes={entry['range']}") if isinstance(entry["range"], str) else None
    if not asked:
        return f"Index {place}: invalid range"
    if len(asked) > 1:
        return f"Index {place}: multiple ranges (only one allowed)"
    if size is not None and not ranges.resolve(f"bytes={entry['range']}", size):
        return f"Index {place}: unsatisfiable range"
    return ""


async def _store(req: Request, info: ContainerInfo, new: NewObject, listed: list[Mapping[str, Any]]) -> Response:
    found = await _check_segments(req, listed)
    errors: Errors = [error for entry in found if isinstance(entry, list) for error in entry]
    if errors:
        kind = report.kind_of(req)
        refused = Refused(400, report.encode(kind, {}, errors).decode(), {"Content-Type": report.TYPES[kind]})
        refused.extra["errors"] = errors
        raise refused
    stored = [entry for entry in found if isinstance(entry, dict)]
    etag, size = slo.etag_of(stored), slo.size_of(stored)
    if new.etag and new.etag != etag:
        raise Refused(422)
    await quotas.check(req, info, size)
    body = msgspec.json.encode(stored)
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    headers = {
        **new.headers,
        slo.MARK: "True",
        slo.SLO_ETAG: etag,
        slo.SLO_SIZE: str(size),
        writing.INDEX_SIZE: str(size),
        writing.INDEX_ETAG: index_etag(digest, slo_etag=etag),
    }
    manifest = NewObject(new.content_type, headers, len(body), digest, new.delete_at, new.if_absent)
    _, more = await versions.store(req, info, manifest, Bytes(body))
    answered = {"Content-Type": HTML, "Etag": f'"{etag}"', "Last-Modified": http_date(req.at.seconds), **more}
    return Response(201, answered)


async def _check_segments(req: Request, listed: list[Mapping[str, Any]]) -> list[dict[str, Any] | Errors]:
    """Return each segment as it is stored, or what is wrong with it."""
    turn = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def one(entry: Mapping[str, Any]) -> dict[str, Any] | Errors:
        if "data" in entry:
            return {"data": entry["data"]}
        async with turn:
            return await _check_segment(req, entry)

    return list(await asyncio.gather(*(one(entry) for entry in listed)))


async def _check_segment(req: Request, entry: Mapping[str, Any]) -> dict[str, Any] | Errors:
    path = "/" + entry["path"].lstrip("/")
    shown = quote(path)
    try:
        found = await _segment(req, path)
    except Refused as refused:
        return [(shown, report.status_line(refused.status))]
    etag, size = found.etag.strip('"'), found.size_bytes
    wrong: Errors = []
    if size < 1:
        wrong.append((shown, "Too small; each segment must be at least 1 byte."))
    if entry.get("size_bytes") is not None and int(entry["size_bytes"]) != size:
        wrong.append((shown, "Size Mismatch"))
    if entry.get("etag") is not None and entry["etag"].strip('"') != etag:
        wrong.append((shown, "Etag Mismatch"))
    stored: dict[str, Any] = {
        "name": path,
        "bytes": size,
        "hash": etag,
        "content_type": found.content_type,
        "last_modified": found.metadata.modified_at.isoformat,
    }
    if entry.get("range"):
        spans = ranges.resolve(f"bytes={entry['range']}", size)
        if not spans:
            wrong.append((shown, "Unsatisfiable Range"))
        elif spans[0].length != size:
            stored["range"] = f"{spans[0].start}-{spans[0].end - 1}"
    if slo.MARK in found.sysmeta:
        stored["sub_slo"] = True
    return wrong or stored


async def _segment(req: Request, path: str) -> Content:
    container, _, name = path.lstrip("/").partition("/")
    info = await access.container_info(req, req.account, container)
    await access.authorize(req.derived(container=container, name=name), info, write=False)
    found = await reading.open_content(req.derived(method="HEAD"), info, name, head=True) if info else None
    if found is None:
        raise Refused(404)
    await found.source.close()
    return found


async def delete_version(req: Request, info: ContainerInfo, version_id: str) -> Response:
    """Delete a version that is a large object, and its segments, and tell how that went."""
    hidden = await versions.hidden_info(req, info)
    if hidden is None or version_id == version_ids.NULL:
        return await delete(req, info)
    name = version_ids.stored_name(req, version_id)
    doomed = await _tree(req, hidden, req.container, name, 1)
    kind = report.kind_of(req)
    outcome = await report.delete_all(req, doomed[:-1])
    more: dict[str, str] = {}
    if not outcome.errors:
        more = await version_ids.delete(req, info, version_id)
        outcome.deleted += 1
    return Response(200, {"Content-Type": report.TYPES[kind]} | more, report.encode_deletion(kind, outcome))


async def delete(req: Request, info: ContainerInfo) -> Response:
    """Delete a large object and its segments, and tell how that went."""
    doomed = await _tree(req, info, req.container, req.name, 1)
    kind = report.kind_of(req)
    outcome = await report.delete_all(req, doomed)
    return Response(200, {"Content-Type": report.TYPES[kind]}, report.encode_deletion(kind, outcome))


async def _tree(req: Request, info: ContainerInfo | None, container: str, name: str, depth: int) -> list[tuple[str, str]]:
    """Return the objects of a large object, the segments first and itself last."""
    if info is not None and depth > 1:
        await access.authorize(req, info, write=True)
    content = await reading.open_stored(req, info, name, head=False) if info else None
    if content is None:
        if depth == 1:
            raise Refused(404)
        return [(container, name)]
    if depth == 1 and links.LINK_VERSION in content.sysmeta:
        content = await links.follow(req, req.account, content, head=False)
    if slo.MARK not in content.sysmeta:
        await content.source.close()
        if depth == 1:
            raise Refused(400, "Not an SLO manifest")
        return [(container, name)]
    if depth > req.store.limits.manifest_depth:
        raise Refused(400, "Max recursion depth exceeded")
    stored = await slo.read_all(content.source, req.store.limits.manifest_bytes)
    found: list[tuple[str, str]] = []
    for part in slo.parts_of(stored):
        if part.data is None:
            inner = await access.container_info(req, req.account, part.container)
            nested = await _tree(req, inner, part.container, part.name, depth + 1) if part.is_manifest else None
            found += nested or [(part.container, part.name)]
    return [*dict.fromkeys(found), (container, name)]
