"""Volumes that another host serves, by NBD, to guests whose processes have no way to other hosts.

One host of this machine has the volumes, two others have the guests; they have certificates of one authority.
"""

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from pileus.certificates import Authority, Identity
from pileus.compute.driver import GIB, DiskSpec, DriverError, GuestSpec
from pileus.compute.drivers.qemu import QemuHypervisor, QemuOptions, Reach, process
from pileus.compute.drivers.qemu.place import Place
from pileus.volume.driver import Connector, VolumeSpec
from pileus.volume.drivers import backends
from pileus.volume.drivers.file import Adopting
from tests.compute.drivers import sectors
from tests.compute.drivers.machine import Machine, linux_spec
from tests.compute.drivers.test_contract import until
from tests.compute.drivers.test_moving import move

pytestmark = [pytest.mark.host, pytest.mark.xdist_group("compute volumes")]
PREFIX = "pileus-test"
VOLUME = str(uuid.uuid4())
STORE = "store"
SECONDS = 60.0


class Site:
    """A host `store` with a back end, and hosts with guests: `host2`, `host3` and, as the first, `store` itself."""

    def __init__(self, folder: Path, netns: str, kind: str) -> None:
        self.folder, self.netns = folder, netns
        self.authority = Authority(folder / "ca")
        self.authority.ensure()
        self.backend = cast(Adopting, backends.build(
            backends.Named("volumes", kind, str(folder / "volumes")), folder, "cloud", STORE, netns, self._identity(STORE)
        ))  # fmt: skip
        self.hosts = {number: self.opened(number) for number in (1, 2, 3)}

    def _identity(self, name: str) -> Identity:
        identity = Identity(self.folder / name / "tls")
        if not identity.exists():
            self.authority.issue(identity, name)
        return identity

    def opened(self, number: int) -> QemuHypervisor:
        """Build the driver of a host."""
        name = name_of(number)
        options = QemuOptions(
            self.folder / name, self.netns, "qemu", f"{PREFIX}{number}", shutdown_seconds=0.5, unplug_seconds=20.0
        )  # fmt: skip
        return QemuHypervisor(options, Reach(name, f"127.0.0.{number}", self._identity(name).directory))

    def connect(self, number: int, volume_id: str = VOLUME, size_gib: int = 1, **options: Any) -> DiskSpec:
        """Have a host reach a volume."""
        connection = self.backend.connect(volume_id, Connector(f"{volume_id}-{number}", name_of(number), f"127.0.0.{number}"))
        disk = DiskSpec(volume_id, "volume", bus="virtio", connection=connection, size_mib=size_gib * 1024)
        return replace(disk, **options)

    def disconnect(self, number: int) -> None:
        self.backend.disconnect(VOLUME, f"{VOLUME}-{number}")

    def relay(self, number: int, spec: GuestSpec) -> process.Process | None:
        """Return the relay of a guest to the volume."""
        return process.find(Place(self.folder / name_of(number) / "guests" / spec.id / "relays" / VOLUME))

    def close(self) -> None:
        for hypervisor in self.hosts.values():
            for guest_id in hypervisor.observe_all():
                hypervisor.destroy(guest_id)
            hypervisor.close()
        for state in self.backend.observe_all().values():
            for connector_id in state.connections:
                self.backend.disconnect(state.id, connector_id)
        self.backend.close()


def name_of(number: int) -> str:
    return STORE if number == 1 else f"host{number}"


@pytest.fixture
def kind() -> str:
    """The kind of the back end."""
    return "file"


@pytest.fixture
def site(tmp_path: Path, kind: str) -> Iterator[Site]:
    netns = f"pileus-test-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", netns], check=True)
    try:
        made = Site(tmp_path, netns, kind)
        made.backend.ensure(VolumeSpec(VOLUME, 1))
        yield made
        made.close()
    finally:
        subprocess.run(["ip", "netns", "del", netns], check=True)


def having(spec: GuestSpec, *volumes: DiskSpec, **changes: Any) -> GuestSpec:
    return replace(spec, disks=(*spec.disks, *volumes), **changes)


