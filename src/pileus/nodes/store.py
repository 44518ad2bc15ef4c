"""Questions about hosts that have joined."""

from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from pileus.nodes.tables import node_tokens, nodes


def add_token(tx: Connection, hash: str, expires_at: float) -> None:
    """Write down a token."""
    tx.execute(insert(node_tokens).values(hash=hash, expires_at=expires_at))


def use_token(tx: Connection, hash: str, name: str, now: float) -> bool:
    """Use up a token; tells whether it was good: of all who come with it, one is told so."""
    good = (node_tokens.c.hash == hash) & (node_tokens.c.expires_at > now) & node_tokens.c.used_by.is_(None)
    return tx.execute(update(node_tokens).where(good).values(used_by=name)).rowcount == 1


def forget_tokens(tx: Connection, now: float) -> None:
    """Forget tokens that are too old."""
    tx.execute(delete(node_tokens).where(node_tokens.c.expires_at <= now))


def put(tx: Connection, name: str, address: str, serial: str, now: float) -> None:
    """Write down a host that joins; the certificate that one of the same name had before counts no longer."""
    remove(tx, name, now)
    tx.execute(insert(nodes).values(name=name, address=address, serial=serial, joined_at=now))


def all_of(tx: Connection) -> list[Any]:
    """Return the hosts by name, each as it joined last."""
    found = tx.execute(select(nodes).order_by(nodes.c.name, nodes.c.removed_at.is_not(None), nodes.c.removed_at.desc()))
    last: dict[str, Any] = {}
    for row in found:
        last.setdefault(row.name, row)
    return list(last.values())


def remove(tx: Connection, name: str, now: float) -> bool:
    """Let a host's certificate count no longer; tells whether there is such a host."""
    there = (nodes.c.name == name) & nodes.c.removed_at.is_(None)
    return tx.execute(update(nodes).where(there).values(removed_at=now)).rowcount == 1


def is_removed(tx: Connection, serial: str) -> bool:
    """Tell whether a certificate counts no longer: its host was removed, or has joined anew under another one."""
    found = tx.execute(select(nodes.c.removed_at).where(nodes.c.serial == serial)).first()
    return found is not None and found.removed_at is not None
