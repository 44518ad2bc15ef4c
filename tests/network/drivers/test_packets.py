"""Packets through what drivers make: DHCP, routing, floating addresses, security groups, anti-spoofing, metadata."""

import socket
import time
from collections.abc import Mapping
from dataclasses import replace

import pytest

from pileus.network.driver import (
    AddressPair,
    DhcpHost,
    DhcpOption,
    DhcpSpec,
    FloatingIp,
    GroupRule,
    HostRoute,
    NetworkSpec,
    PortSpec,
    RaPrefix,
    RouterInterface,
    RouterSpec,
    SubnetSpec,
)
from pileus.network.drivers.linux.metadata import Answer, MetadataListener, MetadataSource
from pileus.network.drivers.linux.netns import Namespace
from tests.network.drivers.conftest import FROM_MEMBERS, ICMP, TCP_80, Cloud, new_id, shared
from tests.network.drivers.guests import Guest, connects, inside, listens, pings, pings_whole, run

pytestmark = [pytest.mark.host, pytest.mark.timeout(60)]


def test_a_lease_with_all_options(cloud: Cloud) -> None:
    one = cloud.stage.guest(cloud.ports[0])
    lease = one.dhcp()
    assert (lease["ip"], lease["mask"], lease["router"], lease["mtu"]) == ("10.0.0.11", "24", "10.0.0.1", "1450")
    assert lease["staticroutes"] == "169.254.169.254/32 10.0.0.2 0.0.0.0/0 10.0.0.1"
    assert (lease["dns"], lease["domain"], lease["hostname"]) == ("10.0.0.2", "novalocal", "guest-11")


@shared
def test_ports_that_come_later_are_served_and_unknown_ones_are_not(cloud: Cloud) -> None:
    late = PortSpec(new_id(), cloud.blue.id, "fa:16:3e:00:00:13", "tap13", ("10.0.0.13",), (cloud.group.id,))
    cloud.host.ensure_port(late)
    guest = cloud.stage.guest(late)
    assert "ip" not in guest.dhcp()
    options = (DhcpOption("bootfile-name", "pxe.0"), DhcpOption("150", "10.0.0.9"))
    known = (*cloud.blue.hosts, DhcpHost(late.id, late.mac, late.fixed_ips, "late", options))
    cloud.host.ensure_network(replace(cloud.blue, hosts=known))
    lease = guest.dhcp()
    assert lease["ip"] == "10.0.0.13"
    assert lease["boot_file"] == "pxe.0"


@shared
def test_an_address_can_be_leased_to_the_next_port_at_once(cloud: Cloud) -> None:
    one = cloud.stage.guest(cloud.ports[0])
    assert one.dhcp()["ip"] == "10.0.0.11"
    heir = PortSpec(new_id(), cloud.blue.id, "fa:16:3e:00:00:99", "tap99", ("10.0.0.11",), (cloud.group.id,))
    cloud.host.destroy_port(cloud.ports[0].id)
    cloud.host.ensure_port(heir)
    hosts = (DhcpHost(heir.id, heir.mac, heir.fixed_ips, "heir"), *cloud.blue.hosts[1:])
    cloud.host.ensure_network(replace(cloud.blue, hosts=hosts))
    assert cloud.stage.guest(heir).dhcp()["ip"] == "10.0.0.11"


@shared
def test_names_of_the_network_are_resolved(cloud: Cloud) -> None:
    one, _ = cloud.guests()
    answer = run(one.namespace, "busybox", "nslookup", "guest-12.novalocal", "10.0.0.2").stdout
    assert "10.0.0.12" in answer


def test_guests_reach_the_outside_by_the_routers_address(cloud: Cloud) -> None:
    _, two = cloud.guests()
    assert two.pings("198.51.100.7")
    server = listens(cloud.stage.outside, 8080)
    with server:
        assert connects(two.namespace, "198.51.100.7", 8080)
        _, peer = server.accept()
    assert peer[0] == "172.24.4.10"


