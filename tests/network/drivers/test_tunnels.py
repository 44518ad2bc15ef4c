"""One network on two hosts: packets go where the cloud says that ports are, under the rules of both ends, and nowhere else."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from pileus.network.driver import (
    DhcpHost,
    DhcpSpec,
    GroupRule,
    GroupSpec,
    NetworkDriverError,
    NetworkSpec,
    PortSpec,
    RemotePort,
    RouterInterface,
    RouterSpec,
    SubnetSpec,
    fingerprint,
)
from pileus.network.drivers.linux.netns import Namespace
from pileus.network.drivers.linux.rtnl import Rtnl, Veth
from pileus.network.drivers.linux.tunnels import TunnelSettings, device
from pileus.network.drivers.ovs.fabric import send_plain
from tests.network.drivers.conftest import GROUP, ICMP, new_id
from tests.network.drivers.guests import Guest, Stage, connects, inside, listens, run, with_switch

pytestmark = pytest.mark.host

SUBNETS = (SubnetSpec(new_id(), "10.0.0.0/24", 4, "10.0.0.1"), SubnetSpec(new_id(), "fd00:1::/64", 6, enable_dhcp=False))
HOSTS = ("192.0.2.1", "192.0.2.2")


class Host:
    """One of two hosts: its namespaces, its driver, and the one port of the network that is on it."""

    def __init__(self, number: int, network_id: str, folder: Path, kind: str) -> None:
        self.stage, self.address, self.folder = Stage(kind), HOSTS[number], folder
        ips = (f"10.0.0.1{number}", f"fd00:1::1{number}")
        self.port = PortSpec(new_id(), network_id, f"fa:16:3e:00:00:1{number}", f"tap{new_id()[:8]}", ips, (GROUP.id,))
        self.start()

    def start(self) -> None:
        settings = TunnelSettings(self.address, self.stage.outside.name)
        self.driver = self.stage.driver(self.folder, tunnel=settings)

    @property
    def remote(self) -> RemotePort:
        return RemotePort(self.port.mac, self.port.fixed_ips, self.address)

    def links(self) -> str:
        return run(Namespace(self.stage.prefix), "bridge", "fdb", "show", "dev", device(self.port.network_id)).stdout


class Pair:
    """Two hosts on one wire, and a network that both have."""

    def __init__(self, folder: Path, *kinds: str) -> None:
        self.network = NetworkSpec(new_id(), segment=4242, mtu=1450, subnets=SUBNETS)
        self.group = GROUP
        self.hosts = [Host(number, self.network.id, folder / str(number), kind) for number, kind in enumerate(kinds)]
        one, two = (host.stage.outside for host in self.hosts)
        with Rtnl(one) as near, Rtnl(two) as far:
            near.add_veth(Veth("wire", "wire", 1500), two)
            for end, address in ((near, HOSTS[0]), (far, HOSTS[1])):
                link = end.link("wire")
                assert link
                end.set_link(link.index, up=True)
                end.sync_addresses(link.index, [f"{address}/24"])
        for namespace in (one, two):
            inside(namespace, lambda: send_plain("wire"))  # checksums are computed, as where there is a wire

    def spec(self, here: int) -> NetworkSpec:
        return replace(self.network, remotes=(self.hosts[1 - here].remote,))

    def ensure(self) -> None:
        for number, host in enumerate(self.hosts):
            host.driver.ensure_network(self.spec(number))
            host.driver.ensure_groups([self.group])
            host.driver.ensure_port(host.port)

    def allow(self, *rules: GroupRule) -> None:
        self.group = GroupSpec(GROUP.id, (*GROUP.rules, *rules), frozenset({"10.0.0.10", "10.0.0.11"}))
        for host in self.hosts:
            host.driver.ensure_groups([self.group])

    def guests(self) -> tuple[Guest, Guest]:
        one, two = (host.stage.guest(host.port) for host in self.hosts)
        for number, guest in enumerate((one, two)):
            guest.configure(f"10.0.0.1{number}/24")
            guest.ip("addr", "add", f"fd00:1::1{number}/64", "dev", "eth0")
        return one, two

    def clear(self) -> None:
        with ExitStack() as stack:
            for host in self.hosts:
                stack.callback(host.stage.clear)
                stack.callback(host.driver.close)
                stack.callback(host.driver.purge)


def made(folder: Path, *kinds: str) -> Iterator[Pair]:
    """Have a pair for a while."""
    found = Pair(folder, *kinds)
    try:
        found.ensure()
        yield found
    finally:
        found.clear()


KINDS = [
    pytest.param(kinds, marks=[] if kinds == ("linux", "linux") else with_switch, id="-".join(kinds))
    for kinds in (("linux", "linux"), ("ovs", "ovs"), ("ovs-gre", "ovs-gre"), ("linux", "ovs"))
]


ALIKE = pytest.mark.parametrize("pair", KINDS[:2], indirect=True)


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """Two hosts of every kind, and of two kinds that understand each other."""
    yield from made(tmp_path, *request.param)


@pytest.fixture
def bridges(tmp_path: Path) -> Iterator[Pair]:
    """Two hosts with bridges."""
    yield from made(tmp_path, "linux", "linux")


def test_guests_talk_over_the_wire_as_their_groups_allow(pair: Pair) -> None:
    one, two = pair.guests()
    assert not one.pings("10.0.0.11")
    pair.allow(ICMP, GroupRule(new_id(), "ingress", "IPv6", "ipv6-icmp"))
    assert one.pings("10.0.0.11", "-c", "3", "-i", "0.2", "-W", "5")
    assert two.pings("10.0.0.10", "-c", "3", "-i", "0.2", "-W", "5")
    assert one.pings("fd00:1::11", "-c", "3", "-i", "0.2", "-W", "5")
    with listens(two.namespace, 80):
        assert not connects(one.namespace, "10.0.0.11", 80)
        pair.allow(GroupRule(new_id(), "ingress", remote_group_id=GROUP.id))
        assert connects(one.namespace, "10.0.0.11", 80, timeout=5)


@ALIKE
def test_what_the_cloud_does_not_know_does_not_leave_the_host(pair: Pair) -> None:
    one, _ = pair.guests()
    pair.allow(ICMP)
    before = _received(pair.hosts[1])
    assert not one.pings("10.0.0.77")
    run(one.namespace, "busybox", "ping", "-b", "-c", "2", "-W", "1", "10.0.0.255")
    assert _received(pair.hosts[1]) == before
    assert one.pings("10.0.0.11", "-c", "3", "-i", "0.2", "-W", "5")
    assert _received(pair.hosts[1]) > before


def _received(host: Host) -> int:
    """Return how many packets have come out of a host's tunnel."""
    if host.stage.kind != "linux":
        control = f"unix:{host.folder / 'ovs' / 'br-tun.mgmt'}"
        counted = subprocess.run(
            ["ovs-ofctl", "-O", "OpenFlow15", "dump-ports", control, "2"], capture_output=True, text=True, check=True
        )
        found = re.search(r"rx pkts=(\d+)", counted.stdout)
        assert found
        return int(found[1])
    shown = run(Namespace(host.stage.prefix), "ip", "-s", "-j", "link", "show", device(host.port.network_id)).stdout
    return int(json.loads(shown)[0]["stats64"]["rx"]["packets"])


