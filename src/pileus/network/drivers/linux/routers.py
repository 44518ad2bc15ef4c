"""Routers on the host: a namespace each; see `router` for what is in it."""

import shutil
from collections.abc import Callable
from ipaddress import ip_interface
from pathlib import Path

from pileus.network.driver import MetadataEndpoint, RouterSpec
from pileus.network.drivers.linux import conntrack, router
from pileus.network.drivers.linux.dhcp import METADATA_V4
from pileus.network.drivers.linux.fabric import Fabric
from pileus.network.drivers.linux.legs import Leg, ensure_leg, leg_is_whole
from pileus.network.drivers.linux.metadata import Endpoints
from pileus.network.drivers.linux.names import short
from pileus.network.drivers.linux.netns import Namespace
from pileus.network.drivers.linux.nft import Nft, Watermark
from pileus.network.drivers.linux.process import Dnsmasq
from pileus.network.drivers.linux.rtnl import Link, Rtnl
from pileus.network.drivers.linux.site import Site


class Routers:
    """Makes and looks after routers. The caller holds the lock of the router; `mtu_of` knows the networks' MTUs by id."""

    def __init__(self, site: Site, fabric: Fabric, endpoints: Endpoints, mtu_of: Callable[[str], int]) -> None:
        self._site = site
        self._fabric = fabric
        self._endpoints = endpoints
        self._mtu_of = mtu_of

    def ensure(self, spec: RouterSpec, before: RouterSpec | None) -> None:
        """Make a router so; `before` is what it has last been made from."""
        namespace = self._site.inner(self._name(spec.id))
        if namespace.ensure():
            self._endpoints.close(MetadataEndpoint(router_id=spec.id))
            self._advertiser(spec.id).stop()
            before = None
        namespace.sysctl(router.SYSCTLS)
        watermark = self._watermark(spec.id, namespace)
        if before is None or not router.same_but_floating(before, spec) or not watermark.untouched():
            watermark.run(router.ruleset(spec))
        elif commands := router.floating_changes(before, spec):
            watermark.run(commands)
        if commands := router.meter_changes(before, spec):
            watermark.run(commands)
        self._ensure_links(spec, namespace)
        if before is not None:
            self._end_connections(namespace, before, spec)

    def destroy(self, router_id: str, before: RouterSpec | None) -> None:
        """Remove a router."""
        self._endpoints.close(MetadataEndpoint(router_id=router_id))
        self._advertiser(router_id).stop()
        if before:
            with Rtnl(self._site.namespace) as host:
                for leg in before.legs:  # their networks may be gone already
                    self._fabric.unplug(_near(leg.port_id))
                    host.delete_link(_near(leg.port_id))
        self._site.destroy_inner(self._name(router_id))
        shutil.rmtree(self._directory(router_id), ignore_errors=True)

    def is_whole(self, spec: RouterSpec, links: dict[str, Link]) -> bool:
        """Whether everything of it is there."""
        namespace = self._site.inner(self._name(spec.id))
        if not namespace.exists() or not self._watermark(spec.id, namespace).untouched():
            return False
        if spec.admin_up and router.advertised(spec) and not self._advertiser(spec.id).alive():
            return False
        with Rtnl(namespace) as inner:
            inner_links = inner.links()
            for leg in self._legs(spec):
                if not leg_is_whole(self._fabric, links, inner_links, leg):
                    return False
                wanted = {str(ip_interface(ip)) for ip in _addresses(spec)[leg.far]}
                if not wanted <= inner.addresses(inner_links[leg.far].index):
                    return False
            if not spec.admin_up:
                return True
            known = {(route.destination, route.nexthop) for route in inner.routes()}
            return {(route.destination, route.nexthop) for route in router.routes(spec, 0)} <= known

    def meters(self, specs: list[RouterSpec]) -> dict[tuple[str, str], tuple[int, int]]:
        """What the meters of routers have counted, by router and meter: packets and bytes."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for spec in specs:
            if spec.meters:
                listed = Nft(self._site.inner(self._name(spec.id))).run(f"list counters table {router.METERS}")
                found |= {(spec.id, id): counted for id, counted in router.counts(listed, spec).items()}
        return found

    def open_metadata(self, spec: RouterSpec) -> None:
        """Listen for metadata requests at the router, unless it is done already."""
        self._endpoints.open(MetadataEndpoint(router_id=spec.id), self._site.inner(self._name(spec.id)), METADATA_V4)

    def _ensure_links(self, spec: RouterSpec, namespace: Namespace) -> None:
        addresses = _addresses(spec)
        rewired, gateway_link = False, 0
        with Rtnl(self._site.namespace) as host, Rtnl(namespace) as inner:
            inner.set_link(1, up=True)
            inner.sync_addresses(1, [f"{METADATA_V4}/32", "127.0.0.1/8", "::1/128"])
            for name in inner.links():
                if name not in addresses and name != "lo":
                    self._fabric.unplug(f"v-r{name[2:]}")
                    inner.delete_link(name)
            for leg in self._legs(spec):
                index, new = ensure_leg(self._fabric, host, inner, namespace, leg)
                rewired = rewired or new
                fresh = inner.sync_addresses(index, addresses[leg.far])
                gateway_link = index if leg.far.startswith("g-") else gateway_link
                if fresh and leg.up:
                    with namespace.entered():
                        router.announce(leg.far, leg.mac, sorted(fresh))
            inner.sync_routes(router.routes(spec, gateway_link) if spec.admin_up else set())
        advertiser = self._advertiser(spec.id)
        if rewired or not (spec.admin_up and router.advertised(spec)):
            advertiser.stop()
        if spec.admin_up and router.advertised(spec):
            mtus = {leg.network_id: self._mtu_of(leg.network_id) for leg in spec.interfaces}
            advertiser.ensure(namespace, router.advertiser_configuration(spec, mtus))

    def _end_connections(self, namespace: Namespace, before: RouterSpec, spec: RouterSpec) -> None:
        old, new = router.floating_pairs(before), router.floating_pairs(spec)
        gone = {floating for floating, fixed in old.items() if new.get(floating) != fixed}
        gone |= {one.floating_ip for one in set(before.forwards) - set(spec.forwards)}
        if before.gateway and (before.gateway != spec.gateway or before.enable_snat != spec.enable_snat):
            gone |= {str(ip_interface(ip).ip) for ip in before.gateway.ips}
        if gone:
            conntrack.drop(namespace, lambda one: one.opened.destination in gone or one.answered.destination in gone)

    def _legs(self, spec: RouterSpec) -> list[Leg]:
        every = [(leg.port_id, leg.network_id, leg.mac, False) for leg in spec.interfaces]
        if spec.gateway:
            every.append((spec.gateway.port_id, spec.gateway.network_id, spec.gateway.mac, True))
        return [
            Leg(
                _near(port_id),
                router.leg_name(port_id, gateway),
                network_id,
                mac,
                self._mtu_of(network_id),
                spec.admin_up,
            )
            for port_id, network_id, mac, gateway in every
        ]

    def _watermark(self, router_id: str, namespace: Namespace) -> Watermark:
        return Watermark(Nft(namespace), self._directory(router_id) / "ruleset")

    def _advertiser(self, router_id: str) -> Dnsmasq:
        return Dnsmasq(self._directory(router_id))

    def _directory(self, router_id: str) -> Path:
        directory = self._site.state_dir / "rtr" / router_id
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return directory

    def _name(self, router_id: str) -> str:
        return f"{self._site.prefix}-rtr-{router_id}"


def _near(port_id: str) -> str:
    return f"v-r{short(port_id)}"


def _addresses(spec: RouterSpec) -> dict[str, list[str]]:
    found = {router.leg_name(leg.port_id, gateway=False): list(leg.ips) for leg in spec.interfaces}
    if spec.gateway:
        found[router.leg_name(spec.gateway.port_id, gateway=True)] = router.gateway_addresses(spec)
    return found
