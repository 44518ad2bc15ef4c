"""Agents and what they serve, the kinds of routers, how many addresses are taken, and the topology made all at once."""

import pytest

from pileus.network.store import agents as agents_store
from pileus.network.tasks import converge, sync
from tests.conftest import BLUE, RED
from tests.network.test_api import Api


@pytest.fixture
def demo(lab):
    return Api(lab.client("demo"))


@pytest.fixture
def admin(lab):
    agents_store.beat(lab.cloud, ["host1"])
    return Api(lab.client("admin"))


def agent(admin, kind):
    return next(each for each in admin.call("GET", "agents")["agents"] if each["agent_type"] == kind)


def test_dhcp_is_served_where_it_is_to_be(lab, demo, admin):
    network, _ = demo.network()
    port = demo.make("port", network_id=network["id"])
    admin.change("port", port["id"], **{"binding:host_id": "host1"})
    lab.settle()
    server = agent(admin, "DHCP agent")
    path = f"agents/{server['id']}/dhcp-networks"
    assert [each["id"] for each in admin.call("GET", f"networks/{network['id']}/dhcp-agents")["agents"]] == [server["id"]]
    assert network["id"] in [each["id"] for each in admin.call("GET", path)["networks"]]
    assert lab.network_host.networks[network["id"]].dhcp
    admin.call("POST", path, {"network_id": network["id"]}, 409)
    admin.call("DELETE", f"{path}/{network['id']}", None, 204)
    lab.settle()
    assert lab.network_host.networks[network["id"]].dhcp is None
    assert admin.call("GET", f"networks/{network['id']}/dhcp-agents")["agents"] == []
    admin.call("DELETE", f"{path}/{network['id']}", None, 409)
    admin.call("POST", path, {"network_id": network["id"]}, 201)
    lab.settle()
    assert lab.network_host.networks[network["id"]].dhcp
    demo.call("GET", f"networks/{network['id']}/dhcp-agents", status=403)
    bare = demo.make("network", name="bare")
    admin.call("DELETE", f"{path}/{bare['id']}", None, 204)
    assert bare["id"] not in [each["id"] for each in admin.call("GET", path)["networks"]]
    admin.call("POST", path, {"network_id": bare["id"]}, 201)
    assert bare["id"] in [each["id"] for each in admin.call("GET", path)["networks"]]


def test_an_agent_that_is_switched_off_serves_nothing(lab, demo, admin):
    network, _ = demo.network()
    port = demo.make("port", network_id=network["id"])
    admin.change("port", port["id"], **{"binding:host_id": "host1"})
    public, _ = admin.public()
    router = demo.make("router", external_gateway_info={"network_id": public["id"]})
    lab.settle()
    for kind in ("DHCP agent", "L3 agent"):
        admin.call("PUT", f"agents/{agent(admin, kind)['id']}", {"agent": {"admin_state_up": False}})
    converge.some(lab.cloud)
    assert lab.network_host.networks[network["id"]].dhcp is None
    assert router["id"] not in lab.network_host.routers
    for kind in ("DHCP agent", "L3 agent"):
        admin.call("PUT", f"agents/{agent(admin, kind)['id']}", {"agent": {"admin_state_up": True}})
    converge.some(lab.cloud)
    assert lab.network_host.networks[network["id"]].dhcp
    assert router["id"] in lab.network_host.routers


