"""Guests that go from one host to another while they run: two hosts of this machine, with certificates of one authority.

What every hypervisor must show that can do it comes first (QEMU runs guests of one sector here); then a Linux guest goes to and
fro.
"""

import itertools
import os
import re
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pileus.certificates import Authority, Identity
from pileus.compute.driver import Arrival, DriverError, GuestSpec, Passage
from pileus.compute.drivers.fake import FakeHypervisor
from pileus.compute.drivers.qemu import QemuHypervisor, QemuOptions, Reach, departures
from tests.compute.drivers.machine import Machine, Storage, linux_spec
from tests.compute.drivers.test_contract import until

pytestmark = [pytest.mark.host, pytest.mark.xdist_group("compute volumes")]
PREFIX = "pileus-test"
SECONDS = 120.0
PAUSE_SECONDS_MAX = 5.0  # a quarter of a second on a machine with nothing else to do
# Each line is what the guest's own clock says, to a hundredth of a second.
TICK = (
    "rm -f /dev/shm/never; mkfifo /dev/shm/never; (while read -t 0.01 x <> /dev/shm/never || true;"
    " do read up idle < /proc/uptime; echo $up; done > /dev/shm/ticks) >/dev/null 2>&1 & echo $! > /dev/shm/ticker"
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("authority") / "ca")
    made.ensure()
    return made


def host(folder: Path, authority: Authority, number: int) -> QemuHypervisor:
    identity = Identity(folder / "tls")
    if not identity.exists():
        authority.issue(identity, f"host{number}")
    options = QemuOptions(folder / "state", virt_type="qemu", cgroup_prefix=f"{PREFIX}{number}", shutdown_seconds=0.5)
    return QemuHypervisor(options, Reach(f"host{number}", f"127.0.0.{number}", identity.directory))


def end(hosts: list[Any]) -> None:
    for each in hosts:
        for guest_id in each.observe_all():
            each.destroy(guest_id)
        each.close()


@pytest.fixture
def hosts(tmp_path: Path, authority: Authority) -> Iterator[list[QemuHypervisor]]:
    made = [host(tmp_path / f"host{number}", authority, number) for number in (1, 2)]
    yield made
    end(made)


@pytest.fixture(params=["fake", "qemu"])
def pair(request: pytest.FixtureRequest) -> Any:
    """Two hosts."""
    return [FakeHypervisor(), FakeHypervisor()] if request.param == "fake" else request.getfixturevalue("hosts")


def power(hypervisor: Any, spec: GuestSpec) -> str | None:
    state = hypervisor.observe(spec.id)
    return None if state is None else "awaited" if state.arriving else state.power


def send(source: Any, target: Any, spec: GuestSpec) -> Passage:
    """Send a guest to another host; returns how far it came."""
    source.send(spec.id, target.receive(spec, source.describe(spec.id)), SECONDS)
    return follow(source, spec)


def follow(source: Any, spec: GuestSpec) -> Passage:
    """Follow a guest until it is gone or stays."""
    deadline = time.monotonic() + SECONDS
    last = source.passage(spec.id)
    while last.stage not in ("gone", "failed"):
        last = source.passage(spec.id, last.stage, 0.5)
        assert time.monotonic() < deadline, last
    return last  # type: ignore[no-any-return]


def arrive(target: Any, spec: GuestSpec) -> None:
    until(lambda: target.arrive(spec.id, 0.5), SECONDS)


@pytest.mark.parametrize("wanted", ["on", "paused"])
def test_a_guest_goes_over_as_it_is(pair: Any, spec: GuestSpec, wanted: Any) -> None:
    source, target = pair
    spec = replace(spec, power=wanted)
    source.ensure(spec)
    assert send(source, target, spec).stage == "gone"
    for _ in range(2):
        arrive(target, spec)
    assert power(target, spec) == wanted
    source.destroy(spec.id)
    assert (power(source, spec), power(target, spec)) == (None, wanted)
    for again in ("paused", "on", "off"):
        target.ensure(replace(spec, power=again))
        assert power(target, spec) == again


