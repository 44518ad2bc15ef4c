"""The taps of ports in the bridges of their networks, with their rates and their ways through trunks."""

from pileus.network.driver import PortSpec
from pileus.network.drivers.linux import traffic, trunks
from pileus.network.drivers.linux.fabric import Fabric, Plug
from pileus.network.drivers.linux.names import checked_device
from pileus.network.drivers.linux.netns import Namespace
from pileus.network.drivers.linux.rtnl import Link, Rtnl, add_tap


class BridgedTaps:
    """Makes and looks after taps. The caller holds the lock of the port."""

    def __init__(self, host: Namespace, fabric: Fabric) -> None:
        self._host, self._fabric = host, fabric

    def wire(self, port: PortSpec, before: PortSpec | None, mtu: int) -> None:
        """See `Plugs`."""
        if before and (before.tap != port.tap or before.carrier != port.carrier):
            self.unwire(before)
        self._fabric.require(port.network_id)
        with Rtnl(self._host) as host:
            if port.carrier:
                trunks.ensure_pair(host, self._host, port, mtu)
            elif host.link(port.tap) is None:
                add_tap(self._host, checked_device(port.tap))
            self._fabric.plug(_plug(port, mtu))
            tap = host.link(port.tap)
            assert tap
            shape = traffic.wanted_shape(port.qos)
            if not traffic.same(traffic.shapes(host).get(tap.index) if shape or before else None, shape):
                traffic.set_shape(host, tap.index, shape)
            if port.carrier:
                trunks.ensure_way(host, port, port.carrier, mtu)

    def unwire(self, port: PortSpec) -> None:
        """See `Plugs`."""
        with Rtnl(self._host) as host:
            if port.carrier:
                trunks.remove(host, port)
            host.delete_link(port.tap)

    def is_whole(self, port: PortSpec, links: dict[str, Link]) -> bool:
        """See `Plugs`."""
        tap = links.get(port.tap)
        if tap is None or not self._fabric.holds(_plug(port, tap.mtu), links):
            return False
        return (not port.carrier and not port.qos) or self._moves_as_told(port, tap, links)

    def _moves_as_told(self, port: PortSpec, tap: Link, links: dict[str, Link]) -> bool:
        """Whether a port's frames go at its rate, and through its trunk."""
        with Rtnl(self._host) as host:
            if port.carrier and not trunks.is_whole(host, links, port):
                return False
            return traffic.same(traffic.shapes(host).get(tap.index), traffic.wanted_shape(port.qos))


def _plug(port: PortSpec, mtu: int) -> Plug:
    return Plug(port.tap, port.network_id, mtu, port.admin_up, port.mac)
