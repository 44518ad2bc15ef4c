"""The Linux driver finds what others broke, repairs it, is found again by another process, and leaves no trace."""

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from pileus.network.drivers.linux.host import LinuxNetworkHost
from pileus.network.drivers.linux.names import plain
from pileus.network.drivers.linux.netns import Namespace, names
from tests.network.drivers.conftest import ICMP, Cloud, new_id
from tests.network.drivers.guests import pings, run

UNTOLD_GROUP = new_id()

pytestmark = [pytest.mark.host, pytest.mark.timeout(60), pytest.mark.parametrize("kind", ["linux"])]


def dnsmasq_pid(cloud: Cloud) -> int:
    return int((cloud.state_dir / "dhcp" / cloud.blue.id / "pid").read_text())


def nft(cloud: Cloud, namespace: str, *words: str) -> str:
    return run(Namespace(namespace), "nft", *words).stdout


def flush_host(cloud: Cloud) -> None:
    nft(cloud, cloud.stage.prefix, "flush", "ruleset")


def flush_router(cloud: Cloud) -> None:
    nft(cloud, f"{cloud.stage.prefix}-rtr-{cloud.router.id}", "flush", "ruleset")


def kill_dnsmasq(cloud: Cloud) -> None:
    os.kill(dnsmasq_pid(cloud), 9)
    time.sleep(0.05)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def router_leg(cloud: Cloud) -> None:
    ip("-n", cloud.stage.prefix, "link", "del", f"v-r{cloud.router.interfaces[0].port_id.replace('-', '')[:11]}")


BREAKAGES: list[tuple[Callable[[Cloud], object], set[str]]] = [
    (flush_host, {"network", "port", "group"}),
    (flush_router, {"router"}),
    (kill_dnsmasq, {"network"}),
    (router_leg, {"router"}),
    (lambda cloud: ip("netns", "del", f"{cloud.stage.prefix}-rtr-{cloud.router.id}"), {"router"}),
    (lambda cloud: ip("netns", "del", f"{cloud.stage.prefix}-dhcp-{cloud.blue.id}"), {"network"}),
    (lambda cloud: ip("netns", "del", cloud.stage.prefix), {"network", "port", "group", "router"}),
    (lambda cloud: ip("-n", cloud.stage.outside.name, "link", "del", f"{cloud.stage.prefix}-up"), {"network", "router"}),
    (lambda cloud: nft(cloud, cloud.stage.outside.name, "flush", "ruleset"), {"network"}),
    (lambda cloud: Namespace(cloud.stage.prefix).sysctl({"bridge/bridge-nf-call-iptables": 0}), set()),  # put back by observing
]


@pytest.mark.parametrize(("breakage", "kinds"), BREAKAGES, ids=range(len(BREAKAGES)))
@pytest.mark.parametrize("process", ["same", "new"])
def test_what_is_broken_is_seen_and_repaired(
    cloud: Cloud, breakage: Callable[[Cloud], object], kinds: set[str], process: str
) -> None:
    cloud.allow(ICMP)
    if process == "new":
        cloud.host.close()
    breakage(cloud)
    if process == "new":
        cloud.another_host()
    seen = cloud.host.observe()
    if len(kinds) < 4:  # without the host namespace: either its name is put back, or nothing of it is remembered
        assert {kind for kind, _ in seen.damaged} <= kinds
        assert bool(seen.damaged) == bool(kinds)
    cloud.ensure()
    seen = cloud.host.observe()
    assert not seen.damaged
    assert len(seen.networks) == 2
    assert len(seen.ports) == 2
    one, _ = cloud.guests()
    assert one.dhcp()["ip"] == "10.0.0.11"
    assert any(one.pings("198.51.100.7") for _ in range(3)), "a link made anew may take a second until the kernel calls it up"
    assert pings(cloud.stage.outside, "172.24.4.20")


def test_a_bridge_that_was_deleted_comes_back_with_its_ports(cloud: Cloud) -> None:
    cloud.allow(ICMP)
    ip("-n", cloud.stage.prefix, "link", "del", f"br-{cloud.blue.id.replace('-', '')[:11]}")
    assert {kind for kind, _ in cloud.host.observe().damaged} == {"network", "port", "router"}
    cloud.ensure()
    assert not cloud.host.observe().damaged
    one, two = cloud.guests()
    assert one.pings("10.0.0.12")
    assert two.pings("198.51.100.7")


