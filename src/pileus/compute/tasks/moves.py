"""The work on servers that go to another host while they are off: a cold migration, or a resize that needs another host.

    leave --> arrive --> (resized)      confirm --> (active)      go_back --> (as before)
       '---------'--> fall_back --> (as before)

The row says where the guest is: until its disks have come whole to the other host, and volumes and ports have been let go of,
here; from then on there.  Here its files stay until the user confirms, so the way back needs nothing from there; but the guest
never starts again here before it is gone from there, or that host is known to be down (back again, it learns what it lost).

What a move needs to know stands in the row's `aside`: `before` (columns to go back to), and in `move` the migration's number and
ticket, the host and zone it goes to, and the columns from then on (`after`).
"""

import contextlib
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from pileus.compute import neighbours, states
from pileus.compute.driver import Power
from pileus.compute.moving import Luggage
from pileus.compute.store import hosts, migrations, server_volumes
from pileus.compute.store import servers as store
from pileus.compute.store.migrations import Held
from pileus.compute.store.servers import Server
from pileus.compute.tasks import disks, guests
from pileus.compute.tasks.servers import ACTION_SECONDS, ANY_FAILURE, FAILURES, begin, program, step
from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Cloud
from pileus.kernel.errors import Unavailable
from pileus.kernel.tasks import Done, Fail, Hop, Outcome, Run

__all__ = ["arrive", "confirm", "fall_back", "go_back", "leave", "program"]

MOVE_SECONDS = 6 * 3600.0
ROOM = ("vcpus", "memory_mib", "disk_gib")
GONE: tuple[type[Exception], ...] = (HostUnknown, Unavailable)


@step
def leave(run: Run, server: Server) -> Outcome:
    """Stop the guest and have the other host take in its disks; from then on it is there."""
    if server.task_state != "resize_migrating" or not is_moving(server):
        return Hop(begin)
    cloud, move = run.cloud, server.aside["move"]
    note(cloud, move["id"], "migrating")
    try:
        guests.ensure(cloud, server, "off")
        _hand_over(cloud, server, move["host"])
        disks.disconnect(cloud, server.id)
    except ANY_FAILURE as error:
        return Fail(str(error))
    now = cloud.clock.now()
    held = Held(str(server.host), server.vcpus, server.memory_mib, server.disk_gib)
    values = {"host": move["host"], "availability_zone": move["zone"], "power_state": states.SHUTDOWN, "updated_at": now}
    with cloud.db.begin() as tx:
        if not store.change_if(tx, server, task_state="resize_finish", **values, **move["after"]):
            return Hop(begin)
        migrations.change(tx, move["id"], now, status="post-migrating")
        migrations.hold(tx, move["id"], held)
        neighbours.network.bind(tx, cloud, guests.staying(server), move["host"])
        guests.log_event(tx, cloud, server, event="compute_resize_instance")
    return Hop(arrive, ACTION_SECONDS)


def _hand_over(cloud: Cloud, server: Server, target: str) -> None:
    """Have another host take in the guest's disks."""
    here: Any = guests.hypervisor(cloud, str(server.host))
    there: Any = guests.hypervisor(cloud, target)
    spec = guests.make_spec(cloud, server, [], disks.own(cloud, server), "off")
    directory = Path(cloud.settings.state_dir) / "leaving"
    directory.mkdir(mode=0o700, exist_ok=True)
    luggage: Luggage = here.pack(server.id, server.aside["move"]["ticket"], str(directory))
    try:
        there.unpack(spec, luggage)
    finally:
        for parcel in () if luggage.origin else luggage.files:
            luggage.path(parcel.name).unlink(missing_ok=True)


@step
def arrive(run: Run, server: Server) -> Outcome:
    """Start the guest where it is now; where it was stays as it is until the user confirms."""
    if server.task_state != "resize_finish":
        return Hop(begin)
    power, values = as_before(server)
    try:
        _ensure(run.cloud, server, power)
    except FAILURES as error:
        return Fail(str(error))
    return finish(run.cloud, server, "finished", "compute_finish_resize", **{**values, "vm_state": "resized", "fault": None})


@step
def confirm(run: Run, server: Server) -> Outcome:
    """Remove what is left of the guest where it was."""
    if server.task_state != "resize_confirming":
        return Hop(begin)
    clear(run.cloud, server.aside["before"]["host"], server.id)
    vm_state = "stopped" if server.power_state == states.SHUTDOWN else "active"
    return finish(run.cloud, server, "confirmed", "compute_confirm_resize", vm_state=vm_state, aside=None, fault=None)


