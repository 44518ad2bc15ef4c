"""Routers: what is in a router's namespace, as values and text. Pure, but for the gratuitous ARP.

    r-<port>  legs in networks      g-<port>  leg in the external network, with the floating addresses as /32
    lo        169.254.169.254: metadata for networks whose guests come here for it

Table `ip pileus`: floating addresses are two maps, so that one more is an element more. A guest that calls a floating address
of its own network is answered through the router (hairpin). Meters count in a table of their own, which is not loaded anew when
the other is. Router advertisements come from a dnsmasq that does nothing else.
"""

import re
import socket
import struct
from ipaddress import ip_address, ip_interface, ip_network

from pileus.network.driver import MeterRule, PortForward, Qos, RouterInterface, RouterSpec
from pileus.network.drivers.linux.dhcp import METADATA_V4
from pileus.network.drivers.linux.names import checked_ip, checked_mac, plain, short
from pileus.network.drivers.linux.rtnl import Route
from pileus.network.drivers.linux.ruleset import over
from pileus.network.drivers.linux.traffic import shape_of

TABLE, METERS = "ip pileus", "inet metering"
SYSCTLS = {
    "ipv4/ip_forward": 1,
    "ipv4/conf/all/rp_filter": 0,
    "ipv4/conf/default/rp_filter": 0,
    "ipv6/conf/all/accept_dad": 0,
    "ipv6/conf/default/accept_dad": 0,
    "ipv6/conf/default/accept_ra": 0,
    "ipv6/conf/all/forwarding": 1,
    "bridge/bridge-nf-call-iptables": 0,
}


def leg_name(port_id: str, gateway: bool) -> str:
    """The interface inside the router's namespace."""
    return f"{'g' if gateway else 'r'}-{short(port_id)}"


def floating_pairs(router: RouterSpec) -> dict[str, str]:
    """Fixed address by floating address."""
    return {checked_ip(one.floating_ip): checked_ip(one.fixed_ip) for one in router.floating_ips}


def gateway_addresses(router: RouterSpec) -> list[str]:
    """What the gateway leg has, with prefix."""
    own = list(router.gateway.ips) if router.gateway else []
    outer = [*floating_pairs(router), *(checked_ip(one.floating_ip) for one in router.forwards)]
    return own + [f"{floating}/32" for floating in dict.fromkeys(outer)]


def routes(router: RouterSpec, gateway_link: int) -> set[Route]:
    """The default and the extra routes."""
    found = {
        Route("0.0.0.0/0" if ip_address(nexthop).version == 4 else "::/0", nexthop, gateway_link)
        for nexthop in (router.gateway.nexthops if router.gateway else ())
    }
    own = [ip_interface(ip).network for ip in gateway_addresses(router)]
    for nexthop in router.gateway.nexthops if router.gateway else ():
        if not any(ip_address(nexthop) in network for network in own):  # it lies outside of the subnet: straight onto the link
            found.add(Route(str(ip_network(nexthop)), None, gateway_link))
    return found | {Route(str(ip_network(route.destination)), checked_ip(route.nexthop), 0) for route in router.routes}


def ruleset(router: RouterSpec) -> str:
    """The whole table."""
    pairs = floating_pairs(router)
    inward = ", ".join(f"{floating} : {fixed}" for floating, fixed in pairs.items())
    outward = ", ".join(f"{fixed} : {floating}" for floating, fixed in pairs.items())
    own = next((str(ip_interface(ip).ip) for ip in (router.gateway.ips if router.gateway else ()) if "." in ip), None)
    translate = []
    if router.gateway:
        leg = leg_name(router.gateway.port_id, gateway=True)
        translate = [
            'iifname "r-*" oifname "r-*" ct status dnat snat to ip saddr map @outward',
            f'iifname "r-*" oifname "r-*" ct status dnat snat to {own}' if own else "",
            f'oifname "{leg}" ct status dnat return',
            f'oifname "{leg}" snat to ip saddr map @outward',
            f'oifname "{leg}" snat to {own}' if own and router.enable_snat else "",
        ]
    lines = "\n".join(line for line in translate if line)
    forwarded, limits = "\n".join(_forwarded(one) for one in router.forwards), "\n".join(_limits(router))
    return f"""add table {TABLE}
delete table {TABLE}
table {TABLE} {{
  map inward {{ type ipv4_addr : ipv4_addr; {f"elements = {{ {inward} }};" if inward else ""} }}
  map outward {{ type ipv4_addr : ipv4_addr; {f"elements = {{ {outward} }};" if outward else ""} }}
  chain input {{ type filter hook input priority filter; policy accept;
    iifname "g-*" ip daddr {METADATA_V4} drop
    iifname "r-*" udp dport 547 drop
  }}
  chain forward {{ type filter hook forward priority filter; policy accept;
    {limits}
  }}
  chain prerouting {{ type nat hook prerouting priority dstnat; policy accept;
    {forwarded}
    dnat to ip daddr map @inward
  }}
  chain postrouting {{ type nat hook postrouting priority srcnat; policy accept;
    {lines}
  }}
}}
"""


