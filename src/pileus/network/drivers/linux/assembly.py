"""A driver as its user sees it: fulfils `NetworkHost` out of namespaces, and of the parts in which drivers differ.

Locks: one of a few stripes by id around each ensure and destroy; the firewall has its own. `observe` takes the same stripes,
so that it never sees a thing half made by another thread.
"""

import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from pileus.network.driver import (
    GroupSpec,
    Kind,
    MetadataSink,
    NetworkDriverError,
    NetworkSpec,
    NotOnHostError,
    Observed,
    PortSpec,
    RemotePort,
    RouterSpec,
    Spec,
    fingerprint,
    rerouted,
)
from pileus.network.drivers.linux.fabric import Fabric
from pileus.network.drivers.linux.metadata import Endpoints
from pileus.network.drivers.linux.networks import Networks
from pileus.network.drivers.linux.routers import Routers
from pileus.network.drivers.linux.rtnl import Link, Rtnl
from pileus.network.drivers.linux.site import Site
from pileus.network.drivers.linux.state import Records
from pileus.network.drivers.linux.uplink import Uplink, UplinkSettings

_STRIPES = 61


class Guard(Protocol):
    """What protects ports: kept equal to the networks, ports and groups that it is told of."""

    def adopt(self, networks: Iterable[NetworkSpec], ports: Iterable[PortSpec], groups: Iterable[GroupSpec], whole: bool) -> None:
        """Take up what a former process left; `whole` unless its work was cut off."""
        ...

    def intact(self) -> bool:
        """Whether nobody else changed anything; if somebody did, the next change puts all of it right."""
        ...

    def set_network(self, network: NetworkSpec) -> None:
        """Know a network."""
        ...

    def remove_network(self, network_id: str) -> None:
        """Forget a network."""
        ...

    def set_port(self, port: PortSpec) -> None:
        """Guard a port as told; connections that it may no longer have end."""
        ...

    def remove_port(self, port_id: str) -> None:
        """Let go of a port, and end its connections."""
        ...

    def set_groups(self, groups: list[GroupSpec]) -> None:
        """Have these groups so; connections that only lived by what they allowed before end."""
        ...

    def remove_groups(self, group_ids: Iterable[str]) -> None:
        """Drop groups; ports that still name one are left with what their other groups allow."""
        ...

    def forget(self) -> None:
        """The host namespace is new: nothing is in it."""
        ...

    def close(self) -> None:
        """Let go of what this process holds."""
        ...


class Plugs(Protocol):
    """The taps of ports."""

    def wire(self, port: PortSpec, before: PortSpec | None, mtu: int) -> None:
        """Have a port's tap in its network. :raises NotOnHostError: if that, or what carries the port, is not here."""
        ...

    def unwire(self, port: PortSpec) -> None:
        """Remove a port's tap."""
        ...

    def is_whole(self, port: PortSpec, links: dict[str, Link]) -> bool:
        """Whether a port's tap is as wired."""
        ...


@dataclass(frozen=True)
class Parts:
    """What a driver is assembled of."""

    site: Site
    guard: Guard
    fabric: Fabric
    plugs: Plugs
    uplink: UplinkSettings | None = None
    resolvers: tuple[str, ...] = ()


