"""Fragments find their places again: after losses, absences, damage, and uploads that broke off."""

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pileus.object_store.backend import ObjectName, StoragePolicy
from pileus.object_store.coding import Coding
from pileus.object_store.request import Refused
from pileus.object_store.storage.daemons.auditor import ObjectAuditor
from pileus.object_store.storage.daemons.reconstructor import RECLAIM_SECONDS, Reconstructor
from pileus.object_store.storage.daemons.replicators import Place
from pileus.object_store.storage.policies_file import load_policies
from pileus.object_store.storage.replication import LocalReplica

from .cluster import Away, Disks

POLICIES = (StoragePolicy(1, "coded", is_default=True, coding=Coding("liberasurecode_rs_vand", 3, 2, 10_000)),)


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Disks]:
    made = Disks(tmp_path, 7, POLICIES)
    assert made.make_box(policy=1).ok
    yield made
    made.close()


def reconstruct(disks: Disks, *only: str, commit_seconds: float = 0.0) -> Counter[str]:
    ring, counts = disks.cluster.object_rings[1], Counter[str]()

    def reach(node: Any) -> Any:
        return Away() if node.device in disks.carrier.down else LocalReplica(disks.carrier.local, node.device)

    for name in only or disks.names:
        if name not in disks.carrier.down:
            here = next(node for node in ring.devices if node.device == name)  # type: ignore[attr-defined]
            places = {1: Place(ring, here)}
            device = disks.devices[name]
            daemon = Reconstructor(device, places, reach, disks.carrier, disks.clock.now, commit_seconds=commit_seconds)
            counts += disks.run(daemon.run_once())
    return counts


def whole(disks: Disks, *keys: str) -> bool:
    """Tell whether every primary has its own fragment, durable, and nobody else has any."""
    expected = {(node.device, index) for key in keys for index, node in enumerate(disks.homes(key, 1)[0])}
    names = {(name, path.name) for name in disks.names for path in disks.files(name, "objects-1/**/*.data")}
    there = {(device, int(name.split("#")[1])) for device, name in names}
    return there == expected and all(name.endswith("#d.data") for _, name in names)


