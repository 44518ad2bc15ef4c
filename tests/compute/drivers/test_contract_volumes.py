"""What every hypervisor must show with volumes.  QEMU's guests are of one sector here: they do not let go of anything."""

import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pileus.compute.driver import MIB, DiskSpec, DriverError, GuestSpec
from pileus.compute.drivers.fake import FakeHypervisor
from pileus.compute.drivers.qemu import QemuHypervisor, QemuOptions
from tests.compute.drivers import sectors
from tests.compute.drivers.machine import file_disk

Tested = FakeHypervisor | QemuHypervisor


@pytest.fixture(params=["fake", pytest.param("qemu", marks=pytest.mark.host)])
def hypervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tested]:
    if request.param == "fake":
        yield FakeHypervisor()
        return
    options = QemuOptions(tmp_path, virt_type="qemu", shutdown_seconds=0.1, unplug_seconds=0.2, cgroup_prefix="pileus-test")
    qemu = QemuHypervisor(options)
    yield qemu
    for guest_id in qemu.observe_all():
        qemu.destroy(guest_id)
    qemu.close()


@pytest.fixture
def spec(tmp_path: Path, hypervisor: Tested) -> GuestSpec:
    image = tmp_path / "image.raw"
    image.write_bytes(sectors.stubborn())
    disk = DiskSpec("root", "image", source=str(image), source_format="raw", boot_index=0)
    spec = GuestSpec(str(uuid.uuid4()), "one", vcpus=1, memory_mib=16, disks=(disk,))
    if isinstance(hypervisor, FakeHypervisor):
        hypervisor.deaf.add(spec.id)
    return spec


@pytest.fixture
def volume(tmp_path: Path) -> DiskSpec:
    return made(tmp_path / "volume")


def made(path: Path, size_mib: int = 1, **options: Any) -> DiskSpec:
    path.touch()
    os.truncate(path, size_mib * MIB)
    return file_disk(path, **options)


def having(spec: GuestSpec, *volumes: DiskSpec, **changes: Any) -> GuestSpec:
    return replace(spec, disks=(*spec.disks, *volumes), **changes)


def volumes(hypervisor: Tested, spec: GuestSpec) -> tuple[str, ...]:
    state = hypervisor.observe(spec.id)
    assert state is not None
    assert hypervisor.observe_all()[spec.id] == state
    return state.disks


@pytest.mark.parametrize("power", ["on", "paused", "off"])
def test_a_guest_has_the_volumes_it_is_told_to(hypervisor: Tested, spec: GuestSpec, volume: DiskSpec, power: Any) -> None:
    hypervisor.ensure(replace(spec, power=power))
    assert volumes(hypervisor, spec) == ()
    for _ in range(2):
        hypervisor.ensure(having(spec, volume, power=power))
        assert volumes(hypervisor, spec) == (volume.id,)


def test_a_guest_is_started_with_its_volumes(hypervisor: Tested, spec: GuestSpec, volume: DiskSpec) -> None:
    hypervisor.ensure(having(spec, volume))
    assert volumes(hypervisor, spec) == (volume.id,)
    hypervisor.reboot(spec.id, True)
    assert volumes(hypervisor, spec) == (volume.id,)
    hypervisor.ensure(having(spec, volume, power="off"))
    assert volumes(hypervisor, spec) == (volume.id,)
    hypervisor.ensure(replace(spec, power="off"))
    assert volumes(hypervisor, spec) == ()


def test_a_volume_given_to_a_suspended_guest_is_there_when_it_goes_on(
    hypervisor: Tested, spec: GuestSpec, volume: DiskSpec, tmp_path: Path
) -> None:
    hypervisor.ensure(having(spec, volume))
    hypervisor.ensure(having(spec, volume, power="suspended"))
    both = having(spec, volume, made(tmp_path / "other"), power="suspended")
    hypervisor.ensure(both)
    hypervisor.ensure(replace(both, power="on"))
    assert len(volumes(hypervisor, spec)) == 2


@pytest.mark.parametrize("power", ["on", "paused", "suspended"])
def test_a_volume_that_a_guest_does_not_let_go_of_stays(
    hypervisor: Tested, spec: GuestSpec, volume: DiskSpec, power: Any
) -> None:
    hypervisor.ensure(having(spec, volume))
    hypervisor.ensure(having(spec, volume, power=power))
    for _ in range(2):
        with pytest.raises(DriverError, match=f"let go of volume {volume.id}"):
            hypervisor.ensure(replace(spec, power=power))
        assert volumes(hypervisor, spec) == (volume.id,)
    hypervisor.ensure(replace(spec, power="off"))
    assert volumes(hypervisor, spec) == ()


