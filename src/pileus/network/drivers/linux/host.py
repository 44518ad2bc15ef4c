"""The Linux driver: bridges, taps and nftables in the host namespace; what it shares with others is in `assembly`."""

from pathlib import Path

from pileus.network.drivers.linux.assembly import AssembledHost, Parts
from pileus.network.drivers.linux.fabric import Bridges
from pileus.network.drivers.linux.firewall import Firewall
from pileus.network.drivers.linux.plugs import BridgedTaps
from pileus.network.drivers.linux.site import Site
from pileus.network.drivers.linux.tunnels import Tunnels, TunnelSettings
from pileus.network.drivers.linux.uplink import UplinkSettings


class LinuxNetworkHost(AssembledHost):
    """One host's networking by the Linux kernel. `prefix` is the name of the cloud, and of the namespace with bridges and taps.

    Without `tunnel` its networks are on this host only. `resolvers` are asked by the networks' DNS for names of the world;
    without any, it answers for its own names only.
    """

    def __init__(
        self,
        prefix: str,
        state_dir: Path,
        uplink: UplinkSettings | None = None,
        resolvers: tuple[str, ...] = (),
        tunnel: TunnelSettings | None = None,
    ) -> None:
        site = Site(prefix, state_dir)
        fabric = Bridges(site.namespace, Tunnels(site.namespace, tunnel) if tunnel else None)
        guard = Firewall(site.namespace, state_dir)
        super().__init__(Parts(site, guard, fabric, BridgedTaps(site.namespace, fabric), uplink, resolvers))
