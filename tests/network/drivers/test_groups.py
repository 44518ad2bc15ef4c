"""What reaches a guest through its floating address: what its groups allow, from wherever, whatever holds its tap."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from pileus.network.driver import GroupRule, GroupSpec, NetworkSpec, PortSpec, RouterInterface
from pileus.network.drivers.linux.netns import Namespace
from tests.network.drivers.conftest import FROM_MEMBERS, ICMP, TCP_80, Cloud, new_id
from tests.network.drivers.guests import Guest, connects, listens, pings, with_switch
from tests.network.drivers.tap_guest import TapGuest

pytestmark = [pytest.mark.host, pytest.mark.timeout(60)]

FLOATING, FIXED, ADDRESS = "172.24.4.20", "10.0.0.11", "10.0.0.11/24"


@contextmanager
def guest_on(cloud: Cloud, end: str) -> Iterator[None]:
    """The guest behind the floating address: it answers pings and takes connections to port 80."""
    if end == "tap":
        with closing(TapGuest(Namespace(cloud.stage.prefix), cloud.ports[0], ADDRESS)):
            yield
        return
    guest = cloud.stage.guest(cloud.ports[0])
    guest.configure(ADDRESS, "10.0.0.1")
    with listens(guest.namespace, 80):
        yield


def red_guest(cloud: Cloud) -> Guest:
    """A guest of another network on the same router, in a group of its own."""
    red = NetworkSpec(new_id(), segment=102, mtu=1450)
    group = GroupSpec(new_id(), (GroupRule(new_id(), "egress"),), frozenset({"10.2.0.5"}))
    port = PortSpec(new_id(), red.id, "fa:16:3e:00:02:05", "tapred", ("10.2.0.5",), (group.id,))
    cloud.host.ensure_network(red)
    cloud.host.ensure_groups([group])
    cloud.host.ensure_port(port)
    leg = RouterInterface(new_id(), red.id, "fa:16:3e:00:02:01", ("10.2.0.1/24",))
    cloud.router = replace(cloud.router, interfaces=(*cloud.router.interfaces, leg))
    cloud.host.ensure_router(cloud.router)
    guest = cloud.stage.guest(port)
    guest.configure("10.2.0.5/24", "10.2.0.1")
    assert guest.pings("198.51.100.7"), "its own network works"
    return guest


def reached(source: Namespace, address: str) -> tuple[bool, bool]:
    """Whether a ping and a connection to port 80 come through."""
    return pings(source, address, "-c", "2"), connects(source, address, 80)


ORIGINS = ("outside", "another network", "another network, inside")
ENDS = [("linux", end, origin) for end in ("tap", "veth") for origin in ORIGINS]
SWITCHED = [pytest.param("ovs", end, origin, marks=with_switch) for end, origin in (("tap", ORIGINS[0]), ("veth", ORIGINS[2]))]


@pytest.mark.parametrize(("kind", "end", "origin"), [*ENDS, *SWITCHED])
def test_a_floating_address_opens_nothing_that_the_groups_do_not(cloud: Cloud, end: str, origin: str) -> None:
    cloud.allow(FROM_MEMBERS)
    source = cloud.stage.outside if origin == "outside" else red_guest(cloud).namespace
    target = FIXED if origin.endswith("inside") else FLOATING
    with guest_on(cloud, end):
        assert reached(source, target) == (False, False)
        cloud.allow(FROM_MEMBERS, ICMP)
        assert reached(source, target) == (True, False)
        cloud.allow(FROM_MEMBERS, TCP_80)
        assert reached(source, target) == (False, True)
        cloud.allow(FROM_MEMBERS)
        assert reached(source, target) == (False, False)


def test_what_a_guest_opened_does_not_let_others_in(cloud: Cloud) -> None:
    one, _ = cloud.guests()
    assert one.pings("172.24.4.1", "-c", "2")
    with listens(one.namespace, 80), listens(cloud.stage.outside, 8080):
        assert connects(one.namespace, "172.24.4.1", 8080)
        assert reached(cloud.stage.outside, FLOATING) == (False, False)


def test_a_ping_under_way_ends_with_its_rule(cloud: Cloud) -> None:
    cloud.allow(ICMP)
    with guest_on(cloud, "tap"), cloud.stage.outside.entered():
        pinging = subprocess.Popen(["busybox", "ping", "-i", "0.1", "-c", "40", FLOATING], stdout=subprocess.PIPE)
        assert pinging.stdout
        for _ in range(4):
            pinging.stdout.readline()
        cloud.allow()
        os.set_blocking(pinging.stdout.fileno(), False)
        pinging.stdout.read()  # what was answered while the rule was still there
        os.set_blocking(pinging.stdout.fileno(), True)
        after = pinging.communicate(timeout=30)[0].count(b"bytes from")
    assert after <= 2, "what was on its way"
