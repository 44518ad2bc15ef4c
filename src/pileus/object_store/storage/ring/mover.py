"""Moves replicas between devices, as few as can be."""

from __future__ import annotations

import random
from array import array
from collections import Counter

from pileus.object_store.places import Node
from pileus.object_store.storage.ring.plan import Tier, children_of, tiers_of


class RingError(Exception):
    """The ring cannot be made, or changed, like this."""


class Mover:
    """One rebalance: counts that follow every move."""

    def __init__(
        self, rows: list[array[int]], live: list[Node], plan: dict[Tier, float], parts: int, chance: random.Random
    ) -> None:
        self.rows, self.parts, self.chance = rows, parts, chance
        self.nodes = {node.id: node for node in live}
        self.tiers = {node.id: tiers_of(node) for node in live}
        self.children = children_of(live)
        self.limits = {tier: -int(-(wanted - 1e-6) // 1) for tier, wanted in plan.items()}
        self.hunger: Counter[Tier] = Counter()
        held = self._held()
        for device_id, share in self._shares(plan).items():
            for tier in ((), *self.tiers[device_id]):
                self.hunger[tier] += share - held[device_id]

    def _shares(self, plan: dict[Tier, float]) -> dict[int, int]:
        """Return how many partitions each device is to hold, in whole numbers that add up."""
        exact = {device_id: plan[tiers[3]] * self.parts for device_id, tiers in self.tiers.items()}
        shares = {device_id: int(share + 1e-6) for device_id, share in exact.items()}
        left = sum(len(row) for row in self.rows) - sum(shares.values())
        held = self._held()
        by_rest = sorted(exact, key=lambda one: (shares[one] >= held[one], shares[one] - exact[one], one))
        for device_id in by_rest[: max(left, 0)]:
            shares[device_id] += 1
        return shares

    def _held(self) -> Counter[int]:
        return Counter(device for row in self.rows for device in row)

    def run(self, movable: set[int]) -> None:
        """Place what has no device; spread and balance what may be moved."""
        rows = self.rows
        touched: set[int] = set()
        order = list(range(self.parts))
        self.chance.shuffle(order)
        for part in order:
            for row in rows:
                if part < len(row) and row[part] not in self.nodes:
                    self._place(row, part)
                    touched.add(part)
        free = [part for part in order if part not in touched and part in movable]
        done = {part for part in free if self._improve(part, crowded_only=True)}
        for part in free:
            if part not in done:
                self._improve(part, crowded_only=False)

    def _others(self, part: int, but: array[int]) -> list[int]:
        found = (row[part] for row in self.rows if row is not but and part < len(row))
        return [device_id for device_id in found if device_id in self.nodes]

    def _place(self, row: array[int], part: int) -> None:
        best = self._best(self._others(part, row))
        self._count(best, -1)
        row[part] = best

    def _count(self, device_id: int, change: int) -> None:
        for tier in ((), *self.tiers[device_id]):
            self.hunger[tier] += change

    def _best(self, others: list[int]) -> int:
        """Return the device for one more replica beside others: the least crowded tier, then the hungriest."""
        counts: Counter[Tier] = Counter(tier for other in others for tier in self.tiers[other])
        fed: Counter[Tier] = Counter()
        for other in others:
            fed.update(dict.fromkeys(self.tiers[other], self.hunger[self.tiers[other][3]]))

        def descend(parent: Tier) -> int | None:
            below = self.children.get(parent)
            if below is None:
                device_id = int(parent[3])
                return None if device_id in others else device_id

            def rank(tier: Tier) -> tuple[bool, bool, int, int]:
                hunger = self.hunger[tier] - fed[tier]
                return counts[tier] >= self.limits[tier], hunger <= 0, counts[tier], -hunger

            for tier in sorted(below, key=rank):
                found = descend(tier)
                if found is not None:
                    return found
            return None

        best = descend(())
        if best is None:
            raise RingError("there are fewer devices than replicas")
        return best

    def _crowding(self, device_id: int, others: list[int]) -> int:
        counts: Counter[Tier] = Counter(tier for other in others for tier in self.tiers[other])
        return sum(counts[tier] + 1 > self.limits[tier] for tier in self.tiers[device_id])

    def _takes(self, device_id: int | None, others: list[int], crowding: int) -> bool:
        """Tell whether a device wants one more replica, and can have it without more crowding."""
        if device_id is None or self.hunger[self.tiers[device_id][3]] <= 0:
            return False
        return self._crowding(device_id, others) <= crowding

    def _takers(self, others: list[int], crowding: int) -> list[int]:
        return [one for one in self.nodes if one not in others and self._takes(one, others, crowding)]

    def _improve(self, part: int, crowded_only: bool) -> bool:
        """Move one replica of a partition to a better place, if there is one; tell whether it did."""
        for row in self.rows:
            if part >= len(row):
                continue
            now_on = row[part]
            others = self._others(part, row)
            crowding = self._crowding(now_on, others)
            if crowded_only and not crowding:
                continue
            if not crowded_only and self.hunger[self.tiers[now_on][3]] >= 0:
                continue
            best: int | None = self._best(others)
            if not crowded_only and not self._takes(best, others, crowding):
                # the best tier has no hungry device, but one that is well fed as a whole may have
                best = max(self._takers(others, crowding), key=lambda one: (self.hunger[self.tiers[one][3]], -one), default=None)
            better = best is not None and (not crowded_only or self._crowding(best, others) < crowding)
            if best is not None and best != now_on and better:
                self._count(now_on, 1)
                self._count(best, -1)
                row[part] = best
                return True
        return False
