"""Legs: veth pairs from the fabric of the host namespace into a namespace of DHCP or a router."""

from dataclasses import dataclass

from pileus.network.drivers.linux.fabric import Fabric, Plug
from pileus.network.drivers.linux.names import checked_mac
from pileus.network.drivers.linux.netns import Namespace
from pileus.network.drivers.linux.rtnl import Link, Rtnl, Veth


@dataclass(frozen=True)
class Leg:
    """One leg as it shall be: `near` in the fabric of its network, `far` inside the namespace."""

    near: str
    far: str
    network_id: str
    mac: str
    mtu: int
    up: bool = True

    @property
    def plug(self) -> Plug:
        """Its near end."""
        return Plug(self.near, self.network_id, self.mtu, self.up, checked_mac(self.mac))


def ensure_leg(fabric: Fabric, host: Rtnl, inner: Rtnl, inner_namespace: Namespace, leg: Leg) -> tuple[int, bool]:
    """Make a leg. Returns the index of its far end, and whether it is a new one."""
    fabric.require(leg.network_id)
    near, far = host.link(leg.near), inner.link(leg.far)
    new = near is None or far is None
    if new:
        fabric.unplug(leg.near)
        host.delete_link(leg.near)
        inner.delete_link(leg.far)
        host.add_veth(Veth(leg.near, leg.far, leg.mtu, checked_mac(leg.mac)), inner_namespace)
        far = inner.link(leg.far)
    assert far
    mac = checked_mac(leg.mac)
    fabric.prepare(inner_namespace, leg.far)
    inner.set_link(far.index, leg.up, leg.mtu, mac=None if far.mac == mac else mac)
    fabric.plug(leg.plug)
    return far.index, new


def leg_is_whole(fabric: Fabric, host_links: dict[str, Link], inner_links: dict[str, Link], leg: Leg) -> bool:
    """Whether a leg is as it shall be."""
    near, far = host_links.get(leg.near), inner_links.get(leg.far)
    return (
        near is not None
        and far is not None
        and fabric.holds(leg.plug, host_links)
        and far.up == leg.up
        and far.mac == leg.mac.lower()
        and (near.carrier or not leg.up)
    )
