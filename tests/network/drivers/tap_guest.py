"""A guest that holds its port's tap open as a hypervisor does, and answers ARP, echo requests and TCP's SYN by itself."""

import fcntl
import os
import select
import struct
import threading
from ipaddress import ip_interface

from pileus.network.driver import PortSpec
from pileus.network.drivers.linux.netns import Namespace

_TUNSETIFF, _TAP, _NO_PI = 0x400454CA, 0x0002, 0x1000
_ARP, _IPV4 = 0x0806, 0x0800
_ICMP, _TCP = 1, 6
_SYN, _SYN_ACK = 0x02, 0x12


class TapGuest:
    """Answers until it is closed; `heard` counts the requests by protocol that reached it."""

    def __init__(self, host: Namespace, port: PortSpec, address: str) -> None:
        self.heard = {_ICMP: 0, _TCP: 0}
        self._mac = bytes.fromhex(port.mac.replace(":", ""))
        self._address = ip_interface(address).ip.packed
        with host.entered():
            self._device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(self._device, _TUNSETIFF, struct.pack("16sH22x", port.tap.encode(), _TAP | _NO_PI))
        self._stop, self._stopping = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.write(self._stopping, b"x")
        self._thread.join(5)
        for each in (self._device, self._stop, self._stopping):
            os.close(each)

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._device, self._stop], [], [])
            if self._stop in ready:
                return
            frame = os.read(self._device, 65536)
            if answer := self._answer(frame[6:12], struct.unpack("!H", frame[12:14])[0], frame[14:]):
                os.write(self._device, answer)

    def _answer(self, sender: bytes, kind: int, body: bytes) -> bytes | None:
        head = sender + self._mac + struct.pack("!H", kind)
        if kind == _ARP and body[6:8] == b"\0\1" and body[24:28] == self._address:
            return head + body[:6] + b"\0\2" + self._mac + self._address + body[8:18]
        if kind == _IPV4 and body[16:20] == self._address and (payload := self._payload(body)):
            lengths = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, body[9], 0)
            packet = lengths + self._address + body[12:16]
            return head + packet[:10] + struct.pack("!H", _checksum(packet)) + packet[12:] + payload
        return None

    def _payload(self, body: bytes) -> bytes | None:
        asked = body[(body[0] & 15) * 4 : struct.unpack("!H", body[2:4])[0]]
        if body[9] == _ICMP and asked[0] == 8:
            self.heard[_ICMP] += 1
            echo = b"\0\0\0\0" + asked[4:]
            return echo[:2] + struct.pack("!H", _checksum(echo)) + echo[4:]
        if body[9] == _TCP and asked[13] == _SYN:
            self.heard[_TCP] += 1
            next_number = (struct.unpack("!I", asked[4:8])[0] + 1) & 0xFFFFFFFF
            segment = asked[2:4] + asked[:2] + struct.pack("!IIBBHHH", 1, next_number, 0x50, _SYN_ACK, 65535, 0, 0)
            pseudo = self._address + body[12:16] + struct.pack("!BBH", 0, _TCP, len(segment))
            return segment[:16] + struct.pack("!H", _checksum(pseudo + segment)) + segment[18:]
        return None


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
