"""Networks in a cloud of many hosts: only those are called that have a part in a change, and nothing is forgotten anywhere."""

import shutil
from types import SimpleNamespace

import pytest

from pileus.network.driver import NetworkSpec
from pileus.network.schemas.clean import attributes_of
from pileus.network.schemas.requests import NetworkCreate, RouterCreate, SubnetCreate
from pileus.network.service import guests, interfaces, networks, ports, routers, subnets, wiring
from pileus.network.store import hosts as store
from pileus.network.tasks import converge, sync
from tests import engines
from tests.conftest import make_lab

HOSTS = 20
METHODS = (
    "ensure_network", "destroy_network", "ensure_port", "destroy_port", "ensure_router", "destroy_router", "ensure_groups",
    "destroy_groups",
)  # fmt: skip
STRANGE = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def town(template_state, tmp_path):
    """A network of a project in a cloud of twenty hosts."""
    state_dir = tmp_path / "state"
    shutil.copytree(template_state, state_dir)
    lab = make_lab(state_dir, hosts=HOSTS)
    ctx = lab.ctx("demo")
    network = networks.create(ctx, [attributes_of(NetworkCreate())])[0]
    subnet = subnets.create(ctx, [attributes_of(SubnetCreate(network_id=network.id, ip_version=4, cidr="10.0.0.0/24"))])[0]
    yield SimpleNamespace(lab=lab, ctx=ctx, network=network, subnet=subnet, hosts=lab.network_hosts)
    lab.app.close()
    lab.cloud.db.dispose()
    engines.drop(state_dir)


def plug(town, host, device="server1"):
    with town.lab.cloud.db.begin() as tx:
        port = guests.create_ports(tx, town.ctx, device, [guests.Wish(town.network.id)], None, device)[0]
    wiring.bind(town.lab.cloud, port.id, host)
    wiring.plug(town.lab.cloud, port.id)
    return port


def deaf(town, *but):
    """Have every call to a host fail, but to some."""
    for name, host in town.hosts.items():
        for method in METHODS if name not in but else ():
            host.fail(method, times=None)


def has(host, town, port):
    return (town.network.id in host.networks, port.id in host.ports, bool(host.groups))


def test_a_host_without_a_port_of_the_network_is_not_called(town):
    deaf(town, "host3", "host4")
    one, two = plug(town, "host3"), plug(town, "host4", "server2")
    town.lab.settle()
    ports.change(town.ctx, one.id, {"allowed_address_pairs": [{"ip_address": "10.0.0.77"}]})
    town.lab.settle()
    ips = {one.fixed_ips[0].ip_address, two.fixed_ips[0].ip_address, "10.0.0.77"}
    for name in ("host3", "host4"):
        [group] = town.hosts[name].groups.values()
        assert group.members == ips
        assert len(town.hosts[name].networks[town.network.id].hosts) == 2
    ports.remove(town.ctx, one.id)
    networks.change(town.ctx, town.network.id, {"mtu": 1400})
    town.lab.settle()
    assert has(town.hosts["host3"], town, one) == (False, False, False)
    assert town.hosts["host4"].networks[town.network.id].mtu == 1400
    assert all(not host.networks for name, host in town.hosts.items() if name != "host4")


def test_a_host_that_a_port_left_is_cleared_of_all_that_it_had_for_it(town):
    port = plug(town, "host3")
    town.lab.settle()
    wiring.bind(town.lab.cloud, port.id, "host5")
    wiring.plug(town.lab.cloud, port.id)
    town.lab.settle()
    assert has(town.hosts["host3"], town, port) == (False, False, False)
    assert has(town.hosts["host5"], town, port) == (True, True, True)
    with town.lab.cloud.db.begin() as tx:
        wiring.await_in(tx, town.lab.cloud, port.id, "host7")
    town.lab.settle()
    assert has(town.hosts["host7"], town, port) == (True, True, True)
    with town.lab.cloud.db.begin() as tx:
        wiring.await_in(tx, town.lab.cloud, port.id, "")
    town.lab.settle()
    assert has(town.hosts["host7"], town, port) == (False, False, False)
    assert has(town.hosts["host5"], town, port) == (True, True, True)


