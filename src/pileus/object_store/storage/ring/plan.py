"""How many replicas of a partition each region, zone, server and device should hold.  Pure.

Two wishes pull: by weight (a device holds as much as its weight says, but never more than one replica of a partition) and by
dispersion (replicas as far apart as can be).  `overload` says by what part of its share a device may be overfilled for the
sake of dispersion.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from fractions import Fraction

from pileus.object_store.places import Node

Tier = tuple[int | str, ...]
"""(region), (region, zone), (region, zone, ip) or (region, zone, ip, device id); () is the whole."""


def tiers_of(node: Node) -> tuple[Tier, Tier, Tier, Tier]:
    """Return the tiers of a device, the widest first."""
    place = (node.region, node.zone, node.ip, node.id)
    return place[:1], place[:2], place[:3], place


def children_of(nodes: Iterable[Node]) -> dict[Tier, list[Tier]]:
    """Return the tiers within each tier."""
    found: dict[Tier, dict[Tier, None]] = defaultdict(dict)
    for node in nodes:
        parent: Tier = ()
        for tier in tiers_of(node):
            found[parent][tier] = None
            parent = tier
    return {parent: list(tiers) for parent, tiers in found.items()}


def by_weight(nodes: list[Node], replicas: float) -> dict[int, float]:
    """Return the replicas each device should hold by its weight, none above one."""
    shares: dict[int, float] = {}
    left, open_nodes = min(replicas, len(nodes)), list(nodes)
    while open_nodes:
        weight = sum(node.weight for node in open_nodes)
        full = [node for node in open_nodes if left * node.weight / weight >= 1]
        if not full:
            shares.update({node.id: left * node.weight / weight for node in open_nodes})
            break
        for node in full:
            shares[node.id] = 1.0
            left -= 1
            open_nodes.remove(node)
    return shares


def by_dispersion(nodes: list[Node], replicas: float, weighted: Mapping[Tier, float]) -> dict[Tier, float]:
    """Return the replicas each tier should hold to be spread evenly; within a server by weight as far as it goes."""
    children = children_of(nodes)
    room: dict[Tier, int] = defaultdict(int)
    for node in nodes:
        for tier in ((), *tiers_of(node)):
            room[tier] += 1
    wanted: dict[Tier, float] = {(): min(replicas, len(nodes))}
    queue: list[Tier] = [()]
    while queue:
        parent = queue.pop()
        below = children.get(parent, [])
        wanted.update(_spread(wanted[parent], below, room, weighted))
        queue += below
    return wanted


def _spread(total: float, tiers: list[Tier], room: Mapping[Tier, int], weighted: Mapping[Tier, float]) -> dict[Tier, float]:
    """Share a number out: each tier gets the whole part of an even share, the rest goes by weight."""
    given: dict[Tier, float] = dict.fromkeys(tiers, 0.0)
    left = Fraction(total).limit_denominator(10**9)
    while left > 0:
        open_tiers = [tier for tier in tiers if given[tier] < room[tier]]
        if not open_tiers:
            break
        if left >= len(open_tiers):
            for tier in open_tiers:
                given[tier] += 1
            left -= len(open_tiers)
            continue
        weights = {tier: max(weighted.get(tier, 0.0), 1e-9) for tier in open_tiers}
        rest, floor = float(left), dict(given)
        while rest > 1e-9 and weights:
            scale, before = rest / sum(weights.values()), rest
            for tier in list(weights):
                gift = min(weights[tier] * scale, floor[tier] + 1 - given[tier])
                given[tier] += gift
                rest -= gift
                if given[tier] >= floor[tier] + 1 - 1e-12:
                    del weights[tier]
            if before - rest < 1e-12:
                break
        break
    return given


def targets(nodes: list[Node], replicas: float, overload: float) -> dict[Tier, float]:
    """Return the replicas that each tier should hold."""
    shares = by_weight(nodes, replicas)
    weighted: dict[Tier, float] = defaultdict(float)
    for node in nodes:
        for tier in ((), *tiers_of(node)):
            weighted[tier] += shares[node.id]
    if overload <= 0:
        return dict(weighted)
    wanted = by_dispersion(nodes, replicas, weighted)
    needed = max(wanted[tiers_of(node)[3]] / shares[node.id] - 1 for node in nodes)
    part = 1.0 if needed <= overload else overload / needed
    return {tier: weighted[tier] + (wanted[tier] - weighted[tier]) * part for tier in weighted}


def required_overload(nodes: list[Node], replicas: float) -> float:
    """Return the overload at which replicas are as far apart as can be."""
    shares = by_weight(nodes, replicas)
    weighted: dict[Tier, float] = defaultdict(float)
    for node in nodes:
        for tier in ((), *tiers_of(node)):
            weighted[tier] += shares[node.id]
    wanted = by_dispersion(nodes, replicas, weighted)
    return max([0.0, *(wanted[tiers_of(node)[3]] / shares[node.id] - 1 for node in nodes)])


def limits(live: list[Node], replicas: float) -> dict[Tier, int]:
    """Return the most replicas of a partition that a tier must hold when they are as far apart as can be."""
    plan = targets(live, replicas, overload=1e9)
    return {tier: -int(-(wanted - 1e-6) // 1) for tier, wanted in plan.items()}
