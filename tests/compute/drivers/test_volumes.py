"""Volumes of a Linux guest under QEMU: what is plugged is seen, what is written is kept, and who was killed can come again."""

import os
import signal
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pileus.compute.driver import MIB, DiskSpec, DriverError
from pileus.compute.drivers.qemu import QemuHypervisor, QemuOptions
from pileus.compute.drivers.qemu.place import Place
from pileus.volume.driver import Connector, VolumeSpec
from pileus.volume.drivers.iscsi import IscsiBackend
from tests.compute.drivers.machine import Machine, Storage, file_disk, linux_spec
from tests.compute.drivers.test_contract import until

pytestmark = [pytest.mark.host, pytest.mark.xdist_group("compute volumes")]
PREFIX = "pileus-test"
SEEN_SECONDS = 1.5
KEY = "9f" * 32
SUM = "md5sum < /dev/vdb | cut -c 1-32"
BUSY = "dd if=/dev/urandom of=/dev/vdb bs=1M count={} conv=fsync 2>/dev/null"

LONG = "for n in 1 2 3; do dd if=/dev/urandom of=/dev/vdb bs=64k count=256 conv=fsync {} 2>/dev/null || exit 1; done"


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> QemuOptions:
    return QemuOptions(tmp_path_factory.mktemp("state"), virt_type="qemu", cgroup_prefix=PREFIX, shutdown_seconds=0.5)


@pytest.fixture(scope="module")
def hypervisor(options: QemuOptions) -> Iterator[QemuHypervisor]:
    qemu = QemuHypervisor(options)
    yield qemu
    for guest_id in qemu.observe_all():
        qemu.destroy(guest_id)
    qemu.close()


@pytest.fixture(scope="module")
def booted(hypervisor: QemuHypervisor, image: Path) -> Machine:
    return Machine(hypervisor, linux_spec(image)).start()


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    storage = Storage(tmp_path)
    yield storage
    storage.stop()


@pytest.fixture
def guest(booted: Machine, storage: Storage) -> Iterator[Machine]:
    """One guest for all tests, which leave it without volumes before their storage ends."""
    yield booted
    booted.have()
    until(lambda: booted.disks() == ["vda"])


def place_of(options: QemuOptions, guest: Machine) -> Place:
    return Place(options.directory / "guests" / guest.spec.id)


def ask(guest: Machine, command: str, **arguments: Any) -> Any:
    live = guest.hypervisor._watch.get(guest.spec.id)
    assert live is not None
    return live.execute(command, arguments)


def leftovers(guest: Machine) -> set[str]:
    """Nodes and objects of volumes."""
    nodes = {node["node-name"] for node in ask(guest, "query-named-block-nodes", flat=True)}
    objects = {entry["name"] for entry in ask(guest, "qom-list", path="/objects")}
    return {name for name in nodes if name[1] == "-" and name != "f-root"} | (objects - {"entropy", "pc.ram", "type"})


def test_a_volume_is_seen_soon_and_is_gone_soon(guest: Machine, storage: Storage) -> None:
    volume_id = storage.make(64)
    guest.shell.begin("until cat /sys/block/vdb/serial 2>/dev/null | grep -q .; do sleep 0.02; done; cat /sys/block/vdb/serial")
    began = time.monotonic()
    guest.have(storage.disk(volume_id))
    assert guest.shell.end() == volume_id[:20]
    assert time.monotonic() - began < SEEN_SECONDS
    assert guest.volumes() == (volume_id,)
    began = time.monotonic()
    guest.have()
    assert guest.volumes() == ()
    guest.shell.run("while [ -e /sys/block/vdb ]; do sleep 0.02; done")
    assert time.monotonic() - began < SEEN_SECONDS
    assert leftovers(guest) == set()


def test_another_guest_reads_the_same_bytes(guest: Machine, storage: Storage, image: Path) -> None:
    disk = storage.disk(storage.make(16))
    guest.have(disk)
    guest.await_disk()
    guest.shell.run(BUSY.format(16))
    before = guest.shell.run(SUM)
    guest.have()
    other = Machine(guest.hypervisor, linux_spec(image)).start(disk)
    try:
        assert other.volumes() == (disk.id,)
        assert other.shell.run(SUM) == before
        other.have()
        assert other.volumes() == ()
    finally:
        other.shell.close()
        guest.hypervisor.destroy(other.spec.id)


