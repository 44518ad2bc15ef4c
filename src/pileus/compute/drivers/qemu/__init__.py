"""Guests as QEMU processes of their own, told what to do over QMP.

hypervisor   the contract: which guest needs what done
place        the directory of a guest: where its files are, and the record of how it was started
command      a spec as the arguments of QEMU
disks        overlays and blank disks;  config_drive  the ISO with the guest's metadata
process      starting, finding again and ending a QEMU;  netns  doing so in a network namespace
cgroups      limits of CPU, memory and processes
watch        one thread that holds the QMP connections of all guests and sees them change
counters     what a guest has used
live         what is done to a guest that runs: plug NICs, save and load memory, copy the disk
host         what the host has and can
relays       ways to volumes that other hosts serve
moving       guests that go to another host while they run: departures (from here), arrivals (to here), mirrors (their disks)
"""

from pileus.compute.drivers.qemu.moving import MovingQemuHypervisor as QemuHypervisor
from pileus.compute.drivers.qemu.moving import Reach
from pileus.compute.drivers.qemu.options import QemuOptions

__all__ = ["QemuHypervisor", "QemuOptions", "Reach"]
