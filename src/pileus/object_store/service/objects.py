"""Objects: uploaded, described, downloaded, deleted.  Each feature that has a say is called here by name."""

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import quote, unquote

from pileus.object_store import conditions, metadata
from pileus.object_store.backend import ObjectName, ObjectPost
from pileus.object_store.content import Content
from pileus.object_store.indexes import ContainerInfo
from pileus.object_store.request import HTML, Refused, Request, Response
from pileus.object_store.service import (
    access,
    copy,
    locks,
    manifests,
    quotas,
    reading,
    symlinks,
    syncing,
    version_ids,
    versions,
    writing,
)


async def show(req: Request) -> Response:
    """Download an object, or with HEAD describe it."""
    info = await access.container_info(req)
    owner = await access.authorize(req, info, write=False)
    if info is None:
        raise Refused(404)
    head = req.method == "HEAD"
    follow = req.query.get("symlink") != "get"
    if version_id := req.query.get("version-id"):
        version_ids.check_owner(req, owner)
        content = await version_ids.open_version(req, info, version_id, head=head, follow=follow)
        return await reading.answer(req, content, {"X-Object-Version-Id": version_id})
    whole = req.query.get("multipart-manifest") != "get"
    found = await reading.open_content(req, info, req.name, head=head, follow=follow, whole=whole)
    if found is None:
        raise Refused(404)
    more = symlinks.shown(found) if not follow else {}
    if info.metadata.get(versions.HIDDEN):
        more |= _version_headers(req, found.location, more)
    return await reading.answer(req, found, more)


def _version_headers(req: Request, location: str, more: dict[str, str]) -> dict[str, str]:
    target = more.get("X-Symlink-Target") or location.removeprefix(f"/v1/{quote(req.account)}/")
    version_id = version_ids.version_of_target(target)
    found = {"X-Object-Version-Id": version_id}
    if version_id != version_ids.NULL:
        path = f"{quote(req.container)}/{quote(req.name)}?version-id={version_id}"
        if location:
            found["Content-Location"] = f"/v1/{quote(req.account)}/{path}"
        else:
            found["X-Symlink-Target"] = path
    return found


async def create(req: Request) -> Response:
    """Upload an object: its bytes, a copy of another one, a manifest, or a link."""
    if "x-copy-from" in req.headers:
        return await copy.create(req)
    info = await access.container_info(req)
    owner = await access.authorize(req, info, write=True)
    if info is None:
        raise Refused(404)
    if version_id := req.query.get("version-id"):
        version_ids.check_owner(req, owner)
        more = await version_ids.restore(req, info, version_id)
        return created(req, more.pop("Etag"), more)
    if syncing.is_manifest(req):
        return await syncing.take_manifest(req, info)
    if req.query.get("multipart-manifest") == "put":
        return await manifests.create(req, info)
    new = writing.read_headers(req)
    await quotas.check(req, info, req.body.length)
    if "x-symlink-target" in req.headers:
        new = await symlinks.prepare(req, info, new)
    written, more = await versions.store(req, info, new, req.body)
    return created(req, written.etag, more, int(written.status))


def created(req: Request, etag: str, more: dict[str, str], status: int = 201) -> Response:
    """Answer an upload."""
    headers = {"Content-Type": HTML, "Etag": etag, "Last-Modified": conditions.http_date(req.at.seconds), **more}
    return Response(status, headers)


async def update(req: Request) -> Response:
    """Replace an object's metadata."""
    info = await access.container_info(req)
    await access.authorize(req, info, write=True)
    if "version-id" in req.query:
        raise Refused(400, "POST to a specific version is not allowed")
    if "x-symlink-target" in req.headers:
        raise Refused(400, "A PUT request is required to set a symlink target")
    metadata.check(req.headers, "object", req.store.limits)
    writing.check_name(req)
    if info is None:
        raise Refused(404)
    found = await reading.open_stored(req, info, req.name, head=True)
    if found is None:
        raise Refused(404)
    if reading.LINK_VERSION in found.sysmeta and (hidden := await versions.hidden_info(req, info)):
        await _update_version(req, info, hidden, found)
        return Response(202, {"Content-Type": HTML, "X-Timestamp": req.at.normal})
    await _post(req, info, req.name, found.sysmeta, writing.delete_at(req))
    if reading.LINK in found.sysmeta:
        raise symlinks.redirected(req, found)
    return Response(202, {"Content-Type": HTML, "X-Timestamp": req.at.normal})


async def _update_version(req: Request, info: ContainerInfo, hidden: ContainerInfo, link: Content) -> None:
    """Replace the metadata of an object that is a link to a version: the version's, but it is the link that expires."""
    name = unquote(link.sysmeta[reading.LINK]).partition("/")[2]
    version = await reading.open_stored(req, hidden, name, head=True)
    delete_at = writing.delete_at(req)
    await _post(req, hidden, name, version.sysmeta if version else {}, None)
    if delete_at != link.metadata.delete_at:
        await _post(req, info, req.name, link.sysmeta, delete_at)


async def _post(req: Request, info: ContainerInfo, name: str, stored: Mapping[str, str], delete_at: int | None) -> None:
    kept = {key: value for key, value in stored.items() if key.startswith(locks.KEPT)}
    if delete_at is not None:
        locks.check_expiry(kept, delete_at, req.cloud.clock.now())
    post = ObjectPost(
        timestamp=req.at,
        content_type=req.headers.get("content-type") or None,
        delete_at=delete_at,
        headers=writing.stored_headers(req.headers) | kept,
    )
    written = await req.store.placement.post_object(info.policy, ObjectName(info.account, info.container, name), post)
    if not written.ok and written.status != HTTPStatus.CONFLICT:
        raise Refused(int(written.status))


async def delete(req: Request) -> Response:
    """Delete an object, or with multipart-manifest=delete its segments too."""
    info = await access.container_info(req)
    owner = await access.authorize(req, info, write=True)
    if info is None:
        raise Refused(404)
    if version_id := req.query.get("version-id"):
        version_ids.check_owner(req, owner)
        if req.query.get("multipart-manifest") == "delete":
            return await manifests.delete_version(req, info, version_id)
        return Response(204, {"Content-Type": HTML} | await version_ids.delete(req, info, version_id))
    if req.query.get("multipart-manifest") == "delete":
        return await manifests.delete(req, info)
    await _check_unchanged(req, info)
    more = await versions.delete(req, info, _if_delete_at(req))
    return Response(204, {"Content-Type": HTML, "X-Timestamp": req.at.normal} | more)


async def _check_unchanged(req: Request, info: ContainerInfo) -> None:
    """Hold a deletion to its conditions.  :raises Refused: 412."""
    if not {"if-match", "if-none-match", "if-unmodified-since"} & req.headers.keys():
        return
    found = await reading.open_stored(req, info, req.name, head=True)
    if found is not None:
        await found.source.close()
        status = conditions.verdict(req.headers, found.tags, found.metadata.modified_at.seconds)
        if status is not None:
            raise Refused(412)


def _if_delete_at(req: Request) -> int | None:
    text = req.headers.get("x-if-delete-at")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise Refused(400, "Bad X-If-Delete-At header value")
    return int(text)


async def copy_to(req: Request) -> Response:
    """Copy an object to where the Destination header says."""
    target = copy.destination(req)
    return await copy.create(target)
