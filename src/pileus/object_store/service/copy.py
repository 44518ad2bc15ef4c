"""Copies inside the store: COPY with a Destination, and PUT with X-Copy-From."""

from urllib.parse import quote, unquote

from pileus.object_store import metadata, ranges
from pileus.object_store.conditions import http_date
from pileus.object_store.content import Content
from pileus.object_store.indexes import ContainerInfo
from pileus.object_store.listing import is_utf8
from pileus.object_store.request import HTML, Body, Bytes, Refused, Request, Response, Stream, is_true
from pileus.object_store.service import access, links, manifests, quotas, reading, slo, symlinks, version_ids, versions, writing
from pileus.object_store.service.writing import NewObject

MANIFEST_HEADERS = frozenset({"X-Static-Large-Object", "X-Object-Manifest", "X-Manifest-Etag"})


def _path(text: str, header: str) -> tuple[str, str]:
    container, _, name = unquote(text).lstrip("/").partition("/")
    if not container or not name or not is_utf8(container + name):
        raise Refused(412, f"{header} header must be of the form <container name>/<object name>")
    return container, name


def _account(req: Request, header: str) -> str:
    text = unquote(req.headers.get(header, "")) or req.account
    if "/" in text:
        raise Refused(412, "Account name cannot contain slashes")
    return text


def destination(req: Request) -> Request:
    """Return a COPY as the PUT at its destination that it stands for.  :raises Refused: 412."""
    if "destination" not in req.headers:
        raise Refused(412, "Destination header required")
    container, name = _path(req.headers["destination"], "Destination")
    account = _account(req, "destination-account")
    headers = {key: value for key, value in req.headers.items() if key not in ("destination", "destination-account")}
    headers["x-copy-from"] = quote(f"/{req.container}/{req.name}")
    headers["x-copy-from-account"] = quote(req.account)
    return req.derived(
        method="PUT", account=account, container=container, name=name, headers=headers, query=dict(req.query), body=req.body
    )


async def create(req: Request) -> Response:
    """Upload an object by copying another one."""
    if req.body.length:
        raise Refused(400, "Copy requests require a zero byte body")
    container, name = _path(req.headers["x-copy-from"], "X-Copy-From")
    source_req = req.derived(
        method="GET",
        account=_account(req, "x-copy-from-account"),
        container=container,
        name=name,
        headers={key: value for key, value in req.headers.items() if key in ("range", "referer", "x-newest")},
        query=dict(req.query),
    )
    writing.check_name(req)
    metadata.check(req.headers, "object", req.store.limits)
    source = await _open(source_req)
    try:
        return await _copy(req, source_req, source)
    finally:
        await source.source.close()


async def _open(req: Request) -> Content:
    info = await access.container_info(req)
    owner = await access.authorize(req, info, write=False)
    if info is None:
        raise Refused(404)
    if version_id := req.query.get("version-id"):
        version_ids.check_owner(req, owner)
        return await version_ids.open_version(req, info, version_id, head=False, follow=req.query.get("symlink") != "get")
    follow = req.query.get("symlink") != "get"
    whole = req.query.get("multipart-manifest") != "get"
    found = await reading.open_content(req, info, req.name, head=False, follow=follow, whole=whole)
    if found is None:
        raise Refused(404)
    if links.LINK_VERSION in found.sysmeta:  # a link that is the object store's own is never what is meant
        return await links.follow(req, info.account, found, head=False)
    return found


async def _copy(req: Request, source_req: Request, source: Content) -> Response:
    start, length = _span(source_req, source)
    if length > req.store.limits.object_bytes_max:
        raise Refused(413, "Your request is too large.")
    info = await access.container_info(req)
    await access.authorize(req, info, write=True)
    if info is None:
        raise Refused(404)
    if slo.MARK in source.sysmeta and source_req.query.get("multipart-manifest") == "get":
        return await _copy_manifest(req, info, source_req, source)
    await quotas.check(req, info, length)
    new = _new(req, source, length)
    if links.LINK in source.sysmeta:
        new = await symlinks.prepare(_as_link(req, source), info, new)
    written, more = await versions.store(req, info, new, _body(source, start, length))
    return Response(201, {"Content-Type": HTML, "Etag": written.etag} | _headers(req, source_req, source, new) | more)


