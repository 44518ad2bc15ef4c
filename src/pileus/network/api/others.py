"""Versions, extensions, and the calls that are no plain collection: interfaces, routes, tags, quotas, agents, zones."""

from typing import Any

from msgspec import UNSET

from pileus.kernel.http import Answer, Call, Route
from pileus.network.api import listing
from pileus.network.errors import bad_attribute, missing
from pileus.network.schemas import answers
from pileus.network.schemas import requests as r
from pileus.network.schemas.clean import CLEANERS, attributes_of
from pileus.network.service import interfaces, operations, routers, subnet_pools, tags
from pileus.network.service.interfaces import Interface

EXTENSIONS = {
    "l3-ha": "HA Router extension", "tag": "Tag support",
    "tag-ext": "Tag support for resources: subnet, port, subnetpool, router",
    "address-group": "Address group", "agent-resources-synced": "Agent's Resource View Synced to Placement",
    "agent_sort_key": "Agent sort keys", "auto-allocated-topology": "Auto Allocated Topology Services",
    "availability_zone_filter": "Availability Zone Filter Extension", "dhcp_agent_scheduler": "DHCP Agent Scheduler",
    "dns-domain-ports": "dns_domain for ports", "dvr": "Distributed Virtual Router",
    "empty-string-filtering": "Empty String Filtering Extension",
    "expose-port-forwarding-in-fip": "Expose Port Forwarding in FIP", "flavors": "Neutron Service Flavors",
    "floating-ip-port-forwarding": "Floating IP Port Forwarding",
    "floating-ip-port-forwarding-description": "Floating IP Port Forwarding new attribute description",
    "floating-ip-port-forwarding-detail": "Floating IP Port Forwarding new attribute internal_ip_address",
    "floating-ip-port-forwarding-port-ranges": "Floating IP Port Forwarding support port ranges",
    "ip_allocation": "IP Allocation", "l3-flavors": "Router Flavor Extension",
    "l3_agent_scheduler": "L3 Agent Scheduler", "metering": "Neutron Metering",
    "metering_source_and_destination_fields": "Adds source and destination IP prefixes to the Neutron Metering API",
    "network-ip-availability": "Network IP Availability", "port-mac-address-regenerate": "Neutron Port MAC address regenerate",
    "port-security-groups-filtering": "Port filtering on security groups", "qos": "Quality of Service",
    "qos-bw-limit-direction": "Direction for QoS bandwidth limit rule", "qos-default": "QoS default policy",
    "qos-bw-minimum-ingress": "Ingress direction for QoS minimum bandwidth rule", "qos-fip": "Floating IP QoS",
    "qos-gateway-ip": "Gateway IP QoS", "qos-port-network-policy": "QoS Port Network Policy",
    "quota-check-limit": "Quota engine limit check",
    "qos-rule-type-details": "Details of QoS rule types", "qos-rules-alias": "Alias for QoS rules API",
    "rbac-address-group": "RBAC support for address groups", "rbac-address-scope": "Address scope RBAC",
    "rbac-policies": "RBAC Policies", "rbac-security-groups": "RBAC support for security groups",
    "rbac-subnetpool": "RBAC support for subnet pools",
    "router-admin-state-down-before-update": "Enforce Router's Admin State Down Before Update Extension",
    "security-groups-default-rules": "Default rules for security groups",
    "security-groups-remote-address-group": "Remote address group id field for security group rules",
    "security-groups-rules-belongs-to-default-sg": "Security group rule belongs to default security group",
    "security-groups-shared-filtering": "Security group filtering on the shared field",
    "sort-key-validation": "Sort keys validation", "subnet-service-types": "Subnet service types",
    "subnet_onboard": "Subnet Onboard", "tag-ports-during-bulk-creation": "Tag Ports During Bulk Creation",
    "tag-creation": "Tag creation", "trunk": "Trunk Extension", "trunk-details": "Trunk port details",
    "uplink-status-propagation": "Port Uplink Status Propagation",
    "address-scope": "Address scope", "agent": "agent", "allowed-address-pairs": "Allowed Address Pairs",
    "availability_zone": "Availability Zone", "binding": "Port Binding",
    "dns-integration": "DNS Integration", "ext-gw-mode": "Neutron L3 Configurable external gateway mode",
    "external-net": "Neutron external network", "extra_dhcp_opt": "Neutron Extra DHCP options",
    "default-subnetpools": "Default Subnetpools",
    "extraroute": "Neutron Extra Route", "extraroute-atomic": "Atomically add/remove extra routes",
    "filter-validation": "Filter parameters validation", "fip-port-details": "Floating IP Port Details Extension",
    "ip-substring-filtering": "IP address substring filtering", "net-mtu": "Network MTU",
    "net-mtu-writable": "Network MTU (writable)", "network_availability_zone": "Network Availability Zone",
    "port-security": "Port Security", "project-id": "project_id field enabled", "provider": "Provider Network",
    "quota_details": "Quota details management support", "quotas": "Quota management support",
    "revision-if-match": "If-Match constraints based on revision_number", "router": "Neutron L3 Router",
    "router_availability_zone": "Router Availability Zone", "security-group": "security-group",
    "security-groups-normalized-cidr": "Normalized CIDR field for security group rules",
    "service-type": "Neutron Service Type Management", "sorting": "Sorting support", "pagination": "Pagination support",
    "standard-attr-description": "standard-attr-description", "standard-attr-revisions": "Resource revision numbers",
    "standard-attr-tag": "Tag support for resources with standard attribute", "standard-attr-timestamp": "Resource timestamps",
    "stateful-security-group": "Stateful security group",
    "subnet_allocation": "Subnet Allocation", "subnetpool-prefix-ops": "Subnet Pool Prefix Operations",
    "subnet-external-network": "Subnet belongs to an external network",
}  # fmt: skip

