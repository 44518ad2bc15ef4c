"""What ports, groups and networks look like in the nftables of the host namespace, as text. Pure.

Everything that knows an interface is decided in the bridge family, which has no connection tracking on every kernel: there
anti-spoofing drops, and the rules of the groups leave their verdict in the packet's mark (bit 1: may leave its port, 2: may
enter the other, 4: at least one end is guarded, 8 and 16: the sender's or the receiver's groups are stateless). The inet family,
reached through br_netfilter, adds the state of the connection::

    bridge prerouting -320  how fast a port may send, and its mark                       (map limited to chains)
    bridge prerouting -310  spoofing: MAC, ARP, IP, DHCP server, router advertisement    (sets macs pair4 pair6 adverts)
    bridge forward -200     mark = 3: nobody is guarded | groups by port                 (maps egress ingress to chains)
    inet prerouting raw     a conntrack zone a network                                   (map zones)
    inet forward            mark 3 | a stateless end forbids | established, related | not invalid and mark 7, else drop

(Where the bridge family tracks connections itself the last two could move there; no kernel at hand to show it.) A tap that is
in no set yet is guarded and may do nothing. A port, a group or a network is a `Fragment`: named chains and sets of its own, and
elements in shared ones; `changes` turns one into another by touching what differs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from pileus.network.driver import GroupRule, GroupSpec, NetworkDriverError, NetworkSpec, PortSpec
from pileus.network.drivers.linux.names import (
    INFRASTRUCTURE,
    bridge,
    checked_device,
    checked_ip,
    checked_mac,
    link_local,
    plain,
)
from pileus.network.drivers.linux.traffic import Shape, shape_of

TABLE = "bridge pileus"
STATE_TABLE = "inet pileus"

SKELETON = f"""
table {TABLE} {{
  set macs {{ type ifname . ether_addr; }}
  set pair4 {{ type ifname . ether_addr . ipv4_addr; }}
  set pair6 {{ type ifname . ether_addr . ipv6_addr; }}
  set adverts {{ typeof iifname . @th,64,128; }}
  set unguarded {{ type ifname; }}
  map limited {{ type ifname : verdict; }}
  map wide {{ type ifname : verdict; }}
  map wide_adverts {{ type ifname : verdict; }}
  map egress {{ type ifname : verdict; }}
  map ingress {{ type ifname : verdict; }}
  chain limits {{ type filter hook prerouting priority -320; policy accept;
    iifname vmap @limited
  }}
  chain prerouting {{ type filter hook prerouting priority -310; policy accept;
    iifname "{INFRASTRUCTURE}*" accept
    iifname @unguarded accept
    iifname . ether saddr != @macs drop
    ether type arp goto spoof_arp
    ether type ip goto spoof_ip
    ether type ip6 goto spoof_ip6
    drop
  }}
  chain spoof_arp {{
    iifname . arp saddr ether . arp saddr ip @pair4 accept
    arp saddr ip 0.0.0.0 iifname . arp saddr ether @macs accept
    iifname vmap @wide
    drop
  }}
  chain spoof_ip {{
    ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept
    udp sport 67 udp dport 68 drop
    iifname . ether saddr . ip saddr @pair4 accept
    iifname vmap @wide
    drop
  }}
  chain spoof_ip6 {{
    icmpv6 type {{ nd-router-advert, nd-redirect }} drop
    udp sport 547 udp dport 546 drop
    icmpv6 type nd-neighbor-advert jump spoof_advert
    ip6 saddr :: icmpv6 type {{ nd-neighbor-solicit, nd-router-solicit, mld-listener-report, mld2-listener-report }} accept
    iifname . ether saddr . ip6 saddr @pair6 accept
    iifname vmap @wide
    drop
  }}
  chain spoof_advert {{
    iifname . @th,64,128 @adverts return
    iifname vmap @wide_adverts
    drop
  }}
  chain forward {{ type filter hook forward priority -200; policy accept;
    ether type arp accept
    meta mark set 0
    iifname "{INFRASTRUCTURE}*" meta mark set 1
    iifname @unguarded meta mark set 1
    oifname "{INFRASTRUCTURE}*" meta mark set meta mark or 2
    oifname @unguarded meta mark set meta mark or 2
    meta mark 3 accept
    ether type != {{ ip, ip6 }} drop
    meta mark set meta mark or 4
    udp sport 68 udp dport 67 meta mark set meta mark or 1
    udp sport 67 udp dport 68 meta mark set meta mark or 2
    udp sport 546 udp dport 547 meta mark set meta mark or 1
    udp sport 547 udp dport 546 meta mark set meta mark or 2
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} meta mark set meta mark or 3
    icmpv6 type {{ nd-router-solicit, mld-listener-report, mld2-listener-report, mld-listener-done }} meta mark set meta mark or 1
    icmpv6 type {{ nd-router-advert, mld-listener-query }} meta mark set meta mark or 2
    iifname vmap @egress
    oifname vmap @ingress
  }}
}}
table {STATE_TABLE} {{
  map zones {{ typeof iifname : ct zone; }}
  chain prerouting {{ type filter hook prerouting priority raw; policy accept;
    ct zone set iifname map @zones
  }}
  chain forward {{ type filter hook forward priority filter; policy accept;
    meta mark and 7 == 3 accept
    meta mark and 9 == 8 drop
    meta mark and 18 == 16 drop
    ct state established,related accept
    ct state invalid drop
    meta mark and 7 == 7 accept
    drop
  }}
}}
"""
RESET = f"add table {TABLE}\ndelete table {TABLE}\nadd table {STATE_TABLE}\ndelete table {STATE_TABLE}\n{SKELETON}"

PROTOCOLS = {
    **{"icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "egp": 8, "udp": 17, "dccp": 33, "ipv6-encap": 41, "ipv6-route": 43},
    **{"ipv6-frag": 44, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58, "ipv6-icmp": 58, "ipv6-nonxt": 59},
    **{"ipv6-opts": 60, "ospf": 89, "vrrp": 112, "pgm": 113, "sctp": 132, "udplite": 136},
}


@dataclass(frozen=True)
class Fragment:
    """A part of the ruleset that belongs to one thing. Elements go by table and set: `bridge pileus pair4`."""

    sets: Mapping[str, str] = field(default_factory=dict)
    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    elements: Mapping[str, frozenset[str]] = field(default_factory=dict)


NOTHING = Fragment()


def changes(old: Fragment, new: Fragment) -> list[str]:
    """The commands that make `new` out of `old`, in an order in which everything exists when it is named."""
    commands = [f"add set {TABLE} {name} {{ {kind} }}" for name, kind in new.sets.items() if name not in old.sets]
    for name, rules in new.chains.items():
        before = old.chains.get(name)
        if before == rules:
            continue
        added = rules
        if before is not None and set(before) <= set(rules) and "drop" not in rules:
            added = tuple(rule for rule in rules if rule not in before)  # all rules allow: their order does not matter
        else:
            commands += [f"add chain {TABLE} {name}", f"flush chain {TABLE} {name}"]
        commands += [f"add rule {TABLE} {name} {rule}" for rule in added]
    for verb, first, second in (("delete", old, new), ("add", new, old)):
        for name, elements in first.elements.items():
            if different := elements - second.elements.get(name, frozenset()):
                commands.append(f"{verb} element {name} {{ {', '.join(sorted(different))} }}")
    gone = [f"{TABLE} {name}" for name in old.chains if name not in new.chains]
    commands += [f"flush chain {name}" for name in gone] + [f"delete chain {name}" for name in gone]
    return commands + [f"delete set {TABLE} {name}" for name in old.sets if name not in new.sets]


def zone(network: NetworkSpec) -> int:
    """The conntrack zone of a network: its segment, as far as it fits."""
    return (network.segment or 0) & 0xFFFF


def network_fragment(network: NetworkSpec) -> Fragment:
    """A network: its conntrack zone."""
    return Fragment(elements={f"{STATE_TABLE} zones": frozenset({f'"{bridge(network.id)}" : {zone(network)}'})})


def group_fragment(group: GroupSpec) -> Fragment:
    """A group: a chain a direction, and the addresses of its members."""
    name = plain(group.id)
    rules: dict[str, list[str]] = {"ingress": [], "egress": []}
    if not group.stateful:  # at such an end, what answers a connection is not let through for that
        rules["egress"].append("meta mark set meta mark or 8")
        rules["ingress"].append("meta mark set meta mark or 16")
    for rule in group.rules:
        rules[rule.direction] += (text for text in _rule(rule) if text not in rules[rule.direction])
    hosts4, hosts6, wide = _members(group.members)
    networks4 = frozenset(str(network) for network in wide if network.version == 4)
    networks6 = frozenset(str(network) for network in wide if network.version == 6)
    return Fragment(
        sets={
            f"m4_{name}": "type ipv4_addr;",
            f"m6_{name}": "type ipv6_addr;",
            f"n4_{name}": "type ipv4_addr; flags interval;",
            f"n6_{name}": "type ipv6_addr; flags interval;",
        },
        chains={f"gi_{name}": tuple(rules["ingress"]), f"ge_{name}": tuple(rules["egress"])},
        elements={
            f"{TABLE} m4_{name}": hosts4,
            f"{TABLE} m6_{name}": hosts6,
            f"{TABLE} n4_{name}": networks4,
            f"{TABLE} n6_{name}": networks6,
        },
    )


def port_fragment(port: PortSpec) -> Fragment:
    """A port: what it may send as, and the chains of its groups."""
    tap = checked_device(port.tap)
    if not port.port_security:
        return _with_limits(port, Fragment(elements={f"{TABLE} unguarded": frozenset({f'"{tap}"'})}))
    macs = {checked_mac(port.mac)} | {checked_mac(pair.mac) for pair in port.allowed_address_pairs if pair.mac}
    hosts = {(checked_mac(port.mac), checked_ip(address)) for address in port.fixed_ips} | {
        (mac, link_local(mac)) for mac in macs
    }
    wide: set[tuple[str, IPv4Network | IPv6Network]] = set()
    for pair in port.allowed_address_pairs:
        mac, network = checked_mac(pair.mac or port.mac), network_of(pair.ip)
        if network.num_addresses == 1:
            hosts.add((mac, str(network.network_address)))
        else:
            wide.add((mac, network))
    chains = {
        f"e_{tap}": tuple(f"jump ge_{plain(id)}" for id in port.group_ids),
        f"i_{tap}": tuple(f"jump gi_{plain(id)}" for id in port.group_ids),
    }
    elements = {
        "macs": {f'"{tap}" . {mac}' for mac in macs},
        "pair4": {f'"{tap}" . {mac} . {address}' for mac, address in hosts if ":" not in address},
        "pair6": {f'"{tap}" . {mac} . {address}' for mac, address in hosts if ":" in address},
        "adverts": {f'"{tap}" . {_number(address)}' for _, address in hosts if ":" in address},
        "egress": {f'"{tap}" : jump e_{tap}'},
        "ingress": {f'"{tap}" : jump i_{tap}'},
    }
    if wide:
        chains[f"w_{tap}"] = tuple(text for mac, network in sorted(wide, key=str) for text in _wide(mac, network))
        adverts = [_wide_advert(network) for _, network in sorted(wide, key=str) if network.version == 6]
        chains[f"n_{tap}"] = (*adverts, "drop")
        elements |= {"wide": {f'"{tap}" : jump w_{tap}'}, "wide_adverts": {f'"{tap}" : goto n_{tap}'}}
    found = Fragment(chains=chains, elements={f"{TABLE} {name}": frozenset(found) for name, found in elements.items()})
    return _with_limits(port, found)


def _with_limits(port: PortSpec, guarded: Fragment) -> Fragment:
    """The same with how fast, and marked how, a port may send; how fast it receives is for its tap's queue."""
    rules = []
    if port.qos and port.qos.egress_kbps:
        shape = shape_of(port.qos.egress_kbps, port.qos.egress_burst_kbit)
        rules.append(over(shape))
    if port.qos and port.qos.dscp is not None:
        rules += [f"ether type ip ip dscp set {port.qos.dscp:d}", f"ether type ip6 ip6 dscp set {port.qos.dscp:d}"]
    if not rules:
        return guarded
    chains = {**guarded.chains, f"l_{port.tap}": tuple(rules)}
    return Fragment(
        guarded.sets, chains, {**guarded.elements, f"{TABLE} limited": frozenset({f'"{port.tap}" : jump l_{port.tap}'})}
    )  # fmt: skip


