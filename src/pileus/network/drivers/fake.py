"""A host's networking in memory: the same contract, for tests and load tests. No packet ever flows.

`fail` and `delay` make it misbehave on demand, `damage` breaks a thing as an `ip link del` would.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from pileus.network.driver import (
    FloatingIp,
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


@dataclass
class _Failure:
    error: NetworkDriverError
    times: int | None


@dataclass
class FakeNetworkHost:
    """Fulfils `NetworkHost`. What it was made like stands in `networks`, `ports`, `routers` and `groups`, to look at."""

    networks: dict[str, NetworkSpec] = field(default_factory=dict)
    ports: dict[str, PortSpec] = field(default_factory=dict)
    routers: dict[str, RouterSpec] = field(default_factory=dict)
    groups: dict[str, GroupSpec] = field(default_factory=dict)
    meters: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    metadata_sink: MetadataSink | None = None
    _damaged: set[tuple[Kind, str]] = field(default_factory=set)
    _failures: dict[tuple[str, str | None], _Failure] = field(default_factory=dict)
    _delays_seconds: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, method: str, id: str | None = None, error: str = "made to fail", times: int | None = 1) -> None:
        """Let the next `times` calls (None: all) of a method fail, for one id or for any."""
        self._failures[method, id] = _Failure(NetworkDriverError(error), times)

    def heal(self) -> None:
        """No more failures and delays."""
        self._failures.clear()
        self._delays_seconds.clear()

    def delay(self, method: str, seconds: float) -> None:
        """Let every call of a method take that long."""
        self._delays_seconds[method] = seconds

    def damage(self, kind: Kind, id: str) -> None:
        """Break something, as if someone had done so on the host."""
        with self._lock:
            self._damaged.add((kind, id))

    def floating_ip(self, floating_ip: str) -> FloatingIp | None:
        """The floating address as some router has it, if one has."""
        with self._lock:
            every = [floating for router in self.routers.values() for floating in router.floating_ips]
        return next((floating for floating in every if floating.floating_ip == floating_ip), None)

    def ensure_network(self, spec: NetworkSpec) -> None:
        """See `NetworkHost`."""
        self._misbehave("ensure_network", spec.id)
        with self._lock:
            self.networks[spec.id] = spec
            self._damaged.discard(("network", spec.id))

    def reroute(self, network_id: str, tap: str, places: tuple[RemotePort, ...], here: bool) -> None:
        """See `Rerouter`."""
        self._misbehave("reroute", network_id)
        with self._lock:
            if network_id in self.networks:
                self.networks[network_id] = rerouted(self.networks[network_id], places, here)

    def destroy_network(self, network_id: str) -> None:
        """See `NetworkHost`."""
        self._misbehave("destroy_network", network_id)
        with self._lock:
            self.networks.pop(network_id, None)
            self._damaged.discard(("network", network_id))

    def ensure_port(self, spec: PortSpec) -> None:
        """See `NetworkHost`."""
        self._misbehave("ensure_port", spec.id)
        with self._lock:
            self._require(spec.network_id)
            if spec.carrier and all(port.tap != spec.carrier.tap for port in self.ports.values()):
                raise NotOnHostError(f"the port that carries {spec.id} is not on this host")
            self.ports[spec.id] = spec
            self._damaged.discard(("port", spec.id))

    def destroy_port(self, port_id: str) -> None:
        """See `NetworkHost`."""
        self._misbehave("destroy_port", port_id)
        with self._lock:
            self.ports.pop(port_id, None)
            self._damaged.discard(("port", port_id))

    def ensure_router(self, spec: RouterSpec) -> None:
        """See `NetworkHost`."""
        self._misbehave("ensure_router", spec.id)
        with self._lock:
            for leg in spec.legs:
                self._require(leg.network_id)
            self.routers[spec.id] = spec
            self._damaged.discard(("router", spec.id))

    def destroy_router(self, router_id: str) -> None:
        """See `NetworkHost`."""
        self._misbehave("destroy_router", router_id)
        with self._lock:
            self.routers.pop(router_id, None)
            self._damaged.discard(("router", router_id))

    def ensure_groups(self, groups: Iterable[GroupSpec]) -> None:
        """See `NetworkHost`."""
        every = list(groups)
        for spec in every:
            self._misbehave("ensure_groups", spec.id)
        with self._lock:
            for spec in every:
                self.groups[spec.id] = spec
                self._damaged.discard(("group", spec.id))

    def destroy_groups(self, group_ids: Iterable[str]) -> None:
        """See `NetworkHost`."""
        for id in group_ids:
            self._misbehave("destroy_groups", id)
            with self._lock:
                self.groups.pop(id, None)
                self._damaged.discard(("group", id))

    def observe(self) -> Observed:
        """See `NetworkHost`."""
        self._misbehave("observe", None)
        with self._lock:
            there: dict[Kind, dict[str, Spec]] = {
                "network": {**self.networks},
                "port": {**self.ports},
                "router": {**self.routers},
                "group": {**self.groups},
            }
            damaged = frozenset((kind, id) for kind, id in self._damaged if id in there[kind])
        whole = {
            kind: {id: fingerprint(spec) for id, spec in specs.items() if (kind, id) not in damaged}
            for kind, specs in there.items()
        }
        meters = {
            (router.id, meter.id): self.meters.get((router.id, meter.id), (0, 0))
            for router in self.routers.values() for meter in router.meters
        }  # fmt: skip
        return Observed(whole["network"], whole["port"], whole["router"], whole["group"], meters, damaged)

    def serve_metadata(self, sink: MetadataSink | None) -> None:
        """Remembers the sink only: there is nothing to listen on."""
        self.metadata_sink = sink

    def purge(self) -> None:
        """See `NetworkHost`."""
        self._misbehave("purge", None)
        with self._lock:
            for things in (self.networks, self.ports, self.routers, self.groups):
                things.clear()
            self._damaged.clear()

    def close(self) -> None:
        """Nothing is held."""

    def _require(self, network_id: str) -> None:
        if network_id not in self.networks:
            raise NotOnHostError(f"network {network_id} is not on this host")

    def _misbehave(self, method: str, id: str | None) -> None:
        if seconds := self._delays_seconds.get(method):
            time.sleep(seconds)
        with self._lock:
            for key in ((method, id), (method, None)):
                failure = self._failures.get(key)
                if failure is None:
                    continue
                if failure.times is not None:
                    failure.times -= 1
                    if failure.times <= 0:
                        del self._failures[key]
                raise failure.error
