"""The work on groups and on their snapshots.  A task exists only while something is under way.

group            place --> (available)   fill --> (available)   clear --> (gone)     x give_up --> error, error_deleting
group snapshot   take --> watch --> (available)                 drop --> (gone)      x give_up_snapshot --> error, ...

The volumes and snapshots themselves are made by their own tasks: those here wait for them.
"""

import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import tasks
from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Cloud
from pileus.kernel.tasks import Done, Fail, Hop, Nap, Outcome, Program, Run
from pileus.volume import scheduler
from pileus.volume.driver import VolumeDriverError
from pileus.volume.scheduler import Request
from pileus.volume.store import group_types, snapshots, types
from pileus.volume.store import groups as store
from pileus.volume.store.groups import Group, GroupSnapshot
from pileus.volume.tasks import backends, placing
from pileus.volume.tasks import snapshots as snapshot_work
from pileus.volume.tasks.backends import Gauges

log = logging.getLogger(__name__)

program = Program("volume.group")
snapshot_program = Program("volume.group_snapshot")

WORK_SECONDS = 3600.0
LOOK_SECONDS = 0.5
CONSISTENT = ("consistent_group_snapshot_enabled", "<is> True")


def go(tx: Connection, cloud: Cloud, id: str, work: Program = program) -> None:
    """Have the work begin that the status of a group (or group snapshot) stands for."""
    tasks.ensure(tx, cloud, work, id, WORK_SECONDS)


def _group(run: Run) -> Group | None:
    with run.cloud.db.read() as tx:
        return store.get(tx, run.id)


def _snapshot(run: Run) -> GroupSnapshot | None:
    with run.cloud.db.read() as tx:
        return store.get_snapshot(tx, run.id)


@program.step
def begin(run: Run) -> Outcome:
    """Find what is to be done with a group."""
    group = _group(run)
    if group is None or group.status not in ("creating", "deleting"):
        return Done()
    if group.status == "deleting":
        return Hop(clear)
    return Hop(fill if group.group_snapshot_id or group.source_group_id else place)


@program.step
def place(run: Run) -> Outcome:
    """Choose the back end that all volumes of the group will lie on: it has to fit each of their types."""
    group = _group(run)
    if group is None or group.status != "creating":
        return Hop(begin) if group else Done()
    capacities = run.cloud.part(Gauges).read(run.cloud, fresh=True)
    with run.cloud.db.begin() as tx:
        kind = group_types.get(tx, group.group_type_id)
        of_volumes = types.many(tx, store.types_of(tx, [group.id])[group.id]).values()
        pools = placing.pools(tx, run.cloud, capacities)
        requests = [Request(0, [group.availability_zone], each.extra_specs) for each in of_volumes]
        requests.append(Request(0, [group.availability_zone], _asked(kind.group_specs if kind else {})))
        fit = [pool for pool in pools if not any(scheduler.explain_unfit(pool, request) for request in requests)]
        if not fit:
            return Fail(f"No valid back end was found for group {group.id}.")
        host = max(fit, key=lambda pool: (pool.room_gib, pool.host)).host
        store.change_if(tx, group.id, ["creating"], status="available", host=host, updated_at=run.cloud.clock.now())
    return Done()


