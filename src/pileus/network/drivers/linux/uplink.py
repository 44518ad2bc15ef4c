"""The way out: one veth pair between the external network and the outside, and one table of its own there.

The outside end holds the gateway address of the external network, and with it the one route. Guests reach the world beyond
through the masquerade of that table where the outside forwards; `forward` turns forwarding on there (`net.ipv4.ip_forward`, a
setting of the machine, so off unless asked for).
"""

from dataclasses import dataclass
from ipaddress import ip_interface

from pileus.network.driver import NetworkSpec
from pileus.network.drivers.linux.fabric import Fabric, Plug
from pileus.network.drivers.linux.names import OUTSIDE_PEER
from pileus.network.drivers.linux.netns import Namespace
from pileus.network.drivers.linux.nft import Nft
from pileus.network.drivers.linux.rtnl import Link, Rtnl, Veth


@dataclass(frozen=True)
class UplinkSettings:
    """The external network that has a way out, and the addresses (with prefix) that the outside has in it.

    `netns` None: the outside is the machine's own namespace.
    """

    addresses: tuple[str, ...] = ("172.24.4.1/24",)
    physical_network: str = "public"
    netns: str | None = None
    forward: bool = False


class Uplink:
    """The way out of one cloud."""

    def __init__(self, prefix: str, host: Namespace, fabric: Fabric, settings: UplinkSettings) -> None:
        self._device = f"{prefix}-up"
        self._table = f"ip {prefix}"
        self._host = host
        self._fabric = fabric
        self._settings = settings
        self._outside = Namespace(settings.netns)
        self._nft = Nft(self._outside)

    def serves(self, network: NetworkSpec) -> bool:
        """Whether this external network is the one with the way out."""
        return network.external and network.physical_network == self._settings.physical_network

    def ensure(self, network: NetworkSpec) -> None:
        """Make the way out of a network."""
        with Rtnl(self._host) as host, Rtnl(self._outside) as outside:
            near, far = host.link(OUTSIDE_PEER), outside.link(self._device)
            if near is None or far is None:
                self._fabric.unplug(OUTSIDE_PEER)
                host.delete_link(OUTSIDE_PEER)
                outside.delete_link(self._device)
                host.add_veth(Veth(OUTSIDE_PEER, self._device, network.mtu), self._outside)
                far = outside.link(self._device)
            assert far
            self._outside.sysctl({f"ipv6/conf/{self._device}/accept_dad": 0})
            self._fabric.prepare(self._outside, self._device)
            outside.set_link(far.index, network.admin_up, network.mtu)
            outside.sync_addresses(far.index, self._settings.addresses)
            self._fabric.plug(_plug(network))
        if self._settings.forward:
            self._outside.sysctl({"ipv4/ip_forward": 1})
        self._nft.run(self._ruleset())

    def is_whole(self, network: NetworkSpec, host_links: dict[str, Link]) -> bool:
        """Whether the way out is as made."""
        if not self._fabric.holds(_plug(network), host_links):
            return False
        with Rtnl(self._outside) as outside:
            far = outside.link(self._device)
            if far is None or far.up != network.admin_up:
                return False
            if not {str(ip_interface(address)) for address in self._settings.addresses} <= outside.addresses(far.index):
                return False
        return self._has_table()

    def destroy(self) -> None:
        """Remove it."""
        self._fabric.unplug(OUTSIDE_PEER)
        with Rtnl(self._outside) as outside:
            outside.delete_link(self._device)
        self._nft.run(f"add table {self._table}\ndelete table {self._table}")

    def close(self) -> None:
        """Let go of the outside."""
        self._outside.close()

    def _has_table(self) -> bool:
        return f"table {self._table}" in self._nft.run("list tables").splitlines()

    def _ruleset(self) -> str:
        sources = [ip_interface(address).network for address in self._settings.addresses if ip_interface(address).version == 4]
        rules = "\n".join(f'    ip saddr {network} oifname != "{self._device}" masquerade' for network in sources)
        return f"""add table {self._table}
delete table {self._table}
table {self._table} {{
  chain postrouting {{ type nat hook postrouting priority srcnat; policy accept;
{rules}
  }}
}}
"""


def _plug(network: NetworkSpec) -> Plug:
    return Plug(OUTSIDE_PEER, network.id, network.mtu, network.admin_up)
