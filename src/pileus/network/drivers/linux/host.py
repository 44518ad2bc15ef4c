"""The Linux driver as its user sees it: fulfils `NetworkHost` out of networks, ports, routers and the firewall.

Locks: one of a few stripes by id around each ensure and destroy; the firewall has its own. `observe` takes the same stripes,
so that it never sees a thing half made by another thread.
"""

import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pileus.network.driver import (
    GroupSpec,
    Kind,
    MetadataSink,
    NetworkDriverError,
    NetworkSpec,
    NotOnHostError,
    Observed,
    PortSpec,
    RouterSpec,
    Spec,
    fingerprint,
)
from pileus.network.drivers.linux import traffic, trunks
from pileus.network.drivers.linux.firewall import Firewall
from pileus.network.drivers.linux.metadata import Endpoints
from pileus.network.drivers.linux.names import bridge, checked_device
from pileus.network.drivers.linux.networks import Networks
from pileus.network.drivers.linux.routers import Routers
from pileus.network.drivers.linux.rtnl import Link, Rtnl, add_tap
from pileus.network.drivers.linux.site import Site
from pileus.network.drivers.linux.state import Records
from pileus.network.drivers.linux.tunnels import Tunnels, TunnelSettings
from pileus.network.drivers.linux.uplink import Uplink, UplinkSettings

_STRIPES = 61