def test_another_process_takes_over_without_a_packet_lost(cloud: Cloud) -> None:
    one, _ = cloud.guests()
    assert one.pings("198.51.100.7")
    pid = dnsmasq_pid(cloud)
    with one.namespace.entered():
        pinging = subprocess.Popen(
            ["busybox", "ping", "-i", "0.05", "-c", "30", "198.51.100.7"], stdout=subprocess.PIPE, text=True
        )
    before = cloud.host.observe()
    cloud.host.close()
    cloud.another_host()
    assert cloud.host.observe() == before
    cloud.ensure()
    assert dnsmasq_pid(cloud) == pid
    assert " 0% packet loss" in pinging.communicate(timeout=10)[0]


def test_work_cut_off_shows_as_damage_and_is_finished(cloud: Cloud) -> None:
    cloud.host.close()
    file = cloud.state_dir / "port" / f"{cloud.ports[0].id}.json"
    file.write_bytes(b"\n" + file.read_bytes().partition(b"\n")[2])  # begun, never sealed
    cloud.another_host()
    assert ("port", cloud.ports[0].id) in cloud.host.observe().damaged
    cloud.ensure()
    assert not cloud.host.observe().damaged


def test_a_note_that_was_cut_off_is_no_obstacle(cloud: Cloud) -> None:
    cloud.host.close()
    (cloud.state_dir / "ruleset").write_text("")  # a process was killed between emptying and writing it
    cloud.another_host()
    assert cloud.host.observe().damaged, "nobody knows what the rules are"
    cloud.ensure()
    assert not cloud.host.observe().damaged
    assert int((cloud.state_dir / "ruleset").read_text()) > 0
    assert cloud.guests()[0].pings("198.51.100.7")


def test_two_clouds_do_not_meet(cloud: Cloud, tmp_path: object) -> None:
    other = LinuxNetworkHost(f"{cloud.stage.prefix}b", cloud.state_dir.parent / "other")
    try:
        other.ensure_network(replace(cloud.blue, segment=7))
        other.purge()
        assert not cloud.host.observe().damaged
    finally:
        other.purge()


def test_purge_leaves_no_trace(cloud: Cloud) -> None:
    pid = dnsmasq_pid(cloud)
    cloud.host.purge()
    assert [name for name in names(cloud.stage.prefix) if "outside" not in name] == []
    assert not cloud.state_dir.exists()
    assert run(cloud.stage.outside, "nft", "list", "tables").stdout == ""
    assert "-up" not in run(cloud.stage.outside, "ip", "link").stdout
    assert not os.path.exists(f"/proc/{pid}/exe") or os.path.getsize(f"/proc/{pid}/cmdline") == 0


def test_purge_works_without_the_state_directory(cloud: Cloud) -> None:
    pid = dnsmasq_pid(cloud)
    cloud.host.close()
    subprocess.run(["rm", "-r", str(cloud.state_dir)], check=True)
    cloud.another_host().purge()
    assert [name for name in names(cloud.stage.prefix) if "outside" not in name] == []
    time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}/exe") or open(f"/proc/{pid}/cmdline").read() == ""  # noqa: SIM115


def test_what_is_made_already_costs_nothing(cloud: Cloud) -> None:
    start = time.perf_counter()
    for _ in range(100):
        cloud.ensure()
    assert (time.perf_counter() - start) / 100 < 0.005


def test_after_a_purge_all_can_be_made_again(cloud: Cloud) -> None:
    cloud.host.purge()
    cloud.ensure()
    assert not cloud.host.observe().damaged
    one, _ = cloud.guests()
    assert any(one.pings("198.51.100.7") for _ in range(3))


def test_a_router_goes_even_after_its_networks(cloud: Cloud) -> None:
    cloud.host.destroy_network(cloud.blue.id)
    assert {kind for kind, _ in cloud.host.observe().damaged} == {"router", "port"}
    cloud.host.destroy_router(cloud.router.id)
    assert not cloud.host.observe().everything("router")
    assert not names(f"{cloud.stage.prefix}-rtr-")


def test_nothing_is_left_of_a_group_that_goes_before_what_names_it(cloud: Cloud) -> None:
    for port in cloud.ports:
        cloud.host.ensure_port(replace(port, group_ids=(*port.group_ids, UNTOLD_GROUP)))
    cloud.host.destroy_groups([cloud.group.id])
    assert f"_{plain(cloud.group.id)}" in nft(cloud, cloud.stage.prefix, "list", "ruleset")  # as the ports name it
    other = cloud.another_host()
    for port in cloud.ports:
        other.destroy_port(port.id)
    assert not other.observe().everything("group")
    left = nft(cloud, cloud.stage.prefix, "list", "ruleset")
    assert f"_{plain(cloud.group.id)}" not in left
    assert f"_{plain(UNTOLD_GROUP)}" not in left
