"""The work on servers.  A task exists only while something is under way; between, `tasks.watch` follows the hosts.

    place --> fill --> boot --> (done)     begin reads the row and goes where its task_state points, so that a task that
      ^  <----'  a host refused            was woken or lost its place finds back; mend is where nothing is asked
      '--> give_up --> (done)

    power, reboot, rebuild, capture, mend --> (done)      any step --(row says deleting)--> destroy --> (done)

`shapes` has further steps: those that change a server's form.

Each step looks at the row first, and writes its result only where the row still says what it said.
"""

import logging
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from pileus.compute import neighbours, states
from pileus.compute.driver import DriverError
from pileus.compute.store import migrations, server_volumes
from pileus.compute.store import servers as store
from pileus.compute.store.servers import Server
from pileus.compute.tasks import disks, guests, placing
from pileus.compute.tasks.reimage import reimage
from pileus.compute.tasks.roll_back import roll_back
from pileus.compute.tasks.steps import POWER, STEPS, UNHARMED, WAY_BACK
from pileus.kernel import tasks
from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Cloud
from pileus.kernel.errors import NotFound
from pileus.kernel.tasks import NO_DEADLINE, Done, Fail, Hop, Nap, Outcome, Program, Run, Step

log = logging.getLogger(__name__)

DESTROY_SECONDS = 300.0
ACTION_SECONDS = 300.0
LOST_RACE_SECONDS = 0.05

REFUSED: tuple[type[Exception], ...] = (DriverError, *neighbours.network.REFUSALS, *neighbours.volumes.REFUSALS)
REFUSALS: tuple[type[Exception], ...] = (HostUnknown, *REFUSED)
# A host that does not answer is no failure: it may be back before the deadline, and may have done what it was asked for.
FAILURES: tuple[type[Exception], ...] = (NotFound, *REFUSED)
ANY_FAILURE: tuple[type[Exception], ...] = (NotFound, *REFUSALS)

program = Program("compute.server")


def go(tx: Connection, cloud: Cloud, server_id: str, memo: dict[str, Any] | None = None, step: str = "") -> None:
    """Have the work on a server begin, or look at its row again."""
    if not tasks.wake(tx, cloud, server_id):
        seconds = float(cloud.settings.boot_timeout_seconds) if step == "place" else ACTION_SECONDS
        tasks.start(tx, cloud, program, server_id, seconds, memo or {}, step)


def step(function: Callable[[Run, Server], Outcome]) -> Step:
    """Declare a step that is about a server's row, and that a deletion pre-empts."""

    @wraps(function)
    def run_it(run: Run) -> Outcome:
        with run.cloud.db.read() as tx:
            server = store.get(tx, run.id)
        if server is None:
            return Done()
        if server.task_state == "deleting" and function.__name__ not in ("destroy", "give_up"):
            return Hop(destroy, DESTROY_SECONDS)
        outcome = function(run, server)
        return _unless_pending(run, outcome) if isinstance(outcome, Done) else outcome

    return program.step(run_it)


def _unless_pending(run: Run, done: Done) -> Outcome:
    """Go on with the volumes that are to be attached or detached before the work is over."""
    with run.cloud.db.read() as tx:
        pending = server_volumes.has_pending(tx, run.id)
    return Hop(program.steps["plug"], ACTION_SECONDS) if pending else done


@step
def begin(run: Run, server: Server) -> Outcome:
    """Find what is to be done."""
    task_state = server.task_state or ""
    if task_state in POWER:
        return Hop(power)
    return Hop(program.steps[STEPS.get(task_state, "mend")])


@step
def place(run: Run, server: Server) -> Outcome:
    """Claim room on a host, and tell the network where the ports will be."""
    if server.task_state != "scheduling":
        return Hop(begin)
    refused: dict[str, str] = server.wanted_host.get("refused", {})
    now = run.cloud.clock.now()
    with run.cloud.db.begin() as tx:
        choice = placing.claim(tx, run.cloud, server, refused)
        if choice.host:
            task_state = "block_device_mapping" if server_volumes.has_pending(tx, server.id) else "spawning"
            values = {"host": choice.host, "availability_zone": choice.zone, "task_state": task_state, "updated_at": now}
            if not store.change_if(tx, server, **values):
                return Hop(begin)
            neighbours.network.bind(tx, run.cloud, guests.staying(server), choice.host)
    if not choice.host:
        return Fail(choice.why)
    return Hop(boot) if task_state == "spawning" else Hop(program.steps["fill"])


