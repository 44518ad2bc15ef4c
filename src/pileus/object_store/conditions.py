"""Conditional requests (RFC 7232): If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since.  Pure."""

import math
from collections.abc import Mapping
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache

NOT_MODIFIED, FAILED = 304, 412


def etags(header: str) -> set[str]:
    """Return the tags that a header names, without quotes."""
    return {tag.strip().removeprefix("W/").strip('"') for tag in header.split(",") if tag.strip()}


def http_date(seconds: float) -> str:
    """Return a time in the form of HTTP dates, rounded up, so that nothing is newer than it says."""
    return _date_of(math.ceil(seconds))


@lru_cache(1024)
def _date_of(second: int) -> str:
    return formatdate(second, usegmt=True)


def parse_date(text: str | None) -> float | None:
    """Read an HTTP date; None when it is none."""
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def verdict(headers: Mapping[str, str], tags: set[str], modified: float) -> int | None:
    """Return 304 or 412 when a GET or HEAD of something that is there is not to be answered with it, else None.

    :param tags: the entity tags that it goes by.
    :param modified: when it was last changed.
    """
    last = math.ceil(modified)
    if (text := headers.get("if-none-match")) is not None:
        wanted = etags(text)
        if "*" in wanted or wanted & tags:
            return NOT_MODIFIED
    if (text := headers.get("if-match")) is not None:
        wanted = etags(text)
        if "*" not in wanted and not wanted & tags:
            return FAILED
    since = parse_date(headers.get("if-modified-since"))
    if since is not None and last <= since:
        return NOT_MODIFIED
    until = parse_date(headers.get("if-unmodified-since"))
    if until is not None and last > until:
        return FAILED
    return None
