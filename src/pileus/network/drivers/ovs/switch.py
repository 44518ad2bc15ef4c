"""What a switch is told of networks, ports and groups, as flows: kept equal to the specs, and the connections with them.

Every change of a bridge's flows is one bundle of those that differ: packets never see one that is half there. If anybody else
wrote there, or a record tells of work cut off, the next change compares and replaces everything; what is right already stays.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping

from pileus.network.driver import GroupSpec, NetworkDriverError, NetworkSpec, PortSpec
from pileus.network.drivers.linux.ledger import Doom, Ledger
from pileus.network.drivers.ovs import connections, flows, guarding, tunnelling
from pileus.network.drivers.ovs.daemons import Daemons
from pileus.network.drivers.ovs.flows import LEARNED, Flows
from pileus.network.drivers.ovs.layout import INNER, TUNNELS, Layout
from pileus.network.drivers.ovs.numbers import Numbers

Key = tuple[str, str]  # kind and id


class Switch:
    """All flows of the host."""

    def __init__(self, daemons: Daemons, layout: Layout, numbers: Numbers) -> None:
        self._daemons, self._layout, self.numbers = daemons, layout, numbers
        self._lock = threading.RLock()
        self._ledger = Ledger()
        self._networks: dict[str, NetworkSpec] = {}
        self._fragments: dict[Key, Flows] = _skeleton()
        self._uses: Counter[tuple[str, str]] = Counter()
        self._meters: dict[int, str] = {}
        self._stale = True
        self.looks = 0  # how often the host has been looked at

    def adopt(self, networks: Iterable[NetworkSpec], ports: Iterable[PortSpec], groups: Iterable[GroupSpec], whole: bool) -> None:
        """See `Guard`."""
        with self._lock:
            self._networks = {network.id: network for network in networks}
            self._ledger.zones = {id: self.numbers.of("tag", id) for id in self._networks}
            self._ledger.ports = {port.id: port for port in ports if port.network_id in self._networks}
            self._ledger.groups = {group.id: group for group in groups}
            self._fragments = _skeleton() | self._everything()
            self._uses = Counter(use for key, found in self._fragments.items() for use in _uses(key, found))
            self._meters = {number: text for port in self._ledger.ports.values() for number, text in self._rates(port).items()}
            self._stale = not whole
            self.intact()

    def intact(self) -> bool:
        """See `Guard`."""
        with self._lock:
            self.looks += 1
            try:
                self._stale = self._stale or not self._as_made()
            except NetworkDriverError:
                self._stale = True  # there is no such bridge, or no switch
            return not self._stale

    def doubt(self) -> None:
        """The switch has been started anew: its flows are gone."""
        self._stale = True

    def has(self, network_id: str) -> bool:
        """Whether it knows a network."""
        return network_id in self._networks

    def set_network(self, network: NetworkSpec) -> None:
        """See `Guard`."""
        with self._lock:
            self._ledger.zones[network.id] = self.numbers.of("tag", network.id)
            self._networks[network.id] = network
            self._change(self._of_network(network.id))

    def remove_network(self, network_id: str) -> None:
        """See `Guard`."""
        with self._lock:
            self._networks.pop(network_id, None)
            zone = self._ledger.zones.pop(network_id, None)
            self._change({("network", network_id): {}, ("tunnel", network_id): {}})
            if zone is not None:
                connections.flush_zone(self._daemons, zone)
                self.numbers.free("tag", network_id)

    def set_port(self, port: PortSpec) -> None:
        """See `Guard`."""
        with self._lock:
            if port.network_id not in self._networks:
                return  # it is refused as soon as it is to be plugged
            before = self._ledger.ports.get(port.id)
            doom = self._ledger.port(port)
            rates = self._rates(port)
            old_rates = self._rates(before) if before else {}
            self._set_meters(rates)
            networks = {port.network_id} | ({before.network_id} & set(self._networks) if before else set())
            self._change({("port", port.id): self._port_flows(port)} | _merged(self._of_network(id) for id in networks))
            self._drop_meters(set(old_rates) - set(rates))
            if before is not None:
                self._look_up_anew()
                if before.tap != port.tap:
                    self.numbers.free("port", before.tap)
            self._end(doom)

    def remove_port(self, port_id: str) -> None:
        """See `Guard`."""
        with self._lock:
            before = self._ledger.ports.get(port_id)
            doom = self._ledger.no_port(port_id)
            if before is None:
                return
            around = self._of_network(before.network_id) if before.network_id in self._networks else {}
            self._change({("port", port_id): {}, **around})
            self._drop_meters(set(self._rates(before)))
            self._end(doom)
            self.numbers.free("port", before.tap)
            self._free_groups(before.group_ids)

    def set_groups(self, groups: list[GroupSpec]) -> None:
        """See `Guard`. :raises NetworkDriverError: for a rule that flows cannot be; all others are made."""
        with self._lock:
            kinds = {group.id: self._ledger.groups[group.id].stateful for group in groups if group.id in self._ledger.groups}
            turned = {group.id for group in groups if kinds.get(group.id, True) != group.stateful}
            doom = self._ledger.group(groups)
            named = {group.id for group in groups}
            told = [
                group for group in self._ledger.groups.values()
                if group.id in named or any(rule.remote_group_id in named for rule in group.rules)
            ]  # fmt: skip
            wanted = {("group", group.id): self._group_flows(group) for group in told}
            for port in self._ledger.ports.values() if turned else ():
                if turned & set(port.group_ids):
                    wanted["port", port.id] = self._port_flows(port)
            self._change(wanted)
            self._look_up_anew()
            self._end(doom)
        if problems := [text for group in groups for rule in group.rules if (text := guarding.impossible(rule))]:
            raise NetworkDriverError("; ".join(problems))

    def remove_groups(self, group_ids: Iterable[str]) -> None:
        """See `Guard`."""
        with self._lock:
            gone = {id: group for id in group_ids if (group := self._ledger.groups.pop(id, None))}
            naming = [
                group for group in self._ledger.groups.values() if any(rule.remote_group_id in gone for rule in group.rules)
            ]  # fmt: skip
            self._change({("group", id): {} for id in gone} | {("group", one.id): self._group_flows(one) for one in naming})
            self._look_up_anew()
            self._end(self._ledger.no_groups(gone.values()))
            self._free_groups(gone)

    def set_leg(self, device: str, network_id: str, mac: str | None) -> int:
        """Let frames in and out of an interface of the cloud's own; returns its number."""
        with self._lock:
            number = self.numbers.of("port", device)
            self.numbers.set_leg(device, network_id, mac)
            self._change({("leg", device): self._leg_flows(device), **self._of_network(network_id)})
            return number

    def remove_leg(self, device: str) -> None:
        """Forget such an interface."""
        with self._lock:
            if device not in self.numbers.legs:
                return
            network_id, _ = self.numbers.legs[device]
            self.numbers.remove_leg(device)
            self._change({("leg", device): {}, **(self._of_network(network_id) if self.has(network_id) else {})})
            self.numbers.free("port", device)

    def forget(self) -> None:
        """See `Guard`."""
        with self._lock:
            self._ledger.clear()
            self._networks.clear()
            self._fragments, self._uses, self._meters = _skeleton(), Counter(), {}
            self.numbers.clear()
            self._stale = True

    def close(self) -> None:
        """See `Guard`."""

    def _everything(self) -> dict[Key, Flows]:
        found = {("port", port.id): self._port_flows(port) for port in self._ledger.ports.values()}
        found |= {("group", group.id): self._group_flows(group) for group in self._ledger.groups.values()}
        found |= {("leg", device): self._leg_flows(device) for device, (id, _) in self.numbers.legs.items() if self.has(id)}
        return found | _merged(self._of_network(id) for id in self._networks)

    def _of_network(self, network_id: str) -> dict[Key, Flows]:
        network, tag = self._networks[network_id], self._ledger.zones[network_id]
        legs = [
            flows.Member(self.numbers.of("port", device), mac, loose=mac is None)
            for device, (id, mac) in self.numbers.legs.items() if id == network_id
        ]  # fmt: skip
        ports = [
            guarding.member(port, self.numbers.of("port", port.tap))
            for port in self._ledger.ports.values() if port.network_id == network_id and port.admin_up
        ]  # fmt: skip
        between = tunnelling.network_flows(network, tag) if self._layout.tunnelled else {}
        macs = tunnelling.remote_macs(network) if between else []
        away = self._away(network) if between else set()
        inside = flows.network_flows(tag, [*legs, *ports], macs, bool(between), away) if network.admin_up else {}
        return {("network", network_id): inside, ("tunnel", network_id): between}

    def _away(self, network: NetworkSpec) -> set[str]:
        """The MACs of ports that are here and, as the cloud says, elsewhere: their guests are on their way."""
        elsewhere = {remote.mac.lower(): remote.ips for remote in network.remotes}
        every = {port.mac.lower(): port for port in self._ledger.ports.values() if port.network_id == network.id}
        return {mac for mac, port in every.items() if mac in elsewhere and set(port.fixed_ips) <= set(elsewhere[mac])}

    def _port_flows(self, port: PortSpec) -> Flows:
        groups = tuple(self.numbers.of("group", id) for id in port.group_ids)
        stateless = any(not self._ledger.groups[id].stateful for id in port.group_ids if id in self._ledger.groups)
        carrier = self.numbers.of("port", port.carrier.tap) if port.carrier else 0
        number, tag = self.numbers.of("port", port.tap), self._ledger.zones[port.network_id]
        return guarding.port_flows(port, guarding.Place(number, tag, carrier, groups, stateless))

    def _group_flows(self, group: GroupSpec) -> Flows:
        members = {rule.remote_group_id for rule in group.rules if rule.remote_group_id}
        known = {id: self._ledger.groups[id].members for id in members if id in self._ledger.groups}
        return guarding.group_flows(group, self.numbers.of("group", group.id), known)

    def _leg_flows(self, device: str) -> Flows:
        network_id, mac = self.numbers.legs[device]
        return flows.leg_flows(self.numbers.of("port", device), self._ledger.zones[network_id], mac)

    def _rates(self, port: PortSpec) -> dict[int, str]:
        return guarding.meters(port, self.numbers.of("port", port.tap)) if port.qos else {}

    def _free_groups(self, group_ids: Iterable[str]) -> None:
        named = {id for port in self._ledger.ports.values() for id in port.group_ids} | set(self._ledger.groups)
        for id in set(group_ids) - named:
            self.numbers.free("group", id)

    def _change(self, wanted: Mapping[Key, Flows]) -> None:
        if self._stale:
            self._fragments = {key: found for key, found in {**self._fragments, **wanted}.items() if found}
            self._uses = Counter(use for key, found in self._fragments.items() for use in _uses(key, found))
            self._load()
        else:
            self._bundle(wanted)

    def _bundle(self, wanted: Mapping[Key, Flows]) -> None:
        """Change what differs."""
        commands: dict[str, list[str]] = {INNER: [], TUNNELS: []}
        for key, new in wanted.items():
            old = self._fragments.get(key, {})
            for use in _uses(key, new):
                self._uses[use] += 1
            for bridge, match in _uses(key, old):
                self._uses[bridge, match] -= 1
                if match not in new and not self._uses[bridge, match]:
                    commands[bridge].append(f"flow delete_strict {match}")
            commands[_bridge(key)] += (
                f"flow add {match} actions={actions}" for match, actions in new.items() if old.get(match) != actions
            )
        self._stale = True  # until it is seen to have worked
        for bridge, lines in commands.items():
            if lines:
                self._daemons.ofctl("bundle", bridge, "\n".join(lines))
        self._stale = False
        self._fragments = {key: found for key, found in {**self._fragments, **wanted}.items() if found}

    def _load(self) -> None:
        """Have everything as it shall be, whatever there is."""
        self._layout.ensure()
        there = self._found_meters()
        for number, text in self._meters.items():
            if there.get(number) != text:
                self._daemons.set_meter(INNER, number, text, number in there)
        for bridge in self._layout.bridges:
            self._daemons.ofctl("--bundle replace-flows", bridge, self._text(bridge))
        for number in set(there) - set(self._meters):
            self._daemons.drop_meter(INNER, number)
        self._stale = False

    def _as_made(self) -> bool:
        for bridge in self._layout.bridges:
            lines = self._daemons.differs(bridge, self._text(bridge))
            if any(f"table={LEARNED} " not in line and f"table={LEARNED}," not in line for line in lines):
                return False
        return self._found_meters() == self._meters

    def _text(self, bridge: str) -> str:
        every = {match: text for key, found in self._fragments.items() if _bridge(key) == bridge for match, text in found.items()}
        return "".join(f"{match} actions={actions}\n" for match, actions in every.items())

    def _found_meters(self) -> dict[int, str]:
        return connections.meters(self._daemons.ofctl("dump-meters", INNER))

    def _set_meters(self, wanted: Mapping[int, str]) -> None:
        """Have meters; while everything is stale, only note that they are wanted."""
        before = dict(self._meters)
        self._meters |= wanted
        for number, text in wanted.items() if not self._stale else ():
            if before.get(number) != text:
                self._daemons.set_meter(INNER, number, text, number in before)

    def _drop_meters(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            if self._meters.pop(number, None) and not self._stale:
                self._daemons.drop_meter(INNER, number)

    def _look_up_anew(self) -> None:
        """Have the switch forget at once what its flows came to before (else it does within some milliseconds)."""
        self._daemons.ask("revalidator/purge")

    def _end(self, doomed: Doom | None) -> None:
        if doomed:
            connections.drop(self._daemons, doomed)


def _skeleton() -> dict[Key, Flows]:
    inner = {**flows.skeleton(), **guarding.spoofing_skeleton()}
    return {("skeleton", INNER): inner, ("tunnel", TUNNELS): tunnelling.skeleton()}


def _bridge(key: Key) -> str:
    return TUNNELS if key[0] == "tunnel" else INNER


def _uses(key: Key, found: Flows) -> Iterable[tuple[str, str]]:
    return [(_bridge(key), match) for match in found]


def _merged(parts: Iterable[Mapping[Key, Flows]]) -> dict[Key, Flows]:
    return {key: found for part in parts for key, found in part.items()}
