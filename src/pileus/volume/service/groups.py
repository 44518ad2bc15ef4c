"""Groups of volumes that lie together, are snapshotted together and copied together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest
from pileus.volume.policies.groups import GROUP, SEES_PROJECT
from pileus.volume.service import group_types, quotas, types
from pileus.volume.service.group_access import find, find_snapshot, require_kind
from pileus.volume.service.volume_create import Wanted, make, zones
from pileus.volume.service.volumes import begin_removal
from pileus.volume.store import groups as store
from pileus.volume.store import services, snapshots, volumes
from pileus.volume.store.groups import Group
from pileus.volume.tasks import groups as work

STATUSES = ("error", "available", "creating", "deleting", "deleted", "updating", "error_deleting")
ADDABLE = ("available", "in-use")
REMOVABLE = ("available", "in-use", "error", "error_deleting")
REPLICATED = ("group_replication_enabled", "consistent_group_replication_enabled")


@dataclass(frozen=True)
class Shown:
    """A group, the types its volumes may be of, and its volumes."""

    group: Group
    type_ids: Sequence[str]
    volume_ids: Sequence[str]


@dataclass(frozen=True)
class NewGroup:
    """The group to be made.  Types are ids or names."""

    name: str | None
    description: str | None
    group_type: str
    volume_types: Sequence[str]
    availability_zone: str | None = None


@dataclass(frozen=True)
class Source:
    """What a group is to be a copy of: exactly one of them."""

    group_snapshot_id: str | None = None
    source_group_id: str | None = None


def sees_project(ctx: Context) -> bool:
    """Tell whether the caller sees whose a group is."""
    return ctx.can(SEES_PROJECT)


def list_all(ctx: Context, *, everyone: bool = False, reserved: bool = False) -> list[Shown]:
    """Return groups, the newest first.

    :param everyone: of all projects; only admins see them.
    :param reserved: the consistency groups, instead of the others.
    """
    ctx.require(GROUP + "get_all")
    with ctx.cloud.db.read() as tx:
        project_id = None if everyone and ctx.is_admin else ctx.project_id
        return _gather(tx, store.list_all(tx, project_id, reserved=reserved))


def get(ctx: Context, group_id: str, *, reserved: bool = False) -> Shown:
    """Return a group.

    :raises NotFound: when there is none, or it is another project's.
    """
    with ctx.cloud.db.read() as tx:
        return _gather(tx, [find(tx, ctx, group_id, reserved=reserved)])[0]


def create(ctx: Context, wanted: NewGroup, *, reserved: bool = False) -> Group:
    """Begin to make a group.

    :raises NotFound: when there is no such type.
    :raises BadRequest: when the zone or the type makes no sense.
    :raises OverQuota: when the project has used its share.
    """
    ctx.require(GROUP + "create")
    with ctx.cloud.db.begin() as tx:
        kind = group_types.find(tx, ctx, wanted.group_type)
        require_kind(tx, kind.id, reserved=reserved)
        type_ids = list(dict.fromkeys(types.find(tx, ctx, each).id for each in wanted.volume_types))
        zone = wanted.availability_zone or services.DEFAULT_ZONE
        if zone not in zones(tx):
            raise BadRequest(f"Invalid input received: Availability zone '{zone}' is invalid.", kind="InvalidInput")
        facts = {"group_type_id": kind.id, "availability_zone": zone}
        group_id = _write(tx, ctx, type_ids, name=wanted.name, description=wanted.description, **facts)
        work.go(tx, ctx.cloud, group_id)
        return find(tx, ctx, group_id, reserved=reserved)


def create_from(
    ctx: Context, source: Source, name: str | None, description: str | None, *, reserved: bool = False
) -> Group:  # fmt: skip
    """Begin to make a group whose volumes are copies of those of another group, or of a group snapshot.

    :raises NotFound: when there is no such source.
    :raises BadRequest: when it is empty, or in no state for that.
    :raises OverQuota: when the project has used its share.
    """
    ctx.require(GROUP + "create")
    with ctx.cloud.db.begin() as tx:
        origin_id, wishes, empty = _copies(tx, ctx, source, reserved)
        if not wishes:
            raise _invalid(empty)
        origin = find(tx, ctx, origin_id, reserved=reserved)
        group_id = _write(
            tx, ctx, store.types_of(tx, [origin_id])[origin_id], name=name, description=description, host=origin.host,
            group_type_id=origin.group_type_id, availability_zone=origin.availability_zone,
            group_snapshot_id=source.group_snapshot_id, source_group_id=source.source_group_id,
        )  # fmt: skip
        for wish in wishes:
            make(tx, ctx, Wanted(group_id=group_id, **wish))
        work.go(tx, ctx.cloud, group_id)
        return find(tx, ctx, group_id, reserved=reserved)


def _copies(tx: Connection, ctx: Context, source: Source, reserved: bool) -> tuple[str, list[dict[str, Any]], str]:
    """Return the group that is copied, what each copy is made of, and what to say when there is none."""
    if source.group_snapshot_id:
        together = find_snapshot(tx, ctx, source.group_snapshot_id, reserved=reserved)
        if together.status != "available":
            raise _invalid(f"Group snapshot {together.id} is {together.status}, not available.")
        parts = snapshots.of_group_snapshot(tx, together.id)
        wishes = [{"snapshot_id": part.id, "volume_type": part.volume_type_id} for part in parts]
        return together.group_id, wishes, "Group snapshot is empty. No group will be created."
    origin = find(tx, ctx, str(source.source_group_id), reserved=reserved)
    rows = store.members(tx, origin.id)
    wishes = [{"source_volume_id": row.id, "volume_type": row.volume_type_id} for row in rows]
    return origin.id, wishes, "Source Group is empty. No group will be created."


def update(
    ctx: Context, group_id: str, changes: Mapping[str, str | None], add: Sequence[str], remove: Sequence[str],
    *, reserved: bool = False,
) -> None:  # fmt: skip
    """Change name or description (None: they stay), and which volumes are in a group.

    :raises NotFound: when there is no such group.
    :raises BadRequest: when nothing is to change, or a volume cannot join or leave.
    """
    with ctx.cloud.db.begin() as tx:
        group = find(tx, ctx, group_id, "group:update", reserved=reserved)
        both = [id for id in add if id in remove]
        if both:
            raise _invalid_volume(f"UUIDs {both} are in both add and remove volume list.")
        wanted = {key: value for key, value in changes.items() if value is not None and value != getattr(group, key)}
        inside = {row.id: row for row in store.members(tx, group_id)}
        joining = [id for id in add if id not in inside]
        if not (wanted or joining or remove):
            raise _invalid(
                f"Cannot update group {group_id} because no valid name, description, add_volumes, or remove_volumes were "
                "provided."
            )
        if (joining or remove) and group.status != "available":
            raise _invalid(f"Group status must be available, but current status is: {group.status}.")
        for id in joining:
            _join(tx, ctx, group, id)
        for id in remove:
            _leave(tx, group, inside.get(id), id)
        store.change(tx, group_id, updated_at=ctx.cloud.clock.now(), **wanted)


def delete(ctx: Context, group_id: str, *, with_volumes: bool, reserved: bool = False) -> None:
    """Begin to delete a group.

    :param with_volumes: and its volumes, whatever the group's state.
    :raises NotFound: when there is no such group.
    :raises BadRequest: when it has volumes that are to stay, are attached or have snapshots, or is in no state for that.
    """
    with ctx.cloud.db.begin() as tx:
        group = find(tx, ctx, group_id, "group:delete", reserved=reserved)
        if group.host is None:
            store.remove(tx, group_id)
            return
        if not with_volumes and group.status not in ("available", "error"):
            raise _invalid(f"Group status must be available or error, but current status is: {group.status}")
        if store.has_snapshots(tx, group_id):
            raise _invalid("Group has existing snapshots.")
        rows = store.members(tx, group_id)
        if rows and not with_volumes:
            raise _invalid(f"Group {group_id} still contains volumes. The delete-volumes flag is required to delete it.")
        if store.is_source(tx, group_id=group_id):
            raise _invalid(f"Cannot delete group {group_id}. It cannot be the source for an ongoing group creation.")
        for row in rows:
            if volumes.attachments_of(tx, [row.id]).get(row.id):
                raise _invalid(f"Volume in group {group_id} is attached. Need to detach first.")
            if snapshots.of_volume(tx, row.id):
                raise _invalid("Volume in group still has dependent snapshots.")
        for row in rows:
            begin_removal(tx, ctx, row)
        store.change(tx, group_id, status="deleting", updated_at=ctx.cloud.clock.now())
        work.go(tx, ctx.cloud, group_id)


def reset_status(ctx: Context, group_id: str, status: str) -> None:
    """Say what state a group is in.

    :raises NotFound: when there is no such group.
    :raises BadRequest: when there is no such state.
    """
    require_status(status, "Group")
    with ctx.cloud.db.begin() as tx:
        find(tx, ctx, group_id, "group:reset_status", reserved=None)
        store.change(tx, group_id, status=status, updated_at=ctx.cloud.clock.now())


def refuse_replication(ctx: Context, group_id: str, action: str) -> None:
    """Refuse to replicate a group: no back end can, so no group is ready for it.

    :param action: enable_replication, disable_replication, failover_replication, list_replication_targets.
    :raises NotFound: when there is no such group.
    :raises BadRequest: always.
    """
    with ctx.cloud.db.read() as tx:
        group = find(tx, ctx, group_id, GROUP + action, reserved=None)
        kind = group_types.find(tx, ctx, group.group_type_id)
    if not any(kind.group_specs.get(key) == group_types.YES for key in REPLICATED):
        raise BadRequest(f"Invalid group type: Group {group_id} is not a replication group type.", kind="InvalidGroupType")
    verb = action.replace("_", " ")
    raise _invalid(f"Group {group_id} status must be ['available'], but current status is: {group.status}. Cannot {verb}.")


def require_status(status: str, what: str) -> None:
    """Check that there is such a state.  :raises BadRequest: when there is none."""
    if status not in STATUSES:
        raise BadRequest(f"Invalid {what.lower()} status: {what} status: {status} is invalid, valid status are: {STATUSES}.")


def _write(tx: Connection, ctx: Context, type_ids: Sequence[str], **values: Any) -> str:
    quotas.require_room(tx, ctx, ctx.project_id, groups=1)
    group_id = ids.uuid()
    store.add(
        tx, type_ids, id=group_id, project_id=ctx.project_id, user_id=ctx.user_id, created_at=ctx.cloud.clock.now(),
        status="creating", replication_status="disabled", **values,
    )  # fmt: skip
    return group_id


def _gather(tx: Connection, rows: Sequence[Group]) -> list[Shown]:
    group_ids = [row.id for row in rows]
    of_types, inside = store.types_of(tx, group_ids), store.member_ids(tx, group_ids)
    return [Shown(row, of_types[row.id], inside[row.id]) for row in rows]


def _join(tx: Connection, ctx: Context, group: Group, volume_id: str) -> None:
    volume = volumes.get(tx, volume_id)
    cannot = f"Cannot add volume {volume_id} to group {group.id} because"
    if volume is None or (volume.project_id != group.project_id and not ctx.is_admin):
        raise _invalid_volume(f"{cannot} volume cannot be found.")
    if volume.group_id:
        raise _invalid_volume(f"{cannot} it is already in group {volume.group_id}.")
    if volume.project_id != group.project_id:
        raise _invalid_volume(f"Cannot add volume {volume_id} to group {group.id} as they belong to different projects.")
    if volume.volume_type_id not in store.types_of(tx, [group.id])[group.id]:
        raise _invalid_volume(f"{cannot} volume type {volume.volume_type_id} is not supported by the group.")
    if volume.status not in ADDABLE:
        told = f"volume is in an invalid state: {volume.status}. Valid states are: {ADDABLE}."
        raise _invalid_volume(f"{cannot} {told}")
    if volume.host != group.host:
        raise _invalid_volume("Volume is not local to this node.")
    volumes.change(tx, volume_id, group_id=group.id)


def _leave(tx: Connection, group: Group, volume: Any, volume_id: str) -> None:
    cannot = f"Cannot remove volume {volume_id} from group {group.id} because"
    if volume is None:
        raise _invalid_volume(f"{cannot} it is not in the group.")
    if volume.status not in REMOVABLE:
        told = f"volume is in an invalid state: {volume.status}. Valid states are: {REMOVABLE}."
        raise _invalid_volume(f"{cannot} {told}")
    volumes.change(tx, volume_id, group_id=None)


def _invalid(text: str) -> BadRequest:
    return BadRequest(f"Invalid group: {text}", kind="InvalidGroup")


def _invalid_volume(text: str) -> BadRequest:
    return BadRequest(f"Invalid volume: {text}", kind="InvalidVolume")
