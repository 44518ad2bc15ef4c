"""More than one proof: the rules of a user that say which methods must come together, one-time passwords, and receipts.

Somebody whose proofs are right but too few gets a receipt for them, and brings it with the rest within RECEIPT_SECONDS.  A
one-time password is that of RFC 6238 (SHA-1, six digits, a new one every half minute); its secret is a credential of type totp.
"""

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import Any

import msgspec

from pileus.identity.payload import METHODS
from pileus.identity.service import credentials
from pileus.identity.service.tokens import Facts
from pileus.identity.service.words import unauthenticated
from pileus.identity.state import state_of
from pileus.identity.store import rows
from pileus.identity.store.records import Credential, Project, User
from pileus.kernel.context import Cloud
from pileus.kernel.keyring import BadToken

RECEIPT_SECONDS = 300.0
STEP_SECONDS, DIGITS = 30, 6
STEPS_BACK = 1
KIND = "receipt"


@dataclass
class MoreNeeded(Exception):
    """What was presented is right, and not enough; times in epoch seconds."""

    user: User
    domain: Project
    methods: tuple[str, ...]
    rules: tuple[tuple[str, ...], ...]
    receipt: str
    issued_at: float
    expires_at: float


def require(cloud: Cloud, facts: Facts, methods: tuple[str, ...], receipt: str = "") -> tuple[str, ...]:
    """Check that a user's rules are content with the methods that were right; return them, with those of a receipt.

    :raises MoreNeeded: when one of the rules' methods is missing.
    :raises Unauthenticated: when the receipt is none of this user's, or too old.
    """
    user = facts.user
    if receipt:
        used = {*methods, *_read(cloud, user.id, receipt)}
        methods = tuple(name for name in METHODS if name in used)
    rules = _rules(user)
    if not rules or any(set(rule) <= set(methods) for rule in rules):
        return methods
    now = cloud.clock.now()
    text = msgspec.msgpack.encode([KIND, user.id, list(methods), now + RECEIPT_SECONDS])
    made = state_of(cloud).token_keys.encrypt(text, now)
    raise MoreNeeded(user, facts.user_domain, methods, rules, made, now, now + RECEIPT_SECONDS)


def _rules(user: User) -> tuple[tuple[str, ...], ...]:
    """Return the sets of methods of which one is needed; rules with methods that there are none of do not count."""
    if not user.options.get("multi_factor_auth_enabled"):
        return ()
    given: list[list[str]] = user.options.get("multi_factor_auth_rules") or []
    return tuple(tuple(dict.fromkeys(rule)) for rule in given if rule and all(name in METHODS for name in rule))


def _read(cloud: Cloud, user_id: str, receipt: str) -> list[str]:
    now = cloud.clock.now()
    try:
        found: Any = msgspec.msgpack.decode(state_of(cloud).token_keys.decrypt(receipt, now))
    except (BadToken, msgspec.DecodeError):
        raise unauthenticated() from None
    if not isinstance(found, list) or len(found) != 4 or found[:2] != [KIND, user_id] or found[3] <= now:
        raise unauthenticated()
    return [str(name) for name in found[2]]


def is_passcode(cloud: Cloud, user_id: str, passcode: str) -> bool:
    """Tell whether a number is what one of a user's devices shows now, or showed half a minute ago."""
    with cloud.db.look() as tx:
        found = rows.find(tx, Credential, user_id=user_id, type="totp")
    now = int(cloud.clock.now()) // STEP_SECONDS
    good = False
    for one in found:
        for step in range(now - STEPS_BACK, now + 1):
            good |= hmac.compare_digest(_passcode(credentials.blob_of(cloud, one), step).encode(), passcode.encode())
    return good


def _passcode(secret: str, step: int) -> str:
    """Return the number of a secret (in base32) at a step; empty when it is none."""
    text = secret.strip().upper()
    try:
        key = base64.b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error:
        return ""
    digest = hmac.digest(key, step.to_bytes(8, "big"), "sha1")
    start = digest[-1] & 15
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"
