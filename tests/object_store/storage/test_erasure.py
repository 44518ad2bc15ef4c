"""Erasure-coded objects: kept by any quorum of fragments, read from any that are enough, never half seen."""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pileus.object_store.backend import ObjectName, StoragePolicy, Unreachable
from pileus.object_store.coding import Coding
from pileus.object_store.request import Refused
from pileus.object_store.timestamps import Timestamp

from .cluster import Disks

CODING = Coding("isa_l_rs_cauchy", 4, 2, 10_000)
POLICIES = (StoragePolicy(0, "gold", is_default=True), StoragePolicy(1, "coded", coding=CODING))
SIZES = (0, 1, 9_999, 10_000, 10_001, 70_000, 123_456)


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Disks]:
    made = Disks(tmp_path, 8, POLICIES)
    assert made.make_box(policy=1).ok
    yield made
    made.close()


def body(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def test_bodies_of_all_sizes_come_back(disks: Disks) -> None:
    for size in SIZES:
        data = body(size)
        done = disks.put(f"o{size}", data, 1, size_bytes=size, headers={"X-Object-Meta-A": "b"}, content_type="t/x")
        assert (done.status, done.etag) == (201, hashlib.md5(data).hexdigest())
        assert disks.get(f"o{size}", 1) == data
        metadata = disks.head(f"o{size}", 1).metadata
        assert (metadata.size_bytes, metadata.etag, metadata.content_type) == (size, done.etag, "t/x")
        assert metadata.headers == {"X-Object-Meta-A": "b"}
        homes, _ = disks.homes(f"o{size}", 1)
        assert all(disks.files(node.device, f"objects-1/**/*#{place}#d.data") for place, node in enumerate(homes))
    assert disks.listed() == sorted(f"o{size}" for size in SIZES)
    answer = disks.run(disks.placement.container("A", "c"))
    assert (answer.info.object_count, answer.info.bytes_used) == (len(SIZES), sum(SIZES))


def test_ranges(disks: Disks) -> None:
    data = body(123_456)
    disks.put("o", data, 1)
    for start, length in ((0, 1), (9_999, 2), (10_000, 10_000), (19_999, 30_002), (123_455, 1), (123_000, 9_999), (50_000, 0)):
        assert disks.get("o", 1, start, length) == data[start : start + length]


def test_any_two_nodes_may_be_away(disks: Disks) -> None:
    data = body(50_000)
    disks.put("o", data, 1)
    homes, _ = disks.homes("o", 1)
    for first in homes:
        for second in homes:
            disks.carrier.down = {first.device, second.device}
            assert disks.get("o", 1) == data
            assert disks.head("o", 1).metadata.size_bytes == 50_000
    disks.carrier.down = {node.device for node in homes[:3]}
    with pytest.raises(Refused) as refused:
        disks.get("o", 1)
    assert refused.value.status == 503


def test_handoffs_take_the_place_of_those_away(disks: Disks) -> None:
    homes, handoffs = disks.homes("o", 1)
    disks.carrier.down = {homes[0].device, homes[3].device}
    data = body(50_000)
    assert disks.put("o", data, 1).status == 201
    assert {path.name.split("#")[1] for node in handoffs for path in disks.files(node.device, "objects-1/**/*.data")} == {
        "0",
        "3",
    }
    assert disks.get("o", 1) == data
    disks.carrier.down = {homes[1].device, homes[2].device}
    assert disks.get("o", 1) == data


def test_a_write_without_a_quorum_does_not_stand(disks: Disks) -> None:
    disks.put("o", b"old", 1)
    homes, handoffs = disks.homes("o", 1)
    disks.carrier.down = {node.device for node in [*handoffs, *homes[:2]]}
    assert disks.put("o", b"new", 1).status == 503
    disks.carrier.down = {node.device for node in handoffs}
    assert disks.get("o", 1) == b"old"
    disks.carrier.down = {node.device for node in [*handoffs, homes[0]]}
    assert disks.put("o", b"newer", 1).status == 201
    disks.carrier.down = set()
    assert disks.get("o", 1) == b"newer"


def test_full_devices(disks: Disks) -> None:
    homes, handoffs = disks.homes("o", 1)
    for node in [*handoffs, *homes[:2]]:
        server = disks.carrier.local.objects(node, 1)
        server.shelf = replace(server.shelf, device=replace(server.shelf.device, reserve_fraction=1.1))
    assert disks.put("o", b"x", 1).status == 507


def test_what_is_not_durable_is_not_seen_and_hides_nothing(disks: Disks) -> None:
    disks.put("o", b"old", 1)
    partition = disks.cluster.object_rings[1].partition("A", "c", "o")
    name, at = ObjectName("A", "c", "o"), disks.tick()
    disks.carrier.unsettled = True
    assert disks.put("o", b"new", 1, timestamp=at).status == 503
    disks.carrier.unsettled = False
    assert disks.get("o", 1) == b"old"
    assert disks.put("o", b"late", 1, timestamp=Timestamp(at.ticks - 1)).status == 201
    assert disks.get("o", 1) == b"late"
    (first, *_), _ = disks.homes("o", 1)
    done = disks.run(disks.carrier.local.fragments(first, 1).settle(partition, name, at, 0))
    assert done.status == 201
    assert disks.get("o", 1) == b"new"  # one that is durable makes the others count
    assert disks.run(disks.carrier.local.fragments(first, 1).settle(partition, name, at, 0)).status == 201
    assert disks.run(disks.carrier.local.fragments(first, 1).settle(partition, name, at, 1)).status == 404


def test_metadata_and_deletion(disks: Disks) -> None:
    disks.put("o", body(20_000), 1, headers={"X-Object-Meta-A": "1"})
    homes, _ = disks.homes("o", 1)
    disks.carrier.down = {homes[0].device}
    assert disks.post("o", 1, headers={"X-Object-Meta-B": "2"}, content_type="t/y").status == 202
    disks.carrier.down = set()
    metadata = disks.head("o", 1).metadata
    assert (metadata.headers, metadata.content_type) == ({"X-Object-Meta-B": "2"}, "t/y")
    disks.carrier.down = {homes[0].device, homes[1].device}
    assert disks.delete("o", 1).status == 204
    disks.carrier.down = set()
    assert disks.get("o", 1) is None
    assert disks.head("o", 1).status == 404
    assert disks.delete("o", 1).status == 404
    assert disks.listed() == []


def test_refusals_leave_no_fragment(disks: Disks) -> None:
    assert disks.put("o", b"abc", 1, etag="0" * 32).status == 422
    assert disks.put("o", b"abc", 1, size_bytes=4).status == 499
    assert [path for name in disks.names for path in disks.files(name, "objects-1/**/*")] == []
    at = disks.tick()
    assert disks.put("o", b"abc", 1, timestamp=at).status == 201
    assert disks.put("o", b"abd", 1, timestamp=at).status == 409
    assert disks.put("o", b"abd", 1, if_none_match=("*",)).status == 412
    assert disks.get("o", 1) == b"abc"


def test_damaged_and_shortened_fragments_are_replaced_in_mid_body(disks: Disks) -> None:
    data = body(123_456)
    disks.put("o", data, 1)
    homes, _ = disks.homes("o", 1)
    (first,), (second,) = (disks.files(node.device, "objects-1/**/*.data") for node in homes[:2])
    with first.open("r+b") as file:
        file.seek(15_000)
        file.write(b"?")
    second.write_bytes(second.read_bytes()[:20_000])
    assert disks.get("o", 1) == data
    assert disks.get("o", 1, 60_000, 9) == data[60_000:60_009]
    (third,) = disks.files(homes[2].device, "objects-1/**/*.data")
    with third.open("r+b") as file:
        file.seek(30_000)
        file.write(b"?")
    with pytest.raises(Unreachable):
        disks.get("o", 1)
    with pytest.raises(Refused) as refused:  # who reads a damaged fragment whole sets it aside: one is left, and two are needed
        disks.get("o", 1, 0, 10_000)
    assert refused.value.status == 503
