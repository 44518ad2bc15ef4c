"""What compute asks of the network for its servers: ports made or taken over, given back, and what is known of them.

All functions take an open transaction, so that a server and its ports are written together or not at all.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from pileus.kernel.context import Cloud, Context
from pileus.network import tables
from pileus.network.errors import conflict, invalid, missing
from pileus.network.service import access, carried, defaults, ports, topology
from pileus.network.service import groups as groups_service
from pileus.network.store import groups as groups_store
from pileus.network.store import networks as networks_store
from pileus.network.store import ports as store
from pileus.network.store import routers as routers_store
from pileus.network.store import rows
from pileus.network.store.records import FloatingIp, Group, Network, Port
from pileus.network.store.rows import Wanted
from pileus.network.tasks import sync

OWNER = "compute:"


@dataclass(frozen=True)
class Wish:
    """One network interface that a server shall have: an existing port, or a new one in a network."""

    network_id: str | None = None
    port_id: str | None = None
    fixed_ip: str | None = None


@dataclass(frozen=True)
class GuestPort:
    """A port of a server, with the name of its network and the floating IPs that lead to it."""

    port: Port
    network_name: str
    floating_ips: tuple[FloatingIp, ...] = ()


def acting_for(cloud: Cloud, project_id: str) -> Context:
    """Return a context with the rights of a project's member, for long work done on its behalf."""
    return Context(cloud, project_id=project_id, roles=frozenset({"member", "reader"}))


def create_ports(
    tx: Connection, ctx: Context, device_id: str, wishes: Sequence[Wish], group_ids: Sequence[str] | None,
    name: str = "", zone: str = "nova",
) -> list[Port]:  # fmt: skip
    """Make or take over the ports of a server, in the order of the wishes.  Nothing is bound or plugged yet.

    :param group_ids: security groups of the new ports; None: the project's default one.
    :param name: the server's name, under which DNS knows its ports.
    :raises NotFound: when the caller does not see a network or port.
    :raises Conflict: when a port is in use, an address is taken, or none is free.
    :raises OverQuota: when the project has no room for the new ports.
    """
    made = []
    for wish in wishes:
        if wish.port_id:
            made.append(_take_over(tx, ctx, device_id, wish.port_id, zone))
            continue
        if not wish.network_id:
            raise invalid("An interface needs a network or a port")
        network = check_network(tx, ctx, wish.network_id)
        more: dict[str, Any] = {"fixed_ips": [{"ip_address": wish.fixed_ip}] if wish.fixed_ip else None}
        secure = network.port_security_enabled
        attributes = defaults.plain_port(network.id) | more | {
            "device_id": device_id, "device_owner": OWNER + zone, "dns_name": name,
            "security_groups": list(group_ids) if group_ids is not None and secure else None,
        }  # fmt: skip
        made.append(ports.make(tx, ctx, ctx.project_id, network, attributes))
    return made


def check_network(tx: Connection, ctx: Context, id: str) -> Network:
    """Return a network into which the caller may put servers.

    :raises NotFound: when they do not see it.
    :raises Conflict: when it is external and not theirs (kind ExternalNetworkAttachForbidden), or has no subnet
        (NetworkRequiresSubnet).
    """
    network = access.find_network(ctx, tx, id)
    mine = network.project_id == ctx.project_id or network.is_open_to(ctx.project_id, "access_as_shared")
    if network.external and not mine and not ctx.is_admin:
        raise conflict("ExternalNetworkAttachForbidden", f"It is not allowed to create an interface on external network {id}")
    if not network.subnets:
        raise invalid(f"Network {id} requires a subnet in order to boot instances on.", "NetworkRequiresSubnet")
    return network


def check_port(tx: Connection, ctx: Context, id: str) -> Port:
    """Return a port that the caller may give to a server.

    :raises NotFound: when they do not see it.
    :raises Conflict: when a device has it already (kind PortInUse).
    """
    port = store.find_port(tx, id)
    if port is None or (port.project_id != ctx.project_id and not ctx.is_admin):
        raise missing("port", id)
    if port.device_id:
        raise conflict("PortInUse", f"Port {id} is still in use.")
    return port


def _take_over(tx: Connection, ctx: Context, device_id: str, port_id: str, zone: str) -> Port:
    port = store.find_port(tx, port_id)
    if port is not None and port.device_id == device_id:
        return port  # a step that is repeated
    port = check_port(tx, ctx, port_id)
    values = {"device_id": device_id, "device_owner": OWNER + zone}
    rows.update_row(tx, tables.ports, ctx.cloud.clock.now(), port_id, values)
    found = store.find_port(tx, port_id)
    assert found is not None
    return found


def release_ports(tx: Connection, cloud: Cloud, device_id: str, keep: Collection[str] = ()) -> None:
    """Give the ports of a server back: remove them, but those to keep (they were there before it) only let go."""
    for port in store.ports_of_devices(tx, [device_id]):
        release_port(tx, cloud, port, keep=port.id in keep)


