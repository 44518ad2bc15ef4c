"""Rows turned into what a host's driver is told: which networks, ports, groups and routers are wanted on it.

Each function takes the ids that matter, or None for all, so that one thing after a change and everything in the reconciling loop
come out of the same lines.  A network is wanted where a port of it is bound or a router reaches into it; a group where a bound
port is in it, or where the rules of such a group name it.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import msgspec
from sqlalchemy import Connection

from pileus.kernel.settings import Settings
from pileus.network import addressing
from pileus.network.driver import (
    AddressPair,
    Carrier,
    DhcpHost,
    DhcpOption,
    DhcpSpec,
    FloatingIp,
    GroupRule,
    GroupSpec,
    HostRoute,
    Meter,
    MeterRule,
    NetworkSpec,
    PortForward,
    PortSpec,
    Qos,
    RaPrefix,
    RouterGateway,
    RouterInterface,
    RouterSpec,
    SubnetSpec,
)  # fmt: skip
from pileus.network.store import address_groups as address_groups_store
from pileus.network.store import agents as agents_store
from pileus.network.store import forwardings as forwardings_store
from pileus.network.store import groups as groups_store
from pileus.network.store import hosts as hosts_store
from pileus.network.store import metering as metering_store
from pileus.network.store import networks as networks_store
from pileus.network.store import ports as ports_store
from pileus.network.store import qos as qos_store
from pileus.network.store import routers as routers_store
from pileus.network.store import trunks as trunks_store
from pileus.network.store.qos import QosRule
from pileus.network.store.records import Network, Port, Router, Rule, Subnet
from pileus.network.tables import floating_ips, ports, routers
from pileus.network.tasks import spanning

Ids = Collection[str] | None
CARRIED = "trunk:subport"
MTU_MIN = 68  # the least that an interface can have


def tap_name(port_id: str) -> str:
    """Return the name of the tap of a port, at most 14 characters."""
    return "tap" + port_id[:11]


def ports_on(tx: Connection, host: str, ids: Ids = None) -> dict[str, PortSpec]:
    """Return the ports that are bound to a host, or are about to come there."""
    conditions = [hosts_store.on_host(host)]
    if ids is not None:
        conditions.append(ports.c.id.in_(list(ids)))
    return {spec.id: spec for spec in port_specs(tx, ports_store.ports_where(tx, *conditions))}


def port_specs(tx: Connection, found: Sequence[Port]) -> list[PortSpec]:
    """Return what a driver is told of bound ports, those first that carry others."""
    carried = trunks_store.ways_of(tx, [port.id for port in found if port.device_owner == CARRIED])
    policies = ports_store.network_policies(tx, {port.network_id for port in found})
    chosen = {port.id: port.qos_policy_id or policies.get(port.network_id) for port in found}
    rules = qos_store.rules_of(tx, {id for id in chosen.values() if id})
    specs = [port_spec(port, qos(rules.get(chosen[port.id] or "", ())), carried.get(port.id)) for port in found]
    return sorted(specs, key=lambda spec: spec.carrier is not None)


def carrier_of(tx: Connection, port_id: str) -> str | None:
    """Return the port that carries another through its trunk."""
    way = trunks_store.ways_of(tx, [port_id]).get(port_id)
    return way[0] if way else None


def qos(rules: Iterable[QosRule]) -> Qos | None:
    """Return what a driver is told of the rules of a policy."""
    found: dict[str, int | None] = {}
    for rule in rules:
        if rule.max_kbps is not None:
            found[f"{rule.direction}_kbps"] = rule.max_kbps
            found[f"{rule.direction}_burst_kbit"] = rule.max_burst_kbps or 0
        if rule.dscp_mark is not None:
            found["dscp"] = rule.dscp_mark
    return msgspec.convert(found, Qos) if found else None


def port_spec(port: Port, limits: Qos | None = None, way: tuple[str, int, bool] | None = None) -> PortSpec:
    """Return what a driver is told of a bound port.

    :param way: through which port, under which VLAN and whether up it goes, where a trunk carries it.
    """
    pairs = (AddressPair(pair["ip_address"], pair.get("mac_address")) for pair in port.allowed_address_pairs)
    return PortSpec(
        id=port.id, network_id=port.network_id, mac=port.mac_address, tap=tap_name(port.id),
        fixed_ips=tuple(fixed.ip_address for fixed in port.fixed_ips), group_ids=port.security_groups,
        port_security=port.port_security_enabled, allowed_address_pairs=tuple(pairs),
        admin_up=port.admin_state_up and (way is None or way[2]), device_owner=port.device_owner, qos=limits,
        carrier=Carrier(tap_name(way[0]), way[1]) if way else None,
    )  # fmt: skip


def networks_on(tx: Connection, settings: Settings, host: str, ids: Ids = None) -> dict[str, NetworkSpec]:
    """Return the networks that a host needs."""
    found = networks_store.needed_on(tx, host, [routers_store.INTERFACE, routers_store.GATEWAY], ids)
    return _networks(tx, settings, found)(host) if found else {}


def network_on(tx: Connection, settings: Settings, id: str, hosts: Collection[str]) -> dict[str, NetworkSpec]:
    """Return one network as each of some hosts needs it, by host; what they have in common is read once."""
    network = networks_store.find_network(tx, id)
    if network is None or not hosts:
        return {}
    on = _networks(tx, settings, [network])
    return {host: on(host)[id] for host in hosts}


def _networks(tx: Connection, settings: Settings, found: Sequence[Network]) -> Callable[[str], dict[str, NetworkSpec]]:
    """Return what tells how networks are to be on a host."""
    wanted = [network.id for network in found]
    subnets: dict[str, list[Subnet]] = defaultdict(list)
    for subnet in networks_store.subnets_of(tx, wanted):
        subnets[subnet.network_id].append(subnet)
    inside: dict[str, list[Port]] = defaultdict(list, {id: [] for id in wanted})
    served = (ports.c.host_id != "") | (ports.c.device_owner == routers_store.DHCP)
    for port in ports_store.ports_where(tx, ports.c.network_id.in_(wanted), served):
        inside[port.network_id].append(port)
    made = [network_spec(settings, n, subnets[n.id], inside[n.id]) for n in found]
    spread = spanning.spread(tx, inside)
    off, unserved = agents_store.hosts_off(tx, "DHCP agent"), agents_store.unserved(tx, wanted)

    def on(host: str) -> dict[str, NetworkSpec]:
        every = (replace(spec, remotes=spread.remotes(spec.id, host)) for spec in made)
        return {n.id: replace(n, dhcp=None, hosts=()) if host in off or (n.id, host) in unserved else n for n in every}

    return on


def network_spec(settings: Settings, network: Network, subnets: Sequence[Subnet], inside: Sequence[Port]) -> NetworkSpec:
    """Return what a driver is told of a network: its subnets, and whom its DHCP serves."""
    own = next((port for port in inside if port.device_owner == routers_store.DHCP), None)
    domain = network.dns_domain.rstrip(".") or settings.dns_domain
    dhcp = DhcpSpec(own.mac_address, tuple(f.ip_address for f in own.fixed_ips), domain) if own and own.fixed_ips else None
    served = {subnet.id for subnet in subnets if subnet.enable_dhcp}
    return NetworkSpec(
        id=network.id, segment=network.segmentation_id, mtu=max(network.mtu, MTU_MIN), external=network.external,
        physical_network=network.physical_network, admin_up=network.admin_state_up,
        subnets=tuple(_subnet(settings, subnet) for subnet in subnets), dhcp=dhcp,
        hosts=tuple(_dhcp_host(port, served) for port in inside if port.host_id) if dhcp else (),
    )  # fmt: skip


def _subnet(settings: Settings, subnet: Subnet) -> SubnetSpec:
    servers = subnet.dns_nameservers or [s.strip() for s in settings.dns_servers.split(",") if s.strip()]
    return SubnetSpec(
        id=subnet.id, cidr=subnet.cidr, ip_version=6 if subnet.ip_version == 6 else 4, gateway_ip=subnet.gateway_ip,
        enable_dhcp=subnet.enable_dhcp, dns_nameservers=tuple(servers), host_routes=_routes(subnet.host_routes),
        ra_mode=subnet.ipv6_ra_mode, address_mode=subnet.ipv6_address_mode,
    )  # fmt: skip


def _routes(plain: Iterable[Mapping[str, str]]) -> tuple[HostRoute, ...]:
    return tuple(HostRoute(route["destination"], route["nexthop"]) for route in plain)


def _dhcp_host(port: Port, served: set[str]) -> DhcpHost:
    ips = tuple(fixed.ip_address for fixed in port.fixed_ips if fixed.subnet_id in served)
    options = tuple(
        DhcpOption(option["opt_name"], option["opt_value"], 6 if option.get("ip_version") == 6 else 4)
        for option in port.extra_dhcp_opts
    )
    return DhcpHost(port.id, port.mac_address, ips, host_name(port.dns_name, ips), options, port.dns_domain.rstrip("."))


def host_name(dns_name: str, ips: Sequence[str]) -> str:
    """Return the name under which a port is known in its network."""
    return dns_name or ("host-" + ips[0].replace(".", "-").replace(":", "-") if ips else "")


def groups_on(tx: Connection, host: str, ids: Ids = None) -> dict[str, GroupSpec]:
    """Return the groups that a host needs, with the addresses of their members everywhere."""
    used = groups_store.used_on(tx, host)
    return group_specs(tx, used if ids is None else used & set(ids))


def group_specs(tx: Connection, wanted: Collection[str]) -> dict[str, GroupSpec]:
    """Return groups as all hosts that need them do: with the addresses of their members everywhere."""
    if not wanted:
        return {}
    members = groups_store.member_ips(tx, wanted)
    found = groups_store.groups_by_id(tx, wanted)
    named = {rule.remote_address_group_id for group in found.values() for rule in group.rules if rule.remote_address_group_id}
    ranges = address_groups_store.addresses_of(tx, named) if named else {}
    return {
        id: GroupSpec(id, tuple(_rule(rule, ranges) for rule in group.rules), frozenset(members.get(id, ())), group.stateful)
        for id, group in found.items()
    }


def _range(prefix: str | None) -> str | None:
    """Return a rule's range without the host bits that the user may have given."""
    return str(addressing.network(prefix)) if prefix else None


