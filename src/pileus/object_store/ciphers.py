"""Keys and ciphers of encryption at rest.  Pure.

Every object has keys of its own, derived from a secret of the operator's by the object's name (HMAC-SHA256).  A body is
encrypted with a random key (AES-256 in counter mode, so that any range can be read), which is kept wrapped with the object's
key; short texts (ETags, metadata) with AES-256-GCM, bound to what they are.  A sealed text reads `1:SECRET ID:BASE64`.
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = "1"
KEY_BYTES, NONCE_BYTES, BLOCK_BYTES, SECRET_BYTES_MIN = 32, 12, 16, 32


class Unreadable(Exception):
    """What is stored was not sealed with any of the secrets, or was changed since."""


@dataclass(frozen=True)
class Secrets:
    """The operator's secrets by their ids; the active one seals, all open."""

    active: str
    by_id: tuple[tuple[str, bytes], ...]

    def key(self, path: str, secret_id: str = "") -> AESGCM:
        """Return the key of a path.  :raises Unreadable: when there is no secret of that id."""
        wanted = secret_id or self.active
        for known, secret in self.by_id:
            if known == wanted:
                return _key(secret, path)
        raise Unreadable(f"there is no secret {wanted!r}")

    def seal(self, path: str, text: bytes, purpose: str) -> str:
        """Return a text that only who knows the secret can read or change."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self.key(path).encrypt(nonce, text, purpose.encode())
        return f"{VERSION}:{self.active}:{base64.b64encode(sealed).decode()}"

    def open(self, path: str, sealed: str, purpose: str) -> bytes:
        """Return what was sealed.  :raises Unreadable: when it was not sealed so."""
        try:
            version, secret_id, text = sealed.split(":", 2)
            raw = base64.b64decode(text, validate=True)
            if version != VERSION:
                raise Unreadable(f"sealed in version {version!r}")
            return self.key(path, secret_id).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], purpose.encode())
        except (ValueError, binascii.Error, InvalidTag) as error:
            raise Unreadable(f"{purpose} of {path}") from error


@lru_cache(maxsize=4096)
def _key(secret: bytes, path: str) -> AESGCM:
    return AESGCM(hmac.new(secret, path.encode("utf-8", "surrogateescape"), hashlib.sha256).digest())


def read_secrets(text: str) -> Secrets | None:
    """Read the setting: ID:BASE64 with commas, the first active; "": None.

    :raises ValueError: when an entry is none, or too short.
    """
    found: list[tuple[str, bytes]] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        secret_id, colon, encoded = entry.partition(":")
        try:
            secret = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise ValueError(f"the secret {secret_id!r} is not in base64") from None
        if not secret_id or not colon or len(secret) < SECRET_BYTES_MIN:
            raise ValueError(f"a secret is ID:BASE64 of at least {SECRET_BYTES_MIN} bytes, with an id of its own")
        found.append((secret_id, secret))
    return Secrets(found[0][0], tuple(found)) if found else None


@dataclass(frozen=True)
class BodyKey:
    """What encrypts one body: the same cipher both ways, at any place."""

    key: bytes
    start: int

    @staticmethod
    def new() -> "BodyKey":
        """Return a new one."""
        return BodyKey(os.urandom(KEY_BYTES), int.from_bytes(os.urandom(BLOCK_BYTES)))

    @staticmethod
    def unpack(packed: bytes) -> "BodyKey":
        """Return the one that was packed."""
        return BodyKey(packed[:KEY_BYTES], int.from_bytes(packed[KEY_BYTES:]))

    def pack(self) -> bytes:
        """Return it as bytes, to be sealed."""
        return self.key + self.start.to_bytes(BLOCK_BYTES)

    def turner(self, offset_bytes: int = 0) -> Callable[[bytes], bytes]:
        """Return what turns a body, from an offset on, into the other form, piece by piece."""
        counter = (self.start + offset_bytes // BLOCK_BYTES) % (1 << 8 * BLOCK_BYTES)
        cipher = Cipher(algorithms.AES(self.key), modes.CTR(counter.to_bytes(BLOCK_BYTES))).encryptor()
        cipher.update(bytes(offset_bytes % BLOCK_BYTES))
        return cipher.update
