"""A `ping` for machines that have none: tempest calls `ping -c1 -w1 [-M do -s SIZE] ADDRESS`.  Needs root, for a raw socket."""

import argparse
import os
import socket
import struct
import sys
import time

ECHO_REQUEST, ECHO_REPLY = 8, 0
IP_MTU_DISCOVER, NEVER_FRAGMENT = 10, 2
HEADER_BYTES = 8


def main() -> int:
    """Send one echo request; returns 0 when it is answered in time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-c", default="1", help="how often; once is all that is done")
    parser.add_argument("-w", type=float, default=1.0, help="seconds to wait")
    parser.add_argument("-M", default="", help="do: never fragment")
    parser.add_argument("-s", type=int, default=56, help="bytes of payload")
    parser.add_argument("address")
    asked = parser.parse_args()
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        if asked.M == "do":
            raw.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, NEVER_FRAGMENT)
        mark = os.getpid() & 0xFFFF
        try:
            raw.sendto(_request(mark, bytes(asked.s)), (asked.address, 0))
        except OSError as error:
            print(error, file=sys.stderr)
            return 2
        return 0 if _is_answered(raw, asked.address, mark, time.monotonic() + asked.w) else 1


def _request(mark: int, payload: bytes) -> bytes:
    bare = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, mark, 1) + payload
    total = sum(struct.unpack(f"!{len(bare + bytes(len(bare) % 2)) // 2}H", bare + bytes(len(bare) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBHHH", ECHO_REQUEST, 0, ~total & 0xFFFF, mark, 1) + payload


def _is_answered(raw: socket.socket, address: str, mark: int, until: float) -> bool:
    while (left := until - time.monotonic()) > 0:
        raw.settimeout(left)
        try:
            packet, (sender, _) = raw.recvfrom(65536)
        except TimeoutError:
            return False
        answer = packet[(packet[0] & 15) * 4 :][:HEADER_BYTES]
        if sender == address and (answer[0], struct.unpack("!H", answer[4:6])[0]) == (ECHO_REPLY, mark):
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