PLURALS = (
    "networks", "subnets", "subnetpools", "address-scopes",
    "ports", "routers", "floatingips", "security-groups", "security-group-rules", "quotas", "agents",
    "availability_zones", "extensions", "service-providers", "address-groups", "rbac-policies", "qos", "metering-labels",
    "metering-label-rules", "flavors", "service_profiles", "trunks", "default-security-group-rules",
    "network-ip-availabilities", "auto-allocated-topologies",
)  # fmt: skip


def _versions(call: Call) -> Any:
    link = {"rel": "self", "href": f"{call.base_url}/v2.0/"}
    return {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]}


def _resources(call: Call) -> Any:
    return {
        "resources": [
            {"name": name.replace("-", "_").rstrip("s"), "collection": name.replace("-", "_"),
             "links": [{"rel": "self", "href": f"{call.base_url}/v2.0/{name}"}]}
            for name in PLURALS
        ]
    }  # fmt: skip


def _extension(alias: str) -> dict[str, Any]:
    name = EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": name, "updated": "2026-01-01T00:00:00-00:00", "links": []}


def _extensions(call: Call) -> Any:
    return {"extensions": [_extension(alias) for alias in sorted(EXTENSIONS)]}


def _show_extension(call: Call) -> Any:
    if call.path["alias"] not in EXTENSIONS:
        raise missing("extension", call.path["alias"])
    return {"extension": _extension(call.path["alias"])}


def _interface(found: Interface) -> dict[str, Any]:
    project_id = found.router.project_id
    return {
        "id": found.router.id, "tenant_id": project_id, "project_id": project_id, "port_id": found.port.id,
        "network_id": found.port.network_id, "subnet_id": found.subnet_ids[0] if found.subnet_ids else None,
        "subnet_ids": list(found.subnet_ids), "tags": list(found.router.tags),
    }  # fmt: skip


def _add_interface(call: Call) -> Any:
    return _interface(interfaces.add(call.ctx, call.path["id"], call.body.subnet_id, call.body.port_id))


def _remove_interface(call: Call) -> Any:
    return _interface(interfaces.remove(call.ctx, call.path["id"], call.body.subnet_id, call.body.port_id))


