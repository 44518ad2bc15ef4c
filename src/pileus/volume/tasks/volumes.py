"""The work on volumes.  A task exists only while something is under way, one a volume.

    create --> (available)          begin reads the row and goes where its status points, so that a task that was woken or
      ^ '--> a back end refused     lost its place finds back
      '------'
    extend, revert, adopt, ...  --> (the status before)       any step --(row says deleting)--> delete --> (gone)
    x give_up --> error, error_deleting, error_extending, or the status before, with a message to the user

`moves` (retype, migrate) and `copies` (upload, reimage) have further steps.  Each step looks at the row first, and writes its
result only where the row still is of the generation that it read.
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from sqlalchemy import Connection

from pileus.image.service import snapshots as image_making
from pileus.kernel import tasks
from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Cloud
from pileus.kernel.errors import Fault
from pileus.kernel.tasks import Done, Fail, Hop, Nap, Outcome, Program, Run, Step
from pileus.volume import messages, states
from pileus.volume.driver import VolumeDriverError
from pileus.volume.store import attachments as attachment_store
from pileus.volume.store import snapshots
from pileus.volume.store import volumes as store
from pileus.volume.store.snapshots import Snapshot
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import attachments, backends, contents, keys, placing

log = logging.getLogger(__name__)

program = Program("volume.volume")

COPY_SECONDS = 6 * 3600.0
ACTION_SECONDS = 600.0
BUSY_SECONDS = 0.2
REFUSALS: tuple[type[Exception], ...] = (VolumeDriverError, HostUnknown)
"""Where another back end can do it, or all can stay as it was.  A step whose back end alone can waits for one that is away."""
UNABLE: tuple[type[Exception], ...] = (*REFUSALS, contents.Unfit)

STEPS = {
    "creating": "create", "deleting": "delete", "extending": "extend", "reverting": "revert", "managing": "adopt",
    "unmanaging": "disown", "uploading": "upload", "downloading": "reimage", "retyping": "move", "maintenance": "move",
}  # fmt: skip
LONG = {"creating", "uploading", "downloading", "retyping", "maintenance"}


def go(tx: Connection, cloud: Cloud, volume_id: str, status: str) -> None:
    """Have the work begin that a status stands for, or have the task that is there look at the row again."""
    if not tasks.wake(tx, cloud, volume_id):
        tasks.start(tx, cloud, program, volume_id, seconds_for(status), {}, STEPS[status])


def seconds_for(status: str) -> float:
    """Return how long the work of a status may take."""
    return COPY_SECONDS if status in LONG else ACTION_SECONDS


def step(function: Callable[[Run, Volume], Outcome]) -> Step:
    """Declare a step that is about a volume's row, and that a deletion pre-empts."""

    @wraps(function)
    def run_it(run: Run) -> Outcome:
        with run.cloud.db.read() as tx:
            volume = store.get(tx, run.id)
        if volume is None:
            return Done()
        if volume.status == states.DELETING and function.__name__ not in ("delete", "give_up"):
            return Hop(delete, ACTION_SECONDS)
        return function(run, volume)

    return program.step(run_it)


@step
def begin(run: Run, volume: Volume) -> Outcome:
    """Find what is to be done."""
    if volume.status not in STEPS or (volume.status == states.MAINTENANCE and not volume.aside):
        return Done()
    return Hop(program.steps[STEPS[volume.status]], seconds_for(volume.status))


def finish(run: Run, volume: Volume, **values: Any) -> Outcome:
    """Write down that the work on a volume is over, where it still is what the row at hand says."""
    with run.cloud.db.begin() as tx:
        return Done() if settle(tx, run.cloud, volume, **values) else Hop(begin)


def settle(tx: Connection, cloud: Cloud, volume: Volume, **values: Any) -> bool:
    """Give a volume the status that its attachments say; tells whether nobody changed it meanwhile."""
    status = store.settled_status(tx, volume.id)
    given = {"status": status, "before": "", "aside": None, "updated_at": cloud.clock.now(), **values}
    return store.change_if(tx, volume, **given)


# ---- create


