"""A Linux guest that goes from one host to another while it runs: two hypervisors of this machine, with disks and memory of their
own, and certificates of one authority."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.certificates import Authority, Identity
from pileus.compute.driver import GuestSpec, Passage
from pileus.compute.drivers.qemu import QemuHypervisor, QemuOptions, Reach
from pileus.guest import build
from tests.compute.drivers.machine import Machine, linux_spec
from tests.compute.drivers.test_contract import until

pytestmark = [pytest.mark.host, pytest.mark.xdist_group("compute volumes")]
PREFIX = "pileus-test"
SECONDS = 120.0
PAUSE_SECONDS_MAX = 5.0  # a quarter of a second on a machine with nothing else to do
# Each line is what the guest's own clock says, to a hundredth of a second.
TICK = (
    "mkfifo /dev/shm/never; (while read -t 0.01 x <> /dev/shm/never || true; do read up idle < /proc/uptime; echo $up; done"
    " > /dev/shm/ticks) >/dev/null 2>&1 & echo $! > /dev/shm/ticker"
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    (folder / "work").mkdir()
    build(folder / "guest.qcow2", folder / "work")
    return folder / "guest.qcow2"


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


@pytest.fixture
def hosts(tmp_path: Path, authority: Authority) -> Iterator[list[QemuHypervisor]]:
    made = [host(tmp_path / f"host{number}", authority, number) for number in (1, 2)]
    yield made
    for each in made:
        for guest_id in each.observe_all():
            each.destroy(guest_id)
        each.close()


@pytest.fixture
def guest(hosts: list[QemuHypervisor], image: Path) -> Machine:
    return Machine(hosts[0], linux_spec(image)).start()


def move(guest: Machine, target: QemuHypervisor) -> tuple[Passage, float]:
    """Send a guest to another host; returns how far it was last, and how long it took."""
    source, began = guest.hypervisor, time.monotonic()
    arrival = target.receive(guest.spec, source.describe(guest.spec.id))
    source.send(guest.spec.id, arrival, SECONDS)
    last = Passage("disks")
    while last.stage not in ("gone", "failed"):
        found = source.passage(guest.spec.id, last.stage, 0.5)
        assert found is not None
        last = found
        assert time.monotonic() - began < SECONDS, last
    assert last.stage == "gone", last
    until(lambda: target.arrive(guest.spec.id, 0.5), SECONDS)
    took = time.monotonic() - began
    source.destroy(guest.spec.id)
    guest.hypervisor = target
    guest.open_shell()
    guest.shell._number = 1000
    return last, took


def pauses(guest: Machine) -> float:
    """Return the longest time between two ticks of the guest, in seconds."""
    guest.shell.run("kill $(cat /dev/shm/ticker)")
    time.sleep(0.1)
    ticks = [float(line) for line in guest.shell.run("cat /dev/shm/ticks").split() if re.fullmatch(r"\d+\.\d\d", line)][1:]
    return max(after - before for before, after in zip(ticks, ticks[1:], strict=False))


def power(hypervisor: QemuHypervisor, spec: GuestSpec) -> str | None:
    state = hypervisor.observe(spec.id)
    return None if state is None else "arriving" if state.arriving else state.power


def test_a_guest_goes_over_with_its_disk_and_its_memory(guest: Machine, hosts: list[QemuHypervisor]) -> None:
    guest.shell.run("head -c 8000000 /dev/urandom > /root/kept; sync; head -c 4000000 /dev/urandom > /dev/shm/held")
    before = guest.shell.run("md5sum /root/kept /dev/shm/held")
    guest.shell.run(TICK)
    time.sleep(3)
    last, took = move(guest, hosts[1])
    time.sleep(1.0)
    assert pauses(guest) < PAUSE_SECONDS_MAX
    assert took < SECONDS
    assert last.disk_processed_bytes > 0
    assert guest.shell.run("md5sum /root/kept /dev/shm/held") == before
    guest.shell.run("echo 3 > /proc/sys/vm/drop_caches; head -c 1000000 /dev/urandom > /root/more; sync")
    assert guest.shell.run("md5sum /root/kept /dev/shm/held") == before
    assert power(hosts[0], guest.spec) is None
    assert power(hosts[1], guest.spec) == "on"