def _routes(call: Call) -> Any:
    return CLEANERS["routes"]("routes", [{"destination": x.destination, "nexthop": x.nexthop} for x in call.body.router.routes])


def _add_routes(call: Call) -> Any:
    return {"router": answers.routers(call.ctx)(routers.add_routes(call.ctx, call.path["id"], _routes(call)))}


def _remove_routes(call: Call) -> Any:
    return {"router": answers.routers(call.ctx)(routers.remove_routes(call.ctx, call.path["id"], _routes(call)))}


def _pool_prefixes(call: Call, change: Any) -> Any:
    texts = CLEANERS["prefixes"](
        "prefixes", call.body.prefixes if call.body.subnetpool is UNSET else call.body.subnetpool.prefixes
    )
    left = {"prefixes": change(call.ctx, call.path["id"], texts)}
    return left if call.body.subnetpool is UNSET else {"subnetpool": left}


def _add_prefixes(call: Call) -> Any:
    return _pool_prefixes(call, subnet_pools.add_prefixes)


def _remove_prefixes(call: Call) -> Any:
    return _pool_prefixes(call, subnet_pools.remove_prefixes)


def _list_tags(call: Call) -> Any:
    return {"tags": tags.list_tags(call.ctx, call.path["plural"], call.path["id"])}


def _set_tags(call: Call) -> Any:
    return {"tags": tags.replace(call.ctx, call.path["plural"], call.path["id"], call.body.tags)}


def _add_tags(call: Call) -> Any:
    return {"tags": tags.add(call.ctx, call.path["plural"], call.path["id"], call.body.tags)}


def _clear_tags(call: Call) -> Any:
    tags.replace(call.ctx, call.path["plural"], call.path["id"], [])
    return Answer()


def _has_tag(call: Call) -> Any:
    tags.require_tag(call.ctx, call.path["plural"], call.path["id"], call.path["tag"])
    return Answer()


def _add_tag(call: Call) -> Any:
    tags.add(call.ctx, call.path["plural"], call.path["id"], [call.path["tag"]])
    return Answer()


def _remove_tag(call: Call) -> Any:
    tags.remove(call.ctx, call.path["plural"], call.path["id"], call.path["tag"])
    return Answer()


def _list_quotas(call: Call) -> Any:
    found = operations.list_quotas(call.ctx)
    return {"quotas": [{"project_id": id, "tenant_id": id, **limits} for id, limits in found.items()]}


def _own_quota(call: Call) -> Any:
    return {"tenant": {"tenant_id": call.ctx.project_id, "project_id": call.ctx.project_id}}


def _show_quota(call: Call) -> Any:
    return {"quota": operations.quota_of(call.ctx, call.path["project_id"])}


def _default_quota(call: Call) -> Any:
    return {"quota": operations.default_quota(call.ctx, call.path["project_id"])}


def _quota_details(call: Call) -> Any:
    return {"quota": operations.quota_details(call.ctx, call.path["project_id"])}


def _set_quota(call: Call) -> Any:
    values = {}
    for name, value in call.body.quota.items():
        if name in ("tenant_id", "project_id", "check_limit", "force"):
            continue
        if abs(int(value)) > operations.LIMIT_MAX:
            raise bad_attribute(name, f"'{value}' is too large")
        values[name] = int(value)
    checked = str(call.body.quota.get("check_limit", "")).lower() in ("true", "1")
    return {"quota": operations.change_quota(call.ctx, call.path["project_id"], values, checked=checked)}


def _reset_quota(call: Call) -> Any:
    operations.reset_quota(call.ctx, call.path["project_id"])
    return Answer()


def _list_agents(call: Call) -> Any:
    pick, show = listing.pick(call), answers.agents(call.ctx)
    return {"agents": [pick(show(agent)) for agent in operations.list_agents(call.ctx, listing.read(call))]}


def _show_agent(call: Call) -> Any:
    return {"agent": answers.agents(call.ctx)(operations.show_agent(call.ctx, call.path["id"]))}


