"""What a server's row means for its host: the guest's specification, and the calls that make it so."""

import logging
from typing import Any

from sqlalchemy import Connection

from pileus.compute import guest_data, neighbours, states
from pileus.compute.driver import DiskSpec, GuestSpec, Hypervisor, NicSpec, Power
from pileus.compute.store import migrations, server_actions, server_volumes
from pileus.compute.store import servers as store
from pileus.compute.store.servers import Server
from pileus.compute.tasks import disks
from pileus.compute.tasks.disks import Change
from pileus.kernel.context import Cloud

log = logging.getLogger(__name__)

NO_CHANGE = Change()

POWER_OF: dict[str, Power] = {
    "active": "on", "paused": "paused", "suspended": "suspended", "stopped": "off", "building": "on", "rescued": "on",
}  # fmt: skip

EVENTS = {
    "create": "compute__do_build_and_run_instance",
    "delete": "compute_terminate_instance",
    "start": "compute_start_instance",
    "stop": "compute_stop_instance",
    "reboot": "compute_reboot_instance",
    "pause": "compute_pause_instance",
    "unpause": "compute_unpause_instance",
    "suspend": "compute_suspend_instance",
    "resume": "compute_resume_instance",
    "rebuild": "compute_rebuild_instance",
    "evacuate": "compute_rebuild_instance",
    "createImage": "compute_snapshot_instance",
    "createBackup": "compute_backup_instance",
    "resize": "compute_resize_instance",
    "confirmResize": "compute_confirm_resize",
    "revertResize": "compute_revert_resize",
    "migrate": "compute_finish_resize",
    "live-migration": "compute_live_migration",
    "rescue": "compute_rescue_instance",
    "unrescue": "compute_unrescue_instance",
    "shelve": "compute_shelve_instance",
    "unshelve": "compute_unshelve_instance",
    "attach_interface": "compute_attach_interface",
    "detach_interface": "compute_detach_interface",
    "attach_volume": "compute_attach_volume",
    "detach_volume": "compute_detach_volume",
    "extend_volume": "compute_extend_volume",
}


def hypervisor(cloud: Cloud, host: str) -> Hypervisor:
    """Return the driver of a host.

    :raises HostUnknown: when it is not there.
    """
    found: Hypervisor = cloud.bus.host(host, "hypervisor")
    return found


def staying(server: Server) -> list[str]:
    """Return the ports of a server, in order, without those that are being detached."""
    return [nic["port_id"] for nic in server.nics if not nic.get("leaving")]


def ensure(cloud: Cloud, server: Server, power: Power, admin_password: str = "", change: Change = NO_CHANGE) -> None:
    """Have the host make the guest as the row says.

    :raises DriverError: when the hypervisor cannot.
    :raises NetworkDriverError: when the network cannot.
    :raises VolumeDriverError: when a volume cannot be reached.
    :raises NotFound: when the image is gone, or a volume.
    :raises HostUnknown: when the host is.
    """
    host = str(server.host)
    nics = neighbours.network.plug(cloud, staying(server))
    log.info("server %s: its ports are ready on %s", server.id, host)
    its_disks = disks.specify(cloud, server, power, change)
    hypervisor(cloud, host).ensure(make_spec(cloud, server, nics, its_disks, power, admin_password))


def make_spec(
    cloud: Cloud,
    server: Server,
    nics: list[neighbours.network.Nic],
    its_disks: tuple[DiskSpec, ...],
    power: Power,
    password: str = "",
) -> GuestSpec:
    """Return how the guest of a server is to be."""
    files = None
    if server.config_drive:
        with cloud.db.read() as tx:
            volumes = server_volumes.of(tx, server.id)
        facts = guest_data.Facts(server, nics, cloud.settings.dns_domain, password, volumes)
        files = guest_data.config_drive(facts)
    return GuestSpec(
        id=server.id,
        name=f"instance-{server.id[:8]}",
        vcpus=server.flavor["vcpus"],
        memory_mib=server.flavor["ram"],
        disks=its_disks,
        nics=tuple(NicSpec(nic.port_id, nic.mac, nic.tap, nic.mtu) for nic in nics),
        config_drive=files,
        power=power,
    )


def power_of(server: Server) -> Power | None:
    """Return how the guest of a server is meant to be where nothing is asked; None: nobody says."""
    if server.vm_state == "resized":
        return "off" if server.power_state == states.SHUTDOWN else "on"
    return POWER_OF.get(server.vm_state)


def log_event(tx: Connection, cloud: Cloud, server: Server, error: str = "", event: str = "", request_id: str = "") -> None:
    """Write down how the action of a server that is under way went.

    :param request_id: whose action; by default what was asked last.
    """
    action = server_actions.get(tx, server.id, request_id) if request_id else server_actions.latest(tx, server.id)
    if action is None:
        return
    name = event or EVENTS.get(action.action, f"compute_{action.action}")
    if any(done["event"] == name for done in action.events):
        return
    now = cloud.clock.now()
    before = [done["finished_at"] for done in action.events]
    entry = {
        "event": name,
        "started_at": before[-1] if before else action.started_at,
        "finished_at": now,
        "result": "Error" if error else "Success",
        "traceback": error or None,
        "details": error or None,
        "host": server.host,
    }
    server_actions.finish(tx, action, entry, bool(error))


def finish(cloud: Cloud, server: Server, **values: Any) -> bool:
    """Write down that what was under way is done; tells whether nothing else was asked meanwhile."""
    return _finish(cloud, server, values, started=False)


def finish_start(cloud: Cloud, server: Server, **values: Any) -> bool:
    """Write down that the guest has been started on its host with the volumes that it waited for; tells as `finish` does."""
    return _finish(cloud, server, values, started=True)


def _finish(cloud: Cloud, server: Server, values: dict[str, Any], started: bool) -> bool:
    now = cloud.clock.now()
    with cloud.db.begin() as tx:
        if not store.change_if(tx, server, task_state=None, updated_at=now, **values):
            return False
        if status := migrations.AFTER.get(server.task_state):
            migrations.note(tx, server, status, now)
        if started:
            disks.mark_attached(tx, cloud, server.id)
        log_event(tx, cloud, server)
    return True
