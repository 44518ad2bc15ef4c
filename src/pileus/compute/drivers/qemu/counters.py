"""What a guest that runs has used: time of processors, memory, what went through its disks and NICs.

QEMU counts for the disks, the kernel for the rest.  The kernel counts at the host's end of a NIC, where what the guest receives
is sent.
"""

import os
import time
from pathlib import Path
from typing import Any, cast

from pileus.compute.driver import Diagnostics, DiskCounters, DriverError, NicCounters
from pileus.compute.drivers.qemu import netns, nodes
from pileus.compute.drivers.qemu.place import Record
from pileus.compute.drivers.qemu.watch import Live

NANOSECONDS = 10**9
KIB_A_MIB = 1024
RECEIVED, SENT = (0, 1, 2, 3), (8, 9, 10, 11)
"""The columns of /proc/net/dev with bytes, packets, errors and drops."""


def diagnose(live: Live, record: Record, namespace: str | None) -> Diagnostics:
    """Return what a guest has used.

    :raises DriverError: when QEMU does not say, or the guest ends meanwhile.
    """
    try:
        uptime_seconds = int(time.clock_gettime(time.CLOCK_BOOTTIME) - live.process.started_seconds)
        cpus = cast(list[dict[str, Any]], live.execute("query-cpus-fast"))
        times = tuple(_nanoseconds(live.process.pid, int(cpu["thread-id"])) for cpu in cpus)
        return Diagnostics(uptime_seconds, times, _resident_mib(live.process.pid), _disks(live, record), _nics(record, namespace))
    except OSError as error:
        raise DriverError(f"guest {live.place.guest_id} has ended: {error}") from error


def _nanoseconds(pid: int, thread: int) -> int:
    """Return how long a thread has run, for itself and in the kernel."""
    fields = Path(f"/proc/{pid}/task/{thread}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * NANOSECONDS // os.sysconf("SC_CLK_TCK")


def _resident_mib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next((int(line.split()[1]) // KIB_A_MIB for line in lines if line.startswith("VmRSS:")), 0)


def _disks(live: Live, record: Record) -> tuple[DiskCounters, ...]:
    listed = cast(list[dict[str, Any]], live.execute("query-blockstats"))
    stats = {block.get("node-name"): block["stats"] for block in listed}
    found = []
    for disk in record.spec.disks:
        if seen := stats.get(nodes.top(disk)):
            errors = sum(int(seen.get(f"failed_{what}_operations", 0)) for what in ("rd", "wr", "flush"))
            read, written = ((int(seen[f"{way}_bytes"]), int(seen[f"{way}_operations"])) for way in ("rd", "wr"))
            found.append(DiskCounters(disk.device.removeprefix("/dev/") or disk.id, *read, *written, errors))
    return tuple(found)


def _nics(record: Record, namespace: str | None) -> tuple[NicCounters, ...]:
    counted = netns.inside(namespace, _interfaces)
    found = []
    for nic in record.spec.nics:
        if numbers := counted.get(nic.tap):
            received, sent = ([numbers[column] for column in columns] for columns in (SENT, RECEIVED))
            found.append(NicCounters(nic.tap, nic.mac, *received, *sent))
    return tuple(found)


def _interfaces() -> dict[str, list[int]]:
    lines = Path("/proc/thread-self/net/dev").read_text(encoding="ascii").splitlines()
    split = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): [int(number) for number in numbers.split()] for name, _, numbers in split}
