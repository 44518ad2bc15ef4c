"""What the old network calls of compute come down to: plain arguments in, the records of the use cases out."""

from typing import Any

from pileus.kernel.context import Context
from pileus.network.errors import missing
from pileus.network.service import floating_ips, groups, guests, networks, ports
from pileus.network.store.records import FloatingIp, Group, Network, Port, Rule
from pileus.network.store.rows import Wanted


def list_groups(ctx: Context, project_id: str | None) -> list[Group]:
    """Return the security groups of a project; None: of all that the caller sees."""
    return groups.list_groups(ctx, Wanted((("project_id", [project_id]),) if project_id else ()))


def create_group(ctx: Context, name: str, description: str) -> Group:
    """Make a security group."""
    attributes = {"name": name, "description": description, "stateful": True}
    return groups.create(ctx, [(attributes, frozenset())])[0]


def create_rule(ctx: Context, group_id: str, facts: dict[str, Any]) -> Rule:
    """Make a rule for what comes in."""
    plain = {
        "direction": "ingress", "description": "", "protocol": None, "port_range_min": None, "port_range_max": None,
        "remote_ip_prefix": None, "remote_group_id": None, "remote_address_group_id": None,
    }  # fmt: skip
    return groups.create_rules(ctx, [({**plain, **facts, "security_group_id": group_id}, frozenset())])[0]


def list_networks(ctx: Context) -> list[Network]:
    """Return the networks that the caller sees."""
    return networks.list_networks(ctx, Wanted())


def list_pools(ctx: Context) -> list[Network]:
    """Return the networks that floating IPs are taken of."""
    return networks.list_networks(ctx, Wanted((("router:external", ["true"]),)))


def list_floating_ips(ctx: Context) -> list[floating_ips.Shown]:
    """Return the floating IPs of the caller's project."""
    return floating_ips.list_floating_ips(ctx, Wanted((("project_id", [ctx.project_id]),)))


def floating_ip_at(ctx: Context, address: str) -> floating_ips.Shown | None:
    """Return the floating IP of an address, if the caller sees it."""
    found = floating_ips.list_floating_ips(ctx, Wanted((("floating_ip_address", [address]),)))
    return found[0] if found else None


def take_floating_ip(ctx: Context, network_id: str) -> FloatingIp:
    """Take an address of a pool."""
    attributes = {
        "floating_network_id": network_id, "description": "", "dns_name": "", "dns_domain": "", "floating_ip_address": None,
        "subnet_id": None, "port_id": None, "fixed_ip_address": None, "qos_policy_id": None,
    }  # fmt: skip
    return floating_ips.create(ctx, [(attributes, frozenset())])[0].fip


def lead_floating_ip(ctx: Context, id: str, port_id: str | None, fixed_ip: str | None) -> None:
    """Let a floating IP lead to an address of a port; None: nowhere."""
    attributes: dict[str, Any] = {"port_id": port_id}
    floating_ips.change(ctx, id, attributes | ({"fixed_ip_address": fixed_ip} if fixed_ip else {}))


def _ports(ctx: Context, device_id: str) -> list[Port]:
    with ctx.cloud.db.read() as tx:
        return [each.port for each in guests.ports_of(tx, [device_id]).get(device_id, ())]


def add_address(ctx: Context, device_id: str, network_id: str) -> None:
    """Give a port of a server another address of its network.

    :raises NotFound: when the server has no port there.
    """
    network = networks.show(ctx, network_id)
    for port in _ports(ctx, device_id):
        if port.network_id == network_id and network.subnets:
            fixed = [{"subnet_id": each.subnet_id, "ip_address": each.ip_address} for each in port.fixed_ips]
            ports.change(ctx, port.id, {"fixed_ips": [*fixed, {"subnet_id": network.subnets[0][0]}]})
            return
    raise missing("network", network_id)


def remove_address(ctx: Context, device_id: str, address: str) -> bool:
    """Take an address from the port of a server that has it; tells whether there was one."""
    for port in _ports(ctx, device_id):
        kept = [each for each in port.fixed_ips if each.ip_address != address]
        if len(kept) < len(port.fixed_ips):
            fixed = [{"subnet_id": each.subnet_id, "ip_address": each.ip_address} for each in kept]
            ports.change(ctx, port.id, {"fixed_ips": fixed})
            return True
    return False
