"""The nftables of the host namespace: what is in it, kept equal to the fragments of what the driver was told.

Every change is one transaction. If anybody else wrote there, or a record tells of work cut off, the next change loads the whole
ruleset anew, at once: packets never see one that is half there.
"""

import threading
from collections.abc import Iterable
from pathlib import Path

from pileus.network.driver import GroupSpec, NetworkSpec, PortSpec
from pileus.network.drivers.linux import conntrack, ruleset
from pileus.network.drivers.linux.ledger import Doom, Ledger
from pileus.network.drivers.linux.netns import Namespace
from pileus.network.drivers.linux.nft import Nft, Watermark
from pileus.network.drivers.linux.ruleset import NOTHING, Fragment


class Firewall:
    """All guarded and unguarded ports, groups and zones of the host."""

    def __init__(self, namespace: Namespace, state_dir: Path) -> None:
        self._namespace = namespace
        self._nft = Nft(namespace, keep=True)
        self._watermark = Watermark(self._nft, state_dir / "ruleset")
        self._lock = threading.RLock()
        self._fragments: dict[tuple[str, str], Fragment] = {}
        self._ledger = Ledger()
        self._stale = True

    def adopt(self, networks: Iterable[NetworkSpec], ports: Iterable[PortSpec], groups: Iterable[GroupSpec], whole: bool) -> None:
        """Take up what a former process left; `whole` unless its work was cut off."""
        with self._lock:
            for network in networks:
                self._ledger.zones[network.id] = ruleset.zone(network)
                self._fragments["network", network.id] = ruleset.network_fragment(network)
            self._ledger.ports = {port.id: port for port in ports}
            self._ledger.groups = {group.id: group for group in groups}
            self._fragments |= {("port", id): ruleset.port_fragment(port) for id, port in self._ledger.ports.items()}
            self._fragments |= {("group", id): ruleset.group_fragment(group) for id, group in self._ledger.groups.items()}
            self._fragments |= self._placeholders(self._ledger.ports.values(), self._ledger.groups.values())
            self._stale = not (whole and self._watermark.untouched())

    def intact(self) -> bool:
        """Whether the kernel's ruleset is what was last loaded; if not, the next change loads all of it."""
        with self._lock:
            self._stale = self._stale or not self._watermark.untouched()
            return not self._stale

    def set_network(self, network: NetworkSpec) -> None:
        """Know a network's zone."""
        with self._lock:
            self._ledger.zones[network.id] = ruleset.zone(network)
            self._change({("network", network.id): ruleset.network_fragment(network)})

    def remove_network(self, network_id: str) -> None:
        """Forget a network's zone."""
        with self._lock:
            self._ledger.zones.pop(network_id, None)
            self._change({("network", network_id): NOTHING})

    def set_port(self, port: PortSpec) -> None:
        """Guard a port as told; connections that it may no longer have end."""
        with self._lock:
            self._change({**self._placeholders([port], []), ("port", port.id): ruleset.port_fragment(port)})
            self._end(self._ledger.port(port))
            self._tidy()

    def remove_port(self, port_id: str) -> None:
        """Let go of a port, and end its connections."""
        with self._lock:
            self._change({("port", port_id): NOTHING})
            self._end(self._ledger.no_port(port_id))
            self._tidy()

    def set_groups(self, groups: list[GroupSpec]) -> None:
        """Have these groups so; connections that only lived by what they allowed before end."""
        with self._lock:
            new = {("group", group.id): ruleset.group_fragment(group) for group in groups}
            self._change({**self._placeholders([], groups), **new})
            self._end(self._ledger.group(groups))
            self._tidy()

    def remove_groups(self, group_ids: Iterable[str]) -> None:
        """Drop groups; those that something still names stay as empty ones, which allow nothing."""
        with self._lock:
            gone = {id: group for id in group_ids if (group := self._ledger.groups.pop(id, None))}
            named = self._named()
            empty = {id: ruleset.group_fragment(GroupSpec(id)) for id in gone if id in named}
            self._change({("group", id): empty.get(id, NOTHING) for id in gone})
            self._end(self._ledger.no_groups(gone.values()))
            self._tidy()

    def forget(self) -> None:
        """The namespace is new: nothing is in it."""
        with self._lock:
            self._fragments.clear()
            self._ledger.clear()
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

    def _named(self) -> set[str]:
        """Return the groups that ports and groups name."""
        groups = self._ledger.groups.values()
        named = {rule.remote_group_id for group in groups for rule in group.rules if rule.remote_group_id}
        return named | {id for port in self._ledger.ports.values() for id in port.group_ids}

    def _tidy(self) -> None:
        """Drop the empty groups that were there only because something named them."""
        empty = [id for kind, id in self._fragments if kind == "group" and id not in self._ledger.groups]
        if empty and (unnamed := set(empty) - self._named()):
            self._change({("group", id): NOTHING for id in unnamed})

    def _end(self, doomed: Doom | None) -> None:
        if doomed:
            conntrack.drop(self._namespace, doomed)