@step
def create(run: Run, volume: Volume) -> Outcome:
    """Choose a back end, have it make the volume, and say that it is there."""
    if volume.status != states.CREATING:
        return Hop(begin)
    if volume.host is None:
        choice = placing.claim(run.cloud, volume)
        if choice.host is None:
            return Fail(choice.why)
        with run.cloud.db.read() as tx:
            now = store.get(tx, volume.id)
        if now is None or now.host is None or now.status != states.CREATING:
            return Hop(begin)
        volume = now
    try:
        contents.make(run.cloud, volume)
    except (contents.Unfit, Fault) as error:
        return Fail(str(error))
    except REFUSALS as error:
        return _refused(run, volume, str(error))
    with run.cloud.db.begin() as tx:
        now_at = run.cloud.clock.now()
        if not settle(tx, run.cloud, volume, launched_at=now_at, reported_error=None):
            return Hop(begin)
        run.cloud.events.publish(tx, run.cloud, "volume.ready", {"volume_id": volume.id, "why": ""})
    return Done()


def _refused(run: Run, volume: Volume, why: str) -> Outcome:
    """Leave nothing on a back end that could not, and look for another."""
    log.warning("volume %s: %s could not make it: %s", volume.id, volume.host, why)
    destroy(run.cloud, volume.host, volume.id)
    aside = volume.aside or {}
    refused = {**aside.get("refused", {}), str(volume.host): why}
    with run.cloud.db.begin() as tx:
        store.change_if(tx, volume, host=None, aside={**aside, "refused": refused})
    return Hop(create)


def destroy(cloud: Cloud, host: str | None, volume_id: str) -> None:
    """Leave nothing of a volume on a host; one that is not there has nothing.

    :raises VolumeDriverError: when the back end cannot.
    :raises HostUnknown: when the back end is not there.
    """
    if host is not None:
        backends.named(cloud, host).destroy(volume_id, wipe(cloud))


def drop_connection(cloud: Cloud, volume: Volume, host: str) -> None:
    """Take the way of the server that has a volume to what is of the volume on a host.  May be repeated.

    :raises VolumeDriverError: when the back end cannot.
    :raises HostUnknown: when the back end is not there.
    """
    if attachment_id := (volume.aside or {}).get("attachment_id"):
        backends.named(cloud, host).disconnect(volume.id, attachment_id)


def wipe(cloud: Cloud) -> Any:
    """Return what deleting does to data."""
    return cloud.settings.volume_wipe


# ---- delete


@step
def delete(run: Run, volume: Volume) -> Outcome:
    """Leave nothing behind: its snapshots go first, then what is on the back end, then the row."""
    if volume.status != states.DELETING:
        return Hop(begin)
    with run.cloud.db.read() as tx:
        if store.is_being_copied(tx, volume.id):
            return Nap(BUSY_SECONDS)
        its_snapshots = snapshots.of_volume(tx, volume.id)
        left = attachment_store.of_volume(tx, volume.id)
    try:
        for snapshot in its_snapshots:
            _drop_snapshot(run.cloud, volume, snapshot)
        for attachment in left:
            attachments.disconnect_from(run.cloud, volume, attachment.id)
        clear_aside(run.cloud, volume)
        for host in {volume.host, (volume.aside or {}).get("from_host")}:
            destroy(run.cloud, host, volume.id)
    except VolumeDriverError as error:
        return Fail(str(error))
    contents.kept_path(run.cloud, volume.id).unlink(missing_ok=True)
    with run.cloud.db.begin() as tx:
        now = store.get(tx, volume.id)
        if now is not None and now.status == states.DELETING:
            forget(tx, run.cloud, now)
    return Done()


def _drop_snapshot(cloud: Cloud, volume: Volume, snapshot: Snapshot) -> None:
    if volume.host is not None:
        backends.of(cloud, volume).drop_snapshot(volume.id, snapshot.id, wipe(cloud))
    with cloud.db.begin() as tx:
        snapshots.remove(tx, snapshot.id)
        keys.forget(tx, snapshot.encryption_key_id)


def forget(tx: Connection, cloud: Cloud, volume: Volume) -> None:
    """Forget a volume's row, its key and all that is said of it."""
    store.remove(tx, volume.id)
    keys.forget(tx, volume.encryption_key_id)
    cloud.events.publish(tx, cloud, "volume.deleted", {"volume_id": volume.id, "project_id": volume.project_id})


# ---- extend, revert


@step
def extend(run: Run, volume: Volume) -> Outcome:
    """Grow a volume, and tell those who use it."""
    if volume.status != states.EXTENDING:
        return Hop(begin)
    if placing.room_gib(run.cloud, str(volume.host)) < 0:
        return _take_back(run, volume)
    try:
        backends.of(run.cloud, volume).ensure(contents.spec_of(volume, contents.luks_key(run.cloud, volume)))
    except (VolumeDriverError, contents.Unfit) as error:
        return Fail(str(error))
    with run.cloud.db.begin() as tx:
        if not settle(tx, run.cloud, volume):
            return Hop(begin)
        attached = store.attachments_of(tx, [volume.id], "attached").get(volume.id, [])
        server_ids = [attachment.server_id for attachment in attached if attachment.server_id]
        facts = {"volume_id": volume.id, "server_ids": server_ids, "size_gib": volume.size_gib}
        run.cloud.events.publish(tx, run.cloud, "volume.extended", facts)
    return Done()


