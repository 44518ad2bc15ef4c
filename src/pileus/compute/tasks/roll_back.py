"""What becomes of a volume that could not be attached to a server, or detached: all is as it was before it was asked for."""

import logging

from pileus.compute import neighbours
from pileus.compute.store import server_volumes as store
from pileus.compute.store.server_volumes import Mapped
from pileus.compute.store.servers import Server
from pileus.compute.tasks import disks, guests
from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Cloud
from pileus.kernel.errors import Fault

log = logging.getLogger(__name__)

REFUSALS: tuple[type[Exception], ...] = (Fault, HostUnknown, *neighbours.volumes.REFUSALS)


def undo_attach(cloud: Cloud, server: Server, row: Mapped, why: str) -> None:
    """Give a volume back that the guest did not get.  May be repeated.

    :raises VolumeDriverError: when its back end cannot take the way to it back.
    """
    disks.disconnect_one(cloud, row.attachment_id)
    with cloud.db.begin() as tx:
        if store.change_if(tx, row, request_id=""):
            disks.release_one(tx, cloud, row)
            guests.log_event(tx, cloud, server, why, "compute_attach_volume", row.request_id)


def keep(cloud: Cloud, server: Server, row: Mapped, why: str) -> None:
    """Leave a volume attached that the guest did not let go of.  May be repeated."""
    with cloud.db.begin() as tx:
        if store.change_if(tx, row, state="attached", request_id=""):
            neighbours.volumes.abort_detach(tx, cloud, row.attachment_id)
            guests.log_event(tx, cloud, server, why, "compute_detach_volume", row.request_id)


def stay(cloud: Cloud, server: Server, row: Mapped, why: str) -> None:
    """Leave a volume where it is that was to be moved to another back end.  May be repeated."""
    log.warning("server %s: volume %s is not moved: %s", server.id, row.volume_id, why)
    with cloud.db.begin() as tx:
        if store.change_if(tx, row, state="attached"):
            neighbours.volumes.refuse_move(tx, cloud, row.attachment_id, why)


def give_back(cloud: Cloud, server: Server, row: Mapped) -> None:
    """Let go of a volume that the guest has let go of.  May be repeated.

    :raises VolumeDriverError: when its back end cannot take the way to it back.
    """
    disks.disconnect_one(cloud, row.attachment_id)
    with cloud.db.begin() as tx:
        if store.change_if(tx, row, request_id=""):
            disks.release_one(tx, cloud, row)
            guests.log_event(tx, cloud, server, "", "compute_detach_volume", row.request_id)


def roll_back(cloud: Cloud, server: Server, why: str) -> bool:
    """Take back what is under way with the volumes of a server, its time being over; tells whether anything was."""
    with cloud.db.read() as tx:
        rows = [row for row in store.of(tx, server.id) if row.state in store.PENDING]
    for row in rows:
        if row.state == "detaching" and not row.forced and _holds(cloud, server, row):
            keep(cloud, server, row, why)
            continue
        if row.state == "moving":
            stay(cloud, server, row, why)
            continue
        _cut(cloud, server, row)
        with cloud.db.begin() as tx:
            if store.change_if(tx, row, request_id=""):
                disks.release_one(tx, cloud, row)
                event = "compute_attach_volume" if row.state == "attaching" else "compute_detach_volume"
                guests.log_event(tx, cloud, server, why, event, row.request_id)
    return bool(rows)


def _holds(cloud: Cloud, server: Server, row: Mapped) -> bool:
    """Tell whether the guest has a volume still; so it is believed as long as its host does not say otherwise."""
    if server.host is None:
        return False
    try:
        seen = guests.hypervisor(cloud, server.host).observe(server.id)
    except Exception as error:  # whatever it is: the volume stays attached
        log.warning("server %s: its host does not say which volumes its guest has: %s", server.id, error)
        return True
    return seen is not None and disks.id_of(row) in seen.disks


def _cut(cloud: Cloud, server: Server, row: Mapped) -> None:
    """Unplug a volume and take the way to it, as far as its host and back end can still be talked to."""
    power = guests.power_of(server)
    try:
        if server.host is not None and power is not None:
            guests.ensure(cloud, server, power, change=disks.Change(leaving=[row.id], fresh=False))
    except Exception as error:  # whatever it is: the volume is given back
        log.warning("server %s: its guest may hold volume %s still: %s", server.id, row.volume_id, error)
    try:
        disks.disconnect_one(cloud, row.attachment_id)
    except REFUSALS as error:
        log.warning("attachment %s of server %s is given back with a way to it left: %s", row.attachment_id, server.id, error)
