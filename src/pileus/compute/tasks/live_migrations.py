"""The work on servers that go to another host while they run.

    make_ready --> cross --> take_over --> clear --> (as before, there)
        '------------'--> stay_here --> (as before, here)          any of them --(its time is over)--> late

The guest itself is the truth, and the hosts' drivers see to it that it runs in one place: there only once it has left here for
good, here again only when the other host has refused it.  The row follows: its host is the other one from the moment on that the
guest is there.  Until then the other host has the room (a migration holds it), the ports with their taps and ways to the volumes
beside this one; from then on this one has them, until it is cleared.

What is needed stands in the row's `aside`, under `live`: the migration's number, both hosts and the zone, the request, whether it
`moved`, what the server was (`vm_state`), and the second attachment of each volume (`attachments`, by the id of its row): that of
the other host, then that of this one.  The steps go by that and not by the server's states, which an administrator may set.
"""

import logging
from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import Connection

from pileus.compute import neighbours, states
from pileus.compute.driver import GuestSpec, LiveMigrator, Passage
from pileus.compute.store import migrations, server_volumes
from pileus.compute.store import servers as store
from pileus.compute.store.migrations import Held
from pileus.compute.store.servers import Server
from pileus.compute.tasks import disks, guests, moves
from pileus.compute.tasks.servers import ACTION_SECONDS, ANY_FAILURE, FAILURES, begin, program, step
from pileus.kernel.context import Cloud, cloud_itself
from pileus.kernel.tasks import NO_DEADLINE, Done, Hop, Nap, Outcome, Run

__all__ = ["clear", "cross", "late", "make_ready", "program", "stay_here", "take_over"]

log = logging.getLogger(__name__)

MIGRATING = "migrating"
CROSS_SECONDS = 1800.0
SLACK_SECONDS = 120.0
LOOK_SECONDS, PAUSE_SECONDS = 0.5, 0.02
ABORT, HURRY = "abort", "hurry"
EVENT = "compute_live_migration"
AT_TARGET, AT_SOURCE = "compute_post_live_migration_at_destination", "compute_rollback_live_migration"


def plan_of(server: Server) -> dict[str, Any] | None:
    """Return what is known of a server's way to another host; None: it is on none."""
    found: dict[str, Any] | None = (server.aside or {}).get("live")
    return found


def migrator(cloud: Cloud, host: str) -> LiveMigrator:
    """Return the driver of a host as that of one whose guests can move.  :raises HostUnknown: when it is not there."""
    return cast(LiveMigrator, guests.hypervisor(cloud, host))


@step
def make_ready(run: Run, server: Server) -> Outcome:
    """Have the other host await the guest: ways to its volumes, taps, disks and a process; and have this one send it."""
    plan = plan_of(server)
    if plan is None:
        return Hop(begin)
    if ABORT in run.signals:
        return _turn_back(run, "It was aborted.", "cancelled")
    cloud = run.cloud
    moves.note(cloud, plan["id"], "preparing")
    try:
        here, there = migrator(cloud, plan["source"]), migrator(cloud, plan["host"])
        machine = here.describe(server.id)
        _reserve_ways(cloud, server)
        spec = _spec_there(cloud, server)
        here.send(server.id, there.receive(spec, machine), CROSS_SECONDS)
    except ANY_FAILURE as error:
        return _turn_back(run, str(error), "error")
    moves.note(cloud, plan["id"], "running")
    return Hop(cross, CROSS_SECONDS + SLACK_SECONDS)


def _reserve_ways(cloud: Cloud, server: Server) -> None:
    """Keep the server's volumes for it a second time, and say to the network where its ports are about to come."""
    with cloud.db.begin() as tx:
        now = store.get(tx, server.id)
        plan = plan_of(now) if now is not None else None
        if now is None or plan is None:
            return
        second = dict(plan["attachments"])
        for row in server_volumes.of(tx, server.id):
            if row.id not in second and row.state in disks.CONNECTED:
                ctx = cloud_itself(cloud, server.project_id)
                second[row.id] = neighbours.volumes.reserve(tx, ctx, row.volume_id, server.id, device=row.device_name)
        store.change(tx, server.id, aside={**now.aside, "live": {**plan, "attachments": second}})
        neighbours.network.expect(tx, cloud, guests.staying(server), plan["host"])


def _spec_there(cloud: Cloud, server: Server) -> GuestSpec:
    """Return how the guest is to be on the other host, once its ports and the ways to its volumes are there."""
    with cloud.db.read() as tx:
        now = store.get(tx, server.id) or server
        rows = server_volumes.of(tx, server.id)
    plan = plan_of(now) or {"attachments": {}, "host": ""}
    nics = neighbours.network.plug_there(cloud, guests.staying(server))
    found = list(disks.own(cloud, server))
    for row in rows:
        if attachment_id := plan["attachments"].get(row.id):
            found.append(disks.volume_disk(server, row, neighbours.volumes.connect(cloud, attachment_id, plan["host"])))
            with cloud.db.begin() as tx:
                neighbours.volumes.attached(tx, cloud, attachment_id, row.device_name)
    return guests.make_spec(cloud, server, nics, tuple(found), "paused" if server.vm_state == "paused" else "on")