@pytest.mark.parametrize("bus", ["virtio", "scsi"])
def test_the_guest_sees_a_volume_grow(guest: Machine, storage: Storage, bus: Any) -> None:
    name = {"virtio": "vdb", "scsi": "sda"}[bus]
    volume_id = storage.make(1024)
    guest.have(storage.disk(volume_id, size_gib=1, bus=bus))
    guest.await_disk(name)
    for size_gib in (2, 3, 4):
        storage.grow(volume_id, size_gib * 1024)
        guest.have(storage.disk(volume_id, size_gib=size_gib, bus=bus))
        guest.have(storage.disk(volume_id, size_gib=size_gib, bus=bus))
        guest.shell.run(f"until [ $(cat /sys/block/{name}/size) = {size_gib * 2097152} ]; do sleep 0.02; done")
        guest.shell.run(
            f"echo {size_gib}xyz | dd of=/dev/{name} bs=512 seek={size_gib * 2097152 - 1} conv=sync,fsync 2>/dev/null"
        )
        with storage.volumes[volume_id].open("rb") as file:
            file.seek(-512, os.SEEK_END)
            assert file.read(4) == f"{size_gib}xyz".encode()


def test_a_size_that_the_back_end_does_not_serve_is_an_error(guest: Machine, storage: Storage) -> None:
    volume_id = storage.make(1024)
    guest.have(storage.disk(volume_id, size_gib=1))
    with pytest.raises(DriverError, match="are expected"):
        guest.have(storage.disk(volume_id, size_gib=2))
    assert guest.volumes() == (volume_id,)
    guest.await_disk()
    guest.shell.run("dd if=/dev/vdb of=/dev/null bs=1M count=1 2>/dev/null")


def test_limits_hold_and_can_be_lifted(guest: Machine, storage: Storage) -> None:
    volume_id = storage.make(64)
    write = BUSY.format(6).replace("/dev/urandom", "/dev/shm/random")
    guest.shell.run("dd if=/dev/urandom of=/dev/shm/random bs=1M count=6 2>/dev/null")

    def took() -> float:
        began = time.monotonic()
        guest.shell.run(write)
        return time.monotonic() - began

    guest.have(storage.disk(volume_id, limits={"write_bytes_sec": 2 * MIB}))
    guest.await_disk()
    assert took() > 2.0
    guest.have(storage.disk(volume_id))
    assert took() < 2.0
    guest.have(storage.disk(volume_id, limits={"total_iops_sec": 20, "total_iops_sec_max": 40, "total_iops_sec_max_length": 1}))
    began = time.monotonic()
    guest.shell.run("dd if=/dev/shm/random of=/dev/vdb bs=4k count=100 oflag=direct 2>/dev/null")
    assert time.monotonic() - began > 2.0
    with pytest.raises(DriverError, match="no limit bytes"):
        guest.have(storage.disk(volume_id, limits={"bytes": 1}))


def luks_file(path: Path, size_mib: int) -> Path:
    key = path.with_name("key")
    key.write_text(KEY)
    options = ["--object", f"secret,id=k,file={key}", "-o", "key-secret=k,iter-time=200"]
    command = ["qemu-img", "create", "-q", "-f", "luks", *options, str(path), f"{size_mib}M"]
    for _ in range(5):  # it measures the CPU, and gives up when that is too busy to be measured
        said = subprocess.run(command, check=False, capture_output=True, text=True)
        if said.returncode == 0:
            return path
    raise AssertionError(said.stderr)


