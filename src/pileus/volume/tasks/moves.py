"""Moving volumes: to another type (retype) and to another back end (migrate).

    move --> (done: the type fits where the volume is)
      |--> carry --> leave --> (done)     content is copied beside, then one write says where the volume is, then the old goes
      '--> hand_over --> leave            a server has the volume: its host copies it while the guest writes, and tells

`aside` of a volume says how far it is: to_host while it is copied (and connection, by which a server's host reaches the copy),
from_host once it is there.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from pileus.kernel.context import Cloud
from pileus.kernel.tasks import Done, Fail, Hop, Nap, Outcome, Run, Step
from pileus.volume import scheduler, states
from pileus.volume.scheduler import Choice
from pileus.volume.store import attachments as attachment_store
from pileus.volume.store import types
from pileus.volume.store import volumes as store
from pileus.volume.store.attachments import Attachment
from pileus.volume.store.types import Type
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import attachments, backends, contents, placing
from pileus.volume.tasks.backends import Gauges
from pileus.volume.tasks.volumes import REFUSALS, UNABLE, begin, destroy, drop_connection, go, program, settle, step

MOVING = (states.RETYPING, states.MAINTENANCE)
MULTIATTACH = "<is> True"
LOOK_AGAIN_SECONDS = 60.0
NOT_MOVABLE = "Only a volume that one running server of this cloud has is carried to another back end while it is in use."


@step
def move(run: Run, volume: Volume) -> Outcome:
    """Find where the volume has to be; where it is there already, only its type changes."""
    if volume.status not in MOVING or not volume.aside:
        return Hop(begin)
    aside = volume.aside
    if "from_host" in aside:
        return Hop(program.steps["leave"])
    if "to_host" in aside:
        return Hop(_way(run.cloud, volume))
    if volume.status == states.RETYPING and fits(run.cloud, volume, aside["type_id"]):
        return _finish(run, volume)
    with run.cloud.db.read() as tx:
        in_use = bool(attachment_store.of_volume(tx, volume.id))
        snapshotted = store.count_snapshots(tx, volume.id) > 0
    if volume.status == states.RETYPING and aside.get("policy") != "on-demand":
        return Fail("The type fits no volume that stays where it is, and the migration policy is not on-demand.")
    if snapshotted:
        return Fail("A volume that has snapshots is not carried to another back end.")
    choice = find_place(run.cloud, volume, aside)
    if choice.host is None:
        return Fail(choice.why)
    with run.cloud.db.begin() as tx:
        written = store.change_if(
            tx, volume, aside={**aside, "to_host": choice.host, "to_zone": choice.zone}, migration_status="migrating"
        )
    return Hop(program.steps["hand_over" if in_use else "carry"]) if written else Hop(begin)


def _way(cloud: Cloud, volume: Volume) -> Step:
    with cloud.db.read() as tx:
        return program.steps["hand_over" if attachment_store.of_volume(tx, volume.id) else "carry"]


@step
def hand_over(run: Run, volume: Volume) -> Outcome:
    """Make an empty volume on the other back end, and have the host of the server that uses the volume copy it there."""
    aside = volume.aside or {}
    if volume.status not in MOVING or "to_host" not in aside:
        return Hop(begin)
    if "refused" in aside:
        return Fail(aside["refused"])
    with run.cloud.db.read() as tx:
        server = movable(attachment_store.of_volume(tx, volume.id))
        others = server is None and bool(attachment_store.of_volume(tx, volume.id))
    if others:
        return Fail(NOT_MOVABLE)
    if server is None:
        return _alone(run, volume, aside)
    if "connection" in aside:
        return Nap(LOOK_AGAIN_SECONDS)
    try:
        target = backends.named(run.cloud, aside["to_host"])
        target.ensure(contents.spec_of(volume, contents.luks_key(run.cloud, volume)))
        connection = dict(target.connect(volume.id, attachments.connector_of(volume, server)))
    except UNABLE as error:
        return Fail(str(error))
    with run.cloud.db.begin() as tx:
        if not store.change_if(tx, volume, aside={**aside, "connection": connection, "attachment_id": server.id}):
            return Hop(begin)
        facts = {"volume_id": volume.id, "attachment_id": server.id, "server_id": server.server_id}
        run.cloud.events.publish(tx, run.cloud, "volume.move.wanted", facts)
    return Nap(LOOK_AGAIN_SECONDS)


def _alone(run: Run, volume: Volume, aside: dict[str, Any]) -> Outcome:
    """Go on with a volume that its server has given back meanwhile: whatever was copied is copied again."""
    drop_connection(run.cloud, volume, aside["to_host"])
    destroy(run.cloud, aside["to_host"], volume.id)
    left = {key: value for key, value in aside.items() if key not in ("connection", "attachment_id")}
    with run.cloud.db.begin() as tx:
        return Hop(program.steps["carry"]) if store.change_if(tx, volume, aside=left) else Hop(begin)


def movable(found: Sequence[Attachment]) -> Attachment | None:
    """Return the attachment of the one server of this cloud that has a volume and can copy it while it works."""
    alone = found[0] if len(found) == 1 else None
    return alone if alone is not None and alone.of_cloud and alone.status == attachments.ATTACHED else None


def target_of(volume: Volume, attachment_id: str) -> dict[str, Any] | None:
    """Return how a server's host reaches the copy of a volume that is being moved; None: it is not."""
    aside = volume.aside or {}
    meant = volume.status in MOVING and aside.get("attachment_id") == attachment_id and "to_host" in aside
    return aside.get("connection") if meant else None


