"""Legs: veth pairs from a bridge in the host namespace into a namespace of DHCP or a router."""

from dataclasses import dataclass

from pileus.network.driver import NotOnHostError
from pileus.network.drivers.linux.names import bridge, checked_mac
from pileus.network.drivers.linux.netns import Namespace
from pileus.network.drivers.linux.rtnl import Link, Rtnl, Veth


@dataclass(frozen=True)
class Leg:
    """One leg as it shall be: `near` on the network's bridge, `far` inside the namespace."""

    near: str
    far: str
    network_id: str
    mac: str
    mtu: int
    up: bool = True


def ensure_leg(host: Rtnl, inner: Rtnl, inner_namespace: Namespace, leg: Leg) -> tuple[int, bool]:
    """Make a leg. Returns the index of its far end, and whether it is a new one."""
    master = host.link(bridge(leg.network_id))
    if master is None:
        raise NotOnHostError(f"network {leg.network_id} is not on this host")
    near, far = host.link(leg.near), inner.link(leg.far)
    new = near is None or far is None
    if new:
        host.delete_link(leg.near)
        inner.delete_link(leg.far)
        host.add_veth(Veth(leg.near, leg.far, leg.mtu, checked_mac(leg.mac), master.index), inner_namespace)
        near, far = host.link(leg.near), inner.link(leg.far)
    assert near
    assert far
    mac = checked_mac(leg.mac)
    inner.set_link(far.index, leg.up, leg.mtu, mac=None if far.mac == mac else mac)
    host.set_link(near.index, leg.up, leg.mtu, master.index)
    return far.index, new


def leg_is_whole(host_links: dict[str, Link], inner_links: dict[str, Link], leg: Leg) -> bool:
    """Whether a leg is as it shall be."""
    near, far, master = host_links.get(leg.near), inner_links.get(leg.far), host_links.get(bridge(leg.network_id))
    return (
        near is not None
        and far is not None
        and master is not None
        and near.master == master.index
        and near.up == far.up == leg.up
        and far.mac == leg.mac.lower()
        and (near.carrier or not leg.up)
    )