def test_what_is_asked_twice_is_done_once(pair: Any, spec: GuestSpec) -> None:
    source, target = pair
    source.ensure(spec)
    machine = source.describe(spec.id)
    first, second = target.receive(spec, machine), target.receive(spec, machine)
    assert first == second
    assert power(target, spec) == "awaited"
    assert list(target.observe_all()) == [spec.id]
    for _ in range(2):
        source.send(spec.id, first, SECONDS)
    assert follow(source, spec).stage == "gone"
    for _ in range(2):
        arrive(target, spec)
    assert target.refuse(spec.id) is False
    for _ in range(2):
        source.destroy(spec.id)


def test_a_guest_that_is_refused_stays(pair: Any, spec: GuestSpec) -> None:
    source, target = pair
    source.ensure(spec)
    target.receive(spec, source.describe(spec.id))
    for _ in range(2):
        assert target.refuse(spec.id) is True
    assert (power(source, spec), power(target, spec)) == ("on", None)
    source.stay(spec.id)
    source.ensure(spec)


def test_a_guest_whose_target_is_gone_stays(pair: Any, spec: GuestSpec) -> None:
    source, target = pair
    source.ensure(spec)
    arrival = target.receive(spec, source.describe(spec.id))
    assert target.refuse(spec.id) is True
    source.send(spec.id, arrival, SECONDS)
    assert follow(source, spec).stage == "failed"
    assert power(source, spec) == "on"
    for _ in range(2):
        source.stay(spec.id)
    assert source.passage(spec.id) is None
    assert send(source, target, spec).stage == "gone"  # and may be sent again
    arrive(target, spec)


def test_a_guest_that_is_gone_stays_gone(pair: Any, spec: GuestSpec) -> None:
    source, target = pair
    source.ensure(spec)
    assert send(source, target, spec).stage == "gone"
    arrive(target, spec)
    for do in (lambda: source.ensure(spec), lambda: source.reboot(spec.id, True), lambda: source.stay(spec.id)):
        with pytest.raises(DriverError):
            do()
    assert power(target, spec) == "on"


def test_a_guest_that_is_awaited_does_not_start(pair: Any, spec: GuestSpec) -> None:
    source, target = pair
    source.ensure(spec)
    target.receive(spec, source.describe(spec.id))
    for do in (lambda: target.ensure(spec), lambda: target.reboot(spec.id, True)):
        with pytest.raises(DriverError):
            do()
    assert power(target, spec) == "awaited"
    target.destroy(spec.id)
    assert power(target, spec) is None


def test_what_does_not_run_cannot_be_sent(pair: Any, spec: GuestSpec) -> None:
    source, target = pair
    for do in (lambda: source.describe(spec.id), lambda: source.hurry(spec.id), lambda: source.passage(spec.id) or 1 / 0):
        with pytest.raises((DriverError, ZeroDivisionError)):
            do()
    source.ensure(replace(spec, power="off"))
    with pytest.raises(DriverError):
        source.describe(spec.id)
    target.ensure(spec)
    machine = target.describe(spec.id)
    with pytest.raises(DriverError, match="runs here already"):
        target.receive(spec, machine)


# ---- QEMU


def kill(hypervisor: QemuHypervisor, spec: GuestSpec) -> None:
    live = hypervisor._watch.get(spec.id)
    assert live is not None
    live.process.kill()
    assert live.ended.wait(10)


def test_a_guest_goes_on_where_it_was_when_qemu_is_killed_there(hosts: list[QemuHypervisor], spec: GuestSpec) -> None:
    source, target = hosts
    source.ensure(spec)
    arrival = target.receive(spec, source.describe(spec.id))
    kill(target, spec)
    source.send(spec.id, arrival, SECONDS)
    assert follow(source, spec).stage == "failed"
    assert target.refuse(spec.id) is True
    source.stay(spec.id, refused=True)
    assert (power(source, spec), power(target, spec)) == ("on", None)


def test_a_guest_of_a_host_that_nobody_hears_is_halted_and_goes_on(hosts: list[QemuHypervisor], spec: GuestSpec) -> None:
    source: Any = hosts[0]
    source.ensure(spec)
    source.halt(spec.id)
    assert power(source, spec) == "paused"
    source.halt(spec.id)  # again, and one that is not there
    source.halt("0c9e1ad4-6a70-4b7e-a1c1-9f0c1d3f7a11")
    source.go_on(spec.id)
    assert power(source, spec) == "on"
    source.ensure(replace(spec, power="paused"))
    source.halt(spec.id)
    source.go_on(spec.id)
    assert power(source, spec) == "paused", "its user had it so"