def test_what_is_encrypted_is_opened_by_its_key(
    guest: Machine, storage: Storage, options: QemuOptions, tmp_path: Path, image: Path
) -> None:
    file = luks_file(tmp_path / "luks", 16)
    disk = storage.disk(storage.make(0, file))
    with pytest.raises(DriverError, match="keyslot"):
        guest.have(replace(disk, luks_key="ab" * 32))
    assert leftovers(guest) == set()
    disk = replace(disk, luks_key=KEY)
    guest.have(disk)
    guest.await_disk()
    assert guest.shell.run("cat /sys/block/vdb/size") == str(16 * 2048)
    guest.shell.run("yes plaintext | dd of=/dev/vdb bs=1M count=4 iflag=fullblock conv=fsync 2>/dev/null")
    before = guest.shell.run(SUM)
    assert b"plaintext" not in file.read_bytes()
    assert stat.S_IMODE((place_of(options, guest).path / "record.json").stat().st_mode) == 0o600
    guest.have()
    other = Machine(guest.hypervisor, linux_spec(image)).start(disk)
    try:
        assert other.shell.run(SUM) == before
        pid = int(place_of(options, other).pid.read_text())
        assert KEY not in Path(f"/proc/{pid}/cmdline").read_text()
        assert not place_of(options, other).secrets.exists()
    finally:
        other.shell.close()
        guest.hypervisor.destroy(other.spec.id)


def test_an_encrypted_volume_grows(guest: Machine, storage: Storage, tmp_path: Path) -> None:
    file = luks_file(tmp_path / "luks", 1024)
    header = file.stat().st_size
    os.truncate(file, 1024 * MIB)
    header -= 1024 * MIB
    volume_id = storage.make(0, file)
    guest.have(storage.disk(volume_id, size_gib=1, luks_key=KEY))
    storage.grow(volume_id, 2048)
    guest.have(storage.disk(volume_id, size_gib=2, luks_key=KEY))
    guest.await_disk()
    guest.shell.run(f"until [ $(cat /sys/block/vdb/size) = {(2048 * MIB - header) // 512} ]; do sleep 0.02; done")


KILLED = """
import os, sys
from pathlib import Path
import msgspec
from pileus.compute.driver import DiskSpec, GuestSpec
from pileus.compute.drivers.qemu import QemuHypervisor, QemuOptions
from pileus.compute.drivers.qemu.watch import Live
execute = Live.execute
def killed(live, command, *more, **rest):
    if command == sys.argv[1]:
        os.kill(os.getpid(), 9)
    return execute(live, command, *more, **rest)
Live.execute = killed
qemu = QemuHypervisor(QemuOptions(Path(sys.argv[2]), virt_type="qemu", cgroup_prefix="pileus-test"))
spec = msgspec.json.decode(sys.argv[3], type=GuestSpec)
if len(sys.argv) > 4:
    qemu.swap_disk(spec.id, sys.argv[4], spec.disks[-1])
else:
    qemu.ensure(spec)
"""


def killed_at(command: str, guest: Machine, options: QemuOptions, *volumes: DiskSpec, swapped: str = "") -> None:
    """Have another process do it, and die right before it gives QEMU a command; then go on with a new driver."""
    guest.hypervisor.close()
    spec = msgspec.json.encode(guest.having(*volumes, config_drive={})).decode()
    arguments = [command, str(options.directory), spec, *([swapped] if swapped else [])]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False, timeout=30)
    guest.hypervisor = QemuHypervisor(options)
    assert done.returncode == -signal.SIGKILL


