"""The work on servers whose host is gone.

    evacuate (--> wait_until_halted --> evacuate) --> settle_in --> (active or stopped)
        '------------------------------------------------'--> stay_behind --> (error, where it was)

The row says where the server is: on the host that is gone until its ports and volumes have been let go of there, then on the
other.  Until it is whole there, what is left of it on the old host is not given up.
"""

from typing import Any

from pileus.compute import neighbours, states
from pileus.compute.store import migrations, server_volumes
from pileus.compute.store import servers as store
from pileus.compute.store.migrations import Held
from pileus.compute.store.servers import Server
from pileus.compute.tasks import disks, guests, moves
from pileus.compute.tasks.moves import is_moving
from pileus.compute.tasks.servers import ACTION_SECONDS, ANY_FAILURE, FAILURES, begin, program, step
from pileus.kernel.tasks import Done, Fail, Hop, Nap, Outcome, Run

__all__ = ["evacuate", "program", "settle_in", "stay_behind", "wait_until_halted"]

LOOK_SECONDS = 5.0


@step
def evacuate(run: Run, server: Server) -> Outcome:
    """Take its volumes from the host that is gone, and have the server and its ports be on the other."""
    if server.task_state != "rebuilding" or not is_moving(server):
        return Hop(begin)
    cloud, move, now = run.cloud, server.aside["move"], run.cloud.clock.now()
    if (wait := run.memo.pop("not_before", 0.0) - now) > 0:
        run.memo["not_before"] = now + wait
        return Hop(wait_until_halted, wait + ACTION_SECONDS)
    try:
        disks.disconnect(cloud, server.id)
        guests.hypervisor(cloud, move["host"]).destroy(server.id)  # what it left there when it was there before
    except ANY_FAILURE as error:
        return Fail(str(error))
    values = {"host": move["host"], "availability_zone": move["zone"], "updated_at": now, **move["after"]}
    with cloud.db.begin() as tx:
        if not store.change_if(tx, server, task_state="rebuild_spawning", **values):
            return Hop(begin)
        migrations.change(tx, move["id"], now, status="pre-migrating")
        migrations.hold(tx, move["id"], Held(str(server.host), 0, 0, 0))
        neighbours.network.bind(tx, cloud, guests.staying(server), move["host"])
    return Hop(settle_in, float(cloud.settings.boot_timeout_seconds))


@step
def wait_until_halted(run: Run, server: Server) -> Outcome:
    """Let the time pass in which its host, if it is only cut off, may run it still."""
    if server.task_state != "rebuilding" or not is_moving(server):
        return Hop(begin)
    wait = run.memo.get("not_before", 0.0) - run.cloud.clock.now()
    return Nap(min(wait, LOOK_SECONDS)) if wait > 0 else Hop(evacuate, ACTION_SECONDS)


@step
def settle_in(run: Run, server: Server) -> Outcome:
    """Make the guest anew, of its image."""
    if server.task_state != "rebuild_spawning" or not is_moving(server):
        return Hop(begin)
    power, values = moves.as_before(server)
    with run.cloud.db.read() as tx:
        rows = server_volumes.of(tx, server.id)
    joining = [row.id for row in rows if row.state in disks.CONNECTED] if power == "on" else []
    try:
        guests.ensure(run.cloud, server, power, run.memo.get("admin_password", ""), disks.Change(joining))
    except FAILURES as error:
        return Fail(str(error))
    values |= {"launched_at": run.cloud.clock.now(), "aside": None, "fault": None}
    return moves.finish(run.cloud, server, "done", "compute_rebuild_instance", **values)


@step
def stay_behind(run: Run, server: Server) -> Outcome:
    """Leave a server on the host that is gone which no other could make anew, and say why."""
    if server.task_state not in ("rebuilding", "rebuild_spawning") or not is_moving(server):
        return Hop(begin)
    cloud, move, before = run.cloud, server.aside["move"], server.aside["before"]
    moves.clear(cloud, move["host"], server.id)
    disks.disconnect(cloud, server.id)
    why = str(run.memo.get("why") or run.error)
    now = cloud.clock.now()
    fault = {"code": 500, "message": why[:255], "details": why, "created_at": now}
    values: dict[str, Any] = {"vm_state": "error", "power_state": states.NOSTATE, "fault": fault, "aside": None}
    with cloud.db.begin() as tx:
        if not store.change_if(tx, server, task_state=None, updated_at=now, **before, **values):
            return Hop(begin)
        moves.end(tx, server, "failed", now)
        neighbours.network.bind(tx, cloud, guests.staying(server), before["host"])
        guests.log_event(tx, cloud, server, why)
    return Done()
