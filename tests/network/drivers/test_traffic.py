"""Packets through limits, marks, forwarded ports, meters, trunks and stateless groups, whatever the driver."""

import socket
import struct
import threading
import time
from dataclasses import replace

import pytest

from pileus.network.driver import (
    Carrier,
    FloatingIp,
    GroupRule,
    GroupSpec,
    Meter,
    MeterRule,
    NetworkSpec,
    NotOnHostError,
    PortForward,
    PortSpec,
    Qos,
    SubnetSpec,
    fingerprint,
)
from pileus.network.drivers.linux.netns import Namespace
from pileus.network.drivers.linux.rtnl import Rtnl
from pileus.network.drivers.linux.traffic import at_entry, shapes
from tests.network.drivers.conftest import FROM_MEMBERS, ICMP, TCP_80, Cloud, new_id, shared
from tests.network.drivers.guests import Guest, connects, inside, listens, pings, run

pytestmark = [pytest.mark.host, pytest.mark.timeout(90)]

SLOW_KBPS = 2000


def sent_bytes(source: Namespace, target: Namespace, address: str, seconds: float = 2.0) -> int:
    """How much of a flood of datagrams arrives within a time."""
    receiver = inside(target, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    receiver.bind(("", 5001))
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
    receiver.settimeout(0.2)
    sender = inside(source, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    end = time.monotonic() + seconds

    def flood() -> None:
        while time.monotonic() < end:
            for _ in range(16):
                sender.sendto(bytes(1200), (address, 5001))
            time.sleep(0.002)

    thread = threading.Thread(target=flood)
    thread.start()
    count = 0
    with receiver, sender:
        while time.monotonic() < end + 0.3:
            try:
                count += len(receiver.recv(2000))
            except TimeoutError:
                if time.monotonic() > end:
                    break
        thread.join()
    return count


UDP = GroupRule(new_id(), "ingress", "IPv4", "udp")


def limits_bytes(kbps: int, burst_kbit: int, seconds: float) -> float:
    return kbps * 125 * seconds + burst_kbit * 125


def test_a_port_sends_and_receives_at_its_rate(cloud: Cloud) -> None:
    cloud.allow(UDP)
    one, two = cloud.guests()
    free = sent_bytes(one.namespace, two.namespace, "10.0.0.12")
    most = limits_bytes(SLOW_KBPS, 100, 3.5)  # a second's worth may pass at once
    assert free > 2 * most, "more than the limits get through without them"
    cloud.change_port(0, qos=Qos(egress_kbps=SLOW_KBPS, egress_burst_kbit=100))
    limited = sent_bytes(one.namespace, two.namespace, "10.0.0.12")
    assert most / 10 < limited < most, "what leaves the guest"
    assert sent_bytes(two.namespace, one.namespace, "10.0.0.11") > 2 * most, "the other direction is free"
    cloud.change_port(0, qos=None)
    cloud.change_port(1, qos=Qos(ingress_kbps=SLOW_KBPS, ingress_burst_kbit=100))
    assert most / 10 < sent_bytes(one.namespace, two.namespace, "10.0.0.12") < most, "what reaches the guest"


@pytest.mark.parametrize("kind", ["linux"])
def test_a_lost_rate_is_seen_and_made_anew(cloud: Cloud) -> None:
    port = cloud.change_port(0, qos=Qos(ingress_kbps=SLOW_KBPS, egress_kbps=SLOW_KBPS))
    assert cloud.host.observe().ports[port.id] == fingerprint(port)
    with Rtnl(Namespace(cloud.stage.prefix)) as host:
        tap = host.link(port.tap)
        assert tap
        assert shapes(host)[tap.index].rate == SLOW_KBPS * 125
    run(Namespace(cloud.stage.prefix), "tc", "qdisc", "del", "dev", port.tap, "root")
    assert ("port", port.id) in cloud.host.observe().damaged
    cloud.host.ensure_port(port)
    assert cloud.host.observe().ports[port.id] == fingerprint(port)
    plain = cloud.change_port(0, qos=None)
    with Rtnl(Namespace(cloud.stage.prefix)) as host:
        assert shapes(host) == {}
    assert cloud.host.observe().ports[plain.id] == fingerprint(plain)


def test_what_a_port_sends_is_marked(cloud: Cloud) -> None:
    cloud.allow(UDP)
    one, two = cloud.guests()
    assert mark_of(one, two) == 0
    cloud.change_port(0, qos=Qos(dscp=46))
    assert mark_of(one, two) == 46
    cloud.change_port(0, qos=None)
    assert mark_of(one, two) == 0


def mark_of(one: Guest, two: Guest) -> int:
    """The DSCP of a datagram from one guest as the other gets it."""
    receiver = inside(two.namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sender = inside(one.namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with receiver, sender:
        receiver.bind(("", 5002))
        receiver.settimeout(5)
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        sender.sendto(b"x", ("10.0.0.12", 5002))
        _, extra, _, _ = receiver.recvmsg(10, socket.CMSG_SPACE(8))
        return next(data[0] >> 2 for level, kind, data in extra if (level, kind) == (socket.IPPROTO_IP, socket.IP_TOS))


@shared
def test_ports_of_a_floating_address_lead_to_ports_inside(cloud: Cloud) -> None:
    cloud.allow(GroupRule(new_id(), "ingress", "IPv4", "tcp", 1, 65535))
    one, two = cloud.guests()
    outside = cloud.stage.outside
    forwards = (
        PortForward("172.24.4.30", "tcp", 2222, 2222, "10.0.0.11", 22, 22),
        PortForward("172.24.4.30", "tcp", 8000, 8002, "10.0.0.12", 9000, 9002),
        PortForward("172.24.4.30", "tcp", 7000, 7001, "10.0.0.12", 7000, 7001),
    )
    with listens(one.namespace, 22), listens(two.namespace, 9002), listens(two.namespace, 7001):
        assert not connects(outside, "172.24.4.30", 2222)
        cloud.router = replace(cloud.router, forwards=forwards)
        cloud.host.ensure_router(cloud.router)
        assert connects(outside, "172.24.4.30", 2222)
        assert connects(outside, "172.24.4.30", 8002)
        assert connects(outside, "172.24.4.30", 7001)
        assert not connects(outside, "172.24.4.30", 8003)
        assert connects(two.namespace, "172.24.4.30", 2222), "from behind the same router, too"
        assert cloud.host.observe().routers[cloud.router.id] == fingerprint(cloud.router)
        cloud.router = replace(cloud.router, forwards=forwards[1:])
        cloud.host.ensure_router(cloud.router)
        assert not connects(outside, "172.24.4.30", 2222)
        assert connects(outside, "172.24.4.30", 8002)


@shared
def test_a_floating_address_and_a_gateway_have_rates_of_their_own(cloud: Cloud) -> None:
    cloud.allow(UDP)
    one, _ = cloud.guests()
    outside = cloud.stage.outside
    most = limits_bytes(SLOW_KBPS, 200, 3.5)
    assert sent_bytes(one.namespace, outside, "172.24.4.1") > 2 * most
    slow = Qos(egress_kbps=SLOW_KBPS, egress_burst_kbit=200, ingress_kbps=SLOW_KBPS, ingress_burst_kbit=200)
    cloud.router = replace(cloud.router, floating_ips=(FloatingIp("172.24.4.20", "10.0.0.11", slow),))
    cloud.host.ensure_router(cloud.router)
    assert most / 10 < sent_bytes(one.namespace, outside, "172.24.4.1") < most
    assert most / 10 < sent_bytes(outside, one.namespace, "172.24.4.20") < most
    cloud.router = replace(cloud.router, floating_ips=(), gateway_qos=slow)
    cloud.host.ensure_router(cloud.router)
    assert most / 10 < sent_bytes(one.namespace, outside, "172.24.4.1") < most


@shared
def test_meters_count_what_goes_through_the_gateway(cloud: Cloud) -> None:
    cloud.allow(ICMP)
    one, two = cloud.guests()
    everything, but_one = new_id(), new_id()
    meters = (
        Meter(everything, (MeterRule("egress", inside="10.0.0.0/24"), MeterRule("ingress", inside="10.0.0.0/24"))),
        Meter(but_one, (MeterRule("egress", inside="0.0.0.0/0"), MeterRule("egress", source="10.0.0.11/32", excluded=True))),
    )
    cloud.router = replace(cloud.router, meters=meters)
    cloud.host.ensure_router(cloud.router)
    assert one.pings("172.24.4.1", "-c", "3")
    assert two.pings("172.24.4.1", "-c", "2")
    assert one.pings("10.0.0.12")
    found = cloud.host.observe().meters
    assert found[cloud.router.id, everything] == (10, 840)
    assert found[cloud.router.id, but_one] == (2, 168)
    cloud.router = replace(cloud.router, floating_ips=(), meters=meters[:1])
    cloud.host.ensure_router(cloud.router)
    assert cloud.host.observe().meters == {(cloud.router.id, everything): (10, 840)}, "what was counted stays"
    assert cloud.another_host().observe().meters == {(cloud.router.id, everything): (10, 840)}


def test_a_rule_allows_the_addresses_of_a_group_of_addresses(cloud: Cloud) -> None:
    one, _ = cloud.guests()
    rule = GroupRule(new_id(), "ingress", "IPv4", "icmp", remote_cidrs=("192.0.2.0/24", "192.0.2.7/32"))
    cloud.allow(rule)
    assert not one.pings("10.0.0.12")
    cloud.allow(replace(rule, remote_cidrs=("192.0.2.0/24", "10.0.0.11/32", "10.0.0.8/29")))
    assert one.pings("10.0.0.12")
    cloud.allow(replace(rule, remote_cidrs=()))
    assert not one.pings("10.0.0.12")


def test_stateless_groups_let_answers_in_by_rules_alone(cloud: Cloud) -> None:
    one, two = cloud.guests()
    out = (GroupRule(new_id(), "egress"),)
    client, server = GroupSpec(new_id(), out, stateful=False), GroupSpec(new_id(), (*out, TCP_80))
    cloud.host.ensure_groups([client, server])
    cloud.change_port(0, group_ids=(client.id,))
    cloud.change_port(1, group_ids=(server.id,))
    with listens(two.namespace, 80):
        assert not connects(one.namespace, "10.0.0.12", 80), "no rule lets the answer in"
        cloud.host.ensure_groups([replace(client, stateful=True)])
        assert connects(one.namespace, "10.0.0.12", 80)
        back = GroupRule(new_id(), "ingress", "IPv4", "tcp")
        cloud.host.ensure_groups([replace(client, rules=(*out, back))])
        assert connects(one.namespace, "10.0.0.12", 80)
    with listens(one.namespace, 80):
        assert connects(two.namespace, "10.0.0.11", 80)


class Trunked:
    """The first port of a cloud carries a port of another network under VLAN 100."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.red = NetworkSpec(new_id(), segment=102, mtu=1450, subnets=(SubnetSpec(new_id(), "10.9.0.0/24"),))
        self.carried = PortSpec(
            new_id(), self.red.id, "fa:16:3e:00:09:11", f"tap{new_id()[:8]}", ("10.9.0.11",), (cloud.group.id,),
            carrier=Carrier(cloud.ports[0].tap, 100), device_owner="trunk:subport",
        )  # fmt: skip
        self.plain = PortSpec(
            new_id(), self.red.id, "fa:16:3e:00:09:12", f"tap{new_id()[:8]}", ("10.9.0.12",), (cloud.group.id,)
        )  # fmt: skip
        self.guest = cloud.stage.guest(cloud.ports[0])
        self.guest.configure("10.0.0.11/24")
        cloud.host.ensure_network(self.red)
        cloud.host.ensure_port(self.plain)
        cloud.host.ensure_port(self.carried)
        self.neighbour = cloud.stage.guest(self.plain)
        self.neighbour.configure("10.9.0.12/24")

    def answers(self, vlan: int, mac: str = "fa:16:3e:00:09:11", address: str = "10.9.0.11", seconds: float = 1.0) -> bool:
        """Whether the neighbour answers an ARP request that the guest sends under a VLAN (the test kernel has no VLAN links)."""
        hardware = bytes.fromhex(mac.replace(":", ""))
        arp = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, hardware, socket.inet_aton(address), bytes(6),
                          socket.inet_aton("10.9.0.12"))  # fmt: skip
        with inside(self.guest.namespace, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))) as raw:
            raw.bind(("eth0", 3))
            raw.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA: where the kernel tells the tag that it took off
            raw.settimeout(0.2)
            raw.send(b"\xff" * 6 + hardware + struct.pack("!HHH", 0x8100, vlan, 0x0806) + arp)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                try:
                    frame, extra, _, _ = raw.recvmsg(2000, 200)
                except TimeoutError:
                    continue
                if _tag(frame, extra) == vlan and frame[:6] == hardware:
                    return True
        return False


def _tag(frame: bytes, extra: list[tuple[int, int, bytes]]) -> int | None:
    if frame[12:14] == b"\x81\x00":
        return int(struct.unpack("!H", frame[14:16])[0]) & 0xFFF
    for level, kind, data in extra:
        if (level, kind) == (263, 8):
            return int(struct.unpack_from("=H", data, 16)[0]) & 0xFFF
    return None


def test_a_trunk_carries_frames_of_a_vlan_both_ways(cloud: Cloud) -> None:
    cloud.allow(ICMP, FROM_MEMBERS)
    town = Trunked(cloud)
    assert town.answers(100)
    assert not town.answers(101), "no port goes under this VLAN"
    assert not town.answers(100, address="10.9.0.77"), "what is carried is guarded against spoofing"
    assert not town.answers(100, mac="fa:16:3e:00:00:11")
    two = cloud.stage.guest(cloud.ports[1])
    two.configure("10.0.0.12/24")
    assert two.pings("10.0.0.11"), "what has no tag goes where it went"
    assert cloud.host.observe().ports[town.carried.id] == fingerprint(town.carried)
    cloud.host.destroy_port(town.carried.id)
    assert not town.answers(100)
    assert pings(two.namespace, "10.0.0.11")


@pytest.mark.parametrize("kind", ["linux"])
def test_a_trunk_is_mended_and_moves_to_another_vlan(cloud: Cloud) -> None:
    cloud.allow(ICMP)
    town = Trunked(cloud)
    host_namespace = Namespace(cloud.stage.prefix)
    run(host_namespace, "tc", "filter", "del", "dev", cloud.ports[0].tap, "ingress")
    assert ("port", town.carried.id) in cloud.host.observe().damaged
    assert not town.answers(100)
    cloud.host.ensure_port(town.carried)
    assert town.answers(100)
    moved = replace(town.carried, carrier=Carrier(cloud.ports[0].tap, 200))
    cloud.host.ensure_port(moved)
    assert not town.answers(100)
    assert town.answers(200)
    with Rtnl(host_namespace) as host:
        tap = host.link(cloud.ports[0].tap)
        assert tap
        assert at_entry(host, tap.index) == {200}
    down = replace(moved, admin_up=False)
    cloud.host.ensure_port(down)
    assert not town.answers(200)
    assert cloud.host.observe().ports[moved.id] == fingerprint(down)


def test_what_a_trunk_carries_needs_the_port_that_carries(cloud: Cloud) -> None:
    lost = PortSpec(new_id(), cloud.blue.id, "fa:16:3e:00:00:77", "tap77", ("10.0.0.77",), carrier=Carrier("tapnone", 5))
    with pytest.raises(NotOnHostError):
        cloud.host.ensure_port(lost)
    assert lost.id in cloud.host.observe().everything("port")
    cloud.host.destroy_port(lost.id)
    assert lost.id not in cloud.host.observe().everything("port")
