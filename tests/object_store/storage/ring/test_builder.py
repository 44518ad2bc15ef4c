"""Rings: where replicas stand, how even they lie, and how little moves."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.kernel.clock import FakeClock
from pileus.object_store.places import Node
from pileus.object_store.storage.layout import Salt
from pileus.object_store.storage.ring.builder import Builder, load_builder
from pileus.object_store.storage.ring.mover import RingError
from pileus.object_store.storage.ring.table import load_table


def make(
    weights: list[float],
    zones: int = 3,
    replicas: float = 3,
    power: int = 7,
    overload: float = 0.0,
    clock: FakeClock | None = None,
) -> Builder:
    builder = Builder(power, replicas, 1, (clock or FakeClock()).now, overload=overload)
    for index, weight in enumerate(weights):
        builder.add(Node(id=0, zone=index % zones, ip=f"10.0.0.{index}", port=6200, device=f"d{index}", weight=weight))
    return builder


def held_by_part(builder: Builder) -> list[list[int]]:
    return [[row[part] for row in builder.rows if part < len(row)] for part in range(builder.parts)]


@settings(max_examples=40, deadline=None)
@given(
    weights=st.lists(st.floats(1, 100), min_size=3, max_size=12),
    zones=st.integers(1, 5),
    replicas=st.sampled_from([1, 2, 3, 2.5]),
    overload=st.sampled_from([0.0, 0.1, 10.0]),
)
def test_no_device_holds_two_replicas(weights: list[float], zones: int, replicas: float, overload: float) -> None:
    builder = make(weights, zones, replicas, overload=overload)
    builder.rebalance(seed=1)
    builder.validate()
    assert all(len(set(devices)) == len(devices) for devices in held_by_part(builder))
    assert sum(builder.held().values()) == int(builder.parts * replicas)


@settings(max_examples=30, deadline=None)
@given(zones=st.integers(3, 6), each=st.integers(1, 3), replicas=st.integers(1, 3))
def test_equal_devices_hold_equal_shares_in_different_zones(zones: int, each: int, replicas: int) -> None:
    builder = make([10.0] * zones * each, zones, replicas)
    done = builder.rebalance(seed=1)
    share = builder.parts * replicas / (zones * each)
    assert all(abs(count - share) <= 1 for count in builder.held().values())
    assert done.dispersion == 0
    for devices in held_by_part(builder):
        assert len({builder.devices[device].zone for device in devices}) == replicas  # type: ignore[union-attr]


@settings(max_examples=30, deadline=None)
@given(weights=st.lists(st.integers(5, 20), min_size=6, max_size=10), replicas=st.integers(1, 2))
def test_uneven_weights_are_followed(weights: list[int], replicas: int) -> None:
    builder = make([float(weight) for weight in weights], zones=len(weights), replicas=replicas, power=9)
    builder.rebalance(seed=1)
    wanted, held = builder.wanted(), builder.held()
    assert all(abs(held[device] - share) <= max(2, share * 0.05) for device, share in wanted.items())


@settings(max_examples=20, deadline=None)
@given(count=st.integers(4, 9), seed=st.integers(0, 100))
def test_a_new_device_takes_its_share_and_nothing_else_moves(count: int, seed: int) -> None:
    clock = FakeClock()
    builder = make([10.0] * count, zones=count, replicas=3, power=8, clock=clock)
    builder.rebalance(seed=seed)
    before = held_by_part(builder)
    clock.advance(7200)
    added = builder.add(Node(id=0, zone=count, ip="10.0.1.1", device="new", weight=10.0))
    builder.rebalance(seed=seed)
    after = held_by_part(builder)
    moves = [
        (old, new) for olds, news in zip(before, after, strict=True) for old, new in zip(olds, news, strict=True) if old != new
    ]
    assert all(new == added.id for _, new in moves)
    assert abs(len(moves) - builder.parts * 3 / (count + 1)) <= 1
    assert builder.rebalance(seed=seed).moved == 0


def test_a_removed_device_gives_only_its_own_partitions_away() -> None:
    clock = FakeClock()
    builder = make([10.0] * 6, zones=6, power=8, clock=clock)
    builder.rebalance(seed=1)
    before = held_by_part(builder)
    builder.remove(2)
    builder.rebalance(seed=1)  # at once: what has no home is not kept waiting
    after = held_by_part(builder)
    for olds, news in zip(before, after, strict=True):
        assert all(old in (new, 2) for old, new in zip(olds, news, strict=True))
    assert builder.devices[2] is None
    assert builder.held()[2] == 0


def test_nothing_moves_before_its_hours_have_passed() -> None:
    clock = FakeClock()
    builder = make([10.0] * 4, zones=4, clock=clock)
    builder.rebalance(seed=1)
    builder.add(Node(id=0, zone=9, ip="10.0.1.1", device="new", weight=10.0))
    assert builder.rebalance(seed=1).moved == 0
    builder.pretend_min_part_hours_passed()
    assert builder.rebalance(seed=1).moved > 0


def test_at_most_one_replica_of_a_partition_moves() -> None:
    clock = FakeClock()
    builder = make([10.0] * 3, zones=3, clock=clock)
    builder.rebalance(seed=1)
    before = held_by_part(builder)
    clock.advance(7200)
    for index in range(6):
        builder.add(Node(id=0, zone=3 + index, ip=f"10.0.1.{index}", device="new", weight=100.0))
    builder.rebalance(seed=1)
    for olds, news in zip(before, held_by_part(builder), strict=True):
        assert sum(old != new for old, new in zip(olds, news, strict=True)) <= 1


def test_overload_buys_dispersion() -> None:
    builder = make([10.0, 10.0, 5.0], zones=3, replicas=3)
    builder.rebalance(seed=1)  # three devices, three replicas: no choice
    assert builder.held()[2] == builder.parts
    uneven = [10.0] * 4 + [4.0]
    for overload, spread in ((0.0, False), (5.0, True)):
        builder = Builder(7, 2, 0, FakeClock().now, overload=overload)
        for index, weight in enumerate(uneven):
            builder.add(Node(id=0, zone=0 if index < 4 else 1, ip=f"10.0.0.{index}", device="d", weight=weight))
        builder.rebalance(seed=1)
        assert (builder.held()[4] > builder.parts * 0.45) == spread


def test_weight_zero_drains_a_device() -> None:
    clock = FakeClock()
    builder = make([10.0] * 5, zones=5, clock=clock)
    builder.rebalance(seed=1)
    clock.advance(7200)
    builder.change(1, weight=0.0)
    builder.rebalance(seed=1)
    assert builder.held()[1] == 0


def test_too_few_devices() -> None:
    with pytest.raises(RingError):
        make([1.0, 1.0]).rebalance()


def test_replicas_can_be_changed() -> None:
    builder = make([10.0] * 5, zones=5, replicas=2)
    builder.rebalance(seed=1)
    builder.set_replicas(3)
    builder.rebalance(seed=1)
    builder.validate()
    builder.set_replicas(1.5)
    builder.rebalance(seed=1)
    assert Counter(len(devices) for devices in held_by_part(builder)) == {1: builder.parts // 2, 2: builder.parts // 2}


def test_files_keep_everything(tmp_path: Path) -> None:
    builder = make([10.0] * 5, zones=5, replicas=2.5)
    builder.salt = Salt("a", "b")
    builder.rebalance(seed=1)
    builder.remove(4)
    builder.save(str(tmp_path / "object.builder"))
    again = load_builder(str(tmp_path / "object.builder"), builder.now)
    assert (again.rows, again.devices, again.removed, again.salt) == (builder.rows, builder.devices, {4}, builder.salt)
    assert (again.id, again.moved_at, again.version) == (builder.id, builder.moved_at, builder.version)
    builder.table().save(str(tmp_path / "object.ring.gz"))
    ring = load_table(str(tmp_path / "object.ring.gz"))
    part = ring.partition("AUTH_a", "c", "o")
    assert ring.replicas == 2.5
    assert [node.id for node in ring.nodes(part)] == held_by_part(builder)[part]
    others = list(ring.handoffs(part))
    assert {node.id for node in [*ring.nodes(part), *others]} >= {0, 1, 2, 3}
    assert 4 not in {node.id for node in others}, "what is to be removed is nobody's handoff"
    with pytest.raises(RingError):
        load_builder(str(tmp_path / "object.ring.gz"), builder.now)


def test_a_device_that_becomes_lighter_is_relieved_within_its_zone() -> None:
    clock = FakeClock()
    builder = make([100.0] * 20, zones=5, clock=clock, power=10)
    builder.rebalance(seed=1)
    clock.advance(7200)
    builder.change(7, weight=50.0)
    done = builder.rebalance(seed=1)
    assert done.balance < 2
    assert done.dispersion == 0