def body(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def test_an_emptied_disk_gets_its_fragments_back(disks: Disks) -> None:
    keys = [f"o{number}" for number in range(12)]
    for number, key in enumerate(keys):
        disks.put(key, body(number * 7_000), 1, headers={"X-Object-Meta-A": key})
    assert reconstruct(disks)["rebuilt"] == 0
    before = {path.relative_to(disks.path): path.read_bytes() for path in disks.files("d3")}
    assert before
    shutil.rmtree(disks.path / "d3" / "objects-1")
    counts = reconstruct(disks)
    assert counts["rebuilt"] == len(before)
    assert {path.relative_to(disks.path): path.read_bytes() for path in disks.files("d3")} == before
    assert whole(disks, *(key for key in keys))
    assert all(disks.get(key, 1) == body(number * 7_000) for number, key in enumerate(keys))
    assert reconstruct(disks)["suffixes"] == 0


def test_handoffs_bring_home_what_they_took(disks: Disks) -> None:
    homes, handoffs = disks.homes("o", 1)
    disks.carrier.down = {homes[1].device, homes[4].device}
    data = body(50_000)
    assert disks.put("o", data, 1).status == 201
    disks.post("o", 1, headers={"X-Object-Meta-B": "2"})
    assert reconstruct(disks)["reverted"] == 0
    disks.carrier.down = set()
    assert reconstruct(disks)["sent"] > 0
    assert any(disks.files(node.device) for node in handoffs)  # who has asked the primaries in vain still finds it
    assert reconstruct(disks)["reverted"] > 0
    assert whole(disks, "o")
    assert all(not disks.files(node.device) for node in handoffs)
    disks.carrier.down = {homes[0].device, homes[2].device}
    assert disks.get("o", 1) == data
    assert disks.head("o", 1).metadata.headers == {"X-Object-Meta-B": "2"}


def test_a_deletion_reaches_those_who_were_away(disks: Disks) -> None:
    disks.put("o", body(30_000), 1)
    homes, _ = disks.homes("o", 1)
    disks.carrier.down = {homes[0].device, homes[1].device}
    assert disks.delete("o", 1).status == 204
    disks.carrier.down = set()
    reconstruct(disks)
    reconstruct(disks)
    assert [path for name in disks.names for path in disks.files(name, "objects-1/**/*.data")] == []
    assert disks.get("o", 1) is None


def test_flipped_bits_are_quarantined_and_repaired(disks: Disks) -> None:
    data = body(60_000)
    disks.put("o", data, 1)
    homes, _ = disks.homes("o", 1)
    for node in homes[:2]:
        (path,) = disks.files(node.device, "objects-1/**/*.data")
        with path.open("r+b") as file:
            file.seek(12_000)
            file.write(b"!!")
        auditor = ObjectAuditor(disks.devices[node.device], disks.clock.now, bytes_per_second=1e12)
        assert disks.run(auditor.run_once())["quarantined"] == 1
    reconstruct(disks)
    assert whole(disks, "o")
    disks.carrier.down = {homes[2].device, homes[3].device}
    assert disks.get("o", 1) == data


def test_what_was_durable_somewhere_becomes_so_everywhere(disks: Disks) -> None:
    at = disks.tick()
    disks.carrier.unsettled = True
    assert disks.put("o", body(20_000), 1, timestamp=at).status == 503
    disks.carrier.unsettled = False
    assert reconstruct(disks)["settled"] == 0
    assert disks.get("o", 1) is None
    partition, (first, *_) = disks.cluster.object_rings[1].partition("A", "c", "o"), disks.homes("o", 1)[0]
    assert disks.run(disks.carrier.fragments(first, 1).settle(partition, ObjectName("A", "c", "o"), at, 0)).status == 201
    assert reconstruct(disks, commit_seconds=60)["settled"] > 0  # the one that is durable tells the others
    reconstruct(disks)
    assert whole(disks, "o")


def test_what_was_durable_nowhere_is_forgotten_in_time(disks: Disks) -> None:
    disks.carrier.unsettled = True
    disks.put("o", body(20_000), 1)
    disks.carrier.unsettled = False
    reconstruct(disks)
    assert len([path for name in disks.names for path in disks.files(name)]) == 5
    disks.clock.advance(RECLAIM_SECONDS + 10)
    assert reconstruct(disks)["reclaimed"] == 5
    assert [path for name in disks.names for path in disks.files(name)] == []


def test_too_few_fragments_are_left_as_they_are(disks: Disks) -> None:
    disks.put("o", body(20_000), 1)
    homes, _ = disks.homes("o", 1)
    for node in homes[:3]:
        shutil.rmtree(disks.path / node.device / "objects-1")
    assert reconstruct(disks)["failed"] > 0
    assert len([path for name in disks.names for path in disks.files(name)]) == 2
    with pytest.raises(Refused):
        disks.get("o", 1)


def test_policies_are_read_from_a_file(tmp_path: Path) -> None:
    def read(text: str) -> tuple[StoragePolicy, ...]:
        (tmp_path / "policies.conf").write_text(text)
        return load_policies(str(tmp_path), [0, 1])

    coded = "[storage-policy:1]\nname = cold\naliases = ice, archive\ndefault = yes\npolicy_type = erasure_coding\n"
    code = "ec_type = isa_l_rs_cauchy\nec_num_data_fragments = 4\nec_num_parity_fragments = 2\n"
    first, second = read(coded + code)
    assert (first.name, first.is_default, first.coding) == ("Policy-0", False, None)
    assert second == StoragePolicy(1, "cold", ("ice", "archive"), True, False, Coding("isa_l_rs_cauchy", 4, 2, 1_048_576))
    assert [policy.is_default for policy in read("")] == [True, False]
    for wrong in (
        coded,
        coded + code.replace("cauchy", "nothing"),
        coded + code.replace("4", "0"),
        coded.replace("erasure_coding", "other"),
        "[storage-policy:2]\nname = x\n",
        "[storage-policy:x]\nname = x\n",
        "[storage-policy:0]\nname = a\n[storage-policy:1]\nname = A\n",
        "[storage-policy:0]\ndefault = yes\n[storage-policy:1]\ndefault = yes\n",
        "[storage-policy:0]\ndefault = yes\ndeprecated = yes\n",
        "nonsense",
    ):
        with pytest.raises(ValueError, match=r"policies\.conf"):
            read(wrong)