def over(shape: Shape) -> str:
    """What drops that which is above a rate; the kernel lets what passes in a second pass at once, and the burst beyond that."""
    return f"limit rate over {shape.rate:d} bytes/second burst {max(shape.burst - shape.rate, 0):d} bytes drop"


def protocol_number(protocol: str, ethertype: str) -> int:
    """The number of a protocol given by name or number; ICMP in IPv6 is ICMPv6."""
    number = PROTOCOLS.get(protocol.lower())
    if number is None:
        if not protocol.isdecimal() or int(protocol) > 255:
            raise NetworkDriverError(f"{protocol!r} is not a protocol")
        number = int(protocol)
    return 58 if number == 1 and ethertype == "IPv6" else number


def _rule(rule: GroupRule) -> Iterable[str]:
    family = "ip" if rule.ethertype == "IPv4" else "ip6"
    match = [f"ether type {family}"]
    if rule.protocol not in (None, "any", "0"):
        number = protocol_number(rule.protocol, rule.ethertype)
        match.append(f"meta l4proto {number}")
        if number in (1, 58):
            icmp = "icmp" if number == 1 else "icmpv6"
            match += [f"{icmp} type {rule.port_min:d}"] if rule.port_min is not None else []
            match += [f"{icmp} code {rule.port_max:d}"] if rule.port_max is not None else []
        elif rule.port_min is not None or rule.port_max is not None:
            match.append(f"th dport {rule.port_min or 0:d}-{65535 if rule.port_max is None else rule.port_max:d}")
    side, bit = ("saddr", 2) if rule.direction == "ingress" else ("daddr", 1)
    allow = f"meta mark set meta mark or {bit}"
    if rule.remote_group_id:
        version, name = family[2:] or "4", plain(rule.remote_group_id)
        return [" ".join([*match, f"{family} {side} @{kind}{version}_{name}", allow]) for kind in ("m", "n")]
    if rule.remote_cidrs is not None:
        every = _collapsed(rule.remote_cidrs)
        return [" ".join([*match, f"{family} {side} {{ {', '.join(every)} }}", allow])] if every else []
    if rule.remote_cidr and (network := network_of(rule.remote_cidr)).prefixlen:
        match.append(f"{family} {side} {network}")
    return [" ".join([*match, allow])]


