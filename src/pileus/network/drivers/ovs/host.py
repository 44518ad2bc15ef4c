"""The Open vSwitch driver: br-int and br-tun in the host namespace; DHCP and routers as the Linux driver has them."""

from pathlib import Path

from pileus.network.driver import NetworkDriverError
from pileus.network.drivers.linux.assembly import AssembledHost, Parts
from pileus.network.drivers.linux.nft import Nft, Watermark
from pileus.network.drivers.linux.site import Site
from pileus.network.drivers.linux.tunnels import TunnelSettings
from pileus.network.drivers.linux.uplink import UplinkSettings
from pileus.network.drivers.ovs import kernel
from pileus.network.drivers.ovs.daemons import Daemons, end
from pileus.network.drivers.ovs.fabric import Switched, SwitchedTaps
from pileus.network.drivers.ovs.layout import Kind, Layout, Way
from pileus.network.drivers.ovs.numbers import Numbers
from pileus.network.drivers.ovs.switch import Switch
from pileus.network.drivers.ovs.underlay import BRIDGE, Underlay

TUNNELS = ("vxlan", "gre")
_QUIET = f"""add table inet pileus
delete table inet pileus
add table arp pileus
delete table arp pileus
table inet pileus {{
  chain prerouting {{ type filter hook prerouting priority raw; policy accept;
    iifname != {{ "lo", "{BRIDGE}" }} drop
  }}
}}
table arp pileus {{
  chain input {{ type filter hook input priority 0; policy accept;
    iifname != "{BRIDGE}" drop
  }}
}}
"""


class SwitchSite(Site):
    """The host namespace with its switch. The kernel in it sees frames that are the switch's alone, and answers none of them."""

    def __init__(self, prefix: str, state_dir: Path) -> None:
        super().__init__(prefix, state_dir)
        self.daemons = Daemons(self.namespace, state_dir / "ovs")
        self.switch: Switch | None = None
        self.underlay: Underlay | None = None
        self._quiet = Watermark(Nft(self.namespace), state_dir / "ovs" / "quiet")

    def ensure(self) -> bool:
        """Have the namespace, the daemons in it and the silence. True if it is a new one."""
        fresh = super().ensure()
        if fresh or not self._quiet.untouched():
            self._quiet.run(_QUIET)
        if self.daemons.ensure(fresh) and self.switch:
            self.switch.doubt()
        return fresh

    def is_whole(self) -> bool:
        """Whether all of that is there."""
        return self.namespace.exists() and self.daemons.alive() and self._quiet.untouched()

    def purge(self) -> None:
        """End the daemons and servers, and remove every namespace of this cloud."""
        if self.underlay:
            self.underlay.destroy()
        self.daemons.stop()
        end(self.daemons.strays())
        super().purge()


class OvsNetworkHost(AssembledHost):
    """One host's networking by Open vSwitch. `prefix` is the name of the cloud, and of the namespace with switch and taps.

    `tunnel_type` (vxlan or gre) is what networks span hosts by; without `tunnel` they are on this host only.
    """

    def __init__(
        self,
        prefix: str,
        state_dir: Path,
        uplink: UplinkSettings | None = None,
        resolvers: tuple[str, ...] = (),
        tunnel: TunnelSettings | None = None,
        tunnel_type: str = "vxlan",
    ) -> None:
        if tunnel_type not in TUNNELS:
            raise NetworkDriverError(f"{tunnel_type!r} is no type of tunnel: {' or '.join(TUNNELS)}")
        kind: Kind = "system" if kernel.has_datapath() else "netdev"
        site = SwitchSite(prefix, state_dir)
        way = Way("gre" if tunnel_type == "gre" else "vxlan", tunnel.address) if tunnel else None
        switch = Switch(site.daemons, Layout(site.daemons, kind, way), Numbers(state_dir / "numbers"))
        underlay = Underlay(site.prefix, site.namespace, site.daemons, tunnel, kind) if tunnel else None
        site.switch, site.underlay = switch, underlay
        fabric = Switched(site.namespace, site.daemons, switch, underlay, plain=kind == "netdev")
        super().__init__(Parts(site, switch, fabric, SwitchedTaps(site.namespace, fabric), uplink, resolvers))
        self.plain_frames = kind == "netdev"
