"""The work on the volumes of servers: waiting until they are made, attaching, detaching; and what the volume service tells.

    place --> fill --> boot            a server that is being built waits for its volumes, woken by news of them
    plug --> plug --> (done)           one volume after another is plugged into the guest or unplugged

A guest that does not let go of a volume, as one that is just starting, is asked again for some minutes; the others go first.
A volume that goes to another back end is copied by the host of its server, which looks up every few seconds for other work.
What fails is undone (`roll_back`): a volume is never half attached, and its server goes on as it was.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.compute import neighbours, states
from pileus.compute.store import server_actions, server_volumes
from pileus.compute.store import servers as store
from pileus.compute.store.server_actions import Asked
from pileus.compute.store.server_volumes import Mapped
from pileus.compute.store.servers import Server
from pileus.compute.tasks import disks, guests
from pileus.compute.tasks.disks import LOOK_AGAIN_SECONDS, UNMADE, Change
from pileus.compute.tasks.roll_back import give_back, keep, stay, undo_attach
from pileus.compute.tasks.servers import ANY_FAILURE, begin, boot, go, program, step
from pileus.kernel import ids, tasks
from pileus.kernel.context import Cloud
from pileus.kernel.tasks import Done, Fail, Hop, Nap, Outcome, Run

__all__ = ["fill", "plug", "program"]

UNPLUG_TRIES = 10
ASK_AGAIN_SECONDS = 5.0
COPY_SLICE_SECONDS, COPY_PAUSE_SECONDS = 2.0, 0.05
COPY_SECONDS = 6 * 3600.0


@step
def fill(run: Run, server: Server) -> Outcome:
    """Wait until the volumes of a server are made."""
    if server.task_state != "block_device_mapping":
        return Hop(begin)
    waits = False
    with run.cloud.db.read() as tx:
        for row in server_volumes.of(tx, server.id):
            status = disks.status(tx, run.cloud, server, row)
            if not status or status.startswith("error") or status == "deleting":
                now = f"its status is {status}" if status else "it is gone"
                return Fail(f"Volume {row.volume_id} did not finish being created: {now}.")
            waits = waits or status in UNMADE
    if waits:
        return Nap(LOOK_AGAIN_SECONDS)
    seconds = float(run.cloud.settings.boot_timeout_seconds)
    with run.cloud.db.begin() as tx:
        written = store.change_if(tx, server, task_state="spawning", updated_at=run.cloud.clock.now())
    return Hop(boot, seconds) if written else Hop(begin)


@step
def plug(run: Run, server: Server) -> Outcome:
    """Attach or detach the next volume for which that was asked."""
    if server.task_state is not None:
        return Hop(begin)
    with run.cloud.db.read() as tx:
        pending = [row for row in server_volumes.of(tx, server.id) if row.state in server_volumes.PENDING]
    if not pending:
        return Done()
    tries: dict[str, int] = run.memo.get("tries", {})
    row = min(pending, key=lambda row: tries.get(row.id, 0))
    if row.state == "attaching":
        _attach(run, server, row)
        return Hop(plug)
    if row.state == "moving":
        if _move(run, server, row):
            return Hop(plug)
        run.memo["tries"] = {**tries, row.id: UNPLUG_TRIES}
        return Nap(COPY_PAUSE_SECONDS) if row.id in tries else Hop(plug, COPY_SECONDS)
    if _detach(run, server, row, tries.get(row.id, 0) + 1):
        return Hop(plug)
    run.memo["tries"] = tries = {**tries, row.id: tries.get(row.id, 0) + 1}
    return Nap(ASK_AGAIN_SECONDS) if all(each.id in tries for each in pending) else Hop(plug)


def _attach(run: Run, server: Server, row: Mapped) -> None:
    power = guests.power_of(server)
    if server.host is None or power is None:
        return undo_attach(run.cloud, server, row, f"The server is {server.vm_state} now.")
    try:
        guests.ensure(run.cloud, server, power, change=Change(joining=[row.id], fresh=False))
    except ANY_FAILURE as error:
        _unplug(run.cloud, server, row)
        return undo_attach(run.cloud, server, row, str(error))
    with run.cloud.db.begin() as tx:
        if server_volumes.change_if(tx, row, state="attached", request_id=""):
            neighbours.volumes.attached(tx, run.cloud, row.attachment_id, row.device_name)
            guests.log_event(tx, run.cloud, server, "", "compute_attach_volume", row.request_id)
    return None


def _unplug(cloud: Cloud, server: Server, row: Mapped) -> str:
    """Have the guest let go of a volume; returns why it did not."""
    power = guests.power_of(server)
    if server.host is None or power is None:
        return "" if server.host is None else f"The server is {server.vm_state} now."
    try:
        guests.ensure(cloud, server, power, change=Change(leaving=[row.id], fresh=False))
    except ANY_FAILURE as error:
        return str(error)
    return ""


def _detach(run: Run, server: Server, row: Mapped, tries: int) -> bool:
    """Take a volume from its server, or leave it; tells whether that is settled."""
    why = _unplug(run.cloud, server, row)
    if not why or row.forced:
        give_back(run.cloud, server, row)
    elif tries < UNPLUG_TRIES and guests.power_of(server) == "on":
        return False
    else:
        keep(run.cloud, server, row, why)
    return True


def _move(run: Run, server: Server, row: Mapped) -> bool:
    """Have the guest go over to where its volume is carried to, or leave it; tells whether that is settled."""
    with run.cloud.db.read() as tx:
        reached = neighbours.volumes.target_of_move(tx, run.cloud, row.attachment_id)
    why = _why_not_moved(server) if reached else "The move was given up."
    if why or reached is None:
        stay(run.cloud, server, row, why)
        return True
    host: Any = guests.hypervisor(run.cloud, str(server.host))
    new = disks.volume_disk(server, row, reached, ahead=1)
    try:
        if not host.swap_disk(server.id, disks.id_of(row), new, COPY_SLICE_SECONDS):
            return False
    except ANY_FAILURE as error:
        stay(run.cloud, server, row, str(error))
        return True
    with run.cloud.db.begin() as tx:
        if server_volumes.change_if(tx, row, state="attached", moves=row.moves + 1):
            neighbours.volumes.moved(tx, run.cloud, row.attachment_id)
    return True


def _why_not_moved(server: Server) -> str:
    if server.host is None or server.vm_state not in states.ALLOWED["swap_volume"] or guests.power_of(server) == "off":
        return f"Instance {server.id} is in vm_state {server.vm_state}: only a guest that runs can copy its volume."
    return ""


# ---- what the volume service tells


def move_wanted(tx: Connection, cloud: Cloud, facts: Mapping[str, Any]) -> None:
    """Have a guest go over to where its volume is carried to; one that does not run stays, and so does its volume."""
    row = server_volumes.of_attachment(tx, str(facts["attachment_id"]))
    server = store.get(tx, row.server_id) if row is not None else None
    if row is None or server is None:
        return
    why = _why_not_moved(server) or ("" if row.state == "attached" else f"The volume is {row.state}.")
    if why:
        neighbours.volumes.refuse_move(tx, cloud, row.attachment_id, why)
    elif server_volumes.change_if(tx, row, state="moving"):
        go(tx, cloud, server.id, step="plug")


def volume_settled(tx: Connection, cloud: Cloud, facts: Mapping[str, Any]) -> None:
    """Wake the servers that wait for a volume."""
    for row in server_volumes.of_volume(tx, str(facts["volume_id"])):
        tasks.wake(tx, cloud, row.server_id)


def volume_extended(tx: Connection, cloud: Cloud, facts: Mapping[str, Any]) -> None:
    """Let the disks of servers grow with their volume."""
    for row in server_volumes.of_volume(tx, str(facts["volume_id"])):
        grow(tx, cloud, row, int(facts["size_gib"]))


def grow(tx: Connection, cloud: Cloud, row: Mapped, size_gib: int, asked: Asked | None = None) -> None:
    """Have a server's disk be as large as its volume is now."""
    server = store.get(tx, row.server_id)
    if server is None:
        return
    server_volumes.change(tx, row.id, size_gib=size_gib)
    if server.host is None or row.state == "attaching":
        return
    now = cloud.clock.now()
    told = asked or Asked("extend_volume", ids.request_id(), "", server.project_id, now)
    server_actions.add(tx, [server.id], told)
    go(tx, cloud, server.id, step="mend")


