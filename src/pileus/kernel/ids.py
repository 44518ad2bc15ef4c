"""The only place that makes up ids and secrets."""

import secrets
import uuid as _uuid


def uuid() -> str:
    """Return a new UUID with dashes, the id of images, servers, ports and their like."""
    return str(_uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def hex_id() -> str:
    """Return a new id of 32 hexadecimal digits, the form of identity."""
    return _uuid.UUID(bytes=secrets.token_bytes(16), version=4).hex


def request_id() -> str:
    """Return a new request id, `req-` and a UUID."""
    return "req-" + uuid()


def secret(byte_count: int = 24) -> str:
    """Return a new secret as URL-safe text."""
    return secrets.token_urlsafe(byte_count)


def mac(prefix: str = "fa:16:3e") -> str:
    """Return a new MAC address under a prefix of three octets."""
    return prefix + "".join(f":{octet:02x}" for octet in secrets.token_bytes(3))


def is_uuid(text: str) -> bool:
    """Tell whether text is a UUID, with or without dashes."""
    try:
        return str(_uuid.UUID(text)).replace("-", "") == text.replace("-", "").lower()
    except (ValueError, AttributeError, TypeError):
        return False


def hex_secret(byte_count: int = 32) -> str:
    """Return a new secret as hexadecimal digits, two a byte."""
    return secrets.token_hex(byte_count)
