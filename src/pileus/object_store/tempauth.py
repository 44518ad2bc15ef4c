"""Users and tokens of the object store's own, for those who run it without identity.

The setting names users as `account:user:key:group group...`, with commas between them; the groups `.admin` (all of the
account), `.reseller_admin` (all accounts) and `.reseller_reader` (reading all accounts) have a meaning.
"""

import hashlib
import hmac
from dataclasses import dataclass

from pileus.kernel import ids

TOKEN_SECONDS = 86_400
PREFIX = "AUTH_"
UNTIL_DIGITS, MARK_DIGITS, DIGEST_DIGITS = 8, 12, 44


@dataclass(frozen=True)
class TempUser:
    """One user; groups are what access lists may name."""

    account: str
    name: str
    key: str
    groups: frozenset[str]

    @property
    def path(self) -> str:
        """The account's name in URLs."""
        return PREFIX + self.account


def parse_users(text: str) -> tuple[TempUser, ...]:
    """Read the setting.  :raises ValueError: when an entry lacks a part."""
    users = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        account, name, key, *rest = entry.split(":", 3)
        groups = frozenset({account, f"{account}:{name}", *(rest[0].split() if rest else ())})
        users.append(TempUser(account, name, key, groups))
    return tuple(users)


class TempAuth:
    """The users, and the tokens that they hold.

    A token tells until when it is valid and whose it is, and ends in a keyed digest of that, so that every proxy that knows
    the secret knows it.

    :param secret: shared by proxies; "": made up now, so that tokens end with the process.
    """

    def __init__(self, users: tuple[TempUser, ...], secret: str = "") -> None:
        self._users = {(user.account, user.name): user for user in users}
        self._by_mark = {self._mark(user): user for user in users}
        self._secret = (secret or ids.secret()).encode()
        self._given: dict[TempUser, tuple[str, int]] = {}

    def sign_in(self, account: str, name: str, key: str, now: float) -> tuple[TempUser, str, int] | None:
        """Return the user, a token and how many seconds it lasts; None when the key is not theirs."""
        user = self._users.get((account, name))
        if user is None or not hmac.compare_digest(user.key.encode(), key.encode()):
            return None
        token, until = self._given.get(user, ("", 0))
        if until <= now:
            until = int(now) + TOKEN_SECONDS
            token = self._token(user, until)
            self._given[user] = token, until
        return user, token, int(until - now)

    def holder(self, token: str, now: float) -> TempUser | None:
        """Return whose token it is, if it is valid."""
        body = token.removeprefix(f"{PREFIX}tk")
        user = self._by_mark.get(body[UNTIL_DIGITS : UNTIL_DIGITS + MARK_DIGITS])
        try:
            until = int(body[:UNTIL_DIGITS], 16)
        except ValueError:
            return None
        if user is None or until <= now or not hmac.compare_digest(self._token(user, until).encode(), token.encode()):
            return None
        return user

    def _token(self, user: TempUser, until: int) -> str:
        body = f"{until:0{UNTIL_DIGITS}x}{self._mark(user)}"
        digest = hmac.new(self._secret, f"{body}:{user.key}".encode(), hashlib.sha256).hexdigest()
        return f"{PREFIX}tk{body}{digest[:DIGEST_DIGITS]}"

    @staticmethod
    def _mark(user: TempUser) -> str:
        return hashlib.sha256(f"{user.account}:{user.name}".encode()).hexdigest()[:MARK_DIGITS]
