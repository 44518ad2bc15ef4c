"""Users and tokens of the object store's own, for those who run it without identity.

The setting names users as `account:user:key:group group...`, with commas between them; the groups `.admin` (all of the
account), `.reseller_admin` (all accounts) and `.reseller_reader` (reading all accounts) have a meaning.
"""

import hmac
from dataclasses import dataclass

from pileus.kernel import ids

TOKEN_SECONDS = 86_400
PREFIX = "AUTH_"


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
    """The users, and the tokens that they hold (in memory: they end with the process)."""

    def __init__(self, users: tuple[TempUser, ...]) -> None:
        self._users = {(user.account, user.name): user for user in users}
        self._tokens: dict[str, tuple[float, TempUser]] = {}
        self._by_user: dict[TempUser, str] = {}

    def sign_in(self, account: str, name: str, key: str, now: float) -> tuple[TempUser, str, int] | None:
        """Return the user, a token and how many seconds it lasts; None when the key is not theirs."""
        user = self._users.get((account, name))
        if user is None or not hmac.compare_digest(user.key.encode(), key.encode()):
            return None
        token = self._by_user.get(user, "")
        until = self._tokens.get(token, (0.0, user))[0]
        if until <= now:
            self._tokens.pop(token, None)
            token, until = f"{PREFIX}tk{ids.hex_id()}", now + TOKEN_SECONDS
            self._tokens[token], self._by_user[user] = (until, user), token
        return user, token, int(until - now)

    def holder(self, token: str, now: float) -> TempUser | None:
        """Return whose token it is, if it is valid."""
        until, user = self._tokens.get(token, (0.0, None))
        return user if until > now else None