@step
def cross(run: Run, server: Server) -> Outcome:
    """Follow the guest until it has left, and do what is asked of it on the way."""
    plan = plan_of(server)
    if plan is None:
        return Hop(begin)
    if plan["moved"]:
        return Hop(take_over)
    if ABORT in run.signals:
        return _turn_back(run, "It was aborted.", "cancelled")
    here = migrator(run.cloud, plan["source"])
    try:
        if HURRY in run.signals:
            here.hurry(server.id)
            run.lower(HURRY)
        seen = here.passage(server.id, run.memo.get("stage", ""), LOOK_SECONDS)
    except FAILURES as error:
        return _turn_back(run, str(error), "failed")
    if seen is None or seen.stage == "failed":
        return _turn_back(run, seen.why if seen else "The guest's host knows nothing of it.", "failed")
    if seen.stage in ("switching", "gone") and run.memo.get("rerouted") != plan["id"]:
        run.memo["rerouted"] = plan["id"]
        neighbours.network.reroute(run.cloud, guests.staying(server), plan["host"])
    _note_progress(run.cloud, plan, seen)
    if seen.stage == "gone":
        return Hop(take_over, CROSS_SECONDS)
    run.memo["stage"] = seen.stage
    return Nap(PAUSE_SECONDS)


def _note_progress(cloud: Cloud, plan: Mapping[str, Any], seen: Passage) -> None:
    values = {
        f"{what}_{part}": getattr(seen, f"{what}_{part}_bytes")
        for what in ("memory", "disk")
        for part in ("total", "processed", "remaining")
        if seen.memory_total_bytes or what == "disk"
    }
    with cloud.db.begin() as tx:
        migrations.change(tx, plan["id"], cloud.clock.now(), **values)


@step
def take_over(run: Run, server: Server) -> Outcome:
    """Have the guest run where it has come to, and say everywhere that it is there."""
    plan = plan_of(server)
    if plan is None:
        return Hop(begin)
    there = migrator(run.cloud, plan["host"])
    try:
        there.arrive(server.id)
    except FAILURES as error:
        return _turn_back(run, str(error), "error")
    if not plan["moved"] and not _write_moved(run.cloud, server, plan):
        return Hop(take_over)
    neighbours.network.tell_where(run.cloud, guests.staying(server))
    try:
        whole = there.arrive(server.id, LOOK_SECONDS)
    except FAILURES as error:
        return _turn_back(run, str(error), "error")
    return Hop(clear, ACTION_SECONDS) if whole else Nap(PAUSE_SECONDS)


def _write_moved(cloud: Cloud, server: Server, plan: dict[str, Any]) -> bool:
    """Write down that the guest is there: its row, ports, volumes, and the room, which is held here now."""
    now = cloud.clock.now()
    with cloud.db.begin() as tx:
        first = {row.id: row.attachment_id for row in server_volumes.of(tx, server.id) if row.id in plan["attachments"]}
        live = {**plan, "moved": True, "attachments": first}
        values = {"host": plan["host"], "availability_zone": plan["zone"], "updated_at": now}
        if not store.change_if(tx, server, aside={**server.aside, "live": live}, **values):
            return False
        for row_id, attachment_id in plan["attachments"].items():
            server_volumes.change(tx, row_id, attachment_id=attachment_id)
        neighbours.network.expect(tx, cloud, guests.staying(server), "")
        neighbours.network.bind(tx, cloud, guests.staying(server), plan["host"])
        migrations.change(tx, plan["id"], now, status="post-migrating")
        migrations.hold(tx, plan["id"], _room(server, plan["source"]))
        guests.log_event(tx, cloud, server, "", EVENT, plan["request_id"])
    return True


@step
def clear(run: Run, server: Server) -> Outcome:
    """Leave nothing of the guest where it was, and end well."""
    plan = plan_of(server)
    if plan is None:
        return Hop(begin)
    if not plan["moved"]:
        return Hop(take_over)
    moves.clear(run.cloud, plan["source"], server.id)
    return _end(run, server, "completed")