def _asked(specs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a group type asks of back ends: one that need not keep several volumes at one instant still may."""
    return {key: value for key, value in specs.items() if key != CONSISTENT[0] or value == CONSISTENT[1]}


@program.step
def fill(run: Run) -> Outcome:
    """Wait until the volumes are there that the group's copies are."""
    group = _group(run)
    if group is None or group.status != "creating":
        return Hop(begin) if group else Done()
    with run.cloud.db.begin() as tx:
        statuses = {volume.status for volume in store.members(tx, group.id)}
        if "creating" in statuses:
            return Nap(LOOK_SECONDS)
        if "error" in statuses:
            return Fail("A volume of the group could not be made.")
        store.change_if(tx, group.id, ["creating"], status="available", updated_at=run.cloud.clock.now())
    return Done()


@program.step
def clear(run: Run) -> Outcome:
    """Wait until the volumes of the group are gone, then forget it."""
    group = _group(run)
    if group is None or group.status != "deleting":
        return Hop(begin) if group else Done()
    with run.cloud.db.begin() as tx:
        left = store.members(tx, group.id)
        if any(volume.status != "deleting" for volume in left):
            return Fail("A volume of the group could not be deleted.")
        if left:
            return Nap(LOOK_SECONDS)
        store.remove(tx, group.id)
    return Done()


@program.on_fail
def give_up(run: Run) -> Outcome:
    """Say that it failed, and why."""
    why = run.error or "It did not happen in time."
    log.warning("group %s: %s", run.id, why)
    now = run.cloud.clock.now()
    with run.cloud.db.begin() as tx:
        store.change_if(tx, run.id, ["creating"], status="error", reported_error=why, updated_at=now)
        store.change_if(tx, run.id, ["deleting"], status="error_deleting", reported_error=why, updated_at=now)
    return Done()


@snapshot_program.step
def begin_snapshot(run: Run) -> Outcome:
    """Find what is to be done with a group snapshot."""
    snapshot = _snapshot(run)
    if snapshot is None or snapshot.status not in ("creating", "deleting"):
        return Done()
    return Hop(take if snapshot.status == "creating" else drop)


@snapshot_program.step
def take(run: Run) -> Outcome:
    """Keep the content of all volumes at one instant where the group's type promises that, then have each snapshot made."""
    snapshot = _snapshot(run)
    if snapshot is None or snapshot.status != "creating":
        return Hop(begin_snapshot) if snapshot else Done()
    with run.cloud.db.read() as tx:
        group = store.get(tx, snapshot.group_id)
        kind = group_types.get(tx, snapshot.group_type_id)
        parts = snapshots.of_group_snapshot(tx, snapshot.id)
    if group is None or group.host is None:
        return Fail("Its group is nowhere.")
    if kind is not None and kind.group_specs.get(CONSISTENT[0]) == CONSISTENT[1]:
        try:
            backend = backends.named(run.cloud, group.host)
            if not hasattr(backend, "take_snapshots"):
                return Fail(f"{group.host} cannot keep several volumes at one instant.")
            backend.take_snapshots([(part.volume_id, part.id) for part in parts if part.status == "creating"])
        except (VolumeDriverError, HostUnknown) as error:
            return Fail(str(error))
    with run.cloud.db.begin() as tx:
        for part in parts:
            if part.status == "creating":
                snapshot_work.go(tx, run.cloud, part.id, "creating")
    return Hop(watch)


@snapshot_program.step
def watch(run: Run) -> Outcome:
    """Wait until all snapshots are there."""
    snapshot = _snapshot(run)
    if snapshot is None or snapshot.status != "creating":
        return Hop(begin_snapshot) if snapshot else Done()
    with run.cloud.db.begin() as tx:
        statuses = {part.status for part in snapshots.of_group_snapshot(tx, snapshot.id)}
        if "creating" in statuses:
            return Nap(LOOK_SECONDS)
        if statuses != {"available"}:
            return Fail("A snapshot of the group could not be made.")
        store.change_snapshot_if(tx, run.id, ["creating"], status="available", updated_at=run.cloud.clock.now())
    return Done()


@snapshot_program.step
def drop(run: Run) -> Outcome:
    """Wait until all snapshots are gone, then forget what they were."""
    snapshot = _snapshot(run)
    if snapshot is None or snapshot.status != "deleting":
        return Hop(begin_snapshot) if snapshot else Done()
    with run.cloud.db.begin() as tx:
        left = snapshots.of_group_snapshot(tx, snapshot.id)
        if any(part.status != "deleting" for part in left):
            return Fail("A snapshot of the group could not be deleted.")
        if left:
            return Nap(LOOK_SECONDS)
        store.remove_snapshot(tx, snapshot.id)
    return Done()


@snapshot_program.on_fail
def give_up_snapshot(run: Run) -> Outcome:
    """Say that it failed; snapshots that were not begun are in error, too."""
    log.warning("group snapshot %s: %s", run.id, run.error or "It did not happen in time.")
    now = run.cloud.clock.now()
    with run.cloud.db.begin() as tx:
        if store.change_snapshot_if(tx, run.id, ["creating"], status="error", updated_at=now):
            for part in snapshots.of_group_snapshot(tx, run.id):
                snapshots.change_if(tx, part.id, ["creating"], status="error", updated_at=now)
        store.change_snapshot_if(tx, run.id, ["deleting"], status="error_deleting", updated_at=now)
    return Done()