def test_a_guest_that_cannot_be_halted_is_killed(hosts: list[QemuHypervisor], spec: GuestSpec) -> None:
    source: Any = hosts[0]
    source.ensure(spec)
    live = source._watch.get(spec.id)
    os.kill(live.process.pid, signal.SIGSTOP)  # it answers nothing, as one whose storage hangs
    source.halt(spec.id)
    assert live.ended.wait(10)
    assert power(source, spec) == "crashed"


def test_a_guest_killed_on_its_way_runs_nowhere(hosts: list[QemuHypervisor], spec: GuestSpec) -> None:
    source, target = hosts
    source.ensure(spec)
    arrival = target.receive(spec, source.describe(spec.id))
    source.send(spec.id, arrival, SECONDS)
    kill(source, spec)
    assert target.refuse(spec.id) in (True, False)
    powers = [power(each, spec) for each in hosts]
    assert powers in (["crashed", None], ["crashed", "on"], ["crashed", "paused"])


def test_a_guest_killed_after_it_left_and_before_it_ran_goes_on_where_it_was(
    hosts: list[QemuHypervisor], spec: GuestSpec
) -> None:
    source, target = hosts
    source.ensure(spec)
    arrival = replace(target.receive(spec, source.describe(spec.id)), word="what nobody knows")
    source.send(spec.id, arrival, SECONDS)
    assert follow(source, spec).stage == "gone"
    assert power(target, spec) == "awaited"
    with pytest.raises(DriverError, match="has left"):
        source.stay(spec.id)
    assert target.refuse(spec.id) is True
    source.stay(spec.id, refused=True)
    assert (power(source, spec), power(target, spec)) == ("on", None)


def test_a_word_that_did_not_come_is_said_again(hosts: list[QemuHypervisor], spec: GuestSpec) -> None:
    source, target = hosts
    source.ensure(spec)
    source.send(spec.id, replace(target.receive(spec, source.describe(spec.id)), word="what nobody knows"), SECONDS)
    assert follow(source, spec).stage == "gone"
    arrive(target, spec)
    assert power(target, spec) == "on"


def test_strangers_are_not_let_in(hosts: list[QemuHypervisor], spec: GuestSpec) -> None:
    source, target = hosts
    source.ensure(spec)
    arrival = target.receive(spec, source.describe(spec.id))
    for said in (b"", b"gone\n", b"gone guess\n", b"memory guess\n", b"x" * 500, b"\xff\xfe\n"):
        with socket.create_connection((arrival.address, arrival.port)) as connection:
            connection.sendall(said)
    with socket.create_connection((arrival.address, arrival.disks_port)) as connection:
        connection.sendall(b"hello")
    assert power(target, spec) == "awaited"
    source.send(spec.id, arrival, SECONDS)
    assert follow(source, spec).stage == "gone"
    arrive(target, spec)


def test_a_host_without_a_certificate_of_ours_gets_nothing(tmp_path: Path, authority: Authority, spec: GuestSpec) -> None:
    stranger = Authority(tmp_path / "other" / "ca")
    stranger.ensure()
    hosts = [host(tmp_path / "one", stranger, 1), host(tmp_path / "two", authority, 2)]
    try:
        hosts[0].ensure(spec)
        assert send(hosts[0], hosts[1], spec).stage == "failed"
        assert [power(each, spec) for each in hosts] == ["on", "awaited"]
        assert hosts[1].refuse(spec.id) is True
        hosts[0].stay(spec.id)
        assert power(hosts[0], spec) == "on"
    finally:
        end(hosts)