def test_a_router_is_where_its_agent_is(lab, demo, admin):
    public, _ = admin.public()
    router = demo.make("router", external_gateway_info={"network_id": public["id"]})
    network, subnet = demo.network()
    demo.call("PUT", f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    port = demo.make("port", network_id=network["id"])
    fip = demo.make("floatingip", floating_network_id=public["id"], port_id=port["id"])
    lab.settle()
    routing = agent(admin, "L3 agent")["id"]
    path = f"agents/{routing}/l3-routers"
    assert [each["id"] for each in admin.call("GET", f"routers/{router['id']}/l3-agents")["agents"]] == [routing]
    assert [each["id"] for each in admin.call("GET", path)["routers"]] == [router["id"]]
    admin.call("DELETE", f"{path}/{router['id']}", None, 204)
    lab.settle()
    assert router["id"] not in lab.network_host.routers
    assert admin.call("GET", f"routers/{router['id']}/l3-agents")["agents"] == []
    admin.call("DELETE", f"{path}/{router['id']}", None, 409)
    sync.reconcile(lab.cloud)
    lab.settle()
    assert router["id"] not in lab.network_host.routers, "nobody gives it to an agent again but an administrator"
    assert demo.show("floatingip", fip["id"])["status"] == "DOWN"
    admin.call("POST", path, {"router_id": router["id"]}, 201)
    lab.settle()
    assert router["id"] in lab.network_host.routers
    assert demo.show("floatingip", fip["id"])["status"] == "ACTIVE"
    wrong = agent(admin, "DHCP agent")["id"]
    admin.call("POST", f"agents/{wrong}/l3-routers", {"router_id": router["id"]}, 409)


def test_kinds_of_routers(demo, admin):
    assert demo.make("router", 403, distributed=True) == "PolicyNotAuthorized"
    router = admin.make("router", distributed=True, ha=False)
    assert (router["distributed"], router["ha"]) == (True, False)
    assert admin.change("router", router["id"], 400, distributed=False) == "HTTPBadRequest"
    admin.change("router", router["id"], admin_state_up=False)
    assert admin.change("router", router["id"], distributed=False)["distributed"] is False
    assert admin.make("router", 409, ha=True) == "HANotEnoughAvailableAgents"
    assert "distributed" not in demo.make("router")


def test_agents_are_found_by_kind_and_life(lab, admin):
    assert [each["binary"] for each in admin.call("GET", "agents?agent_type=dhcp agent")["agents"]] == ["neutron-dhcp-agent"]
    assert len(admin.call("GET", "agents?alive=true")["agents"]) == 4
    lab.clock.advance(1000)
    assert admin.call("GET", "agents?alive=true")["agents"] == []
    assert len(admin.call("GET", "agents?alive=false")["agents"]) == 4


def test_how_many_addresses_are_taken(demo, admin):
    network, subnet = demo.network("10.0.0.0/28")
    demo.make("port", network_id=network["id"])
    demo.make("subnet", network_id=network["id"], ip_version=6, cidr="2001:db8::/64", enable_dhcp=False)
    found = admin.call("GET", f"network-ip-availabilities/{network['id']}")["network_ip_availability"]
    first = next(each for each in found["subnet_ip_availability"] if each["subnet_id"] == subnet["id"])
    assert (first["total_ips"], first["used_ips"]) == (13, 2), "the port and DHCP"
    listed = admin.call("GET", f"network-ip-availabilities?ip_version=4&network_id={network['id']}")
    assert listed["network_ip_availabilities"][0]["total_ips"] == 13
    assert demo.call("GET", "network-ip-availabilities")["network_ip_availabilities"] == []
    demo.call("GET", f"network-ip-availabilities/{network['id']}", status=404)


def test_a_topology_all_at_once(lab, demo, admin):
    path = f"auto-allocated-topology/{BLUE}"
    assert demo.call("GET", f"{path}?fields=dry-run", status=409)["NeutronError"]["type"] == "AutoAllocationFailure"
    demo.call("GET", path, status=409)
    public, _ = admin.public()
    admin.change("network", public["id"], is_default=True)
    pools = {"prefixes": ["10.64.0.0/16"], "default_prefixlen": 26, "is_default": True, "shared": True}
    admin.make("subnetpool", name="v4", **pools)
    admin.make("subnetpool", name="v6", **pools | {"prefixes": ["2001:db8::/48"], "default_prefixlen": 64})
    dry = demo.call("GET", f"{path}?fields=dry-run")["auto_allocated_topology"]
    assert dry["id"] == "dry-run=pass"
    assert demo.ids("networks", "router:external=false") == []
    made = demo.call("GET", path)["auto_allocated_topology"]
    assert demo.call("GET", path)["auto_allocated_topology"] == made
    network = demo.show("network", made["id"])
    assert len(network["subnets"]) == 2
    assert {demo.show("subnet", id)["cidr"].split(".")[0] for id in network["subnets"]} == {"10", "2001:db8::/64"}
    (router,) = demo.ids("routers")
    assert demo.show("router", router)["external_gateway_info"]["network_id"] == public["id"]
    demo.call("GET", f"auto-allocated-topology/{RED}", status=404)
    port = demo.make("port", network_id=made["id"])
    demo.call("DELETE", path, None, 409)
    demo.drop("port", port["id"])
    demo.call("DELETE", path, None, 204)
    demo.call("DELETE", path, None, 404)
    assert demo.ids("routers") == []
    demo.show("network", made["id"], 404)


def test_a_topology_taken_apart_can_be_made_again(demo, admin):
    public, _ = admin.public()
    admin.change("network", public["id"], is_default=True)
    path = f"auto-allocated-topology/{BLUE}"
    first = demo.call("GET", path)["auto_allocated_topology"]["id"]
    (router,) = demo.ids("routers")
    (subnet,) = demo.show("network", first)["subnets"]
    demo.call("PUT", f"routers/{router}/remove_router_interface", {"subnet_id": subnet})
    demo.drop("router", router)
    demo.drop("network", first)
    assert demo.call("GET", path)["auto_allocated_topology"]["id"] != first


def test_subnets_for_some_ports_only(demo, admin):
    network = demo.make("network", name="n")
    facts = {"network_id": network["id"], "ip_version": 4}
    plain = demo.make("subnet", **facts, cidr="10.0.0.0/24")
    special = demo.make("subnet", **facts, cidr="10.0.1.0/24", service_types=["compute:nova"])
    assert special["service_types"] == ["compute:nova"]
    port = demo.make("port", network_id=network["id"], device_owner="compute:nova")
    assert port["fixed_ips"][0]["subnet_id"] == special["id"]
    assert demo.make("port", network_id=network["id"])["fixed_ips"][0]["subnet_id"] == plain["id"]
    demo.change("subnet", special["id"], service_types=[])


def test_a_network_is_taken_into_a_pool(demo, admin):
    network, subnet = demo.network("10.20.0.0/24")
    pool = demo.make("subnetpool", name="p", prefixes=["10.8.0.0/16"], default_prefixlen=24)
    body = {"subnetpool": {"network_id": network["id"]}}
    demo.call("PUT", f"subnetpools/{pool['id']}/onboard_network_subnets", body)
    assert demo.show("subnet", subnet["id"])["subnetpool_id"] == pool["id"]
    assert "10.20.0.0/24" in demo.show("subnetpool", pool["id"])["prefixes"]
    clash, _ = demo.network("10.8.1.0/24")
    body = {"subnetpool": {"network_id": clash["id"]}}
    demo.call("PUT", f"subnetpools/{pool['id']}/onboard_network_subnets", body, 400)


def test_a_port_gets_another_mac(demo):
    network, _ = demo.network()
    port = demo.make("port", network_id=network["id"])
    assert demo.change("port", port["id"], 403, mac_address=None) == "PolicyNotAuthorized"


def test_the_first_address_is_for_dhcp(demo):
    network, _ = demo.network("10.100.0.0/28")
    port = demo.make("port", network_id=network["id"], fixed_ips=[{"ip_address": "10.100.0.10"}])
    assert port["fixed_ips"][0]["ip_address"] == "10.100.0.10"
    server = demo.call("GET", f"ports?device_owner=network:dhcp&network_id={network['id']}")["ports"][0]
    assert server["fixed_ips"][0]["ip_address"] == "10.100.0.2"


def test_pages_lead_back_from_an_empty_one(demo):
    for _ in range(3):
        demo.make("network", name="n")
    path, seen = "networks?limit=2&sort_key=name", 0
    while path:
        page = demo.call("GET", path)
        seen += len(page["networks"])
        links = {each["rel"]: each["href"].split("/v2.0/")[1] for each in page["networks_links"]}
        path = links.get("next")
    assert seen == 3
    empty = demo.call("GET", f"networks?limit=2&marker={demo.ids('networks')[-1]}")
    assert empty["networks"] == []
    back = {each["rel"]: each["href"].split("/v2.0/")[1] for each in empty["networks_links"]}
    assert set(back) == {"previous"}
    assert len(demo.call("GET", back["previous"])["networks"]) == 2


def test_many_at_once_may_stand_under_their_noun(demo):
    network, _ = demo.network()
    wanted = {"network_id": network["id"], "tags": ["a", "b"]}
    made = demo.call("POST", "ports", {"ports": [{"port": wanted}, wanted]}, 201)["ports"]
    assert [each["tags"] for each in made] == [["a", "b"]] * 2
    demo.call("POST", "ports", {"ports": [{"port": wanted | {"colour": "red"}}]}, 400)


def test_a_limit_below_what_is_used_can_be_refused(demo, admin):
    demo.network()
    path = f"quotas/{BLUE}"
    refused = admin.call("PUT", path, {"quota": {"network": 0, "check_limit": True}}, 400)
    assert refused["NeutronError"]["type"] == "InvalidQuotaValue"
    admin.call("PUT", path, {"quota": {"network": 0}})


def test_changes_count_revisions_up(demo):
    network, subnet = demo.network()
    before = demo.show("network", network["id"])["revision_number"]
    demo.change("subnet", subnet["id"], name="other")
    assert demo.show("network", network["id"])["revision_number"] > before
    port = demo.make("port", network_id=network["id"])
    group = demo.make("security_group", name="g")
    assert demo.change("port", port["id"], security_groups=[group["id"]])["revision_number"] > port["revision_number"]
    assert demo.change("port", port["id"], 400, security_groups=[group["id"]] * 2) == "HTTPBadRequest"
    fast = demo.make("security_group", name="f", stateful=False)
    assert demo.change("port", port["id"], 409, security_groups=[group["id"], fast["id"]]) == "SecurityGroupConflict"


def test_an_mtu_must_carry_what_is_in_the_network(demo):
    network = demo.make("network", name="n", mtu=60)
    subnet = {"network_id": network["id"], "ip_version": 4, "cidr": "10.0.0.0/24"}
    assert demo.make("subnet", 409, **subnet) == "NetworkMTUSubnetConflict"
    demo.change("network", network["id"], mtu=100)
    demo.make("subnet", **subnet)
    assert demo.change("network", network["id"], 409, mtu=60) == "NetworkMTUSubnetConflict"
    six = {"network_id": network["id"], "ip_version": 6, "cidr": "2001:db8::/64"}
    assert demo.make("subnet", 409, **six) == "NetworkMTUSubnetConflict"
