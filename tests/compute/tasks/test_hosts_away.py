"""A host whose agent does not answer for a while: what was asked waits, and fails with the reason when it waits too long."""

from contextlib import contextmanager

import pytest

from pileus.kernel.bus_rabbit import HostUnreachable
from pileus.network.tasks import sync
from tests.compute.servers_lab import ServersLab

RESIZED = {"name": "wide", "ram": 128, "vcpus": 2, "disk": 1}


@contextmanager
def gone(cloud: ServersLab):
    """The host is not heard of at all."""
    hosts = cloud.lab.cloud.bus._hosts
    kept = hosts.pop("host1")
    try:
        yield
    finally:
        hosts["host1"] = kept


@contextmanager
def silent(cloud: ServersLab):
    """The host is there and does not answer calls."""

    def refuse(_method: str, _guest_id: str) -> None:
        raise HostUnreachable("host1 does not answer as hypervisor: nothing was heard of it for 15 s")

    cloud.lab.hypervisor.hook = refuse
    try:
        yield
    finally:
        cloud.lab.hypervisor.hook = None


AWAY = [gone, silent]
ASKED = [("os-stop", None, "SHUTOFF"), ("reboot", {"type": "HARD"}, "ACTIVE"), ("pause", None, "PAUSED")]


def wait(cloud: ServersLab, seconds: int) -> None:
    for _ in range(seconds):
        cloud.lab.clock.advance(1)
        while cloud.lab.worker.run_due():
            pass


@pytest.mark.parametrize("away", AWAY)
@pytest.mark.parametrize(("action", "argument", "status"), ASKED)
def test_what_was_asked_is_done_when_the_host_is_back(cloud: ServersLab, away, action, argument, status):
    id = cloud.boot()
    with away(cloud):
        assert cloud.act(id, action, argument).status_code == 202
        wait(cloud, 60)
        assert cloud.show(id)["OS-EXT-STS:task_state"]
    wait(cloud, 40)
    assert (cloud.show(id)["status"], cloud.show(id)["OS-EXT-STS:task_state"]) == (status, None)


@pytest.mark.parametrize("away", AWAY)
@pytest.mark.parametrize(("action", "argument", "status"), ASKED)
def test_what_waits_too_long_ends_in_error_and_says_why(cloud: ServersLab, away, action, argument, status):
    id = cloud.boot()
    with away(cloud):
        assert cloud.act(id, action, argument).status_code == 202
        wait(cloud, 400)
        shown = cloud.show(id)
        assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("ERROR", None)
        assert "host1" in shown["fault"]["message"]
    assert cloud.tasks() == []


def test_one_host_that_does_not_answer_keeps_nobody_from_the_others(cloud: ServersLab):
    cloud.boot()
    lab = cloud.lab
    bus, other = lab.cloud.bus, type(lab.network_host)()

    def refuse(*_given):
        raise HostUnreachable("host0 does not answer")

    broken = type(lab.network_host)()
    broken.observe = refuse
    bus._hosts |= {"host0": {"network": broken}, "host2": {"network": other}}
    other.ports["stray"] = next(iter(lab.network_host.ports.values()))
    sync.reconcile(lab.cloud)
    assert other.ports == {}
