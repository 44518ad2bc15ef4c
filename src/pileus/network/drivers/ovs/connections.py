"""Connections and meters as ovs-vswitchd tells of them."""

import re
from ipaddress import ip_address

from pileus.network.driver import NetworkDriverError
from pileus.network.drivers.linux.conntrack import Connection, Flow
from pileus.network.drivers.linux.ledger import Doom
from pileus.network.drivers.ovs.daemons import Daemons

_PROTOCOLS = {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "icmpv6": 58, "sctp": 132, "udplite": 136}
ICMPV6, SINGLE = 58, (1, 6, 17, 132)
_LINE = re.compile(r"(?P<protocol>\w+),orig=\((?P<orig>[^)]*)\),reply=\((?P<reply>[^)]*)\)(?:,.*?zone=(?P<zone>\d+))?")
_METER = re.compile(r"meter=(\d+) (kbps burst) (?:stats )?bands=\s*type=drop rate=(\d+) burst_size=(\d+)")


def drop(daemons: Daemons, doomed: Doom) -> int:
    """End every connection that `doomed` picks. Returns how many.

    Those of ICMPv6 need no end: each question in one is judged by the rules (and ovs-vswitchd 3.1 crashes when asked to end one).
    Of protocols that cannot be named one by one, all of the zone start anew, as far as rules let them.
    """
    count = 0
    for line in daemons.ask("dpctl/dump-conntrack").splitlines():
        found = _LINE.match(line)
        if not found:
            continue
        opened, answered = _fields(found["orig"]), _fields(found["reply"])
        protocol, zone = _protocol(found["protocol"]), int(found["zone"] or 0)
        if protocol == ICMPV6 or not doomed(Connection(_flow(opened, protocol), _flow(answered, protocol), zone)):
            continue
        if protocol in SINGLE:
            _end(daemons, zone, _tuple(opened, protocol))
        else:
            flush_zone(daemons, zone)
        count += 1
    return count


def _end(daemons: Daemons, zone: int, connection: str) -> None:
    try:
        daemons.ask("dpctl/flush-conntrack", f"zone={zone}", connection)
    except NetworkDriverError as error:
        if "No such file" not in str(error):  # it has ended by itself
            raise


def flush_zone(daemons: Daemons, zone: int) -> None:
    """End every connection of a zone."""
    daemons.ask("dpctl/flush-conntrack", f"zone={zone}")


def meters(listed: str) -> dict[int, str]:
    """The meters, as ovs-ofctl lists them, in the words in which they are added."""
    found = _METER.findall(listed)
    return {int(number): f"kbps,burst,band=type=drop,rate={rate},burst_size={burst}" for number, _, rate, burst in found}


def _fields(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)


def _protocol(name: str) -> int:
    return _PROTOCOLS.get(name) or (int(name) if name.isdecimal() else 0)


def _flow(fields: dict[str, str], protocol: int) -> Flow:
    source, destination = str(ip_address(fields["src"])), str(ip_address(fields["dst"]))
    return Flow(source, destination, protocol, int(fields.get("dport", 0)))


def _tuple(opened: dict[str, str], protocol: int) -> str:
    kind = "ct_ipv6" if ":" in opened["src"] else "ct_nw"
    words = [f"{kind}_src={opened['src']}", f"{kind}_dst={opened['dst']}", f"ct_nw_proto={protocol}"]
    if protocol == 1:
        words += [f"icmp_{name}={opened[name]}" for name in ("id", "type", "code") if name in opened]
    elif "sport" in opened:
        words += [f"ct_tp_src={opened['sport']}", f"ct_tp_dst={opened['dport']}"]
    return ",".join(words)
