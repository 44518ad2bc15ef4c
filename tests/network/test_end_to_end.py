"""From the API to packets: a network with a router, a floating IP and a guest, on the Linux driver."""

import shutil
import subprocess

import pytest

from pileus.kernel.bus import LocalBus
from pileus.main import build_cloud
from pileus.network.driver import fingerprint
from pileus.network.drivers.linux.host import LinuxNetworkHost
from pileus.network.drivers.linux.uplink import UplinkSettings
from pileus.network.schemas.clean import attributes_of
from pileus.network.schemas.requests import FloatingIpCreate
from pileus.network.service import floating_ips, groups, guests, interfaces, routers, wiring
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


def test_a_floating_ip_reaches_the_guest_and_comes_back_after_a_disaster(lab, stage):
    cloud, ctx = lab.cloud, lab.ctx("demo")
    flat = {"network_type": "flat", "physical_network": "public"}
    public, _ = network_of(lab.ctx("admin"), "172.24.4.0/24", external=True, **flat)
    network, subnet = network_of(ctx, "10.0.0.0/24")
    with cloud.db.begin() as tx:
        router = routers.make(tx, ctx, ctx.project_id, guests.plain_router("r", {"network_id": public.id}))
        interfaces.attach(tx, ctx, router, subnet.id)
        port = guests.create_ports(tx, ctx, "server1", [guests.Wish(network.id)], None, "ann")[0]
    wire = wiring.bind(cloud, port.id, "host1")
    wiring.plug(cloud, port.id)
    fip = floating_ips.create(ctx, [attributes_of(FloatingIpCreate(floating_network_id=public.id, port_id=port.id))])[0].fip
    lab.settle()
    guest = stage.guest(port_spec(wire.port))
    guest.configure(wire.ips[0], "10.0.0.1")
    assert guest.dhcp()["ip"] == port.fixed_ips[0].ip_address
    assert guest.pings("10.0.0.1", "-c", "3"), "the router"
    assert guest.pings("172.24.4.1", "-c", "3"), "the gateway outside"
    assert guest.pings("198.51.100.7", "-c", "3"), "the world"
    groups.create_rules(ctx, [({"security_group_id": port.security_groups[0], **PING}, frozenset())])
    lab.settle()
    assert pings(stage.outside, fip.floating_ip_address)
    doomed = next(name for name in subprocess.getoutput("ip netns").split() if name.startswith(f"{stage.prefix}-rtr"))
    subprocess.run(["ip", "netns", "del", doomed], check=True)
    reconcile(cloud)
    assert pings(stage.outside, fip.floating_ip_address, "-c", "3")
    assert fingerprint(port_spec(wire.port)) in cloud.bus.host("host1", "network").observe().ports.values()