class LinuxNetworkHost:
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
        self._site = Site(prefix, state_dir)
        self._records = Records(state_dir)
        self._endpoints = Endpoints()
        self._firewall = Firewall(self._site.namespace, state_dir)
        self._uplink = Uplink(prefix, self._site.namespace, uplink) if uplink else None
        self._tunnels = Tunnels(self._site.namespace, tunnel) if tunnel else None
        self._networks = Networks(self._site, self._uplink, self._tunnels, resolvers, self._endpoints)
        self._routers = Routers(self._site, self._endpoints, self._mtu_of)
        self._locks = [threading.RLock() for _ in range(_STRIPES)]
        self._adopt_lock = threading.Lock()
        self._adopted = False

    @property
    def namespace(self) -> str:
        """The name of the namespace that taps are in; hypervisors run there."""
        return self._site.prefix

    def ensure_network(self, spec: NetworkSpec) -> None:
        """See `NetworkHost`."""
        with self._lock(spec.id), _explained(spec.id):
            if not self._is_made(spec):
                before = self._records.get(NetworkSpec, spec.id)
                self._records.begin(spec)
                self._firewall.set_network(spec)
                self._networks.ensure(spec, before)
                self._records.seal(spec)
            self._networks.open_metadata(spec)

    def destroy_network(self, network_id: str) -> None:
        """See `NetworkHost`."""
        with self._lock(network_id), _explained(network_id):
            self._take_up()
            before = self._records.get(NetworkSpec, network_id)
            self._records.doubt("network", network_id)
            self._networks.destroy(network_id, before)
            self._firewall.remove_network(network_id)
            self._records.forget("network", network_id)

    def ensure_port(self, spec: PortSpec) -> None:
        """See `NetworkHost`."""
        with self._lock(spec.id), _explained(spec.id):
            if self._is_made(spec):
                return
            mtu = self._mtu_of(spec.network_id)
            before = self._records.get(PortSpec, spec.id)
            self._records.begin(spec)
            self._firewall.set_port(spec)
            self._wire(spec, before, mtu)
            self._records.seal(spec)

    def destroy_port(self, port_id: str) -> None:
        """See `NetworkHost`."""
        with self._lock(port_id), _explained(port_id):
            self._take_up()
            before = self._records.get(PortSpec, port_id)
            if before is None:
                return
            self._records.doubt("port", port_id)
            with Rtnl(self._site.namespace) as host:
                if before.carrier:
                    trunks.remove(host, before)
                host.delete_link(before.tap)
            self._firewall.remove_port(port_id)
            self._records.forget("port", port_id)

    def ensure_router(self, spec: RouterSpec) -> None:
        """See `NetworkHost`."""
        with self._lock(spec.id), _explained(spec.id):
            if not self._is_made(spec):
                for leg in spec.legs:
                    self._mtu_of(leg.network_id)
                before = self._records.get(RouterSpec, spec.id)
                self._records.begin(spec)
                self._routers.ensure(spec, before)
                self._records.seal(spec)
            self._routers.open_metadata(spec)

    def destroy_router(self, router_id: str) -> None:
        """See `NetworkHost`."""
        with self._lock(router_id), _explained(router_id):
            self._take_up()
            before = self._records.get(RouterSpec, router_id)
            self._records.doubt("router", router_id)
            self._routers.destroy(router_id, before)
            self._records.forget("router", router_id)

    def ensure_groups(self, groups: Iterable[GroupSpec]) -> None:
        """See `NetworkHost`."""
        with self._lock("groups"), _explained("groups"):
            changed = [group for group in groups if not self._is_made(group)]
            if not changed:
                return
            for group in changed:
                self._records.begin(group)
            self._firewall.set_groups(changed)
            for group in changed:
                self._records.seal(group)

    def destroy_groups(self, group_ids: Iterable[str]) -> None:
        """See `NetworkHost`."""
        with self._lock("groups"), _explained("groups"):
            self._take_up()
            ids = [id for id in group_ids if self._records.get(GroupSpec, id)]
            self._firewall.remove_groups(ids)
            for id in ids:
                self._records.forget("group", id)

    def observe(self) -> Observed:
        """See `NetworkHost`."""
        self._take_up()
        whole: dict[Kind, dict[str, str]] = {"network": {}, "port": {}, "router": {}, "group": {}}
        damaged: set[tuple[Kind, str]] = set()
        links: dict[str, Link] = {}
        guarded = self._site.is_whole() and self._firewall.intact()
        if self._site.namespace.exists():
            with Rtnl(self._site.namespace) as host:
                links = host.links()
        for kind, found in whole.items():
            for spec, sealed in self._records.all(kind):
                with self._lock(spec.id):
                    if self._records.get(type(spec), spec.id) is not spec:
                        continue  # made anew meanwhile
                    if sealed and links and (guarded or kind == "router") and self._is_whole(spec, links):
                        found[spec.id] = fingerprint(spec)
                    else:
                        self._records.doubt(kind, spec.id)
                        damaged.add((kind, spec.id))
        routers = [spec for spec, _ in self._records.all("router") if isinstance(spec, RouterSpec) and spec.id in whole["router"]]
        counts = self._routers.meters(routers)
        return Observed(whole["network"], whole["port"], whole["router"], whole["group"], counts, frozenset(damaged))

    def serve_metadata(self, sink: MetadataSink | None) -> None:
        """See `NetworkHost`."""
        self._take_up()
        self._endpoints.serve(sink)
        for kind in ("network", "router"):
            for spec, sealed in self._records.all(kind):
                with self._lock(spec.id):
                    try:
                        if sealed and isinstance(spec, NetworkSpec):
                            self._networks.open_metadata(spec)
                        elif sealed and isinstance(spec, RouterSpec):
                            self._routers.open_metadata(spec)
                    except (OSError, NetworkDriverError):
                        self._records.doubt(kind, spec.id)  # it comes with the repair

    def purge(self) -> None:
        """See `NetworkHost`."""
        self._endpoints.serve(None)
        if self._uplink:
            self._uplink.destroy()
        if self._site.namespace.exists():
            with Rtnl(self._site.namespace) as host:
                for name in host.links():
                    if name.startswith("br-"):
                        host.delete_link(name)  # guests that still run are cut off; the rest goes with the namespace
        self._site.purge()
        self._records.clear()
        self._firewall.forget()
        self.close()
        shutil.rmtree(self._site.state_dir, ignore_errors=True)
        self._adopted = False

    def close(self) -> None:
        """See `NetworkHost`."""
        self._endpoints.serve(None)
        self._firewall.close()
        self._site.close()
        if self._uplink:
            self._uplink.close()
        if self._tunnels:
            self._tunnels.close()

    def _lock(self, id: str) -> threading.RLock:
        return self._locks[hash(id) % _STRIPES]

    def _take_up(self) -> None:
        """Have the host namespace and know what is in it; in a new one, nothing of what was remembered is true."""
        if self._adopted and self._site.is_whole():
            return
        with self._adopt_lock:
            if self._site.ensure():
                self._records.clear()
                self._firewall.forget()
            elif not self._adopted:
                every = {kind: list(self._records.all(kind)) for kind in ("network", "port", "group")}
                self._firewall.adopt(
                    [spec for spec, _ in every["network"] if isinstance(spec, NetworkSpec)],
                    [spec for spec, _ in every["port"] if isinstance(spec, PortSpec)],
                    [spec for spec, _ in every["group"] if isinstance(spec, GroupSpec)],
                    all(sealed for records in every.values() for _, sealed in records),
                )
            self._adopted = True

    def _is_made(self, spec: Spec) -> bool:
        if self._adopted and self._records.is_whole(spec):
            return True
        self._take_up()
        return self._records.is_whole(spec)

    def _mtu_of(self, network_id: str) -> int:
        network = self._records.get(NetworkSpec, network_id)
        if network is None:
            raise NotOnHostError(f"network {network_id} is not on this host")
        return network.mtu

    def _wire(self, port: PortSpec, before: PortSpec | None, mtu: int) -> None:
        with Rtnl(self._site.namespace) as host:
            if before and (before.tap != port.tap or before.carrier != port.carrier):
                if before.carrier:
                    trunks.remove(host, before)
                host.delete_link(before.tap)
            master = host.link(bridge(port.network_id))
            if master is None:
                raise NotOnHostError(f"network {port.network_id} is not on this host")
            if port.carrier:
                trunks.ensure_pair(host, self._site.namespace, port, mtu)
            elif host.link(port.tap) is None:
                add_tap(self._site.namespace, checked_device(port.tap))
            tap = host.link(port.tap)
            assert tap
            host.set_link(tap.index, port.admin_up, mtu, master.index)
            shape = traffic.wanted_shape(port.qos)
            if not traffic.same(traffic.shapes(host).get(tap.index) if shape or before else None, shape):
                traffic.set_shape(host, tap.index, shape)
            if port.carrier:
                trunks.ensure_way(host, port, port.carrier, mtu)
        for carried, _ in self._records.all("port"):
            if isinstance(carried, PortSpec) and carried.carrier and carried.carrier.tap == port.tap:
                self._records.doubt("port", carried.id)  # its way ends in the tap, which may be a new one

    def _is_whole(self, spec: Spec, links: dict[str, Link]) -> bool:
        if isinstance(spec, NetworkSpec):
            return self._networks.is_whole(spec, links)
        if isinstance(spec, RouterSpec):
            reached = all(self._records.get(NetworkSpec, leg.network_id) for leg in spec.legs)
            return reached and self._routers.is_whole(spec, links)
        if isinstance(spec, PortSpec):
            tap, master = links.get(spec.tap), links.get(bridge(spec.network_id))
            if tap is None or master is None or tap.master != master.index or tap.up != spec.admin_up:
                return False
            return (not spec.carrier and not spec.qos) or self._moves_as_told(spec, tap, links)
        return True

    def _moves_as_told(self, port: PortSpec, tap: Link, links: dict[str, Link]) -> bool:
        """Whether a port's frames go at its rate, and through its trunk."""
        with Rtnl(self._site.namespace) as host:
            if port.carrier and not trunks.is_whole(host, links, port):
                return False
            return traffic.same(traffic.shapes(host).get(tap.index), traffic.wanted_shape(port.qos))


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NetworkDriverError(f"{what}: {error}") from error
