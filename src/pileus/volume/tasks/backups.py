"""The work on backups.  A task exists only while something is under way, one a backup.

    creating --> create --> finish --> available             adopt --> available (an imported record)
    restoring --> await_volume --> check --> write --> available again; so is the volume
    deleting --> erase --> (gone)
    x give_up --> error, available, error_deleting, with the reason in the row and a message to the user

`create`, `check` and `write` note how far they are after each GiB, and go on from there when they are run again.  What is in
use is copied from a snapshot that the back end alone knows, under the backup's id.  A volume that there was before is touched
only after the whole backup has been read and found undamaged.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import tasks
from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Cloud
from pileus.kernel.tasks import Done, Fail, Hop, Nap, Outcome, Program, Run, Step
from pileus.volume import states
from pileus.volume.backup_format import Damaged, Link, Manifest, index_count
from pileus.volume.backup_target import BackupTarget, TargetError, TargetFull
from pileus.volume.backup_targets import Targets
from pileus.volume.driver import Content, VolumeDriverError
from pileus.volume.keys import KeyLost
from pileus.volume.store import backups as store
from pileus.volume.store import volumes
from pileus.volume.store.backups import Backup
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import backends, backup_contents, backup_endings
from pileus.volume.tasks.backup_contents import Progress, Storing, Whole

log = logging.getLogger(__name__)

program = Program("volume.backup")

BASE_SECONDS, SECONDS_PER_GIB = 900.0, 120.0
TURN_SECONDS = 30.0
WAIT_SECONDS = 5.0
TRIES = 5
FINAL: tuple[type[Exception], ...] = (VolumeDriverError, TargetFull, Damaged, KeyLost)
PASSING: tuple[type[Exception], ...] = (TargetError, HostUnknown)
STEPS = {"creating": "create", "restoring": "await_volume", "deleting": "erase"}


def task_id(backup_id: str) -> str:
    """Return the id of a backup's task; users choose the ids of imported backups, so it is not that."""
    return f"backup-{backup_id}"


def go(tx: Connection, cloud: Cloud, backup_id: str, size_gib: int) -> None:
    """Have the work begin that the status stands for, or have the task that is there look at the row again."""
    if not tasks.wake(tx, cloud, task_id(backup_id)):
        tasks.start(tx, cloud, program, task_id(backup_id), seconds_for(size_gib), {})


def seconds_for(size_gib: int) -> float:
    """Return how long a backup of a size, or its restoring, may take: the more, the larger it is."""
    return BASE_SECONDS + SECONDS_PER_GIB * size_gib


def on_volume_made(tx: Connection, cloud: Cloud, facts: Mapping[str, Any]) -> None:
    """Go on with the backup that a volume was made for, whether there is one now or it failed."""
    backup = store.restoring_to(tx, str(facts["volume_id"]))
    if backup is not None:
        backup_endings.take_new_volume(tx, str(facts["volume_id"]))
        tasks.wake(tx, cloud, task_id(backup.id))


def step(function: Callable[[Run, Backup], Outcome]) -> Step:
    """Declare a step that is about a backup's row; what fails for good fails now, what may pass is tried again."""

    @wraps(function)
    def run_it(run: Run) -> Outcome:
        with run.cloud.db.read() as tx:
            backup = store.get(tx, run.id.removeprefix("backup-"))
        if backup is None:
            return Done()
        try:
            return function(run, backup)
        except FINAL as error:
            return Fail(str(error))
        except PASSING as error:
            if run.tries + 1 < TRIES:
                raise
            return Fail(str(error))

    return program.step(run_it)


@step
def begin(run: Run, backup: Backup) -> Outcome:
    """Find what is to be done; one that somebody set to another status is let go of."""
    if backup.status not in STEPS:
        backup_endings.let_go(run.cloud, backup)
        return Done()
    if backup.status == "creating" and backup.digest is not None:
        return Hop(adopt)
    if backup.status == "deleting":
        backup_endings.let_go(run.cloud, backup)
    return Hop(program.steps[STEPS[backup.status]], seconds_for(backup.size_gib))


# ---- create


