"""Passwords as hashes: bcrypt over SHA-256, so that every byte of a long password counts.

Plain bcrypt hashes (`$2b$...`), as other systems keep them, are understood too.
"""

import base64
import hashlib
from functools import cache

import bcrypt

PREFIX = "sha256:"


def make_hash(password: str, rounds: int) -> str:
    """Return the hash of a password.

    :param rounds: the cost, as a power of two.
    """
    return PREFIX + bcrypt.hashpw(_digest(password), bcrypt.gensalt(rounds)).decode()


def matches(password: str, hashed: str | None, rounds: int) -> bool:
    """Tell whether a password has a hash.  Takes as long when there is none to compare with."""
    known = hashed or _nobody(rounds)
    try:
        if known.startswith(PREFIX):
            good = bcrypt.checkpw(_digest(password), known.removeprefix(PREFIX).encode())
        else:
            good = bcrypt.checkpw(password.encode()[:72], known.encode())
    except ValueError:
        return False
    return good and hashed is not None


@cache
def _nobody(rounds: int) -> str:
    return make_hash("", rounds)


def _digest(password: str) -> bytes:
    return base64.b64encode(hashlib.sha256(password.encode()).digest())