def test_floating_addresses_both_ways_and_from_within(cloud: Cloud) -> None:
    one, two = cloud.guests()
    cloud.allow(TCP_80, ICMP)
    inner, outer = listens(one.namespace, 80), listens(cloud.stage.outside, 8080)
    with inner, outer:
        assert connects(cloud.stage.outside, "172.24.4.20", 80)
        assert inner.accept()[1][0] == "172.24.4.1"
        assert connects(one.namespace, "198.51.100.7", 8080)
        assert outer.accept()[1][0] == "172.24.4.20"
        assert connects(two.namespace, "172.24.4.20", 80), "hairpin"
    cloud.host.ensure_router(replace(cloud.router, floating_ips=(FloatingIp("172.24.4.21", "10.0.0.12"),)))
    assert pings(cloud.stage.outside, "172.24.4.21")
    assert not pings(cloud.stage.outside, "172.24.4.20")


@shared
def test_a_floating_address_takes_its_connections_with_it(cloud: Cloud) -> None:
    one, _ = cloud.guests()
    cloud.allow(TCP_80)
    with listens(one.namespace, 80), inside(cloud.stage.outside, _client) as client:
        client.connect(("172.24.4.20", 80))
        cloud.host.ensure_router(replace(cloud.router, floating_ips=()))
        assert "172.24.4.20" not in run_conntrack(cloud, f"{cloud.stage.prefix}-rtr-{cloud.router.id}")


def test_the_largest_packets_pass_whole_and_larger_ones_are_refused(cloud: Cloud) -> None:
    one, _ = cloud.guests()
    one.ip("link", "set", "eth0", "mtu", str(cloud.blue.mtu))
    cloud.allow(ICMP)
    assert pings_whole(cloud.stage.outside, "172.24.4.20", cloud.blue.mtu)
    assert not pings_whole(cloud.stage.outside, "172.24.4.20", cloud.blue.mtu + 1)
    assert pings_whole(one.namespace, "198.51.100.7", cloud.blue.mtu)


@shared
def test_a_router_that_is_down_or_without_gateway_forwards_nothing_outside(cloud: Cloud) -> None:
    one, _ = cloud.guests()
    assert one.pings("198.51.100.7")
    cloud.host.ensure_router(replace(cloud.router, admin_up=False))
    assert not one.pings("10.0.0.1")
    cloud.host.ensure_router(cloud.router)
    assert one.pings("198.51.100.7")
    cloud.host.ensure_router(replace(cloud.router, gateway=None, floating_ips=()))
    assert one.pings("10.0.0.1")
    assert not one.pings("198.51.100.7")


@shared
def test_a_router_joins_networks_and_has_extra_routes(cloud: Cloud) -> None:
    red = NetworkSpec(new_id(), segment=102, mtu=1450)
    port = PortSpec(new_id(), red.id, "fa:16:3e:00:02:05", "tapred", ("10.2.0.5",), (cloud.group.id,))
    cloud.host.ensure_network(red)
    cloud.host.ensure_port(port)
    far = cloud.stage.guest(port)
    far.configure("10.2.0.5/24", "10.2.0.1")
    far.ip("addr", "add", "192.0.2.9/32", "dev", "lo")
    one, _ = cloud.guests()
    leg = RouterInterface(new_id(), red.id, "fa:16:3e:00:02:01", ("10.2.0.1/24",))
    joined = replace(cloud.router, interfaces=(*cloud.router.interfaces, leg), routes=(HostRoute("192.0.2.0/24", "10.2.0.5"),))
    cloud.host.ensure_router(joined)
    cloud.allow(ICMP)
    assert one.pings("10.2.0.5")
    assert not one.pings("192.0.2.9"), "the far port may not answer as an address that is not its own"
    cloud.host.ensure_port(replace(port, allowed_address_pairs=(AddressPair("192.0.2.9"),)))
    assert one.pings("192.0.2.9")


def test_rules_open_and_close_live(cloud: Cloud) -> None:
    one, _ = cloud.guests()
    with listens(one.namespace, 80):
        assert not connects(cloud.stage.outside, "172.24.4.20", 80)
        cloud.allow(TCP_80)
        assert connects(cloud.stage.outside, "172.24.4.20", 80)
        with inside(cloud.stage.outside, _client) as client:
            client.connect(("172.24.4.20", 80))
            assert "10.0.0.11" in tracked(cloud, "dport=80")
            cloud.allow(ICMP)
            assert "10.0.0.11" not in tracked(cloud, "dport=80")
        assert not connects(cloud.stage.outside, "172.24.4.20", 80)


