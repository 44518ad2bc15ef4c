"""Containers: made, described, listed, deleted."""

from http import HTTPStatus

from pileus.object_store import acl, listing, metadata
from pileus.object_store.backend import StoragePolicy
from pileus.object_store.conditions import http_date
from pileus.object_store.indexes import ContainerInfo, ContainerPut
from pileus.object_store.request import HTML, TEXT, Refused, Request, Response
from pileus.object_store.service import access, accounts, entries, quotas, syncing, version_ids, versions

OTHERS = (
    "x-container-read",
    "x-container-write",
    "x-container-sync-key",
    "x-container-sync-to",
)


async def show(req: Request) -> Response:
    """List a container, or with HEAD tell its figures."""
    info = await access.container_info(req, fresh=True)
    owner = await access.authorize(req, info, write=False, listing=True)
    page = listing.page_of(req.query, req.store.limits.listing)
    form, content_type = listing.form_of(req.query, req.headers)
    if info is None:
        raise Refused(404)
    headers = await headers_of(req, info, owner) | {"Content-Type": content_type}
    if req.method == "HEAD":
        return Response(204, headers)
    if "versions" in req.query:
        _check_json(req)
        rows = await version_ids.listing(req, info, page)
        return Response(200, headers | {"Content-Type": listing.FORMS["json"]}, listing.encode("json", rows, "container", ""))
    answer = await req.store.placement.container(req.account, req.container, page)
    if answer.status != HTTPStatus.OK:
        raise Refused(int(answer.status))
    if form == "plain":
        names = [entry.name for entry in answer.entries]
        body = "".join(f"{name}\n" for name in names).encode()
        return Response(200 if names else 204, headers, body)
    rows = [entries.row(req, entry) for entry in answer.entries]
    return Response(200, headers, listing.encode(form, rows, "container", req.container))


def _check_json(req: Request) -> None:
    """Hold those who list versions to want JSON.  :raises Refused: 406."""
    named, accepted = req.query.get("format", ""), req.headers.get("accept")
    if named in ("plain", "xml") or (not named and accepted and listing.best_of(accepted, ["application/json"]) is None):
        raise Refused(406)


async def headers_of(req: Request, info: ContainerInfo, owner: bool) -> dict[str, str]:
    """Return what the headers of an answer tell of a container."""
    used = info.bytes_used + await versions.bytes_used(req, info)
    policy = next((policy for policy in req.store.placement.cluster.policies if policy.index == info.policy), None)
    found = {
        "X-Container-Object-Count": str(info.object_count),
        "X-Container-Bytes-Used": str(used),
        "X-Timestamp": info.created_at.normal,
        "X-Put-Timestamp": info.put_at.normal,
        "Last-Modified": http_date(max(info.put_at, info.created_at).seconds),
        "Accept-Ranges": "bytes",
    }
    if policy is not None:
        found["X-Storage-Policy"] = policy.name
    return found | metadata.shown(info.metadata, owner) | versions.shown(info.metadata)


def _given(req: Request, info: ContainerInfo | None, owner: bool) -> dict[str, str]:
    """Return the headers that a request sets; some of them only owners set.  :raises Refused: 400 when one is wrong."""
    limits = req.store.limits
    metadata.check(req.headers, "container", limits)
    quotas.check_container_headers(req.headers)
    syncing.check_headers(req, info)
    found = metadata.given(req.headers, "container", OTHERS)
    if not owner:
        found = {key: value for key, value in found.items() if key not in metadata.OWNERS_ONLY}
    for key in ("X-Container-Read", "X-Container-Write"):
        if found.get(key):
            try:
                found[key] = acl.clean(key.lower(), found[key])
            except ValueError as error:
                raise Refused(400, str(error)) from error
    metadata.check_total(info.metadata if info else {}, found, "container", limits)
    return found


def _policy(req: Request, info: ContainerInfo | None) -> StoragePolicy | None:
    """Return the storage policy that a request names.  :raises Refused: 400 when there is none such."""
    name = req.headers.get("x-storage-policy")
    if not name:
        return None
    for policy in req.store.placement.cluster.policies:
        if name.lower() in (policy.name.lower(), *(alias.lower() for alias in policy.aliases)):
            if policy.is_deprecated and info is None:
                raise Refused(400, f'Storage Policy "{policy.name}" is deprecated')
            return policy
    raise Refused(400, f'Invalid X-Storage-Policy "{name}"')


async def create(req: Request) -> Response:
    """Make a container (and its account), or set headers of one that is there."""
    info = await access.container_info(req, fresh=True)
    owner = await access.authorize_container_change(req, info)
    most = req.store.limits.container_name_length
    if len(req.container.encode()) > most:
        text = f"Container name length of {len(req.container.encode())} longer than {most}"
        raise Refused(400, text, {"Content-Type": HTML})
    given = _given(req, info, owner)
    policy = _policy(req, info)
    await accounts.ensure(req)
    given |= await versions.container_headers(req, info, policy.index if policy else None)
    default = next((policy.index for policy in req.store.placement.cluster.policies if policy.is_default), 0)
    put = ContainerPut(timestamp=req.at, policy=policy.index if policy else None, default_policy=default, metadata=given)
    written = await req.store.placement.put_container(req.account, req.container, put)
    req.store.forget(req.account, req.container)
    req.store.forget(req.account)
    if written.status == HTTPStatus.CONFLICT:
        raise Refused(409)
    if not written.ok:
        raise Refused(int(written.status))
    return Response(int(written.status), {"Content-Type": TEXT} | versions.shown(given))


async def update(req: Request) -> Response:
    """Set headers of a container."""
    info = await access.container_info(req, fresh=True)
    owner = await access.authorize_container_change(req, info)
    given = _given(req, info, owner)
    if info is None:
        raise Refused(404)
    given |= await versions.container_headers(req, info, info.policy)
    written = await req.store.placement.post_container(req.account, req.container, req.at, given)
    req.store.forget(req.account, req.container)
    if not written.ok:
        raise Refused(int(written.status))
    return Response(204, {"Content-Type": TEXT} | versions.shown(given))


async def delete(req: Request) -> Response:
    """Delete a container that is empty."""
    info = await access.container_info(req, fresh=True)
    await access.authorize_container_change(req, info)
    if info is None:
        raise Refused(404)
    if info.object_count == 0:
        await versions.drop_container(req, info)
    written = await req.store.placement.delete_container(req.account, req.container, req.at)
    req.store.forget(req.account, req.container)
    req.store.forget(req.account)
    if not written.ok:
        raise Refused(int(written.status))
    return Response(204, {"Content-Type": TEXT})