class TestKilled:
    """The driver is killed with a volume half plugged or half unplugged; the next one does what is missing."""

    @pytest.fixture
    def own(self, storage: Storage, image: Path, tmp_path: Path) -> Iterator[tuple[Machine, QemuOptions]]:
        options = QemuOptions(tmp_path / "state", virt_type="qemu", cgroup_prefix=PREFIX)
        first = QemuHypervisor(options)
        guest = Machine(first, linux_spec(image)).start()
        guest.shell.close()
        yield guest, options
        guest.hypervisor.destroy(guest.spec.id)
        guest.hypervisor.close()

    def test_at_every_point(self, own: tuple[Machine, QemuOptions], storage: Storage, tmp_path: Path) -> None:
        guest, options = own
        disk = storage.disk(storage.make(0, luks_file(tmp_path / "luks", 16)), luks_key=KEY)
        for command in ("object-add", "blockdev-add", "device_add"):
            killed_at(command, guest, options, disk)
            assert guest.volumes() == ()
            guest.have()
            assert leftovers(guest) == set()
            killed_at(command, guest, options, disk)
            guest.have(disk)
            assert guest.volumes() == (disk.id,)
            for undo in ("device_del", "blockdev-del", "object-del"):
                killed_at(undo, guest, options)
                guest.have(disk)
                assert guest.volumes() == (disk.id,)
            guest.have()
            assert leftovers(guest) == set()

    def test_while_it_swaps(self, own: tuple[Machine, QemuOptions], storage: Storage) -> None:
        guest, options = own
        guest.open_shell()
        one, two = storage.disk(storage.make(16)), storage.disk(storage.make(24))
        for command in ("blockdev-mirror", "job-complete", "job-dismiss", "blockdev-reopen"):
            guest.have(one)
            guest.await_disk()
            guest.shell.run(BUSY.format(16))
            content = storage.volumes[one.id].read_bytes()
            guest.shell.close()
            killed_at(command, guest, options, two, swapped=one.id)
            guest.hypervisor.swap_disk(guest.spec.id, one.id, two)
            assert guest.volumes() == (two.id,)
            assert storage.volumes[two.id].read_bytes()[: 16 * MIB] == content
            guest.have(two)
            guest.open_shell()
            guest.shell.run("until [ $(cat /sys/block/vdb/size) = 49152 ]; do sleep 0.02; done")
            guest.have()
            assert leftovers(guest) == set()

    def test_while_it_swaps_and_nobody_wants_it_any_more(self, own: tuple[Machine, QemuOptions], storage: Storage) -> None:
        guest, options = own
        old, new = storage.disk(storage.make(16)), storage.disk(storage.make(16))
        for command in ("blockdev-mirror", "job-complete"):
            guest.have(old)
            killed_at(command, guest, options, new, swapped=old.id)
            assert guest.volumes() == (old.id,)
            guest.have(old)
            assert guest.volumes() == (old.id,)
            guest.have()
            assert leftovers(guest) == set()


def test_a_storage_daemon_that_is_started_anew_only_stalls_the_guest(guest: Machine, storage: Storage) -> None:
    disk = storage.disk(storage.make(64))
    guest.have(disk)
    guest.await_disk()
    guest.shell.begin(LONG.format(""))
    for _ in range(2):
        time.sleep(0.3)
        storage.stop()
        time.sleep(0.5)
        storage.start()
    guest.shell.end()
    guest.shell.run("echo 3 > /proc/sys/vm/drop_caches")
    assert len(guest.shell.run(SUM)) == 32
    assert "I/O error" not in guest.shell.run("dmesg | tail -5")


def test_a_volume_that_is_not_served_is_an_error_and_leaves_nothing(guest: Machine, storage: Storage) -> None:
    served, missing = storage.disk(storage.make(16)), storage.disk(str(uuid.uuid4()))
    with pytest.raises(DriverError, match="export not available"):
        guest.have(served, missing)
    guest.have(served)
    assert guest.volumes() == (served.id,)
    nowhere = replace(missing, connection={"driver_volume_type": "nbd", "data": {"socket": "/nowhere/nbd", "export": "x"}})
    with pytest.raises(DriverError, match="not served at /nowhere/nbd: No such file"):
        guest.have(served, nowhere)
    with pytest.raises(DriverError, match="'fake'"):
        guest.have(served, replace(missing, connection={"driver_volume_type": "fake", "data": {}}))
    with pytest.raises(DriverError, match="lacks 'target_portal'"):
        guest.have(served, replace(missing, connection={"driver_volume_type": "iscsi", "data": {}}))
    assert guest.volumes() == (served.id,)


