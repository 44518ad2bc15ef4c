"""How records are shown.  Each function is told the caller once and returns the one that shows records to them."""

from collections.abc import Callable
from typing import Any

import msgspec

from pileus.kernel.clock import to_iso
from pileus.kernel.context import Cloud, Context
from pileus.network import addressing
from pileus.network.service.floating_ips import Shown
from pileus.network.store import agents as agents_store
from pileus.network.store.forwardings import Forwarding
from pileus.network.store.records import AddressScope, Agent, Group, Network, Port, Router, Rule, Subnet, SubnetPool
from pileus.network.tasks.specs import host_name

Json = dict[str, Any]
Dated = Any


def end(record: Dated) -> Json:
    created = to_iso(record.created_at)
    updated = created if record.updated_at == record.created_at else to_iso(record.updated_at)
    return {"revision_number": record.revision_number, "created_at": created, "updated_at": updated}


def networks(ctx: Context) -> Callable[[Network], Json]:
    """Show networks."""
    provider = ctx.can("get_network:provider:network_type")

    def show(n: Network) -> Json:
        found: Json = {
            "id": n.id, "name": n.name, "description": n.description, "tenant_id": n.project_id, "project_id": n.project_id,
            "status": "ACTIVE", "admin_state_up": n.admin_state_up,
            "shared": n.is_open_to(ctx.project_id, "access_as_shared"), "router:external": n.external,
            "qos_policy_id": n.qos_policy_id,
            "mtu": n.mtu, "port_security_enabled": n.port_security_enabled, "dns_domain": n.dns_domain,
            "availability_zone_hints": n.availability_zone_hints, "availability_zones": ["nova"],
            "subnets": [id for id, _ in n.subnets], "tags": n.tags,
            "ipv4_address_scope": dict(n.scopes).get(4), "ipv6_address_scope": dict(n.scopes).get(6),
            **end(n),
        }  # fmt: skip
        if n.external:
            found["is_default"] = n.is_default
        if provider:
            found |= {
                "provider:network_type": n.network_type, "provider:physical_network": n.physical_network,
                "provider:segmentation_id": n.segmentation_id,
            }  # fmt: skip
        return found

    return show


def subnets(ctx: Context) -> Callable[[Subnet], Json]:
    """Show subnets."""

    def show(s: Subnet) -> Json:
        return {
            "id": s.id, "name": s.name, "description": s.description, "tenant_id": s.project_id, "project_id": s.project_id,
            "network_id": s.network_id, "ip_version": s.ip_version, "cidr": s.cidr, "gateway_ip": s.gateway_ip,
            "enable_dhcp": s.enable_dhcp, "allocation_pools": [{"start": start, "end": end} for start, end in s.allocation_pools],
            "dns_nameservers": s.dns_nameservers, "host_routes": s.host_routes, "ipv6_ra_mode": s.ipv6_ra_mode,
            "ipv6_address_mode": s.ipv6_address_mode,
            "subnetpool_id": s.subnetpool_id, "service_types": s.service_types, "router:external": s.external,
            "tags": s.tags, **end(s),
        }  # fmt: skip

    return show


def subnet_pools(ctx: Context) -> Callable[[SubnetPool], Json]:
    """Show subnet pools.  Lengths are shown as text, as neutron does."""

    def show(p: SubnetPool) -> Json:
        return {
            "id": p.id, "name": p.name, "description": p.description, "tenant_id": p.project_id, "project_id": p.project_id,
            "ip_version": p.ip_version, "prefixes": p.prefixes, "default_prefixlen": str(p.default_prefixlen),
            "min_prefixlen": str(p.min_prefixlen), "max_prefixlen": str(p.max_prefixlen), "default_quota": p.default_quota,
            "shared": p.shared, "is_default": p.is_default, "address_scope_id": p.address_scope_id, "tags": p.tags, **end(p),
        }  # fmt: skip

    return show


