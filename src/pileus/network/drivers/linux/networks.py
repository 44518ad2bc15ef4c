"""Networks on the host: their place in the fabric, and a namespace for dnsmasq and the metadata address."""

import shutil
from pathlib import Path

from pileus.network.driver import MetadataEndpoint, NetworkSpec
from pileus.network.drivers.linux import dhcp
from pileus.network.drivers.linux.fabric import Fabric
from pileus.network.drivers.linux.legs import Leg, ensure_leg, leg_is_whole
from pileus.network.drivers.linux.metadata import Endpoints
from pileus.network.drivers.linux.names import short
from pileus.network.drivers.linux.rtnl import Link, Route, Rtnl
from pileus.network.drivers.linux.site import Site
from pileus.network.drivers.linux.uplink import Uplink

INNER_SYSCTLS = {"ipv6/conf/all/accept_dad": 0, "ipv6/conf/default/accept_dad": 0, "ipv6/conf/default/accept_ra": 0}


class Networks:
    """Makes and looks after networks. The caller holds the lock of the network."""

    def __init__(
        self, site: Site, fabric: Fabric, uplink: Uplink | None, resolvers: tuple[str, ...], endpoints: Endpoints
    ) -> None:
        self._site = site
        self._uplink = uplink
        self._fabric = fabric
        self._resolvers = resolvers
        self._endpoints = endpoints

    def ensure(self, network: NetworkSpec, before: NetworkSpec | None) -> None:
        """Make a network so."""
        self._fabric.ensure_network(network)
        if self._uplink and self._uplink.serves(network):
            self._uplink.ensure(network)
        if network.dhcp and network.admin_up:
            self._ensure_dhcp(network, before)
        elif self._site.has(self._name(network.id)):
            self._destroy_dhcp(network.id)

    def destroy(self, network_id: str, before: NetworkSpec | None) -> None:
        """Remove a network."""
        self._destroy_dhcp(network_id)
        if before and self._uplink and self._uplink.serves(before):
            self._uplink.destroy()
        self._fabric.destroy_network(network_id)

    def is_whole(self, network: NetworkSpec, links: dict[str, Link]) -> bool:
        """Whether everything of it is there."""
        if not self._fabric.network_is_whole(network, links):
            return False
        if self._uplink and self._uplink.serves(network) and not self._uplink.is_whole(network, links):
            return False
        if not (network.dhcp and network.admin_up):
            return True
        namespace = self._site.inner(self._name(network.id))
        if not namespace.exists() or not self._server(network.id).process.alive():
            return False
        with Rtnl(namespace) as inner:
            inner_links = inner.links()
            if not leg_is_whole(self._fabric, links, inner_links, _leg(network)):
                return False
            return set(dhcp.addresses(network)) <= inner.addresses(inner_links[dhcp.device(network)].index)

    def open_metadata(self, network: NetworkSpec) -> None:
        """Listen for metadata requests in the network, unless it is done already."""
        if network.dhcp and network.admin_up:
            namespace = self._site.inner(self._name(network.id))
            self._endpoints.open(MetadataEndpoint(network_id=network.id), namespace, dhcp.METADATA_V4)
            self._endpoints.open(
                MetadataEndpoint(network_id=network.id, ip_version=6), namespace, dhcp.METADATA_V6, dhcp.device(network)
            )

    def _ensure_dhcp(self, network: NetworkSpec, before: NetworkSpec | None) -> None:
        namespace, server = self._site.inner(self._name(network.id)), self._server(network.id)
        fresh = namespace.ensure()
        if fresh:
            namespace.sysctl(INNER_SYSCTLS)
        with Rtnl(self._site.namespace) as host, Rtnl(namespace) as inner:
            inner.set_link(1, up=True)
            index, new = ensure_leg(self._fabric, host, inner, namespace, _leg(network))
            moved = inner.sync_addresses(index, dhcp.addresses(network))
            routes = [
                Route("0.0.0.0/0" if "." in gateway else "::/0", gateway, index) for gateway in dhcp.default_gateways(network)
            ]
            inner.sync_routes(set(routes))
        if new or moved:
            self._close_metadata(network.id)
            server.process.stop()  # it listens on what is no more
        changed = server.write(network)
        if before is not None and server.process.alive():
            with namespace.entered():
                if server.release(network, before):
                    server.process.stop()
        if not server.process.alive():
            server.forget_leases(network)
        if not server.process.ensure(namespace, server.configuration(network)) and changed:
            server.process.reload()

    def _destroy_dhcp(self, network_id: str) -> None:
        self._close_metadata(network_id)
        self._server(network_id).process.stop()
        self._fabric.unplug(f"v-d{short(network_id)}")
        with Rtnl(self._site.namespace) as host:
            host.delete_link(f"v-d{short(network_id)}")
        self._site.destroy_inner(self._name(network_id))
        shutil.rmtree(self._directory(network_id), ignore_errors=True)

    def _close_metadata(self, network_id: str) -> None:
        self._endpoints.close(MetadataEndpoint(network_id=network_id))
        self._endpoints.close(MetadataEndpoint(network_id=network_id, ip_version=6))

    def _name(self, network_id: str) -> str:
        return f"{self._site.prefix}-dhcp-{network_id}"

    def _directory(self, network_id: str) -> Path:
        return self._site.state_dir / "dhcp" / network_id

    def _server(self, network_id: str) -> dhcp.DhcpServer:
        return dhcp.DhcpServer(self._directory(network_id), self._resolvers)


def _leg(network: NetworkSpec) -> Leg:
    assert network.dhcp
    return Leg(f"v-d{short(network.id)}", dhcp.device(network), network.id, network.dhcp.mac, network.mtu)