def test_a_guest_on_its_way_is_reached_where_it_is_by_all(pair: Pair) -> None:
    pair.allow(ICMP)
    source, target = pair.hosts
    one, two = pair.guests()
    ips = ("10.0.0.12", "fd00:1::12")
    beside = PortSpec(new_id(), pair.network.id, "fa:16:3e:00:00:12", f"tap{new_id()[:8]}", ips, (GROUP.id,))
    near, far = pair.spec(0), replace(pair.spec(1), remotes=(source.remote, RemotePort(beside.mac, ips, source.address)))
    source.driver.ensure_port(beside)
    target.driver.ensure_network(far)
    target.driver.ensure_port(source.port)  # it is awaited there, and nothing goes to it yet
    awaited, neighbour = target.stage.guest(source.port), source.stage.guest(beside)
    awaited.ip("link", "set", "eth0", "down")  # as one that is halted, it says nothing
    awaited.ip("addr", "flush", "dev", "eth0")
    neighbour.configure("10.0.0.12/24")
    quick = ("-c", "3", "-i", "0.2", "-W", "5")
    assert any(two.pings("10.0.0.10") for _ in range(5)), "a bridge takes up to a second to notice that a link is down"
    assert neighbour.pings("10.0.0.10", *quick)

    def switch(guest: Guest, other: Guest, host: Host) -> None:
        other.ip("addr", "flush", "dev", "eth0")
        other.namespace.sysctl({"ipv6/conf/eth0/disable_ipv6": 1})  # it says nothing, and its tap is as it was
        guest.ip("link", "set", "eth0", "up")
        guest.configure("10.0.0.10/24")
        places = (replace(source.remote, host=host.address),)
        for each in pair.hosts:
            each.driver.reroute(pair.network.id, source.port.tap, places, each is host)

    switch(awaited, one, target)
    assert two.pings("10.0.0.10", *quick)
    assert neighbour.pings("10.0.0.10", *quick)
    moved = replace(source.remote, host=target.address)
    remotes = tuple(sorted((*near.remotes, moved), key=lambda remote: remote.mac))
    now = replace(near, remotes=remotes), replace(far, remotes=tuple(place for place in far.remotes if place.mac == beside.mac))
    for host, spec in zip(pair.hosts, now, strict=True):
        assert host.driver.observe().networks[spec.id] == fingerprint(spec), "and as the rows say when they know it, too"
    switch(one, awaited, source)  # it was given up
    assert two.pings("10.0.0.10", *quick)
    assert neighbour.pings("10.0.0.10", *quick)
    assert source.driver.observe().networks[near.id] == fingerprint(near)
    for host in pair.hosts:
        host.driver.reroute(new_id(), source.port.tap, (moved,), here=False)  # of a network that it does not have


