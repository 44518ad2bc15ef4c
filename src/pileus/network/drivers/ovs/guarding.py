"""The flows of br-int that know ports and security groups: who may send as whom, leave and enter. Pure.

A group's rules are there once, whatever the number of its ports: a port's flows put the number of each of its groups into reg3
and have the rules looked at, which leave their verdict in reg4 (bit 0: may leave, bit 1: may enter).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from pileus.network.driver import GroupRule, GroupSpec, PortSpec
from pileus.network.drivers.linux.names import checked_ip, checked_mac, link_local
from pileus.network.drivers.linux.ruleset import network_of, protocol_number
from pileus.network.drivers.linux.traffic import shape_of
from pileus.network.drivers.ovs.flows import UNICAST, VLAN_PRESENT, Flows, Member, at, learn, origin

WITH_PORTS = {6: "tcp", 17: "udp", 132: "sctp"}


@dataclass(frozen=True)
class Place:
    """Where a port is: its number, its network's tag, the number of the port that carries it under a VLAN, and its groups'."""

    number: int
    tag: int
    carrier: int = 0
    groups: tuple[int, ...] = ()
    stateless: bool = False


def member(port: PortSpec, number: int) -> Member:
    """How the other ports of its network see a port."""
    return Member(number, checked_mac(port.mac), port.port_security, not port.port_security or bool(_other_macs(port)))


def meters(port: PortSpec, number: int) -> dict[int, str]:
    """The rates of a port, by number of the meter."""
    if port.qos is None:
        return {}
    egress, ingress = (port.qos.egress_kbps, port.qos.egress_burst_kbit), (port.qos.ingress_kbps, port.qos.ingress_burst_kbit)
    return {2 * number + way: _meter(*limit) for way, limit in enumerate((egress, ingress)) if limit[0]}


def _meter(kbps: int, burst_kbit: int) -> str:
    return f"kbps,burst,band=type=drop,rate={kbps:d},burst_size={max(shape_of(kbps, burst_kbit).burst * 8 // 1000, 1)}"


def port_flows(port: PortSpec, place: Place) -> Flows:
    """All flows of a port; none while it is down."""
    if not port.admin_up:
        return {}
    flows = dict(_entry(port, place)) | _exit(port, place)
    if port.qos and port.qos.dscp is not None:
        mark = f"set_field:{port.qos.dscp:d}->ip_dscp,resubmit(,10)"
        flows |= {at(5, 10, f"reg0={place.number:#x}", kind): mark for kind in ("ip", "ipv6")}
    if port.port_security:
        flows |= _spoofing(port, place.number) | _judged(place)
    return flows


def _entry(port: PortSpec, place: Place) -> Flows:
    words = [origin(place.number, place.tag, port.port_security)]
    if port.carrier:
        words = ["pop_vlan", "set_field:0->in_port", *words]  # so that it may leave where it came from, for another VLAN
    if not port.port_security:
        words.append(learn(place.number, guarded=False))
    if port.qos and port.qos.egress_kbps:
        words.insert(0, f"meter:{2 * place.number}")
    match = (
        (f"in_port={place.carrier}", f"dl_vlan={port.carrier.vlan}")
        if port.carrier
        else (f"in_port={place.number}", "vlan_tci=0x0000/0x1fff")
    )
    return {at(0, 100, *match): ",".join([*words, "resubmit(,5)"])}


def _exit(port: PortSpec, place: Place) -> Flows:
    here, out, flows = f"reg9={place.number:#x}", f"output:{place.number}", {}
    if port.carrier:
        flows[at(40, 150, f"reg0={place.number:#x}", here)] = "drop"  # not back to where it came from
        out = f"clone(push_vlan:0x8100,set_field:{VLAN_PRESENT | port.carrier.vlan}->vlan_vid,output:{place.carrier})"
        flows[at(80, 100, here)] = out
    if port.qos and port.qos.ingress_kbps:  # what is for many goes to each of them alike
        flows[at(80, 110, here, UNICAST)] = f"meter:{2 * place.number + 1},{out}"
    return flows


def _judged(place: Place) -> Flows:
    source, target = f"reg5={place.number:#x}", f"reg7={place.number:#x}"
    flows = {}
    for table, match in ((60, source), (70, target)):
        looked = [f"set_field:{group:#x}->reg3,resubmit(,{table + 1})" for group in place.groups]
        flows[at(table, 10, match)] = ",".join([*looked, f"resubmit(,{table + 5})"])
    if place.stateless:
        flows[at(50, 90, source, "ct_state=+trk-inv")] = "resubmit(,60)"
        flows[at(55, 10, target)] = "resubmit(,70)"
    return flows


def _other_macs(port: PortSpec) -> list[str]:
    own = checked_mac(port.mac)
    return sorted({mac for pair in port.allowed_address_pairs if pair.mac and (mac := checked_mac(pair.mac)) != own})


def _spoofing(port: PortSpec, number: int) -> Flows:
    """What a port may send as."""
    own = checked_mac(port.mac)
    may: set[tuple[str, IPv4Network | IPv6Network]] = {(own, network_of(checked_ip(address))) for address in port.fixed_ips}
    macs = [own, *_other_macs(port)]
    may |= {(mac, network_of(link_local(mac))) for mac in macs}
    may |= {(checked_mac(pair.mac or port.mac), network_of(pair.ip)) for pair in port.allowed_address_pairs}
    flows: dict[str, str] = {}
    for mac in macs:
        sender = (f"reg5={number:#x}", f"dl_src={mac}")
        go = "resubmit(,30)" if mac == own else f"{learn(number, guarded=True)},resubmit(,30)"
        flows[at(10, 100, *sender, "udp,nw_src=0.0.0.0,tp_src=68,tp_dst=67")] = go
        flows[at(10, 80, *sender, f"arp,arp_sha={mac},arp_spa=0.0.0.0")] = go
        for kind in (131, 133, 135, 143):
            flows[at(12, 80, *sender, f"icmp6,icmp_type={kind},ipv6_src=::")] = go
        for network in sorted((network for whose, network in may if whose == mac), key=str):
            if isinstance(network, IPv4Network):
                flows[at(10, 80, *sender, f"arp,arp_sha={mac}", *_prefix("arp_spa", network))] = go
                flows[at(10, 80, *sender, "ip", *_prefix("nw_src", network))] = go
            else:
                flows[at(10, 88, *sender, "icmp6,icmp_type=136", *_prefix("nd_target", network))] = "resubmit(,12)"
                flows[at(12, 80, *sender, "ipv6", *_prefix("ipv6_src", network))] = go
    return flows


def spoofing_skeleton() -> Flows:
    """What no guarded port may send: as a DHCP server, as a router."""
    forbidden = ["udp,tp_src=67,tp_dst=68", "udp6,tp_src=547,tp_dst=546", "icmp6,icmp_type=134", "icmp6,icmp_type=137"]
    flows = {at(10, 95, match): "drop" for match in forbidden}
    return {**flows, at(10, 85, "icmp6,icmp_type=136"): "drop", at(10, 70, "ipv6"): "resubmit(,12)"}


def group_flows(group: GroupSpec, number: int, members: Mapping[str, Iterable[str]]) -> Flows:
    """The rules of a group, without those that are `impossible`; `members` of the groups that they name."""
    flows: dict[str, str] = {}
    for rule in (rule for rule in group.rules if not impossible(rule)):
        table, bit = (61, 0) if rule.direction == "egress" else (71, 1)
        for match in _rule(rule, members):
            flows[at(table, 10, f"reg3={number:#x}", match)] = f"set_field:{1 << bit:#x}/{1 << bit:#x}->reg4"
    return flows


def impossible(rule: GroupRule) -> str:
    """Why a rule cannot be made of flows; nothing where it can."""
    if rule.protocol in (None, "any", "0") or rule.port_min is rule.port_max is None:
        return ""
    number = protocol_number(rule.protocol, rule.ethertype)
    if number in WITH_PORTS or number in (1, 58):
        return ""
    return f"rule {rule.id} cannot be made: Open vSwitch does not look at ports of protocol {rule.protocol}"


def _rule(rule: GroupRule, members: Mapping[str, Iterable[str]]) -> list[str]:
    kinds = _kinds(rule)
    if rule.remote_group_id:
        remotes = list(members.get(rule.remote_group_id, ()))
    elif rule.remote_cidrs is not None:
        remotes = list(rule.remote_cidrs)
    else:
        remotes = [rule.remote_cidr] if rule.remote_cidr else []
        if not remotes:
            return kinds
    version = 4 if rule.ethertype == "IPv4" else 6
    networks = {network for text in remotes if (network := network_of(text)).version == version}
    side = ("nw" if version == 4 else "ipv6") + ("_src" if rule.direction == "ingress" else "_dst")
    return [",".join([kind, *_prefix(side, network)]) for network in sorted(networks, key=str) for kind in kinds]


def _kinds(rule: GroupRule) -> list[str]:
    """What kind of packet a rule is for."""
    six = "" if rule.ethertype == "IPv4" else "6"
    plain = "ipv6" if six else "ip"
    if rule.protocol in (None, "any", "0"):
        return [plain]
    number = protocol_number(rule.protocol, rule.ethertype)
    if number == (58 if six else 1):
        found = ["icmp6" if six else "icmp"]
        found += [f"icmp_type={rule.port_min:d}"] if rule.port_min is not None else []
        found += [f"icmp_code={rule.port_max:d}"] if rule.port_max is not None else []
        return [",".join(found)]
    low, high = rule.port_min or 0, 65535 if rule.port_max is None else rule.port_max
    everything = (low, high) in ((0, 65535), (1, 65535))
    if number in WITH_PORTS:
        name = WITH_PORTS[number] + six
        return [name] if everything else [f"{name},tp_dst={block}" for block in port_blocks(low, high)]
    return [f"{plain},nw_proto={number}"]


def port_blocks(low: int, high: int) -> list[str]:
    """A range of ports as values with masks."""
    blocks = []
    while low <= high:
        size = low & -low if low else 1 << 16
        while size > high - low + 1:
            size >>= 1
        blocks.append(f"{low:d}" if size == 1 else f"{low:#x}/{0x10000 - size:#x}")
        low += size
    return blocks


def _prefix(field: str, network: IPv4Network | IPv6Network) -> tuple[str, ...]:
    if not network.prefixlen:
        return ()
    return (f"{field}={network.network_address}" if network.num_addresses == 1 else f"{field}={network}",)
