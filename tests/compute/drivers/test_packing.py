"""Guests that are off go from one hypervisor to another, with what was written to their disks."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pileus.compute.driver import DiskSpec, DriverError, GuestSpec
from pileus.compute.drivers.fake import FakeHypervisor
from pileus.compute.drivers.qemu import QemuHypervisor, QemuOptions

KINDS = ["fake", pytest.param("qemu", marks=pytest.mark.host)]


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    """Two hypervisors."""
    if request.param == "fake":
        yield FakeHypervisor(), FakeHypervisor()
        return
    made = [QemuHypervisor(_options(tmp_path, name)) for name in ("here", "there")]
    yield made[0], made[1]
    for each in made:
        for guest_id in each.observe_all():
            each.destroy(guest_id)
        each.close()


def _options(tmp_path: Path, name: str) -> QemuOptions:
    return QemuOptions(tmp_path / name, virt_type="qemu", shutdown_seconds=1.0, cgroup_prefix=f"pileus-test-{name}")


@pytest.fixture
def spec(spec: GuestSpec) -> GuestSpec:
    return replace(spec, disks=(*spec.disks, DiskSpec("disk1", "blank", size_mib=8)), power="off")


def test_a_guest_comes_whole_and_once(pair: Any, spec: GuestSpec, tmp_path: Path) -> None:
    here, there = pair
    here.ensure(spec)
    for _ in range(2):
        luggage = here.pack(spec.id, "t1", str(_folder(tmp_path)))
        there.unpack(spec, luggage)
    assert there.observe(spec.id).power == here.observe(spec.id).power == "off"
    here.destroy(spec.id)
    there.ensure(replace(spec, power="on"))
    assert (here.observe(spec.id), there.observe(spec.id).power) == (None, "on")
    with pytest.raises(DriverError, match="runs"):
        there.pack(spec.id, "t2", str(tmp_path))
    with pytest.raises(DriverError, match="runs"):
        there.unpack(spec, replace(luggage, ticket="t2"))
    assert there.observe(spec.id).power == "on"


def test_what_is_missing_is_told_and_nothing_is_left(pair: Any, spec: GuestSpec, tmp_path: Path) -> None:
    here, there = pair
    with pytest.raises(DriverError, match="no guest"):
        here.pack(spec.id, "t1", str(_folder(tmp_path)))
    here.ensure(spec)
    luggage = here.pack(spec.id, "t1", str(_folder(tmp_path)))
    luggage.path(luggage.files[-1].name).unlink()
    with pytest.raises(DriverError):
        there.unpack(spec, luggage)
    assert there.observe_all() == {}


@pytest.mark.host
def test_what_was_written_comes_along_also_what_can_be_taken_back(spec: GuestSpec, tmp_path: Path) -> None:
    here, there = (QemuHypervisor(_options(tmp_path, name)) for name in ("here", "there"))
    root, more = spec.disks
    held = replace(spec, disks=(replace(root, stage=1, held=True), more))
    here.ensure(spec)
    _io(tmp_path / "here" / "guests" / spec.id / "disks" / "root.qcow2", "write -P 7 0 512")
    here.ensure(held)
    _io(tmp_path / "here" / "guests" / spec.id / "disks" / "root.1.qcow2", "write -P 9 1024 512")
    other_base = tmp_path / "elsewhere.raw"  # the image has another name on the other host
    other_base.write_bytes(Path(root.source).read_bytes())
    kept = replace(spec, disks=(replace(root, source=str(other_base), stage=1, held=False), more))
    there.unpack(kept, here.pack(spec.id, "t1", str(_folder(tmp_path))))
    Path(root.source).unlink()
    there.ensure(kept)
    disk = tmp_path / "there" / "guests" / spec.id / "disks" / "root.qcow2"
    _io(disk, "read -P 7 0 512")
    _io(disk, "read -P 9 1024 512")
    assert not disk.with_name("root.1.qcow2").exists()  # made part of the disk, as it is not to be taken back any more
    there.unpack(kept, here.pack(spec.id, "t2", str(_folder(tmp_path))))  # another move: what was here counts no more
    assert disk.with_name("root.1.qcow2").exists()
    for each in (here, there):
        each.destroy(spec.id)
        each.close()


@pytest.mark.host
@pytest.mark.parametrize("name", ["../root.qcow2", "record.json", ".root.qcow2"])
def test_names_that_are_none_are_refused(spec: GuestSpec, tmp_path: Path, name: str) -> None:
    here, there = (QemuHypervisor(_options(tmp_path, one)) for one in ("here", "there"))
    here.ensure(spec)
    luggage = here.pack(spec.id, "t1", str(_folder(tmp_path)))
    bad = replace(luggage, files=(replace(luggage.files[0], name=name),))
    bad.path("x").parent.joinpath(f"{spec.id}.{name}").parent.mkdir(exist_ok=True, parents=True)
    with pytest.raises(DriverError):
        there.unpack(spec, bad)
    assert there.observe_all() == {}
    for each in (here, there):
        each.destroy(spec.id)
        each.close()


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "leaving"
    folder.mkdir(exist_ok=True)
    return folder


def _io(path: Path, command: str) -> None:
    done = subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, str(path)], capture_output=True, text=True, check=True)
    assert "failed" not in done.stdout, done.stdout
