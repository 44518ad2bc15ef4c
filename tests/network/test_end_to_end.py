"""From the API to packets: a network with a router, a floating IP and a guest, on the Linux driver."""

import os
import shutil
import subprocess
import time
from types import SimpleNamespace

import pytest

from pileus.kernel.bus import LocalBus
from pileus.main import build_cloud
from pileus.network.driver import fingerprint
from pileus.network.drivers.linux.host import LinuxNetworkHost
from pileus.network.drivers.linux.netns import Namespace, names
from pileus.network.drivers.linux.uplink import UplinkSettings
from pileus.network.schemas.clean import attributes_of
from pileus.network.schemas.requests import FloatingIpCreate
from pileus.network.service import defaults, floating_ips, groups, guests, interfaces, routers, wiring
from pileus.network.tasks.specs import port_spec
from pileus.network.tasks.sync import reconcile
from tests.conftest import make_lab
from tests.network.drivers.guests import Stage, pings
from tests.network.test_hosts import network_of

pytestmark = [pytest.mark.host, pytest.mark.timeout(60)]

PING = {
    "direction": "ingress", "ethertype": "IPv4", "protocol": "icmp", "description": "", "port_range_min": None,
    "port_range_max": None, "remote_ip_prefix": None, "remote_group_id": None,
}  # fmt: skip


@pytest.fixture
def stage():
    made = Stage()
    yield made
    made.clear()


@pytest.fixture
def lab(template_state, tmp_path, stage):
    """A cloud whose host is real."""
    shutil.copytree(template_state, tmp_path / "state")
    uplink = UplinkSettings(netns=stage.outside.name, forward=True)
    host = LinuxNetworkHost(stage.prefix, tmp_path / "host", uplink)
    made = make_lab(tmp_path / "state")
    made.cloud = build_cloud(made.cloud.settings, made.cloud.db, made.clock, LocalBus({"host1": {"network": host}}))
    made.worker._cloud = made.cloud
    yield made
    host.purge()
    host.close()
    made.cloud.db.dispose()


@pytest.fixture
def town(lab, stage):
    """A guest in a network behind a router, with a floating IP and no rule for anybody outside."""
    cloud, ctx = lab.cloud, lab.ctx("demo")
    flat = {"network_type": "flat", "physical_network": "public"}
    public, _ = network_of(lab.ctx("admin"), "172.24.4.0/24", external=True, **flat)
    network, subnet = network_of(ctx, "10.0.0.0/24")
    with cloud.db.begin() as tx:
        router = routers.make(tx, ctx, ctx.project_id, defaults.plain_router("r", {"network_id": public.id}))
        interfaces.attach(tx, ctx, router, subnet.id)
        port = guests.create_ports(tx, ctx, "server1", [guests.Wish(network.id)], None, "ann")[0]
    wire = wiring.bind(cloud, port.id, "host1")
    wiring.plug(cloud, port.id)
    fip = floating_ips.create(ctx, [attributes_of(FloatingIpCreate(floating_network_id=public.id, port_id=port.id))])[0].fip
    lab.settle()
    guest = stage.guest(port_spec(wire.port))
    guest.configure(wire.ips[0], "10.0.0.1")
    namespace = f"{stage.prefix}-rtr-{router.id}"
    return SimpleNamespace(port=port, wire=wire, address=fip.floating_ip_address, guest=guest, router_namespace=namespace)


def open_for_pings(lab, town):
    groups.create_rules(lab.ctx("demo"), [({"security_group_id": town.port.security_groups[0], **PING}, frozenset())])
    lab.settle()


def goes_silent(place, address):
    deadline = time.monotonic() + 10
    while pings(place, address):
        if time.monotonic() > deadline:
            return False
    return True


def comes_back(cloud, outside, address, seconds=10):
    """Whether pings come through once the loop has looked at the host, however often that takes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        reconcile(cloud)
        if pings(outside, address):
            return True
    return False


def test_a_floating_ip_reaches_the_guest_once_a_rule_allows_it(lab, stage, town):
    assert not pings(stage.outside, town.address), "a floating IP opens nothing by itself"
    assert town.guest.dhcp()["ip"] == town.port.fixed_ips[0].ip_address
    assert town.guest.pings("10.0.0.1", "-c", "3"), "the router"
    assert town.guest.pings("172.24.4.1", "-c", "3"), "the gateway outside"
    assert town.guest.pings("198.51.100.7", "-c", "3"), "the world"
    assert not pings(stage.outside, town.address, "-c", "2"), "what the guest opened lets nobody else in"
    open_for_pings(lab, town)
    assert pings(stage.outside, town.address)
    assert fingerprint(port_spec(town.wire.port)) in lab.cloud.bus.host("host1", "network").observe().ports.values()


def test_a_router_whose_namespace_loses_its_name_goes_on_and_gets_it_back(lab, stage, town):
    open_for_pings(lab, town)
    subprocess.run(["ip", "netns", "del", town.router_namespace], check=True)
    assert pings(stage.outside, town.address), "the driver holds the namespace, so only its name was lost"
    reconcile(lab.cloud)
    assert names(town.router_namespace) == [town.router_namespace]
    assert pings(stage.outside, town.address)
    assert not lab.cloud.bus.host("host1", "network").observe().damaged


def test_a_router_that_is_really_gone_is_made_anew(lab, stage, town):
    open_for_pings(lab, town)
    host = lab.cloud.bus.host("host1", "network")
    host.close()  # holds nothing now, as after the end of the process
    subprocess.run(["ip", "netns", "del", town.router_namespace], check=True)
    assert goes_silent(stage.outside, town.address), "the kernel clears namespaces away in its own time"
    assert comes_back(lab.cloud, stage.outside, town.address)
    assert town.guest.pings("198.51.100.7")
    assert not host.observe().damaged


def test_a_router_that_lost_a_leg_while_it_is_held_gets_it_back(lab, stage, town):
    open_for_pings(lab, town)
    with Namespace(town.router_namespace).entered():
        legs = [name for name in os.listdir("/proc/thread-self/net/dev_snmp6") if name.startswith(("r-", "g-"))]
        for leg in legs:
            subprocess.run(["ip", "link", "del", leg], check=True)
    assert len(legs) == 2
    assert not pings(stage.outside, town.address)
    assert comes_back(lab.cloud, stage.outside, town.address)
    assert not lab.cloud.bus.host("host1", "network").observe().damaged
