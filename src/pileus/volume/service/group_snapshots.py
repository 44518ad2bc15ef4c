"""Snapshots of whole groups: one snapshot of each of a group's volumes, of one instant where the group's type promises it."""

from collections.abc import Sequence

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest
from pileus.volume.policies.groups import GROUP, SEES_SNAPSHOT_PROJECT
from pileus.volume.service import snapshots
from pileus.volume.service.group_access import find, find_snapshot
from pileus.volume.service.groups import require_status
from pileus.volume.store import groups as store
from pileus.volume.store import snapshots as parts
from pileus.volume.store.groups import GroupSnapshot
from pileus.volume.tasks import groups as work


def sees_project(ctx: Context) -> bool:
    """Tell whether the caller sees whose a group snapshot is."""
    return ctx.can(SEES_SNAPSHOT_PROJECT)


def list_all(ctx: Context, *, everyone: bool = False, reserved: bool = False) -> Sequence[GroupSnapshot]:
    """Return group snapshots, the newest first.

    :param everyone: of all projects; only admins see them.
    :param reserved: those of consistency groups, instead of the others.
    """
    ctx.require(GROUP + "get_all_group_snapshots")
    with ctx.cloud.db.read() as tx:
        return store.list_snapshots(tx, None if everyone and ctx.is_admin else ctx.project_id, reserved=reserved)


def get(ctx: Context, id: str, *, reserved: bool = False) -> GroupSnapshot:
    """Return a group snapshot.

    :raises NotFound: when there is none, or it is another project's.
    """
    with ctx.cloud.db.read() as tx:
        return find_snapshot(tx, ctx, id, reserved=reserved)


def create(ctx: Context, group_id: str, name: str | None, description: str | None, *, reserved: bool = False) -> GroupSnapshot:
    """Begin to take a snapshot of each volume of a group.

    :raises NotFound: when there is no such group.
    :raises BadRequest: when it, or one of its volumes, is in no state for that.
    :raises OverQuota: when the project has used its share.
    """
    with ctx.cloud.db.begin() as tx:
        group = find(tx, ctx, group_id, "group:create_group_snapshot", reserved=reserved)
        rows = store.members(tx, group_id)
        if not rows:
            raise BadRequest("Invalid group: Source group is empty. No group snapshot will be created.", kind="InvalidGroup")
        id = ids.uuid()
        store.add_snapshot(
            tx, id=id, group_id=group_id, project_id=group.project_id, user_id=ctx.user_id, name=name, description=description,
            created_at=ctx.cloud.clock.now(), status="creating", group_type_id=group.group_type_id,
        )  # fmt: skip
        for row in rows:
            snapshots.make(tx, ctx, row, name, description, group_snapshot_id=id)
        work.go(tx, ctx.cloud, id, work.snapshot_program)
        return find_snapshot(tx, ctx, id, reserved=reserved)


def delete(ctx: Context, id: str, *, reserved: bool = False) -> None:
    """Begin to delete a group snapshot and its parts.

    :raises NotFound: when there is none.
    :raises BadRequest: when it is in no state for that, or a group is being made of it.
    """
    with ctx.cloud.db.begin() as tx:
        found = find_snapshot(tx, ctx, id, "group:delete_group_snapshot", reserved=reserved)
        free = not store.is_source(tx, group_snapshot_id=id)
        changes = {"status": "deleting", "updated_at": ctx.cloud.clock.now()}
        if not (free and store.change_snapshot_if(tx, found.id, ["available", "error"], **changes)):
            text = (
                "GroupSnapshot status must be available or error, and no Group can be currently using it as source for its "
                "creation."
            )
            raise BadRequest(f"Invalid GroupSnapshot: {text}", kind="InvalidGroupSnapshot")
        for part in parts.of_group_snapshot(tx, id):
            snapshots.remove_in(tx, ctx.cloud, part, force=True, request_id=ctx.request_id)
        work.go(tx, ctx.cloud, id, work.snapshot_program)


def reset_status(ctx: Context, id: str, status: str) -> None:
    """Say what state a group snapshot is in.

    :raises NotFound: when there is none.
    :raises BadRequest: when there is no such state.
    """
    require_status(status, "Group snapshot")
    with ctx.cloud.db.begin() as tx:
        find_snapshot(tx, ctx, id, "group:reset_group_snapshot_status")
        store.change_snapshot_if(tx, id, None, status=status, updated_at=ctx.cloud.clock.now())
