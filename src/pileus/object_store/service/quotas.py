"""Quotas of accounts and containers: bytes and objects, in metadata."""

from collections.abc import Mapping
from urllib.parse import unquote

from pileus.object_store.caller import NOBODY
from pileus.object_store.indexes import ContainerInfo, PolicyUse
from pileus.object_store.request import Refused, Request
from pileus.object_store.service import access

BYTES, COUNT = "x-container-meta-quota-bytes", "x-container-meta-quota-count"
ACCOUNT_OLD = "x-account-meta-quota-bytes"
NEW, STORED = "x-account-quota-", "X-Account-Sysmeta-Quota-"
WORDS = ("bytes", "count")
VERSIONS = "X-Container-Sysmeta-Versions-Container"


def _new_headers(req: Request) -> dict[str, str]:
    """Return the headers of quotas of the newer form by the names under which they are stored."""
    names = {f"{NEW}{word}": f"{STORED}{word.title()}" for word in WORDS}
    for policy in req.store.placement.cluster.policies:
        for word in WORDS:
            stored = f"{STORED}{word.title()}-Policy-{policy.index}"
            names |= {f"{NEW}{word}-policy-{name.lower()}": stored for name in (policy.name, *policy.aliases)}
    return names


def check_container_headers(headers: Mapping[str, str]) -> None:
    """Hold quotas that a request sets on a container to be numbers.  :raises Refused: 400."""
    for key, word in ((BYTES, "bytes"), (COUNT, "count")):
        if headers.get(key) and not _is_number(headers[key]):
            raise Refused(400, f"Invalid {word} quota.")


def account_headers(req: Request) -> dict[str, str]:
    """Return the headers to store for the quotas that a request sets on an account.

    :raises Refused: 400 when one is no number, 403 when the caller does not administer the object store.
    """
    found: dict[str, str] = {}
    if any("account-quota-" in key for key in req.headers):
        for key, stored in _new_headers(req).items():
            if key in req.headers:
                found[stored] = req.headers[key]
            elif f"x-remove-{key[2:]}" in req.headers:
                found[stored] = ""
    old = {key for key in (ACCOUNT_OLD, f"x-remove-{ACCOUNT_OLD[2:]}") if key in req.headers}
    if not found and not old:
        return {}
    if not (req.caller or NOBODY).administers(req.account):
        raise Refused(403)
    if any(value and not _is_number(value) for value in (*found.values(), req.headers.get(ACCOUNT_OLD, ""))):
        raise Refused(400, "Invalid quota.")
    return found


def shown(req: Request, metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the quotas of an account as headers."""
    if not any(key.startswith(STORED) for key in metadata):
        return {}
    return {key.title(): metadata[stored] for key, stored in _new_headers(req).items() if metadata.get(stored)}


async def check(req: Request, info: ContainerInfo, size_bytes: int | None) -> None:
    """Hold an upload to the quotas of its container and account.

    :raises Refused: 413.
    """
    used = info.bytes_used + await _versions_bytes(req, info)
    limit, count = info.metadata.get(BYTES.title()), info.metadata.get(COUNT.title())
    more = size_bytes or 0
    if limit and _is_number(limit) and used + more > int(limit):
        raise Refused(413, "Upload exceeds quota.")
    if count and _is_number(count) and info.object_count + 1 > int(count):
        raise Refused(413, "Upload exceeds quota.")
    account = await access.account_info(req, info.account)
    if account is None or (req.caller or NOBODY).administers(info.account):
        return
    use = account.by_policy.get(info.policy, PolicyUse())
    for ending, bytes_used, objects in (
        ("", account.bytes_used, account.object_count),
        (f"-Policy-{info.policy}", use.bytes_used, use.object_count),
    ):
        limit = account.metadata.get(f"{STORED}Bytes{ending}") or account.metadata.get(ACCOUNT_OLD.title() + ending)
        if limit and _is_number(limit) and bytes_used + more > int(limit):
            raise Refused(413, "Upload exceeds policy quota." if ending else "Upload exceeds quota.")
        count = account.metadata.get(f"{STORED}Count{ending}")
        if count and _is_number(count) and objects + 1 > int(count):
            raise Refused(413, "Upload exceeds policy quota." if ending else "Upload exceeds quota.")


async def _versions_bytes(req: Request, info: ContainerInfo) -> int:
    """Return how many bytes a container's versions take, where its quota counts bytes."""
    hidden = info.metadata.get(VERSIONS)
    if not hidden or not info.metadata.get(BYTES.title()):
        return 0
    found = await access.container_info(req, info.account, unquote(hidden), fresh=True)
    return found.bytes_used if found else 0


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
