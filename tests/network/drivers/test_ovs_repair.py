"""The Open vSwitch driver finds what somebody broke, and mends it; its processes outlive it, and go with the cloud."""

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pileus.network.driver import Carrier, GroupRule, NetworkDriverError, NetworkSpec, PortSpec, Qos, fingerprint
from pileus.network.drivers.linux.netns import names
from tests.network.drivers.conftest import ICMP, Cloud, new_id
from tests.network.drivers.guests import pings, with_switch

pytestmark = [pytest.mark.host, pytest.mark.timeout(90), with_switch, pytest.mark.parametrize("kind", ["ovs"])]

LIKE_FLOWS = {"network", "port", "group"}


def pid(cloud: Cloud, name: str) -> int:
    return int((cloud.state_dir / "ovs" / f"{name}.pid").read_text())


def kill(cloud: Cloud, name: str) -> None:
    found = pid(cloud, name)
    os.kill(found, 9)
    while alive(found):
        time.sleep(0.005)


def alive(number: int) -> bool:
    return os.path.exists(f"/proc/{number}/cmdline") and Path(f"/proc/{number}/cmdline").read_bytes() != b""


def ofctl(cloud: Cloud, command: str, *words: str) -> str:
    control = f"unix:{cloud.state_dir / 'ovs' / 'br-int.mgmt'}"
    done = subprocess.run(["ovs-ofctl", "-O", "OpenFlow15", command, control, *words], capture_output=True, text=True, check=True)
    return done.stdout


def vsctl(cloud: Cloud, *words: str) -> str:
    database = f"--db=unix:{cloud.state_dir / 'ovs' / 'db.sock'}"
    return subprocess.run(["ovs-vsctl", database, *words], capture_output=True, text=True, check=True).stdout


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


BREAKAGES: dict[str, tuple[Callable[[Cloud], object], set[str]]] = {
    "flows": (lambda cloud: ofctl(cloud, "del-flows"), LIKE_FLOWS),
    "a flow too many": (lambda cloud: ofctl(cloud, "add-flow", "priority=7,actions=NORMAL"), LIKE_FLOWS),
    "bridge": (lambda cloud: vsctl(cloud, "del-br", "br-int"), {*LIKE_FLOWS, "router"}),
    "port": (lambda cloud: vsctl(cloud, "del-port", "br-int", cloud.ports[0].tap), {"port"}),
    "tag": (lambda cloud: vsctl(cloud, "set", "port", cloud.ports[0].tap, "tag=77"), {"port"}),
    "tap": (lambda cloud: ip("-n", cloud.stage.prefix, "link", "del", cloud.ports[0].tap), {"port"}),
    "switch": (lambda cloud: kill(cloud, "ovs-vswitchd"), LIKE_FLOWS),
    "database": (lambda cloud: kill(cloud, "ovsdb-server"), LIKE_FLOWS),
    "namespace": (lambda cloud: ip("netns", "del", cloud.stage.prefix), {*LIKE_FLOWS, "router"}),
}


@pytest.mark.parametrize(("what", "process"), [*((what, "same") for what in BREAKAGES), ("switch", "new"), ("namespace", "new")])
def test_what_is_broken_is_seen_and_repaired(cloud: Cloud, what: str, process: str) -> None:
    breakage, kinds = BREAKAGES[what]
    cloud.allow(ICMP)
    if process == "new":
        cloud.host.close()
    breakage(cloud)
    if process == "new":
        cloud.another_host()
    seen = cloud.host.observe()
    if what != "namespace":  # of a new one nothing is remembered; a name alone is put back
        assert {kind for kind, _ in seen.damaged} == kinds
    cloud.ensure()
    seen = cloud.host.observe()
    assert not seen.damaged
    assert (len(seen.networks), len(seen.ports), len(seen.routers), len(seen.groups)) == (2, 2, 1, 1)
    one = cloud.stage.guest(cloud.ports[0])
    assert one.dhcp()["ip"] == "10.0.0.11"
    one.configure("10.0.0.11/24", "10.0.0.1")
    assert pings(cloud.stage.outside, "172.24.4.20", "-c", "3")


def test_another_process_takes_over_without_a_packet_lost(cloud: Cloud) -> None:
    one, _ = cloud.guests()
    assert one.pings("198.51.100.7", "-c", "3")
    processes = [pid(cloud, name) for name in ("ovs-vswitchd", "ovsdb-server")]
    with one.namespace.entered():
        words = ["busybox", "ping", "-i", "0.05", "-c", "30", "198.51.100.7"]
        pinging = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    before = cloud.host.observe()
    cloud.host.close()
    cloud.another_host()
    assert cloud.host.observe() == before
    cloud.ensure()
    assert " 0% packet loss" in pinging.communicate(timeout=20)[0]
    assert [pid(cloud, name) for name in ("ovs-vswitchd", "ovsdb-server")] == processes


