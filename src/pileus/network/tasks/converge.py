"""Makes hosts be as the rows say: one thing at once, or everything on a host by comparison with what is there."""

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection

from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Cloud
from pileus.kernel.errors import Unavailable
from pileus.network.driver import (
    NetworkDriverError,
    NetworkHost,
    NetworkSpec,
    NotOnHostError,
    Observed,
    PortSpec,
    Spec,
    fingerprint,
)
from pileus.network.store import hosts as hosts_store
from pileus.network.store import ports as ports_store
from pileus.network.store import routers as routers_store
from pileus.network.tables import ports, routers
from pileus.network.tasks import meters, specs

log = logging.getLogger(__name__)

ROLE = "network"
HOSTS_AT_ONCE = 16

_GROUPS = threading.Lock()  # from reading groups to making them so: an older reading must not undo a newer one


def hosts(cloud: Cloud) -> Iterable[tuple[str, NetworkHost]]:
    """Return every host that does networking, with its driver; not one that leaves meanwhile."""
    for name in cloud.bus.hosts(ROLE):
        try:
            driver = cloud.bus.host(name, ROLE)
        except HostUnknown:
            continue
        yield name, driver


def network(cloud: Cloud, id: str) -> None:
    """Make a network so on every host that needs it, and nowhere else."""
    for name, driver in hosts(cloud):
        _network_on(cloud, id, name, driver)


def network_at_once(cloud: Cloud, id: str) -> None:
    """Do the same on all hosts at the same time, each as far as it can: none waits for another.

    :raises NetworkDriverError: with what the first one answered that could not.
    """
    every = list(hosts(cloud))
    with ThreadPoolExecutor(min(len(every), HOSTS_AT_ONCE) or 1, thread_name_prefix="network") as pool:
        asked = [pool.submit(_network_on, cloud, id, name, driver) for name, driver in every]
    for each in asked:
        each.result()


def _network_on(cloud: Cloud, id: str, name: str, driver: NetworkHost) -> None:
    with cloud.db.read() as tx:
        spec = specs.networks_on(tx, cloud.settings, name, [id]).get(id)
    if spec is None:
        driver.destroy_network(id)
    else:
        driver.ensure_network(spec)
        if spec.dhcp:
            note_dhcp(cloud, [id])


def group(cloud: Cloud, id: str) -> None:
    """Make a group so on every host that needs it."""
    for name, driver in hosts(cloud):
        with _GROUPS:
            with cloud.db.read() as tx:
                spec = specs.groups_on(tx, name, [id]).get(id)
            if spec is None:
                driver.destroy_groups([id])
            else:
                driver.ensure_groups([spec])


def port(cloud: Cloud, id: str) -> None:
    """Make a port so where it is bound or about to come, with its network, its groups and what carries it; nowhere else."""
    with cloud.db.read() as tx:
        found = next(iter(ports_store.ports_where(tx, ports.c.id == id)), None)
        homes = [host for host in (found.host_id, hosts_store.awaited_at(tx, id)) if host] if found else []
        here = {home: _with_network(tx, cloud, home, id) for home in homes}
        carrier_id = specs.carrier_of(tx, id) if any(spec.carrier for spec, _ in here.values()) else None
    if carrier_id:
        port(cloud, carrier_id)
    for name, driver in hosts(cloud):
        if name not in here:
            driver.destroy_port(id)
            continue
        spec, under = here[name]
        driver.ensure_network(under)
        _groups_of(cloud, name, driver, spec)
        driver.ensure_port(spec)
        note_ports(cloud, {id: spec.admin_up})
        if under.dhcp:
            note_dhcp(cloud, [spec.network_id])


def _with_network(tx: Connection, cloud: Cloud, host: str, port_id: str) -> tuple[PortSpec, NetworkSpec]:
    """Return how a port and its network are to be on a host that has it."""
    spec = specs.ports_on(tx, host, [port_id])[port_id]
    return spec, specs.networks_on(tx, cloud.settings, host, [spec.network_id])[spec.network_id]


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


def _groups_of(cloud: Cloud, host: str, driver: NetworkHost, port: PortSpec) -> None:
    """Have the groups of a port on its host, and those that their rules name."""
    with _GROUPS:
        with cloud.db.read() as tx:
            own = specs.groups_on(tx, host, port.group_ids)
            named = {rule.remote_group_id for group in own.values() for rule in group.rules if rule.remote_group_id}
            own |= specs.groups_on(tx, host, named - set(own)) if named - set(own) else {}
        driver.ensure_groups(own.values())


def router(cloud: Cloud, id: str) -> None:
    """Make a router so on its host, with the networks that it reaches into; remove it from the others."""
    with cloud.db.read() as tx:
        row = next(iter(routers_store.routers_where(tx, routers.c.id == id)), None)
        home = row.host_id if row else ""
        spec = specs.routers_on(tx, home, [id]).get(id) if home else None
        under = specs.networks_on(tx, cloud.settings, home, _reached(spec)) if spec else {}
    for name, driver in hosts(cloud):
        if name != home or spec is None:
            driver.destroy_router(id)
            continue
        for each in under.values():
            driver.ensure_network(each)
        driver.ensure_router(spec)
        for network_id in under if len(cloud.bus.hosts(ROLE)) > 1 else ():
            network(cloud, network_id)  # the other hosts learn where the legs are
        note_routers(cloud, {id: spec})


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


def everything(cloud: Cloud) -> None:
    """Compare every host with what is wanted there, repair what is not so, and destroy what no row knows."""
    for name, driver in hosts(cloud):
        try:
            _host(cloud, name, driver)
        except Unavailable as error:
            log.warning("host %s could not be looked at: %s", name, error)
        except NetworkDriverError:
            log.exception("host %s could not be looked at", name)


def _host(cloud: Cloud, name: str, driver: NetworkHost) -> None:
    seen = driver.observe()
    with cloud.db.read() as tx:
        networks = specs.networks_on(tx, cloud.settings, name)
        plugs, routes = specs.ports_on(tx, name), specs.routers_on(tx, name)
    _each("network", networks, seen.networks, driver.ensure_network)
    _groups_on(cloud, name, driver, seen)
    plugged = _each("port", plugs, seen.ports, driver.ensure_port)
    made = _each("router", routes, seen.routers, driver.ensure_router)
    _destroy(driver, seen, {"router": set(routes), "port": set(plugs), "network": set(networks)})
    note_ports(cloud, {id: plugs[id].admin_up for id in plugged})
    note_routers(cloud, {id: routes[id] for id in made})
    note_dhcp(cloud, [id for id, spec in networks.items() if spec.dhcp])
    meters.note(seen.meters)


def _groups_on(cloud: Cloud, name: str, driver: NetworkHost, seen: Observed) -> None:
    """Make the groups of a host that are not as wanted, and drop those that are not wanted."""
    with _GROUPS:
        with cloud.db.read() as tx:
            groups = specs.groups_on(tx, name)
        if stale := [spec for id, spec in groups.items() if seen.groups.get(id) != fingerprint(spec)]:
            _try(f"groups on {name}", lambda: driver.ensure_groups(stale))
        if unknown := seen.everything("group") - set(groups):
            _try(f"groups on {name}", lambda: driver.destroy_groups(unknown))


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
