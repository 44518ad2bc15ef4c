"""The own disks of a guest that is sent to another host: copied while it runs, and in step until it has left.

The host where the guest will be serves its empty disks over NBD (`serve`); here a job a disk fills them (`start`), and goes on
with what the guest writes.  Once the guest is halted for good, the jobs are ended (`end`): then both sides are the same.
"""

import contextlib
import time
from collections.abc import Callable
from typing import Any, cast

from pileus.compute.driver import DiskSpec, DriverError
from pileus.compute.drivers.qemu import blocks, nodes
from pileus.compute.drivers.qemu.devices import LOOK_SECONDS, names
from pileus.compute.drivers.qemu.place import Record
from pileus.compute.drivers.qemu.watch import Live

PREFIX = "m-"
JOB = "move-"
SERVER = "disks"
END_SECONDS = 60.0


def own(record: Record) -> tuple[DiskSpec, ...]:
    """Return the disks of a guest that are its own: that are copied."""
    return tuple(disk for disk in record.spec.disks if disk.kind != "volume")


def serve(live: Live, record: Record, listener_fd: int, credentials: str) -> None:
    """Serve the disks of a guest that is awaited, at a socket that listens.

    :raises DriverError: when QEMU refuses.
    """
    live.execute("getfd", {"fdname": SERVER}, fd=listener_fd)
    live.execute("nbd-server-start", {"addr": {"type": "fd", "data": {"str": SERVER}}, "tls-creds": credentials})
    for disk in own(record):
        export: dict[str, object] = {"type": "nbd", "id": JOB + disk.id, "node-name": nodes.content(disk), "name": disk.id}
        live.execute("block-export-add", export | {"writable": True})


def serve_no_more(live: Live) -> None:
    """Serve no disks, if some were served."""
    with contextlib.suppress(DriverError):
        live.execute("nbd-server-stop", timeout_seconds=blocks.BLOCK_SECONDS)


def start(live: Live, record: Record, connect: Callable[[], int], tls: dict[str, object]) -> None:
    """Begin to copy the disks that are not being copied yet.

    :param connect: connects to where they are served; the file descriptor is closed here.
    :raises DriverError: when that cannot be reached, or QEMU refuses.
    """
    known = jobs(live)
    for disk in own(record):
        if JOB + disk.id in known:
            continue
        node = PREFIX + nodes.name(disk.id)
        with contextlib.suppress(DriverError):
            live.execute("blockdev-del", {"node-name": node})
        with contextlib.closing(_Descriptor(connect())) as descriptor:
            live.execute("getfd", {"fdname": node}, fd=descriptor.number)
        server = {"type": "fd", "str": node}
        options: dict[str, object] = {"driver": "nbd", "node-name": node, "server": server, "export": disk.id, **tls}
        live.execute("blockdev-add", options, timeout_seconds=blocks.BLOCK_SECONDS)
        job: dict[str, object] = {"job-id": JOB + disk.id, "device": nodes.content(disk), "target": node, "auto-dismiss": False}
        job |= {"sync": "full" if disk.held or disk.kind == "blank" else "top"}
        live.execute("blockdev-mirror", job, timeout_seconds=blocks.BLOCK_SECONDS)


def jobs(live: Live) -> dict[str, dict[str, Any]]:
    """Return the copies, by the names of their jobs."""
    found = cast(list[dict[str, Any]], live.execute("query-jobs"))
    return {str(job["id"]): job for job in found if str(job["id"]).startswith(JOB)}


def are_ready(live: Live, record: Record) -> bool:
    """Tell whether both sides of all disks are in step.  :raises DriverError: when a copy has failed."""
    known = jobs(live)
    for disk in own(record):
        job = known.get(JOB + disk.id)
        if job is None or job["status"] in ("concluded", "null", "aborting"):
            raise DriverError(f"disk {disk.id} could not be copied: {(job or {}).get('error', 'the copy is gone')}")
    return all(job["status"] == "ready" for job in known.values())


def end(live: Live) -> None:
    """End the copies of a guest that is halted: both sides are the same then.

    :raises DriverError: when a copy has failed.
    """
    known = jobs(live)
    for job in known.values():
        if job["status"] not in ("concluded", "null"):
            live.execute("block-job-cancel", {"device": job["id"]})
    deadline = time.monotonic() + END_SECONDS
    while any(job["status"] != "concluded" for job in known.values()):
        if time.monotonic() > deadline:
            raise DriverError(f"the copies of the disks did not end in {END_SECONDS:g} s")
        time.sleep(0.002)
        known = jobs(live)
    for job in known.values():
        if job.get("error"):
            raise DriverError(f"disk {str(job['id']).removeprefix(JOB)} could not be copied: {job['error']}")


def drop(live: Live) -> None:
    """Give up all copies, and the ways to where they went."""
    deadline = time.monotonic() + END_SECONDS
    while (known := jobs(live)) and time.monotonic() < deadline:
        for job in known.values():
            blocks.end_job(live, job)
        time.sleep(LOOK_SECONDS)
    for node in (name for name in blocks.node_names(live) if name.startswith(PREFIX)):
        with contextlib.suppress(DriverError):
            live.execute("blockdev-del", {"node-name": node})


def copied(live: Live) -> tuple[int, int]:
    """Return how many bytes there are to copy, and how many have been copied."""
    known = jobs(live).values()
    return sum(int(job["total-progress"]) for job in known), sum(int(job["current-progress"]) for job in known)


def credentials(live: Live, directory: str, endpoint: str) -> str:
    """Have the certificates of this host as an object of QEMU; returns its name."""
    name = f"move-{endpoint}"
    if name not in names(live, "/objects"):
        options: dict[str, object] = {"qom-type": "tls-creds-x509", "id": name, "endpoint": endpoint, "dir": directory}
        live.execute("object-add", options | {"verify-peer": True})
    return name


class _Descriptor:
    """A file descriptor that QEMU is given a copy of."""

    def __init__(self, number: int) -> None:
        self.number = number

    def close(self) -> None:
        import os  # noqa: PLC0415

        os.close(self.number)
