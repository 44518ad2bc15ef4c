"""Taking in what lies on a back end already (manage), and letting go of what stays there (unmanage): volumes and snapshots."""

from typing import Any

from pileus.kernel.context import Cloud
from pileus.kernel.tasks import Done, Fail, Hop, Outcome, Run
from pileus.volume import states
from pileus.volume.driver import Adopter, VolumeDriverError
from pileus.volume.store import snapshots as snapshot_store
from pileus.volume.store import volumes as store
from pileus.volume.store.snapshots import Snapshot
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import backends
from pileus.volume.tasks import snapshots as snapshot_work
from pileus.volume.tasks import volumes as volume_work
from pileus.volume.tasks.volumes import REFUSALS, settle


def adopter(cloud: Cloud, host: str) -> Adopter:
    """Return the driver of a host that can adopt.

    :raises VolumeDriverError: when its kind cannot.
    :raises HostUnknown: when it is not there.
    """
    found: Any = backends.named(cloud, host)
    if not hasattr(found, "adopt_volume"):
        raise VolumeDriverError(f"{host} cannot take in what lies there already.")
    chosen: Adopter = found
    return chosen


@volume_work.step
def adopt(run: Run, volume: Volume) -> Outcome:
    """Make something a volume, and see how large it is."""
    if volume.status != states.MANAGING:
        return Hop(volume_work.begin)
    try:
        backend = adopter(run.cloud, str(volume.host))
        seen = backends.of(run.cloud, volume).observe(volume.id)
        size_gib = seen.size_gib if seen else backend.adopt_volume(volume.aside["reference"], volume.id)
    except REFUSALS as error:
        return Fail(str(error))
    with run.cloud.db.begin() as tx:
        now = run.cloud.clock.now()
        written = settle(tx, run.cloud, volume, size_gib=size_gib, launched_at=now, counts=True)
    return Done() if written else Hop(volume_work.begin)


@volume_work.step
def disown(run: Run, volume: Volume) -> Outcome:
    """Let go of a volume, which stays on the back end."""
    if volume.status != states.UNMANAGING:
        return Hop(volume_work.begin)
    try:
        if backends.of(run.cloud, volume).observe(volume.id) is not None:
            adopter(run.cloud, str(volume.host)).disown_volume(volume.id)
    except REFUSALS as error:
        return Fail(str(error))
    with run.cloud.db.begin() as tx:
        now = store.get(tx, volume.id)
        if now is not None and now.status == states.UNMANAGING:
            volume_work.forget(tx, run.cloud, now)
    return Done()


@snapshot_work.step
def adopt_snapshot(run: Run, snapshot: Snapshot) -> Outcome:
    """Make something a snapshot of a volume."""
    volume = _volume_of(run.cloud, snapshot)
    if snapshot.status != "managing":
        return Hop(snapshot_work.begin)
    try:
        if volume is None or volume.host is None:
            return Fail("Its volume is nowhere.")
        seen = backends.of(run.cloud, volume).observe(volume.id)
        size_gib = snapshot.size_gib
        if seen is None or snapshot.id not in seen.snapshots:
            backend = adopter(run.cloud, volume.host)
            size_gib = backend.adopt_snapshot(volume.id, str(run.memo["reference"]), snapshot.id)
    except REFUSALS as error:
        return Fail(str(error))
    with run.cloud.db.begin() as tx:
        values = {"status": "available", "progress": "100%", "size_gib": size_gib, "updated_at": run.cloud.clock.now()}
        written = snapshot_store.change_if(tx, snapshot.id, ["managing"], **values)
    return Done() if written else Hop(snapshot_work.begin)


@snapshot_work.step
def disown_snapshot(run: Run, snapshot: Snapshot) -> Outcome:
    """Let go of a snapshot, which stays on the back end."""
    volume = _volume_of(run.cloud, snapshot)
    if snapshot.status != "unmanaging":
        return Hop(snapshot_work.begin)
    try:
        if volume is not None and volume.host is not None:
            seen = backends.of(run.cloud, volume).observe(volume.id)
            if seen is not None and snapshot.id in seen.snapshots:
                adopter(run.cloud, volume.host).disown_snapshot(volume.id, snapshot.id)
    except REFUSALS as error:
        return Fail(str(error))
    with run.cloud.db.begin() as tx:
        now = snapshot_store.get(tx, snapshot.id)
        if now is not None and now.status == "unmanaging":
            snapshot_work.forget(tx, run.cloud, now)
    return Done()


def _volume_of(cloud: Cloud, snapshot: Snapshot) -> Volume | None:
    with cloud.db.read() as tx:
        return store.get(tx, snapshot.volume_id)
