"""The calls that were nova's before there was a network service; they end with microversion 2.35, some long before.

/v2.1/os-security-groups, os-security-group-rules, os-floating-ips, os-floating-ip-pools, os-networks, os-tenant-networks
"""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from pileus.compute.api.given import given
from pileus.compute.schemas.servers import check_uuid
from pileus.compute.service import old_groups, old_networks
from pileus.kernel.errors import Gone
from pileus.kernel.http import Call, Route
from pileus.kernel.paging import read_limit

LAST = "2.35"
Text = Annotated[str, Meta(max_length=255)]


class Group(Struct):
    """A security group's name and description."""

    name: Text
    description: Text


class GroupBody(Struct):
    """POST and PUT /os-security-groups."""

    security_group: Group


class Rule(Struct):
    """A rule of a security group; what it lets in is looked at later, as it may be of any kind."""

    parent_group_id: str
    group_id: str | UnsetType | None = UNSET
    ip_protocol: Any = None
    from_port: Any = None
    to_port: Any = None
    cidr: Any = None


class RuleBody(Struct):
    """POST /os-security-group-rules."""

    security_group_rule: Rule


class PoolBody(Struct):
    """POST /os-floating-ips."""

    pool: str | UnsetType | None = UNSET


def list_groups(call: Call) -> Any:
    """List security groups."""
    everyone = "all_tenants" in call.query and call.ctx.is_admin
    found = old_groups.list_groups(call.ctx, everyone)
    first, limit = read_limit(call.query.get("offset")) or 0, read_limit(call.query.get("limit"), 1000)
    return {"security_groups": old_groups.in_order(found[first:][:limit])}


def show_group(call: Call) -> Any:
    """Show a security group."""
    return {"security_group": old_groups.show(call.ctx, call.path["id"])}


def create_group(call: Call) -> Any:
    """Make a security group."""
    wanted: Group = call.body.security_group
    return {"security_group": old_groups.create(call.ctx, wanted.name, wanted.description)}


def update_group(call: Call) -> Any:
    """Change a security group."""
    wanted: Group = call.body.security_group
    return {"security_group": old_groups.update(call.ctx, call.path["id"], wanted.name, wanted.description)}


def delete_group(call: Call) -> None:
    """Delete a security group."""
    old_groups.delete(call.ctx, call.path["id"])


def create_rule(call: Call) -> Any:
    """Let something into the members of a security group."""
    wanted: Rule = call.body.security_group_rule
    check_uuid("parent_group_id", wanted.parent_group_id)
    check_uuid("group_id", wanted.group_id)
    ports = (wanted.ip_protocol, wanted.from_port, wanted.to_port)
    asked = old_groups.WantedRule(wanted.parent_group_id, given(wanted.group_id), *ports, wanted.cidr)
    return {"security_group_rule": old_groups.create_rule(call.ctx, asked)}


def delete_rule(call: Call) -> None:
    """Delete a rule of a security group."""
    old_groups.delete_rule(call.ctx, call.path["id"])


def list_floating_ips(call: Call) -> Any:
    """List floating IPs."""
    return {"floating_ips": old_networks.list_floating_ips(call.ctx)}


def show_floating_ip(call: Call) -> Any:
    """Show a floating IP."""
    return {"floating_ip": old_networks.show_floating_ip(call.ctx, call.path["id"])}


def take_floating_ip(call: Call) -> Any:
    """Take a floating IP of a pool."""
    pool = given(call.body.pool) if call.body is not None else None
    return {"floating_ip": old_networks.take_floating_ip(call.ctx, pool)}


def delete_floating_ip(call: Call) -> None:
    """Give a floating IP back."""
    old_networks.delete_floating_ip(call.ctx, call.path["id"])


def list_pools(call: Call) -> Any:
    """List the pools of floating IPs."""
    return {"floating_ip_pools": [{"name": name} for name in old_networks.list_pools(call.ctx)]}


EMPTY = (
    "cidr", "netmask", "gateway", "broadcast", "dns1", "dns2", "cidr_v6", "gateway_v6", "netmask_v6",
)  # fmt: skip
EMPTY_FOR_ADMINS = (
    "created_at", "updated_at", "deleted_at", "deleted", "injected", "bridge", "vlan", "vpn_public_address", "vpn_public_port",
    "vpn_private_address", "dhcp_start", "project_id", "host", "bridge_interface", "multi_host", "priority", "rxtx_base", "mtu",
    "dhcp_server", "enable_dhcp", "share_address",
)  # fmt: skip


def _network(call: Call, network: Any) -> dict[str, Any]:
    names = (*EMPTY, *EMPTY_FOR_ADMINS) if call.ctx.is_admin else EMPTY
    return {"id": network.id, "label": network.name, **dict.fromkeys(names)}