def _collapsed(texts: Iterable[str]) -> list[str]:
    """Prefixes of one IP version, none of them within another."""
    found = [network_of(text) for text in texts]
    four = collapse_addresses(each for each in found if isinstance(each, IPv4Network))
    six = collapse_addresses(each for each in found if isinstance(each, IPv6Network))
    return [str(each) for each in (*four, *six)]


def _wide(mac: str, network: IPv4Network | IPv6Network) -> list[str]:
    if network.version == 6:
        return [f"ether saddr {mac} ip6 saddr {network} accept"]
    return [f"ether saddr {mac} ip saddr {network} accept", f"arp saddr ether {mac} arp saddr ip {network} accept"]


def _wide_advert(network: IPv4Network | IPv6Network) -> str:
    if not network.prefixlen:
        return "return"
    bits = int(network.network_address) >> (128 - network.prefixlen)
    return f"@th,64,{network.prefixlen} {bits:#x} return"


def _members(members: frozenset[str]) -> tuple[frozenset[str], frozenset[str], list[IPv4Network | IPv6Network]]:
    """Single addresses of either version, and the prefixes of which none lies within another."""
    hosts4, hosts6, wide = set(), set(), []
    for member in members:
        if "/" in member and (network := network_of(member)).num_addresses > 1:
            wide.append(network)
        elif ":" in member:
            hosts6.add(member.removesuffix("/128"))
        else:
            hosts4.add(member.removesuffix("/32"))
    outer: list[IPv4Network | IPv6Network] = []
    for network in sorted(wide, key=lambda one: one.prefixlen):
        if not any(other.version == network.version and network.subnet_of(other) for other in outer):  # type: ignore[arg-type]
            outer.append(network)
    return frozenset(hosts4), frozenset(hosts6), outer


@lru_cache(4096)
def network_of(text: str) -> IPv4Network | IPv6Network:
    """Return the network of an address or a prefix.  :raises NetworkDriverError: when it is neither."""
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise NetworkDriverError(str(error)) from error


def _number(address: str) -> str:
    return f"{int(network_of(address).network_address):#x}"