def test_a_port_that_moves_is_found_at_its_new_host(bridges: Pair) -> None:
    spec = bridges.spec(0)
    host = bridges.hosts[0]
    elsewhere = replace(spec, remotes=(replace(bridges.hosts[1].remote, host="192.0.2.9"),))
    host.driver.ensure_network(elsewhere)
    assert "dst 192.0.2.9" in host.links()
    assert "dst 192.0.2.2" not in host.links()
    host.driver.ensure_network(replace(spec, remotes=()))
    assert "dst" not in host.links().replace("dst 0.0.0.0", "")
    host.driver.ensure_network(spec)
    assert "dst 192.0.2.2" in host.links()


def test_damage_is_seen_and_repaired(bridges: Pair) -> None:
    host, spec = bridges.hosts[0], bridges.spec(0)
    namespace = Namespace(host.stage.prefix)
    assert host.driver.observe().networks[spec.id] == fingerprint(spec)
    for damage in (
        ("bridge", "fdb", "del", bridges.hosts[1].port.mac, "dev", device(spec.id), "dst", HOSTS[1], "self"),
        ("ip", "neigh", "del", "10.0.0.11", "dev", device(spec.id)),
        ("ip", "link", "del", device(spec.id)),
    ):
        done = run(namespace, *damage)
        assert done.returncode == 0, done.stderr
        assert host.driver.observe().networks.get(spec.id) != fingerprint(spec)
        host.driver.ensure_network(spec)
        assert host.driver.observe().networks[spec.id] == fingerprint(spec)


