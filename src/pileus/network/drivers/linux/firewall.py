"""The nftables of the host namespace: what is in it, kept equal to the fragments of what the driver was told.

Every change is one transaction. If anybody else wrote there, or a record tells of work cut off, the next change loads the whole
ruleset anew, at once: packets never see one that is half there.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

from pileus.network.driver import GroupRule, GroupSpec, NetworkSpec, PortSpec
from pileus.network.drivers.linux import conntrack, ruleset
from pileus.network.drivers.linux.names import checked_ip
from pileus.network.drivers.linux.netns import Namespace
from pileus.network.drivers.linux.nft import Nft, Watermark
from pileus.network.drivers.linux.ruleset import NOTHING, Fragment


@dataclass(frozen=True)
class _Revoked:
    """A rule that some addresses of a zone have no longer; `members` instead of the rule's remote if a remote group shrank."""

    zone: int
    locals: frozenset[str]
    rule: GroupRule
    members: frozenset[str] | None = None

    def covers(self, connection: conntrack.Connection) -> bool:
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


class Firewall:
    """All guarded and unguarded ports, groups and zones of the host."""

    def __init__(self, namespace: Namespace, state_dir: Path) -> None:
        self._namespace = namespace
        self._nft = Nft(namespace, keep=True)
        self._watermark = Watermark(self._nft, state_dir / "ruleset")
        self._lock = threading.RLock()
        self._fragments: dict[tuple[str, str], Fragment] = {}
        self._zones: dict[str, int] = {}
        self._ports: dict[str, PortSpec] = {}
        self._groups: dict[str, GroupSpec] = {}
        self._stale = True

    def adopt(self, networks: Iterable[NetworkSpec], ports: Iterable[PortSpec], groups: Iterable[GroupSpec], whole: bool) -> None:
        """Take up what a former process left; `whole` unless its work was cut off."""
        with self._lock:
            for network in networks:
                self._zones[network.id] = ruleset.zone(network)
                self._fragments["network", network.id] = ruleset.network_fragment(network)
            self._ports = {port.id: port for port in ports}
            self._groups = {group.id: group for group in groups}
            self._fragments |= {("port", id): ruleset.port_fragment(port) for id, port in self._ports.items()}
            self._fragments |= {("group", id): ruleset.group_fragment(group) for id, group in self._groups.items()}
            self._fragments |= self._placeholders(self._ports.values(), self._groups.values())
            self._stale = not (whole and self._watermark.untouched())

    def intact(self) -> bool:
        """Whether the kernel's ruleset is what was last loaded; if not, the next change loads all of it."""
        with self._lock:
            self._stale = self._stale or not self._watermark.untouched()
            return not self._stale

    def set_network(self, network: NetworkSpec) -> None:
        """Know a network's zone."""
        with self._lock:
            self._zones[network.id] = ruleset.zone(network)
            self._change({("network", network.id): ruleset.network_fragment(network)})

    def remove_network(self, network_id: str) -> None:
        """Forget a network's zone."""
        with self._lock:
            self._zones.pop(network_id, None)
            self._change({("network", network_id): NOTHING})

    def set_port(self, port: PortSpec) -> None:
        """Guard a port as told; connections that it may no longer have end."""
        with self._lock:
            self._change({**self._placeholders([port], []), ("port", port.id): ruleset.port_fragment(port)})
            before = self._ports.get(port.id)
            self._ports[port.id] = port
            if before is not None and before != port:
                self._end_of_port(before, port)

    def remove_port(self, port_id: str) -> None:
        """Let go of a port, and end its connections."""
        with self._lock:
            self._change({("port", port_id): NOTHING})
            if before := self._ports.pop(port_id, None):
                zone, gone = self._zones.get(before.network_id, 0), _addresses(before)
                self._end(lambda connection: connection.zone == zone and _touches(connection, gone))

    def set_groups(self, groups: list[GroupSpec]) -> None:
        """Have these groups so; connections that only lived by what they allowed before end."""
        with self._lock:
            new = {("group", group.id): ruleset.group_fragment(group) for group in groups}
            self._change({**self._placeholders([], groups), **new})
            before = [(self._groups.get(group.id), group) for group in groups]
            self._groups |= {group.id: group for group in groups}
            self._end_revoked([revoked for old, group in before if old for revoked in self._revoked(old, group)])

    def remove_groups(self, group_ids: Iterable[str]) -> None:
        """Drop groups; those that something still names stay as empty ones, which allow nothing."""
        with self._lock:
            gone = {id: group for id in group_ids if (group := self._groups.pop(id, None))}
            named = {id for port in self._ports.values() for id in port.group_ids} | {
                rule.remote_group_id for group in self._groups.values() for rule in group.rules
            }
            empty = {id: ruleset.group_fragment(GroupSpec(id)) for id in gone if id in named}
            self._change({("group", id): empty.get(id, NOTHING) for id in gone})
            self._end_revoked([revoked for id, group in gone.items() for revoked in self._revoked(group, GroupSpec(id))])

    def forget(self) -> None:
        """The namespace is new: nothing is in it."""
        with self._lock:
            self._fragments.clear()
            self._zones.clear()
            self._ports.clear()
            self._groups.clear()
            self.close()
            self._watermark.forget()
            self._stale = True

    def close(self) -> None:
        """Let go of the library's context."""
        self._nft.close()

    def _change(self, wanted: dict[tuple[str, str], Fragment]) -> None:
        commands: list[str] = []
        if self.intact():
            for key, fragment in sorted(wanted.items(), key=lambda item: item[1] is NOTHING):
                commands += ruleset.changes(self._fragments.get(key, NOTHING), fragment)
        else:
            everything = {**self._fragments, **wanted}
            groups = [fragment for (kind, _), fragment in everything.items() if kind == "group"]
            others = [fragment for (kind, _), fragment in everything.items() if kind != "group"]
            declared = [Fragment(fragment.sets, dict.fromkeys(fragment.chains, ())) for fragment in groups]
            commands = [ruleset.RESET, *(line for one in declared for line in ruleset.changes(NOTHING, one))]
            commands += [line for one, known in zip(groups, declared, strict=True) for line in ruleset.changes(known, one)]
            commands += [line for one in others for line in ruleset.changes(NOTHING, one)]
        if commands:
            self._stale = True  # until it is seen to have worked
            self._watermark.run("\n".join(commands))
            self._stale = False
        for key, fragment in wanted.items():
            if fragment is NOTHING:
                self._fragments.pop(key, None)
            else:
                self._fragments[key] = fragment

    def _placeholders(self, ports: Iterable[PortSpec], groups: Iterable[GroupSpec]) -> dict[tuple[str, str], Fragment]:
        named = {id for port in ports for id in port.group_ids}
        named |= {rule.remote_group_id for group in groups for rule in group.rules if rule.remote_group_id}
        unknown = [id for id in named if ("group", id) not in self._fragments]
        return {("group", id): ruleset.group_fragment(GroupSpec(id)) for id in unknown}

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
                for group in self._groups.values()
                for rule in group.rules
                if rule.remote_group_id == old.id
                for zone, addresses in self._locals(group.id)
            ]
        return found

    def _remote(self, rule: GroupRule, before: GroupSpec) -> frozenset[str] | None:
        if not rule.remote_group_id:
            return None
        group = before if rule.remote_group_id == before.id else self._groups.get(rule.remote_group_id)
        return group.members if group else frozenset()

    def _locals(self, group_id: str) -> list[tuple[int, frozenset[str]]]:
        zones: dict[int, set[str]] = {}
        for port in self._ports.values():
            if group_id in port.group_ids:
                zones.setdefault(self._zones.get(port.network_id, 0), set()).update(_addresses(port))
        return [(zone, frozenset(addresses)) for zone, addresses in zones.items()]

    def _end_of_port(self, before: PortSpec, port: PortSpec) -> None:
        zone, here = self._zones.get(port.network_id, 0), _addresses(port)
        gone = _addresses(before) - here
        if port.port_security and not before.port_security:
            gone |= here
        if gone:
            self._end(lambda connection: connection.zone == zone and _touches(connection, gone))
        lost = [self._groups[id] for id in before.group_ids if id not in port.group_ids and id in self._groups]
        self._end_revoked([_Revoked(zone, here, rule, self._remote(rule, group)) for group in lost for rule in group.rules])

    def _end_revoked(self, revoked: list[_Revoked]) -> None:
        if revoked:
            self._end(lambda connection: any(one.covers(connection) for one in revoked))

    def _end(self, doomed: Callable[[conntrack.Connection], bool]) -> None:
        conntrack.drop(self._namespace, doomed)


def _meaning(rule: GroupRule) -> tuple[object, ...]:
    remote = (rule.remote_cidr, rule.remote_cidrs, rule.remote_group_id)
    return (rule.direction, rule.ethertype, rule.protocol, rule.port_min, rule.port_max, *remote)


def _addresses(port: PortSpec) -> frozenset[str]:
    return frozenset(checked_ip(address) for address in port.fixed_ips) | {
        pair.ip.partition("/")[0] for pair in port.allowed_address_pairs if ip_network(pair.ip, strict=False).num_addresses == 1
    }


def _touches(connection: conntrack.Connection, addresses: frozenset[str]) -> bool:
    return connection.opened.source in addresses or connection.opened.destination in addresses


def _contains(ranges: Iterable[str], address: str) -> bool:
    if address in ranges:
        return True
    wide = (ip_network(one, strict=False) for one in ranges if "/" in one)
    return any(ip_address(address) in network for network in wide)