def _change_agent(call: Call) -> Any:
    values, _ = attributes_of(call.body.agent)
    return {"agent": answers.agents(call.ctx)(operations.change_agent(call.ctx, call.path["id"], values))}


def _remove_agent(call: Call) -> Any:
    operations.remove_agent(call.ctx, call.path["id"])
    return Answer()


def _zones(call: Call) -> Any:
    found = operations.availability_zones(call.ctx)
    for name, value in call.query.pairs:
        if name in ("name", "resource", "state"):
            found = [zone for zone in found if zone[name] == value]
    return {"availability_zones": found}


def _providers(call: Call) -> Any:
    return {"service_providers": operations.service_providers(call.ctx)}


def _tag_routes(base: str) -> list[Route]:
    return [
        Route("GET", base, _list_tags),
        Route("POST", base, _add_tags, body=r.TagsBody, status=201),
        Route("PUT", base, _set_tags, body=r.TagsBody),
        Route("DELETE", base, _clear_tags, status=204),
        Route("GET", base + "/{tag}", _has_tag, status=204),
        Route("PUT", base + "/{tag}", _add_tag, status=201),
        Route("DELETE", base + "/{tag}", _remove_tag, status=204),
    ]


TAGS, QUOTA, AGENT, ROUTER = "/v2.0/{plural}/{id}/tags", "/v2.0/quotas/{project_id}", "/v2.0/agents/{id}", "/v2.0/routers/{id}"
POOL = "/v2.0/subnetpools/{id}"

ROUTES = (
    Route("GET", "/", _versions, public=True),
    Route("GET", "/v2.0", _resources, public=True),
    Route("GET", "/v2.0/extensions", _extensions),
    Route("GET", "/v2.0/extensions/{alias}", _show_extension),
    Route("PUT", f"{ROUTER}/add_router_interface", _add_interface, body=r.InterfaceBody, rule="add_router_interface"),
    Route("PUT", f"{ROUTER}/remove_router_interface", _remove_interface, body=r.InterfaceBody, rule="remove_router_interface"),
    Route("PUT", f"{ROUTER}/add_extraroutes", _add_routes, body=r.ExtraRoutesBody, rule="add_extraroutes"),
    Route("PUT", f"{ROUTER}/remove_extraroutes", _remove_routes, body=r.ExtraRoutesBody, rule="remove_extraroutes"),
    Route("PUT", f"{POOL}/add_prefixes", _add_prefixes, body=r.PoolPrefixesBody, rule="add_prefixes"),
    Route("PUT", f"{POOL}/remove_prefixes", _remove_prefixes, body=r.PoolPrefixesBody, rule="remove_prefixes"),
    *_tag_routes(TAGS),
    *_tag_routes("/v2.0/qos/{plural}/{id}/tags"),
    Route("GET", "/v2.0/quotas", _list_quotas, rule="get_quota"),
    Route("GET", "/v2.0/quotas/tenant", _own_quota),
    Route("GET", "/v2.0/quotas/project", _own_quota),
    Route("GET", QUOTA, _show_quota, rule="get_quota"),
    Route("GET", QUOTA + "/default", _default_quota, rule="get_quota"),
    Route("GET", QUOTA + "/details", _quota_details, rule="get_quota"),
    Route("GET", QUOTA + "/details.json", _quota_details, rule="get_quota"),
    Route("PUT", QUOTA, _set_quota, body=r.QuotaBody, rule="update_quota"),
    Route("DELETE", QUOTA, _reset_quota, status=204, rule="delete_quota"),
    Route("GET", "/v2.0/agents", _list_agents, rule="get_agent"),
    Route("GET", AGENT, _show_agent, rule="get_agent"),
    Route("PUT", AGENT, _change_agent, body=r.AgentBody, rule="update_agent"),
    Route("DELETE", AGENT, _remove_agent, status=204, rule="delete_agent"),
    Route("GET", "/v2.0/availability_zones", _zones, rule="get_availability_zone"),
    Route("GET", "/v2.0/service-providers", _providers, rule="get_service_provider"),
)
