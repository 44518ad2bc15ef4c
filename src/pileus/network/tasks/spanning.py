"""Networks over several hosts: where their ports are, and what becomes of routers whose host is gone."""

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from pileus.kernel.context import Cloud
from pileus.network.driver import RemotePort
from pileus.network.store import hosts as store
from pileus.network.store.records import Port
from pileus.network.store.routers import DHCP

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Spread:
    """The ports of some networks as other hosts need to know them, each with the host where it is, by network.

    Empty where no host has an end of tunnels.
    """

    placed: Mapping[str, Sequence[tuple[str, RemotePort]]]

    def remotes(self, network_id: str, host: str) -> tuple[RemotePort, ...]:
        """Return the ports of a network that are elsewhere than on a host."""
        return tuple(remote for place, remote in self.placed.get(network_id, ()) if place != host)


def spread(tx: Connection, inside: Mapping[str, Sequence[Port]]) -> Spread:
    """Return where the ports and the routers' legs of networks are.

    :param inside: the bound ports of each network.
    """
    ends = store.tunnels(tx)
    found: dict[str, list[tuple[str, RemotePort]]] = defaultdict(list)
    if not ends:
        return Spread(found)
    for network_id, ports in inside.items():
        for port in ports:
            if port.host_id in ends and port.device_owner != DHCP:
                found[network_id] += ((port.host_id, remote) for remote in places(port, ends[port.host_id]))
    legs: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for network_id, mac, ip, place in store.placed_legs(tx, list(inside)):
        if place in ends:
            legs[network_id, mac, place].append(ip)
    for (network_id, mac, place), ips in legs.items():
        found[network_id].append((place, RemotePort(mac, tuple(sorted(ips)), ends[place])))
    return Spread({id: sorted(every, key=lambda one: (one[1].mac, one[1].ips)) for id, every in found.items()})


def places(port: Port, end: str) -> list[RemotePort]:
    """Return a port, and what else it may use: plain addresses under its own MAC, and others of their own."""
    own = [fixed.ip_address for fixed in port.fixed_ips]
    others = []
    for pair in port.allowed_address_pairs:
        if "/" in pair["ip_address"]:
            continue  # a whole range is not the port's alone
        if pair.get("mac_address") in (None, "", port.mac_address):
            own.append(pair["ip_address"])
        else:
            others.append(RemotePort(pair["mac_address"], (pair["ip_address"],), end))
    return [RemotePort(port.mac_address, tuple(own), end), *others]


def note_hosts(cloud: Cloud, names: Collection[str]) -> set[str]:
    """Note where hosts are in the physical network, as their agents say; returns the networks whose hosts do not know it yet."""
    told = {name: cloud.bus.facts(name).get("tunnel", "") for name in names}
    with cloud.db.read() as tx:
        known = store.tunnels(tx)
    reached: set[str] = set()
    if moved := {name: end for name, end in told.items() if end and known.get(name) != end}:
        with cloud.db.begin() as tx:
            for name, end in moved.items():
                store.put_tunnel(tx, name, end)
                reached |= store.networks_reaching(tx, name)
    return reached


def gone(tx: Connection, alive: Collection[str]) -> set[str]:
    """Return the hosts that have routers and are not there ("" for routers that are on none yet).

    While no host is there at all, it is the bus that is gone: then none.
    """
    return set(store.routers_by_host(tx)) - set(alive) if alive else set()


def leave_hosts(tx: Connection, left: Collection[str], alive: Collection[str]) -> dict[str, list[str]]:
    """Move the routers of some hosts to others, evenly; returns each such router and its networks."""
    load = store.routers_by_host(tx)
    counts = {name: load.get(name, 0) for name in alive}
    moved = {}
    for host in left:
        for router_id in store.routers_on(tx, host):
            target = min(sorted(counts), key=lambda name: counts[name])
            if store.move_router(tx, router_id, host, target):
                counts[target] += 1
                moved[router_id] = store.networks_of(tx, router_id)
                log.warning("router %s moves from %s to %s", router_id, host or "nowhere", target)
    return moved
