"""What this machine can and cannot do for a cloud, each finding with its remedy.

Nothing is left behind: what has to be tried is tried in a namespace that is removed again.
"""

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pileus.guest import packages

TRY_SECONDS = 10.0
DISK_GIB_MIN = 5
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "qemu-storage-daemon": "qemu-system-common",
    "setpriv": "util-linux",
    "dnsmasq": "dnsmasq-base",
    "nft": "nftables",
    "ip": "iproute2",
}
ISCSI_PROGRAMS = {"tgtd": "tgt"}
SWITCH_PROGRAMS = {"ovs-vswitchd": "openvswitch-switch", "ovsdb-server": "openvswitch-switch", "ovs-ofctl": "openvswitch-common"}
SBIN = ("/usr/sbin", "/sbin")

Grade = Literal["good", "poor", "bad"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at.  poor works with a drawback; bad keeps the cloud from working."""

    name: str
    grade: Grade
    found: str
    remedy: str = ""


def check(state_dir: Path) -> list[Finding]:
    """Look at everything; takes about a second."""
    checks: tuple[Callable[[], Finding], ...] = (
        _root,
        lambda: _programs("packages", PROGRAMS, "bad"),
        lambda: _programs("guest image packages", packages.TOOLS | packages.GUEST_PROGRAMS, "poor"),
        lambda: _programs("packages for volumes over iSCSI", ISCSI_PROGRAMS, "poor"),
        lambda: _programs("packages for networks by Open vSwitch", SWITCH_PROGRAMS, "poor"),
        _kvm,
        _namespaces,
        lambda: _link("bridges", "br0", "bridge", "bad"),
        lambda: _link("vxlan", "vx0", "vxlan id 7 dstport 4789", "poor"),
        lambda: _link("tap devices", "", "", "bad"),
        _nftables,
        _forwarding,
        _cgroups,
        lambda: _disk(state_dir),
    )
    return [one() for one in checks]


def _root() -> Finding:
    if os.geteuid() == 0:
        return Finding("rights", "good", "root")
    return Finding("rights", "bad", f"user {os.geteuid()}", "run as root: namespaces, bridges and nftables need it")


def _which(program: str) -> str | None:
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), *SBIN]))


def _programs(name: str, wanted: dict[str, str], grade: Grade) -> Finding:
    missing = sorted({package for program, package in wanted.items() if not _which(program)})
    if missing:
        return Finding(
            name, grade, f"missing: {' '.join(missing)}", f"apt-get install --no-install-recommends {' '.join(missing)}"
        )
    return Finding(name, "good", "all there")


def _kvm() -> Finding:
    from pileus.compute import kvm  # noqa: PLC0415  (mmap and ctypes, only here)

    verdict = kvm.usable()
    if verdict.usable:
        return Finding("hardware virtualization", "good", f"KVM: {verdict.reason}")
    remedy = "guests are emulated (TCG), about ten times slower; enable nested virtualization, or set virt_type"
    return Finding("hardware virtualization", "poor", f"no KVM: {verdict.reason}", remedy)


def _in_namespace(*commands: list[str]) -> str:
    """Run commands one after another in a new namespace; returns what went wrong, or an empty string."""
    name = f"pileus-doctor-{secrets.token_hex(3)}"
    ip = _which("ip")
    if not ip:
        return "no ip command"
    if error := _try([ip, "netns", "add", name]):
        return error
    try:
        for command in commands:
            if error := _try([ip, "netns", "exec", name, *command]):
                return error
    finally:
        _try([ip, "netns", "del", name])
    return ""


def _try(command: list[str], text: str | None = None) -> str:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=TRY_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else ""


def _namespaces() -> Finding:
    error = _in_namespace()
    remedy = "a kernel with CONFIG_NET_NS, and root; in a container, give it CAP_SYS_ADMIN and CAP_NET_ADMIN"
    return Finding("network namespaces", "bad", error, remedy) if error else Finding("network namespaces", "good", "work")


def _link(name: str, device: str, kind: str, grade: Grade) -> Finding:
    command = ["ip", "link", "add", device, "type", *kind.split()] if kind else ["ip", "tuntap", "add", "tap0", "mode", "tap"]
    error = _in_namespace(command)
    remedy = "networks over several hosts need it" if name == "vxlan" else f"a kernel with {name}"
    return Finding(name, grade, error, remedy) if error else Finding(name, "good", "work")


def _nftables() -> Finding:
    if error := _in_namespace(["nft", _tracking("inet")]):
        remedy = "a kernel with nf_tables and nf_conntrack; apt-get install nftables"
        return Finding("nftables", "bad", error.splitlines()[0], remedy)
    if not _in_namespace(["nft", _tracking("bridge")]):
        return Finding("nftables", "good", "work, with connection tracking in bridges")
    if Path("/proc/sys/net/bridge").exists() or not _in_namespace(["ip", "link", "add", "b", "type", "bridge"]):
        return Finding("nftables", "good", "work; bridges track connections through br_netfilter")
    return Finding("nftables", "bad", "bridged traffic cannot be tracked", "modprobe br_netfilter")


def _tracking(family: str) -> str:
    chain = f"add chain {family} t c {{ type filter hook forward priority 0; }}"
    return f"add table {family} t; {chain}; add rule {family} t c ct state established accept"


def _forwarding() -> Finding:
    if Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1":
        return Finding("forwarding", "good", "guests reach beyond this machine")
    remedy = "sysctl -w net.ipv4.ip_forward=1, if guests are to reach other machines (this machine reaches them either way)"
    return Finding("forwarding", "poor", "off: guests reach this machine only", remedy)


def _cgroups() -> Finding:
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return Finding("cgroups", "good", "version 2")
    if Path("/sys/fs/cgroup/memory").exists():
        return Finding("cgroups", "good", "version 1")
    return Finding("cgroups", "poor", "none", "mount cgroup2 at /sys/fs/cgroup, else guests have no CPU and memory limits")


def _disk(state_dir: Path) -> Finding:
    place = state_dir
    while not place.exists():
        place = place.parent
    free_gib = shutil.disk_usage(place).free // 1024**3
    if free_gib < DISK_GIB_MIN:
        return Finding("disk space", "poor", f"{free_gib} GiB free under {place}", "make room, or choose another --state-dir")
    return Finding("disk space", "good", f"{free_gib} GiB free under {place}")
