"""A network over several hosts: each knows where the ports of the others are, and routers leave hosts that are gone."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from pileus.kernel.bus import LocalBus
from pileus.network.driver import RemotePort
from pileus.network.drivers.fake import FakeNetworkHost
from pileus.network.schemas.clean import attributes_of
from pileus.network.schemas.requests import NetworkCreate, PortCreate, RouterCreate, SubnetCreate
from pileus.network.service import interfaces, networks, operations, ports, routers, subnets, wiring
from pileus.network.store import hosts as store
from pileus.network.store.rows import Wanted
from pileus.network.tasks.sync import reconcile

HOSTS = ("host1", "host2", "host3")
ENDS = {"host1": "192.0.2.1", "host2": "192.0.2.2", "host3": "192.0.2.3"}


@pytest.fixture
def town(lab):
    """A network with a router, and a port on each of the first two of three hosts."""
    ctx = lab.ctx("demo")
    network = networks.create(ctx, [attributes_of(NetworkCreate())])[0]
    subnet = subnets.create(ctx, [attributes_of(SubnetCreate(network_id=network.id, ip_version=4, cidr="10.0.0.0/24"))])[0]
    found = SimpleNamespace(lab=lab, ctx=ctx, network=network, drivers={name: FakeNetworkHost() for name in HOSTS})
    found.cloud = replace(lab.cloud, bus=bus_of(found, HOSTS))
    found.router = routers.create(ctx, [attributes_of(RouterCreate())])[0]
    found.leg = interfaces.add(ctx, found.router.id, subnet.id, None).port
    found.ports = [ports.create(ctx, [attributes_of(PortCreate(network_id=network.id))])[0] for _ in range(2)]
    for port, host in zip(found.ports, HOSTS, strict=False):
        wiring.bind(lab.cloud, port.id, host)
    with lab.cloud.db.begin() as tx:
        store.move_router(tx, found.router.id, "host1", "host3")
    reconcile(found.cloud)
    reconcile(found.cloud)
    return found


def bus_of(town, names, ends=ENDS):
    facts = {name: {"tunnel": ends[name]} for name in names if name in ends}
    return LocalBus({name: {"network": town.drivers[name]} for name in names}, facts)


def remotes(town, host):
    return set(town.drivers[host].networks[town.network.id].remotes)


def as_seen(port, host):
    return RemotePort(port.mac_address, tuple(fixed.ip_address for fixed in port.fixed_ips), ENDS[host])


def test_each_host_knows_where_the_others_ports_are(town):
    one, two = town.ports
    leg = as_seen(town.leg, "host3")
    assert remotes(town, "host1") == {as_seen(two, "host2"), leg}
    assert remotes(town, "host2") == {as_seen(one, "host1"), leg}
    assert remotes(town, "host3") == {as_seen(one, "host1"), as_seen(two, "host2")}


def test_what_else_a_port_may_use_is_where_the_port_is(town):
    pairs = [
        {"ip_address": "10.0.0.77"},
        {"ip_address": "10.0.0.78", "mac_address": "fa:16:3e:00:00:78"},
        {"ip_address": "10.9.0.0/16"},
    ]
    ports.change(town.ctx, town.ports[1].id, {"allowed_address_pairs": pairs})
    reconcile(town.cloud)
    seen = {remote.mac: remote for remote in remotes(town, "host1")}
    assert "10.0.0.77" in seen[town.ports[1].mac_address].ips
    assert seen["fa:16:3e:00:00:78"] == RemotePort("fa:16:3e:00:00:78", ("10.0.0.78",), ENDS["host2"])
    assert "10.9" not in str(seen)


def test_what_moves_is_found_before_the_rows_say_so(town):
    one, two = town.ports
    with town.lab.cloud.db.begin() as tx:
        wiring.await_in(tx, town.cloud, one.id, "host3")
    reconcile(town.cloud)
    assert as_seen(one, "host1") in remotes(town, "host3")
    wiring.reroute(town.cloud, [one.id], "host3")
    moved = as_seen(one, "host3")
    assert moved in remotes(town, "host1")
    assert moved in remotes(town, "host2")
    assert remotes(town, "host3") == {as_seen(two, "host2")}
    wiring.reroute(town.cloud, [one.id], "host1")
    assert as_seen(one, "host1") in remotes(town, "host2")
    assert as_seen(one, "host1") in remotes(town, "host3")
    assert moved not in remotes(town, "host1") | remotes(town, "host2")


def test_a_host_that_fails_keeps_the_others_from_nothing(town):
    one, _ = town.ports
    town.drivers["host1"].fail("reroute")
    wiring.reroute(town.cloud, [one.id], "host3")
    assert as_seen(one, "host3") in remotes(town, "host2")
    assert as_seen(one, "host3") not in remotes(town, "host1")


def test_a_cloud_of_one_host_has_no_tunnels(lab, town):
    cloud = replace(lab.cloud, bus=LocalBus({"host1": {"network": town.drivers["host1"]}}))
    with lab.cloud.db.begin() as tx:
        tx.execute(store.delete(store.hosts))
    reconcile(cloud)
    assert remotes(town, "host1") == set()


def test_a_host_that_moves_is_found(town):
    town.cloud = replace(town.cloud, bus=bus_of(town, HOSTS, {**ENDS, "host2": "192.0.2.22"}))
    reconcile(town.cloud)
    assert {remote.host for remote in remotes(town, "host1")} == {"192.0.2.22", "192.0.2.3"}


def test_a_router_leaves_a_host_that_is_gone(town):
    town.cloud = replace(town.cloud, bus=bus_of(town, ("host1", "host2")))
    reconcile(town.cloud)
    [home] = [name for name in ("host1", "host2") if town.router.id in town.drivers[name].routers]
    other = {"host1": "host2", "host2": "host1"}[home]
    assert as_seen(town.leg, home) in remotes(town, other)
    town.cloud = replace(town.cloud, bus=bus_of(town, HOSTS))  # it comes back, and has the router no longer
    reconcile(town.cloud)
    assert town.router.id not in town.drivers["host3"].routers
    assert town.router.id in town.drivers[home].routers


def test_nothing_moves_while_the_bus_is_away(town):
    town.cloud = replace(town.cloud, bus=bus_of(town, ()))
    reconcile(town.cloud)
    town.cloud = replace(town.cloud, bus=bus_of(town, HOSTS))
    reconcile(town.cloud)
    assert town.router.id in town.drivers["host3"].routers


def test_a_router_that_was_made_before_any_host_joined_is_placed(town):
    with town.lab.cloud.db.begin() as tx:
        store.move_router(tx, town.router.id, "host3", "")
    reconcile(town.cloud)
    assert sum(town.router.id in driver.routers for driver in town.drivers.values()) == 1


def test_new_routers_go_where_few_are(town):
    ctx = replace(town.ctx, cloud=town.cloud)
    made = [routers.create(ctx, [attributes_of(RouterCreate())])[0] for _ in range(5)]  # host3 has one
    assert sorted(router.host_id for router in made) == ["host1", "host1", "host2", "host2", "host3"]


def test_routers_are_on_hosts_with_the_role_only(town):
    bus = bus_of(town, HOSTS)
    plain = {name: bus.facts(name) | {"routes": "no"} for name in ("host1", "host3")}
    cloud = replace(town.lab.cloud, bus=LocalBus({name: {"network": town.drivers[name]} for name in HOSTS}, plain))
    made = routers.create(replace(town.ctx, cloud=cloud), [attributes_of(RouterCreate())])[0]
    assert made.host_id == "host2"
    reconcile(cloud)
    assert town.router.id in town.drivers["host2"].routers, "it leaves a host that has the role no longer"
    assert town.router.id not in town.drivers["host3"].routers


def test_only_hosts_with_the_role_show_an_agent_of_routers(town):
    cloud = replace(town.lab.cloud, bus=LocalBus({"host9": {"network": FakeNetworkHost()}}, {"host9": {"routes": "no"}}))
    reconcile(cloud)
    admin = town.lab.ctx("admin")
    kinds = {agent.agent_type for agent in operations.list_agents(admin, Wanted((("host", ["host9"]),)))}
    assert kinds == {"Linux bridge agent", "DHCP agent", "Metadata agent"}