@step
def boot(run: Run, server: Server) -> Outcome:
    """Have the host start the guest."""
    if server.task_state != "spawning":
        return Hop(begin)
    try:
        with run.cloud.db.read() as tx:
            joining = [row.id for row in server_volumes.of(tx, server.id)]
        guests.ensure(run.cloud, server, "on", run.memo.get("admin_password", ""), disks.Change(joining))
    except NotFound as error:
        return Fail(error.message)
    except REFUSALS as error:
        return _refused(run, server, str(error))
    launched = {"launched_at": run.cloud.clock.now(), "vm_state": "active", "power_state": states.RUNNING, "fault": None}
    return Done() if guests.finish_start(run.cloud, server, **launched) else Hop(begin)


def _refused(run: Run, server: Server, why: str) -> Outcome:
    """Take everything back from a host that could not, and look for another."""
    undo(run.cloud, server)
    refused = {**server.wanted_host.get("refused", {}), str(server.host): why}
    values = {"host": None, "availability_zone": None, "task_state": "scheduling", "updated_at": run.cloud.clock.now()}
    with run.cloud.db.begin() as tx:
        if store.change_if(tx, server, wanted_host={**server.wanted_host, "refused": refused}, **values):
            neighbours.network.unbind(tx, run.cloud, guests.staying(server))
    return Hop(place)


def undo(cloud: Cloud, server: Server) -> None:
    """Leave nothing of a server on its host, nor where room is held for it, nor a way from there to its volumes.

    :raises DriverError: when the host cannot.
    :raises VolumeDriverError: when a volume's back end cannot.
    """
    if server.host is None:
        return
    with cloud.db.read() as tx:
        places = [server.host, *migrations.held_hosts(tx, server.id)]
    for place in places:
        try:
            guests.hypervisor(cloud, place).destroy(server.id)
        except HostUnknown:
            log.info("server %s: host %s has left and has taken its guests along", server.id, place)
    disks.disconnect(cloud, server.id)


@step
def power(run: Run, server: Server) -> Outcome:
    """Start, stop, pause, suspend, and back."""
    if server.task_state not in POWER:
        return Hop(begin)
    wanted, vm_state = POWER[server.task_state]
    try:
        guests.ensure(run.cloud, server, wanted)
    except FAILURES as error:
        return Fail(str(error))
    values = {"vm_state": vm_state, "power_state": states.POWER[wanted], "fault": None}
    if server.launched_at is None and wanted == "on":
        values["launched_at"] = run.cloud.clock.now()
    return Done() if guests.finish(run.cloud, server, **values) else Hop(begin)


@step
def reboot(run: Run, server: Server) -> Outcome:
    """Start the guest again; hard also brings back one that is off, paused or gone."""
    if server.task_state not in ("rebooting", "rebooting_hard"):
        return Hop(begin)
    host = guests.hypervisor(run.cloud, str(server.host))
    try:
        seen = host.observe(server.id)
        if seen is not None and seen.power == "on":
            host.reboot(server.id, hard=server.task_state == "rebooting_hard")
        elif seen is not None and seen.power in ("paused", "suspended"):
            host.reboot(server.id, hard=True)
        guests.ensure(run.cloud, server, "on")
    except FAILURES as error:
        return Fail(str(error))
    values = {"vm_state": "active", "power_state": states.RUNNING, "fault": None}
    return Done() if guests.finish(run.cloud, server, **values) else Hop(begin)


