"""Questions asked of the table of cached images, and the records that answer them."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from pileus.image.tables import cached as t

QUEUED, CACHED = "queued", "cached"


@dataclass(frozen=True)
class Cached:
    """An image that is in a host's cache, or is to be."""

    host: str
    image_id: str
    status: str
    size: int
    hits: int
    last_modified: float
    last_accessed: float


def list_(tx: Connection, host: str = "", image_id: str = "") -> list[Cached]:
    """Return what is cached or queued, the longest unread first; on one host or of one image where these are named."""
    query = select(*t.c).order_by(t.c.last_accessed, t.c.image_id)
    if host:
        query = query.where(t.c.host == host)
    return [Cached(*row) for row in tx.execute(query.where(t.c.image_id == image_id) if image_id else query)]


def get(tx: Connection, host: str, image_id: str) -> Cached | None:
    """Return what is known of an image in a host's cache, or None."""
    row = tx.execute(select(*t.c).where(t.c.host == host, t.c.image_id == image_id)).first()
    return Cached(*row) if row else None


def put(tx: Connection, record: Cached) -> None:
    """Write down that an image is cached or queued, over what was known."""
    remove(tx, record.host, record.image_id)
    tx.execute(insert(t).values(**record.__dict__))


def hit(tx: Connection, host: str, image_id: str, now: float) -> None:
    """Count a reading."""
    where = (t.c.host == host, t.c.image_id == image_id)
    tx.execute(update(t).where(*where).values(hits=t.c.hits + 1, last_accessed=now))


def remove(tx: Connection, host: str, image_id: str) -> None:
    """Forget an image in a host's cache."""
    tx.execute(delete(t).where(t.c.host == host, t.c.image_id == image_id))


def remove_image(tx: Connection, image_id: str) -> None:
    """Forget an image in every cache."""
    tx.execute(delete(t).where(t.c.image_id == image_id))
