"""The block nodes of a guest that runs: what there is, and making and removing those of a volume."""

import contextlib
import time
from collections.abc import Mapping
from typing import Any, cast

from pileus.compute.driver import DiskSpec, DriverError
from pileus.compute.drivers.qemu import nodes
from pileus.compute.drivers.qemu.devices import LOOK_SECONDS, names
from pileus.compute.drivers.qemu.place import VOLUME
from pileus.compute.drivers.qemu.watch import Live

BLOCK_SECONDS = 30.0
RELEASE_SECONDS = 5.0


def volume_devices(live: Live) -> dict[str, str]:
    """The devices of volumes that the guest has, and the node that each uses."""
    found = {}
    for block in cast(list[dict[str, Any]], live.execute("query-block")):
        device = str(block.get("qdev", "")).removeprefix("/machine/peripheral/").split("/")[0]
        if device.startswith(VOLUME) and block.get("inserted"):
            found[device] = str(block["inserted"]["node-name"])
    return found


def node_names(live: Live) -> set[str]:
    """The names of all nodes."""
    return {str(node["node-name"]) for node in _nodes(live)}


def size_bytes(live: Live, node_name: str) -> int:
    """Return how large a node is.

    :raises DriverError: when there is none.
    """
    for node in _nodes(live):
        if node["node-name"] == node_name:
            return int(node["image"]["virtual-size"])
    raise DriverError(f"QEMU has no node {node_name}")


def make(live: Live, disk: DiskSpec, seen_bytes: int | None = None) -> None:
    """Make the objects and nodes of a volume; with `seen_bytes`, of only so much of it.

    :raises DriverError: when QEMU refuses; then there are none.
    """
    for each in nodes.objects(disk):
        live.execute("object-add", each.options | ({"data": each.secret} if each.secret else {}))
    try:
        live.execute("blockdev-add", nodes.stack(disk, live.place, seen_bytes), timeout_seconds=BLOCK_SECONDS)
    except DriverError:
        if not live.process.ended(0):
            remove(live, disk)
        raise


def widen(live: Live, disk: DiskSpec) -> None:
    """Let the guest see the whole of a volume of which it has seen the beginning."""
    if nodes.window(disk) not in node_names(live):
        return
    options = {"options": [nodes.throttled(disk, nodes.content(disk))]}
    live.execute("blockdev-reopen", options, timeout_seconds=BLOCK_SECONDS)
    whole = {"node-name": nodes.top(disk), "size": size_bytes(live, nodes.content(disk))}
    live.execute("block_resize", whole, timeout_seconds=BLOCK_SECONDS)


def remove(live: Live, disk: DiskSpec) -> None:
    """Remove the nodes and objects of a volume that no device uses, as far as they are there.

    QEMU may hold a node for a moment after the device that used it is gone.

    :raises DriverError: when something uses them.
    """
    wanted = (nodes.top(disk), *(prefix + nodes.name(disk.id) for prefix in nodes.PROTOCOLS))
    deadline = time.monotonic() + RELEASE_SECONDS
    while left := [node for node in wanted if node in node_names(live)]:
        for node in left:
            with contextlib.suppress(DriverError):  # within the stack, it went with it
                live.execute("blockdev-del", {"node-name": node}, timeout_seconds=BLOCK_SECONDS)
        if time.monotonic() > deadline:
            raise DriverError(f"QEMU does not let go of volume {disk.id}: {', '.join(left)} is in use")
        time.sleep(LOOK_SECONDS if left[0] in node_names(live) else 0)
    for name in names(live, "/objects") & {prefix + disk.id for prefix in nodes.OBJECTS}:
        live.execute("object-del", {"id": name})


def end_job(live: Live, job: Mapping[str, Any]) -> None:
    """Have a copy that goes on end soon, and one that has ended be forgotten."""
    with contextlib.suppress(DriverError):  # it goes from one status to the next
        if job["status"] == "concluded":
            live.execute("job-dismiss", {"id": job["id"]})
        else:
            live.execute("block-job-cancel", {"device": job["id"], "force": True})


def _nodes(live: Live) -> list[dict[str, Any]]:
    return cast(list[dict[str, Any]], live.execute("query-named-block-nodes", {"flat": True}))
