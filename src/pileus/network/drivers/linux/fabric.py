"""What guests, DHCP, routers and the outside are plugged into, and its form of a Linux bridge for each network."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from pileus.network.driver import NetworkSpec, NotOnHostError
from pileus.network.drivers.linux.names import bridge
from pileus.network.drivers.linux.netns import Namespace
from pileus.network.drivers.linux.rtnl import Link, Rtnl
from pileus.network.drivers.linux.tunnels import Tunnels, device


@dataclass(frozen=True)
class Plug:
    """An interface in the host namespace that is to be in a network; `mac` is what speaks behind it, None: anybody."""

    device: str
    network_id: str
    mtu: int
    up: bool = True
    mac: str | None = None


class Fabric(Protocol):
    """Where interfaces of a network meet. The caller holds the lock of what it changes."""

    def ensure_network(self, network: NetworkSpec) -> None:
        """Have a place for the interfaces of a network, and its way to other hosts."""
        ...

    def network_is_whole(self, network: NetworkSpec, links: dict[str, Link]) -> bool:
        """Whether that is as made."""
        ...

    def destroy_network(self, network_id: str) -> None:
        """Remove it."""
        ...

    def require(self, network_id: str) -> None:
        """Do nothing where the network has its place. :raises NotOnHostError: else."""
        ...

    def plug(self, plug: Plug) -> None:
        """Have an interface in its network, up or down. :raises NotOnHostError: if the network has no place here."""
        ...

    def holds(self, plug: Plug, links: dict[str, Link]) -> bool:
        """Whether an interface is there as plugged."""
        ...

    def unplug(self, device: str) -> None:
        """Forget an interface that is about to go; nothing happens if it was never plugged."""
        ...

    def turn(self, network_id: str, macs: Iterable[str], tap: str) -> None:
        """Have frames for MACs go to a tap from now on ("": to other hosts), whatever was learned before."""
        ...

    def prepare(self, namespace: Namespace, device: str) -> None:
        """Make the far end of a pair ready to speak through here."""
        ...

    def close(self) -> None:
        """Let go of what this process holds."""
        ...


class Bridges:
    """A bridge for each network, with a VXLAN device to other hosts where there are any."""

    def __init__(self, host: Namespace, tunnels: Tunnels | None) -> None:
        self._host, self._tunnels = host, tunnels

    def ensure_network(self, network: NetworkSpec) -> None:
        """See `Fabric`."""
        with Rtnl(self._host) as host:
            link = host.link(bridge(network.id))
            if link is None:
                host.add_bridge(bridge(network.id), network.mtu)
            elif link.up != network.admin_up or link.mtu != network.mtu:
                host.set_link(link.index, network.admin_up, network.mtu)
            if link is None and not network.admin_up and (link := host.link(bridge(network.id))):
                host.set_link(link.index, up=False)
        if self._tunnels:
            self._tunnels.ensure(network)

    def network_is_whole(self, network: NetworkSpec, links: dict[str, Link]) -> bool:
        """See `Fabric`."""
        link = links.get(bridge(network.id))
        if link is None or link.up != network.admin_up or link.mtu != network.mtu:
            return False
        return self._tunnels is None or self._tunnels.is_whole(network, links)

    def destroy_network(self, network_id: str) -> None:
        """See `Fabric`."""
        if self._tunnels:
            self._tunnels.destroy(network_id)
        with Rtnl(self._host) as host:
            host.delete_link(bridge(network_id))

    def require(self, network_id: str) -> None:
        """See `Fabric`."""
        with Rtnl(self._host) as host:
            self._bridge_of(host, network_id)

    def plug(self, plug: Plug) -> None:
        """See `Fabric`."""
        with Rtnl(self._host) as host:
            master, link = self._bridge_of(host, plug.network_id), host.link(plug.device)
            assert link
            host.set_link(link.index, plug.up, plug.mtu, master.index)

    def holds(self, plug: Plug, links: dict[str, Link]) -> bool:
        """See `Fabric`."""
        link, master = links.get(plug.device), links.get(bridge(plug.network_id))
        return link is not None and master is not None and link.master == master.index and link.up == plug.up

    def unplug(self, device: str) -> None:
        """See `Fabric`."""

    def turn(self, network_id: str, macs: Iterable[str], tap: str) -> None:
        """See `Fabric`."""
        with Rtnl(self._host) as host:
            master, link = self._bridge_of(host, network_id), host.link(tap or device(network_id))
            if link is not None and link.master == master.index:
                for mac in macs:
                    host.learn(link.index, mac)

    def prepare(self, namespace: Namespace, device: str) -> None:
        """See `Fabric`."""

    def close(self) -> None:
        """See `Fabric`."""
        if self._tunnels:
            self._tunnels.close()

    def _bridge_of(self, host: Rtnl, network_id: str) -> Link:
        master = host.link(bridge(network_id))
        if master is None:
            raise NotOnHostError(f"network {network_id} is not on this host")
        return master
