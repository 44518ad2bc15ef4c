"""What the settings demand of passwords and logins: form, age, history, expiry, and locking out who fails too often."""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.identity import passwords
from pileus.identity.store import links
from pileus.identity.store.records import User
from pileus.kernel.context import Cloud
from pileus.kernel.errors import BadRequest, Unauthenticated

DAY_SECONDS = 86_400.0


def require_form(cloud: Cloud, password: str) -> None:
    """Check what a new password looks like.

    :raises BadRequest: when it does not match the setting.
    """
    settings = cloud.settings
    if settings.password_regex and not re.match(settings.password_regex, password):
        raise BadRequest(f"The password does not match the requirements: {settings.password_regex_description}.")


def stamps(cloud: Cloud, options: Mapping[str, Any], by_self: bool) -> dict[str, Any]:
    """Return the columns that say when a new password was set and when it ends."""
    settings, now = cloud.settings, cloud.clock.now()
    ends: float | None = None
    if settings.password_expires_days > 0 and not options.get("ignore_password_expiry"):
        ends = now + settings.password_expires_days * DAY_SECONDS
    if settings.password_change_on_first_use and not by_self and not options.get("ignore_change_password_upon_first_use"):
        ends = now
    return {"password_set_at": now, "password_expires_at": ends}


def remember(tx: Connection, cloud: Cloud, user: User) -> None:
    """Remember the password that is about to be replaced, where old ones count."""
    if cloud.settings.password_unique_last_count > 0 and user.password_hash:
        links.keep_hash(tx, user.id, user.password_hash, cloud.clock.now())


def require_changeable(cloud: Cloud, user: User, password: str) -> None:
    """Check that a user may now replace their password with another.

    :raises BadRequest: when they may not change it, it is too young, or they had the new one lately.
    """
    settings = cloud.settings
    if user.options.get("lock_password"):
        raise BadRequest(
            "You cannot change your password at this time due to password policy disallowing password changes. "
            "Please contact your administrator to reset your password."
        )
    oldest = cloud.clock.now() - settings.password_minimum_age_days * DAY_SECONDS
    if settings.password_minimum_age_days > 0 and (user.password_set_at or 0) > oldest and not _has_ended(cloud, user):
        raise BadRequest(f"Cannot change password before minimum age {settings.password_minimum_age_days} days is met.")
    count = settings.password_unique_last_count
    if count <= 0:
        return
    with cloud.db.read() as tx:
        known = [user.password_hash, *links.past_hashes(tx, user.id, count - 1)]
    if any(passwords.matches(password, one, settings.bcrypt_rounds) for one in known if one):
        raise BadRequest(
            "The new password cannot be identical to a previous password. "
            f"The total number which includes the new password must be unique is {count}."
        )


def is_locked_out(cloud: Cloud, user: User) -> bool:
    """Tell whether a user's logins failed too often, too lately."""
    settings = cloud.settings
    if settings.lockout_failure_attempts <= 0 or user.options.get("ignore_lockout_failure_attempts"):
        return False
    with cloud.db.read() as tx:
        count, last_at = links.failures(tx, user.id)
    return count >= settings.lockout_failure_attempts and last_at + settings.lockout_seconds > cloud.clock.now()


def note_login(cloud: Cloud, user: User, good: bool) -> None:
    """Count a failed login; a good one ends the row of them."""
    settings, now = cloud.settings, cloud.clock.now()
    if settings.lockout_failure_attempts <= 0:
        return
    if good:
        with cloud.db.read() as tx:
            if not links.failures(tx, user.id)[0]:
                return
    with cloud.db.begin() as tx:
        count, last_at = links.failures(tx, user.id)
        if count >= settings.lockout_failure_attempts and last_at + settings.lockout_seconds <= now:
            count = 0  # they have been locked out for it
        links.set_failures(tx, user.id, 0 if good else count + 1, now)


def require_unexpired(cloud: Cloud, user: User) -> None:
    """Check that a password has not ended.

    :raises Unauthenticated: when it has.
    """
    if _has_ended(cloud, user) and not user.options.get("ignore_password_expiry"):
        raise Unauthenticated(f"The password is expired and needs to be changed for user: {user.id}.")


def _has_ended(cloud: Cloud, user: User) -> bool:
    return user.password_expires_at is not None and user.password_expires_at <= cloud.clock.now()
