"""The QEMU driver with true processes: what dies is noticed, what runs is found again, what is destroyed leaves nothing."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pycdlib
import pytest

from pileus.compute.driver import MIB, DiskSpec, DriverError, GuestSpec, NicSpec
from pileus.compute.drivers.qemu import QemuHypervisor, QemuOptions, cgroups, process
from pileus.compute.drivers.qemu.place import Place
from tests.compute.drivers import sectors
from tests.compute.drivers.test_contract import until, until_up

pytestmark = pytest.mark.host
PREFIX = "pileus-test"


@pytest.fixture
def options(tmp_path: Path) -> QemuOptions:
    limits = {"shutdown_seconds": 0.5, "unplug_seconds": 0.3}
    return QemuOptions(tmp_path / "state", virt_type="qemu", cgroup_prefix=PREFIX, **limits)


@pytest.fixture
def qemu(options: QemuOptions) -> Iterator[QemuHypervisor]:
    yield from opened(options)


def opened(options: QemuOptions) -> Iterator[QemuHypervisor]:
    qemu = QemuHypervisor(options)
    yield qemu
    qemu.close()
    again = QemuHypervisor(options)  # whatever the test did: nothing is left
    for guest_id in again.observe_all():
        again.destroy(guest_id)
    again.close()


def spec_of(tmp_path: Path, sector: bytes, **changes: object) -> GuestSpec:
    image = tmp_path / "image.raw"
    image.write_bytes(sector)
    disk = DiskSpec("root", "image", source=str(image), source_format="raw", boot_index=1)
    return replace(GuestSpec(str(uuid.uuid4()), "one", vcpus=1, memory_mib=16, disks=(disk,)), **changes)


def place_of(options: QemuOptions, spec: GuestSpec) -> Place:
    return Place(options.directory / "guests" / spec.id)


def pid_of(options: QemuOptions, spec: GuestSpec) -> int:
    found = process.find(place_of(options, spec))
    assert found is not None
    return found.pid


def test_a_kill_is_noticed(qemu: QemuHypervisor, options: QemuOptions, tmp_path: Path) -> None:
    heard: list[str] = []
    spec = spec_of(tmp_path, sectors.stubborn())
    qemu.ensure(spec)
    qemu.listen(heard.append)
    until(lambda: heard)
    heard.clear()
    os.kill(pid_of(options, spec), signal.SIGKILL)
    until(lambda: heard, seconds=2.0)
    state = qemu.observe(spec.id)
    assert state is not None
    assert (state.power, state.started_seconds) == ("crashed", None)
    assert "signal 9" in state.why
    qemu.ensure(spec)
    assert (after := qemu.observe(spec.id)) is not None
    assert (after.power, after.why) == ("on", "")


def test_a_shutdown_from_inside_is_noticed(qemu: QemuHypervisor, tmp_path: Path) -> None:
    heard: list[str] = []
    spec = spec_of(tmp_path, sectors.shutting_down(ticks=3))
    qemu.ensure(spec)
    qemu.listen(heard.append)
    until(lambda: (state := qemu.observe(spec.id)) is not None and state.power == "off", seconds=3.0)
    until(lambda: len(heard) > 1)
    assert (state := qemu.observe(spec.id)) is not None
    assert state.why == "the guest shut itself down"


def test_a_guest_that_ignores_the_power_button_is_killed(qemu: QemuHypervisor, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, sectors.stubborn())
    qemu.ensure(spec)
    until_up(qemu, spec)
    qemu.ensure(replace(spec, power="off"))
    assert (state := qemu.observe(spec.id)) is not None
    assert "did not shut down in 0.5 s" in state.why


def test_a_guest_that_obeys_is_not(qemu: QemuHypervisor, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, sectors.obedient())
    qemu.ensure(spec)
    until(lambda: "." in qemu.console_log(spec.id))
    qemu.ensure(replace(spec, power="off"))
    assert (state := qemu.observe(spec.id)) is not None
    assert state.why == "stopped as asked"


def test_a_guest_is_found_again(qemu: QemuHypervisor, options: QemuOptions, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, sectors.stubborn())
    qemu.ensure(spec)
    before = qemu.observe(spec.id)
    qemu.close()
    second = QemuHypervisor(options)
    heard: list[str] = []
    second.listen(heard.append)
    assert second.observe(spec.id) == before
    second.ensure(spec)
    assert second.observe(spec.id) == before
    until(lambda: heard)
    os.kill(pid_of(options, spec), signal.SIGKILL)
    until(lambda: second.observe(spec.id).power == "crashed", seconds=2.0)
    second.close()


def test_a_pid_file_that_nobody_holds_is_not_believed(qemu: QemuHypervisor, options: QemuOptions, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, sectors.stubborn())
    qemu.ensure(replace(spec, power="off"))
    place_of(options, spec).pid.write_text(f"{os.getpid()}\n")
    qemu.destroy(spec.id)
    assert qemu.observe(spec.id) is None


def test_a_suspended_guest_goes_on_where_it_was(qemu: QemuHypervisor, options: QemuOptions, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, sectors.stubborn(), config_drive={"a": b"b"})
    qemu.ensure(spec)
    until(lambda: "." in qemu.console_log(spec.id))
    qemu.ensure(replace(spec, power="suspended"))
    assert process.find(place_of(options, spec)) is None
    written = qemu.console_log(spec.id)
    qemu.close()
    second = QemuHypervisor(options)
    assert second.observe(spec.id).power == "suspended"
    second.ensure(spec)
    until(lambda: len(second.console_log(spec.id)) > len(written) + 2)
    assert second.console_log(spec.id).count("guest is up") == 1
    second.close()


def test_a_suspend_cut_short_is_done_again(qemu: QemuHypervisor, options: QemuOptions, tmp_path: Path) -> None:
    """Killed after the memory was written and before QEMU was ended: the file counts."""
    spec = spec_of(tmp_path, sectors.stubborn())
    qemu.ensure(spec)
    qemu.ensure(replace(spec, power="suspended"))
    memory = place_of(options, spec).memory.read_bytes()
    qemu.ensure(replace(spec, power="paused"))
    place_of(options, spec).memory.write_bytes(memory)
    qemu.ensure(replace(spec, power="suspended"))
    assert process.find(place_of(options, spec)) is None
    assert qemu.observe(spec.id).power == "suspended"


def test_memory_that_cannot_be_loaded_is_kept(qemu: QemuHypervisor, options: QemuOptions, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, sectors.stubborn())
    qemu.ensure(replace(spec, power="off"))
    place_of(options, spec).memory.write_bytes(b"damaged")
    with pytest.raises(DriverError):
        qemu.ensure(spec)
    assert qemu.observe(spec.id).power == "suspended"
    assert process.find(place_of(options, spec)) is None
    qemu.reboot(spec.id, hard=True)
    assert qemu.observe(spec.id).power == "on"


def test_a_start_that_was_cut_short_is_finished(options: QemuOptions, tmp_path: Path) -> None:
    """The control plane is killed between starting QEMU and everything after."""
    spec = spec_of(tmp_path, sectors.stubborn())
    script = f"""
