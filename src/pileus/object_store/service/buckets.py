"""Names that are unique in the whole object store, and settings kept with a container that Swift's API does not know.

A name is claimed in the account `.s3`, which holds an empty container of each name that tells whose it is.  A container that
was made by Swift is claimed by nobody; its own account finds it all the same.
"""

from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus

from pileus.object_store.indexes import ContainerEntry, ContainerInfo, ContainerPut, Listing
from pileus.object_store.request import Refused, Request
from pileus.object_store.service import access

REGISTRY = ".s3"
OWNER = "X-Container-Sysmeta-S3Api-Owner"
SETTING = "X-Container-Sysmeta-S3Api-"
CLAIM_SECONDS = 10


async def owner_of(req: Request, name: str, *, fresh: bool = False) -> str:
    """Return the account that has claimed a name; "" when none has."""
    info = await access.container_info(req, REGISTRY, name, fresh=fresh)
    return info.metadata.get(OWNER, "") if info else ""


async def claim(req: Request, name: str, account: str) -> str:
    """Claim a name for an account, and return whose it is now."""
    info = await access.container_info(req, REGISTRY, name, fresh=True)
    if info is None:
        await _ensure_registry(req)
        written = await req.store.placement.put_container(REGISTRY, name, ContainerPut(timestamp=req.at))
        if not written.ok:
            raise Refused(int(written.status))
        if written.status != HTTPStatus.CREATED:
            return await owner_of(req, name, fresh=True) or "?"
    else:
        owner = info.metadata.get(OWNER, "")
        if owner and (owner == account or await access.container_info(req, owner, name, fresh=True) is not None):
            return owner
        if not owner and info.put_at.seconds + CLAIM_SECONDS > req.cloud.clock.now():
            return "?"
    written = await req.store.placement.post_container(REGISTRY, name, req.at, {OWNER: account})
    req.store.forget(REGISTRY, name)
    if not written.ok:
        raise Refused(int(written.status))
    return account


async def _ensure_registry(req: Request) -> None:
    if await access.account_info(req, REGISTRY) is None:
        written = await req.store.placement.put_account(REGISTRY, req.at, {})
        if not written.ok:
            raise Refused(int(written.status))


async def release(req: Request, name: str, account: str) -> None:
    """Give a name up, if it is the account's."""
    if await owner_of(req, name, fresh=True) == account:
        await req.store.placement.delete_container(REGISTRY, name, req.at)
        req.store.forget(REGISTRY, name)


async def names(req: Request) -> AsyncIterator[str]:
    """Yield every name that is claimed."""
    marker = ""
    while True:
        answer = await req.store.placement.account(REGISTRY, Listing(marker=marker, limit=1000))
        for entry in answer.entries:
            if isinstance(entry, ContainerEntry):
                yield entry.name
                marker = entry.name
        if len(answer.entries) < 1000:
            return


async def configure(req: Request, info: ContainerInfo, changes: Mapping[str, str]) -> None:
    """Change settings of a container, by name ("Acl"); "" removes one."""
    await access.authorize_container_change(req, info)
    stored = {SETTING + name: value for name, value in changes.items()}
    written = await req.store.placement.post_container(info.account, info.container, req.at, stored)
    req.store.forget(info.account, info.container)
    if not written.ok:
        raise Refused(int(written.status))


def setting(info: ContainerInfo, name: str) -> str:
    """Return a setting of a container; "" when it is not set."""
    return info.metadata.get(SETTING + name, "")
