"""Traffic control of interfaces over rtnetlink: a rate for what goes out of one, and programs at where frames come in.

Format: linux/pkt_sched.h, pkt_cls.h.
"""

import errno
import os
import struct
from dataclasses import dataclass

from pileus.network.driver import Qos
from pileus.network.drivers.linux import bpf
from pileus.network.drivers.linux.netlink import CREATE, EXCLUSIVE, REPLACE, attribute, attributes, nested
from pileus.network.drivers.linux.rtnl import Rtnl, suppress_errno

_NEWQDISC, _DELQDISC, _GETQDISC, _NEWFILTER, _GETFILTER = 36, 37, 38, 44, 46
_KIND, _OPTIONS = 1, 2
_TBF_PARMS, _TBF_RATE64, _TBF_BURST = 1, 4, 6
_BPF_FD, _BPF_NAME, _BPF_FLAGS, _DIRECT = 6, 7, 8, 1
_ROOT, _CLSACT, _INGRESS = 0xFFFFFFFF, 0xFFFFFFF1, 0xFFFFFFF2
_CLSACT_HANDLE, _SHAPER_HANDLE = 0xFFFF0000, 0x10000
_MESSAGE = struct.Struct("=BxxxiIII")
_ETHERNET = 1  # the link layer of a rate, so that no table of its own is needed
_ALL_FRAMES = 0x0300  # ETH_P_ALL in network order
_LATENCY_SECONDS, _LEAST_BURST_BYTES, _MOST = 0.05, 15_000, 2**32 - 1


@dataclass(frozen=True)
class Shape:
    """A rate and a burst, in bytes (a second)."""

    rate: int
    burst: int


def shape_of(kbps: int, burst_kbit: int) -> Shape:
    """What a limit comes to; without a burst, 80 % of what passes in a second, as neutron has it."""
    rate = kbps * 125
    return Shape(rate, min(max(burst_kbit * 125 or rate * 4 // 5, _LEAST_BURST_BYTES), _MOST))


def wanted_shape(qos: Qos | None) -> Shape | None:
    """The rate at which frames go out of a port's tap, into the guest; None: any."""
    return shape_of(qos.ingress_kbps, qos.ingress_burst_kbit) if qos and qos.ingress_kbps else None


def shapes(rtnl: Rtnl) -> dict[int, Shape]:
    """The rates of all interfaces that have one, by index."""
    found = {}
    for body in rtnl.dump(_GETQDISC, _MESSAGE.pack(0, 0, 0, 0, 0)):
        _family, index, _handle, parent, _info = _MESSAGE.unpack_from(body)
        parts = attributes(body[_MESSAGE.size :])
        if parts.get(_KIND) != b"tbf\0" or parent != _ROOT:
            continue
        options = attributes(parts[_OPTIONS])
        parameters = options[_TBF_PARMS]
        rate = struct.unpack_from("=I", parameters, 8)[0]
        if _TBF_RATE64 in options:
            rate = struct.unpack("=Q", options[_TBF_RATE64])[0]
        ticks = struct.unpack_from("=I", parameters, 28)[0]
        found[index] = Shape(rate, _burst(rate, ticks))
    return found


def _burst(rate: int, ticks: int) -> int:
    """Bytes that pass in so many of the scheduler's ticks, of 64 ns."""
    return rate * ticks * 64 // 1_000_000_000


def same(one: Shape | None, other: Shape | None) -> bool:
    """Whether two rates are the same but for rounding."""
    if one is None or other is None:
        return one is other
    return one.rate == other.rate and abs(one.burst - other.burst) <= max(one.burst // 50, 1500)


def set_shape(rtnl: Rtnl, index: int, shape: Shape | None) -> None:
    """Let frames go out of an interface at a rate, or at any."""
    message = _MESSAGE.pack(0, index, _SHAPER_HANDLE, _ROOT, 0)
    if shape is None:
        with suppress_errno(errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP):
            rtnl.request(_DELQDISC, _MESSAGE.pack(0, index, 0, _ROOT, 0))
        return
    limit = min(int(shape.rate * _LATENCY_SECONDS) + shape.burst, _MOST)
    low = min(shape.rate, _MOST)
    rate, peak = struct.pack("=BBHhHI", 0, _ETHERNET, 0, 0, 0, low), bytes(12)
    options = [attribute(_TBF_PARMS, rate + peak + struct.pack("=III", limit, 0, 0)), attribute(_TBF_BURST, shape.burst)]
    if shape.rate > _MOST:
        options.append(attribute(_TBF_RATE64, struct.pack("=Q", shape.rate)))
    rtnl.request(_NEWQDISC, message + attribute(_KIND, "tbf") + nested(_OPTIONS, *options), CREATE | REPLACE)


def run_at_entry(rtnl: Rtnl, index: int, number: int, program: bytes) -> None:
    """Let a program decide about frames that come in by an interface; `number` tells it from others there."""
    with suppress_errno(errno.EEXIST):
        message = _MESSAGE.pack(0, index, _CLSACT_HANDLE, _CLSACT, 0)
        rtnl.request(_NEWQDISC, message + attribute(_KIND, "clsact"), CREATE | EXCLUSIVE)
    descriptor = bpf.load(program)
    try:
        options = nested(
            _OPTIONS, attribute(_BPF_FD, descriptor), attribute(_BPF_NAME, "pileus"), attribute(_BPF_FLAGS, _DIRECT)
        )  # fmt: skip
        message = _MESSAGE.pack(0, index, 1, _INGRESS, number << 16 | _ALL_FRAMES)
        rtnl.request(_NEWFILTER, message + attribute(_KIND, "bpf") + options, CREATE | REPLACE)
    finally:
        os.close(descriptor)


def stop_at_entry(rtnl: Rtnl, index: int, number: int) -> None:
    """Take a program away, if it is there."""
    with suppress_errno(errno.ENOENT, errno.EINVAL, errno.ENODEV):
        rtnl.request(_NEWFILTER + 1, _MESSAGE.pack(0, index, 0, _INGRESS, number << 16 | _ALL_FRAMES))


def at_entry(rtnl: Rtnl, index: int) -> set[int]:
    """The numbers of the programs at an interface."""
    found = set()
    with suppress_errno(errno.EINVAL, errno.ENODEV, errno.ENOENT):
        for body in rtnl.dump(_GETFILTER, _MESSAGE.pack(0, index, 0, _INGRESS, 0)):
            info = _MESSAGE.unpack_from(body)[4]
            if attributes(body[_MESSAGE.size :]).get(_KIND) == b"bpf\0":
                found.add(info >> 16)
    return found
