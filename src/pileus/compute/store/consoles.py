"""Questions asked of the table of console tokens."""

from typing import Any

from sqlalchemy import Connection, delete, insert, select

from pileus.compute.tables.consoles import console_tokens
from pileus.compute.tables.servers import servers

C = console_tokens.c


def add(tx: Connection, token_hash: str, server_id: str, kind: str, expires_at: float) -> None:
    """Write a new token down."""
    tx.execute(insert(console_tokens).values(token_hash=token_hash, server_id=server_id, kind=kind, expires_at=expires_at))


def find(tx: Connection, token_hash: str, now: float) -> Any | None:
    """Return server_id, kind and the server's host of a token that is valid; the server is there and on a host."""
    query = select(C.server_id, C.kind, servers.c.host).join(servers, servers.c.id == C.server_id)
    valid = (C.token_hash == token_hash, C.expires_at > now, servers.c.deleted_at.is_(None), servers.c.host.is_not(None))
    return tx.execute(query.where(*valid)).first()


def forget_expired(tx: Connection, now: float) -> None:
    """Delete the tokens whose time is over."""
    tx.execute(delete(console_tokens).where(C.expires_at <= now))
