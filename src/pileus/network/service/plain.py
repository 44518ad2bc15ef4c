"""Use cases of resources that are little more than a row: what they have in common, told what differs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.network.errors import missing
from pileus.network.service import access, closing
from pileus.network.service.access import Attributes, target_of
from pileus.network.store import rows, sharing
from pileus.network.store.rows import Clause, Kind, Wanted


@dataclass(frozen=True)
class Plain:
    """A resource.

    :param assemble: puts records together out of rows.
    :param visible: the condition for what a project sees in lists; None: all that may be listed at all.
    :param object_type: as policies of sharing name it; "": it cannot be shared by one.
    :param owned: whether it belongs to a project.
    """

    kind: Kind
    assemble: Callable[[Connection, Sequence[Row[Any]]], list[Any]]
    visible: Callable[[str], Clause] | None = None
    object_type: str = ""
    owned: bool = True

    @property
    def noun(self) -> str:
        """As rules and faults name it."""
        return self.kind.noun


def owner_of(record: Any) -> str:
    """Return the project of a record; "": it is of none."""
    return str(getattr(record, "project_id", ""))


def target(what: Plain, ctx: Context, tx: Connection, record: Any) -> dict[str, Any]:
    """Return what policy checks look at."""
    if what.object_type:
        return access.target_shared(ctx, tx, what.object_type, record.id, owner_of(record))
    return target_of(owner_of(record)) | {"shared": getattr(record, "shared", False)}


def list_all(what: Plain, ctx: Context, wanted: Wanted) -> list[Any]:
    """Return those that the caller sees."""
    visible = access.visible(ctx, what.noun, what.visible) if what.visible else None
    if what.visible is None and not ctx.can(f"get_{what.noun}"):
        visible = rows.NONE
    if what.object_type:
        visible, wanted = access.by_sharing(ctx, wanted, visible, sharing.opened(what.object_type, ctx.project_id))
    with ctx.cloud.db.read() as tx:
        found = what.assemble(tx, rows.list_rows(tx, what.kind, visible, wanted))
        return as_seen(what, ctx, tx, found)


def as_seen(what: Plain, ctx: Context, tx: Connection, found: list[Any]) -> list[Any]:
    """Return records with `shared` as it is for the caller."""
    if not what.object_type:
        return found
    opened = sharing.opened_ids(tx, what.object_type, ctx.project_id, [each.id for each in found])
    return [msgspec.structs.replace(each, shared=True) if each.id in opened and not each.shared else each for each in found]


def show(what: Plain, ctx: Context, id: str) -> Any:
    """Return one.  :raises NotFound: when the caller does not see it."""
    with ctx.cloud.db.read() as tx:
        return as_seen(what, ctx, tx, [find(what, ctx, tx, id, "get")])[0]


def read(what: Plain, tx: Connection, id: str) -> Any | None:
    """Return one, whoever's it is."""
    row = rows.find_row(tx, what.kind, id)
    return what.assemble(tx, [row])[0] if row else None


def find(what: Plain, ctx: Context, tx: Connection, id: str, action: str) -> Any:
    """Return one, if the caller may do something to it."""
    record = read(what, tx, id)
    if record is None:
        raise missing(what.noun, id)
    access.require(ctx, what.noun, action, id, target(what, ctx, tx, record))
    return record


Prepare = Callable[[Connection, Context, str, Attributes], dict[str, Any]]
"""Checks the attributes of a new one (its id is in them, its project is given) and returns the columns."""


def create(what: Plain, prepare: Prepare, ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[Any]:
    """Make some, all or none."""
    wished = []
    for attributes, given in many:
        project_id = access.project_for(ctx, attributes) if what.owned else ""
        aim = target_of(project_id) if what.owned else None
        ctx.require(f"create_{what.noun}", aim)
        access.guard(ctx, f"create_{what.noun}", given, aim or {})
        wished.append((project_id, attributes))

    def work(tx: Connection) -> list[Any]:
        return [write(what, prepare, tx, ctx, project_id, attributes) for project_id, attributes in wished]

    return access.transact(ctx.cloud, work)


def write(what: Plain, prepare: Prepare, tx: Connection, ctx: Context, project_id: str, attributes: Attributes) -> Any:
    """Write one down in an open transaction."""
    columns = {"id": ids.uuid(), **({"project_id": project_id} if what.owned else {})}
    columns |= prepare(tx, ctx, project_id, attributes | {"id": columns["id"]})
    now = ctx.cloud.clock.now()
    named = columns.pop("tags", None)
    rows.insert_row(tx, what.kind.table, now, columns)
    if named:
        rows.set_tags(tx, columns["id"], named)
    if what.object_type and columns.get("shared"):
        sharing.grant(tx, now, what.object_type, columns["id"], project_id, sharing.ALL, sharing.SHARED)
    return read(what, tx, columns["id"])


Check = Callable[[Connection, Context, Any, Attributes], Any]
"""Looks at a change of a record before it is written; may alter the attributes."""


def change(what: Plain, check: Check, ctx: Context, id: str, attributes: Attributes, revision: int | None = None) -> Any:
    """Change one; what is not named stays."""

    def work(tx: Connection) -> Any:
        record = find(what, ctx, tx, id, "update")
        access.guard(ctx, f"update_{what.noun}", attributes, target(what, ctx, tx, record))
        access.check_revision(revision, record.revision_number)
        values = dict(attributes)
        check(tx, ctx, record, values)
        if what.object_type and "shared" in values:
            open_to_all(tx, ctx, what, record, values["shared"])
        if values:
            rows.update_row(tx, what.kind.table, ctx.cloud.clock.now(), id, values)
        return as_seen(what, ctx, tx, [find(what, ctx, tx, id, "get")])[0]

    return access.transact(ctx.cloud, work)


def open_to_all(tx: Connection, ctx: Context, what: Plain, record: Any, shared: bool) -> None:
    """Keep the policy that opens a thing to all equal to its flag."""
    if shared:
        sharing.grant(tx, ctx.cloud.clock.now(), what.object_type, record.id, record.project_id, sharing.ALL, sharing.SHARED)
    else:
        for policy in sharing.policies_of(tx, record.id):
            if policy.target_project == sharing.ALL:
                closing.check_unused(tx, policy)
        sharing.revoke(tx, record.id, sharing.ALL, sharing.SHARED)


Release = Callable[[Connection, Context, Any], Any]
"""Looks whether a record may go, and removes what goes with it."""


def remove(what: Plain, release: Release, ctx: Context, id: str, revision: int | None = None) -> None:
    """Remove one.  :raises Conflict: when something needs it."""

    def work(tx: Connection) -> None:
        record = find(what, ctx, tx, id, "delete")
        access.check_revision(revision, record.revision_number)
        release(tx, ctx, record)
        if what.object_type:
            sharing.forget(tx, id)
        rows.delete_row(tx, what.kind.table, id)

    access.transact(ctx.cloud, work)


def let_go(tx: Connection, ctx: Context, record: Any) -> None:
    """Nothing needs it and nothing goes with it."""


def allow(tx: Connection, ctx: Context, record: Any, attributes: Attributes) -> None:
    """Any change may be made."""
