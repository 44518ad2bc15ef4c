"""Auditors, expirer and updaters, each made to meet what it is there for."""

import json
import shutil
from pathlib import Path

from pileus.object_store.backend import ObjectDelete, ObjectPost
from pileus.object_store.indexes import ContainerPut, Listing
from pileus.object_store.storage.daemons.auditor import RECLAIM_SECONDS, IndexAuditor, ObjectAuditor
from pileus.object_store.storage.daemons.expirer import Expirer
from pileus.object_store.storage.daemons.reaper import AccountReaper
from pileus.object_store.storage.daemons.running import run_once
from pileus.object_store.storage.daemons.updaters import ContainerUpdater, ObjectUpdater
from pileus.object_store.storage.embedded import embedded_daemons

from .conftest import ACCOUNT, Store
from .test_disk import data_file, files


def auditor(disk: Store, **more: object) -> ObjectAuditor:
    return ObjectAuditor(disk.cluster.carrier.devices["d0"], disk.clock.now, **more)  # type: ignore[attr-defined, arg-type]


def test_a_flipped_bit_is_found_and_quarantined(disk: Store, tmp_path: Path) -> None:
    disk.put("good", b"good" * 1000)
    disk.put("bad", b"bad!" * 1000)
    path = next(path for path in tmp_path.glob("store/objects/*/*/*/*.data") if b"bad" in path.read_bytes())
    with path.open("r+b") as file:
        file.seek(2000)
        file.write(b"x")
    assert disk.run(auditor(disk, zero_byte_only=True).run_once())["quarantined"] == 0
    counts = disk.run(auditor(disk).run_once())
    assert (counts["seen"], counts["quarantined"]) == (2, 1)
    assert disk.get("bad") is None
    assert disk.get("good") == b"good" * 1000
    assert len(list((tmp_path / "store/quarantined/objects").iterdir())) == 1


def test_the_quick_audit_finds_wrong_sizes(disk: Store, tmp_path: Path) -> None:
    disk.put("a", b"abc")
    with data_file(tmp_path).open("wb"):
        pass
    assert disk.run(auditor(disk, zero_byte_only=True).run_once())["quarantined"] == 1


def test_old_tombstones_are_reclaimed(disk: Store, tmp_path: Path) -> None:
    disk.put("a", b"abc")
    disk.run(disk.objects.delete(*disk.name("a"), ObjectDelete(timestamp=disk.tick())))
    assert disk.run(auditor(disk).run_once())["reclaimed"] == 0
    disk.clock.advance(RECLAIM_SECONDS + 10)
    assert disk.run(auditor(disk).run_once())["reclaimed"] == 1
    assert files(tmp_path) == []
    assert not list(tmp_path.glob("store/objects/0/*/*"))


def test_a_damaged_index_is_quarantined(disk: Store, tmp_path: Path) -> None:
    disk.put("a", b"abc")
    disk.run(disk.containers.head(*disk.box()))
    device_files = disk.cluster.carrier.files("d0")  # type: ignore[attr-defined]
    device_files.close()
    (path,) = tmp_path.glob("store/containers/*/*/*/*.db")
    path.write_bytes(b"no database" * 1000)
    counts = disk.run(IndexAuditor(device_files, disk.clock.now).run_once())
    assert (counts["quarantined"], counts["sound"]) == (1, 1)
    assert disk.run(disk.containers.head(*disk.box())).status == 404


def test_a_deleted_container_leaves_the_disk_in_time(disk: Store, tmp_path: Path) -> None:
    disk.run(disk.containers.delete(*disk.box(), disk.tick(), disk.target(ACCOUNT)))
    index_auditor = IndexAuditor(disk.cluster.carrier.files("d0"), disk.clock.now)  # type: ignore[attr-defined]
    assert disk.run(index_auditor.run_once())["removed"] == 0
    disk.clock.advance(RECLAIM_SECONDS + 10)
    assert disk.run(index_auditor.run_once())["removed"] == 1
    assert list(tmp_path.glob("store/containers/*/*/*")) == []
    assert disk.run(disk.containers.put(*disk.box(), ContainerPut(timestamp=disk.tick()))).status == 201


