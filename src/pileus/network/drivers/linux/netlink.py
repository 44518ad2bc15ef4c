"""The netlink wire: messages, attributes, requests and dumps. `rtnl` and `conntrack` say what is asked over it.

Written out because the few requests needed fit in a page, take tens of microseconds and cost no import time.
Format: linux/netlink.h; attributes are (u16 length, u16 type, value padded to 4 bytes), numbers in host order.
"""

import os
import socket
import struct
from collections.abc import Iterator
from typing import Self

from pileus.network.drivers.linux.netns import Namespace

REQUEST, ACK, DUMP, REPLACE, EXCLUSIVE, CREATE = 0x1, 0x4, 0x300, 0x100, 0x200, 0x400
ROUTE, NETFILTER = 0, 12
_ERROR, _DONE = 2, 3
_NESTED = 0x8000
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")


def attribute(kind: int, value: bytes | int | str) -> bytes:
    """One attribute; a number as u32, a text with its final zero."""
    if isinstance(value, int):
        value = struct.pack("=I", value)
    elif isinstance(value, str):
        value = value.encode() + b"\0"
    padding = b"\0" * (-len(value) % 4)
    return _ATTRIBUTE.pack(len(value) + 4, kind) + value + padding


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds others."""
    return attribute(kind | _NESTED, b"".join(attributes))


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in `data`, by type; the last of a type wins."""
    found: dict[int, bytes] = {}
    offset, end = 0, len(data)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


class Netlink:
    """A netlink socket in a namespace, to be used by one thread and closed soon (`with`)."""

    def __init__(self, namespace: Namespace, protocol: int = ROUTE) -> None:
        with namespace.entered():
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def request(self, kind: int, payload: bytes, flags: int = 0) -> None:
        """Ask for a change. :raises OSError: with the kernel's error number."""
        for _ in self._exchange(kind, payload, flags | ACK):
            pass

    def get(self, kind: int, payload: bytes) -> bytes:
        """Ask for one object. :raises OSError: with the kernel's error number."""
        return next(iter(list(self._exchange(kind, payload, ACK))))

    def dump(self, kind: int, payload: bytes) -> Iterator[bytes]:
        """Ask for all objects of a kind."""
        return self._exchange(kind, payload, DUMP)

    def _exchange(self, kind: int, payload: bytes, flags: int) -> Iterator[bytes]:
        self._sequence += 1
        self._socket.send(_HEADER.pack(_HEADER.size + len(payload), kind, flags | REQUEST, self._sequence, 0) + payload)
        while True:
            data = self._socket.recv(262144)
            offset = 0
            while offset < len(data):
                length, answer, _flags, sequence, _port = _HEADER.unpack_from(data, offset)
                body = data[offset + _HEADER.size : offset + length]
                offset += (length + 3) & ~3
                if sequence != self._sequence:
                    continue  # what is left of a dump that was given up
                if answer == _DONE:
                    return
                if answer == _ERROR:
                    code = -struct.unpack_from("=i", body)[0]
                    if code:
                        raise OSError(code, os.strerror(code))
                    return
                yield body
