"""Volumes: find, list, change, delete.  Making them is in `volume_create`, the actions in `volume_actions`.

Other parts enter here: `find`, `make` and `Wanted`, `remove_in`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest
from pileus.volume import states
from pileus.volume.service import volume_images
from pileus.volume.service.access import find_volume as find
from pileus.volume.service.access import no_volume
from pileus.volume.service.volume_create import Wanted, make
from pileus.volume.store import attachments, groups, services, snapshots, types, volume_search
from pileus.volume.store import volumes as store
from pileus.volume.store.pages import Slice, UnknownKey, UnknownMarker
from pileus.volume.store.volume_search import Search
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import volumes as work

__all__ = ["Search", "Slice", "Wanted", "find", "make", "remove_in"]

SETTLED = (None, "deleting", "error", "success")
"""The migration states in which nothing is being migrated."""
UNDELETABLE = (
    "Volume{status} must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, "
    "or be disassociated from snapshots after volume transfer."
)


@dataclass(frozen=True)
class Shown:
    """A volume with all that an answer about it may hold."""

    volume: Volume
    type_name: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    image_metadata: Mapping[str, str] = field(default_factory=dict)
    attachments: Sequence[Any] = ()
    service_id: str | None = None
    in_consistency_group: bool = False


def gather(tx: Connection, rows: Sequence[Volume]) -> list[Shown]:
    """Add to volumes what is kept elsewhere, with a few questions for all of them."""
    ids = [row.id for row in rows]
    if not ids:
        return []
    kinds = types.names_of(tx, sorted({row.volume_type_id for row in rows if row.volume_type_id}))
    metadata, image_metadata = store.all_metadata_of(tx, ids)
    attached = store.attached_of(tx, ids)
    parts = services.backends(tx)
    older = groups.consistency_groups_among(tx, sorted({row.group_id for row in rows if row.group_id}))
    return [
        Shown(
            row, kinds.get(row.volume_type_id), metadata.get(row.id, {}), image_metadata.get(row.id, {}),
            attached.get(row.id, ()), _service_id(parts, row.host), row.group_id in older,
        )
        for row in rows
    ]  # fmt: skip


def _service_id(parts: Mapping[str, Any], host: str | None) -> str | None:
    part = parts.get(host.partition("#")[0]) if host else None
    return part.id if part else None


def create(ctx: Context, wanted: Wanted) -> Shown:
    """Begin to make a volume.

    :raises BadRequest: when what is asked for makes no sense.
    :raises NotFound: when what it is to be made of is not there.
    :raises OverQuota: when the project has used its share.
    """
    if wanted.image_id:
        wanted = replace(wanted, image_id=volume_images.require_id(ctx, wanted.image_id))
    with ctx.cloud.db.begin() as tx:
        row = store.get(tx, make(tx, ctx, wanted))
        assert row is not None
        return gather(tx, [row])[0]


def show(ctx: Context, volume_id: str) -> Shown:
    """Return a volume.  :raises NotFound: when there is none, or the caller may not know of it."""
    with ctx.cloud.db.read() as tx:
        return gather(tx, [find(tx, ctx, volume_id)])[0]


def list_volumes(
    ctx: Context, what: Search, wanted: Slice, *, everyone: bool = False, counted: bool = False
) -> tuple[list[Shown], int | None]:
    """Return a part of the volumes looked for, and how many there are if that is to be counted.

    :param everyone: of all projects; only admins see them.
    :raises NotFound: when the marker is no volume.
    :raises BadRequest: when volumes are not sorted by that.
    """
    ctx.require("volume:get_all")
    if not (everyone and ctx.is_admin):
        what = replace(what, project_id=ctx.project_id)
    with ctx.cloud.db.read() as tx:
        try:
            rows = volume_search.search(tx, what, wanted)
        except UnknownMarker as error:
            raise no_volume(str(error)) from error
        except UnknownKey as error:
            raise BadRequest("Invalid input received: Sort key supplied is not valid.", kind="InvalidInput") from error
        return gather(tx, rows), volume_search.count(tx, what) if counted else None


def summary(ctx: Context, *, everyone: bool = False) -> tuple[int, int, dict[str, list[str]]]:
    """Return the number of volumes, their size in GiB, and every value of their metadata by key.

    :param everyone: of all projects; only admins see them.
    """
    ctx.require("volume:get_all")
    with ctx.cloud.db.read() as tx:
        return volume_search.summary(tx, None if everyone and ctx.is_admin else ctx.project_id)


def update(ctx: Context, volume_id: str, values: Mapping[str, Any], metadata: Mapping[str, str] | None) -> Shown:
    """Change the name, the description, or the metadata as a whole (None: they stay).

    :raises BadRequest: when the volume is being moved.
    """
    with ctx.cloud.db.begin() as tx:
        volume = find(tx, ctx, volume_id, "volume:update")
        if volume.status == states.MAINTENANCE:
            raise BadRequest("Invalid volume: The volume cannot be updated during maintenance.", kind="InvalidVolume")
        if metadata is not None:
            store.put_metadata(tx, volume_id, metadata, replace=True)
        store.describe(tx, volume_id, **values, updated_at=ctx.cloud.clock.now())
        return gather(tx, [find(tx, ctx, volume_id)])[0]


def delete(ctx: Context, volume_id: str, *, force: bool = False, cascade: bool = False) -> None:
    """Begin to delete a volume.

    :param force: whatever its state; an admin's right.
    :param cascade: its snapshots, too.
    :raises BadRequest: when it is in no state for that.
    """
    with ctx.cloud.db.begin() as tx:
        volume = find(tx, ctx, volume_id)
        if force:
            ctx.require("volume:force_delete", {"project_id": volume.project_id, "user_id": volume.user_id})
        remove_in(tx, ctx, volume, force=force, cascade=cascade)


def force_delete(ctx: Context, volume_id: str) -> None:
    """Begin to delete a volume, whatever its state; an admin's right.

    :raises BadRequest: when it is attached, has snapshots, or is being migrated.
    """
    with ctx.cloud.db.begin() as tx:
        volume = find(tx, ctx, volume_id, "volume_extension:volume_admin_actions:force_delete")
        remove_in(tx, ctx, volume, force=True, cascade=False)


def remove_in(tx: Connection, ctx: Context, volume: Volume, *, force: bool = False, cascade: bool = False) -> None:
    """Begin to delete a volume, in an open transaction.

    :raises Forbidden: when the caller may not.
    :raises BadRequest: when it is in no state for that, or someone else changed it at the same moment.
    """
    ctx.require("volume:delete", {"project_id": volume.project_id, "user_id": volume.user_id})
    if not force and volume.status not in states.DELETABLE:
        raise _undeletable(force)
    if volume.migration_status not in SETTLED or volume.group_id is not None:
        raise _undeletable(force)
    attachments.hold(tx, volume.id)  # no snapshot of it is begun from now on
    its_attachments = store.attachments_of(tx, [volume.id]).get(volume.id, [])
    if any(row.status == "attached" if force else row.status != "exported" for row in its_attachments):
        raise _undeletable(force)
    its_snapshots = snapshots.of_volume(tx, volume.id)
    if its_snapshots and not cascade:
        raise _undeletable(force)
    for snapshot in its_snapshots:
        busy = not force and snapshot.status not in ("available", "error", "deleting")
        if busy or snapshot.group_snapshot_id or (snapshot.project_id != volume.project_id and not ctx.is_admin):
            raise _undeletable(force)
        snapshots.change(tx, snapshot.id, status="deleting")
    if not begin_removal(tx, ctx, volume):
        raise _undeletable(force)


def begin_removal(tx: Connection, ctx: Context, volume: Volume) -> bool:
    """Have a volume deleted, if it is still as the row at hand says; tells whether it was."""
    aside = {**(volume.aside or {}), "request_id": ctx.request_id}
    now = ctx.cloud.clock.now()
    if not store.change_if(tx, volume, status=states.DELETING, before=volume.status, aside=aside, updated_at=now):
        return False
    work.go(tx, ctx.cloud, volume.id, states.DELETING)
    return True


def _undeletable(force: bool) -> BadRequest:
    wanted = "available or error or error_restoring or error_extending or error_managing"
    status = "" if force else f" status must be {wanted} and"
    return BadRequest("Invalid volume: " + UNDELETABLE.format(status=status), kind="InvalidVolume")