@with_switch
def test_damage_to_a_switch_is_seen_and_repaired(tmp_path: Path) -> None:
    for pair in made(tmp_path, "ovs", "ovs"):
        host, spec = pair.hosts[0], pair.spec(0)
        folder, physical = host.folder / "ovs", host.stage.outside
        pair.allow(ICMP)
        assert host.driver.observe().networks[spec.id] == fingerprint(spec)
        for damage in (
            ("ovs-ofctl", "-O", "OpenFlow15", "del-flows", f"unix:{folder / 'br-tun.mgmt'}", "table=20"),
            ("ovs-vsctl", f"--db=unix:{folder / 'db.sock'}", "del-br", "br-tun"),
            ("ovs-vsctl", f"--db=unix:{folder / 'db.sock'}", "del-br", "br-phy"),
            ("nft", "delete", "table", "netdev", host.stage.prefix),
            ("ip", "link", "del", f"{host.stage.prefix}-phy"),
        ):
            done = run(physical, *damage)
            assert done.returncode == 0, done.stderr
            assert host.driver.observe().networks.get(spec.id) != fingerprint(spec), damage
            pair.ensure()
            assert host.driver.observe().networks[spec.id] == fingerprint(spec), damage
        one, _ = pair.guests()
        assert one.pings("10.0.0.11", "-c", "3", "-i", "0.2", "-W", "5")


@with_switch
def test_without_its_address_a_host_has_no_tunnels_and_says_so(tmp_path: Path) -> None:
    for pair in made(tmp_path, "ovs", "ovs"):
        host, spec = pair.hosts[0], pair.spec(0)
        run(host.stage.outside, "ip", "addr", "del", f"{host.address}/24", "dev", "wire")
        assert host.driver.observe().networks.get(spec.id) is None
        with pytest.raises(NetworkDriverError, match=f"no interface of this machine has the address {host.address}"):
            host.driver.ensure_network(spec)
        run(host.stage.outside, "ip", "addr", "add", f"{host.address}/24", "dev", "wire")
        host.driver.ensure_network(spec)
        assert host.driver.observe().networks[spec.id] == fingerprint(spec)


def test_another_process_finds_it_whole(bridges: Pair) -> None:
    host, spec = bridges.hosts[0], bridges.spec(0)
    host.driver.close()
    host.start()
    assert host.driver.observe().networks[spec.id] == fingerprint(spec)
    host.driver.destroy_port(host.port.id)
    host.driver.destroy_network(spec.id)
    assert device(spec.id) not in run(Namespace(host.stage.prefix), "ip", "-o", "link").stdout


def test_a_segment_is_of_one_network(bridges: Pair) -> None:
    with pytest.raises(NetworkDriverError, match="4242"):
        bridges.hosts[0].driver.ensure_network(replace(bridges.spec(0), id=new_id()))


@ALIKE
def test_every_host_serves_dhcp_and_a_router_is_reached_from_afar(pair: Pair) -> None:
    leg = RemotePort("fa:16:3e:00:00:01", ("10.0.0.1",), HOSTS[0])
    hosts = tuple(DhcpHost(host.port.id, host.port.mac, host.port.fixed_ips[:1]) for host in pair.hosts)
    pair.network = replace(pair.network, subnets=SUBNETS[:1], dhcp=DhcpSpec("fa:16:3e:00:00:02", ("10.0.0.2",)), hosts=hosts)
    pair.hosts[0].driver.ensure_network(pair.spec(0))
    pair.hosts[1].driver.ensure_network(replace(pair.spec(1), remotes=(*pair.spec(1).remotes, leg)))
    router = RouterSpec(new_id(), (RouterInterface(new_id(), pair.network.id, leg.mac, ("10.0.0.1/24",)),))
    pair.hosts[0].driver.ensure_router(router)
    guests = [host.stage.guest(host.port) for host in pair.hosts]
    leases = [guest.dhcp() for guest in guests]
    assert [lease.get("ip") for lease in leases] == ["10.0.0.10", "10.0.0.11"]
    guests[1].configure("10.0.0.11/24", "10.0.0.1")
    assert guests[1].pings("10.0.0.1", "-c", "3", "-i", "0.2", "-W", "5")
    pair.hosts[0].driver.destroy_router(router.id)