def _rule(rule: Rule, ranges: Mapping[str, Sequence[str]]) -> GroupRule:
    cidrs = None
    if rule.remote_address_group_id:
        every = ranges.get(rule.remote_address_group_id, ())
        cidrs = tuple(text for text in every if (":" in text) == (rule.ethertype == "IPv6"))
    return GroupRule(
        id=rule.id, direction="ingress" if rule.direction == "ingress" else "egress",
        ethertype="IPv6" if rule.ethertype == "IPv6" else "IPv4", protocol=rule.protocol, port_min=rule.port_range_min,
        port_max=rule.port_range_max, remote_cidr=_range(rule.remote_ip_prefix), remote_group_id=rule.remote_group_id,
        remote_cidrs=cidrs,
    )  # fmt: skip


def routers_on(tx: Connection, host: str, ids: Ids = None) -> dict[str, RouterSpec]:
    """Return the routers that a host does the routing of; one without legs is nowhere."""
    conditions = [routers.c.host_id == host]
    if ids is not None:
        conditions.append(routers.c.id.in_(list(ids)))
    found = [] if agents_store.is_off(tx, host, "L3 agent") else routers_store.routers_where(tx, *conditions)
    legs: dict[str, list[Port]] = defaultdict(list)
    for port in routers_store.legs_of(tx, [router.id for router in found]):
        legs[port.device_id].append(port)
    subnets = networks_store.subnets_by_id(tx, {f.subnet_id for every in legs.values() for p in every for f in p.fixed_ips})
    extra = _extras(tx, found, list(legs))
    return {r.id: router_spec(r, legs[r.id], subnets, extra[r.id]) for r in found if legs.get(r.id)}


