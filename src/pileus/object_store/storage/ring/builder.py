"""Makes a ring and changes it with as little movement as can be.

Rebalancing does three things, in this order: places partitions that have no device (new, or their device was removed); moves
replicas that stand too close together; moves replicas from devices that hold too much to those that hold too little.  The last
two leave a partition alone that moved less than min_part_hours ago, and move one replica of a partition at most.

The file NAME.builder is gzip of JSON: the fields of Saved, rows as base64 of 2-byte big-endian ids.
"""

from __future__ import annotations

import base64
import gzip
import os
import random
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from pileus.object_store.places import Node
from pileus.object_store.storage.layout import Salt
from pileus.object_store.storage.ring.mover import Mover, RingError
from pileus.object_store.storage.ring.plan import Tier, limits, required_overload, targets, tiers_of
from pileus.object_store.storage.ring.table import NO_DEVICE, Table, pack_row, unpack_row

SECONDS_PER_HOUR = 3600


class Saved(msgspec.Struct, kw_only=True):
    """A builder file."""

    part_power: int
    replicas: float
    min_part_hours: int
    salt: Salt
    overload: float = 0.0
    version: int = 0
    devices: list[Node | None] = []
    rows: list[str] = []
    moved_hours: str = ""
    base_seconds: int = 0
    removed: list[int] = []
    changed: bool = False


@dataclass(frozen=True)
class Rebalanced:
    """What a rebalance did; moved counts replicas, so it may be more than there are partitions."""

    moved: int
    balance: float
    dispersion: float
    removed: int


