"""Guests of the packet tests: a namespace whose veth stands where a hypervisor would open the tap, and an outside world."""

import shutil
import socket
import struct
import subprocess
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from pileus.network.driver import PortSpec
from pileus.network.drivers.linux.assembly import AssembledHost
from pileus.network.drivers.linux.host import LinuxNetworkHost
from pileus.network.drivers.linux.names import bridge
from pileus.network.drivers.linux.netns import Namespace, names
from pileus.network.drivers.linux.rtnl import Rtnl, Veth
from pileus.network.drivers.linux.tunnels import TunnelSettings
from pileus.network.drivers.linux.uplink import UplinkSettings
from pileus.network.drivers.ovs.fabric import send_plain
from pileus.network.drivers.ovs.host import OvsNetworkHost

T = TypeVar("T")

_IP_MTU_DISCOVER, _NEVER_FRAGMENT = 10, 2


def run(namespace: Namespace, *command: str, timeout: float = 15) -> subprocess.CompletedProcess[str]:
    """Run a command in a namespace."""
    with namespace.entered():
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


@dataclass
class Guest:
    """A namespace with eth0 on the port's tap name."""

    namespace: Namespace
    port: PortSpec

    def configure(self, address: str, gateway: str | None = None) -> None:
        self.ip("addr", "add", address, "dev", "eth0")
        if gateway:
            self.ip("route", "add", "default", "via", gateway)

    def ip(self, *words: str) -> str:
        done = run(self.namespace, "ip", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def pings(self, address: str, *options: str) -> bool:
        return pings(self.namespace, address, *options)

    def dhcp(self) -> dict[str, str]:
        """A lease as busybox's client reports it; the address is not set."""
        shell = shutil.which("busybox") or "busybox"
        script = f"/tmp/{self.namespace.name}.dhcp"
        with open(script, "w") as file:
            file.write("#!/bin/sh\n[ $1 = bound ] && env\nexit 0\n")
        subprocess.run(["chmod", "755", script], check=True)
        command = [shell, "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "8", "-T", "1", "-O", "26", "-O", "121", "-s", script]
        done = run(self.namespace, *command, timeout=20)
        Path(script).unlink()
        return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def pings(namespace: Namespace, address: str, *options: str) -> bool:
    return run(namespace, "busybox", "ping", "-c", "1", "-W", "1", *options, address).returncode == 0


def pings_whole(namespace: Namespace, address: str, size_bytes: int, timeout: float = 1) -> bool:
    """Whether an echo request of this size (with its IP header) comes back without having been cut into fragments."""
    with namespace.entered():
        client = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with client:
        client.settimeout(timeout)
        client.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _NEVER_FRAGMENT)
        body = bytes(size_bytes - 28)
        checksum = 0xFFFF - 0x0800 - 0x1234
        try:
            client.sendto(struct.pack("!BBHHH", 8, 0, checksum, 0x1234, 0) + body, (address, 0))
            while True:
                answer = client.recv(65536)
                if answer[20] == 0 and len(answer) == size_bytes:
                    return True
        except OSError:
            return False


def connects(namespace: Namespace, address: str, port: int, timeout: float = 0.7) -> bool:
    with namespace.entered():
        client = socket.socket()
    client.settimeout(timeout)
    try:
        client.connect((address, port))
        return True
    except OSError:
        return False
    finally:
        client.close()


def listens(namespace: Namespace, port: int, address: str = "") -> socket.socket:
    with namespace.entered():
        server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, port))
    server.listen(16)
    return server


def inside(namespace: Namespace, do: Callable[[], T]) -> T:
    with namespace.entered():
        return do()


HAS_SWITCH = shutil.which("ovs-vswitchd", path="/usr/sbin:/usr/bin:/sbin:/bin") is not None
with_switch = pytest.mark.skipif(not HAS_SWITCH, reason="openvswitch-switch is not installed")


class Stage:
    """Everything of one test, by a prefix of its own; `clear` removes all of it. `kind` of the driver: linux, ovs or ovs-gre."""

    def __init__(self, kind: str = "linux") -> None:
        self.kind = kind
        self.prefix = f"t{uuid.uuid4().hex[:6]}"
        self.outside = Namespace(f"{self.prefix}-outside")
        self.outside.ensure()
        self.guests: list[Guest] = []
        self.drivers: list[AssembledHost] = []
        with Rtnl(self.outside) as outside:
            outside.set_link(1, up=True)
            outside.sync_addresses(1, ["127.0.0.1/8", "198.51.100.7/32"])

    def guest(self, port: PortSpec) -> Guest:
        """Put a veth in the place of the port's tap: same name, same place."""
        namespace = Namespace(f"{self.prefix}-guest-{len(self.guests)}")
        namespace.ensure()
        guest = Guest(namespace, port)
        self.guests.append(guest)
        namespace.sysctl({"ipv6/conf/all/accept_dad": 0, "ipv6/conf/default/accept_dad": 0})
        with Rtnl(Namespace(self.prefix)) as host, Rtnl(namespace) as inner:
            tap, master = host.link(port.tap), host.link(bridge(port.network_id))
            assert tap
            assert master or self.kind != "linux"
            host.delete_link(port.tap)
            host.add_veth(Veth(port.tap, "eth0", tap.mtu, port.mac, master.index if master else 0), namespace)
            link = host.link(port.tap)
            assert link
            host.set_link(link.index, up=True)
            inner.set_link(1, up=True)
            eth0 = inner.link("eth0")
            assert eth0
            inner.set_link(eth0.index, up=True)
        if self.kind != "linux":
            inside(namespace, lambda: send_plain("eth0"))
            self.drivers[-1].observe()  # the switch still has the tap that was there before
            self.drivers[-1].ensure_port(port)
        return guest

    def driver(
        self, state_dir: Path, uplink: UplinkSettings | None = None, tunnel: TunnelSettings | None = None
    ) -> AssembledHost:
        """A driver as a new process would have it."""
        if self.kind == "linux":
            self.drivers.append(LinuxNetworkHost(self.prefix, state_dir, uplink, tunnel=tunnel))
        else:
            tunnel_type = "gre" if self.kind == "ovs-gre" else "vxlan"
            self.drivers.append(OvsNetworkHost(self.prefix, state_dir, uplink, tunnel=tunnel, tunnel_type=tunnel_type))
        return self.drivers[-1]

    def appctl(self, state_dir: Path, *words: str) -> str:
        """What the switch of a driver answers."""
        done = subprocess.run(
            ["ovs-appctl", "-t", str(state_dir / "ovs" / "ovs-vswitchd.ctl"), *words],
            capture_output=True, text=True, timeout=15, check=True,
        )  # fmt: skip
        return done.stdout

    def clear(self) -> None:
        for name in names(self.prefix):
            with suppress(OSError):
                Namespace(name).destroy()
