"""Ports that a trunk carries: a veth pair each, and two programs that take frames between it and the trunk's tap.

tap (of the port that carries) --program: VLAN 100, tag off--> t-<port> ==veth== tap (carried) -- bridge of its network
                               <------program: tag on--------- t-<port>
"""

from pileus.network.driver import Carrier, NotOnHostError, PortSpec
from pileus.network.drivers.linux import bpf, traffic
from pileus.network.drivers.linux.names import checked_device, short
from pileus.network.drivers.linux.netns import Namespace
from pileus.network.drivers.linux.rtnl import Link, Rtnl, Veth


def far_end(port: PortSpec) -> str:
    """The end that is in no bridge."""
    return f"t-{short(port.id)}"


def ensure_pair(host: Rtnl, namespace: Namespace, port: PortSpec, mtu: int) -> None:
    """Have the veth pair of a carried port; the programs come with `ensure_way`."""
    if host.link(port.tap) is None or host.link(far_end(port)) is None:
        host.delete_link(port.tap)
        host.delete_link(far_end(port))
        host.add_veth(Veth(checked_device(port.tap), far_end(port), mtu), namespace)


def ensure_way(host: Rtnl, port: PortSpec, carrier: Carrier, mtu: int) -> None:
    """Have frames of the VLAN go between the trunk's tap and the port. :raises NotOnHostError: if that is not here."""
    trunk, end = host.link(carrier.tap), host.link(far_end(port))
    if trunk is None or end is None:
        raise NotOnHostError(f"the port that carries {port.id} is not on this host")
    host.set_link(end.index, port.admin_up, mtu)
    traffic.run_at_entry(host, trunk.index, carrier.vlan, bpf.unwrap(carrier.vlan, end.index))
    traffic.run_at_entry(host, end.index, 1, bpf.wrap(carrier.vlan, trunk.index))


def remove(host: Rtnl, port: PortSpec) -> None:
    """Take a carried port away."""
    if port.carrier and (trunk := host.link(port.carrier.tap)):
        traffic.stop_at_entry(host, trunk.index, port.carrier.vlan)
    host.delete_link(far_end(port))


def is_whole(host: Rtnl, links: dict[str, Link], port: PortSpec) -> bool:
    """Whether frames go both ways."""
    assert port.carrier
    trunk, end = links.get(port.carrier.tap), links.get(far_end(port))
    if trunk is None or end is None or end.up != port.admin_up:
        return False
    return port.carrier.vlan in traffic.at_entry(host, trunk.index) and 1 in traffic.at_entry(host, end.index)
