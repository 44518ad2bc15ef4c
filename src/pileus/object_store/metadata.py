"""Metadata in headers: what a request sets, whether that is within the limits, and what an answer shows.  Pure."""

from collections.abc import Mapping

from pileus.object_store.limits import Limits
from pileus.object_store.listing import is_utf8
from pileus.object_store.request import Refused

OWNERS_ONLY = frozenset(
    {
        "X-Container-Read",
        "X-Container-Write",
        "X-Container-Sync-Key",
        "X-Container-Sync-To",
        "X-Container-Meta-Temp-Url-Key",
        "X-Container-Meta-Temp-Url-Key-2",
        "X-Account-Meta-Temp-Url-Key",
        "X-Account-Meta-Temp-Url-Key-2",
        "X-Account-Access-Control",
    }
)


def check(headers: Mapping[str, str], kind: str, limits: Limits) -> None:
    """Hold a request's metadata to the limits.  kind is "account", "container" or "object".

    :raises Refused: 400.
    """
    prefix = f"x-{kind}-meta-"
    count = size = 0
    for key, value in headers.items():
        if len(value.encode("utf-8", "surrogateescape")) > limits.header_bytes:
            raise Refused(400, f"Header value too long: {key[: limits.meta_name_length]}")
        if not key.startswith(prefix):
            continue
        name = key[len(prefix) :]
        if not name:
            raise Refused(400, "Metadata name cannot be empty")
        if not is_utf8(name) or not is_utf8(value):
            raise Refused(400, "Metadata must be valid UTF-8")
        count += 1
        length = len(value.encode())
        size += len(name.encode()) + length
        if len(name) > limits.meta_name_length:
            raise Refused(400, f"Metadata name too long: {key}")
        if length > limits.meta_value_length:
            raise Refused(400, f"Metadata value longer than {limits.meta_value_length}: {key}")
        if count > limits.meta_count:
            raise Refused(400, f"Too many metadata items; max {limits.meta_count}")
        if size > limits.meta_overall_bytes:
            raise Refused(400, f"Total metadata too large; max {limits.meta_overall_bytes}")


def check_total(stored: Mapping[str, str], given: Mapping[str, str], kind: str, limits: Limits) -> None:
    """Hold what will be stored after a request to the limits.  :raises Refused: 400."""
    prefix = f"X-{kind.title()}-Meta-"
    merged = {key: value for key, value in {**stored, **given}.items() if value and key.startswith(prefix)}
    if len(merged) > limits.meta_count:
        raise Refused(400, f"Too many metadata items; max {limits.meta_count}")
    size = sum(len(key.encode()) - len(prefix) + len(value.encode()) for key, value in merged.items())
    if size > limits.meta_overall_bytes:
        raise Refused(400, f"Total metadata too large; max {limits.meta_overall_bytes}")


def given(headers: Mapping[str, str], kind: str, others: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the headers that a request sets on an account or a container; an empty value removes.

    :param others: further headers than X-KIND-Meta-*, in lower case.
    """
    found: dict[str, str] = {}
    prefix, removal = f"x-{kind}-meta-", "x-remove-"
    for key, value in headers.items():
        if key.startswith(removal):
            plain = "x-" + key[len(removal) :]
            if (plain.startswith(prefix) or plain in others) and plain not in headers:
                found[plain.title()] = ""
        elif key.startswith(prefix) or key in others:
            found[key.title()] = value
    return found


def shown(metadata: Mapping[str, str], owner: bool) -> dict[str, str]:
    """Return the stored headers that a caller may see."""
    return {key: value for key, value in metadata.items() if "-Sysmeta-" not in key and (owner or key not in OWNERS_ONLY)}
