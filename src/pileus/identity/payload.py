"""What a token says, and its form as bytes: at most 127 of them, so that the encrypted text stays within 255 characters.

The bytes are a msgpack array that begins with the version of the form; ids that are UUIDs take 16 bytes.
"""

import base64
import uuid
from dataclasses import dataclass
from typing import Any

import msgspec

from pileus.kernel.keyring import BadToken

VERSION = 1
METHODS = ("password", "token", "application_credential", "oauth1", "ec2credential", "totp")
SCOPES = ("", "project", "domain", "system")


@dataclass(frozen=True)
class Via:
    """By what somebody acts who does not simply log in; at most one of these."""

    app_credential_id: str = ""
    trust_id: str = ""
    access_token_id: str = ""


DIRECT = Via()


@dataclass(frozen=True)
class Payload:
    """What a token says.

    revision is the count of changes at which it was made (see `store.revisions`); chain_id the audit id of the first token
    of its chain, empty for that one itself.
    """

    user_id: str
    methods: tuple[str, ...]
    scope: str
    scope_id: str
    issued_at: float
    expires_at: float
    revision: int
    audit_id: str
    chain_id: str = ""
    via: Via = DIRECT

    @property
    def audit_ids(self) -> list[str]:
        """Its own audit id, and that of its chain."""
        return [self.audit_id, self.chain_id] if self.chain_id else [self.audit_id]


def encode(payload: Payload) -> bytes:
    """Return a payload as bytes."""
    methods = sum(1 << METHODS.index(method) for method in payload.methods)
    parts: list[Any] = [
        VERSION, _pack(payload.user_id), methods, SCOPES.index(payload.scope), _pack(payload.scope_id),
        _micro(payload.issued_at), _micro(payload.expires_at), payload.revision, _pack_audit(payload.audit_id),
    ]  # fmt: skip
    if payload.chain_id or payload.via != DIRECT:
        parts += [_pack_audit(payload.chain_id), _pack(payload.via.app_credential_id)]
    if payload.via.trust_id or payload.via.access_token_id:
        parts += [_pack(payload.via.trust_id), _pack(payload.via.access_token_id)]
    return msgspec.msgpack.encode(parts)


def decode(data: bytes) -> Payload:
    """Read a payload.

    :raises BadToken: when it is of another form.
    """
    try:
        parts = msgspec.msgpack.decode(data)
        if parts[0] != VERSION:
            raise BadToken
        _, user, methods, scope, scope_id, issued, expires, revision, audit = parts[:9]
        chain, *via = parts[9:] or (b"",)
        names = tuple(name for bit, name in enumerate(METHODS) if methods & (1 << bit))
        return Payload(
            _unpack(user), names, SCOPES[scope], _unpack(scope_id), issued / 1e6, expires / 1e6, revision,
            audit_text(audit), audit_text(chain), Via(*map(_unpack, via)),
        )  # fmt: skip
    except (msgspec.DecodeError, ValueError, TypeError, IndexError, KeyError) as error:
        raise BadToken from error


def _micro(seconds: float) -> int:
    return round(seconds * 1e6)


def _pack(text: str) -> bytes | str:
    """Pack 32 hexadecimal digits as 16 bytes; other text stays text."""
    if len(text) == 32:
        try:
            packed = bytes.fromhex(text)
        except ValueError:
            return text
        return packed if packed.hex() == text else text
    return text


def _pack_audit(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==") if text else b""


def _unpack(value: bytes | str) -> str:
    return value.hex() if isinstance(value, bytes) else value


def audit_text(value: bytes) -> str:
    """Return 16 bytes as the 22 characters of an audit id."""
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def new_audit_id(random_id: str) -> str:
    """Return an audit id made of a random UUID."""
    return audit_text(uuid.UUID(random_id).bytes)