@step
def create(run: Run, backup: Backup) -> Outcome:
    """Copy content for a while, and come again until all is there."""
    if backup.status != "creating":
        return Hop(begin)
    cloud = run.cloud
    content = _open_source(cloud, backup)
    try:
        target, chain, parent = _chain(cloud, backup)
        storing = Storing(target, content, chain, parent)
        for done in _for_a_while(cloud, backup_contents.store(storing, _progress(run))):
            _note(run, done)
            with cloud.db.begin() as tx:
                now = cloud.clock.now()
                if not store.change_if(tx, backup.id, ["creating"], object_count=done.objects, updated_at=now):
                    return Hop(begin)
        run.memo["size_bytes"] = content.size_bytes
    finally:
        content.close()
    return Hop(create) if _progress(run).index < index_count(run.memo["size_bytes"]) else Hop(finish)


@step
def finish(run: Run, backup: Backup) -> Outcome:
    """Write the manifest, let go of the volume, and say that the backup is there."""
    if backup.status != "creating":
        return Hop(begin)
    cloud = run.cloud
    with cloud.db.read() as tx:
        described = backup_endings.describe(tx, backup)
    target, chain, _ = _chain(cloud, backup)
    done = _progress(run)
    manifest = Manifest(run.memo["size_bytes"], backup.size_gib, done.digest, chain, done.objects + 1, described)
    digest = backup_contents.seal(target, manifest)
    backup_endings.drop_own_snapshot(cloud, backup)
    with cloud.db.begin() as tx:
        values = {"digest": digest, "object_count": manifest.object_count, "updated_at": cloud.clock.now(), "fail_reason": None}
        if not store.change_if(tx, backup.id, ["creating"], status="available", **values):
            return Hop(begin)
        backup_endings.release_source(tx, cloud, backup)
    return Done()


@step
def adopt(run: Run, backup: Backup) -> Outcome:
    """Look whether what an imported record says is there, and is what it says."""
    if backup.status != "creating":
        return Hop(begin)
    target = run.cloud.part(Targets).get(run.cloud)
    if target.service != backup.service:
        return Fail(f"The backup is kept in {backup.service}; backups are kept in {target.service} here.")
    manifest = backup_contents.open_backup(target, link_of(backup), backup.digest).manifest
    values = {"size_gib": manifest.size_gib, "object_count": manifest.object_count, "updated_at": run.cloud.clock.now()}
    with run.cloud.db.begin() as tx:
        store.change_if(tx, backup.id, ["creating"], status="available", **values)
    return Done()


def link_of(backup: Backup) -> Link:
    """Return where a backup keeps its objects."""
    return Link(backup.container, backup.location)


def whole_of(cloud: Cloud, backup: Backup) -> Whole:
    """Open a backup that is there.

    :raises Damaged: when its manifest is missing or wrong.
    :raises TargetError: when the target cannot.
    """
    return backup_contents.open_backup(cloud.part(Targets).get(cloud), link_of(backup), backup.digest or "")


def _chain(cloud: Cloud, backup: Backup) -> tuple[BackupTarget, tuple[Link, ...], Whole | None]:
    """Return where a backup goes, the chain of backups that it ends, and what it is the difference to."""
    target, own = cloud.part(Targets).get(cloud), link_of(backup)
    if backup.parent_id is None:
        return target, (own,), None
    with cloud.db.read() as tx:
        parent = store.get(tx, backup.parent_id)
    if parent is None:
        raise Damaged(f"The backup {backup.parent_id}, to which it is the difference, is gone.")
    whole = whole_of(cloud, parent)
    return target, (*whole.manifest.chain, own), whole


def _open_source(cloud: Cloud, backup: Backup) -> Content:
    """Open what is backed up; of a volume in use, a snapshot, taken at the first time."""
    with cloud.db.read() as tx:
        volume = volumes.get(tx, backup.volume_id)
    if volume is None or volume.host is None or volume.status == states.DELETING:
        raise VolumeDriverError(f"Volume {backup.volume_id} is gone.")
    backend = backends.of(cloud, volume)
    snapshot_id = backup.snapshot_id or ""
    if not snapshot_id and volume.before != states.AVAILABLE:
        snapshot_id = backup.id
        backend.take_snapshot(volume.id, snapshot_id)
    return backend.open(volume.id, snapshot_id)


def _for_a_while(cloud: Cloud, going: Iterator[Progress]) -> Iterator[Progress]:
    until = cloud.clock.now() + TURN_SECONDS
    for done in going:
        yield done
        if cloud.clock.now() > until:
            return


def _progress(run: Run) -> Progress:
    return Progress(*run.memo.get("done", ()))


def _note(run: Run, done: Progress) -> None:
    run.memo["done"] = [done.index, done.digest, done.objects]


