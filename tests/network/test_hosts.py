"""That hosts become what the rows say, and become so again whatever happens to them."""

import shutil
from types import SimpleNamespace

import pytest

from pileus.network.driver import fingerprint
from pileus.network.schemas.clean import attributes_of
from pileus.network.schemas.requests import FloatingIpCreate, NetworkCreate, RouterCreate, SubnetCreate
from pileus.network.service import floating_ips, groups, guests, interfaces, networks, ports, routers, subnets, wiring
from pileus.network.tasks import converge
from pileus.network.tasks.sync import reconcile
from tests.conftest import make_lab


@pytest.fixture
def twice(template_state, tmp_path):
    """A cloud that runs every step twice."""
    state_dir = tmp_path / "state"
    shutil.copytree(template_state, state_dir)
    lab = make_lab(state_dir, repeats=2)
    yield lab
    lab.app.close()
    lab.cloud.db.dispose()


def network_of(ctx, cidr, **more):
    network = networks.create(ctx, [attributes_of(NetworkCreate(**more))])[0]
    dhcp = not more.get("external")
    wanted = SubnetCreate(network_id=network.id, ip_version=4, cidr=cidr, enable_dhcp=dhcp)
    return network, subnets.create(ctx, [attributes_of(wanted)])[0]


@pytest.fixture
def town(twice):
    """A guest in a network behind a router, with a floating IP."""
    ctx, admin = twice.ctx("demo"), twice.ctx("admin")
    public, _ = network_of(admin, "172.24.4.0/24", external=True)
    network, subnet = network_of(ctx, "10.0.0.0/24")
    router = routers.create(ctx, [attributes_of(RouterCreate())])[0]
    routers.change(ctx, router.id, {"external_gateway_info": {"network_id": public.id}})
    interfaces.add(ctx, router.id, subnet.id, None)
    with twice.cloud.db.begin() as tx:
        port = guests.create_ports(tx, ctx, "server1", [guests.Wish(network.id)], None, "ann")[0]
    wire = wiring.bind(twice.cloud, port.id, "host1")
    fip = floating_ips.create(ctx, [attributes_of(FloatingIpCreate(floating_network_id=public.id, port_id=port.id))])[0].fip
    wiring.plug(twice.cloud, port.id)
    twice.settle()
    return SimpleNamespace(ctx=ctx, public=public, network=network, router=router, port=port, wire=wire, fip=fip)


def snapshot(host):
    kinds = (host.networks, host.ports, host.routers, host.groups)
    return [{id: fingerprint(spec) for id, spec in kind.items()} for kind in kinds]


def test_a_guest_is_wired(twice, town):
    host = twice.network_host
    assert host.ports[town.port.id].tap == town.wire.tap
    assert town.wire.mtu == 1450
    assert town.wire.ips[0].endswith("/24")
    assert set(host.networks) == {town.network.id, town.public.id}
    assert [entry.hostname for entry in host.networks[town.network.id].hosts] == ["ann"]
    assert host.groups[town.port.security_groups[0]].members == {town.port.fixed_ips[0].ip_address}
    assert host.routers[town.router.id].floating_ips[0].floating_ip == town.fip.floating_ip_address
    assert ports.show(town.ctx, town.port.id).status == "ACTIVE"
    assert floating_ips.show(town.ctx, town.fip.id).fip.status == "ACTIVE"


def test_the_legs_of_a_router_that_is_down_are_active(twice):
    ctx = twice.ctx("demo")
    _, subnet = network_of(ctx, "10.0.0.0/24")
    router = routers.create(ctx, [attributes_of(RouterCreate(admin_state_up=False))])[0]
    leg = interfaces.add(ctx, router.id, subnet.id, None).port
    twice.settle()
    assert ports.show(ctx, leg.id).status == "ACTIVE"
    assert not twice.network_host.routers[router.id].admin_up


def test_whatever_is_destroyed_comes_back(twice, town):
    host = twice.network_host
    good = snapshot(host)
    for kind, id in (("network", town.network.id), ("port", town.port.id), ("router", town.router.id)):
        host.damage(kind, id)
    reconcile(twice.cloud)
    assert not host.observe().damaged
    host.purge()
    reconcile(twice.cloud)
    assert snapshot(host) == good


def test_what_no_row_knows_goes(twice, town):
    host = twice.network_host
    good = snapshot(host)
    spec = next(iter(host.ports.values()))
    host.ports["0" * 36] = spec
    host.groups["1" * 36] = next(iter(host.groups.values()))
    reconcile(twice.cloud)
    assert snapshot(host) == good