class AssembledHost:
    """One host's networking. DHCP and routers are in namespaces of their own, whatever they are plugged into."""

    def __init__(self, parts: Parts) -> None:
        self._site, self._guard, self._fabric, self._plugs = parts.site, parts.guard, parts.fabric, parts.plugs
        self._records = Records(parts.site.state_dir)
        self._endpoints = Endpoints()
        self._uplink = Uplink(parts.site.prefix, parts.site.namespace, parts.fabric, parts.uplink) if parts.uplink else None
        self._networks = Networks(parts.site, parts.fabric, self._uplink, parts.resolvers, self._endpoints)
        self._routers = Routers(parts.site, parts.fabric, self._endpoints, self._mtu_of)
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
                self._guard.set_network(spec)
                self._networks.ensure(spec, before)
                self._records.seal(spec)
            self._networks.open_metadata(spec)

    def reroute(self, network_id: str, tap: str, places: tuple[RemotePort, ...], here: bool) -> None:
        """See `Rerouter`."""
        with self._lock(network_id), _explained(network_id):
            self._take_up()
            before = self._records.get(NetworkSpec, network_id)
            if before is None:
                return
            spec = rerouted(before, places, here)
            sealed = self._records.is_whole(before)
            self._records.begin(spec)
            self._guard.set_network(spec)
            self._fabric.ensure_network(spec)
            self._fabric.turn(network_id, {place.mac for place in places}, tap if here else "")
            if sealed:
                self._records.seal(spec)

    def destroy_network(self, network_id: str) -> None:
        """See `NetworkHost`."""
        with self._lock(network_id), _explained(network_id):
            self._take_up()
            before = self._records.get(NetworkSpec, network_id)
            self._records.doubt("network", network_id)
            self._networks.destroy(network_id, before)
            self._guard.remove_network(network_id)
            self._records.forget("network", network_id)

    def ensure_port(self, spec: PortSpec) -> None:
        """See `NetworkHost`."""
        with self._lock(spec.id), _explained(spec.id):
            if self._is_made(spec):
                return
            mtu = self._mtu_of(spec.network_id)
            before = self._records.get(PortSpec, spec.id)
            self._records.begin(spec)
            self._guard.set_port(spec)
            self._plugs.wire(spec, before, mtu)
            self._doubt_carried(spec)
            self._records.seal(spec)

    def destroy_port(self, port_id: str) -> None:
        """See `NetworkHost`."""
        with self._lock(port_id), _explained(port_id):
            self._take_up()
            before = self._records.get(PortSpec, port_id)
            if before is None:
                return
            self._records.doubt("port", port_id)
            self._plugs.unwire(before)
            self._guard.remove_port(port_id)
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
            self._guard.set_groups(changed)
            for group in changed:
                self._records.seal(group)

    def destroy_groups(self, group_ids: Iterable[str]) -> None:
        """See `NetworkHost`."""
        with self._lock("groups"), _explained("groups"):
            self._take_up()
            ids = [id for id in group_ids if self._records.get(GroupSpec, id)]
            self._guard.remove_groups(ids)
            for id in ids:
                self._records.forget("group", id)

    def observe(self) -> Observed:
        """See `NetworkHost`."""
        self._take_up()
        whole: dict[Kind, dict[str, str]] = {"network": {}, "port": {}, "router": {}, "group": {}}
        damaged: set[tuple[Kind, str]] = set()
        links: dict[str, Link] = {}
        guarded = self._site.is_whole() and self._guard.intact()
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
        self._guard.forget()
        self.close()
        shutil.rmtree(self._site.state_dir, ignore_errors=True)
        self._adopted = False

    def close(self) -> None:
        """See `NetworkHost`."""
        self._endpoints.serve(None)
        self._guard.close()
        self._site.close()
        if self._uplink:
            self._uplink.close()
        self._fabric.close()

    def _lock(self, id: str) -> threading.RLock:
        return self._locks[hash(id) % _STRIPES]

    def _take_up(self) -> None:
        """Have the host namespace and know what is in it; in a new one, nothing of what was remembered is true."""
        if self._adopted and self._site.is_whole():
            return
        with self._adopt_lock:
            if self._site.ensure():
                self._records.clear()
                self._guard.forget()
            elif not self._adopted:
                every = {kind: list(self._records.all(kind)) for kind in ("network", "port", "group")}
                self._guard.adopt(
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

    def _doubt_carried(self, port: PortSpec) -> None:
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
            return self._plugs.is_whole(spec, links)
        return True


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NetworkDriverError(f"{what}: {error}") from error
