"""What every hypervisor must show.  QEMU runs guests of one sector here, which are up in a tenth of a second."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from pileus.compute.driver import DriverError, GuestSpec, Hypervisor
from pileus.compute.drivers.fake import FakeHypervisor
from pileus.compute.drivers.qemu import QemuHypervisor, QemuOptions


@pytest.fixture(params=["fake", pytest.param("qemu", marks=pytest.mark.host)])
def hypervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hypervisor]:
    if request.param == "fake":
        yield FakeHypervisor()
        return
    qemu = QemuHypervisor(QemuOptions(tmp_path, virt_type="qemu", shutdown_seconds=1.0, cgroup_prefix="pileus-test"))
    yield qemu
    for guest_id in qemu.observe_all():
        qemu.destroy(guest_id)
    qemu.close()


def power(hypervisor: Hypervisor, spec: GuestSpec) -> str | None:
    state = hypervisor.observe(spec.id)
    return state.power if state else None


def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.01)


def until_up(hypervisor: Hypervisor, spec: GuestSpec) -> None:
    until(lambda: hypervisor.console_log(spec.id))


def test_a_guest_that_nobody_made_is_none(hypervisor: Hypervisor) -> None:
    assert hypervisor.observe("nobody") is None
    assert hypervisor.observe_all() == {}


def test_ensure_twice_is_once(hypervisor: Hypervisor, spec: GuestSpec) -> None:
    hypervisor.ensure(spec)
    first = hypervisor.observe(spec.id)
    hypervisor.ensure(spec)
    assert power(hypervisor, spec) == "on"
    assert hypervisor.observe(spec.id) == first
    assert hypervisor.observe_all() == {spec.id: first}


@pytest.mark.parametrize("target", ["off", "paused", "suspended"])
def test_power_follows_the_spec_there_and_back(hypervisor: Hypervisor, spec: GuestSpec, target: str) -> None:
    hypervisor.ensure(spec)
    until_up(hypervisor, spec)
    for wanted in (target, target, "on", "on"):
        hypervisor.ensure(replace(spec, power=wanted))
        assert power(hypervisor, spec) == wanted


def test_a_suspended_guest_can_be_switched_off(hypervisor: Hypervisor, spec: GuestSpec) -> None:
    hypervisor.ensure(spec)
    hypervisor.ensure(replace(spec, power="suspended"))
    hypervisor.ensure(replace(spec, power="off"))
    assert power(hypervisor, spec) == "off"


def test_a_guest_can_be_made_without_being_started(hypervisor: Hypervisor, spec: GuestSpec) -> None:
    hypervisor.ensure(replace(spec, power="off"))
    assert power(hypervisor, spec) == "off"


def test_a_guest_that_is_off_cannot_be_suspended(hypervisor: Hypervisor, spec: GuestSpec) -> None:
    hypervisor.ensure(replace(spec, power="off"))
    with pytest.raises(DriverError, match="is off"):
        hypervisor.ensure(replace(spec, power="suspended"))


def test_an_unimportant_difference_does_not_restart(hypervisor: Hypervisor, spec: GuestSpec) -> None:
    hypervisor.ensure(spec)
    before = hypervisor.observe(spec.id)
    hypervisor.ensure(replace(spec, name="other", vcpus=2, memory_mib=32))
    after = hypervisor.observe(spec.id)
    assert before is not None
    assert after is not None
    assert after.started_seconds == before.started_seconds


@pytest.mark.parametrize("hard", [False, True])
def test_reboot_starts_again(hypervisor: Hypervisor, spec: GuestSpec, hard: bool) -> None:
    hypervisor.ensure(spec)
    until_up(hypervisor, spec)
    before = hypervisor.observe(spec.id)
    time.sleep(0.02)
    hypervisor.reboot(spec.id, hard)
    after = hypervisor.observe(spec.id)
    assert before is not None
    assert after is not None
    assert after.power == "on"
    assert after.started_seconds != before.started_seconds


def test_reboot_starts_a_guest_that_is_off(hypervisor: Hypervisor, spec: GuestSpec) -> None:
    hypervisor.ensure(replace(spec, power="off"))
    hypervisor.reboot(spec.id, hard=True)
    assert power(hypervisor, spec) == "on"


def test_the_console_log_ends_with_the_last_lines(hypervisor: Hypervisor, spec: GuestSpec) -> None:
    hypervisor.ensure(spec)
    until_up(hypervisor, spec)
    hypervisor.ensure(replace(spec, power="off"))
    whole = hypervisor.console_log(spec.id)
    assert whole
    assert whole.endswith(hypervisor.console_log(spec.id, 1))
    assert len(hypervisor.console_log(spec.id, 1).splitlines()) == 1
    assert hypervisor.console_log(spec.id, 0) == ""


def test_what_is_asked_of_nobody_fails(hypervisor: Hypervisor, tmp_path: Path) -> None:
    for call in (
        lambda: hypervisor.console_log("nobody"),
        lambda: hypervisor.reboot("nobody", True),
        lambda: hypervisor.capture("nobody", str(tmp_path / "copy"), "raw"),
        lambda: hypervisor.screenshot("nobody"),
    ):
        with pytest.raises(DriverError, match="no guest nobody"):
            call()


@pytest.mark.parametrize("target", ["on", "paused", "suspended", "off"])
@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
def test_capture_writes_an_image(hypervisor: Hypervisor, spec: GuestSpec, tmp_path: Path, target: str, disk_format: str) -> None:
    copy = tmp_path / "copy"
    hypervisor.ensure(spec)
    hypervisor.ensure(replace(spec, power=target))
    hypervisor.capture(spec.id, str(copy), disk_format)
    assert (copy.read_bytes()[:4] == b"QFI\xfb") == (disk_format == "qcow2")
    assert power(hypervisor, spec) == target


def test_a_screenshot_is_a_png(hypervisor: Hypervisor, spec: GuestSpec) -> None:
    hypervisor.ensure(spec)
    assert hypervisor.screenshot(spec.id).startswith(b"\x89PNG")
    hypervisor.ensure(replace(spec, power="off"))
    with pytest.raises(DriverError, match="off"):
        hypervisor.screenshot(spec.id)


def test_what_a_guest_has_used(hypervisor: Hypervisor, spec: GuestSpec) -> None:
    with pytest.raises(DriverError):
        hypervisor.diagnose(spec.id)
    hypervisor.ensure(spec)
    until_up(hypervisor, spec)
    seen = hypervisor.diagnose(spec.id)
    assert 0 <= seen.uptime_seconds < 60
    assert (len(seen.cpu_nanoseconds), [disk.device for disk in seen.disks], seen.nics) == (1, ["root"], ())
    if not isinstance(hypervisor, FakeHypervisor):
        assert seen.disks[0].read_bytes >= 512  # the sector that was booted
        assert seen.disks[0].read_requests > 0
        assert seen.cpu_nanoseconds[0] > 0
        assert seen.resident_mib > 0
    hypervisor.ensure(replace(spec, power="off"))
    with pytest.raises(DriverError):
        hypervisor.diagnose(spec.id)


def test_destroy_twice(hypervisor: Hypervisor, spec: GuestSpec) -> None:
    hypervisor.ensure(spec)
    hypervisor.destroy(spec.id)
    hypervisor.destroy(spec.id)
    assert power(hypervisor, spec) is None
    assert hypervisor.observe_all() == {}


def test_the_host_is_counted(hypervisor: Hypervisor) -> None:
    found = hypervisor.resources()
    assert found.vcpus > 0
    assert found.memory_mib > 0
    assert found.disk_gib >= found.free_disk_gib > 0
    assert found.hypervisor_version >= 1_000_000


def test_listeners_are_told_of_guests_that_are_there(hypervisor: Hypervisor, spec: GuestSpec) -> None:
    heard: list[str] = []
    hypervisor.ensure(replace(spec, power="off"))
    hypervisor.listen(heard.append)
    until(lambda: heard == [spec.id])


class TestFake:
    """What only the fake can do."""

    def test_fails_as_often_as_it_is_told(self, spec: GuestSpec) -> None:
        fake = FakeHypervisor()
        fake.fail_next("ensure", 2, "disk full")
        for _ in range(2):
            with pytest.raises(DriverError, match="disk full"):
                fake.ensure(spec)
        fake.ensure(spec)
        assert power(fake, spec) == "on"

    def test_does_not_know_a_method_that_nobody_calls(self) -> None:
        with pytest.raises(ValueError, match="no method"):
            FakeHypervisor().fail_next("explode")

    def test_is_as_slow_as_it_is_told(self, spec: GuestSpec) -> None:
        slept: list[float] = []
        fake = FakeHypervisor(sleep=slept.append)
        fake.delays_seconds["ensure"] = 1.5
        fake.ensure(spec)
        assert slept == [1.5]

    def test_calls_the_hook_first(self, spec: GuestSpec) -> None:
        fake = FakeHypervisor()

        def refuse(method: str, guest_id: str) -> None:
            raise DriverError(f"{method} of {guest_id}")

        fake.hook = refuse
        with suppress(DriverError):
            fake.ensure(spec)
        assert fake.guests == {}

    @pytest.mark.parametrize(("act", "seen"), [("crash", "crashed"), ("shut_down", "off")])
    def test_tells_when_a_guest_ends(self, spec: GuestSpec, act: str, seen: str) -> None:
        fake, heard = FakeHypervisor(), []
        fake.ensure(spec)
        fake.listen(heard.append)
        getattr(fake, act)(spec.id)
        assert heard == [spec.id, spec.id]
        assert power(fake, spec) == seen
        assert fake.guests[spec.id].why