def test_a_remote_group_opens_for_its_members_only(cloud: Cloud) -> None:
    one, two = cloud.guests()
    assert not two.pings("10.0.0.11")
    cloud.allow(FROM_MEMBERS)
    assert two.pings("10.0.0.11")
    assert not pings(cloud.stage.outside, "172.24.4.20")
    cloud.group = replace(cloud.group, members=frozenset({"10.0.0.11"}))
    cloud.host.ensure_groups([cloud.group])
    assert not two.pings("10.0.0.11")
    cloud.group = replace(cloud.group, members=frozenset({"10.0.0.0/28", "10.0.0.8/29"}))
    cloud.host.ensure_groups([cloud.group])
    assert two.pings("10.0.0.11")
    assert one.pings("10.0.0.12")


def test_every_form_of_rule_is_taken(cloud: Cloud) -> None:
    protocols = [None, "any", "tcp", "udp", "sctp", "icmp", "icmpv6", "ipv6-icmp", "vrrp", "gre", "47", "255"]
    rules = [
        GroupRule(new_id(), direction, ethertype, protocol, low, high, remote_cidr=remote)
        for direction, ethertype, remotes in (
            ("ingress", "IPv4", (None, "0.0.0.0/0", "10.0.0.0/8", "10.0.0.7/32")),
            ("egress", "IPv6", (None, "::/0", "fd00::/8", "fd00::7/128")),
        )
        for protocol in protocols
        for remote in remotes
        for low, high in ((None, None), (3, 3), (3, None))
        if cloud.stage.kind == "linux" or low is None or protocol in ("tcp", "udp", "sctp", "icmp", "icmpv6", "ipv6-icmp")
    ]
    wide = tuple(AddressPair(cidr) for cidr in ("0.0.0.0/0", "::/0", "fd00:9::/61", "10.0.0.0/8"))
    cloud.allow(*rules)  # type: ignore[arg-type]
    cloud.change_port(0, allowed_address_pairs=wide)
    assert not cloud.host.observe().damaged


def test_egress_is_denied_without_a_rule(cloud: Cloud) -> None:
    one, _ = cloud.guests()
    cloud.change_port(0, group_ids=())
    assert not one.pings("10.0.0.1")
    assert one.dhcp()["ip"] == "10.0.0.11"


def test_a_foreign_mac_is_dropped(cloud: Cloud) -> None:
    one, _ = cloud.guests()
    assert one.pings("10.0.0.1")
    one.ip("link", "set", "eth0", "address", "fa:16:3e:66:66:66")
    assert not one.pings("10.0.0.1")
    cloud.change_port(0, allowed_address_pairs=(AddressPair("10.0.0.11", "fa:16:3e:66:66:66"),))
    one.ip("neigh", "flush", "all")
    assert one.pings("10.0.0.1")


def test_a_foreign_address_is_dropped_unless_allowed(cloud: Cloud) -> None:
    one, _ = cloud.guests()
    one.ip("addr", "add", "10.0.0.77/24", "dev", "eth0")
    assert not one.pings("10.0.0.1", "-I", "10.0.0.77")
    cloud.change_port(0, allowed_address_pairs=(AddressPair("10.0.0.64/26"),))
    assert one.pings("10.0.0.1", "-I", "10.0.0.77", "-c", "4")  # the router may still be asking who has it
    cloud.change_port(0, allowed_address_pairs=())
    assert not one.pings("10.0.0.1", "-I", "10.0.0.77")
    cloud.change_port(0, port_security=False)
    assert one.pings("10.0.0.1", "-I", "10.0.0.77", "-c", "4")  # the router may still be asking who has it


def test_a_forged_arp_reply_does_not_get_through(cloud: Cloud) -> None:
    one, two = cloud.guests()
    assert two.pings("10.0.0.1")
    run(one.namespace, "busybox", "arping", "-A", "-c", "2", "-w", "2", "-I", "eth0", "-s", "10.0.0.1", "10.0.0.12")
    assert "fa:16:3e:00:00:01" in two.ip("neigh", "show", "10.0.0.1")


