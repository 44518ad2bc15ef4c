"""The disks of a server as its host is told of them, and how a server lets go of its volumes."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from pileus.compute import neighbours
from pileus.compute.block_devices import local_name
from pileus.compute.driver import DiskSpec, Power
from pileus.compute.store import server_volumes as store
from pileus.compute.store import servers
from pileus.compute.store.server_volumes import Mapped
from pileus.compute.store.servers import Server
from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Cloud
from pileus.kernel.errors import NotFound

log = logging.getLogger(__name__)

CONNECTED = {"attached", "detaching", "moving"}
UNMADE = {"creating", "downloading"}
LOOK_AGAIN_SECONDS = 60.0
"""After which a server that waits looks at its volumes though nobody woke it."""


@dataclass(frozen=True)
class Change:
    """What is being done to the volumes of a server, by the ids of their rows.

    fresh: have each volume's back end say anew how it is reached, as before a guest starts.
    """

    joining: Collection[str] = ()
    leaving: Collection[str] = ()
    fresh: bool = True


def specify(cloud: Cloud, server: Server, power: Power, change: Change) -> tuple[DiskSpec, ...]:
    """Return the disks of a server.

    One that is being rescued boots from another one: before its own, which move up, or (stable) behind them.

    :raises NotFound: when the image or a volume is gone.
    :raises VolumeDriverError: when a volume cannot be reached.
    """
    every = [*own(cloud, server), *_volumes(cloud, server, power, change)]
    every.sort(key=lambda disk: (disk.boot_index != 0, disk.kind == "volume", len(disk.device), disk.device))
    aside = server.aside or {}
    if not aside.get("rescue_image_id"):
        return tuple(every)
    path, form = neighbours.images.image_file(cloud, aside["rescue_image_id"])
    bus: Any = aside.get("rescue_bus") or "virtio"
    is_cdrom = aside.get("rescue_device") == "cdrom"
    rescue = DiskSpec(id="rescue", kind="image", source=path, source_format=form, bus=bus, is_cdrom=is_cdrom, boot_index=0)
    others = tuple(replace(disk, boot_index=None) for disk in every)
    return (*others, rescue) if aside.get("rescue_stable") else (rescue, *others)


def own(cloud: Cloud, server: Server) -> tuple[DiskSpec, ...]:
    """Return the disks of a server that are files of its host.  :raises NotFound: when the image is gone."""
    return tuple(_local(cloud, server, disk, number) for number, disk in enumerate(server.disks))


def _local(cloud: Cloud, server: Server, wanted: dict[str, Any], number: int) -> DiskSpec:
    facts = {"size_gib": wanted.get("size_gib", 0), "size_mib": wanted.get("size_mib", 0), "device": local_name(wanted, number)}
    facts |= {"stage": wanted.get("stage", 0), "held": wanted.get("held", False)}
    if wanted["kind"] == "blank":
        return DiskSpec(id=f"disk{number}", kind="blank", bus=wanted.get("bus") or "virtio", **facts)
    path, form = neighbours.images.image_file(cloud, server.root_image_id or server.image_id)
    return DiskSpec(id="root", kind="image", source=path, source_format=form, bus=_bus(server), boot_index=0, **facts)


def _bus(server: Server) -> Any:
    named = (server.image.get("properties") or {}).get("hw_disk_bus")
    return named if named in ("virtio", "scsi", "ide") else "virtio"


def _volumes(cloud: Cloud, server: Server, power: Power, change: Change) -> list[DiskSpec]:
    with cloud.db.read() as tx:
        rows = [row for row in store.of(tx, server.id) if row.state in CONNECTED or row.id in change.joining]
        staying = [row for row in rows if row.id not in change.leaving]
        known = {row.id: neighbours.volumes.connection(tx, cloud, row.attachment_id) for row in staying}
    found = []
    for row in staying:
        fresh = row.id in change.joining or (change.fresh and power in ("on", "paused"))
        reached = None if fresh else known[row.id]
        found.append(volume_disk(server, row, reached or neighbours.volumes.connect(cloud, row.attachment_id, str(server.host))))
    return found


def id_of(row: Mapped, ahead: int = 0) -> str:
    """Return what a host calls the disk that is a volume; ahead: how often it will have been moved by then."""
    number = row.moves + ahead
    return f"{row.volume_id}-{number}" if number else str(row.volume_id)


def volume_disk(server: Server, row: Mapped, reached: neighbours.volumes.Connection, ahead: int = 0) -> DiskSpec:
    """Return the disk that is a volume, where it is reached so."""
    bus: Any = row.disk_bus or (_bus(server) if row.boot_index == 0 else "virtio")
    return DiskSpec(
        id=id_of(row, ahead), kind="volume", size_gib=row.size_gib, bus=bus, serial=row.volume_id,
        boot_index=None if row.boot_index is None or row.boot_index < 0 else row.boot_index,
        connection={"driver_volume_type": reached["driver_volume_type"], "data": reached["data"]},
        read_only=bool(reached.get("read_only")), device=row.device_name, limits=neighbours.volumes.limits_of(reached),
        luks_key=reached.get("luks_key") or "",
    )  # fmt: skip


def mark_attached(tx: Connection, cloud: Cloud, server_id: str) -> None:
    """Write down that a guest that has just been started has the volumes that it was to be started with."""
    for row in store.of(tx, server_id):
        if row.state not in ("detaching", "moving"):
            store.change(tx, row.id, state="attached", request_id="")
            neighbours.volumes.attached(tx, cloud, row.attachment_id, row.device_name)


def park(tx: Connection, cloud: Cloud, server_id: str) -> None:
    """Keep the volumes of a server that is on no host now."""
    for row in store.of(tx, server_id):
        neighbours.volumes.park(tx, cloud, row.attachment_id)


def unmade(tx: Connection, cloud: Cloud, server: Server) -> bool:
    """Tell whether volumes or snapshots that go with the server are in the making still: so long they cannot be deleted."""
    taken = (server.aside or {}).get("snapshots", ())
    if any(neighbours.volumes.snapshot_status(tx, id) == "creating" for id in taken):
        return True
    its_own = [row for row in store.of(tx, server.id) if row.delete_on_termination]
    return any(status(tx, cloud, server, row) in UNMADE for row in its_own)


def drop_snapshots(cloud: Cloud, server: Server) -> None:
    """Let go of the snapshots that were taken for an image of the server that came to nothing."""
    for snapshot_id in (server.aside or {}).get("snapshots", ()):
        with cloud.db.begin() as tx:
            neighbours.volumes.drop_snapshot(tx, cloud, snapshot_id)


def status(tx: Connection, cloud: Cloud, server: Server, row: Mapped) -> str:
    """Return the status of a volume of a server; "": it is gone."""
    try:
        return neighbours.volumes.status_of(tx, cloud, server.project_id, row.volume_id).status
    except NotFound:
        return ""


def disconnect(cloud: Cloud, server_id: str) -> None:
    """Take the ways to its volumes from a server whose guest is gone.  May be repeated.

    :raises VolumeDriverError: when a back end cannot.
    """
    with cloud.db.read() as tx:
        rows, server = store.of(tx, server_id), servers.get(tx, server_id)
    for attachment_id in [row.attachment_id for row in rows] + (_second(server) if server is not None else []):
        disconnect_one(cloud, attachment_id)


def _second(server: Server) -> list[str]:
    """Return the attachments by which volumes are reached from a second host, while the server goes from one to another."""
    live: Mapping[str, Any] = (server.aside or {}).get("live") or {}
    return list(live.get("attachments", {}).values())


def disconnect_one(cloud: Cloud, attachment_id: str) -> None:
    """Take the way to a volume; one whose back end or attachment is gone has none.

    :raises VolumeDriverError: when its back end cannot.
    """
    try:
        neighbours.volumes.disconnect(cloud, attachment_id)
    except (NotFound, HostUnknown) as error:
        log.info("attachment %s: %s", attachment_id, error)


def release(tx: Connection, cloud: Cloud, server: Server) -> None:
    """Give the volumes of a server back that it has no more use for; those that were to go with it are deleted."""
    for row in store.of(tx, server.id):
        release_one(tx, cloud, row)
        if row.delete_on_termination:
            neighbours.volumes.delete(tx, cloud, server.project_id, row.volume_id)
    for attachment_id in _second(server):
        neighbours.volumes.release(tx, cloud, attachment_id)


def release_one(tx: Connection, cloud: Cloud, row: Mapped) -> None:
    """Give a volume of a server back."""
    store.remove(tx, row.id)
    neighbours.volumes.release(tx, cloud, row.attachment_id)
