"""Limits of CPU time, memory and number of processes, in a cgroup a guest: version 2, or version 1 where the host still has it.

A guest is put into its cgroup before its processor runs for the first time.  A host whose cgroups cannot be written
runs guests without limits; `available` says so.
"""

import contextlib
import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pileus.compute.driver import MIB, DriverError

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "memory", "pids")
PERIOD_US = 100_000
REMOVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a guest may use, all of its process counted."""

    cpus: float
    memory_mib: int
    processes: int


@cache
def hierarchies() -> dict[str, Path]:
    """Where each controller is: one directory for all (version 2), or one each (version 1)."""
    if (ROOT / "cgroup.controllers").exists():
        return dict.fromkeys(CONTROLLERS, ROOT)
    return {name: ROOT / name for name in CONTROLLERS if (ROOT / name / "cgroup.procs").exists()}


def available(prefix: str) -> str:
    """Return "v1" or "v2", or "" when no limits can be set."""
    found = hierarchies()
    if not found:
        return ""
    try:
        for directory in set(found.values()):
            (directory / prefix).mkdir(exist_ok=True)
    except OSError:
        return ""
    return "v2" if ROOT in found.values() else "v1"


def attach(prefix: str, guest_id: str, pid: int, limits: Limits) -> None:
    """Put the process into the guest's cgroup and set its limits.

    :raises DriverError: when the host refuses.
    """
    version = available(prefix)
    try:
        if version == "v2":
            _delegate(prefix)
            _attach_v2(ROOT / prefix / guest_id, pid, limits)
        elif version == "v1":
            _attach_v1(prefix, guest_id, pid, limits)
    except OSError as error:
        raise DriverError(f"cannot limit guest {guest_id} by cgroup: {error}") from error


def remove(prefix: str, guest_id: str) -> None:
    """Remove the guest's cgroup, after its process has ended.

    :raises DriverError: when something still lives in it.
    """
    deadline = time.monotonic() + REMOVE_SECONDS
    for directory in {path / prefix / guest_id for path in hierarchies().values()}:
        while directory.exists():
            try:
                directory.rmdir()
            except FileNotFoundError:
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise DriverError(f"cannot remove {directory}: {error}") from error
                time.sleep(0.01)


def remove_prefix(prefix: str) -> None:
    """Remove the directory above the guests' cgroups if it is empty."""
    for directory in {path / prefix for path in hierarchies().values()}:
        with contextlib.suppress(OSError):
            directory.rmdir()


def killed_for_memory(prefix: str, guest_id: str) -> bool:
    """Whether the kernel has killed the guest because it used more memory than its limit."""
    directory = hierarchies().get("memory", ROOT) / prefix / guest_id
    for name in ("memory.events", "memory.oom_control"):
        with contextlib.suppress(OSError):
            facts = dict(line.split() for line in (directory / name).read_text().splitlines())
            return int(facts.get("oom_kill", 0)) > 0
    return False


def _attach_v1(prefix: str, guest_id: str, pid: int, limits: Limits) -> None:
    values = {
        "cpu": {
            "cpu.cfs_period_us": PERIOD_US,
            "cpu.cfs_quota_us": int(limits.cpus * PERIOD_US),
            "cpu.shares": int(limits.cpus * 1024),
        },
        "memory": {"memory.limit_in_bytes": limits.memory_mib * MIB},
        "pids": {"pids.max": limits.processes},
    }
    for controller, root in hierarchies().items():
        _apply(root / prefix / guest_id, values[controller], pid)


def _attach_v2(directory: Path, pid: int, limits: Limits) -> None:
    values: dict[str, object] = {
        "cpu.max": f"{int(limits.cpus * PERIOD_US)} {PERIOD_US}",
        "cpu.weight": min(10_000, max(1, int(limits.cpus * 100))),
        "memory.max": limits.memory_mib * MIB,
        "pids.max": limits.processes,
    }
    _apply(directory, values, pid)


def _apply(directory: Path, values: dict[str, object] | dict[str, int], pid: int) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        if (directory / name).exists():
            (directory / name).write_text(str(value))
    (directory / "cgroup.procs").write_text(str(pid))


def _delegate(prefix: str) -> None:
    """Let the cgroups below have the controllers; one that the host keeps for itself is done without."""
    for directory in (ROOT, ROOT / prefix):
        for controller in CONTROLLERS:
            with contextlib.suppress(OSError):
                (directory / "cgroup.subtree_control").write_text(f"+{controller}")


def is_member(prefix: str, guest_id: str, pid: int) -> bool:
    """Whether the process is in the guest's cgroup in every hierarchy."""
    try:
        return all(str(pid) in (root / prefix / guest_id / "cgroup.procs").read_text().split() for root in hierarchies().values())
    except OSError:
        return not available(prefix) or not os.path.exists(f"/proc/{pid}")
