"""Two small programs for the kernel's traffic control, which move frames between a trunk's tap and the ends of carried ports.

They need no kernel module for VLANs. Instructions: linux/bpf.h; each is (operation, destination | source << 4, offset, constant).
"""

import ctypes
import os
import platform
import struct

from pileus.network.driver import NetworkDriverError

_SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361}
_PROG_LOAD, _SCHED_CLS = 5, 3
_LOAD_WORD, _MOVE, _MOVE_REGISTER, _AND, _JUMP_NOT_EQUAL, _CALL, _EXIT = 0x61, 0xB7, 0xBF, 0x57, 0x55, 0x85, 0x95
_VLAN_PRESENT, _VLAN_TCI = 20, 24  # offsets in struct __sk_buff
_VLAN_PUSH, _VLAN_POP, _REDIRECT = 18, 19, 23
_NEXT_FILTER = -1
_8021Q = 0x0081  # in network order on little-endian machines


def _instruction(operation: int, destination: int = 0, source: int = 0, offset: int = 0, constant: int = 0) -> bytes:
    return struct.pack("=BBhi", operation, destination | source << 4, offset, constant)


def unwrap(vlan: int, link: int) -> bytes:
    """Frames of a VLAN go, without its tag, out of a link; others go on to the next filter."""
    return b"".join([
        _instruction(_MOVE_REGISTER, 6, 1),
        _instruction(_LOAD_WORD, 2, 6, _VLAN_PRESENT),
        _instruction(_MOVE, 0, constant=_NEXT_FILTER),
        _instruction(0x15, 2, offset=8),  # no tag: to the end
        _instruction(_LOAD_WORD, 2, 6, _VLAN_TCI),
        _instruction(_AND, 2, constant=0xFFF),
        _instruction(_JUMP_NOT_EQUAL, 2, offset=5, constant=vlan),
        _instruction(_MOVE_REGISTER, 1, 6),
        _instruction(_CALL, constant=_VLAN_POP),
        _instruction(_MOVE, 1, constant=link),
        _instruction(_MOVE, 2),
        _instruction(_CALL, constant=_REDIRECT),
        _instruction(_EXIT),
    ])  # fmt: skip


def wrap(vlan: int, link: int) -> bytes:
    """All frames go out of a link with the tag of a VLAN."""
    return b"".join([
        _instruction(_MOVE, 2, constant=_8021Q),
        _instruction(_MOVE, 3, constant=vlan),
        _instruction(_CALL, constant=_VLAN_PUSH),
        _instruction(_MOVE, 1, constant=link),
        _instruction(_MOVE, 2),
        _instruction(_CALL, constant=_REDIRECT),
        _instruction(_EXIT),
    ])  # fmt: skip


def load(program: bytes) -> int:
    """Hand a program to the kernel; returns its descriptor. :raises NetworkDriverError: with what its verifier said."""
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise NetworkDriverError(f"trunks are not known to work on {platform.machine()}")
    code, words = ctypes.create_string_buffer(program), ctypes.create_string_buffer(b"GPL")
    said = ctypes.create_string_buffer(4096)
    request = struct.pack(
        "=IIQQIIQIIQII", _SCHED_CLS, len(program) // 8, ctypes.addressof(code), ctypes.addressof(words), 1, len(said),
        ctypes.addressof(said), 0, 0, 0, 0, 0,
    )  # fmt: skip
    library = ctypes.CDLL(None, use_errno=True)
    found = int(library.syscall(number, _PROG_LOAD, ctypes.create_string_buffer(request), len(request)))
    if found < 0:
        why = os.strerror(ctypes.get_errno())
        raise NetworkDriverError(f"the kernel takes no program for trunks: {why} {said.value.decode(errors='replace')[-500:]}")
    return found