def test_swapping_moves_the_guest_to_the_other_volume(guest: Machine, storage: Storage) -> None:
    old, new = storage.disk(storage.make(32)), storage.disk(storage.make(48))
    guest.have(old)
    guest.await_disk()
    guest.shell.run(BUSY.format(32))
    before = guest.shell.run(SUM)
    guest.hypervisor.swap_disk(guest.spec.id, old.id, new)
    guest.hypervisor.swap_disk(guest.spec.id, old.id, new)
    assert guest.volumes() == (new.id,)
    guest.shell.run("until [ $(cat /sys/block/vdb/size) = 98304 ]; do sleep 0.02; done; echo 3 > /proc/sys/vm/drop_caches")
    assert guest.shell.run("head -c 33554432 /dev/vdb | md5sum | cut -c 1-32") == before
    untouched = storage.volumes[old.id].read_bytes()
    guest.shell.run("echo moved | dd of=/dev/vdb conv=fsync 2>/dev/null")
    assert storage.volumes[old.id].read_bytes() == untouched
    assert storage.volumes[new.id].read_bytes()[:5] == b"moved"
    guest.have(new)
    guest.have(new, old)  # whose device would have the name of the one that was swapped
    assert sorted(guest.volumes()) == sorted((new.id, old.id))
    guest.have(old)
    assert guest.volumes() == (old.id,)
    guest.have()
    assert leftovers(guest) == set()


def test_a_swap_that_cannot_be_leaves_the_old_volume(guest: Machine, storage: Storage) -> None:
    old, small = storage.disk(storage.make(32)), storage.disk(storage.make(16))
    guest.have(old)
    with pytest.raises(DriverError, match="is smaller than"):
        guest.hypervisor.swap_disk(guest.spec.id, old.id, small)
    with pytest.raises(DriverError, match="has no volume nobody"):
        guest.hypervisor.swap_disk(guest.spec.id, "nobody", small)
    assert guest.volumes() == (old.id,)
    guest.have(old)
    guest.have()
    assert leftovers(guest) == set()


def test_a_copy_that_was_under_way_is_gone_on_with(guest: Machine, storage: Storage) -> None:
    old, new = storage.disk(storage.make(64), limits={"total_bytes_sec": 16 * MIB}), storage.disk(storage.make(64))
    guest.have(old)
    guest.await_disk()
    guest.shell.run(BUSY.format(24))
    with ThreadPoolExecutor(1) as pool:
        swapping = pool.submit(guest.hypervisor.swap_disk, guest.spec.id, old.id, new)
        until(lambda: ask(guest, "query-jobs"))
        assert guest.volumes() == (old.id,)
        guest.have(old)  # whatever comes in between does not disturb it
        with pytest.raises(DriverError, match="being swapped already"):
            guest.hypervisor.swap_disk(guest.spec.id, old.id, new)
        guest.shell.run("echo 3 > /proc/sys/vm/drop_caches; echo meanwhile | dd of=/dev/vdb conv=fsync 2>/dev/null")
        swapping.result(30)
    assert guest.volumes() == (new.id,)
    assert storage.volumes[new.id].read_bytes()[:9] == b"meanwhile"
    assert storage.volumes[new.id].read_bytes()[: 24 * MIB] == storage.volumes[old.id].read_bytes()[: 24 * MIB]


def test_more_volumes_than_slots_in_the_order_asked(
    guest: Machine, hypervisor: QemuHypervisor, tmp_path: Path, image: Path
) -> None:
    letters = "bcdefghijklmnopqrstuvwxyz"
    disks = [file_disk(tmp_path / letter, device=f"/dev/vd{letter}") for letter in letters]
    scsi = [file_disk(tmp_path / f"scsi{number}", bus="scsi") for number in range(3)]
    for disk in disks + scsi:
        with open(disk.connection["data"]["path"], "wb") as file:
            file.truncate(MIB)
    other = Machine(hypervisor, linux_spec(image)).start(*disks[::-2])
    try:
        other.have(*disks[::-1], *scsi)
        until(lambda: len(other.disks()) == 29, seconds=20)
        assert len(other.volumes()) == 28
        other.have(*disks[:5])
        until(lambda: len(other.disks()) == 6, seconds=20)
        other.have(*disks[::-1], *scsi)
        other.shell.close()
        other.have(power="off")
        other.start(*disks[::-1], *scsi)
        seen = other.shell.run(f"for l in {' '.join(letters)}; do cat /sys/block/vd$l/serial; echo; done").split()
        assert seen == [disk.id[:20] for disk in disks]
        assert {"sda", "sdb", "sdc"} < set(other.disks())
    finally:
        other.shell.close()
        hypervisor.destroy(other.spec.id)


