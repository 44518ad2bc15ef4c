"""Images of servers that boot from a volume: nothing but snapshots of all their volumes, of which one can boot again."""

import json
from typing import Any

from sqlalchemy import Connection

from pileus.compute import neighbours
from pileus.compute.block_devices import local_name
from pileus.compute.store import server_volumes
from pileus.compute.store.server_volumes import Mapped
from pileus.compute.store.servers import Server
from pileus.kernel.context import Context

UNSAID = ("image_id", "volume_id", "no_device", "guest_format", "tag", "volume_type", "connection_info")


def reserve(tx: Connection, ctx: Context, server: Server, name: str, properties: dict[str, str]) -> dict[str, Any]:
    """Have every volume of a server snapshotted, and write down the image that names them.

    Each snapshot is of one instant, as after a power cut.  Returns what the server's row keeps aside until they are there.

    :raises BadRequest: when a volume is in no state for that.
    :raises OverQuota: when the project has no room for so many snapshots.
    :raises Forbidden: when the caller may not make images.
    """
    mapping: list[dict[str, Any]] = [
        _local(disk, number) for number, disk in enumerate(server.disks) if disk["kind"] == "blank"
    ]  # fmt: skip
    snapshot_ids, root = [], "/dev/vda"
    for row in server_volumes.of(tx, server.id):
        if row.state == "attaching":
            continue
        snapshot_id = neighbours.volumes.snapshot(tx, ctx, row.volume_id, f"snapshot for {name}")
        snapshot_ids.append(snapshot_id)
        mapping.append(_snapshot(row, snapshot_id))
        root = row.device_name if row.boot_index == 0 else root
    facts = {"block_device_mapping": json.dumps(mapping), "bdm_v2": "True", "root_device_name": root}
    base = {**server.image, "min_disk": 0, "disk_format": "raw"}
    image_id = neighbours.images.reserve_image(tx, ctx, name, base, {**properties, **facts}, 0)
    return {"image_id": image_id, "disk_format": "raw", "snapshots": snapshot_ids}


def _local(disk: dict[str, Any], number: int) -> dict[str, Any]:
    swap = bool(disk.get("swap"))
    return {
        **dict.fromkeys(UNSAID), "source_type": "blank", "destination_type": "local", "snapshot_id": None, "boot_index": -1,
        "device_name": local_name(disk, number), "device_type": "disk", "disk_bus": disk.get("bus"),
        "delete_on_termination": True, "guest_format": "swap" if swap else None,
        "volume_size": disk.get("size_mib" if swap else "size_gib"),
    }  # fmt: skip


def _snapshot(row: Mapped, snapshot_id: str) -> dict[str, Any]:
    return {
        **dict.fromkeys(UNSAID), "source_type": "snapshot", "destination_type": "volume", "snapshot_id": snapshot_id,
        "boot_index": row.boot_index, "device_name": row.device_name, "device_type": row.device_type or "disk",
        "disk_bus": row.disk_bus, "delete_on_termination": row.delete_on_termination, "volume_size": row.size_gib,
    }  # fmt: skip