def test_a_volume_that_cannot_be_reached_is_an_error(
    hypervisor: Tested, spec: GuestSpec, volume: DiskSpec, tmp_path: Path
) -> None:
    hypervisor.ensure(spec)
    elsewhere = replace(volume, connection={"driver_volume_type": "carrier-pigeon", "data": {}})
    with pytest.raises(DriverError, match="carrier-pigeon"):
        hypervisor.ensure(having(spec, elsewhere))
    assert volumes(hypervisor, spec) == ()
    hypervisor.ensure(having(spec, volume))
    assert volumes(hypervisor, spec) == (volume.id,)


def test_an_unknown_limit_is_an_error_before_anything_is_done(hypervisor: Tested, spec: GuestSpec, volume: DiskSpec) -> None:
    hypervisor.ensure(spec)
    with pytest.raises(DriverError, match="no limit fast"):
        hypervisor.ensure(having(spec, replace(volume, limits={"fast": 1})))
    assert volumes(hypervisor, spec) == ()


def test_a_server_whose_first_disk_is_a_volume(hypervisor: Tested, spec: GuestSpec, tmp_path: Path) -> None:
    (tmp_path / "boot").write_bytes(sectors.stubborn())
    disk = file_disk(tmp_path / "boot", boot_index=0)
    for power in ("on", "paused", "suspended", "off"):
        hypervisor.ensure(replace(spec, disks=(disk,)))
        hypervisor.ensure(replace(spec, disks=(disk,), power=power))
        assert volumes(hypervisor, spec) == (disk.id,)
        hypervisor.capture(spec.id, str(tmp_path / "copy"), "qcow2")
        assert (tmp_path / "copy").read_bytes()[:4] == b"QFI\xfb"
        if isinstance(hypervisor, QemuHypervisor):
            hypervisor.capture(spec.id, str(tmp_path / "copy"), "raw")
            assert (tmp_path / "copy").read_bytes() == sectors.stubborn()


def test_a_guest_goes_over_to_another_volume(hypervisor: Tested, spec: GuestSpec, tmp_path: Path) -> None:
    old, new = made(tmp_path / "old", 2), made(tmp_path / "new", 3)
    (tmp_path / "old").write_bytes(b"content".ljust(2 * MIB))
    hypervisor.ensure(having(spec, old))
    for _ in range(2):
        hypervisor.swap_disk(spec.id, old.id, new)
        assert volumes(hypervisor, spec) == (new.id,)
    hypervisor.ensure(having(spec, new))
    assert volumes(hypervisor, spec) == (new.id,)
    if isinstance(hypervisor, QemuHypervisor):
        assert (tmp_path / "new").read_bytes()[: 2 * MIB] == b"content".ljust(2 * MIB)
    with pytest.raises(DriverError, match="has no volume nobody"):
        hypervisor.swap_disk(spec.id, "nobody", old)
    hypervisor.ensure(having(spec, new, power="off"))
    with pytest.raises(DriverError, match="does not run"):
        hypervisor.swap_disk(spec.id, new.id, old)
    with pytest.raises(DriverError, match="no guest nobody"):
        hypervisor.swap_disk("nobody", new.id, old)


class TestFake:
    """What only the fake can do."""

    def test_a_guest_that_hears_lets_go(self, volume: DiskSpec) -> None:
        fake, spec = FakeHypervisor(), GuestSpec("one", "one", 1, 16, ())
        fake.ensure(having(spec, volume))
        fake.ensure(spec)
        assert volumes(fake, spec) == ()

    @pytest.mark.parametrize("what", ["plug", "unplug"])
    def test_a_plug_fails_as_often_as_it_is_told(self, volume: DiskSpec, what: str) -> None:
        fake, spec = FakeHypervisor(), GuestSpec("one", "one", 1, 16, ())
        fake.ensure(spec)
        fake.fail_next(what, 1, "told so")
        steps = [having(spec, volume), spec]
        if what == "unplug":
            fake.ensure(steps.pop(0))
        before = volumes(fake, spec)
        with pytest.raises(DriverError, match="told so"):
            fake.ensure(steps[0])
        assert volumes(fake, spec) == before
        fake.ensure(steps[0])
        assert volumes(fake, spec) != before

    def test_a_volume_may_be_unreachable(self, volume: DiskSpec) -> None:
        fake, spec = FakeHypervisor(), GuestSpec("one", "one", 1, 16, ())
        fake.unreachable.add(volume.id)
        with pytest.raises(DriverError, match="cannot be reached"):
            fake.ensure(having(spec, volume))
        fake.unreachable.clear()
        fake.ensure(having(spec, volume))
        assert volumes(fake, spec) == (volume.id,)
