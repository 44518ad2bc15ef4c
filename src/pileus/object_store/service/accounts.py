"""Accounts: their figures, their metadata, the list of their containers."""

from http import HTTPStatus

from pileus.object_store import acl, listing, metadata
from pileus.object_store.caller import NOBODY
from pileus.object_store.indexes import AccountInfo, ContainerEntry, PolicyUse
from pileus.object_store.request import TEXT, Refused, Request, Response
from pileus.object_store.service import access, quotas, ratelimit

ACL_STORED, ACL_SHOWN = "X-Account-Sysmeta-Core-Access-Control", "X-Account-Access-Control"


async def show(req: Request) -> Response:
    """List an account's containers, or with HEAD tell its figures.  An account that is not there yet is shown as empty."""
    owner = await access.authorize_account(req, write=False)
    page = listing.page_of(req.query, req.store.limits.listing)
    form, content_type = listing.form_of(req.query, req.headers)
    wanted = page if req.method == "GET" else None
    answer = await req.store.placement.account(req.account, wanted)
    if answer.status == HTTPStatus.GONE:
        raise Refused(410)
    if answer.info is None and len(req.account) > req.store.limits.account_name_length:
        raise Refused(404)
    headers = _headers(req, answer.info, owner) | {"Content-Type": content_type}
    if req.method == "HEAD":
        return Response(204, headers)
    rows = [_row(entry) if isinstance(entry, ContainerEntry) else {"subdir": entry.name} for entry in answer.entries]
    if not rows and form == "plain":
        return Response(204, headers)
    return Response(200, headers, listing.encode(form, rows, "account", req.account))


def _row(entry: ContainerEntry) -> dict[str, object]:
    return {
        "name": entry.name,
        "count": entry.object_count,
        "bytes": entry.bytes_used,
        "last_modified": entry.put_at.isoformat,
    }


def _headers(req: Request, info: AccountInfo | None, owner: bool) -> dict[str, str]:
    at = info.put_at if info else req.at
    found = {
        "X-Account-Container-Count": str(info.container_count if info else 0),
        "X-Account-Object-Count": str(info.object_count if info else 0),
        "X-Account-Bytes-Used": str(info.bytes_used if info else 0),
        "X-Timestamp": (info.created_at if info else at).normal,
        "X-Put-Timestamp": at.normal,
        "Accept-Ranges": "bytes",
    }
    if info is None:
        return found
    for policy in req.store.placement.cluster.policies:
        use = info.by_policy.get(policy.index) or (PolicyUse() if policy.is_default else None)
        if use is not None:
            prefix = f"X-Account-Storage-Policy-{policy.name.title()}-"
            found[prefix + "Container-Count"] = str(use.container_count)
            found[prefix + "Object-Count"] = str(use.object_count)
            found[prefix + "Bytes-Used"] = str(use.bytes_used)
    found |= metadata.shown(info.metadata, owner) | quotas.shown(req, info.metadata)
    if owner and info.metadata.get(ACL_STORED):
        found[ACL_SHOWN] = info.metadata[ACL_STORED]
    return found


def _given(req: Request, info: AccountInfo | None) -> dict[str, str]:
    limits = req.store.limits
    metadata.check(req.headers, "account", limits)
    found = metadata.given(req.headers, "account")
    metadata.check_total(info.metadata if info else {}, found, "account", limits)
    if ACL_SHOWN.lower() in req.headers:
        text = req.headers[ACL_SHOWN.lower()]
        understood = acl.parse_account(text) if text else {}
        if understood is None:
            raise Refused(400, f"X-Account-Access-Control invalid: {text}")
        found[ACL_STORED] = acl.format_account(understood) if understood else ""
    elif "x-remove-account-access-control" in req.headers:
        found[ACL_STORED] = ""
    if ratelimit.GLOBAL.lower() in req.headers and (req.caller or NOBODY).administers(req.account):
        found[ratelimit.GLOBAL] = req.headers[ratelimit.GLOBAL.lower()]
    return found | quotas.account_headers(req)


async def create(req: Request) -> Response:
    """Make an account, on behalf of an administrator of the object store."""
    if not (req.caller or NOBODY).administers(req.account):
        raise access.denied(req)
    if len(req.account) > req.store.limits.account_name_length:
        most = req.store.limits.account_name_length
        raise Refused(400, f"Account name length of {len(req.account)} longer than {most}")
    info = await access.account_info(req, fresh=True)
    written = await req.store.placement.put_account(req.account, req.at, _given(req, info))
    req.store.forget(req.account)
    if not written.ok:
        raise Refused(int(written.status))
    return Response(int(written.status), {"Content-Type": TEXT})


async def update(req: Request) -> Response:
    """Set an account's metadata; makes the account when it is not there yet."""
    await access.authorize_account(req, write=True)
    info = await access.account_info(req, fresh=True)
    given = _given(req, info)
    if info is None:
        await ensure(req)
    written = await req.store.placement.post_account(req.account, req.at, given)
    req.store.forget(req.account)
    if not written.ok:
        raise Refused(int(written.status))
    return Response(204, {"Content-Type": TEXT})


async def ensure(req: Request) -> None:
    """Make the account of a request when it is not there yet.  :raises Refused: when that cannot be."""
    if await access.account_info(req) is not None:
        return
    if len(req.account) > req.store.limits.account_name_length:
        raise Refused(404)
    written = await req.store.placement.put_account(req.account, req.at, {})
    if not written.ok:
        raise Refused(404 if written.status == HTTPStatus.FORBIDDEN else int(written.status))


async def delete(req: Request) -> Response:
    """Delete an account with all that is in it (the reaper follows), on behalf of an administrator."""
    if req.query:
        raise Refused(400, "No query parameters are taken when an account is deleted.")
    if not (req.caller or NOBODY).administers(req.account):
        raise access.denied(req)
    written = await req.store.placement.delete_account(req.account, req.at)
    req.store.forget(req.account)
    if not written.ok:
        raise Refused(int(written.status))
    return Response(204, {"Content-Type": TEXT})