def test_what_has_expired_is_deleted_and_unlisted(disk: Store, tmp_path: Path) -> None:
    soon, later = int(disk.clock.now()) + 100, int(disk.clock.now()) + 9000
    disk.put("a", b"x", delete_at=soon)
    disk.put("b", b"x", delete_at=soon)
    disk.put("c", b"x", delete_at=later)
    disk.run(disk.objects.post(*disk.name("b"), ObjectPost(timestamp=disk.tick())))  # thinks better of it
    expirer = Expirer(disk.cluster.carrier, "d0", disk.cluster.container_ring, disk.clock.now)  # type: ignore[arg-type]
    assert disk.run(expirer.run_once())["expired"] == 0
    disk.clock.advance(3700)
    assert disk.run(expirer.run_once()) == {"expired": 1, "kept": 1}
    assert [entry.name for entry in disk.run(disk.containers.listing(*disk.box(), Listing())).entries] == ["b", "c"]
    assert sum(name.endswith(".ts") for name in files(tmp_path)) == 1
    disk.clock.advance(7000)
    assert disk.run(expirer.run_once())["expired"] == 1
    assert disk.run(expirer.run_once())["expired"] == 0


def test_news_that_could_not_be_brought_is_brought_later(disk: Store, tmp_path: Path) -> None:
    kept = next(tmp_path.glob("store/containers"))
    away = kept.rename(tmp_path / "away")
    disk.cluster.carrier.files("d0").close()  # type: ignore[attr-defined]
    disk.put("a", b"x")
    device = disk.cluster.carrier.devices["d0"]  # type: ignore[attr-defined]
    updater = ObjectUpdater(device, disk.cluster.carrier, disk.cluster.container_ring, disk.clock.now)
    assert disk.run(updater.run_once()) == {"kept": 1}
    shutil.rmtree(kept, ignore_errors=True)
    away.rename(kept)
    assert disk.run(updater.run_once()) == {"sent": 1}
    assert [entry.name for entry in disk.run(disk.containers.listing(*disk.box(), Listing())).entries] == ["a"]


def test_accounts_are_told_once(disk: Store, tmp_path: Path) -> None:
    carrier = disk.cluster.carrier
    updater = ContainerUpdater(carrier.files("d0"), carrier, disk.cluster.account_ring, disk.clock.now)  # type: ignore[attr-defined]
    disk.put("a", b"xyz")
    carrier.containers(disk.node).changed.clear()  # type: ignore[attr-defined]
    assert disk.run(updater.run_once()) == {"told": 1}
    assert disk.run(updater.run_once()) == {"unchanged": 1}
    info = disk.run(disk.accounts.head(0, ACCOUNT)).info
    assert (info.object_count, info.bytes_used) == (1, 3)
    progress = disk.run(run_once(updater, disk.clock.now))
    assert json.loads((tmp_path / "store/recon/container-updater.json").read_text())["counts"] == dict(progress.counts)


def test_a_deleted_account_is_emptied_and_forgotten_in_time(disk: Store, tmp_path: Path) -> None:
    for number in range(5):
        disk.put(f"o{number}", b"x")
    assert disk.run(disk.accounts.delete(0, ACCOUNT, disk.tick())).status == 204
    files_of = disk.cluster.carrier.files("d0")  # type: ignore[attr-defined]
    disk.tick()
    reaper = AccountReaper(files_of, disk.cluster, disk.clock.now)
    assert disk.run(reaper.run_once()) == {"objects": 5, "containers": 1}
    assert disk.run(reaper.run_once()) == {}
    assert disk.get("o1") is None
    assert disk.run(disk.accounts.put(0, ACCOUNT, disk.tick(), {})).status == 403
    disk.clock.advance(RECLAIM_SECONDS + 10)
    assert disk.run(IndexAuditor(files_of, disk.clock.now).run_once())["removed"] == 2
    assert disk.run(disk.accounts.put(0, ACCOUNT, disk.tick(), {})).status == 201


def test_every_daemon_of_an_embedded_cluster_makes_its_pass(disk: Store) -> None:
    disk.put("a", b"xyz")
    for daemon, seconds in embedded_daemons(disk.cluster, disk.clock.now):
        assert seconds > 0
        assert disk.run(run_once(daemon, disk.clock.now)).name == daemon.name
    assert disk.get("a") == b"xyz"
