"""What a server's row means for its host: the guest's specification, and the calls that make it so."""

import logging
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from pileus.compute import guest_data, neighbours
from pileus.compute.driver import DiskSpec, GuestSpec, Hypervisor, NicSpec, Power
from pileus.compute.store import migrations, server_actions
from pileus.compute.store import servers as store
from pileus.compute.store.servers import Server
from pileus.kernel.context import Cloud

log = logging.getLogger(__name__)

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
    "createImage": "compute_snapshot_instance",
    "createBackup": "compute_backup_instance",
    "resize": "compute_resize_instance",
    "confirmResize": "compute_confirm_resize",
    "revertResize": "compute_revert_resize",
    "rescue": "compute_rescue_instance",
    "unrescue": "compute_unrescue_instance",
    "shelve": "compute_shelve_instance",
    "unshelve": "compute_unshelve_instance",
    "attach_interface": "compute_attach_interface",
    "detach_interface": "compute_detach_interface",
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


def ensure(cloud: Cloud, server: Server, power: Power, admin_password: str = "") -> None:
    """Have the host make the guest as the row says.

    :raises DriverError: when the hypervisor cannot.
    :raises NetworkDriverError: when the network cannot.
    :raises NotFound: when the image is gone.
    :raises HostUnknown: when the host is.
    """
    host = str(server.host)
    nics = neighbours.plug(cloud, staying(server))
    log.info("server %s: its ports are ready on %s", server.id, host)
    hypervisor(cloud, host).ensure(make_spec(cloud, server, nics, power, admin_password))


def make_spec(cloud: Cloud, server: Server, nics: list[neighbours.Nic], power: Power, admin_password: str = "") -> GuestSpec:
    """Return how the guest of a server is to be.

    :raises NotFound: when the image is gone.
    """
    files = None
    if server.config_drive:
        facts = guest_data.Facts(server, nics, cloud.settings.dns_domain, admin_password)
        files = guest_data.config_drive(facts)
    return GuestSpec(
        id=server.id,
        name=f"instance-{server.id[:8]}",
        vcpus=server.flavor["vcpus"],
        memory_mib=server.flavor["ram"],
        disks=_disks(cloud, server),
        nics=tuple(NicSpec(nic.port_id, nic.mac, nic.tap, nic.mtu) for nic in nics),
        config_drive=files,
        power=power,
    )


def _disks(cloud: Cloud, server: Server) -> tuple[DiskSpec, ...]:
    """Return the disks of a server; one that is being rescued boots from another one, before its own."""
    own = tuple(_disk(cloud, server, disk, number) for number, disk in enumerate(server.disks))
    rescue_image_id = (server.aside or {}).get("rescue_image_id")
    if not rescue_image_id:
        return own
    path, form = neighbours.image_file(cloud, rescue_image_id)
    rescue = DiskSpec(id="rescue", kind="image", source=path, source_format=form, boot_index=0)
    return (rescue, *(replace(disk, boot_index=None) for disk in own))


def _disk(cloud: Cloud, server: Server, wanted: dict[str, Any], number: int) -> DiskSpec:
    size = {"size_gib": wanted.get("size_gib", 0), "size_mib": wanted.get("size_mib", 0)}
    if wanted["kind"] == "blank":
        return DiskSpec(id=f"disk{number}", kind="blank", **size)
    path, form = neighbours.image_file(cloud, server.root_image_id or server.image_id)
    named = (server.image.get("properties") or {}).get("hw_disk_bus")
    bus: Any = named if named in ("virtio", "scsi", "ide") else "virtio"
    return DiskSpec(id="root", kind="image", source=path, source_format=form, bus=bus, boot_index=0, **size)


def log_event(tx: Connection, cloud: Cloud, server: Server, error: str = "", event: str = "") -> None:
    """Write down how the action of a server that is under way went."""
    action = server_actions.latest(tx, server.id)
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
    now = cloud.clock.now()
    with cloud.db.begin() as tx:
        if not store.change_if(tx, server, task_state=None, updated_at=now, **values):
            return False
        if status := migrations.AFTER.get(server.task_state):
            migrations.note(tx, server, status, now)
        log_event(tx, cloud, server)
    return True