@step
def stay_here(run: Run, server: Server) -> Outcome:
    """Find out where the guest is when it did not go over as it should, and have it be there."""
    plan = plan_of(server)
    if plan is None:
        return Hop(begin)
    cloud, why = run.cloud, run.memo.get("why") or run.error
    try:
        if plan["moved"]:
            migrator(cloud, plan["host"]).arrive(server.id)
            return Hop(take_over, CROSS_SECONDS)
        if not _is_refused(cloud, server, plan):
            return Hop(take_over, CROSS_SECONDS)
        if run.memo.get("rerouted") == plan["id"]:
            neighbours.network.reroute(cloud, guests.staying(server), plan["source"])
        migrator(cloud, plan["source"]).stay(server.id, refused=True)
    except moves.GONE:
        raise  # it is found out when the host is back
    except ANY_FAILURE as error:
        place = plan["host"] if plan["moved"] else plan["source"]
        lost = f"The guest was lost on host {place}: {error}"
        return _end(run, server, "error", lost if why in lost else f"{why} {lost}", vm_state="error")
    return _end(run, server, run.memo.get("status", "failed"), why)


def _is_refused(cloud: Cloud, server: Server, plan: Mapping[str, Any]) -> bool:
    """Have the other host await the guest no longer; tells whether it is not there.

    Where that host does not answer, this one is asked whether the guest has left: if not, it is made to stay.

    :raises HostUnknown: when that cannot be found out.
    """
    try:
        return migrator(cloud, plan["host"]).refuse(server.id)
    except moves.GONE:
        here = migrator(cloud, plan["source"])
        seen = here.passage(server.id)
        if seen is not None and seen.stage == "gone":
            raise
        here.stay(server.id)
        return True


@step
def late(run: Run, server: Server) -> Outcome:
    """End what took too long.

    Hosts that do not answer keep it from ending: then that is said, and it ends when they do.
    """
    plan = plan_of(server)
    if plan is None:
        return Hop(begin)
    if plan["moved"] and _is_there(run.cloud, server, plan):
        log.warning("server %s: host %s does not answer and keeps what was its guest's", server.id, plan["source"])
        return _end(run, server, "completed", told=False)
    if not run.memo.get("late"):
        run.memo["late"] = True
        return Hop(stay_here, ACTION_SECONDS)
    place, now = plan["host"] if plan["moved"] else plan["source"], run.cloud.clock.now()
    why = f"{run.memo.get('why', '')} Not every host answers; as far as is known the guest is on {place}.".strip()
    fault = {"code": 500, "message": why[:255], "details": why, "created_at": now}
    with run.cloud.db.begin() as tx:
        values: dict[str, Any] = {"vm_state": "error", "fault": fault, "updated_at": now}
        if store.change_if(tx, server, **values, task_state=None if server.task_state == MIGRATING else server.task_state):
            migrations.change(tx, plan["id"], now, status="error")
    return Hop(stay_here, NO_DEADLINE)


def _is_there(cloud: Cloud, server: Server, plan: Mapping[str, Any]) -> bool:
    try:
        return migrator(cloud, plan["host"]).arrive(server.id)
    except (*FAILURES, *moves.GONE):
        return False


def _turn_back(run: Run, why: str, status: str) -> Outcome:
    run.memo["why"], run.memo["status"] = why, status
    return Hop(stay_here, ACTION_SECONDS)


def _end(run: Run, server: Server, status: str, why: str = "", told: bool = True, **values: Any) -> Outcome:
    """Write down that the move is over, and let go of what the other of both hosts had.

    :param told: whether back ends are told now that it goes to no volumes any more.
    """
    cloud, plan = run.cloud, plan_of(server)
    assert plan is not None
    for attachment_id in plan["attachments"].values() if told else ():
        disks.disconnect_one(cloud, attachment_id)
    now = cloud.clock.now()
    rest = {key: value for key, value in server.aside.items() if key != "live"}
    values = {"aside": rest or None, "updated_at": now, **values}
    if "vm_state" in values:
        fault = {"code": 500, "message": why[:255], "details": why, "created_at": now}
        values |= {"fault": fault, "power_state": states.NOSTATE}
    elif run.memo.get("late") and server.vm_state == "error":
        values |= {"fault": None, "vm_state": plan["vm_state"]}
    if server.task_state == MIGRATING:
        values["task_state"] = None
    with cloud.db.begin() as tx:
        if not store.change_if(tx, server, **values):
            return Hop(begin)
        _let_go(tx, cloud, server, plan)
        migrations.change(tx, plan["id"], now, status=status)
        migrations.hold(tx, plan["id"], None)
        event = EVENT if not plan["moved"] and why else AT_TARGET if plan["moved"] else AT_SOURCE
        guests.log_event(tx, cloud, server, why, event, plan["request_id"])
    for name in (ABORT, HURRY):
        run.lower(name)
    return Done() if values.get("vm_state") == "error" else Hop(begin, ACTION_SECONDS)


def _let_go(tx: Connection, cloud: Cloud, server: Server, plan: Mapping[str, Any]) -> None:
    neighbours.network.expect(tx, cloud, guests.staying(server), "")
    for attachment_id in plan["attachments"].values():
        neighbours.volumes.release(tx, cloud, attachment_id)


def _room(server: Server, host: str) -> Held:
    return Held(host, server.vcpus, server.memory_mib, server.disk_gib)
