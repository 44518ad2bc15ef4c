"""Makes hosts be as the rows say: one thing at once, or everything on a host by comparison with what is there."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import rounds
from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Cloud
from pileus.kernel.errors import Unavailable
from pileus.network.driver import (
    NetworkDriverError,
    NetworkHost,
    NotOnHostError,
    Observed,
    Spec,
    fingerprint,
)
from pileus.network.store import groups as groups_store
from pileus.network.store import hosts as hosts_store
from pileus.network.store import ports as ports_store
from pileus.network.store import routers as routers_store
from pileus.network.tables import ports, routers
from pileus.network.tasks import meters, specs
from pileus.network.tasks.touching import touch

log = logging.getLogger(__name__)

ROLE = "network"
HOSTS_A_PASS = 8


class NetworkRounds(rounds.Rounds):
    """Whose turn it is to be compared as a whole with what is wanted there."""

    def __init__(self, most: int = HOSTS_A_PASS) -> None:
        super().__init__(most)
        self.routing: tuple[str, ...] = ()  # the hosts that could have routers when that was last looked at


def network(cloud: Cloud, id: str, left: Collection[str] = ()) -> None:
    """Make a network so on every host that needs it, all at the same time, each as far as it can: none waits for another.

    :param left: hosts that may need it no longer.
    :raises NetworkDriverError: with what the first one answered that could not.
    """
    with cloud.db.read() as tx:
        needed = hosts_store.hosts_of(tx, [id])
        there = [name for name in cloud.bus.hosts(ROLE) if name in needed or name in left]
        found = specs.network_on(tx, cloud.settings, id, [name for name in there if name in needed])

    def make(name: str, driver: NetworkHost) -> None:
        if name in found:
            driver.ensure_network(found[name])
        else:
            driver.destroy_network(id)

    _on_each(cloud, there, make)
    if any(spec.dhcp for spec in found.values()):
        note_dhcp(cloud, [id])


def _on_each(cloud: Cloud, names: Iterable[str], make: Callable[[str, NetworkHost], None]) -> None:
    """Do something on several hosts at the same time; one that has left is passed over: it is compared when it is back.

    :raises NetworkDriverError: with what the first one answered that could not.
    """

    def on(name: str) -> None:
        with suppress(HostUnknown):
            make(name, cloud.bus.host(name, ROLE))

    rounds.each(names, on)


def group(cloud: Cloud, id: str, left: Collection[str] = ()) -> None:
    """Make a group so on every host that needs it.

    :param left: hosts that may need it no longer.
    """
    with cloud.db.read() as tx:
        needed = groups_store.hosts_with(tx, id)
        spec = specs.group_specs(tx, [id]).get(id)

    def make(name: str, driver: NetworkHost) -> None:
        if name in needed and spec is not None:
            driver.ensure_groups([spec])
        else:
            driver.destroy_groups([id])

    _on_each(cloud, [name for name in cloud.bus.hosts(ROLE) if name in needed or name in left], make)


def port(cloud: Cloud, id: str, left: Collection[str] = ()) -> None:
    """Make a port so where it is bound or about to come, with its network, its groups and what carries it.

    :param left: hosts that have it no longer.
    """
    with cloud.db.read() as tx:
        found = next(iter(ports_store.ports_where(tx, ports.c.id == id)), None)
        homes = {host for host in (found.host_id, hosts_store.awaited_at(tx, id)) if host} if found else set()
        carrier_id = specs.carrier_of(tx, id) if homes and found and found.device_owner == specs.CARRIED else None
    if carrier_id:
        port(cloud, carrier_id)

    def make(name: str, driver: NetworkHost) -> None:
        if name in homes:
            _port_on(cloud, id, name, driver)
        else:
            driver.destroy_port(id)

    _on_each(cloud, [name for name in cloud.bus.hosts(ROLE) if name in homes or name in left], make)


def _port_on(cloud: Cloud, id: str, host: str, driver: NetworkHost) -> None:
    """Make a port on a host, and what it needs there.

    What others changed meanwhile is made so by its tasks, once more if need be: two processes may be at it, and who read first
    must not have the last word.
    """
    with cloud.db.read() as tx:
        found = specs.ports_on(tx, host, [id])
        if id not in found:
            return  # it has gone meanwhile: a change that has a task of its own
        spec = found[id]
        own = specs.groups_on(tx, host, spec.group_ids)
        named = {rule.remote_group_id for group in own.values() for rule in group.rules if rule.remote_group_id} - set(own)
        own |= specs.groups_on(tx, host, named) if named else {}
        under = specs.networks_on(tx, cloud.settings, host, [spec.network_id])[spec.network_id]
        stamp = hosts_store.stamp(tx, spec.network_id, list(own))
    driver.ensure_network(under)
    driver.ensure_groups(own.values())
    driver.ensure_port(spec)
    with cloud.db.read() as tx:
        changed = hosts_store.stamp(tx, spec.network_id, list(own)) != stamp
    if changed:
        with cloud.db.begin() as tx:
            touch(tx, cloud, "network", spec.network_id)
            for group_id in sorted(own):
                touch(tx, cloud, "group", group_id)
    note_ports(cloud, {id: spec.admin_up})
    if under.dhcp:
        note_dhcp(cloud, [spec.network_id])


def plug(cloud: Cloud, id: str) -> None:
    """Make a port so on the host that it is bound to.

    Where another port of its network and of each of its groups is active there, they are there too, and hear of this port
    by tasks of their own, one for many ports: to build them anew for each of n ports would cost the square of n.
    """
    with cloud.db.read() as tx:
        found = next(iter(ports_store.ports_where(tx, ports.c.id == id)), None)
        ready = found is not None and ports_store.has_neighbours(tx, found)
        spec = specs.port_specs(tx, [found])[0] if found and ready else None
    if found is None or spec is None:
        port(cloud, id)
        return
    try:
        cloud.bus.host(found.host_id, ROLE).ensure_port(spec)
    except NotOnHostError:
        port(cloud, id)
    else:
        _write_if(cloud, [(id, "ACTIVE" if found.admin_state_up else "DOWN")])


def router(cloud: Cloud, id: str, left: Collection[str] = ()) -> None:
    """Make a router so on its host, with the networks that it reaches into.

    :param left: hosts that have it no longer.
    """
    with cloud.db.read() as tx:
        row = next(iter(routers_store.routers_where(tx, routers.c.id == id)), None)
        home = row.host_id if row else ""
        spec = specs.routers_on(tx, home, [id]).get(id) if home else None
        under = specs.networks_on(tx, cloud.settings, home, _reached(spec)) if spec else {}

    def make(name: str, driver: NetworkHost) -> None:
        if name != home or spec is None:
            driver.destroy_router(id)
            return
        for each in under.values():
            driver.ensure_network(each)
        driver.ensure_router(spec)
        note_routers(cloud, {id: spec})

    _on_each(cloud, [name for name in cloud.bus.hosts(ROLE) if name == home or name in left], make)
    for network_id in under if len(cloud.bus.hosts(ROLE)) > 1 else ():
        network(cloud, network_id)  # the other hosts learn where the legs are


def _reached(spec: Any) -> set[str]:
    return {leg.network_id for leg in spec.legs}


def note_ports(cloud: Cloud, up: Mapping[str, bool]) -> None:
    """Note the status of ports that have been made; writes only what changed."""
    _write_if(cloud, [(id, "ACTIVE" if is_up else "DOWN") for id, is_up in up.items()])


def note_dhcp(cloud: Cloud, network_ids: Collection[str]) -> None:
    """Note that the DHCP ports of networks serve."""
    with cloud.db.read() as tx:
        found = ports_store.ports_where(
            tx, ports.c.network_id.in_(list(network_ids)), ports.c.device_owner == routers_store.DHCP, ports.c.status != "ACTIVE"
        )
    _write_if(cloud, [(each.id, "ACTIVE") for each in found])


def note_routers(cloud: Cloud, made: Mapping[str, Any]) -> None:
    """Note that the legs (be the router up or not) and floating addresses of routers have been made."""
    _write_if(cloud, [(leg.port_id, "ACTIVE") for spec in made.values() for leg in spec.legs])
    there = {one.floating_ip for spec in made.values() for one in (*spec.floating_ips, *spec.forwards)}

    def ready(tx: Connection) -> list[str]:
        return [fip.id for fip in routers_store.waiting_floating(tx, made) if fip.floating_ip_address in there]

    with cloud.db.read() as tx:
        waiting = ready(tx)
    if waiting:
        with cloud.db.begin() as tx:
            routers_store.set_floating_status(tx, ready(tx), "ACTIVE")


def _write_if(cloud: Cloud, statuses: list[tuple[str, str]]) -> None:
    with cloud.db.read() as tx:
        now = {p.id: p.status for p in ports_store.ports_by_id(tx, [id for id, _ in statuses]).values()}
    changed = [(id, status) for id, status in statuses if id in now and now[id] != status]
    if changed:
        with cloud.db.begin() as tx:
            for status in {status for _, status in changed}:
                ports_store.set_status(tx, [id for id, other in changed if other == status], status)


def some(cloud: Cloud) -> None:
    """Compare the hosts whose turn it is with what is wanted there, repair what is not so, and destroy what no row knows."""
    turns = cloud.part(NetworkRounds)

    def look(name: str) -> None:
        try:
            if not _host(cloud, name, cloud.bus.host(name, ROLE)):
                turns.again(name)  # who read first must not have the last word
        except HostUnknown:
            log.info("host %s has left", name)
        except Unavailable as error:
            turns.again(name)
            log.warning("host %s could not be looked at: %s", name, error)
        except NetworkDriverError:
            turns.again(name)
            log.exception("host %s could not be looked at", name)

    rounds.each(turns.turn(cloud.bus, ROLE), look)


def _host(cloud: Cloud, name: str, driver: NetworkHost) -> bool:
    """Compare a host; tells whether all was as wanted."""
    seen = driver.observe()
    with cloud.db.read() as tx:
        networks = specs.networks_on(tx, cloud.settings, name)
        plugs, routes, groups = specs.ports_on(tx, name), specs.routers_on(tx, name), specs.groups_on(tx, name)
    _each("network", networks, seen.networks, driver.ensure_network)
    if stale := [spec for id, spec in groups.items() if seen.groups.get(id) != fingerprint(spec)]:
        _try(f"groups on {name}", lambda: driver.ensure_groups(stale))
    if unknown := seen.everything("group") - set(groups):
        _try(f"groups on {name}", lambda: driver.destroy_groups(unknown))
    plugged = _each("port", plugs, seen.ports, driver.ensure_port)
    made = _each("router", routes, seen.routers, driver.ensure_router)
    _destroy(driver, seen, {"router": set(routes), "port": set(plugs), "network": set(networks)})
    note_ports(cloud, {id: plugs[id].admin_up for id in plugged})
    note_routers(cloud, {id: routes[id] for id in made})
    note_dhcp(cloud, [id for id, spec in networks.items() if spec.dhcp])
    meters.note(seen.meters)
    wanted: tuple[tuple[Mapping[str, str], Mapping[str, Spec]], ...] = (
        (seen.networks, networks), (seen.ports, plugs), (seen.routers, routes), (seen.groups, groups)
    )  # fmt: skip
    return all(there == {id: fingerprint(spec) for id, spec in specs_.items()} for there, specs_ in wanted)


def _each(kind: str, wanted: Mapping[str, Spec], seen: Mapping[str, str], ensure: Callable[[Any], None]) -> list[str]:
    """Make what is not as wanted; returns the ids of all that are so now."""
    good = []
    for id, spec in wanted.items():
        if seen.get(id) == fingerprint(spec) or _try(f"{kind} {id}", lambda spec=spec: ensure(spec)):  # type: ignore[misc]
            good.append(id)
    return good


def _destroy(driver: NetworkHost, seen: Observed, wanted: Mapping[str, set[str]]) -> None:
    for id in seen.everything("router") - wanted["router"]:
        _try(f"router {id}", lambda id=id: driver.destroy_router(id))  # type: ignore[misc]
    for id in seen.everything("port") - wanted["port"]:
        _try(f"port {id}", lambda id=id: driver.destroy_port(id))  # type: ignore[misc]
    for id in seen.everything("network") - wanted["network"]:
        _try(f"network {id}", lambda id=id: driver.destroy_network(id))  # type: ignore[misc]


def _try(what: str, action: Callable[[], None]) -> bool:
    try:
        action()
    except NetworkDriverError as error:
        log.warning("%s is not as it shall be: %s", what, error)
        return False
    return True
