"""Which connections a change of ports or groups takes the ground from, whatever keeps track of connections.

A driver keeps a `Ledger` of what it was last told; each of its methods notes a change and returns what picks the connections that
are to end. Pure.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from pileus.network.driver import GroupRule, GroupSpec, PortSpec
from pileus.network.drivers.linux import ruleset
from pileus.network.drivers.linux.conntrack import Connection
from pileus.network.drivers.linux.names import checked_ip

Doom = Callable[[Connection], bool]


@dataclass(frozen=True)
class _Revoked:
    """A rule that some addresses of a zone have no longer; `members` instead of the rule's remote if a remote group shrank."""

    zone: int
    locals: frozenset[str]
    rule: GroupRule
    members: frozenset[str] | None = None

    def covers(self, connection: Connection) -> bool:
        """Whether a connection may have lived by it."""
        opened, rule = connection.opened, self.rule
        local, remote = opened.destination, opened.source
        if rule.direction == "egress":
            local, remote = remote, local
        if connection.zone != self.zone or local not in self.locals:
            return False
        if rule.protocol not in (None, "any", "0"):
            number = ruleset.protocol_number(rule.protocol, rule.ethertype)
            if number != opened.protocol:
                return False
            if number not in (1, 58) and not (rule.port_min or 0) <= opened.port <= (
                65535 if rule.port_max is None else rule.port_max
            ):
                return False
        if self.members is not None:
            return _contains(self.members, remote)
        if rule.remote_cidrs is not None:
            return _contains(rule.remote_cidrs, remote)
        return rule.remote_cidr is None or _contains([rule.remote_cidr], remote)


class Ledger:
    """The zones of networks, and ports and groups as last told. The caller lets one thread in at a time."""

    def __init__(self) -> None:
        self.zones: dict[str, int] = {}
        self.ports: dict[str, PortSpec] = {}
        self.groups: dict[str, GroupSpec] = {}

    def port(self, port: PortSpec) -> Doom | None:
        """A port is so from now on."""
        before = self.ports.get(port.id)
        self.ports[port.id] = port
        if before is None or before == port:
            return None
        zone, here = self.zones.get(port.network_id, 0), _addresses(port)
        gone = _addresses(before) - here
        if port.port_security and not before.port_security:
            gone |= here
        lost = [self.groups[id] for id in before.group_ids if id not in port.group_ids and id in self.groups]
        revoked = [_Revoked(zone, here, rule, self._remote(rule, group)) for group in lost for rule in group.rules]
        if not gone and not revoked:
            return None
        return lambda one: (one.zone == zone and _touches(one, gone)) or any(each.covers(one) for each in revoked)

    def no_port(self, port_id: str) -> Doom | None:
        """A port is gone."""
        before = self.ports.pop(port_id, None)
        if before is None:
            return None
        zone, gone = self.zones.get(before.network_id, 0), _addresses(before)
        return lambda one: one.zone == zone and _touches(one, gone)

    def group(self, groups: Iterable[GroupSpec]) -> Doom | None:
        """Groups are so from now on."""
        changed = list(groups)
        before = [(self.groups.get(group.id), group) for group in changed]
        self.groups |= {group.id: group for group in changed}
        return _any([revoked for old, group in before if old for revoked in self._revoked(old, group)])

    def no_groups(self, gone: Iterable[GroupSpec]) -> Doom | None:
        """Groups are gone; the caller has taken them out."""
        return _any([revoked for group in gone for revoked in self._revoked(group, GroupSpec(group.id))])

    def clear(self) -> None:
        """Nothing is known."""
        self.zones.clear()
        self.ports.clear()
        self.groups.clear()

    def _revoked(self, old: GroupSpec, new: GroupSpec) -> list[_Revoked]:
        still = {_meaning(rule) for rule in new.rules}
        found = [
            _Revoked(zone, addresses, rule, self._remote(rule, old))
            for rule in old.rules
            if _meaning(rule) not in still
            for zone, addresses in self._locals(old.id)
        ]
        if lost := old.members - new.members:
            found += [
                _Revoked(zone, addresses, rule, lost)
                for group in self.groups.values()
                for rule in group.rules
                if rule.remote_group_id == old.id
                for zone, addresses in self._locals(group.id)
            ]
        return found

    def _remote(self, rule: GroupRule, before: GroupSpec) -> frozenset[str] | None:
        if not rule.remote_group_id:
            return None
        group = before if rule.remote_group_id == before.id else self.groups.get(rule.remote_group_id)
        return group.members if group else frozenset()

    def _locals(self, group_id: str) -> list[tuple[int, frozenset[str]]]:
        zones: dict[int, set[str]] = {}
        for port in self.ports.values():
            if group_id in port.group_ids:
                zones.setdefault(self.zones.get(port.network_id, 0), set()).update(_addresses(port))
        return [(zone, frozenset(addresses)) for zone, addresses in zones.items()]


def _any(revoked: list[_Revoked]) -> Doom | None:
    return (lambda one: any(each.covers(one) for each in revoked)) if revoked else None


def _meaning(rule: GroupRule) -> tuple[object, ...]:
    remote = (rule.remote_cidr, rule.remote_cidrs, rule.remote_group_id)
    return (rule.direction, rule.ethertype, rule.protocol, rule.port_min, rule.port_max, *remote)


def _addresses(port: PortSpec) -> frozenset[str]:
    return frozenset(checked_ip(address) for address in port.fixed_ips) | {
        pair.ip.partition("/")[0] for pair in port.allowed_address_pairs if ip_network(pair.ip, strict=False).num_addresses == 1
    }


def _touches(connection: Connection, addresses: frozenset[str]) -> bool:
    return connection.opened.source in addresses or connection.opened.destination in addresses


def _contains(ranges: Iterable[str], address: str) -> bool:
    if address in ranges:
        return True
    wide = (ip_network(one, strict=False) for one in ranges if "/" in one)
    return any(ip_address(address) in network for network in wide)
