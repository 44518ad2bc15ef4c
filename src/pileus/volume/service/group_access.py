"""Finding groups and their snapshots for a caller, and who may join a group."""

from sqlalchemy import Connection

from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, NotFound
from pileus.volume.store import group_types
from pileus.volume.store import groups as store
from pileus.volume.store.groups import Group, GroupSnapshot
from pileus.volume.store.types import Type


def find(tx: Connection, ctx: Context, group_id: str, rule: str = "group:get", *, reserved: bool | None = False) -> Group:
    """Return a group with which the caller may do what a rule says.

    :param reserved: whether it is to be a consistency group; None: either.
    :raises NotFound: GroupNotFound when there is none, or it is another project's.
    :raises BadRequest: when it is of the other kind.
    """
    hidden = NotFound(f"Group {group_id} could not be found.", kind="GroupNotFound")
    found = store.get(tx, group_id)
    if found is None:
        raise hidden
    ctx.require(rule, {"project_id": found.project_id, "user_id": found.user_id}, hidden=hidden)
    if reserved is not None:
        require_kind(tx, found.group_type_id, reserved=reserved)
    return found


def find_snapshot(
    tx: Connection, ctx: Context, id: str, rule: str = "group:get_group_snapshot", *, reserved: bool = False
) -> GroupSnapshot:
    """Return a group snapshot with which the caller may do what a rule says.

    :param reserved: whether it is to be one of a consistency group.
    :raises NotFound: GroupSnapshotNotFound when there is none, or it is another project's.
    :raises BadRequest: when it is of the other kind.
    """
    hidden = NotFound(f"GroupSnapshot {id} could not be found.", kind="GroupSnapshotNotFound")
    found = store.get_snapshot(tx, id)
    if found is None:
        raise hidden
    ctx.require(rule, {"project_id": found.project_id, "user_id": found.user_id}, hidden=hidden)
    require_kind(tx, found.group_type_id, "group snapshots", reserved=reserved)
    return found


def require_kind(tx: Connection, group_type_id: str, what: str = "group", *, reserved: bool = False) -> None:
    """Check that a group's type is that of consistency groups, or that it is not.

    :raises BadRequest: when it is the other way round.
    :raises NotFound: when no consistency group has that type.
    """
    kind = group_types.get(tx, group_type_id)
    is_reserved = kind is not None and kind.is_default
    if is_reserved and not reserved:
        by = "CG snapshot APIs" if what == "group snapshots" else "CG APIs"
        raise BadRequest(
            f"Group_type {group_type_id} is reserved for migrating CGs to groups. Migrated {what} can only be operated by {by}."
        )
    if reserved and not is_reserved:
        raise NotFound("ConsistencyGroup could not be found.", kind="ConsistencyGroupNotFound")


def require_member(tx: Connection, ctx: Context, group_id: str, kind: Type) -> Group:
    """Check that a new volume of a type may join a group; returns the group.

    :raises NotFound: GroupNotFound when the caller has no such group.
    :raises BadRequest: when the group takes no volumes of that type.
    """
    group = find(tx, ctx, group_id, reserved=None)
    if kind.id not in store.types_of(tx, [group_id])[group_id]:
        text = f"Invalid volume_type provided: {kind.name} (requested type must be supported by this group)."
        raise BadRequest(f"Invalid input received: {text}", kind="InvalidInput")
    return group