def release_port(tx: Connection, cloud: Cloud, port: Port, *, keep: bool) -> None:
    """Give one port back."""
    if not keep and not carried.is_carrier(tx, port.id):
        ports.discard(tx, cloud, port)
        return
    values = {"device_id": "", "device_owner": "", "host_id": "", "status": "DOWN"}
    ports.write_change(tx, cloud, port, values)


def networks_for(tx: Connection, ctx: Context) -> list[Network]:
    """Return the networks into which a project's servers go when none is named: its own, else those shared with all."""
    own = networks_store.list_networks(tx, None, Wanted((("project_id", [ctx.project_id]), ("router:external", ["false"]))))
    if own:
        return own
    return networks_store.list_networks(tx, None, Wanted((("shared", ["true"]), ("router:external", ["false"]))))


def default_wishes(tx: Connection, ctx: Context, *, auto: bool) -> list[Wish]:
    """Return the interface of a server of which no network was named.

    :param auto: make a network with a router where the project has none; otherwise the server has no interface then.
    :raises Conflict: when there are several networks to choose from (kind NetworkAmbiguous), or none can be made.
    """
    found = [network for network in networks_for(tx, ctx) if network.subnets]
    if len(found) > 1:
        mine = [network for network in found if network.name == topology.NETWORK]
        if not (auto and mine):
            raise conflict("NetworkAmbiguous", "Multiple possible networks found, use a Network ID to be more specific.")
        found = mine
    if found:
        return [Wish(found[0].id)]
    return [Wish(topology.ensure(tx, ctx, ctx.project_id))] if auto else []


def ports_of(tx: Connection, device_ids: Iterable[str]) -> dict[str, list[GuestPort]]:
    """Return the ports of many servers at once, by server, oldest first; with floating IPs and names of networks."""
    found = store.ports_of_devices(tx, device_ids)
    floating: dict[str, list[FloatingIp]] = defaultdict(list)
    for chunk in rows.chunks(port.id for port in found):
        for fip in routers_store.floating_where(tx, tables.floating_ips.c.port_id.in_(chunk)):
            floating[fip.port_id or ""].append(fip)
    names = networks_store.names(tx, {port.network_id for port in found})
    by_device: dict[str, list[GuestPort]] = defaultdict(list)
    for port in found:
        by_device[port.device_id].append(GuestPort(port, names[port.network_id], tuple(floating.get(port.id, ()))))
    return by_device


def find_port(tx: Connection, id: str) -> Port | None:
    """Return one port, whoever's it is."""
    return store.find_port(tx, id)


def port_at(tx: Connection, ip: str, network_id: str | None = None, router_id: str | None = None) -> Port | None:
    """Return the port that asks for metadata from an address, in a network or through a router."""
    if network_id is not None:
        return store.port_of_address(tx, [network_id], ip)
    within = {port.network_id for port in routers_store.interfaces_of(tx, router_id or "")}
    return store.port_of_address(tx, within, ip) if within else None


def find_groups(tx: Connection, ctx: Context, names: Iterable[str]) -> list[Group]:
    """Return the caller's security groups by name or id.

    :raises NotFound: when there is none.
    :raises Conflict: when several have the name (kind NoUniqueMatch).
    """
    own = groups_store.list_groups(tx, None, Wanted((("project_id", [ctx.project_id]),)))
    found = []
    for name in names:
        if name == groups_service.DEFAULT_NAME:
            id = groups_service.ensure_default(tx, ctx.cloud, ctx.project_id)
            found.append(groups_store.groups_by_id(tx, [id])[id])
            continue
        matching = [group for group in own if group.id == name] or [group for group in own if group.name == name]
        if not matching:
            raise missing("security_group", name)
        if len(matching) > 1:
            raise conflict("NoUniqueMatch", f"Multiple security groups found matching '{name}'. Use an ID to be more specific.")
        found.append(matching[0])
    return found


def groups_of(tx: Connection, device_ids: Iterable[str]) -> dict[str, list[Group]]:
    """Return the security groups of many servers at once, by server."""
    inside: dict[str, set[str]] = defaultdict(set)
    for port in store.ports_of_devices(tx, device_ids):
        inside[port.device_id].update(port.security_groups)
    found = groups_store.groups_by_id(tx, {id for every in inside.values() for id in every})
    return {device: sorted((found[id] for id in every), key=lambda g: g.name) for device, every in inside.items()}


def group_names(tx: Connection, group_ids: Collection[str]) -> dict[str, str]:
    """Return the names of security groups by id, with one question however many ports they are of."""
    return groups_store.names(tx, group_ids)


def change_groups(tx: Connection, cloud: Cloud, port: Port, group_ids: Collection[str]) -> None:
    """Put a port into exactly these groups."""
    store.set_groups(tx, port.id, sorted(group_ids))
    ports.write_change(tx, cloud, port, {})
    for id in set(port.security_groups) - set(group_ids):
        sync.touch_group(tx, cloud, id, port.host_id)