@dataclass
class Extras:
    """What a router does beside routing."""

    floating: list[FloatingIp] = field(default_factory=list)
    forwards: list[PortForward] = field(default_factory=list)
    meters: list[Meter] = field(default_factory=list)
    limits: Qos | None = None


def _extras(tx: Connection, found: Sequence[Router], with_legs: Sequence[str]) -> dict[str, Extras]:
    extras: dict[str, Extras] = defaultdict(Extras)
    fips = routers_store.floating_where(tx, floating_ips.c.router_id.in_(with_legs))
    chosen = {fip.qos_policy_id for fip in fips} | {router.qos_policy_id for router in found}
    rules = qos_store.rules_of(tx, {id for id in chosen if id})
    for fip in fips:
        if fip.fixed_ip_address and fip.router_id:
            limits = qos(rules.get(fip.qos_policy_id or "", ()))
            extras[fip.router_id].floating.append(FloatingIp(fip.floating_ip_address, fip.fixed_ip_address, limits))
    for router_id, address, each in forwardings_store.of_routers(tx, with_legs):
        protocol: Literal["tcp", "udp"] = "udp" if each.protocol == "udp" else "tcp"
        extras[router_id].forwards.append(PortForward(
            address, protocol, each.external_first, each.external_last, each.internal_ip_address, each.internal_first,
            each.internal_last,
        ))  # fmt: skip
    labels = metering_store.all_labels(tx)
    counted: dict[str, list[MeterRule]] = defaultdict(list)
    for rule in metering_store.rules_of(tx, [label.id for label in labels]):
        counted[rule.metering_label_id].append(_meter_rule(rule))
    for router in found:
        extras[router.id].limits = qos(rules.get(router.qos_policy_id or "", ()))
        extras[router.id].meters = [
            Meter(label.id, tuple(counted[label.id])) for label in labels
            if counted[label.id] and (label.shared or label.project_id == router.project_id)
        ]  # fmt: skip
    return extras


