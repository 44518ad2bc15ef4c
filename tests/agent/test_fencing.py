"""A host that nobody hears of halts its guests when its time is over, and goes on with those that are its own."""

from pathlib import Path

import pytest

from pileus.agent.contracts import Lease
from pileus.agent.fencing import Fence, fences
from pileus.compute.driver import GuestSpec
from pileus.compute.drivers.fake import FakeHypervisor
from pileus.kernel.bus_rabbit import HostUnreachable

ONE, TWO = "0c9e1ad4-6a70-4b7e-a1c1-9f0c1d3f7a11", "0c9e1ad4-6a70-4b7e-a1c1-9f0c1d3f7a12"


class Control:
    """A control plane that may be away, and a clock."""

    def __init__(self) -> None:
        self.lease: Lease | None = Lease(30.0)
        self.now = 100.0
        self.takes_seconds = 0.0

    def __call__(self, host: str, guest_ids: tuple[str, ...]) -> Lease:
        self.now += self.takes_seconds
        if self.lease is None:
            raise HostUnreachable("nobody is there")
        return self.lease

    def clock(self) -> float:
        return self.now


@pytest.fixture
def control() -> Control:
    return Control()


@pytest.fixture
def driver() -> FakeHypervisor:
    found = FakeHypervisor()
    for id in (ONE, TWO):
        found.ensure(GuestSpec(id=id, name=id, vcpus=1, memory_mib=64, disks=(), nics=(), power="on"))
    return found


@pytest.fixture
def fence(driver: FakeHypervisor, control: Control, tmp_path: Path) -> Fence:
    (found,) = fences(tmp_path, {"host1": {"hypervisor": driver}, "host1@file": {"volume": None}}, control)
    found.clock = control.clock
    return found


def powers(driver: FakeHypervisor) -> list[str]:
    return [driver.guests[id].power for id in (ONE, TWO)]


def test_guests_run_as_long_as_the_host_is_heard(fence: Fence, driver: FakeHypervisor, control: Control) -> None:
    for _ in range(10):
        assert fence.renew()
        control.now += 29.0
        assert not fence.look()
    assert powers(driver) == ["on", "on"]


def test_guests_are_halted_when_it_is_not_and_go_on_when_it_is(fence: Fence, driver: FakeHypervisor, control: Control) -> None:
    fence.renew()
    control.lease = None
    control.now += 29.9
    assert not fence.renew()
    assert not fence.look()
    control.now += 0.1
    assert fence.look()
    assert powers(driver) == ["paused", "paused"]
    driver.ensure(GuestSpec(id=ONE, name=ONE, vcpus=1, memory_mib=64, disks=(), nics=(), power="on"))
    assert fence.look()
    assert powers(driver) == ["paused", "paused"], "also what somebody started meanwhile"
    control.lease = Lease(30.0, (TWO,))
    assert fence.renew()
    assert powers(driver) == ["on", "paused"], "only what is its own still"
    assert not fence.look()


def test_what_its_user_paused_stays_so(fence: Fence, driver: FakeHypervisor, control: Control) -> None:
    driver.ensure(GuestSpec(id=TWO, name=TWO, vcpus=1, memory_mib=64, disks=(), nics=(), power="paused"))
    fence.renew()
    control.now += 31.0
    fence.look()
    fence.renew()
    assert powers(driver) == ["on", "paused"]


def test_an_answer_that_comes_too_late_counts_from_the_question(fence: Fence, driver: FakeHypervisor, control: Control) -> None:
    control.takes_seconds = 31.0
    assert fence.renew()
    assert fence.look()
    assert powers(driver) == ["paused", "paused"]


def test_without_the_setting_guests_run_for_ever(fence: Fence, driver: FakeHypervisor, control: Control) -> None:
    control.lease = Lease()
    fence.renew()
    control.lease = None
    control.now += 1e6
    assert not fence.look()
    assert powers(driver) == ["on", "on"]


def test_an_agent_that_starts_again_has_the_lease_of_the_one_before(
    fence: Fence, driver: FakeHypervisor, control: Control
) -> None:
    fence.renew()
    again = Fence("host1", driver, control, fence.kept, control.clock)
    assert not again.look()
    control.now += 30.0
    assert again.look()
    assert powers(driver) == ["paused", "paused"]
    control.lease = Lease()
    again.renew()
    assert Fence("host1", driver, control, fence.kept, control.clock).until is None
