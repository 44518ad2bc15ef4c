"""Questions asked of the table of volumes' keys, all of which are sealed there."""

from sqlalchemy import Connection, delete, insert, select, update

from pileus.volume.tables.volumes import volume_keys

K = volume_keys.c


def add(tx: Connection, id: str, project_id: str, secret: str) -> None:
    """Keep a sealed key."""
    tx.execute(insert(volume_keys).values(id=id, project_id=project_id, secret=secret))


def get(tx: Connection, id: str) -> str | None:
    """Return a sealed key."""
    found: str | None = tx.execute(select(K.secret).where(K.id == id)).scalar()
    return found


def remove(tx: Connection, id: str) -> None:
    """Forget a key."""
    tx.execute(delete(volume_keys).where(K.id == id))


def give(tx: Connection, id: str, project_id: str) -> None:
    """Have a key be another project's."""
    tx.execute(update(volume_keys).where(K.id == id).values(project_id=project_id))
