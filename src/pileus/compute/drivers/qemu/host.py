"""What the host has and can: the facts that the scheduler counts with."""

import os
import platform
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Literal

from pileus.compute import kvm
from pileus.compute.driver import GIB, MIB, DriverError, HostResources

VERSION = re.compile(r"version (\d+)\.(\d+)(?:\.(\d+))?")
VirtType = Literal["kvm", "qemu"]


def virt_type(wanted: Literal["auto", "kvm", "qemu"]) -> VirtType:
    """What guests are run by: KVM where it is asked for, or where it works."""
    if wanted == "auto":
        return "kvm" if kvm.usable().usable else "qemu"
    return wanted


@cache
def qemu_version(qemu: str) -> tuple[int, int, int]:
    """Return the version of QEMU.

    :raises DriverError: when it cannot be run.
    """
    try:
        done = subprocess.run([qemu, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DriverError(f"cannot run {qemu}: {error}") from error
    found = VERSION.search(done.stdout)
    if found is None:
        raise DriverError(f"{qemu} does not tell its version: {(done.stdout + done.stderr).strip()}")
    major, minor, patch = found.groups(default="0")
    return int(major), int(minor), int(patch)


def sandbox_works() -> bool:
    """Whether the kernel can filter the system calls of a process."""
    return Path("/proc/sys/kernel/seccomp/actions_avail").exists()


def resources(directory: Path, qemu: str, runs_by: VirtType) -> HostResources:
    """Count the host."""
    major, minor, patch = qemu_version(qemu)
    disk = shutil.disk_usage(directory)
    cpu = _cpu()
    return HostResources(
        vcpus=os.cpu_count() or 1,
        memory_mib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB,
        disk_gib=disk.total // GIB,
        free_disk_gib=disk.free // GIB,
        arch=platform.machine(),
        hypervisor_type="QEMU",
        hypervisor_version=major * 1_000_000 + minor * 1_000 + patch,
        virt_type=runs_by,
        cpu_model=cpu.get("model name", ""),
        cpu_vendor=cpu.get("vendor_id", ""),
        cpu_features=tuple(cpu.get("flags", "").split()),
        disk_formats=("raw", "qcow2"),
    )


@cache
def _cpu() -> dict[str, str]:
    first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
