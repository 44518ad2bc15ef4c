"""Questions asked of the image tables, and the records that answer them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from pileus.image.filters import Listing
from pileus.image.tables import facts, imports, members
from pileus.image.tables import images as t
from pileus.kernel.errors import Conflict


class Location(Struct, frozen=True):
    """One place where an image's content is.  metadata is whatever those who added it say of it."""

    store: str
    url: str
    metadata: dict[str, str] = {}


class Image(Struct, frozen=True):
    """One image.  Sizes are in bytes, min_disk in GiB, min_ram in MiB; owner is a project's id.

    A Struct because a list makes a thousand of them, which takes a tenth of the time that a frozen dataclass takes.
    """

    id: str
    name: str | None
    status: str
    visibility: str
    owner: str | None
    size: int | None
    virtual_size: int | None
    checksum: str | None
    os_hash_algo: str | None
    os_hash_value: str | None
    disk_format: str | None
    container_format: str | None
    min_disk: int
    min_ram: int
    protected: bool
    os_hidden: bool
    created_at: float
    updated_at: float
    upload_id: str = ""
    properties: dict[str, str] = {}
    tags: list[str] = []
    locations: list[Location] = []

    @property
    def has_data(self) -> bool:
        """Whether there is content to give out."""
        return self.status in ("active", "deactivated")

    @property
    def stores(self) -> list[str]:
        """The stores in which its content is, in the order of its locations."""
        return list(dict.fromkeys(location.store for location in self.locations))


@dataclass(frozen=True)
class Member:
    """A project with which an image is shared."""

    image_id: str
    member_id: str
    status: str
    created_at: float
    updated_at: float


@dataclass(frozen=True)
class Import:
    """One import of staged content, told as a task."""

    id: str
    image_id: str
    owner: str
    user_id: str
    request_id: str
    status: str
    input: dict[str, Any]
    message: str
    created_at: float
    updated_at: float


FACT_NAME = itemgetter(-2)
_DECODER = msgspec.json.Decoder(Location)
COLUMNS = tuple(t.c)
ONE = (  # built once: it is asked more often than any other
    select(*COLUMNS, facts.c.kind, facts.c.name, facts.c.value)
    .select_from(t.outerjoin(facts, facts.c.image_id == t.c.id))
    .where(t.c.id == bindparam("image_id"))
)
SORTS = {"name": func.coalesce(t.c.name, ""), "size": func.coalesce(t.c.size, -1)} | {
    key: func.coalesce(t.c[key], "") for key in ("container_format", "disk_format")
}


def get(tx: Connection, image_id: str, *, lock: bool = False) -> Image | None:
    """Return an image, or None.

    :param lock: keep others from changing it until the transaction ends.
    """
    if lock:
        tx.execute(select(t.c.id).where(t.c.id == image_id).with_for_update())
    rows = tx.execute(ONE, {"image_id": image_id}).all()
    if not rows:
        return None
    image = Image(*rows[0][: len(COLUMNS)])
    for *_, kind, name, value in sorted(rows, key=FACT_NAME) if len(rows) > 1 else rows:
        _add_fact(image, kind, name, value)
    return image


def _add_fact(image: Image, kind: str | None, name: str, value: str) -> None:
    if kind == "property":
        image.properties[name] = value
    elif kind == "tag":
        image.tags.append(name)
    elif kind == "location":
        image.locations.append(_DECODER.decode(value))


def list_images(tx: Connection, listing: Listing, project_id: str, everything: bool) -> list[Image]:
    """Return the images that a project sees (everything: those that there are) and that are asked for."""
    where = [*_visible(listing, project_id, everything), *_filters(listing)]
    if listing.marker is not None:
        where.append(_after(tx, listing))
    query = select(*COLUMNS).where(*where)
    for key, descends in listing.sort:
        expression: Any = SORTS.get(key, t.c[key])
        query = query.order_by(expression.desc() if descends else expression.asc())
    found = {row[0]: Image(*row) for row in tx.execute(query.limit(listing.limit))}
    if found:
        where_facts = facts.c.image_id.in_(found)
        for image_id, kind, name, value in tx.execute(select(*facts.c).where(where_facts).order_by(facts.c.name)):
            _add_fact(found[image_id], kind, name, value)
    return list(found.values())


