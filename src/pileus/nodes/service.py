"""How hosts join and leave.  Done on a host of the control plane, by who may read its state: there is no API for it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pileus import certificates
from pileus.certificates import Authority
from pileus.kernel import ids, vault
from pileus.kernel.clock import Clock
from pileus.kernel.db import Database
from pileus.kernel.errors import BadRequest, Forbidden, NotFound
from pileus.kernel.settings import Settings
from pileus.nodes import store

TOKEN_SECONDS = 3600.0
NAME_MAX = 64


@dataclass(frozen=True)
class Node:
    """A host that has joined."""

    name: str
    address: str
    joined_at: float
    is_removed: bool


@dataclass(frozen=True)
class Member:
    """What a host that joins is given: its certificate and the authority's, as PEM."""

    certificate: bytes
    authority: bytes


def issue_token(db: Database, clock: Clock, authority: Authority, seconds: float = TOKEN_SECONDS) -> str:
    """Return a token by which one host may join within so many seconds: a secret, and how it knows this cloud."""
    authority.ensure()
    secret = ids.secret(24)
    with db.begin() as tx:
        store.forget_tokens(tx, clock.now())
        store.add_token(tx, _hash(secret), clock.now() + seconds)
    return f"{secret}.{authority.fingerprint}"


def join(db: Database, clock: Clock, authority: Authority, secret: str, name: str, address: str, request: bytes) -> Member:
    """Take a host into the cloud.

    :param request: its request for a certificate (PEM).
    :raises BadRequest: when the name or the request is none.
    :raises Forbidden: when the secret is unknown, too old, or has been used.
    """
    if not name or len(name) > NAME_MAX or not name.replace("-", "").replace(".", "").replace("_", "").isalnum():
        raise BadRequest(f"A host's name has at most {NAME_MAX} letters, digits, dots, dashes and underscores.")
    try:
        key = certificates.requested_key(request)
    except ValueError as error:
        raise BadRequest("The request for a certificate cannot be read.") from error
    certificate = authority.sign(key, name)
    with db.begin() as tx:
        if not store.use_token(tx, _hash(secret), name, clock.now()):
            raise Forbidden("The token is not valid: it may be too old, or used. `pileus node token` makes a new one.")
        store.put(tx, name, address, certificates.serial(certificate), clock.now())
    return Member(certificate, authority.pem)


def list_nodes(db: Database) -> list[Node]:
    """Return the hosts that have joined."""
    with db.read() as tx:
        return [Node(row.name, row.address, row.joined_at, row.removed_at is not None) for row in store.all_of(tx)]


def remove(db: Database, clock: Clock, name: str) -> None:
    """Let a host be part of the cloud no longer.  :raises NotFound: when there is none."""
    with db.begin() as tx:
        if not store.remove(tx, name, clock.now()):
            raise NotFound(f"No host {name} has joined.")


def counts(db: Database, serial: str) -> bool:
    """Tell whether a certificate still counts."""
    with db.read() as tx:
        return not store.is_removed(tx, serial)


def authority_of(db: Database, settings: Settings) -> Authority:
    """Return the authority of the control plane: that of all its processes, or of those with this state directory."""
    directory = Path(settings.state_dir) / "ca"
    authority = Authority(directory)
    if shared := vault.share(db, settings, "authority", directory):
        shared.settle(authority.ensure)
    return authority


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