def _headers(req: Request, source_req: Request, source: Content, new: NewObject) -> dict[str, str]:
    """Return what the headers of the answer tell of a copy."""
    meta = source.metadata
    return {
        "Last-Modified": http_date(req.at.seconds),
        "X-Copied-From": quote(f"{source_req.container}/{source_req.name}"),
        "X-Copied-From-Account": quote(source_req.account),
        "X-Copied-From-Last-Modified": http_date(meta.modified_at.seconds),
        **{key: value for key, value in new.headers.items() if key.startswith("X-Object-Meta-")},
    }


def _as_link(req: Request, source: Content) -> Request:
    """Return the upload of the link that a copied link is: the request's own headers come before the source's."""
    given = {shown.lower(): source.sysmeta[stored] for stored, shown in links.SHOWN_LINK.items() if stored in source.sysmeta}
    given.setdefault("content-type", source.metadata.content_type)
    return req.derived(headers={**given, **req.headers})


async def _copy_manifest(req: Request, info: ContainerInfo, source_req: Request, source: Content) -> Response:
    """Store a copied manifest like one that is uploaded: its segments are looked for in the account it is copied to."""
    body = await slo.raw_manifest(source.source, req.store.limits.manifest_bytes)
    new = _new(req, source, len(body))
    given = {key.lower(): value for key, value in new.headers.items() if "-Sysmeta-" not in key and key != slo.MARK}
    headers = {**given, "content-type": new.content_type}
    if new.delete_at is not None:
        headers["x-delete-at"] = str(new.delete_at)
    made = await manifests.create(req.derived(headers=headers, body=Bytes(body)), info)
    made.headers |= _headers(req, source_req, source, new)
    return made


def _span(req: Request, source: Content) -> tuple[int, int]:
    part = reading.part_span(req, source, {})
    if part is not None:
        return part.start, part.length
    spans = ranges.resolve(req.headers.get("range"), source.size_bytes)
    if spans is None:
        return 0, source.size_bytes
    if len(spans) != 1:
        raise Refused(416, headers={"Content-Range": f"bytes */{source.size_bytes}"})
    return spans[0].start, spans[0].length


def _new(req: Request, source: Content, length: int) -> NewObject:
    """Return what the copy is: the source's headers under those of the request, or with X-Fresh-Metadata only these."""
    as_stored = req.query.get("multipart-manifest") == "get" or req.query.get("symlink") == "get"
    own = writing.stored_headers(req.headers)
    fresh = is_true(req.headers.get("x-fresh-metadata", ""))
    kept = {} if fresh else {key: value for key, value in source.headers.items() if as_stored or key not in MANIFEST_HEADERS}
    headers = kept | own
    if as_stored:
        headers |= {key: value for key, value in source.sysmeta.items() if "-Sysmeta-" in key}
        if slo.MARK in source.sysmeta:
            headers[slo.MARK] = "True"
        headers.pop("X-Manifest-Etag", None)
        headers.pop(reading.LINK_VERSION, None)
    content_type = req.headers.get("content-type") or source.metadata.content_type
    expiry = writing.delete_at(req) or (None if fresh else source.metadata.delete_at)
    absent = "*" in req.headers.get("if-none-match", "")
    return NewObject(content_type, headers, length, delete_at=expiry, if_absent=absent)


def _body(source: Content, start: int, length: int) -> Body:
    if source.source.inline is not None:
        whole = source.source.inline[start : start + length]
        return Stream(slo.Raw(whole).chunks(), length)
    return Stream(source.source.chunks(start, length), length)