def _forwarded(one: PortForward) -> str:
    """Where the ports of a floating address lead."""
    match = f"ip daddr {checked_ip(one.floating_ip)} {one.protocol} dport {one.first:d}-{one.last:d}"
    target = f"{match} dnat to {checked_ip(one.fixed_ip)}"
    if (one.first, one.last) == (one.fixed_first, one.fixed_last):
        return target
    if one.fixed_first == one.fixed_last:
        return f"{target}:{one.fixed_first:d}"
    shift = one.fixed_first - one.first
    pairs = ", ".join(f"{port:d} : {port + shift:d}" for port in range(one.first, one.last + 1))
    return f"{target} : {one.protocol} dport map {{ {pairs} }}"


def _limits(router: RouterSpec) -> list[str]:
    """What drops that which is above the rates of floating addresses and of the gateway's own."""
    if router.gateway is None:
        return []
    leg, lines = leg_name(router.gateway.port_id, gateway=True), []
    for one in router.floating_ips:
        inner = checked_ip(one.fixed_ip)
        lines += _both_ways(one.qos, f'oifname "{leg}" ip saddr {inner}', f'iifname "{leg}" ip daddr {inner}')
    others = "@outward" if router.floating_ips else ""
    out, into = f'oifname "{leg}"', f'iifname "{leg}"'
    if others:
        out, into = f"{out} ip saddr != {others}", f"{into} ip daddr != {others}"
    return lines + _both_ways(router.gateway_qos, out, into)


def _both_ways(qos: Qos | None, out: str, into: str) -> list[str]:
    lines = []
    if qos and qos.egress_kbps:
        lines.append(f"{out} {over(shape_of(qos.egress_kbps, qos.egress_burst_kbit))}")
    if qos and qos.ingress_kbps:
        lines.append(f"{into} {over(shape_of(qos.ingress_kbps, qos.ingress_burst_kbit))}")
    return lines


def meter_changes(old: RouterSpec | None, new: RouterSpec) -> str:
    """What makes the table of the meters so; what has been counted stays."""
    if not new.meters and not (old and old.meters):
        return ""
    gone = {one.id for one in old.meters} - {one.id for one in new.meters} if old else set()
    lines = [f"add table {METERS}", *(f"add counter {METERS} c_{plain(one.id)}" for one in new.meters)]
    lines += [f"add chain {METERS} through {{ type filter hook forward priority -5; policy accept; }}"]
    lines += [f"add chain {METERS} m_{plain(one.id)}" for one in new.meters]
    lines.append(f"flush table {METERS}")
    for one in new.meters:
        lines.append(f"add rule {METERS} through jump m_{plain(one.id)}")
        excluded = [rule for rule in one.rules if rule.excluded]
        lines += [f"add rule {METERS} m_{plain(one.id)} {text} return" for rule in excluded for text in _metered(rule)]
        for rule in one.rules:
            if not rule.excluded:
                counted = f"counter name c_{plain(one.id)} return"
                lines += [f"add rule {METERS} m_{plain(one.id)} {text} {counted}" for text in _metered(rule)]
    for id in sorted(gone):
        lines += [f"delete chain {METERS} m_{plain(id)}", f"delete counter {METERS} c_{plain(id)}"]
    return "\n".join(lines)


