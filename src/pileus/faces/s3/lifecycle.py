"""When objects vanish, as a bucket's rules have it: read, written, and what they say of an object.  Pure."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from pileus.faces.s3 import lock, tags
from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.numbers import natural
from pileus.faces.s3.xml import Element, answer, tag, wrap

if TYPE_CHECKING:
    from pileus.faces.s3.buckets import Bucket
    from pileus.faces.s3.request import S3Request
    from pileus.object_store.content import Content

SETTING = "Lifecycle"
RULES_MAX, ID_LENGTH = 1000, 255
DAYS_MAX, DATE_MAX = 2_147_483_647, 253_402_214_400
UNDONE = ("Transition", "NoncurrentVersionTransition")


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule.  Numbers that are 0 (sizes: -1) say nothing.

    :param newer: how many newer noncurrent versions are kept whatever their age.
    :param form: how its filter is worded: "Prefix" (the older way), "Filter", "And", or "".
    """

    id: str
    enabled: bool = True
    prefix: str = ""
    tags: dict[str, str] = {}
    larger_bytes: int = -1
    smaller_bytes: int = -1
    days: int = 0
    date: float = 0.0
    drop_markers: bool = False
    noncurrent_days: int = 0
    newer: int = 0
    abort_days: int = 0
    form: str = "Filter"

    def fits(self, key: str, size_bytes: int, given: Mapping[str, str]) -> bool:
        """Tell whether it is for an object."""
        if not self.enabled or not key.startswith(self.prefix):
            return False
        if size_bytes <= self.larger_bytes or (self.smaller_bytes >= 0 and size_bytes >= self.smaller_bytes):
            return False
        return all(given.get(name) == value for name, value in self.tags.items())

    def due(self, made_at: float, day_seconds: float) -> float | None:
        """Return when an object that was made at a time vanishes; None: never.  Times are epoch seconds."""
        if self.date:
            return self.date
        if not self.days:
            return None
        return after(made_at, self.days, day_seconds)


def after(moment: float, days: int, day_seconds: float) -> float:
    """Return the end of the day that lies so many days after a moment."""
    return math.ceil((moment + days * day_seconds) / day_seconds) * day_seconds


def _days(element: Element, name: str) -> int:
    text = element.get(name)
    if not text:
        return 0
    found = natural(text.removeprefix("-"))
    if found is None:
        raise S3Error("MalformedXML")
    if text[0] == "-" or not 1 <= found <= DAYS_MAX:
        raise S3Error("InvalidArgument", f"'{name}' must be a positive integer")
    return found


def from_xml(root: Element) -> list[Rule]:
    """Read rules.  :raises S3Error: when they are none."""
    found = [_rule(one, place) for place, one in enumerate(root.all("Rule"))]
    if not found or len(found) > RULES_MAX:
        raise S3Error("MalformedXML")
    if len({rule.id for rule in found}) != len(found):
        raise S3Error("InvalidArgument", "Rule ID must be unique. Found same ID for more than one rule")
    return found


def _rule(one: Element, place: int) -> Rule:
    if one.get("Status") not in ("Enabled", "Disabled"):
        raise S3Error("MalformedXML")
    if any(one.first(name) is not None for name in UNDONE):
        raise S3Error("NotImplemented", "There is one class of storage only, so there are no transitions.")
    id = one.get("ID")
    if len(id) > ID_LENGTH:
        raise S3Error("InvalidArgument", "ID length should not exceed allowed limit of 255")
    rule = msgspec.structs.replace(_filtered(one), id=id or _made_id(one, place), enabled=one.get("Status") == "Enabled")
    rule = _with_expiration(one, rule)
    noncurrent, abort = one.first("NoncurrentVersionExpiration"), one.first("AbortIncompleteMultipartUpload")
    if noncurrent is not None:
        days, newer = _days(noncurrent, "NoncurrentDays"), _days(noncurrent, "NewerNoncurrentVersions")
        if not days:
            raise S3Error("MalformedXML")
        rule = msgspec.structs.replace(rule, noncurrent_days=days, newer=newer)
    if abort is not None:
        days = _days(abort, "DaysAfterInitiation")
        if not days or rule.tags or rule.larger_bytes >= 0 or rule.smaller_bytes >= 0:
            raise S3Error("InvalidRequest", "AbortIncompleteMultipartUpload cannot be specified with Tags or sizes.")
        rule = msgspec.structs.replace(rule, abort_days=days)
    if not (rule.days or rule.date or rule.drop_markers or rule.noncurrent_days or rule.abort_days):
        raise S3Error("InvalidRequest", "At least one action needs to be specified in a rule")
    return rule


def _made_id(one: Element, place: int) -> str:
    return hashlib.sha256(f"{place}:{one}".encode()).hexdigest()[:32]


