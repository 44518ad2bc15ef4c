"""What users do with volumes: written in one guest, read in another, grown, kept, given back, booted from, never lost."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.conftest import IMAGE, RealCloud, ssh, until
from tests.journeys.test_first_server import Booted, boot, remove

pytestmark = [pytest.mark.host, pytest.mark.xdist_group("real-cloud"), pytest.mark.timeout(300)]

FILL = "sudo dd if=/dev/urandom of=/mnt/content bs=1M count=8 2>/dev/null; sync; md5sum < /mnt/content"


@dataclass
class Two:
    """Two servers: one has an image for its disk, the other a volume."""

    plain: Booted
    of_volume: Booted
    root: Any


@pytest.fixture(scope="module")
def cloud(real: RealCloud) -> Any:
    return real.connect("demo")


@pytest.fixture(scope="module")
def volume(cloud: Any) -> Callable[..., Any]:
    """Makes a volume and waits for it."""

    def make(name: str, **fields: Any) -> Any:
        made = cloud.block_storage.create_volume(name=name, size=1, **fields)
        return cloud.block_storage.wait_for_status(made, "available", interval=0.2, wait=60)

    return make


@pytest.fixture(scope="module")
def two(cloud: Any, key: Path, volume: Callable[..., Any]) -> Iterator[Two]:
    root = volume("root", image_id=cloud.image.find_image(IMAGE).id)
    disk = {"boot_index": 0, "uuid": root.id, "source_type": "volume", "destination_type": "volume"}
    made = Two(boot(cloud, key, "plain"), boot(cloud, key, "of-volume", image_id="", block_device_mapping=[disk]), root)
    for each in (made.plain, made.of_volume):
        until(lambda at=each.address: ssh(at, key, "true") is not None)
    yield made
    remove(cloud, made.plain)
    remove(cloud, made.of_volume)
    for left in cloud.block_storage.volumes():
        cloud.block_storage.delete_volume(left)
        cloud.block_storage.wait_for_delete(left, interval=0.2, wait=60)


def run(booted: Booted, key: Path, command: str) -> str:
    said = ssh(booted.address, key, command)
    assert said is not None, command
    return said.strip()


def attach(cloud: Any, key: Path, booted: Booted, volume: Any) -> str:
    """Attach a volume; returns its device in the guest."""
    cloud.compute.create_volume_attachment(booted.server, volume_id=volume.id)
    cloud.block_storage.wait_for_status(volume, "in-use", interval=0.2, wait=60)
    look = f"grep -l {volume.id[:20]} /sys/block/*/serial"
    return until(lambda: ssh(booted.address, key, look), 30).split("/")[3]


def detach(cloud: Any, booted: Booted, volume: Any) -> None:
    cloud.compute.delete_volume_attachment(booted.server, volume.id)
    cloud.block_storage.wait_for_status(volume, "available", interval=0.2, wait=60)


def content(key: Path, booted: Booted, device: str) -> str:
    """The sum of what was written into the file system on a device."""
    said = run(booted, key, f"sudo mount /dev/{device} /mnt && md5sum < /mnt/content; sudo umount /mnt")
    return said.split()[0]


def test_what_one_guest_writes_the_other_reads(cloud, key, two, volume):
    carried = volume("carried")
    device = attach(cloud, key, two.plain, carried)
    run(two.plain, key, f"sudo mkfs.ext4 -q /dev/{device} && sudo mount /dev/{device} /mnt")
    written = run(two.plain, key, FILL).split()[0]
    run(two.plain, key, "sudo umount /mnt")
    detach(cloud, two.plain, carried)
    assert run(two.plain, key, f"ls /sys/block/{device} 2>/dev/null | wc -l") == "0"
    device = attach(cloud, key, two.of_volume, carried)
    assert content(key, two.of_volume, device) == written


def test_a_guest_sees_its_volume_grow(cloud, key, two):
    carried = cloud.block_storage.find_volume("carried")
    device = run(two.of_volume, key, f"grep -l {carried.id[:20]} /sys/block/*/serial").split("/")[3]
    before = content(key, two.of_volume, device)
    cloud.block_storage.extend_volume(carried, 2)
    until(lambda: run(two.of_volume, key, f"cat /sys/block/{device}/size") == str(2 << 21), 30)
    run(two.of_volume, key, f"sudo e2fsck -fy /dev/{device} > /dev/null 2>&1; sudo resize2fs /dev/{device}")
    assert content(key, two.of_volume, device) == before
    cloud.block_storage.wait_for_status(carried, "in-use", interval=0.2, wait=30)


def test_snapshots_and_backups_keep_the_moment(cloud, key, two):
    carried = cloud.block_storage.find_volume("carried")
    device = run(two.of_volume, key, f"grep -l {carried.id[:20]} /sys/block/*/serial").split("/")[3]
    before = content(key, two.of_volume, device)
    snapshot = cloud.block_storage.create_snapshot(volume_id=carried.id, name="moment", force=True)
    backup = cloud.block_storage.create_backup(volume_id=carried.id, name="kept", force=True)
    cloud.block_storage.wait_for_status(snapshot, "available", interval=0.2, wait=60)
    cloud.block_storage.wait_for_status(backup, "available", interval=0.2, wait=120)
    after = run(two.of_volume, key, f"sudo mount /dev/{device} /mnt; {FILL}; sudo umount /mnt").split()[0]
    assert after != before
    detach(cloud, two.of_volume, carried)

    cloned = cloud.block_storage.create_volume(name="of-snapshot", snapshot_id=snapshot.id, size=2)
    restored = cloud.block_storage.create_volume(name="of-backup", size=2)
    for each in (cloned, restored):
        cloud.block_storage.wait_for_status(each, "available", interval=0.2, wait=60)
    cloud.block_storage.restore_backup(backup, volume_id=restored.id)
    until(lambda: cloud.block_storage.get_backup(backup).status == "available", 120)
    cloud.block_storage.wait_for_status(restored, "available", interval=0.2, wait=60)
    for each, expected in ((cloned, before), (restored, before), (carried, after)):
        assert content(key, two.plain, attach(cloud, key, two.plain, each)) == expected, each.name
        detach(cloud, two.plain, each)
    cloud.block_storage.delete_backup(backup)
    cloud.block_storage.delete_snapshot(snapshot)
    cloud.block_storage.wait_for_delete(snapshot, interval=0.2, wait=60)


def test_nothing_is_lost_when_everything_is_killed(real, cloud, key, two):
    carried = cloud.block_storage.find_volume("carried")
    device = attach(cloud, key, two.of_volume, carried)
    before = content(key, two.of_volume, device)
    run(two.of_volume, key, "echo kept > ~/mark; sync")
    real.kill()
    for pid in [*real.guests(), *real.storage_daemons()]:
        os.kill(pid, signal.SIGKILL)
    real.up()
    for each in (two.plain, two.of_volume):  # what ran is brought up again
        until(lambda at=each.address: ssh(at, key, "true") is not None)
        cloud.compute.wait_for_server(each.server, interval=0.2, wait=60)
    assert run(two.of_volume, key, "cat ~/mark") == "kept"
    device = run(two.of_volume, key, f"grep -l {carried.id[:20]} /sys/block/*/serial").split("/")[3]
    assert content(key, two.of_volume, device) == before
    detach(cloud, two.of_volume, carried)
    assert {each.status for each in cloud.block_storage.volumes()} == {"available", "in-use"}