def test_a_suspended_guest_goes_on_with_its_volumes(guest: Machine, storage: Storage) -> None:
    first, second = storage.disk(storage.make(16)), storage.disk(storage.make(16), bus="scsi")
    guest.have(first, second)
    guest.await_disk()
    guest.await_disk("sda")
    guest.shell.run(BUSY.format(16))
    before = guest.shell.run(SUM)
    guest.shell.close()
    guest.have(first, second, power="suspended")
    with pytest.raises(DriverError, match=f"cannot let go of volume {second.id} while it is suspended"):
        guest.have(first, power="suspended")
    third = storage.disk(storage.make(16))
    guest.have(first, second, third)
    guest.open_shell()
    guest.await_disk("vdc")
    assert guest.shell.run(f"echo 3 > /proc/sys/vm/drop_caches; {SUM}") == before
    assert guest.volumes() == (first.id, second.id, third.id)


def test_a_halted_guest_takes_a_volume_and_does_not_let_go_of_one(guest: Machine, storage: Storage) -> None:
    disk = storage.disk(storage.make(16))
    guest.have(disk, power="paused")
    assert guest.volumes() == (disk.id,)
    with pytest.raises(DriverError, match="while it is halted"):
        guest.have(power="paused")
    guest.have(disk)
    guest.await_disk()


def test_reading_only_and_discarding(guest: Machine, storage: Storage) -> None:
    disk, locked = storage.disk(storage.make(16)), storage.disk(storage.make(16), read_only=True)
    guest.have(disk, locked)
    guest.await_disk("vdc")
    assert guest.shell.run("cat /sys/block/vdb/ro /sys/block/vdc/ro").split() == ["0", "1"]
    guest.shell.run(BUSY.format(16))
    written = storage.volumes[disk.id].stat().st_blocks
    guest.shell.run("dd if=/dev/zero of=/dev/vdb bs=1M count=16 conv=fsync 2>/dev/null")
    assert storage.volumes[disk.id].stat().st_blocks < written / 4


def test_a_guest_is_halted_while_there_is_no_room(guest: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "none", folder], check=True)
    try:
        (folder / "volume").touch()
        os.truncate(folder / "volume", 16 * MIB)
        disk = file_disk(folder / "volume")
        guest.have(disk)
        guest.await_disk()
        guest.shell.begin("dd if=/dev/urandom of=/dev/vdb bs=1M count=12 oflag=direct 2>/dev/null")
        until(lambda: (state := guest.hypervisor.observe(guest.spec.id)) is not None and state.power == "paused", seconds=20)
        state = guest.hypervisor.observe(guest.spec.id)
        assert state is not None
        assert state.why == "io-error"
        subprocess.run(["mount", "-o", "remount,size=32M", folder], check=True)
        guest.have(disk)
        guest.shell.end()
        guest.have()
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("power", ["on", "off"])
def test_a_server_that_boots_from_a_volume(
    hypervisor: QemuHypervisor, storage: Storage, image: Path, tmp_path: Path, power: Any
) -> None:
    file = tmp_path / "root.raw"
    subprocess.run(["qemu-img", "convert", "-q", "-f", "qcow2", "-O", "raw", image, file], check=True)
    disk = storage.disk(storage.make(0, file), boot_index=0, device="/dev/vda")
    data = storage.disk(storage.make(16), device="/dev/vdb")
    guest = Machine(hypervisor, replace(linux_spec(image), disks=(disk,)))
    try:
        guest.start(data)
        assert guest.shell.run("cat /sys/block/vda/serial") == disk.id[:20]
        guest.shell.run("echo written > /root/note; sync")
        guest.shell.close()
        if power == "off":
            guest.have(data, power="off")
            assert guest.volumes() == (disk.id, data.id)
        copy = tmp_path / "copy.qcow2"
        hypervisor.capture(guest.spec.id, str(copy), "qcow2")
        subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", copy], check=True)
        plain = subprocess.check_output(["qemu-img", "dd", "-f", "qcow2", "-O", "raw", f"if={copy}", f"of={tmp_path / 'plain'}"])
        assert plain == b""
        if power == "off":
            assert (tmp_path / "plain").read_bytes() == file.read_bytes()
        assert b"written" in (tmp_path / "plain").read_bytes()
    finally:
        hypervisor.destroy(guest.spec.id)


