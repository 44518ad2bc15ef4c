"""Routers: what is in a router's namespace, as values and text. Pure, but for the gratuitous ARP.

    r-<port>  legs in networks      g-<port>  leg in the external network, with the floating addresses as /32
    lo        169.254.169.254: metadata for networks whose guests come here for it

Table `ip pileus`: floating addresses are two maps, so that one more is an element more. A guest that calls a floating address
of its own network is answered through the router (hairpin). Router advertisements come from a dnsmasq that does nothing else.
"""

import socket
import struct
from ipaddress import ip_address, ip_interface, ip_network

from pileus.network.driver import RouterInterface, RouterSpec
from pileus.network.drivers.linux.dhcp import METADATA_V4
from pileus.network.drivers.linux.names import checked_ip, checked_mac, short
from pileus.network.drivers.linux.rtnl import Route

TABLE = "ip pileus"
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
    return own + [f"{floating}/32" for floating in floating_pairs(router)]


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
    return f"""add table {TABLE}
delete table {TABLE}
table {TABLE} {{
  map inward {{ type ipv4_addr : ipv4_addr; {f"elements = {{ {inward} }};" if inward else ""} }}
  map outward {{ type ipv4_addr : ipv4_addr; {f"elements = {{ {outward} }};" if outward else ""} }}
  chain input {{ type filter hook input priority filter; policy accept;
    iifname "g-*" ip daddr {METADATA_V4} drop
    iifname "r-*" udp dport 547 drop
  }}
  chain prerouting {{ type nat hook prerouting priority dstnat; policy accept;
    dnat to ip daddr map @inward
  }}
  chain postrouting {{ type nat hook postrouting priority srcnat; policy accept;
    {lines}
  }}
}}
"""


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
    return (old.gateway, old.enable_snat) == (new.gateway, new.enable_snat)


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