def moved(tx: Connection, cloud: Cloud, volume: Volume, attachment: Attachment) -> None:
    """Write down that the server that has a volume goes on with the copy."""
    aside = volume.aside or {}
    attachment_store.change(tx, attachment.id, connection=aside["connection"])
    left = {key: value for key, value in aside.items() if key not in ("to_host", "to_zone", "connection")}
    values = {
        "host": aside["to_host"], "availability_zone": aside.get("to_zone") or volume.availability_zone,
        "aside": left | {"from_host": volume.host}, "migration_status": "completing",
    }  # fmt: skip
    store.change(tx, volume.id, **new_type(tx, aside), **values)
    go(tx, cloud, volume.id, volume.status)


def refused(tx: Connection, cloud: Cloud, volume: Volume, why: str) -> None:
    """Write down that the server that has a volume stays with it as it is."""
    store.change(tx, volume.id, aside={**(volume.aside or {}), "refused": why})
    go(tx, cloud, volume.id, volume.status)


@step
def carry(run: Run, volume: Volume) -> Outcome:
    """Copy the content, and say that the volume is there now."""
    aside = volume.aside or {}
    if volume.status not in MOVING or "to_host" not in aside:
        return Hop(begin)
    to_host = aside["to_host"]
    try:
        contents.carry(run.cloud, contents.Origin(str(volume.host), volume.id), volume, to_host)
    except REFUSALS as error:
        return Fail(str(error))
    with run.cloud.db.begin() as tx:
        left = {key: value for key, value in aside.items() if key not in ("to_host", "to_zone")} | {"from_host": volume.host}
        zone = aside.get("to_zone") or volume.availability_zone
        values = {"host": to_host, "availability_zone": zone, "aside": left, "migration_status": "completing"}
        store.change_if(tx, volume, **new_type(tx, aside), **values)
    return Hop(program.steps["move"])


@step
def leave(run: Run, volume: Volume) -> Outcome:
    """Leave nothing where the volume was."""
    aside = volume.aside or {}
    if volume.status not in MOVING or "from_host" not in aside:
        return Hop(begin)
    drop_connection(run.cloud, volume, aside["from_host"])
    destroy(run.cloud, aside["from_host"], volume.id)
    return _finish(run, volume)


def _finish(run: Run, volume: Volume) -> Outcome:
    with run.cloud.db.begin() as tx:
        values = finished(tx, volume)
        return Done() if settle(tx, run.cloud, volume, **values) else Hop(begin)


def finished(tx: Connection, volume: Volume) -> dict[str, Any]:
    """Return what is written down of a volume that has been moved."""
    aside = volume.aside or {}
    values: dict[str, Any] = {"migration_status": "success"} if "from_host" in aside else {}
    if volume.before == states.ERROR:
        values["status"] = states.ERROR
    return values | new_type(tx, aside)


def new_type(tx: Connection, aside: dict[str, Any]) -> dict[str, Any]:
    """Return what is written down of a volume that gets another type."""
    kind = types.get(tx, aside["type_id"]) if "type_id" in aside else None
    if kind is None:
        return {}
    return {"volume_type_id": kind.id, "multiattach": kind.extra_specs.get("multiattach", "") == MULTIATTACH}


def fits(cloud: Cloud, volume: Volume, type_id: str) -> bool:
    """Tell whether a volume of a type may be where the volume is."""
    capacities = cloud.part(Gauges).read(cloud)
    with cloud.db.read() as tx:
        kind = types.get(tx, type_id)
        pool = next((pool for pool in placing.pools(tx, cloud, capacities) if pool.host == volume.host), None)
    return kind is not None and pool is not None and not scheduler.explain_specs(scheduler.capabilities(pool), kind.extra_specs)


def find_place(cloud: Cloud, volume: Volume, aside: dict[str, Any]) -> Choice:
    """Return the back end that a volume is to be carried to: the one that is wanted, or any that fits its new type."""
    capacities = cloud.part(Gauges).read(cloud, fresh=True)
    with cloud.db.read() as tx:
        kind: Type | None = types.get(tx, aside.get("type_id") or volume.volume_type_id or "")
        pools = placing.pools(tx, cloud, capacities)
    only = frozenset({aside["wanted_host"]}) if "wanted_host" in aside else None
    request = scheduler.Request(
        volume.size_gib, specs=kind.extra_specs if kind else {}, only=only, avoid=frozenset({str(volume.host)})
    )
    return scheduler.pick(pools, request)
