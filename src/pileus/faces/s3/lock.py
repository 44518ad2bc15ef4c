"""Object lock as S3 words it: the default of a bucket, retention and legal hold of objects."""

from datetime import UTC, datetime

import msgspec

from pileus.faces.s3.buckets import Bucket
from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.numbers import natural
from pileus.faces.s3.request import S3Request
from pileus.faces.s3.xml import Element, answer, tag, wrap
from pileus.object_store import conditions
from pileus.object_store.service import locks
from pileus.object_store.service.locks import COMPLIANCE, GOVERNANCE, Retention

MODES = (GOVERNANCE, COMPLIANCE)
DAY_SECONDS = 86_400
DAYS_MAX, YEARS_MAX = 36_500, 100


class Rule(msgspec.Struct, frozen=True):
    """What versions of a bucket are retained by default; one of days and years is set, or mode is ""."""

    mode: str = ""
    days: int = 0
    years: int = 0


def to_date(seconds: float) -> str:
    """Return a time as documents have it."""
    return f"{datetime.fromtimestamp(int(seconds), UTC).isoformat()[:19]}.{int(seconds * 1000) % 1000:03d}Z"


def parse_date(text: str, code: str = "MalformedXML") -> float:
    """Read a time.  :raises S3Error: when it is none."""
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise S3Error(code, "The date is not valid.") from None


def rule_of(bucket: Bucket) -> Rule:
    """Return the default of a bucket."""
    text = bucket.setting("Object-Lock")
    return msgspec.json.decode(text, type=Rule) if text else Rule()


def encode(rule: Rule) -> str:
    """Return a default in the form in which it is stored."""
    return msgspec.json.encode(rule).decode()


def default(bucket: Bucket, now: float) -> dict[str, str]:
    """Return what is kept with a new object by default."""
    rule = rule_of(bucket)
    if not rule.mode:
        return {}
    if rule.days:
        until = now + rule.days * DAY_SECONDS
    else:
        moment = datetime.fromtimestamp(now, UTC)
        day = min(moment.day, 28) if moment.month == 2 else moment.day
        until = moment.replace(year=moment.year + rule.years, day=day).timestamp()
    return {locks.RETENTION: locks.encode(Retention(rule.mode, until))}


def of_headers(s3: S3Request, bucket: Bucket) -> dict[str, str]:
    """Return what is kept with a new object of retention and legal hold.  :raises S3Error: when it cannot be."""
    headers = s3.headers
    mode, until = headers.get("x-amz-object-lock-mode"), headers.get("x-amz-object-lock-retain-until-date")
    hold = headers.get("x-amz-object-lock-legal-hold")
    if not bucket.is_locked:
        if mode or until or hold:
            raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")
        return {}
    if (mode is None) != (until is None):
        text = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"
        raise S3Error("InvalidArgument", text)
    found = default(bucket, s3.now)
    if mode and until:
        if mode not in MODES:
            raise S3Error("InvalidArgument", "Unknown wormMode directive.")
        found = {locks.RETENTION: locks.encode(Retention(mode, _future(until, s3.now, "InvalidArgument")))}
    if hold is not None:
        if hold not in ("ON", "OFF"):
            raise S3Error("InvalidArgument", "Legal Hold must be either of 'ON' or 'OFF'")
        found[locks.HOLD] = hold
    return found


def _future(text: str, now: float, code: str) -> float:
    found = parse_date(text, code)
    if found <= now:
        raise S3Error("InvalidArgument", "The retain until date must be in the future!")
    return found


def rule_from_xml(root: Element) -> Rule:
    """Read a bucket's configuration.  :raises S3Error: when it is none."""
    if root.get("ObjectLockEnabled") != "Enabled":
        raise S3Error("MalformedXML")
    rule = root.first("Rule")
    if rule is None:
        return Rule()
    found = rule.first("DefaultRetention")
    if found is None or found.get("Mode") not in MODES:
        raise S3Error("MalformedXML")
    days, years = found.get("Days"), found.get("Years")
    if bool(days) == bool(years):
        raise S3Error("MalformedXML")
    for text, most in ((days, DAYS_MAX), (years, YEARS_MAX)):
        if text and not 0 < (natural(text) or 0) <= most:
            raise S3Error("InvalidRetentionPeriod", "Default retention period must be a positive integer value.")
    return Rule(found.get("Mode"), int(days or 0), int(years or 0))


def rule_to_xml(rule: Rule) -> bytes:
    """Return a bucket's configuration as a document."""
    inner = tag("ObjectLockEnabled", "Enabled")
    if rule.mode:
        length = tag("Days", rule.days) if rule.days else tag("Years", rule.years)
        inner += wrap("Rule", wrap("DefaultRetention", tag("Mode", rule.mode) + length))
    return answer("ObjectLockConfiguration", inner)


def retention_from_xml(root: Element, now: float) -> Retention | None:
    """Read a retention; None: it is to be taken away.  :raises S3Error: when it is none."""
    mode, until = root.get("Mode"), root.get("RetainUntilDate")
    if not mode and not until:
        return None
    if mode not in MODES or not until:
        raise S3Error("MalformedXML")
    return Retention(mode, _future(until, now, "MalformedXML"))


def check_change(old: Retention | None, new: Retention | None, now: float, bypass: bool) -> None:
    """Hold a change of retention to the rules: it may only become stricter.  :raises S3Error: AccessDenied."""
    if old is None or old.until <= now:
        return
    weaker = new is None or new.until < old.until or (old.mode == COMPLIANCE and new.mode != COMPLIANCE)
    changes_mode = new is not None and new.mode != old.mode
    if (weaker or changes_mode) and (old.mode == COMPLIANCE or not bypass):
        raise S3Error("AccessDenied", "Access Denied because object protected by object lock.")


def retention_to_xml(retention: Retention) -> bytes:
    """Return a retention as a document."""
    return answer("Retention", tag("Mode", retention.mode) + tag("RetainUntilDate", to_date(retention.until)))


def parse_http_date(text: str) -> float:
    """Read a time in either form.  :raises S3Error: when it is none."""
    found = conditions.parse_date(text)
    return found if found is not None else parse_date(text, "InvalidArgument")