@step
def go_back(run: Run, server: Server) -> Outcome:
    """Let go of the guest where it is, and start it where it was, with its disks as they were then."""
    if server.task_state != "resize_reverting" or not is_moving(server):
        return Hop(begin)
    if server.host != server.aside["before"]["host"]:
        return _return(run, server, go_back, "compute_revert_resize")
    power, values = as_before(server)
    try:
        _ensure(run.cloud, server, power)
    except FAILURES as error:
        return Fail(str(error))
    return finish(run.cloud, server, "reverted", "compute_finish_revert_resize", **values, aside=None, fault=None)


@step
def fall_back(run: Run, server: Server) -> Outcome:
    """Have the guest be as it was before a move that failed, and say why that did."""
    if server.task_state not in ("resize_migrating", "resize_finish") or not is_moving(server):
        return Hop(begin)
    cloud, move, why = run.cloud, server.aside["move"], run.memo.get("why") or run.error
    if server.host != server.aside["before"]["host"]:
        return _return(run, server, fall_back, "", task_state="resize_migrating")
    with contextlib.suppress(HostUnknown):  # it was never started there; what came of its disks goes when that host is back
        guests.hypervisor(cloud, move["host"]).destroy(server.id)
    power, values = as_before(server)
    try:
        _ensure(cloud, server, power)
    except FAILURES as error:
        why = f"{why} It could not be started again where it was: {error}"
        values = {"vm_state": "error", "power_state": states.NOSTATE}
    fault = {"code": 500, "message": why[:255], "details": why, "created_at": cloud.clock.now()}
    return finish(cloud, server, "error", "", why, **values, aside=None, fault=fault)


def is_moving(server: Server) -> bool:
    """Tell whether a server is going, or has gone and may go back, to another host."""
    return bool((server.aside or {}).get("move"))


def as_before(server: Server) -> tuple[Power, dict[str, Any]]:
    """Return whether the guest ran before, and the states of a server that goes back to that."""
    if server.aside["vm_state"] == "stopped":
        return "off", {"vm_state": "stopped", "power_state": states.SHUTDOWN}
    return "on", {"vm_state": "active", "power_state": states.RUNNING}


def _ensure(cloud: Cloud, server: Server, power: Power) -> None:
    """Make the guest be so where the row says, with ways from there to all its volumes."""
    with cloud.db.read() as tx:
        rows = server_volumes.of(tx, server.id)
    joining = [row.id for row in rows if row.state in disks.CONNECTED] if power == "on" else []
    guests.ensure(cloud, server, power, change=disks.Change(joining))


def _return(run: Run, server: Server, then: Any, event: str, **more: Any) -> Outcome:
    """Write down that a guest is where it was before, once it is gone from where it went."""
    cloud, move, before = run.cloud, server.aside["move"], server.aside["before"]
    clear(cloud, str(server.host), server.id)
    disks.disconnect(cloud, server.id)
    with cloud.db.begin() as tx:
        if not store.change_if(tx, server, **before, **more, updated_at=cloud.clock.now()):
            return Hop(begin)
        migrations.hold(tx, move["id"], None)
        neighbours.network.bind(tx, cloud, guests.staying(server), before["host"])
        if event:
            guests.log_event(tx, cloud, server, event=event)
    return Hop(then)


def clear(cloud: Cloud, host: str, server_id: str) -> None:
    """Leave nothing of a guest on a host.  One that is known to be down learns of it when it is back.

    :raises HostUnknown: when the host does not answer and may be up, or Unavailable.
    """
    try:
        guests.hypervisor(cloud, host).destroy(server_id)
    except GONE:
        with cloud.db.read() as tx:
            found = hosts.find(tx, name=host)
        if found is not None and found.is_up(cloud.clock.now()):
            raise


def finish(cloud: Cloud, server: Server, status: str, event: str, error: str = "", **values: Any) -> Outcome:
    """Write down that the work is done: what the server is now, and how the move went."""
    now = cloud.clock.now()
    with cloud.db.begin() as tx:
        if not store.change_if(tx, server, task_state=None, updated_at=now, **values):
            return Hop(begin)
        end(tx, server, status, now)
        guests.log_event(tx, cloud, server, error, event)
    return Done()


def end(tx: Connection, server: Server, status: str, now: float) -> None:
    """Write down how the move of a server went; what is held for it is free again, except where it may go back."""
    move = server.aside["move"]
    migrations.change(tx, move["id"], now, status=status)
    if status != "finished":
        migrations.hold(tx, move["id"], None)


def note(cloud: Cloud, id: int, status: str) -> None:
    """Write down how far a migration is."""
    with cloud.db.begin() as tx:
        migrations.change(tx, id, cloud.clock.now(), status=status)
