"""Quotas of accounts and containers: bytes and objects, in metadata."""

from collections.abc import Mapping

from pileus.object_store.caller import NOBODY
from pileus.object_store.indexes import ContainerInfo
from pileus.object_store.request import Refused, Request
from pileus.object_store.service import access

BYTES, COUNT = "x-container-meta-quota-bytes", "x-container-meta-quota-count"
ACCOUNT_OLD = "x-account-meta-quota-bytes"
ACCOUNT_NEW = {"x-account-quota-bytes": "X-Account-Sysmeta-Quota-Bytes", "x-account-quota-count": "X-Account-Sysmeta-Quota-Count"}


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
    for key, stored in ACCOUNT_NEW.items():
        removal = f"x-remove-{key[2:]}"
        if key in req.headers:
            found[stored] = req.headers[key]
        elif removal in req.headers:
            found[stored] = ""
    old = {key for key in (ACCOUNT_OLD, f"x-remove-{ACCOUNT_OLD[2:]}") if key in req.headers}
    if not found and not old:
        return {}
    if not (req.caller or NOBODY).administers(req.account):
        raise Refused(403)
    if any(value and not _is_number(value) for value in (*found.values(), req.headers.get(ACCOUNT_OLD, ""))):
        raise Refused(400, "Invalid quota.")
    return found


def shown(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the quotas of an account as headers."""
    return {key.title(): metadata[stored] for key, stored in ACCOUNT_NEW.items() if metadata.get(stored)}


async def check(req: Request, info: ContainerInfo, size_bytes: int | None) -> None:
    """Hold an upload to the quotas of its container and account.

    :raises Refused: 413.
    """
    limit, count = info.metadata.get(BYTES.title()), info.metadata.get(COUNT.title())
    more = size_bytes or 0
    if limit and _is_number(limit) and info.bytes_used + more > int(limit):
        raise Refused(413, "Upload exceeds quota.")
    if count and _is_number(count) and info.object_count + 1 > int(count):
        raise Refused(413, "Upload exceeds quota.")
    account = await access.account_info(req, info.account)
    if account is None or (req.caller or NOBODY).administers(info.account):
        return
    limit = account.metadata.get("X-Account-Sysmeta-Quota-Bytes") or account.metadata.get(ACCOUNT_OLD.title())
    if limit and _is_number(limit) and account.bytes_used + more > int(limit):
        raise Refused(413, "Upload exceeds quota.")
    count = account.metadata.get("X-Account-Sysmeta-Quota-Count")
    if count and _is_number(count) and account.object_count + 1 > int(count):
        raise Refused(413, "Upload exceeds quota.")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
