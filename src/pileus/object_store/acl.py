"""The grammar of access lists: who may read or write in a container, and in an account.  Pure.

.r:*  .r:host  .r:.domain  .r:-host     referrers that may read; the last that fits decides
.rlistings                              and those may also list
project:user  project:*  *:user  *:*    users of identity (by id), role names, or tempauth's account:user
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

REFERRERS = (".r", ".ref", ".referer", ".referrer")
LEVELS = ("admin", "read-write", "read-only")


@dataclass(frozen=True)
class Acl:
    """An access list, understood."""

    referrers: tuple[str, ...] = ()
    groups: frozenset[str] = frozenset()

    @property
    def lets_list(self) -> bool:
        """Whether those let in by referrer may list the container."""
        return ".rlistings" in self.groups


def clean(header: str, text: str) -> str:
    """Return an access list in its normal form.

    :raises ValueError: when it is none.
    """
    cleaned = []
    for entry in (part.strip() for part in text.split(",")):
        if not entry:
            continue
        first, colon, second = (part.strip() for part in entry.partition(":"))
        if not first.startswith(".") or not colon:
            if first.startswith(".") and first != ".rlistings":
                raise ValueError(f"Unknown designator {first!r} in ACL: {entry!r}")
            if first == ".rlistings" and "write" in header:
                raise ValueError(f"Referrer ACL not allowed in write ACL: {entry!r}")
            cleaned.append(entry)
            continue
        if first not in REFERRERS:
            raise ValueError(f"Unknown designator {first!r} in ACL: {entry!r}")
        if "write" in header:
            raise ValueError(f"Referrer ACL not allowed in write ACL: {entry!r}")
        negated = second.startswith("-")
        host = second[1:].strip() if negated else second
        if host != "*" and host.startswith("*"):
            host = host[1:].strip()
        if not host or host == ".":
            raise ValueError(f"No host/domain value after referrer designation in ACL: {entry!r}")
        cleaned.append(f".r:{'-' if negated else ''}{host}")
    return ",".join(cleaned)


def parse(text: str | None) -> Acl:
    """Understand an access list in its normal form."""
    referrers, groups = [], []
    for entry in filter(None, (part.strip() for part in (text or "").split(","))):
        if entry.startswith(".r:"):
            referrers.append(entry[3:])
        else:
            groups.append(unquote(entry))
    return Acl(tuple(referrers), frozenset(groups))


def referrer_allowed(referrer: str | None, allowed: Collection[str]) -> bool:
    """Tell whether a Referer header is let in; the last entry that fits decides."""
    host = (urlsplit(referrer).hostname if referrer else None) or "unknown"
    found = False
    for entry in allowed:
        negated, pattern = entry.startswith("-"), entry.removeprefix("-")
        if pattern in ("*", host) or (pattern.startswith(".") and host.endswith(pattern)):
            found = not negated
    return found


def parse_account(text: str) -> dict[str, list[str]] | None:
    """Understand the access list of an account, a JSON object of lists of names by level; None when it is none."""
    try:
        found: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not isinstance(found, dict):
        return None
    for level, names in found.items():
        if level not in LEVELS or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return None
    return found


def format_account(acl: dict[str, list[str]]) -> str:
    """Return the access list of an account in the form in which it is stored."""
    return msgspec.json.encode({level: acl[level] for level in LEVELS if acl.get(level)}).decode()