def attachment_expired(tx: Connection, cloud: Cloud, facts: Mapping[str, Any]) -> None:
    """Give what is under way with a volume more time, for so long as the server's own task, which has a deadline, sees to it.

    What no server knows of is taken back by the volume service.
    """
    row = server_volumes.of_attachment(tx, str(facts["attachment_id"]))
    if row is not None and store.get(tx, row.server_id) is not None:
        neighbours.volumes.prolong(tx, cloud, row.attachment_id)
        go(tx, cloud, row.server_id)


def detach_wanted(tx: Connection, cloud: Cloud, facts: Mapping[str, Any]) -> None:
    """Take a volume from its server, whether the guest lets go of it or not."""
    row = server_volumes.of_attachment(tx, str(facts["attachment_id"]))
    if row is not None:
        _force(tx, cloud, row)


def volume_deleted(tx: Connection, cloud: Cloud, facts: Mapping[str, Any]) -> None:
    """Take a volume from its servers that is no more."""
    for row in server_volumes.of_volume(tx, str(facts["volume_id"])):
        _force(tx, cloud, row)


def _force(tx: Connection, cloud: Cloud, row: Mapped) -> None:
    server = store.get(tx, row.server_id)
    if server is None or server.task_state == "deleting":
        return
    if server.host is None:
        disks.release_one(tx, cloud, row)
        return
    server_volumes.change(tx, row.id, state="detaching", forced=True, request_id="")
    go(tx, cloud, server.id, step="plug")


def attachment_deleted(tx: Connection, cloud: Cloud, facts: Mapping[str, Any]) -> None:
    """Unplug a volume whose attachment was taken from its server behind its back."""
    detach_wanted(tx, cloud, facts)


def subscribe(events: Any) -> None:
    """Listen to the volume service."""
    events.subscribe("volume.ready", volume_settled)
    events.subscribe("volume.failed", volume_settled)
    events.subscribe("volume.snapshot.ready", volume_settled)
    events.subscribe("volume.snapshot.failed", volume_settled)
    events.subscribe("volume.extended", volume_extended)
    events.subscribe("volume.deleted", volume_deleted)
    events.subscribe("volume.attachment.expired", attachment_expired)
    events.subscribe("volume.attachment.deleted", attachment_deleted)
    events.subscribe("volume.detach.wanted", detach_wanted)
    events.subscribe("volume.move.wanted", move_wanted)