@step
def rebuild(run: Run, server: Server) -> Outcome:
    """Throw the guest's disks away and make it anew, of the image that stands in the row now."""
    if server.task_state != "rebuilding":
        return Hop(begin)
    if (server.aside or {}).get("move"):
        return Hop(program.steps["evacuate"])
    stopped = server.vm_state == "stopped"
    try:
        guests.hypervisor(run.cloud, str(server.host)).destroy(server.id)
        if server.aside and "reimage" in server.aside and (waits := reimage(run.cloud, server)):
            return waits
        guests.ensure(run.cloud, server, "on", run.memo.get("admin_password", ""))
        if stopped:
            guests.ensure(run.cloud, server, "off")
    except FAILURES as error:
        return Fail(str(error))
    values: dict[str, Any] = {"fault": None, "launched_at": run.cloud.clock.now(), "aside": None}
    values |= {"vm_state": "stopped", "power_state": states.SHUTDOWN} if stopped else {}
    values = {"vm_state": "active", "power_state": states.RUNNING} | values
    return Done() if guests.finish_start(run.cloud, server, **values) else Hop(begin)


@step
def capture(run: Run, server: Server) -> Outcome:
    """Make an image of the first disk; the image has its name and its row already."""
    if server.task_state not in ("image_snapshot", "image_backup"):
        return Hop(begin)
    image_id, disk_format = server.aside["image_id"], server.aside["disk_format"]
    if "snapshots" in server.aside:
        return _capture_volumes(run, server)
    host = guests.hypervisor(run.cloud, str(server.host))
    try:
        neighbours.images.fill_image(run.cloud, image_id, disk_format, lambda path: host.capture(server.id, path, disk_format))
    except FAILURES as error:
        return Fail(str(error))
    if "rotation" in server.aside:
        neighbours.images.rotate_backups(
            run.cloud, server.project_id, server.id, server.aside["backup_type"], server.aside["rotation"]
        )
    return Done() if guests.finish(run.cloud, server, aside=None) else Hop(begin)


def _capture_volumes(run: Run, server: Server) -> Outcome:
    """Wait until the volumes are snapshotted; the image that names the snapshots has no content of its own."""
    with run.cloud.db.read() as tx:
        found = {id: neighbours.volumes.snapshot_status(tx, id) for id in server.aside["snapshots"]}
    if lost := [id for id, status in found.items() if status not in ("creating", "available")]:
        return Fail(f"Snapshot {lost[0]} could not be taken.")
    if "creating" in found.values():
        return Nap(disks.LOOK_AGAIN_SECONDS)
    try:
        neighbours.images.fill_image(run.cloud, server.aside["image_id"], "raw", lambda path: Path(path).touch())
    except ANY_FAILURE as error:
        return Fail(str(error))
    return Done() if guests.finish(run.cloud, server, aside=None) else Hop(begin)


@step
def mend(run: Run, server: Server) -> Outcome:
    """Make the guest as the row says where nothing is asked: its NICs, and its power after the host was away."""
    if server.task_state is not None:
        return Hop(begin)
    wanted = guests.power_of(server)
    if server.host is None or wanted is None:
        return Done()
    leaving = [nic for nic in server.nics if nic.get("leaving")]
    guests.ensure(run.cloud, server, wanted)
    with run.cloud.db.begin() as tx:
        now = store.get(tx, server.id)
        if now is None or now.nics != server.nics:
            return Hop(begin)
        if leaving:
            neighbours.network.release(tx, run.cloud, server.id, leaving)
            store.change(tx, server.id, nics=[nic for nic in server.nics if not nic.get("leaving")])
        store.change_if(tx, server, power_state=states.POWER[wanted])
        guests.log_event(tx, run.cloud, server)
    return Done()


@step
def destroy(run: Run, server: Server) -> Outcome:
    """Leave nothing behind."""
    undo(run.cloud, server)
    with run.cloud.db.read() as tx:
        if not run.memo.get("destroyed_late") and disks.unmade(tx, run.cloud, server):
            return Nap(disks.LOOK_AGAIN_SECONDS)
    now = run.cloud.clock.now()
    gone = {"deleted_at": now, "terminated_at": now, "updated_at": now, "vm_state": "deleted", "task_state": None}
    with run.cloud.db.begin() as tx:
        if store.get(tx, server.id) is None:
            return Done()
        neighbours.network.release(tx, run.cloud, server.id, server.nics)
        disks.release(tx, run.cloud, server)
        migrations.close(tx, server.id, now)
        store.change(tx, server.id, power_state=states.NOSTATE, **gone)
        guests.log_event(tx, run.cloud, server)
    if image_id := (server.aside or {}).get("image_id"):
        _forget_image(run.cloud, server, image_id)
    return Done()


