"""Moving a guest that runs from one volume to another: the new one is filled while the guest works, then it takes the place.

The copy is a job of QEMU and goes on when we are killed; whoever swaps again finds it by its name.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

from pileus.compute.driver import DiskSpec, DriverError
from pileus.compute.drivers.qemu import blocks, nodes
from pileus.compute.drivers.qemu.devices import LOOK_SECONDS
from pileus.compute.drivers.qemu.place import Record
from pileus.compute.drivers.qemu.watch import Live


def swap(live: Live, record: Record, old_id: str, new: DiskSpec, wait_seconds: float) -> bool:
    """Copy one volume to another, and let the guest go on with that.  The record names both; afterwards only the new one.

    Tells whether it is so; after a while it may not be, and the copy goes on.

    :raises DriverError: when that fails; then the guest has the old volume.
    """
    old = next((disk for disk in record.volumes if disk.id == old_id), None)
    if old is None and nodes.top(new) in blocks.volume_devices(live).values():
        return True
    if old is None:
        raise DriverError(f"guest {live.place.guest_id} has no volume {old_id}")
    device = next((device for device, node in blocks.volume_devices(live).items() if node == nodes.top(old)), None)
    if device is not None:
        disks = tuple(each for each in record.spec.disks if each.id != new.id)
        both = replace(record, spec=replace(record.spec, disks=(*disks, new)), devices=record.devices | {new.id: device})
        live.place.keep_record(both)
        try:
            if _job(live, new) is None:
                _start_copy(live, old, new)
            if not _finish_copy(live, new, wait_seconds):
                return False
        except DriverError:
            if not live.process.ended(0):
                drop(live, [new])
                blocks.remove(live, new)
                live.place.keep_record(record)
            raise
    elif nodes.top(new) not in blocks.volume_devices(live).values():
        raise DriverError(f"guest {live.place.guest_id} has no volume {old.id}")
    drop(live, [new])
    blocks.remove(live, old)
    blocks.widen(live, new)
    record = live.place.record() or record
    disks = tuple(new if each.id == old.id else each for each in record.spec.disks if each.id != new.id)
    devices = {disk_id: name for disk_id, name in record.devices.items() if disk_id != old.id}
    live.place.keep_record(replace(record, spec=replace(record.spec, disks=disks), devices=devices))
    live.exchanges += 1
    return True


def _start_copy(live: Live, old: DiskSpec, new: DiskSpec) -> None:
    """Begin to copy.  QEMU copies to what is as large: a larger volume is seen through a window until it is in place."""
    size_bytes = blocks.size_bytes(live, nodes.top(old))
    blocks.remove(live, new)
    blocks.make(live, new)
    if (new_bytes := blocks.size_bytes(live, nodes.top(new))) < size_bytes:
        raise DriverError(f"volume {new.id} of {new_bytes} bytes is smaller than volume {old.id} of {size_bytes}")
    if new_bytes > size_bytes:
        blocks.remove(live, new)
        blocks.make(live, new, size_bytes)
    job: dict[str, object] = {"job-id": _job_id(new), "device": nodes.top(old), "target": nodes.top(new), "sync": "full"}
    job |= {"copy-mode": "write-blocking", "auto-dismiss": False}  # a guest that writes all the time cannot keep the end away
    live.execute("blockdev-mirror", job, timeout_seconds=blocks.BLOCK_SECONDS)


def _finish_copy(live: Live, new: DiskSpec, wait_seconds: float) -> bool:
    deadline = time.monotonic() + wait_seconds
    completed = False
    while (job := _job(live, new)) is None or job["status"] != "concluded":
        if job is None:
            raise DriverError(f"the copy to volume {new.id} is gone")
        if job["status"] == "ready" and not completed:
            live.execute("job-complete", {"id": job["id"]})
            completed = True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    if job.get("error"):
        raise DriverError(f"QEMU could not copy to volume {new.id}: {job['error']}")
    if nodes.top(new) not in blocks.volume_devices(live).values():
        raise DriverError(f"the copy to volume {new.id} was given up")
    return True


def drop(live: Live, disks: Iterable[DiskSpec]) -> None:
    """Give up copies to volumes, as far as there are some."""
    for disk in disks:
        deadline = time.monotonic() + blocks.BLOCK_SECONDS
        while (job := _job(live, disk)) is not None and time.monotonic() < deadline:
            blocks.end_job(live, job)
            time.sleep(LOOK_SECONDS)


def _job_id(disk: DiskSpec) -> str:
    return f"swap-{disk.id}"


def _job(live: Live, disk: DiskSpec) -> dict[str, Any] | None:
    jobs = cast(list[dict[str, Any]], live.execute("query-jobs"))
    return next((job for job in jobs if job["id"] == _job_id(disk)), None)