# ---- restore


@step
def await_volume(run: Run, backup: Backup) -> Outcome:
    """Wait until a volume that is made for it is there."""
    volume = _target_volume(run.cloud, backup)
    if backup.status != "restoring":
        return Hop(begin)
    if volume is None or volume.status not in (states.CREATING, states.RESTORING):
        return Fail(f"Volume {backup.restore_volume_id} could not be made, or somebody deleted it.")
    if volume.status == states.CREATING:
        return Nap(WAIT_SECONDS)
    return Hop(write if volume.before == states.CREATING else check, seconds_for(backup.size_gib))


@step
def check(run: Run, backup: Backup) -> Outcome:
    """Read all of the backup, before what the volume holds is lost."""
    return _read(run, backup, check, write, writing=False)


@step
def write(run: Run, backup: Backup) -> Outcome:
    """Give the volume the content of the backup."""
    return _read(run, backup, write, settle, writing=True)


def _read(run: Run, backup: Backup, again: Step, after: Step, *, writing: bool) -> Outcome:
    cloud = run.cloud
    volume = _target_volume(cloud, backup)
    if backup.status != "restoring":
        return Hop(begin)
    if volume is None or volume.status != states.RESTORING:
        return Fail(f"Volume {backup.restore_volume_id} is no longer being restored.")
    whole = whole_of(cloud, backup)
    content = backends.of(cloud, volume).open(volume.id, writable=writing)
    try:
        if content.size_bytes < whole.manifest.size_bytes:
            return Fail(f"The backup has {whole.manifest.size_bytes} bytes and the volume {content.size_bytes}.")
        new = volume.before == states.CREATING
        put = backup_contents.writer(content, empty=new) if writing else backup_contents.nowhere
        for done in _for_a_while(cloud, backup_contents.walk(whole, _progress(run), put)):
            _note(run, done)
            with cloud.db.begin() as tx:
                if not store.change_if(tx, backup.id, ["restoring"], updated_at=cloud.clock.now()):
                    return Hop(begin)
        if writing:
            content.flush()
    finally:
        content.close()
    if _progress(run).index < whole.manifest.indexes:
        return Hop(again)
    run.memo.pop("done", None)
    run.memo["writing"] = True  # before the first write, so that it is known whatever happens then
    return Hop(after)


@step
def settle(run: Run, backup: Backup) -> Outcome:
    """Give the volume what else was kept of it, and say that it is there."""
    if backup.status != "restoring":
        return Hop(begin)
    manifest = whole_of(run.cloud, backup).manifest
    with run.cloud.db.begin() as tx:
        volume = volumes.get(tx, backup.restore_volume_id)
        if volume is not None and volume.status == states.RESTORING:
            backup_endings.restored(tx, run.cloud, backup, volume, manifest.volume)
        values: dict[str, Any] = {"restore_volume_id": None, "updated_at": run.cloud.clock.now()}
        store.change_if(tx, backup.id, ["restoring"], status="available", **values)
    return Done()


def _target_volume(cloud: Cloud, backup: Backup) -> Volume | None:
    with cloud.db.read() as tx:
        return volumes.get(tx, backup.restore_volume_id) if backup.restore_volume_id else None


# ---- delete, and failure


@step
def erase(run: Run, backup: Backup) -> Outcome:
    """Delete its objects, unless another record has the same content, then the row with its key."""
    if backup.status != "deleting":
        return Hop(begin)
    with run.cloud.db.read() as tx:
        shared = store.is_content_shared(tx, backup)
    if not shared:
        backup_endings.erase_objects(run.cloud, backup)
    with run.cloud.db.begin() as tx:
        backup_endings.forget(tx, backup)
    return Done()


@step
def give_up(run: Run, backup: Backup) -> Outcome:
    """Leave nothing half, and say why."""
    why = run.error or "It did not happen in time."
    log.warning("backup %s: %s failed: %s", backup.id, backup.status, why)
    if backup.status == "creating":
        backup_endings.creation_failed(run.cloud, backup, why)
    elif backup.status == "restoring":
        backup_endings.restoring_failed(run.cloud, backup, why, written=bool(run.memo.get("writing")))
    elif backup.status == "deleting":
        backup_endings.deletion_failed(run.cloud, backup, why)
    else:
        backup_endings.let_go(run.cloud, backup)
    return Done()


program.on_fail(program.steps["give_up"])
