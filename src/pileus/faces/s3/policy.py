"""Bucket policies: JSON that allows or denies actions to principals under conditions; read with care, and judged.  Pure."""

import fnmatch
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from pileus.faces.s3.errors import S3Error

BYTES_MAX = 20_480
ALLOW, DENY = "Allow", "Deny"
RESOURCE = "arn:aws:s3:::"
VERSIONS = ("2012-10-17", "2008-10-17")
ELEMENTS = {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
ARN = re.compile(r"arn:[\w-]*:(iam|sts)::([^:]*):(.+)$")
PROJECT = re.compile(r"[0-9a-zA-Z-]{1,64}$")


@dataclass(frozen=True)
class Statement:
    """One statement; negated parts are those of NotPrincipal, NotAction and NotResource."""

    effect: str
    principals: tuple[str, ...]
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    not_principals: bool = False
    not_actions: bool = False
    not_resources: bool = False


@dataclass(frozen=True)
class Asked:
    """What somebody wants to do.

    :param principals: the names by which they may be allowed it; names all by which they go.
    :param facts: what conditions may ask for.
    """

    action: str
    resource: str
    principals: frozenset[str]
    facts: Mapping[str, tuple[str, ...]]
    names: frozenset[str] = frozenset()


def _malformed(text: str = "") -> S3Error:
    return S3Error("MalformedPolicy", text)


def _texts(value: Any) -> tuple[str, ...]:
    found = value if isinstance(value, list) else [value]
    if not found or not all(isinstance(one, str) for one in found):
        raise _malformed("A list of texts is wanted.")
    return tuple(found)


@lru_cache(maxsize=256)
def parse(text: str, bucket: str) -> tuple[Statement, ...]:
    """Read a policy of a bucket.  :raises S3Error: when it is none."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _malformed("Policies must be valid JSON and the first byte must be '{'") from None
    if not isinstance(found, dict) or found.keys() - {"Version", "Id", "Statement"}:
        raise _malformed()
    if found.get("Version", VERSIONS[0]) not in VERSIONS:
        raise _malformed("The policy must contain a valid version string")
    listed = found.get("Statement")
    listed = [listed] if isinstance(listed, dict) else listed
    if not isinstance(listed, list) or not listed:
        raise _malformed("Could not parse the policy: Statement is empty!")
    return tuple(_statement(one, bucket) for one in listed)


def _statement(found: Any, bucket: str) -> Statement:
    if not isinstance(found, dict) or found.keys() - ELEMENTS or found.get("Effect") not in (ALLOW, DENY):
        raise _malformed("Invalid effect or unknown element in a statement")
    for one in ("Principal", "Action", "Resource"):
        if (one in found) == (f"Not{one}" in found):
            raise _malformed(f"Missing required field {one}")
    actions = _texts(found.get("Action", found.get("NotAction")))
    if not all(action == "*" or action.lower().startswith("s3:") for action in actions):
        raise _malformed("Policy has invalid action")
    resources = _texts(found.get("Resource", found.get("NotResource")))
    for resource in resources:
        name = resource.removeprefix(RESOURCE).partition("/")[0]
        if resource != "*" and (not resource.startswith(RESOURCE) or not _like(bucket, name)):
            raise _malformed("Policy has invalid resource")
    if "NotPrincipal" in found and found["Effect"] == ALLOW:
        raise _malformed("Allow with NotPrincipal is not allowed")
    principals = _principals(found.get("Principal", found.get("NotPrincipal")))
    return Statement(
        found["Effect"], principals, tuple(action.lower() for action in actions), resources,
        _conditions(found.get("Condition", {})), "NotPrincipal" in found, "NotAction" in found, "NotResource" in found,
    )  # fmt: skip


def _principals(value: Any) -> tuple[str, ...]:
    if value == "*":
        return ("*",)
    if not isinstance(value, dict) or not value or value.keys() - {"AWS", "CanonicalUser", "Service", "Federated"}:
        raise _malformed("Invalid principal in policy")
    found: list[str] = []
    for one in _texts(value["AWS"]) if "AWS" in value else ():
        match = ARN.match(one)
        if one != "*" and not match and not PROJECT.match(one):
            raise _malformed("Invalid principal in policy")
        found.append(f"{match[2]}:{match[3]}" if match else one if one == "*" else f"{one}:root")
    for one in _texts(value["CanonicalUser"]) if "CanonicalUser" in value else ():
        found.append(f"{one}:root")
    return tuple(found)


def _conditions(value: Any) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    if not isinstance(value, dict):
        raise _malformed("Condition is not a block")
    found = []
    for operator, block in value.items():
        plain = operator.removeprefix("ForAnyValue:").removeprefix("ForAllValues:").removesuffix("IfExists")
        if plain not in OPERATORS and plain != "Null":
            raise _malformed(f"Invalid Condition type : {operator}")
        if not isinstance(block, dict):
            raise _malformed("Condition is not a block")
        for key, wanted in block.items():
            values = [str(one).lower() if isinstance(one, bool) else str(one) if isinstance(one, int | float) else one
                      for one in (wanted if isinstance(wanted, list) else [wanted])]  # fmt: skip
            found.append((operator, key, _texts(values)))
    return tuple(found)


def _like(text: str, pattern: str) -> bool:
    """Tell whether text fits a pattern with * and ?."""
    if "*" not in pattern and "?" not in pattern:
        return text == pattern
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def verdict(statements: Iterable[Statement], asked: Asked) -> str:
    """Return "Deny", "Allow", or "" where no statement says anything."""
    found = ""
    for one in statements:
        if _applies(one, asked):
            if one.effect == DENY:
                return DENY
            found = ALLOW
    return found


def _applies(one: Statement, asked: Asked) -> bool:
    action = asked.action.lower()
    if any(_like(action, pattern) for pattern in one.actions) == one.not_actions:
        return False
    if any(_like(asked.resource, pattern) for pattern in one.resources) == one.not_resources:
        return False
    names = asked.principals | asked.names if one.effect == DENY or one.not_principals else asked.principals
    if ("*" in one.principals or bool(names & set(one.principals))) == one.not_principals:
        return False
    return all(_holds(operator, key, wanted, asked.facts) for operator, key, wanted in one.conditions)


def _holds(operator: str, key: str, wanted: tuple[str, ...], facts: Mapping[str, tuple[str, ...]]) -> bool:
    for_all, for_any = operator.startswith("ForAllValues:"), operator.startswith("ForAnyValue:")
    plain = operator.removeprefix("ForAnyValue:").removeprefix("ForAllValues:")
    lenient, plain = plain.endswith("IfExists"), plain.removesuffix("IfExists")
    name, slash, rest = key.partition("/")
    given = facts.get(name.lower() + slash + rest)
    if plain == "Null":
        return (given is None) == (wanted[0].lower() == "true")
    negated = plain in NEGATED
    if given is None:
        return lenient or for_all or negated
    test = OPERATORS[plain]

    def fits(value: str) -> bool:
        return any(test(value, one) for one in wanted) != negated

    if for_any:
        return any(fits(value) for value in given)
    return all(fits(value) for value in given)


def _number(test: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    def compare(value: str, wanted: str) -> bool:
        try:
            return test(float(value), float(wanted))
        except ValueError:
            return False

    return compare


def _date(test: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    def compare(value: str, wanted: str) -> bool:
        try:
            return test(_moment(value), _moment(wanted))
        except ValueError:
            return False

    return compare


def _moment(text: str) -> float:
    if text.isdecimal():
        return float(text)
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _in_network(value: str, wanted: str) -> bool:
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False


def _equal(value: str, wanted: str) -> bool:
    return value == wanted


def _equal_folded(value: str, wanted: str) -> bool:
    return value.lower() == wanted.lower()


OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": _equal, "StringNotEquals": _equal, "StringEqualsIgnoreCase": _equal_folded,
    "StringNotEqualsIgnoreCase": _equal_folded, "StringLike": _like, "StringNotLike": _like, "ArnEquals": _like,
    "ArnLike": _like, "ArnNotEquals": _like, "ArnNotLike": _like, "Bool": _equal_folded, "BinaryEquals": _equal,
    "NumericEquals": _number(lambda a, b: a == b), "NumericNotEquals": _number(lambda a, b: a == b),
    "NumericLessThan": _number(lambda a, b: a < b), "NumericLessThanEquals": _number(lambda a, b: a <= b),
    "NumericGreaterThan": _number(lambda a, b: a > b), "NumericGreaterThanEquals": _number(lambda a, b: a >= b),
    "DateEquals": _date(lambda a, b: a == b), "DateNotEquals": _date(lambda a, b: a == b),
    "DateLessThan": _date(lambda a, b: a < b), "DateLessThanEquals": _date(lambda a, b: a <= b),
    "DateGreaterThan": _date(lambda a, b: a > b), "DateGreaterThanEquals": _date(lambda a, b: a >= b),
    "IpAddress": _in_network, "NotIpAddress": _in_network,
}  # fmt: skip
NEGATED = frozenset(name for name in OPERATORS if "Not" in name)
FIXED = ("aws:sourceip", "aws:sourcevpc", "aws:sourcevpce", "aws:principalorgid", "aws:sourceaccount", "aws:userid")


def is_public(statements: Iterable[Statement]) -> bool:
    """Tell whether a policy allows something to everybody, whatever fixed place they come from."""
    return any(
        one.effect == ALLOW
        and ("*" in one.principals) != one.not_principals
        and not any(key.lower() in FIXED and _is_fixed(key.lower(), wanted) for _, key, wanted in one.conditions)
        for one in statements
    )


def _is_fixed(key: str, wanted: tuple[str, ...]) -> bool:
    return not any("*" in one or (key == "aws:sourceip" and one.endswith("/0")) for one in wanted)


def mentions(statements: Iterable[Statement], key: str) -> bool:
    """Tell whether a condition asks for a fact whose name begins so (in lower case)."""
    return any(name.lower().startswith(key) for one in statements for _, name, _ in one.conditions)
