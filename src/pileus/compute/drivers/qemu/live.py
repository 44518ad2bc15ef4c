"""What is done to a guest that runs: plug and unplug NICs, save and load its memory, copy its disk, look at its screen.

Everything is asked for and then looked at until it is so or a deadline has passed; nothing depends on an event being seen.
"""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from pileus.compute.driver import DiskFormat, DriverError, GuestSpec, NicSpec
from pileus.compute.drivers.qemu import blocks, command, devices, disks, nodes
from pileus.compute.drivers.qemu.place import nic_device
from pileus.compute.drivers.qemu.watch import Live

CAPTURE = "capture"
CAPTURE_SECONDS = 3600.0
MEMORY_SECONDS = 600.0
BYTES_PER_SECOND_MAX = 10 * 1024**3


def plug_nics(
    live: Live, spec: GuestSpec, taps: Callable[[], frozenset[str]], unplug_seconds: float, plain: bool = False
) -> None:
    """Make the guest have the NICs of the spec and no other.

    :raises DriverError: when QEMU refuses one, or the guest does not let go of one in time.
    """
    record = live.place.record()
    if record is None:
        raise DriverError(f"no record of how guest {spec.id} was started")
    present = devices.peripherals(live)
    for nic in record.spec.nics:
        if nic not in spec.nics and nic_device(nic) in present:
            _unplug(live, nic, unplug_seconds)
    kept = tuple(nic for nic in spec.nics if nic in record.spec.nics and nic_device(nic) in present)
    added = tuple(nic for nic in spec.nics if nic not in kept)
    if kept == record.spec.nics and not added:
        return
    plugged = replace(record.spec, nics=kept + added)
    record = command.placed(replace(record, spec=plugged))
    live.place.keep_record(record)
    for nic in added:
        if nic.tap not in taps():
            raise DriverError(f"there is no tap {nic.tap} for port {nic.port_id}")
        with contextlib.suppress(DriverError):  # what a plug that was cut short left
            live.execute("netdev_del", {"id": f"net-{nic.port_id}"})
        live.execute("netdev_add", command.netdev(nic, plain))
        live.execute("device_add", command.nic(nic, record.slots[nic_device(nic)]))


def save_memory(live: Live) -> None:
    """Write the memory of the guest, which is halted, to its file.  The file appears when it is whole.

    :raises DriverError: when that fails; the guest is still there, halted.
    """
    new = live.place.path / "memory.new"
    with new.open("wb") as file:
        live.execute("migrate-set-parameters", {"max-bandwidth": BYTES_PER_SECOND_MAX})
        live.execute("getfd", {"fdname": "memory"}, fd=file.fileno())
        live.execute("migrate", {"uri": "fd:memory"})
        _await_migration(live, "save")
        os.fsync(file.fileno())
    os.rename(new, live.place.memory)


def load_memory(live: Live) -> None:
    """Give the guest, made to wait for it, the memory from its file.

    :raises DriverError: when that fails.
    """
    with live.place.memory.open("rb") as file:
        live.execute("getfd", {"fdname": "memory"}, fd=file.fileno())
        live.execute("migrate-incoming", {"uri": "fd:memory"})
        _await_migration(live, "load")


def capture(live: Live, target: Path, disk_format: DiskFormat, qemu_img: str) -> None:
    """Copy the first disk, as it is now, while the guest goes on.

    :raises DriverError: when that fails.
    """
    record = live.place.record()
    if record is None:
        raise DriverError(f"no record of how guest {live.place.guest_id} was started")
    source = nodes.content(record.spec.disks[0])
    _drop_capture(live)
    disks.create_blank(str(target), disk_format, blocks.size_bytes(live, source), qemu_img)
    file = {"driver": "file", "filename": str(target), "discard": "unmap"}
    node = {"driver": disk_format, "node-name": CAPTURE, "file": file, "discard": "unmap", "detect-zeroes": "unmap"}
    live.execute("blockdev-add", node)
    try:
        job = {"job-id": CAPTURE, "device": source, "target": CAPTURE, "sync": "full", "auto-dismiss": False}
        live.execute("blockdev-backup", job)
        deadline = time.monotonic() + CAPTURE_SECONDS
        while (state := _job(live)) is None or state["status"] != "concluded":
            if time.monotonic() > deadline:
                raise DriverError(f"the copy of the disk did not end in {CAPTURE_SECONDS:g} s")
            time.sleep(0.05)
        if "error" in state:
            raise DriverError(f"QEMU could not copy the disk: {state['error']}")
    finally:
        if not live.process.ended(0):
            _drop_capture(live)


def screenshot(live: Live) -> bytes:
    """Return the guest's screen as a PNG."""
    path = live.place.path / "screen.png"
    try:
        live.execute("screendump", {"filename": str(path), "format": "png"})
        return path.read_bytes()
    finally:
        path.unlink(missing_ok=True)


def _unplug(live: Live, nic: NicSpec, timeout_seconds: float) -> None:
    devices.unplug(live, nic_device(nic), f"the NIC of port {nic.port_id}", timeout_seconds)
    live.execute("netdev_del", {"id": f"net-{nic.port_id}"})


def _await_migration(live: Live, what: str) -> None:
    deadline = time.monotonic() + MEMORY_SECONDS
    while True:
        state = cast(dict[str, Any], live.execute("query-migrate"))
        if state.get("status") == "completed":
            return
        if state.get("status") in ("failed", "cancelled"):
            raise DriverError(f"QEMU could not {what} the guest's memory: {state.get('error-desc', 'no reason given')}")
        if time.monotonic() > deadline:
            raise DriverError(f"QEMU did not {what} the guest's memory in {MEMORY_SECONDS:g} s")
        time.sleep(0.02)


def _job(live: Live) -> dict[str, Any] | None:
    jobs = cast(list[dict[str, Any]], live.execute("query-jobs"))
    return next((job for job in jobs if job["id"] == CAPTURE), None)


def _drop_capture(live: Live) -> None:
    """Remove the job and the node of a copy that ended or was given up."""
    deadline = time.monotonic() + 10.0
    while (state := _job(live)) is not None and time.monotonic() < deadline:
        with contextlib.suppress(DriverError):
            live.execute("job-dismiss" if state["status"] == "concluded" else "job-cancel", {"id": CAPTURE})
        time.sleep(0.02)
    with contextlib.suppress(DriverError):
        live.execute("blockdev-del", {"node-name": CAPTURE})
