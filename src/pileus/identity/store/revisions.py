"""The counter that says whether anything changed that tokens depend on, and the tokens declared void.

The counter is one row, raised in the transaction of every such change.  A token carries the count at which it was made, so
"all tokens of this user up to now" needs no comparison of clocks.
"""

from sqlalchemy import Connection, delete, insert, select, update

from pileus.identity.tables import revision, revocations

CURRENT_SQL = "SELECT value FROM identity_revision WHERE id = 1"


def current(tx: Connection) -> int:
    """Return the counter."""
    return tx.execute(select(revision.c.value).where(revision.c.id == 1)).scalar() or 0


def bump(tx: Connection) -> int:
    """Raise the counter, and return it."""
    if not tx.execute(update(revision).where(revision.c.id == 1).values(value=revision.c.value + 1)).rowcount:
        tx.execute(insert(revision).values(id=1, value=1))
    return current(tx)


def revoke(tx: Connection, kind: str, value: str, now: float) -> None:
    """Declare void the tokens made so far for a user or a project, or those of an audit id or chain of them."""
    tx.execute(insert(revocations).values(kind=kind, value=value, revision=bump(tx), revoked_at=now))


def revoked(tx: Connection) -> dict[tuple[str, str], int]:
    """Return, for each kind and value, the revision before which tokens are void."""
    query = select(revocations.c.kind, revocations.c.value, revocations.c.revision).order_by(revocations.c.revision)
    return {(row.kind, row.value): row.revision for row in tx.execute(query)}


def prune(tx: Connection, before: float) -> int:
    """Forget what was declared void before a time, when all those tokens have long expired."""
    return tx.execute(delete(revocations).where(revocations.c.revoked_at < before)).rowcount