def _with_expiration(one: Element, rule: Rule) -> Rule:
    found = one.first("Expiration")
    if found is None:
        return rule
    given = [name for name in ("Days", "Date", "ExpiredObjectDeleteMarker") if found.first(name) is not None]
    if len(given) != 1:
        raise S3Error("MalformedXML")
    if given == ["Days"]:
        days = _days(found, "Days")
        if not days:
            raise S3Error("MalformedXML")
        return msgspec.structs.replace(rule, days=days)
    if given == ["Date"]:
        date = lock.parse_date(found.get("Date"))
        if datetime.fromtimestamp(date, UTC).time() != datetime.min.time():
            raise S3Error("InvalidArgument", "'Date' must be at midnight GMT")
        return msgspec.structs.replace(rule, date=date)
    return msgspec.structs.replace(rule, drop_markers=found.get("ExpiredObjectDeleteMarker") == "true")


def _filtered(one: Element) -> Rule:
    """Return a rule with nothing but a filter."""
    chosen, prefix = one.first("Filter"), one.first("Prefix")
    if (chosen is None) == (prefix is None):
        raise S3Error("MalformedXML")
    if chosen is None:
        assert prefix is not None
        return Rule("", prefix=prefix.text, form="Prefix")
    both = chosen.first("And")
    if both is None and len(chosen.children) > 1:
        raise S3Error("MalformedXML")
    inner = both if both is not None else chosen
    named: dict[str, str] = {}
    for pair in inner.all("Tag"):
        if pair.first("Key") is None or pair.first("Value") is None or pair.get("Key") in named:
            raise S3Error("MalformedXML")
        named[pair.get("Key")] = pair.get("Value")
    larger, smaller = inner.get("ObjectSizeGreaterThan"), inner.get("ObjectSizeLessThan")
    if any(text and natural(text) is None for text in (larger, smaller)):
        raise S3Error("MalformedXML")
    first = inner.first("Prefix")
    form = "And" if both is not None else "Filter" if chosen.children else ""
    return Rule("", True, first.text if first is not None else "", named, int(larger or -1), int(smaller or -1), form=form)


def _filter_xml(rule: Rule) -> str:
    if rule.form == "Prefix":
        return tag("Prefix", rule.prefix)
    inner = tag("Prefix", rule.prefix) if rule.prefix or (rule.form == "Filter" and not _has_more(rule)) else ""
    inner += "".join(wrap("Tag", tag("Key", name) + tag("Value", value)) for name, value in rule.tags.items())
    inner += tag("ObjectSizeGreaterThan", rule.larger_bytes) if rule.larger_bytes >= 0 else ""
    inner += tag("ObjectSizeLessThan", rule.smaller_bytes) if rule.smaller_bytes >= 0 else ""
    return wrap("Filter", wrap("And", inner) if rule.form == "And" else inner)


def _has_more(rule: Rule) -> bool:
    return bool(rule.tags) or rule.larger_bytes >= 0 or rule.smaller_bytes >= 0


def to_xml(rules: Iterable[Rule]) -> bytes:
    """Return rules as a document."""
    parts = []
    for rule in rules:
        inner = tag("ID", rule.id) + _filter_xml(rule) + tag("Status", "Enabled" if rule.enabled else "Disabled")
        if rule.days:
            inner += wrap("Expiration", tag("Days", rule.days))
        elif rule.date:
            inner += wrap("Expiration", tag("Date", lock.to_date(rule.date)))
        elif rule.drop_markers:
            inner += wrap("Expiration", tag("ExpiredObjectDeleteMarker", "true"))
        if rule.noncurrent_days:
            newer = tag("NewerNoncurrentVersions", rule.newer) if rule.newer else ""
            inner += wrap("NoncurrentVersionExpiration", tag("NoncurrentDays", rule.noncurrent_days) + newer)
        if rule.abort_days:
            inner += wrap("AbortIncompleteMultipartUpload", tag("DaysAfterInitiation", rule.abort_days))
        parts.append(wrap("Rule", inner))
    return answer("LifecycleConfiguration", "".join(parts))


def encode(rules: list[Rule]) -> str:
    """Return rules in the form in which they are stored."""
    return msgspec.json.encode(rules).decode()


def decode(text: str) -> list[Rule]:
    """Return rules out of their stored form."""
    return msgspec.json.decode(text, type=list[Rule]) if text else []


def expiration_header(s3: "S3Request", bucket: "Bucket", content: "Content") -> str:
    """Return what a header tells of when an object vanishes; "" when it does not."""
    rules = decode(bucket.setting(SETTING))
    if not rules or "versionId" in s3.query:
        return ""
    given = tags.decode(content.sysmeta.get(tags.STORED, ""))
    soonest: tuple[float, str] | None = None
    for rule in rules:
        when = rule.due(content.metadata.data_at.seconds, s3.cloud.settings.s3_day_seconds)
        if when is not None and rule.fits(s3.key, content.size_bytes, given):
            soonest = min(soonest or (when, rule.id), (when, rule.id))
    if soonest is None:
        return ""
    return f'expiry-date="{formatdate(min(soonest[0], DATE_MAX), usegmt=True)}", rule-id="{quote(soonest[1], safe=" ")}"'
