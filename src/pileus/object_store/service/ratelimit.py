"""Rate limits: who asks too often waits for a turn, and is sent away (498) when that would take too long.

An account's administrator of the object store may set X-Account-Sysmeta-Global-Write-Ratelimit: a rate for all its writes
together, WHITELIST (no limit) or BLACKLIST (497).
"""

import asyncio

from pileus.object_store.rates import TooFast
from pileus.object_store.request import TEXT, Refused, Request
from pileus.object_store.service import access

GLOBAL = "X-Account-Sysmeta-Global-Write-Ratelimit"
WRITES = ("PUT", "DELETE", "POST", "COPY")
BLACKLIST_SECONDS = 1.0


async def wait(req: Request) -> None:
    """Wait for the turn of a request.  :raises Refused: 497 or 498."""
    limits = req.store.rates
    if not limits and req.method not in WRITES:
        return
    account = await access.account_info(req)
    mark = account.metadata.get(GLOBAL, "") if account else ""
    if mark.upper() == "WHITELIST" or not (limits or mark):
        return
    if mark.upper() == "BLACKLIST":
        await asyncio.sleep(BLACKLIST_SECONDS)
        raise Refused(497, "Your account has been blacklisted", {"Content-Type": TEXT})
    for key, rate in await _keys(req, mark):
        try:
            seconds = limits.turns.take(key, rate, req.cloud.clock.now())
        except TooFast:
            raise Refused(498, "Slow down", {"Content-Type": TEXT}) from None
        if seconds > 0:
            await asyncio.sleep(seconds)


async def _keys(req: Request, mark: str) -> list[tuple[str, float]]:
    """Return what the request takes turns for, and at which rate."""
    limits, found = req.store.rates, []
    box = f"{req.account}/{req.container}"
    if limits.account and req.container and not req.name and req.method in ("PUT", "DELETE"):
        found.append((req.account, limits.account))
    rates = limits.container if req.name and req.method in WRITES else None
    if req.container and not req.name and req.method == "GET":
        rates, box = limits.listing, f"listing {box}"
    if rates is not None and rates.steps:
        info = await access.container_info(req)
        rate = rates.of(info.object_count) if info else None
        if rate is not None:
            found.append((box, rate))
    if req.method in WRITES and _is_rate(mark):
        found.append((f"all {req.account}", float(mark)))
    return found


def _is_rate(mark: str) -> bool:
    try:
        return float(mark) > 0
    except ValueError:
        return False