def test_a_way_to_a_volume_names_nothing_of_the_other_host(site: Site) -> None:
    data = site.connect(2).connection["data"]
    assert {key: value for key, value in data.items() if key not in ("host", "port")} == {
        "export": VOLUME, "read_only": False, "access_mode": "rw", "volume_id": VOLUME, "tls_hostname": "store",
    }  # fmt: skip


def test_a_guest_boots_from_a_volume_and_leaves_nothing(site: Site, spec: GuestSpec) -> None:
    content = site.backend.open(VOLUME, writable=True)
    content.write(0, sectors.obedient())
    content.close()
    root = site.connect(2, boot_index=0)
    booted = replace(spec, disks=(root,))
    hypervisor = site.hosts[2]
    hypervisor.ensure(booted)
    until(lambda: "guest is up" in hypervisor.console_log(spec.id), SECONDS)
    relay = site.relay(2, spec)
    assert relay is not None
    hypervisor.ensure(replace(booted, power="off"))
    until(lambda: relay.ended(0), SECONDS)
    hypervisor.capture(spec.id, str(site.folder / "copy.raw"), "raw")
    with (site.folder / "copy.raw").open("rb") as file:
        assert file.read(len(sectors.obedient())) == sectors.obedient()
    hypervisor.ensure(booted)
    relay = site.relay(2, spec)
    assert relay is not None
    hypervisor.destroy(spec.id)
    assert relay.ended(0)
    assert not list((site.folder / "host2" / "guests").iterdir())


def test_a_relay_is_kept_and_started_again_and_ends_with_its_guest(site: Site, spec: GuestSpec) -> None:
    site.hosts[2].ensure(having(spec, site.connect(2)))
    first = site.relay(2, spec)
    assert first is not None
    site.hosts[2].close()
    assert not first.ended(0)
    site.hosts[2] = site.opened(2)
    site.hosts[2].ensure(having(spec, site.connect(2)))
    assert not first.ended(0)
    signal.pidfd_send_signal(first.pidfd, signal.SIGKILL)
    until(lambda: (now := site.relay(2, spec)) is not None and now.pid != first.pid, SECONDS)
    second = site.relay(2, spec)
    assert second is not None
    site.hosts[2].close()  # the guest ends while nobody looks
    guest = process.find(Place(site.folder / "host2" / "guests" / spec.id))
    assert guest is not None
    guest.kill()
    assert guest.ended(10)
    site.hosts[2] = site.opened(2)
    until(lambda: second.ended(0), SECONDS)


def test_only_hosts_that_are_connected_reach_a_volume(site: Site, spec: GuestSpec) -> None:
    disk = site.connect(2)
    with pytest.raises(DriverError, match="is not reached"):
        site.hosts[3].ensure(having(spec, disk))
    site.hosts[3].destroy(spec.id)
    another = {**disk.connection["data"], "tls_hostname": "somebody"}
    with pytest.raises(DriverError, match="is not reached"):
        site.hosts[2].ensure(having(spec, replace(disk, connection={"driver_volume_type": "nbd", "data": another})))
    assert site.relay(2, spec) is None
    site.hosts[2].ensure(having(spec, disk))


def test_a_host_without_a_certificate_says_so(site: Site, spec: GuestSpec, tmp_path: Path) -> None:
    alone = QemuHypervisor(QemuOptions(tmp_path / "alone", site.netns, "qemu", PREFIX))
    try:
        with pytest.raises(DriverError, match="no address"):
            alone.ensure(having(spec, site.connect(2)))
    finally:
        alone.destroy(spec.id)
        alone.close()