def test_a_guest_cannot_serve_dhcp(cloud: Cloud) -> None:
    one, two = cloud.guests()
    with listens_udp(two) as receiver, inside(one.namespace, _datagram) as sender:
        sender.bind(("", 67))
        for _ in range(3):
            sender.sendto(b"offer", ("10.0.0.12", 68))
        with pytest.raises(TimeoutError):
            receiver.recv(100)


def test_addresses_of_version_6_by_advertisement_and_by_dhcp(cloud: Cloud) -> None:
    green = NetworkSpec(
        new_id(),
        segment=103,
        mtu=1400,
        subnets=(SubnetSpec(new_id(), "fd00:3::/64", 6, "fd00:3::1", ra_mode="slaac", address_mode="slaac"),),
        dhcp=DhcpSpec("fa:16:3e:00:03:02", ("fd00:3::2",)),
    )
    mac = "fa:16:3e:00:03:05"
    port = PortSpec(new_id(), green.id, mac, "tapgreen", ("fd00:3::f816:3eff:fe00:305",), (cloud.group.id,))
    router = RouterSpec(
        new_id(),
        (RouterInterface(new_id(), green.id, "fa:16:3e:00:03:01", ("fd00:3::1/64",), (RaPrefix("fd00:3::/64"),)),),
    )
    cloud.host.ensure_network(green)
    cloud.host.ensure_port(port)
    cloud.host.ensure_router(router)
    guest = cloud.stage.guest(port)
    assert eventually(lambda: "fd00:3::f816:3eff:fe00:305" in guest.ip("-6", "addr"))
    assert "default via fe80::" in guest.ip("-6", "route")
    assert guest.pings("fd00:3::1")
    assert guest.pings("fd00:3::2")
    guest.ip("-6", "addr", "add", "fd00:3::bad/64", "dev", "eth0")
    assert not guest.pings("fd00:3::1", "-I", "fd00:3::bad")
    assert not cloud.host.observe().damaged


def test_metadata_knows_who_asks(cloud: Cloud) -> None:
    def handler(source: MetadataSource, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        return 200, {}, f"{source.network_id} {source.router_id} {source.remote_ip} {path}".encode()

    listener = MetadataListener(handler)
    cloud.host.serve_metadata(listener)
    one, two = cloud.guests()
    ask = ("curl", "-s", "-m", "3", "http://169.254.169.254/openstack")
    assert run(two.namespace, *ask).stdout == f"None {cloud.router.id} 10.0.0.12 /openstack"
    one.ip("route", "add", "169.254.169.254/32", "via", "10.0.0.2")
    assert run(one.namespace, *ask).stdout == f"{cloud.blue.id} None 10.0.0.11 /openstack"
    cloud.hosts[-1].close()
    cloud.another_host().serve_metadata(listener)
    assert run(one.namespace, *ask).stdout == f"{cloud.blue.id} None 10.0.0.11 /openstack"
    v6 = ("curl", "-s", "-g", "-m", "3", "http://[fe80::a9fe:a9fe%25eth0]/v6")
    assert run(one.namespace, *v6).stdout == f"{cloud.blue.id} None fe80::f816:3eff:fe00:11 /v6"
    cloud.host.serve_metadata(None)
    assert run(one.namespace, *ask).returncode != 0
    listener.close()


def eventually(check: object, seconds: float = 8) -> bool:
    assert callable(check)
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def tracked(cloud: Cloud, containing: str) -> str:
    """The connections that the rules of groups know."""
    if cloud.stage.kind == "linux":
        return run_conntrack(cloud, cloud.stage.prefix, containing)
    text = cloud.stage.appctl(cloud.state_dir, "dpctl/dump-conntrack")
    return "\n".join(line for line in text.splitlines() if containing in line)


def run_conntrack(cloud: Cloud, namespace: str, containing: str = "") -> str:

    text = run(Namespace(namespace), "cat", "/proc/thread-self/net/nf_conntrack").stdout
    return "\n".join(line for line in text.splitlines() if containing in line)


def _client() -> socket.socket:

    client = socket.socket()
    client.settimeout(2)
    return client


def _datagram() -> socket.socket:

    datagram = socket.socket(type=socket.SOCK_DGRAM)
    datagram.settimeout(0.7)
    return datagram


def listens_udp(guest: Guest) -> socket.socket:
    receiver = inside(guest.namespace, _datagram)
    receiver.bind(("", 68))
    return receiver
