"""How the diagnostics of a server are shown: since 2.48 in one form for all hypervisors, before that as libvirt's driver did."""

from typing import Any

from pileus.compute import states
from pileus.compute.driver import Diagnostics
from pileus.compute.service.servers import Shown

STATES = {
    states.NOSTATE: "pending", states.RUNNING: "running", states.PAUSED: "paused", states.SHUTDOWN: "shutdown",
    states.CRASHED: "crashed", states.SUSPENDED: "suspended",
}  # fmt: skip
COUNTERS = tuple(f"{way}_{what}" for way in ("rx", "tx") for what in ("octets", "errors", "drop", "packets"))
KIB_A_MIB = 1024


def show(shown: Shown, seen: Diagnostics | None) -> dict[str, Any]:
    """Return the diagnostics of a server (2.48); what is not known of one that does not run is empty."""
    server = shown.server
    disks = [
        {
            "read_bytes": disk.read_bytes, "read_requests": disk.read_requests, "write_bytes": disk.write_bytes,
            "write_requests": disk.write_requests, "errors_count": disk.errors,
        }
        for disk in (seen.disks if seen else ())
    ]  # fmt: skip
    counted = {nic.mac: {name: getattr(nic, name) for name in COUNTERS} for nic in (seen.nics if seen else ())}
    unknown = {**dict.fromkeys(COUNTERS), "rx_rate": None, "tx_rate": None}
    times = seen.cpu_nanoseconds if seen else ()
    return {
        "config_drive": server.config_drive, "driver": "libvirt", "hypervisor": "qemu", "hypervisor_os": "linux",
        "cpu_details": [{"id": number, "time": time, "utilisation": None} for number, time in enumerate(times)],
        "disk_details": disks, "memory_details": {"maximum": server.memory_mib, "used": server.memory_mib},
        "nic_details": [{"mac_address": nic.mac, **unknown, **counted.get(nic.mac, {})} for nic in shown.nics],
        "num_cpus": server.vcpus, "num_disks": len(server.disks) + len(shown.volumes), "num_nics": len(shown.nics),
        "state": STATES[server.power_state], "uptime": seen.uptime_seconds if seen else None,
    }  # fmt: skip


def show_older(shown: Shown, seen: Diagnostics | None) -> dict[str, Any]:
    """Return the diagnostics of a server as they were shown until 2.47."""
    memory = shown.server.memory_mib * KIB_A_MIB
    found: dict[str, Any] = {"memory": memory, "memory-actual": memory}
    if seen is None:
        return found
    found |= {f"cpu{number}_time": time for number, time in enumerate(seen.cpu_nanoseconds)}
    found["memory-rss"] = seen.resident_mib * KIB_A_MIB
    for disk in seen.disks:
        found |= {
            f"{disk.device}_read": disk.read_bytes, f"{disk.device}_read_req": disk.read_requests,
            f"{disk.device}_write": disk.write_bytes, f"{disk.device}_write_req": disk.write_requests,
            f"{disk.device}_errors": disk.errors,
        }  # fmt: skip
    for nic in seen.nics:
        for way in ("rx", "tx"):
            found[f"{nic.tap}_{way}"] = getattr(nic, f"{way}_octets")
            found |= {f"{nic.tap}_{way}_{what}": getattr(nic, f"{way}_{what}") for what in ("packets", "errors", "drop")}
    return found
