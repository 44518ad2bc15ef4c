"""The work on snapshots: take, drop.  A task exists only while something is under way, one a snapshot.

take --> (available)     drop --> (gone)     x give_up --> error, error_deleting, with a message to the user
"""

import logging
from collections.abc import Callable
from functools import wraps

from sqlalchemy import Connection

from pileus.kernel import tasks
from pileus.kernel.context import Cloud
from pileus.kernel.tasks import Done, Fail, Hop, Nap, Outcome, Program, Run, Step
from pileus.volume import messages
from pileus.volume.driver import VolumeDriverError
from pileus.volume.store import snapshots as store
from pileus.volume.store import volumes
from pileus.volume.store.snapshots import Snapshot
from pileus.volume.tasks import backends, keys

log = logging.getLogger(__name__)

program = Program("volume.snapshot")

ACTION_SECONDS = 600.0
BUSY_SECONDS = 0.2
STEPS = {"creating": "take", "deleting": "drop", "managing": "adopt_snapshot", "unmanaging": "disown_snapshot"}


def go(tx: Connection, cloud: Cloud, snapshot_id: str, status: str, memo: dict[str, str] | None = None) -> None:
    """Have the work begin that a status stands for, or have the task that is there look at the row again."""
    if not tasks.wake(tx, cloud, snapshot_id):
        tasks.start(tx, cloud, program, snapshot_id, ACTION_SECONDS, dict(memo or {}), STEPS[status])


def step(function: Callable[[Run, Snapshot], Outcome]) -> Step:
    """Declare a step that is about a snapshot's row, and that a deletion pre-empts."""

    @wraps(function)
    def run_it(run: Run) -> Outcome:
        with run.cloud.db.read() as tx:
            snapshot = store.get(tx, run.id)
        if snapshot is None:
            return Done()
        if snapshot.status == "deleting" and function.__name__ not in ("drop", "give_up"):
            return Hop(drop, ACTION_SECONDS)
        return function(run, snapshot)

    return program.step(run_it)


@step
def begin(run: Run, snapshot: Snapshot) -> Outcome:
    """Find what is to be done."""
    if snapshot.status not in STEPS:
        return Done()
    return Hop(program.steps[STEPS[snapshot.status]], ACTION_SECONDS)


@step
def take(run: Run, snapshot: Snapshot) -> Outcome:
    """Keep the content of the volume as it is now."""
    if snapshot.status != "creating":
        return Hop(begin)
    with run.cloud.db.read() as tx:
        volume = volumes.get(tx, snapshot.volume_id)
    try:
        if volume is None or volume.host is None:
            return Fail("Its volume is nowhere.")
        backends.of(run.cloud, volume).take_snapshot(volume.id, snapshot.id)
    except VolumeDriverError as error:
        return Fail(str(error))
    with run.cloud.db.begin() as tx:
        values = {"status": "available", "progress": "100%", "updated_at": run.cloud.clock.now()}
        if not store.change_if(tx, snapshot.id, ["creating"], **values):
            return Hop(begin)
        facts = {"snapshot_id": snapshot.id, "volume_id": snapshot.volume_id, "why": ""}
        run.cloud.events.publish(tx, run.cloud, "volume.snapshot.ready", facts)
    return Done()


@step
def drop(run: Run, snapshot: Snapshot) -> Outcome:
    """Forget the snapshot; one that volumes are being made of stays until they are."""
    if snapshot.status != "deleting":
        return Hop(begin)
    with run.cloud.db.read() as tx:
        if volumes.is_snapshot_being_copied(tx, snapshot.id):
            return Nap(BUSY_SECONDS)
        volume = volumes.get(tx, snapshot.volume_id)
    try:
        if volume is not None and volume.host is not None:
            backends.of(run.cloud, volume).drop_snapshot(volume.id, snapshot.id, run.cloud.settings.volume_wipe)  # type: ignore[arg-type]
    except VolumeDriverError as error:
        return Fail(str(error))
    with run.cloud.db.begin() as tx:
        now = store.get(tx, snapshot.id)
        if now is not None and now.status == "deleting":
            forget(tx, run.cloud, now)
    return Done()


def forget(tx: Connection, cloud: Cloud, snapshot: Snapshot) -> None:
    """Forget a snapshot's row."""
    store.remove(tx, snapshot.id)
    keys.forget(tx, snapshot.encryption_key_id)
    facts = {"snapshot_id": snapshot.id, "volume_id": snapshot.volume_id, "project_id": snapshot.project_id}
    cloud.events.publish(tx, cloud, "volume.snapshot.deleted", facts)


FAILED = {
    "creating": ("error", "snapshot-create", "snapshot-failed"),
    "deleting": ("error_deleting", "snapshot-delete", "snapshot-delete-failed"),
    "managing": ("error", "snapshot-create", "snapshot-failed"),
    "unmanaging": ("error", "", ""),
}


@step
def give_up(run: Run, snapshot: Snapshot) -> Outcome:
    """Say that it failed, and why."""
    if snapshot.status not in FAILED:
        return Done()
    status, action, detail = FAILED[snapshot.status]
    why = run.error or "It did not happen in time."
    log.warning("snapshot %s: %s failed: %s", snapshot.id, snapshot.status, why)
    with run.cloud.db.begin() as tx:
        if not store.change_if(tx, snapshot.id, [snapshot.status], status=status, updated_at=run.cloud.clock.now()):
            return Hop(begin, ACTION_SECONDS)
        if action:
            messages.report(
                tx, run.cloud, project_id=snapshot.project_id, request_id=str(run.memo.get("request_id", "")),
                resource_type=messages.SNAPSHOT, resource_uuid=snapshot.id, action=action, detail=detail,
            )  # fmt: skip
        if snapshot.status == "creating":
            facts = {"snapshot_id": snapshot.id, "volume_id": snapshot.volume_id, "why": why}
            run.cloud.events.publish(tx, run.cloud, "volume.snapshot.failed", facts)
    return Done()


program.on_fail(program.steps["give_up"])