def _visible(listing: Listing, project_id: str, everything: bool) -> list[Any]:
    where: list[Any] = []
    if not everything:
        shared = select(members.c.image_id).where(members.c.member_id == project_id)
        if listing.member_status != "all":
            shared = shared.where(members.c.status == listing.member_status)
        seen = [t.c.visibility.in_(("public", "community")), and_(t.c.visibility == "shared", t.c.id.in_(shared))]
        where.append(or_(t.c.owner == project_id, *seen))
    if listing.visibility is None:
        where.append(or_(t.c.visibility != "community", t.c.owner == project_id))
    elif listing.visibility != "all":
        where.append(t.c.visibility == listing.visibility)
    return where


def _filters(listing: Listing) -> Iterable[Any]:
    compare = {"gt": "__gt__", "gte": "__ge__", "lt": "__lt__", "lte": "__le__", "eq": "__eq__", "neq": "__ne__", "in": "in_"}
    for key, operator, value in listing.conditions:
        yield getattr(t.c[key], compare[operator])(value)
    for tag in listing.tags:
        yield t.c.id.in_(select(facts.c.image_id).where(facts.c.kind == "tag", facts.c.name == tag))
    for name, value in listing.properties.items():
        where = (facts.c.kind == "property", facts.c.name == name, facts.c.value == value)
        yield t.c.id.in_(select(facts.c.image_id).where(*where))


def _after(tx: Connection, listing: Listing) -> Any:
    """Return the condition for what follows the marker in the order asked for."""
    keys = [(SORTS.get(key, t.c[key]), descends) for key, descends in listing.sort]
    at = tx.execute(
        select(*(expression.label(f"k{i}") for i, (expression, _) in enumerate(keys))).where(t.c.id == listing.marker)
    ).one()
    choices = []
    for index, (expression, descends) in enumerate(keys):
        same = [keys[i][0] == at[i] for i in range(index)]
        choices.append(and_(*same, expression < at[index] if descends else expression > at[index]))
    return or_(*choices)


def add(tx: Connection, image: Image) -> None:
    """Write a new image down.

    :raises Conflict: when there is one of its id.
    """
    try:
        tx.execute(insert(t).values({column.name: getattr(image, column.name) for column in COLUMNS}))
    except IntegrityError as error:
        raise Conflict(f"Image ID {image.id} already exists!") from error
    _add_facts(tx, image)


def _add_facts(tx: Connection, image: Image) -> None:
    rows = [{"image_id": image.id, "kind": "property", "name": n, "value": v} for n, v in image.properties.items()]
    rows += [{"image_id": image.id, "kind": "tag", "name": name, "value": ""} for name in image.tags]
    rows += _location_rows(image.id, image.locations)
    if rows:
        tx.execute(insert(facts), rows)


def _location_rows(image_id: str, locations: Iterable[Location]) -> list[dict[str, str]]:
    return [
        {"image_id": image_id, "kind": "location", "name": f"{at:04}", "value": msgspec.json.encode(location).decode()}
        for at, location in enumerate(locations)
    ]


def set_locations(tx: Connection, image_id: str, locations: Iterable[Location]) -> None:
    """Say where an image's content is.  Whoever calls this holds the image (`get` with lock, or `change`)."""
    tx.execute(delete(facts).where(facts.c.image_id == image_id, facts.c.kind == "location"))
    if rows := _location_rows(image_id, locations):
        tx.execute(insert(facts), rows)


def list_unplaced(tx: Connection) -> list[str]:
    """Return the images that have content and no location, as it was before there were several stores."""
    placed = select(facts.c.image_id).where(facts.c.kind == "location")
    return list(tx.execute(select(t.c.id).where(t.c.status.in_(("active", "deactivated")), t.c.id.not_in(placed))).scalars())


def change(tx: Connection, image_id: str, where: Mapping[str, Any], **values: Any) -> bool:
    """Change columns of an image if others still are as named in where; tells whether they were."""
    conditions = [t.c[key].in_(value) if isinstance(value, tuple) else t.c[key] == value for key, value in where.items()]
    return tx.execute(update(t).where(t.c.id == image_id, *conditions).values(**values)).rowcount == 1


def replace(tx: Connection, image: Image) -> None:
    """Write an image's columns, properties and tags over those that are there."""
    values = {column.name: getattr(image, column.name) for column in COLUMNS if column.name != "id"}
    tx.execute(update(t).where(t.c.id == image.id).values(values))
    tx.execute(delete(facts).where(facts.c.image_id == image.id))
    _add_facts(tx, image)


def set_property(tx: Connection, image_id: str, name: str, value: str | None) -> None:
    """Set one property; None takes it away."""
    where = (facts.c.image_id == image_id, facts.c.kind == "property", facts.c.name == name)
    tx.execute(delete(facts).where(*where))
    if value is not None:
        tx.execute(insert(facts).values(image_id=image_id, kind="property", name=name, value=value))


