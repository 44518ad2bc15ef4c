"""How a host runs guests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class QemuOptions:
    """How this host runs guests.  `netns` is the network namespace where their taps are; None: that of the caller.

    `plain_frames`: what the taps lead to takes whole frames only, so guests send no larger ones to be cut.
    """

    directory: Path
    netns: str | None = None
    virt_type: Literal["auto", "kvm", "qemu"] = "auto"
    cgroup_prefix: str = "pileus"
    qemu: str = "qemu-system-x86_64"
    qemu_img: str = "qemu-img"
    cpu_model: str = ""
    tcg_cache_mib: int = 64
    shutdown_seconds: float = 60.0
    unplug_seconds: float = 10.0
    start_seconds: float = 30.0
    plain_frames: bool = False
