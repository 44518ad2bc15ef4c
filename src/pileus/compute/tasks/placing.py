"""Where a server goes: the scheduler's question put together out of its row, and the claim.

The claim is the row's own host, written in the same transaction in which the rows of that host's servers were summed up; one
transaction at a time does that for a host (SQLite has one writer, elsewhere the host's row is locked).  The order of the hosts is
found before, without a lock: many claims are made at the same time, each on the best host that no other has at this moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from pileus.compute import scheduler
from pileus.compute.store import hosts
from pileus.compute.store import servers as store
from pileus.compute.store.servers import Server
from pileus.kernel.context import Cloud

CHOICES = 8  # how many hosts are good enough, rather than to wait for the best


@dataclass(frozen=True)
class Place:
    """A host and its zone; or no host, and why."""

    host: str = ""
    zone: str = ""
    why: str = ""


@dataclass(frozen=True)
class Wish:
    """What a server that is there already is to have on another host.

    :param host: the host that is asked for by name; "": any.
    :param forced: whatever speaks against that.
    """

    vcpus: int
    memory_mib: int
    disk_gib: int
    flavor: Mapping[str, Any]
    host: str = ""
    forced: bool = False


def claim(tx: Connection, cloud: Cloud, server: Server, refused: Mapping[str, str], wish: Wish | None = None) -> Place:
    """Choose a host for a server.  The caller writes it down, in this transaction.

    :param refused: the hosts that could not build it, or that it is to leave, each with the reason.
    :param wish: what it is to have there; None: what its row says, which is on no host.
    """
    if server.server_group_id:
        store.lock_group(tx, server.server_group_id)
    request = request_of(tx, server, refused, wish)
    with_others = any(key.startswith("resources:") for key in request.extra_specs)
    states = hosts.states(tx, cloud.clock.now(), with_others)
    if wish is None and (node := server.wanted_host.get("hypervisor_hostname")):
        states = [state for state in states if state.name == node]
    if wish is not None and wish.forced and (state := next((each for each in states if each.name == wish.host), None)):
        return Place(state.name, state.zone)
    choice = scheduler.select(states, request)
    rejected = dict(choice.rejected)
    left = list(choice.hosts)
    while left:
        state = _lock_best(tx, left)
        if tx.dialect.name == "sqlite":
            return Place(state.name, state.zone)
        now = hosts.states(tx, cloud.clock.now(), with_others, [state.name])
        again = scheduler.select(now, request)
        if again.hosts:
            return Place(state.name, state.zone)
        rejected |= again.rejected
        left.remove(state)
    told = {name: refused.get(name, reason) for name, reason in rejected.items()}
    return Place(why=scheduler.Choice((), told).explain())


def _lock_best(tx: Connection, ordered: Sequence[scheduler.HostState]) -> scheduler.HostState:
    """Lock the best host that no other transaction has locked; where all of the good ones are, wait for the best."""
    for state in ordered[:CHOICES]:
        if store.lock_host(tx, state.name, wait=False):
            return state
    store.lock_host(tx, ordered[0].name)
    return ordered[0]


def request_of(tx: Connection, server: Server, refused: Mapping[str, str], wish: Wish | None = None) -> scheduler.Request:
    """Return what a server needs, and where it may go."""
    needs, host = (server, server.wanted_host.get("host")) if wish is None else (wish, wish.host)
    bare = scheduler.Request(
        needs.vcpus, needs.memory_mib, needs.disk_gib, only=frozenset({host} if host else ()), avoid=frozenset(refused)
    )
    if wish is None and server.wanted_host.get("forced"):
        return bare
    more: dict[str, Any] = {
        "extra_specs": needs.flavor.get("extra_specs") or {},
        "image_properties": server.image.get("properties") or {},
        "zone": server.pinned_zone or "",
    }
    if "same_host" in server.hints:
        more["same_hosts"] = store.hosts_of(tx, _ids(server.hints["same_host"]))
    if "different_host" in server.hints:
        more["different_hosts"] = store.hosts_of(tx, _ids(server.hints["different_host"]))
    if server.server_group_id and (group := store.group_policy(tx, server.server_group_id)):
        more["policy"], rules = group
        more["max_server_per_host"] = int(rules.get("max_server_per_host", 1))
        more["group_hosts"] = store.group_hosts(tx, server.server_group_id, server.id)
    return replace(bare, **more)


def refusal_of_growth(tx: Connection, cloud: Cloud, server: Server, flavor: Mapping[str, Any], more: Mapping[str, Any]) -> str:
    """Return why a server cannot grow into another flavor on its host; "": it can.

    :param more: vcpus, memory_mib and disk_gib that it takes in addition.
    """
    store.lock_host(tx, server.host or "")
    properties = server.image.get("properties") or {}
    request = scheduler.Request(
        **more, only=frozenset({server.host or ""}), extra_specs=flavor.get("extra_specs") or {}, image_properties=properties
    )
    choice = scheduler.select(hosts.states(tx, cloud.clock.now(), names=[server.host or ""]), request)
    return "" if choice.hosts else choice.explain()


def _ids(hint: Any) -> list[str]:
    return [str(id) for id in hint] if isinstance(hint, list) else [str(hint)]