def test_one_failure_does_not_stop_the_rest(twice, town):
    host = twice.network_host
    good = snapshot(host)
    host.purge()
    host.fail("ensure_network", town.public.id)
    reconcile(twice.cloud)
    assert town.port.id in host.ports
    assert town.router.id not in host.routers
    reconcile(twice.cloud)
    assert snapshot(host) == good


def test_a_task_that_fails_is_tried_again(twice, town):
    twice.network_host.fail("ensure_router", times=3)
    floating_ips.change(town.ctx, town.fip.id, {"port_id": None})
    for _ in range(6):
        twice.settle(30)
    assert twice.network_host.floating_ip(town.fip.floating_ip_address) is None


def test_a_rule_reaches_the_host_only_where_it_matters(twice, town):
    def add(group_id):
        rule = {"security_group_id": group_id, "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp", "description": ""}
        ends = {"port_range_min": 22, "port_range_max": 22, "remote_ip_prefix": None, "remote_group_id": None}
        return groups.create_rules(town.ctx, [(rule | ends, frozenset())])[0]

    used = town.port.security_groups[0]
    rule = add(used)
    unused = groups.create(town.ctx, [({"name": "x", "description": "", "stateful": True}, frozenset())])[0]
    add(unused.id)
    twice.settle()
    assert rule.id in {each.id for each in twice.network_host.groups[used].rules}
    assert unused.id not in twice.network_host.groups
    groups.remove_rule(town.ctx, rule.id)
    twice.settle()
    assert rule.id not in {each.id for each in twice.network_host.groups[used].rules}


def test_an_older_reading_of_a_group_does_not_undo_a_newer_one(twice, town, monkeypatch):
    host, used = twice.network_host, town.port.security_groups[0]
    facts = {"description": "", "port_range_min": 22, "port_range_max": 22, "remote_ip_prefix": None, "remote_group_id": None}
    rule = {"security_group_id": used, "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp"}
    made = groups.create_rules(town.ctx, [(rule | facts, frozenset())])[0]
    ensure = host.ensure_groups

    def slowly(specs):
        """The rows change, and a task has followed, while this one is about to make what it has read."""
        monkeypatch.setattr(host, "ensure_groups", ensure)
        groups.remove_rule(town.ctx, made.id)
        twice.settle()
        ensure(specs)

    monkeypatch.setattr(host, "ensure_groups", slowly)
    converge.port(twice.cloud, town.port.id)
    twice.settle()
    assert made.id not in {each.id for each in host.groups[used].rules}


def test_unplug_and_release_leave_nothing(twice, town):
    gone = []
    twice.cloud.events.subscribe("network.port.deleted", lambda tx, cloud, facts: gone.append(facts["device_id"]))
    wiring.unplug(twice.cloud, town.port.id)
    wiring.unplug(twice.cloud, town.port.id)
    assert town.port.id not in twice.network_host.ports
    with twice.cloud.db.begin() as tx:
        guests.release_ports(tx, twice.cloud, "server1")
    twice.settle()
    reconcile(twice.cloud)
    assert gone == ["server1"]
    assert not twice.network_host.groups
    assert floating_ips.show(town.ctx, town.fip.id).fip.port_id is None


def test_what_compute_asks(twice, town):
    with twice.cloud.db.read() as tx:
        found = guests.ports_of(tx, ["server1", "server2"])
        assert [guest.floating_ips[0].id for guest in found["server1"]] == [town.fip.id]
        ip = town.port.fixed_ips[0].ip_address
        assert guests.port_at(tx, ip, router_id=town.router.id).id == town.port.id
        assert guests.port_at(tx, ip, network_id=town.network.id).id == town.port.id
        assert guests.port_at(tx, "10.0.0.250", network_id=town.network.id) is None
        assert [group.name for group in guests.groups_of(tx, ["server1"])["server1"]] == ["default"]
    with twice.cloud.db.begin() as tx:
        assert guests.default_wishes(tx, town.ctx, auto=True) == [guests.Wish(town.network.id)]


def test_agents_live_while_their_host_is_looked_at(twice):
    client = twice.client("admin")
    reconcile(twice.cloud)
    alive = [agent["alive"] for agent in client.get("/network/v2.0/agents").json()["agents"]]
    assert alive == [True] * 4
    twice.clock.advance(100)
    assert not any(agent["alive"] for agent in client.get("/network/v2.0/agents").json()["agents"])
    assert twice.client("demo").get("/network/v2.0/agents").json()["agents"] == []