@pytest.mark.parametrize("knowing", [True, False])
def test_purge_ends_the_switch(cloud: Cloud, knowing: bool) -> None:
    processes = [pid(cloud, name) for name in ("ovs-vswitchd", "ovsdb-server")]
    if not knowing:
        cloud.host.close()
        subprocess.run(["rm", "-r", str(cloud.state_dir)], check=True)
        cloud.another_host()
    cloud.host.purge()
    assert [name for name in names(cloud.stage.prefix) if "outside" not in name] == []
    assert not any(alive(each) for each in processes)
    assert not cloud.state_dir.exists()
    cloud.ensure()
    assert not cloud.host.observe().damaged


def test_a_lost_rate_is_seen_and_made_anew(cloud: Cloud) -> None:
    port = cloud.change_port(0, qos=Qos(ingress_kbps=2000, egress_kbps=3000))
    assert cloud.host.observe().ports[port.id] == fingerprint(port)
    listed = ofctl(cloud, "dump-meters")
    assert "rate=2000" in listed
    assert "rate=3000" in listed
    ofctl(cloud, "del-meters")
    assert ("port", port.id) in cloud.host.observe().damaged
    cloud.ensure()
    assert cloud.host.observe().ports[port.id] == fingerprint(port)
    assert ofctl(cloud, "dump-meters").count("rate=") == 2
    cloud.change_port(0, qos=None)
    assert not cloud.host.observe().damaged
    assert "rate=" not in ofctl(cloud, "dump-meters")


def test_what_has_not_changed_stays(cloud: Cloud) -> None:
    one, _ = cloud.guests()
    assert one.pings("10.0.0.1", "-c", "2")
    [counted] = [line for line in ofctl(cloud, "dump-flows", "table=10").splitlines() if "nw_src=10.0.0.11" in line]
    assert "n_packets=0" not in counted
    ofctl(cloud, "del-flows", "table=75")
    cloud.host.observe()
    cloud.ensure()
    [after] = [line for line in ofctl(cloud, "dump-flows", "table=10").splitlines() if "nw_src=10.0.0.11" in line]
    assert "n_packets=0" not in after, "a flow that was right was not made anew"


def test_ports_of_protocols_without_are_refused_and_the_other_rules_made(cloud: Cloud) -> None:
    wrong = GroupRule(new_id(), "ingress", "IPv4", "udplite", 5, 6)
    cloud.group = replace(cloud.group, rules=(*cloud.group.rules, wrong, ICMP))
    with pytest.raises(NetworkDriverError, match=f"{wrong.id}.*ports of protocol udplite"):
        cloud.host.ensure_groups([cloud.group])
    one, _ = cloud.guests()
    assert one.pings("10.0.0.12", "-c", "2")


def test_what_a_trunk_carries_moves_to_another_vlan_and_goes(cloud: Cloud) -> None:
    red = NetworkSpec(new_id(), segment=102, mtu=1450)
    carried = PortSpec(
        new_id(), red.id, "fa:16:3e:00:09:11", "tapcarried", ("10.9.0.11",), carrier=Carrier(cloud.ports[0].tap, 100)
    )
    cloud.host.ensure_network(red)
    cloud.host.ensure_port(carried)
    assert "dl_vlan=100" in ofctl(cloud, "dump-flows", "table=0")
    cloud.host.ensure_port(replace(carried, carrier=Carrier(cloud.ports[0].tap, 200)))
    assert "dl_vlan=100" not in ofctl(cloud, "dump-flows", "table=0")
    assert "dl_vlan=200" in ofctl(cloud, "dump-flows", "table=0")
    cloud.host.destroy_port(carried.id)
    assert "dl_vlan" not in ofctl(cloud, "dump-flows", "table=0")
    assert not cloud.host.observe().damaged


def test_interfaces_say_what_they_are_for(cloud: Cloud) -> None:
    port = cloud.ports[0]
    assert port.id in vsctl(cloud, "get", "interface", port.tap, "external_ids")
    assert vsctl(cloud, "get", "port", port.tap, "tag") == vsctl(cloud, "get", "port", cloud.ports[1].tap, "tag")


def test_a_port_with_another_tap_leaves_nothing_of_the_first(cloud: Cloud) -> None:
    before = cloud.change_port(0, qos=Qos(egress_kbps=3000))
    cloud.change_port(0, tap="tapother", qos=None)
    assert not cloud.host.observe().damaged
    assert before.tap not in vsctl(cloud, "list-ports", "br-int")
    assert "tapother" in vsctl(cloud, "list-ports", "br-int")
    assert "rate=" not in ofctl(cloud, "dump-meters")
    one = cloud.stage.guest(cloud.ports[0])
    assert one.dhcp()["ip"] == "10.0.0.11"
