"""Makes a ring and changes it with as little movement as can be.

Rebalancing does three things, in this order: places partitions that have no device (new, or their device was removed); moves
replicas that stand too close together; moves replicas from devices that hold too much to those that hold too little.  The last
two leave a partition alone that moved less than min_part_hours ago, and move one replica of a partition at most.

The file NAME.builder is gzip of JSON: the fields of Saved, rows as base64 of 2-byte big-endian ids, times as base64 of 4-byte
epoch seconds in the machine's order.
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

from pileus.kernel import ids
from pileus.object_store.places import Node
from pileus.object_store.storage.layout import Salt
from pileus.object_store.storage.ring.mover import Mover, RingError
from pileus.object_store.storage.ring.plan import Tier, limits, required_overload, targets, tiers_of
from pileus.object_store.storage.ring.spread import Graph, at_risk, spread_of
from pileus.object_store.storage.ring.table import NO_DEVICE, Table, pack_row, unpack_row

SECONDS_PER_HOUR = 3600
BALANCE_MAX = 999.99


class Saved(msgspec.Struct, kw_only=True):
    """A builder file."""

    part_power: int
    replicas: float
    min_part_hours: int
    salt: Salt
    overload: float = 0.0
    version: int = 0
    id: str = ""
    devices: list[Node | None] = []
    rows: list[str] = []
    moved_at: str = ""
    moved_hours: str = ""  # what builder files had before moved_at
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
    id: str = ""

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
        """Mark a device for removal at the next rebalance; until then it weighs nothing."""
        if device_id not in self.removed:
            self.change(device_id, weight=0.0)
            self.removed.add(device_id)

    def change(self, device_id: int, **values: object) -> Node:
        """Change what is known of a device: weight, ip, port, meta, ...

        :raises RingError: when it is not there, or is given a weight after it was marked for removal.
        """
        if "weight" in values and device_id in self.removed:
            raise RingError(f"Can not set weight of dev_id {device_id} because it is marked for removal")
        changed = msgspec.structs.replace(self.device(device_id), **values)
        self.devices[device_id] = changed
        self._change()
        return changed

    def device(self, device_id: int) -> Node:
        """Return a device.

        :raises RingError: when there is none with that id.
        """
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

    def set_overload(self, overload: float) -> None:
        """Change by what part of its share a device may be overfilled; takes effect at the next rebalance."""
        self.overload = overload
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

    def balances(self) -> dict[int, float]:
        """Return how far each device is from its share by weight, in per cent (999.99 for one without weight that holds any)."""
        held, weight = self.held(), sum(node.weight for node in self.known())
        found = {}
        for node in self.known():
            if node.weight > 0:
                found[node.id] = 100.0 * held[node.id] / (self.parts * self.replicas * node.weight / weight) - 100.0
            else:
                found[node.id] = BALANCE_MAX if held[node.id] else 0.0
        return found

    def balance(self) -> float:
        """Return the worst deviation of a device from its share by weight, in per cent; 0 without devices."""
        return max((abs(one) for one in self.balances().values()), default=0.0)

    def spread(self) -> Graph:
        """Return how many partitions have how many replicas in each tier."""
        return spread_of(self.rows, self.devices, self.parts)

    def limits(self) -> dict[Tier, int]:
        """Return the most replicas of a partition that should stand in each tier."""
        live = self.live()
        return limits(live, self.replicas) if live else {}

    def dispersion(self) -> float:
        """Return the per cent of replicas that stand closer to another than they would have to."""
        return 100.0 * at_risk(self.rows, self.devices, self.parts, self.limits()) / (self.parts * self.replicas)

    def required_overload(self) -> float:
        """Return the overload at which replicas are as far apart as can be."""
        live = self.live()
        return required_overload(live, self.replicas) if live else 0.0

    def wait_seconds(self) -> int:
        """Return how long it is until every partition may be moved again."""
        return max(0, self.min_part_hours * SECONDS_PER_HOUR - int(self.now() - max(self.moved_at)))

    def validate(self) -> None:
        """:raises RingError: when a partition has no device, or one device twice, or one that is not there."""
        if not self.rows:
            raise RingError("no partition has a device; did you forget to rebalance?")
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
            id=self.id,
            moved_at=base64.b64encode(array("I", self.moved_at).tobytes()).decode(),
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
    times = array("I")
    times.frombytes(base64.b64decode(saved.moved_at or saved.moved_hours))
    unit = 1 if saved.moved_at else SECONDS_PER_HOUR
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
        moved_at=array("L", [time * unit for time in times]),
        removed=set(saved.removed),
        changed=saved.changed,
        id=saved.id,
    )


def builder_of(table: Table, min_part_hours: int, now: Callable[[], float]) -> Builder:
    """Return a builder for a ring whose builder file is lost; what a ring does not tell is as in a new one."""
    return Builder(
        table.part_power, table.replicas, min_part_hours, now, table.salt, version=table.version, id=ids.hex_id(),
        devices=list(table.devices), rows=[array("H", row) for row in table.rows],
    )  # fmt: skip