@dataclass
class Builder:
    """A ring in the making.  now: epoch seconds."""

    part_power: int
    replicas: float
    min_part_hours: int
    now: Callable[[], float]
    salt: Salt = field(default_factory=Salt)
    overload: float = 0.0
    version: int = 0
    devices: list[Node | None] = field(default_factory=list)
    rows: list[array[int]] = field(default_factory=list)
    moved_at: array[int] = field(default_factory=lambda: array("L"))
    removed: set[int] = field(default_factory=set)
    changed: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.part_power <= 32:
            raise RingError("part_power must be at most 32")
        if self.replicas < 1:
            raise RingError("replicas must be at least 1")
        if self.min_part_hours < 0:
            raise RingError("min_part_hours must be non-negative")
        if not self.moved_at:
            self.moved_at = array("L", [0]) * self.parts

    @property
    def parts(self) -> int:
        """How many partitions."""
        return 1 << self.part_power

    def live(self) -> list[Node]:
        """Return the devices that are to hold something."""
        return [node for node in self.devices if node and node.id not in self.removed and node.weight > 0]

    def known(self) -> list[Node]:
        """Return the devices, those marked for removal too."""
        return [node for node in self.devices if node]

    # Devices

    def add(self, node: Node) -> Node:
        """Add a device; its id is given here.

        :raises RingError: when the same device is there already.
        """
        for other in self.known():
            if (other.ip, other.port, other.device) == (node.ip, node.port, node.device) and other.id not in self.removed:
                raise RingError(f"device {other.id} is already {node.device} at {node.ip}:{node.port}")
        added = msgspec.structs.replace(node, id=len(self.devices))
        if added.id >= NO_DEVICE:
            raise RingError("too many devices")
        self.devices.append(added)
        self._change()
        return added

    def remove(self, device_id: int) -> None:
        """Mark a device for removal at the next rebalance."""
        self._node(device_id)
        self.removed.add(device_id)
        self._change()

    def change(self, device_id: int, **values: object) -> Node:
        """Change what is known of a device: weight, ip, port, meta, ..."""
        changed = msgspec.structs.replace(self._node(device_id), **values)
        self.devices[device_id] = changed
        self._change()
        return changed

    def _node(self, device_id: int) -> Node:
        node = self.devices[device_id] if 0 <= device_id < len(self.devices) else None
        if node is None:
            raise RingError(f"no device {device_id}")
        return node

    def set_replicas(self, replicas: float) -> None:
        """Change the number of copies; takes effect at the next rebalance."""
        if replicas < 1:
            raise RingError("replicas must be at least 1")
        self.replicas = replicas
        self._change()

    def _change(self) -> None:
        self.changed = True
        self.version += 1

    # Balance

    def rebalance(self, seed: int | None = None) -> Rebalanced:
        """Give every partition its devices.

        :raises RingError: when there are fewer devices than replicas.
        """
        live = self.live()
        if len(live) < self.replicas:
            raise RingError(f"replica count of {self.replicas} requires more than {len(live)} devices")
        self._resize()
        before = [array("H", row) for row in self.rows]
        gone = len(self.removed)
        plan = targets(live, self.replicas, self.overload)
        Mover(self.rows, live, plan, self.parts, random.Random(seed)).run(self._movable())
        for device_id in self.removed:
            self.devices[device_id] = None
        self.removed = set()
        moved, count = set(), 0
        for replica, row in enumerate(self.rows):
            old = before[replica] if replica < len(before) else array("H")
            changed = {part for part, device in enumerate(row) if part >= len(old) or old[part] != device}
            moved |= changed
            count += len(changed)
        for part in moved:
            self.moved_at[part] = int(self.now())
        self.changed = False
        self.version += 1
        return Rebalanced(count, self.balance(), self.dispersion(), gone)

    def _movable(self) -> set[int]:
        """Return the partitions that may be moved again."""
        horizon = self.now() - self.min_part_hours * SECONDS_PER_HOUR
        return {part for part, at in enumerate(self.moved_at) if at <= horizon}

    def _resize(self) -> None:
        """Give the rows the length that the replica count asks for; what is new has no device."""
        whole, rest = int(self.replicas), self.replicas - int(self.replicas)
        lengths = [self.parts] * whole + ([int(self.parts * rest)] if int(self.parts * rest) else [])
        rows = []
        for replica, length in enumerate(lengths):
            row = self.rows[replica][:length] if replica < len(self.rows) else array("H")
            rows.append(row + array("H", [NO_DEVICE]) * (length - len(row)))
        self.rows = rows

    def wanted(self) -> dict[int, float]:
        """Return how many partitions each device should hold."""
        live = self.live()
        if not live:
            return {}
        plan = targets(live, self.replicas, self.overload)
        return {node.id: plan[tiers_of(node)[3]] * self.parts for node in live}

    def held(self) -> Counter[int]:
        """Return how many partitions each device holds."""
        return Counter(device for row in self.rows for device in row if device != NO_DEVICE)

    def balance(self) -> float:
        """Return the worst deviation of a device from its share by weight, in per cent (999.99 for one without weight)."""
        live, held = self.live(), self.held()
        weight = sum(node.weight for node in live)
        total = sum(len(row) for row in self.rows)
        worst = 999.99 if any(held[node.id] for node in self.known() if node.weight <= 0) else 0.0
        for node in live:
            share = total * node.weight / weight
            worst = max(worst, abs(100.0 * held[node.id] / share - 100.0))
        return worst

    def crowded(self) -> Counter[Tier]:
        """Return how many replicas too many of one partition stand in each tier."""
        live = self.live()
        if not live:
            return Counter()
        most = limits(live, self.replicas)
        found: Counter[Tier] = Counter()
        for part in range(self.parts):
            counts: Counter[Tier] = Counter()
            for row in self.rows:
                node = self.devices[row[part]] if part < len(row) and row[part] != NO_DEVICE else None
                if node:
                    counts.update(tiers_of(node))
            found.update({tier: count - most[tier] for tier, count in counts.items() if count > most.get(tier, count)})
        return found

    def dispersion(self) -> float:
        """Return the per cent of replicas that stand closer to another than they would have to."""
        total = sum(len(row) for row in self.rows)
        crowded = self.crowded()
        worst = max((sum(count for tier, count in crowded.items() if len(tier) == depth) for depth in range(1, 5)), default=0)
        return 100.0 * worst / total if total else 0.0

    def required_overload(self) -> float:
        """Return the overload at which replicas are as far apart as can be."""
        return required_overload(self.live(), self.replicas)

    def validate(self) -> None:
        """:raises RingError: when a partition has no device, or one device twice, or one that is not there."""
        if sum(len(row) for row in self.rows) != sum(self._lengths()):
            raise RingError("the ring was not rebalanced since the replica count changed")
        for part in range(self.parts):
            ids = [row[part] for row in self.rows if part < len(row)]
            if any(number >= len(self.devices) or self.devices[number] is None for number in ids):
                raise RingError(f"partition {part} has a device that is not there")
            if len(set(ids)) < len(ids):
                raise RingError(f"partition {part} is on one device more than once")

    def _lengths(self) -> list[int]:
        rest = int(self.parts * (self.replicas - int(self.replicas)))
        return [self.parts] * int(self.replicas) + ([rest] if rest else [])

    def pretend_min_part_hours_passed(self) -> None:
        """Let every partition be moved at the next rebalance."""
        self.moved_at = array("L", [0]) * self.parts

    # Files

    def table(self) -> Table:
        """Return the finished ring."""
        return Table(self.part_power, self.salt, list(self.devices), [array("H", row) for row in self.rows], self.version)

    def save(self, path: str) -> None:
        """Write the builder file in one step."""
        saved = Saved(
            part_power=self.part_power,
            replicas=self.replicas,
            min_part_hours=self.min_part_hours,
            salt=self.salt,
            overload=self.overload,
            version=self.version,
            devices=self.devices,
            rows=[base64.b64encode(pack_row(row)).decode() for row in self.rows],
            moved_hours=base64.b64encode(array("I", [at // SECONDS_PER_HOUR for at in self.moved_at]).tobytes()).decode(),
            removed=sorted(self.removed),
            changed=self.changed,
        )
        fresh = f"{path}.tmp"
        with open(fresh, "wb") as raw:
            with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as file:
                file.write(msgspec.json.encode(saved))
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(fresh, path)


def load_builder(path: str, now: Callable[[], float]) -> Builder:
    """Read a builder file.

    :raises RingError: when it is none.
    """
    try:
        with gzip.open(path, "rb") as file:
            saved = msgspec.json.decode(file.read(), type=Saved)
    except (gzip.BadGzipFile, EOFError, msgspec.DecodeError) as error:
        raise RingError(f"{path} is not a builder file: {error}") from error
    hours = array("I")
    hours.frombytes(base64.b64decode(saved.moved_hours))
    return Builder(
        part_power=saved.part_power,
        replicas=saved.replicas,
        min_part_hours=saved.min_part_hours,
        now=now,
        salt=saved.salt,
        overload=saved.overload,
        version=saved.version,
        devices=saved.devices,
        rows=[unpack_row(base64.b64decode(row)) for row in saved.rows],
        moved_at=array("L", [hour * SECONDS_PER_HOUR for hour in hours]),
        removed=set(saved.removed),
        changed=saved.changed,
    )
