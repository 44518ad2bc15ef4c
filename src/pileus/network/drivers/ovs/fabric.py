"""Interfaces on br-int: those of DHCP, routers and the outside, and the taps of guests.

An interface is plugged anew when the switch has another device under its name than is there now, so one that somebody deleted and
that was made again works again.
"""

import ctypes
import fcntl
import socket
import struct
import threading
from collections.abc import Iterable

from pileus.network.driver import NetworkSpec, NotOnHostError, PortSpec
from pileus.network.drivers.linux.fabric import Plug
from pileus.network.drivers.linux.names import checked_device
from pileus.network.drivers.linux.netns import Namespace
from pileus.network.drivers.linux.rtnl import Link, Rtnl, add_tap
from pileus.network.drivers.ovs.daemons import Daemons
from pileus.network.drivers.ovs.layout import INNER
from pileus.network.drivers.ovs.switch import Switch
from pileus.network.drivers.ovs.underlay import Underlay
from pileus.network.drivers.ovs.wire import Interface, Row

_ETHTOOL = 0x8946
_TX_CHECKSUMS, _SCATTER, _TCP_SEGMENTS, _SEGMENTS = 0x17, 0x19, 0x1F, 0x24


class Switched:
    """All networks on one switch. `plain`: frames must be whole when they come to it (the datapath is in a process)."""

    def __init__(self, host: Namespace, daemons: Daemons, switch: Switch, underlay: Underlay | None, plain: bool) -> None:
        self._host, self._daemons, self._switch = host, daemons, switch
        self._underlay, self._plain = underlay, plain
        self._rows: dict[str, Row] = {}
        self._looks = -1  # at which look at the host the rows were read
        self._lock = threading.Lock()

    def ensure_network(self, network: NetworkSpec) -> None:
        """See `Fabric`; the flows of the network are there already."""
        if self._underlay and _spans_hosts(network):
            self._underlay.ensure()
            self._underlay.greet({remote.host for remote in network.remotes})

    def network_is_whole(self, network: NetworkSpec, links: dict[str, Link]) -> bool:
        """See `Fabric`."""
        return self._underlay is None or not _spans_hosts(network) or self._underlay.is_whole()

    def destroy_network(self, network_id: str) -> None:
        """See `Fabric`."""

    def require(self, network_id: str) -> None:
        """See `Fabric`."""
        if not self._switch.has(network_id):
            raise NotOnHostError(f"network {network_id} is not on this host")

    def plug(self, plug: Plug) -> None:
        """See `Fabric`."""
        self.require(plug.network_id)
        self._switch.set_leg(plug.device, plug.network_id, plug.mac)
        self.attach(plug, {"pileus-network": plug.network_id})

    def attach(self, plug: Plug, facts: dict[str, str]) -> None:
        """Have an interface on the switch, up or down; its flows are there already."""
        numbers = self._switch.numbers
        with Rtnl(self._host) as host:
            link = host.link(plug.device)
            assert link
            host.set_link(link.index, plug.up, plug.mtu)
        wanted = Row(numbers.of("port", plug.device), link.index, numbers.of("tag", plug.network_id))
        with self._lock:
            if self._row(plug.device) == wanted:
                return
            database = self._daemons.database
            if plug.device in self._rows:
                database.remove(INNER, plug.device)
            database.add(INNER, Interface(plug.device, wanted.number, wanted.index, wanted.tag, facts))
            self._rows.pop(plug.device, None)

    def holds(self, plug: Plug, links: dict[str, Link]) -> bool:
        """See `Fabric`."""
        link, numbers = links.get(plug.device), self._switch.numbers
        if link is None or link.up != plug.up:
            return False
        wanted = Row(numbers.known("port", plug.device) or 0, link.index, numbers.known("tag", plug.network_id) or 0)
        with self._lock:
            if self._looks != self._switch.looks:
                self._looks = self._switch.looks
                self._row(plug.device)
            return self._rows.get(plug.device) == wanted or self._row(plug.device) == wanted

    def unplug(self, device: str) -> None:
        """See `Fabric`."""
        if self._switch.numbers.known("port", device) is not None:
            self.detach(device)
            self._switch.remove_leg(device)

    def detach(self, device: str) -> None:
        """Take an interface from the switch."""
        with self._lock:
            self._rows.pop(device, None)
            self._daemons.database.remove(INNER, device)

    def turn(self, network_id: str, macs: Iterable[str], tap: str) -> None:
        """See `Fabric`: the flows of the network know it already."""

    def prepare(self, namespace: Namespace, device: str) -> None:
        """See `Fabric`: whoever speaks there computes checksums and cuts segments itself."""
        if self._plain:
            with namespace.entered():
                send_plain(device)

    def close(self) -> None:
        """See `Fabric`."""
        if self._underlay:
            self._underlay.close()

    def _row(self, device: str) -> Row | None:
        """An interface as the switch has it now."""
        self._rows = self._daemons.database.interfaces()
        return self._rows.get(device)


class SwitchedTaps:
    """The taps of ports on the switch. What a trunk carries has none: its frames go by flows."""

    def __init__(self, host: Namespace, fabric: Switched) -> None:
        self._host, self._fabric = host, fabric

    def wire(self, port: PortSpec, before: PortSpec | None, mtu: int) -> None:
        """See `Plugs`."""
        if before and (before.tap != port.tap or bool(before.carrier) != bool(port.carrier)):
            self.unwire(before)
        self._fabric.require(port.network_id)
        with Rtnl(self._host) as host:
            if port.carrier:
                if host.link(port.carrier.tap) is None:
                    raise NotOnHostError(f"the port that carries {port.id} is not on this host")
                return
            if host.link(port.tap) is None:
                add_tap(self._host, checked_device(port.tap))
        facts = {"iface-id": port.id, "attached-mac": port.mac, "iface-status": "active", "pileus-network": port.network_id}
        self._fabric.attach(_plug(port, mtu), facts)

    def unwire(self, port: PortSpec) -> None:
        """See `Plugs`."""
        if port.carrier:
            return
        self._fabric.detach(port.tap)
        with Rtnl(self._host) as host:
            host.delete_link(port.tap)

    def is_whole(self, port: PortSpec, links: dict[str, Link]) -> bool:
        """See `Plugs`."""
        if port.carrier:
            return port.carrier.tap in links
        tap = links.get(port.tap)
        return tap is not None and self._fabric.holds(_plug(port, tap.mtu), links)


def send_plain(device: str) -> None:
    """Have an interface of this thread's namespace send whole frames, not larger ones to be cut, nor ones without checksum."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        for command in (_TX_CHECKSUMS, _TCP_SEGMENTS, _SEGMENTS, _SCATTER):
            value = ctypes.create_string_buffer(struct.pack("=II", command, 0))
            try:
                fcntl.ioctl(asking, _ETHTOOL, struct.pack("16sP16x", device.encode(), ctypes.addressof(value)))
            except OSError:  # it has never done so
                continue


def _spans_hosts(network: NetworkSpec) -> bool:
    return network.segment is not None and not network.external


def _plug(port: PortSpec, mtu: int) -> Plug:
    return Plug(port.tap, port.network_id, mtu, port.admin_up, port.mac)