def _metered(rule: MeterRule) -> list[str]:
    """What matches the traffic of a rule: through the gateway, and with which ends."""
    match = ['oifname "g-*"' if rule.direction == "egress" else 'iifname "g-*"']
    inner = "saddr" if rule.direction == "egress" else "daddr"
    for prefix, side in ((rule.inside, inner), (rule.source, "saddr"), (rule.destination, "daddr")):
        if prefix:
            network = ip_network(prefix, strict=False)
            match.append(f"{'ip' if network.version == 4 else 'ip6'} {side} {network}")
    return [" ".join(match)]


def counts(listed: str, router: RouterSpec) -> dict[str, tuple[int, int]]:
    """Packets and bytes of the meters, as nft lists their counters."""
    known = {f"c_{plain(one.id)}": one.id for one in router.meters}
    found = re.findall(r"counter (c_\w+) \{\s*packets (\d+) bytes (\d+)", listed)
    return {known[name]: (int(packets), int(size_bytes)) for name, packets, size_bytes in found if name in known}


def floating_changes(old: RouterSpec, new: RouterSpec) -> str:
    """The elements that differ."""
    before, after = floating_pairs(old), floating_pairs(new)
    lines = []
    for verb, one, other in (("delete", before, after), ("add", after, before)):
        pairs = [(floating, fixed) for floating, fixed in one.items() if other.get(floating) != fixed]
        if pairs:
            lines.append(f"{verb} element {TABLE} inward {{ {', '.join(f'{floating} : {fixed}' for floating, fixed in pairs)} }}")
            lines.append(
                f"{verb} element {TABLE} outward {{ {', '.join(f'{fixed} : {floating}' for floating, fixed in pairs)} }}"
            )
    return "\n".join(lines)


def same_but_floating(old: RouterSpec, new: RouterSpec) -> bool:
    """Whether the tables differ in elements only."""
    return _fixed_part(old) == _fixed_part(new)


def _fixed_part(router: RouterSpec) -> tuple[object, ...]:
    limits = tuple((one.fixed_ip, one.qos) for one in router.floating_ips if one.qos)
    return (router.gateway, router.enable_snat, router.forwards, limits, router.gateway_qos, bool(router.floating_ips))


def advertised(router: RouterSpec) -> list[RouterInterface]:
    """The legs on which prefixes are announced."""
    return [leg for leg in router.interfaces if leg.ra]


def advertiser_configuration(router: RouterSpec, mtus: dict[str, int]) -> list[str]:
    """The lines of the configuration of the dnsmasq that only sends router advertisements."""
    modes = {"slaac": "ra-only", "dhcpv6-stateless": "ra-stateless", "dhcpv6-stateful": "static"}
    lines = ["port=0", "no-hosts", "no-resolv", "bind-interfaces", "except-interface=lo", "enable-ra", "quiet-ra", "quiet-dhcp6"]
    lines += ["user=root", "leasefile-ro"]
    for leg in advertised(router):
        name = leg_name(leg.port_id, gateway=False)
        lines += [f"interface={name}", f"ra-param={name},mtu:{mtus.get(leg.network_id, 1500)},60,1800"]
        for index, prefix in enumerate(leg.ra):
            network = ip_network(prefix.cidr)
            tag = f"r{short(leg.port_id)}{index}"
            lines.append(f"dhcp-range=set:{tag},{network.network_address},{modes[prefix.mode]},{max(network.prefixlen, 64)}")
            if prefix.dns_nameservers:
                servers = ",".join(f"[{checked_ip(ip)}]" for ip in prefix.dns_nameservers)
                lines.append(f"dhcp-option=tag:{tag},option6:dns-server,{servers}")
    return lines


def announce(interface: str, mac: str, addresses: list[str]) -> None:
    """Tell the neighbours of an interface where addresses are now (gratuitous ARP, RFC 5227). Called inside the namespace."""
    hardware = bytes.fromhex(checked_mac(mac).replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((interface, 0x0806))
        for text in addresses:
            address = ip_interface(text).ip
            if address.version == 4:
                for operation, target in ((1, bytes(6)), (2, hardware)):
                    arp = struct.pack(
                        "!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, operation, hardware, address.packed, target, address.packed
                    )
                    sender.send(b"\xff" * 6 + hardware + b"\x08\x06" + arp)