def address_scopes(ctx: Context) -> Callable[[AddressScope], Json]:
    """Show address scopes."""

    def show(s: AddressScope) -> Json:
        return {
            "id": s.id, "name": s.name, "tenant_id": s.project_id, "project_id": s.project_id, "ip_version": s.ip_version,
            "shared": s.shared,
        }  # fmt: skip

    return show


def ports(ctx: Context) -> Callable[[Port], Json]:
    """Show ports; how they are bound is for admins."""
    binding = [
        name for name in ("binding:host_id", "binding:profile", "binding:vif_type", "binding:vif_details")
        if ctx.can(f"get_port:{name}")
    ]  # fmt: skip
    domain = ctx.cloud.settings.dns_domain + "."

    def show(p: Port) -> Json:
        found: Json = {
            "id": p.id, "name": p.name, "description": p.description, "tenant_id": p.project_id, "project_id": p.project_id,
            "network_id": p.network_id, "mac_address": p.mac_address, "admin_state_up": p.admin_state_up, "status": p.status,
            "device_id": p.device_id, "device_owner": p.device_owner, "fixed_ips": p.fixed_ips,
            "security_groups": p.security_groups, "port_security_enabled": p.port_security_enabled,
            "allowed_address_pairs": p.allowed_address_pairs, "extra_dhcp_opts": p.extra_dhcp_opts, "dns_name": p.dns_name,
            "dns_assignment": [_name(p.dns_name, f.ip_address, domain) for f in p.fixed_ips],
            "binding:vnic_type": p.vnic_type, "dns_domain": p.dns_domain, "qos_policy_id": p.qos_policy_id,
            "qos_network_policy_id": p.network_policy_id, "propagate_uplink_status": p.propagate_uplink_status,
            "ip_allocation": "immediate", "tags": p.tags, **end(p),
        }  # fmt: skip
        if p.trunk:
            found["trunk_details"] = {"trunk_id": p.trunk[0], "sub_ports": [msgspec.to_builtins(each) for each in p.trunk[1]]}
        for name in binding:
            found[name] = _bound(ctx.cloud, p, name)
        return found

    return show


def _name(name: str, ip: str, domain: str) -> Json:
    host = host_name(name, [ip])
    return {"ip_address": ip, "hostname": host, "fqdn": f"{host}.{domain}"}


def _bound(cloud: Cloud, p: Port, name: str) -> Any:
    if name == "binding:host_id":
        return p.host_id
    if name == "binding:profile":
        return p.profile
    if name == "binding:vif_type":
        return agents_store.vif_type(cloud, p.host_id)
    found: Json = {"port_filter": True, "connectivity": "l2"} if p.host_id else {}
    if p.host_id and agents_store.is_switched(cloud, p.host_id):
        datapath = cloud.bus.facts(p.host_id).get("datapath", "system")
        found |= {"ovs_hybrid_plug": False, "datapath_type": datapath, "bridge_name": "br-int"}
    return found


def routers(ctx: Context) -> Callable[[Router], Json]:
    """Show routers; `distributed` and `ha` are for admins."""
    flags = [name for name in ("distributed", "ha") if ctx.can(f"get_router:{name}")]

    def show(r: Router) -> Json:
        found: Json = {
            "id": r.id, "name": r.name, "description": r.description, "tenant_id": r.project_id, "project_id": r.project_id,
            "admin_state_up": r.admin_state_up, "status": r.status, "routes": r.routes,
            "external_gateway_info": {
                "network_id": r.gateway.network_id, "enable_snat": r.enable_snat, "external_fixed_ips": r.gateway.fixed_ips,
                "qos_policy_id": r.qos_policy_id,
            } if r.gateway else None,
            "availability_zone_hints": r.availability_zone_hints, "availability_zones": ["nova"], "flavor_id": r.flavor_id,
            "tags": r.tags, **end(r),
        }  # fmt: skip
        return found | {name: getattr(r, name) for name in flags}

    return show


