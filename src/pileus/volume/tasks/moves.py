"""Moving volumes: to another type (retype) and to another back end (migrate).

    move --> (done: the type fits where the volume is)
      '--> carry --> leave --> (done)     content is copied beside, then one write says where the volume is, then the old goes

`aside` of a volume says how far it is: to_host while it is copied, from_host once it is there.
"""

from typing import Any

from sqlalchemy import Connection

from pileus.kernel.context import Cloud
from pileus.kernel.tasks import Done, Fail, Hop, Outcome, Run
from pileus.volume import scheduler, states
from pileus.volume.scheduler import Choice
from pileus.volume.store import types
from pileus.volume.store import volumes as store
from pileus.volume.store.types import Type
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import contents, placing
from pileus.volume.tasks.backends import Gauges
from pileus.volume.tasks.volumes import REFUSALS, begin, destroy, program, settle, step

MOVING = (states.RETYPING, states.MAINTENANCE)
MULTIATTACH = "<is> True"


@step
def move(run: Run, volume: Volume) -> Outcome:
    """Find where the volume has to be; where it is there already, only its type changes."""
    if volume.status not in MOVING or not volume.aside:
        return Hop(begin)
    aside = volume.aside
    if "from_host" in aside:
        return Hop(program.steps["leave"])
    if "to_host" in aside:
        return Hop(program.steps["carry"])
    if volume.status == states.RETYPING and fits(run.cloud, volume, aside["type_id"]):
        return _finish(run, volume)
    with run.cloud.db.read() as tx:
        attached = bool(store.attachments_of(tx, [volume.id]).get(volume.id))
        snapshotted = store.count_snapshots(tx, volume.id) > 0
    if volume.status == states.RETYPING and aside.get("policy") != "on-demand":
        return Fail("The type fits no volume that stays where it is, and the migration policy is not on-demand.")
    if attached or snapshotted:
        return Fail("A volume that is attached or has snapshots is not carried to another back end.")
    choice = find_place(run.cloud, volume, aside)
    if choice.host is None:
        return Fail(choice.why)
    with run.cloud.db.begin() as tx:
        written = store.change_if(
            tx, volume, aside={**aside, "to_host": choice.host, "to_zone": choice.zone}, migration_status="migrating"
        )
    return Hop(program.steps["carry"]) if written else Hop(begin)


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
