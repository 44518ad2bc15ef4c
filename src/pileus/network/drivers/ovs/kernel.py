"""Whether this kernel has Open vSwitch's datapath.

Format: linux/genetlink.h (a family is asked for by name).
"""

import errno
import shutil
import struct
import subprocess

from pileus.network.drivers.linux.netlink import Netlink, attribute
from pileus.network.drivers.linux.netns import Namespace

_GENERIC, _CONTROL, _GET_FAMILY, _FAMILY_NAME = 16, 0x10, 3, 2
FAMILY = "ovs_datapath"
LOAD_SECONDS = 10


def has_datapath() -> bool:
    """Whether it is there, or comes when its module is loaded."""
    if _known():
        return True
    if not shutil.which("modprobe", path="/usr/sbin:/sbin:/usr/bin:/bin"):
        return False
    try:
        done = subprocess.run(["modprobe", "-q", "openvswitch"], timeout=LOAD_SECONDS, check=False, capture_output=True)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and _known()


def _known() -> bool:
    with Netlink(Namespace(None), _GENERIC) as netlink:
        try:
            netlink.get(_CONTROL, struct.pack("=BBH", _GET_FAMILY, 1, 0) + attribute(_FAMILY_NAME, FAMILY))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EPROTONOSUPPORT):
                raise
            return False
    return True