def _meter_rule(rule: metering_store.MeterRule) -> MeterRule:
    inward: Literal["ingress", "egress"] = "ingress" if rule.direction == "ingress" else "egress"
    return MeterRule(inward, rule.remote_ip_prefix, rule.source_ip_prefix, rule.destination_ip_prefix, rule.excluded)


def router_spec(router: Router, legs: Sequence[Port], subnets: Mapping[str, Subnet], extra: Extras) -> RouterSpec:
    """Return what a driver is told of a router."""
    inner = [port for port in legs if port.device_owner == routers_store.INTERFACE]
    outer = next((port for port in legs if port.device_owner == routers_store.GATEWAY), None)
    gateway = None
    if outer is not None:
        nexthops: dict[int, str] = {}
        for fixed in outer.fixed_ips:
            subnet = subnets[fixed.subnet_id]
            if subnet.gateway_ip:
                nexthops.setdefault(subnet.ip_version, subnet.gateway_ip)
        ips = _with_prefix(outer, subnets)
        gateway = RouterGateway(outer.id, outer.network_id, outer.mac_address, ips, tuple(nexthops.values()))
    interfaces = tuple(
        RouterInterface(p.id, p.network_id, p.mac_address, _with_prefix(p, subnets), _announced(p, subnets)) for p in inner
    )
    return RouterSpec(
        id=router.id, interfaces=interfaces, gateway=gateway, enable_snat=router.enable_snat, routes=_routes(router.routes),
        floating_ips=tuple(extra.floating), admin_up=router.admin_state_up, forwards=tuple(extra.forwards),
        meters=tuple(extra.meters), gateway_qos=extra.limits,
    )  # fmt: skip


def _with_prefix(port: Port, subnets: Mapping[str, Subnet]) -> tuple[str, ...]:
    return tuple(f"{f.ip_address}/{addressing.network(subnets[f.subnet_id].cidr).prefixlen}" for f in port.fixed_ips)


def _announced(port: Port, subnets: Mapping[str, Subnet]) -> tuple[RaPrefix, ...]:
    inside = [subnets[fixed.subnet_id] for fixed in port.fixed_ips]
    return tuple(
        RaPrefix(s.cidr, s.ipv6_ra_mode, tuple(s.dns_nameservers)) for s in inside if s.ip_version == 6 and s.ipv6_ra_mode
    )