class TestIscsi:
    """QEMU's own initiator with the back end `iscsi`."""

    @pytest.fixture
    def targets(self, guest: Machine, tmp_path: Path) -> Iterator[IscsiBackend]:
        backend = IscsiBackend(tmp_path / "volumes", tmp_path / "run", "here")
        yield backend
        guest.have()
        for state in backend.observe_all().values():
            for connector_id in state.connections:
                backend.disconnect(state.id, connector_id)
        backend.close()

    def disk(self, backend: IscsiBackend, volume_id: str, size_gib: int = 1, **options: Any) -> DiskSpec:
        backend.ensure(VolumeSpec(volume_id, size_gib, **options))
        connection = backend.connect(volume_id, Connector(f"to-{volume_id}", "here"))
        return DiskSpec(volume_id, "volume", size_gib=size_gib, connection=connection, luks_key=options.get("luks_key", ""))

    def test_a_volume_comes_grows_and_goes(self, guest: Machine, targets: IscsiBackend) -> None:
        volume_id = str(uuid.uuid4())
        guest.have(self.disk(targets, volume_id))
        guest.await_disk()
        guest.shell.run(BUSY.format(8))
        before = guest.shell.run("head -c 8388608 /dev/vdb | md5sum | cut -c 1-32")
        for size_gib in (2, 3):
            guest.shell.begin(LONG.format("seek=256"))
            time.sleep(0.3)
            guest.have(self.disk(targets, volume_id, size_gib))
            guest.shell.end()
        guest.shell.run("until [ $(cat /sys/block/vdb/size) = 6291456 ]; do sleep 0.02; done")
        guest.shell.run("echo end | dd of=/dev/vdb bs=512 seek=6291455 conv=sync,fsync 2>/dev/null")
        guest.have()
        targets.disconnect(volume_id, f"to-{volume_id}")
        guest.have(self.disk(targets, volume_id, 3))
        guest.await_disk()
        assert guest.shell.run("head -c 8388608 /dev/vdb | md5sum | cut -c 1-32") == before
        guest.have()
        assert leftovers(guest) == set()

    def test_a_target_daemon_that_is_killed_only_stalls_the_guest(self, guest: Machine, targets: IscsiBackend) -> None:
        guest.have(self.disk(targets, str(uuid.uuid4())))
        guest.await_disk()
        guest.shell.begin(LONG.format(""))
        for _ in range(2):
            time.sleep(0.3)
            process = targets._target.find()
            assert process is not None
            os.kill(process.pid, signal.SIGKILL)
        guest.shell.end()
        assert "I/O error" not in guest.shell.run("dmesg | tail -5")

    def test_without_the_password_nothing_is_plugged(self, guest: Machine, targets: IscsiBackend) -> None:
        disk = self.disk(targets, str(uuid.uuid4()))
        data = {**disk.connection["data"], "auth_password": "wrong-password-x"}
        with pytest.raises(DriverError) as refused:
            guest.have(replace(disk, connection={"driver_volume_type": "iscsi", "data": data}))
        assert "wrong-password-x" not in str(refused.value)
        assert leftovers(guest) == set()

    def test_what_is_encrypted_stays_so_on_the_way(self, guest: Machine, targets: IscsiBackend) -> None:
        volume_id = str(uuid.uuid4())
        guest.have(self.disk(targets, volume_id, luks_key=KEY))
        guest.await_disk()
        guest.shell.run("yes plaintext | dd of=/dev/vdb bs=1M count=1 iflag=fullblock conv=fsync 2>/dev/null")
        content = targets.open(volume_id)
        try:
            assert b"plaintext" not in content.read(0, 8 * MIB)
        finally:
            content.close()