def list_networks(call: Call) -> Any:
    """List networks: their ids and names."""
    return {"networks": [_network(call, network) for network in old_networks.list_networks(call.ctx, tenant=False)]}


def show_network(call: Call) -> Any:
    """Show a network: its id and name."""
    return {"network": _network(call, old_networks.show_network(call.ctx, call.path["id"], tenant=False))}


def _tenant_network(network: Any) -> dict[str, Any]:
    return {"id": network.id, "cidr": "None", "label": network.name}


def list_tenant_networks(call: Call) -> Any:
    """List the project's networks: their ids and names."""
    return {"networks": [_tenant_network(network) for network in old_networks.list_networks(call.ctx, tenant=True)]}


def show_tenant_network(call: Call) -> Any:
    """Show a network of the project: its id and name."""
    return {"network": _tenant_network(old_networks.show_network(call.ctx, call.path["id"], tenant=True))}


def gone(call: Call) -> None:
    """Tell that this call was removed from nova."""
    raise Gone("This call only worked with nova-network, which is gone.")


GROUPS, RULES, IPS = "/v2.1/os-security-groups", "/v2.1/os-security-group-rules", "/v2.1/os-floating-ips"
NETWORKS, TENANT_NETWORKS = "/v2.1/os-networks", "/v2.1/os-tenant-networks"
SG, FIP = "os_compute_api:os-security-groups:", "os_compute_api:os-floating-ips:"
BAD = (400, 401, 403, 404)

REMOVED = (
    ("GET", "/v2.1/os-fixed-ips/{address}"),
    ("POST", "/v2.1/os-fixed-ips/{address}/action"),
    ("POST", NETWORKS),
    ("DELETE", NETWORKS + "/{id}"),
    ("POST", NETWORKS + "/add"),
    ("POST", NETWORKS + "/{id}/action"),
    ("POST", TENANT_NETWORKS),
    ("DELETE", TENANT_NETWORKS + "/{id}"),
    ("GET", "/v2.1/os-floating-ip-dns"),
    ("GET", "/v2.1/os-floating-ips-bulk"),
    ("GET", "/v2.1/os-security-group-default-rules"),
    ("GET", "/v2.1/os-fping"),
    ("GET", "/v2.1/os-cells"),
    ("GET", "/v2.1/os-agents"),
    ("GET", "/v2.1/os-cloudpipe"),
    ("POST", "/v2.1/os-certificates"),
)

routes = (
    Route("GET", GROUPS, list_groups, rule=SG + "get", until=LAST),
    Route("POST", GROUPS, create_group, body=GroupBody, rule=SG + "create", until=LAST, errors=BAD),
    Route("GET", GROUPS + "/{id}", show_group, rule=SG + "show", until=LAST),
    Route("PUT", GROUPS + "/{id}", update_group, body=GroupBody, rule=SG + "update", until=LAST, errors=BAD),
    Route("DELETE", GROUPS + "/{id}", delete_group, status=202, rule=SG + "delete", until=LAST, errors=BAD),
    Route("POST", RULES, create_rule, body=RuleBody, rule=SG + "rule:create", until=LAST, errors=BAD),
    Route("DELETE", RULES + "/{id}", delete_rule, status=202, rule=SG + "rule:delete", until=LAST, errors=BAD),
    Route("GET", IPS, list_floating_ips, rule=FIP + "list", until=LAST),
    Route("POST", IPS, take_floating_ip, body=PoolBody | None, rule=FIP + "create", until=LAST, errors=BAD),
    Route("GET", IPS + "/{id}", show_floating_ip, rule=FIP + "show", until=LAST, errors=BAD),
    Route("DELETE", IPS + "/{id}", delete_floating_ip, status=202, rule=FIP + "delete", until=LAST, errors=BAD),
    Route("GET", "/v2.1/os-floating-ip-pools", list_pools, rule="os_compute_api:os-floating-ip-pools", until=LAST),
    Route("GET", NETWORKS, list_networks, rule="os_compute_api:os-networks:list", until=LAST),
    Route("GET", NETWORKS + "/{id}", show_network, rule="os_compute_api:os-networks:show", until=LAST),
    Route("GET", TENANT_NETWORKS, list_tenant_networks, rule="os_compute_api:os-tenant-networks:list", until=LAST),
    Route("GET", TENANT_NETWORKS + "/{id}", show_tenant_network, rule="os_compute_api:os-tenant-networks:show", until=LAST),
    *(Route(method, path, gone, status=410, errors=(410,)) for method, path in REMOVED),
)
