"""Links: an empty object that leads to another one; reading goes there, writing and deleting mean the link itself."""

from urllib.parse import quote, unquote

from pileus.object_store.content import Content
from pileus.object_store.indexes import ContainerInfo
from pileus.object_store.request import Refused, Request
from pileus.object_store.service import access, reading, slo, writing
from pileus.object_store.service.entries import EMPTY_MD5, index_etag
from pileus.object_store.service.writing import NewObject

FORM = "X-Symlink-Target header must be of the form <container name>/<object name>"


async def prepare(req: Request, info: ContainerInfo, new: NewObject) -> NewObject:
    """Return the link that an upload asks for.

    :raises Refused: 400, 409 or 412 when it cannot be one.
    """
    if req.body.length != 0:
        async for chunk in req.body.chunks():
            if chunk:
                raise Refused(400, "Symlink requests require a zero byte body")
    target = unquote(req.headers["x-symlink-target"])
    container, slash, name = target.partition("/")
    if target.startswith("/") or not slash or not container or not name:
        raise Refused(412, FORM)
    account = unquote(req.headers.get("x-symlink-target-account", ""))
    if "/" in account:
        raise Refused(412, "Account name cannot contain slashes")
    if (account or req.account, container, name) == (req.account, req.container, req.name):
        raise Refused(400, "Symlink cannot target itself")
    etag = req.headers.get("x-symlink-target-etag", "").strip('"')
    if any(character in etag for character in ';"\\'):
        raise Refused(400, "Bad X-Symlink-Target-Etag format")
    headers = dict(new.headers)
    headers[reading.LINK] = quote(f"{container}/{name}")
    if account:
        headers[reading.LINK_ACCOUNT] = quote(account)
    facts = {"symlink_target": headers[reading.LINK], "symlink_target_account": headers.get(reading.LINK_ACCOUNT, "")}
    content_type = new.content_type if req.headers.get("content-type") else "application/symlink"
    if etag and "synced" in req.facts:  # another cluster's link: its target may come later
        size = req.headers.get("x-symlink-target-bytes", "0")
        headers |= {reading.LINK_ETAG: etag, reading.LINK_BYTES: size}
        facts |= {"symlink_target_etag": etag, "symlink_target_bytes": size}
    elif etag:
        found = await _target(req, account or req.account, container, name, etag)
        size = found.sysmeta.get(slo.SLO_SIZE, str(found.metadata.size_bytes))
        headers |= {reading.LINK_ETAG: etag, reading.LINK_BYTES: size}
        facts |= {"symlink_target_etag": etag, "symlink_target_bytes": size}
        facts["slo_etag"] = found.sysmeta.get(slo.SLO_ETAG, "")
        if not req.headers.get("content-type"):
            content_type = found.metadata.content_type
    headers[writing.INDEX_ETAG] = index_etag(EMPTY_MD5, **facts)
    return NewObject(content_type, headers, 0, new.etag, new.delete_at, new.if_absent)


async def _target(req: Request, account: str, container: str, name: str, etag: str) -> Content:
    """Return what a static link is to lead to.  :raises Refused: 409 when it is not that."""
    place = {"Content-Location": f"/v1/{quote(account)}/{quote(container)}/{quote(name)}"}
    info = await access.container_info(req, account, container)
    await access.authorize(req, info, write=False)
    found = await reading.open_stored(req, info, name, head=True) if info else None
    if found is None:
        raise Refused(409, "X-Symlink-Target does not exist", place)
    if reading.LINK_ETAG in found.sysmeta:
        if found.sysmeta[reading.LINK_ETAG] != etag:
            raise Refused(409, "X-Symlink-Target-Etag headers do not match", place)
    elif found.metadata.etag != etag:
        text = f"Object Etag {found.metadata.etag!r} does not match X-Symlink-Target-Etag header {etag!r}"
        raise Refused(409, text, place)
    return found


def shown(content: Content) -> dict[str, str]:
    """Return what the headers of an answer tell of a link."""
    return {name: content.sysmeta[stored] for stored, name in reading.SHOWN_LINK.items() if stored in content.sysmeta}


def redirected(req: Request, content: Content) -> Refused:
    """Return the answer to a POST to a link: it belongs to the target."""
    account = content.sysmeta.get(reading.LINK_ACCOUNT, quote(req.account))
    headers = {"Location": f"{req.mount}/v1/{account}/{content.sysmeta[reading.LINK]}"}
    if reading.LINK_ETAG in content.sysmeta:
        headers["X-Symlink-Target-Etag"] = content.sysmeta[reading.LINK_ETAG]
    text = "The requested POST was applied to a symlink. POST directly to the target to apply requested metadata."
    return Refused(307, text, headers)