import os, pathlib
from pileus.compute.driver import DiskSpec, GuestSpec
from pileus.compute.drivers.qemu import QemuHypervisor, QemuOptions, hypervisor, process
process.await_start = lambda *_: os.kill(os.getpid(), 9)
qemu = QemuHypervisor(QemuOptions(pathlib.Path({str(options.directory)!r}), virt_type="qemu", cgroup_prefix={PREFIX!r}))
disk = DiskSpec("root", "image", source={spec.disks[0].source!r}, source_format="raw", boot_index=1)
qemu.ensure(GuestSpec({spec.id!r}, "one", 1, 16, (disk,)))
"""
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=20).returncode == -signal.SIGKILL
    until(lambda: process.find(place_of(options, spec)) is not None)
    pid = pid_of(options, spec)
    for qemu in opened(options):
        assert qemu.observe(spec.id).power == "paused"
        qemu.ensure(spec)
        until_up(qemu, spec)
        assert pid_of(options, spec) == pid
        assert cgroups.is_member(PREFIX, spec.id, pid)


def test_the_config_drive_holds_what_was_given(qemu: QemuHypervisor, options: QemuOptions, tmp_path: Path) -> None:
    files = {"openstack/latest/meta_data.json": b'{"uuid": "x"}', "openstack/2012-08-10/user_data": b"#!", "ec2/a b": b""}
    qemu.ensure(spec_of(tmp_path, sectors.stubborn(), config_drive=files))
    [path] = options.directory.rglob("config.iso")
    iso = pycdlib.PyCdlib()
    iso.open(str(path))
    assert iso.pvd.volume_identifier.strip() == b"config-2"
    for kind in ("rr_path", "joliet_path"):
        for name, content in files.items():
            with iso.open_file_from_iso(**{kind: f"/{name}"}) as file:
                assert file.read() == content
    iso.close()


def test_a_captured_disk_stands_alone(qemu: QemuHypervisor, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, sectors.stubborn())
    qemu.ensure(spec)
    for disk_format in ("qcow2", "raw", "qcow2"):
        copy = tmp_path / f"copy.{disk_format}"
        qemu.capture(spec.id, str(copy), disk_format)
        info = json.loads(subprocess.check_output(["qemu-img", "info", "-f", disk_format, "--output=json", copy]))
        assert "backing-filename" not in info
        assert info["virtual-size"] == MIB
        plain = subprocess.check_output(
            ["qemu-img", "dd", "-f", disk_format, "-O", "raw", f"if={copy}", f"of={tmp_path / 'plain'}"]
        )
        assert plain == b""
        assert (tmp_path / "plain").read_bytes() == sectors.stubborn()
    with pytest.raises(DriverError):
        qemu.capture(spec.id, str(tmp_path / "no" / "such" / "directory"), "qcow2")
    assert qemu.observe(spec.id).power == "on"


def test_what_is_written_to_a_held_disk_is_kept_or_taken_back(qemu: QemuHypervisor, options: QemuOptions, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, sectors.stubborn(), power="off")
    root = spec.disks[0]

    def ensure(**changes: object) -> None:
        qemu.ensure(replace(spec, disks=(replace(root, **changes),)))

    def write(name: str, pattern: str) -> None:
        path = place_of(options, spec).disks / name
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -P {pattern} 4k 4k", path], check=True, capture_output=True)

    def content() -> bytes:
        target = tmp_path / "copy.raw"
        target.unlink(missing_ok=True)
        qemu.capture(spec.id, str(target), "raw")
        return target.read_bytes()[4096:8192]

    ensure(size_mib=1)
    write("root.qcow2", "1")
    ensure(size_mib=2, stage=1, held=True)
    write("root.1.qcow2", "2")
    assert content() == b"\2" * 4096
    ensure(size_mib=2, stage=1, held=True)
    assert content() == b"\2" * 4096
    ensure(size_mib=1)
    assert content() == b"\1" * 4096
    ensure(size_mib=2, stage=1, held=True)
    write("root.1.qcow2", "3")
    ensure(size_mib=2, stage=1)
    assert content() == b"\3" * 4096
    ensure(size_mib=4, stage=2, held=True)
    write("root.2.qcow2", "4")
    ensure(size_mib=8, stage=3, held=True)  # the second was confirmed, and nothing was started since
    assert content() == b"\4" * 4096
    ensure(size_mib=4, stage=2)
    assert content() == b"\4" * 4096
    assert [path.name for path in place_of(options, spec).disks.iterdir()] == ["root.qcow2"]


def test_a_disk_is_committed_again_when_that_was_cut_short(qemu: QemuHypervisor, options: QemuOptions, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, sectors.stubborn(), power="off")
    held = replace(spec.disks[0], size_mib=1, stage=1, held=True)
    qemu.ensure(replace(spec, disks=(held,)))
    layer = place_of(options, spec).disks / "root.1.qcow2"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 5 4k 4k", layer], check=True, capture_output=True)
    kept = layer.read_bytes()
    for _ in range(2):
        qemu.ensure(replace(spec, disks=(replace(held, held=False),)))
        assert not layer.exists()
        layer.write_bytes(kept)
    qemu.ensure(replace(spec, disks=(replace(held, held=False),)))
    target = tmp_path / "copy.raw"
    qemu.capture(spec.id, str(target), "raw")
    assert target.read_bytes()[4096:8192] == b"\5" * 4096


@pytest.mark.parametrize(
    ("bus", "is_cdrom"), [("virtio", False), ("scsi", False), ("usb", False), ("ide", False), ("ide", True), ("scsi", True)]
)
def test_a_guest_boots_from_the_last_of_its_disks(qemu: QemuHypervisor, tmp_path: Path, bus: str, is_cdrom: bool) -> None:
    """A CD is no disk that this sector could be booted from: that the machine is made is all that shows."""
    spec = spec_of(tmp_path, bytes(512))
    medic = tmp_path / "medic.raw"
    medic.write_bytes(sectors.obedient())
    rescue = DiskSpec("rescue", "image", source=str(medic), source_format="raw", boot_index=0, bus=bus, is_cdrom=is_cdrom)
    spec = replace(spec, memory_mib=32, disks=(replace(spec.disks[0], boot_index=None), rescue), config_drive={"a": b"b"})
    qemu.ensure(spec)
    if not is_cdrom:
        until_up(qemu, spec)
    state = qemu.observe(spec.id)
    assert state is not None
    assert state.power == "on"


def test_disks_grow_come_and_go_when_off(qemu: QemuHypervisor, options: QemuOptions, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, sectors.obedient())
    root = spec.disks[0]
    qemu.ensure(
        replace(spec, disks=(root, DiskSpec("swap", "blank", size_mib=8), DiskSpec("more", "blank", size_gib=1, bus="scsi")))
    )
    until_up(qemu, spec)
    qemu.ensure(replace(spec, power="off", disks=(replace(root, size_mib=4), DiskSpec("last", "blank", size_mib=1, bus="ide"))))
    disks = place_of(options, spec).disks
    assert sorted(path.name for path in disks.iterdir()) == ["last.qcow2", "root.qcow2"]
    assert int.from_bytes((disks / "root.qcow2").read_bytes()[24:32], "big") == 4 * MIB
    qemu.ensure(replace(spec, disks=(replace(root, size_mib=4), DiskSpec("last", "blank", size_mib=1, bus="ide"))))
    until_up(qemu, spec)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"source": "/nowhere/image"}, "/nowhere/image: No such file"),
        ({"source_format": "qcow2"}, "not a qcow2 image"),
        ({"id": "../../root"}, "no identifier"),
    ],
)
def test_the_reason_is_told(qemu: QemuHypervisor, tmp_path: Path, change: dict[str, str], reason: str) -> None:
    spec = spec_of(tmp_path, sectors.obedient())
    with pytest.raises(DriverError, match=reason):
        qemu.ensure(replace(spec, disks=(replace(spec.disks[0], **change),)))
    qemu.destroy(spec.id)
    assert qemu.observe_all() == {}


def test_an_image_larger_than_its_disk_is_refused(qemu: QemuHypervisor, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, bytes(3 * MIB))
    with pytest.raises(DriverError, match="cannot hold"):
        qemu.ensure(replace(spec, disks=(replace(spec.disks[0], size_mib=2),)))


def test_what_qemu_says_is_told(qemu: QemuHypervisor, options: QemuOptions, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, sectors.obedient(), firmware="/nowhere/bios")
    with pytest.raises(DriverError, match="could not load PC BIOS"):
        qemu.ensure(spec)
    assert process.find(place_of(options, spec)) is None


def test_nothing_is_left_after_destroy(qemu: QemuHypervisor, options: QemuOptions, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, sectors.stubborn())
    qemu.ensure(spec)
    pid = pid_of(options, spec)
    groups = [path / PREFIX / spec.id for path in cgroups.hierarchies().values()]
    assert all(str(pid) in (group / "cgroup.procs").read_text().split() for group in groups)
    qemu.destroy(spec.id)
    assert not os.path.exists(f"/proc/{pid}")
    assert not any(group.exists() for group in groups)
    assert list((options.directory / "guests").iterdir()) == []


def test_limits_are_set_before_the_guest_runs(qemu: QemuHypervisor, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, sectors.stubborn(), vcpus=2)
    qemu.ensure(spec)
    if cgroups.available(PREFIX) != "v1":
        pytest.skip("this host has cgroups of version 2")
    memory, cpu = (path / PREFIX / spec.id for path in (cgroups.hierarchies()["memory"], cgroups.hierarchies()["cpu"]))
    assert int((memory / "memory.limit_in_bytes").read_text()) == (16 + 64 + 384) * MIB
    assert int((cpu / "cpu.cfs_quota_us").read_text()) == 250_000


def test_destroy_does_not_wait_for_a_shutdown(options: QemuOptions, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, sectors.stubborn())
    for qemu in opened(replace(options, shutdown_seconds=30.0)):
        qemu.ensure(spec)
        with ThreadPoolExecutor(1) as pool:
            stopping = pool.submit(qemu.ensure, replace(spec, power="off"))
            time.sleep(0.2)
            qemu.destroy(spec.id)
            assert not stopping.done() or stopping.exception(timeout=5) is None
        qemu.destroy(spec.id)
        assert qemu.observe(spec.id) is None


def test_a_flood_on_the_console_does_not_fill_the_disk(qemu: QemuHypervisor, options: QemuOptions, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, sectors.flooding())
    qemu.ensure(spec)
    place = place_of(options, spec)
    until(place.console_log_before.exists, seconds=10)
    size = place.console_log.stat().st_size
    assert size < 4 * MIB
    assert len(qemu.console_log(spec.id)) >= 512 * 1024
    time.sleep(0.1)
    assert qemu.console_log(spec.id, 1).endswith("x")


@pytest.fixture
def wired(options: QemuOptions) -> Iterator[tuple[QemuHypervisor, QemuOptions]]:
    """A driver whose guests are in a network namespace with three taps."""
    name = f"pileus-test-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    for tap in ("tap0", "tap1", "tap2"):
        subprocess.run(["ip", "-n", name, "tuntap", "add", tap, "mode", "tap"], check=True)
    options = replace(options, netns=name)
    for qemu in opened(options):
        yield qemu, options
    subprocess.run(["ip", "netns", "del", name], check=True)


def nic(number: int) -> NicSpec:
    return NicSpec(f"port-{number}", f"fa:16:3e:00:00:0{number}", f"tap{number}", mtu=1450)


def has_carrier(options: QemuOptions, tap: str) -> bool:
    """Whether somebody holds the tap."""
    subprocess.run(["ip", "-n", str(options.netns), "link", "set", tap, "up"], check=True)
    text = subprocess.check_output(["ip", "-n", str(options.netns), "-o", "link", "show", tap], text=True)
    return "NO-CARRIER" not in text


def test_a_nic_is_plugged_into_a_guest_that_runs(wired: tuple[QemuHypervisor, QemuOptions], tmp_path: Path) -> None:
    qemu, options = wired
    spec = spec_of(tmp_path, sectors.stubborn(), nics=(nic(0),))
    qemu.ensure(spec)
    pid = pid_of(options, spec)
    assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
    assert has_carrier(options, "tap0")
    assert not has_carrier(options, "tap1")
    both = replace(spec, nics=(nic(0), nic(1)))
    qemu.ensure(both)
    qemu.ensure(both)
    assert has_carrier(options, "tap1")
    assert qemu.observe(spec.id).taps == ("tap0", "tap1")
    assert [(seen.tap, seen.mac) for seen in qemu.diagnose(spec.id).nics] == [(each.tap, each.mac) for each in both.nics]
    qemu.ensure(replace(both, power="suspended"))
    qemu.ensure(both)
    assert qemu.observe(spec.id).power == "on"
    assert has_carrier(options, "tap1")


def test_a_nic_that_the_guest_keeps_is_an_error_in_time(wired: tuple[QemuHypervisor, QemuOptions], tmp_path: Path) -> None:
    qemu, options = wired
    spec = spec_of(tmp_path, sectors.stubborn(), nics=(nic(0),))
    qemu.ensure(spec)
    until_up(qemu, spec)
    for _ in range(2):
        with pytest.raises(DriverError, match=r"did not let go of the NIC of port port-0 in 0\.3 s"):
            qemu.ensure(replace(spec, nics=()))
    assert qemu.observe(spec.id).taps == ("tap0",)
    qemu.ensure(replace(spec, nics=(), power="off"))
    assert qemu.observe(spec.id).taps == ()
    assert not has_carrier(options, "tap0")


def test_a_tap_that_is_missing_is_an_error(wired: tuple[QemuHypervisor, QemuOptions], tmp_path: Path) -> None:
    qemu, _ = wired
    spec = spec_of(tmp_path, sectors.stubborn(), nics=(nic(3),))
    with pytest.raises(DriverError, match="no tap tap3"):
        qemu.ensure(spec)
    qemu.ensure(replace(spec, nics=()))
    with pytest.raises(DriverError, match="no tap tap3"):
        qemu.ensure(spec)
    qemu.ensure(replace(spec, nics=(nic(2),)))
    assert qemu.observe(spec.id).taps == ("tap2",)


def test_a_namespace_that_is_missing_is_an_error(options: QemuOptions, tmp_path: Path) -> None:
    for qemu in opened(replace(options, netns="pileus-nowhere")):
        with pytest.raises(DriverError, match="no network namespace pileus-nowhere"):
            qemu.ensure(spec_of(tmp_path, sectors.stubborn()))
