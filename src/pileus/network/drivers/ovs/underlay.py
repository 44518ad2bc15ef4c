"""The way of tunnels to the physical network, which is in another namespace, and whose interface stays the machine's own.

br-phy has the address and the MAC that the machine has there. nftables hand over to it, before the machine sees them, the packets
of tunnels for that address and a copy of each answer to a question for an address; what br-phy sends goes out of the machine's
interface as it is. So the machine needs no second address, nothing is translated and nothing is routed.
"""

import contextlib
import json
import socket
import subprocess
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface

from pileus.network.driver import NetworkDriverError
from pileus.network.drivers.linux.netns import Namespace
from pileus.network.drivers.linux.nft import Nft
from pileus.network.drivers.linux.rtnl import Link, Route, Rtnl, Veth
from pileus.network.drivers.linux.tunnels import PORT, TunnelSettings
from pileus.network.drivers.ovs.daemons import Daemons
from pileus.network.drivers.ovs.layout import Kind
from pileus.network.drivers.ovs.wire import Interface

BRIDGE, NEAR = "br-phy", "v-phy"
ROUTE_SECONDS = 10
_DISCARD = 9


@dataclass(frozen=True)
class _Physical:
    """The machine's interface, its address with prefix, and the routers that it knows there."""

    link: Link
    address: str
    routes: frozenset[tuple[str, str]]


class Underlay:
    """Makes the way. May be called from several threads."""

    def __init__(self, prefix: str, host: Namespace, daemons: Daemons, settings: TunnelSettings, kind: Kind) -> None:
        self._prefix, self._host, self._daemons, self._settings, self._kind = prefix, host, daemons, settings, kind
        self._physical = Namespace(settings.netns)
        self._nft = Nft(self._physical)
        self._far = f"{prefix}-phy"
        self._lock = threading.Lock()

    def ensure(self) -> None:
        """Make it. :raises NetworkDriverError: if no interface of the machine has the address."""
        with self._lock:
            physical = self._look()
            self._ensure_bridge(physical)
            with self._physical.entered():  # where the names of devices are looked up
                self._nft.run(self._ruleset(physical))

    def greet(self, hosts: Iterable[str]) -> None:
        """Have other hosts' MACs known before the first packet for them, which is lost otherwise."""
        with self._host.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
            for host in hosts:
                with contextlib.suppress(OSError):
                    asking.sendto(b"", (host, _DISCARD))  # it goes no further than br-phy, but its question for the MAC does

    def is_whole(self) -> bool:
        """Whether it is as made."""
        with self._lock:
            try:
                physical = self._look()
            except NetworkDriverError:  # its interface is gone
                return False
            with Rtnl(self._host) as host:
                links = host.links()
                bridge, near = links.get(BRIDGE), links.get(NEAR)
                if bridge is None or near is None or not near.up or not bridge.up or bridge.mac != physical.link.mac:
                    return False
                if physical.address not in host.addresses(bridge.index):
                    return False
            row = self._daemons.database.interfaces().get(NEAR)
            if row is None or row.index != near.index or row.number < 1:
                return False
            with self._physical.entered():
                chains = self._nft.run("list chains netdev").replace('"', "")
            return f"table netdev {self._prefix} " in chains and f"device {physical.link.name} " in chains

    def destroy(self) -> None:
        """Remove it."""
        with self._lock:
            self._nft.run(f"add table netdev {self._prefix}\ndelete table netdev {self._prefix}")
            with Rtnl(self._physical) as outside:
                outside.delete_link(self._far)

    def close(self) -> None:
        """Let go of the physical network."""
        self._physical.close()

    def _ensure_bridge(self, physical: _Physical) -> None:
        mac, mtu = physical.link.mac, physical.link.mtu
        self._daemons.vsctl(
            "--may-exist", "add-br", BRIDGE, "--", "set", "bridge", BRIDGE, f"datapath_type={self._kind}",
            f'other_config:hwaddr="{mac}"',
        )  # fmt: skip
        with Rtnl(self._host) as host, Rtnl(self._physical) as outside:
            near, far = host.link(NEAR), outside.link(self._far)
            if near is None or far is None:
                host.delete_link(NEAR)
                outside.delete_link(self._far)
                host.add_veth(Veth(NEAR, self._far, mtu), self._physical)
                near, far = host.link(NEAR), outside.link(self._far)
            assert near
            assert far
            host.set_link(near.index, up=True, mtu=mtu)
            outside.set_link(far.index, up=True, mtu=mtu)
            row = self._daemons.database.interfaces().get(NEAR)
            if row is None or row.index != near.index or row.number < 1:
                self._daemons.database.remove(BRIDGE, NEAR)
                self._daemons.database.add(BRIDGE, Interface(NEAR, 1, near.index))
            bridge = host.link(BRIDGE)
            assert bridge
            host.set_link(bridge.index, up=True, mtu=mtu)
            host.sync_addresses(bridge.index, [physical.address])
            host.sync_routes({Route(destination, nexthop, bridge.index) for destination, nexthop in physical.routes})

    def _look(self) -> _Physical:
        address = ip_address(self._settings.address)
        if address.version != 4:
            raise NetworkDriverError(f"tunnels of Open vSwitch need an address of IPv4, not {address}")
        with Rtnl(self._physical) as outside:
            for link in outside.links().values():
                for text in outside.addresses(link.index) if link.name != self._far else ():
                    if ip_interface(text).ip == address:
                        return _Physical(link, text, self._routes(link))
        raise NetworkDriverError(f"no interface of this machine has the address {address}, where tunnels end")

    def _routes(self, link: Link) -> frozenset[tuple[str, str]]:
        """The routes with a next hop by an interface, whoever made them."""
        with self._physical.entered():
            done = subprocess.run(
                ["ip", "-j", "-4", "route", "show", "dev", link.name],
                capture_output=True, text=True, timeout=ROUTE_SECONDS, check=False,
            )  # fmt: skip
        listed = json.loads(done.stdout or "[]") if done.returncode == 0 else []
        every = {
            ("0.0.0.0/0" if each["dst"] == "default" else each["dst"], each["gateway"]) for each in listed if "gateway" in each
        }
        return frozenset((to if "/" in to else f"{to}/32", gateway) for to, gateway in every)

    def _ruleset(self, physical: _Physical) -> str:
        table, device, address = f"netdev {self._prefix}", physical.link.name, self._settings.address
        return f"""add table {table}
delete table {table}
table {table} {{
  chain into {{ type filter hook ingress device "{device}" priority -150; policy accept;
    ip daddr {address} udp dport {PORT} fwd to "{self._far}"
    ip daddr {address} ip protocol 47 fwd to "{self._far}"
    arp operation reply arp daddr ip {address} dup to "{self._far}"
  }}
  chain out {{ type filter hook ingress device "{self._far}" priority -150; policy accept;
    ip saddr {address} udp dport {PORT} fwd to "{device}"
    ip saddr {address} ip protocol 47 fwd to "{device}"
    ether type arp fwd to "{device}"
    drop
  }}
}}
"""
