"""Object lock: until when versions of objects may be neither deleted nor lost, whatever door somebody comes through.

A container with object lock keeps versions for ever.  A version may be retained until a moment (in the mode GOVERNANCE a
caller with a special right may pass by that, in COMPLIANCE nobody), and it may be under a legal hold.  What a large object was
put together of lies in the container CONTAINER+segments: there, nothing is overwritten or deleted while the container has
object lock, but by uploads in parts and by deleting the version itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from pileus.object_store.backend import ObjectName
from pileus.object_store.indexes import ContainerInfo
from pileus.object_store.request import Refused, Request
from pileus.object_store.service import access

KEPT = "X-Object-Transient-Sysmeta-S3Api-"
LOCK = "X-Container-Sysmeta-S3Api-Object-Lock"
RETENTION, HOLD = f"{KEPT}Retention", f"{KEPT}Legal-Hold"
GOVERNANCE, COMPLIANCE = "GOVERNANCE", "COMPLIANCE"
PARTS_OWN, BYPASS = "parts", "bypass_governance"
LOCKED = "The object is locked."


@dataclass(frozen=True)
class Retention:
    """Until when a version is kept, epoch seconds, and how strictly."""

    mode: str
    until: float


def retention_of(headers: Mapping[str, str]) -> Retention | None:
    """Return the retention in an object's stored headers."""
    text = headers.get(RETENTION)
    return msgspec.json.decode(text, type=Retention) if text else None


def encode(retention: Retention) -> str:
    """Return a retention in the form in which it is stored."""
    return msgspec.json.encode(retention).decode()


def is_held(headers: Mapping[str, str]) -> bool:
    """Tell whether there is a legal hold in an object's stored headers."""
    return headers.get(HOLD) == "ON"


def is_locked(headers: Mapping[str, str], now: float, bypass: bool = False) -> bool:
    """Tell whether a version with these stored headers may not be deleted.

    :param bypass: the caller passes by retention of the mode GOVERNANCE.
    """
    if is_held(headers):
        return True
    found = retention_of(headers)
    return found is not None and found.until > now and not (bypass and found.mode == GOVERNANCE)


def check_versioned(metadata: Mapping[str, str]) -> None:
    """Refuse to stop versions in a container with object lock.  :raises Refused: 409."""
    if metadata.get(LOCK):
        raise Refused(409, "An object lock configuration is present on this container, so its versions cannot be suspended.")


async def check_version(req: Request, info: ContainerInfo, hidden: ContainerInfo, name: str) -> None:
    """Hold the deletion of a version, by its stored name, to object lock.  :raises Refused: 403."""
    if not info.metadata.get(LOCK):
        return
    answer = await req.store.placement.object(hidden.policy, ObjectName(hidden.account, hidden.container, name))
    headers = answer.metadata.headers if answer.metadata else {}
    if is_locked(headers, req.cloud.clock.now(), bool(req.facts.get(BYPASS))):
        raise Refused(403, LOCKED)


def check_expiry(headers: Mapping[str, str], delete_at: float, now: float) -> None:
    """Refuse that a locked object shall vanish while it is locked.  :raises Refused: 403."""
    found = retention_of(headers)
    if is_held(headers) or (found is not None and found.until > max(now, delete_at)):
        raise Refused(403, LOCKED)


async def check_part(req: Request, info: ContainerInfo) -> None:
    """Refuse to touch parts of large objects in a container with object lock.  :raises Refused: 403."""
    if not info.container.endswith(access.PARTS) or req.facts.get(PARTS_OWN):
        return
    whole = await access.container_info(req, info.account, info.container.removesuffix(access.PARTS))
    if whole is not None and whole.metadata.get(LOCK):
        raise Refused(403, LOCKED)
