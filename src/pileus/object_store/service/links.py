"""Links, followed: from an object that is a link to what it leads to, with the ETags that it vouches for."""

from http import HTTPStatus
from urllib.parse import quote, unquote

from pileus.object_store.backend import ObjectName
from pileus.object_store.content import Content, plain
from pileus.object_store.indexes import ContainerInfo
from pileus.object_store.request import Refused, Request, is_true
from pileus.object_store.service import access

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


async def follow(req: Request, account: str, content: Content, head: bool) -> Content:
    """Return what a content leads to when it is a link, else itself.

    :param account: the account of the content.
    :raises Refused: 409 when links go on for too long or the target is not what it was, 404 when there is none, 401 or 403
        when the caller may not read it; with Content-Location.
    """
    steps, location = 0, ""
    while target := content.sysmeta.get(LINK):
        await content.source.close()
        own, etag = LINK_VERSION in content.sysmeta, content.sysmeta.get(LINK_ETAG, "")
        most = req.store.limits.symlink_depth
        if steps >= most and not own:
            raise Refused(409, f"Too many levels of symbolic links, maximum allowed is {most}")
        steps += 0 if own else 1
        account = unquote(content.sysmeta.get(LINK_ACCOUNT, "")) or account
        location = f"/v1/{quote(account)}/{target}"
        content = await _target(req, account, target, own, head)
        if etag and etag != _vouched(content, own):
            await content.source.close()
            text = f"Object Etag {_vouched(content, own)!r} does not match X-Symlink-Target-Etag header {etag!r}"
            raise Refused(409, text, {"Content-Location": location})
    content.location = location
    return content


def _vouched(content: Content, own: bool) -> str:
    """Return the ETag that a static link vouches for: that of the target, or the one that it vouches for itself."""
    return content.metadata.etag if own else content.sysmeta.get(LINK_ETAG) or content.metadata.etag


async def _target(req: Request, account: str, target: str, own: bool, head: bool) -> Content:
    container, _, name = unquote(target).partition("/")
    place = {"Content-Location": f"/v1/{quote(account)}/{target}"}
    info = await access.container_info(req, account, container)
    try:
        if not own:
            await access.authorize(req, info, write=False)
        found = await open_stored(req, info, name, head=head) if info else None
    except Refused as refused:
        refused.headers |= place
        raise
    if found is None:
        raise Refused(404, headers=place)
    return found