def test_a_group_that_a_port_left_goes_from_its_host(town):
    port = plug(town, "host3")
    town.lab.settle()
    ports.change(town.ctx, port.id, {"security_groups": []})
    town.lab.settle()
    assert has(town.hosts["host3"], town, port) == (True, True, False)


def test_a_host_that_a_router_left_is_cleared_of_it(town):
    router = routers.create(town.ctx, [attributes_of(RouterCreate())])[0]
    interfaces.add(town.ctx, router.id, town.subnet.id, None)
    town.lab.settle()
    home = town.hosts[router.host_id]
    assert (router.id in home.routers, town.network.id in home.networks) == (True, True)
    interfaces.remove(town.ctx, router.id, town.subnet.id, None)
    town.lab.settle()
    assert (home.routers, home.networks) == ({}, {})


def test_what_a_call_could_not_clear_is_cleared_later(town):
    port = plug(town, "host3")
    town.lab.settle()
    town.hosts["host3"].fail("destroy_port", times=2)
    ports.remove(town.ctx, port.id)
    for _ in range(6):
        town.lab.settle(30)
    assert has(town.hosts["host3"], town, port) == (False, False, False)


def test_a_host_that_was_away_is_compared_first(town):
    port = plug(town, "host20")
    town.lab.settle()
    for _ in range(3):
        sync.reconcile(town.lab.cloud)
    bus = town.lab.cloud.bus
    away = bus._hosts.pop("host20")
    ports.remove(town.ctx, port.id)
    town.lab.settle()
    sync.reconcile(town.lab.cloud)
    assert has(town.hosts["host20"], town, port) == (True, True, True)
    bus._hosts["host20"] = away
    sync.reconcile(town.lab.cloud)
    assert has(town.hosts["host20"], town, port) == (False, False, False)


def test_a_pass_compares_so_many_hosts_and_gets_round_all(town):
    for host in town.hosts.values():
        host.networks[STRANGE] = NetworkSpec(STRANGE, 1, 1500)
    counts = []
    for _ in range(5):
        before = sum(STRANGE in host.networks for host in town.hosts.values())
        sync.reconcile(town.lab.cloud)
        counts.append(before - sum(STRANGE in host.networks for host in town.hosts.values()))
    assert max(counts) <= converge.HOSTS_A_PASS
    assert sum(counts) == HOSTS


def test_a_router_leaves_a_host_that_is_gone_without_a_full_pass(town):
    router = routers.create(town.ctx, [attributes_of(RouterCreate())])[0]
    interfaces.add(town.ctx, router.id, town.subnet.id, None)
    town.lab.settle()
    sync.fail_over(town.lab.cloud)
    town.lab.cloud.bus._hosts.pop(router.host_id)
    sync.fail_over(town.lab.cloud)
    town.lab.settle()
    now = routers.show(town.ctx, router.id).host_id
    assert now != router.host_id
    assert router.id in town.hosts[now].routers


def test_who_read_first_does_not_have_the_last_word(town):
    """While a port is made on its host, another port joins its group, and the host is told of that before it is told of the first
    port: what was read before must not stand in the end."""
    first = plug(town, "host4", "server0")
    town.lab.settle()
    host, late = town.hosts["host3"], []
    plain = host.ensure_network

    def ensure_network(spec):
        if not late:
            late.append(plug(town, "host4", "server2"))
            town.lab.settle()
        plain(spec)

    host.ensure_network = ensure_network
    port = plug(town, "host3")
    town.lab.settle()
    [group] = host.groups.values()
    assert {each.fixed_ips[0].ip_address for each in (first, port, late[0])} == group.members
    assert len(host.networks[town.network.id].hosts) == 3


def test_a_host_that_moves_is_told_to_those_that_share_networks_with_it(town):
    plug(town, "host3"), plug(town, "host4", "server2")
    cloud = town.lab.cloud
    cloud.bus._facts = {"host3": {"tunnel": "192.0.2.3"}, "host4": {"tunnel": "192.0.2.4"}}
    sync.reconcile(cloud)
    town.lab.settle()
    assert [each.host for each in town.hosts["host3"].networks[town.network.id].remotes] == ["192.0.2.4"]
    with cloud.db.read() as tx:
        assert store.tunnels(tx)["host3"] == "192.0.2.3"
