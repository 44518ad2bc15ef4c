"""What is known of accounts and containers, and whether a caller may do what they ask there."""

from http import HTTPStatus

from pileus.object_store import acl
from pileus.object_store.caller import NOBODY
from pileus.object_store.indexes import AccountInfo, ContainerInfo, ContainerPut
from pileus.object_store.request import Refused, Request

FRESH_MARKS = ("X-Container-Meta-Quota-Bytes", "X-Container-Meta-Quota-Count")
FRESH_ACCOUNT_MARKS = ("X-Account-Meta-Quota-", "X-Account-Sysmeta-Quota-")
READS = ("GET", "HEAD")
PARTS = "+segments"


async def account_info(req: Request, account: str = "", *, fresh: bool = False) -> AccountInfo | None:
    """Return what is known of an account (by default the request's); None when there is none."""
    account, now = account or req.account, req.cloud.clock.now()
    known: AccountInfo | None = None if fresh else req.store.recall(account, "", now)
    if known is not None:
        return known
    answer = await req.store.placement.account(account)
    info = answer.info if answer.status == HTTPStatus.OK else None
    if info is not None and not any(key.startswith(FRESH_ACCOUNT_MARKS) for key in info.metadata):
        req.store.remember(account, "", info, now)
    return info


async def container_info(req: Request, account: str = "", container: str = "", *, fresh: bool = False) -> ContainerInfo | None:
    """Return what is known of a container (by default the request's); None when there is none."""
    account, container, now = account or req.account, container or req.container, req.cloud.clock.now()
    known: ContainerInfo | None = None if fresh else req.store.recall(account, container, now)
    if known is not None:
        return known
    answer = await req.store.placement.container(account, container)
    info = answer.info if answer.status == HTTPStatus.OK else None
    if info is not None and not any(mark in info.metadata for mark in FRESH_MARKS):
        req.store.remember(account, container, info, now)
    return info


def denied(req: Request) -> Refused:
    """Return the refusal for a caller without the right: 403, or 401 when nobody knows them."""
    return Refused(403 if req.caller is not None and req.caller.known else 401)


async def authorize_account(req: Request, write: bool) -> bool:
    """Check that the caller may act on the account itself; tell whether as its owner.

    :raises Refused: 401 or 403.
    """
    owner = _owns(req, req.account)
    if owner is None:
        level = await _account_level(req)
        owner = level == "admin"
        reads = level is not None or (req.caller or NOBODY).reads(req.account)
        if not (owner if write else reads):
            raise denied(req)
    return owner


async def authorize(req: Request, info: ContainerInfo | None, *, write: bool, listing: bool = False) -> bool:
    """Check that the caller may act in a container or list it; tell whether as the account's owner.

    :param info: the container's, None when there is none (or none yet).
    :raises Refused: 401 or 403.
    """
    account = info.account if info is not None else req.account
    owner = _owns(req, account, info.container if info is not None else req.container)
    if owner is not None:
        return owner
    caller = req.caller or NOBODY
    if not write and caller.reads(account):
        return False
    if info is not None:
        entries = acl.parse(info.metadata.get("X-Container-Write" if write else "X-Container-Read"))
        if entries.groups & caller.names or {group.lower() for group in entries.groups} & caller.roles:
            return False
        public = not write and acl.referrer_allowed(req.headers.get("referer"), entries.referrers)
        if public and (entries.lets_list or not listing):
            return False
    level = await _account_level(req) if caller.known and account == req.account else None
    if level in ("admin", "read-write") if write else level is not None:
        return level == "admin"
    raise denied(req)


async def authorize_container_change(req: Request, info: ContainerInfo | None) -> bool:
    """Check that the caller may make, change or delete a container; tell whether as the account's owner.

    :raises Refused: 401 or 403.
    """
    owner = _owns(req, req.account, req.container)
    if owner is None:
        level = await _account_level(req) if (req.caller or NOBODY).known else None
        if level not in ("admin", "read-write"):
            raise denied(req)
        owner = level == "admin"
    return owner


def _owns(req: Request, account: str, container: str = "") -> bool | None:
    """Tell whether the caller acts as owner; False: vouched for, without being the owner; None: neither."""
    if req.vouched:
        where = (account, f"{account}/{container}", f"{account}/{container.removesuffix(PARTS)}")
        return False if req.vouched in where else None
    caller = req.caller or NOBODY
    return True if caller.administers(account) or caller.owns(account) else None


async def _account_level(req: Request) -> str | None:
    """Return what the account's access list gives the caller: "admin", "read-write", "read-only" or None."""
    caller = req.caller or NOBODY
    if not caller.known:
        return None
    info = await account_info(req)
    text = info.metadata.get("X-Account-Sysmeta-Core-Access-Control") if info else None
    found = acl.parse_account(text) if text else None
    names = caller.names | ({caller.ctx.user_id} if caller.ctx else set())
    return next((level for level in acl.LEVELS if found and names & set(found.get(level, ()))), None)


async def ensure_container(req: Request, account: str, container: str, policy: int | None = None) -> None:
    """Make a container that the object store itself needs.  :raises Refused: 500 when that cannot be."""
    put = ContainerPut(timestamp=req.at, policy=policy)
    written = await req.store.placement.put_container(account, container, put)
    req.store.forget(account, container)
    if not written.ok and written.status != HTTPStatus.CONFLICT:
        raise Refused(500)