@pytest.mark.parametrize("kind", ["iscsi"])
def test_a_guest_leaves_the_host_of_its_volume_and_comes_back(site: Site, image: Path) -> None:
    guest = Machine(site.hosts[1], linux_spec(image)).start(site.connect(1))
    guest.await_disk()
    asked = "echo 3 > /proc/sys/vm/drop_caches; head -c 16000000 /dev/vdb | md5sum"
    for number, turn in enumerate((2, 1, 3, 1)):
        writing = f"head -c 4000000 /dev/urandom > /dev/shm/x; dd if=/dev/shm/x of=/dev/vdb bs=1000000 seek={4 * number} "
        guest.shell.run(f"{writing} conv=fsync 2>/dev/null; rm /dev/shm/x")
        before, left = guest.shell.run(asked), next(which for which, each in site.hosts.items() if each is guest.hypervisor)
        move(guest, site.hosts[turn], guest.having(site.connect(turn)))
        site.disconnect(left)
        assert guest.shell.run(asked) == before
        assert (site.relay(turn, guest.spec) is None) == (turn == 1)
    for turn, size_gib in ((1, 2), (3, 3)):
        if turn != 1:
            move(guest, site.hosts[turn], guest.having(site.connect(turn, size_gib=size_gib - 1)))
            site.disconnect(1)
        site.backend.ensure(VolumeSpec(VOLUME, size_gib))
        guest.have(site.connect(turn, size_gib=size_gib))
        guest.shell.run(f'until [ "$(cat /sys/block/vdb/size)" = {size_gib * GIB // 512} ]; do sleep 0.1; done')
        last = size_gib * GIB // 512 - 1
        guest.shell.run(f"echo end {turn} | dd of=/dev/vdb bs=512 seek={last} conv=sync,fsync 2>/dev/null")
        assert guest.shell.run(asked) == before
    content = site.backend.open(VOLUME)
    assert content.read(2 * GIB - 512, 5) + content.read(3 * GIB - 512, 5) == b"end 1end 3"
    content.close()
    guest.have()
    site.disconnect(3)


def test_a_linux_guest_keeps_what_it_wrote_wherever_it_goes(site: Site, image: Path) -> None:
    guest = Machine(site.hosts[2], linux_spec(image)).start()
    here = site.connect(2)
    guest.have(here)
    guest.await_disk()
    guest.shell.run("head -c 4000000 /dev/urandom > /dev/shm/x; dd if=/dev/shm/x of=/dev/vdb bs=64k conv=fsync 2>/dev/null")
    asked = "echo 3 > /proc/sys/vm/drop_caches; head -c 4000000 /dev/vdb | md5sum"
    before = guest.shell.run(asked)
    relay = site.relay(2, guest.spec)
    assert relay is not None
    guest.shell.run("head -c 16777216 /dev/urandom > /dev/shm/x")
    guest.shell.begin("dd if=/dev/shm/x of=/dev/vdb bs=64k seek=128 oflag=direct 2>/dev/null")
    os.kill(relay.pid, signal.SIGKILL)
    guest.shell.end()
    guest.shell.run("dd if=/dev/vdb of=/dev/shm/y bs=64k skip=128 count=256 2>/dev/null")
    sums = guest.shell.run("cat /dev/shm/x | md5sum; cat /dev/shm/y | md5sum; rm /dev/shm/x /dev/shm/y").splitlines()
    assert sums[0] == sums[1]
    site.backend.take_snapshot(VOLUME, "s")
    there = site.connect(3)
    assert guest.shell.run(asked) == before
    move(guest, site.hosts[3], guest.having(there))
    assert site.relay(2, guest.spec) is None
    site.disconnect(2)
    assert guest.shell.run(asked) == before
    site.backend.ensure(VolumeSpec(VOLUME, 2))
    guest.have(site.connect(3, size_gib=2))
    guest.shell.run(f'until [ "$(cat /sys/block/vdb/size)" = {2 * GIB // 512} ]; do sleep 0.1; done')
    guest.shell.run(
        "head -c 1000000 /dev/urandom > /dev/shm/x; dd if=/dev/shm/x of=/dev/vdb bs=64k seek=28800 conv=fsync 2>/dev/null"
    )
    assert guest.shell.run(asked) == before
    last = site.relay(3, guest.spec)
    assert last is not None
    guest.have()
    until(lambda: guest.volumes() == (), SECONDS)
    assert last.ended(10)
    site.disconnect(3)