def test_those_who_come_after_go_on(tmp_path: Path, authority: Authority, spec: GuestSpec) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    hosts = [host(folder, authority, number) for number, folder in enumerate(folders, 1)]
    try:
        hosts[0].ensure(spec)
        machine = hosts[0].describe(spec.id)
        hosts[1].receive(spec, machine)
        hosts[1].close()
        hosts[1] = host(folders[1], authority, 2)
        arrival = hosts[1].receive(spec, machine)
        hosts[0].send(spec.id, arrival, SECONDS)
        for number in (1, 2):
            hosts[number - 1].close()
            hosts[number - 1] = host(folders[number - 1], authority, number)
        if follow(hosts[0], spec).stage == "failed":
            assert hosts[1].refuse(spec.id) is True
            hosts[0].stay(spec.id, refused=True)
            assert [power(each, spec) for each in hosts] == ["on", None]
        else:
            arrive(hosts[1], spec)
            hosts[0].destroy(spec.id)
            assert [power(each, spec) for each in hosts] == [None, "on"]
    finally:
        end(hosts)


def test_a_host_that_others_do_not_reach_says_so(tmp_path: Path, spec: GuestSpec) -> None:
    alone = QemuHypervisor(QemuOptions(tmp_path, virt_type="qemu", cgroup_prefix=PREFIX))
    try:
        alone.ensure(spec)
        machine = alone.describe(spec.id)
        with pytest.raises(DriverError, match="no address"):
            alone.receive(replace(spec, id=str(uuid.uuid4())), machine)
        with pytest.raises(DriverError, match="no address"):
            alone.send(spec.id, Arrival("host2", "127.0.0.2", 1), 1.0)
        alone.ensure(spec)
    finally:
        end([alone])


# ---- a Linux guest


def move(guest: Machine, target: QemuHypervisor, spec: GuestSpec) -> float:
    """Have a guest be on another host; returns how long that took."""
    source, began = guest.hypervisor, time.monotonic()
    last = send(source, target, spec)
    assert last.stage == "gone", last
    arrive(target, spec)
    took = time.monotonic() - began
    source.destroy(spec.id)
    guest.hypervisor = target
    number = guest.shell._number
    guest.open_shell()
    guest.shell._number = number + 1
    return took


def pauses(guest: Machine) -> float:
    """Return the longest time between two ticks of the guest, in seconds."""
    guest.shell.run("kill $(cat /dev/shm/ticker)")
    time.sleep(0.1)
    guest.shell.run("true")
    said = guest.shell.run("cat /dev/shm/ticks").split("\n")
    ticks = [float(line) for line in said if re.fullmatch(r"\d+\.\d\d", line.strip())][1:]
    return max(after - before for before, after in itertools.pairwise(ticks))


@pytest.mark.parametrize("memory_mib", [192, departures.HALTED_MIB + 8], ids=["halted", "its memory follows"])
def test_a_linux_guest_keeps_its_disks_its_memory_and_its_volume(
    hosts: list[QemuHypervisor], image: Path, tmp_path: Path, memory_mib: int
) -> None:
    guest = Machine(hosts[0], replace(linux_spec(image), memory_mib=memory_mib)).start()
    storage = Storage(tmp_path)
    try:
        volume = storage.disk(storage.make(16))
        guest.have(volume)
        guest.await_disk()
        guest.shell.run("head -c 8000000 /dev/urandom > /root/kept; sync; head -c 4000000 /dev/urandom > /dev/shm/held")
        guest.shell.run("head -c 4000000 /dev/urandom | dd of=/dev/vdb conv=fsync 2>/dev/null")
        asked = "md5sum /root/kept /dev/shm/held; head -c 4000000 /dev/vdb | md5sum"
        before = guest.shell.run(asked)
        spec = guest.having(volume)
        for target in (hosts[1], hosts[0]):
            guest.shell.run(TICK)
            assert move(guest, target, spec) < SECONDS
            time.sleep(0.5)
            assert pauses(guest) < PAUSE_SECONDS_MAX
            guest.shell.run("echo 3 > /proc/sys/vm/drop_caches")
            assert guest.shell.run(asked).split() == before.split()
            assert guest.volumes() == (volume.id,)
        guest.shell.run("head -c 1000000 /dev/urandom > /root/more; sync; dd if=/root/more of=/dev/vdb conv=fsync 2>/dev/null")
        guest.have()
        until(lambda: guest.volumes() == ())
    finally:
        guest.hypervisor.destroy(guest.spec.id)
        storage.stop()
