"""What a rule of a security group may say: its parts, and how they fit one another."""

import ipaddress
from typing import Any

from pileus.kernel.errors import BadRequest
from pileus.network import addressing
from pileus.network.errors import invalid
from pileus.network.service.access import Attributes

PROTOCOLS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "igmp": 2, "ip": 0, "ipip": 4,
    "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "icmpv6": 58, "ipv6-nonxt": 59, "ipv6-opts": 60,
    "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}  # fmt: skip
WITH_PORTS = {6, 17, 33, 132, 136}
ICMP = {1, 58}
PORT_MAX = 65535
ONLY_IPV6 = {"ipv6-encap", "ipv6-frag", "ipv6-icmp", "icmpv6", "ipv6-nonxt", "ipv6-opts", "ipv6-route"}
ONLY_IPV6_NUMBERS = {PROTOCOLS[name] for name in ONLY_IPV6}


def check_rule(rule: Attributes) -> None:
    """Check that the parts of a rule fit one another, and put its prefix and protocol into their canonical form.

    :raises BadRequest: when they do not.
    """
    number = _protocol(rule)
    low, high = rule["port_range_min"], rule["port_range_max"]
    for port in (low, high):
        if port is not None and not 0 <= port <= PORT_MAX:
            raise _bad_port(port)
    if sum(1 for name in ("remote_ip_prefix", "remote_group_id", "remote_address_group_id") if rule.get(name)) > 1:
        text = "Only remote_ip_prefix or remote_group_id or remote_address_group_id may be provided."
        raise invalid(text, "SecurityGroupMultipleRemoteEntites")
    if rule["remote_ip_prefix"]:
        net = addressing.network(rule["remote_ip_prefix"])
        if net.version != (4 if rule["ethertype"] == "IPv4" else 6):
            text = f"Conflicting value ethertype {rule['ethertype']} for CIDR {rule['remote_ip_prefix']}"
            raise invalid(text, "SecurityGroupRuleParameterConflict")
        rule["remote_ip_prefix"] = str(ipaddress.ip_interface(rule["remote_ip_prefix"]))  # host bits stay, as in neutron
    if low is None and high is None:
        return
    if number is None or rule["protocol"] == "ip":
        raise invalid("Must also specify protocol if port range is given.", "SecurityGroupProtocolRequiredWithPorts")
    if number in ICMP:
        _check_icmp(low, high)
    elif number not in WITH_PORTS:
        text = f"Invalid protocol {rule['protocol']} for port range, only supported for TCP, UDP, UDPLITE, SCTP and DCCP."
        raise invalid(text, "SecurityGroupInvalidProtocolForPort")
    elif 0 in (low, high):
        raise _bad_port(0)
    elif low is None or high is None or low > high:
        raise invalid("For TCP/UDP protocols, port_range_min must be <= port_range_max", "SecurityGroupInvalidPortRange")


def _bad_port(port: int) -> BadRequest:
    return invalid(f"Invalid value for port {port}", "SecurityGroupInvalidPortValue")


def _check_icmp(kind: int | None, code: int | None) -> None:
    for field, name, value in (("port_range_min", "type", kind), ("port_range_max", "code", code)):
        if value is not None and not 0 <= value <= 255:
            text = f"Invalid value for ICMP {name} ({field}) {value}. It must be 0 to 255."
            raise invalid(text, "SecurityGroupInvalidIcmpValue")
    if kind is None and code is not None:
        text = f"ICMP code (port-range-max) {code} is provided but ICMP type (port-range-min) is missing."
        raise invalid(text, "SecurityGroupMissingIcmpType")


def _protocol(rule: dict[str, Any]) -> int | None:
    """Read a rule's protocol, put it into its canonical form, and return its number; None: any."""
    text = rule["protocol"]
    if text is None or str(text).lower() == "any":
        rule["protocol"] = None
        return None
    text = str(text).lower()
    if text.isascii() and text.isdecimal() and int(text) <= 255:
        number = int(text)
    elif text in PROTOCOLS:
        number = PROTOCOLS[text]
    else:
        known = ", ".join(sorted(PROTOCOLS))
        raise invalid(
            f"Security group rule protocol {text} not supported. "
            f"Only protocol values [{known}] and integer representations [0 to 255] are supported.",
            "SecurityGroupRuleInvalidProtocol",
        )
    if rule["ethertype"] == "IPv6" and text == "icmp":
        text, number = "ipv6-icmp", 58
    if rule["ethertype"] == "IPv4" and (text in ONLY_IPV6 or (text.isdecimal() and number in ONLY_IPV6_NUMBERS)):
        raise invalid(f"Invalid ethertype {rule['ethertype']} for protocol {text}.", "SecurityGroupEthertypeConflictWithProtocol")
    rule["protocol"] = "ipv6-icmp" if text == "icmpv6" else text
    return number