def _forget_image(cloud: Cloud, server: Server, image_id: str) -> None:
    """Let go of an image that holds a server that is away, or that was just being made of it."""
    disks.drop_snapshots(cloud, server)
    if server.vm_state == "shelved_offloaded":
        neighbours.images.delete_image(cloud, server.project_id, image_id)
    else:
        neighbours.images.drop_image(cloud, image_id)


@step
def give_up(run: Run, server: Server) -> Outcome:
    """Show why it failed; of a server that never ran, leave nothing but its row."""
    if server.task_state == "deleting":
        return _give_up_deleting(run, server)
    why = run.error or "It did not happen in time."
    if (server.aside or {}).get("live"):
        run.memo.setdefault("why", why)
        return Hop(program.steps["late"], ACTION_SECONDS)
    if server.task_state in WAY_BACK and (server.aside or {}).get("move") and "why" not in run.memo:
        run.memo["why"] = why
        return Hop(program.steps[WAY_BACK[server.task_state]], ACTION_SECONDS)
    if server.task_state is None and server.vm_state != "error" and roll_back(run.cloud, server, why):
        return Done()
    if server.task_state is None and server.vm_state == "error" and server.launched_at is None:
        pass  # shown already; what is left is to take everything back
    elif not _show_fault(run.cloud, server, str(run.memo.get("why") or why)):
        return Hop(begin, NO_DEADLINE)
    if server.aside and "image_id" in server.aside and server.vm_state != "shelved_offloaded":
        disks.drop_snapshots(run.cloud, server)
        neighbours.images.drop_image(run.cloud, server.aside["image_id"])
    if server.launched_at is not None:
        return Done()
    undo(run.cloud, server)
    with run.cloud.db.begin() as tx:
        now = store.get(tx, server.id)
        if now is not None and now.task_state is None:
            neighbours.network.release(tx, run.cloud, server.id, server.nics)
            disks.release(tx, run.cloud, server)
            store.change(tx, server.id, host=None, nics=[])
    return Done()


def _show_fault(cloud: Cloud, server: Server, why: str) -> bool:
    """Write a failure down; a server whose guest is still as it was keeps its state."""
    with cloud.db.begin() as tx:
        now = cloud.clock.now()
        fault = {"code": 500, "message": why[:255], "details": why, "created_at": now}
        before = (server.aside or {}).get("before", {}) if server.task_state == "resize_migrating" else {}
        values = {"vm_state": "error", "aside": None, **before} if server.task_state not in UNHARMED else {}
        values |= {} if server.task_state in ("unshelving", "resize_confirming") else {"aside": None}
        written = store.change_if(tx, server, task_state=None, fault=fault, updated_at=now, **values)
        if written:
            if server.task_state in migrations.AFTER:
                migrations.note(tx, server, "error", now)
                migrations.release(tx, server.id)
            guests.log_event(tx, cloud, server, error=why)
    return written


def _give_up_deleting(run: Run, server: Server) -> Outcome:
    """Try once more when this is where a build failed; else show why it cannot be deleted, so that one can ask again."""
    if not run.memo.get("destroyed_late"):
        run.memo["destroyed_late"] = True
        return Hop(destroy, DESTROY_SECONDS)
    _show_fault(run.cloud, server, run.error or "It was not deleted in time.")
    return Done()


program.on_fail(program.steps["give_up"])


def port_deleted(tx: Connection, cloud: Cloud, facts: Mapping[str, Any]) -> None:
    """Take a NIC whose port someone deleted from its server."""
    server = store.get(tx, str(facts["device_id"])) if facts["device_id"] else None
    if server is None or server.task_state == "deleting" or server.vm_state == "error":
        return  # the port goes because the server does
    kept = [nic for nic in server.nics if nic["port_id"] != facts["id"] or nic.get("leaving")]
    if len(kept) == len(server.nics):
        return
    store.change(tx, server.id, nics=kept)
    if server.host and server.task_state is None:
        go(tx, cloud, server.id, step="mend")
