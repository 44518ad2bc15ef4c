"""Many things in one request: an archive unpacked into objects, a list of names deleted."""

import asyncio
import tarfile
from collections.abc import AsyncIterator
from typing import IO
from urllib.parse import quote, unquote

from pileus.object_store.listing import is_utf8
from pileus.object_store.request import Body, Refused, Request, Response, Stream
from pileus.object_store.service import access, containers, quotas, report, versions, writing

FORMS = {"tar": "r|", "tar.gz": "r|gz", "tar.bz2": "r|bz2"}
CHUNK_BYTES = 262_144
MIME_TYPE, META = "SCHILY.xattr.user.mime_type", "SCHILY.xattr.user.meta."
LINE_BYTES_MAX = 16_384


class _File:
    """The body of a request as the file that tarfile reads, in a thread of its own."""

    def __init__(self, body: Body, loop: asyncio.AbstractEventLoop) -> None:
        self._chunks, self._loop, self._rest = body.chunks(), loop, b""

    def read(self, size_bytes: int) -> bytes:
        """Return the next bytes, fewer only at the end."""
        while len(self._rest) < size_bytes:
            chunk = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            if chunk is None:
                break
            self._rest += chunk
        found, self._rest = self._rest[:size_bytes], self._rest[size_bytes:]
        return found

    async def _next(self) -> bytes | None:
        return await anext(self._chunks, None)


async def extract(req: Request) -> Response:
    """Unpack an archive: each file becomes an object below the request's path."""
    form = req.query.get("extract-archive", "")
    if form not in FORMS:
        raise Refused(400, f"Unsupported archive format {form}")
    if req.body.length is None and req.headers.get("transfer-encoding", "").lower() != "chunked":
        raise Refused(411)
    kind = report.kind_of(req)
    created, errors, status, text = 0, [], "201 Created", ""
    try:
        async for path, outcome in _unpack(req, FORMS[form]):
            if outcome == "":
                created += 1
                continue
            errors.append((quote(path), outcome))
            if outcome.startswith("401") or len(errors) >= req.store.limits.bulk_failures:
                status = outcome if outcome.startswith("401") else report.status_line(400)
                break
    except tarfile.TarError as error:
        status, text = report.status_line(400), f"Invalid Tar File: {error}"
    except (EOFError, OSError, ValueError) as error:
        status, text = report.status_line(400), f"Invalid Tar File: {error}"
    if status == "201 Created" and (errors or not created):
        status = report.status_line(400)
        text = text or ("" if errors else "Invalid Tar File: No Valid Files")
    facts = {"Response Status": status, "Response Body": text, "Number Files Created": created}
    return Response(200, {"Content-Type": report.TYPES[kind]}, report.encode(kind, facts, errors, "extract"))


async def _unpack(req: Request, mode: str) -> AsyncIterator[tuple[str, str]]:
    """Unpack, and yield each file's path with what went wrong, or ""."""
    source = _File(req.body, asyncio.get_running_loop())
    archive = await asyncio.to_thread(tarfile.TarFile.open, None, mode, source)  # type: ignore[arg-type]
    made: set[str] = set()
    while member := await asyncio.to_thread(archive.next):
        archive.members = []  # type: ignore[attr-defined]  # tarfile would keep every one
        if not member.isfile():
            continue
        name = member.name.removeprefix("./").lstrip("/")
        try:
            await _one(req, name, member, archive.extractfile(member), made)
            yield name, ""
        except Refused as refused:
            yield name, report.status_line(refused.status)


async def _one(req: Request, name: str, member: tarfile.TarInfo, source: IO[bytes] | None, made: set[str]) -> None:
    prefix = "/".join(part for part in (req.container, req.name) if part)
    container, _, target = "/".join(part for part in (prefix.rstrip("/"), name) if part).partition("/")
    if not is_utf8(container + target) or not target:
        raise Refused(412)
    if len(container.encode()) > req.store.limits.container_name_length:
        raise Refused(400)
    if member.size > req.store.limits.object_bytes_max:
        raise Refused(413)
    headers = {
        f"x-object-meta-{key.removeprefix(META)}".lower(): value
        for key, value in member.pax_headers.items()
        if key.startswith(META)
    }
    if MIME_TYPE in member.pax_headers:
        headers["content-type"] = member.pax_headers[MIME_TYPE]
    for key in ("x-delete-at", "x-delete-after"):
        if key in req.headers:
            headers[key] = req.headers[key]
    body = Stream(_pieces(source), member.size)
    at = req.store.next_timestamp(req.cloud.clock)
    one = req.derived(method="PUT", container=container, name=target, headers=headers, body=body, at=at)
    await _ensure_container(one, made)
    info = await access.container_info(one)
    await access.authorize(one, info, write=True)
    if info is None:
        raise Refused(404)
    await quotas.check(one, info, member.size)
    await versions.store(one, info, writing.read_headers(one), body)


async def _ensure_container(req: Request, made: set[str]) -> None:
    if req.container in made or await access.container_info(req) is not None:
        return
    if len(made) >= req.store.limits.bulk_containers:
        raise Refused(400, "More than the allowed number of containers to create")
    made.add(req.container)
    await containers.create(req.derived(method="PUT", name="", headers={}, at=req.store.next_timestamp(req.cloud.clock)))


async def _pieces(source: IO[bytes] | None) -> AsyncIterator[bytes]:
    while source is not None and (piece := await asyncio.to_thread(source.read, CHUNK_BYTES)):
        yield piece


async def delete(req: Request) -> Response:
    """Delete what a body lists, a path a line: objects, and containers that are empty."""
    kind = report.kind_of(req)
    if req.body.length is None and req.headers.get("transfer-encoding", "").lower() != "chunked":
        raise Refused(411)
    doomed: list[tuple[str, str]] = []
    outcome = report.Outcome()
    try:
        async for line in _lines(req):
            container, _, name = line.lstrip("/").partition("/")
            if not container:
                continue
            doomed.append((container, name))
            if len(doomed) > req.store.limits.bulk_deletes:
                raise Refused(413, f"Maximum Bulk Deletes: {req.store.limits.bulk_deletes} per request")
    except Refused as refused:
        outcome.status, outcome.body = report.status_line(refused.status), refused.message
    else:
        outcome = await report.delete_all(req, doomed)
    return Response(200, {"Content-Type": report.TYPES[kind]}, report.encode_deletion(kind, outcome))


async def _lines(req: Request) -> AsyncIterator[str]:
    rest = b""
    async for chunk in req.body.chunks():
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            raise Refused(400, "Invalid File Name")
        for line in whole:
            yield _path(line)
    yield _path(rest)


def _path(line: bytes) -> str:
    text = unquote(line.strip().decode("utf-8", "surrogateescape"), errors="surrogateescape")
    if not is_utf8(text):
        raise Refused(412, "Invalid File Name")
    return text
