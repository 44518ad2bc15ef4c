"""Objects that were put under another policy than their container's end where they belong."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pileus.object_store.backend import StoragePolicy
from pileus.object_store.coding import Coding
from pileus.object_store.storage.daemons.reconciler import ContainerReconciler
from pileus.object_store.storage.daemons.replicators import IndexReplicator, Place
from pileus.object_store.storage.replication import LocalReplica

from .cluster import Disks

POLICIES = (
    StoragePolicy(0, "gold", is_default=True),
    StoragePolicy(1, "coded", coding=Coding("liberasurecode_rs_vand", 2, 1, 10_000)),
)


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Disks]:
    made = Disks(tmp_path, 5, POLICIES)
    made.run(made.placement.put_account("A", made.tick(), {}))
    yield made
    made.close()


def parted(disks: Disks, old: int, new: int) -> Any:
    """Make a container anew with another policy, while one replica of it is away; return that one."""
    assert disks.make_box(policy=old).status == 201
    ring = disks.cluster.container_ring
    partition = ring.partition("A", "c")
    *others, away = ring.nodes(partition)
    disks.carrier.down = {away.device, *(node.device for node in ring.handoffs(partition))}
    assert disks.run(disks.placement.delete_container("A", "c", disks.tick())).status == 204
    assert disks.make_box(policy=new).status == 201
    disks.carrier.down = {node.device for node in others}
    assert disks.run(disks.carrier.containers(away).head(partition, "A", "c")).info.policy == old
    disks.carrier.down = set()
    return away


def replicate(disks: Disks) -> None:
    ring = disks.cluster.container_ring
    for here in ring.devices:  # type: ignore[attr-defined]
        place, files = Place(ring, here), disks.carrier.local.files(here.device)
        reach = lambda node: LocalReplica(disks.carrier.local, node.device)  # noqa: E731
        disks.run(IndexReplicator(files, {"containers": place, "accounts": place}, reach).run_once())


def reconcile(disks: Disks) -> Counter[str]:
    ring, counts = disks.cluster.container_ring, Counter[str]()
    for here in ring.devices:  # type: ignore[attr-defined]
        files = disks.carrier.local.files(here.device)
        daemon = ContainerReconciler(files, here, ring, disks.placement, disks.clock.now)
        counts += disks.run(daemon.run_once())
    return counts


@pytest.mark.parametrize(("old", "new"), [(0, 1), (1, 0)])
def test_objects_of_the_old_policy_are_moved(disks: Disks, old: int, new: int) -> None:
    parted(disks, old, new)
    body = random.Random(1).randbytes(35_000)
    assert disks.put("moved", body, old, headers={"X-Object-Meta-A": "1"}, content_type="t/x").status == 201
    disks.post("moved", old, headers={"X-Object-Meta-B": "2"}, delete_at=int(disks.clock.now()) + 9000)
    assert disks.put("right", b"right", new).status == 201
    assert disks.put("both", b"older", old).status == 201
    assert disks.put("both", b"newer", new).status == 201
    assert disks.put("gone", b"gone", new).status == 201
    assert disks.delete("gone", old).status == 404
    replicate(disks)
    assert disks.get("moved", new) is None
    counts = reconcile(disks)
    assert (counts["moved"] > 0, counts["failed"]) == (True, 0)
    assert disks.get("moved", new) == body
    metadata = disks.head("moved", new).metadata
    assert (metadata.headers, metadata.content_type) == ({"X-Object-Meta-B": "2"}, "t/x")
    assert metadata.delete_at is not None
    assert disks.get("moved", old) is None
    assert (disks.get("both", new), disks.get("right", new)) == (b"newer", b"right")
    assert disks.get("gone", new) is None
    assert disks.listed() == ["both", "moved", "right"]
    replicate(disks)
    reconcile(disks)
    assert reconcile(disks)["moved"] == 0
    info = disks.run(disks.placement.container("A", "c")).info
    assert (info.policy, info.object_count, info.bytes_used) == (new, 3, 35_010)


def test_what_cannot_be_moved_yet_is_moved_later(disks: Disks) -> None:
    parted(disks, 0, 1)
    disks.put("o", b"x" * 100, 0)
    replicate(disks)
    homes, _ = disks.homes("o", 0)
    disks.carrier.down = {node.device for node in homes}
    assert reconcile(disks)["moved"] == 0
    disks.carrier.down = set()
    reconcile(disks)
    assert disks.get("o", 1) == b"x" * 100
    assert disks.put("o", b"new", 1).status == 201
    replicate(disks)
    reconcile(disks)
    assert disks.get("o", 1) == b"new"