def _take_back(run: Run, volume: Volume) -> Outcome:
    """Leave a volume as it was, for want of room."""
    aside = volume.aside or {}
    with run.cloud.db.begin() as tx:
        if not settle(tx, run.cloud, volume, **aside.get("if_failed", {})):
            return Hop(begin)
        messages.report(
            tx, run.cloud, project_id=volume.project_id, request_id=aside.get("request_id", ""),
            resource_type=messages.VOLUME, resource_uuid=volume.id, action="extend", detail="no-backend",
        )  # fmt: skip
    return Done()


@step
def revert(run: Run, volume: Volume) -> Outcome:
    """Give a volume the content of its latest snapshot again."""
    if volume.status != states.REVERTING:
        return Hop(begin)
    snapshot_id = volume.aside["snapshot_id"]
    try:
        backends.of(run.cloud, volume).revert(volume.id, snapshot_id)
    except VolumeDriverError as error:
        return Fail(str(error))
    with run.cloud.db.begin() as tx:
        if not settle(tx, run.cloud, volume):
            return Hop(begin)
        snapshots.change_if(tx, snapshot_id, ["restoring"], status="available", updated_at=run.cloud.clock.now())
    return Done()


# ---- failure

FAILED = {
    "creating": ("error", "create", "create-failed"),
    "deleting": ("error_deleting", "", ""),
    "extending": ("error_extending", "extend", "extend-failed"),
    "reverting": ("error", "", ""),
    "managing": ("error_managing", "create", "create-failed"),
    "unmanaging": ("error_unmanaging", "unmanage", "unknown"),
    "uploading": ("", "upload", "upload-failed"),
    "downloading": ("error", "reimage", "reimage-failed"),
    "retyping": ("", "", ""),
    "maintenance": ("", "", ""),
}
"""What becomes of a volume whose work failed (empty: what it was before), and the message to the user."""


@step
def give_up(run: Run, volume: Volume) -> Outcome:
    """Say that it failed, and why."""
    if volume.status not in FAILED:
        return Done()
    status, action, detail = FAILED[volume.status]
    why = run.error or "It did not happen in time."
    log.warning("volume %s: %s failed: %s", volume.id, volume.status, why)
    aside = volume.aside or {}
    values: dict[str, Any] = {"status": status or volume.before, "before": "", "aside": None, "reported_error": why}
    values |= aside.get("if_failed", {})
    if "from_host" in aside:
        values["migration_status"] = "success"  # the volume has been moved; what could not be removed stays behind
    elif volume.migration_status not in (None, "success"):
        values["migration_status"] = "error"
    if volume.status == states.CREATING and volume.host is None:
        action, detail = "schedule", "no-backend"
    clear_aside(run.cloud, volume)
    with run.cloud.db.begin() as tx:
        if not store.change_if(tx, volume, updated_at=run.cloud.clock.now(), **values):
            return Hop(begin, ACTION_SECONDS)
        if volume.status == states.REVERTING:
            snapshots.change_if(tx, aside["snapshot_id"], ["restoring"], status="available")
        if action:
            messages.report(
                tx, run.cloud, project_id=volume.project_id, request_id=aside.get("request_id", ""),
                resource_type=messages.VOLUME, resource_uuid=volume.id, action=action, detail=detail,
            )  # fmt: skip
        if volume.status in (states.CREATING, states.DOWNLOADING):
            run.cloud.events.publish(tx, run.cloud, "volume.failed", {"volume_id": volume.id, "why": why})
    return Done()


def clear_aside(cloud: Cloud, volume: Volume) -> None:
    """Leave nothing of what was being made beside a volume where that can be: on other back ends, and as an image."""
    aside = volume.aside or {}
    for host, id in ((aside.get("to_host"), volume.id), (volume.host, aside.get("beside_id"))):
        try:
            if id == volume.id and host is not None:
                drop_connection(cloud, volume, host)
            if id is not None:
                destroy(cloud, host, id)
        except REFUSALS as error:
            log.warning("volume %s: what was made of it on %s stays there: %s", volume.id, host, error)
    if image_id := aside.get("upload_image_id"):
        image_making.fail(cloud, image_id)


program.on_fail(program.steps["give_up"])
