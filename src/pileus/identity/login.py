"""What somebody presents to log in: the body of POST /v3/auth/tokens."""

from typing import Any, Literal

from msgspec import Struct, field


class DomainRef(Struct):
    """A domain by id or name."""

    id: str | None = None
    name: str | None = None


class NamedRef(Struct):
    """A user or project by id, or by name and domain."""

    id: str | None = None
    name: str | None = None
    domain: DomainRef | None = None


class PasswordUser(NamedRef):
    """A user and their password."""

    password: str | None = None


class PasswordMethod(Struct):
    """The method password."""

    user: PasswordUser


class TokenMethod(Struct):
    """The method token."""

    id: str


class AppCredentialMethod(Struct):
    """The method application_credential."""

    secret: str
    id: str | None = None
    name: str | None = None
    user: NamedRef | None = None


class TotpUser(NamedRef):
    """A user and the number that their device shows."""

    passcode: str | None = None


class TotpMethod(Struct):
    """The method totp."""

    user: TotpUser


class Identity(Struct):
    """Who one is, and how one shows it."""

    methods: list[str]
    password: PasswordMethod | None = None
    token: TokenMethod | None = None
    application_credential: AppCredentialMethod | None = None
    oauth1: dict[str, Any] | None = None
    totp: TotpMethod | None = None


class TrustRef(Struct):
    """A trust."""

    id: str


class Scope(Struct):
    """What the token is to be for; exactly one of these."""

    project: NamedRef | None = None
    domain: DomainRef | None = None
    system: dict[str, Any] | None = None
    unscoped: dict[str, Any] | None = None
    trust: TrustRef | None = field(default=None, name="OS-TRUST:trust")


class Auth(Struct):
    """One attempt to log in."""

    identity: Identity
    scope: Scope | Literal["unscoped"] | None = None


class AuthBody(Struct):
    """The body."""

    auth: Auth