def set_properties(tx: Connection, image_id: str, values: Mapping[str, str | None]) -> None:
    """Set several properties; None takes one away."""
    for name, value in values.items():
        set_property(tx, image_id, name, value)


def remove(tx: Connection, image_id: str) -> None:
    """Forget an image and all that belongs to it."""
    tx.execute(delete(members).where(members.c.image_id == image_id))
    tx.execute(delete(facts).where(facts.c.image_id == image_id))
    tx.execute(delete(t).where(t.c.id == image_id))


def list_uploads(tx: Connection) -> list[tuple[str, str]]:
    """Return the images that are being written, each with the id of the upload."""
    return [(row.id, row.upload_id) for row in tx.execute(select(t.c.id, t.c.upload_id).where(t.c.upload_id != ""))]


def known(tx: Connection, image_ids: Collection[str]) -> set[str]:
    """Return those of the ids that are images'."""
    found: set[str] = set()
    wanted = list(image_ids)
    for start in range(0, len(wanted), 500):
        found.update(tx.execute(select(t.c.id).where(t.c.id.in_(wanted[start : start + 500]))).scalars())
    return found


def usage(tx: Connection, project_id: str) -> dict[str, tuple[int, int]]:
    """Return how many images a project owns in each status, and their bytes."""
    query = select(t.c.status, func.count(), func.coalesce(func.sum(t.c.size), 0)).where(t.c.owner == project_id)
    return {status: (count, int(size)) for status, count, size in tx.execute(query.group_by(t.c.status))}


def find_by_name(tx: Connection, name: str, visibility: str) -> Image | None:
    """Return the oldest image of a name and visibility."""
    query = select(t.c.id).where(t.c.name == name, t.c.visibility == visibility).order_by(t.c.created_at).limit(1)
    found = tx.execute(query).scalar()
    return get(tx, found) if found else None


def get_member(tx: Connection, image_id: str, member_id: str) -> Member | None:
    """Return one sharing, or None."""
    row = tx.execute(select(*members.c).where(members.c.image_id == image_id, members.c.member_id == member_id)).first()
    return Member(*row) if row else None


def list_members(tx: Connection, image_id: str) -> list[Member]:
    """Return the projects with which an image is shared, in the order they were added."""
    query = select(*members.c).where(members.c.image_id == image_id).order_by(members.c.created_at, members.c.member_id)
    return [Member(*row) for row in tx.execute(query)]


def add_member(tx: Connection, member: Member) -> None:
    """Share an image.

    :raises Conflict: when it is shared with that project.
    """
    try:
        tx.execute(insert(members).values(**member.__dict__))
    except IntegrityError as error:
        raise Conflict(f"Member {member.member_id} is duplicated for image {member.image_id}") from error


def set_member_status(tx: Connection, image_id: str, member_id: str, status: str, now: float) -> None:
    """Change what a project says to the offer."""
    where = (members.c.image_id == image_id, members.c.member_id == member_id)
    tx.execute(update(members).where(*where).values(status=status, updated_at=now))


def remove_member(tx: Connection, image_id: str, member_id: str) -> bool:
    """Share an image no longer; tells whether it was shared."""
    where = (members.c.image_id == image_id, members.c.member_id == member_id)
    return tx.execute(delete(members).where(*where)).rowcount == 1


def add_import(tx: Connection, record: Import) -> None:
    """Write an import down."""
    tx.execute(insert(imports).values(**record.__dict__))


def change_import(tx: Connection, import_id: str, status: str, message: str, now: float) -> None:
    """Say how an import goes."""
    tx.execute(update(imports).where(imports.c.id == import_id).values(status=status, message=message, updated_at=now))


def list_imports(tx: Connection, image_id: str = "") -> list[Import]:
    """Return the imports, newest first; of one image when it is named."""
    query = select(*imports.c).order_by(imports.c.created_at.desc(), imports.c.id)
    return [Import(*row) for row in tx.execute(query.where(imports.c.image_id == image_id) if image_id else query)]


def prune_imports(tx: Connection, before: float) -> None:
    """Forget the imports that were over before a time."""
    tx.execute(delete(imports).where(imports.c.updated_at < before, imports.c.status.in_(("success", "failure"))))


def get_import(tx: Connection, import_id: str) -> Import | None:
    """Return one import, or None."""
    row = tx.execute(select(*imports.c).where(imports.c.id == import_id)).first()
    return Import(*row) if row else None


def census(tx: Connection) -> dict[str, int]:
    """Count the images."""
    return {"images": int(tx.execute(select(func.count()).select_from(t)).scalar() or 0)}