def floating_ips(ctx: Context) -> Callable[[Shown], Json]:
    """Show floating IPs."""

    def show(shown: Shown) -> Json:
        f = shown.fip
        return {
            "id": f.id, "description": f.description, "tenant_id": f.project_id, "project_id": f.project_id,
            "floating_network_id": f.floating_network_id, "floating_ip_address": f.floating_ip_address, "port_id": f.port_id,
            "fixed_ip_address": f.fixed_ip_address, "router_id": f.router_id, "status": f.status, "dns_name": f.dns_name,
            "dns_domain": f.dns_domain, "port_details": shown.port_details, "qos_policy_id": f.qos_policy_id,
            "port_forwardings": [_in_floating_ip(each) for each in shown.forwardings], "tags": f.tags, **end(f),
        }  # fmt: skip

    return show


def _forwarded(f: Forwarding) -> Json:
    """Show the ends of a forwarded port, or of a range of them."""
    found: Json = {"protocol": f.protocol, "internal_ip_address": f.internal_ip_address}
    for name, first, last in (("external", f.external_first, f.external_last), ("internal", f.internal_first, f.internal_last)):
        found |= {f"{name}_port": first if first == last else None, f"{name}_port_range": f"{first}:{last}"}
    return found


def _in_floating_ip(f: Forwarding) -> Json:
    """Show a forwarded port as its floating IP does: ranges only where it is one."""
    found = {"id": f.id, "internal_port_id": f.internal_port_id} | _forwarded(f)
    wide = f.external_first != f.external_last
    return {name: value for name, value in found.items() if wide or not name.endswith("_range")}


def forwardings(ctx: Context) -> Callable[[Forwarding], Json]:
    """Show forwarded ports."""

    def show(f: Forwarding) -> Json:
        more = {"id": f.id, "internal_port_id": f.internal_port_id, "description": f.description}
        return more | _forwarded(f) | {"revision_number": f.revision_number}

    return show


def groups(ctx: Context) -> Callable[[Group], Json]:
    """Show security groups with their rules."""
    rule = rules(ctx)

    def show(g: Group) -> Json:
        return {
            "id": g.id, "name": g.name, "description": g.description, "tenant_id": g.project_id, "project_id": g.project_id,
            "stateful": g.stateful, "shared": g.shared, "security_group_rules": [rule(r) for r in g.rules], "tags": g.tags,
            **end(g),
        }  # fmt: skip

    return show


def rules(ctx: Context) -> Callable[[Rule], Json]:
    """Show rules."""

    def show(r: Rule) -> Json:
        low = int(r.port_range_min) if r.port_range_min is not None else None
        prefix = r.remote_ip_prefix
        return {
            "id": r.id, "tenant_id": r.project_id, "project_id": r.project_id, "security_group_id": r.security_group_id,
            "direction": r.direction, "ethertype": r.ethertype, "protocol": r.protocol, "port_range_min": low,
            "port_range_max": r.port_range_max, "remote_ip_prefix": prefix, "remote_group_id": r.remote_group_id,
            "remote_address_group_id": r.remote_address_group_id,
            "normalized_cidr": str(addressing.network(prefix)) if prefix else None,
            "description": r.description, "belongs_to_default_sg": r.in_default, **end(r),
        }  # fmt: skip

    return show


def agents(ctx: Context) -> Callable[[Agent], Json]:
    """Show agents; one is alive whose heart beat of late."""
    now = ctx.cloud.clock.now()

    def moment(seconds: float) -> str:
        return to_iso(seconds).replace("T", " ").rstrip("Z")

    def show(a: Agent) -> Json:
        return {
            "id": a.id, "agent_type": a.agent_type, "binary": agents_store.BINARIES[a.agent_type], "host": a.host, "topic": "N/A",
            "alive": now - a.heartbeat_at < agents_store.ALIVE_SECONDS, "admin_state_up": a.admin_state_up,
            "description": a.description, "availability_zone": "nova" if a.agent_type in ("DHCP agent", "L3 agent") else None,
            "configurations": {}, "resource_versions": {}, "resources_synced": None, "created_at": moment(a.created_at),
            "started_at": moment(a.started_at), "heartbeat_timestamp": moment(a.heartbeat_at),
        }  # fmt: skip

    return show
