"""How far apart the replicas of partitions stand: counts by tier, and what is too close.  Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence

from pileus.object_store.places import Node
from pileus.object_store.storage.ring.plan import Tier, tiers_of
from pileus.object_store.storage.ring.table import NO_DEVICE

Graph = dict[Tier, list[int]]
"""By tier: how many partitions have 0, 1, 2, ... replicas in it."""


def spread_of(rows: Sequence[Sequence[int]], devices: Sequence[Node | None], parts: int) -> Graph:
    """Return how many partitions have how many replicas in each tier that holds any."""
    tiers = {node.id: tiers_of(node) for node in devices if node}
    graph: Graph = {}
    for part in range(parts):
        counts: Counter[Tier] = Counter()
        for row in rows:
            if part < len(row) and row[part] != NO_DEVICE:
                counts.update(tiers.get(row[part], ()))
        for tier, count in counts.items():
            found = graph.setdefault(tier, [parts] + [0] * len(rows))
            found[0] -= 1
            found[count] += 1
    return graph


def crowded(graph: Graph, limits: Mapping[Tier, int]) -> Counter[Tier]:
    """Return how many replicas stand in each tier beyond what a partition should have there; tiers without any are left out."""
    found: Counter[Tier] = Counter()
    for tier, counts in graph.items():
        if tier in limits:
            found[tier] = sum(parts * max(replicas - limits[tier], 0) for replicas, parts in enumerate(counts))
    return +found


def at_risk(rows: Sequence[Sequence[int]], devices: Sequence[Node | None], parts: int, limits: Mapping[Tier, int]) -> int:
    """Return how many replicas stand too close to another; each counts once, at the depth where it is worst."""
    tiers = {node.id: tiers_of(node) for node in devices if node}
    total = 0
    for part in range(parts):
        counts: Counter[Tier] = Counter()
        for row in rows:
            if part < len(row) and row[part] != NO_DEVICE:
                counts.update(tiers.get(row[part], ()))
        depths: Counter[int] = Counter()
        for tier, count in counts.items():
            depths[len(tier)] += max(count - limits.get(tier, count), 0)
        total += max(depths.values(), default=0)
    return total
